"""Where settings come from: one TOML file, and the environment above it. Nothing is judged here but names."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Literal

from syncd.config.base import Section
from syncd.config.bounded import read_bounded
from syncd.config.mapping import MappingRule, is_attribute
from syncd.config.problem import Problem, file_failure, show_path, show_value, suggest
from syncd.config.sections import LISTS, SECRET_KEYS, SECTIONS

SYSTEM_FILE = Path("/etc/syncd/syncd.toml")
LOCAL_FILE = "syncd.toml"
PREFIX = "SYNCD_"
MAX_SETTINGS_BYTES = 1024 * 1024
_LISTED = {f"SYNCD_{name.upper()}": name for name in LISTS}

# Names with our prefix that are no settings. The last pattern is what Kubernetes and Docker add by themselves for a
# service that is called "syncd" (kubernetes.io, "Discovering services": environment variables).
_NO_SETTING = re.compile(
    r"SYNCD_(?:CONFIG|CONTAINER|BASE_IMAGE|WEBCON_OPENAPI|TEST_\w+"
    r"|SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
_LONG_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""")
"""A key of so many parts takes the library of the language minutes and more."""
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}

Table = dict[str, object]


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one place. ``origins`` names the variable behind each key; a file has none."""

    values: Table = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    _: KW_ONLY
    problems: tuple[Problem, ...] = ()
    file: Path | None = None


def read_file(path: Path | None, environ: Mapping[str, str], *, cwd: Path, option: str = "--config") -> Layer:
    """Return the content of the first of: ``path``, ``SYNCD_CONFIG``, ``./syncd.toml``, ``/etc/syncd/syncd.toml``.

    A file that was named must be there; of the two usual places neither has to be. TOML errors keep line and column.
    ``option``: what named ``path`` on the command line.
    """
    named = environ.get("SYNCD_CONFIG", "").strip()
    if path is not None:
        return _read_toml(cwd / path, key=option)
    if named:
        return _read_toml(cwd / named, key="SYNCD_CONFIG")
    for usual in (cwd / LOCAL_FILE, SYSTEM_FILE):
        layer = _read_toml(usual, key=f"the file {usual.name}", optional=True)
        if layer.file is not None:
            return layer
    return Layer()


def describe_place(file: Layer, environment: Layer, *, cwd: Path) -> str:
    """Return which file the settings were read from, or where one was looked for and how to name one."""
    if file.file is not None:
        return f"read from {file.file}{' and the environment' if environment.values else ''}"
    return (
        f"no file was found, neither {cwd / LOCAL_FILE} nor {SYSTEM_FILE}; name one by --config FILE or "
        "SYNCD_CONFIG=FILE, or set the keys in the environment"
    )


def _read_toml(path: Path, *, key: str, optional: bool = False) -> Layer:
    what, remedy = "", "name the right file"
    try:
        content = read_bounded(path, MAX_SETTINGS_BYTES)
        text = content.decode() if len(content) <= MAX_SETTINGS_BYTES else ""
    except (FileNotFoundError, NotADirectoryError) as error:
        if optional:
            return Layer()
        what, remedy = file_failure(error), "name a file that exists"
    except (OSError, ValueError) as error:
        what, remedy = file_failure(error), "name a TOML file that this user may read"
    else:
        if len(content) > MAX_SETTINGS_BYTES:
            what = f"holds more than {MAX_SETTINGS_BYTES} bytes"
        elif _LONG_KEY.search(text):
            what = "has a key of more parts than any setting"
        else:
            try:
                return Layer(tomllib.loads(text), file=path)
            except ValueError as error:  # a number may be too long for it, too
                what, remedy = f"is not valid TOML: {error}", "correct that line"
    return Layer(problems=(Problem(key, what, remedy=remedy, value=show_path(str(path))),), file=path)


def read_environment(environ: Mapping[str, str]) -> Layer:
    """Return what the ``SYNCD_SECTION__KEY`` variables say, converted to the kind of value that each key takes.

    An empty variable is unset. A name with our prefix that is no setting is a problem; its value is never repeated.
    """
    known = dict(_variables())
    table: Table = {}
    origins: dict[str, str] = {}
    problems: list[Problem] = []
    for name in sorted(environ):
        text = environ[name]
        if not name.startswith(PREFIX) or _NO_SETTING.fullmatch(name) or not text.strip():
            continue
        if listed := _LISTED.get(name):
            try:
                table[listed] = json.loads(text)
            except (ValueError, RecursionError):
                remedy = 'write a list such as [{"group": "BPS users", …}]'
                problems.append(Problem(listed, "is not JSON", remedy=remedy, value=show_value(text), origin=name))
            origins[listed] = name
        elif name in known:
            path, annotation = known[name]
            _put(table, path, _convert(text, annotation))
            origins[".".join(path)] = name
        else:
            lowered = {candidate.casefold(): candidate for candidate in (*known, *_LISTED)}
            meant = lowered.get(suggest(name, lowered))
            remedy = f"did you mean {meant}?" if meant else "remove it; settings are named SYNCD_SECTION__KEY"
            problems.append(Problem(name, "is no setting of syncd", remedy=remedy, unknown=True))
    return Layer(table, origins, problems=tuple(problems))


def merge(file: Layer, environment: Layer) -> Layer:
    """Return both layers as one; of a secret and its ``_file`` form the environment replaces the pair as a whole."""
    below = {name: dict(value) if isinstance(value, dict) else value for name, value in file.values.items()}
    for section, keys in SECRET_KEYS.items():
        lower, upper = below.get(section), environment.values.get(section)
        if isinstance(lower, dict) and isinstance(upper, dict):
            for key in keys:
                if {key, f"{key}_file"} & upper.keys():
                    lower.pop(key, None)
                    lower.pop(f"{key}_file", None)
    return Layer(
        _overlay(below, environment.values),
        environment.origins,
        problems=(*file.problems, *environment.problems),
        file=file.file,
    )


def _overlay(below: Table, above: Table) -> Table:
    merged = dict(below)
    for key, value in above.items():
        lower = merged.get(key)
        if isinstance(value, dict) and key in merged:
            merged[key] = _overlay(lower, value) if isinstance(lower, dict) else lower
        else:
            merged[key] = value
    return merged


def _put(table: Table, path: tuple[str, ...], value: object) -> None:
    *parents, last = path
    for parent in parents:
        inner = table.setdefault(parent, {})
        assert isinstance(inner, dict)
        table = inner
    table[last] = value


def _variables() -> Iterator[tuple[str, tuple[tuple[str, ...], object]]]:
    for section, model in SECTIONS.items():
        for path, annotation in _keys(model, (section,)):
            yield PREFIX + "__".join(path).upper(), (path, annotation)
        for key in SECRET_KEYS.get(section, ()):
            yield f"{PREFIX}{section}__{key}_file".upper(), ((section, f"{key}_file"), str)


def _keys(model: type[Section], parents: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, spec in model.model_fields.items():
        if isinstance(spec.annotation, type) and issubclass(spec.annotation, Section):
            yield from _keys(spec.annotation, (*parents, name))
        else:
            yield (*parents, name), spec.annotation


def _convert(text: str, annotation: object) -> object:
    """Return the value that the text stands for, or the text itself where it stands for none; judged later."""
    word = text.strip()
    if annotation is bool:
        return _BOOLEANS.get(word.casefold(), text)
    if annotation in (int, int | None, int | Literal["auto"]):
        if re.fullmatch(r"-?\d{1,15}", word, re.ASCII):
            return int(word)
        return False if annotation == int | None and _BOOLEANS.get(word.casefold()) is False else text
    if annotation == tuple[str, ...]:
        listed = _json_list(word)
        return listed if listed is not None else [part for part in (p.strip() for p in word.split(",")) if part]
    if annotation == tuple[int, ...]:
        numbers = [part.strip() for part in word.strip("[]").split(",") if part.strip()]
        plain = all(re.fullmatch(r"-?\d{1,15}", number, re.ASCII) for number in numbers)
        return [int(number) for number in numbers] if plain else text
    if annotation == MappingRule:
        listed = _json_list(word)
        parts = [part.strip() for part in word.split(",")]
        if listed is not None or len(parts) == 1 or not all(is_attribute(part) for part in parts):
            return listed if listed is not None else text
        return parts
    return text


def _json_list(word: str) -> list[object] | None:
    if not word.startswith("["):
        return None
    try:
        value = json.loads(word)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None

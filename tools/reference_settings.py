"""The tables of the settings: every key with the values that it takes and its default, from the declarations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from syncd.config import sections, setting_types, values
from syncd.config.base import Section
from syncd.config.cadence import Cadence
from syncd.config.mapping import MappingRule
from syncd.config.secret import Secret
from syncd.model.event import EVENTS
from tools.reference_table import escape

_FORMS: tuple[tuple[object, str], ...] = (
    (setting_types.Percent, "0 to 100, or `false`"),
    (setting_types.Limit, "a whole number from 0, or `false`"),
    (setting_types.Concurrency, '1 to 64, or `"auto"`'),
    (setting_types.Events, ", ".join(f"`{event}`" for event in EVENTS)),
    (setting_types.Mailboxes, "a list of mail addresses"),
    (setting_types.Mailbox, "a mail address"),
    (setting_types.HostRoot, "an https address without a path"),
    (setting_types.Reference, "an id, a guid or a name"),
    (setting_types.UserCondition, "a CEL condition over `user`"),
    (setting_types.GroupCondition, "a CEL condition over `group`"),
    (MappingRule, "a rule"),
    (Cadence, "a crontab line, or an interval"),
    (values.Listen, '`host:port`, or `""`'),
    (values.QuietHours, '`HH:MM-HH:MM`, or `""`'),
    (tuple[str, ...], "a list of texts"),
    (tuple[int, ...], "a list of whole percentages, ascending, the last one 100"),
    (timedelta, "a duration"),
    (date, "a date, such as `2027-05-01`"),
    (ZoneInfo, "an IANA time zone"),
    (Path, "the path of a file"),
    (Secret, "text"),
    (bool, "`true`, `false`"),
    (str, "text"),
)
"""What is written for a type, the closest one first."""

_ANNOTATED = 10
"""So many of them are told by more than their type."""

_HEAD = ["| key | values | default | meaning |", "|---|---|---|---|"]


def make_tables(kept: Mapping[str, str]) -> list[str]:
    """Return a heading and a table per section of the configuration."""
    lines: list[str] = []
    for name, section in sections.SECTIONS.items():
        lines += [f"### `[{name}]`", "", *_HEAD, *_make_rows(name, section, kept), ""]
    for name, (entry, _) in sections.LISTS.items():
        lines += [f"### `[[{name}]]`", "", *_HEAD, *_make_rows(name, entry, kept), ""]
    return lines[:-1]


def list_keys() -> list[str]:
    """Return every key of the configuration as it is named in the manual, without the twins that name a file."""
    named = {**sections.SECTIONS, **{name: entry for name, (entry, _) in sections.LISTS.items()}}
    return [key for name, section in named.items() for key, _, _ in _walk(name, section)]


def _make_rows(name: str, section: type[Section], kept: Mapping[str, str]) -> Iterator[str]:
    for key, form, default in _walk(name, section):
        if key.partition(".")[2] in sections.SECRET_KEYS.get(name, ()):
            form = f"{form}, *secret*: also `{key}_file`"
        cell = f"`{key}`"
        yield f"| {cell} | {escape(form)} | {escape(default)} | {kept.get(cell, '')} |"


def _walk(prefix: str, section: type[Section]) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the values and the default of each key, those of tables inside in their place."""
    hints = get_type_hints(section, include_extras=True)
    shown: dict[str, object] = section.model_construct().model_dump(mode="json", warnings=False)
    for name, field in section.model_fields.items():
        key, inner = f"{prefix}.{name}", _find_section(hints[name])
        if inner is not None and get_origin(_strip(hints[name])) is not tuple:
            yield from _walk(key, inner)
            continue
        if inner is not None:
            yield key, "a list of tables", _show_default(field, shown.get(name))
            yield from _walk(key, inner)
            continue
        yield key, _name_form(hints[name], key), _show_default(field, shown.get(name))


def _strip(hint: object) -> object:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _find_section(hint: object) -> type[Section] | None:
    bare = _strip(hint)
    for each in (bare, *get_args(bare)):
        if isinstance(each, type) and issubclass(each, Section):
            return each
    return None


def _name_form(hint: object, key: str) -> str:
    """Return in words which values a key takes. Raises LookupError for a type that has no words yet."""
    for form, words in _FORMS[:_ANNOTATED]:
        if hint == form:
            return words
    bare = _strip(hint)
    if get_origin(bare) in (Union, UnionType) and bare != MappingRule and bare != Cadence:
        left = [each for each in get_args(bare) if each is not type(None)]
        return _name_form(left[0], key)
    if get_origin(bare) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(bare))
    if bare is int:
        return _name_range(get_args(hint)[1:])
    for form, words in _FORMS:
        if bare == form:
            return words
    raise LookupError(f"{key}: say in tools/reference_settings.py which values a {bare} takes")


def _name_range(metadata: tuple[Any, ...]) -> str:
    limits = [each for field in metadata if isinstance(field, FieldInfo) for each in field.metadata]
    low = next((limit.ge for limit in limits if isinstance(limit, Ge)), None)
    high = next((limit.le for limit in limits if isinstance(limit, Le)), None)
    if low is None and high is None:
        return "a whole number"
    return f"a whole number from {low}" if high is None else f"{low} to {high}"


def _show_default(field: FieldInfo, value: object) -> str:
    if field.is_required():
        return "required"
    if value is None:
        return "none"
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and '"' in value:
        text = f"'{value}'"
    return f"`{text}`"

"""Turn what the validation found into sentences for the operator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from syncd.config import layers
from syncd.config.base import Section
from syncd.config.files import SecretFile
from syncd.config.problem import Absent, Problem, Refused, show_path, show_value, suggest
from syncd.config.sections import LISTS, MASKED_KEYS, SECRET_KEYS, SECTIONS

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def explain(detail: ErrorDetails, section: str, *, model: type[Section], origins: Mapping[str, str]) -> Problem:
    """Return one of pydantic's findings in our words, without the value where it may be secret."""
    key = section + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"])
    value, kind = detail["input"], detail["type"]
    context = detail.get("ctx", {})
    if kind == "missing":
        return missing_key(key)
    if kind == "extra_forbidden":
        return Problem(key, "is unknown", remedy=_unknown_remedy(section, model, detail["loc"]), unknown=True)
    shown = ""
    if isinstance(value, SecretFile):
        key, shown = f"{key}_file", show_path(value.path) if isinstance(value.path, str) else ""
    elif key.endswith("_file") and isinstance(value, str):
        shown = show_path(value)
    elif key.rpartition(".")[2] not in MASKED_KEYS and not isinstance(value, dict):
        shown = show_value(value)
    what, remedy, absent = _judge(kind, context, detail["msg"], value)
    origin = origins.get(key) or origins.get(section, "")
    return Problem(key, what, remedy=remedy, value=shown, origin=origin, absent=absent)


def unknown_section(name: str) -> Problem:
    """Return the problem of a table that syncd does not know, or of a key above the first table."""
    known = {*SECTIONS, *LISTS}
    meant = suggest(name, known)
    homes = _homes(name)
    way_out = (
        f"did you mean {meant or homes}?" if meant or homes else f"remove it; known are {', '.join(sorted(known))}"
    )
    return Problem(name, "is no section of the configuration", remedy=way_out, unknown=True)


def _judge(kind: str, context: dict[str, object], message: str, value: object) -> tuple[str, str, bool]:
    """Return what is wrong, the way out, and whether the value is missing rather than wrong."""
    if isinstance(refusal := context.get("error"), Refused):
        return refusal.what, refusal.remedy, isinstance(refusal, Absent)
    match kind:
        case "literal_error":
            expected = str(context["expected"])
            meant = suggest(value, re.findall(r"'([^']*)'", expected)) if isinstance(value, str) else ""
            return f"is none of {expected}", f"did you mean '{meant}'?" if meant else "choose one of them", False
        case "string_type":
            return "must be text", "write it in quotes", False
        case "int_type" | "int_from_float":
            return "must be a whole number", "write digits without quotes", False
        case "bool_type":
            return "must be true or false", "write it without quotes", False
        case "greater_than_equal":
            return f"is less than {context['ge']}", f"use {context['ge']} or more", False
        case "less_than_equal":
            return f"is more than {context['le']}", f"use {context['le']} or less", False
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a table", "write its name in brackets with its keys below", False
        case "tuple_type":
            return "must be a list of tables", "write its name in double brackets above each of them", False
        case _:
            return message[:1].lower() + message[1:], "correct the value", False


def missing_key(key: str) -> Problem:
    """Return the problem of a key that must be set and is not."""
    variable = layers.PREFIX + key.replace(".", "__").upper()
    section, _, name = key.partition(".")
    if "[" in section:
        return Problem(key, "is missing", remedy="add it to that entry", absent=True)
    also = f", or {name}_file" if name in SECRET_KEYS.get(section, ()) else ""
    return Problem(key, "is missing", remedy=f"set it in [{section}] or as {variable}{also}", absent=True)


def _homes(name: str) -> str:
    """Return where a key of that name lives."""
    return " or ".join(f"{home}.{name}" for home, model in SECTIONS.items() if name in _key_names(home, model))


def _key_names(section: str, model: type[Section]) -> set[str]:
    return {*model.model_fields, *(f"{key}_file" for key in SECRET_KEYS.get(section, ()))}


def _unknown_remedy(section: str, model: type[Section], loc: tuple[int | str, ...]) -> str:
    known = _key_names(section, model)
    for part in loc[:-1]:
        inner = model.model_fields[part].annotation if isinstance(part, str) else None
        if isinstance(inner, type) and issubclass(inner, Section):
            known = set(inner.model_fields)
    name = str(loc[-1])
    if meant := suggest(name, known):
        return f"did you mean {meant}?"
    if homes := _homes(name):
        return f"did you mean {homes}?"
    return f"remove it; known are {', '.join(sorted(known))}"

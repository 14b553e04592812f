"""The JSON Schema of a settings file, made from the settings classes: for editors, and for checks before a deployment.

It says which keys there are, of which types, and what they default to. What needs more than a look at the single value
(a CEL expression, a file, two keys that exclude each other) is found by ``syncd check``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic_core import PydanticUndefined

from syncd.config.base import Parsed, Section
from syncd.config.sections import LISTS, SECRET_KEYS, SECTIONS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LISTED = {
    "licences": "Licences by group; the first counts.",
    "privileges": "What the members of a group may do in an application, a process or a form type.",
}


def make_schema() -> dict[str, Any]:
    """Return the schema of a whole file."""
    definitions: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        properties[name] = _make_section(name, section, definitions)
    for name, (entry, _) in LISTS.items():
        made = _make_model(entry, definitions)
        properties[name] = {"type": "array", "items": made, "description": _LISTED[name]}
    return {
        "$schema": DIALECT,
        "title": "Settings of syncd",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": definitions,
    }


def _make_section(name: str, section: type[Section], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a section. None of its keys is required: the environment may have them."""
    found = _make_model(section, definitions)
    found.pop("required", None)
    for key in sorted(SECRET_KEYS.get(name, ())):
        found["properties"][f"{key}_file"] = {
            "type": "string",
            "description": f"A file that holds {name}.{key}; read again when it changes.",
        }
    return found


def _make_model(section: type[Section], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of one class; what is defined within it stands with the definitions of the file."""
    schema = section.model_json_schema(ref_template="#/$defs/{model}")
    nested = schema.pop("$defs", {})
    models = {each.__name__: each for each in _find_nested(section)}
    definitions.update({name: _tidy(made, models.get(name)) for name, made in nested.items()})
    return _tidy(schema, section)


def _find_nested(section: type[Section]) -> Iterator[type[Section]]:
    for field in section.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section):
                yield kind
                yield from _find_nested(kind)


def _tidy(schema: dict[str, Any], section: type[Section] | None) -> dict[str, Any]:
    """Return a schema with defaults as a file has them, and without null, which TOML does not know."""
    for name, found in schema.get("properties", {}).items():
        found.pop("default", None)
        found.pop("title", None)
        kinds = [kind for kind in found.pop("anyOf", ()) if kind != {"type": "null"}]
        found.update(kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})
        field = None if section is None else section.model_fields[name]
        default = None if field is None else field.get_default(call_default_factory=True)
        if field and default is not None and default is not PydanticUndefined and not isinstance(default, Section):
            shown = [each.show(default) for each in field.metadata if isinstance(each, Parsed)]
            plain = shown[0] if shown else default
            found["default"] = list(plain) if isinstance(plain, tuple) else plain
    schema.pop("title", None)
    return schema

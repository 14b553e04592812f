"""Every document that a test reads is compared with the schema of its command, and may have no key beside it.

The published schemas allow further keys, since later versions may add some; this one
prints only what it declares.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from jsonschema import Draft202012Validator

from syncd.cli.documents.catalogue import DOCUMENTS, make_schema


def find_document(arguments: Sequence[str]) -> str:
    """Return whose document a command line prints."""
    words = [word for word in arguments if not word.startswith("-")]
    first = next((place for place, word in enumerate(words) if word in DOCUMENTS), 0)
    name = "runs show" if words[first : first + 2] == ["runs", "show"] else words[first]
    option = next((word for word in arguments if f"{name} {word}" in DOCUMENTS and word.startswith("-")), "")
    return f"{name} {option}".strip()


def check_document(arguments: Sequence[str], document: Any) -> None:
    """Fail where a document is not as declared."""
    name = find_document(arguments)
    assert name in DOCUMENTS, f"the document of 'syncd {name}' is not declared in syncd/cli/documents"
    wrong = [f"{error.json_path}: {error.message}" for error in make_validator(name).iter_errors(document)]
    assert wrong == [], f"syncd {name} --json is not as syncd/cli/documents declares it"


@functools.cache
def make_validator(name: str) -> Draft202012Validator:
    """Return what validates a document, without room for further keys."""
    return Draft202012Validator(_close(make_schema(name)))


def _close(schema: Any) -> Any:
    """Return a schema whose objects have the declared keys and no others."""
    if isinstance(schema, list):
        return [_close(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _close(value) for key, value in schema.items()}
    return {**closed, "additionalProperties": False} if isinstance(schema.get("properties"), dict) else closed

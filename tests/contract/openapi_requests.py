"""A client that is generated from an API document: valid requests to each operation, with values that mean something.

It knows nothing of syncd and of the imitation. Ids come from a pool of what is there and what is not, all else from the
schemas. The same seed makes the same requests.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

_WORDS = ("Clerk", "Żółć & Söhne", "a 'b' \"c\" <d>", "x" * 255, "日本語", " ")
_MOMENTS = ("2026-03-01T00:00:00Z", "2026-04-01T12:30:00+02:00", "2020-01-01T00:00:00")
_DEEP = 6


@dataclass(frozen=True, slots=True)
class Generated:
    """One request. ``path`` is encoded, and begins as the document's paths do."""

    method: str
    template: str
    path: str
    query: Mapping[str, str]
    body: object = None


class Generator:
    """Makes requests.

    ``pool`` has, by a pattern, what a value may be: the first pattern that is found in the operation, the place and the
    names down to the value, such as ``POST /admin/group/members/add body.members.bpsId``.
    """

    def __init__(self, document: Mapping[str, Any], pool: Mapping[str, Sequence[object]], *, seed: int) -> None:
        self._document = document
        self._pool = pool
        self._chance = random.Random(seed)
        self._full = False
        """Whether the body in hand has everything, or some of it is left out and null."""

    def list_requests(self, each: int) -> Iterator[Generated]:
        """Yield so many requests to each operation, in any order."""
        operations = [
            (method, template)
            for template, methods in self._document["paths"].items()
            for method in methods
            for _ in range(each)
        ]
        self._chance.shuffle(operations)
        for method, template in operations:
            yield self._make(method, template, self._document["paths"][template][method])

    def _make(self, method: str, template: str, operation: Mapping[str, Any]) -> Generated:
        path, query, where = template, dict[str, str](), f"{method.upper()} {template}"
        for parameter in operation.get("parameters", ()):
            name, place = parameter["name"], parameter["in"]
            if place == "query" and not parameter.get("required") and self._chance.random() < 0.5:
                continue
            value = str(self._make_value(parameter["schema"], f"{where} {place}.{name}", 0))
            if place == "path":
                path = path.replace(f"{{{name}}}", quote(value, safe=""))
            elif place == "query":
                query[name] = value
        body, self._full = None, self._chance.random() < 0.6
        if wanted := operation.get("requestBody"):
            body = self._make_value(wanted["content"]["application/json"]["schema"], f"{where} body", 0)
        return Generated(method.upper(), template, path, query, body)

    def _make_value(self, schema: Mapping[str, Any], name: str, deep: int) -> Any:
        chance, pooled = self._chance, self._find_pool(name)
        if reference := schema.get("$ref"):
            return self._make_value(self._document["components"]["schemas"][reference.rpartition("/")[2]], name, deep)
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self._make_value(chance.choice(options), name, deep)
        if parts := schema.get("allOf"):
            merged: dict[str, Any] = {}
            for part in parts:
                merged |= self._make_value(part, name, deep)
            return merged
        kinds = schema.get("type", "object")
        kind = (
            kinds
            if isinstance(kinds, str)
            else chance.choice([each for each in kinds if not self._full or each != "null"])
        )
        if "enum" in schema:
            return chance.choice(schema["enum"])
        match kind:
            case "null":
                return None
            case "boolean":
                return chance.random() < 0.5
            case "integer" | "number":
                return chance.choice(pooled or (0, 1, 5))
            case "string":
                return str(chance.choice(pooled)) if pooled else self._make_text(schema.get("format", ""))
            case "array":
                number = 0 if deep > _DEEP else chance.randint(int(self._full), 2)
                return [self._make_value(schema["items"], name, deep + 1) for _ in range(number)]
        return {
            key: self._make_value(value, f"{name}.{key}", deep + 1)
            for key, value in schema.get("properties", {}).items()
            if key in schema.get("required", ()) or (deep <= _DEEP and (self._full or chance.random() < 0.7))
        }

    def _make_text(self, form: str) -> str:
        if form == "date-time":
            return self._chance.choice(_MOMENTS)
        return str(uuid.UUID(int=self._chance.getrandbits(128))) if form == "uuid" else self._chance.choice(_WORDS)

    def _find_pool(self, name: str) -> Sequence[Any]:
        return next((pooled for pattern, pooled in self._pool.items() if re.search(pattern, name)), ())

"""Checks requests and answers against WEBCON's API document.

The document is third-party material and not part of this repository: its path is in SYNCD_WEBCON_OPENAPI, or, where
several files have a part of it each, their paths, separated as in PATH. Tests that need it call ``load_contract`` and
are skipped where the variable is unset; others hand a ``Judge`` to the imitation portal, which then has nothing to
say.

Two things in the document are mended when it is loaded: enumerations say ``"type": "String"``, and ``nullable`` is not
a JSON Schema word. A licence is described by ``anyOf`` beside ``additionalProperties: false``, which no value with
settings could ever fulfil; the outer restriction is dropped there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest

VARIABLE = "SYNCD_WEBCON_OPENAPI"
_ERROR = {"$ref": "#/components/schemas/WebCon.BPSCloud.Core.PublicApi.Exceptions.ApiErrorResponse"}
_LICENCE_TYPE = "5.0.NewLicenses.LicenseType"
# Statuses that the document names for no or few routes, but the API's error page does for all.
_GENERAL_ERRORS = frozenset({400, 402, 404, 415, 423, 429, 500, 502, 503, 504})
# Answers that nobody has seen and the document does not name, but that a server may well give. Taking somebody out of a
# group who is no member of it is 200 or, as with owners, where the document says so, 409: syncd must live with both, so
# the imitation can be switched to the second. Of the list of applications the document forgets the missing scope.
_POSSIBLE_ERRORS = frozenset({("POST", "members/remove", 409), ("GET", "1/applications", 403)})


class ContractBroken(AssertionError):
    """A request or answer does not fit the document; the message says where."""


class WebconContract:
    """WEBCON's API document, ready to judge. Paths are those behind the portal's own path (``/api/data/v6.0/…``)."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        mended: dict[str, Any] = _mend(document)
        self.document = mended
        self._root = {"components": mended["components"]}
        self._paths: dict[str, Any] = mended["paths"]

    def knows(self, method: str, path: str) -> bool:
        """Return whether the document has such an operation."""
        try:
            self._operation(method, path)
        except ContractBroken:
            return False
        return True

    def covers(self, path: str) -> bool:
        """Return whether the document is about that part of the API: places and privileges may be in another file."""
        places = path.startswith("/api/data/v6.0/db/")
        return not places or any(template.startswith("/api/data/v6.0/db/") for template in self._paths)

    def validate_request(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> None:
        """Raise ContractBroken when such a request is not in the document: route, query names and values, body."""
        operation = self._operation(method, path)
        declared = {p["name"]: p for p in operation.get("parameters", []) if p["in"] == "query"}
        for name in query.keys() - declared.keys():
            raise ContractBroken(f"{method} {path}: the query parameter {name!r} is not in the document")
        for name, parameter in declared.items():
            if parameter.get("required") and not query.get(name):
                raise ContractBroken(f"{method} {path}: the query parameter {name!r} is missing")
            if name in query and parameter["schema"].get("type") == "integer" and not query[name].isdecimal():
                raise ContractBroken(f"{method} {path}: {name}={query[name]!r} is not a number")
        wanted = operation.get("requestBody")
        if wanted is None:
            if body:
                raise ContractBroken(f"{method} {path}: no body is expected")
            return
        self._check(json.loads(body), wanted["content"]["application/json"]["schema"], f"{method} {path} request")

    def validate_response(self, method: str, path: str, status: int, body: bytes) -> None:
        """Raise ContractBroken when such an answer is not in the document: status, empty or filled, shape."""
        responses = self._operation(method, path)["responses"]
        where = f"{method} {path} answer {status}"
        documented = responses.get(str(status))
        possible = (method, "/".join(path.split("/")[-2:]), status) in _POSSIBLE_ERRORS
        if documented is None and status not in _GENERAL_ERRORS and not possible:
            raise ContractBroken(f"{where}: the status is not in the document")
        if documented is None:
            self._check(json.loads(body), _ERROR, where)
            return
        content = documented.get("content")
        if not content and body and status >= 400:  # the API's page on errors gives all of them the same form
            self._check(json.loads(body), _ERROR, where)
            return
        if not content:
            # A new substitution's answer is described as its id, without a schema: it has a body nevertheless.
            if body and not documented.get("description", "").removesuffix(".").endswith(" id"):
                raise ContractBroken(f"{where}: an empty body is expected")
            return
        self._check(json.loads(body), next(iter(content.values()))["schema"], where)

    def _operation(self, method: str, path: str) -> Any:
        for template, operations in sorted(self._paths.items(), key=lambda item: "{" in item[0]):
            pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template))
            if re.fullmatch(pattern, unquote(path)) and method.lower() in operations:
                return operations[method.lower()]
        raise ContractBroken(f"{method} {path}: there is no such operation in the document")

    def _check(self, value: object, schema: Mapping[str, Any], where: str) -> None:
        try:
            jsonschema.Draft202012Validator({**self._root, **schema}).validate(value)
        except jsonschema.ValidationError as error:
            raise ContractBroken(f"{where}: {error.message} at {list(error.absolute_path)}") from error


class Judge:
    """An observer of the imitation portal that compares what passes with WEBCON's document, where that is at hand.

    ``broken``: what did not fit, a line each. ``seen``: every request with its status, judged or not, as
    ``POST /admin/users 200``. ``only_answers``: requests are wrong on purpose, and so may be their routes.
    ``licence_types``: the types that this portal offers. The document of 2024 lists five; later portals have others,
    which are judged as types that it lists.
    """

    def __init__(self, *, only_answers: bool = False, licence_types: tuple[str, ...] = ()) -> None:
        self.contract = find_contract(licence_types)
        self.judged = 0
        self.broken: list[str] = []
        self.seen: list[str] = []
        self._only_answers = only_answers

    def __call__(self, method: str, path: str, query: dict[str, str], body: bytes, status: int, answer: bytes) -> None:
        """Judge one request and its answer."""
        self.seen.append(f"{method} {path.removeprefix('/api/data/v6.0')} {status}")
        if self.contract is None or not self.contract.covers(path):
            return
        if self._only_answers and not self.contract.knows(method, path):
            return
        self.judged += 1
        try:
            if not self._only_answers:
                self.contract.validate_request(method, path, query, body)
            self.contract.validate_response(method, path, status, answer)
        except ContractBroken as error:
            self.broken.append(str(error))


def load_contract() -> WebconContract:
    """Return the document of SYNCD_WEBCON_OPENAPI, or skip the test with a line saying what was not tested."""
    contract = find_contract()
    if contract is None:
        pytest.skip(f"WEBCON's API document was not compared: {VARIABLE} is unset")
    return contract


def find_contract(licence_types: tuple[str, ...] = ()) -> WebconContract | None:
    """Return the document of SYNCD_WEBCON_OPENAPI, or None where the variable is unset; see ``Judge`` for the types."""
    paths = os.environ.get(VARIABLE, "")
    return _load(paths, licence_types) if paths else None


@cache
def _load(paths: str, licence_types: tuple[str, ...]) -> WebconContract:
    whole: dict[str, Any] = {"paths": {}, "components": {"schemas": {}}}
    for path in paths.split(os.pathsep):
        part = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        whole["paths"] |= part["paths"]
        whole["components"]["schemas"] |= part["components"]["schemas"]
    listed = whole["components"]["schemas"][_LICENCE_TYPE]["enum"]
    whole["components"]["schemas"][_LICENCE_TYPE]["enum"] = [*dict.fromkeys([*listed, *licence_types])]
    return WebconContract(whole)


def _mend(node: Any) -> Any:
    if isinstance(node, list):
        return [_mend(item) for item in node]
    if not isinstance(node, dict):
        return node
    mended = {key: _mend(value) for key, value in node.items() if key != "nullable"}
    if mended.get("type") == "String":
        mended["type"] = "string"
        mended.pop("format", None)
    if "anyOf" in mended:
        mended.pop("additionalProperties", None)
    if node.get("nullable") is True and isinstance(mended.get("type"), str):
        mended["type"] = [mended["type"], "null"]
    return mended

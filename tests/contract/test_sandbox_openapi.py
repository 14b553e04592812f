"""The imitation portal's answers, and requests to it, fit WEBCON's API document."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from syncd.sandbox.server import SandboxOptions
from tests.contract.openapi import ContractBroken, Judge, WebconContract, load_contract
from tests.contract.openapi_requests import Generator
from tests.contract.sandbox_client import open_client

_DOCUMENT: dict[str, Any] = {
    "paths": {
        "/api/things/{id}": {
            "patch": {
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "size", "in": "query", "schema": {"type": "integer"}},
                ],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
                "responses": {
                    "200": {"description": "done"},
                    "400": {"description": "an error without a schema"},
                    "409": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Thing": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "nullable": True},
                    "kind": {"type": "String", "format": "int32", "enum": ["A", "B"]},
                },
                "additionalProperties": False,
            },
            "WebCon.BPSCloud.Core.PublicApi.Exceptions.ApiErrorResponse": {
                "type": "object",
                "properties": {"type": {"type": "string"}},
                "additionalProperties": False,
            },
        }
    },
}


def test_the_judge_accepts_what_fits() -> None:
    """Nullable values, mended enumerations, encoded paths and empty answers are fine."""
    judge = WebconContract(_DOCUMENT)
    judge.validate_request("PATCH", "/api/things/a%40b", {"size": "5"}, b'{"name": null, "kind": "A"}')
    judge.validate_response("PATCH", "/api/things/a@b", 200, b"")
    judge.validate_response("PATCH", "/api/things/a@b", 409, b'{"name": "x"}')
    judge.validate_response("PATCH", "/api/things/a@b", 400, b"")
    judge.validate_response("PATCH", "/api/things/a@b", 400, b'{"type": "InvalidInput"}')


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("GET", "/api/things/1", {}, b""),
        ("PATCH", "/api/other", {}, b"{}"),
        ("PATCH", "/api/things/1", {"colour": "red"}, b"{}"),
        ("PATCH", "/api/things/1", {"size": "big"}, b"{}"),
        ("PATCH", "/api/things/1", {}, b'{"kind": "C"}'),
        ("PATCH", "/api/things/1", {}, b'{"weight": 1}'),
    ],
)
def test_the_judge_refuses_what_does_not_fit(method: str, path: str, query: dict[str, str], body: bytes) -> None:
    """Unknown operations, query parameters and properties, and values outside their type."""
    with pytest.raises(ContractBroken):
        WebconContract(_DOCUMENT).validate_request(method, path, query, body)


@pytest.mark.parametrize(
    ("status", "body"), [(200, b'"text"'), (418, b"{}"), (409, b'{"weight": 1}'), (400, b'{"weight": 1}')]
)
def test_the_judge_refuses_odd_answers(status: int, body: bytes) -> None:
    """Bodies where none belongs, undocumented statuses, wrong shapes."""
    with pytest.raises(ContractBroken):
        WebconContract(_DOCUMENT).validate_response("PATCH", "/api/things/1", status, body)


async def test_a_whole_session_fits_the_document(tmp_path: Path) -> None:
    """Each operation of the imitation portal, in both spellings, is asked and answered as the document says."""
    load_contract()
    judge = Judge()
    async with open_client(SandboxOptions(users=0, groups=0, memberships=0), tmp_path) as client:
        client.sandbox.portal_service.observer = judge
        portal = client.portal
        anna, bert, group = "anna@x.example", "bert@x.example", "g@groups.example"
        for bps_id in (anna, bert):
            await portal("POST", "/admin/users", {"bpsId": bps_id, "name": "A", "email": bps_id, "managerBpsId": None})
        await portal("POST", "/admin/users", {"bpsId": anna, "name": "A", "email": anna})
        await portal("PATCH", "/admin/user", {"jobTitle": "Clerk", "managerBpsId": bert}, bpsId=anna)
        await portal("PATCH", "/admin/users/nobody%40x.example", {"jobTitle": "Clerk"})
        await portal("GET", "/admin/users", size="5", page="0")
        await portal("GET", "/admin/user", bpsId=anna)
        await portal("GET", "/admin/users/anna%40x.example")
        await portal(
            "POST", "/admin/groups", {"bpsId": group, "name": "G", "email": group, "members": [], "owners": []}
        )
        await portal("POST", "/admin/groups", {"bpsId": group, "name": "G", "email": group})
        await portal("PATCH", "/admin/group", {"name": "H"}, bpsId=group)
        for relation in ("members", "owners"):
            body = {relation: [{"bpsId": anna}]}
            await portal("POST", f"/admin/group/{relation}/add", body, bpsId=group)
            await portal("GET", "/admin/group", bpsId=group)
            await portal("POST", f"/admin/groups/g%40groups.example/{relation}/remove", body)
            await portal("POST", f"/admin/group/{relation}/add", {relation: [{"bpsId": "no@x.example"}]}, bpsId=group)
        await portal("GET", "/admin/groups")
        licences = [
            {"type": "PowerUser"},
            {"type": "DesignerDeskUser", "designerDeskSettings": {"allowDesignerDeskProjectCreation": True}},
        ]
        await portal("POST", "/admin/licenses/assign", {"assignLicenses": [{"bpsId": anna, "licenses": licences}]})
        for path in ("/admin/licenses", "/admin/licenses/summary", "/admin/licenses/anna%40x.example", "/me"):
            await portal("GET", path)
        substitution = {
            "originalPerson": {"bpsId": anna},
            "substitutePerson": {"bpsId": bert},
            "startDate": "2026-03-01T00:00:00Z",
            "endDate": "2026-04-01T00:00:00Z",
            "type": "TaskDelegation",
            "activeApplications": {"allApplications": True},
        }
        await portal("POST", "/admin/substitutions", substitution)
        await portal("GET", "/admin/substitutions", originalPerson=anna)
        await portal("GET", "/admin/substitutions/1")
        await portal("PATCH", "/admin/substitutions/1", substitution)
        await portal("DELETE", "/admin/substitutions/1")
        await portal("GET", "/admin/db/1/businessentities")
        for path in ("applications", "applications/11", "applications/11/processes", "processes/11", "applications/99"):
            await portal("GET", f"/db/1/{path}")
        for path in ("processes/11/workflows", "processes/11/formtypes", "workflows/11/associatedFormTypes"):
            await portal("GET", f"/db/1/{path}")
        for path in ("applications/11", "processes/11", "workflows/11/associatedFormTypes/11"):
            one = {"bpsId": group, "level": "ReadOnly"}
            for verb in ("add", "remove"):
                await portal("POST", f"/db/1/{path}/admin/privileges/{verb}", one)
                await portal("GET", f"/db/1/{path}/admin/privileges")
        await portal("POST", "/db/1/processes/11/admin/privileges/add", {**one, "company": {"guid": "x"}})
        await portal("DELETE", "/admin/group", bpsId=group)
        await portal("DELETE", "/admin/user", bpsId=anna)
        await portal("DELETE", "/admin/users/anna%40x.example")
        client.tokens["portal"] = "worthless"
        await portal("GET", "/admin/users")
    assert judge.broken == []
    assert len(set(judge.seen)) >= 30


NOT_IMITATED = {
    "POST /api/data/v6.0/db/{dbId}/elements",
    "GET /api/data/v6.0/admin/db/{dbId}/businessentities/{idguid}",
}
EACH = 15
PEOPLE = [f"p{number}@x.example" for number in range(50)]
GROUPS = [f"g{number}@grp.example" for number in range(50)]
POOL: dict[str, list[object]] = {
    r"POST \S+/admin/users body\.bpsId": [f"new{number}@x.example" for number in range(50)],
    r"POST \S+/admin/groups body\.bpsId": [f"new{number}@grp.example" for number in range(50)],
    r"(group\S*|privileges/\w+) (path|query|body)\.bpsId": [*GROUPS, "nothing@grp.example"],
    r"[bB]psId$|originalPerson$": [*PEOPLE, "nobody@x.example"],
    r"email$": ["a@x.example"],
    r"name$": ["Clerk", "Żółć & Söhne"],
    r"startDate": ["2026-03-01T00:00:00Z"],
    r"endDate": ["2026-04-01T00:00:00Z"],
    r"dbId$": [1, 1, 1, 2],
    r"(guid|applications\.id|processes\.id|company\.id)$": [11, 11, 12, 99],
    r"\bid$": list(range(1, 25)),
    r"size$": [1, 5],
    r"page$": [0, 1],
}


async def test_a_client_generated_from_the_document_finds_no_answer_that_does_not_fit(tmp_path: Path) -> None:
    """Valid requests to each of its operations, of what is there and what is not: each is answered as it says.

    And by success at some time, so that the answers which matter were judged; what is not imitated says 404.
    """
    contract, judge, answered = load_contract(), Judge(), dict[str, set[int]]()
    async with open_client(SandboxOptions(users=6, groups=3, memberships=6), tmp_path) as client:
        for kind, ids in (("users", PEOPLE), ("groups", GROUPS)):
            for bps_id in ids:
                await client.portal("POST", f"/admin/{kind}", {"bpsId": bps_id, "name": "A", "email": bps_id})
        for number in range(20):
            original, substitute = ({"bpsId": bps_id} for bps_id in PEOPLE[2 * number : 2 * number + 2])
            wanted = {"originalPerson": original, "substitutePerson": substitute, "type": "TaskDelegation"}
            wanted |= {"startDate": "2026-03-01T00:00:00Z", "endDate": "2026-04-01T00:00:00Z"}
            wanted["activeApplications"] = {"allApplications": True}
            await client.portal("POST", "/admin/substitutions", wanted)
        client.sandbox.portal_service.observer = judge
        for asked in Generator(contract.document, POOL, seed=1).list_requests(EACH):
            path = f"{asked.path.removeprefix('/api/data/v6.0')}?{urlencode(asked.query)}".removesuffix("?")
            reply = await client.portal(asked.method, path, asked.body)
            answered.setdefault(f"{asked.method} {asked.template}", set()).add(reply.status)
    assert judge.broken == []
    assert judge.judged == EACH * len(answered) > 800
    assert {name: found for name, found in answered.items() if max(found) >= 500} == {}
    failed = {name: found for name, found in answered.items() if min(found) >= 300}
    assert failed == {name: {404} for name in NOT_IMITATED}

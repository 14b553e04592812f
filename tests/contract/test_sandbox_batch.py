"""The imitation Graph's batches: dependencies, and everything that makes a batch a bad request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.wire.faults import Fault
from tests.contract.sandbox_client import Client, Reply, open_client

ONE: dict[str, Any] = {"id": "1", "method": "GET", "url": "/groups?$top=1"}
TYPED = {"Content-Type": "application/json"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_client(SandboxOptions(users=30, groups=14, memberships=60), tmp_path) as opened:
        yield opened


async def send(client: Client, *requests: object) -> Reply:
    """Send a batch of those requests."""
    return await client.graph("/$batch", method="POST", body={"requests": list(requests)})


def statuses(reply: Reply) -> dict[str, int]:
    """Return the status of each part, by its id."""
    return {part["id"]: part["status"] for part in reply.json["responses"]}


async def test_a_part_that_depends_on_a_failed_one_answers_424(client: Client) -> None:
    """And so does what depends on that one; what depends on a part that went well is answered."""
    chain = [
        {"id": "a", "method": "GET", "url": "/users/nobody"},
        {"id": "b", "method": "GET", "url": "/users?$top=1", "dependsOn": ["A"]},
        {"id": "c", "method": "GET", "url": "/users?$top=1", "dependsOn": ["b"]},
        {"id": "d", "method": "GET", "url": "/users?$top=1"},
        {"id": "e", "method": "GET", "url": "/users?$top=1", "dependsOn": ["d"]},
    ]
    reply = await send(client, *chain)
    assert reply.status == 200
    assert statuses(reply) == {"a": 404, "b": 424, "c": 424, "d": 200, "e": 200}
    (body,) = [part["body"] for part in reply.json["responses"] if part["id"] == "b"]
    assert body["error"]["code"] == "FailedDependency"


async def test_a_throttled_part_fails_those_that_depend_on_it(client: Client) -> None:
    """A fault is a failure like any other, and the dependent part is not sent at all."""
    client.sandbox.faults.add(Fault("status", side="batch", path="/groups", status=429))
    watched = client.sandbox.faults.add(Fault("status", side="batch", path="/users", status=500))
    reply = await send(client, ONE, {"id": "2", "method": "GET", "url": "/users", "dependsOn": ["1"]})
    assert statuses(reply) == {"1": 429, "2": 424}
    assert watched.hits == 0


@pytest.mark.parametrize(
    "requests",
    [
        [{**ONE, "id": "x"}, {**ONE, "id": "X"}],
        [{**ONE, "id": ""}],
        [{**ONE, "id": 1}],
        [{**ONE, "id": None}],
        [{"id": "1", "url": "/users"}],
        [{**ONE, "method": "BREW"}],
        [{**ONE, "method": 7}],
        [{**ONE, "url": ""}],
        [{**ONE, "url": "/"}],
        [{**ONE, "url": None}],
        [{**ONE, "headers": ["ConsistencyLevel", "eventual"]}],
        [{**ONE, "headers": []}],
        [{**ONE, "headers": "eventual"}],
        [{**ONE, "headers": {"ConsistencyLevel": 1}}],
        [{**ONE, "dependsOn": "1"}],
        [{**ONE, "dependsOn": [1]}],
        [{**ONE, "dependsOn": {}}],
        [{**ONE, "dependsOn": ["1"]}],
        [{**ONE, "dependsOn": ["2"]}, {**ONE, "id": "2"}],
        [{**ONE, "body": {}}],
        [{**ONE, "method": "POST", "body": {}}],
        [{**ONE, "method": "POST", "headers": TYPED}],
        ["GET /users"],
        [None],
        [],
        [{**ONE, "id": str(number)} for number in range(21)],
    ],
)
async def test_a_malformed_batch_is_a_bad_request(client: Client, requests: list[object]) -> None:
    """As a whole: no part of it is answered."""
    reply = await send(client, *requests)
    assert (reply.status, reply.code) == (400, "BadRequest")


@pytest.mark.parametrize("body", [None, [], 7, {}, {"requests": None}, {"requests": {"id": "1"}}, {"request": [ONE]}])
async def test_a_batch_that_is_no_list_of_requests_is_a_bad_request(client: Client, body: object) -> None:
    """Whatever JSON it is."""
    assert (await client.graph("/$batch", method="POST", body=body)).status == 400


@pytest.mark.parametrize(
    ("url", "segment"), [("https://graph.microsoft.com/v1.0/users", "https:"), ("/v1.0/users", "v1.0")]
)
async def test_an_absolute_url_fails_that_part_alone(client: Client, url: str, segment: str) -> None:
    """Its beginning is taken for the name of a resource."""
    reply = await send(client, {**ONE, "url": url}, {**ONE, "id": "2"})
    assert statuses(reply) == {"1": 400, "2": 200}
    (body,) = [part["body"] for part in reply.json["responses"] if part["id"] == "1"]
    assert body["error"]["message"] == f"Resource not found for the segment '{segment}'."


async def test_a_part_may_post_and_may_not_hold_a_batch(client: Client) -> None:
    """With Content-Type and body; a batch in a batch is refused alone."""
    user = next(client.sandbox.directory.active_users())
    post = {"id": "1", "method": "POST", "url": "/directoryObjects/getByIds", "headers": TYPED}
    inner = {"id": "2", "method": "POST", "url": "/$batch", "headers": TYPED, "body": {"requests": [ONE]}}
    reply = await send(client, {**post, "body": {"ids": [user.id]}}, inner)
    assert statuses(reply) == {"1": 200, "2": 400}

"""The imitation Graph's replicas: reads that are behind what delta tells, each kind alone, and refused counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.tenant.replicas import READS
from syncd.sandbox.wire.knobs import turn_knobs
from tests.contract.sandbox_client import Client, Reply, open_client

EVENTUAL = {"ConsistencyLevel": "eventual"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_client(SandboxOptions(users=30, groups=14, memberships=60), tmp_path) as opened:
        yield opened


class Story:
    """A person who is disabled, renamed and taken out of a group, and one who is hired, after something was frozen."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.directory = client.sandbox.directory
        self.person = self.directory.hire("Anna", "anna@nordwind.example")
        self.group = self.directory.create_group({"displayName": "G"}, members=[self.person], owners=[self.person])
        self.newcomer = ""

    def go_on(self) -> None:
        """Let it happen."""
        self.directory.rename(self.person, display_name="Anne", upn="anne@nordwind.example")
        self.directory.disable(self.person)
        self.directory.remove_member(self.group, self.person)
        self.newcomer = self.directory.hire("Ben", "ben@nordwind.example", manager=self.person)

    async def read(self) -> dict[str, bool]:
        """Return for each kind of read whether it sees what has happened."""
        graph = self.client.graph
        people = {entry["id"] for entry in (await graph("/users?$select=id&$top=999")).json["value"]}
        members = (await graph(f"/groups/{self.group}/members?$select=id")).json["value"]
        single = (await graph(f"/users/{self.person}?$select=displayName,accountEnabled")).json
        found = [(await graph(f"/users/{key}")).status for key in (self.newcomer, "ben@nordwind.example")]
        count = int((await graph("/users/$count", headers=EVENTUAL)).body)
        asked = (await graph("/users?$top=1&$count=true", headers=EVENTUAL)).json["@odata.count"]
        assert (single["displayName"], single["accountEnabled"]) in (("Anna", True), ("Anne", False))
        assert found in ([200, 200], [404, 404])
        assert (single["displayName"] == "Anne") == (found == [200, 200])
        assert count == asked
        return {
            "lists": self.newcomer in people,
            "links": not members,
            "singles": single["displayName"] == "Anne",
            "counts": count == len(list(self.directory.active_users())),
        }


@pytest.mark.parametrize("frozen", READS)
async def test_each_kind_of_read_can_be_behind_alone(client: Client, frozen: str) -> None:
    """The others and delta tell the truth, and so does it when it is thawed."""
    story = Story(client)
    _, link = await client.round("/users/delta?$select=displayName,accountEnabled")
    client.sandbox.replicas.freeze(frozen)  # type: ignore[arg-type]
    story.go_on()
    assert await story.read() == {read: read != frozen for read in READS}
    told: dict[str, Any] = {entry["id"]: entry for entry in (await client.graph(link)).json["value"]}
    assert told[story.person]["displayName"] == "Anne"
    assert story.newcomer in told
    client.sandbox.replicas.thaw()
    assert await story.read() == dict.fromkeys(READS, True)


async def test_all_reads_are_frozen_and_thawed_together_when_none_is_named(client: Client) -> None:
    """Frozen again they see what has happened up to then."""
    story = Story(client)
    client.sandbox.replicas.freeze()
    story.go_on()
    assert await story.read() == dict.fromkeys(READS, False)
    client.sandbox.replicas.freeze()
    assert await story.read() == dict.fromkeys(READS, True)
    client.sandbox.replicas.thaw("links")
    assert client.sandbox.replicas.frozen == ("lists", "singles", "counts")


@pytest.mark.parametrize(
    ("happen", "target"),
    [
        (lambda story: story.directory.hard_delete(story.person), "/users/{person}"),
        (lambda story: story.directory.soft_delete(story.person), "/users/anna@nordwind.example"),
        (lambda story: story.directory.delete_group(story.group), "/groups/{group}/members?$select=id"),
        (lambda story: story.directory.delete_group(story.group), "/users/{person}/memberOf?$select=id"),
        (lambda story: story.directory.hard_delete(story.group), "/groups/{group}/owners/graph.user?$select=id"),
        (lambda story: story.directory.set_manager(story.person, None), "/users/{person}/manager"),
    ],
)
async def test_what_is_frozen_stays_whatever_happens(
    client: Client, happen: Callable[[Story], None], target: str
) -> None:
    """Deletions for good, links and managers among it: the answer is the very same."""
    story = Story(client)
    story.directory.set_manager(story.person, story.directory.users[0].id)
    target = target.format(person=story.person, group=story.group)
    client.sandbox.replicas.freeze()
    before = await client.graph(target)
    happen(story)
    after = await client.graph(target)
    assert (after.status, after.json) == (before.status, before.json)
    assert before.status == 200
    client.sandbox.replicas.thaw()
    assert (await client.graph(target)).body != before.body


async def control(client: Client, method: str, path: str, body: object = None) -> Reply:
    """Send a request to the control endpoint."""
    return await client.send(method, client.sandbox.control_url + path, body=body)


async def test_reads_are_frozen_from_outside(client: Client) -> None:
    """Named ones, all of them without a body, and what is frozen can be asked for."""
    assert (await control(client, "POST", "/freeze", {"reads": ["lists", "counts"]})).json == {
        "frozen": ["lists", "counts"]
    }
    assert (await control(client, "GET", "/freeze")).json == {"frozen": ["lists", "counts"]}
    assert (await control(client, "POST", "/thaw", {"reads": ["lists"]})).json == {"frozen": ["counts"]}
    assert (await control(client, "POST", "/freeze")).json == {"frozen": list(READS)}
    assert (await control(client, "POST", "/thaw")).json == {"frozen": []}
    for body in ({"reads": ["weather"]}, {"reads": "lists"}, {"reads": [1]}, {"read": ["lists"]}, ["lists"]):
        reply = await control(client, "POST", "/freeze", body)
        assert (reply.status, len(reply.json["problems"])) == (400, 1)


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "Request_BadRequest"), (403, "Authorization_RequestDenied"), (503, "UnknownError"), (504, "UnknownError")],
)
async def test_counts_can_be_refused_while_everything_else_answers(client: Client, status: int, code: str) -> None:
    """In the path and in the query, of every list, in a batch as well."""
    turn_knobs(client.sandbox.tenant_knobs, {"count_status": status})
    group = client.sandbox.directory.groups[0].id
    for target in ("/users/$count", "/groups/$count", f"/groups/{group}/members/$count", "/users?$count=true"):
        reply = await client.graph(target, headers=EVENTUAL)
        assert (reply.status, reply.code) == (status, code)
    for target in ("/users?$count=true", "/groups", f"/groups/{group}/members", "/users/delta?$select=id"):
        assert (await client.graph(target)).status == 200
    part = {"id": "1", "method": "GET", "url": "/users/$count", "headers": EVENTUAL}
    reply = await client.graph("/$batch", method="POST", body={"requests": [part]})
    assert [each["status"] for each in reply.json["responses"]] == [status]

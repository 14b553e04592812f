"""Subtypes of user, and entries that cannot be understood, as Graph's pages show them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from syncd.graph.wire.list_pages import ListParser, parse_references
from syncd.graph.wire.parse import parse_page, parse_user
from syncd.http import Response
from syncd.model.source import KIND, BadObject, GroupItem, ManagerSet, Stream, UserItem

SELECTED = ("accountEnabled", "displayName", "identityParentId", "userPrincipalName")
AGENT = {"@odata.type": "#microsoft.graph.agentUser"}
HUMAN: dict[str, Any] = {"id": "a1", "accountEnabled": True, "displayName": "Ann", "userPrincipalName": "ann@x.example"}
HELPER: dict[str, Any] = {**HUMAN, **AGENT, "id": "a2", "userPrincipalName": "helper@x.example"}


def answer(*entries: Any, **more: Any) -> Response:
    return Response(200, {}, msgspec.json.encode({"value": list(entries), **more}))


def read_list(*entries: Any, stream: Stream = "users") -> tuple[dict[str, dict[str, Any]], tuple[BadObject, ...]]:
    """Return the attributes by id, and what could not be read."""
    page = ListParser(stream, SELECTED).parse(answer(*entries))
    return {each.id: msgspec.to_builtins(each.attributes) for each in page.objects}, page.bad


def read_delta(*entries: Any, stream: Stream = "users") -> Any:
    link = {"@odata.deltaLink": "https://graph.example/v1.0/users/delta?$deltatoken=t1"}
    return parse_page(answer(*entries, **link), stream, selected=SELECTED)


def test_a_list_of_users_holds_accounts_of_agents() -> None:
    """They are users whose type is kept; a stated user is a plain one."""
    plain = {**HUMAN, "id": "a3", "@odata.type": "#microsoft.graph.user"}
    found, bad = read_list(HUMAN, HELPER, plain)
    assert bad == ()
    assert {key: values.get(KIND) for key, values in found.items()} == {"a1": None, "a2": "agentUser", "a3": None}


@pytest.mark.parametrize("entry", [HUMAN, HELPER, {**HUMAN, "identityParentId": "i1"}, {**HUMAN, **AGENT, "id": "A2"}])
def test_both_readings_of_a_list_say_the_same_of_subtypes(entry: dict[str, Any]) -> None:
    """Whether its page is read by types or, for the sake of a neighbour, entry by entry."""
    quick, _ = read_list({**entry, "id": entry["id"].lower()})
    slow, _ = read_list(entry, {**HUMAN, "id": 7})
    assert quick == slow


def test_a_type_that_nobody_knows_is_a_subtype_among_users_and_nothing_among_groups() -> None:
    """A derived type is always stated; what is known to be no user is none."""
    found, bad = read_list({**HUMAN, "@odata.type": "#microsoft.graph.robotUser"})
    assert found["a1"][KIND] == "robotUser"
    assert bad == ()
    for kind in ("group", "device", "servicePrincipal", "agentIdentity"):
        found, bad = read_list({**HUMAN, "@odata.type": f"#microsoft.graph.{kind}"})
        assert (found, bad[0].id) == ({}, "a1")
    found, bad = read_list({"id": "g1", "displayName": "G", "@odata.type": "#microsoft.graph.team"}, stream="groups")
    assert (found, bad[0].id) == ({}, "g1")


def test_a_page_of_delta_tells_of_agents() -> None:
    """With their managers, and that they are gone."""
    page = read_delta(
        {**HELPER, "manager@delta": [{"@odata.type": "#microsoft.graph.user", "id": "a1"}]},
        {**AGENT, "id": "a3", "@removed": {"reason": "changed"}},
    )
    assert page.bad == ()
    helper, gone = page.items
    assert (helper.id, helper.attributes[KIND], helper.manager) == ("a2", "agentUser", ManagerSet("a1"))
    assert gone == UserItem(id="a3", attributes={}, removed="changed")


def test_an_agent_that_is_read_directly_is_one() -> None:
    """Its type is stated there as well."""
    item = parse_user(answer_one(HELPER), selected=SELECTED)
    assert item.attributes[KIND] == "agentUser"
    assert KIND not in parse_user(answer_one(HUMAN), selected=SELECTED).attributes


def answer_one(entry: dict[str, Any]) -> Response:
    return Response(200, {}, msgspec.json.encode(entry))


@pytest.mark.parametrize(
    "entry",
    [
        {"displayName": 7},
        {"@odata.type": "#microsoft.graph.device"},
        {"accountEnabled": "perhaps"},
        {"manager@delta": "nobody"},
    ],
)
def test_that_somebody_is_removed_is_read_whatever_else_the_entry_has(entry: dict[str, Any]) -> None:
    """It is said for certain."""
    page = read_delta({"id": "a1", "@removed": {"reason": "brand new"}, **entry})
    assert page.items == (UserItem(id="a1", attributes={}, removed="changed"),)


def test_what_an_entry_states_for_certain_is_kept_with_it() -> None:
    """Whoever is disabled, or was taken out of a group, is so although the rest makes no sense."""
    (bad,) = read_delta({"id": "a1", "accountEnabled": False, "displayName": 7}).bad
    assert (bad.id, bad.disabled) == ("a1", True)
    gone = {"id": "a1", "@removed": {"reason": "deleted"}}
    (bad,) = read_delta({"id": "g1", "displayName": 7, "members@delta": [gone, {"id": "a2"}]}, stream="groups").bad
    assert bad.ended == (("members", "a1"),)
    (item,) = read_delta({"id": "g1", "@removed": {"reason": "x"}, "displayName": 7}, stream="groups").items
    assert item == GroupItem(id="g1", attributes={}, removed="changed")


def test_a_million_bad_entries_are_a_few_words_and_a_number() -> None:
    """Those without an id are counted by their reason."""
    page = read_delta(*[{}] * 1000, *[None] * 500, HUMAN)
    assert [(bad.id, bad.count) for bad in page.bad] == [("", 1000), ("", 500)]
    assert [item.id for item in page.items] == ["a1"]


def test_agents_are_reports_and_members_like_people() -> None:
    """In lists of what ties objects to others their type is a user's."""
    body = answer({"id": "a1", "@odata.type": "#microsoft.graph.user"}, {**AGENT, "id": "a2"}, {"id": "a3"}).body
    contact = {"@odata.type": "#microsoft.graph.orgContact", "id": "c1"}
    assert parse_references(body, only="user")[0] == ["a1", "a2"]
    assert parse_references(body)[0] == ["a1", "a2", "a3"]
    assert parse_references(answer(contact, {**AGENT, "id": "A2"}).body, only="user")[0] == ["a2"]
    identity = {"@odata.type": "#microsoft.graph.agentIdentity", "id": "s1"}
    assert parse_references(answer(identity, {**AGENT, "id": "a2"}).body)[0] == ["a2"]

"""Bodies of Graph's answers: what is read, what costs one entry, and what costs the page."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.errors import ProtocolError, Unavailable
from syncd.graph.wire.parse import parse_count, parse_group, parse_members, parse_page, parse_user
from syncd.http import Response
from syncd.model.source import KIND, STREAMS, BadObject, GroupItem, Link, ManagerSet, Page, Stream, UserItem

SELECTED = ("accountEnabled", "displayName", "userPrincipalName")
NEXT = "https://graph.microsoft.com/v1.0/users/delta?$skiptoken=a"


def answer(body: Any, status: int = 200) -> Response:
    return Response(status, {}, body if isinstance(body, bytes) else msgspec.json.encode(body))


def read(*entries: Any, stream: Stream = "users") -> Page:
    return parse_page(answer({"value": list(entries), "@odata.nextLink": NEXT}), stream, selected=SELECTED)


def user(**stated: Any) -> dict[str, Any]:
    return {"id": "U1", **stated}


def test_only_stated_selected_properties_are_kept() -> None:
    """Absent stays absent and null stays null, because they mean unchanged and cleared."""
    page = read(user(displayName=None, accountEnabled=True, jobTitle="x", **{"@odata.type": "#microsoft.graph.user"}))
    stated = {"displayName": None, "accountEnabled": True, KIND: None}
    assert page.items == (UserItem(id="u1", attributes=stated),)
    assert page.bad == ()


def test_a_property_is_named_as_it_was_asked_for() -> None:
    """Graph answers in a spelling of its own; an exact one wins, and what was not asked for is left out."""
    extension = "extension_0123456789abcdef0123456789abcdef_costCentre"
    entry = {"id": "u1", extension.upper(): "C1", "DisplayName": "Ann", "MAIL": "a@x", "mail": "b@x", "JobTitle": "x"}
    page = parse_page(
        answer({"value": [entry], "@odata.deltaLink": "https://graph.example/d"}),
        "users",
        selected=(extension, "displayName", "mail"),
    )
    assert page.items == (UserItem(id="u1", attributes={"mail": "b@x", extension: "C1", "displayName": "Ann"}),)


def test_ids_are_opaque_and_compared_without_case() -> None:
    """Ids need not be GUIDs; they come out trimmed and in lower case."""
    page = read(user(id=" 632F6BB2-3ec8-4c1f-9073-0027a8c6859 "))
    assert page.items[0].id == "632f6bb2-3ec8-4c1f-9073-0027a8c6859"


def test_repeats_stay_in_their_order() -> None:
    """An object that comes twice in a page is handed on twice, in order: the later one wins downstream."""
    page = read(user(displayName="A"), user(displayName="B"))
    assert [item.attributes["displayName"] for item in page.items] == ["A", "B"]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (None, "it is nothing instead of an object"),
        ([], "it is a list instead of an object"),
        ({"displayName": "A"}, "it has no id"),
        ({"id": 7}, "its id is a number instead of text"),
        ({"id": "  "}, "its id is empty"),
        ({"id": "a\u0000b"}, "its id has unprintable characters"),
    ],
)
def test_an_entry_without_a_usable_id_costs_only_itself(entry: Any, reason: str) -> None:
    """The rest of the page survives, and the reason repeats nothing of the entry."""
    page = read(entry, user())
    assert [item.id for item in page.items] == ["u1"]
    assert [bad.id for bad in page.bad] == [""]
    assert page.bad[0].reason in (reason, "it has text that cannot be stored (NUL or half a surrogate pair)")


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({"accountEnabled": "false"}, "its accountEnabled is text"),
        ({"displayName": 7}, "its displayName is a number"),
        ({"@odata.type": "#microsoft.graph.device"}, "it is a device where a user belongs"),
        ({"@removed": True}, "its @removed is a truth value instead of an object"),
    ],
)
def test_an_entry_of_the_wrong_type_is_named_by_its_id(stated: dict[str, Any], reason: str) -> None:
    """What cannot be trusted is skipped with its id, so that it is never taken as gone."""
    page = read(user(**stated))
    assert page.items == ()
    assert page.bad == (BadObject("u1", reason),)


@pytest.mark.parametrize(
    ("mark", "removed"),
    [
        ({"reason": "changed"}, "changed"),
        ({"reason": "deleted"}, "deleted"),
        ({}, "changed"),
        ({"reason": "vanished"}, "changed"),
        ({"reason": 7}, "changed"),
        (None, None),
    ],
)
def test_a_doubtful_removal_is_a_restorable_one(mark: Any, removed: str | None) -> None:
    """Only the plain word deleted purges; anything else can be restored."""
    assert read({"id": "U1", "@removed": mark}).items[0].removed == removed


@pytest.mark.parametrize(
    ("changes", "manager"),
    [
        ([{"id": "M1"}], ManagerSet("m1")),
        ([{"id": "M1", "@removed": {"reason": "deleted"}}], ManagerSet(None)),
        ([{"id": "M1", "@removed": {"reason": "deleted"}}, {"id": "M2"}], ManagerSet("m2")),
        ([{"id": "M2"}, {"id": "M1", "@removed": {"reason": "deleted"}}], ManagerSet("m2")),
        ([{"id": "M1"}, {"id": "M2"}], ManagerSet("m2")),
        ([], None),
        (None, None),
    ],
)
def test_the_last_live_entry_is_the_manager(changes: Any, manager: ManagerSet | None) -> None:
    """Removals are applied first, whatever their place, because old and new manager may come together."""
    item = read(user(**{"manager@delta": changes})).items[0]
    assert isinstance(item, UserItem)
    assert item.manager == manager


@pytest.mark.parametrize("changes", ["M1", [{"id": 7}], [{"id": "M1"}, None]])
def test_an_unreadable_manager_counts_as_unchanged(changes: Any) -> None:
    """The user survives, the manager is not stated, and the trouble is counted under the user's id."""
    page = read(user(displayName="A", **{"manager@delta": changes}))
    assert page.items == (UserItem(id="u1", attributes={"displayName": "A"}),)
    assert [bad.id for bad in page.bad] == ["u1"]


def test_links_carry_their_type_and_their_removal() -> None:
    """Known types, unknown types and none at all are told apart; the reason of a removed link means nothing."""
    changes = [
        {"@odata.type": "#microsoft.graph.user", "id": "A"},
        {"@odata.type": "#microsoft.graph.orgContact", "id": "B", "@removed": {"reason": "deleted"}},
        {"id": "C"},
        {"@odata.type": ["odd"], "id": "D"},
    ]
    assert read({"id": "G1", "members@delta": changes}, stream="groups").items == (
        GroupItem(
            id="g1",
            attributes={},
            links=(
                Link("a", "user"),
                Link("b", "orgContact", removed=True),
                Link("c", "unknown"),
                Link("d", "unknown"),
            ),
        ),
    )


def test_a_malformed_link_costs_only_itself() -> None:
    """The other links of the group stay, and the group's id is noted."""
    page = read({"id": "G1", "members@delta": [{"id": "A"}, {"x": 1}, "B"]}, stream="groups")
    assert isinstance(page.items[0], GroupItem)
    assert page.items[0].links == (Link("a", "unknown"),)
    assert [bad.id for bad in page.bad] == ["g1", "g1"]


@pytest.mark.parametrize("text", [rb"a\u0000b", rb"a\ud800b"])
def test_text_that_no_database_stores_costs_only_its_entry(text: bytes) -> None:
    """NUL and half a surrogate pair would otherwise fail the whole page in the store, for ever."""
    body = b'{"value":[{"id":"A","displayName":"%s"},{"id":"B"}],"@odata.nextLink":"https://x/"}' % text
    page = parse_page(answer(body), "users", selected=SELECTED)
    assert [item.id for item in page.items] == ["b"]
    assert [bad.id for bad in page.bad] == ["a"]


@pytest.mark.parametrize(
    "body", [b"", b"<html>Proxy</html>", b'{"value":[{"id":"A"}', b"\xff\xfe", b"[" * 100_000, b"NaN"]
)
def test_a_body_that_is_not_complete_json_may_pass(body: bytes) -> None:
    """A proxy's page or a body cut short is worth another try."""
    with pytest.raises(Unavailable):
        parse_page(answer(body), "users", selected=SELECTED)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "a list where an object belongs"),
        ({"error": {"code": "Oops", "message": "no"}}, "Oops: “no”"),
        ({"value": {}, "@odata.nextLink": NEXT}, "an object instead of a list"),
        ({"@odata.nextLink": NEXT}, "nothing instead of a list"),
        ({"value": []}, "neither"),
        ({"value": [], "@odata.nextLink": NEXT, "@odata.deltaLink": NEXT}, "both"),
        ({"value": [], "@odata.nextLink": 7}, "a number as @odata.nextLink"),
    ],
)
def test_a_body_that_is_no_page_breaks_the_contract(body: Any, said: str) -> None:
    """A page has a list and exactly one link; anything else is refused as a whole."""
    with pytest.raises(ProtocolError, match=said):
        parse_page(answer(body), "users", selected=SELECTED)


def test_a_direct_read_states_everything() -> None:
    """What a whole user leaves out is empty, and so is a manager that is not there."""
    item = parse_user(answer({"id": "U1", "displayName": "A"}), selected=SELECTED)
    assert item == UserItem(
        id="u1",
        attributes={"accountEnabled": None, "displayName": "A", "userPrincipalName": None},
        manager=ManagerSet(None),
    )
    with_manager = parse_user(answer({"id": "U1", "manager": {"id": "M1"}}), selected=())
    assert with_manager.manager == ManagerSet("m1")
    assert parse_group(answer({"id": "G1"}), selected=("mail",)) == GroupItem(id="g1", attributes={"mail": None})


@pytest.mark.parametrize("body", [{"displayName": "A"}, {"id": "U1", "manager": 7}, {"id": "U1", "displayName": []}])
def test_a_direct_read_is_never_half_true(body: Any) -> None:
    """An unreadable part of a single user refuses the whole answer."""
    with pytest.raises(ProtocolError):
        parse_user(answer(body), selected=SELECTED)


def test_an_unreadable_member_is_a_link_to_nobody() -> None:
    """The list is a witness for removals: whoever it lacks may be the one who could not be understood."""
    links, _ = parse_members(answer({"value": [{"id": "A"}, {}]}))
    assert links == (Link("a", "unknown"), Link("", "unknown"))


@pytest.mark.parametrize(("body", "count"), [(b"42", 42), (b"\xef\xbb\xbf42", 42), (b" 0\r\n", 0)])
def test_a_count_is_plain_text(body: bytes, count: int) -> None:
    """A byte order mark and white space are tolerated."""
    assert parse_count(answer(body)) == count


@pytest.mark.parametrize("body", [b"", b"-1", b"many", b"<html>", "٣".encode()])
def test_a_count_that_is_no_number_may_pass(body: bytes) -> None:
    """Anything but a number is no count."""
    with pytest.raises(Unavailable):
        parse_count(answer(body))


_KEYS = st.sampled_from(
    ["id", "@removed", "reason", "@odata.type", "members@delta", "manager@delta", "displayName", "accountEnabled"]
)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS | st.text(max_size=3), inner, max_size=5),
    max_leaves=25,
)


@given(entries=st.lists(_JSON, max_size=6), stream=st.sampled_from(STREAMS))
def test_no_entry_ever_breaks_its_page(entries: list[Any], stream: Stream) -> None:
    """Whatever the entries are, each becomes an item or a bad object, and a good neighbour survives."""
    page = read(*entries, {"id": "good"}, stream=stream)
    assert page.items[-1].id == "good"
    assert len(page.items) + sum(bad.count for bad in page.bad) >= len(entries) + 1
    assert all(item.id == item.id.strip().lower() and item.id for item in page.items)


@given(body=_JSON | st.binary(max_size=40))
def test_no_body_raises_anything_but_our_errors(body: Any) -> None:
    """A body is a page, or one of two named errors."""
    with contextlib.suppress(ProtocolError, Unavailable):
        parse_page(answer(body), "groups", selected=SELECTED)

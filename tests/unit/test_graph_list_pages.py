"""Pages of lists: the quick reading by types says what the reading entry by entry says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from syncd.errors import ProtocolError, Unavailable
from syncd.graph.wire.list_pages import ListParser, parse_ids, parse_parts, parse_references
from syncd.http import Response
from syncd.model.source import BadObject

SELECTED = ("accountEnabled", "businessPhones", "displayName", "onPremisesExtensionAttributes", "userPrincipalName")
ANN: dict[str, Any] = {
    "id": "a1",
    "displayName": "Ann",
    "userPrincipalName": "ann@x.example",
    "accountEnabled": True,
    "businessPhones": ["1"],
    "onPremisesExtensionAttributes": {"extensionAttribute1": None},
    "unasked": 1,
    "manager": {"@odata.type": "#microsoft.graph.user", "id": "b2"},
}


def answer(*entries: Any, **more: Any) -> Response:
    """Return an answer with these entries."""
    return Response(200, {}, msgspec.json.encode({"value": list(entries), **more}))


def describe(response: Response) -> list[tuple[Any, ...]]:
    """Return what is read of it, as plain values."""
    page = ListParser("users", SELECTED).parse(response)
    return [
        (each.id, each.name, each.upn, msgspec.to_builtins(each.attributes), each.manager_id) for each in page.objects
    ]


def test_both_readings_say_the_same() -> None:
    """An entry is read alike, whether its page is read by types or, for the sake of a neighbour, by itself."""
    (quick,) = describe(answer(ANN))
    slow, _ = describe(answer(ANN, {**ANN, "id": "A1 "}))
    assert quick == slow
    assert quick[:3] == ("a1", "Ann", "ann@x.example")
    assert quick[4] == "b2"
    assert set(quick[3]) == {*SELECTED}


def test_what_has_no_value_is_left_out() -> None:
    """Lists state null where delta says nothing."""
    empty = {"id": "a1", "displayName": None, "accountEnabled": None, "userPrincipalName": "a@x", "manager": None}
    assert describe(answer(empty)) == [("a1", None, "a@x", {"userPrincipalName": "a@x"}, None)]


@pytest.mark.parametrize("spelled", ["Cost", "COST", "cost"])
def test_a_directory_extension_is_read_in_any_letter_case(spelled: str) -> None:
    """Its own spelling is not known before an answer has it; it is kept as it was asked for, on every page."""
    extension = "extension_0123456789abcdef0123456789abcdef_Cost"
    parser = ListParser("users", (*SELECTED, extension))
    answered = extension.replace("Cost", spelled)
    for entries in ([{**ANN, answered: "C1"}], [ANN], [ANN, {**ANN, "id": "b2", answered: "C1"}]):
        page = parser.parse(answer(*entries))
        values = [msgspec.to_builtins(each.attributes).get(extension) for each in page.objects]
        assert values == ["C1" if answered in entry else None for entry in entries]


@pytest.mark.parametrize("phones", [[], None])
def test_what_has_no_element_is_left_out(phones: list[str] | None) -> None:
    """Lists state empty collections where delta says nothing."""
    (page,) = [ListParser("users", SELECTED).parse(answer({**ANN, "businessPhones": phones}))]
    assert b"businessPhones" not in msgspec.json.encode(page.objects[0].attributes)


@pytest.mark.parametrize(
    ("spoilt", "named"),
    [
        ({"accountEnabled": "perhaps"}, "a1"),
        ({"displayName": 7}, "a1"),
        ({"displayName": "a\0b"}, "a1"),
        ({"id": None}, ""),
        ({"@removed": {"reason": "changed"}}, "a1"),
        ({"@odata.type": "#microsoft.graph.device"}, "a1"),
        ({"manager": {"id": 7}}, "a1"),
    ],
)
def test_a_malformed_entry_costs_only_itself(spoilt: dict[str, Any], named: str) -> None:
    """It is named where it can be, so that it never counts as missing."""
    page = ListParser("users", SELECTED).parse(answer({**ANN, **spoilt}, {**ANN, "id": "c3"}))
    assert [each.id for each in page.objects] == ["c3"]
    assert [each.id for each in page.bad] == [named]


@pytest.mark.parametrize("body", [b'{"value":[{"id":"', b"<html>", b""])
def test_what_is_no_page_is_an_error(body: bytes) -> None:
    """Cut short, or a proxy's page: it passes."""
    parser = ListParser("users", SELECTED)
    with pytest.raises(Unavailable):
        parser.parse(Response(200, {}, body))
    with pytest.raises(Unavailable):
        parse_ids(Response(200, {}, body))
    with pytest.raises(Unavailable):
        parse_parts(Response(200, {}, body))


def test_a_page_with_an_error_inside_is_an_error() -> None:
    """Although its status is 200."""
    response = answer(error={"code": "InternalServerError", "message": "no"})
    with pytest.raises(ProtocolError):
        ListParser("users", SELECTED).parse(response)
    with pytest.raises(ProtocolError):
        parse_references(response.body)


def test_members_are_ids_without_service_principals() -> None:
    """An unreadable entry is told, and the others stay."""
    kinds = ("user", "servicePrincipal", "group", "device")
    members = [{"@odata.type": f"#microsoft.graph.{kind}", "id": kind} for kind in kinds]
    body = answer(*members, **{"@odata.nextLink": "more"}).body
    assert parse_references(body) == (["user", "group", "device"], "more", ())
    assert parse_references(body, only="group")[0] == ["group"]
    ids, _, bad = parse_references(answer(*members, {"id": 7}, {"id": "UPPER"}).body, owner="g")
    assert ids == ["user", "group", "device", "upper"]
    assert [each.id for each in bad] == ["g"]
    assert all(isinstance(each, BadObject) for each in bad)

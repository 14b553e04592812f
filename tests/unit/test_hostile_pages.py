"""Pages that want more memory than any side's own: read entry by entry, bounded in what is kept, or refused."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Callable

import pytest

from syncd.bps import records
from syncd.bps.records import BadRecords, parse_users
from syncd.errors import ProtocolError, Unavailable
from syncd.graph.client import _read
from syncd.graph.wire import list_pages, parse
from syncd.graph.wire.list_pages import ListParser, parse_references
from syncd.graph.wire.parse import parse_page
from syncd.http import Response

BAD, GOOD = b'{"id":5,"displayName":"x"}', b'{"id":"a%d","displayName":"x"}'
NUMBER = 60_000
TIMES = 6
"""So many times the size of a page may be in use while it is read; decoded as a whole it is twenty."""


def page(entry: bytes, *, number: int = NUMBER, name: bytes = b"value") -> Response:
    """Return a page of one and the same entry, with a delta link."""
    body = b'{"' + name + b'":[' + b",".join([entry] * number) + b'],"@odata.deltaLink":"https://g/d"}'
    return Response(200, {}, body)


def _read_users(response: Response) -> int:
    bad = BadRecords()
    return parse_users(response, bad).sent if not bad.count else 0


READERS: dict[str, tuple[bytes, bytes, Callable[[Response], object]]] = {
    "a list": (BAD, b"value", ListParser("users", ["displayName"]).parse),
    "delta": (BAD, b"value", lambda response: parse_page(response, "users", selected=["displayName"])),
    "the portal's users": (b'{"bpsId":5,"name":"x","email":"y"}', b"users", _read_users),
}


@pytest.mark.parametrize("name", READERS)
def test_a_page_of_bad_entries_costs_a_few_times_its_size(name: str) -> None:
    """They are decoded one by one, and nothing of them is kept but the first few and numbers."""
    entry, key, read = READERS[name]
    response = page(entry, name=key)
    gc.collect()
    tracemalloc.start()
    try:
        read(response)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < TIMES * len(response.body)


def test_bad_entries_of_a_large_page_are_told_as_of_a_small_one() -> None:
    """With the good ones among them, and with those that cannot be decoded at all."""
    body = page(BAD).body.replace(b"[", b'[{"id":"a1","displayName":"\xff"},{"id":"a2"},', 1)
    found = parse_page(Response(200, {}, body), "users", selected=["displayName"])
    assert [item.id for item in found.items] == ["a2"]
    assert sum(bad.count for bad in found.bad if not bad.id) == NUMBER + 1
    assert found.delta_link == "https://g/d"


def test_a_page_with_more_good_entries_than_there_can_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists, delta, references and the portal's records; what is kept of an entry costs memory as well."""
    for module, constant in ((parse, "MOST_ENTRIES"), (list_pages, "_MOST_OBJECTS"), (records, "_MOST_RECORDS")):
        monkeypatch.setattr(module, constant, 10)
    with pytest.raises(ProtocolError, match="more than 10 entries"):
        ListParser("users", ["displayName"]).parse(page(GOOD % 1, number=11))
    with pytest.raises(ProtocolError, match="more than 10 entries"):
        parse_page(page(GOOD % 1, number=11), "users", selected=["displayName"])
    with pytest.raises(ProtocolError, match="more than 10 entries"):
        parse_references(page(GOOD % 1, number=11).body)
    with pytest.raises(ProtocolError, match="more than 10 records"):
        parse_users(page(b'{"bpsId":"a@x.com"}', number=11, name=b"users"), BadRecords())
    assert len(ListParser("users", ["displayName"]).parse(page(GOOD % 1, number=10)).objects) == 10


def test_a_large_body_that_is_cut_is_not_read_in_an_expensive_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as incomplete; a small one with half a surrogate pair costs one entry, as ever."""
    odd = Response(200, {}, page(BAD, number=3).body.replace(b'"x"', b'"\\ud800"', 1))
    assert parse_page(odd, "users", selected=["displayName"]).delta_link
    monkeypatch.setattr(parse, "_ODD_BYTES", 10)
    with pytest.raises(Unavailable, match="not complete JSON"):
        parse_page(odd, "users", selected=["displayName"])


def test_a_page_that_is_walked_through_is_read_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brackets and commas in texts, lists in entries, blanks: entry by entry without a copy comes to the same."""
    entries = b' {"id":"a1","displayName":"[{,\\"},"} ,{"id":"a2","displayName":"x","otherMails":["a,b",["]"]]}'
    entries += b', 5 ,{"id":"a3"}'
    response = Response(200, {}, b'{"value":[' + entries + b'],"@odata.deltaLink":"https://g/d","x":[1,2]}')
    selected = ["displayName", "otherMails"]
    whole = parse_page(response, "users", selected=selected)
    for module, constant in ((parse, "_LARGE_BYTES"), (parse, "_ODD_BYTES")):
        monkeypatch.setattr(module, constant, 1)
    assert parse_page(response, "users", selected=selected) == whole
    assert [item.id for item in whole.items] == ["a1", "a2", "a3"]
    empty = Response(200, {}, b'{"value":[ ],"@odata.deltaLink":"https://g/d"}')
    assert (found := parse_page(empty, "users", selected=selected)).items == ()
    assert found.bad == ()


def test_an_entry_of_millions_of_links_is_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would cost many times its size; the others of the page are read, and nobody is taken for removed."""
    monkeypatch.setattr(parse, "_LARGE_BYTES", 1)
    links = b",".join([b'{"@odata.type":"#microsoft.graph.user","id":"u"}'] * 200_001)
    body = b'{"value":[{"id":"g1","members@delta":[' + links + b']},{"id":"g2"}],"@odata.deltaLink":"https://g/d"}'
    found = parse_page(Response(200, {}, body), "groups", selected=["displayName"])
    assert [item.id for item in found.items] == ["g2"]
    assert sum(bad.count for bad in found.bad) == 1


def test_members_and_groups_of_a_list_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each something is kept."""
    monkeypatch.setattr(parse, "MOST_ENTRIES", 10)
    for read in (parse.parse_members, parse.parse_group_list):
        assert len(read(page(GOOD % 1, number=10))[0]) == 10
        with pytest.raises(ProtocolError, match="more than 10 entries"):
            read(page(GOOD % 1, number=11))


@pytest.mark.parametrize("value", [b'{"a":1}', b'"text"', b"5", b"null"])
def test_a_large_page_without_a_list_is_told_as_a_small_one(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is decoded."""
    monkeypatch.setattr(parse, "_LARGE_BYTES", 1)
    response = Response(200, {}, b'{"value":' + value + b',"@odata.deltaLink":"https://g/d"}')
    with pytest.raises(ProtocolError, match=r"a page whose value is .* instead of a list"):
        parse_page(response, "users", selected=["displayName"])


class Held:
    """What a parser has in hand."""


def test_an_answer_that_is_refused_is_not_kept_while_it_is_asked_for_again() -> None:
    """An error's frames hold what its functions had in hand: large answers would be in memory several times over."""
    held: list[weakref.ref[Held]] = []

    def parse(response: Response) -> None:
        made = Held()
        held.append(weakref.ref(made))
        try:
            int(response.body)
        except ValueError as error:
            raise ProtocolError("it is no page") from error

    with pytest.raises(ProtocolError) as raised:
        _read([Response(200, {}, b"no number")], parse)
    assert held[0]() is None
    assert isinstance(raised.value.__cause__, ValueError)

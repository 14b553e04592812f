"""Which changes a selection means, condition by condition. The store's SQL is compared in `test_stops.py`."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.plan.selection import Beside, PlannedRow, Same, Selection, choose


def make_row(seq: int, **values: Any) -> PlannedRow:
    """Return one membership that goes, with other values."""
    fields: dict[str, Any] = {"action": "unlink", "object": "membership", "phase": 2, "record": 1} | values
    return PlannedRow(seq=seq, **fields)


def test_what_says_nothing_of_before_is_chosen_by_it() -> None:
    """Either, neither, or both."""
    rows = [make_row(1, fresh=True), make_row(2, fresh=False)]
    chosen = {fresh: [row.seq for row in choose([Selection(fresh=fresh)], rows)] for fresh in (True, False, None)}
    assert chosen == {True: [1], False: [2], None: [1, 2]}


def test_what_an_earlier_run_holds_is_chosen_by_run_and_since_when() -> None:
    """The very pair: neither another run nor another beginning."""
    rows = [make_row(1, held_by=frozenset({(7, 5), (8, 5)})), make_row(2, held_by=frozenset({(7, 6)})), make_row(3)]
    assert [row.seq for row in choose([Selection(held_by=(7, 5))], rows)] == [1]
    assert [row.seq for row in choose([Selection(held_by=(7, 6))], rows)] == [2]
    assert [row.seq for row in choose([Selection()], rows)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("same", "values", "others", "met"),
    [
        ("record", {"record": 1}, {"record": 1}, True),
        ("record", {"record": 1}, {"record": 2}, False),
        ("record as member", {"record": 1}, {"record": 9, "member": 1}, True),
        ("record as member", {"record": 1}, {"record": 1, "member": 2}, False),
        ("member as record", {"member": 4}, {"record": 4}, True),
        ("member as record", {"member": 4}, {"record": 5, "member": 4}, False),
        ("member", {"member": 4}, {"record": 9, "member": 4}, True),
        ("member", {"member": 4}, {"member": 5}, False),
        ("member", {}, {}, False),  # two that are about nobody have nobody in common
        ("source", {"source": 3}, {"record": 9, "source": 3}, True),
        ("source", {"source": 3}, {"source": 4}, False),
        ("source", {}, {}, False),
        ("type", {"type": "User"}, {"record": 9, "type": "User"}, True),
        ("type", {"type": "User"}, {"type": "PowerUser"}, False),
        ("another type", {"type": "User"}, {"type": "PowerUser"}, True),
        ("another type", {"type": "User"}, {"type": "User"}, False),
    ],
)
def test_what_two_changes_have_in_common(same: Same, values: Any, others: Any, met: bool) -> None:
    """A selection with another change beside, and the same without it, are each other's opposite."""
    rows = [make_row(1, **values), make_row(2, action="delete", **others)]
    other = Beside(of=Selection(actions=("delete",)), same=(same,))
    with_it = Selection(actions=("unlink",), beside=other)
    without = Selection(actions=("unlink",), without=other)
    assert [row.seq for row in choose([with_it], rows)] == ([1] if met else [])
    assert [row.seq for row in choose([without], rows)] == ([] if met else [1])

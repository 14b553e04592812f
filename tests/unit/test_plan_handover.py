"""Who gets a record that is another one's: evidence, circles, and the decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.model.reason import Cause, Reason
from syncd.plan.desired import Desired
from syncd.plan.diff import Current
from syncd.plan.handover import (
    Claim,
    Decisions,
    Evidence,
    Party,
    choose_remade,
    find_circles,
    judge,
    make_change,
    weigh_groups,
    weigh_people,
)

NOW = datetime(2026, 11, 30, tzinfo=UTC)
NOTHING, PROOF = Evidence(False), Evidence(True, ("the same employeeId (7)",))


def party(key: int, state: str = "deleted", **changes: Any) -> Party:
    """Return somebody of the tenant."""
    given: dict[str, Any] = {"name": f"name {key}", "attributes": {}} | changes
    return Party(key=key, id=f"id-{key}", state=state, **given)


def claim(record: int, former: Party | None, heir: int, evidence: Evidence = NOTHING, **changes: Any) -> Claim:
    """Return a claim of somebody to the record of another one."""
    given: dict[str, Any] = {
        "kind": "user",
        "desired": Desired(key=heir, state="wanted", fields={"name": "New", "phone": None}),
        "current": Current(
            fields={"name": "Old", "phone": "1", "manager": "boss@x.com"}, status="Synchronized", origin="adopted"
        ),
    } | changes
    return Claim(
        record=record, bps_id=f"r{record}@x.com", former=former, heir=party(heir, "wanted"), evidence=evidence, **given
    )


@pytest.mark.parametrize("name", ["employeeId", "onPremisesImmutableId", "onPremisesSecurityIdentifier"])
@pytest.mark.parametrize(
    ("former", "heir", "proven"),
    [("7", "7", True), (" 7 ", "7", True), ("7", "8", False), ("", "", False), (None, None, False), ("7", None, False)],
)
def test_one_identifier_that_both_have_is_proof(name: str, former: str | None, heir: str | None, proven: bool) -> None:
    """And nothing else is; what is against it is told beside it."""
    found = weigh_people({name: former}, {name: heir})
    assert found.proven == proven
    assert len(found.speaks_for) == proven
    assert len(found.against) == 3 - proven


def test_proof_is_not_taken_back_by_another_identifier() -> None:
    """Whoever is hired again often gets another account on premises."""
    one = {"employeeId": "7", "onPremisesSecurityIdentifier": "S-1"}
    found = weigh_people(one, {**one, "onPremisesSecurityIdentifier": "S-2"})
    assert found.proven
    assert "another onPremisesSecurityIdentifier (S-1, and S-2)" in found.against


@pytest.mark.parametrize(
    ("name", "days", "members", "proven"),
    [
        ("NAME 1", 29, (4, 4, 2), True),
        ("name 1", 30, (2, 1, 1), True),
        ("name 2", 1, (4, 4, 4), False),
        ("name 1", 31, (4, 4, 4), False),
        ("name 1", None, (4, 4, 4), False),
        ("name 1", 1, (4, 4, 1), False),
        ("name 1", 1, (2, 5, 2), False),
        ("name 1", 1, (0, 0, 0), False),
    ],
)
def test_a_group_made_anew_is_proven_by_name_time_and_members(
    name: str, days: int | None, members: tuple[int, int, int], proven: bool
) -> None:
    """All three, of both groups; an empty group proves nothing."""
    removed = None if days is None else NOW - timedelta(days=days)
    found = weigh_groups(
        party(1, removed_at=removed), party(2, name=name), members=members, now=NOW, grace=timedelta(days=30)
    )
    assert found.proven == proven
    assert bool(found.against) != proven


def test_of_several_groups_the_better_match_follows_and_of_equals_none() -> None:
    """Each record has one heir, and each heir one record."""
    one, two, three = claim(1, party(1), 5), claim(1, party(1), 6), claim(2, party(2), 6)
    assert choose_remade([one, two], {(1, 5): 3, (1, 6): 2}) == [one]
    assert choose_remade([one, two], {(1, 5): 2, (1, 6): 2}) == []
    assert choose_remade([one, two, three], {(1, 5): 3, (1, 6): 2, (2, 6): 4}) == [one, three]


def test_a_circle_of_people_who_are_all_there_is_found() -> None:
    """A chain that ends with a newcomer, or with somebody who left, is none."""
    a, b, c = (party(key, "wanted") for key in (1, 2, 3))
    assert find_circles([claim(1, a, 2), claim(2, b, 1)]) == {("user", 1), ("user", 2)}
    assert len(find_circles([claim(1, a, 2), claim(2, b, 3), claim(3, c, 1)])) == 3
    assert find_circles([claim(1, a, 2), claim(2, b, 9)]) == frozenset()
    assert find_circles([claim(1, party(1), 2), claim(2, b, 1)]) == frozenset()
    assert find_circles([claim(1, a, 2), claim(2, b, 1), claim(3, a, 9)]) == {("user", 1), ("user", 2)}


def tell(
    claims: list[Claim], decisions: Decisions | None = None, *, limit: int | None = 0, allowed: bool = True
) -> str:
    """Return the verdicts in a row."""
    return " ".join(each.verdict for each in judge(claims, decisions or Decisions(), limit=limit, allowed=allowed)[0])


def test_what_is_proven_passes_and_all_else_waits_beyond_the_limit() -> None:
    """The whole kind, as ever; no limit lets all pass."""
    one, two, three = claim(1, party(1), 5), claim(2, None, 6), claim(3, party(3), 7, PROOF)
    assert tell([one, two, three]) == "wait wait pass"
    assert tell([one, two, three], limit=1) == "wait wait pass"
    assert tell([one, two, three], limit=2) == "pass pass pass"
    assert tell([one, two, three], limit=None) == "pass pass pass"
    assert tell([one, two, three], limit=None, allowed=False) == "not now not now not now"
    assert judge([one, two], Decisions(), limit=1, allowed=True)[1] == "2 handovers, guard.max_handovers allows 1"


def test_what_people_decided_comes_first() -> None:
    """Rejected of this newcomer alone; held before; released now, and then nothing else."""
    one, two, proven = claim(1, party(1), 5), claim(2, party(2), 6), claim(3, party(3), 7, PROOF)
    rejected = Decisions(rejected={("user", 1, "id-5"), ("user", 3, "id-7")})
    assert tell([one, two, proven], rejected, limit=1) == "rejected pass rejected"
    assert tell([one], Decisions(rejected={("user", 1, "id-6")})) == "wait"
    held = Decisions(held={("user", 1): (Reason(Cause.HELD_BEFORE, "held since run 3"), 3)})
    assert tell([one, two], held, limit=None) == "wait pass"
    assert tell([claim(1, party(1), 5, PROOF)], held) == "pass"
    assert tell([one, two, proven], Decisions(released={("user", 2)}), limit=None) == "wait pass pass"


def test_a_record_passes_with_every_value_and_without_a_manager() -> None:
    """What the newcomer has no value for is cleared, also on an adopted record."""
    ((judged,), _) = judge([claim(1, party(1), 5)], Decisions(), limit=None, allowed=True)
    change = make_change(judged, managers=True)
    assert change.before == {"source_id": "id-1", "name": "Old", "phone": "1", "manager": "boss@x.com"}
    assert change.after == {"source_id": "id-5", "name": "New", "phone": None, "manager": None}
    assert "manager" not in make_change(judged, managers=False).after

"""Between plan and write: which changes each sieve stops, tried on rows without a database."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import replace

from syncd.model.change import Action, ObjectKind, OutcomeStatus, Phase
from syncd.model.reason import Cause, Reason
from syncd.plan import licence_sieves, pauses, sieves
from syncd.plan.approval import Approved, HeldBefore
from syncd.plan.guard import Hold
from syncd.plan.licence_sieves import stop_licences, stop_moves, stop_swaps, stop_uncoupled, stop_without_seat
from syncd.plan.licences import Allotment, Shortage
from syncd.plan.selection import PlannedRow, Stop, choose
from syncd.plan.sieves import (
    RejectedBefore,
    Retried,
    stop_declined,
    stop_excess,
    stop_failing,
    stop_kept_places,
    stop_quiet,
    stop_rejected,
    stop_tied,
    stop_unadopted,
    stop_unapproved,
    stop_unmoved,
)


class Draft:
    """The rows of one plan; ``add`` returns the place of a new one."""

    def __init__(self) -> None:
        self.rows: list[PlannedRow] = []

    def add(self, action: Action, kind: ObjectKind, record: int, **more: object) -> int:
        """Add a planned change."""
        row = PlannedRow(seq=len(self.rows), action=action, object=kind, phase=Phase.REVOKES, record=record)
        self.rows.append(replace(row, **more))  # type: ignore[arg-type]  # fields by name
        return row.seq

    def apply(self, stops: Sequence[Stop]) -> dict[int, tuple[OutcomeStatus, Cause]]:
        """Stop what is meant, in order; return what became of the changes that were stopped."""
        found: dict[int, tuple[OutcomeStatus, Cause]] = {}
        for stop in stops:
            for selection in stop.selections:
                for row in list(choose((selection,), self.rows)):
                    found[row.seq] = stop.status, stop.reason.cause
                    self.rows[row.seq] = replace(row, status=stop.status)
        return found


def test_every_sieve_is_named_in_the_table_of_the_order() -> None:
    """Whoever asks what happens between plan and write reads one page, and it is complete."""
    table = inspect.getdoc(sieves) or ""
    functions = {
        name
        for module in (sieves, licence_sieves, pauses)
        for name, _ in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("stop_")
    }
    assert functions - {"stop_everything", "stop_licences", "stop_seqs"} == set(re.findall(r"`(stop_\w+)`", table))


def test_what_was_rejected_is_dropped_until_something_else_is_to_be_written() -> None:
    """An update that writes less than what was rejected is the same decision; one that writes more is another one."""
    same = RejectedBefore(
        seq=1, action="unlink", object="membership", after="", rejected="", values={}, rejected_values={}
    )
    less = replace(
        same, seq=2, action="update", object="user", after="a", rejected="b", values={"name": "A"},
        rejected_values={"name": "A", "phone": "1"},
    )  # fmt: skip
    more = replace(less, seq=3, values={"name": "B"})
    adopted = replace(less, seq=4, action="adopt", values={"name": "A", "manager": "m"}, rejected_values={"name": "A"})
    other = replace(adopted, seq=5, rejected_values={"name": "A", "manager": "n"})
    (stop,) = stop_rejected([same, less, more, adopted, other])
    assert stop.selections[0].seqs == frozenset({1, 2, 4})
    assert stop_rejected([more]) == ()


def test_an_adoption_that_waits_holds_the_updates_of_its_record_and_no_other() -> None:
    """A manager is not written into a record that is not ours yet."""
    draft = Draft()
    draft.add("adopt", "user", 1)
    late, other = draft.add("update", "user", 1), draft.add("update", "user", 2)
    assert draft.apply(stop_unadopted([Hold("adopt", 1, "too many")])) == {late: ("held", Cause.ADOPTION_HELD)}
    assert draft.apply(stop_unadopted([])) == {}
    assert draft.apply(stop_declined({2})) == {other: ("dropped", Cause.ADOPTION_REJECTED)}


def test_a_rejected_move_takes_its_tasks_and_its_name_as_a_manager_along() -> None:
    """Nobody reports to an account that is not made, and nobody's tasks go there."""
    draft = Draft()
    named, tasks = draft.add("update", "user", 5), draft.add("create", "substitution", 7)
    draft.add("create", "substitution", 8)
    assert set(draft.apply(stop_unmoved({7}, [named]))) == {named, tasks}
    assert stop_unmoved((), ()) == ()


def test_held_unlinking_holds_what_belongs_to_the_leaving() -> None:
    """The licences of a leaver and the end of a substitution wait with the memberships; others go on."""
    draft = Draft()
    out = draft.add("unlink", "membership", 100, member=1)
    licence = draft.add("revoke", "licence", 1, type="User")
    ends = draft.add("delete", "substitution", 1, member=9)
    stands_in = draft.add("create", "substitution", 1, member=9, cause=Cause.STANDS_IN)
    draft.add("revoke", "licence", 2, type="User")
    draft.add("update", "user", 3)
    stopped = draft.apply(stop_excess([Hold("unlink", 1, "1 of 2")]))
    assert stopped == dict.fromkeys((out, licence, ends, stands_in), ("held", Cause.GUARD))


def test_a_held_update_takes_renames_along_and_lets_a_creation_be_completed() -> None:
    """A mapping mistake may show as renames; a first manager rewrites nothing."""
    draft = Draft()
    update, rename = draft.add("update", "user", 1), draft.add("create", "user", 2, cause=Cause.RENAMED)
    draft.add("update", "user", 3, cause=Cause.COMPLETES_CREATION)
    draft.add("create", "user", 4)
    draft.add("update", "substitution", 5)
    assert set(draft.apply(stop_excess([Hold("update", 2, "2 of 2")]))) == {update, rename}


def test_what_hangs_on_a_held_creation_is_held_with_it() -> None:
    """A group full of people who are not made would be shown as something that waits for the portal."""
    draft = Draft()
    person, group = draft.add("create", "user", 1), draft.add("create", "group", 100)
    follows = {
        draft.add("update", "user", 1, cause=Cause.COMPLETES_CREATION),
        draft.add("link", "membership", 50, member=1),
        draft.add("link", "membership", 100, member=2),
        draft.add("grant", "licence", 1, type="User"),
    }
    draft.add("create", "user", 3, cause=Cause.RENAMED)
    draft.add("link", "membership", 50, member=2)
    draft.add("unlink", "membership", 50, member=1)
    stopped = draft.apply(stop_excess([Hold("create", 2, "2 of 30")]))
    assert set(stopped) == {person, group, *follows}


def test_no_deletion_carries_out_removals_that_are_held_or_stay() -> None:
    """The portal takes all places of a deleted record along."""
    draft = Draft()
    draft.add("unlink", "membership", 100, member=1, status="held")
    group, person = draft.add("delete", "group", 100), draft.add("delete", "user", 1)
    kept, free = draft.add("delete", "group", 200), draft.add("delete", "group", 300)
    stopped = draft.apply(stop_kept_places({200}, set()))
    assert stopped == {
        group: ("held", Cause.PLACES_HELD),
        person: ("held", Cause.PLACES_HELD),
        kept: ("dropped", Cause.PLACES_STAY),
    }
    assert draft.rows[free].status == "planned"


def test_a_group_is_not_deleted_while_the_revoke_of_its_privileges_is_held() -> None:
    """It says so, and a revoke that goes on holds nothing up."""
    draft = Draft()
    draft.add("revoke", "privilege", 100, status="held")
    draft.add("revoke", "privilege", 200)
    group, free = draft.add("delete", "group", 100), draft.add("delete", "group", 200)
    assert draft.apply(stop_kept_places(set(), set())) == {group: ("held", Cause.PRIVILEGES_STAY)}
    assert draft.rows[free].status == "planned"


def test_quiet_hours_put_removals_off_and_nothing_else() -> None:
    """Also the substitution of a leaver waits: it belongs to the unlinking."""
    draft = Draft()
    removals = {
        draft.add("unlink", "ownership", 1, member=2),
        draft.add("delete", "user", 2),
        draft.add("revoke", "licence", 2, type="User"),
        draft.add("create", "substitution", 2, cause=Cause.STANDS_IN),
    }
    draft.add("delete", "substitution", 3)
    draft.add("link", "membership", 1, member=3)
    assert set(draft.apply(stop_quiet())) == removals


def test_what_failed_alike_waits_and_a_correction_does_not() -> None:
    """There is one way to link; of all else it counts what is written."""
    rows = [
        Retried(seq=1, kind="membership", written=("x",)),
        Retried(seq=2, kind="user", written=("tried",)),
        Retried(seq=3, kind="user", written=("corrected",)),
    ]
    (stop,) = stop_failing(rows, {("tried",)})
    assert stop.selections[0].seqs == frozenset({1, 2})


def test_an_approval_lets_through_what_was_released_and_nothing_that_is_new() -> None:
    """What was held and not released stays held, for the reason that it had."""
    draft = Draft()
    released, kept, fresh = (draft.add("unlink", "membership", 1, member=number) for number in range(3))
    reason = Reason(Cause.GUARD, "9 of 30")
    before = HeldBefore(run_id=2, since=1, action="unlink", reason=reason)
    stopped = draft.apply(stop_unapproved(Approved(unseen=frozenset({fresh}), unreleased={before: frozenset({kept})})))
    assert stopped == {kept: ("held", Cause.GUARD), fresh: ("deferred", Cause.NOT_APPROVED)}
    assert draft.rows[released].status == "planned"


def test_an_account_goes_only_with_all_its_licences_and_they_only_with_it() -> None:
    """One licence that is held keeps the account, and the account keeps the other licences."""
    draft = Draft()
    held = draft.add("revoke", "licence", 1, type="User", cause=Cause.ACCOUNT_DELETED, status="held")
    other = draft.add("revoke", "licence", 1, type="PowerUser", cause=Cause.HAND_DELETED)
    account = draft.add("delete", "user", 1)
    draft.add("delete", "user", 2)
    assert draft.apply(stop_uncoupled()) == {
        account: ("held", Cause.LICENCES_STAY),
        other: ("held", Cause.DELETION_STOPPED),
    }
    assert draft.rows[held].status == "held"


def test_a_licence_given_by_hand_moves_only_when_the_previous_account_gives_it_up() -> None:
    """Held there, it is held here; kept there, it is dropped here; on its way, it arrives."""
    for there, here in (("planned", None), ("held", "held"), ("deferred", "deferred"), ("dropped", "dropped")):
        draft = Draft()
        draft.add("revoke", "licence", 1, type="User", source=7, status=there)
        grant = draft.add("grant", "licence", 2, type="User", source=7, cause=Cause.MOVED)
        stopped = draft.apply(stop_moves(()))
        assert stopped.get(grant, (None,))[0] == here, there
    draft = Draft()
    draft.add("grant", "licence", 2, type="User", source=7, cause=Cause.MOVED)
    assert draft.apply(stop_moves([0])) == {}


def test_the_old_licence_stays_until_the_new_one_is_given() -> None:
    """Without a seat nobody is left without any licence."""
    draft = Draft()
    old = draft.add("revoke", "licence", 1, type="User")
    new = draft.add("grant", "licence", 1, type="PowerUser")
    draft.add("revoke", "licence", 2, type="User")
    shortage = Shortage("PowerUser", 1, 0)
    stopped = draft.apply(stop_without_seat(Allotment({new: shortage}, (shortage,), frozenset())))
    assert stopped == {new: ("deferred", Cause.NO_SEAT), old: ("deferred", Cause.KEPT_UNTIL_GIVEN)}
    assert Draft().apply(stop_swaps()) == {}


def test_a_deletion_that_would_change_what_is_protected_waits() -> None:
    """The reason is told with it."""
    draft = Draft()
    tied = draft.add("delete", "user", 1)
    assert draft.apply(stop_tied({"it is in a protected group": [tied]})) == {tied: ("deferred", Cause.TIED)}


def test_perpetual_licensing_drops_held_and_planned_licences() -> None:
    """What was done stays done."""
    draft = Draft()
    planned, held = draft.add("grant", "licence", 1), draft.add("revoke", "licence", 2, status="held")
    draft.add("grant", "licence", 3, status="done")
    assert set(draft.apply(stop_licences())) == {planned, held}

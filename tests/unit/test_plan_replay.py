"""Replay: what does a lost write once more, and what is left to the next run."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.model.change import Change, Phase
from syncd.model.reason import Cause
from syncd.plan.replay import repeat
from syncd.plan.undo.values import Done, Record
from tests.fakes.rules import make_policy

POLICY = make_policy()


def make_change(**values: Any) -> Change:
    """Return an update of an account."""
    kept: dict[str, Any] = {"phase": Phase.USERS, "action": "update", "object": "user", "bps_id": "a@x.com"}
    return Change(**{**kept, "source_key": 1, **values})


def make_record(**values: Any) -> Record:
    """Return an account of ours."""
    kept: dict[str, Any] = {"fields": {"name": "old", "phone": "1"}, "origin": "created", "source_key": 1}
    return Record(**{**kept, **values})


LINK = make_change(phase=Phase.LINKS, action="link", object="membership", bps_id="g@x.com", target="a@x.com")
GRANT = make_change(phase=Phase.GRANTS, action="grant", object="licence", target="User")
CREATE = make_change(action="create", after={"name": "first", "manager": "m@x.com"})
DELETE = make_change(phase=Phase.USER_DELETES, action="delete", before={"name": "n"})


def plan(
    done: Done, *, wanted: bool = True, protect: tuple[str, ...] = (), **values: Any
) -> list[tuple[str, dict[str, Any]]]:
    """Return action and new values of what is planned; or the reason why it is left."""
    found = repeat(done, values.pop("policy", POLICY), protect=frozenset(protect), wanted=wanted, **values)
    assert all(change.reason.cause is Cause.LOST_WITH_PORTAL for change in found.changes)
    return [("left", {"why": found.left})] if found.left else [(c.action, dict(c.after)) for c in found.changes]


def test_a_record_is_made_as_it_was_last_written_and_its_manager_afterwards() -> None:
    """The values of later updates count; without them those of the creation."""
    fields = {"name": "last", "manager": "boss@x.com", "phone": None}
    assert plan(Done(change=CREATE, record=None), fields=fields) == [
        ("create", {"name": "last"}),
        ("update", {"manager": "boss@x.com"}),
    ]
    assert plan(Done(change=CREATE, record=None))[0] == ("create", {"name": "first"})
    assert plan(Done(change=CREATE, record=make_record())) == []


def test_only_lost_fields_of_a_record_of_ours_are_written() -> None:
    """What somebody changed beside them stays, and so does a record that is nobody's or another's."""
    change = make_change(before={"name": "old", "phone": "0"}, after={"name": "new", "phone": "2"})
    assert plan(Done(change=change, record=make_record()), names={"name"}) == [("update", {"name": "new"})]
    manager = make_change(phase=Phase.MANAGERS, after={"manager": "m@x.com"})
    found = repeat(
        Done(change=manager, record=make_record()), POLICY, protect=frozenset(), wanted=True, names={"manager"}
    )
    assert [change.phase for change in found.changes] == [Phase.MANAGERS]
    for other in (make_record(origin=None), make_record(source_key=2)):
        assert plan(Done(change=change, record=other), names={"name"}) == []


@pytest.mark.parametrize("change", [CREATE, LINK, GRANT])
def test_nobody_gets_anything_who_is_not_wanted(change: Change) -> None:
    """Whoever left since is left out, with the reason."""
    record = None if change is CREATE else make_record()
    assert plan(Done(change=change, record=record), wanted=False) == [
        ("left", {"why": "the tenant or the rules do not want it any more"})
    ]


@pytest.mark.parametrize("change", [DELETE, make_change(phase=Phase.UNLINKS, action="unlink", object="membership")])
def test_nothing_is_taken_from_whoever_is_wanted(change: Change) -> None:
    """Whoever came back since stays."""
    ((what, values),) = plan(Done(change=change, record=make_record(origin=None)))
    assert what == "left"
    assert "want it there by now" in values["why"]


def test_an_account_that_is_back_is_deleted_when_it_is_nobodys() -> None:
    """One that was adopted since is somebody's."""
    assert plan(Done(change=DELETE, record=make_record(origin=None)), wanted=False) == [("delete", {})]
    assert plan(Done(change=DELETE, record=make_record()), wanted=False) == []
    assert plan(Done(change=DELETE, record=None), wanted=False) == []


def test_links_and_licences_are_done_once_more() -> None:
    """As they were."""
    assert plan(Done(change=LINK, record=make_record())) == [("link", {})]
    assert plan(Done(change=GRANT, record=make_record())) == [("grant", {})]


def test_the_rules_are_kept() -> None:
    """The protect list and the mode say what may be written, as ever."""
    assert plan(Done(change=LINK, record=make_record()), protect=("a@x.com",))[0][0] == "left"
    mode = make_policy(mode="upsert_only")
    gone = Done(change=DELETE, record=make_record(origin=None))
    assert plan(gone, wanted=False, policy=mode) == [("left", {"why": 'policy.mode = "upsert_only" forbids to delete'})]

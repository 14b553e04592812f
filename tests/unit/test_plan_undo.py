"""Whether a planned change still meets what it was planned for, and what is left alone: the rules, one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from syncd.model.change import Change, Phase
from syncd.plan.licences import HeldLicence
from syncd.plan.undo.licence import reverse_licence
from syncd.plan.undo.undo import find_forbidden, still_stands
from syncd.plan.undo.values import Done, Record
from tests.fakes.rules import make_policy

OURS = Record(fields={"name": "Ann"}, origin="created", source_key=1)
STRANGER = Record(fields={"name": "Ann"}, origin=None, source_key=None)
DESK, SOLO = "DesignerDeskUser", "SingleSolutionUser"


def licence(action: Any, kind: str, before: dict[str, str | None], after: dict[str, str | None]) -> Change:
    """Return a change of ann's licence."""
    return Change(
        phase=Phase.GRANTS,
        action=action,
        object="licence",
        bps_id="ann@x.com",
        target=kind,
        source_key=1,
        before=before,
        after=after,
    )


def held(kind: str, *, ours: bool = True, **settings: str) -> tuple[HeldLicence, ...]:
    """Return what ann holds."""
    return (HeldLicence(type=kind, ours=ours, shown=settings),)


TAKES = licence("revoke", DESK, {"project_creation": "true"}, {})
TAKES_PROCESSES = licence("revoke", SOLO, {"processes": "1/7/"}, {"processes": "1/8/"})
GIVES = licence("grant", DESK, {}, {"project_creation": "true"})
SETS = licence("grant", DESK, {"project_creation": "true"}, {"project_creation": "false"})
ADDS = licence("grant", SOLO, {"processes": "1/7/ 1/8/"}, {"processes": "1/7/ 1/8/ 1/9/"})


@pytest.mark.parametrize(
    ("change", "licences", "stands"),
    [
        (TAKES, held(DESK, project_creation="true"), True),
        (TAKES, (), False),
        (TAKES, held(SOLO), False),
        (TAKES, held(DESK, ours=False, project_creation="true"), False),
        (TAKES, held(DESK, project_creation="false"), False),
        (TAKES, held(DESK, project_creation="true", project_publishing="true"), False),
        (GIVES, (), True),
        (GIVES, held(SOLO), True),
        (GIVES, held(DESK), False),
        (SETS, held(DESK, project_creation="true"), True),
        (SETS, held(DESK, project_creation="true", project_publishing="true"), True),
        (SETS, held(DESK, project_creation="false"), False),
        (SETS, held(DESK, ours=False, project_creation="true"), False),
        (TAKES_PROCESSES, held(SOLO, processes="1/7/ 1/8/ 1/9/"), True),
        (TAKES_PROCESSES, held(SOLO, processes="1/8/"), False),
        (ADDS, held(SOLO, processes="1/8/ 1/7/"), True),
        (ADDS, held(SOLO, processes="1/7/"), False),
        (ADDS, held(SOLO, processes="1/7/ 1/8/ 1/5/"), False),
    ],
)
def test_a_licence_stands_as_it_was_shown(change: Change, licences: tuple[HeldLicence, ...], stands: bool) -> None:
    """Ours, with the settings before; processes in any order, and where only some are taken others may be besides."""
    assert still_stands(Done(change=change, record=OURS, licences=licences)) is stands
    assert not still_stands(Done(change=change, record=STRANGER, licences=licences))
    assert not still_stands(Done(change=change, record=None, licences=licences))
    assert still_stands(Done(change=change, record=None, remade=True, licences=licences)) is stands


@pytest.mark.parametrize("kind", ["membership", "ownership"])
def test_a_link_stands_while_its_group_is_ours_and_it_is_not_done_yet(kind: Any) -> None:
    """Or while the same plan makes the group anew."""
    link = Change(phase=Phase.LINKS, action="link", object=kind, bps_id="all@grp", target="ann@x.com")
    unlink = replace(link, phase=Phase.UNLINKS, action="unlink")
    for record, remade, stands in (
        (OURS, False, True),
        (STRANGER, False, False),
        (None, False, False),
        (None, True, True),
    ):
        assert still_stands(Done(change=link, record=record, linked=False, remade=remade)) is stands
        assert still_stands(Done(change=unlink, record=record, linked=True, remade=remade)) is stands
        assert not still_stands(Done(change=link, record=record, linked=True, remade=remade))
        assert not still_stands(Done(change=unlink, record=record, linked=False, remade=remade))


def test_an_update_stands_for_the_same_person_over_the_same_values() -> None:
    """Neither for another source object, nor for a stranger's record, nor over another value."""
    change = Change(
        phase=Phase.USERS,
        action="update",
        object="user",
        bps_id="ann@x.com",
        target="",
        source_key=1,
        before={"name": "Ann"},
        after={"name": "Anna"},
    )
    assert still_stands(Done(change=change, record=OURS))
    assert not still_stands(Done(change=change, record=replace(OURS, source_key=2)))
    assert not still_stands(Done(change=change, record=replace(OURS, fields={"name": "Annie"})))
    assert not still_stands(Done(change=change, record=STRANGER))
    assert not still_stands(Done(change=change, record=None))


def test_an_adoption_stands_while_the_record_is_nobodys() -> None:
    """One that is ours by now is not adopted again."""
    change = Change(
        phase=Phase.USERS,
        action="adopt",
        object="user",
        bps_id="ann@x.com",
        target="",
        source_key=1,
        before={"name": "Ann"},
        after={"name": "Anna"},
    )
    assert still_stands(Done(change=change, record=STRANGER))
    assert not still_stands(Done(change=change, record=OURS))
    assert not still_stands(Done(change=change, record=replace(STRANGER, fields={"name": "Annie"})))


def test_a_creation_does_not_stand_when_the_record_is_there_by_now() -> None:
    """The guard withholds no creation today; one that let it must not meet a plan that overwrites."""
    made = Change(
        phase=Phase.USERS,
        action="create",
        object="user",
        bps_id="ann@x.com",
        target="",
        source_key=1,
        after={"name": "Ann"},
    )
    assert still_stands(Done(change=made, record=None))
    assert not still_stands(Done(change=made, record=OURS))


def test_a_licence_of_an_account_that_is_not_ours_any_more_is_left() -> None:
    """Given back since: what it holds is its own affair."""
    given = licence("grant", DESK, {}, {"project_creation": "true"})
    result = reverse_licence(Done(change=given, record=STRANGER, licences=held(DESK, project_creation="true")))
    assert (result.changes, result.left) == ((), "the account is not ours any more")
    assert reverse_licence(Done(change=given, record=OURS, licences=held(DESK, project_creation="true"))).changes


def test_the_protect_list_forbids_by_the_record_and_by_the_member() -> None:
    """Whatever the case, and before the mode is looked at."""
    change = Change(phase=Phase.UNLINKS, action="unlink", object="membership", bps_id="All@grp", target="Ann@x.com")
    for protect in ({"all@grp"}, {"ann@x.com"}):
        assert "scope.protect" in find_forbidden(change, make_policy(), protect=frozenset(protect))
    assert find_forbidden(change, make_policy(), protect=frozenset({"ben@x.com"})) == ""
    assert "policy.mode" in find_forbidden(change, make_policy(mode="upsert_only"), protect=frozenset())

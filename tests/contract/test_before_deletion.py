"""Before an account is deleted, the portal is asked once more what hangs on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.errors import Unavailable
from syncd.model.run import RunRecord
from tests.contract.office import DAY, Office
from tests.fakes.wired import Asked

GONE = Asked("delete", "user", "cleo@x.com")
TAKEN = Asked("revoke", "licence", "cleo@x.com", "ExternalUser")


def give(office: Office) -> None:
    """Give cleo a licence by hand."""
    office.wire.service.licences.assign(
        {"assignLicenses": [{"bpsId": "cleo@x.com", "licenses": [{"type": "ExternalUser"}]}]}
    )


async def leave(office: Office, *, ruled: bool = True) -> None:
    """Let cleo leave, until her grace is over."""
    if not ruled:
        office.rules = replace(office.rules, licences=())
    assert (await office.sync("full")).status == "succeeded"
    office.source.put_user("cleo", accountEnabled=False)
    assert (await office.sync()).status == "succeeded"
    await office.clock.sleep(4 * DAY)
    office.take_asked()


def refuse_licences(method: str, target: str) -> None:
    """Stand for a portal that has lost the part of it that tells licences."""
    if method == "GET" and "/admin/license" in target:
        raise Unavailable("the connection broke")


@pytest.mark.both_engines
@pytest.mark.parametrize("ruled", [True, False])
@pytest.mark.parametrize("office", [{}, {"licence_repeated": "conflict"}], indirect=True, ids=["plain", "conflict"])
async def test_a_licence_given_by_hand_is_revoked_before_its_account_is_deleted(office: Office, ruled: bool) -> None:
    """Also in a delta run, which does not read licences, and where no rule gives any: the seat is free again."""
    await leave(office, ruled=ruled)
    give(office)
    run = await office.sync()
    assert run.status == "succeeded", run.error
    asked = office.take_asked()
    assert asked.index(TAKEN) < asked.index(GONE)
    assert "cleo@x.com" not in office.held()


async def test_many_deletions_ask_for_everybodys_licences_at_once(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request instead of one for each."""
    monkeypatch.setattr("syncd.sync.portal.licences._FEW", 0)
    await leave(office, ruled=False)
    give(office)
    assert (await office.sync()).status == "succeeded"
    asked = office.take_asked()
    assert asked.index(TAKEN) < asked.index(GONE)


async def test_a_licence_given_after_the_plan_puts_the_deletion_off(office: Office) -> None:
    """The account stays until the next run has revoked it."""
    await leave(office)

    def give_late(method: str, target: str) -> None:
        if method == "GET" and "/admin/license?" in target:
            office.wire.after = None
            give(office)

    office.wire.after = give_late
    assert (await office.sync()).status == "succeeded"
    assert GONE not in office.take_asked()
    assert (await office.sync()).status == "succeeded"
    asked = office.take_asked()
    assert asked.index(TAKEN) < asked.index(GONE)


async def _hide(office: Office) -> RunRecord:
    office.wire.before = refuse_licences
    run = await office.sync()
    office.wire.before = None
    return run


@pytest.mark.parametrize("ruled", [True, False])
async def test_without_an_answer_the_deletion_waits(office: Office, ruled: bool) -> None:
    """What hangs on the account cannot be known, so it stays; the next run that gets an answer deletes it."""
    await leave(office, ruled=ruled)
    give(office)
    await _hide(office)
    assert GONE not in office.take_asked()
    await office.sync()
    asked = office.take_asked()
    assert asked.index(TAKEN) < asked.index(GONE)


@pytest.mark.parametrize("office", [{"perpetual_licences": True}], indirect=True)
async def test_perpetual_licensing_holds_no_deletion_up(office: Office) -> None:
    """Where the portal assigns licences by itself there is nothing to revoke."""
    await leave(office, ruled=False)
    assert (await office.sync()).status == "succeeded"
    assert GONE in office.take_asked()


async def test_whoever_has_no_rules_need_not_give_the_scope(office: Office) -> None:
    """The application that may not see licences deletes as it did before."""
    await leave(office, ruled=False)
    office.wire.application.scopes = {
        scope for scope in office.wire.application.scopes if "License" not in scope and "All" not in scope
    }
    assert (await office.sync()).status == "succeeded"
    assert GONE in office.take_asked()


async def test_a_substitution_that_has_not_ended_puts_the_deletion_off(office: Office) -> None:
    """The grace was shortened: the account is due, and its tasks would still go to somebody for days."""
    policy = replace(office.rules.policy, substitute="manager")
    office.rules = replace(office.rules, policy=replace(policy, grace=timedelta(days=30)))
    await leave(office)
    office.rules = replace(office.rules, policy=policy)

    def refuse_ends(method: str, target: str) -> None:
        if method == "DELETE" and "/admin/substitutions/" in target:
            raise Unavailable("the connection broke")

    office.wire.before = refuse_ends
    await office.sync()
    assert GONE not in office.take_asked()
    office.wire.before = None
    await office.sync()
    assert GONE in office.take_asked()

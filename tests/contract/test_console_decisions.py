"""Decisions in the console: exactly what was shown and chosen, by whom, carried out by the daemon as an approval."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence

import pytest

from syncd.model.run import RunRecord, RunRequest
from tests.fakes.console import Answer, Browser, ConsoleStage, open_console
from tests.fakes.daemon import watching_logs
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World

ANN = "11111111-2222-3333-4444-555555555555"


async def found_company(world: World) -> None:
    """Ten people in one group, and then four of them disabled: run 2 holds four unlinks and four deletions."""
    world.rules = make_rules(
        limits=make_limits(max_removal_percent=10, min_population=4),
        policy=make_policy(disabled_users="delete", grace=world.clock.ahead),
    )
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for number in range(10):
        login = f"u{number}@x.com"
        world.source.put_user(f"u{number}", userPrincipalName=login, displayName=f"Person {number}", mail=login)
        world.source.link("g", f"u{number}")
    assert (await world.sync("full")).status == "succeeded"
    for number in range(4):
        world.source.put_user(f"u{number}", accountEnabled=False)
    assert (await world.sync("delta")).status == "held"


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


@pytest.fixture
async def stage(world: World) -> AsyncIterator[ConsoleStage]:
    """A console over that company."""
    async with open_console(world) as opened:
        yield opened


async def work(world: World) -> RunRecord | None:
    """Do what a working daemon does with the oldest order; None where there is none."""
    approval = await world.store.decisions.load_order()
    if approval is None:
        return None
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=approval)
    record = await world.runs.execute(request, world.open_sides())
    await world.store.decisions.finish_order(approval.order, record.id)
    return record


async def ask(browser: Browser, decision: str, *chosen: tuple[str, str], run: int = 2) -> Answer:
    """Send the first form."""
    return await browser.post(f"/held/{run}", [("decision", decision), ("reason", "It is  right"), *chosen])


async def confirm(browser: Browser, shown: Answer, run: int = 2) -> Answer:
    """Send the second form as it was shown."""
    return await browser.post(f"/held/{run}", shown.fields())


def members(world: World) -> Sequence[str]:
    """Return who is in the group in the portal."""
    return sorted(world.portal.picture()["all@grp"])


async def test_nothing_is_done_before_the_numbers_were_confirmed(world: World, stage: ConsoleStage) -> None:
    """The first form leads to a page of numbers; the second one is an order that the daemon carries out."""
    browser = stage.sign_in("approver", person=ANN)
    shown = await ask(browser, "approve", ("scope", "all"))
    assert shown.status == 200
    assert "You approve 8 changes" in shown.text
    assert await work(world) is None
    with watching_logs() as log:
        done = await confirm(browser, shown)
        assert (done.status, done.place) == (303, "/held/2?told=approve&decision=1")
        told = log.of("decision.recorded")[0]
    assert told["person_id"] == ANN
    assert "x.example" not in repr(told), "the log has the id alone"
    waiting = await browser.get("/held")
    assert "waits for the working daemon" in waiting.text
    record = await work(world)
    assert record is not None
    assert (record.status, record.trigger) == ("succeeded", "approval")
    assert len(members(world)) == 6
    decision = world.store.decisions.load_decisions(record.id)[0]
    assert (decision.by.name, decision.by.person_id, decision.by.via) == ("approver@x.example", ANN, "console")
    assert (decision.by.reason, decision.number, decision.result_run) == ("It is right", 8, record.id)
    assert "approver@x.example approved what run 2 held" in (await browser.get(f"/runs/{record.id}")).text
    assert await world.store.decisions.load_order() is None
    assert not world.store.decisions.load_waiting_decisions()


async def test_a_confirmation_counts_once(world: World, stage: ConsoleStage) -> None:
    """Sent again after it was carried out, it decides nothing: the run holds nothing any more."""
    browser = stage.sign_in("approver")
    shown = await ask(browser, "approve", ("scope", "all"))
    await confirm(browser, shown)
    await work(world)
    again = await confirm(browser, shown)
    assert again.status == 400
    assert len(world.store.decisions.load_decisions(2)) == 1
    assert await work(world) is None


async def test_people_are_approved_one_by_one(world: World, stage: ConsoleStage) -> None:
    """What concerns the others stays held."""
    browser = stage.sign_in("approver")
    page = await browser.get("/held/2")
    boxes = re.findall(r'name="only" value="([^"]*)"', page.text)
    assert boxes == ["u0@x.com", "u1@x.com", "u2@x.com", "u3@x.com"]
    shown = await ask(browser, "approve", ("scope", "people"), ("only", boxes[1]))
    assert "You approve 2 changes" in shown.text
    await confirm(browser, shown)
    record = await work(world)
    assert record is not None
    assert record.status == "held"
    assert "u1@x.com" not in members(world)
    assert len(members(world)) == 9


async def test_kinds_are_rejected_at_once_and_not_proposed_again(world: World, stage: ConsoleStage) -> None:
    """A rejection needs no daemon; the rest stays held."""
    browser = stage.sign_in("approver")
    shown = await ask(browser, "reject", ("scope", "kinds"), ("kind", "delete"))
    assert "You reject 4 changes" in shown.text
    assert (await confirm(browser, shown)).place == "/held/2?told=reject"
    assert world.store.decisions.count_rejections() == {2: 4}
    assert "4 changes of run 2" in (await browser.get("/held")).text
    record = await world.sync("delta")
    proposed = [change for change in world.changes(record) if not change.endswith("dropped")]
    assert {change.split()[0] for change in proposed} == {"unlink"}


async def test_what_has_changed_since_it_was_shown_is_shown_again(world: World, stage: ConsoleStage) -> None:
    """A colleague rejected one of them meanwhile: the numbers are told anew, and nothing is decided."""
    browser, colleague = stage.sign_in("approver"), stage.sign_in("approver")
    shown = await ask(browser, "approve", ("scope", "all"))
    await confirm(colleague, await ask(colleague, "reject", ("scope", "people"), ("only", "u0@x.com")))
    again = await confirm(browser, shown)
    assert again.status == 200
    assert "has changed since you looked" in again.text
    assert "You approve 6 changes" in again.text
    assert await work(world) is None
    await confirm(browser, again)
    record = await work(world)
    assert record is not None
    assert "u0@x.com" in members(world)


async def test_both_sides_are_looked_at_again(world: World, stage: ConsoleStage) -> None:
    """Somebody is enabled again after the approval: he stays, though the approver had meant him."""
    browser = stage.sign_in("approver")
    await confirm(browser, await ask(browser, "approve", ("scope", "all")))
    world.source.put_user("u0", accountEnabled=True)
    record = await work(world)
    assert record is not None
    assert "u0@x.com" in members(world)
    assert len(members(world)) == 7


async def test_an_approval_that_nobody_has_begun_is_taken_back(world: World, stage: ConsoleStage) -> None:
    """Afterwards no daemon finds it, and both decisions are on record."""
    browser = stage.sign_in("approver")
    await confirm(browser, await ask(browser, "approve", ("scope", "all")))
    assert (await browser.post("/decisions/1/withdraw")).place == "/held"
    assert await work(world) is None
    assert [each.decision for each in world.store.decisions.load_decisions(2)] == ["approve", "withdraw"]
    assert (await browser.post("/decisions/1/withdraw")).status == 404


@pytest.mark.parametrize(
    "form",
    [
        [("decision", "approve"), ("reason", "x")],
        [("decision", "approve"), ("scope", "all")],
        [("decision", "approve"), ("scope", "all"), ("reason", "   ")],
        [("decision", "delete"), ("scope", "all"), ("reason", "x")],
        [("decision", "approve"), ("scope", "kinds"), ("reason", "x")],
        [("decision", "approve"), ("scope", "kinds"), ("kind", "destroy"), ("reason", "x")],
        [("decision", "approve"), ("scope", "kinds"), ("kind", "grant"), ("reason", "x")],
        [("decision", "approve"), ("scope", "people"), ("reason", "x")],
        [("decision", "approve"), ("scope", "people"), ("only", " "), ("reason", "x")],
        [("decision", "approve"), ("scope", "people"), ("only", "u9@x.com"), ("reason", "x")],
        [("decision", "approve"), ("scope", "everything"), ("reason", "x")],
    ],
)
async def test_half_a_form_decides_nothing(world: World, stage: ConsoleStage, form: list[tuple[str, str]]) -> None:
    """A choice without anything chosen is never taken for all."""
    answer = await stage.sign_in("approver").post("/held/2", form)
    assert answer.status == 400
    assert "Nothing was decided" in answer.text
    assert not world.store.decisions.load_decisions(2)
    assert await work(world) is None


async def test_a_reason_is_typed_once(world: World, stage: ConsoleStage) -> None:
    """A form for a hold that a newer run took the place of leads on to that run, with all that was chosen and typed."""
    browser = stage.sign_in("approver")
    shown = await ask(browser, "approve", ("scope", "people"), ("only", "u1@x.com"))
    newer = await world.sync("delta")
    refused = await confirm(browser, shown)
    assert refused.status == 400
    assert 'value="It is right"' in refused.text
    assert f'action="/held/{newer.id}"' in refused.text
    again = await browser.post(f"/held/{newer.id}", [*refused.fields(), ("reason", "It is right")])
    assert again.status == 200
    assert "You approve 2 changes" in again.text, "nothing is decided before the numbers are shown"
    assert "“It is right”" in again.text
    assert (await confirm(browser, again, run=newer.id)).status == 303
    assert world.store.decisions.load_decisions(newer.id)[0].only == ("u1@x.com",)


async def test_what_was_typed_comes_back_with_every_refusal(stage: ConsoleStage) -> None:
    """And so does what was chosen, where only the reason is missing."""
    browser = stage.sign_in("approver")
    half = await browser.post("/held/2", [("decision", "reject"), ("scope", "kinds"), ("reason", "<right>")])
    assert 'readonly value="&lt;right&gt;"' in half.text
    untold = await browser.post("/held/2", [("decision", "reject"), ("scope", "kinds"), ("kind", "delete")])
    assert (untold.status, 'action="/held/2"' in untold.text) == (400, True)
    assert "You reject 4 changes" in (await browser.post("/held/2", [*untold.fields(), ("reason", "x")])).text


async def test_a_viewer_sees_all_and_is_offered_nothing(stage: ConsoleStage) -> None:
    """No form to decide with, no boxes to tick."""
    text = (await stage.sign_in("viewer").get("/held/2")).text
    assert "u0@x.com" in text
    assert 'name="decision"' not in text
    assert 'name="only"' not in text


async def test_an_emptied_tenant_is_believed_by_a_word_of_its_own(world: World, stage: ConsoleStage) -> None:
    """To approve all of a run is not that word, and neither is a form without a reason."""
    for number in range(10):
        world.source.remove_user(f"u{number}")
    run = await world.sync("delta")
    assert run.counts["users_emptied"] == 1
    browser = stage.sign_in("approver")
    assert "The list of people in the tenant reads empty" in (await browser.get("/held")).text
    path, form = f"/held/{run.id}", [("emptied", "believe"), ("stream", "users")]
    assert (await stage.sign_in("viewer").post(path, [*form, ("reason", "x")])).status == 403
    assert (await ask(browser, "approve", ("scope", "all"), run=run.id)).status == 400
    assert (await browser.post(path, form)).status == 400
    assert (await browser.post(path, [*form[:1], ("stream", "groups"), ("reason", "x")])).status == 400
    assert (await world.sync("delta")).status == "held"
    run_id = world.store.runs.load_runs(1)[0].id
    assert (await browser.post(f"/held/{run_id}", [*form, ("reason", "The company closed")])).place == "/held"
    after = await world.sync("delta")
    assert "users_emptied" not in after.counts

"""Counts that cannot be had: a full read is then without proof, and nothing else is different."""

from __future__ import annotations

import pytest

from syncd.errors import Forbidden, Rejected, RemoteError, Throttled, Timeout, Unavailable
from tests.fakes.office import PLACES, hire, settle_in
from tests.fakes.world import World

REFUSALS = {
    "refused": Rejected("$count is not available here.", status=400, code="Request_BadRequest"),
    "forbidden": Forbidden("not for you", status=403),
    "down": Unavailable("it is down", status=503),
    "late": Unavailable("no answer from behind", status=504),
    "throttled": Throttled("not now", status=429),
    "silent": Timeout("no answer in time"),
}


def found_company(world: World) -> None:
    """The company that most tests of pulls play with."""
    settle_in(world.source)


pytestmark = pytest.mark.company(founded_by=found_company)


@pytest.mark.both_engines
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_full_read_without_counts_is_partial_and_names_the_reason(world: World, refusal: RemoteError) -> None:
    """What the tenant shows is carried out, absence proves nothing, and the run says why."""
    assert (await world.sync("full")).status == "succeeded"
    source = world.source
    source.no_counts = refusal
    source.users["u3"].state = "gone"  # no list and no delta shows it any more
    hire(source, 8)
    source.link("g1", "u8")
    run = await world.sync("full")
    assert run.status == "partial"
    assert "count" in run.error
    assert str(refusal) in run.error
    assert world.portal.picture()["all@grp"] == PLACES["all@grp"] | {"u8@x.com"}


@pytest.mark.parametrize("first", [True, False])
async def test_delta_runs_go_on_as_usual_while_counts_cannot_be_had(world: World, first: bool) -> None:
    """Also on a store that never had a proof: hires, renames and leavers are carried out, and the run succeeds."""
    source = world.source
    if not first:
        assert (await world.sync("full")).status == "succeeded"
    source.no_counts = REFUSALS["refused"]
    assert (await world.sync("full")).status == "partial"
    hire(source, 8)
    source.link("g1", "u8")
    source.put_user("u1", accountEnabled=False)
    source.unlink("g2", "u4")
    source.remove_user("u2")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.picture() == {
        "all@grp": {"u0@x.com", "u3@x.com", "u8@x.com"},
        "sales@grp": {"u0@x.com"},
        "ring@grp": {"u0@x.com"},
    }


async def test_an_unchanged_delta_run_asks_each_stream_once_while_counts_cannot_be_had(world: World) -> None:
    """Nothing of it makes the runs in between dearer, on either side."""
    world.source.no_counts = REFUSALS["down"]
    await world.sync("full")
    await world.sync("delta")
    world.source.calls.clear()
    world.portal.down = True
    assert (await world.sync("delta")).status == "succeeded"
    assert sorted(world.source.calls) == ["groups d:", "users d:"]


async def test_a_group_that_returns_is_read_while_counts_cannot_be_had(world: World) -> None:
    """Its members are added; whom the readings lack stays, since no count confirms that."""
    await world.sync("full")
    source = world.source
    source.remove_group("g2")
    await world.sync("delta")
    source.no_counts = REFUSALS["down"]
    source.groups["g2"].members.pop("u4")  # nobody has told that
    source.put_group("g2")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.picture() == PLACES
    source.no_counts = None
    assert (await world.sync("full")).status == "succeeded"
    assert world.portal.picture()["sales@grp"] == {"u0@x.com"}


@pytest.mark.both_engines
async def test_the_next_full_read_with_counts_sweeps(world: World) -> None:
    """The proof is all that was missing."""
    await world.sync("full")
    world.source.no_counts = REFUSALS["refused"]
    world.source.users["u3"].state = "gone"
    await world.sync("full")
    world.source.no_counts = None
    assert (await world.sync("full")).status == "succeeded"
    assert world.portal.picture()["all@grp"] == PLACES["all@grp"] - {"u3@x.com"}

"""What ``probe_portal`` finds out about a portal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from syncd.bps.portal import BpsPortal
from syncd.bps.probe import probe_portal
from syncd.errors import AuthFailed, Unavailable
from syncd.sandbox.wire.knobs import PortalKnobs
from tests.contract.bps.conftest import ANN, LoopClock, Opener
from tests.contract.fake_portal import FakePortal
from tests.contract.openapi import Judge, load_contract
from tests.fakes.wired import Wire

pytestmark = pytest.mark.looptime


async def found(portal: BpsPortal) -> dict[str, str]:
    return {check.check: check.status for check in await probe_portal(portal)}


async def test_a_good_portal_passes_every_check(fake: FakePortal, portal: BpsPortal) -> None:
    """All is well but for plain http, and nothing was changed."""
    fake.add_user(ANN.bps_id)
    checks = await found(portal)
    assert checks == {
        "portal https": "warning",
        "portal reachable": "ok",
        "portal token": "ok",
        "portal api": "ok",
        "portal users read": "ok",
        "portal groups read": "ok",
        "portal users write": "ok",
        "portal groups write": "ok",
        "portal clock": "ok",
    }
    assert list(fake.users) == [ANN.bps_id]


async def test_each_missing_scope_is_found(fake: FakePortal, portal: BpsPortal) -> None:
    """Read scopes do not pass for write scopes, and each finding names the scope to grant."""
    fake.scopes = {"Admin.Users.Read"}
    checks = {check.check: check for check in await probe_portal(portal)}
    assert [name for name, check in checks.items() if check.status == "failed"] == [
        "portal groups read",
        "portal users write",
        "portal groups write",
    ]
    assert "Admin.Users.ReadWrite" in checks["portal users write"].remedy


async def test_a_missing_scope_for_substitutions_is_a_warning(fake: FakePortal, portal: BpsPortal) -> None:
    """Only where a policy asks for them, and with both ways out: everything else is done without them."""
    (check,) = [check for check in await probe_portal(portal, substitutions=True) if "substitutions" in check.check]
    assert check.status == "warning"
    assert "Admin.Substitutions.ReadWrite" in check.remedy
    assert "policy.rename_substitute = false" in check.remedy
    fake.scopes.add("Admin.Substitutions.ReadWrite")
    assert {item.check: item.status for item in await probe_portal(portal, substitutions=True)}[check.check] == "ok"


async def test_a_wrong_secret_is_told_from_an_unreachable_portal(fake: FakePortal, opener: Opener) -> None:
    """The findings say whether it is the network or the registration; what could not be tried is unknown."""
    async with opener(secret=lambda: "wrong") as portal:
        checks = await found(portal)
    assert (checks["portal reachable"], checks["portal token"], checks["portal api"]) == ("ok", "failed", "unknown")
    async with opener(portal_url="https://127.0.0.1:9/") as portal:
        checks = await found(portal)
    assert (checks["portal https"], checks["portal reachable"], checks["portal token"]) == ("ok", "failed", "unknown")


@pytest.mark.parametrize(
    ("missing", "knobs"),
    [
        (None, {}),
        ("Admin.Users.ReadWrite", {}),
        ("Admin.Groups.ReadWrite", {}),
        ("Admin.Licenses.ReadWrite", {}),
        ("Admin.Substitutions.ReadWrite", {}),
        (None, {"perpetual_licences": True}),
        (None, {"licence_repeated": "conflict"}),
        (None, {"installation": "sharepoint"}),
        (None, {"token_lifetime": 0}),
    ],
)
async def test_every_question_and_answer_fits_webcons_document(missing: str | None, knobs: dict[str, Any]) -> None:
    """Also where a scope is missing, tokens are worthless, or the portal has no groups or no licences to give."""
    load_contract()
    wire = Wire(LoopClock(), PortalKnobs(**knobs))
    wire.observer = judge = Judge()
    if missing is not None:
        wire.application.scopes.remove(missing)
    checks = await probe_portal(wire.open(), licences=True, substitutions=True)
    assert judge.broken == []
    assert judge.judged >= (7 if "perpetual_licences" in knobs else 8)
    unwell = {check.check for check in checks if check.status != "ok"} - {"portal clock"}  # this wire tells no time
    assert bool(unwell) == (missing is not None or bool(knobs.keys() - {"licence_repeated"}))
    assert wire.asked == [], "nothing was changed"


@pytest.mark.parametrize("path", ["/nowhere", "", "/WEBCONBPS/nowhere"])
async def test_a_wrong_path_is_no_portal(fake: FakePortal, port: int, opener: Opener, path: str) -> None:
    """Something answers at that host, but calling it reachable would send the administrator elsewhere."""
    async with opener(portal_url=f"http://127.0.0.1:{port}{path}") as portal:
        checks = {check.check: check for check in await probe_portal(portal)}
    assert (checks["portal reachable"].status, checks["portal token"].status) == ("failed", "unknown")
    assert "bps.portal_url" in checks["portal reachable"].detail + checks["portal reachable"].remedy


async def test_an_unreachable_portal_names_the_setting(opener: Opener) -> None:
    """The sentence itself says where to look, also in a run's record."""
    async with opener(portal_url="https://127.0.0.1:9/") as portal:
        with pytest.raises(Unavailable, match=r"cannot be reached: Connection refused; check bps\.portal_url"):
            await portal.check()


async def test_a_small_question_finds_out_whether_the_portal_is_there(fake: FakePortal, opener: Opener) -> None:
    """A good portal passes, also without access to that one thing; a wrong secret does not."""
    async with opener() as portal:
        await portal.check()
        fake.scopes = set()
        await portal.check()
    async with opener(secret=lambda: "wrong") as portal:
        with pytest.raises(AuthFailed):
            await portal.check()


async def test_an_old_portal_fails_the_checks_of_the_api(fake: FakePortal, portal: BpsPortal) -> None:
    """No finding claims a scope where there is no API."""
    fake.has_v6 = False
    checks = await found(portal)
    assert set(checks.values()) <= {"warning", "ok", "failed", "unknown"}
    assert checks["portal api"] == checks["portal users read"] == "failed"
    assert checks["portal users write"] != "ok"


async def test_a_clock_that_is_off_is_a_warning(fake: FakePortal, opener: Opener) -> None:
    """Two machines that disagree about the time are worth a word."""

    class LateClock(LoopClock):
        def now(self) -> datetime:
            return datetime(2031, 1, 1, tzinfo=UTC)

    async with opener(clock=LateClock()) as portal:
        assert (await found(portal))["portal clock"] == "warning"

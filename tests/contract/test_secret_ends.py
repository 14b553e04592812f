"""When a client secret ends: noted in the settings, or read from the application's own record, and told everywhere."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import stamina

from syncd.bootstrap.checks import check_portal_credential
from syncd.bootstrap.settings import list_credential_ends, list_expiring, make_credential
from syncd.bootstrap.sides import make_bps_options
from syncd.cli.commands.due import load_dates
from syncd.clock import Clock
from syncd.errors import Unavailable
from syncd.graph.application import choose_end, find_secret_end
from syncd.graph.checks.credential import judge_secret, probe_credential, probe_secret
from syncd.graph.credentials import ClientSecret
from syncd.http import RetryPolicy
from syncd.model.credential import SecretEnd
from syncd.plan.report.due import tell_credential
from syncd.plan.report.verdict import Standing, list_troubles
from syncd.sandbox.wire.faults import Fault
from syncd.store.reports.overview import load_overview
from syncd.store.store import Store
from tests.fakes.daemon import make_settings, open_new_store
from tests.fakes.tenant import READING, Tenant, make_error
from tests.fakes.world import World

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ONCE = RetryPolicy(attempts=1, patience=1.0)
READER = READING | {"Application.Read.All"}
OWN = "/v1.0/applications(appId='client')?$select=passwordCredentials"


def entry(days: float, hint: str | None = "abc") -> dict[str, Any]:
    """Return a secret of the record that ends so many days from now."""
    return {"hint": hint, "endDateTime": f"{NOW + timedelta(days=days):%Y-%m-%dT%H:%M:%S}.1234567Z"}


@pytest.mark.parametrize(
    ("entries", "days"),
    [
        ([entry(90)], 90),
        ([entry(5, "xyz"), entry(90)], 90),  # another one's
        ([entry(-3), entry(90), entry(400)], 90),  # of several that it may be the one that ends first
        ([entry(-3), entry(-9)], -3),
        ([entry(20, None), entry(90, "xyz")], 20),  # older ones have no hint
        ([entry(20, None), entry(90)], 90),
        ([entry(90, "xyz")], None),
        ([], None),
        (["odd", None, {"hint": "abc", "endDateTime": "soon"}, {"hint": "abc"}], None),
    ],
)
def test_our_secret_is_known_by_its_beginning(entries: list[Any], days: float | None) -> None:
    """Never the end of another one while ours can be told; nothing rather than a guess."""
    found = choose_end(entries, "abcdef", now=NOW)
    expected = None if days is None else NOW + timedelta(days=days, microseconds=123456)
    assert found == expected


async def test_the_own_record_tells_the_end() -> None:
    """One request, with the optional permission; the token's permissions are looked at first."""
    tenant = Tenant(roles=READER)
    tenant.knobs.secret_days = 100
    found = await find_secret_end(tenant.open_client(), now=tenant.clock.now(), retry=ONCE)
    assert found is not None
    assert (found.application, (found.ends_at - tenant.clock.now()).days) == ("client", 100)
    assert [request.target for request in tenant.ledger.entries] == [OWN]
    tenant.knobs.secret_hint = False
    assert await find_secret_end(tenant.open_client(), now=tenant.clock.now(), retry=ONCE) == found


async def test_without_the_permission_nothing_is_asked() -> None:
    """No request is spent, and none is held against anybody."""
    tenant = Tenant()
    assert await find_secret_end(tenant.open_client(), now=NOW, retry=ONCE) is None
    assert not tenant.ledger.entries
    opaque = Tenant(opaque=True)
    assert await find_secret_end(opaque.open_client(), now=NOW, retry=ONCE) is None
    assert [request.target for request in opaque.ledger.entries if "applications" in request.target][:1] == [OWN]


async def test_trouble_on_the_way_is_no_answer() -> None:
    """What may pass is raised, so that what was known stays known."""
    tenant = Tenant(roles=READER)
    tenant.faults.add(Fault("status", path=".*applications.*", status=503, body=make_error("x")))
    with stamina.set_testing(True, attempts=1), pytest.raises(Unavailable):
        await find_secret_end(tenant.open_client(), now=NOW, retry=ONCE)


async def test_the_check_says_who_told_it() -> None:
    """The record counts more than the settings; without it the settings; without both it says what can be done."""
    tenant = Tenant(roles=READER)
    tenant.knobs.secret_days = 100
    now = tenant.clock.now()
    told = await probe_secret(tenant.open_client(), now + timedelta(days=3), now=now)
    assert (told.status, "own record; graph.client_secret_expires says" in told.detail) == ("ok", True)
    refused = Tenant()
    noted = await probe_secret(refused.open_client(), now + timedelta(days=3), now=now)
    assert (noted.status, "may not be read (Application.Read.All is optional)" in noted.detail) == ("warning", True)
    silent = await probe_secret(refused.open_client(), None, now=now)
    assert (silent.status, "graph.client_secret_expires" in silent.remedy) == ("unknown", True)
    past = judge_secret("portal credential", "bps.client_secret", now, now=now, said="by the settings")
    assert past.status == "failed"


async def found_company(world: World) -> None:
    """One person, synchronised."""
    world.source.put_user("u1", userPrincipalName="ann@x.com", displayName="Ann")
    world.source.secret_end = SecretEnd("client", world.clock.now() + timedelta(days=20))
    await world.sync("full")


@pytest.mark.company(founded_by=found_company)
async def test_the_record_is_read_once_a_day_and_by_full_runs_only(world: World) -> None:
    """No delta run asks, no second full run of a day; a refusal forgets, an answer that failed does not."""
    ends, now = world.store.secret_ends, world.clock.now()
    assert world.source.looked_for_secret == 1
    for kind in ("full", "delta"):
        assert (await world.sync(kind)).status == "succeeded"
    assert world.source.looked_for_secret == 1
    found = await ends.load("client", now=now)
    assert found is not None
    assert await ends.load("another", now=now) is None
    assert await ends.load("client", now=now + timedelta(days=9)) is None
    world.clock.ahead = timedelta(days=1)
    await world.sync("delta")
    assert world.source.looked_for_secret == 1
    world.source.secret_end = Unavailable("no answer", status=503)
    assert (await world.sync("full")).status == "succeeded"
    assert await ends.load("client", now=world.clock.now()) == found
    world.source.secret_end = None
    await world.sync("full")
    assert world.source.looked_for_secret == 3
    assert await ends.load("client", now=world.clock.now()) is None


def test_the_settings_note_the_end_on_both_sides(tmp_path: Path) -> None:
    """Told from the beginning of that day on, in `due` and to the daemon; the tenant's word counts more."""
    now = Clock().now()
    near, far = now + timedelta(days=29), now + timedelta(days=60)
    settings = make_settings(
        f"sqlite:///{tmp_path / 'store.db'}",
        graph__tenant_id="contoso.com",
        graph__client_id="client",
        graph__client_secret="x",
        graph__client_secret_expires=f"{near:%Y-%m-%d}",
        bps__portal_url="https://bps.example.com",
        bps__client_id="portal",
        bps__client_secret="y",
        bps__client_secret_expires=f"{far:%Y-%m-%d}",
    )
    database = open_new_store(settings)
    midnight = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}
    ends = {"graph.client_secret": near.replace(**midnight), "bps.client_secret": far.replace(**midnight)}  # type: ignore[arg-type]  # numbers
    assert list_credential_ends(settings, database, now) == ends
    assert list(list_expiring(settings, database, now)) == ["graph.client_secret"]
    assert [(each.what, each.key) for each in load_dates(settings, database, now)] == [
        ("credential", "graph.client_secret"),
        ("credential", "bps.client_secret"),
    ]
    Store(database).secret_ends.save.blocking(SecretEnd("client", far), now=now)
    assert list_credential_ends(settings, database, now)["graph.client_secret"] == far
    database.close()


def test_an_end_is_told_of_the_key_that_is_set(tmp_path: Path) -> None:
    """A secret that a file holds goes by the key of the file: in `due`, in the advice, and to both adapters."""
    now = Clock().now()
    (secret := tmp_path / "secret").write_text("kept in a file")
    settings = make_settings(
        f"sqlite:///{tmp_path / 'store.db'}",
        graph__tenant_id="contoso.com",
        graph__client_id="client",
        graph__client_secret_file=str(secret),
        graph__client_secret_expires=f"{now:%Y-%m-%d}",
        bps__portal_url="https://bps.example.com",
        bps__client_id="portal",
        bps__client_secret_file=str(secret),
        bps__client_secret_expires=f"{now:%Y-%m-%d}",
    )
    with contextlib.closing(open_new_store(settings)) as database:
        told = {each.key: each.detail for each in load_dates(settings, database, now)}
    assert told.keys() == {"graph.client_secret_file", "bps.client_secret_file"}
    assert "graph.client_secret_file has ended" in told["graph.client_secret_file"]
    credential = make_credential(settings.graph)
    assert isinstance(credential, ClientSecret)
    graph = probe_credential(credential, now, now=now)
    assert "write it into graph.client_secret_file (read without a restart)" in graph.remedy
    assert "write it into bps.client_secret_file" in check_portal_credential(settings, Clock()).remedy
    assert make_bps_options(settings).credential_setting == "bps.client_secret_file"


def test_a_credential_that_has_ended_is_not_said_to_end_soon(world: World) -> None:
    """Neither in the sentence of `status`, nor among the dates; what ends later is told apart."""
    now = Clock().now()
    past, soon = (tell_credential("x", now + timedelta(days=days), now=now).detail for days in (0, 1))
    assert (past.startswith("the credential of x has ended"), soon) == (True, "the credential of x ends")
    standing = Standing(
        emptied=0,
        works=True,
        fresh=False,
        last={"full": None, "delta": None},
        sides=load_overview(world.database, now=now).sides,
        held=0,
        failing=0,
        short={},
        ending=1,
        ended=2,
    )
    assert [each for each in list_troubles(standing) if "credential" in each] == [
        "2 credentials have ended",
        "1 credential ends soon",
    ]

"""How the adapter addresses the portal, and what it makes of its refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.bps.portal import BpsPortal
from syncd.errors import (
    Forbidden,
    Rejected,
    SyncdError,
    Throttled,
    Unavailable,
)
from syncd.model.target import Creation
from syncd.sync.ports.sides import Portal, TrafficMeter
from tests.contract.bps.conftest import ANN, TEAM, G, Opener, read_all
from tests.contract.fake_portal import FakePortal, Fault

pytestmark = pytest.mark.looptime


async def test_it_fulfils_the_ports(portal: BpsPortal) -> None:
    """The adapter is a Portal and a TrafficMeter by shape; the type checker judges this test."""
    as_portal: Portal = portal
    as_meter: TrafficMeter = portal
    assert await as_portal.fetch_account("nobody@corp.example") is None
    assert as_meter.read_traffic()["requests"] == 2


@pytest.mark.parametrize("prefix", ["", "/WEBCONBPS", "/5774", "/a/b"])
async def test_the_portal_may_live_under_a_path(fake: FakePortal, opener: Opener, port: int, prefix: str) -> None:
    """The portal URL is used as given, with or without path and trailing slash."""
    fake.prefix = prefix
    fake.add_user("a@b.example")
    async with opener(portal_url=f"http://127.0.0.1:{port}{prefix}/") as portal:
        assert await portal.fetch_account("a@b.example") is not None


@pytest.mark.parametrize(
    ("bps_id", "encoded"),
    [
        ("a+b@x", "a%2Bb%40x"),
        ("Dü@x", "D%C3%BC%40x"),
        ("DOM\\user", "DOM%5Cuser"),
        ("a b&c=d/e%2F#?", "a%20b%26c%3Dd%2Fe%252F%23%3F"),
    ],
)
async def test_bps_ids_are_percent_encoded_to_the_last_character(
    fake: FakePortal, portal: BpsPortal, bps_id: str, encoded: str
) -> None:
    """Whatever an id contains reaches the portal unchanged, in the query form of the route."""
    fake.add_user(bps_id)
    account = await portal.fetch_account(bps_id)
    assert account is not None
    assert account.bps_id == bps_id
    assert fake.seen[-1].path == f"/api/data/v6.0/admin/user?bpsId={encoded}"


async def test_a_missing_scope_is_named(fake: FakePortal, portal: BpsPortal) -> None:
    """A 403 says which scope the API application lacks."""
    fake.scopes = {"Admin.Users.Read"}
    assert await read_all(portal) == []
    with pytest.raises(Forbidden, match=r"Admin\.Users\.ReadWrite"):
        await portal.create_account(ANN)
    with pytest.raises(Forbidden, match=r"Admin\.Groups\.Read:"):
        await portal.fetch_group(G)
    with pytest.raises(Forbidden, match=r"Admin\.Groups\.ReadWrite"):
        await portal.add_members(G, ["a@b.example"])


async def test_a_portal_without_the_api_is_no_missing_record(fake: FakePortal, portal: BpsPortal) -> None:
    """Where the API itself is absent, nothing counts as deleted: the sentence names version and setting."""
    fake.has_v6 = False
    with pytest.raises(Rejected, match=r"no REST API v6\.0.*bps\.portal_url.*2024 R1"):
        await read_all(portal)
    with pytest.raises(Rejected, match=r"no REST API v6\.0"):
        await portal.fetch_account("a@b.example")
    with pytest.raises(Rejected, match=r"no REST API v6\.0"):
        await portal.delete_account("a@b.example")


async def test_a_bare_404_of_a_living_api_is_a_missing_record(fake: FakePortal, portal: BpsPortal) -> None:
    """A 404 without the error body is believed once the API has answered something else."""
    fake.bare_404 = True
    assert await portal.fetch_account("a@b.example") is None
    assert len(fake.calls("GET /api/data/v6.0/me")) == 1


async def test_a_portal_without_me_is_known_by_its_users(fake: FakePortal, portal: BpsPortal) -> None:
    """A copy, or a gateway before it, may lack the small thing that is asked for first."""
    fake.bare_404 = True
    fake.faults.append(Fault("GET /api/data/v6.0/me", 404, times=99))
    await portal.check()
    assert await portal.fetch_account("a@b.example") is None
    fake.has_v6 = False
    with pytest.raises(Rejected, match=r"no REST API v6\.0"):
        await portal.check()
    with pytest.raises(Rejected, match=r"no REST API v6\.0"):
        await portal.fetch_account("a@b.example")


async def test_an_installation_without_groups_is_named(fake: FakePortal, portal: BpsPortal) -> None:
    """The 405 of SharePoint-based installations is explained, and is not taken for a duplicate."""
    fake.sharepoint = True
    with pytest.raises(Rejected, match="this kind of installation has no BPS groups"):
        await portal.create_group(TEAM)


@pytest.mark.parametrize("guid_name", ["errorGuid", "guid", "correlationId"])
async def test_the_portals_own_words_and_log_id_are_passed_on(
    fake: FakePortal, portal: BpsPortal, guid_name: str
) -> None:
    """Code, description and the id under which the portal logged it are in the message, whatever the id is called."""
    fake.guid_name = guid_name
    with pytest.raises(
        Rejected, match=r"400 InvalidBodyParameterValue: “bpsId must have UPN format” \(portal log: [0-9a-f-]{36}\)"
    ):
        await portal.create_account(replace(ANN, bps_id="a+b@x.example"))


async def test_throttling_is_obeyed(fake: FakePortal, portal: BpsPortal) -> None:
    """A 429 is repeated after its Retry-After, also for a creation, and ends as Throttled when it asks too much."""
    fake.faults = [Fault("POST .*users", 429, headers={"Retry-After": "30"})]
    assert await portal.create_account(ANN) is Creation.CREATED
    first, second = fake.calls("POST .*users")
    assert second.at - first.at >= 30
    assert portal.read_traffic()["throttled"] == 1
    fake.faults = [Fault("DELETE", 429, headers={"Retry-After": "3600"})]
    with pytest.raises(Throttled):
        await portal.delete_account(ANN.bps_id)


async def test_a_maintenance_page_is_waited_out_or_reported(fake: FakePortal, portal: BpsPortal) -> None:
    """A 503 with a page for people is retried, and in the end reported by its text."""
    page = "<html><script>var x</script><h1>Service Unavailable</h1></html>"
    fake.faults = [Fault("GET .*users", 503, body=page)]
    assert await read_all(portal) == []
    fake.faults = [Fault("GET .*users", 503, body=page, times=99)]
    with pytest.raises(Unavailable, match=r"503: a web page “Service Unavailable”"):
        await read_all(portal)


async def test_every_error_is_of_our_taxonomy(fake: FakePortal, portal: BpsPortal) -> None:
    """Whatever status the portal answers, callers need to know one family of errors only."""
    for status in (300, 399, 400, 402, 404, 405, 409, 410, 418, 423, 429, 451, 500, 501, 503, 505, 511):
        fake.faults = [Fault("PATCH", status, times=99)]
        with pytest.raises(SyncdError):
            await portal.update_account(ANN.bps_id, {"name": "A"})

"""The Graph adapter over real TLS connections, against scripted answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from syncd.clock import Clock
from syncd.errors import (
    AuthFailed,
    BadQuery,
    Forbidden,
    Intercepted,
    NotFound,
    ProtocolError,
    Rejected,
    RemoteError,
    ResyncRequired,
    SyncdError,
    Throttled,
    Unavailable,
)
from syncd.graph import trail as trails
from syncd.graph.client import GraphClient, open_client
from syncd.graph.source import GraphSource
from syncd.model.source import GroupItem, Link, ManagerSet, UserItem
from tests.contract.fake_graph import Answer, Asked, FakeGraph, LoopClock, error, serve_graph

pytestmark = pytest.mark.looptime


@pytest.fixture
async def graph(tmp_path: Path) -> AsyncIterator[FakeGraph]:
    async with serve_graph(tmp_path) as fake:
        yield fake


@pytest.fixture
async def client(graph: FakeGraph) -> AsyncIterator[GraphClient]:
    async with open_client(graph.make_options(), LoopClock()) as opened:
        yield opened


@pytest.fixture
def source(client: GraphClient) -> GraphSource:
    return GraphSource(client, LoopClock())


def page(graph: FakeGraph, *entries: Any, next_link: str = "", delta_link: str = "") -> Answer:
    links = {"@odata.nextLink": next_link, "@odata.deltaLink": delta_link}
    return Answer(
        200,
        {"value": list(entries)} | {name: f"{graph.root}/v1.0/{text}" for name, text in links.items() if text},
    )


# --- pages and links


async def test_a_baseline_selects_what_is_needed_and_what_is_configured(graph: FakeGraph) -> None:
    """Nested attributes select their first segment, and the relationship is tracked with them."""
    options = graph.make_options(
        user_attributes=("jobTitle", "onPremisesExtensionAttributes.extensionAttribute1", "id", "mail")
    )
    graph.queue(page(graph, {"id": "U1"}, delta_link="users/delta?$deltatoken=d"))
    graph.queue(page(graph, {"id": "G1"}, delta_link="groups/delta?$deltatoken=d"))
    async with open_client(options, LoopClock()) as client:
        source = GraphSource(client, LoopClock())
        users = await source.fetch_page("users", None)
        await source.fetch_page("groups", None)
    assert users.items == (UserItem(id="u1", attributes={}),)
    assert users.delta_link == f"{graph.root}/v1.0/users/delta?$deltatoken=d"
    names = (
        "accountEnabled displayName employeeId identityParentId jobTitle mail onPremisesExtensionAttributes "
        "onPremisesImmutableId onPremisesSecurityIdentifier userPrincipalName userType manager"
    )
    assert graph.targets() == [
        f"/v1.0/users/delta?$select={names.replace(' ', ',')}",
        "/v1.0/groups/delta?$select=displayName,members",
    ]
    assert graph.asked[0].headers["x-ms-throttle-priority"] == "low"
    assert graph.asked[0].headers["client-request-id"] != graph.asked[1].headers["client-request-id"]


async def test_links_are_followed_byte_for_byte(graph: FakeGraph, source: GraphSource) -> None:
    """Percent-encoding inside a token is the token's own and comes back untouched."""
    target = "users/delta?$skiptoken=a%2Fb%27c%24d+e'f(g)%c3%A9~%7E&%24x=%2b"
    graph.queue(page(graph, delta_link="users/delta?$deltatoken=d"))
    await source.fetch_page("users", f"{graph.root}/v1.0/{target}")
    assert graph.targets() == [f"/v1.0/{target}"]


@pytest.mark.parametrize(
    "foreign",
    [
        "https://evil.example/v1.0/users/delta?$skiptoken=a",
        "https://localhost:1/v1.0/users/delta?$skiptoken=a",
        "http://{host}/v1.0/users/delta?$skiptoken=a",
        "https://{host}@evil.example/v1.0/users/delta",
        "https://user:word@{host}/v1.0/users/delta",
        "https://{host}/beta/users/delta?$skiptoken=a",
        "https://{host}/v1.0/../beta/users/delta",
        "https://{host}/v1.0/users/delta?a b",
        "https://{host}/v1.0/users/delta?a\r\nX: y",
        "https://[broken/v1.0/",
        "/v1.0/users/delta",
    ],
)
async def test_a_foreign_link_is_neither_followed_nor_handed_on(
    graph: FakeGraph, source: GraphSource, foreign: str
) -> None:
    """The bearer token never travels to a place that nobody configured."""
    link = foreign.replace("{host}", graph.root.removeprefix("https://"))
    with pytest.raises(ProtocolError, match="not followed"):
        await source.fetch_page("users", link)
    assert graph.asked == []
    graph.queue(*[Answer(200, {"value": [], "@odata.nextLink": link})] * 3)
    with pytest.raises(ProtocolError, match="not followed"):
        await source.fetch_page("users", None)


async def test_a_circle_of_pages_is_noticed(graph: FakeGraph, source: GraphSource) -> None:
    """A next link that came before in this round ends the round with an error instead of never."""
    graph.queue(*(page(graph, {"id": "A"}, next_link=f"users/delta?$skiptoken={name}") for name in "abca"))
    link = None
    for _ in range(3):
        link = (await source.fetch_page("users", link)).next_link
    with pytest.raises(ProtocolError, match="circle"):
        await source.fetch_page("users", link)


async def test_a_page_that_leads_to_itself_is_noticed(graph: FakeGraph, source: GraphSource) -> None:
    """A next link equal to the request is the smallest circle."""
    graph.queue(page(graph, {"id": "A"}, next_link="users/delta?$skiptoken=a"))
    with pytest.raises(ProtocolError, match="circle"):
        await source.fetch_page("users", f"{graph.root}/v1.0/users/delta?$skiptoken=a")


async def test_an_endless_row_of_empty_pages_is_noticed(
    graph: FakeGraph, source: GraphSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Single empty pages are normal; a row of them without an end is not."""
    monkeypatch.setattr(trails, "EMPTY_PAGE_CAP", 4)
    graph.queue(*(page(graph, next_link=f"users/delta?$skiptoken={number}") for number in range(4)))
    link = None
    for _ in range(3):
        link = (await source.fetch_page("users", link)).next_link
    with pytest.raises(ProtocolError, match="without an end"):
        await source.fetch_page("users", link)


async def test_the_same_page_may_be_asked_for_again(graph: FakeGraph, source: GraphSource) -> None:
    """Whoever could not store a page fetches it once more; that is no circle."""
    link = f"{graph.root}/v1.0/users/delta?$skiptoken=a"
    graph.queue(*[page(graph, {"id": "A"}, next_link="users/delta?$skiptoken=b")] * 3)
    for _ in range(3):
        await source.fetch_page("users", link)


# --- dead links


@pytest.mark.parametrize(
    "answer",
    [
        Answer(410, {}),
        error(410, "resyncRequired", Location="https://x/"),
        error(400, "SyncStateNotFound"),
        error(404, "syncStateNotFound"),
        error(400, "resyncrequired"),
        error(400, "Request_UnsupportedQuery", "DeltaLink older than 30 days is not supported."),
        error(400, "Directory_ExpiredPageToken"),
        error(400, "BadRequest"),
        error(400, "Request_BadRequest"),
        error(400, "Other", "Sync must reach steady state within 30 days."),
        error(400, "Request_InvalidSomething"),
        error(501, "NotImplemented"),
    ],
)
async def test_a_dead_link_asks_for_a_full_pull(graph: FakeGraph, source: GraphSource, answer: Answer) -> None:
    """Every sign of a dead link counts, but only for a request that carried one; without one nothing is dead."""
    graph.queue(answer, answer, page(graph, delta_link="users/delta?$deltatoken=n"))
    with pytest.raises(ResyncRequired) as raised:
        await source.fetch_page("users", f"{graph.root}/v1.0/users/delta?$deltatoken=d")
    assert raised.value.location == answer.headers.get("Location", "")
    graph.answers = [answer]
    with pytest.raises(SyncdError) as fresh:
        await source.fetch_page("users", None)
    assert not isinstance(fresh.value, ResyncRequired)


@pytest.mark.parametrize("code", ["Request_BrandNew", "BadRequest", "Request_BadRequest"])
async def test_what_is_selected_may_be_what_is_refused(graph: FakeGraph, source: GraphSource, code: str) -> None:
    """Then the same query without the link is refused as well: a mistake of the settings, and no full pull."""
    graph.queue(*[error(400, code, "no such property")] * 3)
    with pytest.raises(BadQuery, match=r"no such property.*take it out of the mapping"):
        await source.fetch_page("users", f"{graph.root}/v1.0/users/delta?$deltatoken=d")
    assert [("latest" in str(asked.target), "=d" in str(asked.target)) for asked in graph.asked] == [
        (False, True),
        (False, True),
        (True, False),
    ]


async def test_a_link_that_is_refused_once_goes_on(graph: FakeGraph, source: GraphSource) -> None:
    """The second answer counts, and nobody asks for a witness."""
    graph.queue(error(400, "Request_BrandNew"), page(graph, {"id": "U1"}, delta_link="users/delta?$deltatoken=n"))
    found = await source.fetch_page("users", f"{graph.root}/v1.0/users/delta?$deltatoken=d")
    assert [item.id for item in found.items] == ["u1"]
    assert len(graph.asked) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(401, "syncStateNotFound"), AuthFailed),
        (error(403, "Authorization_RequestDenied"), Forbidden),
        (error(429, "syncStateNotFound"), Throttled),
        (error(500, "syncStateNotFound"), Unavailable),
        (error(503, "BadRequest"), Unavailable),
        (Answer(502, b"<html>Bad gateway</html>"), Unavailable),
        (error(404, "UnknownError"), Unavailable),
        (Answer(404, b"<html>Not here</html>"), Unavailable),
    ],
)
async def test_other_refusals_never_cost_the_link(
    graph: FakeGraph, source: GraphSource, answer: Answer, kind: type[RemoteError]
) -> None:
    """Being refused, throttled or unreachable says nothing about a link."""
    graph.queue(*[answer] * 6)
    with pytest.raises(kind) as raised:
        await source.fetch_page("users", f"{graph.root}/v1.0/users/delta?$deltatoken=d")
    assert not isinstance(raised.value, ResyncRequired)


async def test_passing_junk_is_asked_for_again(graph: FakeGraph, source: GraphSource) -> None:
    """A 400 with a page inside, an unknown error, HTML, a cut body, an error in a 200, a page without a link."""
    graph.queue(
        Answer(400, {"value": [], "@odata.nextLink": f"{graph.root}/v1.0/users/delta?$skiptoken=z"}),
        error(404, "UnknownError"),
        Answer(200, b"<html>Please wait</html>"),
        Answer(200, {"error": {"code": "Oops", "message": "again"}}),
        page(graph, {"id": "U1"}, delta_link="users/delta?$deltatoken=d"),
    )
    found = await source.fetch_page("users", f"{graph.root}/v1.0/users/delta?$skiptoken=y")
    assert [item.id for item in found.items] == ["u1"]
    assert len(graph.asked) == 5
    graph.queue(
        Answer(200, b'{"value":[{"id":"U1"'),
        Answer(200, {"value": []}),
        page(graph, delta_link="users/delta?$deltatoken=d"),
    )
    await source.fetch_page("users", None)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>Sign in to the proxy</html>", Unavailable),
        (b'{"value":[', Unavailable),
        ({"error": {"code": "Oops", "message": "always"}}, ProtocolError),
        ({"value": []}, ProtocolError),
    ],
)
async def test_lasting_junk_ends_in_an_error(
    graph: FakeGraph, source: GraphSource, body: Any, kind: type[RemoteError]
) -> None:
    """An answer that stays unreadable is asked for three times, then it is an error."""
    graph.queue(*[Answer(200, body)] * 4)
    with pytest.raises(kind):
        await source.fetch_page("users", None)
    assert len(graph.asked) == 3


@pytest.mark.parametrize(
    "message",
    ["Could not find a property named 'identityParentId' on type 'microsoft.graph.user'.", "No."],
)
async def test_a_cloud_without_agents_is_read_without_asking_for_them(
    graph: FakeGraph, source: GraphSource, message: str
) -> None:
    """The property that tells agents apart is asked for where it is known; once it is refused, never again."""
    refusals = [error(400, "Request_BadRequest", message)] * (1 if "identity" in message else 2)
    graph.queue(*refusals, page(graph, {"id": "U1"}, delta_link="users/delta?$deltatoken=n"))
    before = source.fingerprint("users")
    await source.fetch_page("users", None)
    graph.queue(page(graph, delta_link="users/delta?$deltatoken=n"))
    await source.fetch_latest("users")
    assert ["identityParentId" in target for target in graph.targets()] == [*[True] * len(refusals), False, False]
    assert source.fingerprint("users") == before


async def test_a_question_that_is_broken_off_proves_no_property_unknown(graph: FakeGraph, source: GraphSource) -> None:
    """Only an answer without the property shows that Graph does not know it; else agents would pass for people."""
    graph.queue(*[error(400, "BadRequest", "No.")] * 2, *[error(403, "Authorization_RequestDenied")] * 2)
    with pytest.raises(Forbidden):
        await source.fetch_latest("users")
    graph.queue(page(graph, {"id": "U1"}, delta_link="users/delta?$deltatoken=n"))
    await source.fetch_page("users", None)
    asked = ["identityParentId" in target for target in graph.targets()]
    assert (asked[:3], asked[-1]) == ([True, True, False], True)


async def test_a_bad_query_is_no_dead_link(graph: FakeGraph, source: GraphSource) -> None:
    """A property that cannot be tracked is told as such, once, instead of starting full pulls without an end."""
    graph.queue(error(400, "BadRequest", "not supported for the following properties: signInActivity"))
    with pytest.raises(Rejected, match=r"signInActivity.*take it out of the mapping"):
        await source.fetch_page("users", None)
    assert len(graph.asked) == 1


async def test_a_missing_permission_is_named(graph: FakeGraph, source: GraphSource) -> None:
    """403 says which application permission to grant for that stream, after one try with a fresh token."""
    graph.queue(*[error(403, "Authorization_RequestDenied")] * 3)
    with pytest.raises(Forbidden, match=r"User\.Read\.All"):
        await source.fetch_page("users", None)
    with pytest.raises(Forbidden, match=r"GroupMember\.Read\.All"):
        await source.fetch_page("groups", None)


# --- throttling


@pytest.mark.parametrize(
    ("stated", "least", "most"),
    [
        ("7", 7, 20),
        ("2.128", 2.128, 15),
        ("", 0.1, 15),
        (None, 0.1, 15),
        ("a date", 90, 115),
    ],
)
async def test_retry_after_is_obeyed_in_every_form(
    graph: FakeGraph, source: GraphSource, stated: str | None, least: float, most: float
) -> None:
    """Whole, fractional, empty and missing seconds, and a date: waited out, never retried early."""
    times: list[float] = []

    def note(answer: Answer) -> Any:
        def run(asked: Asked) -> Answer:
            times.append(asyncio.get_running_loop().time())
            return answer

        return run

    if stated == "a date":
        stated = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    headers = {} if stated is None else {"Retry-After": stated}
    graph.queue(note(Answer(429, {"error": {"code": "TooManyRequests"}}, headers)), note(Answer(200, b"5")))
    assert await source.fetch_count("users") == 5
    assert least - 0.001 <= times[1] - times[0] <= most
    assert source.read_traffic() == {"requests": 2, "retries": 1, "throttled": 1, "bytes_received": 37}


async def test_a_quiet_time_beyond_our_patience_fails_at_once(graph: FakeGraph, source: GraphSource) -> None:
    """An hour of Retry-After is reported instead of slept, also by the next request, which is not even sent."""
    graph.queue(error(429, "TooManyRequests", Retry_After="3600"))
    for _ in range(2):
        with pytest.raises(Throttled) as raised:
            await source.fetch_count("users")
        assert raised.value.retry_after == pytest.approx(3600, abs=5)
    assert len(graph.asked) == 1


# --- owners


async def test_owners_are_selected_and_read_only_where_they_are_asked_for(graph: FakeGraph) -> None:
    """Another selection is another checkpoint; the plain one keeps the meaning that it had."""
    graph.queue(
        page(graph, {"id": "G1", "owners@delta": [{"id": "O1"}]}, delta_link="groups/delta?$deltatoken=d"),
        Answer(200, {"value": [{"id": "O1", "@odata.type": "#microsoft.graph.user"}]}),
    )
    async with open_client(graph.make_options(owners=True), LoopClock()) as client:
        source = GraphSource(client, LoopClock())
        groups = await source.fetch_page("groups", None)
        owners = await source.fetch_owners("g1")
    assert groups.items == (GroupItem(id="g1", attributes={}, owners=(Link("o1", "unknown"),)),)
    assert owners == (Link("o1", "user"),)
    assert graph.targets() == [
        "/v1.0/groups/delta?$select=displayName,members,owners",
        "/v1.0/groups/g1/owners?$select=id&$top=999",
    ]
    async with open_client(graph.make_options(), LoopClock()) as client:
        plain = GraphSource(client, LoopClock())
    assert (source.tracks_owners, plain.tracks_owners) == (True, False)
    assert source.fingerprint("groups") != plain.fingerprint("groups")
    assert source.fingerprint("users") == plain.fingerprint("users")


# --- counts and direct reads


async def test_a_count_is_asked_for_as_graph_wants_it(graph: FakeGraph, source: GraphSource) -> None:
    """``$count`` needs the eventual consistency level and answers in plain text."""
    graph.queue(Answer(200, b"\xef\xbb\xbf1234", {"Content-Type": "text/plain"}))
    assert await source.fetch_count("groups") == 1234
    assert graph.targets() == ["/v1.0/groups/$count"]
    assert graph.asked[0].headers["ConsistencyLevel"] == "eventual"


async def test_single_objects_are_read_whole(graph: FakeGraph, source: GraphSource) -> None:
    """A user comes with everything selected and the manager, a group without members."""
    graph.queue(Answer(200, {"id": "U1", "displayName": "A", "manager": {"id": "M1"}}), Answer(200, {"id": "G1"}))
    user = await source.fetch_user("a/b")
    assert user is not None
    assert user.manager == ManagerSet("m1")
    assert user.attributes["mail"] is None
    assert await source.fetch_group("g1") == GroupItem(id="g1", attributes={"displayName": None})
    names = (
        "id,accountEnabled,displayName,employeeId,identityParentId,mail,onPremisesImmutableId,"
        "onPremisesSecurityIdentifier,userPrincipalName,userType"
    )
    assert graph.targets() == [
        f"/v1.0/users/a%2Fb?$select={names}&$expand=manager($levels=1;$select=id)",
        "/v1.0/groups/g1?$select=id,displayName",
    ]


async def test_only_graph_itself_can_say_that_an_object_is_missing(graph: FakeGraph, source: GraphSource) -> None:
    """404 with the code for a missing object means none; a 404 of anybody else raises."""
    graph.queue(*[error(404, "Request_ResourceNotFound")] * 3)
    assert await source.fetch_user("u1") is None
    assert await source.fetch_group("g1") is None
    assert await source.fetch_members("g1") is None
    graph.queue(error(404, "ResourceMoved"), *[Answer(404, b"<html/>")] * 6)
    with pytest.raises(NotFound):
        await source.fetch_user("u1")
    with pytest.raises(Unavailable):
        await source.fetch_group("g1")


async def test_members_are_read_through_all_pages_and_again_when_a_page_expires(
    graph: FakeGraph, source: GraphSource
) -> None:
    """List links live for minutes: an expired one restarts the list, and each member comes once."""
    first = page(graph, {"@odata.type": "#microsoft.graph.user", "id": "A"}, next_link="groups/g1/members?$skiptoken=b")
    last = Answer(200, {"value": [{"id": "B", "@odata.type": "#microsoft.graph.group"}, {"id": "A"}]})
    graph.queue(first, error(400, "Directory_ExpiredPageToken"), first, last)
    assert await source.fetch_members("g1") == (Link("a", "unknown"), Link("b", "group"))
    assert graph.targets()[0] == "/v1.0/groups/g1/members?$select=id&$top=999"
    graph.queue(*[first, error(400, "Directory_ExpiredPageToken")] * 5)
    with pytest.raises(Rejected):
        await source.fetch_members("g1")


async def test_a_member_list_in_a_circle_is_noticed(graph: FakeGraph, source: GraphSource) -> None:
    """The member list is guarded against pages without an end as well."""
    graph.queue(*[page(graph, {"id": "A"}, next_link="groups/g1/members?$skiptoken=b")] * 2)
    with pytest.raises(ProtocolError, match="circle"):
        await source.fetch_members("g1")


# --- single objects by name, and counts


async def test_a_user_is_looked_for_by_id_or_principal_name_and_by_nothing_else(
    graph: FakeGraph, source: GraphSource
) -> None:
    """A guest's number sign is encoded; a word that could name a function of Graph's is never sent."""
    graph.queue(*[Answer(200, {"id": "U1", "displayName": "A"})] * 2)
    for name in ("a_b.example#EXT#@x.example", " 11111111-1111-4111-8111-11111111111A "):
        found = await source.find_user(name)
        assert found is not None
        assert found.id == "u1"
    assert [target.partition("?")[0] for target in graph.targets()] == [
        "/v1.0/users/a_b.example%23EXT%23%40x.example",
        "/v1.0/users/11111111-1111-4111-8111-11111111111A",
    ]
    for name in ("delta", "$count", "Ann Smith", ""):
        assert await source.find_user(name) is None
    assert len(graph.targets()) == 2


async def test_a_principal_name_that_begins_with_a_dollar_sign_is_a_key_in_brackets(
    graph: FakeGraph, source: GraphSource
) -> None:
    """In a path of its own it would name an option; quotation marks are doubled."""
    graph.queue(*[Answer(200, {"id": "U1", "displayName": "A"})] * 2)
    for name in ("$anna@x.example", "$o'neill@x.example"):
        assert await source.find_user(name) is not None
    assert [target.partition("?")[0] for target in graph.targets()] == [
        "/v1.0/users('%24anna%40x.example')",
        "/v1.0/users('%24o%27%27neill%40x.example')",
    ]


@pytest.mark.parametrize(
    "link",
    [
        "https://łódź.example/v1.0/users/delta?$deltatoken=1",
        "http://łódź.example/v1.0/users/delta?$deltatoken=1",
        "https://łódź.example:8443/v1.0/users/delta?$deltatoken=1",
        "//łódź.example/v1.0/users/delta?$deltatoken=1",
        "https://\ud800.example/v1.0/users/delta?$deltatoken=1",
    ],
)
async def test_a_link_to_a_host_outside_of_ascii_is_refused_like_any_foreign_one(
    graph: FakeGraph, source: GraphSource, link: str
) -> None:
    """It is neither followed nor returned, and ends in no error of a library."""
    with pytest.raises(ProtocolError, match="it is not followed"):
        await source.fetch_page("users", link)
    graph.queue(*[Answer(200, {"value": [], "@odata.deltaLink": link})] * 3)
    with pytest.raises(RemoteError):
        await source.fetch_page("users", None)


async def test_groups_are_looked_for_by_id_or_by_their_quoted_name(graph: FakeGraph, source: GraphSource) -> None:
    """Quotation marks are doubled and everything is encoded; all pages count."""
    graph.queue(
        page(graph, {"id": "G1"}, next_link="groups?$skiptoken=b"),
        Answer(200, {"value": [{"id": "G2"}]}),
        Answer(200, {"id": "G3"}),
        error(404, "Request_ResourceNotFound"),
    )
    assert await source.find_groups("Ann's & Bob's") == {"g1", "g2"}
    assert graph.targets()[0] == (
        "/v1.0/groups?$filter=displayName%20eq%20%27Ann%27%27s%20%26%20Bob%27%27s%27&$select=id&$top=999"
    )
    object_id = "11111111-1111-4111-8111-111111111111"
    assert await source.find_groups(object_id) == {"g3"}
    assert await source.find_groups(object_id) == frozenset()


async def test_the_groups_of_a_user_are_groups_only(graph: FakeGraph, source: GraphSource) -> None:
    """Directory roles and administrative units in the list are left out; an unknown user has no list."""
    kinds = {"G1": "group", "R1": "directoryRole", "A1": "administrativeUnit"}
    entries = [{"@odata.type": f"#microsoft.graph.{kind}", "id": key} for key, kind in kinds.items()]
    graph.queue(Answer(200, {"value": entries}), error(404, "Request_ResourceNotFound"))
    assert await source.fetch_groups_of("u1") == frozenset({"g1"})
    assert await source.fetch_groups_of("u1") is None
    assert graph.targets()[0] == "/v1.0/users/u1/memberOf?$select=id&$top=999"


async def test_members_are_counted_with_the_header_that_counts_need(graph: FakeGraph, source: GraphSource) -> None:
    """Text with a byte order mark is a number; a group that is gone has no count."""
    graph.queue(Answer(200, b"\xef\xbb\xbf12"), error(404, "Request_ResourceNotFound"), Answer(200, b"7"))
    assert await source.fetch_member_count("g1") == 12
    assert await source.fetch_member_count("g1") is None
    assert await source.fetch_member_count("g1", kind="user") == 7
    assert graph.targets()[0] == "/v1.0/groups/g1/members/$count"
    assert graph.targets()[2] == "/v1.0/groups/g1/members/microsoft.graph.user/$count"
    assert graph.asked[0].headers["ConsistencyLevel"] == "eventual"


async def test_deleted_items_are_a_witness_only_where_we_may_look(graph: FakeGraph, source: GraphSource) -> None:
    """There, not there, and not permitted are three answers."""
    graph.queue(Answer(200, {"id": "u1"}), error(404, "Request_ResourceNotFound"))
    assert await source.is_deleted("users", "u1") is True
    assert await source.is_deleted("users", "u1") is False
    graph.queue(*[error(403, "Authorization_RequestDenied")] * 3)
    assert await source.is_deleted("groups", "g1") is None
    assert graph.targets()[0] == "/v1.0/directory/deletedItems/u1?$select=id"


# --- batches


def answer_batch(*missing: str, **odd: Any) -> Any:
    """Answer a batch in reverse order: 404 for the missing ids, the given part for odd ones, else 200."""

    def run(asked: Asked) -> Answer:
        parts = []
        for request in msgspec.json.decode(asked.body)["requests"]:
            object_id = request["url"].removeprefix("/users/").removesuffix("?$select=id")
            part: dict[str, Any] = {"status": 200, "body": {"id": object_id.upper()}}
            if object_id in missing:
                part = {"status": 404, "body": {"error": {"code": "Request_ResourceNotFound"}}}
            if object_id in odd:
                part = odd[object_id]
            if part:
                parts.append({"id": request["id"], **part})
        return Answer(200, {"responses": parts[::-1]})

    return run


async def test_existence_is_asked_for_in_batches_of_twenty(graph: FakeGraph, source: GraphSource) -> None:
    """Only ids that are found come back, whatever the order of the answers."""
    ids = [f"u{number}" for number in range(45)]
    graph.queue(answer_batch("u3"), answer_batch("u21"), answer_batch())
    assert await source.fetch_existing("users", [*ids, "u1"]) == frozenset(ids) - {"u3", "u21"}
    assert [len(msgspec.json.decode(asked.body)["requests"]) for asked in graph.asked] == [20, 20, 5]
    assert await source.fetch_existing("users", []) == frozenset()


async def test_throttled_parts_are_asked_for_again_after_the_longest_wait(
    graph: FakeGraph, source: GraphSource
) -> None:
    """The rest of a batch goes into a new one, not before every part's Retry-After is over."""
    throttled = {"status": 429, "headers": {"retry-AFTER": "9"}, "body": {"error": {"code": "TooManyRequests"}}}
    graph.queue(
        answer_batch("u1", u2=throttled, u3={**throttled, "headers": {"Retry-After": "30"}}, u4={}), answer_batch("u3")
    )
    started = asyncio.get_running_loop().time()
    assert await source.fetch_existing("users", ["u1", "u2", "u3", "u4", "u5"]) == {"u2", "u4", "u5"}
    assert 30 <= asyncio.get_running_loop().time() - started < 32
    assert [request["url"][7:9] for request in msgspec.json.decode(graph.asked[1].body)["requests"]] == [
        "u2",
        "u3",
        "u4",
    ]


async def test_a_throttled_batch_as_a_whole_is_sent_again(graph: FakeGraph, source: GraphSource) -> None:
    """424 for the whole batch means throttling."""
    graph.queue(error(424, "TooManyRequests", Retry_After="5"), answer_batch())
    assert await source.fetch_existing("users", ["u1"]) == {"u1"}


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"status": 403, "body": {"error": {"code": "Authorization_RequestDenied"}}}, Forbidden),
        ({"status": 404, "body": {"error": {"code": "ResourceMoved"}}}, NotFound),
        ({"status": 400, "body": None}, Intercepted),
        ({"status": 200, "body": {"id": "somebody-else"}}, ProtocolError),
        ({"status": "404"}, ProtocolError),
        ({"status": 404, "body": "<html/>"}, Throttled),
        ({"status": 500, "body": {}}, Throttled),
    ],
)
async def test_any_doubt_about_one_object_raises(
    graph: FakeGraph, source: GraphSource, part: dict[str, Any], kind: type[RemoteError]
) -> None:
    """An object counts as missing only when Graph says so; everything else stops the question."""
    graph.queue(*[answer_batch("u1", u2=part)] * 6)
    with pytest.raises(kind):
        await source.fetch_existing("users", ["u1", "u2"])


# --- the rest


async def test_the_fingerprint_changes_with_what_a_link_means(graph: FakeGraph, client: GraphClient) -> None:
    """Tenant, application, Graph root and properties make a link; the order of the properties does not."""

    async def fingerprint(**changes: Any) -> str:
        async with open_client(graph.make_options(**changes), Clock()) as opened:
            return GraphSource(opened, Clock()).fingerprint("users")

    base = await fingerprint(user_attributes=("city", "mail", "jobTitle"))
    assert base == await fingerprint(user_attributes=("jobTitle", "city"))
    assert base == await fingerprint(user_attributes=("jobTitle", "city"), group_attributes=("mail",))
    others = [
        await fingerprint(user_attributes=("jobTitle",)),
        await fingerprint(user_attributes=("jobTitle", "city"), tenant_id="other"),
        await fingerprint(user_attributes=("jobTitle", "city"), client_id="other"),
        await fingerprint(user_attributes=("jobTitle", "city"), base_url="https://graph.microsoft.us"),
    ]
    assert len({base, *others}) == 5
    assert GraphSource(client, Clock()).fingerprint("users") != GraphSource(client, Clock()).fingerprint("groups")


async def test_a_page_of_the_largest_size_is_read_quickly(graph: FakeGraph, source: GraphSource) -> None:
    """Five hundred links in a page cost milliseconds; the bound is generous for a busy machine."""
    links = [{"@odata.type": "#microsoft.graph.user", "id": f"{number:036}"} for number in range(500)]
    graph.queue(page(graph, {"id": "G1", "members@delta": links}, delta_link="groups/delta?$deltatoken=d"))
    started = time.perf_counter()
    found = await source.fetch_page("groups", None)
    assert isinstance(found.items[0], GroupItem)
    assert len(found.items[0].links) == 500
    assert time.perf_counter() - started < 5

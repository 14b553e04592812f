"""Who gets to what in the console: every route, role and method, and everything that is wrong on purpose."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from syncd.store.console.sessions import ABSOLUTE, IDLE
from syncd.store.schema.types import metadata
from syncd.web.console.access import ROUTES
from syncd.web.console.application import SECURITY_HEADERS
from syncd.web.console.cookies import SESSION
from tests.compose import ROOT
from tests.fakes.console import TOKEN, Browser, ConsoleStage, open_console
from tests.fakes.daemon import watching_logs
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World


def shorten(path: str) -> str:
    """Return the path of a route without what its parts must look like."""
    return re.sub(r"\{(\w+):(?:[^{}]|\{[^{}]*\})*\}", r"{\1}", path)


PUBLIC = {"/sign-in", "/sign-in/entra", "/signed-in", "/static/{name}", "/language/{language}"}
"""What somebody reaches who has not signed in; everything else sends them to sign in."""
DECIDES = {"/held/{run}", "/decisions/{decision}/withdraw", "/checks"}
"""What a form may be sent to by an approver; /sign-out and /sign-in are for everybody."""
FORMS = (*(shorten(route.path) for route in ROUTES if route.method == "POST"), "/checks", "/sign-out")
"""Where a form of somebody who has signed in goes to."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PARTS = {"run": "2", "kind": "users", "id": "u1", "decision": "1", "name": "console.css", "language": "pl"}
PERSON = re.compile(r"zenobia|@x\.example", re.IGNORECASE)


async def found_company(world: World) -> None:
    """Ten people in one group, and then four of them disabled: run 2 holds the unlinking."""
    world.rules = make_rules(limits=make_limits(max_removal_percent=10, min_population=4))
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for number in range(10):
        login = f"zenobia{number}@x.example"
        world.source.put_user(f"u{number}", userPrincipalName=login, displayName=f"Zenobia {number}", mail=login)
        world.source.link("g", f"u{number}")
    assert (await world.sync("full")).status == "succeeded"
    for number in range(4):
        world.source.put_user(f"u{number}", accountEnabled=False)
    assert (await world.sync("delta")).status == "held"


pytestmark = pytest.mark.company(founded_by=found_company)


@pytest.fixture
async def stage(world: World) -> AsyncIterator[ConsoleStage]:
    """A console over that company."""
    async with open_console(world) as opened:
        yield opened


def list_routes(stage: ConsoleStage) -> list[tuple[str, str]]:
    """Return (method, path) of everything that the application routes, whoever has added it."""
    found = []
    for route in stage.application.router.routes():
        resource = route.resource
        assert resource is not None
        found.append((route.method, shorten(resource.canonical)))
    return sorted(set(found))


def fill(path: str) -> str:
    """Return an address of a route."""
    return re.sub(r"\{(\w+)\}", lambda part: PARTS[part[1]], path)


def read_store(world: World) -> dict[str, list[tuple[object, ...]]]:
    """Return everything that must not change where nobody may decide: all of the store but the sessions."""
    with world.database.engine.connect() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(table.select())), key=repr)
            for table in metadata.sorted_tables
            if table.name not in ("console_sessions", "console_sign_ins")
        }


def test_the_table_of_routes_is_what_is_routed(stage: ConsoleStage) -> None:
    """No page is reachable that the table of roles does not know, but for those of the sign-in itself."""
    routed = {path for _, path in list_routes(stage)}
    known = {shorten(route.path) for route in ROUTES}
    assert routed == known | PUBLIC | {"/checks", "/sign-out"}


def test_every_form_is_sent_by_another_page_as_well(stage: ConsoleStage) -> None:
    """A new form cannot be forgotten by the test of what other pages send."""
    assert {path for method, path in list_routes(stage) if method == "POST"} == set(FORMS) | {"/sign-in"}


def test_every_route_stands_in_the_reference(stage: ConsoleStage) -> None:
    """A new page or form without its line is missed here."""
    text = (ROOT / "docs/reference/console.md").read_text(encoding="utf-8")
    for _, path in list_routes(stage):
        assert f"`{path.replace('{kind}', 'users')}`" in text, path


@pytest.mark.parametrize("role", ["nobody", "viewer", "approver"])
async def test_every_route_is_open_to_its_role_and_method_alone(world: World, stage: ConsoleStage, role: str) -> None:
    """Whatever is not meant is refused, tells nothing about a person, carries the headers, and changes nothing."""
    routes = list_routes(stage)
    before, checked = read_store(world), 0
    assert before["changes"], "all tables are read"
    tried = 0
    for path in sorted({path for _, path in routes}):
        for method in METHODS:
            browser = Browser(stage) if role == "nobody" else stage.sign_in(role)  # type: ignore[arg-type]
            form = None
            if method not in ("GET", "HEAD", "OPTIONS"):
                form = [("form_token", await browser.form_token())] if role != "nobody" else [("form_token", "x")]
            answer = await browser.send(method, fill(path), headers={"Origin": stage.url}, form=form)
            tried += 1
            where = f"{role} {method} {path} -> {answer.status}"
            allowed = (method, path) in routes
            for name, value in SECURITY_HEADERS.items():
                if name != "Cache-Control":
                    assert answer.headers.get(name) == value, where
            if not allowed:
                assert answer.status == 405, where
            elif path in PUBLIC:
                expected = {"/language/{language}": 303, "/signed-in": 404, "/sign-in/entra": 404}.get(path, 200)
                assert answer.status == (403 if method == "POST" else expected), where
            elif role == "nobody" and method == "GET":
                assert answer.status == 303, where
                assert answer.place.startswith("/sign-in?back="), where
            elif role == "nobody":
                assert answer.status == 401, where
            elif method == "GET":
                assert answer.status == 200 if not path.startswith("/records") else 404, where
            elif path == "/sign-out":
                assert answer.status == 303, where
            elif role == "viewer":
                assert path in DECIDES, where
                assert answer.status == 403, where
            else:
                assert path in DECIDES, where
                assert answer.status in (303, 400, 404), where  # an empty form decides nothing
                checked += path == "/checks"
            if role == "nobody":
                assert not PERSON.search(answer.text), where
    assert tried == len({path for _, path in routes}) * len(METHODS)
    assert read_store(world) == before
    assert stage.checked == (checked if role == "approver" else 0)
    if role == "approver":
        assert checked == 1


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ("no token", 403),
        ("wrong token", 403),
        ("token of another session", 403),
        ("no origin", 403),
        ("null origin", 403),
        ("another site", 403),
        ("another port", 403),
        ("another scheme", 403),
        ("json", 415),
        ("multipart", 415),
    ],
)
async def test_what_another_page_sends_is_refused(
    world: World, stage: ConsoleStage, path: str, wrong: str, status: int
) -> None:
    """A form of another site, or of another session, decides nothing and signs nobody out."""
    browser, other = stage.sign_in("approver"), stage.sign_in("approver")
    stage.configure(external_url=stage.url)
    browser, other = stage.sign_in("approver"), stage.sign_in("approver")
    before = read_store(world)
    form = [("decision", "reject"), ("scope", "all"), ("reason", "because")]
    token = {"no token": None, "wrong token": "0" * 64, "token of another session": await other.form_token()}
    given = token.get(wrong, await browser.form_token())
    form += [("form_token", given)] if given is not None else []
    origins = {
        "no origin": None,
        "null origin": "null",
        "another site": "https://evil.example",
        "another port": re.sub(r":\d+$", ":1", stage.url),
        "another scheme": stage.url.replace("http:", "https:"),
    }
    origin = origins.get(wrong, stage.url)
    headers = {} if origin is None else {"Origin": origin}
    if wrong == "json":
        headers["Content-Type"] = "application/json"
    if wrong == "multipart":
        headers["Content-Type"] = "multipart/form-data; boundary=x"
    answer = await browser.send("POST", fill(path), headers=headers, form=form)
    assert answer.status == status
    assert read_store(world) == before
    assert stage.checked == 0
    assert (await browser.get("/")).status == 200, "still signed in"


@pytest.mark.parametrize(
    "forged", ["", "x", "x.y", "{secret}", "{secret}.", "{secret}.{zeros}", ".{mark}", "{swapped}"]
)
async def test_a_forged_session_is_none(stage: ConsoleStage, forged: str) -> None:
    """Only a secret that we signed, whole, is looked for at all."""
    browser = stage.sign_in("approver")
    secret, _, mark = browser.cookies[SESSION].partition(".")
    other = stage.sign_in("viewer").cookies[SESSION]
    swapped = f"{secret}.{other.partition('.')[2]}"
    browser.cookies[SESSION] = forged.format(secret=secret, zeros="0" * 64, mark=mark, swapped=swapped)
    answer = await browser.get("/users")
    assert answer.status == 303
    assert not PERSON.search(answer.text)


async def test_a_session_ends_when_idle_and_after_its_longest_time(world: World, stage: ConsoleStage) -> None:
    """Used again and again it lives until the absolute limit; left alone it ends before."""
    idle, busy = stage.sign_in("viewer"), stage.sign_in("viewer")
    step = IDLE - timedelta(minutes=1)
    world.clock.ahead += step
    assert (await busy.get("/")).status == 200
    assert (await idle.get("/")).status == 200
    world.clock.ahead += step
    assert (await busy.get("/")).status == 200
    world.clock.ahead += IDLE - step + timedelta(seconds=1)
    assert (await idle.get("/")).status == 303
    passed = 2 * step + IDLE - step
    while passed + step < ABSOLUTE:
        assert (await busy.get("/")).status == 200
        world.clock.ahead += step
        passed += step
    assert (await busy.get("/")).status == 200
    world.clock.ahead += ABSOLUTE - passed
    assert (await busy.get("/")).status == 303


@pytest.mark.both_engines
async def test_signing_out_ends_the_session_for_whoever_has_the_cookie(stage: ConsoleStage) -> None:
    """The cookie alone is worth nothing any more."""
    browser = stage.sign_in("approver")
    kept = dict(browser.cookies)
    answer = await browser.post("/sign-out")
    assert (answer.status, answer.place) == (303, "/sign-in?out=1")
    assert SESSION not in browser.cookies
    browser.cookies = kept
    assert (await browser.get("/")).status == 303


async def test_changed_settings_of_the_sign_in_end_every_session(stage: ConsoleStage) -> None:
    """Somebody who is no approver any more, or whose token was replaced, has no session to go on with."""
    browser = stage.sign_in("approver")
    assert (await browser.get("/")).status == 200
    stage.configure(approvers=("11111111-2222-3333-4444-555555555555",))
    assert (await browser.get("/")).status == 303


async def test_the_token_opens_a_session_and_nothing_else_does(world: World, stage: ConsoleStage) -> None:
    """Whoever has it is the approver; the store has neither the token nor the secret of the session."""
    browser = Browser(stage)
    for wrong in ("", "x", TOKEN[:-1], TOKEN.upper(), f"{TOKEN}x"):
        assert (await browser.post("/sign-in", [("token", wrong)], signed=False)).status == 403
        assert SESSION not in browser.cookies
    answer = await browser.post("/sign-in", [("token", TOKEN), ("back", "/held")], signed=False)
    assert (answer.status, answer.place) == (303, "/held")
    assert (await browser.get("/held/2")).text.count('name="decision"') == 2
    secret = browser.cookies[SESSION].partition(".")[0]
    with world.database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM console_sessions").all()
    assert rows
    assert secret not in repr(rows)
    assert TOKEN not in repr(rows)


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example"])
async def test_nobody_is_signed_in_by_another_page(stage: ConsoleStage, origin: str | None) -> None:
    """Not even with the right token: people would work in somebody else's session."""
    browser = Browser(stage)
    answer = await browser.post("/sign-in", [("token", TOKEN)], signed=False, origin=origin)
    assert answer.status == 403
    assert SESSION not in browser.cookies


async def test_attempts_to_sign_in_are_few(world: World, stage: ConsoleStage) -> None:
    """After ten attempts even the right token waits, for five minutes, and the log says so without it."""
    browser = Browser(stage)
    with watching_logs() as log:
        for _ in range(10):
            assert (await browser.post("/sign-in", [("token", "wrong")], signed=False)).status == 403
        assert (await browser.post("/sign-in", [("token", TOKEN)], signed=False)).status == 429
        assert log.names().count("console.sign_in_refused") == 10
        assert "console.sign_in_limited" in log.names()
        assert TOKEN not in repr(log.events)
    world.clock.ahead += timedelta(minutes=5, seconds=1)
    assert (await browser.post("/sign-in", [("token", TOKEN)], signed=False)).status == 303


@pytest.mark.parametrize(
    "back",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/sign-in", "/a\r\nX: y", ""],
)
async def test_nobody_is_sent_to_another_site(stage: ConsoleStage, back: str) -> None:
    """The way back after signing in, and after choosing a language, stays in the console."""
    browser = Browser(stage)
    answer = await browser.post("/sign-in", [("token", TOKEN), ("back", back)], signed=False)
    assert (answer.status, answer.place) == (303, "/")
    stage.http.cookie_jar.clear()
    from urllib.parse import quote

    answer = await browser.get(f"/language/pl?back={quote(back)}")
    assert (answer.status, answer.place) == (303, "/")


async def test_pages_hold_no_script_or_style_of_their_own(stage: ConsoleStage) -> None:
    """The policy forbids it, so that nothing may need it; and no page loads anything from elsewhere."""
    browser = stage.sign_in("approver")
    for method, path in list_routes(stage):
        if method != "GET" or path in PUBLIC - {"/sign-in"}:
            continue
        text = (await browser.get(fill(path))).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text), path
        assert re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL) == [""], path
        assert not re.search(r'(src|href|action)="(https?:)?//', text), path
        assert len(text.encode()) < 200_000, path
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


async def test_a_large_form_is_refused(stage: ConsoleStage) -> None:
    """Nobody makes the daemon hold more than a form can need."""
    browser = stage.sign_in("approver")
    token = await browser.form_token()
    answer = await browser.post("/held/2", [("form_token", token), ("reason", "x" * 300_000)])
    assert answer.status == 413


async def test_a_refusal_is_logged_without_a_name(stage: ConsoleStage) -> None:
    """Ids and reasons only."""
    browser = stage.sign_in("viewer")
    with watching_logs() as log:
        assert (await browser.post("/held/2")).status == 403
        assert log.of("console.refused")
        assert not PERSON.search(repr(log.events))
        assert "viewer@x.example" not in repr(log.events)

"""Real networks, databases and terminals."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from tests.conditions.stage import Play, Seen, Stage, allow_files, build, find_peak
from tests.contract.test_database_server import pooled
from tests.postgres import fresh_database, private_postgres

_ADOPT = {"SYNCD_GUARD__MAX_ADOPTIONS": "false"}
_SENTENCE = 400


def _tell(stage: Stage, code: int, *, codes: tuple[int, ...], least: str = "", never: tuple[str, ...] = ()) -> Seen:
    """Judge what a command said last: its exit code, a word that has to stand there, and words that must not."""
    said = " ".join(stage.said[-2:])
    found = [word for word in ("Traceback", "unexpected", *never) if word in said]
    lines = (
        [line for line in said.splitlines() if line.strip() and not line.startswith("{")] or said.splitlines() or [""]
    )
    right = code in codes and not found and least.casefold() in said.casefold()
    return Seen(right, f"exit code {code}{', says ' + repr(found) if found else ''}: {lines[-1][:_SENTENCE]}")


async def value_refused(stage: Stage) -> Seen:
    """A firewall answers 403 with a page to one person's title."""
    team = stage.found(6)
    stage.sandbox.directory.set_attributes(team.people[2], jobTitle="Select from all tables")
    stage.page(403, holding="Select from")
    code = await stage.sync()
    came = sum(stage.has(person) for person in team.people)
    error = await stage.error()
    return Seen(code == 3 and came == 5 and "scope" not in error, f"exit code {code}, {came} of 6 came; {error[:150]}")


async def method_refused(stage: Stage) -> Seen:
    """A gateway lets neither PATCH nor DELETE through."""
    team, directory = stage.found(5), stage.sandbox.directory
    await stage.sync()
    for person in team.people[:3]:
        directory.set_attributes(person, displayName="Another Name")
    (new,) = stage.found(1, "Late", into=team.group).people
    stage.page(405, method="PATCH|DELETE")
    code = await stage.sync("delta")
    row = await stage.row("coexistence")
    inside = stage.login(new) in stage.inside(team.group)
    accused = row["status"] == "warning"
    return Seen(
        code == 3 and inside and not accused,
        f"exit code {code}, the newcomer {'in' if inside else 'not in'}; coexistence: {row['detail'][:99]}",
    )


async def change_refused(stage: Stage) -> Seen:
    """The portal lists records that it had before, and answers 404 to every change of them."""
    team, portal = stage.found(5), stage.sandbox.portal
    for person in team.people:
        portal.create_user({"bpsId": stage.login(person), "name": "By hand", "email": stage.login(person)})
    portal.settle()
    body = b'{"type":"ResourceNotFound","description":"Not possible","errorGuid":"1"}'
    stage.fault("status", "portal", status=404, body=body, method="PATCH", path="testers")
    await stage.sync("full", **_ADOPT)
    code = await stage.sync("full", **_ADOPT)
    row = await stage.row("coexistence")
    return Seen(row["status"] == "warning", f"exit code {code}; coexistence {row['status']}: {row['detail'][:150]}")


async def long_header(stage: Stage) -> Seen:
    """Header lines of 60 KiB on every answer."""
    stage.fault("header", size=60 << 10)
    return _tell(stage, await stage.sync(), codes=(0,))


async def pooler(stage: Stage) -> Seen:
    """PgBouncer in transaction mode before the database."""
    with private_postgres() as server, fresh_database(server) as url, pooled(url, "transaction") as address:
        code = await stage.sync("full", SYNCD_STORE__URL=address)
        return _tell(stage, code, codes=(1, 2), least="pool")


async def encoding(stage: Stage) -> Seen:
    """A database in LATIN2."""
    with private_postgres() as server:
        admin = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(admin, autocommit=True) as session:
            session.execute("CREATE DATABASE latin ENCODING 'LATIN2' LOCALE 'C' TEMPLATE template0")
        url = make_url(server).set(database="latin").render_as_string(hide_password=False)
        stage.found(1, "Łukasz Ñandú")
        code = await stage.sync("full", SYNCD_STORE__URL=url)
        return _tell(stage, code, codes=(1, 2), least="CREATE DATABASE")


async def rotated(stage: Stage) -> Seen:
    """The password in ``store.url_file`` is another one by now, while the daemon works."""
    with private_postgres() as server, fresh_database(server) as url:
        admin = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
        name = make_url(url).database
        with psycopg.connect(admin, autocommit=True) as session:
            session.execute(f"CREATE ROLE rotated LOGIN PASSWORD 'before'; ALTER DATABASE {name} OWNER TO rotated")
            file, place = stage.folder / "store-url", make_url(url).set(username="rotated")
            file.write_text(place.set(password="before").render_as_string(hide_password=False), encoding="utf-8")
            text = (stage.folder / "syncd.toml").read_text(encoding="utf-8")
            url_line = next(line for line in text.splitlines() if line.startswith("url = "))
            text = text.replace(url_line, f'url_file = "{file}"')
            (stage.folder / "syncd.toml").write_text(text, encoding="utf-8")
            async with stage.daemon() as daemon:
                await daemon.wait("run.finished")
                session.execute("ALTER ROLE rotated PASSWORD 'after'")
                file.write_text(place.set(password="after").render_as_string(hide_password=False), encoding="utf-8")
                session.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotated'")
                await asyncio.sleep(6)
                daemon.process.send_signal(signal.SIGUSR2)
                await daemon.wait("run.finished", 2)
                runs = [line["status"] for line in daemon.find("run.finished")]
                return Seen(runs[1:2] == ["succeeded"], f"runs {runs}")


async def no_locks(stage: Stage) -> Seen:
    """A file system without locks, for which a preloaded library stands."""
    library = build(stage.folder, Path(__file__).parents[1] / "e2e" / "no_locks.c")
    return _tell(stage, await stage.sync("full", LD_PRELOAD=library), codes=(1, 2), least="PostgreSQL")


async def parameters(stage: Stage) -> Seen:
    """A port that is no number, and a parameter that no driver knows."""
    seen = []
    for url in ("postgresql://x:y@db:port/s", "postgresql://x:y@127.0.0.1:1/s?prepare_treshold=0"):
        code = (await stage("runs", SYNCD_STORE__URL=url)).code
        seen.append(_tell(stage, code, codes=(2,)))
    return Seen(all(each.right for each in seen), " | ".join(each.words[:160] for each in seen))


async def spelled(stage: Stage) -> Seen:
    """The portal keeps values in a spelling of its own: after two readings that is what was written."""
    stage.sandbox.portal_knobs.spelling = "lower"
    stage.found(3, "  Mixed Case ")
    for _ in range(4):
        await stage.sync()
    changes = (await stage.ask("runs", "show", "last"))["changes"]
    return Seen(not changes, f"the fourth full run makes {len(changes)} changes")


async def redirected(stage: Stage) -> Seen:
    """The portal redirects to the very address that was asked, by http."""
    stage.fault("redirect", "portal")
    return _tell(stage, await stage.sync(), codes=(1,), least="X-Forwarded-Proto")


async def marked(stage: Stage) -> Seen:
    """A byte order mark before every JSON."""
    stage.fault("mark")
    return _tell(stage, await stage.sync(), codes=(0,))


async def token_bomb(stage: Stage) -> Seen:
    """A small gzip in place of a token becomes 100 MB."""
    stage.fault("bomb", "login", size=100 << 20)
    process = await stage.program.start("sync", "full")
    peak, ended = 0.0, asyncio.ensure_future(process.communicate())
    for _ in range(1200):
        peak = max(peak, find_peak(process.pid))
        await asyncio.wait([ended], timeout=0.1)
        if ended.done() or peak > 1500:
            break
    if process.returncode is None:
        process.kill()
    await ended
    return Seen(peak < 250, f"exit code {process.returncode}, {peak:.0f} MB at most")


async def token_drip(stage: Stage) -> Seen:
    """A token's answer of which a byte comes every eight seconds; then SIGTERM."""
    fault = stage.fault("endless", "login", method="POST", status=200, size=1, seconds=8.0)
    async with stage.daemon() as daemon:
        for _ in range(300):
            await asyncio.sleep(0.1)
            if fault.hits:
                break
        await asyncio.sleep(2)
        code = await daemon.end()
    return Seen(code == 0, "ended with 0 within 25 s" if code == 0 else f"SIGTERM: {code or 'not ended after 25 s'}")


async def idle_connections(stage: Stage) -> Seen:
    """1,024 idle connections to the status page of a daemon that is started with 1,024 files."""
    allow_files(1024)
    async with stage.daemon() as daemon:
        allow_files(8192)
        await daemon.wait("run.finished")
        text = (stage.folder / "syncd.toml").read_text(encoding="utf-8")
        host, port = text.partition("[health]")[2].partition('listen = "')[2].partition('"')[0].split(":")
        idle = list[socket.socket]()
        with contextlib.ExitStack() as stack:
            refused = 0
            while len(idle) < 1024 and refused < 8:  # who takes no more answers no more
                one = stack.enter_context(socket.socket())
                one.setblocking(False)
                idle.append(one)
                try:
                    async with asyncio.timeout(1):
                        await asyncio.get_running_loop().sock_connect(one, (host, int(port)))
                except (OSError, TimeoutError):
                    refused += 1
            before = daemon.count
            daemon.process.send_signal(signal.SIGUSR1)
            ended = await daemon.wait("run.finished", 2)
            found = [line["status"] for line in daemon.find("run.finished")][1:]
            lines = daemon.count - before
        await daemon.end()
    return Seen(ended and found[:1] == ["succeeded"] and lines < 100, f"the run: {found or 'none'}, {lines} log lines")


async def bad_entries(stage: Stage) -> Seen:
    """A page of 30,000 entries that cannot be read."""
    entries = b",".join([b'{"id":5}'] * 30_000)
    link = stage.sandbox.graph_url.encode() + b"/v1.0/users/delta?x=1"
    body = b'{"value":[' + entries + b'],"@odata.deltaLink":"' + link + b'"}'
    stage.fault("status", "graph", path="/users", status=200, body=body)
    await stage.sync()
    lines = stage.said[-1].count("\n")
    return Seen(lines <= 100, f"{lines} log lines")


async def settings(stage: Stage, how: str) -> Seen:
    """What SIGHUP finds in place of the settings."""
    path = stage.folder / "syncd.toml"
    async with stage.daemon() as daemon:
        await daemon.wait("run.finished")
        if how == "a pipe":
            path.unlink()
            os.mkfifo(path)
        elif how == "300 MB":
            with path.open("r+b") as file:
                file.truncate(300 << 20)
        else:
            path.write_text("a = " + "[" * 100_000, encoding="utf-8")
        daemon.process.send_signal(signal.SIGHUP)
        refused = await daemon.wait("config.refused", seconds=20)
        peak = find_peak(daemon.process.pid)
        if daemon.process.returncode is None:
            daemon.process.send_signal(signal.SIGUSR2)
        works = await daemon.wait("run.finished", 2, seconds=20)
        code = await daemon.end()
    return Seen(
        refused and works and peak < 300,
        f"{how}: refused {refused}, works on {works}, {peak:.0f} MB, ended with {code}",
    )


async def early_stop(stage: Stage) -> Seen:
    """SIGTERM while the program is still being imported."""
    async with stage.daemon() as daemon:
        for _ in range(400):
            with contextlib.suppress(OSError):
                if "pydantic_core" in Path(f"/proc/{daemon.process.pid}/maps").read_text(encoding="utf-8"):
                    break
            await asyncio.sleep(0.005)
        code = await daemon.end()
    return Seen(code == 0, f"ended with {code}")


async def terminal(stage: Stage) -> Seen:
    """A terminal that has no letters but English ones."""
    stage.found(2, "Łódź")
    await stage.sync()
    plain = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    return _tell(stage, (await stage("users", **plain)).code, codes=(0,), least="Nina")


async def by_location(stage: Stage) -> Seen:
    """Continuous access evaluation refuses by location."""
    await stage.sync()
    claims = base64.b64encode(b'{"access_token":{"xms_rp_ipaddr":{"value":"203.0.113.9"}}}').decode()
    headers = {"WWW-Authenticate": f'Bearer realm="", error="insufficient_claims", claims="{claims}"'}
    body = b'{"error":{"code":"InvalidAuthenticationToken","message":"TokenCreatedWithOutdatedPolicies"}}'
    stage.fault("status", "graph", status=401, headers=headers, body=body)
    return _tell(stage, await stage.sync("delta"), codes=(1,), least="Conditional Access")


async def dollar(stage: Stage) -> Seen:
    """A principal name that begins with a dollar sign, in ``sync user``."""
    directory = stage.sandbox.directory
    person = directory.hire("Dolly Dollar", f"$dolly@{directory.domain}")
    await stage.sync()
    directory.set_attributes(person, displayName="Dolly Another")
    code = (await stage("sync", "user", f"$dolly@{directory.domain}")).code
    name = stage.value(person, "name") if stage.has(person) else None
    return Seen(
        code == 0 and name == "Dolly Another", f"exit code {code}, named {name!r}: {stage.said[-1].strip()[-150:]}"
    )


async def empty_pages(stage: Stage) -> Seen:
    """A round of empty pages without an end: the next run goes on where it was."""
    await stage.sync()
    stage.sandbox.tenant_knobs.endless_rounds = True
    await stage.sync("delta")
    stage.sandbox.ledger.clear()
    stage.sandbox.tenant_knobs.endless_rounds = False
    (new,) = stage.found(1, "Late").people
    asked = list[str]()
    stage.sandbox.faults.watch = lambda side, _method, target: asked.append(target) if side == "graph" else None
    codes = [await stage.sync("delta")]
    begun = [next((each for each in asked if f"/{stream}/delta" in each), "") for stream in ("users", "groups")]
    codes.append(await stage.sync("delta"))
    anew = sum("skiptoken" not in each for each in begun)
    return Seen(not anew and stage.has(new), f"runs {codes}; {anew} of two streams began anew")


async def odd_host(stage: Stage) -> Seen:
    """A link whose host has letters outside ASCII."""

    def spoil(page: object) -> None:
        if isinstance(page, dict) and "value" in page:
            page.pop("@odata.deltaLink", None)
            page["@odata.nextLink"] = "https://gräph.example/v1.0/users/delta?$skiptoken=x"

    stage.fault("alter", "graph", path="delta", change=spoil)
    stage.sandbox.tenant_knobs.list_page_objects = 5
    code = await stage.sync()
    return _tell(stage, code, codes=(1, 3), never=("UnicodeEncodeError",))


async def no_folder(stage: Stage) -> Seen:
    """A store in a folder that does not exist."""
    row = {}
    for each in await stage.ask("check", SYNCD_STORE__URL=f"sqlite:///{stage.folder}/nowhere/store.db") or ():
        if each["check"] == "store":
            row = each
    return Seen(row.get("status") == "failed", f"{row.get('status')}: {row.get('detail', '')[:150]}")


async def lost_store(stage: Stage) -> Seen:
    """The store is lost; the portal is in use."""
    stage.found(5)
    await stage.sync()
    for path in stage.folder.glob("store.db*"):
        path.unlink()
    row = await stage.row("store")
    code = await stage.sync("full")
    said = stage.said[-1] + stage.said[-2]
    told = "another one was lost" in said
    return Seen(
        told, f"check: {row['status']}; exit code {code}; {'told what it is' if told else 'nothing said of it'}"
    )


async def licence_types(stage: Stage) -> Seen:
    """A licence of a type that came in 2026."""
    team = stage.found(3)
    stage.sandbox.portal_knobs.licence_types = "Lite, Core, Premium"
    stage.configure('[[licences]]\ngroup = "Testers"\ntype = "Premium"')
    code = await stage.sync()
    code = await stage.sync() if code == 0 else code
    holders = stage.sandbox.portal_service.licences.holders
    given = sum("Premium" in each.licences for each in holders.values())
    return Seen(given == 3, f"exit code {code}, {given} of {len(team.people)} have it")


def _settings(how: str) -> Play:
    return lambda stage: settings(stage, how)


PLAYS: Mapping[str, Play] = {
    "C1 403 with a page to one value": value_refused,
    "C2 405 with a page by method": method_refused,
    "C3 404 to every change": change_refused,
    "C4 header lines of 60 KiB": long_header,
    "C5 a pooler that lends sessions": pooler,
    "C6 credentials that are rotated": rotated,
    "C7 a database in LATIN2": encoding,
    "C8 a file system without locks": no_locks,
    "C9 parameters of the store's address": parameters,
    "C11 values in lower case": spelled,
    "C12 a redirect to itself": redirected,
    "C13 a byte order mark": marked,
    "C14 a token that grows": token_bomb,
    "C14 a token that drips": token_drip,
    "C15 idle connections": idle_connections,
    "C16 a page of bad entries": bad_entries,
    "C17 settings: a pipe": _settings("a pipe"),
    "C17 settings: 300 MB": _settings("300 MB"),
    "C17 settings nested without end": _settings("nested"),
    "C18 a stop at the beginning": early_stop,
    "C19 a terminal without UTF-8": terminal,
    "C21 a refusal by location": by_location,
    "C22 a login that begins with $": dollar,
    "C23 empty pages without end": empty_pages,
    "C24 a host outside of ASCII": odd_host,
    "C25 a store in no folder": no_folder,
    "C26 a lost store": lost_store,
    "C27 licences of 2026": licence_types,
}

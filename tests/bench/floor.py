"""What a machine can do at best: the same requests by bare aiohttp, the same rows by plain sqlite3. Nothing of syncd.

``pull``: everything by lists, as syncd reads it: users and groups in pages of 999, each group's members by batches of
twenty, eight requests under way together (``--single``: each group's members by a request of their own). ``--serial``:
both delta streams side by side instead, page after page as Graph's links demand. In each case the answers are decoded
by msgspec, and bulk-inserted into the tables that syncd's own migrations made (an empty store, all indexes),
with one ``executemany`` per table and page into SQLite in WAL mode, with one COPY into PostgreSQL, in one transaction
for everything. Ids become integers in a dictionary. No retries, merging, checkpoints, or check of anything: a kill
loses it all, and a second pull would fail.

``push``: requests prepared beforehand, phase by phase, ``concurrency`` of them in flight, answers read and forgotten.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sqlite3
import ssl
import sys
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psycopg
from yarl import URL

Request = tuple[str, str, bytes | None]
_USER_PROPERTIES = ("accountEnabled", "businessPhones", "displayName", "jobTitle", "mail", "mobilePhone",
                    "userPrincipalName", "userType")  # fmt: skip
_GROUP_PROPERTIES = ("displayName", "mail")


class Bare:
    """A session to the sandbox, with the tokens of both sides."""

    def __init__(self, config: Path) -> None:
        settings = tomllib.loads(config.read_text(encoding="utf-8"))
        self.graph, self.bps = settings["graph"], settings["bps"]
        self._session: aiohttp.ClientSession | None = None

    async def open(self, side: Mapping[str, Any], token_url: str, *, concurrency: int) -> aiohttp.ClientSession:
        """Return a session that carries the token of one side."""
        context = ssl.create_default_context(cafile=side["ca_file"])
        form = {
            "grant_type": "client_credentials",
            "client_id": side["client_id"],
            "client_secret": Path(side["client_secret_file"]).read_text(encoding="utf-8").strip(),
        }
        if side is self.graph:
            form["scope"] = f"{side['base_url']}/.default"
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
            session.post(token_url, data=form) as answer,
        ):
            token = (await answer.json())["access_token"]
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=concurrency),
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
        )


class File:
    """A SQLite file, filled in one transaction."""

    def __init__(self, store: str) -> None:
        self._connection = sqlite3.connect(store, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-16000"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("BEGIN")

    def insert(self, table: str, columns: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert rows."""
        marks = ", ".join("?" * len(columns.split(", ")))
        self._connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)

    def commit(self) -> None:
        """Make the rows last."""
        self._connection.execute("COMMIT")

    def count(self, table: str) -> int:
        """Return how many rows are there."""
        return int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class Server:
    """A database of PostgreSQL, filled by COPY in one transaction."""

    def __init__(self, store: str) -> None:
        self._connection = psycopg.connect(store.replace("+psycopg", ""))

    def insert(self, table: str, columns: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert rows."""
        if rows:
            with self._connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)

    def commit(self) -> None:
        """Make the rows last."""
        self._connection.commit()

    def count(self, table: str) -> int:
        """Return how many rows are there."""
        return int((self._connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() or (0,))[0])

    def close(self) -> None:
        """Leave the server."""
        self._connection.close()


class Rows:
    """Bulk inserts into the directory's tables of an empty store."""

    def __init__(self, store: str) -> None:
        self._store = Server(store) if store.startswith("postgresql") else File(store)
        self._keys: dict[str, int] = {}
        self._groups: set[int] = set()

    def insert_page(self, stream: str, entries: list[dict[str, Any]]) -> None:
        """Insert one page."""
        new: list[tuple[int, str]] = []

        def key_of(text: str) -> int:
            key = self._keys.get(text)
            if key is None:
                key = self._keys[text] = len(self._keys) + 1
                new.append((key, text))
            return key

        if stream == "users":
            users = [
                (  # delta states the manager as a change, lists as an object
                    key_of(entry["id"]), "active", entry.get("userPrincipalName"), entry.get("displayName"),
                    _encode(entry, _USER_PROPERTIES),
                    key_of(managers[0]["id"]) if (managers := _find_managers(entry)) else None,
                )
                for entry in entries
            ]  # fmt: skip
            self._store.insert("source_users", "key, state, upn, name, attributes, manager_key", users)
        else:
            groups, members = [], []
            for entry in entries:
                group = key_of(entry["id"])
                if group not in self._groups:
                    self._groups.add(group)
                    groups.append((group, "active", entry.get("displayName"), _encode(entry, _GROUP_PROPERTIES), False))
                members += [(group, key_of(member["id"])) for member in entry.get("members@delta", ())]
            self._store.insert("source_groups", "key, state, name, attributes, reread", groups)
            self._store.insert("source_members", "group_key, member_key", members)
        self._store.insert("source_objects", "key, id", new)

    def insert_members(self, found: list[tuple[str, list[dict[str, str]]]]) -> None:
        """Insert members of groups."""
        new: list[tuple[int, str]] = []
        rows = []
        for group, members in found:
            group_key = self._keys[group]
            for member in members:
                key = self._keys.get(member["id"])
                if key is None:
                    key = self._keys[member["id"]] = len(self._keys) + 1
                    new.append((key, member["id"]))
                rows.append((group_key, key))
        self._store.insert("source_members", "group_key, member_key", rows)
        self._store.insert("source_objects", "key, id", new)

    def commit(self) -> None:
        """Make the rows last."""
        self._store.commit()

    def count(self) -> dict[str, int]:
        """Return how many rows are there."""
        return {name: self._store.count(name) for name in ("source_users", "source_groups", "source_members")}

    def close(self) -> None:
        """Leave the store."""
        self._store.close()


def _encode(entry: Mapping[str, Any], names: tuple[str, ...]) -> str:
    attributes = {name: entry[name] for name in names if entry.get(name) is not None}
    return msgspec.json.encode(attributes).decode()


def _find_managers(entry: Mapping[str, Any]) -> list[dict[str, str]]:
    manager = entry.get("manager")
    return [manager] if manager else entry.get("manager@delta") or []


async def pull(config: Path, store: str, *, single: bool = False) -> dict[str, object]:
    """Read everything by lists into the tables. ``single``: the members of each group by a request of their own."""
    bare, rows = Bare(config), Rows(store)
    started = time.perf_counter()
    root = f"{bare.graph['base_url']}/v1.0"
    token_url = f"{bare.graph['authority_url']}/{bare.graph['tenant_id']}/oauth2/v2.0/token"
    waiting: list[tuple[str, str]] = []
    running: set[asyncio.Task[None]] = set()
    listing = 2
    async with await bare.open(bare.graph, token_url, concurrency=8) as session:

        async def follow(stream: str, link: str | None) -> None:
            nonlocal listing
            while link is not None:
                async with session.get(URL(link, encoded=True)) as answer:
                    body = msgspec.json.decode(await answer.read())
                rows.insert_page(stream, body["value"])
                if stream == "groups":
                    waiting.extend(
                        (entry["id"], f"/groups/{entry['id']}/members?$select=id&$top=999") for entry in body["value"]
                    )
                link = body.get("@odata.nextLink")
            listing -= 1

        async def fetch_batch(few: list[tuple[str, str]]) -> None:
            requests = [{"id": str(n), "method": "GET", "url": url} for n, (_, url) in enumerate(few)]
            body = msgspec.json.encode({"requests": requests})
            headers = {"Content-Type": "application/json"}
            async with session.post(f"{root}/$batch", data=body, headers=headers) as answer:
                responses = msgspec.json.decode(await answer.read())["responses"]
            found = []
            for response in responses:
                group, page = few[int(response["id"])][0], response["body"]
                found.append((group, page["value"]))
                if (more := page.get("@odata.nextLink")) is not None:
                    waiting.append((group, more.removeprefix(root)))
            rows.insert_members(found)

        async def fetch_single(few: list[tuple[str, str]]) -> None:
            (group, url), *_ = few
            async with session.get(URL(root + url, encoded=True)) as answer:
                page = msgspec.json.decode(await answer.read())
            if (more := page.get("@odata.nextLink")) is not None:
                waiting.append((group, more.removeprefix(root)))
            rows.insert_members([(group, page["value"])])

        fetch, at_once = (fetch_single, 1) if single else (fetch_batch, 20)
        users = f"{root}/users?$select=id,{','.join(_USER_PROPERTIES)}&$expand=manager($levels=1;$select=id)&$top=999"
        groups = f"{root}/groups?$select=id,{','.join(_GROUP_PROPERTIES)}&$top=999"
        running = {asyncio.create_task(follow("users", users)), asyncio.create_task(follow("groups", groups))}
        while running:
            while len(running) < 8 and (len(waiting) >= at_once or (waiting and not listing)):
                few, waiting[:at_once] = waiting[:at_once], []
                running.add(asyncio.create_task(fetch(few)))
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if not running and waiting:
                few, waiting[:at_once] = waiting[:at_once], []
                running.add(asyncio.create_task(fetch(few)))
    rows.commit()
    found: dict[str, object] = {"seconds": time.perf_counter() - started, **rows.count()}
    rows.close()
    return found


async def pull_serially(config: Path, store: str) -> dict[str, object]:
    """Read both delta streams into the tables."""
    bare, rows = Bare(config), Rows(store)
    started = time.perf_counter()
    root = f"{bare.graph['base_url']}/v1.0"
    token_url = f"{bare.graph['authority_url']}/{bare.graph['tenant_id']}/oauth2/v2.0/token"
    async with await bare.open(bare.graph, token_url, concurrency=8) as session:

        async def follow(stream: str, link: str | None) -> int:
            pages = 0
            while link is not None:
                async with session.get(URL(link, encoded=True)) as answer:
                    body = msgspec.json.decode(await answer.read())
                rows.insert_page(stream, body["value"])
                link = body.get("@odata.nextLink")
                pages += 1
            return pages

        pages = await asyncio.gather(
            follow("users", f"{root}/users/delta?$select={','.join(_USER_PROPERTIES)},manager"),
            follow("groups", f"{root}/groups/delta?$select={','.join(_GROUP_PROPERTIES)},members"),
        )
    rows.commit()
    seconds = time.perf_counter() - started
    found: dict[str, object] = {"seconds": seconds, "pages": sum(pages), **rows.count()}
    rows.close()
    return found


async def push(config: Path, requests: Path, *, concurrency: int) -> dict[str, object]:
    """Send prepared requests (lines of [phase, method, path, body])."""
    bare = Bare(config)
    portal = bare.bps["portal_url"].rstrip("/")
    phases: dict[int, list[Request]] = defaultdict(list)
    with requests.open(encoding="utf-8") as lines:
        for line in lines:
            phase, method, path, body = json.loads(line)
            phases[phase].append((method, path, None if body is None else body.encode()))
    started = time.perf_counter()
    session = await bare.open(bare.bps, f"{portal}/api/oauth2/token", concurrency=concurrency)
    async with session:

        async def work(rest: Iterator[Request]) -> None:
            for method, path, body in rest:
                headers = {"Content-Type": "application/json"} if body is not None else None
                url = URL(portal + path, encoded=True)
                async with session.request(method, url, data=body, headers=headers) as answer:
                    content = await answer.read()
                    if answer.status >= 300:
                        raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")

        for phase in sorted(phases):
            rest = iter(phases[phase])
            await asyncio.gather(*(work(rest) for _ in range(concurrency)))
    return {"seconds": time.perf_counter() - started, "requests": sum(len(found) for found in phases.values())}


def main() -> None:
    """Run one of the two and print a JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.floor")
    parser.add_argument("what", choices=["pull", "push"])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--store", help="a SQLite file, or the URL of a PostgreSQL database: with the tables, empty")
    parser.add_argument("--requests", type=Path)
    parser.add_argument("--serial", action="store_true")
    parser.add_argument("--single", action="store_true")
    parser.add_argument("--concurrency", type=int, default=4)
    options = parser.parse_args()
    if options.what == "pull":
        if options.serial:
            found = asyncio.run(pull_serially(options.config, options.store))
        else:
            found = asyncio.run(pull(options.config, options.store, single=options.single))
    else:
        found = asyncio.run(push(options.config, options.requests, concurrency=options.concurrency))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    found["cpu_seconds"] = usage.ru_utime + usage.ru_stime
    found["peak_mb"] = usage.ru_maxrss / 1024
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()

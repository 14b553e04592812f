"""Secrets and names where they do not belong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from syncd.sandbox.server import find_free_port
from tests.conditions.stage import Play, Seen, Stage
from tests.e2e.test_proxy import PASSWORD, proxied


def _search(stage: Stage, *secrets: str) -> str:
    """Return where a secret or a token is: in what was said, or in a file of the store."""
    stored = "".join(path.read_bytes().decode("latin-1") for path in stage.folder.glob("store.db*"))
    for where, text in (("an output", "".join(stage.said)), ("the store", stored)):
        if re.search(r"eyJ0eXA[\w-]{8}", text):
            return f"a token is in {where}"
        for secret in secrets:
            if any(form and form in text for form in (secret, quote(secret, safe=""))):
                return f"a secret is in {where}"
    return ""


async def _look_everywhere(stage: Stage, *secrets: str) -> Seen:
    code = await stage.sync()
    await stage.ask("runs")
    await stage("runs", "show", "last")
    await stage("check")
    found = _search(stage, *secrets)
    return Seen(code == 1 and not found, f"exit code {code}; {found or 'nothing of it is anywhere'}")


async def unreadable_answer(stage: Stage) -> Seen:
    """A header line that no library takes."""
    stage.fault("header", "graph", size=200_000, path="v1.0")
    return await _look_everywhere(stage, stage.sandbox.client_secret)


async def proxy(stage: Stage) -> Seen:
    """A forward proxy (tinyproxy) refuses the password."""
    ports = [int(url.rpartition(":")[2]) for url in (stage.sandbox.login_url, stage.sandbox.graph_url)]
    async with proxied(stage.folder, ports=ports) as running:
        stage.program.environment.update(running.environment("wrong-canary-4711"))
        seen = await _look_everywhere(stage, "wrong-canary-4711", PASSWORD)
    told = "proxy" in await stage.error()
    return Seen(seen.right and told, seen.words)


async def repeated(stage: Stage, side: str, path: str) -> Seen:
    """A side repeats the request that it was sent, in a page."""
    stage.fault("echo", side, status=400, path=path, content_type="text/html")
    sandbox = stage.sandbox
    return await _look_everywhere(stage, sandbox.client_secret, sandbox.portal_client_secret)


async def password_with_at(stage: Stage) -> Seen:
    """A sign in the database's password that ends it early."""
    url = f"postgresql://syncd:front@canarytail@127.0.0.1:{find_free_port()}/syncd"
    code = (await stage("runs", SYNCD_STORE__URL=url)).code
    shown = "canarytail" in "".join(stage.said)
    return Seen(not shown and code == 2, f"exit code {code}, {'its tail is shown' if shown else 'not shown'}")


async def modes(stage: Stage) -> Seen:
    """The files of a new store under a umask of 022."""
    await stage.sync()
    found = {path.name: f"{path.stat().st_mode & 0o777:o}" for path in stage.folder.glob("store.db*")}
    found = {name: mode for name, mode in found.items() if not name.endswith(".lock")}
    return Seen(bool(found) and set(found.values()) == {"600"}, str(found))


def _repeated(side: str, path: str) -> Play:
    return lambda stage: repeated(stage, side, path)


PLAYS: Mapping[str, Play] = {
    "B1 an answer that cannot be parsed": unreadable_answer,
    "B2 a proxy that refuses": proxy,
    "B3 Graph repeats": _repeated("graph", "users"),
    "B3 the portal repeats": _repeated("portal", "admin"),
    "B4 @ in the database's password": password_with_at,
    "B5 the modes of files": modes,
}

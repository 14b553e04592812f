"""The sandbox of the program itself, asked as a client of Graph and of the portal asks."""

from __future__ import annotations

import asyncio
import json
import ssl
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.conditions.stage import Play, Seen, Stage


@dataclass(frozen=True, slots=True)
class Client:
    """Asks one running sandbox with a token."""

    settings: Mapping[str, Any]
    token: str
    context: ssl.SSLContext

    async def __call__(
        self, target: str, *, method: str = "GET", body: object = None, **headers: str
    ) -> tuple[int, Any]:
        """Return status and JSON; an empty object where there is none."""
        url = self.settings["graph"]["base_url"] + target
        return await asyncio.to_thread(_ask, url, self.context, self.token, method, body, headers)

    async def status(self, target: str, **more: Any) -> int:
        """Return the status alone."""
        return (await self(target, **more))[0]


def _ask(
    url: str, context: ssl.SSLContext, token: str, method: str, body: object, headers: Mapping[str, str]
) -> tuple[int, Any]:
    sent = None if body is None else json.dumps(body).encode()
    all_headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, data=sent, method=method, headers=all_headers)
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, {}


@asynccontextmanager
async def _open(stage: Stage) -> AsyncIterator[Client]:
    """Start the program's sandbox in a process, and sign in to it."""
    folder = stage.folder / "own"
    process = await stage.program.start(
        "sandbox", "--users", "30", "--groups", "8", "--memberships", "60", "--directory", str(folder), "--for", "10m"
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            while b"Ready." not in (line := await process.stdout.readline()):
                assert line, "the sandbox ended"
        settings = tomllib.loads((folder / "syncd.toml").read_text(encoding="utf-8"))
        graph = settings["graph"]
        context = ssl.create_default_context(cafile=graph["ca_file"])
        form = {
            "grant_type": "client_credentials",
            "client_id": graph["client_id"],
            "client_secret": (folder / "graph-secret").read_text().strip(),
            "scope": graph["base_url"] + "/.default",
        }
        url = f"{graph['authority_url']}/{graph['tenant_id']}/oauth2/v2.0/token"
        data = urllib.parse.urlencode(form).encode()
        with await asyncio.to_thread(urllib.request.urlopen, url, data, context=context) as answer:
            token = json.load(answer)["access_token"]
        yield Client(settings, token, context)
    finally:
        process.terminate()
        await process.communicate()


async def properties(stage: Stage) -> Seen:
    """Properties of the schema, in any letter case."""
    names = ("employeeLeaveDateTime", "identityParentId", "isResourceAccount", "DisplayName")
    async with _open(stage) as ask:
        users = {name: await ask.status(f"/v1.0/users?$select={name}") for name in names}
        groups = {
            name: await ask.status(f"/v1.0/groups?$select={name}")
            for name in ("onPremisesExtensionAttributes", "assignedLicenses")
        }
    return Seen({*users.values(), *groups.values()} == {200}, f"{users}, {groups}")


async def casts(stage: Stage) -> Seen:
    """The casts that Microsoft's SDKs send."""
    async with _open(stage) as ask:
        _, groups = await ask("/v1.0/groups?$top=1")
        _, users = await ask("/v1.0/users?$top=1")
        group, user = groups["value"][0]["id"], users["value"][0]["id"]
        targets = (
            f"/v1.0/groups/{group}/members/graph.user",
            "/v1.0/directory/deletedItems/graph.user",
            f"/v1.0/users/{user}/transitiveMemberOf",
            f"/v1.0/users/{user}/memberOf/microsoft.graph.group",
        )
        found = [await ask.status(target) for target in targets]
    return Seen(found == [200] * 4, f"{found}")


async def sorting(stage: Stage) -> Seen:
    """$orderby: sorted, or refused."""
    async with _open(stage) as ask:
        status, page = await ask("/v1.0/users?$orderby=displayName&$select=displayName")
    names = [str(each["displayName"]).casefold() for each in page.get("value", [])]
    return Seen(
        status == 400 or (bool(names) and names == sorted(names)), f"{status}, sorted: {names == sorted(names)}"
    )


async def expansions(stage: Stage) -> Seen:
    """$expand with $select and $levels; what only a single object has, of a list."""
    async with _open(stage) as ask:
        _, page = await ask("/v1.0/users?$expand=manager($select=displayName)&$select=id")
        managers = [user["manager"] for user in page.get("value", []) if user.get("manager")]
        about = await ask.status("/v1.0/users?$select=aboutMe")
    named = bool(managers) and all("displayName" in each for each in managers)
    return Seen(named and about == 501, f"managers with their names: {named}; aboutMe of a list: {about}")


async def batches(stage: Stage) -> Seen:
    """Parts that depend on a failed one, ids in two letter cases, a POST without Content-Type, odd headers, no url."""
    one = {"id": "1", "method": "GET", "url": "/users/nobody"}
    post = {"id": "1", "method": "POST", "url": "/directoryObjects/getByIds", "body": {"ids": []}}
    shapes = [
        [one, {"id": "2", "method": "GET", "url": "/users?$top=1", "dependsOn": ["1"]}],
        [{**one, "id": "a"}, {**one, "id": "A"}],
        [post],
        [{**one, "headers": 5}],
        [{**one, "url": ""}],
    ]
    async with _open(stage) as ask:
        found = [await ask("/v1.0/$batch", method="POST", body={"requests": shape}) for shape in shapes]
    depends = {each["id"]: each["status"] for each in found[0][1].get("responses", [])}.get("2")
    whole = [status for status, _ in found[1:]]
    parts = [[each["status"] for each in document.get("responses", [])] for _, document in found[1:]]
    right = depends == 424 and all(status == 400 or 400 in part for status, part in zip(whole, parts, strict=True))
    return Seen(right, f"dependent part {depends}, the others {whole} {parts}")


async def crashes(stage: Stage) -> Seen:
    """GET /v1.0."""
    async with _open(stage) as ask:
        status = await ask.status("/v1.0")
    return Seen(status == 404, f"{status}")


PLAYS: Mapping[str, Play] = {
    "F1 properties of v1.0": properties,
    "F2 casts of the SDKs": casts,
    "F3 sorted lists": sorting,
    "F4 expansions": expansions,
    "F5 odd batches": batches,
    "F6 the version alone": crashes,
}

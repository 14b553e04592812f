"""The sandbox in the foreground: run it until it is told to stop, and say how to use it."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import textwrap
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import click

from syncd.sandbox.portal.manual_edits import OPERATIONS
from syncd.sandbox.server import Sandbox, SandboxOptions, find_free_port
from syncd.sandbox.tenant.company import GUEST_NAME
from syncd.sandbox.tenant.events import live, operation_names


async def serve(
    options: SandboxOptions,
    directory: Path,
    *,
    change_every: timedelta | None,
    lifetime: timedelta,
    machine: bool = False,
) -> None:
    """Run a sandbox until SIGINT, SIGTERM or the end of its lifetime, writing its configuration into ``directory``.

    ``machine``: what it says is for a program.
    """
    stop = asyncio.Event()
    say: Callable[[str], object] = _keep_silent if machine else click.echo
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Sandbox(options, directory) as running:
        port = find_free_port()
        config = await asyncio.to_thread(_write_config, running, directory, port)
        console = f"http://localhost:{port}"
        if machine:
            click.echo(_describe_briefly(running, directory, console))
        else:
            click.echo(_describe(running, directory, config=config, console=console))
        try:
            async with asyncio.timeout(lifetime.total_seconds()):
                await _change_until(stop, running, every=change_every, say=say)
        except TimeoutError:
            say("The sandbox has run for as long as it was told to.")
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
    say(f"Sandbox stopped after {running.ledger.requests()} requests.")


def _keep_silent(_sentence: str) -> None:
    return


async def _change_until(
    stop: asyncio.Event, running: Sandbox, *, every: timedelta | None, say: Callable[[str], object]
) -> None:
    """Wait for the stop, letting one thing happen in the company at each interval."""
    chance = random.Random(f"live-{running.options.seed}")  # noqa: S311 - reproducible imitation
    if every is None:
        await stop.wait()
        return
    while not stop.is_set():
        try:
            async with asyncio.timeout(every.total_seconds()):
                await stop.wait()
        except TimeoutError:
            for change in live(running.directory, chance, 1):
                say("changed: " + ", ".join(f"{key} {value}" for key, value in change.items()))


def _write_config(running: Sandbox, directory: Path, web_port: int) -> str:
    config = running.config_toml(
        store_url=f"sqlite:///{directory / 'syncd.db'}",
        health_listen=f"127.0.0.1:{find_free_port()}",
        web_port=web_port,
    )
    (directory / "syncd.toml").write_text(config, encoding="utf-8")
    return config


def _list_operations() -> str:
    return textwrap.fill(", ".join(operation_names()), 100, break_on_hyphens=False)


def _describe_briefly(running: Sandbox, directory: Path, console: str) -> str:
    addresses = {
        "login": running.login_url,
        "graph": running.graph_url,
        "portal": running.portal_url,
        "control": running.control_url,
        "console": console,
    }
    return json.dumps({**addresses, "config": str(directory / "syncd.toml")})


def _describe(running: Sandbox, directory: Path, *, config: str, console: str) -> str:
    control, tenant, portal = running.control_url, running.directory, running.portal
    memberships = sum(len(group.members) for group in tenant.groups)
    approver = next((f"sign in as {each.properties['userPrincipalName']}" for each in tenant.active_users()), "")
    guest = (
        f"\nOne of its guests is {GUEST_NAME}."
        if any(user.properties.get("displayName") == GUEST_NAME for user in tenant.users)
        else ""
    )
    return f"""\
The company: {len(tenant.users)} people, {len(tenant.groups)} groups, {memberships} memberships.{guest}
The portal already has {len(portal.accounts)} accounts and {len(portal.groups)} groups that are not the company's.

  login    {running.login_url}
  Graph    {running.graph_url}
  portal   {running.portal_url}
  control  {control}
  console  {console} as soon as 'syncd run' works: {approver or "nobody is there to sign in"}

Let something happen, and look at the truth:
  curl -s {control}/change -d '{{"op": "hire", "count": 3}}'
  curl -s {control}/change -d '{{"op": "leave-many", "count": 100}}'
  curl -s '{control}/state?what=portal-users'
More operations: {_list_operations()}.
Change something in the portal by hand, for 'syncd drift' to find ("target" names an account, "group" a group):
  curl -s {control}/change -d '{{"op": "portal-edit", "field": "jobTitle", "value": "By hand"}}'
  curl -s {control}/change -d '{{"op": "portal-join"}}'
The others are {" and ".join(OPERATIONS[2:])}. Faults, knobs, expired checkpoints: docs/reference/sandbox.md.

The configuration that connects syncd to it is in {directory / "syncd.toml"}:

{config}
Ready. Stop with Ctrl-C."""

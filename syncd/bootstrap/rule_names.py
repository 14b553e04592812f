"""What rules about privileges name and nobody has, asked of both sides before anything begins.

A level that there is not, or another slip in a rule, is found without the sides and stops the program. Then the groups,
places, databases and companies of all rules are looked up as well, so that everything is told at once. The daemon looks
up what no run has looked up before, when it starts and when it reads its settings again.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from syncd.bootstrap.rules import make_privilege_rule, make_rules
from syncd.bootstrap.settings import read_settings
from syncd.bootstrap.sides import make_bps_options, open_graph
from syncd.bootstrap.store import open_stored
from syncd.clock import Clock
from syncd.config import Missing, Settings, load_named_places
from syncd.errors import AuthFailed, ConfigError, Forbidden, RemoteError, SyncdError, Unavailable
from syncd.logs.pipe import configure_logs
from syncd.model.target import NO_SCOPE
from syncd.store.store import Store
from syncd.sync.portal.places import Places, Unknown, Waits, name_rule
from syncd.sync.portal.privileges import find_rule_group

if TYPE_CHECKING:
    from syncd.plan.rules import PrivilegeRule

PATIENCE_SECONDS = 60.0
"""So long both sides have together; what is not looked up by then, a run will find."""
START_SECONDS = 20.0
"""The same when a daemon starts: whoever watches over it waits for its health endpoint."""


def tell_all(error: ConfigError, config: Path | None, environ: Mapping[str, str]) -> ConfigError:
    """Return a refusal of the settings with what else their rules about privileges name and nobody has.

    The same refusal where no rule is part of it. Asks both sides, as far as the settings tell where they are.
    """
    if not any(problem.startswith("privileges") for problem in error.problems):
        return error
    settings = read_settings(config, environ, need=frozenset(), only=frozenset())
    rules = {number: make_privilege_rule(each) for number, each in load_named_places(config, environ).items()}
    if not rules:
        return error
    _send_logs_to_stderr()
    found, unasked = asyncio.run(find_misnamed(settings, rules, Clock()))
    more = [f"privileges: what else they name was not looked up: {why}" for why in unasked]
    return ConfigError([*sorted({*error.problems, *found}), *more], where=error.where)


def refuse_misnamed(settings: Settings, patience: float) -> Settings:
    """Return the settings; ConfigError when their rules name what nobody has. What cannot be asked is no refusal.

    ``patience``: seconds that both sides have.
    """
    rules = dict(enumerate(make_rules(settings).privileges))
    if not rules:
        return settings
    _send_logs_to_stderr()
    found, _ = asyncio.run(find_misnamed(settings, rules, Clock(), patience=patience))
    if found:
        raise ConfigError(found)
    return settings


def _send_logs_to_stderr() -> None:
    """Where nobody has said yet where log lines go: stdout belongs to what was asked for."""
    if not structlog.is_configured():
        configure_logs("auto", "warning", sys.stderr)


async def find_misnamed(
    settings: Settings, rules: Mapping[int, PrivilegeRule], clock: Clock, *, patience: float = PATIENCE_SECONDS
) -> tuple[list[str], list[str]]:
    """Return what these rules name and nobody has, by key, and why something could not be looked up.

    Nothing is asked for rules that a run has looked up before.
    """
    found, unasked = list[str](), list[str]()
    meanings: dict[str, Any] = {}
    groups: dict[int, str] = dict.fromkeys(rules, "")
    with contextlib.suppress(SyncdError):  # whoever opens it next says what is wrong with the store
        if (database := open_stored(settings)) is not None:
            with contextlib.closing(database):
                store = Store(database)
                meanings = store.privileges.load_meanings.blocking()
                known = {number: find_rule_group(store, rule, dict(meanings)) for number, rule in rules.items()}
                read = any(any(some) for some in store.desired.iterate_named_groups(touched_only=False))
                groups = {
                    number: said if read else ""  # a store that was never filled knows no names to choose from
                    for number, said in known.items()
                    if isinstance(said, str)
                }
    try:
        async with asyncio.timeout(patience):
            if groups:
                await _ask_tenant(settings, rules, groups, clock, found=found, unasked=unasked)
            if lacking := {number: rule for number, rule in rules.items() if name_rule(rule) not in meanings}:
                await _ask_portal(settings, lacking, clock, found=found, unasked=unasked)
    except TimeoutError:
        unasked.append(f"the answers took more than {patience:.0f} seconds")
    return sorted(found), unasked


async def _ask_tenant(
    settings: Settings,
    rules: Mapping[int, PrivilegeRule],
    groups: Mapping[int, str],
    clock: Clock,
    *,
    found: list[str],
    unasked: list[str],
) -> None:
    """Look for groups that the store does not know; ``groups``: what it says of each, by the number of the rule."""
    from syncd.graph.checks.groups import probe_groups

    if isinstance(settings.graph_side, Missing):
        unasked.append("[graph] is not complete")
        return
    keys = {f"privileges[{number}].group": number for number in groups}
    try:
        async with open_graph(settings, make_rules(settings), clock) as client:
            references = [(key, rules[number].group) for key, number in keys.items()]
            probes = await probe_groups(client, references, {})
    except SyncdError as error:
        unasked.append(str(error))
        return
    for (key, number), probe in zip(keys.items(), probes, strict=True):
        if probe.status == "failed":
            found.append(f"{key}: {groups[number] or f'{probe.detail}; {probe.remedy}'}")
        elif probe.status == "unknown":
            unasked.append(probe.detail)


async def _ask_portal(
    settings: Settings, rules: Mapping[int, PrivilegeRule], clock: Clock, *, found: list[str], unasked: list[str]
) -> None:
    """Look for the places and companies of rules."""
    from syncd.bps.portal import BpsPortal

    if isinstance(settings.bps_side, Missing):
        unasked.append("[bps] is not complete")
        return
    try:
        async with BpsPortal(make_bps_options(settings), clock) as portal:
            places = Places(portal)
            for number, rule in rules.items():
                try:
                    await places.find(rule)
                except Unknown as unknown:
                    found += [f"privileges[{number}].{name}: {words}" for name, words in unknown.problems]
                except Waits:
                    continue  # for want of a scope that other rules do not need
                except (AuthFailed, Unavailable):
                    raise  # the others would hear the same
                except RemoteError as error:
                    if isinstance(error, Forbidden) and error.code == NO_SCOPE:
                        raise
                    unasked.append(f"privileges[{number}]: {error}")
    except SyncdError as error:
        unasked.append(str(error))

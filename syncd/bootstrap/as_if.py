"""Licences under the rules of another file: read, tried on everybody in the store, and nothing is written."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from syncd.bootstrap.rules import list_attributes, make_rules
from syncd.bootstrap.settings import read_settings
from syncd.errors import ConfigError
from syncd.plan.closure import find_below, make_edges
from syncd.plan.desired import SourceUser, decide_user
from syncd.plan.licences import PersonView, name_licence_role
from syncd.plan.report.licences_as_if import AsIf, Tally, choose_state
from syncd.plan.rules import Rules

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.store.reports.licence_people import Candidate
    from syncd.store.store import Store

_LOOKED_AT = frozenset({"licences", "scope"})


@dataclass(frozen=True, slots=True)
class OtherRules:
    """The rules in force with other licence rules in place of theirs; ``scoped``: and with another scope."""

    rules: Rules
    scoped: bool


def read_other_rules(settings: Settings, path: Path) -> OtherRules:
    """Return the rules of a TOML file with ``[[licences]]``, ``[scope]`` or both; ConfigError with every problem."""
    found = read_settings(path, {}, need=frozenset(), only=_LOOKED_AT)
    given = {name for name, source in found.source.items() if source != "defaults"}
    problems = [
        f"{name}: is not looked at by --as-if, so that the numbers would not be those of this file; leave it out"
        for name in sorted(given - _LOOKED_AT)
    ]
    problems += [told for told in found.set_aside if told.split(".")[0].split(":")[0] not in given]
    if not given & _LOOKED_AT:
        problems.append("licences: is missing; write the rules to be tried as [[licences]], with group and type")
    now, other = make_rules(settings), make_rules(found)
    if not problems and "scope" in given:
        unread = set(list_attributes(other, "user")) - set(list_attributes(now, "user"))
        unread -= set(list_attributes(replace(other, scope=now.scope), "user"))
        problems += [
            f"scope.users: looks at {name}, which is not read from the tenant under the rules in force; "
            "'syncd plan full' with a whole configuration reads it"
            for name in sorted(unread)
        ]
    if problems:
        raise ConfigError(problems, where=str(path))
    rules = replace(now, licences=other.licences if "licences" in given else now.licences)
    return OtherRules(replace(rules, scope=other.scope) if "scope" in given else rules, "scope" in given)


def foresee_licences(store: Store, rules: Rules, other: OtherRules, *, now: datetime) -> AsIf:
    """Return who would get and lose what; ConfigError with every group that cannot be found.

    ``rules`` are those in force. Whether people are wanted is what the last planning decided; under another scope it is
    decided anew.
    """
    from syncd.store.reports.licence_people import iterate_candidates, load_held_counts
    from syncd.sync.planning.named_groups import NamedGroups

    then = other.rules
    groups = NamedGroups(store, then).find(full=True, write=False)
    places = {
        place: _find_users(store, groups.get(name_licence_role(place), ())) for place in range(len(then.licences))
    }
    states = _decide(store, rules, groups, then=then, now=now) if other.scoped else {}
    tally = Tally(rules=then)
    for chunk in iterate_candidates(store.plans.database):
        for each in chunk:
            covered = frozenset(place for place, users in places.items() if each.key in users)
            if each.record is not None:
                tally.add(_make_view(each, states.get(each.key, each.state), covered), each.name)
    held, seats = load_held_counts(store.plans.database)
    return tally.sum_up(held, seats, {rule.type for rule in rules.licences})


def _find_users(store: Store, roots: Collection[int]) -> frozenset[int]:
    """Return the keys of the users below these groups, at any depth."""
    from syncd.store.reports.licence_people import load_users_in

    edges = make_edges(store.desired.load_edges())
    below = {group for root in roots for group in find_below(edges, root)}
    return load_users_in(store.plans.database, below)


def _decide(
    store: Store, before: Rules, groups: dict[str, list[int]], *, then: Rules, now: datetime
) -> dict[int, str | None]:
    """Return what becomes of everybody of whom the other scope decides otherwise, by key."""
    from syncd.store.reports.licence_people import load_states

    included, excluded = groups.get("include", []), groups.get("exclude", [])
    inside, outside = _find_users(store, included), _find_users(store, excluded)
    bound = store.decisions.load_bindings()
    stored = load_states(store.plans.database)
    found: dict[int, str | None] = {}
    grouped = bool(before.scope.include_groups), bool(before.scope.exclude_groups)
    for users in store.desired.iterate_users(touched_only=False, grouped=grouped):
        for user in users:
            record = bound.get(user.key, "")
            lets_in = (not included or user.key in inside) and user.key not in outside
            old = decide_user(user, before, now=now, bound=record)
            new = decide_user(_put(user, lets_in), then, now=now, bound=record)
            state = choose_state(stored.get(user.key), old, new)
            if state != stored.get(user.key):
                found[user.key] = state
    return found


def _put(user: SourceUser, lets_in: bool) -> SourceUser:
    return user._replace(in_groups=lets_in)


def _make_view(each: Candidate, state: str | None, covered: frozenset[int]) -> PersonView:
    wanted = state == "wanted"
    return PersonView(
        key=each.record or 0,
        bps_id=each.bps_id,
        source_key=each.key,
        wanted=wanted,
        state=state or "wanted",
        exists=each.exists,
        owned=each.owned,
        taken=each.taken,
        rule=min(covered, default=None),
        deleting=False,
        licences=each.held,
        removed=each.removed,
        covered=covered,
    )

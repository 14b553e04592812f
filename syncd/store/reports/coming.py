"""Whose day comes: people and groups about whom rules over ``now`` will say something else than they say today."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from syncd.model.kinds import RecordKind
from syncd.plan.coming import find_turns, list_instants
from syncd.plan.desired import Desired, SourceGroup, SourceUser, decide_group, decide_user
from syncd.plan.passing_time import ask_rule
from syncd.plan.report.due import Due, tell_turn
from syncd.plan.rules import Rules
from syncd.store.db.database import Database
from syncd.store.decisions.bindings import Bindings
from syncd.store.desired.decisions import DesiredState


def iterate_coming(database: Database, rules: Rules, *, now: datetime, until: datetime) -> Iterator[Due]:
    """Yield what changes by itself until then, from the directory as it is stored.

    Without rules over ``now`` nothing is read. Whether somebody is in the groups of the scope is as the last run found.
    """
    if not rules.uses_now:
        return
    bound, desired = Bindings(database).load_bindings(), DesiredState(database)
    grouped = bool(rules.scope.include_groups), bool(rules.scope.exclude_groups)

    def decide(subject: SourceUser | SourceGroup, moment: datetime) -> Desired:
        mine = bound.get(subject.key, "")
        if isinstance(subject, SourceUser):
            return decide_user(subject, rules, now=moment, bound=mine)
        return decide_group(subject, rules, now=moment, bound=mine)

    if any(rules.list_time_rules("user")):
        for users in desired.iterate_users(touched_only=False, grouped=grouped):
            for user in users:
                yield from _foretell("user", user, decide, rules=rules, now=now, until=until)
    if any(rules.list_time_rules("group")):
        for groups in desired.iterate_source_groups(touched_only=False):
            for group in groups:
                yield from _foretell("group", group, decide, rules=rules, now=now, until=until)


def _foretell(
    kind: RecordKind,
    subject: SourceUser | SourceGroup,
    decide: Callable[[SourceUser | SourceGroup, datetime], Desired],
    *,
    rules: Rules,
    now: datetime,
    until: datetime,
) -> Iterator[Due]:
    if subject.state != "active":
        return
    expressions = rules.list_time_rules(kind)
    instants = list_instants(expressions, kind, subject.attributes)

    def ask(moment: datetime) -> tuple[object, ...]:
        return tuple(ask_rule(expression, kind, subject.attributes, now=moment) for expression in expressions)

    for number, (before, at) in enumerate(find_turns(ask, instants, now=now, until=until)):
        key = f"{subject.attributes['id']} {number}" if number else str(subject.attributes["id"])
        told = tell_turn(
            kind,
            at=at,
            before=decide(subject, before),
            after=decide(subject, at),
            policy=rules.policy,
            key=key,
        )
        if told is not None:
            yield told

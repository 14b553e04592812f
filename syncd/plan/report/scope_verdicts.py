"""What each rule of the scope says about one person or group, for explanations. Pure; nothing is decided by it.

The decision itself is that of the last planning; where the rules were changed since, the two may differ until the next
one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from syncd.model.kinds import RecordKind
from syncd.model.target import fold
from syncd.plan.cel.expressions import Expression, ExpressionFailed
from syncd.plan.desired import AGENT, find_subtype, is_guest
from syncd.plan.group_names import Remembered, fold_name
from syncd.plan.rules import ScopeRules


@dataclass(frozen=True, slots=True)
class Place:
    """A group that an object lies in; ``path``: the names from that group down to the one with the object in it."""

    id: str
    name: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleVerdict:
    """What one rule says. ``path``: through which nested groups it reaches the object."""

    rule: str
    value: str
    says: Literal["in", "out", "no say", "fails"]
    detail: str = ""
    path: tuple[str, ...] = ()


def list_verdicts(
    kind: RecordKind,
    attributes: Mapping[str, Any],
    places: Sequence[Place],
    bps_id: str | None,
    rules: ScopeRules,
    *,
    named: Mapping[str, Remembered],
    now: datetime | None = None,
) -> list[RuleVerdict]:
    """Return what each rule that is set says, in the order in which they are asked.

    ``named``: which groups names mean. ``now`` is what rules that look at ``now`` take for the present.
    """
    found: list[RuleVerdict] = []
    if bps_id and fold(bps_id) in rules.protect:
        found.append(RuleVerdict(rule="scope.protect", value=bps_id, says="out", detail="hands off"))
    if kind == "group":
        return found + _judge(rules.groups, "scope.groups", "group", attributes, now=now)
    if attributes.get("accountEnabled") is False:
        found.append(RuleVerdict(rule="accountEnabled", value="false", says="out", detail="disabled in the tenant"))
    if subtype := find_subtype(attributes):
        found.append(
            RuleVerdict(
                rule="scope.agents",
                value=rules.agents,
                says="out" if rules.agents == "skip" else "in",
                detail="an account of an agent" if subtype == AGENT else f"of the type {subtype}",
            )
        )
    if is_guest(attributes):
        found.append(
            RuleVerdict(
                rule="scope.guests",
                value=rules.guests,
                says="out" if rules.guests == "skip" else "in",
                detail="a guest",
            )
        )
    included = [find_place(reference, places, named) for reference in rules.include_groups]
    for reference, place in zip(rules.include_groups, included, strict=True):
        says: Literal["in", "out", "no say"] = "in" if place else "no say" if any(included) else "out"
        detail = "" if place else "not in it"
        found.append(
            RuleVerdict(
                rule="scope.include_groups", value=reference, says=says, detail=detail, path=place.path if place else ()
            )
        )
    for reference in rules.exclude_groups:
        place = find_place(reference, places, named)
        if place:
            found.append(
                RuleVerdict(rule="scope.exclude_groups", value=reference, says="out", detail="", path=place.path)
            )
        else:
            found.append(RuleVerdict(rule="scope.exclude_groups", value=reference, says="no say", detail="not in it"))
    return found + _judge(rules.users, "scope.users", "user", attributes, now=now)


def find_place(reference: str, places: Sequence[Place], named: Mapping[str, Remembered]) -> Place | None:
    """Return the group that an id or a name refers to, when the object lies in it. ``named``: what names mean."""
    wanted, known = reference.strip().lower(), named.get(fold_name(reference))
    by_id = next((place for place in places if place.id == wanted), None)
    if by_id is not None or known is not None:
        return by_id or next((place for place in places if known is not None and place.id == known.id), None)
    return next((place for place in places if fold_name(place.name) == fold_name(reference)), None)


def _judge(
    expression: Expression | None,
    rule: str,
    variable: RecordKind,
    attributes: Mapping[str, Any],
    *,
    now: datetime | None,
) -> list[RuleVerdict]:
    if expression is None:
        return []
    try:
        return [
            RuleVerdict(
                rule=rule, value=expression.text, says="in" if expression.test(variable, attributes, now=now) else "out"
            )
        ]
    except ExpressionFailed as error:
        return [RuleVerdict(rule=rule, value=expression.text, says="fails", detail=str(error))]

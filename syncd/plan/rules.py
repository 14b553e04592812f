"""The administrator's rules as plain values: what the decisions in this folder are made by.

No setting has a default here: defaults are those of the configuration, and stand there only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.licence import LicenceType
from syncd.model.privilege import PlaceKind
from syncd.model.target import fold
from syncd.plan.cel.expressions import EVALUATION, Expression
from syncd.plan.mapping import Making, read_rule

Mode = Literal["sync", "upsert_only", "create_only", "plan_only"]
LeaverPolicy = Literal["keep", "revoke", "delete"]
GroupPolicy = Literal["empty", "keep", "delete"]


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How one field is made: the first of ``attributes`` that is set, or the value of an expression."""

    attributes: tuple[str, ...] = ()
    expression: Expression | None = None
    make: Making = field(init=False, repr=False, compare=False)
    """Makes the field of an object's attributes."""

    def __post_init__(self) -> None:
        """Read the rule."""
        object.__setattr__(self, "make", read_rule(self.attributes, self.expression))

    @property
    def text(self) -> str:
        """Return the rule as it was written."""
        return self.expression.text if self.expression else " | ".join(self.attributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRules:
    """Who is meant for the target. Group references are resolved to source keys before anything is decided."""

    include_groups: tuple[str, ...]
    exclude_groups: tuple[str, ...]
    users: Expression | None
    groups: Expression | None
    guests: Literal["skip", "mail"]
    agents: Literal["skip", "sync"]
    """What becomes of accounts of agents, and of any other subtype of user."""
    protect: frozenset[str]
    """Folded BPS ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingRules:
    """Which field is made of what. A field without a rule is not ours to write."""

    user_bps_id: FieldRule
    group_bps_id: FieldRule
    user_fields: Mapping[str, FieldRule]
    group_fields: Mapping[str, FieldRule]
    managers: bool
    owners: bool
    user_makings: tuple[tuple[str, Making], ...] = field(init=False, repr=False, compare=False)
    """What makes each of ``user_fields``, in the order of their names."""
    group_makings: tuple[tuple[str, Making], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Put them in order."""
        for name, fields in (("user_makings", self.user_fields), ("group_makings", self.group_fields)):
            object.__setattr__(self, name, tuple((each, rule.make) for each, rule in sorted(fields.items())))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRules:
    """Which kinds of change are permitted, and what happens to leavers."""

    mode: Mode
    adopt: Literal["match", "never"]
    disabled_users: LeaverPolicy
    out_of_scope: LeaverPolicy
    deleted_users: LeaverPolicy
    deleted_groups: GroupPolicy
    grace: timedelta
    drift: Literal["revert", "adopt", "report"]
    substitute: Literal["none", "manager"]
    rename_substitute: bool

    @property
    def wants_substitutions(self) -> bool:
        """Return whether anybody's tasks are passed on at all."""
        return self.mode != "create_only" and (self.rename_substitute or self.substitute != "none")

    @property
    def deletes(self) -> bool:
        """Return whether anything at all is deleted when its grace has ended."""
        return "delete" in (self.disabled_users, self.out_of_scope, self.deleted_users, self.deleted_groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """How much of a plan goes through unasked. ``None`` switches a limit off; 0 allows none."""

    max_removals: int | None
    max_removal_percent: float | None
    min_population: int
    max_adoptions: int | None
    max_update_percent: float | None
    max_creation_percent: float | None
    max_daily_removals: int | None
    max_daily_removal_percent: float | None
    max_handovers: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveRules:
    """Whether a first plan, or one of changed rules, goes in waves. ``percents``: of the people, by the end of each.

    They decide nothing about people, so that they are no part of the fingerprint. ``max_failures`` None: any number.
    """

    percents: tuple[int, ...]
    max_failures: int | None


@dataclass(frozen=True, slots=True)
class LicenceRule:
    """Members of a group (an id or a name, through any nesting) get a licence of this type.

    ``settings`` as ``model.licence`` describes them; what a rule does not state is not ours to write.
    """

    group: str
    type: LicenceType
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivilegeRule:
    """The BPS group of a group (an id or a name) gets a level at a place of a content database.

    ``place``, ``workflow`` and ``company`` are as the administrator wrote them: an id, a guid or a name.
    """

    group: str
    database: int
    kind: PlaceKind
    place: str
    workflow: str
    level: str
    company: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All rules of one configuration. Of the licence rules the first that covers a person counts."""

    scope: ScopeRules
    mapping: MappingRules
    policy: PolicyRules
    limits: GuardLimits
    waves: WaveRules
    licences: tuple[LicenceRule, ...]
    privileges: tuple[PrivilegeRule, ...]

    @property
    def uses_now(self) -> bool:
        """Return whether decisions about people or groups change as time passes, without any change in the tenant."""
        return any(self.list_time_rules("user")) or any(self.list_time_rules("group"))

    def list_time_rules(self, variable: RecordKind) -> tuple[Expression, ...]:
        """Return the expressions about users, or about groups, that look at ``now``."""
        return tuple(expression for expression in self.list_expressions(variable) if expression.uses_now)

    def list_expressions(self, variable: RecordKind) -> Iterator[Expression]:
        """Yield every expression about users, or about groups."""
        scope, mapping = self.scope, self.mapping
        if variable == "user":
            condition, key, fields = scope.users, mapping.user_bps_id, mapping.user_fields
        else:
            condition, key, fields = scope.groups, mapping.group_bps_id, mapping.group_fields
        rules = (rule.expression for rule in (key, *fields.values()))
        return (expression for expression in (condition, *rules) if expression is not None)

    def fingerprint(self) -> str:
        """Return a hash of everything that decides about people; when it changes, the next push looks at everybody."""
        scope, mapping, policy = self.scope, self.mapping, self.policy
        parts = [
            *(f"include {name}" for name in sorted(scope.include_groups)),
            *(f"exclude {name}" for name in sorted(scope.exclude_groups)),
            f"users {scope.users.text if scope.users else ''}",
            f"groups {scope.groups.text if scope.groups else ''}",
            f"guests {scope.guests}",
            f"agents {scope.agents}",
            *(f"protect {bps_id}" for bps_id in sorted(scope.protect)),
            f"user id {mapping.user_bps_id.text}",
            f"group id {mapping.group_bps_id.text}",
            *(f"user {name} {rule.text}" for name, rule in sorted(mapping.user_fields.items())),
            *(f"group {name} {rule.text}" for name, rule in sorted(mapping.group_fields.items())),
            f"{mapping.managers} {mapping.owners} {policy}",
            *(f"licence {rule.group} {rule.type} {sorted(rule.settings.items())}" for rule in self.licences),
            *(f"privilege {rule}" for rule in self.privileges),
            *({f"evaluation {EVALUATION}" for variable in RECORD_KINDS for _ in self.list_expressions(variable)}),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def fold_all(bps_ids: tuple[str, ...] | list[str]) -> frozenset[str]:
    """Return BPS ids in the form in which they are compared."""
    return frozenset(fold(bps_id) for bps_id in bps_ids)

"""What the portal must hold and what may be taken from it, said from the tenant and the manual alone.

Nothing here looks into the store or shares code with the planner: `Config` is turned into syncd's own rules in one
place, and everything else reads it as an administrator reads the settings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, cast

from syncd.model.source import KIND
from syncd.plan.cel.expressions import Expression
from syncd.plan.rules import (
    FieldRule,
    LicenceRule,
    Rules,
)
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.source import FakeGroup, FakeSource, FakeUser

LEAVERS = frozenset({"disabled", "deleted", "out_of_scope"})
FROZEN = frozenset({"skipped", "waiting"})
"""Who keeps the record as it is, and not what the tenant takes away; ``waiting``: for another record, by a handover."""
LICENCES: dict[str, tuple[LicenceRule, ...]] = {
    "two": (LicenceRule("Group g0", "PowerUser"), LicenceRule("Group g1", "User")),
    "one": (LicenceRule("Group g1", "User"),),
    "designers": (
        LicenceRule("Group g0", "DesignerDeskUser", {"project_creation": "true", "project_publishing": "false"}),
        LicenceRule("Group g1", "User"),
    ),
    "publishers": (
        LicenceRule("Group g0", "DesignerDeskUser", {"project_creation": "true", "project_publishing": "true"}),
        LicenceRule("Group g1", "SingleSolutionUser", {"processes": "1/7/ 1/8/"}),
    ),
    "solution": (LicenceRule("Group g1", "SingleSolutionUser", {"processes": "1/8/ 1/9/ 2//cafe"}),),
    "any": (LicenceRule("Group g1", "SingleSolutionUser"), LicenceRule("Group g0", "DesignerDeskUser")),
    "none": (),
}


@dataclass(frozen=True)
class Config:
    """The settings that the machine turns; every field is one key of the manual, in short."""

    mode: Literal["sync", "upsert_only", "create_only", "plan_only"] = "sync"
    adopt: Literal["match", "never"] = "match"
    disabled: Literal["keep", "revoke", "delete"] = "revoke"
    outside: Literal["keep", "revoke", "delete"] = "revoke"
    deleted: Literal["keep", "revoke", "delete"] = "revoke"
    groups: Literal["keep", "empty", "delete"] = "empty"
    grace: int = 3
    drift: Literal["revert", "adopt", "report"] = "revert"
    substitute: Literal["none", "manager"] = "none"
    rename_substitute: bool = True
    scope: Literal["all", "clerks", "include", "exclude", "groups"] = "all"
    guests: Literal["skip", "mail"] = "skip"
    agents: Literal["skip", "sync"] = "skip"
    phone: str = "mobilePhone"
    licences: Literal["two", "one", "designers", "publishers", "solution", "any", "none"] = "two"
    owners: bool = True
    managers: bool = True
    protect: frozenset[str] = frozenset()
    max_removals: int | None = None
    percent: float | None = None
    max_updates: float | None = None
    max_daily: int | None = None
    max_adoptions: int | None = 0
    max_handovers: int | None = 0
    quiet: bool = False

    def make(self) -> Rules:
        """Return syncd's rules of these settings."""
        base = make_rules()
        scope = make_scope(
            include_groups=("Group g0",) if self.scope == "include" else (),
            exclude_groups=("Group g0",) if self.scope == "exclude" else (),
            users=Expression('user.jobTitle != "Contractor"') if self.scope == "clerks" else None,
            groups=Expression('group.displayName != "Group g2"') if self.scope == "groups" else None,
            guests=self.guests,
            agents=self.agents,
            protect=self.protect,
        )
        named = {**base.mapping.user_fields, "phone": FieldRule((self.phone,))}
        mapping = type(base.mapping)(
            user_bps_id=base.mapping.user_bps_id, group_bps_id=base.mapping.group_bps_id, user_fields=named,
            group_fields=base.mapping.group_fields, managers=self.managers, owners=self.owners,
        )  # fmt: skip
        policy = make_policy(
            mode=self.mode, adopt=self.adopt, disabled_users=self.disabled, out_of_scope=self.outside,
            deleted_users=self.deleted, deleted_groups=self.groups,
            grace=timedelta(days=self.grace), drift=self.drift, substitute=self.substitute,
            rename_substitute=self.rename_substitute,
        )  # fmt: skip
        limits = make_limits(
            max_removals=self.max_removals,
            max_removal_percent=self.percent,
            max_daily_removals=self.max_daily,
            max_daily_removal_percent=None,
            min_population=3,
            max_adoptions=self.max_adoptions,
            max_update_percent=self.max_updates,
            max_handovers=self.max_handovers,
        )
        licences = LICENCES[self.licences]
        return make_rules(scope=scope, mapping=mapping, policy=policy, limits=limits, licences=licences)

    def policy_for(self, state: str) -> str:
        """Return what happens to a leaver's account."""
        if state == "renamed":
            return "delete" if self.deleted == "delete" else "revoke"
        known = {"disabled": self.disabled, "deleted": self.deleted, "out_of_scope": self.outside}
        return known.get(state, "keep")


@dataclass
class Truth:
    """The tenant under these settings, at this moment.

    ``names``: every BPS id that a person ever went by. ``had_by``: whose each record of ours is, by its BPS id.
    ``passing``: records that pass to whoever wants them now.
    """

    source: FakeSource
    config: Config
    names: dict[str, set[str]]
    group_names: dict[str, set[str]]
    had_by: dict[str, str] = field(default_factory=dict)
    passing: frozenset[str] = frozenset()
    state: dict[str, str] = field(default_factory=dict)
    bps_id: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, str] = field(default_factory=dict)
    """User id to BPS id."""
    groups: dict[str, str] = field(default_factory=dict)
    """BPS id of each wanted group to its source id."""
    unclear: set[str] = field(default_factory=set)
    """BPS ids that several groups want: who has it depends on who had it first."""
    waiting: dict[str, str] = field(default_factory=dict)
    """Records that somebody else still has, and who waits for them."""

    def __post_init__(self) -> None:
        named = "g0"
        chosen = self.people_in(named) if self.config.scope in ("include", "exclude") else set[str]()
        for key, user in self.source.users.items():
            self.bps_id[key] = find_id(user, self.config)
            self.state[key] = self._judge(key, user, chosen)
            if self.state[key] == "wanted":
                self.wanted[key] = self.bps_id[key]
        for key, bps_id in list(self.wanted.items()):
            if bps_id not in self.passing and self.had_by.get(bps_id, key) != key:
                self.waiting[bps_id] = key
        for key in self.waiting.values():
            self.state[key] = "waiting"
            del self.wanted[key]
        claims: dict[str, list[str]] = {}
        for key, group in self.source.groups.items():
            if self.judge_group(key) == "wanted":
                claims.setdefault(find_group_id(group), []).append(key)
        for bps_id, keys in claims.items():
            if len(keys) == 1 and (bps_id in self.passing or self.had_by.get(bps_id, keys[0]) == keys[0]):
                self.groups[bps_id] = keys[0]
            elif len(keys) == 1:
                self.waiting[bps_id] = keys[0]
            else:
                self.unclear.add(bps_id)

    def _judge(self, key: str, user: FakeUser, chosen: set[str]) -> str:
        values, scope, bps_id = user.attributes, self.config.scope, self.bps_id[key]
        if bps_id in self.config.protect:
            return "protected"
        if user.state != "active":
            return "deleted"
        if values.get("accountEnabled") is False:
            return "disabled"
        if is_guest(user) and self.config.guests == "skip":
            return "out_of_scope"
        if self.config.agents == "skip" and (values.get(KIND) or values.get("identityParentId")):
            return "out_of_scope"
        outside = (scope == "include" and key not in chosen) or (scope == "exclude" and key in chosen)
        if outside or (scope == "clerks" and values.get("jobTitle") == "Contractor"):
            return "out_of_scope"
        return "skipped" if not bps_id or set(bps_id) & set(" #") else "wanted"

    def judge_group(self, key: str) -> str:
        """Return where a group stands."""
        group = self.source.groups[key]
        if group.state != "active":
            return "deleted"
        if self.config.scope == "groups" and group.attributes.get("displayName") == "Group g2":
            return "out_of_scope"
        return "protected" if find_group_id(group) in self.config.protect else "wanted"

    def people_in(self, group: str) -> set[str]:
        """Return the ids of users who are in a group through any nesting."""
        met, rest, people = {group}, [group], set[str]()
        while rest:
            found = self.source.groups.get(rest.pop())
            if found is None or found.state != "active":
                continue
            for member, kind in found.members.items():
                if kind == "user":
                    people.add(member)
                elif member not in met:
                    met.add(member)
                    rest.append(member)
        return people

    def members(self, bps_id: str) -> set[str]:
        """Return the BPS ids that belong into a wanted group."""
        return {self.wanted[key] for key in self.people_in(self.groups[bps_id]) if key in self.wanted}

    def owners(self, bps_id: str) -> set[str]:
        """Return the BPS ids that own a wanted group."""
        return {self.wanted[key] for key in self.source.groups[self.groups[bps_id]].owners if key in self.wanted}

    def places(self, kind: str, bps_id: str) -> set[str]:
        """Return members or owners."""
        return self.members(bps_id) if kind == "membership" else self.owners(bps_id)

    def licence(self, user: str) -> LicenceRule | None:
        """Return the first rule that gives a person a licence."""
        return next((rule for rule in LICENCES[self.config.licences] if user in self.people_in(rule.group[-2:])), None)

    def find_frozen(self, account: str) -> set[str]:
        """Return who went by an account and is frozen now."""
        return {key for key, names in self.names.items() if account in names and self.state[key] in FROZEN} - {
            self.waiting.get(account)
        }

    def keeps_place(self, kind: str, group: str, account: str) -> bool:
        """Return whether the tenant has somebody frozen in that group, whose account this is."""
        found = self.source.groups[self.groups[group]]
        there = self.people_in(self.groups[group]) if kind == "membership" else found.owners.keys()
        return any(key in there for key in self.find_frozen(account))

    def keeps_licence(self, account: str, kind: str) -> bool:
        """Return whether a rule gives that type to somebody frozen whose account this is."""
        return any(
            rule.type == kind and key in self.people_in(rule.group[-2:])
            for rule in LICENCES[self.config.licences]
            for key in self.find_frozen(account)
        )

    def is_proven(self, bps_id: str) -> bool:
        """Return whether somebody may have a record that waits without being asked about: the same human, or a swap."""
        heir, met = self.waiting[bps_id], {bps_id}
        former = self.had_by[bps_id]
        one, other = (self.source.users.get(key) for key in (former, heir))
        if one is None or other is None:
            return False
        if one.attributes.get("employeeId") and one.attributes["employeeId"] == other.attributes.get("employeeId"):
            return True
        while (wanted := self.bps_id.get(former, "")) in self.waiting and wanted not in met:
            met.add(wanted)
            if (former := self.had_by[wanted]) == heir:
                return True
        return False

    def find_states(self, account: str) -> set[str]:
        """Return where an account stands: wanted, or as those who ever went by it; nothing: it is a stranger's."""
        if account in self.wanted.values():
            return {"wanted"}
        found = set[str]()
        for key, names in self.names.items():
            if account in names and self.waiting.get(account) != key:
                state = self.state[key]
                found.add("renamed" if state == "wanted" else state)
        return found

    def find_group_states(self, record: str) -> set[str]:
        """Return the same of a group's record."""
        if record in self.groups or record in self.unclear:
            return {"wanted"}
        found = set[str]()
        for key, names in self.group_names.items():
            if record in names and self.waiting.get(record) != key:
                state = self.judge_group(key)
                found.add("renamed" if state == "wanted" else state)
        return found

    def fields(self, user: str) -> dict[str, str | None]:
        """Return the mapped values of a person as the portal names them."""
        values = self.source.users[user].attributes
        return {
            "name": cast("str | None", values["displayName"]),
            "email": cast("str | None", values.get("mail") or values["userPrincipalName"]),
            "jobTitle": cast("str | None", values.get("jobTitle")),
            "phoneNumber": cast("str | None", values.get(self.config.phone)),
        }


def find_name(user: FakeUser) -> str:
    """Return the principal name of a user, without case."""
    return str(user.attributes["userPrincipalName"]).casefold()


def is_guest(user: FakeUser) -> bool:
    """Return whether a user is a guest: by the type, or by the mark in the name of one who has no type."""
    kind = user.attributes.get("userType")
    return kind == "Guest" or (kind is None and "#ext#" in find_name(user))


def find_id(user: FakeUser, config: Config) -> str:
    """Return the BPS id of a user, without case; empty when there is none.

    Of guests whom the settings let in, and of members who come from elsewhere, it is the mail address.
    """
    by_mail = config.guests == "mail" if is_guest(user) else "#ext#" in find_name(user)
    return str(user.attributes.get("mail") or "").casefold() if by_mail else find_name(user)


def find_group_id(group: FakeGroup) -> str:
    """Return the BPS id of a group, without case."""
    return str(group.attributes["mailNickname"]).casefold()

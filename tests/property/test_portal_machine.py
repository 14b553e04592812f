"""Laws 1, 3, 6 and 7 against the imitation portal: everything that may happen, in any order, on every kind of portal.

A machine lets people and groups of the tenant change, lets somebody change the portal by hand, turns the settings,
moves the clock, and runs what an administrator can run: full and delta, one object, plans, plan files, approvals and
rejections, drift, undo; with faults on both sides and in the store, and with kills. Each portal behaves as one of the
many ways in which the real one may behave. After each run everything that the portal carried out is judged (see
`portal_stage`); in the end the owned part is mapping(scope(source)), and a further run plans nothing.
See `machines` for long runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from syncd.errors import Unavailable
from syncd.model.licence import LICENCE_TYPES
from syncd.model.run import Approval, RunRequest, Wanted
from syncd.model.source import KIND
from syncd.plan.drift import Drift
from syncd.plan.planfile import open_plan
from syncd.sandbox.portal.store import PortalGroup
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.knobs import PortalKnobs
from syncd.sync.planning.drift import DriftCheck
from syncd.sync.planning.proposal import FromFile
from syncd.sync.planning.undo import Undo
from tests.fakes.source import FakeGroup, FakeUser, Read
from tests.fakes.wired import Asked
from tests.property.machines import SHARES, walk
from tests.property.portal_comparison import Comparison
from tests.property.portal_oracle import Config, find_name
from tests.property.portal_stage import HAND, STRANGER, STRANGERS, Changed, Ended, Stage, Trouble

USERS = [f"u{number}" for number in range(6)]
NEWCOMERS = ["n0", "n1"]
"""People and accounts of agents who come later, mostly with a login that somebody had."""
GROUPS = [f"g{number}" for number in range(4)]
NAMES = [f"u{number}@x.com" for number in range(6)] + ["U1@X.com", "new@x.com", "bad name", "far#EXT#@x.com"]
MAILS = {"u0": "u0@y.org", "u1": "U1@y.org", "u4": "u4@y.org"}
PEOPLE = [*NAMES[:6], *(mail.casefold() for mail in MAILS.values())]
"""BPS ids that people of the tenant may have, as a rule."""
GROUP_IDS = ["a@grp", "b@grp", "c@grp"]
DAY = 86_400.0


def read_to_end(chunks: Iterator[list[Drift]]) -> None:
    """Take everything, as a command that prints it does."""
    for _ in chunks:
        pass


_PATIENCE = 5
"""So many undisturbed full runs may pass until nothing is left to do."""

users, groups = st.sampled_from([*USERS, *NEWCOMERS]), st.sampled_from(GROUPS)
text = st.sampled_from(["Clerk", "Contractor", "Boss", None])
portals = st.fixed_dictionaries(
    {},
    optional={
        "pending_visible": st.just(False),
        "builtin_visible": st.just(True),
        "applications_visible": st.just(False),
        "duplicate_group_status": st.just(409),
        "remove_non_member": st.just("conflict"),
        "unknown_property": st.just("ignore"),
        "unknown_manager": st.sampled_from(["conflict", "accept"]),
        "clearing": st.sampled_from(["empty", "null", "ignored", "refused"]),
        "case_matters": st.just(True),
        "deletion_clears_places": st.just(False),
        "max_length": st.just(12),
        "max_page_size": st.just(2),
        "substitution_answer": st.just("nothing"),
        "substitution_first_page": st.just(1),
        "tombstone": st.just(3600.0),
        "token_names_lifetime": st.just(False),
        "token_lifetime": st.just(30),
        "sync_delay_max": st.sampled_from([2.0, 100.0]),
        "perpetual_licences": st.just(True),
        "no_seat_status": st.just(402),
        "licence_all_or_nothing": st.just(False),
        "licence_removes_first": st.just(False),
        "licence_repeated": st.just("conflict"),
        "licence_exclusive": st.just(True),
        "licence_processes": st.just("replace"),
        "licence_settings_shown": st.just(False),
        "licence_pending": st.just("accept"),
        "removed_holders_listed": st.just(False),
    },
)
"""The switches of the portal that the facts leave open, each mostly as it is by default."""

policies = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["upsert_only", "create_only", "plan_only", "sync", "sync"]),
        "adopt": st.sampled_from(["match", "match", "never"]),
        "disabled": st.sampled_from(["keep", "revoke", "delete"]),
        "outside": st.sampled_from(["keep", "revoke", "delete"]),
        "deleted": st.sampled_from(["keep", "revoke", "delete"]),
        "groups": st.sampled_from(["keep", "empty", "delete"]),
        "drift": st.sampled_from(["revert", "adopt", "report"]),
        "substitute": st.sampled_from(["none", "manager"]),
        "rename_substitute": st.booleans(),
        "scope": st.sampled_from(["all", "clerks", "include", "exclude", "groups"]),
        "guests": st.sampled_from(["skip", "mail", "mail"]),
        "agents": st.sampled_from(["skip", "sync"]),
        "phone": st.sampled_from(["mobilePhone", "jobTitle"]),
        "licences": st.sampled_from(["two", "one", "designers", "publishers", "publishers", "solution", "any", "none"]),
        "owners": st.booleans(),
        "managers": st.booleans(),
        "protect": st.sampled_from([frozenset[str](), frozenset({"u1@x.com"}), frozenset({"a@grp", "u2@x.com"})]),
        "max_removals": st.sampled_from([None, 0, 1, 2]),
        "percent": st.sampled_from([None, 0, 50]),
        "max_updates": st.sampled_from([None, None, 0]),
        "max_daily": st.sampled_from([None, 1, 3]),
        "max_adoptions": st.sampled_from([0, 1, None]),
        "max_handovers": st.sampled_from([0, 0, 1, None]),
        "quiet": st.booleans(),
    },
)

troubles = st.one_of(
    st.just(Trouble()),
    st.builds(
        Trouble,
        st.sampled_from(
            ["source", "store", "portal", "stop"]
            + [f"{how} {where}" for how in ("kill", "cancel") for where in ("store", "portal", "late portal")]
        ),
        st.integers(1, 30),
    ),
)
FAULTS = (
    {"kind": "status", "status": 429, "headers": {"Retry-After": "7"}},
    {"kind": "html", "status": 503},
    {"kind": "html", "status": 503, "headers": {"Retry-After": "3"}},
    {"kind": "status", "status": 500},
    {"kind": "html", "status": 502},
    {"kind": "status", "status": 423},
    {"kind": "status", "status": 409},
    {"kind": "reset"},
    {"kind": "lose"},
    {"kind": "truncate"},
    {"kind": "status", "status": 401},
)


class Portal(RuleBasedStateMachine):
    """One company, one portal, one store, and the administrator between them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.stage: Stage
        self.file: tuple[FromFile, set[Asked]] | None = None
        self.backup: tuple[dict[str, FakeUser], dict[str, FakeGroup]] | None = None

    @initialize(
        knobs=portals,
        policy=policies,
        open_guard=st.booleans(),
        seed=st.integers(0, 100),
        page_size=st.integers(1, 4),
        begun=st.booleans(),
        there=st.sets(st.sampled_from(["u0@x.com", "u3@x.com", "new@x.com", "u4@y.org", "a@grp", "c@grp"]), max_size=2),
        guests=st.sets(st.sampled_from(["u0", "u4"])),
    )
    def found(
        self,
        knobs: dict[str, Any],
        policy: dict[str, Any],
        open_guard: bool,
        seed: int,
        page_size: int,
        begun: bool,
        there: set[str],
        guests: set[str],
    ) -> None:
        """Begin with six people and two groups, and with a portal that has people of its own."""
        config = Config(**policy)
        if open_guard:
            config = replace(
                config, mode="sync", max_removals=None, percent=None, max_updates=None, max_daily=None, quiet=False
            )
        self.stage = stage = Stage(Path(self.folder.name), PortalKnobs(**knobs), seed, page_size, config)
        for user in USERS:
            stage.source.put_user(
                user,
                userPrincipalName=f"{user}@x.com",
                displayName=f"User {user}",
                accountEnabled=True,
                employeeId=user,
            )
        for user in sorted(guests):
            stage.source.put_user(user, userType="Guest", mail=MAILS[user])
        for group, bps_id in (("g0", "a@grp"), ("g1", "b@grp")):
            stage.source.put_group(group, displayName=f"Group {group}", mailNickname=bps_id)
        stage.source.link("g0", "u0")
        stage.source.link("g1", "u1")
        stage.source.link("g1", "g0", "group")
        stage.source.own("g0", "u0")
        stage.source.own("g1", "u2")
        for bps_id in (STRANGER, HAND):
            stage.wire.add_account(bps_id)
        stranger = stage.wire.store.key(STRANGER)
        stage.wire.store.groups[STRANGERS] = PortalGroup(STRANGERS, "Strangers", STRANGERS, "local")
        stage.wire.store.groups[STRANGERS].members[stranger] = None
        stage.wire.store.groups[STRANGERS].owners[stranger] = None
        stage.wire.service.licences.totals = {"User": 50, "PowerUser": 50, "ExternalUser": 50}
        stage.give_by_hand(STRANGER, "User")
        stage.wire.service.substitutions.entries[1000] = {
            "id": 1000,
            "originalPerson": {"bpsId": STRANGER, "name": STRANGER},
            "substitutePerson": {"bpsId": HAND, "name": HAND},
            "startDate": "2026-01-01T00:00:00Z",
            "endDate": "2100-01-01T00:00:00Z",
            "type": "TaskDelegation",
        }
        for bps_id in sorted(there):
            self._make_by_hand(bps_id)
        stage.foreign = stage.picture_foreign()
        if begun:  # a portal that is in step, and the settings of a careful beginner
            stage.config = Config(max_adoptions=None)
            stage.source.tracks_owners = True
            stage.run(RunRequest(pull="full", trigger="cli", retry_failed=True))
            stage.config = config
            stage.source.tracks_owners = config.owners

    # ---- the tenant -------------------------------------------------------------------------------------------------

    def _is_active(self, thing: str) -> bool:
        source = self.stage.source
        found = (source.groups if thing.startswith("g") else source.users).get(thing)
        return found is not None and found.state == "active"

    def _is_free(self, name: str, *, but: str) -> bool:
        """Tell whether nobody active has this principal name, which Entra keeps unique."""
        return all(
            find_name(other) != name.casefold()
            for key, other in self.stage.source.users.items()
            if key != but and other.state == "active"
        )

    @rule(user=users, name=st.sampled_from(NAMES))
    def rename(self, user: str, name: str) -> None:
        if self._is_active(user) and self._is_free(name, but=user):
            self.stage.source.put_user(user, userPrincipalName=name)

    @rule(one=users, other=users)
    def swap_names(self, one: str, other: str) -> None:
        source = self.stage.source
        if one != other and self._is_active(one) and self._is_active(other):
            first = source.users[one].attributes["userPrincipalName"]
            second = source.users[other].attributes["userPrincipalName"]
            source.put_user(one, userPrincipalName=second)
            source.put_user(other, userPrincipalName=first)

    @rule(user=users, kind=st.sampled_from(["Guest", "Guest", "Member", None]))
    def invite(self, user: str, kind: str | None) -> None:
        """Let a person become a guest or a member, or be of no known type."""
        if self._is_active(user):
            self.stage.source.put_user(user, userType=kind)

    @rule(user=st.sampled_from([*MAILS]), known=st.booleans())
    def address(self, user: str, known: bool) -> None:
        """Give a person a mail address, or take it away."""
        if self._is_active(user):
            self.stage.source.put_user(user, mail=MAILS[user] if known else None)

    @rule(user=users, name=st.sampled_from(["jobTitle", "mobilePhone"]), value=text)
    def change(self, user: str, name: str, value: str | None) -> None:
        if self._is_active(user):
            self.stage.source.put_user(user, **{name: value})

    @rule(user=users, manager=st.sampled_from(["", *USERS]))
    def report_to(self, user: str, manager: str) -> None:
        if self._is_active(user) and (not manager or self._is_active(manager)):
            self.stage.source.put_user(user, manager=manager)

    @rule(user=users, enabled=st.booleans())
    def enable(self, user: str, enabled: bool) -> None:
        if self._is_active(user):
            self.stage.source.put_user(user, accountEnabled=enabled)

    @rule(user=users, hard=st.booleans())
    def leave(self, user: str, hard: bool) -> None:
        found = self.stage.source.users.get(user)
        if found is not None and found.state != "deleted":
            self.stage.source.remove_user(user, hard=hard)

    @rule(user=users)
    def come_back(self, user: str) -> None:
        found = self.stage.source.users.get(user)
        if found is not None and found.state == "soft_deleted" and self._is_free(find_name(found), but=user):
            self.stage.source.restore_user(user)

    @rule(
        newcomer=st.sampled_from(NEWCOMERS),
        name=st.sampled_from(NAMES),
        same=st.sampled_from(["", "", *USERS]),
        agent=st.sampled_from([None, None, None, "stated", "unstated"]),
    )
    def come(self, newcomer: str, name: str, same: str, agent: str | None) -> None:
        """Somebody begins, or an agent, often with a login that somebody had; perhaps it is the same human being."""
        if newcomer in self.stage.source.users or not self._is_free(name, but=newcomer):
            return
        mark = {"stated": {KIND: "agentUser"}, "unstated": {"identityParentId": "blueprint"}}.get(agent or "", {})
        self.stage.source.put_user(
            newcomer,
            userPrincipalName=name,
            displayName=f"User {newcomer}",
            accountEnabled=True,
            employeeId=same or newcomer,
            **mark,
        )

    @rule(
        user=st.sampled_from(USERS),
        newcomer=st.sampled_from(NEWCOMERS),
        how=st.sampled_from(["soft", "hard", "renamed"]),
        same=st.sampled_from([False, False, True]),
    )
    def pass_login(self, user: str, newcomer: str, how: str, same: bool) -> None:
        """Somebody leaves or is renamed, and another one begins with that login; perhaps it is the same human being."""
        source = self.stage.source
        if newcomer in source.users or not self._is_active(user):
            return
        login = str(source.users[user].attributes["userPrincipalName"])
        if how == "renamed":
            if not self._is_free("new@x.com", but=user):
                return
            source.put_user(user, userPrincipalName="new@x.com")
        else:
            source.remove_user(user, hard=how == "hard")
        self.come(newcomer, login, user if same else "", None)

    @rule(name=st.sampled_from(["Group g0", "Group g1", "Group g3"]))
    def rival(self, name: str) -> None:
        """Another group takes the name of a group that scope or licences name, or gives it back."""
        if self._is_active("g3"):
            self.stage.source.put_group("g3", displayName=name)

    @rule()
    def photograph(self) -> None:
        """The tenant keeps a backup of itself."""
        self.backup = deepcopy((self.stage.source.users, self.stage.source.groups))

    @precondition(lambda self: self.backup is not None)
    @rule()
    def set_back(self) -> None:
        """The tenant is set back to its backup; whoever came since is deleted, and what was purged stays away."""
        assert self.backup is not None
        source, (people, teams) = self.stage.source, self.backup
        for key, user in list(source.users.items()):
            then = people.get(key)
            if (then is None or then.state != "active") and user.state == "active":
                source.remove_user(key)
        for key, then in people.items():
            user = source.users[key]
            if then.state == "active" and user.state != "deleted":
                if user.state != "active":
                    source.restore_user(key)
                if (user.attributes, user.manager) != (then.attributes, then.manager):
                    cleared = dict.fromkeys(user.attributes.keys() - then.attributes.keys())
                    source.put_user(key, manager=then.manager or "", **{**cleared, **then.attributes})
        for key, team in teams.items():
            if self._is_active(key) and team.state == "active":
                self._set_group_back(key, team)

    def _set_group_back(self, key: str, team: FakeGroup) -> None:
        source, group = self.stage.source, self.stage.source.groups[key]
        if group.attributes != team.attributes:
            source.put_group(key, **team.attributes)
        for member in group.members.keys() - team.members.keys():
            source.unlink(key, member)
        for member, kind in team.members.items():
            if member not in group.members and self._is_active(member):
                source.link(key, member, kind)
        for owner in group.owners.keys() - team.owners.keys():
            source.disown(key, owner)
        for owner in team.owners:
            if owner not in group.owners and self._is_active(owner):
                source.own(key, owner)

    @precondition(lambda self: self.stage.seen_before is not None and not self.stage.source.dead)
    @rule(reads=st.sampled_from([(), ("lists",), ("links",), ("singles",), ("counts",), ("lists", "links")]))
    def fall_behind(self, reads: tuple[Read, ...]) -> None:
        """What is read, but for delta, goes on showing the tenant as it is now; for less than an hour."""
        self.stage.source.freeze(*reads)
        self.stage.frozen_at = self.stage.clock.elapsed

    @rule()
    def catch_up(self) -> None:
        """All that is read shows the tenant as it is."""
        self.stage.source.thaw()

    @rule(refused=st.booleans())
    def refuse_counts(self, refused: bool) -> None:
        """Nothing can be counted, or everything again."""
        self.stage.source.no_counts = Unavailable("no $count", status=503) if refused else None

    @rule(group=groups, bps_id=st.sampled_from(GROUP_IDS))
    def make_group(self, group: str, bps_id: str) -> None:
        self.stage.source.put_group(group, displayName=f"Group {group}", mailNickname=bps_id)

    @rule(group=st.sampled_from(GROUPS[2:]))
    def remove_group(self, group: str) -> None:
        if self._is_active(group):
            self.stage.source.remove_group(group)

    @rule(group=groups, member=st.sampled_from([*USERS, *NEWCOMERS, *GROUPS]))
    def join(self, group: str, member: str) -> None:
        if self._is_active(group) and self._is_active(member):
            self.stage.source.link(group, member, "group" if member.startswith("g") else "user")

    @rule(group=groups, member=st.sampled_from([*USERS, *NEWCOMERS, *GROUPS]))
    def part(self, group: str, member: str) -> None:
        if self._is_active(group) and member in self.stage.source.groups[group].members:
            self.stage.source.unlink(group, member)

    @rule(group=groups, user=users, owns=st.booleans())
    def own(self, group: str, user: str, owns: bool) -> None:
        source = self.stage.source
        if not self._is_active(group) or not self._is_active(user):
            return
        if owns:
            source.own(group, user)
        elif user in source.groups[group].owners:
            source.disown(group, user)

    @rule(
        hidden=st.sets(st.sampled_from([*USERS, *GROUPS, "g0/u0", "g1/u1"]), max_size=2),
        lie=st.sampled_from([-1, 0, 0, 9]),
    )
    def lie(self, hidden: set[str], lie: int) -> None:
        """Let full reads leave something out, and counts be wrong; nothing of it is true."""
        self.stage.source.hidden, self.stage.source.count_lie = hidden, lie

    @rule()
    def expire(self) -> None:
        """Let the checkpoints die; then nobody can know what a replica that is behind does not show yet."""
        self.stage.source.thaw()
        self.stage.source.dead = True

    # ---- by hand ----------------------------------------------------------------------------------------------------

    def _make_by_hand(self, bps_id: str) -> None:
        stage = self.stage
        if bps_id in stage.accounts() or bps_id in stage.groups() or bps_id in stage.ours:
            return
        if bps_id.endswith("@grp"):
            stage.wire.store.groups[bps_id] = PortalGroup(bps_id, "By hand", bps_id, "local")
        else:
            stage.wire.add_account(bps_id, name="By hand")

    @rule(bps_id=st.sampled_from([*PEOPLE, "new@x.com", *GROUP_IDS]))
    def make_by_hand(self, bps_id: str) -> None:
        """Somebody makes an account or a group that syncd may want one day."""
        self._make_by_hand(bps_id)

    @rule(bps_id=st.sampled_from(PEOPLE), active=st.booleans())
    def synchronise_beside_us(self, bps_id: str, active: bool) -> None:
        """The portal's own synchronisation has somebody, whom perhaps nobody sees."""
        if bps_id not in self.stage.accounts() and bps_id not in self.stage.ours:
            self.stage.wire.add_account(bps_id, origin="builtin", active=active)

    @rule(
        bps_id=st.sampled_from([*PEOPLE, "new@x.com"]),
        name=st.sampled_from(["name", "phoneNumber", "jobTitle", "managerBpsId"]),
    )
    def edit_by_hand(self, bps_id: str, name: str) -> None:
        account = self.stage.accounts().get(bps_id)
        if account is not None and account.origin != "builtin":
            account.values[name] = HAND if name == "managerBpsId" else "By hand"
            self.stage.by_hand.add(("field", bps_id, name))

    @rule(bps_id=st.sampled_from([*PEOPLE, *GROUP_IDS]))
    def remove_by_hand(self, bps_id: str) -> None:
        stage = self.stage
        if bps_id in stage.groups():
            del stage.wire.store.groups[bps_id]
            stage.by_hand.add(("record", bps_id))
        elif bps_id in stage.accounts() and stage.accounts()[bps_id].origin != "builtin":
            if not stage.wire.knobs.removed_holders_listed:  # unseen meanwhile, they count as given when seen again
                stage.manual |= {(bps_id, kind) for kind in stage.licences().get(bps_id, ())}
            stage.wire.store.settle()
            stage.wire.store.delete_user(stage.accounts()[bps_id].bps_id)
            stage.by_hand.add(("record", bps_id))

    @rule(
        group=st.sampled_from(GROUP_IDS),
        person=st.sampled_from([HAND, *PEOPLE]),
        kind=st.sampled_from(["membership", "ownership"]),
    )
    def place_by_hand(self, group: str, person: str, kind: str) -> None:
        """Somebody puts a person into a group, or takes one out."""
        found, account = self.stage.groups().get(group), self.stage.accounts().get(person)
        if found is None or account is None or not account.active:
            return
        links, key = (
            found.links("members" if kind == "membership" else "owners"),
            self.stage.wire.store.key(account.bps_id),
        )
        if key in links:
            del links[key]
        else:
            links[key] = None
        self.stage.by_hand.add((kind, group, person))

    @rule(user=st.sampled_from(PEOPLE), kind=st.sampled_from(["ExternalUser", *LICENCE_TYPES]), given=st.booleans())
    def license_by_hand(self, user: str, kind: str, given: bool) -> None:
        stage = self.stage
        if given and user in stage.accounts() and stage.accounts()[user].origin != "builtin":
            stage.give_by_hand(user, kind)
        elif not given:
            for key, holder in stage.wire.service.licences.holders.items():
                if key.casefold() == user:
                    holder.licences.pop(kind, None)
            stage.by_hand.add(("licence", user, kind))

    @rule(
        user=st.sampled_from(PEOPLE),
        processes=st.sets(st.sampled_from([7, 8, 9]), min_size=1),
        publishing=st.booleans(),
    )
    def set_by_hand(self, user: str, processes: set[int], publishing: bool) -> None:
        """Somebody gives the licences of a person other settings, where that can be seen."""
        if not self.stage.wire.knobs.licence_settings_shown:
            return
        for kind in self.stage.licences().get(user, ()):
            settings = self.stage.settings(user, kind)
            if kind == "SingleSolutionUser":
                settings["processes"] = [{"dbId": 1, "id": number} for number in sorted(processes)]
            elif kind == "DesignerDeskUser":
                settings["allowDesignerDeskProjectPublishing"] = publishing

    @rule(seats=st.sampled_from([0, 1, 50]))
    def sell_seats(self, seats: int) -> None:
        self.stage.wire.service.licences.totals["PowerUser"] = seats

    @rule()
    def arrange_otherwise(self) -> None:
        """Somebody takes back the substitutions that syncd arranged."""
        entries = self.stage.wire.service.substitutions.entries
        for number in [number for number in entries if number < 1000]:
            del entries[number]

    # ---- time and settings ------------------------------------------------------------------------------------------

    @rule(days=st.sampled_from([0.1, 1.0, 4.0, 8.0]))
    def wait(self, days: float) -> None:
        self.stage.clock.elapsed += days * DAY
        self.stage.source.thaw()  # so long no replica is behind

    @rule(days=st.sampled_from([0.0, 0.0, -2.0, 0.1, 40.0]), ours=st.booleans())
    def jump(self, days: float, ours: bool) -> None:
        """The clock of our machine, or that of the portal, is wrong from now on; or right again."""
        if ours:
            self.stage.source.thaw()  # what delta has told counts for an hour of our clock
            self.stage.our_clock.wrong = timedelta(days=days)
        else:
            self.stage.wire.ahead = timedelta(days=days)

    @rule(policy=policies)
    def decide(self, policy: dict[str, Any]) -> None:
        """Turn some of the settings."""
        stage = self.stage
        if policy.get("owners", stage.config.owners) != stage.config.owners:
            stage.source.thaw()  # another selection: delta begins anew
        stage.config = replace(stage.config, **policy)
        stage.source.tracks_owners = stage.config.owners

    @rule()
    def relax(self) -> None:
        """Open the guard, so that things get done."""
        stage = self.stage
        stage.config = replace(
            stage.config,
            mode="sync",
            max_removals=None,
            percent=None,
            max_updates=None,
            max_daily=None,
            max_adoptions=None,
            quiet=False,
        )

    @rule(
        faults=st.lists(
            st.tuples(st.sampled_from(FAULTS), st.sampled_from([1, 2, 3, 9]), st.integers(0, 25)), max_size=4
        )
    )
    def plan_faults(self, faults: list[tuple[dict[str, Any], int, int]]) -> None:
        """Let some of the coming requests to the portal go wrong."""
        self.stage.wire.faults.clear()
        for fault, count, skip in faults:
            self.stage.wire.faults.add(Fault(**fault, side="portal", count=count, skip=skip))

    # ---- runs -------------------------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(["delta", "delta", "full"]), trouble=troubles, retry=st.booleans())
    def synchronise(self, kind: Any, trouble: Trouble, retry: bool) -> None:
        self.stage.run(RunRequest(pull=kind, trigger="cli", retry_failed=retry), _fresh(trouble))
        self.stage.source.dead = False

    @rule(kind=st.sampled_from(["delta", "full"]))
    def synchronise_undisturbed(self, kind: Any) -> None:
        self.stage.wire.faults.clear()
        self.stage.run(RunRequest(pull=kind, trigger="cli", retry_failed=True))
        self.stage.source.dead = False

    @precondition(lambda self: self.stage.config.max_daily is not None)
    @rule(group=groups)
    def lose_in_slices(self, group: str) -> None:
        """One after the other leaves a group, with a run after each."""
        for member in list(self.stage.source.groups[group].members if self._is_active(group) else ())[:4]:
            self.stage.source.unlink(group, member)
            self.synchronise_undisturbed("delta")

    @rule(name=st.sampled_from([*USERS, *NEWCOMERS, *GROUPS]), trouble=troubles)
    def synchronise_one(self, name: str, trouble: Trouble) -> None:
        """One object alone, as its replica shows it: nobody can know what one that is behind does not show yet."""
        self.stage.source.thaw()
        wanted = Wanted("group" if name.startswith("g") else "user", name)
        self.stage.run(RunRequest(pull="none", trigger="cli", retry_failed=True, only=wanted), _fresh(trouble))

    @rule(kind=st.sampled_from(["none", "delta", "full"]), policy=policies)
    def look_only(self, kind: Any, policy: dict[str, Any]) -> None:
        """Plan, perhaps with other settings on trial."""
        config = replace(self.stage.config, **policy | {"owners": self.stage.config.owners})
        self.stage.run(RunRequest(pull=kind, trigger="cli", write=False), config=config)

    @rule(kind=st.sampled_from(["none", "delta", "full"]))
    def write_plan(self, kind: Any) -> None:
        ended = self.stage.run(RunRequest(pull=kind, trigger="cli", write=False))
        if ended.record is not None and ended.record.status in ("succeeded", "held", "partial"):
            lines = self.stage.make_file(ended.run_id)
            self.file = FromFile(open_plan(lambda: lines)), ended.planned("planned")

    @precondition(lambda self: self.file is not None)
    @rule(trouble=troubles)
    def apply_plan(self, trouble: Trouble) -> None:
        """Carry out the plan file: exactly that, or nothing."""
        assert self.file is not None
        (proposal, planned), self.file = self.file, None
        ended = self.stage.run(
            RunRequest(pull="none", trigger="cli", retry_failed=True),
            _fresh(trouble),
            proposal=proposal,
            allowed=planned.__contains__,
        )
        assert ended.planned("done", "failed", "started", "deferred") <= planned
        assert not (self.stage.config.quiet and any(each.removes for each in ended.asked))

    @rule(
        part=st.booleans(),
        kinds=st.sampled_from([(), (), ("unlink",), ("handover",), ("adopt", "update")]),
        trouble=troubles,
    )
    def approve(self, part: bool, kinds: tuple[str, ...], trouble: Trouble) -> None:
        """Release what is held: all, by kind, or of one record."""
        run, held = self.stage.load_held()
        if not run:
            return
        only = (min(held).bps_id,) if part and held else ()
        released = {
            each
            for each in held
            if (not kinds or each.action in kinds) and (not only or each.bps_id in only or each.target in only)
        }
        passing = {each.bps_id for each in released if each.action == "handover"}
        approval = Approval(run_id=run, actions=kinds, only=only)
        request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=approval)

        def allowed(each: Asked) -> bool:
            return each in released or (each.action != "delete" and bool(passing & {each.bps_id, each.target}))

        self.stage.run(request, _fresh(trouble), allowed=allowed)

    @rule(part=st.booleans())
    def reject(self, part: bool) -> None:
        run, held = self.stage.load_held()
        if not run:
            return
        only = (min(held).bps_id,) if part and held else ()
        self.stage.store.decisions.reject(Approval(run_id=run, actions=(), only=only))
        rejected = {each for each in held if not only or each.bps_id in only or each.target in only}
        waiting = self.stage.truth().waiting
        passing = {each.bps_id for each in rejected if each.action == "handover"}
        self.stage.refused_heirs |= {(record, waiting[record]) for record in passing if record in waiting}
        self.stage.rejected |= rejected

    @rule(answer=st.sampled_from(["report", "revert", "revert", "adopt"]), trouble=troubles)
    def look_for_drift(self, answer: Any, trouble: Trouble) -> None:
        """Tell what was changed by hand, and set it back or take it as it is."""
        stage = self.stage
        by_hand = set(stage.by_hand)

        def allowed(each: Asked) -> bool:
            return (each.object, each.bps_id, each.target) in by_hand

        ended = stage.run(
            RunRequest(pull="none", trigger="cli", retry_failed=True),
            _fresh(trouble),
            proposal=DriftCheck(answer, read_to_end),
            allowed=allowed,
        )
        assert answer == "revert" or not ended.asked
        if answer == "adopt":
            stage.accepted |= by_hand

    @rule(back=st.integers(0, 3), delete=st.booleans(), trouble=troubles)
    def undo(self, back: int, delete: bool, trouble: Trouble) -> None:
        """Set back what one of the last runs did."""
        stage = self.stage
        runs = [number for number, asked in stage.deeds.items() if asked]
        if len(runs) <= back:
            return
        run = runs[-1 - back]
        deeds = set(stage.deeds[run]) | {c.asked for c in stage.load_changes(run, ("done",))}
        reverse = {"unlink": "link", "delete": "create", "revoke": "grant"}

        def allowed(each: Asked) -> bool:
            if each.target == "ExternalUser":
                return False  # only hands give it
            if each.object == "licence" and delete and Asked("create", "user", each.bps_id) in deeds:
                return True  # it goes with the account that was made
            undone = each._replace(action=reverse.get(each.action, ""))
            return undone in deeds and (each.action != "delete" or delete)

        stage.run(
            RunRequest(pull="none", trigger="cli", retry_failed=True),
            _fresh(trouble),
            proposal=Undo(run_id=run, delete_created=delete),
            allowed=allowed,
        )

    # ---- the end ----------------------------------------------------------------------------------------------------

    @invariant()
    def strangers_are_untouched(self) -> None:
        """At no moment is anything of theirs another than it was."""
        if hasattr(self, "stage"):
            assert self.stage.picture_foreign() == self.stage.foreign

    def teardown(self) -> None:
        """Let the trouble stop, synchronise, and compare."""
        try:
            if hasattr(self, "stage") and self.stage.names is not None:
                self._end()
        finally:
            if hasattr(self, "stage"):
                self.stage.close()
            self.folder.cleanup()

    def _end(self) -> None:
        stage = self.stage
        stage.wire.faults.clear()
        stage.source.hidden, stage.source.count_lie, stage.source.dead = set(), 0, False
        stage.source.no_counts = None
        stage.source.thaw()
        stage.our_clock.wrong = stage.wire.ahead = timedelta()
        self.rival("Group g3")
        knobs = stage.wire.knobs
        knobs.max_length, knobs.tombstone, knobs.sync_delay_max = 0, 0.0, 2.0
        if knobs.clearing in ("ignored", "refused"):
            knobs.clearing = "both"
        stage.wire.service.licences.totals.update({"PowerUser": 50, "User": 50})
        store = stage.wire.store
        for key in [key for key, account in store.accounts.items() if account.origin == "builtin"]:
            del store.accounts[key]  # the administrator switches that synchronisation off
            for group in store.groups.values():
                group.members.pop(key, None)
                group.owners.pop(key, None)
        stage.config = replace(
            stage.config, mode="sync", drift="revert", adopt="match", max_removals=None, percent=None,
            max_updates=None, max_daily=None, max_adoptions=None, quiet=False,
        )  # fmt: skip
        stage.clock.elapsed += 0.2 * DAY
        last: Ended | None = None
        left: list[Changed] = []
        deletes = "delete" in (stage.config.disabled, stage.config.outside, stage.config.deleted, stage.config.groups)
        # While our clock was wrong, a grace began at the latest time that anybody stated.
        for days in (0.0, stage.config.grace + 1.0 + 41.0) if deletes else (0.0,):
            stage.clock.elapsed += days * DAY
            for _ in range(_PATIENCE):
                last = stage.run(RunRequest(pull="full", trigger="cli", retry_failed=True))
                if last.record is not None and last.record.status == "held":  # a wider limit lets nothing through
                    approval = Approval(run_id=last.run_id)
                    stage.run(RunRequest(pull="none", trigger="approval", retry_failed=True, approval=approval))
                if not (left := [change for change in last.changes if change.status != "dropped"]):
                    break
            assert last is not None
            assert last.record is not None
            assert not left, f"a further run plans {left}: {last.record.error}"
            assert last.record.status == "succeeded", last.record.error
            Comparison(stage, stage.truth(), late=days > 0).compare()


def _fresh(trouble: Trouble) -> Trouble:
    """Return the same trouble anew: a drawn value may be used twice."""
    return replace(trouble, calls=0, dead=False)


@pytest.mark.slow
@pytest.mark.parametrize("share", SHARES)
def test_whatever_happens_the_portal_ends_right_and_nothing_is_taken_unasked(share: int) -> None:
    """See above; a machine that fails prints its history."""
    walk(Portal, share, machines=80, steps=16)

"""A portal behind the Portal port: it refuses what the real one refuses, and remembers every write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from syncd.errors import Conflict, Forbidden, NotFound, Rejected, RemoteError, Unavailable
from syncd.model.kinds import RecordKind
from syncd.model.licence import (
    Licence,
    LicenceHolder,
    LicenceList,
    Seats,
    Step,
    StepResult,
    subtract_processes,
)
from syncd.model.privilege import Holders, Listed, ListKind, Place, Privilege, PrivilegeAnswer
from syncd.model.substitution import Substitution
from syncd.model.target import (
    Account,
    Creation,
    Fields,
    GroupDetail,
    Malformed,
    MembersResult,
    PortalGroup,
    PortalMember,
    Status,
    fold,
)


@dataclass
class FakePortal:
    """Users, groups and members by folded BPS id."""

    accounts: dict[str, Account] = field(default_factory=dict)
    groups: dict[str, PortalGroup] = field(default_factory=dict)
    members: dict[str, dict[str, str]] = field(default_factory=dict)
    owners: dict[str, dict[str, str]] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)
    down: bool = False
    """Refuses every write."""
    unreachable: bool = False
    waiting: set[str] = field(default_factory=set)
    slow: bool = False
    copies_groups: bool = False
    cut: int = 0
    """So many characters are kept of a name or job title that is written; 0: all."""
    forgets: set[str] = field(default_factory=set)
    """Folded BPS ids who are put into no group, although the portal says that they are."""
    address: str = "portal.example"
    substitutions: dict[int, Substitution] = field(default_factory=dict)
    substitutions_refused: type[RemoteError] | None = None
    tells_numbers: bool = True
    _last_number: int = 0
    licences: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    perpetual: bool = False
    unlicensable: set[str] = field(default_factory=set)
    licence_reads: list[str] = field(default_factory=list)
    licences_forbidden: Literal["", "write", "all"] = ""
    """What the API application lacks: the scope to write licences, or both scopes."""
    places: dict[tuple[int, ListKind, str], tuple[Listed, ...]] = field(default_factory=dict)
    """Lists by database, kind and what they lie in."""
    privileges: set[tuple[str, str]] = field(default_factory=set)
    """(token of the privilege, folded BPS id)."""
    privilege_reads: list[str] = field(default_factory=list)
    privileges_forbidden: Literal["", "write", "all"] = ""
    gone_places: set[str] = field(default_factory=set)
    unreadable_places: set[str] = field(default_factory=set)

    def add_account(self, bps_id: str, **fields: str) -> None:
        """Put a record there that nobody of ours made."""
        self.accounts[fold(bps_id)] = Account(bps_id=bps_id, **fields)  # type: ignore[arg-type]

    def _note(self, verb: str, bps_id: str) -> None:
        if self.down:
            raise Unavailable("the portal is down", status=503, sent=False)
        self.writes.append(f"{verb} {bps_id}")
        if bps_id in self.refuse:
            raise Conflict(f"the portal refuses {bps_id}", status=409, sent=False)

    async def check(self) -> None:
        """Fail where nobody answers."""
        if self.unreachable:
            raise Unavailable("the portal cannot be reached", sent=False)

    async def fetch_accounts(self) -> AsyncIterator[tuple[Account, ...]]:
        """Yield everything in one page."""
        if self.accounts:
            yield tuple(self.accounts[key] for key in sorted(self.accounts))

    async def fetch_groups(self) -> AsyncIterator[tuple[PortalGroup, ...]]:
        """Yield everything in one page."""
        if self.groups:
            yield tuple(self.groups[key] for key in sorted(self.groups))

    def find_malformed(self, kind: RecordKind) -> Malformed:
        """Nothing here is malformed."""
        return Malformed()

    async def fetch_account(self, bps_id: str) -> Account | None:
        """Read one."""
        return self.accounts.get(fold(bps_id))

    async def fetch_group(self, bps_id: str) -> GroupDetail | None:
        """Read one with members."""
        group = self.groups.get(fold(bps_id))
        if group is None:
            return None
        members, owners = self.members.get(fold(bps_id), {}), self.owners.get(fold(bps_id), {})
        return GroupDetail(
            group,
            tuple(PortalMember(members[key]) for key in sorted(members)),
            tuple(PortalMember(owners[key]) for key in sorted(owners)),
        )

    async def create_account(self, account: Account, *, sent_before: bool = False) -> Creation:
        """Create, refuse a taken id."""
        self._note("create", account.bps_id)
        there = self.accounts.get(fold(account.bps_id))
        if there is not None:
            return Creation.SETTLED if sent_before and there == account else Creation.EXISTS
        if account.manager and fold(account.manager) not in self.accounts:
            raise Conflict(f"unknown manager {account.manager}", status=409, sent=False)
        status: Status = "WaitingForSynchronization" if self.slow else "Synchronized"
        kept = {"name": self._keep(account.name), "job_title": self._keep(account.job_title)}
        self.accounts[fold(account.bps_id)] = replace(account, status=status, **kept)  # type: ignore[arg-type]
        return Creation.CREATED

    async def update_account(self, bps_id: str, fields: Fields) -> None:
        """Patch."""
        self._note("update", bps_id)
        if fold(bps_id) not in self.accounts:
            raise NotFound(f"no user {bps_id}", status=404)
        manager = fields.get("manager")
        if manager and fold(manager) not in self.accounts:
            raise Conflict(f"unknown manager {manager}", status=409)
        kept = {name: self._keep(value) if name in ("name", "job_title") else value for name, value in fields.items()}
        self.accounts[fold(bps_id)] = replace(self.accounts[fold(bps_id)], **kept)  # type: ignore[arg-type]

    def _keep(self, value: str | None) -> str | None:
        return value[: self.cut] if value and self.cut else value

    async def delete_account(self, bps_id: str) -> None:
        """Delete, and take out of every group."""
        self._note("delete", bps_id)
        self.accounts.pop(fold(bps_id), None)
        for people in (*self.members.values(), *self.owners.values()):
            people.pop(fold(bps_id), None)

    async def create_group(self, group: PortalGroup, *, sent_before: bool = False) -> Creation:
        """Create an empty group."""
        self._note("create", group.bps_id)
        if fold(group.bps_id) in self.groups:
            return Creation.EXISTS
        status: Status = "WaitingForSynchronization" if self.slow and self.copies_groups else group.status
        self.groups[fold(group.bps_id)] = replace(group, status=status)
        return Creation.CREATED

    async def update_group(self, bps_id: str, fields: Fields) -> None:
        """Patch."""
        self._note("update", bps_id)
        if fold(bps_id) not in self.groups:
            raise NotFound(f"no group {bps_id}", status=404)
        self.groups[fold(bps_id)] = replace(self.groups[fold(bps_id)], **fields)  # type: ignore[arg-type]

    async def delete_group(self, bps_id: str) -> None:
        """Delete with its memberships."""
        self._note("delete", bps_id)
        self.groups.pop(fold(bps_id), None)
        self.members.pop(fold(bps_id), None)
        self.owners.pop(fold(bps_id), None)

    async def add_members(self, group_id: str, member_ids: Sequence[str]) -> MembersResult:
        """Add those that exist."""
        self._note("link", group_id)
        return self._add(self.members, group_id, member_ids)

    async def remove_members(self, group_id: str, member_ids: Sequence[str]) -> MembersResult:
        """Remove."""
        self._note("unlink", group_id)
        return self._remove(self.members, group_id, member_ids)

    async def add_owners(self, group_id: str, owner_ids: Sequence[str]) -> MembersResult:
        """Add those that exist."""
        self._note("own", group_id)
        return self._add(self.owners, group_id, owner_ids)

    async def remove_owners(self, group_id: str, owner_ids: Sequence[str]) -> MembersResult:
        """Remove."""
        self._note("disown", group_id)
        return self._remove(self.owners, group_id, owner_ids)

    def _add(self, places: dict[str, dict[str, str]], group_id: str, ids: Sequence[str]) -> MembersResult:
        if fold(group_id) not in self.groups:
            raise NotFound(f"no group {group_id}", status=404)
        pending = tuple(m for m in ids if fold(m) not in self.accounts)
        done = tuple(m for m in ids if fold(m) in self.accounts)
        places.setdefault(fold(group_id), {}).update({fold(m): m for m in done if fold(m) not in self.forgets})
        return MembersResult(done=done, pending=pending)

    def _remove(self, places: dict[str, dict[str, str]], group_id: str, ids: Sequence[str]) -> MembersResult:
        for person in ids:
            places.get(fold(group_id), {}).pop(fold(person), None)
        return MembersResult(done=tuple(ids))

    # ---- substitutions ----------------------------------------------------------------------------------------------

    async def find_substitution(self, known: Substitution) -> Substitution | None:
        """Read by number, or look for the same people and end."""
        if known.number is not None:
            found = self.substitutions.get(known.number)
            return found if found and fold(found.original) == fold(known.original) else None
        for found in self.substitutions.values():
            if (fold(found.original), fold(found.substitute), found.ends_at) == (
                fold(known.original),
                fold(known.substitute),
                known.ends_at,
            ):
                return found
        return None

    async def create_substitution(self, wanted: Substitution) -> int | None:
        """Create; two different accounts that are there, and a period that does not end before it begins."""
        self._note("substitute", wanted.original)
        self._check_substitution(wanted)
        self._last_number += 1
        self.substitutions[self._last_number] = replace(wanted, number=self._last_number)
        return self._last_number if self.tells_numbers else None

    async def update_substitution(self, wanted: Substitution) -> None:
        """Replace."""
        self._note("resubstitute", wanted.original)
        self._check_substitution(wanted)
        if wanted.number not in self.substitutions:
            raise NotFound(f"no substitution {wanted.number}", status=404)
        self.substitutions[wanted.number] = wanted

    async def delete_substitution(self, number: int) -> None:
        """Delete."""
        self._note("unsubstitute", str(number))
        if self.substitutions_refused is not None:
            raise self.substitutions_refused("no scope Admin.Substitutions.ReadWrite, or no such API", sent=False)
        self.substitutions.pop(number, None)

    def _check_substitution(self, wanted: Substitution) -> None:
        if self.substitutions_refused is not None:
            raise self.substitutions_refused("no scope Admin.Substitutions.ReadWrite, or no such API", sent=False)
        people = {fold(wanted.original), fold(wanted.substitute)}
        if len(people) != 2 or not people <= self.accounts.keys() or wanted.ends_at < wanted.starts_at:
            raise Conflict(f"no such substitution: {wanted}", status=409, sent=False)

    def stand_ins(self) -> dict[str, str]:
        """Return who stands in, by original person."""
        return {fold(found.original): fold(found.substitute) for found in self.substitutions.values()}

    async def fetch_licences(self) -> LicenceList | None:
        """Return who holds what, whether the account exists or not."""
        self.licence_reads.append("licences")
        self._check_licence_scope("all")
        if self.perpetual:
            return None
        return LicenceList(
            tuple(
                LicenceHolder(bps_id, tuple(Licence(kind, dict(held[kind]) or None) for kind in sorted(held)))
                for bps_id, held in sorted(self.licences.items())
                if held
            )
        )

    async def fetch_holder(self, bps_id: str) -> LicenceHolder | None:
        """Return what one person holds."""
        self.licence_reads.append(bps_id)
        self._check_licence_scope("all")
        if self.perpetual:
            return None
        held = self.licences.get(fold(bps_id), {})
        return LicenceHolder(bps_id, tuple(Licence(kind, dict(held[kind]) or None) for kind in sorted(held)))

    async def fetch_seats(self) -> tuple[Seats, ...] | None:
        """Return the types whose totals are set."""
        self.licence_reads.append("seats")
        self._check_licence_scope("all")
        if self.perpetual:
            return None
        return tuple(Seats(kind, total, self.assigned(kind)) for kind, total in sorted(self.totals.items()))

    def _check_licence_scope(self, *lacking: str) -> None:
        if self.licences_forbidden in lacking:
            raise Forbidden("no scope Admin.Licenses.ReadWrite", status=403, sent=False)

    def assigned(self, kind: str) -> int:
        """Return how many hold a licence of this type."""
        return sum(kind in held for held in self.licences.values())

    async def change_licences(self, steps: Sequence[Step]) -> tuple[StepResult, ...]:
        """Take, then give; each person by itself."""
        self._check_licence_scope("all", "write")
        self._note("licences", ",".join(sorted({step.bps_id for step in steps})))
        if self.perpetual:
            raise Rejected("perpetual", status=405, code="UnsupportedLicensingType")
        results = {id(step): self._change_licence(step) for step in sorted(steps, key=lambda step: not step.remove)}
        return tuple(results[id(step)] for step in steps)

    def _change_licence(self, step: Step) -> StepResult:
        held = self.licences.setdefault(fold(step.bps_id), {})
        if step.remove:
            there = held.get(step.type, {})
            rest = subtract_processes(there.get("processes", ""), step.settings.get("processes") or "")
            if step.settings and rest:
                held[step.type] = {"processes": rest}
            else:
                held.pop(step.type, None)
            return StepResult("done")
        if step.bps_id in self.unlicensable:
            return StepResult("failed", "the portal refuses it")
        if fold(step.bps_id) not in self.accounts:
            return StepResult("pending", "no such account")
        if step.type not in held and self.assigned(step.type) >= self.totals.get(step.type, 1000):
            return StepResult("short", f"no free seat of {step.type}")
        held[step.type] = {name: value for name, value in step.settings.items() if value is not None}
        return StepResult("done")

    # ---- privileges -------------------------------------------------------------------------------------------------

    def _check_privilege_scope(self, *lacking: str) -> None:
        if self.privileges_forbidden in lacking:
            raise Forbidden("no scope App.Metadata.ReadWrite", status=403, code="InvalidScope", sent=False)

    async def list_places(self, database: int, kind: ListKind, within: str = "") -> tuple[Listed, ...]:
        """Return one list, empty where nothing is known of it."""
        self.privilege_reads.append(f"list {kind} {within}".strip())
        self._check_privilege_scope("all")
        return self.places.get((database, kind, within), ())

    async def find_place(self, database: int, kind: ListKind, reference: str) -> Listed | None:
        """Return the one with this number or guid."""
        self._check_privilege_scope("all")
        lists = (found for key, found in self.places.items() if key[:2] == (database, kind))
        entries = (entry for found in lists for entry in found)
        return next((entry for entry in entries if reference in (entry.guid, str(entry.number))), None)

    async def fetch_holders(self, place: Place) -> Holders | None:
        """Return who has anything there."""
        self.privilege_reads.append(f"holders {place.key}")
        self._check_privilege_scope("all")
        if place.key in self.unreadable_places:
            raise Unavailable("the portal is busy", status=503, sent=False)
        if place.key in self.gone_places:
            return None
        return Holders(tuple(sorted({key for token, key in self.privileges if token.startswith(place.token + "/")})))

    async def change_privilege(
        self, bps_id: str, privilege: Privilege, *, remove: bool, listed: bool
    ) -> PrivilegeAnswer:
        """Give or take; 409 for a group that is not there."""
        self._check_privilege_scope("all", "write")
        self._note("take" if remove else "give", f"{bps_id} {privilege.level} {privilege.place.key}")
        one = (privilege.token, fold(bps_id))
        if remove:
            self.privileges.discard(one)
        elif fold(bps_id) not in self.groups:
            return PrivilegeAnswer("conflict", listed=False, reason="no such group")
        else:
            self.privileges.add(one)
        return PrivilegeAnswer("done")

    def picture(self) -> dict[str, set[str]]:
        """Return the folded members of each group."""
        return {key: set(self.members.get(key, {})) for key in self.groups}

    def ownership(self) -> dict[str, set[str]]:
        """Return the folded owners of each group that has any."""
        return {key: set(owners) for key, owners in self.owners.items() if owners}

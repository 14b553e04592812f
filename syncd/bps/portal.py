"""The portal as the use cases see it: one object that owns the connections, and delegates to readers and writers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from syncd.bps.answers import NAME
from syncd.bps.auth import TokenSource
from syncd.bps.clearing import Clearing
from syncd.bps.client import BpsClient
from syncd.bps.inventory import Inventory
from syncd.bps.licences import Licences
from syncd.bps.options import BpsOptions
from syncd.bps.people import People
from syncd.bps.privileges import Privileges
from syncd.bps.substitutions import Substitutions
from syncd.bps.writes import Writes
from syncd.clock import Clock
from syncd.errors import Rejected
from syncd.http import HttpClient, HttpOptions
from syncd.model.kinds import RecordKind
from syncd.model.licence import LicenceHolder, LicenceList, Seats, Step, StepResult
from syncd.model.privilege import Holders, Listed, ListKind, Place, Privilege, PrivilegeAnswer
from syncd.model.substitution import Substitution
from syncd.model.target import Account, Creation, Fields, GroupDetail, Malformed, MembersResult, PortalGroup
from syncd.plan.moment import StatedTimes

_MOST_VALUES = 2_000_000
"""A portal's lists are decoded as a whole; the licences of a hundred thousand people have less than half of that."""


class BpsPortal:
    """Reads and writes one portal. Use as an async context manager; opening it sends nothing."""

    def __init__(self, options: BpsOptions, clock: Clock) -> None:
        self.options: Final = options
        self.clock: Final = clock
        self._http = HttpClient(
            NAME,
            HttpOptions(
                most_values=_MOST_VALUES,
                address_setting=f"bps.portal_url, {options.proxy_setting} and the network",
                ca_setting="bps.ca_file",
                proxy_setting=options.proxy_setting,
                ca_file=options.ca_file,
                proxy_url=options.proxy_url,
                concurrency=options.concurrency,
                adaptive=options.adaptive,
                shared=options.shared,
            ),
            clock,
        )
        self.tokens: Final = TokenSource(options, door=self._http, clock=clock)
        self.client: Final = BpsClient(options.portal_url, door=self._http, tokens=self.tokens)
        self._inventory = Inventory(self.client, page_size=options.page_size)
        self._clearing = Clearing(self.client, self._inventory, clock)
        self._writes = Writes(self.client, self._inventory, clearing=self._clearing, clock=clock)
        self._substitutions = Substitutions(self.client, clock)
        self._licences = Licences(self.client)
        self._privileges = Privileges(self.client, clock)
        self._people = People(self.client, self._inventory, per_request=options.members_per_request)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    @property
    def address(self) -> str:
        """What tells this portal from another one: host, port and path of its address, not the scheme."""
        return self.options.address

    async def check(self) -> None:
        """Ask for one small thing; raises what any request would when the portal is not there or refuses us."""
        await self.client.greet()

    def fetch_accounts(self) -> AsyncIterator[tuple[Account, ...]]:
        """Yield pages of all user records until an empty page; a record may come twice when pages shift."""
        return self._inventory.fetch_accounts()

    def fetch_groups(self) -> AsyncIterator[tuple[PortalGroup, ...]]:
        """Yield pages of all groups (without members) until an empty page; a record may come twice."""
        return self._inventory.fetch_groups()

    def find_malformed(self, kind: RecordKind) -> Malformed:
        """Return what the last ``fetch_accounts`` or ``fetch_groups`` had to skip."""
        bad = self._inventory.bad_accounts if kind == "user" else self._inventory.bad_groups
        return Malformed(bad.count, tuple(bad.first))

    async def fetch_account(self, bps_id: str) -> Account | None:
        """Read one user record; None when the portal has none (404)."""
        return await self._inventory.fetch_account(bps_id)

    async def fetch_group(self, bps_id: str) -> GroupDetail | None:
        """Read one group with members and owners; None when the portal has none (404)."""
        return await self._inventory.fetch_group(bps_id)

    async def create_account(self, account: Account, *, sent_before: bool = False) -> Creation:
        """Create a user record. ``sent_before``: an earlier attempt of ours may have created it already."""
        return await self._writes.create_account(account, sent_before=sent_before)

    async def update_account(self, bps_id: str, fields: Fields) -> None:
        """Set the given fields (None clears); NotFound when the record is gone."""
        await self._writes.update_account(bps_id, fields)

    async def delete_account(self, bps_id: str) -> None:
        """Delete a user record; one that is gone already is a success."""
        await self._writes.delete_account(bps_id)

    async def create_group(self, group: PortalGroup, *, sent_before: bool = False) -> Creation:
        """Create a group without members."""
        return await self._writes.create_group(group, sent_before=sent_before)

    async def update_group(self, bps_id: str, fields: Fields) -> None:
        """Set name or email (never empty); NotFound when the group is gone."""
        await self._writes.update_group(bps_id, fields)

    async def delete_group(self, bps_id: str) -> None:
        """Delete a group; one that is gone already is a success."""
        await self._writes.delete_group(bps_id)

    async def add_members(self, group_id: str, member_ids: Sequence[str]) -> MembersResult:
        """Add members, splitting the call when an id is refused; NotFound when the group is gone."""
        return await self._people.change(group_id, member_ids, verb="add", role="members")

    async def remove_members(self, group_id: str, member_ids: Sequence[str]) -> MembersResult:
        """Remove members; one that is no member any more is done."""
        return await self._people.change(group_id, member_ids, verb="remove", role="members")

    async def add_owners(self, group_id: str, owner_ids: Sequence[str]) -> MembersResult:
        """Add owners, as ``add_members`` adds members."""
        return await self._people.change(group_id, owner_ids, verb="add", role="owners")

    async def remove_owners(self, group_id: str, owner_ids: Sequence[str]) -> MembersResult:
        """Remove owners, as ``remove_members`` removes members."""
        return await self._people.change(group_id, owner_ids, verb="remove", role="owners")

    async def find_substitution(self, known: Substitution) -> Substitution | None:
        """Read a substitution of ours: by its number, without one by its people and its end; None when it is gone."""
        return await self._substitutions.find(known)

    async def create_substitution(self, wanted: Substitution) -> int | None:
        """Arrange a substitution in all processes and return its number, None when the portal does not tell it."""
        return await self._substitutions.create(wanted)

    async def update_substitution(self, wanted: Substitution) -> None:
        """Change substitute and period of the substitution with this number; NotFound when it is gone."""
        await self._substitutions.update(wanted)

    async def delete_substitution(self, number: int) -> None:
        """Delete a substitution; one that is gone already is a success."""
        await self._substitutions.delete(number)

    async def fetch_licences(self) -> LicenceList | None:
        """Read who holds which licences; None when the portal assigns licences by itself (perpetual licensing)."""
        return await self._licences.fetch_licences()

    async def fetch_holder(self, bps_id: str) -> LicenceHolder | None:
        """Read what one person holds; None when the portal assigns licences by itself, or has none to read."""
        try:
            return await self._licences.fetch_holder(bps_id) or LicenceHolder(bps_id, ())
        except Rejected:
            return None

    async def fetch_seats(self) -> tuple[Seats, ...] | None:
        """Read how many seats of each licence type there are; None as above."""
        return await self._licences.fetch_seats()

    async def change_licences(self, steps: Sequence[Step]) -> tuple[StepResult, ...]:
        """Assign and take licences in one request, splitting it when it is refused; one result per step."""
        return await self._licences.change(steps)

    def read_times(self) -> StatedTimes | None:
        """Return which time the portal has stated so far."""
        return self._http.times.stated

    async def list_places(self, database: int, kind: ListKind, within: str = "") -> tuple[Listed, ...]:
        """Read one list of a content database: applications, what lies in one of its places, or companies."""
        return await self._privileges.list_places(database, kind, within)

    async def find_place(self, database: int, kind: ListKind, reference: str) -> Listed | None:
        """Read an application or a process by its id or guid; None when the portal has none."""
        return await self._privileges.find_place(database, kind, reference)

    async def fetch_holders(self, place: Place) -> Holders | None:
        """Read who has any privilege at a place; None when the portal has no such place."""
        return await self._privileges.fetch_holders(place)

    async def change_privilege(
        self, bps_id: str, privilege: Privilege, *, remove: bool, listed: bool
    ) -> PrivilegeAnswer:
        """Give or take one privilege; NotFound when the place is gone. ``listed``: a reading named the group there."""
        return await self._privileges.change(bps_id, privilege, remove=remove, listed=listed)

    def read_traffic(self) -> Mapping[str, int]:
        """Return requests, retries, throttled and bytes_received so far."""
        traffic = self._http.traffic
        return {
            "requests": traffic.requests,
            "retries": traffic.retries,
            "throttled": traffic.throttled,
            "bytes_received": traffic.bytes_received,
        }

"""What the use cases need from the two sides. The adapters fulfil these protocols without importing them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from syncd.model.credential import SecretEnd
from syncd.model.kinds import RecordKind
from syncd.model.licence import LicenceHolder, LicenceList, Seats, Step, StepResult
from syncd.model.listing import IdPage, ListAnswer, ListPage, ListRequest
from syncd.model.privilege import Holders, Listed, ListKind, Place, Privilege, PrivilegeAnswer
from syncd.model.source import GroupItem, Link, Page, Role, Stream, UserItem
from syncd.model.substitution import Substitution
from syncd.model.target import Account, Creation, Fields, GroupDetail, Malformed, MembersResult, PortalGroup
from syncd.plan.moment import StatedTimes


class Source(Protocol):
    """Reads the tenant. Every method raises RemoteErrors; Throttled and the like only after its own patience."""

    @property
    def tenant(self) -> str:
        """The tenant as the configuration names it: its id, or one of its domains, in lower case."""
        ...

    async def identify_tenant(self) -> str:
        """Return the id of the tenant that accepts us, or where nothing tells it the configured name."""
        ...

    async def find_secret_end(self, *, now: datetime) -> SecretEnd | None:
        """Return when the client secret ends that we sign in with, by our own record in the tenant.

        None where there is no such secret, where it is not told, and where we may not look, which is no trouble.
        """
        ...

    @property
    def tracks_owners(self) -> bool:
        """Whether owners of groups are read at all."""
        ...

    def fingerprint(self, stream: Stream) -> str:
        """Return what identifies a checkpoint's meaning: tenant, client, endpoint and selected properties, hashed."""
        ...

    def list_selected(self, stream: Stream) -> tuple[str, ...]:
        """Return the attributes that objects of this stream are read with."""
        ...

    async def fetch_page(self, stream: Stream, link: str | None) -> Page:
        """Return one page: of a new baseline (``link`` None) or the one that the stored link names.

        Raises ResyncRequired when the link is dead, and only for a request that carried one.
        """
        ...

    async def fetch_latest(self, stream: Stream) -> str:
        """Return a delta link that tells of everything that changes from now on."""
        ...

    async def fetch_list(self, stream: Stream, link: str | None) -> ListPage:
        """Return one page of all users (with managers) or all groups; PageExpired when a link came too late."""
        ...

    async def fetch_ids(self, stream: Stream, link: str | None) -> IdPage:
        """Return one page of the bare ids of all users or all groups."""
        ...

    async def fetch_lists(self, requests: Sequence[ListRequest]) -> tuple[ListAnswer, ...]:
        """Return a page of each of up to 20 lists of single objects, in the order of the requests."""
        ...

    def note_users(self, count: int) -> None:
        """Learn how many users the tenant has at least: how fast it may be read goes by that."""
        ...

    @property
    def at_once(self) -> int:
        """How many requests may be under way together now: more as long as the tenant's budget has much room."""
        ...

    async def fetch_count(self, stream: Stream) -> int:
        """Return how many active objects the tenant says it has (``$count``; its index may lag)."""
        ...

    async def find_unreadable(self, stream: Stream) -> str:
        """Return why what a full read of a stream showed may not be believed (a permission for a property is lacking).

        Empty when nothing is known against it.
        """
        ...

    async def fetch_agent_count(self) -> int | None:
        """Return how many accounts of agents the tenant counts; None where it does not count them by themselves."""
        ...

    async def fetch_user(self, user_id: str) -> UserItem | None:
        """Read one active user with all selected properties and the manager; None when it does not exist (404)."""
        ...

    async def fetch_group(self, group_id: str) -> GroupItem | None:
        """Read one active group with all selected properties, without members; None when it does not exist (404)."""
        ...

    async def fetch_existing(self, stream: Stream, ids: Sequence[str]) -> frozenset[str]:
        """Return those ids that a direct read still finds. Any doubt about one of them raises."""
        ...

    async def fetch_members(self, group_id: str) -> tuple[Link, ...] | None:
        """Read all direct members of a group from the member list; None when the group does not exist (404).

        Raises Forbidden when the group hides its members from us: nothing can be concluded about them.
        """
        ...

    async def fetch_owners(self, group_id: str) -> tuple[Link, ...] | None:
        """Read all owners of a group; None when the group does not exist (404)."""
        ...

    async def fetch_member_count(self, group_id: str, *, kind: RecordKind | None = None) -> int | None:
        """Return how many direct members, of one type or of any, the tenant counts; its index may lag.

        None when there is no such group. Raises Rejected where single types cannot be counted.
        """
        ...

    async def fetch_groups_of(self, user_id: str, *, role: Role = "members") -> frozenset[str] | None:
        """Return the groups of which a user is a direct member (or an owner); None when there is no such user.

        A group that hides its members may be missing among memberships.
        """
        ...

    async def find_user(self, name: str) -> UserItem | None:
        """Read one active user, as `fetch_user` does, by id or UPN; None when the tenant has none."""
        ...

    async def find_groups(self, name: str) -> frozenset[str]:
        """Return the ids of the active groups that a display name, or an id, refers to."""
        ...

    async def is_deleted(self, stream: Stream, object_id: str) -> bool | None:
        """Return whether an object is among the deleted items; None when we may not look there."""
        ...


class Portal(Protocol):
    """Reads and writes the portal. Each write is idempotent and settles an unclear answer by a read."""

    @property
    def address(self) -> str:
        """What tells this portal from another one."""
        ...

    async def check(self) -> None:
        """Find out cheaply whether the portal is there and accepts us; raises RemoteErrors."""
        ...

    def fetch_accounts(self) -> AsyncIterator[tuple[Account, ...]]:
        """Yield pages of all user records until an empty page; a record may come twice when pages shift."""
        ...

    def fetch_groups(self) -> AsyncIterator[tuple[PortalGroup, ...]]:
        """Yield pages of all groups (without members) until an empty page; a record may come twice."""
        ...

    def find_malformed(self, kind: RecordKind) -> Malformed:
        """Return what the last reading of the list of users or groups had to skip."""
        ...

    async def fetch_account(self, bps_id: str) -> Account | None:
        """Read one user record; None when the portal has none (404)."""
        ...

    async def fetch_group(self, bps_id: str) -> GroupDetail | None:
        """Read one group with members and owners; None when the portal has none (404)."""
        ...

    async def create_account(self, account: Account, *, sent_before: bool = False) -> Creation:
        """Create a user record. ``sent_before``: an earlier attempt of ours may have created it already.

        An error says in ``sent`` whether the record may be there nevertheless.
        """
        ...

    async def update_account(self, bps_id: str, fields: Fields) -> None:
        """Set the given fields (None clears); NotFound when the record is gone."""
        ...

    async def delete_account(self, bps_id: str) -> None:
        """Delete a user record; one that is gone already is a success."""
        ...

    async def create_group(self, group: PortalGroup, *, sent_before: bool = False) -> Creation:
        """Create a group without members."""
        ...

    async def update_group(self, bps_id: str, fields: Fields) -> None:
        """Set name or email (never empty); NotFound when the group is gone."""
        ...

    async def delete_group(self, bps_id: str) -> None:
        """Delete a group; one that is gone already is a success."""
        ...

    async def add_members(self, group_id: str, member_ids: Sequence[str]) -> MembersResult:
        """Add members in one call, splitting it when an id is refused; NotFound when the group is gone."""
        ...

    async def remove_members(self, group_id: str, member_ids: Sequence[str]) -> MembersResult:
        """Remove members in one call; one that is no member any more is done."""
        ...

    async def find_substitution(self, known: Substitution) -> Substitution | None:
        """Read a substitution of ours: by its number, without one by its people and its end; None when it is gone.

        Never returns the one of another original person. Where the portal keeps times less exactly, the start and end
        returned are those of ``known`` as far as they agree.
        """
        ...

    async def create_substitution(self, wanted: Substitution) -> int | None:
        """Arrange a substitution in all processes and return its number, None when the portal does not tell it."""
        ...

    async def update_substitution(self, wanted: Substitution) -> None:
        """Change substitute and period of the substitution with this number; NotFound when it is gone."""
        ...

    async def delete_substitution(self, number: int) -> None:
        """Delete a substitution; one that is gone already is a success."""
        ...

    async def add_owners(self, group_id: str, owner_ids: Sequence[str]) -> MembersResult:
        """Add owners, as ``add_members`` adds members."""
        ...

    async def remove_owners(self, group_id: str, owner_ids: Sequence[str]) -> MembersResult:
        """Remove owners, as ``remove_members`` removes members."""
        ...

    async def fetch_licences(self) -> LicenceList | None:
        """Read who holds which licences; None when the portal assigns licences by itself (perpetual licensing)."""
        ...

    async def fetch_holder(self, bps_id: str) -> LicenceHolder | None:
        """Read what one person holds; None when the portal assigns licences by itself, or has none to read."""
        ...

    async def fetch_seats(self) -> tuple[Seats, ...] | None:
        """Read how many seats of each licence type there are; None as above. A type may be missing."""
        ...

    async def change_licences(self, steps: Sequence[Step]) -> tuple[StepResult, ...]:
        """Assign and take licences in one request, splitting it when it is refused; one result per step.

        Steps of one person stand side by side and are never parted.
        """
        ...

    async def list_places(self, database: int, kind: ListKind, within: str = "") -> tuple[Listed, ...]:
        """Read one list of a content database: applications, what lies in one of its places, or companies."""
        ...

    async def find_place(self, database: int, kind: ListKind, reference: str) -> Listed | None:
        """Read an application or a process by its id or guid; None when the portal has none."""
        ...

    async def fetch_holders(self, place: Place) -> Holders | None:
        """Read who has any privilege at a place; None when the portal has no such place."""
        ...

    async def change_privilege(
        self, bps_id: str, privilege: Privilege, *, remove: bool, listed: bool
    ) -> PrivilegeAnswer:
        """Give or take one privilege; NotFound when the place is gone.

        ``listed``: a reading has named the group there for this one.
        """
        ...


class TrafficMeter(Protocol):
    """Counters of one side's requests, for the run log."""

    def read_times(self) -> StatedTimes | None:
        """Return which time the side has stated so far; None when it stated none."""
        ...

    def read_traffic(self) -> Mapping[str, int]:
        """Return requests, retries, throttled and bytes_received so far."""
        ...

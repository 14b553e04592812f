"""One object now: find it in the tenant, read it with its memberships, store it, and have the push look at it.

Checkpoints stay where they are: the next delta says the same once more, which changes nothing. Everything is read
before anything is stored, so that a failed read leaves the directory as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from syncd.errors import Forbidden, IncompleteRead, Rejected, UnknownObject
from syncd.model.kinds import RecordKind
from syncd.model.run import Subject, Wanted
from syncd.model.source import STREAMS, GroupItem, Link, Stream, UserItem
from syncd.sync.ports.sides import Source
from syncd.sync.pull.member_witness import (
    NOT_WHOLE,
    Reading,
    Verdict,
    judge_missing,
    read_members,
    store_members,
)
from syncd.sync.pull.proof import tolerate

if TYPE_CHECKING:
    from syncd.store.store import Store

_LISTED = 20
_STREAMS: dict[RecordKind, Stream] = {"user": "users", "group": "groups"}
_HOW: dict[RecordKind, str] = {
    "user": "the object id or the user principal name",
    "group": "the object id or the exact display name",
}


class OneObjectPull:
    """Reads one object. Raises RemoteErrors, and IncompleteRead when the store or the answers do not suffice."""

    def __init__(self, source: Source, store: Store, *, now: datetime) -> None:
        self._source = source
        self._store = store
        self._now = now
        self._log = structlog.get_logger("syncd.pull")
        self.counts: dict[str, int] = {}
        self.doubts: list[str] = []

    async def run(self, wanted: Wanted) -> Subject:
        """Read and store what is wanted; UnknownObject when nobody, or more than one, bears that name."""
        await self._check_store()
        if wanted.kind == "user":
            user = await self._source.find_user(wanted.name)
            user_id = await self._find_stored(wanted) if user is None else user.id
            if user is None and user_id != wanted.name.strip().lower():
                user = await self._source.fetch_user(user_id)  # renamed in the meantime
            if user is None:
                return await self._bury(Subject("user", user_id))
            return await self._store_user(user)
        found = await self._source.find_groups(wanted.name)
        if len(found) > 1:
            raise _refuse_several(wanted, sorted(found))
        group_id = next(iter(found)) if found else await self._find_stored(wanted)
        group = await self._source.fetch_group(group_id)
        if group is None:
            return await self._bury(Subject("group", group_id))
        return await self._store_group(group)

    async def _check_store(self) -> None:
        """Refuse a store in which one object cannot be told from the rest, for want of the rest."""
        checkpoints = await self._store.directory.load_checkpoints()
        for stream in STREAMS:
            checkpoint = checkpoints.get(stream)
            if checkpoint is None or checkpoint.delta_link is None:
                raise IncompleteRead(
                    "the store holds no complete pull yet, and one object alone says nothing: "
                    "'syncd sync full' (or 'syncd plan full', to look first) comes before it"
                )
            if checkpoint.fingerprint != self._source.fingerprint(stream):
                raise IncompleteRead(
                    "the tenant, the application or the attributes that the rules look at have changed since the last "
                    "pull, so that the others in the store lack some: 'syncd sync delta' or 'syncd plan delta' reads "
                    "them all once, and one object alone comes after it"
                )
        if not await self._store.one_object.is_filled():
            raise IncompleteRead(
                "the portal was never read completely, or the tenant showed nobody at all when it was last read: "
                "'syncd sync full' comes first"
            )

    async def _find_stored(self, wanted: Wanted) -> str:
        """Return the id of what the tenant does not know by that name, but the store does."""
        known = await self._store.one_object.find_objects(wanted.kind, wanted.name)
        if not known:
            raise UnknownObject(
                f"neither the tenant nor the store knows a {wanted.kind} '{wanted.name}': give {_HOW[wanted.kind]}"
            )
        if len(known) > 1:
            raise _refuse_several(wanted, known)
        return known[0]

    # ---- storing ----------------------------------------------------------------------------------------------------

    async def _store_user(self, user: UserItem) -> Subject:
        subject = Subject("user", user.id)
        groups = await self._source.fetch_groups_of(user.id)
        if groups is None:
            raise IncompleteRead("the user vanished while it was read; nothing was stored, try again")
        memberships = dict.fromkeys(groups, True)
        for group_id in sorted(await self._store.memberships.load_groups_of(user.id) - groups):
            if await self._has_left(group_id, user.id):
                memberships[group_id] = False
        ownerships = await self._read_ownerships(user.id)
        await self._store.one_object.begin_single()
        counts = await self._store.directory.store_object(user, now=self._now, insist=True)
        changed = await self._store.memberships.store_groups_of(user.id, memberships, now=self._now)
        changed += await self._store.memberships.store_groups_of(user.id, ownerships, role="owners", now=self._now)
        await self._store.one_object.touch_object(subject)
        self._count(users_read=1, users_added=counts.added, users_changed=counts.changed)
        self._count(links_read=len(groups), links_changed=changed)
        return subject

    async def _read_ownerships(self, user_id: str) -> dict[str, bool]:
        """Return which groups somebody owns (True), and owns no more (False): that the group must say as well."""
        if not self._source.tracks_owners:
            return {}
        try:
            groups = await self._source.fetch_groups_of(user_id, role="owners")
        except (Forbidden, Rejected) as error:
            self.doubts.append(
                f"user {user_id}: what they own could not be read ({error}): it stays as it is until the next delta run"
            )
            return {}
        if groups is None:
            raise IncompleteRead("the user vanished while it was read; nothing was stored, try again")
        ownerships = dict.fromkeys(groups, True)
        for group_id in sorted(await self._store.memberships.load_groups_of(user_id, role="owners") - groups):
            if await self._owns_no_more(group_id, user_id):
                ownerships[group_id] = False
        return ownerships

    async def _owns_no_more(self, group_id: str, user_id: str) -> bool:
        try:
            links = await self._source.fetch_owners(group_id)
        except (Forbidden, Rejected):
            return False
        return links is not None and all(link.member_id not in ("", user_id) for link in links)

    async def _has_left(self, group_id: str, user_id: str) -> bool:
        """Ask the group itself: a user's list of groups leaves out those that hide their members."""
        try:
            links = await self._source.fetch_members(group_id)
        except Forbidden:
            return False
        if links is None or any(link.member_id == user_id for link in links):
            return False
        shown = {link.member_id for link in links}
        stored = await self._store.memberships.load_members(group_id)
        missing = {member: known for member, known in stored.items() if member not in shown}
        verdict = await judge_missing(self._source, self._store, group_id, links, missing, tolerate=tolerate)
        self._note(group_id, verdict)
        return not verdict.doubt

    async def _store_group(self, group: GroupItem) -> Subject:
        subject = Subject("group", group.id)
        try:
            reading = await read_members(self._source, self._store, group.id, tolerate=tolerate)
        except Forbidden:
            reading = Reading((), (), Verdict("it hides its members from us", 0))
        if reading is None:
            raise IncompleteRead("the group vanished while it was read; nothing was stored, try again")
        self._note(group.id, reading.verdict)
        reading, elsewhere = await self._follow_the_missing(group.id, reading)
        owners = await self._read_owners(group.id)
        await self._store.one_object.begin_single()
        counts = await self._store.directory.store_object(group, now=self._now, insist=True)
        if owners is not None:
            await self._store.directory.replace_members(group.id, owners, role="owners", now=self._now)
        for member, groups in elsewhere.items():
            await self._store.memberships.store_groups_of(member, dict.fromkeys(sorted(groups), True), now=self._now)
        added, removed = await store_members(self._store, group.id, reading, now=self._now)
        await self._store.one_object.touch_object(subject)
        self._count(groups_read=1, groups_added=counts.added, groups_changed=counts.changed)
        self._count(links_read=len(reading.links), links_added=added, links_removed=removed)
        return subject

    async def _follow_the_missing(self, group_id: str, reading: Reading) -> tuple[Reading, dict[str, frozenset[str]]]:
        """Return the reading without those who cannot be told to have left, and the groups of those who did.

        Whoever moved to another group may keep the places above both, and the store need not know of the move yet. Of
        a nested group that is not listed any more we cannot ask where it went: it stays until a delta tells. So does
        whom the tenant has no more: no list shows who is deleted, whose places are for the policy for leavers.
        """
        elsewhere: dict[str, frozenset[str]] = {}
        nested: list[str] = []
        contradicted: list[str] = []
        departed: list[str] = []
        for member in () if reading.verdict.doubt else reading.missing:
            if await self._store.one_object.find_objects("group", member):
                nested.append(member)
                continue
            groups = await self._source.fetch_groups_of(member)
            if groups is not None and group_id in groups:
                contradicted.append(member)
            elif groups is None and await self._is_stored_user(member):
                departed.append(member)
            else:
                elsewhere[member] = groups or frozenset()
        if nested:
            listed = ", ".join(sorted(nested)[:_LISTED])
            self.doubts.append(
                f"group {group_id}: it does not list {len(nested)} nested groups any more ({listed}), and where these "
                "are now is not known: who is in it through them stays until the next delta run ('syncd sync delta')"
            )
        if contradicted:
            self.doubts.append(
                f"group {group_id}: it does not list {len(contradicted)} people whose own groups name it: they stay "
                "until the tenant is at one with itself"
            )
        self._note_departed(group_id, departed, "members")
        if nested or contradicted or departed:
            left = tuple(member for member in reading.missing if member in elsewhere)
            reading = replace(reading, missing=left)
        return reading, elsewhere

    async def _read_owners(self, group_id: str) -> Sequence[Link] | None:
        """Read the owners twice, so that whoever is missing has two witnesses; None when owners are not tracked."""
        if not self._source.tracks_owners:
            return None
        found: dict[str, Link] = {}
        for _ in range(2):
            links = await self._source.fetch_owners(group_id)
            if links is None:
                raise IncompleteRead("the group vanished while it was read; nothing was stored, try again")
            found.update((link.member_id, link) for link in links)
        if found.pop("", None) is not None:
            self.doubts.append(f"group {group_id}: {NOT_WHOLE}: nobody ceases to own it")
            found |= {owner: Link(owner, "user") for owner in await self._store.memberships.load_owners(group_id)}
        departed: list[str] = []
        for owner in sorted(await self._store.memberships.load_owners(group_id) - found.keys()):
            if await self._is_stored_user(owner) and await self._source.fetch_user(owner) is None:
                departed.append(owner)
                found[owner] = Link(owner, "user")
        self._note_departed(group_id, departed, "owners")
        return list(found.values())

    async def _is_stored_user(self, object_id: str) -> bool:
        return bool(await self._store.one_object.find_objects("user", object_id))

    def _note_departed(self, group_id: str, departed: Sequence[str], what: str) -> None:
        if departed:
            self.doubts.append(
                f"group {group_id}: {len(departed)} of its {what} are not in the tenant any more "
                f"({', '.join(sorted(departed)[:_LISTED])}): what becomes of their places the next delta run decides "
                "('syncd sync delta')"
            )

    def _note(self, group_id: str, verdict: Verdict) -> None:
        if verdict.doubt:
            self._log.warning("members.unproven", group=group_id, reason=verdict.doubt)
            self.doubts.append(f"group {group_id}: {verdict.doubt}: nobody is taken out of it")

    async def _bury(self, subject: Subject) -> Subject:
        """Remember as deleted what the tenant denied, once a second witness says so too."""
        stream = _STREAMS[subject.kind]
        deleted = await self._source.is_deleted(stream, subject.id)
        if not deleted and await self._source.fetch_existing(stream, [subject.id]):
            raise IncompleteRead(
                f"the tenant denied and then showed the {subject.kind} {subject.id}; nothing was stored, try again"
            )
        await self._store.one_object.begin_single()
        gone = await self._store.directory.mark_gone(stream, [subject.id], now=self._now)
        if deleted is False:
            await self._store.directory.purge(stream, [subject.id])
        await self._store.one_object.touch_object(subject)
        self._count(**{f"{stream}_removed": gone})
        return subject

    def _count(self, **counts: int) -> None:
        self.counts |= {name: number for name, number in counts.items() if number}


def _refuse_several(wanted: Wanted, ids: Sequence[str]) -> UnknownObject:
    listed = ", ".join(ids[:_LISTED])
    return UnknownObject(
        f"{len(ids)} {wanted.kind}s are named '{wanted.name}': {listed}; give the id of the one you mean"
    )

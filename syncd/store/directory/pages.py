"""The directory: our stored copy of the source. Every method is one transaction, and idempotent.

The merge rules are those of Graph's delta documentation: an entry may come in any order and any number of times;
``links`` are changes, never the full list; in an increment an absent attribute is unchanged, in a baseline it has no
value; soft-deleted users keep their memberships (they are hidden, not gone), hard-deleted ones lose them at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, Table

from syncd.model.listing import UNLISTED_KINDS
from syncd.model.source import BadObject, Checkpoint, GroupItem, Link, Page, Role, Stream, UserItem
from syncd.store.db.database import Database
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, delete_pairs, encode_json, insert_keys, insert_pairs, intern
from syncd.store.directory.checkpoints import save_checkpoint
from syncd.store.directory.delta_log import note_links, note_objects, withstand
from syncd.store.directory.emptied import noting_emptied
from syncd.store.directory.entry import GONE, SEEN, DirectoryRow, find_returned, merge, told_removed
from syncd.store.directory.members import LINKS
from syncd.store.directory.object_statements import (
    DELETE_LINKS_OF,
    INSERT,
    SELECT_HIDDEN_USERS,
    SELECT_KEYS,
    SELECT_SEEN,
    UPDATE_ROW,
    select_stored,
)
from syncd.store.directory.unlisted_managers import forget_unshown
from syncd.store.directory.unreadable import note_unnamed, store_unreadable
from syncd.store.runs.touched import touch_groups, touch_users, touch_users_below
from syncd.store.schema.tables import (
    seen_objects,
    source_groups,
    source_objects,
    source_returns,
    source_users,
)

_CACHE_SIZE = 60_000


@dataclass(slots=True, kw_only=True)
class PageCounts:
    """What the pages of one transaction changed: entries read, objects added, changed and removed, links stated.

    ``held``: what was read directly and is not taken, since delta has told otherwise lately.
    """

    read: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    links: int = 0
    held: int = 0


class Directory(StorePart):
    """Writes what the source says. One instance per process; its methods are called in the store's thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys: dict[str, int] = {}

    # ---- pages ------------------------------------------------------------------------------------------------------

    @in_thread
    def store_pages(self, pages: Sequence[Page], checkpoint: Checkpoint, *, now: datetime) -> PageCounts:
        """Apply consecutive pages of one stream, and the checkpoint after the last of them, in one transaction.

        The checkpoint's ``baseline`` and ``tracked`` say how to merge; pages beside lists (``listing``) are increments.
        Pages that come together are one larger page.
        """
        merging = replace(checkpoint, baseline=checkpoint.baseline and not checkpoint.listing)
        users = [item for page in pages for item in page.items if isinstance(item, UserItem)]
        groups = [item for page in pages for item in page.items if isinstance(item, GroupItem)]
        with self._undoing_cache(), self._database.transaction() as connection:
            counts = PageCounts(read=len(users) + len(groups))
            bad = [each for page in pages for each in page.bad]
            stream = checkpoint.stream
            with noting_emptied(connection, stream) if users or groups or bad else nullcontext():
                if users:
                    self._store_users(connection, users, merging, counts, now)
                if groups:
                    self._store_groups(connection, groups, merging, counts, now)
                if bad:
                    keys = self._intern_named(connection, bad)
                    store_unreadable(connection, stream, bad, keys, tracked=checkpoint.tracked, listed=False, now=now)
                    if merging.baseline:
                        note_unnamed(connection, stream, bad)
            save_checkpoint(connection, checkpoint, now=now)
        return counts

    @in_thread
    def store_object(self, item: UserItem | GroupItem, *, now: datetime, insist: bool = False) -> PageCounts:
        """Apply one object that was read directly: whatever attribute it does not state has no value.

        What delta has told lately holds against it; ``insist`` as `withstand` has it.
        """
        stream: Stream = "users" if isinstance(item, UserItem) else "groups"
        whole = Checkpoint(stream=stream, fingerprint="", baseline=True, tracked=False)
        with self._undoing_cache(), self._database.transaction() as connection:
            counts = PageCounts(read=1)
            with noting_emptied(connection, stream):
                if isinstance(item, UserItem):
                    self._store_users(connection, [item], whole, counts, now, direct=True, insist=insist)
                else:
                    self._store_groups(connection, [item], whole, counts, now, direct=True, insist=insist)
        return counts

    def _see(self, connection: Connection, ids: Collection[str]) -> None:
        """Remember objects that were met but could not be read: a malformed entry never counts as missing."""
        insert_keys(connection, seen_objects, connection.scalars(SELECT_KEYS, {"ids": ids}) if ids else ())

    def _intern_named(self, connection: Connection, bad: Sequence[BadObject]) -> dict[str, int]:
        """Return the keys of all that these entries name."""
        ids = {each.id for each in bad if each.id}
        return self._intern(connection, ids | {member for each in bad for _, member in each.ended})

    def _undoing_cache(self) -> _CacheGuard:
        return _CacheGuard(self._keys)

    def _intern(self, connection: Connection, ids: Collection[str]) -> dict[str, int]:
        known = self._keys
        missing = {text for text in ids if text not in known}
        if missing:
            if len(known) + len(missing) > _CACHE_SIZE:
                known.clear()
                missing = set(ids)
            known.update(intern(connection, source_objects, "id", missing))
        return known

    def _store_users(
        self,
        connection: Connection,
        items: Sequence[UserItem],
        checkpoint: Checkpoint,
        counts: PageCounts,
        now: datetime,
        *,
        direct: bool = False,
        insist: bool = False,
    ) -> None:
        ids = {item.id for item in items}
        ids.update(item.manager.manager_id for item in items if item.manager and item.manager.manager_id)
        keys = self._intern(connection, ids)
        old = self._load_old(connection, source_users, {keys[item.id] for item in items})
        seen = self._load_seen(connection, old, checkpoint, direct=direct)
        fresh: dict[int, DirectoryRow] = {}
        purged: set[int] = set()
        hidden = self._load_hidden_managers(connection, old) if direct else {}
        stated = {keys[item.id] for item in items if item.manager is not None}
        for item in items:
            key = keys[item.id]
            before = fresh.get(key) or old.get(key)
            if item.removed:
                seen.discard(key)
                if before is not None:
                    fresh[key] = before.remove(item.removed)
                if item.removed == "deleted":
                    purged.add(key)
                continue
            kept = before if not checkpoint.baseline or key in seen else None
            attributes = merge(kept, item.attributes)
            manager = kept.extra if kept else None
            if item.manager is not None:
                manager = keys[item.manager.manager_id] if item.manager.manager_id else hidden.get(key)
            known = direct or "userPrincipalName" in attributes
            fresh[key] = DirectoryRow("active" if known else "parked", encode_json(attributes), manager)
            purged.discard(key)
            seen.add(key)
        if direct:
            counts.held += len(withstand(connection, "users", fresh, old, insist=insist, now=now))
        elif not checkpoint.baseline:
            told = {keys[item.id]: old.get(keys[item.id]) for item in items}
            note_objects(connection, "users", told, managers=stated, now=now)
        changed = {key for key, value in fresh.items() if old.get(key) != value}
        self._write_objects(connection, source_users, changed=changed, fresh=fresh, old=old, counts=counts, now=now)
        if purged:  # Graph reports the memberships of the hard-deleted late or never
            for statement in DELETE_LINKS_OF:
                connection.execute(statement, {"members": purged})
        if checkpoint.tracked:
            insert_keys(connection, seen_objects, seen)
        forget_unshown(connection, stated)
        if not direct:
            insert_keys(connection, source_returns, find_returned(changed, fresh, old, baseline=checkpoint.baseline))
        if direct or not checkpoint.baseline:
            touch_users(connection, changed | purged)

    def _store_groups(
        self,
        connection: Connection,
        items: Sequence[GroupItem],
        checkpoint: Checkpoint,
        counts: PageCounts,
        now: datetime,
        *,
        direct: bool = False,
        insist: bool = False,
    ) -> None:
        ids = {item.id for item in items}
        ids.update(link.member_id for item in items for link in (*item.links, *item.owners))
        keys = self._intern(connection, ids)
        old = self._load_old(connection, source_groups, {keys[item.id] for item in items})
        seen = self._load_seen(connection, old, checkpoint, direct=direct)
        fresh: dict[int, DirectoryRow] = {}
        links: dict[tuple[int, int], Link] = {}
        owners: dict[tuple[int, int], Link] = {}
        for item in items:
            key = keys[item.id]
            before = fresh.get(key) or old.get(key)
            if item.removed:
                # Its memberships stay, hidden: whether a deleted group can return, Graph's texts do not agree.
                seen.discard(key)
                if before is not None:
                    fresh[key] = before.remove(item.removed)
                continue
            kept = before if not checkpoint.baseline or key in seen else None
            attributes = merge(kept, item.attributes)
            # A group that returns from deletion need not bring its members along: they are read directly once. One that
            # is new to us may be such a group.
            returned = before is None or before.state in GONE
            reread = (returned and not checkpoint.baseline) or bool(kept and kept.extra)
            known = direct or "displayName" in attributes
            fresh[key] = DirectoryRow("active" if known else "parked", encode_json(attributes), reread)
            seen.add(key)
            for stated, kept_links in ((item.links, links), (item.owners, owners)):
                kept_links.update(
                    ((key, keys[link.member_id]), link) for link in stated if link.kind not in UNLISTED_KINDS
                )
        if direct:
            counts.held += len(withstand(connection, "groups", fresh, old, insist=insist, now=now))
        elif not checkpoint.baseline:
            told = {keys[item.id]: old.get(keys[item.id]) for item in items}
            note_objects(connection, "groups", told, now=now)
            note_links(connection, "members", links, now=now)
            note_links(connection, "owners", owners, now=now)
        changed = {key for key, value in fresh.items() if old.get(key) != value}
        self._write_objects(connection, source_groups, changed=changed, fresh=fresh, old=old, counts=counts, now=now)
        counts.links += len(links)
        _store_links(connection, "members", links, tracked=checkpoint.tracked)
        _store_links(connection, "owners", owners, tracked=checkpoint.tracked)
        if checkpoint.tracked:
            insert_keys(connection, seen_objects, seen)
        if not direct:
            insert_keys(connection, source_returns, find_returned(changed, fresh, old, baseline=checkpoint.baseline))
        if direct or not checkpoint.baseline:
            flipped = {key for key in changed if (old[key].state if key in old else "") != fresh[key].state}
            people = {pair[1] for found in (links, owners) for pair, link in found.items() if link.kind != "group"}
            touch_users(connection, people)
            touch_users_below(connection, flipped | {pair[1] for pair, link in links.items() if link.kind != "user"})
            touch_groups(connection, changed - flipped, whole=False)
            touch_groups(connection, flipped, whole=True)

    def _load_old(self, connection: Connection, table: Table, keys: Collection[int]) -> dict[int, DirectoryRow]:
        rows = connection.execute(select_stored(table), {"keys": keys})
        return {row[0]: DirectoryRow(row[1], row[2], row[3]) for row in rows}

    def _load_hidden_managers(self, connection: Connection, old: Mapping[int, DirectoryRow]) -> dict[int, int]:
        """Return by user the stored managers who are deleted: a direct reading does not show them."""
        managers = {stored.extra for stored in old.values() if stored.extra is not None}
        deleted = set(connection.scalars(SELECT_HIDDEN_USERS, {"keys": managers})) if managers else set()
        return {key: stored.extra for key, stored in old.items() if stored.extra in deleted}

    def _load_seen(
        self, connection: Connection, old: Mapping[int, DirectoryRow], checkpoint: Checkpoint, *, direct: bool
    ) -> set[int]:
        """Return which of these objects this baseline has met on an earlier page."""
        if direct or not checkpoint.baseline or not old:
            return set()
        if not checkpoint.tracked:
            # The baseline began on an empty directory: whatever is there was put there by it.
            return set(old)
        return set(connection.scalars(SELECT_SEEN, {"keys": old}))

    def _write_objects(
        self,
        connection: Connection,
        table: Table,
        *,
        changed: Collection[int],
        fresh: Mapping[int, DirectoryRow],
        old: Mapping[int, DirectoryRow],
        counts: PageCounts,
        now: datetime,
    ) -> None:
        added, altered = [], []
        last = "manager_key" if table is source_users else "reread"
        for key in sorted(changed):
            stored = fresh[key]
            attributes = decode_json(stored.attributes)
            gone = stored.state in GONE
            row = {
                "key": key,
                "state": stored.state,
                "attributes": stored.attributes,
                "name": _text(attributes.get("displayName")),
                last: stored.extra,
                **told_removed(now if gone else None),
            }
            if table is source_users:
                row["upn"] = _text(attributes.get("userPrincipalName"))
            counts.removed += gone
            if key in old:
                counts.changed += not gone
                row["row_key"] = row.pop("key")
                altered.append(row)
            else:
                counts.added += not gone
                added.append(row)
        if added:
            connection.execute(INSERT[table], added)
        if altered:
            connection.execute(UPDATE_ROW[table], altered)


def _store_links(connection: Connection, role: Role, links: Mapping[tuple[int, int], Link], *, tracked: bool) -> None:
    """Apply changes of members or owners, by (group, person); ``tracked``: remember what was met, for the sweep."""
    gone = [pair for pair, link in links.items() if link.removed]
    kept = [pair for pair, link in links.items() if not link.removed]
    for table in (LINKS[role], SEEN[role]) if tracked else (LINKS[role],):
        delete_pairs(connection, table, gone)
        insert_pairs(connection, table, kept)


class _CacheGuard:
    """Forgets cached keys when the transaction that may have made them is rolled back."""

    def __init__(self, keys: dict[str, int]) -> None:
        self._keys = keys

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, *_rest: object) -> None:
        if kind is not None:
            self._keys.clear()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

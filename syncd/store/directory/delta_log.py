"""What delta has told lately, kept beside the directory, so that an older answer cannot undo it.

Graph answers lists, single reads and counts from replicas that may be behind the one that delta has seen (Microsoft's
identity blog, 2026-03-24). So for a while it is remembered which objects and links delta has told of:

===============  =====================================================================================================
a word is kept   and then
===============  =====================================================================================================
up to an hour    it holds against a list, and against a direct read too: those may be behind
two days         what a list says otherwise is read directly, and the direct read decides
40 days          that a link ended was stated, so that it needs no proof of a full read
===============  =====================================================================================================

Who in the end is right shows once the replicas have caught up: what was said otherwise is read directly again, an hour
after the word at the latest (`contradictions`). A newer word of delta settles it before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import blake2s
from typing import Any, Literal

from sqlalchemy import Connection, Select, bindparam, delete, exists, select

from syncd.model.source import Link, Role, Stream
from syncd.store.db.parameters import among_bound
from syncd.store.db.sql import decode_json, encode_json, upsert
from syncd.store.directory.entry import GONE, DirectoryRow
from syncd.store.schema.tables import contradictions, delta_links, delta_objects

Pair = tuple[int, int]
Subject = Literal["users", "groups", "people", "ties"]
"""What is said otherwise: a user, a group, the members and owners of a group, or what ties an object to others."""

BEHIND = timedelta(hours=1)
"""How far a replica may be behind what delta has told. Minutes are reported; twenty of them at the worst."""
KEPT = timedelta(days=2)
"""How long a word of delta is reason enough to read directly what a list says otherwise."""
ENDED = timedelta(days=40)
"""How long it is known that delta ended a link."""
SOON = timedelta(minutes=10)
"""When something is asked for again that delta told of and a direct read does not find."""
_LOOK_AGAIN = 3 * BEHIND
"""When an answer that overruled a word is asked for once more."""
_ABSENT = "-"
_EARLIER = 12
"""Earlier states of one object that are remembered."""


@dataclass(frozen=True, slots=True)
class Word:
    """That delta told of an object, when, and what the directory held before.

    ``manager_at``: when the manager was last part of it. ``before``: digests of earlier states, oldest first.
    """

    told_at: datetime
    manager_at: datetime | None
    before: tuple[str, ...]

    def holds(self, now: datetime) -> bool:
        """Return whether it holds against a direct read, whose replica may be behind."""
        return now - self.told_at < BEHIND


def digest(row: DirectoryRow | None) -> str:
    """Return what tells one state of an object from another; all that do not exist are alike."""
    if row is None or row.state in GONE:
        return _ABSENT
    manager = "" if isinstance(row.extra, bool) or row.extra is None else str(row.extra)
    return blake2s(f"{manager} {row.attributes}".encode(), digest_size=6).hexdigest()


# ---- objects --------------------------------------------------------------------------------------------------------


def note_objects(
    connection: Connection,
    stream: Stream,
    told: Mapping[int, DirectoryRow | None],
    *,
    managers: Collection[int] = (),
    now: datetime,
) -> None:
    """Remember that delta told of these objects, each with what the directory held before it.

    ``managers``: those whose manager was part of it.
    """
    if not told:
        return
    known = load_words(connection, told)
    rows = []
    for key, row in told.items():
        word = known.get(key)
        before = () if word is None or now - word.told_at >= KEPT else word.before
        manager_at = now if key in managers else None if word is None else word.manager_at
        earlier = (*(each for each in before if each != digest(row)), digest(row))[-_EARLIER:]
        rows.append({"key": key, "told_at": now, "manager_at": manager_at, "before": encode_json(earlier)})
    upsert(connection, delta_objects, rows)
    settle(connection, told, stream)


def load_words(connection: Connection, keys: Collection[int]) -> dict[int, Word]:
    """Return what delta has told of these objects, where it has."""
    if not keys:
        return {}
    rows = connection.execute(_SELECT_WORDS, {"keys": keys})
    return {row.key: Word(row.told_at, row.manager_at, tuple(decode_json(row.before))) for row in rows}


def withstand(
    connection: Connection,
    stream: Stream,
    fresh: dict[int, DirectoryRow],
    old: Mapping[int, DirectoryRow],
    *,
    insist: bool,
    now: datetime,
) -> set[int]:
    """Take back in ``fresh``, which was read directly, what a word of delta holds against; return whose word held.

    ``insist``: a person asked for this very object, so that only an answer is refused that the directory held before
    the word: any other one is newer. Whatever is taken back is read again when the word is old enough.
    """
    differing = {key: row for key, row in fresh.items() if _differs(stream, old.get(key), row)}
    held: set[int] = set()
    overruled: set[int] = set()
    for key, word in load_words(connection, differing).items():
        known, row = old.get(key), fresh[key]
        if known is not None and known.state not in ("active", *GONE):
            continue  # delta told only part of it, which this completes
        if insist and digest(row) not in word.before:
            note_objects(connection, stream, {key: known}, managers=[key], now=now)
            continue
        if not word.holds(now):
            overruled.add(key)
            continue
        manager_holds = word.manager_at is not None and now - word.manager_at < BEHIND
        if known is not None and not _differs("groups", known, row) and not manager_holds:
            continue  # only the manager differs, of whom delta said nothing
        held.add(key)
        contradict(connection, [key], stream, due=word.told_at + BEHIND)
        if stream == "users" and known is not None and known.state == row.state and not manager_holds:
            fresh[key] = DirectoryRow(known.state, known.attributes, row.extra)
        else:
            del fresh[key]
    if overruled:
        connection.execute(_FORGET_WORDS, {"keys": overruled})
        contradict(connection, overruled, stream, due=now + _LOOK_AGAIN)
    settle(connection, fresh.keys() - overruled - held, stream)
    return held


def withstand_list(
    connection: Connection,
    stream: Stream,
    *,
    fresh: Mapping[int, DirectoryRow],
    old: Mapping[int, DirectoryRow],
    now: datetime,
) -> set[int]:
    """Return which objects a list shows otherwise than delta has told lately, and have them read directly at once."""
    if not connection.scalar(_HAS_WORDS):
        return set()
    differing = {key: row for key, row in fresh.items() if _differs(stream, old.get(key), row)}
    contradicted: set[int] = set()
    for key, word in load_words(connection, differing).items():
        known = old.get(key)
        partly = known is not None and known.state not in ("active", *GONE)
        alike = known is not None and not _differs("groups", known, differing[key])
        if now - word.told_at < KEPT and not partly and not (alike and word.manager_at is None):
            contradicted.add(key)
    contradict(connection, contradicted, stream, due=now)
    return contradicted


def withstand_missing_managers(connection: Connection, users: Collection[int], *, now: datetime) -> set[int]:
    """Return those users of whose manager delta has told lately, and have them read directly at once.

    Somebody who is shown without a manager, or as a report of another one, is shown otherwise than that.
    """
    if not users or not connection.scalar(_HAS_WORDS):
        return set()
    words = load_words(connection, users)
    told = {key for key, word in words.items() if word.manager_at is not None and now - word.manager_at < KEPT}
    contradict(connection, told, "users", due=now)
    return told


def _differs(stream: Stream, known: DirectoryRow | None, row: DirectoryRow) -> bool:
    """Return whether two states of an object differ; of groups the mark to read them again is no part of it."""
    if known is None or known.state in GONE or row.state in GONE:
        return (known is None or known.state in GONE) != (row.state in GONE)
    if (known.state, known.attributes) != (row.state, row.attributes):
        return True
    return stream == "users" and known.extra != row.extra


# ---- links ----------------------------------------------------------------------------------------------------------


def note_links(connection: Connection, role: Role, links: Mapping[Pair, Link], *, now: datetime) -> None:
    """Remember that delta began or ended these links, by (group, person)."""
    upsert(
        connection,
        delta_links,
        [
            {"role": role, "group_key": group, "member_key": member, "removed": link.removed, "told_at": now}
            for (group, member), link in links.items()
        ],
    )


def find_told(
    connection: Connection, role: Role, pairs: Collection[Pair], *, removed: bool, since: datetime
) -> set[Pair]:
    """Return those of the links that delta has last told, since then, to have ended (or, False, to have begun)."""
    if not pairs:
        return set()
    groups, members = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    by_group = len(groups) <= len(members)
    told = {"of": role, "since": since, "keys": groups if by_group else members}
    rows = connection.execute(_select_told(removed=removed, by_group=by_group), told)
    return {(row[0], row[1]) for row in rows} & set(pairs)


def find_told_gone(connection: Connection, role: Role, groups: Collection[int], *, since: datetime) -> set[Pair]:
    """Return all links of these groups that delta has last told, since then, to have ended."""
    if not groups or not connection.scalar(_HAS_LINKS):
        return set()
    told = {"of": role, "since": since, "keys": groups}
    rows = connection.execute(_select_told(removed=True, by_group=True), told)
    return {(row[0], row[1]) for row in rows}


def hold_links(
    connection: Connection, role: Role, *, adding: set[Pair], dropping: set[Pair], now: datetime
) -> tuple[set[Pair], set[Pair]]:
    """Return of what a direct read adds and drops that which delta has not told otherwise lately.

    Who was restored lately keeps the old links, of which delta says nothing: an older answer cannot show them. The
    groups of all that is held back are read again when the words are old enough.
    """
    ended = find_told(connection, role, adding, removed=True, since=now - BEHIND)
    begun = find_told(connection, role, dropping, removed=False, since=now - BEHIND)
    words = load_words(connection, {member for _, member in dropping})
    restored = {key for key, word in words.items() if word.holds(now) and _ABSENT in word.before}
    begun |= {pair for pair in dropping if pair[1] in restored}
    contradict(connection, {group for group, _ in ended | begun}, "people", due=now + BEHIND)
    adding, dropping = adding - ended, dropping - begun
    _forget_links(connection, role, adding | dropping)
    return adding, dropping


def _forget_links(connection: Connection, role: Role, pairs: Collection[Pair]) -> None:
    """These are known better by now than by what delta said of them."""
    by_group: dict[int, set[int]] = {}
    for group, member in pairs:
        by_group.setdefault(group, set()).add(member)
    for group, members in by_group.items():
        connection.execute(_FORGET_LINKS, {"of": role, "group": group, "members": members})


# ---- what is said otherwise -----------------------------------------------------------------------------------------


def contradict(connection: Connection, keys: Iterable[int], what: Subject, *, due: datetime) -> None:
    """Have these objects, or the people of these groups, read directly from that time on."""
    upsert(connection, contradictions, [{"key": key, "what": what, "due_at": due} for key in sorted(set(keys))])


def settle(connection: Connection, keys: Collection[int], what: Subject) -> None:
    """Nothing is said otherwise any more about these."""
    if keys and connection.scalar(_HAS_CONTRADICTIONS):
        connection.execute(_SETTLE, {"subject": what, "keys": keys})


def forget_old(connection: Connection, *, now: datetime) -> None:
    """Let go of words that are too old to count."""
    for statement in _FORGET_OLD:
        connection.execute(statement, {"kept_since": now - KEPT, "ended_since": now - ENDED})


# ---- statements -----------------------------------------------------------------------------------------------------


@cache
def _select_told(*, removed: bool, by_group: bool) -> Select[Any]:
    links = delta_links
    return select(links.c.group_key, links.c.member_key).where(
        links.c.role == bindparam("of"),
        links.c.removed.is_(removed),
        links.c.told_at > bindparam("since"),
        among_bound(links.c.group_key if by_group else links.c.member_key, "keys"),
    )


_SELECT_WORDS = select(delta_objects).where(among_bound(delta_objects.c.key, "keys"))
_FORGET_WORDS = delete(delta_objects).where(among_bound(delta_objects.c.key, "keys"))
_HAS_WORDS = select(exists().select_from(delta_objects))
_HAS_LINKS = select(exists().select_from(delta_links))
_HAS_CONTRADICTIONS = select(exists().select_from(contradictions))
_SETTLE = delete(contradictions).where(
    contradictions.c.what == bindparam("subject"), among_bound(contradictions.c.key, "keys")
)
_FORGET_LINKS = delete(delta_links).where(
    delta_links.c.role == bindparam("of"),
    delta_links.c.group_key == bindparam("group"),
    among_bound(delta_links.c.member_key, "members"),
)
_FORGET_OLD = (
    delete(delta_objects).where(delta_objects.c.told_at <= bindparam("kept_since")),
    delete(delta_links).where(delta_links.c.removed.is_(False), delta_links.c.told_at <= bindparam("kept_since")),
    delete(delta_links).where(delta_links.c.told_at <= bindparam("ended_since")),
)

"""Our own history beside the portal: what it has lost of what was written, since when, and that it was found out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from syncd.model.change import Placed
from syncd.plan.restored import Block, PutBack, Restored
from syncd.store.db.markers import FULL_PUSH_DUE, PORTAL_BACK, PORTAL_REPLAYED, PORTAL_SEEN, load_markers, save_marker
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, encode_json
from syncd.store.plans.changes import Plans
from syncd.store.plans.past_statements import (
    BLOCKS,
    LICENCE_BLOCKS,
    LOST_FIELDS,
    LOST_LICENCES,
    LOST_LINKS,
    LOST_RECORDS,
    VANISHED_FIELDS,
)
from syncd.store.plans.sign_statements import SAMPLE_DELETED, SAMPLE_MADE, SIGNS
from syncd.store.plans.stated_statements import STATED_REMOVALS

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE = 1000

Lost = tuple[Placed, frozenset[str]]
"""The last write of something that the portal has lost; of an update with the fields that are lost."""


class Past(StorePart):
    """Its methods are called in the store's thread."""

    @in_thread
    def load_seen(self) -> datetime | None:
        """Return when a full reading last found the portal as it should be."""
        return self._load_time(PORTAL_SEEN)

    @in_thread
    def count_signs(self, *, most: int) -> int:
        """Return how much of the portal is not as we left it; of each kind of sign up to ``most`` are counted.

        That takes a fraction of what comparing all of our history does, and is 0 in the life of every day.
        """
        return int(self._database.load_value(SIGNS, {**self._ask(), "most": most}) or 0)

    @in_thread
    def load_blocks(self, *, licences: bool) -> tuple[list[Block], list[PutBack]]:
        """Return what the portal lost and kept of all last writes, in blocks, and what of it put back older ones.

        ``licences``: they were read just now.
        """
        asked = self._ask()
        statements = (*BLOCKS, LICENCE_BLOCKS) if licences else BLOCKS
        blocks, put_back = list[Block](), list[PutBack]()
        for statement in statements:
            found = dict[tuple[int, int, int], Block]()
            for row in self._database.load_rows(statement, asked):
                place = (row.run_id, row.phase, row.part)
                block = Block(run_id=row.run_id, at=row.at, lost=int(row.lost), kept=int(row.kept), records=row.records)
                found[place] = block if place not in found else found[place] + block
                if row.undone is not None:
                    put_back.append(PutBack(undone=row.undone, made=row.made, run_id=row.run_id, number=block.kept))
            blocks.extend(found.values())
        return blocks, put_back

    @in_thread
    def note_found(self, found: Restored | None, *, now: datetime) -> None:
        """Remember what a full reading found: the portal as it should be, or gone back in time."""
        with self._database.transaction() as connection:
            if found is None:
                save_marker(connection, PORTAL_SEEN, now.isoformat())
                save_marker(connection, PORTAL_BACK, None)
                return
            value = {"since": found.since.isoformat(), "lost": found.lost, "written": found.written}
            save_marker(connection, PORTAL_BACK, encode_json(value))
            save_marker(connection, FULL_PUSH_DUE, "yes")

    @in_thread
    def load_found(self) -> Restored | None:
        """Return how the portal was last found gone back in time; None: it was not, or that is settled."""
        text = load_markers(self._database, PORTAL_BACK).get(PORTAL_BACK)
        if text is None:
            return None
        value = decode_json(text)
        return Restored(datetime.fromisoformat(value["since"]), value["lost"], value["written"])

    @in_thread
    def settle(self, *, now: datetime) -> None:
        """What was lost was written again, or a person let it go: what was written until now says nothing any more."""
        with self._database.transaction() as connection:
            save_marker(connection, PORTAL_REPLAYED, now.isoformat())
            save_marker(connection, PORTAL_BACK, None)
            save_marker(connection, FULL_PUSH_DUE, "yes")

    def load_stated_removals(self, run_id: int, since: datetime) -> set[int]:
        """Return which removals of a plan may be done in a portal that went back to ``since``, as places in the plan.

        A leaver or whoever left a group by the word of the tenant loses the place, a leaver the licence; where both
        records were then whose they are today, and nobody else is to have that account.
        """
        return set(self._database.load_values(STATED_REMOVALS, {"run": run_id, "since": since}))

    # ---- what was lost ----------------------------------------------------------------------------------------------

    def iterate_lost(self, since: datetime, *, licences: bool) -> Iterator[list[Lost]]:
        """Yield the last writes since a moment that the portal has lost, in the order of a plan, in chunks."""
        asked = {**self._ask(), "since": since}
        fields: dict[tuple[int, int], set[str]] = {}
        for (_, name), statement in LOST_FIELDS.items():
            for run_id, seq in self._database.load_rows(statement, asked):
                fields.setdefault((run_id, seq), set()).add(name)
        yield from self._load_places(sorted(fields), fields)
        rest = (*LOST_RECORDS.values(), *LOST_LINKS.values(), *((LOST_LICENCES,) if licences else ()))
        for statement in rest:
            yield from self._load_places([(row[0], row[1]) for row in self._database.load_rows(statement, asked)], {})

    def _load_places(
        self, places: Sequence[tuple[int, int]], fields: Mapping[tuple[int, int], set[str]]
    ) -> Iterator[list[Lost]]:
        plans = Plans(self._database)
        for run_id, group in groupby(places, key=lambda place: place[0]):
            seqs = [seq for _, seq in group]
            for start in range(0, len(seqs), _AT_ONCE):
                loaded = plans.load_places(run_id, seqs[start : start + _AT_ONCE])
                yield [(placed, frozenset(fields.get((run_id, placed[0].seq), ()))) for placed in loaded]

    def load_vanished_fields(self, records: Collection[int]) -> dict[int, dict[str, str | None]]:
        """Return the values of records that are gone, as they were last written."""
        rows = self._database.load_rows(VANISHED_FIELDS, {"keys": records}) if records else ()
        return {row.key: decode_json(row.fields) for row in rows}

    # ---- a look at a few --------------------------------------------------------------------------------------------

    @in_thread
    def load_sample(self, most: int) -> tuple[list[str], list[str]]:
        """Return BPS ids of the accounts that were made last and are there, and of those that were deleted last."""
        made, deleted = (
            self._database.load_values(statement, {"most": most}) for statement in (SAMPLE_MADE, SAMPLE_DELETED)
        )
        return made, deleted

    def _ask(self) -> dict[str, Any]:
        return {
            "seen": self._load_time(PORTAL_SEEN) or _LONG_AGO,
            "replayed": self._load_time(PORTAL_REPLAYED) or _LONG_AGO,
        }

    def _load_time(self, name: str) -> datetime | None:
        text = load_markers(self._database, name).get(name)
        return None if text is None else datetime.fromisoformat(text)

"""Walking along the chain of run records: does each run still look as it did when it ended?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Text, bindparam, func, select, text, type_coerce

from syncd.model.chain import OPEN_STATUSES, SETTLED_STATUS, Break, Entry, Verdict, digest_content, hash_entry
from syncd.store.db.database import reading
from syncd.store.db.part import StorePart
from syncd.store.runs.chain import RUN, SELECT_SETTLED, STOOD, Standing, digest_run, digest_settled
from syncd.store.schema.tables import changes, run_chain, runs, settlements

_AT_ONCE = 500


class Chain(StorePart):
    """Its methods are called by commands."""

    def verify(self, noted: str | None = None) -> Verdict:
        """Walk along the whole chain, beside a daemon at work too; ``noted``: a hash that should be in it."""
        with reading(self._database) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            return _Walk(connection, noted).go()

    def load_head(self) -> str:
        """Return the hash of the last entry, empty when there is none."""
        return str(self._database.load_value(_SELECT_HEAD) or "")


class _Walk:
    """One walk, in one look at the store."""

    def __init__(self, connection: Connection, noted: str | None) -> None:
        self._connection = connection
        self._verdict = Verdict()
        self._noted = None if noted is None else noted.strip().lower()
        self._let_go: list[list[int]] = []
        self._anchors: set[str] = set()
        self._begins_at = 0
        self._met: set[int] = set()

    def go(self) -> Verdict:
        verdict = self._verdict
        self._gather_content()
        if self._noted is not None:
            verdict.has_noted = self._noted in self._anchors
        previous: str | None = None
        for entry in self._iterate():
            verdict.entries += 1
            if self._noted is not None and entry.hash == self._noted:
                verdict.has_noted = True
            self._check_link(entry, previous)
            previous = entry.hash
            if entry.kind == "run":
                self._check_run(entry)
            elif entry.kind == "settled":
                self._check_settled(entry)
            elif digest_content(entry.content) != entry.digest:
                self._break(entry.run_id, f"entry {entry.seq} of the chain ({entry.kind}) was changed")
        verdict.head = previous or ""
        if previous is None:
            self._break(None, "the chain itself is gone")
        self._check_runs()
        verdict.pending = self._connection.scalar(_COUNT_PENDING) or 0
        verdict.broken.sort(key=lambda each: (each.run_id is None, each.run_id or 0))
        return verdict

    def _break(self, run_id: int | None, what: str) -> None:
        self._verdict.broken.append(Break(run_id, what))

    def _gather_content(self) -> None:
        """Read what entries say of themselves: where the chain begins, and what retention let go."""
        for kind, content in self._connection.execute(_SELECT_CONTENT):
            try:
                said: dict[str, Any] = json.loads(content)
                if kind == "pruned":
                    self._let_go += said["runs"]
                elif kind == "anchor":
                    self._anchors.add(said["hash"])
                if kind != "pruned":
                    self._begins_at = max(self._begins_at, said["unhashed"])
            except (ValueError, KeyError, TypeError):
                continue  # its digest tells that it was changed

    def _iterate(self) -> Iterator[Entry]:
        after = 0
        while rows := self._connection.execute(_SELECT_ENTRIES, {"after": after}).all():
            for row in rows:
                yield Entry(
                    seq=row.seq, kind=row.kind, run_id=row.run_id, digest=row.digest, previous=row.previous,
                    hash=row.hash, content=row.content,
                )  # fmt: skip
            after = rows[-1].seq

    def _check_link(self, entry: Entry, previous: str | None) -> None:
        about = f"entry {entry.seq} of the chain"
        if previous is None:
            whole = entry.kind == "begin" and entry.previous == ""
            if not whole and entry.previous not in self._anchors:
                self._break(entry.run_id, f"what was before {about} is gone, and no retention let it go")
        elif entry.previous != previous:
            self._break(entry.run_id, f"{about} does not follow the one before: one was removed, inserted or changed")
        made = hash_entry(previous=entry.previous, kind=entry.kind, run_id=entry.run_id, digest=entry.digest)
        if made != entry.hash:
            self._break(entry.run_id, f"{about} was changed")

    def _is_let_go(self, run_id: int | None) -> bool:
        return run_id is not None and any(first <= run_id <= last for first, last in self._let_go)

    def _check_run(self, entry: Entry) -> None:
        run_id = entry.run_id
        if run_id is None or run_id in self._met:
            self._break(run_id, f"entry {entry.seq} of the chain is about no run, or about one that has an entry")
            return
        self._met.add(run_id)
        if self._is_let_go(run_id):
            self._verdict.pruned += 1
            return
        run = self._connection.execute(_SELECT_RUN, {"run": run_id}).first()
        if run is None:
            self._break(run_id, "its record was removed, and no retention let it go")
            return
        stood = {
            row.seq: (row.status, row.error_cause, row.error)
            for row in self._connection.execute(STOOD, {"run": run_id})
        }
        self._verdict.first = run_id if self._verdict.first is None else self._verdict.first
        digest = digest_run(self._connection, run, with_changes=True, stood=stood)
        if digest != entry.digest:
            self._break(run_id, "its record, a change or an outcome was changed, removed or inserted since it ended")
        elif self._is_settled_wrongly(run_id, stood):
            self._break(run_id, "a change that it left open was changed to something that no later run makes of it")
        else:
            self._verdict.checked += 1

    def _is_settled_wrongly(self, run_id: int, stood: Mapping[int, Standing]) -> bool:
        """Return whether a change that was open stands neither as it did nor as dropped."""
        if not stood:
            return False
        now = self._connection.execute(_SELECT_STANDING, {"run": run_id})
        return any(
            row.status != SETTLED_STATUS and (row.status, row.error_cause, row.error) != stood[row.seq] for row in now
        )

    def _check_settled(self, entry: Entry) -> None:
        if self._is_let_go(entry.run_id):
            return
        rows = list(self._connection.execute(SELECT_SETTLED, {"run": entry.run_id, "entry": entry.seq}))
        if digest_settled(rows) != entry.digest:
            self._break(entry.run_id, "what became later of a change that it had left open was changed")

    def _check_runs(self) -> None:
        """Look for runs that have ended and that no entry knows."""
        for run_id in self._connection.scalars(_SELECT_ENDED_RUNS):
            if run_id in self._met or self._is_let_go(run_id):
                continue
            if run_id <= self._begins_at:
                self._verdict.unhashed += 1
            else:
                self._break(run_id, "no entry of the chain knows it: its record was inserted, or its entry was removed")


# ---- statements -----------------------------------------------------------------------------------------------------

_SELECT_HEAD = select(run_chain.c.hash).order_by(run_chain.c.seq.desc()).limit(1)
_SELECT_ENTRIES = (
    select(run_chain).where(run_chain.c.seq > bindparam("after")).order_by(run_chain.c.seq).limit(_AT_ONCE)
)
_SELECT_CONTENT = select(run_chain.c.kind, run_chain.c.content).where(run_chain.c.content != "")
_SELECT_RUN = select(*RUN).where(runs.c.id == bindparam("run"))
_SELECT_ENDED_RUNS = select(runs.c.id).where(runs.c.status != "running").order_by(runs.c.id)
_WITH_CHANGE = (changes.c.run_id == settlements.c.run_id) & (changes.c.seq == settlements.c.seq)
_SELECT_STANDING = (
    select(changes.c.seq, changes.c.status, changes.c.error_cause, type_coerce(changes.c.error, Text).label("error"))
    .join(settlements, _WITH_CHANGE)
    .where(settlements.c.run_id == bindparam("run"))
)
_COUNT_PENDING = (
    select(func.count())
    .select_from(settlements.join(changes, _WITH_CHANGE))
    .where(settlements.c.entry.is_(None), changes.c.status == SETTLED_STATUS, settlements.c.status.in_(OPEN_STATUSES))
)

"""How much of what a run holds a decision means, in numbers, and a mark that changes when any of it does."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from syncd.model.run import Approval
from syncd.store.db.database import Database, reading
from syncd.store.decisions.approvals import identify_held, load_held


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCount:
    """``kinds``: changes by action and object; ``people``: how many people and groups they concern."""

    number: int
    people: int
    kinds: Mapping[tuple[str, str], int]
    names: tuple[str, ...]
    mark: str


_NAMED = 12


def count_meant(database: Database, approval: Approval) -> HeldCount:
    """Return what a decision means of what is held now."""
    with reading(database) as connection:
        rows = [
            row
            for row in load_held(connection, approval.run_id)
            if approval.covers(row.action, row.record_id, row.target_id or row.target)
        ]
    kinds = Counter((row.action, row.object) for row in rows)
    people = {row.target_id or row.record_id for row in rows}
    shown = repr(sorted((row.seq, *map(str, identify_held(row))) for row in rows))
    digest = hashlib.sha256(f"{approval.run_id} {approval.actions} {approval.only} {shown}".encode())
    return HeldCount(
        number=len(rows),
        people=len(people),
        kinds=dict(kinds.most_common()),
        names=tuple(sorted(people))[:_NAMED],
        mark=digest.hexdigest()[:32],
    )

"""How much of what a run holds a decision means, in numbers, and a mark that changes when any of it does."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select

from syncd.model.run import Approval
from syncd.store.db.database import Database
from syncd.store.db.parameters import gather, read_gathered
from syncd.store.db.sql import encode_rows
from syncd.store.schema.tables import changes, target_principals


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
    """Return what a decision means of what is held now.

    Thousands of changes are read as one value, since a row of each would cost more than all the rest.
    """
    rows = read_gathered(database.load_value(_SELECT_HELD, {"run": approval.run_id}))
    if approval.actions or approval.only:
        rows = [row for row in rows if approval.covers(row[1], row[3], row[4])]
    people = {row[4] if row[5] else row[3] for row in rows}
    digest = hashlib.sha256(f"{approval.run_id} {approval.actions} {approval.only} ".encode() + encode_rows(rows))
    return HeldCount(
        number=len(rows),
        people=len(people),
        kinds=dict(Counter((row[1], row[2]) for row in rows).most_common()),
        names=tuple(sorted(people))[:_NAMED],
        mark=digest.hexdigest()[:32],
    )


# ---- statements -----------------------------------------------------------------------------------------------------

_MEMBER = target_principals.alias("member")
_SELECT_HELD = gather(
    # What is done to what, and the values before and after: `approvals.identify_held`. Beside it names to choose by.
    select(
        changes.c.seq,
        changes.c.action,
        changes.c.object,
        target_principals.c.bps_id,
        func.coalesce(_MEMBER.c.bps_id, changes.c.target).label("other"),
        _MEMBER.c.key.label("member"),
        changes.c.record_key,
        changes.c.target_key,
        changes.c.before,
        changes.c.after,
    )
    .select_from(changes)
    .join(target_principals, target_principals.c.key == changes.c.record_key)
    .outerjoin(_MEMBER, _MEMBER.c.key == changes.c.target_key)
    .where(changes.c.run_id == bindparam("run"), changes.c.status == "held")
    .order_by(changes.c.seq)
)

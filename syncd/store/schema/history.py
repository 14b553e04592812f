"""Who was where: what is over, with both ends; licences and records also while they last.

A membership or ownership that is there has its beginning in the inventory, so that a first push of hundreds of
thousands writes no second row for each. A NULL as the moment of a beginning: before the history began.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Table, Text

from syncd.store.schema.types import Key, UtcTime, metadata


def _make_ends(*, over: bool) -> list[Column[Any]]:
    """Return the columns of both ends: when, in which run, why, and what had started that run."""
    return [
        Column("came_at", UtcTime),
        Column("came_run", Key),
        Column("came_cause", Text),  # a Cause, or a Turn
        Column("came_by", Text),  # the trigger of the run
        Column("went_at", UtcTime, nullable=not over),
        Column("went_run", Key),
        Column("went_cause", Text),
        Column("went_by", Text),
    ]


link_history = Table(
    "link_history",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("object", Text, nullable=False),  # membership, ownership
    Column("group_key", Key, nullable=False),
    Column("member_key", Key, nullable=False),
    *_make_ends(over=True),
    Index("ix_link_history_group_key", "group_key"),
    Index("ix_link_history_member_key", "member_key"),
    Index("ix_link_history_went_at", "went_at"),
)

licence_history = Table(
    "licence_history",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("holder_key", Key, nullable=False),
    Column("type", Text, nullable=False),
    *_make_ends(over=False),
    Index("ix_licence_history_holder_key", "holder_key"),
    Index("ix_licence_history_went_at", "went_at"),
)

record_history = Table(  # a row for each time in which a record of ours had one owner and was left for one reason
    "record_history",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("object", Text, nullable=False),  # user, group
    Column("record_key", Key, nullable=False),
    Column("source_key", Key),
    Column("origin", Text, nullable=False),
    Column("leaving_as", Text),
    Column("name", Text),  # as it was when that time began
    *_make_ends(over=False),
    Index("ix_record_history_record_key", "record_key"),
    Index("ix_record_history_source_key", "source_key"),
    Index("ix_record_history_went_at", "went_at"),
)

"""The chain of run records: a hash for each run that ends, over its record and its changes and over the hash before."""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UNSETTLED = sa.text("entry IS NULL")


def upgrade() -> None:
    """Add two tables, and the entry with which the chain begins: it names the last run that is in no chain."""
    op.create_table(
        "run_chain",
        sa.Column("seq", Key, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("run_id", Key, nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_run_chain")),
    )
    op.create_index("ix_run_chain_run_id", "run_chain", ["run_id"])
    op.create_table(
        "settlements",
        sa.Column("run_id", Key, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error_cause", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("entry", Key, nullable=True),
        sa.PrimaryKeyConstraint("run_id", "seq", name=op.f("pk_settlements")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_settlements_unsettled", "settlements", ["run_id"], sqlite_where=UNSETTLED, postgresql_where=UNSETTLED
    )
    last = op.get_bind().scalar(sa.text("SELECT coalesce(max(id), 0) FROM runs"))
    content = json.dumps({"unhashed": last}, separators=(",", ":"))
    digest = hashlib.sha256(content.encode()).hexdigest()
    text = json.dumps(["", "begin", None, digest], separators=(",", ":"))
    chain = sa.table("run_chain", *(sa.column(name) for name in ("kind", "content", "digest", "previous", "hash")))
    op.execute(
        chain.insert().values(
            kind="begin",
            content=content,
            digest=digest,
            previous="",
            hash=hashlib.sha256(text.encode()).hexdigest(),
        )
    )

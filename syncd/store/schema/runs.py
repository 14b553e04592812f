"""Runs, their changes and outcomes, and what people and failures made of them."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, SmallInteger, Table, Text, text

from syncd.store.schema.types import ErrorText, Key, UtcTime, metadata

RUNNING = text("status = 'running'")
"""The one run that goes on, if any: found by these very words."""

runs = Table(
    "runs",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("counts", Text, nullable=False),
    Column("phases", Text, nullable=False),
    Column("error", ErrorText, nullable=False),
    Column("proof", Text),  # JSON: what the completeness of a full read rests on
    Index("ix_runs_running", "id", sqlite_where=RUNNING),
    Index("ix_runs_finished_at", "finished_at"),
)

changes = Table(
    "changes",
    metadata,
    Column("run_id", Key, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("phase", SmallInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("record_key", Key, nullable=False),  # principal written to
    Column("target_key", Key),  # principal of the member; negative: stands for a type of licence
    Column("target", Text, nullable=False),  # what is no principal: the type of a licence
    Column("source_key", Key),
    Column("before", Text),
    Column("after", Text),
    Column("cause", Text, nullable=False, server_default=""),  # a Cause; beside it the sentence
    Column("reason", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("error_cause", Text, nullable=False, server_default=""),
    Column("error", ErrorText, nullable=False),
    Column("finished_at", UtcTime),
    Column("held_since", Key),  # held: the run that held it first, NULL for this one; approved: the run that held it
    Column("held_seq", Integer),  # approved: its place in the plan of that run
    Column("wave", SmallInteger),  # NULL: the plan goes at once
    PrimaryKeyConstraint("run_id", "seq"),
    Index("ix_changes_record_key", "record_key"),
    Index("ix_changes_target_key", "target_key"),
    sqlite_with_rowid=False,
)

UNSETTLED = text("entry IS NULL")
"""What no later entry of the chain says yet: found by these very words."""

run_chain = Table(  # see model.chain
    "run_chain",
    metadata,
    Column("seq", Key, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("run_id", Key),
    Column("content", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index("ix_run_chain_run_id", "run_id"),
)

settlements = Table(  # how changes stood when their run ended that may be settled later
    "settlements",
    metadata,
    Column("run_id", Key, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("error_cause", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("entry", Key),  # the entry that says what became of it
    PrimaryKeyConstraint("run_id", "seq"),
    Index("ix_settlements_unsettled", "run_id", sqlite_where=UNSETTLED),
    sqlite_with_rowid=False,
)

wave_people = Table(  # while a plan goes in waves: whom it concerns, in their order
    "wave_people",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=False),  # principal key
    Column("person", Key, nullable=False),  # source key; negative: the principal's own
    Column("place", Integer, nullable=False),
    Column("wave", SmallInteger),
    Index("ix_wave_people_person", "person"),
)

day_counts = Table(  # what the runs of the last 24 hours did
    "day_counts",
    metadata,
    Column("run_id", Key, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", UtcTime, nullable=False),
    PrimaryKeyConstraint("run_id", "action", "object"),
    sqlite_with_rowid=False,
)

failures = Table(
    "failures",
    metadata,
    Column("record_key", Key, nullable=False),
    Column("target_key", Key, nullable=False),  # 0: the record itself
    Column("object", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_at", UtcTime, nullable=False),
    Column("next_at", UtcTime, nullable=False),
    Column("cause", Text, nullable=False, server_default=""),
    Column("error", ErrorText, nullable=False),
    PrimaryKeyConstraint("record_key", "target_key", "object"),
    Index("ix_failures_next_at", "next_at"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("run_id", Key, nullable=False),  # the run whose held changes are released
    Column("actions", Text, nullable=False),  # JSON lists; empty: all
    Column("only", Text, nullable=False),
    Column("result_run", Key),  # the run that carried it out
    Column("decision", Key),  # the decision that it carries out
)

decision_records = Table(  # who decided what about held changes; kept as long as the run that it is about
    "decision_records",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("decision", Text, nullable=False),  # approve, reject, withdraw
    Column("run_id", Key, nullable=False),  # the run that held the changes
    Column("actions", Text, nullable=False),  # JSON lists; empty: all
    Column("only", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("via", Text, nullable=False),  # command, console
    Column("decided_by", Text, nullable=False),
    Column("person_id", Text, nullable=False),  # object id of who signed in; empty for a command
    Column("decided_at", UtcTime, nullable=False),
    Column("number", Integer),  # of changes, where that is known at once
    Column("result_run", Key),  # the run that carried it out
    Index("ix_decision_records_run_id", "run_id"),
    Index("ix_decision_records_result_run", "result_run"),
)

console_sessions = Table(  # who is signed in to the console
    "console_sessions",
    metadata,
    Column("id_hash", Text, primary_key=True),
    Column("person_id", Text, nullable=False),
    Column("login", Text, nullable=False),
    Column("role", Text, nullable=False),  # viewer, approver
    Column("created_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Index("ix_console_sessions_seen_at", "seen_at"),
)

console_sign_ins = Table(  # sign-ins that have been begun and not ended
    "console_sign_ins",
    metadata,
    Column("state_hash", Text, primary_key=True),
    Column("browser_hash", Text, nullable=False),
    Column("flow", Text, nullable=False),
    Column("begun_at", UtcTime, nullable=False),
)

asked_runs = Table(  # runs that somebody asked the working daemon for
    "asked_runs",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),  # a run (full, delta), or a question (plan none, plan delta, drift)
    Column("asked_by", Text, nullable=False),
    Column("asked_at", UtcTime, nullable=False),
    Column("rules", Text, nullable=False, server_default=""),  # a question is about these rules; a hash
    Column("result_run", Key),  # the run that serves it
    Column("refused", Text),  # why none does
    Index("ix_asked_runs_result_run", "result_run"),
)

daemons = Table(  # those that are up, as far as they said lately
    "daemons",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),  # working, standby
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("next_full", UtcTime),
    Column("next_delta", UtcTime),
)

pauses = Table(  # nothing is planned for these until a day
    "pauses",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("source_key", Key),  # the person or group; NULL: a record that no source object has
    Column("record_key", Key),  # principal of that record
    Column("until", UtcTime, nullable=False),
    Column("reason", Text, nullable=False),
    Column("paused_by", Text, nullable=False),
    Column("paused_at", UtcTime, nullable=False),
    Index("ix_pauses_until", "until"),
)

bindings = Table(  # records that somebody bound to a person or group, whatever the mapping says
    "bindings",
    metadata,
    Column("source_key", Key, primary_key=True, autoincrement=False),
    Column("record_key", Key, nullable=False, unique=True),
    Column("bound_by", Text, nullable=False),
    Column("bound_at", UtcTime, nullable=False),
)

rejections = Table(
    "rejections",
    metadata,
    Column("record_key", Key, nullable=False),
    Column("target_key", Key, nullable=False),  # 0: the record itself
    Column("object", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("run_id", Key, nullable=False),
    PrimaryKeyConstraint("record_key", "target_key", "object", "action"),
)

facts = Table(
    "facts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

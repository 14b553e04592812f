"""What the store of a world is asked, and which questions walk through a table that grows with the company."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from tests.fakes.world import World

GROWING = {
    "source_objects", "source_users", "source_groups", "source_members", "source_owners", "scope_members",
    "desired_users", "desired_groups", "target_principals", "target_users", "target_groups", "target_members",
    "target_owners", "target_licences", "changes", "link_history", "licence_history", "record_history", "settlements",
}  # fmt: skip
OF_FEW = {
    "ix_source_users_parked", "ix_source_groups_parked", "ix_source_groups_reread", "ix_desired_groups_skipped",
    "ix_target_users_waiting", "ix_target_groups_waiting", "ix_target_users_leaving_at", "ix_target_groups_leaving_at",
    "ix_settlements_unsettled",  # what is open of the last days
    "ix_target_licences_origin",  # seats are counted when licences change hands, from the index alone
}  # fmt: skip
"""Indexes that hold exceptions only: a walk through one of them is short in a company of any size."""
KNOWN = (
    "FROM source_groups AS child JOIN source_members ON",  # the nesting: a probe per group, when a scope is nested
    "SELECT count(*) AS count_1 FROM (SELECT ? AS anon_2 FROM target_",  # the guard, up to a limit
    "SELECT count(*) AS count_1 FROM source_groups WHERE",  # how many groups a sample is of: four times a day
    'SELECT source_groups."key" FROM source_groups WHERE source_groups.state = ? AND source_groups."key"',  # the sample
    'WHERE source_users."key" >= ? AND source_users.state = ? ORDER BY',  # whether anybody is left: ends at the first
    "AND (source_users.attributes NOT LIKE",  # whether any of them is not disabled: ends at the first as well
    'WHERE source_users."key" >= ? ORDER BY source_users."key" LIMIT ? OFFSET ?',  # whether there is a 21st
    'WHERE source_groups."key" >= ? AND source_groups.state = ? ORDER BY',  # whether a group is left
)


@contextmanager
def listening(world: World) -> Iterator[list[tuple[str, Any]]]:
    """Gather the statements that the store is asked, with their parameters."""
    heard: list[tuple[str, Any]] = []

    def hear(_one: object, _two: object, statement: str, parameters: Any, _three: object, many: bool) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")):
            heard.append((statement, parameters[0] if many else parameters))

    event.listen(world.database.engine, "before_cursor_execute", hear)
    try:
        yield heard
    finally:
        event.remove(world.database.engine, "before_cursor_execute", hear)


def find_walks(world: World, heard: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Return the statements that walk through a growing table, each with what SQLite says of it."""
    found = list[tuple[str, str]]()
    with world.database.engine.connect() as connection:
        for statement, parameters in dict(heard).items():
            names = {alias: table for table, alias in re.findall(r"(\w+) AS (\w+)", statement)}
            if any(known in " ".join(statement.split()) for known in KNOWN):
                continue
            rows = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters).all()
            found += [(row[3], statement) for row in rows if is_walk(row[3], names)]
    return found


def explain_queries(world: World, heard: list[tuple[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return statements, each with what SQLite says about how it finds its rows."""
    with world.database.engine.connect() as connection:
        return [
            (statement, [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)])
            for statement, parameters in dict(heard).items()
        ]


def is_walk(detail: str, names: dict[str, str]) -> bool:
    """Return whether a line of a query plan says that a growing table is read from end to end, or without a bound."""
    met = re.match(r"(?:SCAN|SEARCH) (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", detail)
    if met is None or names.get(met[1], met[1]) not in GROWING or met[2] in OF_FEW:
        return False
    return detail.startswith("SCAN") or re.search(r"\(\w+[<>]\?(?: AND \w+[<>]\?)?\)$", detail) is not None

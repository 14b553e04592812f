"""The plan file on disk: written beside a plan while nobody else works on the store, and opened to be applied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncd.cli.screen.unfinished import taking_place
from syncd.errors import UnusablePlanFile

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.plan.planfile import PlanFile
    from syncd.store.db.database import Database


def check_place(path: Path) -> None:
    """Refuse a place where no file can be written, before a long pull and not after it."""
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise click.BadParameter(f"{path.parent} is no folder that can be written to", param_hint="--out")


def write_plan(settings: Settings, database: Database, path: Path, run_id: int) -> None:
    """Write the plan of a run, readable by its owner alone since it names people; the file is there whole or not."""
    from syncd.bootstrap.rules import make_rules
    from syncd.bootstrap.sides import find_portal_address
    from syncd.cli.screen.output import format_time
    from syncd.clock import Clock
    from syncd.plan.planfile import Head, encode_plan
    from syncd.store.store import Store

    proposed = Store(database).plan_files
    head = Head(
        find_portal_address(settings),
        run_id,
        format_time(Clock().now()) or "",
        make_rules(settings).fingerprint(),
        Store(database).plan_files.load_directory_parts.blocking(),
    )
    records = (record for chunk in proposed.iterate_concerned(run_id, ("planned", "held")) for record in chunk)
    with taking_place(path) as unfinished, unfinished.open("wb") as file:
        file.writelines(encode_plan(head, records, proposed.iterate_file_changes(run_id)))


def open_plan_file(settings: Settings, path: Path) -> PlanFile:
    """Check a plan file from end to end and return it; a usage error says what is wrong with it."""
    from syncd.bootstrap.sides import find_portal_address
    from syncd.plan.planfile import open_plan

    def iterate_lines() -> Iterator[bytes]:
        with path.open("rb") as file:
            yield from file

    try:
        found = open_plan(iterate_lines)
    except UnusablePlanFile as error:
        raise click.BadParameter(f"{path} cannot be applied: {error}", param_hint="FILE") from error
    here = find_portal_address(settings)
    if found.head.portal != here:
        raise click.BadParameter(
            f"{path} was made for the portal at {found.head.portal}, and bps.portal_url is {here}", param_hint="FILE"
        )
    return found

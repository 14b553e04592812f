"""``syncd backup``: a consistent copy of the store, beside a working daemon."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import click

from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.output import print_json, print_line
from syncd.cli.screen.unfinished import taking_place


@click.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@shared_options
@pass_invocation
def backup(invocation: Invocation, *, file: Path) -> None:
    """Write a consistent copy of the store into FILE, beside a working daemon; only its owner may read it.

    Of SQLite the copy is a store by itself, of PostgreSQL a dump in its custom format, for pg_restore. FILE takes its
    place when the copy is whole and was looked through. A store that waits for 'syncd migrate' is copied as it is.

    \b
    Examples:
      syncd backup /var/backups/syncd.db
      syncd backup /var/backups/syncd.dump
    """
    from syncd.bootstrap.store import open_to_copy
    from syncd.store.db.backup import back_up
    from syncd.store.db.revision import load_revision

    if not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
        raise click.BadParameter(f"{file.parent} is no folder that can be written to", param_hint="FILE")
    with contextlib.closing(open_to_copy(invocation.start(need=STORE_ONLY))) as database:
        name = database.engine.url.database
        if database.dialect == "sqlite" and name and Path(name).resolve() == file.resolve():
            raise click.BadParameter(f"{file} is the store itself", param_hint="FILE")
        with taking_place(file) as unfinished:
            back_up(database, unfinished)
            size = unfinished.stat().st_size
        revision = load_revision(database)
    if invocation.json:
        print_json({"file": str(file), "bytes": size, "revision": revision})
    else:
        print_line(f"{file} has the store at revision {revision}: {size:,} bytes")

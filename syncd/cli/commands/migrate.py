"""``syncd migrate``: bring the store to the program's schema."""

from __future__ import annotations

import contextlib

import click

from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.output import print_json, print_line


@click.command("migrate")
@shared_options
@pass_invocation
def migrate(invocation: Invocation) -> None:
    """Bring the store to this program's schema, creating it where it is empty.

    A store that has it already is left alone, whoever works on it; any other is refused while another syncd works.

    \b
    Example:
      syncd migrate
    """
    from syncd.store.db.database import open_database
    from syncd.store.db.lock import StoreLock
    from syncd.store.db.revision import load_head, load_revision
    from syncd.store.db.revision import migrate as bring_up

    settings = invocation.start(need=STORE_ONLY)
    with contextlib.closing(open_database(settings.store.url.reveal())) as database:
        before = after = load_revision(database)
        if before != load_head():
            with StoreLock(database):
                before, after = bring_up(database)
    if invocation.json:
        print_json({"from": before, "to": after})
    elif before == after:
        print_line(f"The store is at revision {after} already.")
    else:
        print_line(f"The store was {f'at revision {before}' if before else 'empty'}, and is at revision {after} now.")

"""``syncd orphans``, ``link`` and ``release``: records that the tenant does not know, and whose they are."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.options import STORE_ONLY, Invocation, duration, name_person, pass_invocation, shared_options
from syncd.cli.screen.lists import Listing, list_options
from syncd.cli.screen.output import Stream, format_time, print_json, print_line
from syncd.cli.screen.pager import paged
from syncd.cli.screen.people import find_object
from syncd.clock import Clock
from syncd.model.kinds import RecordKind
from syncd.model.numbers import tell_number
from syncd.model.shell import quote_word

if TYPE_CHECKING:
    from syncd.store.db.database import Database
    from syncd.store.reports.orphans import Orphan

COLUMNS = (("class", 2), ("object", 2), ("bps id", 8), ("name", 6), ("would match", 6))
_CLASSES = ("ours", "would_match", "local", "machine")
_LOOK_SECONDS = 0.5

_wait = click.option(
    "--wait", type=duration, metavar="DURATION", help="Wait so long for the end of a run that goes on."
)


@click.command("orphans")
@click.option("--class", "orphan_class", type=click.Choice(_CLASSES), help="Only those of this class.")
@list_options
@shared_options
@pass_invocation
def orphans(invocation: Invocation, *, orphan_class: str | None, listing: Listing) -> None:
    """List what the portal has and the tenant does not know, in four classes.

    ours: made or adopted by syncd, and its person or group is gone or has another record. would_match: somebody in the
    tenant has the same address or name and no record; 'syncd link' binds them. local: made by hand or by another
    system. machine: an application's account. Neither side is asked.

    \b
    Examples:
      syncd orphans --class would_match
      syncd link ann@example.com legacy.ann@old.example
    """
    from syncd.bootstrap.store import open_store
    from syncd.store.reports.orphans import find_last_reading, iterate_orphans

    with contextlib.closing(open_store(invocation.start(need=STORE_ONLY, quiet=True), create=False)) as database:
        seen = find_last_reading(database)

        def iterate() -> Iterator[Orphan]:
            return (each for each in iterate_orphans(database) if orphan_class in (None, each.orphan_class))

        if invocation.json:
            print_json(
                Stream(
                    {
                        "object": each.kind,
                        "bps_id": each.bps_id,
                        "name": each.name,
                        "class": each.orphan_class,
                        "would_match": each.would_match or None,
                        "last_seen_at": format_time(seen),
                    }
                    for each in listing.take(iterate())
                )
            )
            return
        if listing.export([heading for heading, _ in COLUMNS], lambda: map(_make_row, iterate())):
            return
        counts = Counter(str(each.orphan_class) for each in iterate())
        when = "never read as a whole" if seen is None else f"read as a whole at {seen:%Y-%m-%d %H:%M} UTC"
        told = ", ".join(f"{name} {counts[name]:,}" for name in _CLASSES if counts[name])
        with paged():
            number = sum(counts.values())
            has = tell_number(number, "record")
            print_line(f"The portal, {when}, has {has} that the tenant does not know{told and f': {told}'}")
            if counts:
                listing.print(COLUMNS, map(_make_row, iterate()), total=sum(counts.values()), more=": use --limit")


def _make_row(each: Orphan) -> tuple[object, ...]:
    return each.orphan_class, each.kind, each.bps_id, each.name, each.would_match


@click.command("link")
@click.argument("who", metavar="WHO")
@click.argument("bps_id", metavar="BPSID")
@_wait
@shared_options
@pass_invocation
def link(invocation: Invocation, *, who: str, bps_id: str, wait: timedelta | None) -> None:
    """Bind the portal's record BPSID to the person or group WHO, whatever the mapping says: it is ours from now on.

    Nothing is sent. The next run writes the mapped values that are set, and puts memberships right, guarded as ever:
    'syncd plan none' shows what that would be. 'syncd release BPSID' takes it back.

    \b
    Example:
      syncd link ann@example.com legacy.ann@old.example
    """
    from syncd.bootstrap.store import open_store
    from syncd.store.store import Store

    settings = invocation.start(need=STORE_ONLY)
    with contextlib.closing(open_store(settings, create=False)) as database:
        store, found = Store(database), find_object(database, who)
        kind, record, spelled = _find_record(database, bps_id, found.kind)
        owned = store.decisions.load_owned(found.kind, found.key)
        if spelled in owned:
            if invocation.json:
                print_json({"bps_id": spelled, "who": who, "was_linked": True})
            else:
                print_line(f"{spelled} is the record of {who} already.")
            return
        if owned:
            let_go = f"'syncd release {quote_word(owned[0])}'"
            raise click.UsageError(f"{who} has a record, {owned[0]}: let go of it first, {let_go}")
        if record.origin is not None:
            raise click.UsageError(
                f"{spelled} is ours for somebody else: let go of it first, 'syncd release {quote_word(spelled)}'"
            )
        if spelled.casefold() in {name.casefold() for name in settings.scope.protect}:
            raise click.UsageError(f"{spelled} is on the protect list (scope.protect)")
        _decide(
            database,
            lambda: store.decisions.bind(
                kind, record=record.key, source=found.key, by=name_person(), now=Clock().now()
            ),
            wait,
        )
    if invocation.json:
        print_json({"bps_id": spelled, "who": who, "was_linked": False})
        return
    print_line(
        f"{spelled} is the record of {who} from now on. 'syncd plan none' shows what the next run does about it."
    )


@click.command("release")
@click.argument("bps_ids", nargs=-1, required=True, metavar="BPSID…")
@_wait
@shared_options
@pass_invocation
def release(invocation: Invocation, *, bps_ids: tuple[str, ...], wait: timedelta | None) -> None:
    """Forget that records are ours, without touching them in the portal; what rules granted counts as given by hand.

    Where the tenant still wants such a record, the next run plans to adopt it again, guarded by guard.max_adoptions.

    \b
    Example:
      syncd release robot@example.com shared.desk@example.com
    """
    from syncd.bootstrap.store import open_store
    from syncd.store.store import Store

    with contextlib.closing(open_store(invocation.start(need=STORE_ONLY), create=False)) as database:
        decisions = Store(database).decisions
        chosen: dict[RecordKind, dict[int, str]] = {"user": {}, "group": {}}
        for bps_id in bps_ids:
            kind, record, spelled = _find_record(database, bps_id)
            if record.origin is None:
                raise click.UsageError(f"{spelled} is not ours: there is nothing to let go of")
            chosen[kind][record.key] = spelled
        for kind, records in chosen.items():
            if records:
                _decide(
                    database,
                    partial(decisions.release, kind, records, now=Clock().now()),
                    wait,
                )
    let_go = [name for records in chosen.values() for name in records.values()]
    if invocation.json:
        print_json({"bps_ids": let_go})
    else:
        print_line(f"Let go of: {', '.join(let_go)}")


def _find_record(database: Database, bps_id: str, kind: RecordKind | None = None) -> tuple[RecordKind, Any, str]:
    """Return the portal's record of a BPS id; a usage error when there is none, of this kind."""
    from syncd.model.target import fold
    from syncd.store.store import Store

    found = Store(database).decisions.find_records(fold(bps_id.strip()))
    fitting = [each for each in found if kind in (None, each[0])]
    if not found:
        raise click.UsageError(f"the portal had no record '{bps_id}' when it was last read: 'syncd sync full' reads it")
    if not fitting:
        raise click.UsageError(f"'{bps_id}' is a {found[0][0]} of the portal, and no {kind}")
    return fitting[0][0], fitting[0][1], fitting[0][1].bps_id


def _decide(database: Database, decision: Callable[[], int | None], wait: timedelta | None) -> None:
    """Carry out a decision between two runs: at once, or when the one that goes on has ended in time."""
    import time

    from syncd.errors import StoreLocked
    from syncd.store.db.lock import StoreLock
    from syncd.store.store import Store

    clock = Clock()
    deadline = clock.monotonic() + (wait.total_seconds() if wait else 0.0)
    while (running := decision()) is not None:
        lock = StoreLock(database)
        if lock.try_acquire():  # nobody works: that run was left open by a crash
            try:
                import asyncio

                asyncio.run(Store(database).runs.interrupt_open())
            finally:
                lock.release()
            continue
        if clock.monotonic() >= deadline:
            raise StoreLocked(
                f"run {running} goes on, and nothing is decided in the middle of it: try again, or --wait 5m"
            )
        time.sleep(_LOOK_SECONDS)

"""``syncd drill``: play this configuration, on a copy of the company, through every fault of the catalogue."""

from __future__ import annotations

import signal
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from syncd.cli.options import Invocation, pass_invocation, shared_options
from syncd.errors import NotInstalled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.sandbox.drill.play import Scenario

_MADE_UP, _SAMPLE = 500, 5_000


@click.command("drill")
@click.option("--only", multiple=True, metavar="FAULT", help="Only this fault; may be repeated, or more may follow.")
@click.option(
    "--people",
    type=click.IntRange(min=25, max=100_000),
    help=f"At most so many people play.  [default: {_SAMPLE} of the stored company, {_MADE_UP} made-up ones]",
)
@click.option("--list", "listed", is_flag=True, help="List the faults, and play none.")
@click.argument("more", nargs=-1, metavar="[MORE]…")
@shared_options
@pass_invocation
def drill(
    invocation: Invocation, *, only: tuple[str, ...], people: int | None, listed: bool, more: tuple[str, ...]
) -> None:
    """Play this configuration through faults of both sides on the sandbox, and tell who would be removed by mistake.

    A copy of the stored company plays, under pseudonyms; without a store, a company that is made up. Neither side is
    asked, and the store is only read. Exit code 1 when anybody would have been removed by mistake, or the portal was
    not right in the end.

    \b
    Examples:
      syncd drill
      syncd drill --only cut-lists portal-down
      syncd drill --people 1000 --json
    """
    from syncd.cli.screen.optional import needing_sandbox

    try:
        with needing_sandbox("the drill plays on the sandbox, which is"):
            from syncd.bootstrap.drill.director import load_stored
            from syncd.bootstrap.drill.shares import Ended, Troupe
            from syncd.sandbox.drill.catalogue import CATALOGUE
    except NotInstalled as error:
        click.echo(f"syncd: {error}", err=True)
        raise click.exceptions.Exit(2) from None
    if more and not only:
        raise click.UsageError(f"{more[0]!r} stands alone: write --only {' '.join(more)}")
    scenarios = _choose(CATALOGUE, (*only, *more))
    if listed:
        _print_catalogue(scenarios, machine=invocation.json)
        return
    from syncd.bootstrap.drill.settings import list_weak
    from syncd.bootstrap.process import tune_process
    from syncd.cli.screen.drill import describe_report, print_report
    from syncd.cli.screen.output import print_json
    from syncd.cli.screen.progress import Aside, showing_progress
    from syncd.logs.pipe import configure_logs

    settings = invocation.load(need=frozenset(), whole=True)
    configure_logs(settings.log.format, "critical", sys.stderr)  # its runs are of no company, and not to be told
    tune_process()
    company = load_stored(settings, people=people or _SAMPLE)
    troupe = Troupe(settings, scenarios, people=people or _MADE_UP, company=company)
    try:
        with closing(troupe), showing_progress(Aside()) as tell:
            report = troupe.play(tell)
    except Ended:
        raise click.exceptions.Exit(128 + signal.SIGTERM) from None
    weak = list_weak(settings)
    if invocation.json:
        print_json(describe_report(report, weak=weak))
    else:
        print_report(report, weak=weak)
    if not report.passed_off_well:
        raise click.exceptions.Exit(1)


def _choose(catalogue: Sequence[Scenario], names: Sequence[str]) -> Sequence[Scenario]:
    known = [scenario.name for scenario in catalogue]
    for name in names:
        if name not in known:
            raise click.UsageError(f"there is no fault {name!r}; 'syncd drill --list' names them all")
    return [scenario for scenario in catalogue if not names or scenario.name in names]


def _print_catalogue(scenarios: Sequence[Scenario], *, machine: bool) -> None:
    from syncd.cli.screen.drill import tell_fault
    from syncd.cli.screen.output import Stream, print_json, print_table

    told = ((each.name, each.side, each.says, each.day.name if each.day else "") for each in scenarios)
    if machine:
        print_json(Stream(dict(zip(("fault", "side", "says", "day"), each, strict=True)) for each in told))
        return
    rows = ((name, tell_fault(side, says, day)) for name, side, says, day in told)
    print_table((("fault", 1), ("what happens", 4)), rows)

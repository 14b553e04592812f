"""``syncd apply``: carry out exactly the plan that ``syncd plan --out`` wrote."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from syncd.cli.options import Invocation, duration, pass_invocation, shared_options


@click.command("apply")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
@click.option(
    "--wait", type=duration, metavar="DURATION", help="Wait so long for another syncd that works on this store."
)
@shared_options
@pass_invocation
@click.pass_context
def apply(context: click.Context, invocation: Invocation, *, file: Path, wait: timedelta | None) -> None:
    """Apply exactly the plan that 'syncd plan --out FILE' wrote, or refuse because a side has changed since.

    The stored directory is compared and the portal's records concerned are read again; the tenant is not asked. What
    the plan held for approval stays held: approve it afterwards.

    \b
    Examples:
      syncd plan --out plan.jsonl
      syncd apply plan.jsonl
    """
    from syncd.bootstrap.store import open_store
    from syncd.cli.one_run import execute
    from syncd.cli.screen.output import print_json
    from syncd.cli.screen.plan_file import open_plan_file
    from syncd.cli.screen.runs import describe_run, explain_result, print_run
    from syncd.model.run import RunRequest, find_exit_code
    from syncd.sync.planning.proposal import FromFile

    settings = invocation.start()
    plan = open_plan_file(settings, file)
    database = open_store(settings, create=False)
    try:
        request = RunRequest(pull="none", trigger="cli", retry_failed=True)
        record = execute(settings, database, request, wait=wait, proposal=FromFile(plan))
        if invocation.json:
            print_json(describe_run(record))
        else:
            print_run(database, record)
    finally:
        database.close()
    explain_result(record)
    context.exit(find_exit_code(record))

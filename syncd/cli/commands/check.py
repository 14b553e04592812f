"""``syncd check``: try everything that a run needs, and show the configuration in force."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from syncd.cli.options import Invocation, pass_invocation, shared_options
from syncd.cli.screen.output import Stream, print_json, print_line, print_table

if TYPE_CHECKING:
    from syncd.config import Settings


@click.command("check")
@shared_options
@pass_invocation
@click.pass_context
def check(context: click.Context, invocation: Invocation) -> None:
    """Try configuration, store, tokens, permissions, scopes and clocks; nothing is changed on either side.

    Exit code 1 if anything failed, 2 if a rule about privileges names what nobody has. The table form also prints the
    configuration in force, with secrets masked.

    \b
    Examples:
      syncd check
      syncd check --json > check.json
    """
    from syncd.bootstrap.checks import check as try_everything
    from syncd.bootstrap.process import tune_process
    from syncd.clock import Clock

    settings = invocation.start()
    tune_process()
    checks = asyncio.run(try_everything(settings, Clock()))
    if invocation.json:
        print_json(
            Stream(
                {"check": item.check, "status": item.status, "detail": item.detail, "remedy": item.remedy or None}
                for item in checks
            )
        )
    else:
        _print_settings(settings)
        print_line()
        print_table(
            (("check", 0), ("status", 2), ("detail", 10), ("remedy", 8)),
            ((item.check, item.status, item.detail, item.remedy) for item in checks),
        )
    if any(item.misnamed for item in checks):
        context.exit(2)
    context.exit(1 if any(item.status == "failed" for item in checks) else 0)


def _print_settings(settings: Settings) -> None:
    """Print each section with its keys as they would stand in a file."""
    for section, keys in settings.effective().items():
        source = settings.source.get(section, "")
        print_line(f"[{section}]{f'  # {source}' if source else ''}")
        if isinstance(keys, Mapping):
            for name, value in _flatten(keys):
                print_line(f"  {name} = {json.dumps(value, ensure_ascii=False)}")
        elif isinstance(keys, list):
            for rule in keys:
                print_line(f"  {json.dumps(rule, ensure_ascii=False)}")


def _flatten(keys: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in keys.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif value is not None:
            yield prefix + name, value

"""``syncd sandbox``: run the imitation tenant and portal in the foreground.

The sandbox is an optional part of an installation: it is imported when it is asked for.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Literal

import click

from syncd.cli.options import Invocation, duration, pass_invocation, shared_options
from syncd.cli.screen.optional import needing_sandbox


@click.command("sandbox")
@click.option("--users", default=500, show_default=True, type=click.IntRange(min=0), help="People in the company.")
@click.option("--groups", default=60, show_default=True, type=click.IntRange(min=0), help="Groups, big ones included.")
@click.option("--memberships", type=click.IntRange(min=0), help="Direct memberships.  [default: 6 for each person]")
@click.option("--big-groups", default=0, show_default=True, type=click.IntRange(min=0), help="Groups of 10,000.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same company, id for id.")
@click.option(
    "--directory",
    default=Path("sandbox"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where ca.pem, the secrets and syncd.toml are written.",
)
@click.option(
    "--port", default=0, show_default=True, type=click.IntRange(0, 65_532), help="First of four; 0: any free."
)
@click.option("--change-every", type=duration, help="Let the company change by itself this often.")
@click.option(
    "--portal-delay",
    default=2.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds until a write is seen.",
)
@click.option(
    "--latency",
    default=0.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Milliseconds added to every answer.",
)
@click.option("--for", "lifetime", default="1h", show_default=True, type=duration, help="Stop by itself after this.")
@click.option(
    "--ledger", default="full", show_default=True, type=click.Choice(["counters", "full"]), help="What is remembered."
)
@shared_options
@pass_invocation
def sandbox(
    invocation: Invocation,
    *,
    users: int,
    groups: int,
    memberships: int | None,
    big_groups: int,
    seed: int,
    directory: Path,
    port: int,
    change_every: timedelta | None,
    portal_delay: float,
    latency: float,
    lifetime: timedelta,
    ledger: Literal["counters", "full"],
) -> None:
    """Run an imitation Entra tenant and WEBCON BPS portal on this machine, over one invented company.

    Nothing leaves this machine. It prints the configuration that connects syncd to it, and how to let things happen
    in the tenant and to change the portal by hand, and stops on Ctrl-C. With --json it prints the addresses and where
    the configuration lies instead, on one line, and nothing else; --config and --log-level mean nothing to it.

    \b
    Examples:
      syncd sandbox
      syncd sandbox --users 500 --port 18440 --change-every 1m
    """
    with needing_sandbox("the sandbox is"):
        from syncd.cli.screen.sandbox import serve
        from syncd.sandbox.server import SandboxOptions
    options = SandboxOptions(
        users=users,
        groups=groups,
        memberships=6 * users if memberships is None else memberships,
        big_groups=min(big_groups, groups),
        seed=seed,
        port=port,
        portal_delay=portal_delay,
        latency=latency / 1000,
        ledger=ledger,
    )
    try:
        asyncio.run(
            serve(
                options,
                directory.absolute(),
                change_every=change_every,
                lifetime=lifetime,
                machine=invocation.json,
            )
        )
    except OSError as error:
        raise click.ClickException(f"the sandbox cannot start: {error}") from error

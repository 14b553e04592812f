"""The program ``syncd``: its commands, and the one place that turns errors into a sentence and an exit code.

=====  ==============================================================================================
code   meaning
=====  ==============================================================================================
0      done
1      failed
2      bad usage or configuration; the file is named (or where none was), then every problem, one per line
3      done in part
4      changes are held for approval
75     another syncd works on this store
130    interrupted (128 + signal after a second signal)
=====  ==============================================================================================

Commands are imported when they are asked for, so that a small one starts quickly.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn

import click

from syncd.cli.options import shared_options
from syncd.cli.screen.streams import leave
from syncd.errors import ConfigError, StoreLocked, SyncdError, UnknownObject

PURPOSES: Mapping[str, Mapping[str, str]] = {
    "Run": {
        "run": "daemon",
        "trigger": "trigger",
        "sync": "sync",
        "plan": "plan",
        "apply": "apply",
        "undo": "undo",
        "replay": "replay",
    },
    "Decide": {
        "held": "held",
        "approve": "held",
        "reject": "held",
        "drift": "drift",
        "pause": "pause",
        "resume": "pause",
        "link": "orphans",
        "release": "orphans",
    },
    "Look": {
        "status": "status",
        "users": "records",
        "groups": "records",
        "explain": "explain",
        "runs": "runs",
        "due": "due",
        "licences": "licences",
        "privileges": "privileges",
        "orphans": "orphans",
    },
    "Prove": {
        "drill": "drill",
        "who": "who",
        "certificate": "certificate",
        "verify": "verify",
    },
    "Set up": {
        "check": "check",
        "config": "config",
        "migrate": "migrate",
        "backup": "backup",
        "completion": "completion",
        "sandbox": "sandbox",
    },
}
"""Each command by its purpose, in the order of the help text, and the module of `commands` that has it."""
_COMMANDS = {name: module for commands in PURPOSES.values() for name, module in commands.items()}
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM})
"""What a disk says that takes nothing, to a command that writes a file: no defect of ours."""
_COLLECT_AFTER = 10_000
"""As in a long process: what is imported is in no cycle that would be worth a look."""
_SENTENCE = 200
"""Longer than the first sentence of any command, so that the help cuts none."""


class Program(click.Group):
    """The group of all commands; errors of ours end here."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - signature
        """Return the commands in the order of the manual."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - signature
        """Import a command."""
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = getattr(importlib.import_module(f"syncd.cli.commands.{module}"), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"syncd.cli.commands.{module}.{cmd_name} is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; for a word that is none the refusal names the one that is most like it."""
        if args[0] not in _COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(args[0].lower(), _COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by purpose, each with its first sentence as a whole."""
        for purpose, names in PURPOSES.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(purpose):
                formatter.write_dl([(name, each.get_short_help_str(_SENTENCE)) for name, each in found if each])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what syncd raises on purpose becomes a sentence and an exit code, never a traceback."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            lines = [*([error.where] if error.where else []), *error.problems]
            _refuse(ctx, [f"configuration: {line}" for line in lines], code=2)
        except UnknownObject as error:
            _refuse(ctx, [f"syncd: {error}"], code=2)
        except StoreLocked as error:
            _refuse(ctx, [f"syncd: {error}"], code=75)
        except SyncdError as error:
            _refuse(ctx, [f"syncd: {error}"], code=1)
        except OSError as error:
            if error.errno not in _DISK:
                raise
            where = f"{error.filename}: " if error.filename else ""
            _refuse(ctx, [f"syncd: {where}{os.strerror(error.errno)}; what was there before is as it was"], code=1)
        except KeyboardInterrupt:
            _refuse(ctx, ["syncd: interrupted"], code=130)


def _refuse(context: click.Context, lines: Sequence[str], *, code: int) -> NoReturn:
    from syncd.logs.redaction import redact_text

    for line in lines:
        click.echo(redact_text(" ".join(line.split()), personal=True), err=True)
    context.exit(code)


def _show_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    if not value:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"syncd {version('syncd')}")
    except PackageNotFoundError:
        click.echo("syncd, run from a source tree that is not installed")
    context.exit(0)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@shared_options
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Print it.")
def program() -> None:
    """Keep the users and groups of a WEBCON BPS portal in step with a Microsoft Entra tenant.

    \b
    Examples:
      syncd plan full                  see what would be done; nothing is written
      syncd sync full                  do it
      syncd status                     is all well, and what comes next?
      syncd explain ann@example.com    why is she (not) in the portal?
    """


def run() -> None:
    """Be the program: read the arguments of the process, and leave with the exit code."""
    sys.excepthook = _report_crash
    gc.set_threshold(_COLLECT_AFTER)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # nobody else reads settings, or is looked for
    leave(lambda: program(prog_name="syncd"))


def _report_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show the traceback of a defect, without secrets and people in it."""
    from syncd.logs.redaction import redact_text

    text = "".join(traceback.format_exception(kind, error, trace))
    click.echo(redact_text(text) + "syncd: this is a defect of syncd; please report it", err=True)


if __name__ == "__main__":
    run()

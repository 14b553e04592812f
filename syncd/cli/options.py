"""What every command understands: --config, --json and --log-level, before or after its name; and durations."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

import click

from syncd.clock import Clock
from syncd.model.sides import BOTH_SIDES

if TYPE_CHECKING:
    from syncd.config import Settings
    from syncd.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

STORE_ONLY = frozenset[str]()
"""For commands that look into the store and nowhere else: what is wrong with other settings does not stop them."""
_STORE_SECTIONS = frozenset({"store"})
_LEVELS = ("debug", "info", "warning", "error", "critical")
_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(slots=True)
class Invocation:
    """What was given on the command line, wherever it stood; the word nearest to the end wins."""

    config: Path | None = None
    json: bool = False
    log_level: str | None = None

    def load(self, *, need: frozenset[str] = BOTH_SIDES, whole: bool = False) -> Settings:
        """Return the settings; ConfigError with every problem. ``need``: the sides that the command talks to.

        ``whole``: every section must be right, also for a command that talks to neither side. Where a rule about
        privileges is wrong, a command that talks to a side asks both what else the rules name and nobody has.
        """
        from syncd.bootstrap.settings import read_settings
        from syncd.errors import ConfigError

        only = None if need or whole else _STORE_SECTIONS
        try:
            return read_settings(self.config, self._environ(), need=need, only=only)
        except ConfigError as error:
            raise (self.tell_all(error) if need else error) from None

    def tell_all(self, error: ConfigError) -> ConfigError:
        """Return a refusal with everything else that rules about privileges name and nobody has."""
        from syncd.bootstrap.rule_names import tell_all

        return tell_all(error, self.config, self._environ())

    def start(
        self, *, need: frozenset[str] = BOTH_SIDES, quiet: bool = False, refuse_privileges: bool = False
    ) -> Settings:
        """Return the settings of a one-shot command and send its log lines to stderr.

        ``quiet``: the command itself logs nothing, so that logs are configured when a library does.
        ``refuse_privileges``: rules about privileges must be right, also for a command that talks to neither side.

        On a terminal, where progress and result are shown, only warnings appear, and not the lines that say once more
        what the result says: how a run ended, and what a guard held. Whoever asks for a level gets them all.
        """
        settings = self.load(need=need)
        wrong = [problem for problem in settings.set_aside if problem.startswith("privileges")]
        if refuse_privileges and wrong:
            from syncd.errors import ConfigError

            raise self.tell_all(ConfigError(wrong, where=f"read from {settings.source['privileges']}"))
        if settings.set_aside:
            _warn_of(settings.set_aside)
        level, terminal = settings.log.level, sys.stderr.isatty()
        if self.log_level is None and terminal and level in ("debug", "info"):
            level = "warning"
        told = ("run.finished", "plan.held") if terminal and self.log_level is None else ()

        def configure() -> None:
            from syncd.logs.pipe import configure_logs

            configure_logs(settings.log.format, level, cast(TextIO, _PresentStderr()), left_out=told)

        if quiet:
            from syncd.logs.late import configure_late

            configure_late(level, configure)
        else:
            configure()
        return settings

    def _environ(self) -> Mapping[str, str]:
        if self.log_level is None:
            return os.environ
        return {**os.environ, "SYNCD_LOG__LEVEL": self.log_level}


def _warn_of(problems: Sequence[str]) -> None:
    count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
    click.echo(
        f"syncd: the configuration has {count} outside of [store] ('syncd check' lists them); the store is shown all "
        "the same, with defaults in place of the sections concerned",
        err=True,
    )


class _PresentStderr:
    """Whatever stderr is at this moment: a progress display takes it over while it is shown."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def shared_options(command: F) -> F:
    """Give a command the options that all commands have."""
    for option in (
        click.option(
            "--log-level",
            type=click.Choice(_LEVELS, case_sensitive=False),
            expose_value=False,
            callback=_remember,
            help="What to log, instead of log.level.",
        ),
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Print one JSON document instead of tables.",
        ),
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            metavar="PATH",
            expose_value=False,
            callback=_remember,
            help="The settings file.  [default: $SYNCD_CONFIG, ./syncd.toml, /etc/syncd/syncd.toml]",
        ),
    ):
        command = option(command)
    return command


def _remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value and parameter.name:
        setattr(context.ensure_object(Invocation), parameter.name, value)


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)


def name_person() -> str:
    """Return who types this command: the account of the operating system and the machine."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


_DAYS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Return a moment: a day, or a day and time, in UTC, or so long ago (``7d``, ``1d12h``)."""
    for form in _DAYS:
        with contextlib.suppress(ValueError):
            return datetime.strptime(text.strip(), form).replace(tzinfo=UTC)
    with contextlib.suppress(click.BadParameter, OverflowError):
        return Clock().now() - duration(text)
    raise click.BadParameter(f"{text!r} is no moment such as 2026-12-31, 2026-12-31T18:00 (UTC), or 7d (so long ago)")


def duration(text: str) -> timedelta:
    """Return a duration written as everywhere in syncd: a sum of d, h, m and s, such as ``1h30m``."""
    parts = re.findall(r"(\d+)([dhms])", text)
    length = timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))
    if "".join(number + unit for number, unit in parts) != text.strip() or not length:
        raise click.BadParameter(f"{text!r} is not a duration such as 30s, 10m or 1h30m")
    return length

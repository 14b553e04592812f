"""The commands with their arguments and options, from the command line itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import click

from syncd.cli.main import PURPOSES, program
from syncd.cli.options import shared_options
from tools.reference_table import escape

_SHARED = frozenset({"--config", "--json", "--log-level", "--help"})
_HEAD = ["| option | does |", "|---|---|"]


def make_sections(kept: Mapping[str, str]) -> list[str]:
    """Return a section per command that runs. Nothing is kept: the program says all of it."""
    del kept
    return _make_sections("Run")


def make_sections_of_decisions(kept: Mapping[str, str]) -> list[str]:
    """Return a section per command by which a person decides."""
    del kept
    return _make_sections("Decide")


def make_sections_of_others(kept: Mapping[str, str]) -> list[str]:
    """Return a section per command that looks or sets up."""
    del kept
    return _make_sections("Look", "Set up")


def make_sections_of_proofs(kept: Mapping[str, str]) -> list[str]:
    """Return a section per command that proves something."""
    del kept
    return _make_sections("Prove")


def _make_sections(*purposes: str) -> list[str]:
    names = {name for purpose in purposes for name in PURPOSES[purpose]}
    lines: list[str] = []
    for path, command in list_commands():
        if path.split()[1] not in names:
            continue
        lines += [f"### `{_show_usage(path, command)}`", "", *_show_help(command), ""]
        options = [option for option in _list_options(command) if option.opts[0] not in _SHARED]
        if options:
            lines += [*_HEAD, *(_make_row(option, command) for option in options), ""]
    return lines[:-1]


def list_commands() -> list[tuple[str, click.Command]]:
    """Return every command that does something itself, with the words by which it is called, in the program's order."""
    return list(_walk("syncd", program))


def list_option_names() -> list[str]:
    """Return the name of every option of every command."""
    return sorted({name for _, command in list_commands() for o in _list_options(command) for name in o.opts})


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    context = click.Context(command, info_name=path)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None and not inner.hidden:
            yield from _walk(f"{path} {name}", inner)


def _list_options(command: click.Command) -> list[click.Option]:
    return [each for each in command.params if isinstance(each, click.Option) and not each.hidden]


def _show_usage(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    arguments = (each for each in command.params if isinstance(each, click.Argument))
    return " ".join([path, *(each.make_metavar(context) for each in arguments)])


def _show_help(command: click.Command) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", (command.help or "").strip())):
        if number:
            yield ""
        lines = [line.strip() for line in paragraph.splitlines()]
        if lines[0] == "\b":  # click's mark of a paragraph that is not to be wrapped: our examples
            yield from ("```console", *(f"$ {line}" for line in lines[2:]), "```")
        else:
            yield " ".join(lines)


def _make_row(option: click.Option, command: click.Command) -> str:
    context = click.Context(command)
    record = option.get_help_record(context)
    names, said = record if record is not None else (option.opts[0], "")
    return f"| `{escape(re.sub('(INTEGER|FLOAT)( RANGE)?', 'N', names))}` | {escape(said)} |"


def make_shared_table(kept: Mapping[str, str]) -> list[str]:
    """Return a table of the options that every command has. Nothing is kept."""
    del kept

    @click.command()
    @shared_options
    def any_command() -> None:
        """Do nothing."""

    return [*_HEAD, *(_make_row(option, any_command) for option in _list_options(any_command))]

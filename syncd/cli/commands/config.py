"""``syncd config schema``: which settings there are, as JSON Schema, from the program itself."""

from __future__ import annotations

import json

import click

from syncd.cli.options import shared_options


@click.group("config")
def config() -> None:
    """Tell about the configuration, without reading any."""


@config.command("schema")
@shared_options
def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of a settings file: its keys, their types and defaults.

    An editor completes and checks a file by it, and so does a pipeline before a deployment. What needs more than a
    look at the value, an expression or a file say, is found by 'syncd check'.

    \b
    Example:
      syncd config schema > syncd.schema.json
    """
    from syncd.config.schema import make_schema

    for line in json.dumps(make_schema(), indent=2, ensure_ascii=False, sort_keys=False).splitlines():
        click.echo(line)

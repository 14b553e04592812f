"""``syncd completion``: what a shell needs to complete commands and options, by click's own means."""

from __future__ import annotations

import click

from syncd.cli.options import shared_options

_VARIABLE = "_SYNCD_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared_options
@click.pass_context
def completion(context: click.Context, *, shell: str) -> None:
    """Print what a shell reads to complete the words of syncd.

    \b
    Examples:
      syncd completion bash > /etc/bash_completion.d/syncd
      syncd completion zsh > "${fpath[1]}/_syncd"
      syncd completion fish > ~/.config/fish/completions/syncd.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.BadParameter(f"{shell} is not known", param_hint="SHELL")
    program = context.find_root().command
    script = found(program, {}, "syncd", _VARIABLE)
    click.echo(found.source_template % script.source_vars(), nl=False)

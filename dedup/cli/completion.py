"""`completion`: scripts by which shells complete commands and options."""

from __future__ import annotations

import click

from dedup.cli.common import common_options, format_option, print_json
from dedup.cli.suggestions import SuggestingChoice

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", metavar="SHELL", type=SuggestingChoice(SHELLS))
@format_option("text", "json")
@common_options
def completion(shell: str, output_format: str) -> None:
    """Print a shell completion script.

    The script completes command names, option names and option values of 'dedup', by asking the program. SHELL is bash
    (4.4 or later), zsh or fish. To install it, write the script to a file once and load that file:

    \b
    bash  dedup completion bash > ~/.dedup-completion.bash
          echo '. ~/.dedup-completion.bash' >> ~/.bashrc
    zsh   dedup completion zsh > ~/.dedup-completion.zsh
          echo '. ~/.dedup-completion.zsh' >> ~/.zshrc    (after compinit)
    fish  dedup completion fish > ~/.config/fish/completions/dedup.fish

    \b
    Examples:
      dedup completion zsh
      eval "$(dedup completion bash)"    for the current shell only
    """
    from click.shell_completion import get_completion_class

    from dedup.cli import COMPLETION_VARIABLE, cli

    completion_class = get_completion_class(shell)
    assert completion_class is not None
    completer = completion_class(cli, {}, "dedup", COMPLETION_VARIABLE)
    script = completer.source_template % completer.source_vars()  # source() would run bash to check its version
    if output_format == "json":
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)

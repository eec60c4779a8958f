"""The command line: a command is loaded when it is asked for, so that `dedup --help` stays quick."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import click

from dedup import __version__
from dedup.cli.common import common
from dedup.errors import DedupError
from dedup.text import printable

COMMANDS = {
    "init": "setup",
    "config": "setup",
    "sample": "setup",
    "scan": "scan",
    "watch": "watch",
    "verify": "verify",
    "duplicates": "duplicates",
    "similar": "duplicates",
    "history": "history",
    "diff": "history",
    "status": "status",
    "reindex": "reindex",
    "dump": "status",
}
"""Command → module of this package that holds it, in the order in which one meets them."""


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = getattr(import_module(f"dedup.cli.{COMMANDS[name]}"), name)
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 findings, where asked to judge; 2 usage or configuration; 3 the work could not be done; "
    "130 interrupted. JSON goes to standard output, progress and errors to standard error.",
)
@click.version_option(__version__, prog_name="dedup")
@common
def cli() -> None:
    """Deduplication and change tracking for crawled articles.

    Point it at a crawl directory: it checks every article's content_hash, finds exact and near duplicates, and keeps each
    page's history when it is crawled again. Nothing in the crawl directory is ever written.

    \b
    dedup init DIR    write a config.toml for a crawl directory
    dedup scan        take in what is new, changed, moved or gone
    dedup duplicates  who ran the same text
    dedup history URL what a page said, and when
    """


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. What was finished is recorded; run the command again to go on.", err=True)
        sys.exit(130)
    except DedupError as error:
        click.echo(f"dedup: {printable(str(error))}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away; nobody is left to tell
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)

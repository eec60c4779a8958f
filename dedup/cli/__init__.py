"""The command line: a command is loaded when it is asked for, so that `dedup --help` stays quick."""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from dedup import __version__
from dedup.cli.common import VERDICT_KEY, common_options
from dedup.errors import DedupError
from dedup.text.sanitise import to_printable, to_printable_block

COMMANDS = {
    "init": "setup",
    "config": "setup",
    "sample": "setup",
    "scan": "scan",
    "watch": "watch",
    "verify": "verify",
    "duplicates": "duplicates",
    "similar": "duplicates",
    "why": "why",
    "boilerplate": "boilerplate",
    "alerts": "alerts",
    "history": "history",
    "diff": "diff",
    "changes": "changes",
    "search": "search",
    "report": "report",
    "export": "export",
    "status": "status",
    "serve": "serve",
    "doctor": "doctor",
    "reindex": "reindex",
    "roots": "roots",
    "prune": "prune",
    "dump": "status",
    "backup": "backup",
    "restore": "backup",
}
"""Command → module of this package that holds it, in the order in which one meets them."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = getattr(import_module(f"dedup.cli.{COMMANDS[name]}"), name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _ReaderGoneError(ctx.meta.get(VERDICT_KEY, 0)) from None  # click would leave with 1, which means findings


class _ReaderGoneError(Exception):
    """Whoever read our output has what they wanted: `dedup dump --logical | head`. The exit code is as it would have been."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 findings, where asked to judge; 2 usage or configuration; 3 the work could not be done; "
    "130 interrupted. JSON goes to standard output, progress and errors to standard error.",
)
@click.version_option(__version__, prog_name="dedup")
@common_options
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
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal whose encoding lacks a character is no reason to stop
    code = _run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
    except OSError as error:
        code = code or _report_os_error(error)
    sys.exit(code)


def _run() -> int:
    """The exit code of the command line; what went wrong is said on standard error."""
    try:
        code = cli.main(standalone_mode=False)
    except SystemExit as exit_:
        code = exit_.code
    except click.ClickException as error:
        buffer = io.StringIO()
        error.show(buffer)
        click.echo(to_printable_block(buffer.getvalue().rstrip()), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. What was finished is recorded; run the command again to go on.", err=True)
        return 130
    except DedupError as error:
        click.echo(f"dedup: {to_printable(str(error))}", err=True)
        return error.exit_code
    except _ReaderGoneError as gone:
        _discard_output()
        return gone.code
    except OSError as error:
        return _report_os_error(error)
    except MemoryError:
        click.echo("dedup: out of memory; raise the limit of this process (ulimit -v, MemoryMax), or close what else runs", err=True)
        return DedupError.exit_code
    except Exception as error:
        _print_bug(error)
        return DedupError.exit_code
    return code if isinstance(code, int) else 0


def _print_bug(error: Exception) -> None:
    """An error that the program did not expect: its traceback, which a report of the bug needs, then what it means in a line."""
    import traceback

    with suppress(Exception):
        traceback_text = "".join(traceback.format_exception(error))
        click.echo(to_printable_block(traceback_text.rstrip()), err=True)
        line = to_printable(" ".join(f"{type(error).__name__}: {error}".split()))
        click.echo(f"dedup: an error of the program: {line}. Nothing was half recorded; please report it with the lines above.", err=True)


def _report_os_error(error: OSError) -> int:
    """Say what the system refused; the exit code for it."""
    _discard_output()
    filename = f": {error.filename!r}" if error.filename else ""
    click.echo(f"dedup: {to_printable((error.strerror or str(error)) + filename)}", err=True)
    return DedupError.exit_code


def _discard_output() -> None:
    """What is still buffered has nowhere to go."""
    sys.stdout = io.StringIO()

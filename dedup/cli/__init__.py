"""The command line. Command modules are imported only when their command runs, so that `dedup --help` stays fast."""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from dedup import __version__
from dedup.cli.common import VERDICT_KEY, common_options
from dedup.cli.suggestions import CommandGroup
from dedup.errors import DedupError
from dedup.text.sanitise import to_printable, to_printable_block

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMPLETION_VARIABLE = "_DEDUP_COMPLETE"
"""Environment variable by which a completion script asks for candidates."""


class CommandEntry(NamedTuple):
    """The module of this package that holds a command, and the first line of the command's help."""

    module: str
    summary: str


COMMAND_GROUPS = {
    "Set up": {
        "init": CommandEntry("setup", "Write a config.toml for a crawl directory"),
        "config": CommandEntry("setup", "Print the settings in force and their origin"),
        "sample": CommandEntry("setup", "Copy the sample crawl into a directory"),
        "completion": CommandEntry("completion", "Print a shell completion script"),
    },
    "Collect": {
        "scan": CommandEntry("scan", "Scan the crawl directories once"),
        "watch": CommandEntry("watch", "Follow the crawl directories as a daemon"),
        "verify": CommandEntry("verify", "Check the content_hash of article files"),
    },
    "Look": {
        "duplicates": CommandEntry("duplicates", "List clusters of articles that share text"),
        "similar": CommandEntry("duplicates", "Find recorded articles similar to a file"),
        "why": CommandEntry("why", "Explain why two articles match or do not"),
        "history": CommandEntry("history", "Show a page's revisions and crawls"),
        "diff": CommandEntry("diff", "Show what changed between two revisions"),
        "changes": CommandEntry("changes", "List edits, with the evidence for each"),
        "search": CommandEntry("search", "Search current and earlier texts"),
        "status": CommandEntry("status", "Show counts, the last scan and the daemon"),
    },
    "Export": {
        "report": CommandEntry("report", "Summarise a period in tables and charts"),
        "export": CommandEntry("export", "Export tables, and lists to keep or drop"),
        "dump": CommandEntry("status", "Print the content for comparing databases"),
    },
    "Operate": {
        "serve": CommandEntry("serve", "Serve the dashboard"),
        "alerts": CommandEntry("alerts", "List, test, send and retry alerts"),
        "boilerplate": CommandEntry("boilerplate", "List and correct publishers' boilerplate"),
        "directories": CommandEntry("directories", "List, move or retire crawl directories"),
        "backup": CommandEntry("backup", "Copy the database into one checked file"),
        "restore": CommandEntry("backup", "Replace the database with a backup"),
        "prune": CommandEntry("prune", "Delete the text of old revisions"),
    },
    "Repair": {
        "doctor": CommandEntry("doctor", "Check the database, indexes and environment"),
        "reindex": CommandEntry("reindex", "Apply changed settings to recorded articles"),
    },
}
"""Commands by heading, in the order of `dedup --help`. The summaries repeat the commands' own, which would have to be imported."""
COMMANDS = {name: entry for commands in COMMAND_GROUPS.values() for name, entry in commands.items()}


class _LazyGroup(CommandGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = getattr(import_module(f"dedup.cli.{COMMANDS[name].module}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for heading, commands in COMMAND_GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), entry.summary) for name, entry in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=entry.summary) for name, entry in COMMANDS.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _ReaderGoneError(ctx.meta.get(VERDICT_KEY, 0)) from None  # click would exit with 1, which means findings


class _ReaderGoneError(Exception):
    """The reader of standard output closed it early, as in `dedup dump --logical | head`. `code` is the exit code of the command."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\n"
    "Exit codes:\n"
    "  0    success\n"
    "  1    findings, from a command that checks or has --fail-on\n"
    "  2    wrong usage or configuration\n"
    "  3    the work could not be done\n"
    "  130  interrupted",
)
@click.version_option(__version__, prog_name="dedup")
@common_options
def cli() -> None:
    """Find duplicates among crawled news articles and track how they change.

    dedup reads crawl directories, checks the content_hash of each article, finds exact and near duplicates, and keeps the
    history of each page across crawls. It never writes into a crawl directory.

    \b
    Examples:
      dedup init crawl      write a config.toml for the crawl directory 'crawl'
      dedup scan            record new, changed, moved and deleted files
      dedup duplicates      list the articles that share their text
      dedup COMMAND --help  describe a command

    Results go to standard output, progress and errors to standard error. The options below apply to every command and may be
    given before or after its name.
    """


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack characters; that must not end the command
    code = _run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
    except OSError as error:
        code = code or _report_os_error(error)
    sys.exit(code)


def _run() -> int:
    """Run the command line, report errors on standard error, and return the exit code."""
    try:
        code = cli.main(standalone_mode=False, complete_var=COMPLETION_VARIABLE)
    except SystemExit as exit_:
        code = exit_.code
    except click.ClickException as error:
        buffer = io.StringIO()
        error.show(buffer)
        click.echo(to_printable_block(buffer.getvalue().rstrip()), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted. Finished work is recorded; run the command again to continue.", err=True)
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
        click.echo("dedup: out of memory; raise this process's limit (ulimit -v, MemoryMax) or stop other programs", err=True)
        return DedupError.exit_code
    except Exception as error:
        _print_bug(error)
        return DedupError.exit_code
    return code if isinstance(code, int) else 0


def _print_bug(error: Exception) -> None:
    """Print the traceback of an unexpected error, for a bug report, then one line that summarises it."""
    import traceback

    with suppress(Exception):
        traceback_text = "".join(traceback.format_exception(error))
        click.echo(to_printable_block(traceback_text.rstrip()), err=True)
        line = to_printable(" ".join(f"{type(error).__name__}: {error}".split()))
        click.echo(f"dedup: internal error: {line}. Nothing was recorded in part; please report it with the lines above.", err=True)


def _report_os_error(error: OSError) -> int:
    """Report what the operating system refused, and return the exit code for it."""
    _discard_output()
    filename = f": {error.filename!r}" if error.filename else ""
    click.echo(f"dedup: {to_printable((error.strerror or str(error)) + filename)}", err=True)
    return DedupError.exit_code


def _discard_output() -> None:
    """Drop buffered output: standard output can no longer be written."""
    sys.stdout = io.StringIO()

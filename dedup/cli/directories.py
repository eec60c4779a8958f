"""`directories`: list, move and retire recorded crawl directories."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import CommonOptions, common_options, format_option, log_to_stderr, print_json, print_note
from dedup.cli.suggestions import CommandGroup
from dedup.text.format import format_count
from dedup.text.sanitise import to_printable, to_printable_path

if TYPE_CHECKING:
    from dedup.config import Settings
    from dedup.store import WritableDatabase


@click.group(cls=CommandGroup, invoke_without_command=True)
@format_option("text", "json")
@common_options
@click.pass_context
def directories(ctx: click.Context, output_format: str) -> None:
    """List, move or retire crawl directories.

    Works on the crawl directories that the database has recorded. The files of one that is no longer configured still count as
    present until it is moved or retired. Without a command the directories are listed.

    \b
    Examples:
      dedup directories
      dedup directories move /srv/crawl /archive/crawl
      dedup directories retire /mnt/old
    """
    if ctx.invoked_subcommand is None:
        _print_directories(ctx.ensure_object(CommonOptions), output_format)


@directories.command("list")
@format_option("text", "json")
@common_options
@click.pass_obj
def list_(options: CommonOptions, output_format: str) -> None:
    """List the recorded crawl directories.

    Prints the status of each (configured, not configured, retired; absent if it is missing), its number of files, how many of
    them are gone, and the end of its last scan.

    \b
    Examples:
      dedup directories list
      dedup directories list --format json
    """
    _print_directories(options, output_format)


def _print_directories(options: CommonOptions, output_format: str) -> None:
    from dedup.reports.status import list_directories
    from dedup.store import open_database

    settings = options.load().settings
    with open_database(settings.database.path) as database:
        rows = list_directories(database, settings)
    if output_format == "json":
        print_json(rows)
        return
    for row in rows:
        click.echo(click.style(to_printable(row["path"]), bold=True))
        click.echo(f"    {describe_directory(row)}")
    if not rows:
        click.echo("No crawl directory is recorded.")


def describe_directory(row: dict[str, Any]) -> str:
    """Return the status of a crawl directory in words."""
    status = row["status"] + (", absent" if row["absent"] else "")
    scanned = f"last scan {row['scanned_at']}" if row["scanned_at"] else "never completely scanned"
    gone = f", {row['gone']:,} gone" if row["gone"] else ""
    return f"{status}; {format_count(row['files'], 'file')}{gone}; {scanned}"


@directories.command("move")
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@click.option("--force", is_flag=True, help="Move even if NEW is missing or does not contain the files.")
@format_option("text", "json")
@common_options
@click.pass_obj
def move(options: CommonOptions, old: str, new: str, force: bool, output_format: str) -> None:
    """Record that a crawl directory has moved.

    Its files are recorded at NEW instead of OLD, without being reread. Nothing on disk is moved. A sample of the files must
    exist at NEW with the recorded sizes and modification times. NEW must not overlap another crawl directory.

    \b
    Examples:
      dedup directories move /srv/crawl /archive/crawl
      dedup directories move --force /srv/crawl /mnt/offline/crawl
    """
    from dedup.pipeline import moved_directories

    settings = options.load().settings
    old_path, new_path = (os.path.abspath(os.fsencode(p)) for p in (old, new))
    with _open_writable(options, settings) as database:
        result = moved_directories.move_directory(database, old_path, new_path, _configured_paths(settings), force=force)
    if output_format == "json":
        print_json(
            {
                "old": to_printable_path(old_path),
                "new": to_printable_path(new_path),
                "files": result.files,
                "sample_files": result.sample_files,
                "present_files": result.present_files,
            }
        )
    else:
        sample_note = f"{result.present_files:,} of {result.sample_files:,} in the sample exist"
        click.echo(
            f"{to_printable_path(old_path)} is now {to_printable_path(new_path)}: {format_count(result.files, 'file')}, {sample_note}."
        )
    if new_path not in _configured_paths(settings):
        print_note(options, f"{to_printable_path(new_path)} is not configured yet: add it to [crawl] directories.")


@directories.command("retire")
@click.argument("directory", metavar="DIR", type=click.Path())
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@format_option("text", "json")
@common_options
@click.pass_obj
def retire(options: CommonOptions, directory: str, yes: bool, output_format: str) -> None:
    """Retire a crawl directory.

    Marks all files of DIR as gone. Their history is kept, and nothing on disk is changed. DIR must no longer be configured; it
    may be missing. Asks for confirmation unless --yes is given.

    \b
    Examples:
      dedup directories retire /mnt/old
      dedup directories retire --yes /mnt/old
    """
    from dedup.pipeline import moved_directories
    from dedup.store import open_database

    settings = options.load().settings
    path = os.path.abspath(os.fsencode(directory))
    with open_database(settings.database.path) as reader:
        row = moved_directories.find_directory(reader, path)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(
                f"--yes is required to mark {format_count(row.file_count, 'file')} of {to_printable_path(row.path)} as gone"
            )
        click.confirm(f"Mark {format_count(row.file_count, 'file')} of {to_printable_path(row.path)} as gone?", abort=True, err=True)
    with _open_writable(options, settings) as database:
        count = moved_directories.retire_directory(database, path, _configured_paths(settings))
    if output_format == "json":
        print_json({"directory": to_printable_path(row.path), "gone": count})
    else:
        click.echo(f"{format_count(count, 'file')} of {to_printable_path(row.path)} marked as gone; their history stays.")


def _configured_paths(settings: Settings) -> list[bytes]:
    return [os.path.abspath(os.fsencode(d)) for d in settings.crawl.directories]


@contextmanager
def _open_writable(options: CommonOptions, settings: Settings) -> Iterator[WritableDatabase]:
    """Open the existing database for writing. Raises DatabaseMissingError, DatabaseBusyError."""
    from dedup.errors import DatabaseMissingError
    from dedup.store import open_writable

    if not os.path.exists(settings.database.path):
        raise DatabaseMissingError(path=settings.database.path)
    with log_to_stderr(options), open_writable(settings.database.path, "directories") as database:
        yield database

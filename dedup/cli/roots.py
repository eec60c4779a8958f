"""`roots`: the crawl directories that the database knows."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import Common, common, formats, plural, print_json, remark, told
from dedup.text.normalise import printable, printable_path

if TYPE_CHECKING:
    from dedup.config import Settings
    from dedup.store import WritableDatabase


@click.group(invoke_without_command=True)
@formats("text", "json")
@common
@click.pass_context
def roots(ctx: click.Context, form: str) -> None:
    """The crawl directories that the database knows: list them, move one, retire one.

    A crawl directory that is no longer configured keeps its files: they count as there until the directory is moved or forgotten.

    \b
    dedup roots
    dedup roots move /srv/crawl /archive/crawl
    dedup roots forget /mnt/old
    """
    if ctx.invoked_subcommand is None:
        _list(ctx.ensure_object(Common), form)


@roots.command("list")
@formats("text", "json")
@common
@click.pass_obj
def list_(options: Common, form: str) -> None:
    """List the crawl directories with their state, their files and their last scan."""
    _list(options, form)


def _list(options: Common, form: str) -> None:
    from dedup.reports.status import roots as states
    from dedup.store import open_database

    settings = options.load().settings
    with open_database(settings.database.path) as database:
        found = states(database, settings)
    if form == "json":
        print_json(found)
        return
    for row in found:
        click.echo(click.style(printable(row["path"]), bold=True))
        click.echo(f"    {described(row)}")
    if not found:
        click.echo("No crawl directory is known.")


def described(row: dict[str, Any]) -> str:
    """A crawl directory's state in words."""
    state = row["state"] + (", absent" if row["absent"] else "")
    scanned = f"last scan {row['scanned_at']}" if row["scanned_at"] else "never scanned completely"
    gone = f", {row['gone']:,} gone" if row["gone"] else ""
    return f"{state}; {plural(row['files'], 'file')}{gone}; {scanned}"


@roots.command("move")
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@click.option("--force", is_flag=True, help="Also where NEW is not there now, or does not hold the files.")
@formats("text", "json")
@common
@click.pass_obj
def move(options: Common, old: str, new: str, force: bool, form: str) -> None:
    """Tell the database that the crawl directory OLD lies at NEW now. Its files follow, and nothing is read again.

    A sample of its files must be at NEW with their size and modification time. NEW may not overlap with another crawl directory.
    """
    from dedup.scan import directories

    settings = options.load().settings
    was, now = (os.path.abspath(os.fsencode(p)) for p in (old, new))
    with _writing(options, settings) as database:
        moved = directories.move(database, was, now, _configured(settings), force=force)
    if form == "json":
        print_json(
            {"old": printable_path(was), "new": printable_path(now), "files": moved.files, "sample": moved.sample, "found": moved.found}
        )
    else:
        looked = f"{moved.found:,} of {moved.sample:,} that were looked at are there"
        click.echo(f"{printable_path(was)} is {printable_path(now)} now: {plural(moved.files, 'file')}, {looked}.")
    if now not in _configured(settings):
        remark(options, f"{printable_path(now)} is not configured yet: name it in [crawl] directories.")


@roots.command("forget")
@click.argument("directory", metavar="DIR", type=click.Path())
@click.option("--yes", is_flag=True, help="Do not ask.")
@formats("text", "json")
@common
@click.pass_obj
def forget(options: Common, directory: str, yes: bool, form: str) -> None:
    """Retire the crawl directory DIR: all of its files are marked as gone. Their history stays, and nothing on disk is touched.

    DIR may be missing. It must not be configured any more.
    """
    from dedup.scan import directories
    from dedup.store import open_database

    settings = options.load().settings
    path = os.path.abspath(os.fsencode(directory))
    with open_database(settings.database.path) as reader:
        row = directories.known(reader, path)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(f"mark {plural(row.files, 'file')} of {printable_path(row.path)} as gone? Say so with --yes")
        click.confirm(f"Mark {plural(row.files, 'file')} of {printable_path(row.path)} as gone?", abort=True, err=True)
    with _writing(options, settings) as database:
        number = directories.forget(database, path, _configured(settings))
    if form == "json":
        print_json({"directory": printable_path(row.path), "gone": number})
    else:
        click.echo(f"{plural(number, 'file')} of {printable_path(row.path)} marked as gone; their history stays.")


def _configured(settings: Settings) -> list[bytes]:
    return [os.path.abspath(os.fsencode(d)) for d in settings.crawl.directories]


@contextmanager
def _writing(options: Common, settings: Settings) -> Iterator[WritableDatabase]:
    """The database held for writing; it must be there."""
    from dedup.errors import DatabaseMissingError
    from dedup.store import open_writable

    if not os.path.exists(settings.database.path):
        raise DatabaseMissingError(path=settings.database.path)
    with told(options), open_writable(settings.database.path, "roots") as database:
        yield database

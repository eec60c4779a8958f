"""`backup` and `restore`: the database as one file, and back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import Common, common, formats, on_terminal, plural, print_json, remark
from dedup.cli.progress import Progress
from dedup.text.normalise import printable_path

if TYPE_CHECKING:
    from dedup.store.backup import Copied, Heard


@click.command()
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("--force", is_flag=True, help="Replace FILE even if it is a backup of another database.")
@formats("text", "json")
@common
@click.pass_obj
def backup(options: Common, file: str, force: bool, form: str) -> None:
    """Copy the database to FILE, whole and as of one moment, while 'dedup watch' goes on writing.

    The copy is checked (integrity, foreign keys, number of rows) and on the disk before it takes FILE's place, so an earlier
    backup there stays until a better one stands. Anything else that stands there is left alone. FILE is a database that can be
    read with every command: 'dedup --database FILE status'. What lies beside the database (indexes, log) needs no backup.

    \b
    dedup backup /srv/backup/dedup.db
    dedup backup "/srv/backup/dedup-$(date +%F).db"
    """
    from dedup.store import backup as copying

    begun = time.monotonic()
    loaded = options.load()
    path, protected = loaded.settings.database.path, loaded.settings.protected(file=loaded.file)
    with _heard(options, "backup", f"What was begun was removed; {printable_path(os.fsencode(file))} is as it was.") as heard:
        copied = copying.write(path, file, protected=protected, force=force, progress=heard)
    if form == "json":
        print_json({"backup": _path(copied.path), **_numbers(copied, begun)})
    else:
        click.echo(f"{_path(copied.path)}: {_summary(copied)}")


@click.command()
@click.argument("file", metavar="FILE", type=click.Path())
@formats("text", "json")
@common
@click.pass_obj
def restore(options: Common, file: str, form: str) -> None:
    """Put a backup into the database's place.

    Stop 'dedup watch' before, and start it after: what was crawled since the backup is taken in again as far as its files are
    still there, and the indexes are made anew. The backup is copied and checked first. What stood in its place is kept beside it,
    as <database>.damaged-<time>, with its write-ahead log; remove that when you need it no more. Run it as the user who runs
    'dedup watch'.

    \b
    dedup restore /srv/backup/dedup.db
    """
    from dedup.store import backup as copying

    begun = time.monotonic()
    path = options.load().settings.database.path
    with _heard(options, "restore", f"The database {printable_path(os.fsencode(path))} is as it was.") as heard:
        restored = copying.restore(path, file, progress=heard)
    copied = restored.copied
    if form == "json":
        print_json(
            {
                "database": _path(copied.path),
                "backup": _path(os.path.realpath(file)),
                **_numbers(copied, begun),
                "aside": [_path(p) for p in restored.aside],
            }
        )
    else:
        click.echo(f"{_path(copied.path)}: {_summary(copied)}")
        for path in restored.aside[:1]:
            click.echo(f"What stood there is {_path(path)} now.")


@contextmanager
def _heard(options: Common, what: str, interrupted: str) -> Iterator[Heard]:
    """A bar that hears how far it is, and what to say when somebody stops it."""
    checking = False

    def heard(now: str, done: int, total: int) -> None:
        nonlocal checking
        if now == "copy":
            bar.expect(total // 1_000_000)
            bar.update(done // 1_000_000)
        elif not checking:
            checking = True
            bar.stage("check")

    try:
        with Progress(what, "MB", shown=on_terminal(options)) as bar:
            yield heard
    except KeyboardInterrupt:
        remark(options, interrupted)
        raise


def _path(path: str) -> str:
    return printable_path(os.fsencode(path))


def _numbers(copied: Copied, begun: float) -> dict[str, Any]:
    numbers = {"bytes": copied.bytes, "pages": copied.pages, "files": copied.files, "revisions": copied.revisions}
    return numbers | {"seconds": round(time.monotonic() - begun, 3), "verified": True}


def _summary(copied: Copied) -> str:
    numbers = plural(copied.pages, "page"), plural(copied.files, "file"), plural(copied.revisions, "revision")
    return f"{', '.join(numbers)}, {copied.bytes / 1e6:,.1f} MB; checked"

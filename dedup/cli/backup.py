"""`backup` and `restore`: copy the database into one file and back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import CommonOptions, common_options, format_option, print_json, print_note, shows_progress
from dedup.cli.progress import ProgressBar
from dedup.text.format import format_count, format_megabytes
from dedup.text.sanitise import to_printable_path

if TYPE_CHECKING:
    from dedup.store.backup import BackupResult, ProgressCallback


@click.command()
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("--force", is_flag=True, help="Replace FILE even if it is a backup of another database.")
@format_option("text", "json")
@common_options
@click.pass_obj
def backup(options: CommonOptions, file: str, force: bool, output_format: str) -> None:
    """Copy the database into one checked file.

    FILE is a consistent snapshot; 'dedup watch' may run meanwhile. The copy is checked (integrity, foreign keys, row counts)
    and synced to disk before it replaces an earlier backup in FILE. A file that is not a backup is never replaced. FILE can be
    read by every command: 'dedup --database FILE status'. The files next to the database (indexes, log) need no backup.
    Prints what FILE contains.

    \b
    Examples:
      dedup backup /srv/backup/dedup.db
      dedup backup "/srv/backup/dedup-$(date +%F).db"
    """
    from dedup.store import backup as backups

    started = time.monotonic()
    loaded = options.load()
    path, protected = loaded.settings.database.path, loaded.settings.protected_paths(file=loaded.file)
    with _progress_bar(
        options, "backup", f"The partial copy was removed; {to_printable_path(os.fsencode(file))} is unchanged."
    ) as progress:
        copied = backups.write(path, file, protected=protected, force=force, progress=progress)
    if output_format == "json":
        print_json({"backup": _printable_path(copied.path), **_counts_as_json(copied, started)})
    else:
        click.echo(f"{_printable_path(copied.path)}: {_format_summary(copied)}")


@click.command()
@click.argument("file", metavar="FILE", type=click.Path())
@format_option("text", "json")
@common_options
@click.pass_obj
def restore(options: CommonOptions, file: str, output_format: str) -> None:
    """Replace the database with a backup.

    Stop 'dedup watch' first and start it afterwards: it rebuilds the indexes, and records what was crawled since the backup
    if the files still exist. Run this as the user that runs 'dedup watch'. The backup is copied and checked before it is put
    in place. The previous database is kept next to it as <database>.damaged-<time>, with its write-ahead log; remove it when
    you no longer need it. Prints what was restored and the name of the previous file.

    \b
    Examples:
      dedup restore /srv/backup/dedup.db
      dedup --database /srv/dedup.db restore /srv/backup/dedup-2026-03-02.db
    """
    from dedup.store import backup as backups

    started = time.monotonic()
    path = options.load().settings.database.path
    with _progress_bar(options, "restore", f"The database {to_printable_path(os.fsencode(path))} is unchanged.") as progress:
        restored = backups.restore(path, file, progress=progress)
    copied = restored.backup
    if output_format == "json":
        print_json(
            {
                "database": _printable_path(copied.path),
                "backup": _printable_path(os.path.realpath(file)),
                **_counts_as_json(copied, started),
                "previous_files": [_printable_path(p) for p in restored.previous_files],
            }
        )
    else:
        click.echo(f"{_printable_path(copied.path)}: {_format_summary(copied)}")
        for path in restored.previous_files[:1]:
            click.echo(f"The previous database is now {_printable_path(path)}.")


@contextmanager
def _progress_bar(options: CommonOptions, title: str, interrupt_message: str) -> Iterator[ProgressCallback]:
    """Show a progress bar and yield its callback. Prints `interrupt_message` if the user interrupts the block."""
    is_checking = False

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal is_checking
        if stage == "copy":
            bar.expect(total // 1_000_000)
            bar.update(done // 1_000_000)
        elif not is_checking:
            is_checking = True
            bar.stage("check")

    try:
        with ProgressBar(title, "MB", is_shown=shows_progress(options)) as bar:
            yield progress
    except KeyboardInterrupt:
        print_note(options, interrupt_message)
        raise


def _printable_path(path: str) -> str:
    return to_printable_path(os.fsencode(path))


def _counts_as_json(copied: BackupResult, started: float) -> dict[str, Any]:
    counts = {"bytes": copied.size_bytes, "pages": copied.page_count, "files": copied.file_count, "revisions": copied.revision_count}
    return counts | {"seconds": round(time.monotonic() - started, 3)}


def _format_summary(copied: BackupResult) -> str:
    counts = (
        format_count(copied.page_count, "page"),
        format_count(copied.file_count, "file"),
        format_count(copied.revision_count, "revision"),
    )
    return f"{', '.join(counts)}, {format_megabytes(copied.size_bytes)}; checked"

"""`verify`: the content_hash of files, without a database."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import Common, common, formats, plural, print_csv, print_json_array, remark
from dedup.text.normalise import printable

if TYPE_CHECKING:
    from dedup.scan.extract import Options, Read

COLUMNS = ("path", "check", "cause", "claimed", "computed", "recipe", "fault")


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@formats("text", "json", "csv")
@common
@click.pass_obj
def verify(options: Common, paths: tuple[str, ...], form: str) -> None:
    """Check the content_hash of files, or of every article below a directory, without a database.

    Exits with 1 if any file is mismatched or could not be read as an article. Without a page's history a claim that an
    earlier revision would meet ("stale") shows as "altered".
    """
    from dedup.scan.session import options_of

    chosen = options_of(options.load().settings)
    counts = {"verified": 0, "mismatched": 0, "unclaimed": 0, "fault": 0}

    def rows() -> Iterator[dict[str, Any]]:
        for path, read in _files(paths, chosen.max_file_bytes):
            row = _checked(path, read, chosen)
            counts[row["check"] or "fault"] += 1
            yield row

    if form == "json":
        print_json_array(rows())
    elif form == "csv":
        print_csv(COLUMNS, rows())
    else:
        for row in rows():
            _print(row, everything=options.verbosity > 0)
        told = ", ".join(f"{n:,} {what}" for what, n in counts.items() if what != "fault")
        click.echo(f"{plural(sum(counts.values()), 'file')}: {told}, {plural(counts['fault'], 'fault')}")
    if not sum(counts.values()):
        remark(options, "No article files there (.md, .markdown, .txt).")
    if counts["mismatched"] or counts["fault"]:
        sys.exit(1)


def _files(paths: tuple[str, ...], most: int) -> Iterator[tuple[bytes, Read]]:
    """Each file's path, and the file read. Links below a directory are not followed."""
    from dedup.files.nofollow import Beneath
    from dedup.formats import READERS, suffix
    from dedup.scan.extract import read_beneath, read_file

    for path in map(os.fsencode, paths):
        if not os.path.isdir(path):
            yield path, read_file(path, most)
            continue
        with Beneath() as beneath:
            for folder, name in beneath.files(path):
                if suffix(name) in READERS:
                    yield os.path.join(path, folder, name), read_beneath(beneath, path, folder, name, most)


def _checked(path: bytes, read: Read, options: Options) -> dict[str, Any]:
    """The row of a file; one that the program fails on is a fault, and the others are checked all the same."""
    from dedup.scan.isolation import fault_of, is_of_file
    from dedup.text.normalise import printable_path

    try:
        return _check(path, read, options)
    except Exception as error:
        if not is_of_file(error):
            raise
        fault = fault_of(error, "checking")
        return dict.fromkeys(COLUMNS) | {"path": printable_path(path), "fault": f"{fault.kind}: {fault.message}"}


def _check(path: bytes, read: Read, options: Options) -> dict[str, Any]:
    from dedup import formats as readers
    from dedup.model import Fault
    from dedup.text.normalise import printable_path

    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {"path": printable_path(path)}
    if isinstance(read, str):
        reasons = {
            "vanished": "there is no such file",
            "unsettled": "it is being written",
            "symlink": "it is a link",
            "barred": "the folder may not be entered",
        }
        return row | {"fault": f"unreadable: {reasons.get(read, 'it is no regular file')}"}
    if isinstance(read, Fault):
        return row | {"fault": f"{read.kind}: {read.message}"}
    reading = readers.read(os.path.basename(path), read.raw, options.read)
    if reading.article is None:
        return row | {"fault": f"{reading.faults[0].kind}: {reading.faults[0].message}"}
    if options.urls.page(reading.article.url, reading.article.metadata.oid, reading.article.metadata.aid) is None:
        return row | {"fault": "no_url: the article has neither a usable URL nor an oid and aid"}
    check = reading.article.check
    fault = f"{reading.faults[0].kind}: {reading.faults[0].message}" if reading.faults else None
    return row | {
        "check": check.status,
        "cause": check.cause,
        "claimed": check.claimed,
        "computed": check.computed,
        "recipe": check.recipe,
        "fault": fault,
    }


def _print(row: dict[str, Any], *, everything: bool) -> None:
    path = row["path"]
    if row["check"] is None:
        click.echo(f"{click.style('fault', fg='red')}       {path}: {printable(row['fault'])}")
    elif row["check"] == "mismatched":
        told = f"claimed {printable(row['claimed'][:80])}, {row['recipe']} is {row['computed']}"
        click.echo(f"{click.style('mismatched', fg='red')}  {path}: {row['cause']}; {told}")
    elif row["check"] == "unclaimed" or everything:
        click.echo(f"{row['check']:<11} {path}")

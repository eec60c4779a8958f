"""`verify`: check the content_hash of files without a database."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import CommonOptions, common_options, format_option, print_csv, print_json_array, print_note
from dedup.text.format import format_count
from dedup.text.sanitise import to_printable

if TYPE_CHECKING:
    from dedup.pipeline.extract import ExtractOptions, ReadResult

COLUMNS = ("path", "check_status", "check_cause", "claimed_digest", "computed_digest", "digest_recipe", "fault")


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@format_option("text", "json", "csv")
@common_options
@click.pass_obj
def verify(options: CommonOptions, paths: tuple[str, ...], output_format: str) -> None:
    """Check the content_hash of article files.

    Reads files, or every article file below a directory, and compares the digest each one claims with the digest of its
    body. Needs no database. Prints mismatched and unclaimed files, faults, and a summary; --verbose adds verified files.
    Without the history of a page, a claim that fits an earlier revision ("stale") is reported as "altered".

    \b
    Examples:
      dedup verify crawl
      dedup verify a.md b.md --format csv

    Exit codes: 1 if a file is mismatched or cannot be read as an article.
    """
    from dedup.pipeline.session import build_extract_options

    read_options = build_extract_options(options.load().settings)
    counts = {"verified": 0, "mismatched": 0, "unclaimed": 0, "fault": 0}

    def rows() -> Iterator[dict[str, Any]]:
        for path, result in _read_files(paths, read_options.max_file_bytes):
            row = _check_safely(path, result, read_options)
            counts[row["check_status"] or "fault"] += 1
            yield row

    if output_format == "json":
        print_json_array(rows())
    elif output_format == "csv":
        print_csv(COLUMNS, rows())
    else:
        for row in rows():
            _print(row, verbose=options.verbosity > 0)
        summary = ", ".join(f"{n:,} {what}" for what, n in counts.items() if what != "fault")
        click.echo(f"{format_count(sum(counts.values()), 'file')}: {summary}, {format_count(counts['fault'], 'fault')}")
    if not sum(counts.values()):
        print_note(options, "No article files found (.md, .markdown, .txt).")
    if counts["mismatched"] or counts["fault"]:
        sys.exit(1)


def _read_files(paths: tuple[str, ...], max_bytes: int) -> Iterator[tuple[bytes, ReadResult]]:
    """Read files, and article files below directories. Symlinks below a directory are not followed.

    Yields each path with the result of reading it.
    """
    from dedup.files.nofollow import NoFollowTree
    from dedup.formats import READERS, name_suffix
    from dedup.pipeline.extract import read_file, read_in_directory

    for path in map(os.fsencode, paths):
        if not os.path.isdir(path):
            yield path, read_file(path, max_bytes)
            continue
        with NoFollowTree() as tree:
            for folder, name in tree.walk_files(path):
                if name_suffix(name) in READERS:
                    yield os.path.join(path, folder, name), read_in_directory(tree, path, folder, name, max_bytes)


def _check_safely(path: bytes, result: ReadResult, options: ExtractOptions) -> dict[str, Any]:
    """Return the row of a file. An unexpected error becomes a fault of this file, so that the other files are still checked."""
    from dedup.pipeline.isolation import internal_fault, is_file_error
    from dedup.text.sanitise import to_printable_path

    try:
        return _check_file(path, result, options)
    except Exception as error:
        if not is_file_error(error):
            raise
        fault = internal_fault(error, "checking")
        return dict.fromkeys(COLUMNS) | {"path": to_printable_path(path), "fault": f"{fault.kind}: {fault.message}"}


def _check_file(path: bytes, result: ReadResult, options: ExtractOptions) -> dict[str, Any]:
    from dedup import formats
    from dedup.model import Fault
    from dedup.text.sanitise import to_printable_path

    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {"path": to_printable_path(path)}
    if isinstance(result, str):
        reasons = {
            "vanished": "there is no such file",
            "unsettled": "it is being written",
            "symlink": "it is a symlink",
            "inaccessible": "permission to enter the folder is denied",
        }
        return row | {"fault": f"unreadable: {reasons.get(result, 'it is not a regular file')}"}
    if isinstance(result, Fault):
        return row | {"fault": f"{result.kind}: {result.message}"}
    reading = formats.read_article(os.path.basename(path), result.raw, options.read_options)
    if reading.article is None:
        return row | {"fault": f"{reading.faults[0].kind}: {reading.faults[0].message}"}
    if options.canonicaliser.page_url(reading.article.url, reading.article.metadata.oid, reading.article.metadata.aid) is None:
        return row | {"fault": "no_url: the article has neither a usable URL nor an oid and aid"}
    check = reading.article.check
    fault = f"{reading.faults[0].kind}: {reading.faults[0].message}" if reading.faults else None
    return row | {
        "check_status": check.status,
        "check_cause": check.cause,
        "claimed_digest": check.claimed,
        "computed_digest": check.computed,
        "digest_recipe": check.recipe,
        "fault": fault,
    }


def _print(row: dict[str, Any], *, verbose: bool) -> None:
    path = row["path"]
    if row["check_status"] is None:
        click.echo(f"{click.style('fault', fg='red')}       {path}: {to_printable(row['fault'])}")
    elif row["check_status"] == "mismatched":
        details = f"claimed {to_printable(row['claimed_digest'][:80])}, {row['digest_recipe']} is {row['computed_digest']}"
        click.echo(f"{click.style('mismatched', fg='red')}  {path}: {row['check_cause']}; {details}")
    elif row["check_status"] == "unclaimed" or verbose:
        click.echo(f"{row['check_status']:<11} {path}")

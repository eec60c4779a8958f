"""`status` and `dump`: what the database holds."""

from __future__ import annotations

import sys

import click

from dedup.cli.common import Common, common, dumps, formats, plural, print_json
from dedup.text import printable


@click.command()
@click.option("--faults", "with_faults", is_flag=True, help="List every file that could not be read, with the reason.")
@click.option("--fail-on", multiple=True, type=click.Choice(["mismatched", "fault"]), help="Exit with 1 if there is any.")
@formats("text", "json")
@common
@click.pass_obj
def status(options: Common, with_faults: bool, fail_on: tuple[str, ...], form: str) -> None:
    """Counts of what the database holds, its faults, its size, the last scan, and who is writing to it.

    Files that are gone are counted among the files, and beside them. The faults are those that stand: one is dropped when
    its file can be read, or is gone.
    """
    from dedup import reports
    from dedup.store import open_reader

    with open_reader(options.load().settings.database.path) as store:
        found = reports.status(store)
        faults = reports.faults(store) if with_faults else []
    if form == "json":
        print_json(found | ({"fault_list": faults} if with_faults else {}))
    else:
        for key in ("files", "gone", "pages", "revisions", "sightings", "changes"):
            click.echo(f"{key:<12}{found[key]:>12,}")
        for key in ("checks", "matches", "faults"):
            click.echo(f"{key:<12}" + (", ".join(f"{n:,} {what}" for what, n in found[key].items()) or "none"))
        click.echo(f"{'database':<12}{found['database_bytes'] / 1e6:,.1f} MB")
        click.echo(f"{'index':<12}{found['index_bytes'] / 1e6:,.1f} MB")
        if found["crowded"]:
            click.echo(f"{'crowded':<12}{plural(found['crowded'], 'text')} with more copies than were compared")
        last = found["last_scan"]
        click.echo(f"{'last scan':<12}" + (f"{last['finished_at']} ({last['seconds']:.1f} s)" if last else "never"))
        click.echo(f"{'writer':<12}" + printable(found["writer"] or "nobody"))
        for f in faults:
            click.echo(f"{f['kind']:<22} {f['path']}: {printable(f['message'])}")
    if ("fault" in fail_on and found["faults"]) or ("mismatched" in fail_on and found["checks"]["mismatched"]):
        sys.exit(1)


@click.command()
@click.option("--logical", is_flag=True, required=True, help="Content only: no surrogate keys, no times of observation.")
@formats("json")
@common
@click.pass_obj
def dump(options: Common, logical: bool, form: str) -> None:
    """Print the database's content as JSON lines in an order that depends on nothing else, for comparing two databases.

    \b
    diff <(dedup -d one.db dump --logical) <(dedup -d two.db dump --logical)
    """
    from dedup import reports
    from dedup.store import open_reader

    assert logical
    assert form == "json"
    with open_reader(options.load().settings.database.path) as store:
        for row in reports.dump(store):
            sys.stdout.write(dumps(row) + "\n")

"""`status` and `dump`: what the database holds."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from typing import Any

import click

from dedup.cli.common import Common, common, formats, judge, plural, print_json
from dedup.text.normalise import printable
from dedup.text.sanitise import dumps


@click.command()
@click.option("--faults", "with_faults", is_flag=True, help="List every file that could not be read, with the reason.")
@click.option("--fail-on", multiple=True, type=click.Choice(["mismatched", "fault"]), help="Exit with 1 if there is any.")
@click.option("--check", is_flag=True, help="Only whether a daemon runs and can do its work, quickly: exit with 1 if not, and say why.")
@click.option("--watch", "watched", is_flag=True, help="Tell it again and again; on a terminal in place. Ctrl-C ends it.")
@click.option(
    "--every", type=click.FloatRange(0.2, 3600), default=2.0, show_default=True, metavar="SECONDS", help="How often, with --watch."
)
@formats("text", "json")
@common
@click.pass_obj
def status(options: Common, with_faults: bool, fail_on: tuple[str, ...], check: bool, watched: bool, every: float, form: str) -> None:
    """How things stand: what the database holds, the last scan, and how the daemon is.

    Files that are gone are counted among the files, and beside them. The faults are those that stand: one is dropped when
    its file can be read, or is gone. What a daemon says of itself (backlog, rates, overflows, folders that are not watched, what
    it cannot do) is at most a few seconds old.

    \b
    dedup status --check          for cron, systemd or a monitor
    dedup status --watch          for a terminal
    dedup status --watch -f json  a line of JSON every two seconds
    """
    settings = options.load().settings
    path = settings.database.path
    if check:
        _check(path, form)
        return
    if watched:
        _watch(path, every, form)
        return
    from dedup.reports.status import daemon, faults, holds, pending, roots, told
    from dedup.store import open_database

    with open_database(path) as database:
        found = holds(database) | {"roots": roots(database, settings), "pending": pending(database, settings)} | told(daemon(path))
        listed = faults(database) if with_faults else []
    judge(bad=("fault" in fail_on and bool(found["faults"])) or ("mismatched" in fail_on and bool(found["checks"]["mismatched"])))
    if form == "json":
        print_json(found | ({"fault_list": listed} if with_faults else {}))
    else:
        for line in _lines(found):
            click.echo(line)
        for f in listed:
            click.echo(f"{f['kind']:<22} {f['path']}: {printable(f['message'])}")
    if ("fault" in fail_on and found["faults"]) or ("mismatched" in fail_on and found["checks"]["mismatched"]):
        sys.exit(1)


def _check(path: str, form: str) -> None:
    from dedup.errors import DatabaseUnreadableError
    from dedup.reports.status import daemon, problems
    from dedup.store import open_database
    from dedup.store.lock import held

    found = problems(daemon(path))
    try:
        with open_database(path):
            pass
    except DatabaseUnreadableError as error:  # nor, perhaps, its lock
        found = [str(error), *(found if held(path) else ())]
    judge(bad=bool(found))
    if form == "json":
        print_json({"healthy": not found, "problems": found})
    else:
        for problem in found or ["healthy"]:
            click.echo(printable(problem))
    if found:
        sys.exit(1)


def _watch(path: str, every: float, form: str) -> None:
    """Again and again. What takes long to count is counted less often."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from dedup.reports.status import daemon, holds, told
    from dedup.store import open_database

    counted: dict[str, Any] = {}
    next_count = 0.0
    console = Console()
    in_place = form == "text" and console.is_terminal
    with Live(console=console, auto_refresh=False, transient=False) if in_place else nullcontext() as live:
        while True:
            begun = time.monotonic()
            if begun >= next_count:
                with open_database(path) as database:
                    counted = holds(database)
                next_count = begun + max(5.0, 20 * (time.monotonic() - begun))
            found = counted | told(daemon(path))
            if live is not None:
                live.update(Text("\n".join(_lines(found))), refresh=True)
            elif form == "json":
                click.echo(dumps(found))
            else:
                click.echo(_line(found))
            sys.stdout.flush()
            time.sleep(max(0.0, every - (time.monotonic() - begun)))


def _lines(found: dict[str, Any]) -> list[str]:
    """For people: a line for each thing there is to tell."""
    lines = [f"{key:<12}{found[key]:>12,}" for key in ("files", "gone", "pages", "revisions", "sightings", "changes")]
    lines += [f"{key:<12}" + (_listed(found[key]) or "none") for key in ("checks", "matches", "alerts", "faults")]
    lines += [f"{'database':<12}{found['database_bytes'] / 1e6:,.1f} MB", f"{'index':<12}{found['index_bytes'] / 1e6:,.1f} MB"]
    search = found["search"]
    if search["reached"] < search["texts"]:
        lines.append(f"{'search':<12}reaches {search['reached']:,} of {plural(search['texts'], 'text')}")
    for row in found.get("roots", ()):
        if row["state"] == "not configured" and row["files"]:
            still = f"{plural(row['files'], 'file')} still count as there; see 'dedup roots'"
            lines.append(f"{'directory':<12}{printable(row['path'])} is not configured: {still}")
    for change in found.get("pending", ()):
        lines.append(f"{'settings':<12}{change['what']} changed: run '{change['remedy']}'")
    if found["rereads"]:
        lines.append(f"{'rereads':<12}{plural(found['rereads'], 'file')} still to be read again by the settings in force")
    if found["pruned"]:
        lines.append(f"{'pruned':<12}{plural(found['pruned'], 'revision')} without text")
    if found["crowded"]:
        lines.append(f"{'crowded':<12}{plural(found['crowded'], 'text')} with more copies than were compared")
    last = found["last_scan"]
    lines.append(f"{'last scan':<12}" + (f"{last['finished_at']} ({last['seconds']:.1f} s)" if last else "never"))
    if last:
        lines.append(f"{'':<12}{_seen(last)}")
        lines += [f"{'absent':<12}{path}: nothing there was marked as gone" for path in last.get("absent", ())]
    lines.append(f"{'writer':<12}" + printable(found["writer"] or "nobody"))
    if found["killed"]:
        doing = f" while {found['killed']['doing']}" if found["killed"]["doing"] else ""
        lines.append(f"{'':<12}" + printable(f"the last, {found['killed']['holder']}, was killed{doing}"))
    if found["daemon"]:
        lines += _daemon_lines(found["daemon"])
    return lines


def _daemon_lines(d: dict[str, Any]) -> list[str]:
    from dedup.files.leases import subject

    backlog, unwatched = d["backlog"], plural(d["unwatched"], "folder")
    waited = f", for {backlog['oldest_seconds']:,.0f} s at most" if backlog["oldest_seconds"] else ""
    rates = [", ".join(f"{rate:,.1f}" for rate in d["rates"][what]) for what in ("files", "recorded")]
    some = f": {', '.join(d['unwatched_some'])}" if d["unwatched"] else ""
    told = {
        "daemon": f"{d['phase']}; reported {d['age_seconds']:.0f} s ago" + (f"; {printable(d['doing'])}" if d["doing"] else ""),
        "seen": _seen(d["seen"]),
        "backlog": f"{plural(backlog['files'], 'file')} waiting{waited}",
        "rates": f"{rates[0]} files/s; {rates[1]} recorded/s (over 1, 5, 15 min)",
        "alerts": _alerts_line(d["alerts"]),
        "scans": f"{d['scans']:,}; the next at {d['next_scan_at'] or 'once'}",
        "events": f"{plural(d['overflows'], 'overflow')}, {plural(d['restarts'], 'restart')}, {unwatched} not watched{some}",
    }
    lines = [f"{key:<12}{line}" for key, line in told.items()]
    lines += [f"{'writers':<12}not detected for {subject(owner)}: see 'dedup doctor'" for owner in d["unprobed"]]
    return lines + [click.style(f"{'DEGRADED':<12}since {x['since']}: {printable(x['message'])}", fg="red") for x in d["degraded"]]


def _alerts_line(alerts: dict[str, Any]) -> str:
    overdue = f", the first due for {alerts['overdue_seconds']:,.0f} s" if alerts["overdue_seconds"] else ""
    return f"{alerts['pending']:,} on their way{overdue}; {alerts['dead']:,} given up"


def _line(found: dict[str, Any]) -> str:
    """All of it that moves, in one line."""
    d = found["daemon"]
    if d is None:
        return printable(f"{found['files']:,} files; " + "; ".join(found["problems"]))
    told = f"{d['phase']}: {_seen(d['seen'])}; {d['backlog']['files']:,} waiting, {d['rates']['files'][0]:,.1f} files/s"
    return printable("; ".join([told, *found["problems"]]))


def _seen(tally: dict[str, Any]) -> str:
    """What became of the files that were looked at; the parts add up."""
    recorded = tally["new"] + tally["changed"] + tally["moved"]
    ignored, faults = _listed(tally.get("ignored_by", {})), _listed(tally.get("faults_by", {}))
    return (
        f"{plural(tally['files'], 'file')} = {recorded:,} recorded + {tally['unchanged']:,} unchanged"
        f" + {tally['ignored']:,} ignored{f' ({ignored})' if ignored else ''}"
        f" + {tally['faults']:,} with faults{f' ({faults})' if faults else ''} + {tally['unsettled']:,} unsettled"
    )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {what}" for what, n in counts.items())


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
    from dedup.store import open_database

    assert logical
    assert form == "json"
    with open_database(options.load().settings.database.path) as database:
        for row in reports.dump(database):
            sys.stdout.write(dumps(row) + "\n")

"""`status` and `dump`: what the database contains."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import CommonOptions, common_options, format_option, print_json, set_verdict
from dedup.cli.suggestions import SuggestingChoice
from dedup.text.format import format_count, format_megabytes
from dedup.text.sanitise import format_json, to_printable

if TYPE_CHECKING:
    from dedup.config import Settings


@click.command()
@click.option("--faults", "with_faults", is_flag=True, help="List every file that could not be read, with the reason.")
@click.option(
    "--fail-on", multiple=True, type=SuggestingChoice(["mismatched", "fault"]), help="Exit with 1 if there is one. May be repeated."
)
@click.option("--check", is_flag=True, help="Only check that a healthy daemon runs: print problems and exit with 1, or print 'healthy'.")
@click.option("--follow", is_flag=True, help="Refresh until Ctrl-C.")
@click.option(
    "--interval",
    "interval_seconds",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between refreshes with --follow.",
)
@format_option("text", "json")
@common_options
@click.pass_obj
def status(
    options: CommonOptions,
    with_faults: bool,
    fail_on: tuple[str, ...],
    check: bool,
    follow: bool,
    interval_seconds: float,
    output_format: str,
) -> None:
    """Show counts, the last scan and the daemon.

    Prints what the database contains, the result of the last scan, the process that is writing, and the state of the daemon
    (backlog, rates, problems), which is at most a few seconds old. 'files' includes files that are gone. A fault is counted
    until its file can be read or is gone.

    \b
    Examples:
      dedup status
      dedup status --check           for cron, systemd or a monitor
      dedup status --follow -f json  one line of JSON every two seconds

    Exit codes: 1 if a --fail-on condition is met, or with --check if no healthy daemon runs.
    """
    settings = options.load().settings
    path = settings.database.path
    if check:
        _check(path, output_format)
    elif follow:
        _follow(path, interval_seconds, output_format)
    else:
        _print_status(settings, fail_on, output_format, with_faults=with_faults)


def _print_status(settings: Settings, fail_on: tuple[str, ...], output_format: str, *, with_faults: bool) -> None:
    from dedup.reports.status import daemon_as_json, daemon_status, database_summary, list_directories, list_faults, list_pending
    from dedup.store import open_database

    with open_database(settings.database.path) as database:
        report = (
            database_summary(database)
            | {"directories": list_directories(database, settings), "pending_settings": list_pending(database, settings)}
            | daemon_as_json(daemon_status(settings.database.path))
        )
        fault_details = list_faults(database) if with_faults else []
    has_failed = ("fault" in fail_on and bool(report["faults"])) or ("mismatched" in fail_on and bool(report["checks"]["mismatched"]))
    set_verdict(has_findings=has_failed)
    if output_format == "json":
        print_json(report | ({"fault_details": fault_details} if with_faults else {}))
    else:
        for line in _format_lines(report):
            click.echo(line)
        for f in fault_details:
            click.echo(f"{f['kind']:<22} {f['path']}: {to_printable(f['message'])}")
    if has_failed:
        sys.exit(1)


def _check(path: str, output_format: str) -> None:
    from dedup.errors import DatabaseUnreadableError
    from dedup.reports.status import daemon_status, find_problems
    from dedup.store import open_database
    from dedup.store.lock import current_holder

    messages = find_problems(daemon_status(path))
    try:
        with open_database(path):
            pass
    except DatabaseUnreadableError as error:  # its lock may be unreadable too
        messages = [str(error), *(messages if current_holder(path) else ())]
    set_verdict(has_findings=bool(messages))
    if output_format == "json":
        print_json({"healthy": not messages, "problems": messages})
    else:
        for problem in messages or ["healthy"]:
            click.echo(to_printable(problem))
    if messages:
        sys.exit(1)


def _follow(path: str, interval_seconds: float, output_format: str) -> None:
    """Print the status repeatedly. Counts that take long are refreshed less often."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from dedup.reports.status import daemon_as_json, daemon_status, database_summary
    from dedup.store import open_database

    summary: dict[str, Any] = {}
    next_count = 0.0
    console = Console()
    in_place = output_format == "text" and console.is_terminal
    with Live(console=console, auto_refresh=False, transient=False) if in_place else nullcontext() as live:
        while True:
            started = time.monotonic()
            if started >= next_count:
                with open_database(path) as database:
                    summary = database_summary(database)
                next_count = started + max(5.0, 20 * (time.monotonic() - started))
            report = summary | daemon_as_json(daemon_status(path))
            if live is not None:
                live.update(Text("\n".join(_format_lines(report))), refresh=True)
            elif output_format == "json":
                click.echo(format_json(report))
            else:
                click.echo(_format_line(report))
            sys.stdout.flush()
            time.sleep(max(0.0, interval_seconds - (time.monotonic() - started)))


def _format_lines(report: dict[str, Any]) -> list[str]:
    """Return the report as lines with a label in the first 12 columns."""
    return [
        *_count_lines(report),
        *_remark_lines(report),
        *_scan_lines(report["last_scan"]),
        *_writer_lines(report),
        *(_daemon_lines(report["daemon"]) if report["daemon"] else []),
    ]


def _count_lines(report: dict[str, Any]) -> Iterator[str]:
    yield from (f"{key:<12}{report[key]:>12,}" for key in ("files", "gone", "pages", "revisions", "sightings", "changes"))
    yield from (f"{key:<12}" + (_format_counts(report[key]) or "none") for key in ("checks", "matches", "alerts", "faults"))
    yield f"{'database':<12}{format_megabytes(report['database_bytes'])}"
    yield f"{'index':<12}{format_megabytes(report['index_bytes'])}"


def _remark_lines(report: dict[str, Any]) -> Iterator[str]:
    """Lines on what is incomplete or needs attention."""
    search = report["search"]
    if search["indexed"] < search["total"]:
        yield f"{'search':<12}covers {search['indexed']:,} of {format_count(search['total'], 'text')}"
    for row in report.get("directories", ()):
        if row["status"] == "not configured" and row["files"]:
            remainder = f"{format_count(row['files'], 'file')} still count as present; see 'dedup directories'"
            yield f"{'directory':<12}{to_printable(row['path'])} is not configured: {remainder}"
    for change in report.get("pending_settings", ()):
        yield f"{'settings':<12}{change['setting']} changed: run '{change['remedy']}'"
    if report["reread_queue"]:
        yield f"{'reread queue':<12} {format_count(report['reread_queue'], 'file')} to reread because settings changed"
    if report["pruned"]:
        yield f"{'pruned':<12}{format_count(report['pruned'], 'revision')} without text"
    if report["crowded"]:
        yield f"{'crowded':<12}{format_count(report['crowded'], 'text')} with more copies than were compared"


def _scan_lines(last_scan: dict[str, Any] | None) -> Iterator[str]:
    if last_scan is None:
        yield f"{'last scan':<12}never"
        return
    yield f"{'last scan':<12}{last_scan['finished_at']} ({last_scan['seconds']:.1f} s)"
    yield f"{'':<12}{_format_scan_counts(last_scan)}"
    yield from (f"{'absent':<12}{path}: nothing there was marked as gone" for path in last_scan.get("absent", ()))


def _writer_lines(report: dict[str, Any]) -> Iterator[str]:
    yield f"{'writer':<12}" + to_printable(report["writer"] or "none")
    if killed_writer := report["killed_writer"]:
        activity = f" while {killed_writer['activity']}" if killed_writer["activity"] else ""
        yield f"{'':<12}" + to_printable(f"the last, {killed_writer['holder']}, was killed{activity}")


def _daemon_lines(daemon: dict[str, Any]) -> list[str]:
    from dedup.files.leases import describe_files

    backlog, unwatched = daemon["backlog"], format_count(daemon["unwatched"], "folder")
    oldest = f", for {backlog['oldest_seconds']:,.0f} s at most" if backlog["oldest_seconds"] else ""
    rates = [", ".join(f"{rate:,.1f}" for rate in daemon["rates"][what]) for what in ("files", "recorded")]
    examples = f": {', '.join(daemon['unwatched_examples'])}" if daemon["unwatched"] else ""
    rows = {
        "daemon": f"{daemon['phase']}; reported {daemon['age_seconds']:.0f} s ago"
        + (f"; {to_printable(daemon['activity'])}" if daemon["activity"] else ""),
        "scan counts": _format_scan_counts(daemon["counts"]),
        "backlog": f"{format_count(backlog['files'], 'file')} waiting{oldest}",
        "rates": f"{rates[0]} files/s; {rates[1]} recorded/s (over 1, 5, 15 min)",
        "alerts": _alerts_line(daemon["alerts"]),
        "scans": f"{daemon['scans']:,}; the next at {daemon['next_scan_at'] or 'once'}",
        "events": f"{format_count(daemon['overflows'], 'overflow')}, {format_count(daemon['restarts'], 'restart')},"
        f" {unwatched} not watched{examples}",
    }
    lines = [f"{key:<12}{line}" for key, line in rows.items()]
    lines += [f"{'writers':<12}not detected for {describe_files(owner)}: see 'dedup doctor'" for owner in daemon["unprobed_owners"]]
    return lines + [click.style(f"{'DEGRADED':<12}since {x['since']}: {to_printable(x['message'])}", fg="red") for x in daemon["degraded"]]


def _alerts_line(alerts: dict[str, Any]) -> str:
    overdue = f", the first due for {alerts['overdue_seconds']:,.0f} s" if alerts["overdue_seconds"] else ""
    return f"{alerts['pending']:,} pending{overdue}; {alerts['dead']:,} given up"


def _format_line(report: dict[str, Any]) -> str:
    """Return the values that change while a daemon runs, in one line."""
    daemon = report["daemon"]
    if daemon is None:
        return to_printable(f"{report['files']:,} files; " + "; ".join(report["problems"]))
    summary = (
        f"{daemon['phase']}: {_format_scan_counts(daemon['counts'])}; {daemon['backlog']['files']:,} waiting,"
        f" {daemon['rates']['files'][0]:,.1f} files/s"
    )
    return to_printable("; ".join([summary, *report["problems"]]))


def _format_scan_counts(counts: dict[str, Any]) -> str:
    """Return the counts of a scan as a sum that adds up to its number of files."""
    recorded = counts["new"] + counts["changed"] + counts["moved"]
    ignored, faults = _format_counts(counts.get("ignored_by", {})), _format_counts(counts.get("faults_by", {}))
    return (
        f"{format_count(counts['files'], 'file')} = {recorded:,} recorded + {counts['unchanged']:,} unchanged"
        f" + {counts['ignored']:,} ignored{f' ({ignored})' if ignored else ''}"
        f" + {counts['faults']:,} with faults{f' ({faults})' if faults else ''} + {counts['unsettled']:,} unsettled"
    )


def _format_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {what}" for what, n in counts.items())


@click.command()
@click.option("--logical", is_flag=True, required=True, help="Content only, without surrogate keys and times of observation. Required.")
@format_option("json")
@common_options
@click.pass_obj
def dump(options: CommonOptions, logical: bool, output_format: str) -> None:
    """Print the content for comparing databases.

    Prints JSON lines in a canonical order. Two databases that recorded the same sequence of files print the same lines.

    \b
    Examples:
      dedup dump --logical | sha256sum
      diff <(dedup -d one.db dump --logical) <(dedup -d two.db dump --logical)
    """
    from dedup import reports
    from dedup.store import open_database

    assert logical
    assert output_format == "json"
    with open_database(options.load().settings.database.path) as database:
        for row in reports.dump_rows(database):
            sys.stdout.write(format_json(row) + "\n")

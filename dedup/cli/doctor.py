"""`doctor`: what the program depends on, examined and put right."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from dedup.cli.common import (
    CommonOptions,
    common_options,
    format_option,
    log_to_stderr,
    print_json,
    set_verdict,
    shows_progress,
)
from dedup.cli.progress import ProgressBar
from dedup.text.format import format_count
from dedup.text.sanitise import to_printable

if TYPE_CHECKING:
    from dedup.doctor import Finding

_UNITS = {
    "database": ("page", "pages"),
    "records": ("row", "rows"),
    "digests": ("body", "bodies"),
    "histories": ("sighting", "sightings"),
    "summaries": ("page", "pages"),
    "indexes": ("text", "texts"),
    "watches": ("folder", "folders"),
    "directories": ("crawl directory", "crawl directories"),
    "disk": ("file system", "file systems"),
    "configuration": ("recipe", "recipes"),
    "clock": ("time", "times"),
    "packages": ("package", "packages"),
}
"""What each check looks at."""
_COLOURS = {"error": "red", "warning": "yellow", "ok": "green"}


@click.command()
@click.option("--quick", is_flag=True, help="Leave out what reads every body, histories and summaries: minutes for a large database.")
@click.option("--repair", is_flag=True, help="Make again what is derived from the rest, and examine again. Nobody may write meanwhile.")
@format_option("text", "json")
@common_options
@click.pass_obj
def doctor(options: CommonOptions, quick: bool, repair: bool, output_format: str) -> None:
    """Examine the database, its indexes, the crawl directories and the machine, and say what to do about what is found.

    Nothing is changed, and it can run beside 'dedup watch'. With --repair it computes again what is derived: indexes, texts,
    signatures and matches, sightings and changes, summaries and clusters. Bodies, readings and files are never touched:
    doctor says as exactly as it can what of them is lost, and a backup brings it back. Exits with 1 if there is an error.

    \b
    dedup doctor
    dedup doctor --quick --format json
    """
    from dedup.doctor import CHECKS, run_checks
    from dedup.similarity import jit

    settings = options.load().settings
    from dedup.doctor.repair import repair_database

    repairs: list[str] = []
    examined = 0
    if repair:
        jit.set_fallback_folder(settings.database.path)
    with log_to_stderr(options), ProgressBar("doctor", "items", is_shown=shows_progress(options)) as progress:

        def report_progress(check: str, count: int) -> None:
            nonlocal examined
            examined += count
            progress.update(examined, check)

        if repair:
            repaired = repair_database(settings, quick=quick, progress=report_progress)
            findings, checked, repairs = repaired.findings, repaired.checked_counts, repaired.actions
        else:
            findings, checked = run_checks(settings, quick=quick, progress=report_progress)
    set_verdict(has_findings=any(f.severity == "error" for f in findings))
    if output_format == "json":
        rows = [
            {"check": f.check, "severity": f.severity, "message": f.message, "remedy": f.remedy, "repairable": f.is_repairable}
            for f in findings
        ]
        print_json({"findings": rows, "checked": checked} | ({"repaired": repairs} if repair else {}))
    else:
        for sentence in repairs:
            click.echo(click.style(f"{'repaired':<15}", fg="green") + to_printable(sentence))
        shown_remedies: set[str] = set()
        for check in dict.fromkeys((*(f.check for f in findings if f.check not in CHECKS), *CHECKS)):
            _print(check, [f for f in findings if f.check == check], checked.get(check), shown_remedies)
    if any(f.severity == "error" for f in findings):
        sys.exit(1)


def _print(check: str, findings: list[Finding], examined: int | None, shown_remedies: set[str]) -> None:
    """A line where all is well; else a line a finding, and what to do, which is shown once."""
    if not findings:
        summary = "not looked at" if examined is None else f"{click.style('ok', fg='green')}: {format_count(examined, *_UNITS[check])}"
        click.echo(f"{check:<15}{summary}")
        return
    for i, f in enumerate(findings):
        head = check if i == 0 else ""
        click.echo(f"{head:<15}{click.style(f.severity, fg=_COLOURS[f.severity])}: {to_printable(f.message)}")
        if f.remedy and (i + 1 == len(findings) or findings[i + 1].remedy != f.remedy):
            click.echo(f"{'':<15}→ {'the same as above' if f.remedy in shown_remedies else to_printable(f.remedy)}")
            shown_remedies.add(f.remedy)

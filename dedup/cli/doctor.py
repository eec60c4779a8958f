"""`doctor`: check and repair the database, its indexes and the environment."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from dedup.cli.common import CommonOptions, common_options, format_option, log_to_stderr, print_json, set_verdict, shows_progress
from dedup.cli.progress import ProgressBar
from dedup.text.format import format_count
from dedup.text.sanitise import to_printable

if TYPE_CHECKING:
    from dedup.config import Settings
    from dedup.doctor import Finding

_UNITS = {
    "database": ("SQLite page", "SQLite pages"),
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
"""Check → what it counts, as (singular, plural)."""
_COLOURS = {"error": "red", "warning": "yellow", "ok": "green"}


@click.command()
@click.option(
    "--quick", is_flag=True, help="Skip the checks that read every body, history and summary, which take minutes on a large database."
)
@click.option("--repair", is_flag=True, help="Recompute derived data, then check again. No other process may be writing.")
@format_option("text", "json")
@common_options
@click.pass_obj
def doctor(options: CommonOptions, quick: bool, repair: bool, output_format: str) -> None:
    """Check the database, indexes and environment.

    Checks the database, its indexes, the crawl directories, the configuration and the machine, and prints the findings with
    their remedies. Writes nothing; 'dedup watch' may run at the same time.

    --repair recomputes derived data: indexes, texts, signatures, matches, sightings, changes, summaries and clusters. It never
    changes bodies, readings or files. If some of those are lost, doctor names them as exactly as it can; a backup restores
    them.

    \b
    Examples:
      dedup doctor
      dedup doctor --quick --format json

    Exit codes: 1 if there is an error; warnings do not count.
    """
    diagnosis = _run(options, options.load().settings, quick=quick, repair=repair)
    has_errors = any(f.severity == "error" for f in diagnosis.findings)
    set_verdict(has_findings=has_errors)
    if output_format == "json":
        print_json(_as_json(diagnosis) | ({"repaired": diagnosis.repairs} if repair else {}))
    else:
        _print_diagnosis(diagnosis)
    if has_errors:
        sys.exit(1)


class _Diagnosis(NamedTuple):
    """Findings, check → number of items checked, and sentences on what was repaired."""

    findings: list[Finding]
    checked_counts: dict[str, int]
    repairs: list[str]


def _run(options: CommonOptions, settings: Settings, *, quick: bool, repair: bool) -> _Diagnosis:
    from dedup.doctor import run_checks
    from dedup.doctor.repair import repair_database
    from dedup.similarity import jit

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
            return _Diagnosis(repaired.findings, repaired.checked_counts, repaired.actions)
        return _Diagnosis(*run_checks(settings, quick=quick, progress=report_progress), [])


def _as_json(diagnosis: _Diagnosis) -> dict[str, Any]:
    findings = [
        {"check": f.check, "severity": f.severity, "message": f.message, "remedy": f.remedy, "repairable": f.is_repairable}
        for f in diagnosis.findings
    ]
    return {"findings": findings, "checked": diagnosis.checked_counts}


def _print_diagnosis(diagnosis: _Diagnosis) -> None:
    from dedup.doctor import CHECKS

    for sentence in diagnosis.repairs:
        click.echo(click.style(f"{'repaired':<15}", fg="green") + to_printable(sentence))
    findings_by_check: dict[str, list[Finding]] = {f.check: [] for f in diagnosis.findings if f.check not in CHECKS}
    findings_by_check |= {check: [] for check in CHECKS}
    for finding in diagnosis.findings:
        findings_by_check[finding.check].append(finding)
    last_remedy = ""
    for check, findings in findings_by_check.items():
        last_remedy = _print_check(check, findings, diagnosis.checked_counts.get(check), last_remedy)


def _print_check(check: str, findings: list[Finding], examined: int | None, last_remedy: str) -> str:
    """Print one line if all is well, otherwise a line per finding with its remedy. Returns the remedy that was printed last; a finding with
    that remedy refers to it."""
    if not findings:
        summary = "not checked" if examined is None else f"{click.style('ok', fg='green')}: {format_count(examined, *_UNITS[check])}"
        click.echo(f"{check:<15}{summary}")
    for i, f in enumerate(findings):
        head = check if i == 0 else ""
        click.echo(f"{head:<15}{click.style(f.severity, fg=_COLOURS[f.severity])}: {to_printable(f.message)}")
        if f.remedy and (i + 1 == len(findings) or findings[i + 1].remedy != f.remedy):
            click.echo(f"{'':<15}→ {'as above' if f.remedy == last_remedy else to_printable(f.remedy)}")
            last_remedy = f.remedy
    return last_remedy

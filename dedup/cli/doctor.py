"""`doctor`: what the program depends on, examined and put right."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from dedup.cli.common import Common, common, formats, judge, on_terminal, plural, print_json, told
from dedup.cli.progress import Progress
from dedup.text.normalise import printable

if TYPE_CHECKING:
    from dedup.doctor import Finding

_UNITS = {
    "database": ("page", "pages"),
    "records": ("row", "rows"),
    "digests": ("body", "bodies"),
    "histories": ("sighting", "sightings"),
    "summaries": ("page", "pages"),
    "indexes": ("text", "texts"),
    "watching": ("folder", "folders"),
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
@formats("text", "json")
@common
@click.pass_obj
def doctor(options: Common, quick: bool, repair: bool, form: str) -> None:
    """Examine the database, its indexes, the crawl directories and the machine, and say what to do about what is found.

    Nothing is changed, and it can run beside 'dedup watch'. With --repair it computes again what is derived: indexes, texts,
    signatures and matches, sightings and changes, summaries and clusters. Bodies, readings and files are never touched:
    doctor says as exactly as it can what of them is lost, and a backup brings it back. Exits with 1 if there is an error.

    \b
    dedup doctor
    dedup doctor --quick --format json
    """
    from dedup.doctor import CHECKS, examine
    from dedup.doctor.repair import repair as mend
    from dedup.similarity import jit

    settings = options.load().settings
    done: list[str] = []
    total = 0
    if repair:
        jit.keep_beside(settings.database.path)
    with told(options), Progress("doctor", "things looked at", shown=on_terminal(options)) as progress:

        def looked(check: str, number: int) -> None:
            nonlocal total
            total += number
            progress.update(total, check)

        if repair:
            repaired = mend(settings, quick=quick, progress=looked)
            findings, checked, done = repaired.findings, repaired.checked, repaired.done
        else:
            findings, checked = examine(settings, quick=quick, progress=looked)
    judge(bad=any(f.severity == "error" for f in findings))
    if form == "json":
        rows = [
            {"check": f.check, "severity": f.severity, "what": f.what, "remedy": f.remedy, "repairable": f.repairable} for f in findings
        ]
        print_json({"findings": rows, "checked": checked} | ({"repaired": done} if repair else {}))
    else:
        for sentence in done:
            click.echo(click.style(f"{'repaired':<15}", fg="green") + printable(sentence))
        said: set[str] = set()
        for check in dict.fromkeys((*(f.check for f in findings if f.check not in CHECKS), *CHECKS)):
            _print(check, [f for f in findings if f.check == check], checked.get(check), said)
    if any(f.severity == "error" for f in findings):
        sys.exit(1)


def _print(check: str, findings: list[Finding], looked_at: int | None, said: set[str]) -> None:
    """A line where all is well; else a line a finding, and what to do, which is `said` once."""
    if not findings:
        told = "not looked at" if looked_at is None else f"{click.style('ok', fg='green')}: {plural(looked_at, *_UNITS[check])}"
        click.echo(f"{check:<15}{told}")
        return
    for i, f in enumerate(findings):
        head = check if i == 0 else ""
        click.echo(f"{head:<15}{click.style(f.severity, fg=_COLOURS[f.severity])}: {printable(f.what)}")
        if f.remedy and (i + 1 == len(findings) or findings[i + 1].remedy != f.remedy):
            click.echo(f"{'':<15}→ {'the same as above' if f.remedy in said else printable(f.remedy)}")
            said.add(f.remedy)

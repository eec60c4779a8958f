"""Examines what the program depends on, and says of each finding what it is, how bad, and what to do. Nothing is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from dedup.config import Settings
from dedup.doctor import database, environment, histories, indexes, matches, records, summaries
from dedup.doctor.context import Case, Cure, Finding, Severity, Steps, Surroundings
from dedup.errors import DedupError
from dedup.store.corruption import UNEXPECTED, damage
from dedup.store.integrity import open_damaged
from dedup.store.lock import held
from dedup.text.normalise import printable

__all__ = ["CHECKS", "Case", "Cure", "Finding", "Severity", "Surroundings", "examine"]

OF_CONTENT: dict[str, Steps] = {
    "records": records.RECORD_STEPS,
    "digests": {"bodies": records.digests},
    "histories": histories.STEPS,
    "summaries": summaries.STEPS,
    "indexes": {**indexes.STEPS, "stored matches": matches.stored, "near duplicates": matches.near},
}
"""Checks that are left out where the database cannot be asked."""
OF_SURROUNDINGS: dict[str, Steps] = {
    "watching": {"watches": environment.watching},
    "directories": {
        "crawl directories": environment.directories,
        "what is mounted in them": environment.mounted,
        "writers": environment.writers,
    },
    "disk": {"room": environment.disk},
    "configuration": {"recipes": environment.configuration},
    "clock": {"times": environment.clock},
    "packages": {"packages": environment.packages},
}
CHECKS = (database.CHECK, *OF_CONTENT, *OF_SURROUNDINGS)
LONG = frozenset({"digests", "histories", "summaries"})
"""Checks that `quick` leaves out, beside that of the table that holds the bodies."""
NEEDS_DATABASE = frozenset({*OF_CONTENT, "configuration", "clock"})


def examine(
    settings: Settings, *, quick: bool = False, writing: bool = False, around: Surroundings | None = None,
    progress: Callable[[str, int], None] = lambda *_: None,
) -> tuple[list[Finding], dict[str, int]]:  # fmt: skip
    """(what was found, check → how many things it looked at; checks that could not be made are not among them).

    As much as possible is checked although something else is wrong; what SQLite or the system refuses is a finding. `writing`:
    this process holds the writer's lock, and nobody else writes.
    """
    writer = None if writing else held(settings.database.path)
    case = Case(settings, None, writer, quick, around or Surroundings(), progress)
    case.checked[database.CHECK] = 0
    with ExitStack() as stack:
        findings = _made(database.CHECK, database.FILE, case)
        if case.askable:
            findings += _made(database.CHECK, {"its opening": partial(_open, stack)}, case)
        if case.database is not None:
            findings += _made(database.CHECK, database.CONTENT, case)
        for name, steps in {**OF_CONTENT, **OF_SURROUNDINGS}.items():
            if (quick and name in LONG) or (case.database is None and name in NEEDS_DATABASE):
                continue
            case.checked[name] += 0
            findings += _made(name, steps, case)
    return findings, {name: case.checked[name] for name in CHECKS if name in case.checked}


def _open(stack: ExitStack, case: Case) -> Iterator[Finding]:
    case.database = stack.enter_context(open_damaged(case.path))
    yield from ()


def _made(name: str, steps: Steps, case: Case) -> list[Finding]:
    """What the steps of a check find; that some could not be finished is a finding too."""
    found: list[Finding] = []
    failed: dict[tuple[str, str], list[str]] = {}
    for step, check in steps.items():
        if case.database is None and steps is database.CONTENT:
            break  # it is of another version, or cannot be asked
        try:
            found.extend(check(case))  # what was found before an error stays
        except sqlite3.Error as error:
            remedy = _LOCKED if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY else database.RESTORE
            failed.setdefault((printable(damage(error) or str(error)), remedy), []).append(step)
        except DedupError as error:
            failed.setdefault((printable(str(error)), _REFUSED), []).append(step)
        except OSError as error:
            place = f" ({printable(str(error.filename))})" if error.filename else ""
            failed.setdefault((f"{error.strerror or error}{place}", _REFUSED), []).append(step)
        except UNEXPECTED as error:  # rows that are not there, or hold what was never written
            told = f"{type(error).__name__}: {printable(str(error))}, which no sound database leads to"
            failed.setdefault((told, database.RESTORE), []).append(step)
    found += (Finding(name, "error", f"not checked: {', '.join(s)}: {why}", remedy) for (why, remedy), s in failed.items())
    return found


_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_LOCKED = "See which other program keeps the database locked, and examine it again."
_REFUSED = "See what the system says of that, and examine it again."

"""Examines what the program depends on, and says of each finding what it is, how bad, and what to do. Nothing is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from dedup.config import Settings
from dedup.doctor import database, environment, histories, indexes, matches, records, summaries
from dedup.doctor.context import CheckContext, Finding, RepairKind, Severity, Steps, SystemProbes
from dedup.errors import DedupError
from dedup.store.corruption import SUSPICIOUS_ERRORS, damage_message
from dedup.store.integrity import open_damaged
from dedup.store.lock import current_holder
from dedup.text.sanitise import to_printable

__all__ = ["CHECKS", "CheckContext", "Finding", "RepairKind", "Severity", "SystemProbes", "run_checks"]

CONTENT_CHECKS: dict[str, Steps] = {
    "records": records.RECORD_STEPS,
    "digests": {"bodies": records.check_digests},
    "histories": histories.STEPS,
    "summaries": summaries.STEPS,
    "indexes": {**indexes.STEPS, "stored matches": matches.check_stored_matches, "near duplicates": matches.check_near_duplicates},
}
"""Checks that are left out where the database cannot be asked."""
SYSTEM_CHECKS: dict[str, Steps] = {
    "watches": {"watches": environment.check_watches},
    "directories": {
        "crawl directories": environment.check_crawl_directories,
        "what is mounted in them": environment.check_mounts,
        "writers": environment.check_writers,
    },
    "disk": {"room": environment.check_disk},
    "configuration": {"recipes": environment.check_configuration},
    "clock": {"times": environment.check_clock},
    "packages": {"packages": environment.check_packages},
}
CHECKS = (database.CHECK, *CONTENT_CHECKS, *SYSTEM_CHECKS)
SLOW_CHECKS = frozenset({"digests", "histories", "summaries"})
"""Checks that `quick` leaves out, beside that of the table that holds the bodies."""
DATABASE_CHECKS = frozenset({*CONTENT_CHECKS, "configuration", "clock"})


def run_checks(
    settings: Settings, *, quick: bool = False, holds_lock: bool = False, probes: SystemProbes | None = None,
    progress: Callable[[str, int], None] = lambda *_: None,
) -> tuple[list[Finding], dict[str, int]]:  # fmt: skip
    """(what was found, check → how many things it looked at; checks that could not be made are not among them).

    As much as possible is checked although something else is wrong; what SQLite or the system refuses is a finding. `holds_lock`:
    this process holds the writer's lock, and nobody else writes.
    """
    writer = None if holds_lock else current_holder(settings.database.path)
    context = CheckContext(settings, None, writer, quick, probes or SystemProbes(), progress)
    context.checked_counts[database.CHECK] = 0
    with ExitStack() as stack:
        findings = _run_steps(database.CHECK, database.FILE_STEPS, context)
        if context.can_open:
            findings += _run_steps(database.CHECK, {"its opening": partial(_open_database, stack)}, context)
        if context.database is not None:
            findings += _run_steps(database.CHECK, database.CONTENT_STEPS, context)
        for name, steps in {**CONTENT_CHECKS, **SYSTEM_CHECKS}.items():
            if (quick and name in SLOW_CHECKS) or (context.database is None and name in DATABASE_CHECKS):
                continue
            context.checked_counts[name] += 0
            findings += _run_steps(name, steps, context)
    return findings, {name: context.checked_counts[name] for name in CHECKS if name in context.checked_counts}


def _open_database(stack: ExitStack, context: CheckContext) -> Iterator[Finding]:
    context.database = stack.enter_context(open_damaged(context.path))
    yield from ()


def _run_steps(name: str, steps: Steps, context: CheckContext) -> list[Finding]:
    """What the steps of a check find; that some could not be finished is a finding too."""
    findings: list[Finding] = []
    failures: dict[tuple[str, str], list[str]] = {}
    for step, check in steps.items():
        if context.database is None and steps is database.CONTENT_STEPS:
            break  # it is of another version, or cannot be asked
        try:
            findings.extend(check(context))  # what was found before an error stays
        except sqlite3.Error as error:
            remedy = _LOCKED_REMEDY if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY_CODES else database.RESTORE_REMEDY
            failures.setdefault((to_printable(damage_message(error) or str(error)), remedy), []).append(step)
        except DedupError as error:
            failures.setdefault((to_printable(str(error)), _REFUSED_REMEDY), []).append(step)
        except OSError as error:
            path_suffix = f" ({to_printable(str(error.filename))})" if error.filename else ""
            failures.setdefault((f"{error.strerror or error}{path_suffix}", _REFUSED_REMEDY), []).append(step)
        except SUSPICIOUS_ERRORS as error:  # rows that are not there, or hold what was never written
            message = f"{type(error).__name__}: {to_printable(str(error))}, which no sound database leads to"
            failures.setdefault((message, database.RESTORE_REMEDY), []).append(step)
    findings += (Finding(name, "error", f"not checked: {', '.join(s)}: {why}", remedy) for (why, remedy), s in failures.items())
    return findings


_BUSY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_LOCKED_REMEDY = "See which other program keeps the database locked, and examine it again."
_REFUSED_REMEDY = "See what the system says of that, and examine it again."

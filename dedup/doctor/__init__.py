"""Check everything that dedup depends on. Each finding has a severity and a remedy. Nothing is changed."""

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
"""Checks that are skipped if the database cannot be queried."""
SYSTEM_CHECKS: dict[str, Steps] = {
    "watches": {"watches": environment.check_watches},
    "directories": {
        "crawl directories": environment.check_crawl_directories,
        "mounts": environment.check_mounts,
        "writers": environment.check_writers,
    },
    "disk": {"free space": environment.check_disk},
    "configuration": {"recipes": environment.check_configuration},
    "clock": {"times": environment.check_clock},
    "packages": {"packages": environment.check_packages},
}
CHECKS = (database.CHECK, *CONTENT_CHECKS, *SYSTEM_CHECKS)
SLOW_CHECKS = frozenset({"digests", "histories", "summaries"})
"""Checks that `quick` skips. It also skips the integrity check of the table with the bodies."""
DATABASE_CHECKS = frozenset({*CONTENT_CHECKS, "configuration", "clock"})


def run_checks(
    settings: Settings, *, quick: bool = False, holds_lock: bool = False, probes: SystemProbes | None = None,
    progress: Callable[[str, int], None] = lambda *_: None,
) -> tuple[list[Finding], dict[str, int]]:  # fmt: skip
    """Return the findings, and check → the number of things it examined; checks that could not run are left out.

    A problem does not prevent further checks; errors of SQLite and the system are findings. `holds_lock`: this process holds the writer's
    lock. `progress` receives the name of a check and the number of things it examined since the last call.
    """
    writer = None if holds_lock else current_holder(settings.database.path)
    context = CheckContext(settings, None, writer, quick, probes or SystemProbes(), progress)
    context.checked_counts[database.CHECK] = 0
    with ExitStack() as stack:
        findings = _run_steps(database.CHECK, database.FILE_STEPS, context)
        if context.can_open:
            findings += _run_steps(database.CHECK, {"opening": partial(_open_database, stack)}, context)
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
    """Return the findings of the steps of a check. A step that could not be finished is a finding too."""
    findings: list[Finding] = []
    failures: dict[tuple[str, str], list[str]] = {}
    for step, check in steps.items():
        if context.database is None and steps is database.CONTENT_STEPS:
            break  # it has another version, or cannot be queried
        try:
            findings.extend(check(context))  # findings before an error are kept
        except sqlite3.Error as error:
            remedy = _LOCKED_REMEDY if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY_CODES else database.RESTORE_REMEDY
            failures.setdefault((to_printable(damage_message(error) or str(error)), remedy), []).append(step)
        except DedupError as error:
            failures.setdefault((to_printable(str(error)), _REFUSED_REMEDY), []).append(step)
        except OSError as error:
            path_suffix = f" ({to_printable(str(error.filename))})" if error.filename else ""
            failures.setdefault((f"{error.strerror or error}{path_suffix}", _REFUSED_REMEDY), []).append(step)
        except SUSPICIOUS_ERRORS as error:  # missing rows, or values that were never written
            message = f"{type(error).__name__}: {to_printable(str(error))}, which an intact database does not cause"
            failures.setdefault((message, database.RESTORE_REMEDY), []).append(step)
    findings += (
        Finding(name, "error", f"not checked: {', '.join(failed_steps)}: {problem}", remedy)
        for (problem, remedy), failed_steps in failures.items()
    )
    return findings


_BUSY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_LOCKED_REMEDY = "Find the program that keeps the database locked, then run 'dedup doctor' again."
_REFUSED_REMEDY = "Fix the reported error, then run 'dedup doctor' again."

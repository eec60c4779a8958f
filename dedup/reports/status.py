"""Status: the counts of the database, the last scan, the crawl directories, and the daemon."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dedup import store
from dedup.config import Settings
from dedup.daemon import health_file
from dedup.daemon.health_file import Health
from dedup.files import disk_errors
from dedup.model import RELATIONS
from dedup.pipeline import recipes
from dedup.pipeline.crawl_directories import read_identity
from dedup.store import Database
from dedup.store.lock import LockHolder, crashed_holder, current_holder
from dedup.store.rows import DirectoryRow
from dedup.text.sanitise import to_printable_path


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """The process that is writing to a database, if any, and the health report of the daemon.

    `killed_writer` is the last writer, if it was killed and none is running. `age_seconds` is the age of the health report.
    """

    writer: LockHolder | None
    killed_writer: LockHolder | None
    health: Health | None
    age_seconds: float = 0.0


def daemon_status(database: str) -> DaemonStatus:
    """Read the writer lock and the health report of the database at a path. Does not open the database."""
    writer = current_holder(database)
    if writer is None:
        return DaemonStatus(None, crashed_holder(database), None)
    health = health_file.read_report(writer.health_path) if writer.health_path else None
    if health is None:
        return DaemonStatus(writer, None, None)
    return DaemonStatus(writer, None, health, abs((datetime.now(UTC) - datetime.fromisoformat(health.at)).total_seconds()))


def find_problems(status: DaemonStatus) -> list[str]:
    """List the problems that a monitor must report, in sentences. Empty: a daemon runs and can do all its work."""
    if status.writer is None:
        suffix = f"; the last, {status.killed_writer.description}, was killed" if status.killed_writer else ""
        return [f"no daemon is running{suffix}"]
    if not status.writer.health_path:
        return [f"no daemon is running; {status.writer.description} is writing"]
    messages = []
    if status.writer.cannot_report:
        cause = disk_errors.find_write_problem(status.writer.health_path)
        messages = [
            f"{status.writer.description} cannot write its reports to {status.writer.health_path}" + (f": {cause}" if cause else "")
        ]
    elif status.health is None:
        messages = [f"{status.writer.description} has not reported in {status.writer.health_path}"]
    elif status.age_seconds > health_file.STALE_SECONDS:
        messages = [f"{status.writer.description} has not reported for {status.age_seconds:.0f} seconds"]
    degraded = status.health.degraded if status.health else ()
    return messages + [f"degraded since {d.since}: {health_file.REASON_DESCRIPTIONS[d.reason]}: {d.message}" for d in degraded]


def daemon_as_json(status: DaemonStatus) -> dict[str, Any]:
    """Return the status of the daemon as JSON, with its problems."""
    health = status.health
    return {
        "writer": status.writer.description if status.writer else None,
        "killed_writer": {"holder": status.killed_writer.description, "activity": status.killed_writer.activity}
        if status.killed_writer
        else None,
        "daemon": health.as_json() | {"age_seconds": round(status.age_seconds, 1), "activity": status.writer.activity}
        if health and status.writer
        else None,
        "problems": find_problems(status),
    }


def database_summary(database: Database) -> dict[str, Any]:
    """Return the counts of the database, its size, the coverage of the search index, and the last scan."""
    from dedup.search import index_coverage

    last_scan = store.settings.get(database, "last_scan")
    matches = store.statistics.count_by(database, "matches", "relation")
    checks, causes = store.statistics.count_checks(database)
    coverage = index_coverage(database)
    return {
        "files": store.statistics.count(database, "files"),
        "gone": store.files.count_gone(database),
        "pages": store.statistics.count(database, "pages"),
        "revisions": store.statistics.count_counted_revisions(database),
        "pruned": store.statistics.count_pruned_revisions(database),
        "sightings": sum(checks.values()),
        "checks": checks,
        "causes": causes,
        "matches": {
            "exact": store.statistics.count_exact_copies(database),
            **{r: matches.get(r, 0) for r in RELATIONS[1:]},
        },
        "crowded": store.statistics.count_crowded_texts(database),
        "changes": store.statistics.count(database, "changes"),
        "alerts": store.statistics.count_by(database, "deliveries", "status"),
        "faults": store.statistics.count_by(database, "faults", "kind"),
        "dirty_pages": store.statistics.count_unsummarised_pages(database),
        "reread_queue": store.rereads.count(database),
        "database_bytes": database.database_bytes(),
        "index_bytes": database.index_bytes(),
        "search": {"indexed": coverage.indexed, "total": coverage.total},
        "last_scan": json.loads(last_scan) if last_scan else None,
    }


def list_directories(database: Database, settings: Settings) -> list[dict[str, Any]]:
    """List the configured and the recorded crawl directories, by path.

    `state` is `configured`, `not configured` or `retired`. `files` counts present files, `gone` those that are gone.
    `scanned_at` is the end of the last complete scan. If no directory is configured, recorded ones count as configured: they
    were given on the command line.
    """
    paths = [os.path.abspath(os.fsencode(d)) for d in settings.crawl.directories]
    configured = {os.path.realpath(p) for p in paths}
    recorded = store.directories.list_all(database)
    rows = recorded + [
        DirectoryRow(0, p, 0, 0, None, None) for p in paths if os.path.realpath(p) not in {os.path.realpath(r.path) for r in recorded}
    ]
    return [
        {
            "path": to_printable_path(row.path),
            "status": "configured" if os.path.realpath(row.path) in configured or (not configured and row.retired_at is None)
            else "retired" if row.retired_at is not None else "not configured",
            "absent": read_identity(row.path) is None,
            "files": row.file_count,
            "gone": row.gone_count,
            "scanned_at": row.scanned_at,
        }
        for row in sorted(rows, key=lambda r: r.path)
    ]  # fmt: skip


def list_pending(database: Database, settings: Settings) -> list[dict[str, str]]:
    """List changed settings that are not yet applied to recorded data, each with the command that applies it."""
    return [
        {"setting": p.recipe.description.rstrip(","), "remedy": p.remedy}
        for p in recipes.find_pending_recipes(database, recipes.configured_recipes(settings))
    ]


def list_faults(database: Database) -> list[dict[str, str]]:
    """List every fault: path, kind, message, and when it was first seen."""
    return [fault._asdict() for fault in store.faults.list_all(database)]

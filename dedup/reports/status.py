"""How things stand: what the database holds, what the last scan met, and how the daemon is."""

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
from dedup.scan import recipes
from dedup.scan.roots import identity
from dedup.store import Database
from dedup.store.lock import Held, held, left_behind
from dedup.store.rows import DirectoryRow
from dedup.text.normalise import printable_path


@dataclass(frozen=True, slots=True)
class Daemon:
    """Who holds a database: `writer`, or None; `killed`, who held it last and did not end by itself; `report` of a running
    daemon, and the seconds since it was written."""

    writer: Held | None
    killed: Held | None
    report: Health | None
    age: float = 0.0


def daemon(database: str) -> Daemon:
    """Who holds the database now and how they say they are; the database itself is not opened."""
    writer = held(database)
    if writer is None:
        return Daemon(None, left_behind(database), None)
    report = health_file.read(writer.health) if writer.health else None
    if report is None:
        return Daemon(writer, None, None)
    return Daemon(writer, None, report, abs((datetime.now(UTC) - datetime.fromisoformat(report.at)).total_seconds()))


def problems(found: Daemon) -> list[str]:
    """What a monitor has to know, each in a sentence; empty: a daemon runs, gets on, and can do all of its work."""
    if found.writer is None:
        killed = f"; the last, {found.killed.holder}, was killed" if found.killed else ""
        return [f"no daemon is running{killed}"]
    if not found.writer.health:
        return [f"no daemon is running; {found.writer.holder} is writing"]
    late = []
    if found.writer.mute:
        why = disk_errors.trouble(found.writer.health)
        late = [f"{found.writer.holder} cannot write its reports to {found.writer.health}" + (f": {why}" if why else "")]
    elif found.report is None:
        late = [f"{found.writer.holder} has not reported in {found.writer.health}"]
    elif found.age > health_file.STALE:
        late = [f"{found.writer.holder} has not reported for {found.age:.0f} seconds"]
    degraded = found.report.degraded if found.report else ()
    return late + [f"degraded since {d.since}: {health_file.REASONS[d.reason]}: {d.message}" for d in degraded]


def told(found: Daemon) -> dict[str, Any]:
    """The same for machines."""
    report = found.report
    return {
        "writer": found.writer.holder if found.writer else None,
        "killed": {"holder": found.killed.holder, "doing": found.killed.doing} if found.killed else None,
        "daemon": report.as_json() | {"age_seconds": round(found.age, 1), "doing": found.writer.doing} if report and found.writer else None,
        "problems": problems(found),
    }


def holds(database: Database) -> dict[str, Any]:
    """Counts of what the database holds, its size, and the last scan."""
    from dedup.search import reach

    last = store.settings.get(database, "last_scan")
    matches = store.statistics.count_by(database, "matches", "relation")
    checks, causes = store.statistics.count_checks(database)
    found = reach(database)
    return {
        "files": store.statistics.count(database, "files"),
        "gone": store.statistics.count(database, "files", "gone = 1"),
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
        "crowded": store.statistics.count(database, "texts", "crowded = 1"),
        "changes": store.statistics.count(database, "changes"),
        "alerts": store.statistics.count_by(database, "deliveries", "state"),
        "faults": store.statistics.count_by(database, "faults", "kind"),
        "due": store.statistics.count(database, "due"),
        "rereads": store.rereads.count(database),
        "database_bytes": database.database_bytes(),
        "index_bytes": database.index_bytes(),
        "search": {"reached": found.held, "texts": found.all},
        "last_scan": json.loads(last) if last else None,
    }


def roots(database: Database, settings: Settings) -> list[dict[str, Any]]:
    """Every crawl directory that is configured or known, by path: its state (`configured`, `not configured`, `forgotten`), whether it is
    absent, its files that are there and that are gone, and the end of the last scan of all of it. Where none is configured, those that
    are known count as configured: they were named on the command line."""
    paths = [os.path.abspath(os.fsencode(d)) for d in settings.crawl.directories]
    configured = {os.path.realpath(p) for p in paths}
    known = store.directories.list_all(database)
    rows = known + [
        DirectoryRow(0, p, 0, 0, None, None) for p in paths if os.path.realpath(p) not in {os.path.realpath(r.path) for r in known}
    ]
    return [
        {
            "path": printable_path(row.path),
            "state": "configured" if os.path.realpath(row.path) in configured or (not configured and row.forgotten_at is None)
            else "forgotten" if row.forgotten_at is not None else "not configured",
            "absent": identity(row.path) is None,
            "files": row.files,
            "gone": row.gone,
            "scanned_at": row.scanned_at,
        }
        for row in sorted(rows, key=lambda r: r.path)
    ]  # fmt: skip


def pending(database: Database, settings: Settings) -> list[dict[str, str]]:
    """Settings that changed and are still to be applied to what is recorded, each with the command that does it."""
    return [{"what": p.recipe.what.rstrip(","), "remedy": p.remedy} for p in recipes.pending(database, recipes.configured(settings))]


def faults(database: Database) -> list[dict[str, str]]:
    """Every fault that stands: path, kind, message, since when."""
    return [{"path": p, "kind": k, "message": m, "since": s} for p, k, m, s in store.faults.list_all(database)]

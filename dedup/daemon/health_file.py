"""The health report of a running daemon: a JSON file, replaced atomically every few seconds, for `status`, metrics and monitoring."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from dedup.files import secure
from dedup.files.atomic import create_part
from dedup.files.descriptors import is_exhausted

Phase = Literal["starting", "scanning", "watching", "stopping"]
DegradationReason = Literal["database", "absent", "unwatched", "events", "alerts", "derived", "internal"]

REASON_DESCRIPTIONS: dict[DegradationReason, str] = {
    "database": "the database cannot be written",
    "absent": "a crawl directory is missing, unreadable, or empty and not the directory it was, or a mount in it is absent",
    "unwatched": "folders are not watched; timed scans find what changes there",
    "events": "no events come; only scans find what changes",
    "alerts": "a channel does not take alerts; they are kept and retried",
    "derived": "the summaries or the search index cannot be updated; the update is retried",
    "internal": "part of the work failed because of an internal error; it is retried",
}

REPORT_INTERVAL_SECONDS = 2.0
"""Longest time between two reports while the daemon makes progress, in seconds."""
STALE_SECONDS = 60.0
"""Age in seconds from which a report is not trusted."""
_BLOCK_BYTES = 4096
"""The size of the file is a multiple of this, so that a report can be overwritten in place on a full disk."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """Work that the daemon cannot do at present: the reason, since when (ISO 8601), and the details."""

    reason: DegradationReason
    since: str
    message: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """Files that are known and not recorded yet, and the seconds that the oldest of them has waited.

    Counts files that have not settled or wait for their batch, and paths that events named; not files that a scan has yet to visit."""

    files: int = 0
    oldest_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Files checked and articles recorded per second, over the last 1, 5 and 15 minutes."""

    files: tuple[float, float, float] = (0.0, 0.0, 0.0)
    recorded: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class DeliveryBacklog:
    """Deliveries not sent yet, the seconds that the first of them is overdue, and deliveries that were given up."""

    pending: int = 0
    overdue_seconds: float = 0.0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """One report. Times are ISO 8601 in UTC, `at` is the time of the report.

    `counts` covers all files checked since the start. `unprobed_owners` are the user ids of owners of files whose writers cannot be
    detected (-1: files on a file system without leases)."""

    process: int
    started_at: str
    at: str
    phase: Phase
    counts: dict[str, Any] = field(default_factory=dict)
    backlog: Backlog = Backlog()
    rates: Rates = Rates()
    scans: int = 0
    last_scan_at: str | None = None
    last_scan_seconds: float | None = None
    next_scan_at: str | None = None
    overflows: int = 0
    restarts: int = 0
    unwatched: int = 0
    unwatched_examples: tuple[str, ...] = ()
    alerts: DeliveryBacklog = DeliveryBacklog()
    unprobed_owners: tuple[int, ...] = ()
    degraded: tuple[Degradation, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the documented JSON form."""
        return asdict(self)


def report_path(database: str) -> str:
    """Return the path of the report for a database: in systemd's RUNTIME_DIRECTORY, else in the user's XDG_RUNTIME_DIR, else next to the
    database."""
    name = os.path.basename(database)
    for variable, subfolder in (("RUNTIME_DIRECTORY", ""), ("XDG_RUNTIME_DIR", "dedup")):
        runtime_directory = os.environ.get(variable, "").split(":")[0]
        if runtime_directory and os.access(runtime_directory, os.W_OK):
            directory = os.path.join(runtime_directory, subfolder)
            with contextlib.suppress(OSError):
                os.makedirs(directory, mode=0o700, exist_ok=True)
                digest = hashlib.sha256(os.fsencode(os.path.abspath(database))).hexdigest()[:8]
                return os.path.join(directory, f"{name}-{digest}.health")
    return database + ".health"


def write_report(path: str, health: Health) -> None:
    """Replace the report at `path` atomically. On a full disk the file is overwritten in one write; raises OSError if that fails too."""
    report = json.dumps(health.as_json(), ensure_ascii=False, indent=1).encode("utf-8", "surrogateescape")
    report = report.ljust(-(-len(report) // _BLOCK_BYTES) * _BLOCK_BYTES)
    try:
        with create_part(os.path.realpath(os.path.dirname(path))) as part:
            _write_all(part.fd, report)
            part.move_to(path, durable=False)  # a report is of no use after a crash
    except OSError:
        fd = secure.open_private(path, os.O_WRONLY)
        try:
            _write_all(fd, report.ljust(os.fstat(fd).st_size))
        finally:
            os.close(fd)


def read_report(path: str) -> Health | None:
    """Return the report at `path`; None if there is none or it is not valid.

    Raises OSError if this process is out of descriptors or memory."""
    try:
        with open(secure.open_private(path, os.O_RDONLY), "rb") as file:
            payload = json.loads(file.read().decode("utf-8", "surrogateescape"))
        payload["backlog"] = Backlog(**payload["backlog"])
        payload["rates"] = Rates(**{name: tuple(values) for name, values in payload["rates"].items()})
        payload["alerts"] = DeliveryBacklog(**payload["alerts"])
        payload["degraded"] = tuple(Degradation(**d) for d in payload["degraded"])
        payload["unwatched_examples"] = tuple(payload["unwatched_examples"])
        payload["unprobed_owners"] = tuple(payload["unprobed_owners"])
        return Health(**{f.name: payload[f.name] for f in fields(Health)})
    except OSError as error:
        if is_exhausted(error):
            raise
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def remove_report(path: str) -> None:
    """Delete the report, if it exists: the daemon has stopped."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def _write_all(fd: int, report: bytes) -> None:
    if os.pwrite(fd, report, 0) != len(report):
        raise OSError(errno.ENOSPC, "no space left for the report")

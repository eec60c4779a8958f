"""What a running daemon says of itself: a file of JSON, replaced as a whole every few seconds, for `status`, metrics and monitors."""

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
    "unwatched": "folders are not watched; the timer's scans find what changes there",
    "events": "no events come; scans alone find what changes",
    "alerts": "a channel does not take alerts; they are kept and tried again",
    "derived": "the summaries or the search index are not brought up to date; that is tried again",
    "internal": "the program failed at part of its work; that is tried again",
}

REPORT_INTERVAL_SECONDS = 2.0
"""Seconds between two reports, at most, while the daemon gets on."""
STALE_SECONDS = 60.0
"""Seconds after which a report is too old to be believed."""
_BLOCK_BYTES = 4096
"""Bytes: in a file of such a size a report can be written over where there is no room for another file."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """Something that the daemon cannot do now: why (one of REASONS), since when (ISO 8601), and what exactly."""

    reason: DegradationReason
    since: str
    message: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is known of and not recorded yet: files that have not settled or wait for their batch, and paths that events named;
    and the seconds for which the oldest of them has waited. Files that a scan has not come to are not among them."""

    files: int = 0
    oldest_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Files looked at, and articles recorded, a second, over the last 1, 5 and 15 minutes."""

    files: tuple[float, float, float] = (0.0, 0.0, 0.0)
    recorded: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class DeliveryBacklog:
    """Deliveries of alerts that are on their way, for how long the first of them has been due, and those that were given up."""

    pending: int = 0
    overdue_seconds: float = 0.0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """One report. `at` and the other times are ISO 8601 in UTC; `counts` are those of all files looked at since the start;
    `unprobed_owners` are owners of files whose writers cannot be detected (-1: files on a file system without leases)."""

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
        """The documented form."""
        return asdict(self)


def report_path(database: str) -> str:
    """Where the daemon of a database reports: in the directory that systemd made for it (RUNTIME_DIRECTORY), else in the
    user's own for such files (XDG_RUNTIME_DIR), else beside the database."""
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
    """Replace the report at `path` as a whole. Where there is no room for a second file (a full disk) it is written over in one
    write; raises OSError where that fails too."""
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
    """The report at `path`; None where there is none that can be understood."""
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
    """The daemon leaves; it has nothing to say any more."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def _write_all(fd: int, report: bytes) -> None:
    if os.pwrite(fd, report, 0) != len(report):
        raise OSError(errno.ENOSPC, "there is no room for the report")

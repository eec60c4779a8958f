"""The limits of inotify for this user: those of the kernel, and those of the user namespace, which can be lower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WATCH_LIMIT_PATHS = ("/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches")
INSTANCE_LIMIT_PATHS = ("/proc/sys/fs/inotify/max_user_instances", "/proc/sys/user/max_inotify_instances")


@dataclass(frozen=True, slots=True)
class InotifyLimits:
    """The limits of watches (one per folder) and of inotify instances (one per crawl directory) for all processes of this user together,
    and the files that they were read from. None: no file could be read."""

    max_watches: int | None
    max_instances: int | None
    watches_source: str = ""
    instances_source: str = ""


def read_limits(watch_paths: Sequence[str] = WATCH_LIMIT_PATHS, instance_paths: Sequence[str] = INSTANCE_LIMIT_PATHS) -> InotifyLimits:
    """Return the smallest limit of each kind. Each path is a file with one number; files that cannot be read are skipped."""
    max_watches, watches_source = _smallest_limit(watch_paths)
    max_instances, instances_source = _smallest_limit(instance_paths)
    return InotifyLimits(max_watches, max_instances, watches_source, instances_source)


def _smallest_limit(paths: Sequence[str]) -> tuple[int | None, str]:
    limits = [(number, path) for path in paths if (number := _read_number(path)) is not None]
    return min(limits, key=lambda limit: limit[0]) if limits else (None, "")


def _read_number(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            return int(file.read(64))
    except (OSError, ValueError):
        return None

"""How much this user may watch: the kernel's limits of inotify, and those of the user namespace, which the kernel's do not show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WATCH_LIMIT_PATHS = ("/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches")
INSTANCE_LIMIT_PATHS = ("/proc/sys/fs/inotify/max_user_instances", "/proc/sys/user/max_inotify_instances")


@dataclass(frozen=True, slots=True)
class InotifyLimits:
    """The most watches (one a folder) and inotify instances (one a crawl directory) of all processes of this user together, and
    the files that say so; None: nothing says."""

    max_watches: int | None
    max_instances: int | None
    watches_source: str = ""
    instances_source: str = ""


def read_limits(watch_paths: Sequence[str] = WATCH_LIMIT_PATHS, instance_paths: Sequence[str] = INSTANCE_LIMIT_PATHS) -> InotifyLimits:
    """The smaller limit of each kind among files that hold a number each; one that cannot be read says nothing."""
    max_watches, watches_from = _smallest_limit(watch_paths)
    max_instances, instances_from = _smallest_limit(instance_paths)
    return InotifyLimits(max_watches, max_instances, watches_from, instances_from)


def _smallest_limit(paths: Sequence[str]) -> tuple[int | None, str]:
    limits = [(number, path) for path in paths if (number := _read_number(path)) is not None]
    return min(limits, key=lambda f: f[0]) if limits else (None, "")


def _read_number(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            return int(file.read(64))
    except (OSError, ValueError):
        return None

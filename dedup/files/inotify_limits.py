"""How much this user may watch: the kernel's limits of inotify, and those of the user namespace, which the kernel's do not show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WATCHES = ("/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches")
INSTANCES = ("/proc/sys/fs/inotify/max_user_instances", "/proc/sys/user/max_inotify_instances")


@dataclass(frozen=True, slots=True)
class Limits:
    """The most watches (one a folder) and inotify instances (one a crawl directory) of all processes of this user together, and
    the files that say so; None: nothing says."""

    watches: int | None
    instances: int | None
    watches_from: str = ""
    instances_from: str = ""


def read(watches: Sequence[str] = WATCHES, instances: Sequence[str] = INSTANCES) -> Limits:
    """The smaller limit of each kind among files that hold a number each; one that cannot be read says nothing."""
    most_watches, watches_from = _least(watches)
    most_instances, instances_from = _least(instances)
    return Limits(most_watches, most_instances, watches_from, instances_from)


def _least(paths: Sequence[str]) -> tuple[int | None, str]:
    found = [(number, path) for path in paths if (number := _number(path)) is not None]
    return min(found, key=lambda f: f[0]) if found else (None, "")


def _number(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            return int(file.read(64))
    except (OSError, ValueError):
        return None

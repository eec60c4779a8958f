"""The machine of a measurement: the facts printed above every table."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from benchmarks.table import Machine


def facts(folder: Path) -> Machine:
    """Return the facts of this machine. `folder` selects the file system."""
    return Machine(
        cpu=field(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        file_system=file_system(folder),
    )


def file_system(folder: Path) -> str:
    """Return the type of the file system of `folder`: that of the longest mount point above it, the latest one mounted there."""
    place = folder.resolve()
    found = ("", "unknown")
    with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="replace") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            mount = before.split()[4].replace("\\040", " ")
            if place.is_relative_to(mount) and len(mount) >= len(found[0]):
                found = (mount, after.split()[0])
    return found[1]


def field(path: Path, name: str) -> str | None:
    """Return the value of the first line `name: value` of a file in the format of /proc."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return next((line.partition(":")[2].strip() for line in file if line.partition(":")[0].strip() == name), None)

"""The counts of a scan: the answer of `scan`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dedup.library.records import Record


@dataclass(frozen=True)
class ScanResult(Record):
    """The counts of one scan.

    files = new + changed + unchanged + moved + ignored + unsettled + faults; `gone` is counted beside. `checks` counts by status,
    `matches` by relation. `absent`: crawl directories and mounts that could not be seen; none of their files was marked as gone.
    """

    files: int
    new: int
    changed: int
    unchanged: int
    moved: int
    ignored: int
    unsettled: int
    faults: int
    gone: int
    reread: int
    checks: Mapping[str, int]
    revisions: int
    sightings: int
    matches: Mapping[str, int]
    changes: int
    seconds: float
    absent: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the counts in their documented JSON form, in which `absent` appears only if something is."""
        row = super().to_dict()
        return row if self.absent else {key: value for key, value in row.items() if key != "absent"}

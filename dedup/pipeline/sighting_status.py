"""Merge the readings of a sighting into its status, check and metadata."""

from __future__ import annotations

from collections.abc import Sequence

from dedup.model import CheckStatus, MismatchCause, SightingStatus
from dedup.store.rows import MergedReadings, ReadingRow

_STATUS_RANK: dict[SightingStatus, int] = {"counted": 0, "superseded": 1, "truncated": 2, "overruled": 3}
_CHECK_RANK: dict[CheckStatus, int] = {"verified": 0, "unclaimed": 1, "mismatched": 2}
_CAUSE_RANK: dict[MismatchCause | None, int] = {None: 0, "stale": 1, "altered": 2, "malformed": 3, "truncated": 4}
"""If all readings of a crawl are mismatched, the sighting gets the cause with the lowest rank."""


def merge_readings(readings: Sequence[ReadingRow]) -> MergedReadings:
    """Merge the readings of a sighting: status and check of the best reading, and the metadata with the lowest digest.

    The source of the crawl time is `file` if any file prints it. The result does not depend on the order of the readings.
    """
    best = min(readings, key=lambda r: (_STATUS_RANK[r.status], _CHECK_RANK[r.check_status], _CAUSE_RANK[r.check_cause]))
    metadata_id = min(readings, key=lambda r: r.metadata_digest).metadata_id
    return MergedReadings(best.status, best.check_status, best.check_cause, metadata_id, min(r.crawled_at_source for r in readings))

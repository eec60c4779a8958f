"""What a crawl of a page is worth, from the files that it was read from."""

from __future__ import annotations

from collections.abc import Sequence

from dedup.model import CheckStatus, MismatchCause, SightingStatus
from dedup.store.rows import MergedReadings, ReadingRow

_STATUS_RANK: dict[SightingStatus, int] = {"counted": 0, "superseded": 1, "truncated": 2, "overruled": 3}
_CHECK_RANK: dict[CheckStatus, int] = {"verified": 0, "unclaimed": 1, "mismatched": 2}
_CAUSE_RANK: dict[MismatchCause | None, int] = {None: 0, "stale": 1, "altered": 2, "malformed": 3, "truncated": 4}
"""Of several mismatched readings of one crawl the cause that says most is the crawl's."""


def merge_readings(readings: Sequence[ReadingRow]) -> MergedReadings:
    """A sighting is worth what the best of its readings is; its metadata are those with the lowest digest. What the file prints is the
    source of the crawl time if any file prints it. Depends on the set of readings alone."""
    best = min(readings, key=lambda r: (_STATUS_RANK[r.status], _CHECK_RANK[r.check_status], _CAUSE_RANK[r.check_cause]))
    metadata_id = min(readings, key=lambda r: r.metadata_digest).metadata_id
    return MergedReadings(best.status, best.check_status, best.check_cause, metadata_id, min(r.crawled_at_source for r in readings))

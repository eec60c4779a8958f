"""Third step of recording a batch: weigh each article against earlier readings of the same crawl, and assign its sighting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dedup import store
from dedup.model import CheckStatus, MismatchCause, SightingStatus
from dedup.pipeline.batch import ArticleKeys, BatchReading, FileArticle, IdAllocator
from dedup.pipeline.rereads import Rereads
from dedup.pipeline.sighting_status import merge_readings
from dedup.store import Database, Transaction
from dedup.store.database import Row
from dedup.store.rows import FileReadingRow, ReadingRow
from dedup.store.timeline import SightingPosition

EarlierReadings = Mapping[int, Sequence[FileReadingRow]]
"""File → its stored readings of the crawl that it shows now."""


@dataclass(frozen=True, slots=True)
class SightingBatch:
    """The readings of a batch, and its effect on stored ones: ids of readings to delete (`replaced_readings`), of readings to mark as
    superseded, and of the sightings that lose a reading by that."""

    readings: list[BatchReading]
    earlier_readings: EarlierReadings
    affected_sightings: frozenset[int]
    replaced_readings: list[int]
    superseded_readings: list[int]


class _WeighedArticle(NamedTuple):
    """The status and check of an article, and the stored readings of the same crawl and file that it replaces or supersedes."""

    status: SightingStatus
    check_status: CheckStatus
    check_cause: MismatchCause | None
    replaced: tuple[FileReadingRow, ...] = ()
    superseded: tuple[FileReadingRow, ...] = ()


def assign_sightings(
    database: Database, ids: IdAllocator, articles: Sequence[FileArticle], keys: Sequence[ArticleKeys], rereads: Rereads
) -> SightingBatch:
    """Return the readings that the articles make, and their effect on stored ones. Nothing is written."""
    earlier_readings = store.readings.find_by_crawl(
        database,
        ((a.file_id, k.page_id, k.crawled_at) for a, k in zip(articles, keys, strict=True) if a.file_row and k.is_known_page),
    )
    weighed = [_weigh_article(a, k, earlier_readings.get(a.file_id, ())) for a, k in zip(articles, keys, strict=True)]
    readings = [
        BatchReading(article, article_keys, sighting_id, is_new, w.status, w.check_status, w.check_cause)
        for article, article_keys, w, (sighting_id, is_new) in zip(
            articles, keys, weighed, _find_sightings(database, ids, keys), strict=True
        )
    ]
    moved = _find_moved_readings(readings, rereads)
    replaced = [reading for w in weighed for reading in w.replaced]
    superseded = [reading for w in weighed for reading in w.superseded]
    return SightingBatch(
        readings,
        earlier_readings,
        frozenset({*(r.sighting_id for r in replaced), *(r.sighting_id for r in superseded), *moved.values()}),
        [*(r.id for r in replaced), *moved],
        [r.id for r in superseded],
    )


def _weigh_article(article: FileArticle, keys: ArticleKeys, earlier_readings: Iterable[FileReadingRow]) -> _WeighedArticle:
    """Compare an article with earlier readings of the same crawl from the same file that showed another state.

    A verified reading overrules the article. The article replaces a mismatched reading and supersedes an unclaimed one.
    """
    check = article.article.check
    status: SightingStatus = "truncated" if check.cause == "truncated" else "counted"
    weighed = _WeighedArticle(status, check.status, check.cause)
    for reading in earlier_readings:
        if reading.revision_id == keys.revision_id or reading.status == "overruled":
            continue
        if article.is_reread and article.file_row and reading.id == article.file_row.reading_id:
            continue  # it is replaced in any case
        if reading.check_status == "verified":
            weighed = weighed._replace(status="overruled", check_status="mismatched", check_cause="altered")
        elif reading.check_status == "unclaimed":
            weighed = weighed._replace(superseded=(*weighed.superseded, reading))
        else:
            weighed = weighed._replace(replaced=(*weighed.replaced, reading))
    return weighed


def _find_sightings(database: Database, ids: IdAllocator, article_keys: Sequence[ArticleKeys]) -> list[tuple[int, bool]]:
    """Return (id, whether it is new) of the sighting of each article; only the first article of a new sighting has it as new."""
    crawls = [(keys.page_id, keys.crawled_at, keys.revision_id) for keys in article_keys]
    known_crawls = (crawl for crawl, keys in zip(crawls, article_keys, strict=True) if keys.is_known_page)
    ids_by_crawl = store.sightings.find_by_crawl(database, known_crawls)
    sightings: list[tuple[int, bool]] = []
    for crawl in crawls:
        is_new = crawl not in ids_by_crawl
        if is_new:
            ids_by_crawl[crawl] = ids.next_id("sightings")
        sightings.append((ids_by_crawl[crawl], is_new))
    return sightings


def _find_moved_readings(readings: Iterable[BatchReading], rereads: Rereads) -> dict[int, int]:
    """Return reading → its sighting, for stored readings whose file supports another sighting now that it was read again."""
    moved: dict[int, int] = {}
    for reading in readings:
        row = reading.source.file_row
        if reading.source.is_reread and row is not None and row.reading_id is not None:
            sighting_id = rereads.replaced_sighting(row.reading_id)
            if sighting_id is not None and sighting_id != reading.sighting_id:
                moved[row.reading_id] = sighting_id
    return moved


def merge_new_sightings(readings: Iterable[BatchReading]) -> dict[int, SightingPosition]:
    """Return new sighting → its position in its page's history, with its readings of this batch merged."""
    readings_by_sighting: dict[int, list[BatchReading]] = {}
    for reading in readings:
        if reading.is_new_sighting:
            readings_by_sighting[reading.sighting_id] = [reading]
        elif reading.sighting_id in readings_by_sighting:
            readings_by_sighting[reading.sighting_id].append(reading)
    return {sighting_id: _to_position(of_sighting) for sighting_id, of_sighting in readings_by_sighting.items()}


def _to_position(readings: Sequence[BatchReading]) -> SightingPosition:
    keys, state_digest = readings[0].keys, readings[0].source.extraction.state_digest
    rows = [
        ReadingRow(r.status, r.check_status, r.check_cause, r.keys.metadata_id, r.keys.metadata_digest, r.keys.crawled_at_source)
        for r in readings
    ]
    return SightingPosition(keys.page_id, (keys.crawled_at, state_digest), keys.revision_id, merge_readings(rows))


def find_settled_pages(readings: Iterable[BatchReading], new_sightings: Mapping[int, SightingPosition]) -> dict[int, int | None]:
    """Return new page → its current sighting, for new pages with a single sighting: their history needs no recomputation."""
    sightings_by_page: dict[int, set[int]] = {}
    for reading in readings:
        if not reading.keys.is_known_page:
            sightings_by_page.setdefault(reading.keys.page_id, set()).add(reading.sighting_id)
    single_sightings = {page: next(iter(sightings)) for page, sightings in sightings_by_page.items() if len(sightings) == 1}
    return {page: sighting if new_sightings[sighting].readings.status == "counted" else None for page, sighting in single_sightings.items()}


@dataclass(frozen=True, slots=True)
class ReadingRows:
    """Rows of the readings of a batch to insert and to update, file → its reading, and the sightings that the same file supported
    before."""

    new: list[Row]
    updated: list[Row]
    ids_by_file: dict[int, int]
    repeated_sightings: set[int]


def build_reading_rows(ids: IdAllocator, sightings: SightingBatch, now: str) -> ReadingRows:
    """Return the rows of the readings of a batch: a file has one reading of a sighting."""
    rows = ReadingRows([], [], {}, set())
    for reading in sightings.readings:
        file_id = reading.source.file_id
        earlier = sightings.earlier_readings.get(file_id, ())
        existing_id = next((r.id for r in earlier if r.sighting_id == reading.sighting_id), None)
        reading_id = existing_id or ids.next_id("readings")
        (rows.updated if existing_id else rows.new).append(_to_row(reading_id, reading, now))
        rows.ids_by_file[file_id] = reading_id
        if existing_id:
            rows.repeated_sightings.add(reading.sighting_id)
    return rows


def _to_row(reading_id: int, reading: BatchReading, now: str) -> Row:
    source, keys, check = reading.source, reading.keys, reading.source.article.check
    return (
        reading_id, source.file_id, reading.sighting_id, keys.alias_id, keys.metadata_id, reading.status, reading.check_status,
        reading.check_cause, check.claimed, check.recipe, source.article.encoding, keys.crawled_at_source, now,
    )  # fmt: skip


def write_sightings(transaction: Transaction, sightings: SightingBatch, new_sightings: Mapping[int, SightingPosition]) -> None:
    """Supersede and delete earlier readings, and insert the new sightings."""
    store.readings.supersede(transaction, sightings.superseded_readings)
    store.readings.delete(transaction, sightings.replaced_readings)
    store.sightings.insert(
        transaction, ((sighting, p.page_id, p.position[0], p.revision_id, *p.readings) for sighting, p in new_sightings.items())
    )

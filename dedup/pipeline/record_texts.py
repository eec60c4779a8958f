"""Fourth step of recording a batch: assign the distinct normalised text of each revision, and find out which texts to compare."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dedup import store
from dedup.matching.candidates import CandidateSet, NewText
from dedup.matching.matcher import Matcher
from dedup.matching.quotations import pack_common_quotations
from dedup.pipeline.batch import BatchReading, IdAllocator, Report
from dedup.pipeline.events import ExactCopy
from dedup.store import Database, Transaction
from dedup.text import sanitise


@dataclass(frozen=True, slots=True)
class TextBatch:
    """The texts of a batch.

    `ids_by_revision`: texts to set on revisions. `new_texts`: texts to insert, each with the first reading that shows it.
    `recompared_texts`: stored texts that form pairs which did not count before, likewise: a second page shows them now, or no page
    showed them, and they were compared with nothing. `replaced_texts`: new text → the stored text that it replaces, because all bodies
    of that were pruned. `quoted_masks`: text → its quoted characters, where they are different now.
    """

    ids_by_revision: dict[int, int]
    new_texts: dict[int, BatchReading]
    recompared_texts: dict[int, BatchReading]
    replaced_texts: dict[int, int]
    quoted_masks: dict[int, bytes]
    copies: list[ExactCopy]


class _StoredTexts(NamedTuple):
    """Stored texts that a batch refers to. `shown_pairs` are (text, page) where the page shows the text; `outer_pages` are the
    first and the last page that show a text."""

    ids_by_digest: dict[bytes, int]
    bodiless: Collection[int]
    outer_pages: dict[int, set[int]]
    shown_pairs: set[tuple[int, int]]


class _AssignedTexts(NamedTuple):
    ids_by_revision: dict[int, int]
    new_texts: dict[int, BatchReading]
    replaced_texts: dict[int, int]


def assign_texts(database: Database, ids: IdAllocator, readings: Iterable[BatchReading]) -> TextBatch:
    """Return the texts of the revisions that have none yet, and which of them to compare. Nothing is written.

    A revision gets a text once a reading of it counts. A revision whose body was pruned keeps its text in any case.
    """
    textless_readings = _select_textless(readings)
    stored = _load_texts(database, textless_readings)
    assigned = _assign_ids(ids, textless_readings, stored)
    copies, recompared_texts = _find_new_pairs(textless_readings, assigned, stored)
    quoted_masks = _find_changed_masks(database, textless_readings, assigned)
    return TextBatch(assigned.ids_by_revision, assigned.new_texts, recompared_texts, assigned.replaced_texts, quoted_masks, copies)


def _text_digest(reading: BatchReading) -> bytes:
    digest = reading.source.extraction.text_digest
    assert digest is not None
    return digest


def _select_textless(readings: Iterable[BatchReading]) -> list[BatchReading]:
    """Return the first reading of each revision that needs a text: it has none, or its body was pruned."""
    readings = [r for r in readings if r.keys.is_pruned or r.keys.text_id is None]
    pruned_with_text = {r.keys.revision_id for r in readings if r.keys.text_id is not None}
    first_readings: dict[int, BatchReading] = {}
    for reading in readings:
        is_needed = reading.status == "counted" or reading.keys.revision_id in pruned_with_text
        if is_needed and reading.source.extraction.text_digest is not None:
            first_readings.setdefault(reading.keys.revision_id, reading)
    return list(first_readings.values())


def _load_texts(database: Database, readings: Sequence[BatchReading]) -> _StoredTexts:
    ids_by_digest = store.texts.find_by_digest(database, {_text_digest(r) for r in readings})
    bodiless = store.texts.without_body(database, ids_by_digest.values())
    pages_by_text = store.texts.pages_showing_any(database, ids_by_digest.values())
    shown_pairs = store.texts.pages_showing_among(
        database,
        ((ids_by_digest[_text_digest(r)], r.keys.page_id) for r in readings if r.keys.is_known_page and _text_digest(r) in ids_by_digest),
    )
    outer_pages = {text_id: {pages.first_page_id, pages.last_page_id} for text_id, pages in pages_by_text.items()}
    return _StoredTexts(ids_by_digest, bodiless, outer_pages, shown_pairs)


def _assign_ids(ids: IdAllocator, readings: Iterable[BatchReading], stored: _StoredTexts) -> _AssignedTexts:
    """Assign a stored or a new text to each reading's revision. A stored text without any body is replaced by a new one, because it has
    to be indexed again."""
    ids_by_digest = dict(stored.ids_by_digest)
    assigned = _AssignedTexts({}, {}, {})
    for reading in readings:
        digest = _text_digest(reading)
        stored_id = ids_by_digest.get(digest)
        is_replaced = stored_id in stored.bodiless and reading.source.extraction.signature is not None
        if stored_id is None or is_replaced:
            text_id = ids_by_digest[digest] = ids.next_id("texts")
            assigned.new_texts[text_id] = reading
            if stored_id is not None:
                assigned.replaced_texts[text_id] = stored_id
        assigned.ids_by_revision[reading.keys.revision_id] = ids_by_digest[digest]
    return assigned


def _find_new_pairs(
    readings: Iterable[BatchReading], assigned: _AssignedTexts, stored: _StoredTexts
) -> tuple[list[ExactCopy], dict[int, BatchReading]]:
    """Return the exact copies that this batch adds, and the stored texts that have to be compared once more."""
    pages_by_text: dict[int, set[int]] = {}
    shown_pairs = set(stored.shown_pairs)
    copies: list[ExactCopy] = []
    recompared_texts: dict[int, BatchReading] = {}
    for reading in readings:
        text_id, page_id = assigned.ids_by_revision[reading.keys.revision_id], reading.keys.page_id
        stored_id = assigned.replaced_texts.get(text_id, text_id)  # the pages of a replaced text are stored under its old id
        pages = pages_by_text.setdefault(text_id, set(stored.outer_pages.get(stored_id, ())))
        if (stored_id, page_id) not in shown_pairs:
            if pages:
                copies.append(ExactCopy(text_id, page_id, min(pages)))
            if len(pages) < 2 and text_id not in assigned.new_texts:
                recompared_texts.setdefault(text_id, reading)
        pages.add(page_id)
        shown_pairs.add((stored_id, page_id))
    return copies, recompared_texts


def _find_changed_masks(database: Database, readings: Iterable[BatchReading], assigned: _AssignedTexts) -> dict[int, bytes]:
    """Return text → its quoted characters, where the batch adds a body that differs from the text's other bodies in quotation marks."""
    bodies_by_text: dict[int, set[str]] = {}
    for reading in readings:
        if reading.source.extraction.signature is not None:
            text_id = assigned.ids_by_revision[reading.keys.revision_id]
            bodies_by_text.setdefault(text_id, set()).add(reading.source.article.body)
    stored_ids = [text_id for text_id in bodies_by_text if text_id not in assigned.new_texts]
    stored_masks = store.texts.quoted_masks(database, stored_ids)
    for text_id, body in store.texts.bodies(database, stored_ids).items():
        bodies_by_text[text_id].add(body)
    masks = {
        text_id: pack_common_quotations(bodies, stored_masks.get(text_id)) for text_id, bodies in bodies_by_text.items() if len(bodies) > 1
    }
    return {text_id: mask for text_id, mask in masks.items() if mask is not None and mask != stored_masks.get(text_id)}


def report_copies(database: Database, readings: Iterable[BatchReading], copies: Sequence[ExactCopy], report: Report) -> None:
    """Send a line to `report` for each exact copy."""
    if not copies:
        return
    urls = {r.keys.page_id: r.source.url for r in readings} | store.pages.urls(database, {copy.earlier_page_id for copy in copies})
    for copy in copies:
        url, earlier_url = sanitise.to_printable(urls[copy.page_id]), sanitise.to_printable(urls[copy.earlier_page_id])
        report("exact duplicate", f"exact duplicate: {url} has the text of {earlier_url}")


def write_texts(transaction: Transaction, matcher: Matcher, texts: TextBatch) -> CandidateSet:
    """Query the candidates of the texts to compare, and write the texts; returns the candidates."""
    candidates = matcher.query(
        [_to_new_text(text_id, reading, was_known=text_id in texts.replaced_texts) for text_id, reading in texts.new_texts.items()],
        list(texts.recompared_texts),
    )
    if texts.replaced_texts:
        store.texts.release_digests(transaction, texts.replaced_texts.values())
    store.texts.insert(
        transaction,
        (
            (text_id, e.text_digest, e.characters, e.signature, int(text_id in candidates.crowded))
            for text_id, e in ((text_id, reading.source.extraction) for text_id, reading in texts.new_texts.items())
        ),
    )
    if texts.quoted_masks:
        store.texts.set_quoted_masks(transaction, texts.quoted_masks.items())
        matcher.set_quoted_masks(texts.quoted_masks)
    store.texts.set_crowded(transaction, candidates.crowded & texts.recompared_texts.keys())
    if texts.replaced_texts:
        store.texts.replace(transaction, ((stored_id, new_id) for new_id, stored_id in texts.replaced_texts.items()))
    return candidates


def _to_new_text(text_id: int, reading: BatchReading, *, was_known: bool) -> NewText:
    source, metadata = reading.source, reading.source.article.metadata
    return NewText(
        text_id,
        source.extraction.signature,
        source.article.body,
        source.extraction.fingerprints,
        metadata.publisher,
        metadata.oid,
        source.url,
        was_known,
    )

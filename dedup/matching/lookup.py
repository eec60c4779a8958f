"""Find the texts of the database that match a body, without storing anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from more_itertools import chunked
from numpy.typing import NDArray

from dedup import store
from dedup.matching.boilerplate import Boilerplate
from dedup.matching.thresholds import MatchCriteria
from dedup.model import MatchScores, Relation
from dedup.similarity import minhash, winnowing
from dedup.similarity.overlap import PreparedText, prepare_text
from dedup.store import Database

_CHUNK_ROWS = 4096
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SimilarText:
    """A text of the database that matches a body."""

    text_id: int
    relation: Relation
    scores: MatchScores


def find_similar_texts(
    database: Database, criteria: MatchCriteria, body: str, signature: bytes, fingerprints: bytes, publisher: str
) -> list[SimilarText]:
    """Return the texts of the database that match a body, which need not be stored itself.

    `signature` and the packed `fingerprints` are those of the body, `publisher` is its canonical publisher. All stored signatures and
    fingerprints are scanned: a reader cannot use the indexes, which a writer may be changing.
    """
    prepared = prepare_text(body)
    boilerplate_masker = BoilerplateMasker(database, criteria)
    mask = boilerplate_masker.mask(prepared, store.publishers.find(database, publisher))
    candidates = dict.fromkeys(_candidates_by_signature(database, criteria, signature), False)
    for text_id in _candidates_by_passages(database, fingerprints):
        candidates.setdefault(text_id, True)
    similar = []
    for text_id, by_passages in candidates.items():
        other_body = store.texts.body(database, text_id)
        if other_body is None:
            continue
        other_prepared = prepare_text(other_body)
        if np.array_equal(prepared.points, other_prepared.points):
            continue
        publisher_id = store.passages.publisher(database, text_id)
        masks = partial(_mask_both, boilerplate_masker, mask, other_prepared, publisher_id)
        assessment = criteria.assess(prepared, other_prepared, masks, by_passages=by_passages)
        if assessment.relation:
            similar.append(SimilarText(text_id, assessment.relation, assessment.scores))
    return similar


def _mask_both(
    masker: BoilerplateMasker, mask: Mask | None, other: PreparedText, publisher_id: int | None
) -> tuple[Mask | None, Mask | None]:
    return mask, masker.mask(other, publisher_id)


class BoilerplateMasker:
    """Masks the boilerplate of texts as the matcher does, but learns none, so that a read-only database is enough."""

    def __init__(self, database: Database, criteria: MatchCriteria) -> None:
        self._criteria = criteria
        self._boilerplate = Boilerplate(database, 0)

    def mask(self, text: PreparedText, publisher_id: int | None) -> Mask | None:
        """Return the mask of a text's boilerplate; see `Boilerplate.mask`. A text without a publisher has none."""
        if publisher_id is None or not self._criteria.settings.passages:
            return None
        return self._boilerplate.mask(publisher_id, text.points)

    def masked_passage_names(self, text: PreparedText, publisher_id: int | None) -> set[str]:
        """Return the names of the passages that are masked in a text."""
        if publisher_id is None:
            return set()
        return self._boilerplate.masked_passage_names(publisher_id, text.points, self.mask(text, publisher_id))


def _candidates_by_signature(database: Database, criteria: MatchCriteria, signature: bytes) -> Iterator[int]:
    """Yield the ids of texts that share a band with a signature."""
    settings = criteria.settings
    bands, rows = minhash.choose_bands(settings.threshold, settings.num_perm)
    own_bands = np.frombuffer(signature, "<u4")[: bands * rows].reshape(bands, rows)
    for chunk in chunked(store.texts.all_signatures(database), _CHUNK_ROWS):
        chunk_bands = np.frombuffer(b"".join(s for _, s in chunk), "<u4").reshape(len(chunk), -1)[:, : bands * rows]
        for i in np.flatnonzero((chunk_bands.reshape(-1, bands, rows) == own_bands).all(axis=2).any(axis=1)):
            yield chunk[i][0]


def _candidates_by_passages(database: Database, packed: bytes) -> Iterator[int]:
    """Yield the ids of leaders with one of these fingerprints, and of their followers."""
    fingerprints = winnowing.unpack(packed)
    if not len(fingerprints):
        return
    for chunk in chunked(store.passages.all_fingerprints(database), _CHUNK_ROWS):
        ends = np.cumsum([len(own) // winnowing.FINGERPRINT_BYTES for _, own in chunk])
        hits = np.flatnonzero(np.isin(winnowing.unpack(b"".join(own for _, own in chunk)), fingerprints))
        for i in np.unique(np.searchsorted(ends, hits, "right")):
            yield chunk[i][0]
            yield from store.passages.followers(database, chunk[i][0])

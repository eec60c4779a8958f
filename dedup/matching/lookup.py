"""What a body resembles among the texts of the database, however it is stored, without recording it."""

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
    """A text of the database that a given one matches."""

    text_id: int
    relation: Relation
    scores: MatchScores


def find_similar_texts(
    database: Database, criteria: MatchCriteria, body: str, signature: bytes, fingerprints: bytes, publisher: str
) -> list[SimilarText]:
    """Texts of the database that match a body, of a publisher's, which need not be in it; signature and packed keys are its own.

    Everything that is stored of every text is looked at: a reader has no use of indexes that a writer may be changing.
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
    """Judges texts as the writer would, from a database that is only read."""

    def __init__(self, database: Database, criteria: MatchCriteria) -> None:
        self._database, self._criteria = database, criteria
        self._boilerplate = Boilerplate(0)

    def mask(self, text: PreparedText, publisher_id: int | None) -> Mask | None:
        """What of a text is boilerplate of its publisher; see `Boilerplate.mask`."""
        if publisher_id is None or not self._criteria.settings.passages:
            return None
        return self._boilerplate.mask(self._database, publisher_id, text.points)

    def masked_passage_names(self, text: PreparedText, publisher_id: int | None) -> set[str]:
        """The names of the passages that are masked in a text."""
        if publisher_id is None:
            return set()
        return self._boilerplate.masked_passage_names(self._database, publisher_id, text.points, self.mask(text, publisher_id))


def _candidates_by_signature(database: Database, criteria: MatchCriteria, signature: bytes) -> Iterator[int]:
    """Texts that share a band with a signature."""
    settings = criteria.settings
    bands, rows = minhash.choose_bands(settings.threshold, settings.num_perm)
    own_bands = np.frombuffer(signature, "<u4")[: bands * rows].reshape(bands, rows)
    for chunk in chunked(store.texts.all_signatures(database), _CHUNK_ROWS):
        chunk_bands = np.frombuffer(b"".join(s for _, s in chunk), "<u4").reshape(len(chunk), -1)[:, : bands * rows]
        for i in np.flatnonzero((chunk_bands.reshape(-1, bands, rows) == own_bands).all(axis=2).any(axis=1)):
            yield chunk[i][0]


def _candidates_by_passages(database: Database, packed: bytes) -> Iterator[int]:
    """Texts that stand for a story under one of these keys, and those that stand behind them."""
    fingerprints = winnowing.unpack(packed)
    if not len(fingerprints):
        return
    for chunk in chunked(store.passages.all_fingerprints(database), _CHUNK_ROWS):
        ends = np.cumsum([len(k) // 5 for _, k in chunk])
        hits = np.flatnonzero(np.isin(winnowing.unpack(b"".join(k for _, k in chunk)), fingerprints))
        for i in np.unique(np.searchsorted(ends, hits, "right")):
            yield chunk[i][0]
            yield from store.passages.followers(database, chunk[i][0])

"""Candidates → matches: what shares a bucket is confirmed by exact Jaccard and containment, or is nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from dedup import minhash, text
from dedup.model import Match, Relation
from dedup.store import Reader

if TYPE_CHECKING:
    from dedup.lsh import CandidateIndex


@dataclass(frozen=True, slots=True)
class Matching:
    """What makes a match; `recipe` is stored with each."""

    threshold: float
    excerpt_threshold: float
    min_characters: int
    num_perm: int

    @property
    def recipe(self) -> str:
        bands, rows = minhash.bands(self.threshold, self.num_perm)
        return (
            f"{minhash.recipe(self.num_perm)}/{bands}x{rows}/near{self.threshold:g}/excerpt{self.excerpt_threshold:g}"
            f"/min{self.min_characters}"
        )

    def relation(self, a: frozenset[str], b: frozenset[str]) -> tuple[Relation | None, float, float]:
        """(relation, Jaccard, containment) of two shingle sets of different texts; no relation: they are not alike enough.

        `near` beats `excerpt`, which has at most half the other's shingles."""
        similarity, containment = text.similarity(a, b)
        if similarity >= self.threshold:
            return "near", similarity, containment
        small, large = sorted((len(a), len(b)))
        if containment >= self.excerpt_threshold and 2 * small <= large:
            return "excerpt", similarity, containment
        return None, similarity, containment


@dataclass(frozen=True, slots=True)
class Resemblance:
    """A text of the database that a given one matches, however that one is stored."""

    text: int
    relation: Relation
    similarity: float
    containment: float


class Matcher:
    """Finds the matches of texts; keeps the candidate index, which is filled from the database when first needed."""

    def __init__(self, store: Reader, matching: Matching) -> None:
        self._store = store
        self.matching = matching
        self._index: CandidateIndex | None = None
        self._shingles = lru_cache(maxsize=2048)(self._load_shingles)

    def forget(self) -> None:
        """Drop the index: a batch was rolled back, or signatures were recomputed. It fills again when next needed."""
        self._index = None
        self._shingles.cache_clear()

    def find(self, new: Iterable[int], again: Iterable[int]) -> list[Match]:
        """Matches of new texts with all others, and of known texts that a further page has come to show.

        Only pairs that two different pages can show: revisions of one page are never matched with each other. A known text
        is asked again because a second page may have made pairs of it that were left out for that reason.
        """
        new, again = list(new), list(again)
        if not new and not again:
            return []
        index = self._filled(but=frozenset(new))
        found: list[Match] = []
        for number in (*new, *again):
            signature = self._store.signature(number)
            if signature is None:
                continue
            for candidate in index.candidates(signature):
                match = self._confirm(number, candidate)
                if match:
                    found.append(match)
            index.add(number, signature)
        return found

    def resembling(self, shingles: frozenset[str], signature: bytes) -> list[Resemblance]:
        """Texts of the database that match a text which need not be in it."""
        found = []
        for candidate in self._filled(but=frozenset()).candidates(signature):
            other = self._shingles(candidate)
            relation, similarity, containment = self.matching.relation(shingles, other)
            if relation and other != shingles:
                found.append(Resemblance(candidate, relation, similarity, containment))
        return found

    def _filled(self, but: frozenset[int]) -> CandidateIndex:
        if self._index is None:
            from dedup.lsh import CandidateIndex

            self._index = CandidateIndex(self.matching.threshold, self.matching.num_perm)
            self._index.fill((t, s) for t, s in self._store.signatures() if t not in but)
        return self._index

    def _confirm(self, number: int, candidate: int) -> Match | None:
        if candidate == number:
            return None
        pages = self._store.pages_of_text(number) | self._store.pages_of_text(candidate)
        if len(pages) < 2:
            return None
        relation, similarity, containment = self.matching.relation(self._shingles(number), self._shingles(candidate))
        if relation is None:
            return None
        return Match(min(number, candidate), max(number, candidate), similarity, containment, relation)

    def _load_shingles(self, number: int) -> frozenset[str]:
        body = self._store.body_of_text(number)
        return text.shingles(text.normalise(body)) if body is not None else frozenset()

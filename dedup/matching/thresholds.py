"""Decide whether two texts match, and by which relation: measure the pair and apply the thresholds in force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.config import DuplicatesConfig
from dedup.model import IDENTICAL, MatchScores, Relation
from dedup.runtime.heartbeat import beat
from dedup.similarity import minhash, winnowing
from dedup.similarity.overlap import NO_PASSAGES, PreparedText, SharedPassages, ShingleOverlap, measure_overlap, measure_passages

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

MIN_COVERAGE_FOR_JACCARD = 0.2
"""Coverage below which the Jaccard similarity of a pair is not measured if only shared passages proposed it: a `near` duplicate would
have been proposed by its signature."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """The scores of a pair and the relation that follows from them; None if they reach no threshold."""

    relation: Relation | None
    scores: MatchScores


@dataclass(frozen=True, slots=True)
class MatchCriteria:
    """The thresholds of a match. `recipe` names them and is stored with each match."""

    settings: DuplicatesConfig

    @property
    def recipe(self) -> str:
        settings = self.settings
        banded = minhash.banded_recipe(settings.threshold, settings.num_perm)
        copy_recipe = f"copy{settings.copy_coverage:g},{settings.copy_characters},{settings.copy_unquoted:g}"
        excerpt_recipe = f"excerpt{settings.excerpt_coverage:g},{settings.excerpt_characters},{settings.excerpt_passage}"
        long_recipe = f"{settings.long_excerpt_characters},{settings.long_excerpt_passage}"
        passage_recipe = winnowing.RECIPE if settings.passages else "no passages"
        suffix = f"quote{settings.quote_share:g}/min{settings.min_characters}/{passage_recipe}/boilerplate{settings.boilerplate_articles}"
        return f"{banded}/near{settings.threshold:g}/{copy_recipe}/{excerpt_recipe},{long_recipe}/{suffix}"

    def compare(self, a: PreparedText, b: PreparedText) -> Assessment:
        """Measure two texts that need not be stored, and choose their relation. No boilerplate is masked.

        Texts with the same letters and digits are exact copies; a text under `min_characters` matches in no other way."""
        if len(a.points) and a.points.tobytes() == b.points.tobytes():
            return Assessment("exact", IDENTICAL)
        assessment = self.assess(a, b)
        is_short = min(len(a.points), len(b.points)) < self.settings.min_characters
        return Assessment(None, assessment.scores) if is_short else assessment

    def assess(
        self,
        a: PreparedText,
        b: PreparedText,
        masks: Callable[[], tuple[Mask | None, Mask | None]] = lambda: (None, None),
        *,
        by_passages: bool = False,
    ) -> Assessment:
        """Measure two different texts and choose their relation.

        `masks` returns the boilerplate mask of each text, and is called only if it can matter. Masked characters count for Jaccard
        similarity and containment only. `by_passages`: only shared passages proposed the pair."""
        passages = measure_passages(a, b)
        beat()
        is_possible = self._has_possible_relation(passages)
        if by_passages and not is_possible and passages.coverage < MIN_COVERAGE_FOR_JACCARD:
            return Assessment(None, to_match_scores(ShingleOverlap(0, 0, 0), passages))
        shingles = measure_overlap(a.points, b.points)
        beat()
        if is_possible or shingles.jaccard >= self.settings.threshold:
            mask_pair = masks()
            if any(mask is not None for mask in mask_pair):
                passages = measure_passages(a, b, *mask_pair)
                beat()
        return Assessment(self.choose_relation(shingles, passages), to_match_scores(shingles, passages))

    def _has_possible_relation(self, passages: SharedPassages) -> bool:
        """Return whether shared passages may lead to a relation, whatever is masked: a mask covers at most half of a text."""
        settings = self.settings
        return passages.characters >= min(settings.copy_characters, settings.excerpt_characters, settings.long_excerpt_characters) and (
            2 * passages.coverage >= min(settings.copy_coverage, settings.excerpt_coverage)
            or passages.characters >= settings.long_excerpt_characters
        )

    def choose_relation(self, shingles: ShingleOverlap, passages: SharedPassages) -> Relation | None:
        """Return the first relation that holds, in order of precedence; None if none does."""
        return "near" if shingles.jaccard >= self.settings.threshold else self._relation_by_passages(passages)

    def _relation_by_passages(self, passages: SharedPassages) -> Relation | None:
        settings = self.settings
        is_mostly_shared = passages.coverage >= settings.copy_coverage and passages.characters >= settings.copy_characters
        if is_mostly_shared and passages.unquoted_coverage >= settings.copy_unquoted:
            return "copy"
        is_excerpt = (
            passages.coverage >= settings.excerpt_coverage
            and passages.characters >= settings.excerpt_characters
            and passages.longest_passage >= settings.excerpt_passage
        )
        is_long_excerpt = (
            passages.characters >= settings.long_excerpt_characters and passages.longest_passage >= settings.long_excerpt_passage
        )
        if passages.quoted_share >= settings.quote_share:
            return "quote" if is_mostly_shared or is_excerpt or is_long_excerpt else None
        return "excerpt" if is_excerpt or is_long_excerpt else None

    def is_possible_part(self, relation: Relation, scores: MatchScores) -> bool:
        """Return whether a match is a copy, or would be one if one of its texts were not a newsletter."""
        settings = self.settings
        return (
            relation in ("copy", "excerpt")
            and scores.coverage >= settings.copy_coverage
            and scores.shared_characters >= settings.copy_characters
        )


def to_match_scores(shingles: ShingleOverlap, passages: SharedPassages = NO_PASSAGES, masked_names: tuple[str, ...] = ()) -> MatchScores:
    """Combine measured overlaps into the scores of a match."""
    return MatchScores(
        shingles.jaccard,
        shingles.containment,
        passages.coverage,
        passages.characters,
        passages.longest_passage,
        passages.quoted_share,
        masked_names,
    )

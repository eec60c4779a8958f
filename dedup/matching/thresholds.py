"""What makes two texts a match, and which: the numbers measured of a pair, against the thresholds in force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.config import Duplicates
from dedup.heartbeat import beat
from dedup.model import Numbers, Relation
from dedup.similarity import minhash, winnowing
from dedup.similarity.overlap import NOTHING, Overlap, Prepared, Shared, overlap, shared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

WORTH_JACCARD = 0.2
"""Coverage under which a pair that shared passages alone proposed is not looked at for its Jaccard: `near` would have been met
by its signature."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was measured of a pair, and the relation that follows; None: they are not alike enough."""

    relation: Relation | None
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class Matching:
    """What makes a match; `recipe` is stored with each."""

    limits: Duplicates

    @property
    def recipe(self) -> str:
        d = self.limits
        banded = minhash.banded_recipe(d.threshold, d.num_perm)
        copy = f"copy{d.copy_coverage:g},{d.copy_characters},{d.copy_unquoted:g}"
        excerpt = f"excerpt{d.excerpt_coverage:g},{d.excerpt_characters},{d.excerpt_passage}"
        long = f"{d.long_excerpt_characters},{d.long_excerpt_passage}"
        looked_up = winnowing.RECIPE if d.passages else "no passages"
        rest = f"quote{d.quote_share:g}/min{d.min_characters}/{looked_up}/boilerplate{d.boilerplate_articles}"
        return f"{banded}/near{d.threshold:g}/{copy}/{excerpt},{long}/{rest}"

    def judge(
        self,
        a: Prepared,
        b: Prepared,
        masks: Callable[[], tuple[Mask | None, Mask | None]] = lambda: (None, None),
        *,
        by_passages: bool = False,
    ) -> Judged:
        """Two different texts, measured and judged; what is masked counts for nothing but Jaccard and containment, and is asked
        for where it matters.

        `by_passages`: only their passages proposed them."""
        part = shared(a, b)
        beat()
        could = self._could(part)
        if by_passages and not could and part.coverage < WORTH_JACCARD:
            return Judged(None, numbers(Overlap(0, 0, 0), part))
        whole = overlap(a.points, b.points)
        beat()
        if could or whole.jaccard >= self.limits.threshold:
            masked = masks()
            if any(mask is not None for mask in masked):
                part = shared(a, b, *masked)
                beat()
        return Judged(self.relation(whole, part), numbers(whole, part))

    def _could(self, part: Shared) -> bool:
        """Whether a relation may follow from what is shared, whatever is masked: at most half of each text is."""
        d = self.limits
        return part.characters >= min(d.copy_characters, d.excerpt_characters, d.long_excerpt_characters) and (
            2 * part.coverage >= min(d.copy_coverage, d.excerpt_coverage) or part.characters >= d.long_excerpt_characters
        )

    def relation(self, whole: Overlap, part: Shared) -> Relation | None:
        """The first relation that holds, in the order of their precedence."""
        return "near" if whole.jaccard >= self.limits.threshold else self._by_passages(part)

    def _by_passages(self, part: Shared) -> Relation | None:
        d = self.limits
        much = part.coverage >= d.copy_coverage and part.characters >= d.copy_characters
        if much and part.unquoted >= d.copy_unquoted:
            return "copy"
        some = part.coverage >= d.excerpt_coverage and part.characters >= d.excerpt_characters and part.longest >= d.excerpt_passage
        long = part.characters >= d.long_excerpt_characters and part.longest >= d.long_excerpt_passage
        if part.quoted >= d.quote_share:
            return "quote" if much or some or long else None
        return "excerpt" if some or long else None

    def could_be_bundled(self, relation: Relation, n: Numbers) -> bool:
        """Whether a match is a copy, or would be if the one text did not bundle others beside it."""
        d = self.limits
        return relation in ("copy", "excerpt") and n.coverage >= d.copy_coverage and n.shared >= d.copy_characters


def numbers(whole: Overlap, part: Shared = NOTHING, masked: tuple[str, ...] = ()) -> Numbers:
    """What was measured, as matches carry it."""
    return Numbers(whole.jaccard, whole.containment, part.coverage, part.characters, part.longest, part.quoted, masked)

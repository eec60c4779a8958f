"""Measurements of two texts, and the form in which the texts are passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RUN_CHARACTERS = 20
"""Normalised characters that two texts must have in common without a gap to count as shared."""
MAX_STEPS_PER_CHARACTER = 64
"""Steps per character of both texts in the search for the longest passage. Only highly repetitive texts need more."""
LONG_TEXT_STEPS, LONG_TEXT_STEPS_PER_CHARACTER = 20_000_000, 4
"""Limit for long texts: a number of steps, and further steps per character."""
WORK_PER_PIECE = 1 << 20
"""Units of work between two heartbeats in a piecewise comparison. A unit is a character entered or a position compared."""
MIN_PIECEWISE_CHARACTERS = 1 << 18
"""Characters of two texts from which they are compared piecewise: some milliseconds of work."""


@dataclass(frozen=True, slots=True)
class ShingleOverlap:
    """Sizes of two shingle sets and of their intersection."""

    size_a: int
    size_b: int
    common: int

    @property
    def jaccard(self) -> float:
        """|a∩b| / |a∪b|; 0 if a set is empty."""
        return self.common / (self.size_a + self.size_b - self.common) if self.size_a and self.size_b else 0.0

    @property
    def containment(self) -> float:
        """|a∩b| / min(|a|, |b|); 0 if a set is empty."""
        return self.common / min(self.size_a, self.size_b) if self.size_a and self.size_b else 0.0


@dataclass(frozen=True, slots=True)
class PreparedText:
    """The normalised code points of a body, and which of them are inside quotation marks."""

    points: NDArray[np.uint32]
    is_quoted: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SharedPassages:
    """The extent of the text that two texts share, in normalised characters without masked ones.

    `characters`: characters in a run of `RUN_CHARACTERS` that the other text contains as well. `unquoted_characters`: those of them
    outside quotation marks. Both are counted on either side, and the smaller count is taken. `shorter_length`: length of the
    shorter text. `longest_passage`: length of the longest common passage; 0 if it is under `RUN_CHARACTERS`.
    """

    characters: int
    unquoted_characters: int
    shorter_length: int
    longest_passage: int

    @property
    def coverage(self) -> float:
        """Share of the shorter text in common passages; 0 for an empty text."""
        return self.characters / self.shorter_length if self.shorter_length else 0.0

    @property
    def unquoted_coverage(self) -> float:
        """Share of the shorter text in common passages outside quotation marks; 0 for an empty text."""
        return self.unquoted_characters / self.shorter_length if self.shorter_length else 0.0

    @property
    def quoted_share(self) -> float:
        """Share of the common passages inside quotation marks; 0 if there are no common passages."""
        return 1 - self.unquoted_characters / self.characters if self.characters else 0.0


NO_PASSAGES = SharedPassages(0, 0, 0, 0)

"""What is measured of two texts, and in which form they are taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RUN_CHARACTERS = 20
"""Normalised characters that must run alike in two texts to count as shared."""
MAX_STEPS_PER_CHARACTER = 64
"""Comparisons per character of both texts for passages that run on; only texts that repeat themselves endlessly need more."""
LONG_TEXT_STEPS, LONG_TEXT_STEPS_PER_CHARACTER = 20_000_000, 4
"""The same for long texts: so many, and so many more per character."""
WORK_PER_PIECE = 1 << 20
"""Units of work between two signs of life, in a text that is compared piece by piece: characters entered, places compared."""
MIN_PIECEWISE_CHARACTERS = 1 << 18
"""Characters of two texts from which on they are compared piece by piece: some milliseconds of work."""


@dataclass(frozen=True, slots=True)
class ShingleOverlap:
    """Sizes of two shingle sets, and of what they have in common."""

    size_a: int
    size_b: int
    common: int

    @property
    def jaccard(self) -> float:
        """|a∩b| / |a∪b|; 0 where a set is empty."""
        return self.common / (self.size_a + self.size_b - self.common) if self.size_a and self.size_b else 0.0

    @property
    def containment(self) -> float:
        """|a∩b| / min(|a|, |b|); 0 where a set is empty."""
        return self.common / min(self.size_a, self.size_b) if self.size_a and self.size_b else 0.0


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A body's normalised code points, and which of them stand inside quotation marks."""

    points: NDArray[np.uint32]
    is_quoted: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SharedPassages:
    """What two texts share, in normalised characters without masked ones.

    `characters`: those that lie in a run of `RUN_CHARACTERS` characters which the other text has too; `unquoted_characters`: those of them
    that are not quoted; both of the side that has fewer. `shorter_length`: the length of the shorter text. `longest_passage`: the longest
    passage that runs alike through both, 0 if it is under `RUN_CHARACTERS`.
    """

    characters: int
    unquoted_characters: int
    shorter_length: int
    longest_passage: int

    @property
    def coverage(self) -> float:
        """Share of the shorter text that the other one holds; 0 for an empty text."""
        return self.characters / self.shorter_length if self.shorter_length else 0.0

    @property
    def unquoted_coverage(self) -> float:
        """Coverage by what is not quoted."""
        return self.unquoted_characters / self.shorter_length if self.shorter_length else 0.0

    @property
    def quoted_share(self) -> float:
        """Share of what is shared that stands inside quotation marks; 0 where nothing is shared."""
        return 1 - self.unquoted_characters / self.characters if self.characters else 0.0


NO_PASSAGES = SharedPassages(0, 0, 0, 0)

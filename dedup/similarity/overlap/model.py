"""What is measured of two texts, and in which form they are taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RUN = 20
"""Normalised characters that must run alike in two texts to count as shared."""
STEPS = 64
"""Comparisons per character of both texts for passages that run on; only texts that repeat themselves endlessly need more."""
STEPS_LONG, STEPS_BEYOND = 20_000_000, 4
"""The same for long texts: so many, and so many more per character."""
PIECE = 1 << 20
"""Units of work between two signs of life, in a text that is compared piece by piece: characters entered, places compared."""
LONG = 1 << 18
"""Characters of two texts from which on they are compared piece by piece: some milliseconds of work."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Sizes of two shingle sets, and of what they have in common."""

    a: int
    b: int
    common: int

    @property
    def jaccard(self) -> float:
        """|a∩b| / |a∪b|; 0 where a set is empty."""
        return self.common / (self.a + self.b - self.common) if self.a and self.b else 0.0

    @property
    def containment(self) -> float:
        """|a∩b| / min(|a|, |b|); 0 where a set is empty."""
        return self.common / min(self.a, self.b) if self.a and self.b else 0.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A body's normalised code points, and which of them stand inside quotation marks."""

    points: NDArray[np.uint32]
    quoted: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shared:
    """What two texts share, in normalised characters without masked ones.

    `characters`: those that lie in a run of `RUN` characters which the other text has too; `outside`: those of them that are
    not quoted; both of the side that has fewer. `shorter`: the length of the shorter text. `longest`: the longest passage
    that runs alike through both, 0 if it is under `RUN`.
    """

    characters: int
    outside: int
    shorter: int
    longest: int

    @property
    def coverage(self) -> float:
        """Share of the shorter text that the other one holds; 0 for an empty text."""
        return self.characters / self.shorter if self.shorter else 0.0

    @property
    def unquoted(self) -> float:
        """Coverage by what is not quoted."""
        return self.outside / self.shorter if self.shorter else 0.0

    @property
    def quoted(self) -> float:
        """Share of what is shared that stands inside quotation marks; 0 where nothing is shared."""
        return 1 - self.outside / self.characters if self.characters else 0.0


NOTHING = Shared(0, 0, 0, 0)

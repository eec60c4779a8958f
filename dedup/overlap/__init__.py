"""How much of one text stands in another: exact Jaccard and containment of their shingle sets.

From code points, and where there is compiled code without making the sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup import compiled, text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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


def points(body: str) -> NDArray[np.uint32]:
    """The code points of a body, normalised."""
    import numpy as np

    folded = np.frombuffer(text.fold(body).encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))
    return folded[text.kept_array()[folded]]


def overlap(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> Overlap:
    """The overlap of two normalised texts."""
    if compiled.worth(1):
        from dedup.overlap.kernel import overlap

        return Overlap(*overlap(a, b))
    x, y = (text.shingles(p.astype("<u4").tobytes().decode("utf-32-le")) for p in (a, b))
    return Overlap(len(x), len(y), len(x & y))


def body_similarity(a: str, b: str) -> float:
    """Jaccard of the shingles of two bodies; two bodies without any letter or number are alike."""
    found = overlap(points(a), points(b))
    return 1.0 if not found.a and not found.b else found.jaccard

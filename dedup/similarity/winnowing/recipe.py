"""How keys are chosen: the numbers that a stored key depends on."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from dedup.text import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RUN_WEIGHT = 160
"""Weight of a run. The run that begins at a character ends with the character that brings its weight to at least this."""
WIDE_WEIGHT, NARROW_WEIGHT = 8, 5
"""Weight of a character of `text.normalise.wide_mask`, and of any other one."""
WIDE_RUN_CHARACTERS, NARROW_RUN_CHARACTERS = -(-RUN_WEIGHT // WIDE_WEIGHT), -(-RUN_WEIGHT // NARROW_WEIGHT)
"""Characters of a run that are all wide, and of one that are all narrow: the shortest and the longest run."""
WINDOW = 40
"""Successive runs of which the smallest hash is chosen, in texts that are short enough to have `EXPECTED_FINGERPRINTS` keys so."""
EXPECTED_FINGERPRINTS, CHARACTERS_PER_FINGERPRINT, MAX_EXPECTED_FINGERPRINTS = 40, 32, 1000
"""Keys that a text has on average at most; one of more than EXPECTED × PER_KEY characters has one for each PER_KEY, up to
`MAX_EXPECTED_FINGERPRINTS`. Longer texts have wider windows for it."""
MAX_SHORT_TEXT_WINDOW = 2 * CHARACTERS_PER_FINGERPRINT - 1
FINGERPRINT_BITS = 35
FINGERPRINT_BYTES = 5
RECIPE = (
    f"winnow/poly64/{RUN_WEIGHT}by{WIDE_WEIGHT}-{NARROW_WEIGHT}/{WINDOW}to{MAX_SHORT_TEXT_WINDOW}"
    f"/{EXPECTED_FINGERPRINTS}-{CHARACTERS_PER_FINGERPRINT}-{MAX_EXPECTED_FINGERPRINTS}/{FINGERPRINT_BITS}bits/text1"
)
"""The stored name of how keys are made."""

BASE, LENGTH_FACTOR, FINGERPRINT_SALT = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F
"""Odd constants: the base of the polynomial, what the length of a run is mixed in with, and what parts a key from the smallness of
its hash."""


@lru_cache(maxsize=1)
def code_point_weights() -> NDArray[np.uint8]:
    """The weight of every code point; 0 for one that normalised texts do not have."""
    import numpy as np

    weight_of = np.where(normalise.wide_mask(), np.uint8(WIDE_WEIGHT), np.uint8(NARROW_WEIGHT))
    weight_of[~normalise.alphanumeric_mask()] = 0
    return weight_of


def window_size(characters: int) -> int:
    """Successive runs of which the smallest hash is chosen, for a text of `characters` normalised characters. It never falls as texts
    grow, and what a wide window chooses a narrower one chooses too. A window of w chooses two of w + 1 hashes on average."""
    return max(
        WINDOW,
        min(MAX_SHORT_TEXT_WINDOW, -(-2 * characters // EXPECTED_FINGERPRINTS) - 1),
        -(-2 * characters // MAX_EXPECTED_FINGERPRINTS) - 1,
    )


def max_fingerprints(characters: int) -> int:
    """Keys that a text of `characters` normalised characters has at most: twice as many as are expected. Only a text that is made for
    it has more minima; the smallest of them are kept."""
    return 2 * min(max(EXPECTED_FINGERPRINTS, characters // CHARACTERS_PER_FINGERPRINT), MAX_EXPECTED_FINGERPRINTS)

"""The constants and functions on which a stored fingerprint depends."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from dedup.text import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RUN_WEIGHT = 160
"""Weight of a run. A run ends with the character that brings its weight to at least this."""
WIDE_WEIGHT, NARROW_WEIGHT = 8, 5
"""Weight of a character of `text.normalise.wide_mask`, and of any other character."""
WIDE_RUN_CHARACTERS, NARROW_RUN_CHARACTERS = -(-RUN_WEIGHT // WIDE_WEIGHT), -(-RUN_WEIGHT // NARROW_WEIGHT)
"""Characters of a run of wide characters, and of narrow ones: the shortest and the longest run."""
WINDOW = 40
"""Successive runs of which the smallest hash is chosen, for texts that get at most `EXPECTED_FINGERPRINTS` fingerprints this way."""
EXPECTED_FINGERPRINTS, CHARACTERS_PER_FINGERPRINT, MAX_EXPECTED_FINGERPRINTS = 40, 32, 1000
"""Fingerprints that a text has on average at most. A text of more than EXPECTED × CHARACTERS_PER_FINGERPRINT characters has one for
each CHARACTERS_PER_FINGERPRINT, up to `MAX_EXPECTED_FINGERPRINTS`. Longer texts get wider windows for this."""
MAX_SHORT_TEXT_WINDOW = 2 * CHARACTERS_PER_FINGERPRINT - 1
FINGERPRINT_BITS = 35
FINGERPRINT_BYTES = 5
RECIPE = (
    f"winnow/poly64/{RUN_WEIGHT}by{WIDE_WEIGHT}-{NARROW_WEIGHT}/{WINDOW}to{MAX_SHORT_TEXT_WINDOW}"
    f"/{EXPECTED_FINGERPRINTS}-{CHARACTERS_PER_FINGERPRINT}-{MAX_EXPECTED_FINGERPRINTS}/{FINGERPRINT_BITS}bits/text1"
)
"""The stored name of how fingerprints are computed."""

BASE, LENGTH_FACTOR, FINGERPRINT_SALT = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F
"""Odd constants: the base of the polynomial; the factor that mixes in the length of a run; the salt that makes a fingerprint
independent of the smallness of its hash."""


@lru_cache(maxsize=1)
def code_point_weights() -> NDArray[np.uint8]:
    """Return the weight of every code point (0 to 0x10FFFF); 0 for one that normalised texts do not contain."""
    import numpy as np

    weight_of = np.where(normalise.wide_mask(), np.uint8(WIDE_WEIGHT), np.uint8(NARROW_WEIGHT))
    weight_of[~normalise.alphanumeric_mask()] = 0
    return weight_of


def window_size(characters: int) -> int:
    """Return the number of successive runs of which the smallest hash is chosen, for a text of `characters` normalised characters.

    It never falls as texts grow, and a narrower window chooses every hash that a wider one chooses. A window of w chooses two of w
    + 1 hashes on average.
    """
    return max(
        WINDOW,
        min(MAX_SHORT_TEXT_WINDOW, -(-2 * characters // EXPECTED_FINGERPRINTS) - 1),
        -(-2 * characters // MAX_EXPECTED_FINGERPRINTS) - 1,
    )


def max_fingerprints(characters: int) -> int:
    """Return the most fingerprints of a text of `characters` normalised characters: twice the expected number.

    Only a crafted text has more minima; the smallest of them are kept.
    """
    return 2 * min(max(EXPECTED_FINGERPRINTS, characters // CHARACTERS_PER_FINGERPRINT), MAX_EXPECTED_FINGERPRINTS)

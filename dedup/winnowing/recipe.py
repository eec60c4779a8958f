"""How keys are chosen: the numbers that a stored key depends on."""

from __future__ import annotations

WIDE, NARROW = 20, 32
"""k: characters hashed together in a text that is mostly Hangul or CJK ideographs, and in any other."""
WINDOW = 40
MOST = 40
"""Keys of a text, the smallest hashes; of one longer than MOST × PER_KEY characters, one for each PER_KEY."""
PER_KEY = 32
MOST_EVER = 1000
KEY_BITS = 35
KEY_BYTES = 5
RECIPE = f"winnow/poly64/{WIDE}-{NARROW}/{WINDOW}/{MOST}-{PER_KEY}-{MOST_EVER}/{KEY_BITS}bits/text1"
"""The stored name of how keys are made."""

BASE, SPREAD, AGAIN = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F
"""Odd constants: the base of the polynomial, what k is mixed in with, and what parts a key from the smallness of its hash."""


def most(characters: int) -> int:
    """Keys that a text of so many normalised characters has at most."""
    return min(max(MOST, characters // PER_KEY), MOST_EVER)

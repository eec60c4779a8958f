"""Random numbers as a function of their position: SplitMix64 (Steele, Lea, Flood 2014) of a counter.

They are the same on every machine and with every version of Python and NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_GOLDEN, _MIX_1, _MIX_2, _ALL = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, (1 << 64) - 1


def mixed(counters: Words) -> Words:
    """Return a random number for each counter."""
    x = counters * np.uint64(_GOLDEN)
    x ^= x >> np.uint64(30)
    x *= np.uint64(_MIX_1)
    x ^= x >> np.uint64(27)
    x *= np.uint64(_MIX_2)
    x ^= x >> np.uint64(31)
    return x


def mix(counter: int) -> int:
    """Return the random number for one counter below 2**64."""
    x = counter * _GOLDEN & _ALL
    x = (x ^ x >> 30) * _MIX_1 & _ALL
    x = (x ^ x >> 27) * _MIX_2 & _ALL
    return x ^ x >> 31


def key_of(*parts: int) -> int:
    """Return one 64-bit key of several numbers."""
    key = 0
    for part in parts:
        key = mix(key ^ part)
    return key


def keys_of(seed: int, purpose: int, numbers: Iterable[int]) -> list[int]:
    """Return `key_of(seed, purpose, number)` for each number."""
    counters = np.array(list(numbers), dtype=np.uint64) ^ np.uint64(key_of(seed, purpose))
    return mixed(counters).tolist()  # type: ignore[no-any-return]


TEXT, HEAD, TITLE, PLAN, EDIT, PLACE, CRAWL, FIXED, VOCABULARY, STOCK = range(1, 11)
"""Purposes of keys. Two purposes never share random numbers."""

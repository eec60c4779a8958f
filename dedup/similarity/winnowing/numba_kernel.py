"""Winnowing of a batch of texts in machine code. Importing this module imports numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, uint64

from dedup.similarity.jit import jit_compile
from dedup.similarity.winnowing import recipe

_BASE, _LENGTH_FACTOR, _FINGERPRINT_SALT = np.uint64(recipe.BASE), np.uint64(recipe.LENGTH_FACTOR), np.uint64(recipe.FINGERPRINT_SALT)
_M1, _M2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT = np.uint64(64 - recipe.FINGERPRINT_BITS)
_RUN_WEIGHT = recipe.RUN_WEIGHT
_POWERS = np.array([pow(recipe.BASE, n, 1 << 64) for n in range(recipe.NARROW_RUN_CHARACTERS)], np.uint64)
_window: Any = njit(recipe.window_size)
_max_fingerprints: Any = njit(recipe.max_fingerprints)


@njit(inline="always")
def _fmix64(h: Any) -> Any:
    h = uint64((h ^ uint64(h >> uint64(33))) * _M1)
    h = uint64((h ^ uint64(h >> uint64(33))) * _M2)
    return uint64(h ^ uint64(h >> uint64(33)))


@jit_compile
def winnow(points: Any, starts: Any, weights: Any, min_characters: int, fingerprints: Any, counts: Any) -> None:
    """Write the fingerprints of each text into its row of `fingerprints`, in ascending order, and their number into `counts`; -1 for a
    text that is too short.

    points: code points (uint32) of all texts; text t is [starts[t], starts[t + 1]). weights: see `recipe.code_point_weights`.
    min_characters: a text with fewer normalised characters is too short. See `dedup.similarity.winnowing.fingerprint_texts`.
    """
    longest = 0
    for text in range(len(starts) - 1):
        longest = max(longest, starts[text + 1] - starts[text])
    characters = np.empty(longest, np.uint32)
    own_weights = np.empty(longest, np.uint8)
    hashes = np.empty(longest, np.uint64)
    minima = np.empty(longest, np.uint64)
    for text in range(len(starts) - 1):
        character_count = run_count = weight_sum = 0
        rolled = uint64(0)
        for i in range(starts[text], starts[text + 1]):
            weight = weights[points[i]]
            if weight == 0:
                continue
            characters[character_count] = points[i]
            own_weights[character_count] = weight
            weight_sum += weight
            rolled = uint64(uint64(rolled * _BASE) + uint64(characters[character_count]))
            character_count += 1
            while weight_sum >= _RUN_WEIGHT:  # one or more runs end here
                length = character_count - run_count
                hashes[run_count] = _fmix64(uint64(rolled + uint64(uint64(length) * _LENGTH_FACTOR)))
                rolled = uint64(rolled - uint64(uint64(characters[run_count]) * _POWERS[length - 1]))
                weight_sum -= own_weights[run_count]
                run_count += 1
        if character_count < min_characters or character_count == 0:
            counts[text] = -1
            continue
        if run_count == 0:
            counts[text] = 0
            continue
        window = _window(character_count)
        minimum_at = 0
        for i in range(1, min(window, run_count)):
            if hashes[i] <= hashes[minimum_at]:
                minimum_at = i
        minimum_count = 1
        minima[0] = hashes[minimum_at]
        for end in range(window, run_count):
            if hashes[end] <= hashes[minimum_at]:
                minimum_at = end
            elif minimum_at <= end - window:
                minimum_at = end - window + 1
                for i in range(minimum_at + 1, end + 1):
                    if hashes[i] <= hashes[minimum_at]:
                        minimum_at = i
            else:
                continue
            minima[minimum_count] = hashes[minimum_at]
            minimum_count += 1
        sorted_minima = np.sort(minima[:minimum_count])
        limit = _max_fingerprints(character_count)
        row = fingerprints[text]
        distinct = 0
        for i in range(minimum_count):
            if i and sorted_minima[i] == sorted_minima[i - 1]:
                continue
            if distinct == limit:
                break
            row[distinct] = np.int64(_fmix64(uint64(sorted_minima[i] ^ _FINGERPRINT_SALT)) >> _SHIFT)
            distinct += 1
        row[:distinct] = np.sort(row[:distinct])
        last_unique = 0
        for i in range(1, distinct):
            if row[i] != row[last_unique]:
                last_unique += 1
                row[last_unique] = row[i]
        counts[text] = last_unique + 1

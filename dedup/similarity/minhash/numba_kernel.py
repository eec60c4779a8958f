"""MinHash signatures of a batch of texts in machine code. Importing this module imports numba.

Every sum and product is truncated to 32 bits explicitly, because numba computes with 64 bits on narrow integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, uint32

from dedup.similarity.jit import jit_compile

_P1, _P2, _P3 = np.uint32(2654435761), np.uint32(2246822519), np.uint32(3266489917)
_P4, _P5 = np.uint32(668265263), np.uint32(374761393)
_M1, _M2 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
_MAX_UINT32 = np.uint32(0xFFFFFFFF)


@njit(inline="always")
def _rotate_left(x: Any, bits: Any) -> Any:
    return uint32(uint32(x << uint32(bits)) | uint32(x >> uint32(32 - bits)))


@njit(inline="always")
def _read_word(utf8: Any, i: Any) -> Any:
    low = uint32(utf8[i]) | uint32(uint32(utf8[i + 1]) << uint32(8))
    return uint32(low | uint32(uint32(utf8[i + 2]) << uint32(16)) | uint32(uint32(utf8[i + 3]) << uint32(24)))


@njit(inline="always")
def _fmix_xxh32(utf8: Any, i: Any, end: Any) -> Any:
    """MurmurHash3's finaliser of xxh32 (seed 0, xxHash specification 0.8) of utf8[i:end]."""
    length = end - i
    if length >= 16:
        v1, v2, v3, v4 = uint32(_P1 + _P2), _P2, uint32(0), uint32(uint32(0) - _P1)
        while i + 16 <= end:
            v1 = uint32(_rotate_left(uint32(v1 + uint32(_read_word(utf8, i) * _P2)), 13) * _P1)
            v2 = uint32(_rotate_left(uint32(v2 + uint32(_read_word(utf8, i + 4) * _P2)), 13) * _P1)
            v3 = uint32(_rotate_left(uint32(v3 + uint32(_read_word(utf8, i + 8) * _P2)), 13) * _P1)
            v4 = uint32(_rotate_left(uint32(v4 + uint32(_read_word(utf8, i + 12) * _P2)), 13) * _P1)
            i += 16
        h = uint32(uint32(_rotate_left(v1, 1) + _rotate_left(v2, 7)) + uint32(_rotate_left(v3, 12) + _rotate_left(v4, 18)))
    else:
        h = _P5
    h = uint32(h + uint32(length))
    while i + 4 <= end:
        h = uint32(_rotate_left(uint32(h + uint32(_read_word(utf8, i) * _P3)), 17) * _P4)
        i += 4
    while i < end:
        h = uint32(_rotate_left(uint32(h + uint32(uint32(utf8[i]) * _P5)), 11) * _P1)
        i += 1
    h = uint32(uint32(h ^ (h >> uint32(15))) * _P2)
    h = uint32(uint32(h ^ (h >> uint32(13))) * _P3)
    h = uint32(h ^ (h >> uint32(16)))
    h = uint32(uint32(h ^ (h >> uint32(16))) * _M1)
    h = uint32(uint32(h ^ (h >> uint32(13))) * _M2)
    return uint32(h ^ (h >> uint32(16)))


@jit_compile
def sign(
    points: Any, starts: Any, alphanumeric: Any, a: Any, b: Any, min_characters: int, utf8: Any, ends: Any, characters: Any, signatures: Any
) -> None:
    """Normalise, encode and sign texts into arrays of the caller. See `dedup.similarity.minhash.numpy_kernel.sign`."""
    longest = 0
    for text in range(len(starts) - 1):
        longest = max(longest, starts[text + 1] - starts[text])
    offsets = np.empty(longest + 1, np.int64)
    hashes = np.empty(longest + 8, np.uint32)
    permutations = len(a)
    end = 0
    for text in range(len(starts) - 1):
        count = 0
        for i in range(starts[text], starts[text + 1]):
            code = points[i]
            if alphanumeric[code]:
                offsets[count] = end
                count += 1
                if code < 0x80:
                    utf8[end] = code
                    end += 1
                elif code < 0x800:
                    utf8[end] = 0xC0 | (code >> 6)
                    utf8[end + 1] = 0x80 | (code & 0x3F)
                    end += 2
                elif code < 0x10000:
                    utf8[end] = 0xE0 | (code >> 12)
                    utf8[end + 1] = 0x80 | ((code >> 6) & 0x3F)
                    utf8[end + 2] = 0x80 | (code & 0x3F)
                    end += 3
                else:
                    utf8[end] = 0xF0 | (code >> 18)
                    utf8[end + 1] = 0x80 | ((code >> 12) & 0x3F)
                    utf8[end + 2] = 0x80 | ((code >> 6) & 0x3F)
                    utf8[end + 3] = 0x80 | (code & 0x3F)
                    end += 4
        offsets[count] = end
        ends[text + 1] = end
        characters[text] = count
        signature = signatures[text]
        for k in range(permutations):
            signature[k] = _MAX_UINT32
        if count < min_characters or count == 0:
            continue
        width = min(count, 5)
        shingle_count = count - width + 1
        for i in range(shingle_count):
            hashes[i] = _fmix_xxh32(utf8, offsets[i], offsets[i + width])
        while shingle_count % 8:  # pad with copies of the last hash, which do not change the minimum
            hashes[shingle_count] = hashes[shingle_count - 1]
            shingle_count += 1
        for i in range(0, shingle_count, 8):
            h0, h1, h2, h3 = hashes[i], hashes[i + 1], hashes[i + 2], hashes[i + 3]
            h4, h5, h6, h7 = hashes[i + 4], hashes[i + 5], hashes[i + 6], hashes[i + 7]
            for k in range(permutations):
                x, y = a[k], b[k]
                low = min(uint32(x * h0 + y), uint32(x * h1 + y), uint32(x * h2 + y), uint32(x * h3 + y))
                high = min(uint32(x * h4 + y), uint32(x * h5 + y), uint32(x * h6 + y), uint32(x * h7 + y))
                signature[k] = min(signature[k], low, high)

"""MinHash signatures of a batch of texts with numpy: for few texts, and for platforms without numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dedup.text.normalise import from_points

Uint8Array = NDArray[np.uint8]
Uint32Array = NDArray[np.uint32]
Int64Array = NDArray[np.int64]

_P1, _P2, _P3, _P4, _P5 = (np.uint32(p) for p in (2654435761, 2246822519, 3266489917, 668265263, 374761393))
_M1, _M2 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
_BLOCK = 128
"""Shingles permuted at once, so that the shingles × permutations matrix fits into the processor's cache."""


def sign(
    points: Uint32Array, starts: Int64Array, alphanumeric: NDArray[np.bool_], a: Uint32Array, b: Uint32Array, min_characters: int
) -> tuple[Uint8Array, Int64Array, Int64Array, Uint32Array]:
    """Normalise, encode and sign n texts. `points` are the folded code points of all texts; text t is points[starts[t]:starts[t+1]].

    Return (utf8, ends, characters, signatures). utf8: the alphanumeric characters of all texts as UTF-8; text t is
    utf8[ends[t]:ends[t+1]]. characters: the length of each text in characters. signatures: n × permutations, all ones for a text
    that is empty or shorter than `min_characters`. Element k of a signature is the minimum over the shingles of a[k]·h + b[k] mod
    2^32, where h is MurmurHash3's 32-bit finaliser of xxh32 of the shingle's UTF-8 (datasketch's scheme `affine32`).
    """
    is_alphanumeric = alphanumeric[points]
    counts_before = np.concatenate(([0], np.cumsum(is_alphanumeric)))
    firsts = counts_before[starts]
    characters = np.diff(firsts)
    points = points[is_alphanumeric]
    utf8, utf8_offsets = encode_utf8(points)
    signatures = np.full((len(characters), len(a)), 0xFFFFFFFF, np.uint32)
    for text in np.flatnonzero((characters >= min_characters) & (characters > 0)):
        text_offsets = utf8_offsets[firsts[text] : firsts[text + 1] + 1]
        width = min(len(text_offsets) - 1, 5)
        relative_offsets = text_offsets - text_offsets[0]
        hashes = fmix32(xxh32(utf8[text_offsets[0] : text_offsets[-1]], relative_offsets[:-width], relative_offsets[width:]))
        for i in range(0, len(hashes), _BLOCK):
            permuted = hashes[i : i + _BLOCK, None] * a + b
            np.minimum(signatures[text], permuted.min(axis=0), out=signatures[text])
    return utf8, utf8_offsets[firsts], characters, signatures


def encode_utf8(points: Uint32Array) -> tuple[Uint8Array, Int64Array]:
    """Return (UTF-8 of the code points, byte offset of each and of the end)."""
    width = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    offsets = np.concatenate(([0], np.cumsum(width)))
    return np.frombuffer(from_points(points).encode(), np.uint8), offsets


def xxh32(utf8: Uint8Array, begin: Int64Array, end: Int64Array) -> Uint32Array:
    """Return xxh32 (seed 0, xxHash specification 0.8) of each span utf8[begin[i]:end[i]]. Spans have at most 31 bytes."""
    padded = np.concatenate((utf8, np.zeros(3, np.uint8))).astype(np.uint32)
    words = padded[:-3] | padded[1:-2] << np.uint32(8) | padded[2:-1] << np.uint32(16) | padded[3:] << np.uint32(24)
    lengths = end - begin
    hashes = np.empty(len(begin), np.uint32)
    for length in np.unique(lengths):
        has_length = lengths == length
        i = begin[has_length]
        offset = 0
        if length >= 16:
            h = _mix_first_16(words, i)
            offset = 16
        else:
            h = np.full(len(i), _P5, np.uint32)
        h += np.uint32(length)
        while offset + 4 <= length:
            h = rotate_left(h + words[i + offset] * _P3, 17) * _P4
            offset += 4
        while offset < length:
            h = rotate_left(h + padded[i + offset] * _P5, 11) * _P1
            offset += 1
        h = (h ^ h >> np.uint32(15)) * _P2
        h = (h ^ h >> np.uint32(13)) * _P3
        hashes[has_length] = h ^ h >> np.uint32(16)
    return hashes


def _mix_first_16(words: Uint32Array, i: Int64Array) -> Uint32Array:
    """The hash state after the first 16 bytes."""
    lanes = (
        (np.uint32(606290984), 0, 1),  # P1 + P2, P2, 0 and -P1 mod 2^32
        (_P2, 4, 7),
        (np.uint32(0), 8, 12),
        (np.uint32(1640531535), 12, 18),
    )
    h: Uint32Array = np.zeros(len(i), np.uint32)
    for first, offset, turn in lanes:
        h = h + rotate_left(rotate_left(first + words[i + offset] * _P2, 13) * _P1, turn)
    return h


def rotate_left(x: Uint32Array, bits: int) -> Uint32Array:
    """Rotate each 32-bit word left."""
    return x << np.uint32(bits) | x >> np.uint32(32 - bits)


def fmix32(h: Uint32Array) -> Uint32Array:
    """MurmurHash3's 32-bit finaliser (Appleby)."""
    h = (h ^ h >> np.uint32(16)) * _M1
    h = (h ^ h >> np.uint32(13)) * _M2
    result: Uint32Array = h ^ h >> np.uint32(16)
    return result

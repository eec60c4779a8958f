"""Signing a batch of texts with numpy: for few texts, and for platforms that numba does not serve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dedup.text.normalise import from_points

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint32]
Longs = NDArray[np.int64]

_P1, _P2, _P3, _P4, _P5 = (np.uint32(p) for p in (2654435761, 2246822519, 3266489917, 668265263, 374761393))
_M1, _M2 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
_BLOCK = 128
"""Shingles permuted at once: the table of shingles × permutations stays in the processor's cache."""


def sign(points: Words, starts: Longs, kept: NDArray[np.bool_], a: Words, b: Words, least: int) -> tuple[Bytes, Longs, Longs, Words]:
    """Normalise, encode and sign n texts given as folded code points, text t being points[starts[t]:starts[t+1]].

    Gives (utf8, ends, characters, signatures): the kept characters of all texts as UTF-8, text t being
    utf8[ends[t]:ends[t+1]]; its number of characters; and its n × permutations signature, all ones for a text that is
    shorter than `least` or empty. Element k of a signature is min over the shingles of a[k]·h + b[k] mod 2^32, where h is
    xxh32 of the shingle's UTF-8 put through MurmurHash3's 32-bit finaliser (datasketch's scheme `affine32`).
    """
    chosen = kept[points]
    before = np.concatenate(([0], np.cumsum(chosen)))
    firsts = before[starts]
    characters = np.diff(firsts)
    points = points[chosen]
    utf8, at = encode(points)
    signatures = np.full((len(characters), len(a)), 0xFFFFFFFF, np.uint32)
    for text in np.flatnonzero((characters >= least) & (characters > 0)):
        own = at[firsts[text] : firsts[text + 1] + 1]
        width = min(len(own) - 1, 5)
        offsets = own - own[0]
        hashes = mixed(xxh32(utf8[own[0] : own[-1]], offsets[:-width], offsets[width:]))
        for i in range(0, len(hashes), _BLOCK):
            permuted = hashes[i : i + _BLOCK, None] * a + b
            np.minimum(signatures[text], permuted.min(axis=0), out=signatures[text])
    return utf8, at[firsts], characters, signatures


def encode(points: Words) -> tuple[Bytes, Longs]:
    """(UTF-8 of code points, offsets of each and of the end)."""
    width = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    at = np.concatenate(([0], np.cumsum(width)))
    return np.frombuffer(from_points(points).encode(), np.uint8), at


def xxh32(utf8: Bytes, begin: Longs, end: Longs) -> Words:
    """xxh32 (seed 0, specification of xxHash 0.8) of each stretch utf8[begin[i]:end[i]], none longer than 31 bytes."""
    padded = np.concatenate((utf8, np.zeros(3, np.uint8))).astype(np.uint32)
    words = padded[:-3] | padded[1:-2] << np.uint32(8) | padded[2:-1] << np.uint32(16) | padded[3:] << np.uint32(24)
    lengths = end - begin
    found = np.empty(len(begin), np.uint32)
    for length in np.unique(lengths):
        chosen = lengths == length
        i = begin[chosen]
        at = 0
        if length >= 16:
            h = _wide(words, i)
            at = 16
        else:
            h = np.full(len(i), _P5, np.uint32)
        h += np.uint32(length)
        while at + 4 <= length:
            h = rotated(h + words[i + at] * _P3, 17) * _P4
            at += 4
        while at < length:
            h = rotated(h + padded[i + at] * _P5, 11) * _P1
            at += 1
        h = (h ^ h >> np.uint32(15)) * _P2
        h = (h ^ h >> np.uint32(13)) * _P3
        found[chosen] = h ^ h >> np.uint32(16)
    return found


def _wide(words: Words, i: Longs) -> Words:
    """The state after the first 16 bytes."""
    lanes = (
        (np.uint32(606290984), 0, 1),  # P1 + P2, P2, 0 and -P1 mod 2^32
        (_P2, 4, 7),
        (np.uint32(0), 8, 12),
        (np.uint32(1640531535), 12, 18),
    )
    h: Words = np.zeros(len(i), np.uint32)
    for first, at, turn in lanes:
        h = h + rotated(rotated(first + words[i + at] * _P2, 13) * _P1, turn)
    return h


def rotated(x: Words, bits: int) -> Words:
    """Each 32-bit word turned left."""
    return x << np.uint32(bits) | x >> np.uint32(32 - bits)


def mixed(h: Words) -> Words:
    """MurmurHash3's 32-bit finaliser (Appleby)."""
    h = (h ^ h >> np.uint32(16)) * _M1
    h = (h ^ h >> np.uint32(13)) * _M2
    mixed: Words = h ^ h >> np.uint32(16)
    return mixed

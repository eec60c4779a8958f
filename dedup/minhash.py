"""MinHash signatures (Broder 1997) of shingle sets, and how they are cut into bands for LSH.

Signatures are datasketch's: `MinHash(num_perm, seed=1, scheme="affine32", hashfunc=xxh32 of the shingle's UTF-8)`, stored
as little-endian uint32, so that they can be loaded into datasketch and back.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasketch import MinHash

SEED = 1
BATCH = 4096
"""Shingles hashed at once: datasketch fills a table of shingles × permutations."""
RECALL = 0.985
"""The least probability with which a pair exactly at the threshold must become a candidate."""


def recipe(num_perm: int) -> str:
    """The stored name of how signatures are made; signatures of different recipes are never compared."""
    return f"minhash/affine32/xxh32/char5/{num_perm}/seed{SEED}/text1"


@lru_cache(maxsize=4)
def _empty(num_perm: int) -> MinHash:
    import xxhash
    from datasketch import MinHash

    return MinHash(num_perm=num_perm, seed=SEED, scheme="affine32", hashfunc=xxhash.xxh32_intdigest)


def signature(shingles: Iterable[str], num_perm: int) -> bytes:
    """The signature of a shingle set, `num_perm` × 4 bytes; the order of the shingles does not matter."""
    sketch = _empty(num_perm).copy()
    rest = iter(shingles)
    while batch := [s.encode() for s in islice(rest, BATCH)]:
        sketch.update_batch(batch)
    return bytes(sketch.hashvalues.astype("<u4").tobytes())


def load(signature: bytes) -> MinHash:
    """A stored signature as datasketch's MinHash."""
    import numpy as np
    from datasketch import MinHash

    values = np.frombuffer(signature, dtype="<u4")
    blank = _empty(len(values))
    return MinHash(seed=SEED, scheme="affine32", hashfunc=blank.hashfunc, hashvalues=values, permutations=blank.permutations)


def bands(threshold: float, num_perm: int) -> tuple[int, int]:
    """(bands, rows): the most rows for which a pair of Jaccard `threshold` is a candidate with probability ≥ 0.985.

    The probability is 1-(1-t^r)^b with b = num_perm // r (Leskovec, Rajaraman, Ullman, *Mining of Massive Datasets*, 3.4).
    There are always two bands or more. Every candidate is confirmed, so recall is all that the choice has to look after.
    """
    rows = max((r for r in range(1, num_perm // 2 + 1) if 1 - (1 - threshold**r) ** (num_perm // r) >= RECALL), default=1)
    return num_perm // rows, rows

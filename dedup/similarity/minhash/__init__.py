"""MinHash signatures (Broder 1997) of texts, and how they are cut into bands for LSH.

Signatures are datasketch's: `MinHash(num_perm, seed=1, scheme="affine32", hashfunc=xxh32 of the shingle's UTF-8)`, stored
as little-endian uint32, so that they can be loaded into datasketch and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from dedup.similarity import jit
from dedup.text import normalise

if TYPE_CHECKING:
    import numpy as np
    from datasketch import MinHash
    from numpy.typing import NDArray

SEED = 1
CHARACTERS_PER_WORK_UNIT = 1250
"""Characters of a text that counts as one where the work is counted."""
MIN_RECALL = 0.985
"""The least probability with which a pair exactly at the threshold must become a candidate."""


@dataclass(frozen=True, slots=True)
class SignedText:
    """A text normalised and signed. `digest` is XXH3-128 of its normalised UTF-8 (None: no letter or number in it),
    `characters` its normalised length, `signature` its num_perm × 4 bytes (None: shorter than asked for)."""

    digest: bytes | None
    characters: int
    signature: bytes | None


def recipe(num_perm: int) -> str:
    """The stored name of how signatures are made; signatures of different recipes are never compared."""
    return f"minhash/affine32/xxh32/char5/{num_perm}/seed{SEED}/text1"


def banded_recipe(threshold: float, num_perm: int) -> str:
    """The stored name of what candidates depend on: signatures, and how they are cut."""
    count, rows = choose_bands(threshold, num_perm)
    return f"{recipe(num_perm)}/{count}x{rows}"


def sign_texts(texts: Sequence[str], num_perm: int, min_characters: int) -> list[SignedText]:
    """Each text normalised and signed, order kept; those under `min_characters` characters (normalised) get no signature."""
    return [signed for folded in normalise.fold_batches(texts) for signed in sign_folded(folded, num_perm, min_characters)]


def sign_folded(folded: normalise.FoldedTexts, num_perm: int, min_characters: int) -> list[SignedText]:
    """The same for texts that are folded already."""
    import numpy as np
    import xxhash

    points, starts = folded.points, folded.starts
    count = len(starts) - 1
    a, b = permutations(num_perm)
    if jit.count_work(max(count, len(points) // CHARACTERS_PER_WORK_UNIT)):
        from dedup.similarity.minhash.numba_kernel import sign

        utf8 = np.empty(4 * len(points), np.uint8)
        ends = np.zeros(len(starts), np.int64)
        characters = np.empty(count, np.int64)
        signatures = np.empty((count, num_perm), np.uint32)
        sign(points, starts, normalise.alphanumeric_mask(), a, b, min_characters, utf8, ends, characters, signatures)
    else:
        from dedup.similarity.minhash import numpy_kernel

        utf8, ends, characters, signatures = numpy_kernel.sign(points, starts, normalise.alphanumeric_mask(), a, b, min_characters)
    normalised = utf8.data
    rows = signatures.astype("<u4", copy=False)
    offsets: list[int] = ends.tolist()
    signed_texts = []
    for i, n in enumerate(characters.tolist()):
        digest = xxhash.xxh3_128_digest(normalised[offsets[i] : offsets[i + 1]]) if n else None
        signed_texts.append(SignedText(digest, n, rows[i].tobytes() if n and n >= min_characters else None))
    return signed_texts


@lru_cache(maxsize=4)
def permutations(num_perm: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """datasketch's (a, b) for seed 1: element k of a signature is the minimum of a[k]·h + b[k] mod 2^32. Drawn here as there, from a
    stream that numpy has frozen: importing datasketch imports scipy, and takes as long as all else that a small scan does."""
    import numpy as np

    stream = np.random.RandomState(SEED)
    a = stream.randint(0, 1 << 31, num_perm, np.uint32) * np.uint32(2) + np.uint32(1)
    return a, stream.randint(0, 1 << 32, num_perm, np.uint32)


def to_datasketch(signature: bytes) -> MinHash:
    """A stored signature as datasketch's MinHash."""
    import numpy as np
    import xxhash
    from datasketch import MinHash

    values = np.frombuffer(signature, dtype="<u4")
    return MinHash(
        seed=SEED,
        scheme="affine32",
        hashfunc=xxhash.xxh32_intdigest,
        hashvalues=values,
        permutations=np.array(permutations(len(values))),
    )


def choose_bands(threshold: float, num_perm: int) -> tuple[int, int]:
    """(bands, rows): the most rows for which a pair of Jaccard `threshold` is a candidate with probability ≥ 0.985.

    The probability is 1-(1-t^r)^b with b = num_perm // r (Leskovec, Rajaraman, Ullman, *Mining of Massive Datasets*, 3.4).
    There are always two bands or more. Every candidate is confirmed, so recall is all that the choice has to look after.
    """
    rows = max((r for r in range(1, num_perm // 2 + 1) if 1 - (1 - threshold**r) ** (num_perm // r) >= MIN_RECALL), default=1)
    return num_perm // rows, rows

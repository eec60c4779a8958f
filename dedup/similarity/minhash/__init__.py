"""MinHash signatures (Broder 1997) of texts, and their division into bands for LSH.

Signatures are those of datasketch: `MinHash(num_perm, seed=1, scheme="affine32", hashfunc=xxh32 of the shingle's UTF-8)`, stored as
little-endian uint32. They can be loaded into datasketch and back.
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
"""Characters that count as one text in `jit.count_work`."""
MIN_RECALL = 0.985
"""Probability at least with which a pair exactly at the threshold becomes a candidate."""


@dataclass(frozen=True, slots=True)
class SignedText:
    """A normalised text and its signature.

    `digest`: XXH3-128 of the normalised UTF-8; None for a text without letters and digits. `characters`: the normalised length.
    `signature`: num_perm × 4 bytes, little-endian; None for a text under the minimum length.
    """

    digest: bytes | None
    characters: int
    signature: bytes | None


def recipe(num_perm: int) -> str:
    """Return the stored name of how signatures are computed. Signatures of different recipes are never compared."""
    return f"minhash/affine32/xxh32/char5/{num_perm}/seed{SEED}/text1"


def banded_recipe(threshold: float, num_perm: int) -> str:
    """Return the stored name of what candidates depend on: the signature recipe and the bands."""
    count, rows = choose_bands(threshold, num_perm)
    return f"{recipe(num_perm)}/{count}x{rows}"


def sign_texts(texts: Sequence[str], num_perm: int, min_characters: int) -> list[SignedText]:
    """Normalise and sign texts; the result is in the same order. Texts under `min_characters` normalised characters get no signature."""
    return [signed for folded in normalise.fold_batches(texts) for signed in sign_folded(folded, num_perm, min_characters)]


def sign_folded(folded: normalise.FoldedTexts, num_perm: int, min_characters: int) -> list[SignedText]:
    """Normalise and sign texts that are folded already, see `sign_texts`."""
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
    """Return datasketch's permutations (a, b) for seed 1: element k of a signature is the minimum of a[k]·h + b[k] mod 2^32.

    They are drawn as in datasketch, from a random stream that numpy has frozen. Importing datasketch would import scipy, which
    takes as long as the rest of a small scan.
    """
    import numpy as np

    stream = np.random.RandomState(SEED)
    a = stream.randint(0, 1 << 31, num_perm, np.uint32) * np.uint32(2) + np.uint32(1)
    return a, stream.randint(0, 1 << 32, num_perm, np.uint32)


def to_datasketch(signature: bytes) -> MinHash:
    """Return a stored signature as a MinHash of datasketch."""
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


def sketch_text(text: str, num_perm: int) -> MinHash:
    """Return the signature of a text of any length as a MinHash of datasketch. That of a text without letters and digits is empty."""
    (signed,) = sign_texts([text], num_perm, 1)
    return to_datasketch(signed.signature if signed.signature is not None else b"\xff" * (4 * num_perm))


def choose_bands(threshold: float, num_perm: int) -> tuple[int, int]:
    """Return (bands, rows): the most rows for which a pair of Jaccard `threshold` is a candidate with probability ≥ `MIN_RECALL`.

    The probability is 1-(1-t^r)^b with b = num_perm // r (Leskovec, Rajaraman, Ullman, *Mining of Massive Datasets*, 3.4). There
    are at least two bands. Every candidate is confirmed exactly, so only recall matters here.
    """
    rows = max((r for r in range(1, num_perm // 2 + 1) if 1 - (1 - threshold**r) ** (num_perm // r) >= MIN_RECALL), default=1)
    return num_perm // rows, rows

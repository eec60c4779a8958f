"""rensa: R-MinHash in Rust, its LSH, its inline deduplicator and its rho pipeline.

Its LSH needs a number of permutations that is a multiple of its number of bands: 25 bands of 5 rows need 125. Most of its cost is
making Python's shingles; `prehashed` shows it without them, on hashes that NumPy computes of all runs at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from benchmarks.peers.harness import BANDS, NUM_PERM, ROWS, SEED, SHINGLE, THRESHOLD, Way, found_earlier, load, run, shingles

_rensa = load("rensa")
_BLOCK = 100
"""Texts sketched in a call. Lists of lists of shingles are short-lived, so Python's collector has little to examine."""


def sketches(texts: Sequence[str], num_perm: int) -> Iterator[Any]:
    for start in range(0, len(texts), _BLOCK):
        yield from _rensa.RMinHash.from_token_sets((shingles(text) for text in texts[start : start + _BLOCK]), num_perm, SEED)


def _worked(sketches: Iterable[Any]) -> list[list[int]]:
    index = _rensa.RMinHashLSH(THRESHOLD, BANDS * ROWS, BANDS)
    found: list[list[int]] = []
    for place, sketch in enumerate(sketches):
        found.append(index.query(sketch))
        index.insert(place, sketch)
    return found


def same() -> Way:
    return Way(
        sign=lambda texts: [
            _rensa.RMinHash.digest_matrix_from_token_sets(map(shingles, texts[start : start + _BLOCK]), NUM_PERM, SEED)
            for start in range(0, len(texts), _BLOCK)
        ],
        work=lambda texts: _worked(sketches(texts, BANDS * ROWS)),
        pairs=found_earlier,
        note="R-MinHash; 125 permutations, because 25 bands must divide their number",
    )


def _hashes(texts: Sequence[str]) -> tuple[Any, list[int]]:
    """A 64-bit hash of every 5-character run of all texts, and where the runs of each text begin."""
    np = load("numpy")
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    mixed = np.zeros(max(len(codes) - SHINGLE + 1, 0), dtype=np.uint64)
    for place in range(SHINGLE):
        mixed = (mixed ^ codes[place : place + len(mixed)]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    left = np.repeat(np.cumsum(lengths), lengths)[: len(mixed)] - np.arange(len(mixed))
    sizes = np.maximum(lengths - SHINGLE + 1, 0)
    return mixed[left >= SHINGLE], [0, *np.cumsum(sizes).tolist()]


def _matrices(texts: Sequence[str], num_perm: int) -> Iterator[Any]:
    for start in range(0, len(texts), _BLOCK):
        hashes, offsets = _hashes(texts[start : start + _BLOCK])
        yield _rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, num_perm, SEED)


def _flagged(matrices: Iterable[Any]) -> list[bool]:
    index = _rensa.RMinHashLSH(THRESHOLD, BANDS * ROWS, BANDS)
    flags: list[bool] = []
    for matrix in matrices:
        flags += index.insert_matrix_and_query_duplicate_flags(matrix, start_key=len(flags))
    return flags


def prehashed() -> Way:
    return Way(
        sign=lambda texts: list(_matrices(texts, NUM_PERM)),
        work=lambda texts: _flagged(_matrices(texts, BANDS * ROWS)),
        flags=list,
        note="R-MinHash of hashes made by NumPy, 100 texts a call; its batch calls report which texts have a candidate, not which one",
    )


def rho() -> Way:
    def matrix(texts: Sequence[str]) -> Any:
        return _rensa.RMinHash.digest_matrix_from_token_sets_rho(map(shingles, texts), BANDS * ROWS, SEED)

    return Way(
        sign=matrix,
        work=lambda texts: _rensa.RMinHashLSH(THRESHOLD, BANDS * ROWS, BANDS).query_duplicate_flags_matrix_one_shot(matrix(texts)),
        flags=list,
        note="its rho pipeline, all texts in one call: samples shingles by position; reports which texts have a candidate, not which one",
    )


def own() -> Way:
    def kept(texts: Sequence[str]) -> list[bool]:
        deduplicator = _rensa.RMinHashDeduplicator(threshold=THRESHOLD, num_perm=NUM_PERM, use_lsh=True)
        return deduplicator.add_pairs((str(place), text.split()) for place, text in enumerate(texts))  # type: ignore[no-any-return]

    return Way(
        sign=lambda texts: _rensa.RMinHash.from_token_sets((text.split() for text in texts), NUM_PERM, SEED),
        work=kept,
        flags=lambda kept: [not one for one in kept],
        note="RMinHashDeduplicator on words separated by spaces; keeps or drops a text, without reporting the similar one",
        raw=True,
    )


if __name__ == "__main__":
    run({"same": same, "prehashed": prehashed, "rho": rho, "own": own}, ("rensa", "numpy"))

"""The truth by brute force: every pair of texts with similar shingle sets, none missed and none estimated.

All pairs are compared through a sparse matrix product, texts × shingles by shingles × texts, a block of rows at a time: 10,000 texts of
1,400 characters take about 20 s and 1 GB. Shingles are distinguished exactly, not by a hash.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]

SHINGLE = 5
BLOCK = 500
"""Rows of the product held at once: 500 × 10,000 counts are 40 MB."""

Pair = tuple[int, int]


def similar_pairs(texts: Sequence[str], threshold: float) -> dict[Pair, float]:
    """Return (i, j) → Jaccard of the shingle sets of texts i < j, for every pair of at least `threshold`, which is above 0.

    `texts` are normalised. Shingles are the distinct overlapping runs of 5 characters. A shorter text is one shingle; an empty one
    has no shingles and is similar to nothing.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold} is not above 0 and at most 1")
    matrix, sizes = _incidence(texts)
    pairs: dict[Pair, float] = {}
    columns = matrix.T.tocsc()
    for start in range(0, len(texts), BLOCK):
        # Rows of this block × its own texts and all after it: each pair once.
        common = (matrix[start : start + BLOCK] @ columns[:, start:]).tocoo()
        rows, others = common.row.astype(np.int64) + start, common.col.astype(np.int64) + start
        jaccard = common.data / (sizes[rows] + sizes[others] - common.data)
        kept = (rows < others) & (jaccard >= threshold)
        pairs |= dict(zip(zip(rows[kept].tolist(), others[kept].tolist(), strict=True), jaccard[kept].tolist(), strict=True))
    return pairs


def _incidence(texts: Sequence[str]) -> tuple[sparse.csr_matrix, NDArray[np.int64]]:
    """The texts × shingles matrix of ones, without the shingles that only one text has, and the number of shingles of each text."""
    owners, codes = _shingles(texts)
    # Distinct shingles of a text: sort by shingle, then by text.
    order = np.lexsort((owners, codes))
    owners, codes = owners[order], codes[order]
    first = np.ones(len(codes), dtype=np.bool_)
    first[1:] = (codes[1:] != codes[:-1]) | (owners[1:] != owners[:-1])
    owners, codes = owners[first], codes[first]
    sizes = np.bincount(owners, minlength=len(texts))
    starts = np.ones(len(codes), dtype=np.bool_)
    starts[1:] = codes[1:] != codes[:-1]
    column = np.cumsum(starts) - 1
    number = np.bincount(column)
    shared = number[column] > 1 if len(column) else np.zeros(0, dtype=np.bool_)
    owners, column = owners[shared], column[shared]
    names, column = np.unique(column, return_inverse=True)
    ones = np.ones(len(owners), dtype=np.int32)
    return sparse.csr_matrix((ones, (owners, column)), shape=(len(texts), len(names)), dtype=np.int32), sizes


def _shingles(texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """(text, shingle) of every run of 5 characters, where equal shingles have equal numbers.

    A run is two overlapping runs of three characters. Those are numbered first (a character has at most 21 bits), so that only
    equal runs get equal numbers.
    """
    long = [i for i, text in enumerate(texts) if len(text) >= SHINGLE]
    together = np.frombuffer("".join(texts[i] for i in long).encode("utf-32-le"), dtype="<u4").astype(np.int64)
    lengths = np.array([len(texts[i]) for i in long], dtype=np.int64)
    if len(together):
        _, threes = np.unique(together[:-2] << 42 | together[1:-1] << 21 | together[2:], return_inverse=True)
        left = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        inside = np.flatnonzero(left <= np.repeat(lengths, lengths) - SHINGLE)
        owners = np.repeat(np.array(long, dtype=np.int32), lengths)[inside]
        codes = threes[inside] << 32 | threes[inside + 2]
    else:
        owners, codes = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64)
    short = [i for i, text in enumerate(texts) if 0 < len(text) < SHINGLE]
    names = {text: -1 - n for n, text in enumerate(dict.fromkeys(texts[i] for i in short))}
    owners = np.concatenate((owners, np.array(short, dtype=np.int32)))
    codes = np.concatenate((codes, np.array([names[texts[i]] for i in short], dtype=np.int64)))
    return owners, codes


@dataclass(frozen=True, slots=True)
class Score:
    """Found pairs compared with the true ones."""

    true: int
    found: int
    right: int

    @property
    def recall(self) -> float:
        """Share of the true pairs that were found; 1 without true pairs."""
        return self.right / self.true if self.true else 1.0

    @property
    def precision(self) -> float:
        """Share of the found pairs that are true; 1 without found pairs."""
        return self.right / self.found if self.found else 1.0


def score(found: Collection[Pair], truth: Collection[Pair]) -> Score:
    """Return the score of `found`. A pair counts once, in either order of its texts."""
    ordered = {(min(pair), max(pair)) for pair in found}
    return Score(len(truth), len(ordered), sum(pair in ordered for pair in truth))


def between(truth: dict[Pair, float], lowest: float, highest: float) -> dict[Pair, float]:
    """Return the true pairs whose Jaccard is at least `lowest` and below `highest`: recall near the threshold differs from recall far
    above it."""
    return {pair: jaccard for pair, jaccard in truth.items() if lowest <= jaccard < highest}


def write(path: Path, truth: dict[Pair, float]) -> None:
    """Write the true pairs as JSON lines, [i, j, Jaccard]."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps([*pair, jaccard]) + "\n" for pair, jaccard in truth.items())


def read(path: Path) -> dict[Pair, float]:
    """Return the true pairs that `write` wrote."""
    with path.open(encoding="utf-8") as file:
        return _pairs(file)


def _pairs(lines: Iterable[str]) -> dict[Pair, float]:
    return {(i, j): jaccard for i, j, jaccard in map(json.loads, lines)}

"""text-dedup: the embedding function and the tables of its `minhash` script, called as the script calls them.

The script processes a whole data set: all signatures are entered into the tables first, then every bucket is linked to its first
member. The function makes its own shingles, runs of words; it receives the 5-character runs as words, at the cost of a split and a
join.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from benchmarks.peers.harness import BANDS, NUM_PERM, ROWS, THRESHOLD, Pair, Way, load, run, shingles

_script = load("text_dedup.minhash")
Tables = list[dict[bytes, set[int]]]


def _options(*, num_perm: int, bands: int, rows: int, ngram: int, min_length: int, bits: int, hashed: Any) -> dict[str, Any]:
    """The arguments of `embed_func` as the script computes them. 64 bits are its default, 32 its faster choice."""
    np = load("numpy")
    dtype, prime = {64: (np.uint64, np.uint64((1 << 61) - 1)), 32: (np.uint32, np.uint32((1 << 32) - 5))}[bits]
    drawn = np.random.RandomState(_script.SEED)
    return {
        "num_perm": num_perm,
        "ngram_size": ngram,
        "min_length": min_length,
        "hashranges": [(band * rows, (band + 1) * rows) for band in range(bands)],
        "permutations": (
            drawn.randint(1, prime, size=(num_perm,), dtype=dtype),
            drawn.randint(0, prime, size=(num_perm,), dtype=dtype),
        ),
        "hash_func": hashed,
        "dtype": dtype,
        "max_hash": np.uint32((1 << 32) - 1),
        "modulo_prime": prime,
    }


def _embedded(contents: Iterable[str], options: dict[str, Any]) -> Iterator[list[bytes]]:
    return (_script.embed_func(content, place, **options)[_script.SIGNATURE_COLUMN] for place, content in enumerate(contents))


def _linked(signatures: Iterable[list[bytes]], bands: int) -> Tables:
    tables: Tables = [defaultdict(set) for _ in range(bands)]
    for place, signature in enumerate(signatures):
        for table, band in zip(tables, signature, strict=True):
            table[band].add(place)
    union = _script.UnionFind()
    for table in tables:
        for cluster in table.values():
            if len(cluster) > 1:
                first = min(cluster)
                for place in cluster:
                    union.union(place, first)
    return tables


def _pairs(tables: Tables) -> Iterator[Pair]:
    return (pair for table in tables for cluster in table.values() if len(cluster) > 1 for pair in combinations(sorted(cluster), 2))


def _way(options: dict[str, Any], bands: int, contents: Any, note: str, *, raw: bool) -> Way:
    return Way(
        sign=lambda texts: list(_embedded(contents(texts), options)),
        work=lambda texts: _linked(_embedded(contents(texts), options), bands),
        pairs=_pairs,
        note=note,
        raw=raw,
    )


def same() -> Way:
    options = _options(
        num_perm=NUM_PERM, bands=BANDS, rows=ROWS, ngram=1, min_length=0, bits=32, hashed=load("text_dedup.utils.hashfunc").xxh3_32hash
    )

    def contents(texts: Sequence[str]) -> Iterator[str]:
        return (" ".join(shingles(text)) for text in texts)

    return _way(options, BANDS, contents, "embed_func with xxh3 and 32 bits; takes no shingles, so they are given as words", raw=False)


def own() -> Way:
    sha1 = load("text_dedup.utils.hashfunc").sha1_hash
    bands, rows = _script.optimal_param(THRESHOLD, 250, false_positive_weight=0.5, false_negative_weight=0.5)
    options = _options(num_perm=250, bands=bands, rows=rows, ngram=5, min_length=5, bits=64, hashed=lambda word: sha1(word, d=32))
    note = f"the script with defaults: 250 permutations, {bands} bands of {rows} rows, runs of 5 words, SHA-1, 64 bits"
    return _way(options, bands, lambda texts: texts, note, raw=True)


if __name__ == "__main__":
    run({"same": same, "own": own}, ("text-dedup", "numpy", "xxhash"))

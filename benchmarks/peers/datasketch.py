"""datasketch, the baseline: MinHash with its fastest permutation scheme over xxHash, MinHashLSH in memory.

`MinHash.generator` is what its documentation recommends for many sketches: it draws the permutations once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from benchmarks.peers.harness import BANDS, NUM_PERM, ROWS, SEED, THRESHOLD, Way, found_earlier, load, run, shingles

_datasketch = load("datasketch")


def sketches(texts: Sequence[str]) -> Iterator[Any]:
    hashed = load("xxhash").xxh32_intdigest
    shingled = ([shingle.encode() for shingle in shingles(text)] for text in texts)
    return _datasketch.MinHash.generator(shingled, num_perm=NUM_PERM, seed=SEED, scheme="affine32", hashfunc=hashed)  # type: ignore[no-any-return]


def _words(texts: Sequence[str]) -> Iterator[Any]:
    return _datasketch.MinHash.generator({word.encode() for word in text.split()} for text in texts)  # type: ignore[no-any-return]


def _worked(sketches: Iterable[Any], index: Any) -> list[list[int]]:
    found: list[list[int]] = []
    for place, sketch in enumerate(sketches):
        found.append(index.query(sketch))
        index.insert(place, sketch, check_duplication=False)
    return found


def same() -> Way:
    return Way(
        sign=lambda texts: [sketch.digest() for sketch in sketches(texts)],
        work=lambda texts: _worked(sketches(texts), _datasketch.MinHashLSH(num_perm=NUM_PERM, params=(BANDS, ROWS))),
        pairs=found_earlier,
        note="scheme affine32, hashfunc xxh32, MinHash.generator, MinHashLSH(params=(25, 5))",
    )


def own() -> Way:
    return Way(
        sign=lambda texts: [sketch.digest() for sketch in _words(texts)],
        work=lambda texts: _worked(_words(texts), _datasketch.MinHashLSH(threshold=THRESHOLD)),
        pairs=found_earlier,
        note="MinHash and MinHashLSH with defaults (SHA-1, 128 permutations) on words separated by spaces",
        raw=True,
    )


if __name__ == "__main__":
    run({"same": same, "own": own}, ("datasketch", "xxhash", "numpy"))

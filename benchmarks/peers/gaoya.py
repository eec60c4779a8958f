"""gaoya: MinHash and its index in Rust, with shingles made in Rust by the analyser for characters.

Its index takes texts, not signatures: looking a text up and adding it computes the signature twice. A lookup returns the texts whose
estimated similarity is at least the threshold, not all that share a band.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.harness import BANDS, ROWS, SHINGLE, THRESHOLD, Way, found_earlier, load, run

_minhash = load("gaoya.minhash")


def _index() -> Any:
    return _minhash.MinHashStringIndex(
        hash_size=32,
        jaccard_threshold=THRESHOLD,
        num_bands=BANDS,
        band_size=ROWS,
        analyzer="char",
        ngram_range=(SHINGLE, SHINGLE),
        id_container="smallvec",  # "when near duplicates are expected to be few"
    )


def _worked(index: Any, texts: Sequence[str]) -> list[list[int]]:
    found: list[list[int]] = []
    for place, text in enumerate(texts):
        found.append(index.query(text))
        index.insert_document(place, text)
    return found


def same() -> Way:
    return Way(
        sign=lambda texts: [index.tokenize_and_minhash(text) for index in [_index().minhash_index] for text in texts],
        work=lambda texts: _worked(_index(), texts),
        pairs=found_earlier,
        note="analyzer 'char' (5, 5), 125 permutations; signs twice, for lookup and insertion; finds texts estimated at 0.7 or more",
    )


def own() -> Way:
    def index() -> Any:
        return _minhash.MinHashStringIndex(jaccard_threshold=THRESHOLD)

    return Way(
        sign=lambda texts: [made.tokenize_and_minhash(text) for made in [index().minhash_index] for text in texts],
        work=lambda texts: _worked(index(), texts),
        pairs=found_earlier,
        note="MinHashStringIndex with defaults: words separated by spaces, 20 bands of 5 rows",
        raw=True,
    )


if __name__ == "__main__":
    run({"same": same, "own": own}, ("gaoya",))

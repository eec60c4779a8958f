"""datatrove: the signature step and the bucket step of its MinHash pipeline, run in this process.

The pipeline is made for batches: signatures are written to sorted files, one for each bucket, and equal neighbours are duplicates. Its
shingles consist of words; a tokenizer that treats characters as words gives the 5-character runs.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmarks.peers.harness import BANDS, ROWS, SEED, SHINGLE, Pair, Way, load, run

load("loguru").logger.remove()
_steps = load("datatrove.pipeline.dedup.similarity.minhash")
_WordTokenizer: Any = load("datatrove.utils.word_tokenizers").WordTokenizer
_Document = load("datatrove.data").Document
Chains = list[list[Pair]]


class _Characters(_WordTokenizer):  # type: ignore[misc]
    """Treats every character as a word. The base class is datatrove's, untyped."""

    def word_tokenize(self, text: str) -> list[str]:
        return list(text)

    def sent_tokenize(self, text: str) -> list[str]:
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def _way(config: Any, language: Any, note: str, *, raw: bool) -> Way:
    def sign(texts: Sequence[str]) -> list[list[list[int]]]:
        with tempfile.TemporaryDirectory() as folder:
            step = _steps.MinhashDedupSignature(folder, config, language=language)
            return [step.get_signature(hashes) for text in texts if (hashes := step.get_shingles(text)).size]

    def work(texts: Sequence[str]) -> Chains:
        with tempfile.TemporaryDirectory() as folder:
            signatures, found = Path(folder, "signatures"), Path(folder, "found")
            documents = (_Document(text=text, id=str(place)) for place, text in enumerate(texts))
            _steps.MinhashDedupSignature(str(signatures), config, language=language).run(documents, 0, 1)
            step = _steps.MinhashDedupBuckets(str(signatures), str(found), config=config)
            for bucket in range(config.num_buckets):
                step.run(None, bucket, config.num_buckets)
            return [[(row[1], row[3]) for row in struct.iter_unpack("<4I", file.read_bytes())] for file in sorted(found.glob("*.dups"))]

    return Way(sign=sign, work=work, pairs=_pairs, note=note, raw=raw)


def _pairs(chains: Chains) -> Iterator[Pair]:
    """Pairs of all texts in a chain. A bucket's file links equal neighbours in order; all texts of a chain share the band."""
    for links in chains:
        chain: list[int] = []
        for a, b in links:
            if not chain or chain[-1] != a:
                yield from combinations(chain, 2)
                chain = [a]
            chain.append(b)
        yield from combinations(chain, 2)


def same() -> Way:
    plain = load("datatrove.utils.text").TextNormConfig(
        lowercase=False, norm_whitespace=False, remove_punctuation=False, norm_unicode_diacritics=False, norm_numbers=False
    )
    config = _steps.MinhashConfig(n_grams=SHINGLE, num_buckets=BANDS, hashes_per_bucket=ROWS, seed=SEED, norm_config=plain)
    return _way(config, _Characters(), "signature and bucket steps through files, 125 permutations, xxHash, 64 bits", raw=False)


def own() -> Way:
    config = _steps.MinhashConfig()
    note = "its pipeline by default: 14 buckets of 8, runs of 5 words of spaCy's English tokenizer"
    return _way(config, _steps.Languages.english, note, raw=True)


if __name__ == "__main__":
    run({"same": same, "own": own}, ("datatrove", "numpy", "xxhash", "spacy"))

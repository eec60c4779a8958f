"""The candidate index against datasketch's own, and what a full bucket still promises."""

from __future__ import annotations

import random

import pytest
from datasketch import MinHashLSH

from dedup import lsh, minhash, text
from tests.crawl import edited, words


def _signatures(number: int, share: float) -> list[bytes]:
    rng = random.Random(4)
    story = words(rng, 80)
    return [minhash.signature(text.shingles("".join(edited(rng, story, share))), 128) for _ in range(number)]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_candidates_are_those_of_datasketch(threshold: float) -> None:
    index = lsh.CandidateIndex(threshold, 128)
    oracle = MinHashLSH(num_perm=128, params=minhash.bands(threshold, 128))
    for number, signature in enumerate(_signatures(60, 0.1)):
        assert index.candidates(signature) == sorted(oracle.query(minhash.load(signature)))
        index.add(number, signature)
        oracle.insert(number, minhash.load(signature))


def test_adding_twice_changes_nothing() -> None:
    (signature,) = _signatures(1, 0)
    index = lsh.CandidateIndex(0.7, 128)
    index.add(1, signature)
    index.add(1, signature)
    assert index.candidates(signature) == [1]


def test_a_full_bucket_keeps_so_many_and_still_proposes_them() -> None:
    (signature,) = _signatures(1, 0)
    index = lsh.CandidateIndex(0.7, 128)
    assert index.fill((n, signature) for n in range(lsh.BUCKET + 10)) == lsh.BUCKET + 10
    assert index.candidates(signature) == list(range(lsh.BUCKET))

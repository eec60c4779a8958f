"""This package, measured like the others: `minhash.sign_texts` and the candidate index in its file, in batches as in a scan."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence

from benchmarks.peers.harness import NUM_PERM, THRESHOLD, Pair, Way, run
from dedup.index.lsh import LshCandidates, new_index
from dedup.model import NO_COMMIT
from dedup.pipeline.scanner import BATCH_FILES
from dedup.similarity import jit, minhash
from dedup.similarity.minhash import SignedText


def _signed(texts: Sequence[str]) -> Iterator[list[SignedText]]:
    jit.count_work(jit.MIN_WORK)  # a scan of this many texts is past the first thousand
    for start in range(0, len(texts), BATCH_FILES):
        yield minhash.sign_texts(texts[start : start + BATCH_FILES], NUM_PERM, 0)


def _worked(texts: Sequence[str]) -> list[LshCandidates]:
    met: list[LshCandidates] = []
    with tempfile.TemporaryDirectory() as folder:
        index = new_index(os.path.join(folder, "index"), bytes(16), THRESHOLD, NUM_PERM)
        for batch in _signed(texts):
            numbers = list(range(len(met) + 1, len(met) + 1 + len(batch)))
            signatures = [signed.signature or bytes(4 * NUM_PERM) for signed in batch]
            met += index.query(numbers, signatures)
            index.add(numbers, signatures, NO_COMMIT)
    return met


def _pairs(met: Iterable[LshCandidates]) -> Iterator[Pair]:
    return ((other - 1, place) for place, one in enumerate(met) for other in one.candidates)


def same() -> Way:
    return Way(
        sign=lambda texts: list(_signed(texts)),
        work=_worked,
        pairs=_pairs,
        note="normalises the normalised texts a second time, so the next column counts that twice",
    )


def own() -> Way:
    return Way(sign=lambda texts: list(_signed(texts)), work=_worked, pairs=_pairs, note="as a scan does it, on the raw text", raw=True)


def plain() -> Way:
    sys.modules["numba"] = None  # type: ignore[assignment]  # as if it were not installed
    return Way(sign=lambda texts: list(_signed(texts)), work=_worked, pairs=_pairs, note="without numba, on the raw text", raw=True)


if __name__ == "__main__":
    run({"same": same, "own": own, "plain": plain}, ("dedup", "numba", "numpy"))

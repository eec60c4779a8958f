"""The same pipeline with another engine for signatures and candidates.

`floor` has neither (no text is long enough for a signature). `datasketch` and `rensa` make signatures and candidates from Python's
shingles as in their documentation, in memory. Reading, parsing, checking, the exact confirmation of candidates and the database are the
same code for all.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import xxhash

from dedup.index.lsh import CandidateIndex, LshCandidates
from dedup.matching.indexes import MatchIndexes
from dedup.pipeline.extract import ExtractOptions, extract_files
from dedup.similarity import minhash
from dedup.similarity.minhash import SignedText
from dedup.text import normalise

NEVER = 1 << 40
"""`min_characters` at which nothing is signed."""


def least_characters(engine: str, usual: int) -> int:
    """Return `duplicates.min_characters` for an engine."""
    return NEVER if engine == "floor" else usual


def install(engine: str, threshold: float, num_perm: int) -> None:
    """Replace the engine in this process, permanently."""
    if engine == "datasketch":
        from benchmarks.peers import datasketch
        from benchmarks.peers.harness import load

        lsh = load("datasketch").MinHashLSH(num_perm=num_perm, params=minhash.choose_bands(threshold, num_perm))
        _exchange(
            datasketch.sketches,
            lambda sketch: sketch.digest().tobytes(),
            lsh.query,
            lambda key, sketch: lsh.insert(key, sketch, check_duplication=False),
        )
    elif engine == "rensa":
        from benchmarks.peers import rensa
        from benchmarks.peers.harness import load

        bands, rows = minhash.choose_bands(threshold, num_perm)
        index = load("rensa").RMinHashLSH(threshold, bands * rows, bands)
        numpy = load("numpy")
        # Its bands must divide the number of permutations; the stored signature is padded to the length of the others.
        _exchange(
            lambda texts: rensa.sketches(texts, bands * rows),
            lambda sketch: numpy.array(sketch.digest(), "<u4").tobytes().ljust(4 * num_perm, b"\0"),
            index.query,
            index.insert,
        )


class _Index:
    """A package's index in memory with the methods that the pipeline calls. A text is inserted as soon as it was looked up."""

    def __init__(self, sketches: dict[bytes, Any], query: Callable[[Any], Iterable[int]], insert: Callable[[int, Any], object]) -> None:
        self._sketches, self._query, self._insert = sketches, query, insert
        self._last_text = 0

    def query(
        self,
        text_ids: Sequence[int],
        signatures: Sequence[bytes],
        initial_limit: int | None = None,  # noqa: ARG002
    ) -> list[LshCandidates]:
        results = []
        for number, signature in zip(text_ids, signatures, strict=True):
            sketch = self._sketches.get(signature)
            if sketch is None:  # a known text; it may have a second page now
                results.append(LshCandidates())
                continue
            results.append(LshCandidates(dict.fromkeys((other for other in self._query(sketch) if other != number), 1)))
            if number > self._last_text:
                self._insert(number, sketch)
                self._last_text = number
        return results

    def add(self, text_ids: Sequence[int], signatures: Sequence[bytes], token: bytes) -> None:  # noqa: ARG002
        for signature in signatures:
            self._sketches.pop(signature, None)


def _exchange(
    sketches: Callable[[Sequence[str]], Iterable[Any]],
    stored: Callable[[Any], bytes],
    query: Callable[[Any], Iterable[int]],
    insert: Callable[[int, Any], object],
) -> None:
    waiting: dict[bytes, Any] = {}

    def sign(bodies: Iterable[str], options: ExtractOptions) -> list[tuple[SignedText, None]]:
        least = options.min_characters
        normalised = [normalise.normalise(one) for one in bodies]
        made = iter(sketches([one for one in normalised if one and len(one) >= least]))
        signed: list[tuple[SignedText, None]] = []
        for one in normalised:
            signature = None
            if one and len(one) >= least:
                sketch = next(made)
                signature = stored(sketch)
                waiting[signature] = sketch
            signed.append((SignedText(xxhash.xxh3_128_digest(one.encode()) if one else None, len(one), signature), None))
        return signed

    index = cast(CandidateIndex, _Index(waiting, query, insert))
    examine: Any = importlib.import_module(extract_files.__module__)
    examine.sign_bodies = sign
    MatchIndexes.open_candidate_index = lambda self: index  # type: ignore[method-assign]  # noqa: ARG005

"""Measurement of one way of finding near duplicates, of any package: in this process, on texts in memory.

This module is imported by the peers' interpreters and by ours. It needs only the standard library.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import platform
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

SHINGLE = 5
NUM_PERM = 128
BANDS, ROWS = 25, 5
THRESHOLD = 0.7
SEED = 1
SIGNED = 10_000
"""Texts on which signatures alone are timed, at most."""
REPEATS, LONG = 3, 60.0
"""Repetitions of timing signatures alone, of which the best counts; and seconds after which there is no further repetition."""
WARM = 50
"""Texts processed before the first timing."""

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Way:
    """A way of using a package. Texts are identified by their positions in the list that `sign` and `work` receive."""

    sign: Callable[[Sequence[str]], object]
    """Computes the signature of every text, shingles included."""
    work: Callable[[Sequence[str]], Any]
    """Computes the signature of every text, looks up earlier similar texts and adds it, from an empty index. Its result is passed to
    `pairs`."""
    note: str
    """What a reader of the figures needs to know."""
    pairs: Callable[[Any], Iterable[Pair]] | None = None
    """Returns the pairs that `work` found, in either order of texts; not timed. None if the way cannot list pairs: then `flags` is
    used."""
    flags: Callable[[Any], Iterable[object]] | None = None
    """Returns for each text whether `work` found an earlier similar one."""
    raw: bool = False
    """Whether it takes raw texts and normalises itself."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of a way. Times are microseconds a text, memory is in KiB."""

    way: str
    note: str
    versions: dict[str, str]
    texts: int
    """on which `work` was timed"""
    normalise_us: float | None
    """NFC, case folding and removal of all but letters, marks and numbers; None if raw texts are taken: then it is part of the rest"""
    sign_us: float
    """(a) shingles and signature, best of 3, on the first 10,000 texts or fewer"""
    work_us: float
    """(b) shingles, signature, lookup and insertion"""
    pairs: int | None
    """candidate pairs found; None if a way cannot list them"""
    true_pairs: int | None
    """pairs that are similar enough, by the oracle; None without the truth"""
    true_found: int | None
    """those of them among the candidates"""
    repeats: int | None
    """texts that are similar enough to an earlier one, by the oracle"""
    repeats_found: int | None
    """those of them for which any earlier one was found"""
    rss_before_kib: int
    """peak memory after reading the texts and warming up"""
    rss_kib: int
    """peak memory up to the end of `work`, which runs before the rest"""

    @property
    def recall(self) -> float | None:
        if self.true_pairs is None or self.true_found is None:
            return None
        return self.true_found / self.true_pairs if self.true_pairs else 1.0

    @property
    def repeats_recall(self) -> float | None:
        if self.repeats is None or self.repeats_found is None:
            return None
        return self.repeats_found / self.repeats if self.repeats else 1.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, line: str) -> Measured:
        """Parse the output of `run`."""
        return cls(**json.loads(line))


class _Kept(dict[int, int | None]):
    def __missing__(self, code: int) -> int | None:
        kept = code if unicodedata.category(chr(code))[0] in "LMN" else None
        self[code] = kept
        return kept


_KEPT = _Kept()


def normalise(text: str) -> str:
    """Return a text in NFC, case-folded, reduced to letters, marks and numbers, as a user of any of the packages would write it."""
    return unicodedata.normalize("NFC", text).casefold().translate(_KEPT)


def shingles(text: str) -> list[str]:
    """Return the overlapping 5-character runs. The few repeated ones change no signature and cost less than a set without them."""
    return [text[i : i + SHINGLE] for i in range(len(text) - SHINGLE + 1)] or [text]


def found_earlier(found: Sequence[Iterable[int]]) -> Iterator[Pair]:
    """Return pairs from the earlier texts that were found for each text. A text does not count as found for itself."""
    return ((other, place) for place, others in enumerate(found) for other in others if other != place)


def measured(
    name: str,
    way: Way,
    raw: Sequence[str],
    normalised: Sequence[str],
    *,
    distributions: Iterable[str] = (),
    truth: Iterable[Pair] | None = None,
) -> Measured:
    """Measure a way on the same texts, raw and normalised, and compare what it found with the true pairs."""
    texts = raw if way.raw else normalised
    way.sign(texts[:WARM])
    way.work(texts[:WARM])
    before = _peak()
    seconds, result = _timed(lambda: way.work(texts))
    after = _peak()
    pairs = None if way.pairs is None else {(min(pair), max(pair)) for pair in way.pairs(result)}
    flagged = {later for _, later in pairs} if pairs is not None else set[int]()
    if way.flags is not None:
        flagged = {place for place, flag in enumerate(way.flags(result)) if flag}
    del result
    true = None if truth is None else list(truth)
    repeats = None if true is None else {later for _, later in true}
    part = texts[:SIGNED]
    return Measured(
        way=name,
        note=way.note,
        versions=versions(distributions),
        texts=len(texts),
        normalise_us=None if way.raw else _best(lambda: [normalise(text) for text in raw[:SIGNED]]) / len(part) * 1e6,
        sign_us=_best(lambda: way.sign(part)) / len(part) * 1e6,
        work_us=seconds / len(texts) * 1e6,
        pairs=None if pairs is None else len(pairs),
        true_pairs=None if true is None else len(true),
        true_found=None if true is None or pairs is None else sum(pair in pairs for pair in true),
        repeats=None if repeats is None else len(repeats),
        repeats_found=None if repeats is None else len(repeats & flagged),
        rss_before_kib=before,
        rss_kib=after,
    )


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Return the installed versions, and Python's."""
    return {name: metadata.version(name) for name in distributions} | {"python": platform.python_version()}


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    gc.collect()
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _best(work: Callable[[], object]) -> float:
    taken: list[float] = []
    while len(taken) < REPEATS and sum(taken) < LONG:
        taken.append(_timed(work)[0])
    return min(taken)


def _peak() -> int:
    """Peak memory of this program. `getrusage` would report that of the parent process if it is higher."""
    with Path("/proc/self/status").open(encoding="ascii", errors="replace") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)


def load(module: str) -> Any:
    """Import a module of the measured package. Type checkers do not see it, so it is untyped."""
    return importlib.import_module(module)


def run(ways: Mapping[str, Callable[[], Way]], distributions: Sequence[str]) -> None:
    """Measure the way named on the command line and print one JSON object on the last line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("texts", type=Path, help="JSON lines of raw and normalised texts")
    parser.add_argument("--way", choices=list(ways), required=True)
    parser.add_argument("--truth", type=Path, help="JSON lines of [i, j, Jaccard]")
    options = parser.parse_args()
    with options.texts.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    truth: list[Pair] | None = None
    if options.truth is not None:
        with options.truth.open(encoding="utf-8") as file:
            truth = [(row[0], row[1]) for row in map(json.loads, file)]
    result = measured(
        options.way,
        ways[options.way](),
        [row["raw"] for row in rows],
        [row["text"] for row in rows],
        distributions=distributions,
        truth=truth,
    )
    print(json.dumps(result.as_dict()))

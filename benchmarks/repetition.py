"""How much unrelated texts repeat each other: shared passages that are not copies.

    python -m benchmarks.repetition [--articles N] [--kind phrases] [--no-tails] [--korean] [--sizes N,N]
    python -m benchmarks.repetition --jsonl FILE [--field text] [--korean] [--sizes N,N]

For each fingerprint of a text (Schleimer, Wilkerson, Aiken 2003; a plain implementation with another hash than the program's), the
program counts the texts of a corpus of n that have it too, without near copies. The texts are invented articles that are made from no
other (`benchmarks.corpus`), or your own, one JSON object a line.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.corpus import articles
from benchmarks.corpus.draws import Words, key_of, mixed
from dedup.text.normalise import normalise

WIDE, NARROW, WINDOW = 20, 32, 40
"""Characters hashed together in Korean texts and in others, and the number of hashes of which one is chosen."""
MOST, PER_KEY = 40, 64
"""Fingerprints of a text at most, and characters for each further one of a long text."""
NEAR = 0.25
"""Share of the runs of the shorter text above which two texts are near copies."""
PROBES = 1_000
"""Texts of a corpus that are compared with all of it."""
SIZES = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
_WIDE = re.compile("[\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u4e00-\u9fff\uac00-\ud7a3]")
_BASE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Row:
    """Results among `articles` texts: means over the probes."""

    articles: int
    keys: float
    """fingerprints of a text"""
    shared: float
    """share of a text's fingerprints that an unrelated text has too"""
    others: tuple[int, int, int]
    """unrelated texts with such a fingerprint: median, 90 % quantile, maximum"""
    touched: float
    """share of the texts that have such a fingerprint"""
    candidates: tuple[float, float, float]
    """unrelated texts with at least 1, 2, 3 of a text's fingerprints"""


def korean(text: str) -> bool:
    """Return whether most of a normalised text is Hangul, kana or ideographs."""
    return 2 * len(_WIDE.findall(text)) >= len(text)


def runs(text: str, width: int | None = None) -> Words:
    """Return a hash of every run of `width` characters of a normalised text (by default the width of its script)."""
    width = width or (WIDE if korean(text) else NARROW)
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    number = max(len(points) - width + 1, 0)
    hashes = np.full(number, width, np.uint64)
    for place in range(width if number else 0):
        hashes = hashes * _BASE + points[place : place + number]
    return mixed(hashes)


def winnowed(text: str, width: int | None = None) -> Words:
    """Return the distinct fingerprints of a normalised text in ascending order."""
    hashes = runs(text, width)
    if len(hashes) > WINDOW:
        hashes = np.lib.stride_tricks.sliding_window_view(hashes, WINDOW).min(axis=1)
    elif len(hashes):
        hashes = hashes.min(keepdims=True)
    return np.unique(hashes)[: max(MOST, len(text) // PER_KEY)]


class _Corpus:
    """Texts with their fingerprints, and the texts of each fingerprint."""

    def __init__(self, texts: Sequence[str], keys: Sequence[Words], width: int | None) -> None:
        self.texts, self.keys, self.width = texts, keys, width
        every = np.concatenate(keys)
        order = np.argsort(every, kind="stable")
        self._every = every[order]
        self._holders = np.repeat(np.arange(len(keys)), [len(own) for own in keys])[order]
        self._runs: dict[int, Words] = {}

    def _run(self, text: int) -> Words:
        if text not in self._runs:
            if len(self._runs) > PROBES:
                self._runs.clear()
            self._runs[text] = np.unique(runs(self.texts[text], self.width))
        return self._runs[text]

    def _near(self, one: int, two: int) -> bool:
        a, b = self._run(one), self._run(two)
        return len(np.intersect1d(a, b, assume_unique=True)) > NEAR * min(len(a), len(b))

    def unrelated(self, probe: int) -> tuple[list[int], list[int]]:
        """Return for each fingerprint of a text the unrelated texts that have it, and for each of those texts the fingerprints it has."""
        keys = self.keys[probe]
        begin, end = (np.searchsorted(self._every, keys, side=side).tolist() for side in ("left", "right"))
        found = [self._holders[a:b] for a, b in zip(begin, end, strict=True)]
        others, counts = np.unique(np.concatenate(found or [self._holders[:0]]), return_counts=True)
        fewer = np.minimum(len(keys), [len(self.keys[other]) for other in others.tolist()])
        left_out = {
            probe
        }  # near copies share about the same part of their fingerprints as of their runs; compare the runs from a third of it on
        for other in others[counts * 3 > NEAR * fewer].tolist():
            if other != probe and self._near(probe, other):
                left_out.add(other)
        aside = np.array(sorted(left_out))
        kept = ~np.isin(others, aside)
        return [int((~np.isin(some, aside)).sum()) for some in found], counts[kept].tolist()


def _row(samples: Iterable[_Corpus], probes: int) -> Row:
    held: list[int] = []
    touched: list[bool] = []
    candidates: list[tuple[int, int, int]] = []
    size = 0
    for corpus in samples:
        size = len(corpus.texts)
        for probe in range(min(size, probes)):
            of_keys, of_texts = corpus.unrelated(probe)
            held += of_keys
            touched.append(bool(of_texts))
            candidates.append((len(of_texts), sum(n > 1 for n in of_texts), sum(n > 2 for n in of_texts)))
    shared = np.array([n for n in held if n] or [0])
    median, tenth, most = (int(x) for x in np.quantile(shared, (0.5, 0.9, 1), method="nearest"))
    one, two, three = (statistics.fmean(some) for some in zip(*candidates, strict=True))
    return Row(
        size,
        len(held) / len(touched),
        float(np.count_nonzero(held)) / max(len(held), 1),
        (median, tenth, most),
        statistics.fmean(touched),
        (one, two, three),
    )


def measure(bodies: Sequence[str], sizes: Sequence[int] = SIZES, *, width: int | None = None, probes: int = PROBES) -> list[Row]:
    """Return a row for each size for which there are enough texts, and one for all of them. Small sizes use several random samples."""
    texts = [normalise(body) for body in bodies]
    keys = [winnowed(text, width) for text in texts]
    texts, keys = [t for t, own in zip(texts, keys, strict=True) if len(own)], [own for own in keys if len(own)]
    return [
        _row((_drawn(texts, keys, size, turn, width) for turn in range(_turns(size, len(texts)))), probes)
        for size in sorted({*(size for size in sizes if size < len(texts)), len(texts)})
    ]


def _turns(size: int, number: int) -> int:
    return 1 if size == number else max(1, min(20, 2 * PROBES // size))


def _drawn(texts: Sequence[str], keys: Sequence[Words], size: int, turn: int, width: int | None) -> _Corpus:
    order: NDArray[np.int64] = np.argsort(mixed(np.arange(len(texts), dtype=np.uint64) + np.uint64(key_of(size, turn) >> 8)))
    chosen = order[:size].tolist()
    return _Corpus([texts[i] for i in chosen], [keys[i] for i in chosen], width)


def exponent(rows: Sequence[Row]) -> float:
    """Return b if the share of shared fingerprints grows as n to the power of b."""
    some = [row for row in rows if row.shared]
    if len(some) < 2:
        return math.nan
    return statistics.linear_regression([math.log(row.articles) for row in some], [math.log(row.shared) for row in some]).slope


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a table."""
    lines = [
        "| texts | keys a text | shared keys | texts with such a key | others with it: median, 90 %, most | others with ≥ 1, 2, 3 keys |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        candidates = ", ".join(f"{n:.3g}" for n in row.candidates)
        others = ", ".join(f"{n:,}" for n in row.others)
        lines.append(f"| {row.articles:,} | {row.keys:.1f} | {row.shared:.2%} | {row.touched:.1%} | {others} | {candidates} |")
    return "\n".join(lines)


def _read(path: Path, field: str) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)[field]


def _invented(seed: int, kind: str, *, tails: bool) -> Iterator[str]:
    """Bodies of articles that are made from no other, endlessly."""
    for article in articles(1 << 40, seed, kind):
        if article.kind == "unrelated":
            yield article.body if tails else article.body.partition("\n")[0]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a corpus and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.repetition", description="How much unrelated texts repeat each other.")
    parser.add_argument("--articles", type=int, default=10_000, metavar="N", help="texts at most (default: 10000)")
    parser.add_argument("--kind", choices=("phrases", "mixed", "unrelated"), default="phrases", help="kind of the invented corpus")
    parser.add_argument("--seed", type=int, default=1, help="seed of the invented corpus")
    parser.add_argument("--no-tails", action="store_true", help="leave out the tails of invented publishers")
    parser.add_argument("--jsonl", type=Path, metavar="FILE", help="texts of your own, a JSON object a line (.gz: gzipped)")
    parser.add_argument("--field", default="text", help="where in the object the text is (default: text)")
    parser.add_argument("--korean", action="store_true", help="leave out texts that are not mostly Hangul")
    parser.add_argument("--sizes", type=lambda text: [int(part) for part in text.split(",")], default=SIZES, metavar="N,N")
    parser.add_argument("--width", type=int, help="characters hashed together (default: 20 in Korean texts, 32 in others)")
    options = parser.parse_args(arguments)
    source = _read(options.jsonl, options.field) if options.jsonl else _invented(options.seed, options.kind, tails=not options.no_tails)
    wanted = (body for body in source if not options.korean or korean(normalise(body)))
    rows = measure(list(itertools.islice(wanted, options.articles)), options.sizes, width=options.width)
    print(markdown(rows))
    print(f"\nThe share of shared fingerprints grows as n^{exponent(rows):.2f}.")


if __name__ == "__main__":
    main()

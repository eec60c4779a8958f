"""What a scanned database says of the pairs that brute force finds among its texts."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from benchmarks import oracle
from benchmarks.oracle import Score
from dedup import text

BANDS = ((0.7, 0.75), (0.75, 0.8), (0.8, 0.9), (0.9, 1.01))
"""Jaccard similarities between which recall is told apart."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Scores of near duplicates by band of similarity, and over all."""

    texts: int
    bands: tuple[tuple[float, float, Score], ...]
    whole: Score


def judge(database: Path, threshold: float) -> Judged:
    """Hold the `near` matches of a database against every pair of its texts that is alike enough and stands on two different pages."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        bodies: dict[int, str] = {}
        pages: dict[int, set[int]] = {}
        for number, page, body in db.execute("SELECT text_id, page_id, body FROM revisions WHERE text_id IS NOT NULL"):
            bodies.setdefault(number, body)
            pages.setdefault(number, set()).add(page)
        found = set(db.execute("SELECT a, b FROM matches WHERE relation = 'near'"))
    numbers = list(bodies)
    alike = oracle.alike([text.normalise(body) for body in bodies.values()], threshold)
    truth = {}
    for (i, j), jaccard in alike.items():
        a, b = sorted((numbers[i], numbers[j]))
        if len(pages[a] | pages[b]) > 1:
            truth[a, b] = jaccard
    bands = []
    for lowest, highest in BANDS:
        of_band = oracle.between(truth, lowest, highest)
        bands.append((lowest, highest, oracle.score(found & of_band.keys(), of_band)))
    return Judged(len(numbers), tuple(bands), oracle.score(found, truth))

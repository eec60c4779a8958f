"""What a scanned database says of the pairs that brute force finds among its texts."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from benchmarks import oracle
from benchmarks.corpus import articles
from benchmarks.oracle import Score
from dedup.text import normalise

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
        found = set(db.execute("SELECT text_a_id, text_b_id FROM matches WHERE relation = 'near'"))
    numbers = list(bodies)
    alike = oracle.alike([normalise.normalise(body) for body in bodies.values()], threshold)
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


def wire(database: Path, number: int) -> float:
    """Share of the wire copies among so many articles of kind `phrases` that are told as copies of the article they were made from."""
    urls: list[str] = []
    found = all_ = 0
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        for article in articles(number, kind="phrases"):
            urls.append(article.url)
            if article.kind != "wire" or article.source is None:
                continue
            all_ += 1
            found += bool(db.execute(_TOLD, (urls[article.source], article.url)).fetchone()[0])
    return found / all_ if all_ else 1.0


_TOLD = """
SELECT EXISTS (
    SELECT 1 FROM pages p JOIN revisions r ON r.page_id = p.id JOIN pages q JOIN revisions s ON s.page_id = q.id
    WHERE p.url = ?1 AND q.url = ?2 AND (
        r.text_id = s.text_id OR EXISTS (
            SELECT 1 FROM matches m
            WHERE m.text_a_id = min(r.text_id, s.text_id) AND m.text_b_id = max(r.text_id, s.text_id) AND m.relation IN ('near', 'copy')
        )
    )
)
"""

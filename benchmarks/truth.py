"""The matches of a scanned database, compared with the pairs that brute force finds among its texts."""

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
"""Jaccard similarities that divide recall into bands."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Scores of near duplicates by band of similarity, and over all."""

    texts: int
    bands: tuple[tuple[float, float, Score], ...]
    whole: Score


def judge(database: Path, threshold: float) -> Judged:
    """Compare the `near` matches of a database with every pair of its texts that is similar enough and occurs on two different pages."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        bodies: dict[int, str] = {}
        pages: dict[int, set[int]] = {}
        for number, page, body in db.execute("SELECT text_id, page_id, body FROM revisions WHERE text_id IS NOT NULL"):
            bodies.setdefault(number, body)
            pages.setdefault(number, set()).add(page)
        found = set(db.execute("SELECT text_a_id, text_b_id FROM matches WHERE relation = 'near'"))
    numbers = list(bodies)
    similar_pairs = oracle.similar_pairs([normalise.normalise(body) for body in bodies.values()], threshold)
    truth = {}
    for (i, j), jaccard in similar_pairs.items():
        a, b = sorted((numbers[i], numbers[j]))
        if len(pages[a] | pages[b]) > 1:
            truth[a, b] = jaccard
    bands = []
    for lowest, highest in BANDS:
        of_band = oracle.between(truth, lowest, highest)
        bands.append((lowest, highest, oracle.score(found & of_band.keys(), of_band)))
    return Judged(len(numbers), tuple(bands), oracle.score(found, truth))


def wire(database: Path, number: int) -> float:
    """Return the share of the wire copies among the articles of kind `phrases` that are found to be copies of their source."""
    urls: list[str] = []
    found = all_ = 0
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        for article in articles(number, kind="phrases"):
            urls.append(article.url)
            if article.kind != "wire" or article.source is None:
                continue
            all_ += 1
            found += bool(db.execute(_HAS_COPY_MATCH, (urls[article.source], article.url)).fetchone()[0])
    return found / all_ if all_ else 1.0


_HAS_COPY_MATCH = """
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

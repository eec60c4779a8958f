"""Random crawls, and clusters computed from all matches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dedup import store
from dedup.similarity.clustering import MatchGraph
from dedup.store import open_database
from tests.builders.crawl import ArticleFile, edit_words, words

CONFIG = '[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n'


def recompute_clusters(folder: Path) -> dict[str, Any]:
    """Compute the clusters from all articles and matches: representative → its members."""
    with open_database(str(folder / "dedup.db")) as database:
        graph = MatchGraph(store.matches.matched_articles(database), store.matches.list_all(database))
        return {
            star.representative.url: {
                (a.url, link.relation, link.similarity, link.scores.coverage, via) for a, link, via in star.members
            }
            for star in graph.find_clusters()
        }  # fmt: skip


def crawls(rng: random.Random, pages: int) -> Iterator[ArticleFile]:
    """Yield crawls of pages with near and exact copies. Pages change and return, some claims are wrong, some crawls are late."""
    pool = [" ".join(words(rng, 60)) for _ in range(4)]
    while True:
        page = rng.randrange(pages)
        body = rng.choice(pool)
        choice = rng.random()
        if choice < 0.4:
            body = " ".join(edit_words(rng, body.split(), rng.choice((0.01, 0.02, 0.05))))
        elif choice < 0.55:
            body = " ".join(words(rng, 60))
        elif choice < 0.6:
            body = "짧다"
        article = ArticleFile(
            body=body,
            title=f"제목 {rng.randrange(3)}",
            oid=f"{901 + page % 5}",
            aid=f"{page:010}",
            publisher=f"신문 {page % 5}",
            published_at=f"2026-03-02 {rng.randrange(24):02}:00" if rng.random() < 0.8 else "",
            crawled_at=f"2026-03-{rng.randrange(2, 6):02} 00:30:00",
        )
        yield replace(article, claim="0" * 64) if rng.random() < 0.15 else article

"""Recorded articles that are similar to a file. The file is not recorded."""

from __future__ import annotations

import os
from typing import Any

from dedup import reports, store
from dedup.config import Settings
from dedup.errors import NotAnArticleError
from dedup.matching.lookup import find_similar_texts
from dedup.model import IDENTICAL, RELATIONS, MatchScores, Relation
from dedup.pipeline import recipes
from dedup.pipeline.extract import CrawlFile, Extraction, extract_files
from dedup.pipeline.session import build_extract_options, build_matching
from dedup.store import Database
from dedup.store.rows import FileStamp
from dedup.text import sanitise


def find_similar(database: Database, settings: Settings, path: bytes, *, all_revisions: bool) -> list[dict[str, Any]]:
    """List the articles of other pages that match the article in a file, exact matches first, then the closest.

    Compares with the current revision of each page, or with `all_revisions` with all of them. Raises NotAnArticleError.
    """
    matching = build_matching(settings)
    recipes.require_recipes(database, recipes.configured_recipes(settings, [recipes.MATCHES]))
    extraction = extract_article(settings, path)
    assert extraction.article is not None
    text_id = store.texts.get_by_digest(database, extraction.text_digest) if extraction.text_digest else None
    texts: list[tuple[int, Relation, MatchScores]] = [] if text_id is None else [(text_id, "exact", IDENTICAL)]
    if extraction.signature is not None:
        metadata = extraction.article.metadata
        publisher = settings.publishers.build_publishers().canonical_name(metadata.publisher, metadata.oid, extraction.url or "")
        matches = find_similar_texts(
            database, matching, extraction.article.body, extraction.signature, extraction.fingerprints or b"", publisher
        )
        matches.sort(key=lambda m: (RELATIONS.index(m.relation), -m.scores.coverage, -m.scores.similarity))
        texts += [(m.text_id, m.relation, m.scores) for m in matches if m.text_id != text_id]
    return [
        reports.article_as_json(database, article) | reports.scores_as_json(relation, scores)
        for id_, relation, scores in texts
        for article in store.texts.articles(database, id_, all_revisions=all_revisions)
        if article.url != extraction.url
    ]


def extract_article(settings: Settings, path: bytes) -> Extraction:
    """Read, check and sign a file as a scan does. The extraction has an article. Raises NotAnArticleError."""
    absolute_path = os.path.abspath(path)
    extraction = extract_files(
        [CrawlFile(0, os.path.dirname(absolute_path), b"", os.path.basename(absolute_path), FileStamp(0, 0, 0, 0))],
        build_extract_options(settings),
    )[0]
    if extraction.article is None:
        problem = (
            extraction.faults[0].message
            if extraction.faults
            else {"vanished": "there is no such file"}.get(extraction.outcome, f"it is {extraction.outcome}")
        )
        raise NotAnArticleError(path=sanitise.to_printable_path(path), problem=problem)
    return extraction

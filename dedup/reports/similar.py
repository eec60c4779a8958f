"""What a file resembles among the articles of the database, without recording it."""

from __future__ import annotations

import os
from typing import Any

from dedup import reports, store
from dedup.config import Settings
from dedup.errors import NotAnArticleError
from dedup.matching.lookup import find_similar_texts
from dedup.model import IDENTICAL, RELATIONS
from dedup.scan import recipes
from dedup.scan.extract import CrawlFile, Extraction, extract_files
from dedup.scan.session import build_extract_options, build_matching
from dedup.store import Database
from dedup.store.rows import FileStamp
from dedup.text import normalise


def find_similar(database: Database, settings: Settings, path: bytes, *, all_revisions: bool) -> list[dict[str, Any]]:
    """Articles of other pages that the file's article matches, the closest first: as the pages stand now, or with `all_revisions` any
    revision of theirs. Raises NotAnArticleError."""
    matching = build_matching(settings)
    recipes.require_recipes(database, recipes.configured_recipes(settings, [recipes.MATCHES]))
    extraction = extract_article(settings, path)
    assert extraction.article is not None
    rows: list[dict[str, Any]] = []
    text_id = store.texts.get_by_digest(database, extraction.text_digest) if extraction.text_digest else None
    if text_id is not None:
        exact = reports.scores_as_json("exact", IDENTICAL)
        rows += [
            reports.article_as_json(database, a) | exact
            for a in store.texts.articles(database, text_id, all_revisions=all_revisions)
            if a.url != extraction.url
        ]
    if extraction.signature is not None:
        metadata = extraction.article.metadata
        publisher = settings.publishers.build_publishers().canonical_name(metadata.publisher, metadata.oid, extraction.url or "")
        matches = find_similar_texts(
            database, matching, extraction.article.body, extraction.signature, extraction.fingerprints or b"", publisher
        )
        for r in sorted(matches, key=lambda r: (RELATIONS.index(r.relation), -r.scores.coverage, -r.scores.similarity)):
            if r.text_id != text_id:
                scores = reports.scores_as_json(r.relation, r.scores)
                rows += [
                    reports.article_as_json(database, a) | scores
                    for a in store.texts.articles(database, r.text_id, all_revisions=all_revisions)
                    if a.url != extraction.url
                ]
    return rows


def extract_article(settings: Settings, path: bytes) -> Extraction:
    """A file read and signed as a scan would. Raises NotAnArticleError."""
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
        raise NotAnArticleError(path=normalise.to_printable_path(path), problem=problem)
    return extraction

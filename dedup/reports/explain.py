"""Explains why two articles match or do not: all measurements, and one sentence."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from dedup import reports, store
from dedup.config import Settings
from dedup.errors import RevisionPrunedError, UnknownRevisionError
from dedup.matching.lookup import BoilerplateMasker, Mask
from dedup.matching.thresholds import Assessment
from dedup.model import Match, MatchScores, Relation
from dedup.pipeline import recipes
from dedup.pipeline.session import build_matching
from dedup.reports.similar import extract_article
from dedup.similarity import minhash, overlap, winnowing
from dedup.similarity.overlap import PreparedText
from dedup.similarity.overlap.spans import PassageSpans, find_passages
from dedup.store import Database
from dedup.text import normalise, sanitise


@dataclass(frozen=True, slots=True)
class ComparedArticle:
    """One of the two articles. `page_id`, `text_id` and `revision` are None for what is not recorded.

    `publisher` is the canonical name, `publisher_printed` the name in the article.
    """

    url: str
    title: str
    publisher_printed: str
    publisher: str
    body: str
    page_id: int | None
    text_id: int | None
    revision: int | None
    path: str | None


def article_from_file(database: Database, settings: Settings, path: bytes) -> ComparedArticle:
    """Read the article in a file, which need not be recorded. Raises NotAnArticleError."""
    extraction = extract_article(settings, path)
    assert extraction.article is not None
    assert extraction.url is not None
    metadata = extraction.article.metadata
    page_id = store.pages.get_by_url(database, extraction.url)
    digests = [r.digest for r in store.revisions.of_page(database, page_id)] if page_id is not None else []
    return ComparedArticle(
        url=extraction.url,
        title=extraction.article.title,
        publisher_printed=metadata.publisher,
        publisher=settings.publishers.build_publishers().canonical_name(metadata.publisher, metadata.oid, extraction.url),
        body=extraction.article.body,
        page_id=page_id,
        text_id=store.texts.get_by_digest(database, extraction.text_digest) if extraction.text_digest else None,
        revision=digests.index(extraction.state_digest) + 1 if extraction.state_digest in digests else None,
        path=sanitise.to_printable_path(os.path.abspath(path)),
    )


def article_from_page(database: Database, settings: Settings, page_id: int, revision: int | None) -> ComparedArticle:
    """Return the current revision of a page, or the one with the number `revision`.

    Raises UnknownRevisionError, or RevisionPrunedError if its body was pruned.
    """
    revisions, url = store.revisions.of_page(database, page_id), store.pages.url(database, page_id)
    current = store.pages.current_state(database, page_id)
    digests = [r.digest for r in revisions]
    number = revision if revision is not None else digests.index(current) + 1 if current in digests else len(digests)
    if not 1 <= number <= len(revisions):
        raise UnknownRevisionError(url=url, revision=number, available=f"1 to {len(revisions)}" if revisions else "none")
    row = revisions[number - 1]
    state = store.revisions.body(database, row.id)
    if state.body is None:
        raise RevisionPrunedError(url=url, revision=number, at=(state.pruned_at or "")[:10])
    publisher_printed, oid = store.revisions.publisher(database, row.id)
    publisher = settings.publishers.build_publishers().canonical_name(publisher_printed, oid, url)
    return ComparedArticle(
        url, state.title, publisher_printed, publisher, state.body, page_id, store.revisions.text(database, row.id), number, None
    )


def resolve_article(database: Database, settings: Settings, reference: str) -> ComparedArticle:
    """Return the article in a file, or the revision of a page, that `reference` names: a path, or a URL, article id or path of a recorded
    file, with `#N` appended for revision N.

    Raises NotAnArticleError, UnknownPageError, AmbiguousPageError, UnknownRevisionError, RevisionPrunedError.
    """
    if os.path.isfile(reference):
        return article_from_file(database, settings, os.fsencode(reference))
    match = re.fullmatch(r"(?s)(.*)#([0-9]{1,9})", reference)
    page, number = (match[1], int(match[2])) if match else (reference, None)
    return article_from_page(database, settings, reports.resolve_page(database, settings, page), number)


@dataclass(frozen=True, slots=True)
class _Side:
    """An article prepared for comparison, the mask of its boilerplate, and the names of the masked passages."""

    article: ComparedArticle
    prepared: PreparedText
    mask: Mask | None
    masked_names: set[str]


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Two articles, the assessment of their texts, and the match that is recorded between them."""

    a: _Side
    b: _Side
    assessment: Assessment
    recorded_match: Match | None
    min_characters: int

    @property
    def is_one_page(self) -> bool:
        return self.a.article.page_id is not None and self.a.article.page_id == self.b.article.page_id

    @property
    def is_identical(self) -> bool:
        return len(self.a.prepared.points) > 0 and np.array_equal(self.a.prepared.points, self.b.prepared.points)

    @property
    def has_short_text(self) -> bool:
        return min(len(self.a.prepared.points), len(self.b.prepared.points)) < self.min_characters

    @property
    def is_newsletter_part(self) -> bool:
        """Whether a match that measures as a copy is recorded as an excerpt, because one text bundles several articles."""
        return (
            self.recorded_match is not None
            and self.recorded_match.relation == "excerpt"
            and self.assessment.relation == "copy"
            and self.recorded_match.scores.shared_characters == self.assessment.scores.shared_characters
        )

    @property
    def relation(self) -> Relation | None:
        if self.is_one_page:
            return None
        if self.is_identical:
            return "exact"
        if self.has_short_text:
            return None
        return "excerpt" if self.is_newsletter_part else self.assessment.relation


def explain_pair(database: Database, settings: Settings, a: ComparedArticle, b: ComparedArticle) -> dict[str, Any]:
    """Compare two articles and return, as JSON, the measurements, the recorded match, and the reason in one sentence."""
    comparison = _compare(database, settings, a, b)
    sides = {"a": comparison.a, "b": comparison.b}
    scores = reports.scores_as_json("near", comparison.assessment.scores)
    shingle_overlap = overlap.measure_overlap(comparison.a.prepared.points, comparison.b.prepared.points)
    return {
        **{name: _article_as_json(side.article, len(side.prepared.points)) for name, side in sides.items()},
        "relation": comparison.relation,
        "recorded_relation": comparison.recorded_match.relation if comparison.recorded_match else None,
        "reason": _explain_relation(settings, comparison),
        **{key: value for key, value in scores.items() if key not in ("relation", "masked_boilerplate")},
        "shingles": {"a": shingle_overlap.size_a, "b": shingle_overlap.size_b, "shared": shingle_overlap.common},
        "bands": _count_bands(a, b, settings),
        "fingerprints": _count_fingerprints(a, b),
        "passages": [_passage_as_json(p, a.body) for p in find_passages(a.body, b.body)],
        "masked_boilerplate": {name: _masked_as_json(database, side) for name, side in sides.items()},
        "closest_revisions": reports.closest_revisions(database, a.page_id, b.page_id),
        "thresholds": settings.duplicates.model_dump(),
    }


def _compare(database: Database, settings: Settings, a: ComparedArticle, b: ComparedArticle) -> _Comparison:
    matching = build_matching(settings)
    recipes.require_recipes(database, recipes.configured_recipes(settings, [recipes.MATCHES]))
    masker = BoilerplateMasker(database, matching)
    side_a, side_b = (_prepare_side(database, masker, article) for article in (a, b))
    assessment = matching.assess(side_a.prepared, side_b.prepared, lambda: (side_a.mask, side_b.mask))
    recorded_match = None
    if a.text_id is not None and b.text_id is not None and a.text_id != b.text_id:
        recorded_match = store.matches.get(database, a.text_id, b.text_id)
    return _Comparison(side_a, side_b, assessment, recorded_match, settings.duplicates.min_characters)


def _prepare_side(database: Database, masker: BoilerplateMasker, article: ComparedArticle) -> _Side:
    prepared = overlap.prepare_text(article.body)
    publisher_id = _find_publisher_id(database, article)
    return _Side(article, prepared, masker.mask(prepared, publisher_id), masker.masked_passage_names(prepared, publisher_id))


def _find_publisher_id(database: Database, article: ComparedArticle) -> int | None:
    """Return the publisher whose boilerplate is masked. For a recorded text that is the publisher of its first article."""
    publisher_id = store.passages.publisher(database, article.text_id) if article.text_id is not None else None
    return publisher_id if publisher_id is not None else store.publishers.find(database, article.publisher)


def _article_as_json(article: ComparedArticle, characters: int) -> dict[str, Any]:
    row = {name: getattr(article, name) for name in ("url", "title", "publisher", "publisher_printed", "revision", "path")}
    return {**row, "characters": characters}


def _passage_as_json(passage: PassageSpans, body: str) -> dict[str, Any]:
    return {
        "a": [passage.a_begin, passage.a_end],
        "b": [passage.b_begin, passage.b_end],
        "characters": passage.characters,
        "text": body[passage.a_begin : passage.a_end],
    }


def _masked_as_json(database: Database, side: _Side) -> dict[str, Any]:
    rows_by_name = {row.name: row for row in store.boilerplate.list_passages(database)} if side.masked_names else {}
    passages = [{"name": name, "text": rows_by_name[name].example} for name in sorted(side.masked_names)]
    return {"characters": 0 if side.mask is None else int(np.count_nonzero(side.mask)), "passages": passages}


def _count_bands(a: ComparedArticle, b: ComparedArticle, settings: Settings) -> dict[str, int]:
    thresholds = settings.duplicates
    band_count, rows_per_band = minhash.choose_bands(thresholds.threshold, thresholds.num_perm)
    bands = [
        np.frombuffer(s.signature, "<u4")[: band_count * rows_per_band].reshape(band_count, rows_per_band) if s.signature else None
        for s in minhash.sign_texts([a.body, b.body], thresholds.num_perm, 1)
    ]
    shared = 0 if bands[0] is None or bands[1] is None else int(np.count_nonzero((bands[0] == bands[1]).all(axis=1)))
    return {"shared": shared, "total": band_count, "rows_per_band": rows_per_band}


def _count_fingerprints(a: ComparedArticle, b: ComparedArticle) -> dict[str, int]:
    fingerprints_a, fingerprints_b = (
        set() if found is None else set(found.tolist())
        for folded in normalise.fold_batches([a.body, b.body])
        for found in winnowing.fingerprint_texts(folded, 1)
    )  # fmt: skip
    return {"a": len(fingerprints_a), "b": len(fingerprints_b), "shared": len(fingerprints_a & fingerprints_b)}


def _explain_relation(settings: Settings, comparison: _Comparison) -> str:
    assessment, recorded_match = comparison.assessment, comparison.recorded_match
    if comparison.is_one_page:
        return "Both are revisions of one page: that is history, not duplication."
    if comparison.is_identical:
        return "exact: they have the same letters and digits, in the same order."
    if comparison.has_short_text:
        return (
            f"none: a text of fewer than min_characters = {comparison.min_characters} letters and digits takes part in exact matching only."
        )
    if comparison.is_newsletter_part:
        return (
            f"excerpt: {_format_extent(assessment.scores)} occurs in the other, which would make a copy, but one of the two holds other"
            " articles too: a text that bundles several articles is a copy of none of them."
        )
    has_masked = bool(comparison.a.masked_names or comparison.b.masked_names)
    sentence = _explain_assessment(settings, assessment, has_masked=has_masked)
    if recorded_match is None and assessment.relation is not None:
        return f"{sentence} It is not recorded: {_explain_unrecorded(comparison.a.article, comparison.b.article)}"
    if recorded_match is not None and recorded_match.relation != assessment.relation:
        return (
            f"{sentence} It is recorded as {recorded_match.relation}, by the boilerplate and settings of that time;"
            " 'dedup reindex' updates it."
        )
    return sentence


def _explain_assessment(settings: Settings, assessment: Assessment, *, has_masked: bool) -> str:
    thresholds, scores = settings.duplicates, assessment.scores
    if assessment.relation == "near":
        return f"near: a Jaccard similarity of {scores.similarity:.2f} reaches threshold = {thresholds.threshold:g}."
    if assessment.relation == "copy":
        return (
            f"copy: {_format_extent(scores)} occurs in the other (copy_coverage = {thresholds.copy_coverage:g},"
            f" copy_characters = {thresholds.copy_characters}), and enough of it is outside quotation marks."
        )
    if assessment.relation == "excerpt":
        return (
            f"excerpt: {_format_extent(scores)} occurs in the other, the longest passage with {scores.longest_passage} characters;"
            " that is too little for a copy."
        )
    if assessment.relation == "quote":
        return (
            f"quote: {_format_extent(scores)} occurs in the other, but {scores.quoted_share:.0%} of that is inside quotation marks"
            f" (quote_share = {thresholds.quote_share:g})."
        )
    if not scores.shared_characters and has_masked:
        return "none: all that they share is boilerplate, which is ignored."
    if not scores.shared_characters:
        return f"none: they share no run of {overlap.RUN_CHARACTERS} letters or digits."
    return (
        f"none: {_format_extent(scores)} occurs in the other, the longest passage with {scores.longest_passage} characters; a copy"
        f" needs {thresholds.copy_coverage:.0%} and {thresholds.copy_characters}, an excerpt {thresholds.excerpt_coverage:.0%},"
        f" {thresholds.excerpt_characters} and a passage of {thresholds.excerpt_passage},"
        f" or {thresholds.long_excerpt_characters} and a passage of {thresholds.long_excerpt_passage}."
    )


def _explain_unrecorded(a: ComparedArticle, b: ComparedArticle) -> str:
    if a.text_id is None or b.text_id is None:
        return "at least one of the two is not in the database."
    return (
        "they were not compared, because they share too few indexed fingerprints, or because one has so many copies that only the"
        " first were compared; or the boilerplate has changed since."
    )


def _format_extent(scores: MatchScores) -> str:
    return f"{scores.coverage:.0%} of the shorter text ({scores.shared_characters} letters and digits)"

"""Why two articles count as copies of each other, or not: everything that was measured, and a sentence."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from dedup import reports, store
from dedup.config import Settings
from dedup.errors import RevisionPrunedError, UnknownRevisionError
from dedup.matching.lookup import BoilerplateMasker
from dedup.matching.thresholds import Assessment
from dedup.model import Match, MatchScores
from dedup.reports.similar import extract_article
from dedup.scan import recipes
from dedup.scan.session import build_matching
from dedup.similarity import minhash, overlap, winnowing
from dedup.similarity.overlap.spans import PassageSpans, find_passages
from dedup.store import Database
from dedup.text import normalise, sanitise


@dataclass(frozen=True, slots=True)
class ComparedArticle:
    """One of the two. `page_id`, `text_id` and `revision` are None for what the database does not hold."""

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
    """The article that a file holds now. Raises NotAnArticleError."""
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
    """A page as its latest crawl shows it, or one of its revisions by the shown number. Raises UnknownRevisionError, and
    RevisionPrunedError where there is no body to be measured."""
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


def explain_pair(database: Database, settings: Settings, a: ComparedArticle, b: ComparedArticle) -> dict[str, Any]:
    """What two articles share, what was recorded of them, and in one sentence why."""
    matching = build_matching(settings)
    recipes.require_recipes(database, recipes.configured_recipes(settings, [recipes.MATCHES]))
    thresholds = settings.duplicates
    assessor = BoilerplateMasker(database, matching)
    articles = (a, b)
    prepared = [overlap.prepare_text(side.body) for side in articles]
    publisher_ids = [_find_publisher_id(database, side) for side in articles]
    masks = [assessor.mask(own, publisher_id) for own, publisher_id in zip(prepared, publisher_ids, strict=True)]
    assessment = matching.assess(prepared[0], prepared[1], lambda: (masks[0], masks[1]))
    shingle_overlap = overlap.measure_overlap(prepared[0].points, prepared[1].points)
    is_identical = len(prepared[0].points) > 0 and np.array_equal(prepared[0].points, prepared[1].points)
    too_short = [side for side, own in zip(articles, prepared, strict=True) if len(own.points) < thresholds.min_characters]
    recorded_match = (
        store.matches.get(database, a.text_id, b.text_id)
        if a.text_id is not None and b.text_id is not None and a.text_id != b.text_id
        else None
    )
    masked_names = [assessor.masked_passage_names(own, publisher_id) for own, publisher_id in zip(prepared, publisher_ids, strict=True)]
    relation = (
        None
        if a.page_id is not None and a.page_id == b.page_id
        else "exact"
        if is_identical
        else None
        if too_short
        else assessment.relation
    )
    if recorded_match and relation not in (None, "exact") and _is_newsletter_part(recorded_match, assessment):
        relation = "excerpt"
    scores = assessment.scores
    return {
        **{name: _article_as_json(side, len(own.points)) for name, side, own in zip("ab", articles, prepared, strict=True)},
        "relation": relation,
        "recorded_relation": recorded_match.relation if recorded_match else None,
        "reason": _explain_relation(
            settings, a, b, too_short, recorded_match, assessment, is_identical=is_identical, has_masked=any(masked_names)
        ),
        **{k: v for k, v in reports.scores_as_json("near", scores).items() if k not in ("relation", "masked_boilerplate")},
        "shingles": {"a": shingle_overlap.size_a, "b": shingle_overlap.size_b, "shared": shingle_overlap.common},
        "bands": _count_bands(a, b, settings),
        "fingerprints": _count_fingerprints(a, b),
        "passages": [_passage_as_json(p, a.body) for p in find_passages(a.body, b.body)],
        "masked_boilerplate": {
            name: _masked_as_json(database, names, mask) for name, names, mask in zip("ab", masked_names, masks, strict=True)
        },
        "closest_revisions": reports.closest_revisions(database, a.page_id, b.page_id),
        "thresholds": thresholds.model_dump(),
    }


def _find_publisher_id(database: Database, article: ComparedArticle) -> int | None:
    """Whose boilerplate is masked: of a text that is recorded that of the first article with it."""
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


def _masked_as_json(database: Database, names: set[str], mask: Any) -> dict[str, Any]:
    rows_by_name = {row.name: row for row in store.boilerplate.list_passages(database)} if names else {}
    entries = [{"name": name, "text": rows_by_name[name].example} for name in sorted(names)]
    return {"characters": 0 if mask is None else int(np.count_nonzero(mask)), "passages": entries}


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


def _is_newsletter_part(recorded_match: Match, assessment: Assessment) -> bool:
    """Whether a match that the numbers make a copy was recorded as a part of a bundle."""
    return (
        recorded_match.relation == "excerpt"
        and assessment.relation == "copy"
        and recorded_match.scores.shared_characters == assessment.scores.shared_characters
    )


def _explain_relation(
    settings: Settings,
    a: ComparedArticle,
    b: ComparedArticle,
    too_short: list[ComparedArticle],
    recorded_match: Match | None,
    assessment: Assessment,
    *,
    is_identical: bool,
    has_masked: bool,
) -> str:
    thresholds, scores = settings.duplicates, assessment.scores
    if a.page_id is not None and a.page_id == b.page_id:
        return "Both are states of one page: that is history, not duplication."
    if is_identical:
        return "exact: they have the same letters and digits, in the same order."
    if too_short:
        return (
            f"none: a text of fewer than min_characters = {thresholds.min_characters} letters and digits takes part in exact matching only."
        )
    if recorded_match and _is_newsletter_part(recorded_match, assessment):
        return (
            f"excerpt: {_format_extent(scores)} occurs in the other, which would make a copy, but one of the two holds other articles"
            " beside this one: a text that bundles several is a copy of none."
        )
    sentence = _explain_assessment(settings, assessment, has_masked=has_masked)
    if recorded_match is None and assessment.relation is not None:
        return sentence + " It is not recorded: " + _explain_unrecorded(a, b)
    if recorded_match is not None and recorded_match.relation != assessment.relation:
        return (
            sentence + f" It was recorded as {recorded_match.relation} by what was known then; 'dedup reindex' applies what is known now."
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
            " for a copy that is too little."
        )
    if assessment.relation == "quote":
        return (
            f"quote: {_format_extent(scores)} occurs in the other, but {scores.quoted_share:.0%} of that is inside quotation marks"
            f" (quote_share = {thresholds.quote_share:g})."
        )
    if not scores.shared_characters and has_masked:
        return "none: what both share is boilerplate, which is left out."
    if not scores.shared_characters:
        return f"none: no {overlap.RUN_CHARACTERS} letters or digits in a row are the same."
    return (
        f"none: {_format_extent(scores)} occurs in the other, the longest passage with {scores.longest_passage} characters; a copy"
        f" needs {thresholds.copy_coverage:.0%} and {thresholds.copy_characters}, an excerpt {thresholds.excerpt_coverage:.0%},"
        f" {thresholds.excerpt_characters} and a passage of {thresholds.excerpt_passage},"
        f" or {thresholds.long_excerpt_characters} and a passage of {thresholds.long_excerpt_passage}."
    )


def _explain_unrecorded(a: ComparedArticle, b: ComparedArticle) -> str:
    if a.text_id is None or b.text_id is None:
        return "the database does not hold both."
    return (
        "they were not compared, because too little of what they share is looked up, or one has so many copies that it was compared"
        " with the first only; or what is known of boilerplate has changed since."
    )


def _format_extent(scores: MatchScores) -> str:
    return f"{scores.coverage:.0%} of the shorter text ({scores.shared_characters} letters and digits)"

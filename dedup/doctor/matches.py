"""Compare stored matches with the bodies of their texts, and find near duplicates that are not stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dedup import store
from dedup.doctor.context import CheckContext, Finding
from dedup.doctor.records import has_current_recipes, in_batches
from dedup.index import lsh
from dedup.index.hashtable import HashTable
from dedup.matching.thresholds import Assessment, MatchCriteria
from dedup.model import Match
from dedup.pipeline.extract import ExtractOptions, sign_bodies
from dedup.pipeline.session import build_extract_options
from dedup.similarity.overlap import PreparedText, measure_overlap, prepare_text
from dedup.store import Database

CHECK = "indexes"
WRONG_MATCHES = "matches whose relation or scores differ from the bodies of their texts"
_REPAIR_REMEDY = "Run 'dedup doctor --repair' to match all texts again."


def check_near_duplicates(context: CheckContext) -> Iterator[Finding]:
    """Compare every pair of texts that the candidate index proposes and that is not stored as a match. Skipped by `quick`, and while a
    process is writing."""
    if context.quick or context.writer or not has_current_recipes(context, with_urls=False):
        return
    duplicates, database = context.settings.duplicates, context.readable_database
    table, _ = HashTable.load_read_only(database.lsh_index_path())
    if table is None:
        return  # check_candidate_index reports that
    index = lsh.CandidateIndex(table, duplicates.threshold, duplicates.num_perm)
    missing = 0
    for rows in in_batches(store.texts.all_signatures(database)):
        signatures = {text: signature for text, signature in rows if len(signature) == 4 * duplicates.num_perm}
        candidate_sets = dict(zip(signatures, index.query(list(signatures), list(signatures.values())), strict=True))
        # crowded texts are left out: for them the matcher stops at the first match
        pairs = [(other, text) for text, m in candidate_sets.items() if not m.crowded for other in m.candidates if other < text]
        missing += len(_find_missing_pairs(context, pairs))
        context.progress(CHECK, len(rows))
    if missing:
        message = f"near duplicates that are not stored as matches (pairs of texts): {missing:,}"
        yield Finding(CHECK, "error", message, _REPAIR_REMEDY, "matches")


def check_stored_matches(context: CheckContext) -> Iterator[Finding]:
    """Measure every stored match of two texts that have bodies again.

    What depends on more than the two texts is not compared: shares without boilerplate, quotation marks, and whether a copy is part of a
    newsletter. Skipped by `quick`."""
    if context.quick or not has_current_recipes(context, with_urls=False):
        return
    matching = MatchCriteria(context.settings.duplicates)
    options = build_extract_options(context.settings)
    wrong_count = 0
    for rows in in_batches(store.integrity.stored_matches(context.readable_database)):
        with context.readable_database.snapshot():
            wrong_count += _count_wrong_matches(context.readable_database, matching, options, rows)
        context.progress(CHECK, len(rows))
    if wrong_count:
        yield Finding(CHECK, "error", f"{WRONG_MATCHES}: {wrong_count:,}", _REPAIR_REMEDY, "matches")


def _count_wrong_matches(database: Database, matching: MatchCriteria, options: ExtractOptions, rows: Sequence[Match]) -> int:
    """Return how many of these matches differ from their texts. Texts that do not match their body are left out: `digests` reports them."""
    bodies = store.texts.bodies(database, {text for m in rows for text in (m.a, m.b)})
    unmasked = not store.statistics.count(database, "boilerplate")
    prepared = {text: prepare_text(body) for text, body in bodies.items()}
    wrong = [
        m for m in rows
        if m.a in prepared and m.b in prepared
        and not _is_as_assessed(m, matching.assess(prepared[m.a], prepared[m.b]), unmasked=unmasked)
    ]  # fmt: skip
    doubtful_texts = sorted({text for m in wrong for text in (m.a, m.b)})
    digests = [own.digest for own, _ in sign_bodies((bodies[text] for text in doubtful_texts), options)]
    text_ids = store.texts.find_by_digest(database, {digest for digest in digests if digest is not None})
    sound_texts = {
        text for text, digest in zip(doubtful_texts, digests, strict=True) if digest is not None and text_ids.get(digest) == text
    }
    return sum(m.a in sound_texts and m.b in sound_texts for m in wrong)


def _is_as_assessed(m: Match, assessment: Assessment, *, unmasked: bool) -> bool:
    scores, expected = m.scores, assessment.scores
    same_jaccard = (scores.similarity, scores.containment) == (expected.similarity, expected.containment)
    if not same_jaccard or (m.relation == "near") != (assessment.relation == "near"):
        return False
    if not unmasked:
        return True
    if (scores.coverage, scores.shared_characters, scores.longest_passage, scores.masked_boilerplate) != (
        expected.coverage,
        expected.shared_characters,
        expected.longest_passage,
        (),
    ):
        return False
    return (
        scores.quoted_share != expected.quoted_share
        or m.relation == assessment.relation
        or (m.relation, assessment.relation) == ("excerpt", "copy")
    )


def _find_missing_pairs(context: CheckContext, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the pairs (lower id, higher id) that two pages show, that reach the threshold, and that are not stored."""
    database = context.readable_database
    stored_pairs = store.matches.of_texts(database, {text for _, text in pairs})
    unstored_pairs = [pair for pair in pairs if pair not in stored_pairs]
    texts = {text for pair in unstored_pairs for text in pair}
    pages, bodies, crowded = (
        store.texts.pages_showing_any(database, texts),
        store.texts.bodies(database, texts),
        store.texts.crowded(database, texts),
    )
    prepared: dict[int, PreparedText] = {}
    missing_pairs = []
    for pair in unstored_pairs:
        if not all(text in pages and text in bodies and text not in crowded for text in pair):
            continue
        a, b = (pages[text] for text in pair)
        if a.first_page_id == b.first_page_id and not (a.has_several or b.has_several):
            continue
        for text in pair:
            if text not in prepared:
                prepared[text] = prepare_text(bodies[text])
        if measure_overlap(*(prepared[text].points for text in pair)).jaccard >= context.settings.duplicates.threshold:
            missing_pairs.append(pair)
    return missing_pairs

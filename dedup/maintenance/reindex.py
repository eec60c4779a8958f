"""Apply changed settings to existing records: signatures and matches, page URLs, classifications of changes, readings of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from more_itertools import chunked

from dedup import store
from dedup.changes.classify import ClassificationRules
from dedup.matching.candidates import NewText
from dedup.matching.matcher import Matcher
from dedup.pipeline import recipes
from dedup.pipeline.counts import ScanCounts
from dedup.pipeline.extract import ExtractOptions, sign_bodies
from dedup.pipeline.isolation import isolate_failures, log_error_once, require_memory
from dedup.pipeline.page_history import recompute_pages, recompute_sightings
from dedup.pipeline.scanner import Scan
from dedup.pipeline.session import Session
from dedup.store import Transaction, WritableDatabase
from dedup.store.corruption import SUSPICIOUS_ERRORS
from dedup.store.rows import TextRow
from dedup.text import sanitise, times

CHUNK = 500
MAX_PASSES = 3
"""Passes over all texts while boilerplate is learned; the second pass rarely learns any."""


def reindex_signatures(
    database: WritableDatabase,
    options: ExtractOptions,
    matcher: Matcher,
    progress: Callable[[int], Any] = lambda _: None,
    *,
    publishers: str | None = None,
    skip_incomplete: bool = False,
) -> dict[str, int]:
    """Recompute all signatures and matches with the settings given and all known boilerplate, in one transaction.

    `publishers` is the recipe of the publisher aliases in force, if they are to be applied. `progress` receives the number of texts in each
    batch. `skip_incomplete`: leave out texts whose other rows are lost; otherwise they are reported as damage. Returns counts."""
    with database.transaction() as transaction:
        _reset_boilerplate(transaction, matcher, publishers)
        counts = _rematch(transaction, options, matcher, progress, renew_signatures=True, skip_incomplete=skip_incomplete)
        commit_token = store.batches.restart(transaction)
    matcher.confirm_index(commit_token)
    return counts


def _reset_boilerplate(transaction: Transaction, matcher: Matcher, publishers: str | None) -> bool:
    """Store the recipes in force. If they changed, delete the boilerplate learned with the old ones, but keep manual decisions.

    Returns whether they changed."""
    current_recipes = {recipes.MATCHES: matcher.criteria.recipe} | ({} if publishers is None else {recipes.PUBLISHERS: publishers})
    has_changed = bool(recipes.find_pending_recipes(transaction, current_recipes))
    if has_changed:
        store.boilerplate.delete_learned(transaction, matcher.canonical_publisher)
        matcher.rollback()
    for name, recipe in current_recipes.items():
        store.settings.put(transaction, name, recipe)
    return has_changed


def _rematch(
    transaction: Transaction,
    options: ExtractOptions,
    matcher: Matcher,
    progress: Callable[[int], Any] = lambda _: None,
    *,
    renew_signatures: bool = False,
    skip_incomplete: bool = False,
) -> dict[str, int]:
    """Match all texts with each other, and again if that learned boilerplate: it applies to earlier texts too. Returns counts."""
    passage_count = -1
    for _ in range(MAX_PASSES):
        if passage_count == (passage_count := len(store.boilerplate.list_passages(transaction))):
            break
        store.matches.delete_all(transaction)
        store.texts.delete_unshown(transaction)
        texts = store.texts.all_with_body(transaction, skip_incomplete=skip_incomplete)
        counts = _match_all(transaction, options, matcher, texts, progress, renew_signatures=renew_signatures)
        renew_signatures = False
    return counts


def _match_all(
    transaction: Transaction,
    options: ExtractOptions,
    matcher: Matcher,
    all_texts: Iterable[TextRow],
    progress: Callable[[int], Any],
    *,
    renew_signatures: bool,
) -> dict[str, int]:
    """Match these texts with each other. No matches may be stored. Returns counts."""
    counts, now = {"texts": 0, "matches": 0, "failed": 0}, times.now()
    matcher.reset_indexes()

    def match_batch(texts: Sequence[TextRow]) -> int:
        """Sign these texts and match them with all before them, in a savepoint. Returns the number of matches."""
        try:
            with transaction.savepoint():
                signatures = sign_bodies((t.body for t in texts), options)
                if renew_signatures:
                    store.texts.set_signatures(
                        transaction, ((t.id, s.signature, s.characters) for t, (s, _) in zip(texts, signatures, strict=True))
                    )
                new_texts = [
                    NewText(t.id, s.signature, t.body, keys, t.publisher, t.oid, t.url)
                    for t, (s, keys) in zip(texts, signatures, strict=True)
                ]
                candidates = matcher.query(new_texts, ())
                matches = matcher.confirm_candidates(transaction, candidates)
                store.matches.insert(transaction, matches, matcher.criteria.recipe, now)
                store.texts.set_crowded(transaction, candidates.crowded)
        except BaseException:
            matcher.rollback()
            raise
        matcher.index_uncommitted()
        return len(matches)

    def skip_text(text: TextRow, error: Exception) -> None:
        """Leave a text that causes an internal error without a signature: it takes part in exact matching only."""
        require_text_error(transaction, error)
        log_error_once(error, f"matching the text of {sanitise.to_printable(text.url)}")
        store.texts.clear_signature(transaction, text.id)
        counts["failed"] += 1

    for texts in chunked(all_texts, CHUNK):
        counts["matches"] += sum(isolate_failures(texts, match_batch, skip_text))
        counts["texts"] += len(texts)
        progress(len(texts))
    return counts


def require_text_error(transaction: Transaction, error: Exception) -> None:
    """Raise if the cause of `error` is the database or the machine, not the one text that was processed."""
    if isinstance(error, MemoryError):
        require_memory(error)
    elif isinstance(error, SUSPICIOUS_ERRORS):
        transaction.require_sound(error)


def reindex_urls(
    database: WritableDatabase,
    options: ExtractOptions,
    matcher: Matcher,
    rules: ClassificationRules,
    progress: Callable[[int], Any] = lambda _: None,
    *,
    publishers: str | None = None,
) -> dict[str, int]:
    """Assign every sighting to its page by the rules given, in one transaction, without alerts. Returns counts.

    Pages merge or split, and their histories are recomputed. All texts are matched again, because matches within one page do not count.
    Files whose article has no URL by these rules are queued for reading, so that the next scan records a fault for them.
    """
    counts = {"readings": 0, "moved": 0, "readings_without_page": 0}
    with database.transaction() as transaction:
        moved = _move_aliases(transaction, options)
        sightings = _move_readings(transaction, progress)
        counts["readings_without_page"], counts["moved"] = len(moved.without_page), sightings.reading_count
        recompute_sightings(transaction, sightings.touched)
        recompute_pages(transaction, sorted(moved.touched_pages), rules)
        store.rereads.queue_files_of_aliases(transaction, moved.without_page)
        store.pages.delete_empty(transaction)
        renew_signatures = _reset_boilerplate(transaction, matcher, publishers)
        _rematch(transaction, options, matcher, renew_signatures=renew_signatures)
        commit_token = store.batches.restart(transaction)
        counts["readings"] = store.statistics.count(transaction, "readings")
        store.settings.put(transaction, recipes.URLS, options.canonicaliser.recipe)
    matcher.confirm_index(commit_token)
    return counts


class _MovedAliases(NamedTuple):
    """The pages that lost or gained an alias, and the aliases that have no page URL by the rules in force."""

    touched_pages: set[int]
    without_page: list[int]


def _move_aliases(transaction: Transaction, options: ExtractOptions) -> _MovedAliases:
    """Move every alias to the page that the rules assign it to. An alias without a page URL stays until its file is read again."""
    moved = _MovedAliases(set(), [])
    for alias, page, spelling, oid, aid in store.pages.all_aliases(transaction):
        url = options.canonicaliser.page_url(spelling, oid, aid)
        if url is None:
            moved.without_page.append(alias)
            continue
        target_page = store.pages.get_or_insert(transaction, url)
        if target_page != page:
            store.pages.move_alias(transaction, alias, target_page)
            moved.touched_pages.update((page, target_page))
    return moved


class _MovedReadings(NamedTuple):
    """The number of readings that were moved, and the sightings that lost or gained one."""

    reading_count: int
    touched: set[int]


def _move_readings(transaction: Transaction, progress: Callable[[int], Any]) -> _MovedReadings:
    """Move the readings of moved aliases to sightings of their new page, which are created as needed."""
    count, touched = 0, set[int]()
    for reading, sighting, revision, target_page in store.readings.list_misplaced(transaction):
        target_revision = store.revisions.copy_to_page(transaction, revision, target_page)
        target_sighting = store.sightings.copy_to_page(transaction, sighting, target_page, target_revision)
        store.readings.move(transaction, reading, target_sighting)
        touched.update((sighting, target_sighting))
        count += 1
        progress(1)
    return _MovedReadings(count, touched)


def reindex_changes(
    database: WritableDatabase, rules: ClassificationRules, progress: Callable[[int], Any] = lambda _: None
) -> dict[str, int]:
    """Classify every change again by the rules given, in one transaction, without alerts. Pruned states keep their classification.

    Returns counts."""
    with database.transaction() as transaction:
        reclassify_changes(transaction, store.changes.pages_with_changes(transaction), rules, progress)
        store.settings.put(transaction, recipes.CHANGES, rules.recipe)
    return {
        "changes": store.statistics.count(database, "changes"),
        "classified": store.changes.count_classified(database),
    }


def reclassify_changes(
    transaction: Transaction, pages: Iterable[int], rules: ClassificationRules, progress: Callable[[int], Any] = lambda _: None
) -> None:
    """Classify every change of these pages again, without alerts. A page that causes an internal error keeps its classifications."""

    def reclassify_batch(pages: Sequence[int]) -> None:
        with transaction.savepoint():
            recompute_pages(transaction, pages, rules, reclassify=True)

    def log_failure(page: int, error: Exception) -> None:
        require_text_error(transaction, error)
        log_error_once(error, f"classifying the changes of {sanitise.to_printable(store.pages.url(transaction, page))}")

    for batch in chunked(pages, CHUNK):
        isolate_failures(batch, reclassify_batch, log_failure)
        progress(len(batch))


def reindex_readings(session: Session, progress: Callable[[int], Any] = lambda _: None) -> dict[str, int]:
    """Read every recorded file again with the settings in force, without alerts. The new reading replaces the one of the same bytes.

    Each batch is committed separately; an interrupted run continues where it stopped. Returns counts of files: `reread_files`, and
    `unreachable_files`, which exist but could not be read now; the next scan reads them."""
    database = session.database
    recipe_values = recipes.configured_recipes(session.settings, [recipes.READINGS])
    if recipes.find_pending_recipes(database, recipe_values) or not store.rereads.has_queued(database):
        with database.transaction() as transaction:
            store.rereads.queue_all(transaction)
            for name, value in recipe_values.items():
                store.settings.put(transaction, name, value)
            store.settings.put(transaction, recipes.FAULTS, recipes.faults_recipe(session.settings))
    reported_count = 0

    def report_progress(counts: ScanCounts) -> None:
        nonlocal reported_count
        progress(counts.reread - reported_count)
        reported_count = counts.reread

    scan = Scan(session, progress=report_progress)
    try:
        scan.reread(session.scopes)
        scan.settle()
    finally:
        scan.close()
    return {"reread_files": scan.counts.reread, "unreachable_files": store.rereads.count(database)}

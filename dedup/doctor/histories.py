"""Compare sightings, causes of mismatches and classifications of changes with those computed from readings and bodies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from dedup import store
from dedup.changes.classify import ClassificationRules
from dedup.doctor.context import CheckContext, Finding, Steps
from dedup.doctor.records import has_recipes, in_batches, is_intact, name_pages, rows_finding
from dedup.pipeline import recipes
from dedup.pipeline.isolation import isolate_failures
from dedup.pipeline.mismatch_causes import find_cause_differences
from dedup.pipeline.page_history import find_merge_differences, find_misclassified_pages, remerge_readings
from dedup.store import Database
from dedup.store.rows import StaleCandidate

CHECK = "histories"
BATCH_SIZE = 500
"""Sightings, or pages, compared at once."""

WRONG_SIGHTINGS = "sightings whose status, check, metadata or time source differs from their readings"
WRONG_CAUSES = "mismatched readings whose cause differs from the history of their page"
WRONG_CLASSIFICATIONS = "pages whose changes have another classification than the settings in force give them"
_REPAIR_REMEDY = "Run 'dedup doctor --repair' to compute it from the records."
_RECLASSIFY_REMEDY = "Run 'dedup doctor --repair' or 'dedup reindex --changes' to classify them again."


def find_wrong_sightings(database: Database, sightings: Sequence[int]) -> dict[int, int]:
    """Return the sightings that differ from their readings, as sighting → page.

    Sightings without readings, or with a reading that lost its metadata, are left out: they cannot be computed."""
    positions, expected = remerge_readings(database, sightings)
    wrong = [s for s, _ in find_merge_differences(positions, expected)]
    without_metadata = store.integrity.sightings_with_lost_metadata(database, wrong)
    return {s: positions[s].page_id for s in wrong if s not in without_metadata}


def sighting_batches(database: Database) -> Iterator[list[int]]:
    """Yield the ids of all sightings in batches, in order."""
    last = 0
    while batch := store.integrity.sighting_ids(database, after_id=last, limit=BATCH_SIZE):
        last = batch[-1]
        yield batch


def check_sightings(context: CheckContext) -> Iterator[Finding]:
    """Compare every sighting with its readings."""
    count, pages = 0, dict[int, None]()
    for batch in sighting_batches(context.readable_database):
        with context.readable_database.snapshot():
            wrong = find_wrong_sightings(context.readable_database, batch)
        count += len(wrong)
        pages |= dict.fromkeys(wrong.values())
        context.add_checked(CHECK, len(batch))
    if count:
        yield _history_finding(context, list(pages), count, WRONG_SIGHTINGS)


def check_causes(context: CheckContext) -> Iterator[Finding]:
    """Compare the cause of every mismatched reading with the history of its page."""
    count, pages = 0, dict[int, None]()
    for batch in in_batches(store.integrity.pages_with_mismatched_readings(context.readable_database)):
        with context.readable_database.snapshot():
            wrong = find_wrong_causes(context.readable_database, batch)
        count += len(wrong)
        pages |= dict.fromkeys(reading.page_id for reading in wrong)
        context.progress(CHECK, len(batch))
    if count:
        yield _history_finding(context, list(pages), count, WRONG_CAUSES)


def check_classifications(context: CheckContext) -> Iterator[Finding]:
    """Classify every change and compare the result with the stored one."""
    rules = recipes.build_change_rules(context.settings)
    if not has_recipes(context, [recipes.CHANGES]):
        return  # all changes are reclassified once the database has the settings in force
    wrong_pages: list[int] = []
    failed_pages: list[int] = []
    for batch in in_batches(store.changes.pages_with_changes(context.readable_database)):
        with context.readable_database.snapshot():
            misclassified, batch_failed = find_wrong_classifications(context.readable_database, batch, rules)
        wrong_pages += misclassified
        failed_pages += batch_failed
        context.progress(CHECK, len(batch))
    if wrong_pages:
        yield _history_finding(context, wrong_pages, len(wrong_pages), WRONG_CLASSIFICATIONS, _RECLASSIFY_REMEDY)
    if failed_pages:
        message = "pages whose changes could not be classified because of an internal error"
        failure = rows_finding(
            name_pages(context, failed_pages), message, None, "If 'database' has no findings, report this as a bug in dedup."
        )
        yield replace(failure, check=CHECK, severity="warning")


def find_wrong_classifications(database: Database, pages: Sequence[int], rules: ClassificationRules) -> tuple[list[int], list[int]]:
    """Return (pages with a change that is classified otherwise, pages that caused an internal error). Pages with an altered body are left
    out: nothing may be computed from it."""
    failed_pages: list[int] = []
    wrong_batches = isolate_failures(
        _intact_pages(database, pages), partial(_find_misclassified, database, rules), lambda page, _: failed_pages.append(page)
    )
    return [page for batch in wrong_batches for page in batch], failed_pages


def find_wrong_causes(database: Database, pages: Sequence[int]) -> list[StaleCandidate]:
    """Return the readings of these pages with a wrong cause. Pages with an altered body are left out."""
    return [reading for reading, _ in find_cause_differences(database, _intact_pages(database, pages))]


def _intact_pages(database: Database, pages: Sequence[int]) -> list[int]:
    """Return the pages without an altered body."""
    altered = {page for page, digest, title, body in store.integrity.states_of_pages(database, pages) if not is_intact(digest, title, body)}
    return [page for page in pages if page not in altered]


def _find_misclassified(database: Database, rules: ClassificationRules, pages: Sequence[int]) -> list[int]:
    return find_misclassified_pages(database, pages, rules)


def _history_finding(context: CheckContext, pages: Sequence[int], count: int, message: str, remedy: str = _REPAIR_REMEDY) -> Finding:
    misfit = replace(name_pages(context, pages), count=count)
    return replace(rows_finding(misfit, message, "histories", remedy), check=CHECK)


STEPS: Steps = {"sightings": check_sightings, "causes of mismatches": check_causes, "classifications of changes": check_classifications}

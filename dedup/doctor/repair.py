"""`--repair`: rebuild derived data from the rest. Bodies, files and readings are never changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dedup import store
from dedup.changes.classify import ClassificationRules
from dedup.config import Settings
from dedup.doctor import Finding, SystemProbes, histories, run_checks
from dedup.doctor.context import RepairKind
from dedup.doctor.database import RESTORE_REMEDY
from dedup.doctor.records import WRONG_TEXT, compare_revisions, find_wrong_changes, in_batches
from dedup.errors import DatabaseDamagedError, DedupError
from dedup.maintenance import summaries
from dedup.maintenance.reindex import reclassify_changes, reindex_signatures
from dedup.matching.matcher import Matcher
from dedup.pipeline.extract import ExtractOptions, sign_bodies
from dedup.pipeline.isolation import isolate_failures, log_error_once, summarise_error
from dedup.pipeline.mismatch_causes import recompute_causes
from dedup.pipeline.page_history import recompute_pages, recompute_sightings
from dedup.pipeline.recipes import CHANGES, build_change_rules
from dedup.pipeline.session import build_extract_options, build_matching
from dedup.search import rebuild
from dedup.similarity.minhash import SignedText
from dedup.store import Transaction, WritableDatabase
from dedup.store.connection import open_locked
from dedup.store.integrity import StateWithText
from dedup.store.lock import Lock
from dedup.store.ownership import require_dedup_database
from dedup.text.sanitise import to_printable

REPAIR_CHECK = "repair"
UNREPAIRED = "The repair could not correct it, because other rows are lost or damaged."


@dataclass(frozen=True, slots=True)
class RepairResult:
    """The findings after a repair, check → the number of things it examined, and a line about each action."""

    findings: list[Finding]
    checked_counts: dict[str, int]
    actions: list[str]


def repair_database(
    settings: Settings, *, quick: bool = False, probes: SystemProbes | None = None, progress: Callable[[str, int], None] = lambda *_: None
) -> RepairResult:
    """Check, repair what can be repaired, and check again, holding the writer's lock.

    A repair that fails is rolled back and becomes a finding. Raises DatabaseBusyError while another process is writing, and
    DatabaseUnreadableError if the lock cannot be created.
    """
    path = settings.database.path
    if not os.path.exists(path):
        return RepairResult(*run_checks(settings, quick=quick, probes=probes, progress=progress), [])
    require_dedup_database(path)
    lock = Lock(path, "doctor --repair")
    try:
        findings, checked_counts = run_checks(settings, quick=quick, holds_lock=True, probes=probes, progress=progress)
        repair_kinds = {f.repair_kind for f in findings if f.repair_kind is not None}
        if not repair_kinds:
            return RepairResult(findings, checked_counts, [])
        if any(f.blocks_repair for f in findings):
            message = "nothing was repaired: the file itself is damaged, and writing to it could lose more"
            return RepairResult([Finding(REPAIR_CHECK, "error", message, RESTORE_REMEDY), *findings], checked_counts, [])
        actions: list[str] = []
        failures: list[Finding] = []
        applied_kinds: set[RepairKind] = set()
        while not failures and not repair_kinds <= applied_kinds:  # a repair can show what another kind of damage hid
            try:
                with open_locked(path, lock) as database:
                    actions.extend(_apply_repairs(database, settings, repair_kinds, progress))  # actions before an error are kept
            except Exception as error:
                if not isinstance(error, DedupError):
                    log_error_once(error, "repairing the database")
                remedy = "Finished repairs are kept; the one that failed was rolled back. See the findings of 'database' and 'records'."
                failures.append(Finding(REPAIR_CHECK, "error", f"the repair could not be finished: {_describe_error(error)}", remedy))
            applied_kinds |= repair_kinds
            findings, checked_counts = run_checks(settings, quick=quick, holds_lock=True, probes=probes, progress=progress)
            repair_kinds = {f.repair_kind for f in findings if f.repair_kind is not None}
        return RepairResult(failures + [_without_repair(f) for f in findings], checked_counts, actions)
    finally:
        lock.release()


def _without_repair(finding: Finding) -> Finding:
    """Return a finding that the repair left, with a remedy other than the repair."""
    return finding if finding.repair_kind is None else replace(finding, remedy=f"{UNREPAIRED} {RESTORE_REMEDY}", repair_kind=None)


def _describe_error(error: Exception) -> str:
    return to_printable(str(error)) if isinstance(error, DedupError) else summarise_error(error)


def _apply_repairs(
    database: WritableDatabase, settings: Settings, repair_kinds: set[RepairKind], progress: Callable[[str, int], None]
) -> Iterator[str]:
    """Apply each repair in its own transaction. Yields a line about each once it is committed."""
    if "schema" in repair_kinds:
        with database.transaction() as transaction:
            differences = store.schema_repair.rebuild_schema(transaction)
        repair_kinds = {*repair_kinds, "summaries"}  # the triggers queue what must be updated, for search too
        if settings.search.index:
            repair_kinds.add("search")
        yield f"parts of the schema rebuilt: {', '.join(f'{d.kind} {d.name}' for d in differences)}"
    if "sqlite" in repair_kinds:
        with database.transaction() as transaction:
            store.schema_repair.rebuild_indexes(transaction)
            if complaints := store.integrity.integrity_errors(transaction):
                raise DatabaseDamagedError(path=transaction.path, problem=complaints[0])
        yield "SQLite's indexes rebuilt"
    if "histories" in repair_kinds:
        with database.transaction() as transaction:
            count = _recompute_histories(transaction, build_change_rules(settings), progress)
        yield f"pages whose sightings and changes were recomputed: {count:,}"
    options = build_extract_options(settings)
    if "texts" in repair_kinds:
        with database.transaction() as transaction:
            count = _restore_texts(transaction, options, progress)
        yield f"revisions assigned the text of their body: {count:,}"
    matcher = Matcher(database, build_matching(settings), settings.publishers.build_publishers())
    if repair_kinds & {"texts", "matches"}:
        counts = reindex_signatures(database, options, matcher, lambda n: progress("reindex", n), skip_incomplete=True)
        yield f"signatures recomputed: {counts['texts']:,}, matches found: {counts['matches']:,}; both indexes rebuilt"
    elif "indexes" in repair_kinds:
        matcher.discard_indexes()
        matcher.progress = lambda n: progress("indexes", n)
        matcher.open_indexes()
        yield "index files rebuilt"
    if "summaries" in repair_kinds:
        count = summaries.rebuild_summaries(database, settings, lambda n: progress("summaries", n))
        yield f"pages whose summaries and clusters were recomputed: {count:,}"
    elif repair_kinds & {"histories", "texts", "matches"}:
        summaries.update_all_summaries(database, settings, lambda n: progress("summaries", n))  # those that the repairs above made dirty
    if "search" in repair_kinds:
        count = rebuild(database, lambda n: progress("indexes", n))
        yield f"search index rebuilt, texts in it: {count:,}"


def _recompute_histories(transaction: Transaction, rules: ClassificationRules, progress: Callable[[str, int], None]) -> int:
    """Correct sightings by their readings, then causes of mismatches, current sightings and changes. Returns the number of pages."""
    corrected_pages: set[int] = set()
    for sightings in histories.sighting_batches(transaction):
        wrong = histories.find_wrong_sightings(transaction, sightings)
        recompute_sightings(transaction, wrong)
        corrected_pages.update(wrong.values())
        progress(histories.CHECK, len(sightings))
    for batch in in_batches(store.integrity.pages_with_mismatched_readings(transaction)):
        pages = {reading.page_id for reading in histories.find_wrong_causes(transaction, batch)}
        recompute_causes(transaction, sorted(pages))
        corrected_pages |= pages
    store.changes.delete(transaction, store.integrity.stray_changes(transaction))
    pages = corrected_pages | set(store.integrity.pages_with_wrong_current_sighting(transaction))
    for batch in in_batches(store.changes.pages_with_changes(transaction)):
        pages.update(find_wrong_changes(transaction, batch))
    recompute_pages(transaction, sorted(pages), rules)
    misclassified: list[int] = []
    if store.settings.get(transaction, CHANGES) == rules.recipe:
        for batch in in_batches(store.changes.pages_with_changes(transaction)):
            misclassified += histories.find_wrong_classifications(transaction, batch, rules)[0]
            progress(histories.CHECK, len(batch))
        reclassify_changes(transaction, misclassified, rules)
    return len(pages.union(misclassified))


def _restore_texts(transaction: Transaction, options: ExtractOptions, progress: Callable[[str, int], None]) -> int:
    """Assign the right text to revisions with an unaltered body, a new one if it is not stored. Returns the number of revisions."""
    count = 0
    store.revisions.clear_uncounted_texts(transaction, store.integrity.uncounted_revisions_with_texts(transaction))
    for rows in in_batches(
        store.integrity.read_in_ranges(partial(store.integrity.states, transaction), 1, store.integrity.last_revision_id(transaction))
    ):
        wrong = [row for row, faults in compare_revisions(rows, options, with_signatures=False) if WRONG_TEXT in faults]
        signed_batches = isolate_failures(wrong, partial(_sign_rows, options), _skip_revision)
        signed_rows = [signed_row for batch in signed_batches for signed_row in batch]
        text_ids = store.texts.find_by_digest(
            transaction, {signature.digest for _, signature in signed_rows if signature.digest is not None}
        )
        for row, signature in signed_rows:
            if signature.digest is None:
                store.revisions.clear_text(transaction, row.id)
                continue
            if signature.digest not in text_ids:
                text_ids[signature.digest] = transaction.next_id("texts")
                store.texts.insert(
                    transaction, [(text_ids[signature.digest], signature.digest, signature.characters, signature.signature, 0)]
                )
            store.revisions.set_texts(transaction, [(row.id, text_ids[signature.digest])])
        count += len(signed_rows)
        progress("digests", len(rows))
    return count


def _sign_rows(options: ExtractOptions, rows: Sequence[StateWithText]) -> list[tuple[StateWithText, SignedText]]:
    """Return each row with the signature of its body."""
    signatures = sign_bodies((row.body.decode() for row in rows), options)
    return [(row, s) for row, (s, _) in zip(rows, signatures, strict=True)]


def _skip_revision(row: StateWithText, error: Exception) -> None:
    """Log the error; a revision that causes an internal error is left unchanged."""
    log_error_once(error, f"signing the text of revision {row.id}")

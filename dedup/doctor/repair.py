"""`--repair`: what is derived is made again from the rest. Bodies, files and what was read of them are never touched."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from dedup import store
from dedup.changes import Rules
from dedup.config import Settings
from dedup.doctor import Finding, Surroundings, examine, histories
from dedup.doctor.context import Cure
from dedup.doctor.database import RESTORE
from dedup.doctor.records import TEXT, compare, parts, unlike
from dedup.errors import DatabaseDamagedError, DedupError
from dedup.maintenance import summaries
from dedup.maintenance.reindex import judge_again, reindex_signatures
from dedup.matching.matcher import Matcher
from dedup.scan.extract import Options, sign
from dedup.scan.isolation import each_apart, log_once, summary
from dedup.scan.mismatch_causes import settle_causes
from dedup.scan.page_history import settle_pages, settle_sightings
from dedup.scan.recipes import CHANGES, rules_of
from dedup.scan.session import matching_of, options_of
from dedup.search import make_again
from dedup.similarity.minhash import Signed
from dedup.store import Transaction, WritableDatabase
from dedup.store.connection import open_locked
from dedup.store.integrity import StateRow
from dedup.store.lock import Lock
from dedup.store.ownership import require_own
from dedup.text.normalise import printable

NOT_REPAIRED = "repair"


@dataclass(frozen=True, slots=True)
class Repaired:
    """What stands after the repair: findings, what was looked at, and what was done, in sentences."""

    findings: list[Finding]
    checked: dict[str, int]
    done: list[str]


def repair(
    settings: Settings, *, quick: bool = False, around: Surroundings | None = None, progress: Callable[[str, int], None] = lambda *_: None
) -> Repaired:
    """Examine, repair what can be repaired, and examine again; the writer's lock is held all the while.

    Raises DatabaseBusyError while somebody writes, and DatabaseUnreadableError where the lock cannot be made. A repair that fails
    leaves all as it was and is a finding.
    """
    path = settings.database.path
    if not os.path.exists(path):
        return Repaired(*examine(settings, quick=quick, around=around, progress=progress), [])
    require_own(path)
    lock = Lock(path, "doctor --repair")
    try:
        findings, checked = examine(settings, quick=quick, writing=True, around=around, progress=progress)
        cures = {f.cure for f in findings if f.cure is not None}
        if not cures:
            return Repaired(findings, checked, [])
        if any(f.bars for f in findings):
            what = "nothing was repaired: the file itself is damaged, and writing to it would lose more"
            return Repaired([Finding(NOT_REPAIRED, "error", what, RESTORE), *findings], checked, [])
        done: list[str] = []
        failed: list[Finding] = []
        try:
            with open_locked(path, lock) as database:
                done.extend(_cured(database, settings, cures, progress))  # what was done before an error stays told
        except Exception as error:
            if not isinstance(error, DedupError):
                log_once(error, "repairing the database")
            remedy = "What was done before stands, what was begun was taken back. See the findings of 'database' and 'records'."
            failed.append(Finding(NOT_REPAIRED, "error", f"the repair could not be finished: {_problem(error)}", remedy))
        findings, checked = examine(settings, quick=quick, writing=True, around=around, progress=progress)
        return Repaired(failed + findings, checked, done)
    finally:
        lock.release()


def _problem(error: Exception) -> str:
    return printable(str(error)) if isinstance(error, DedupError) else summary(error)


def _cured(database: WritableDatabase, settings: Settings, cures: set[Cure], progress: Callable[[str, int], None]) -> Iterator[str]:
    """Each cure, in a transaction of its own, told once it is committed."""
    if "schema" in cures:
        with database.transaction() as transaction:
            made = store.schema_repair.rebuild_schema(transaction)
        cures = {*cures, "summaries"}  # triggers keep what is due, of search too
        if settings.search.index:
            cures.add("search")
        yield f"parts of the schema that were made again: {', '.join(f'{d.kind} {d.name}' for d in made)}"
    if "sqlite" in cures:
        with database.transaction() as transaction:
            store.schema_repair.rebuild_indexes(transaction)
            if complaints := store.integrity.complaints(transaction):
                raise DatabaseDamagedError(path=transaction.path, problem=complaints[0])
        yield "SQLite's own indexes were made again"
    if "histories" in cures:
        with database.transaction() as transaction:
            number = _settle(transaction, rules_of(settings), progress)
        yield f"pages whose sightings and changes were computed again: {number:,}"
    options = options_of(settings)
    if "texts" in cures:
        with database.transaction() as transaction:
            number = _give_texts(transaction, options, progress)
        yield f"revisions that were given the text of their body: {number:,}"
    matcher = Matcher(database, matching_of(settings), settings.publishers.publishers())
    if cures & {"texts", "matches"}:
        counts = reindex_signatures(database, options, matcher, lambda n: progress("reindex", n))
        yield f"texts that were signed again: {counts['texts']:,}, matches found: {counts['matches']:,}; both indexes were made again"
    elif "indexes" in cures:
        for index in (database.index_path(), database.passages_path()):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(index)
        matcher.progress = lambda n: progress("indexes", n)
        matcher.open()
        if settings.duplicates.passages:
            matcher.open_passages()
        yield "the index files were made again"
    if "summaries" in cures:
        number = summaries.work_all_again(database, settings, lambda n: progress("summaries", n))
        yield f"pages that were summed up again, with their clusters: {number:,}"
    elif cures & {"histories", "texts", "matches"}:
        summaries.work_all_off(database, settings, lambda n: progress("summaries", n))  # of what was made again
    if "search" in cures:
        number = make_again(database, lambda n: progress("indexes", n))
        yield f"texts that were entered into the search index, which was made again: {number:,}"


def _settle(transaction: Transaction, rules: Rules, progress: Callable[[str, int], None]) -> int:
    """Correct sightings by their readings, then causes of mismatches, current sightings and changes; returns of how many pages."""
    corrected: set[int] = set()
    for sightings in histories.all_sightings(transaction):
        wrong = histories.wrong_sightings(transaction, sightings)
        settle_sightings(transaction, wrong)
        corrected.update(wrong.values())
        progress(histories.CHECK, len(sightings))
    for some in parts(store.integrity.pages_with_doubtful_readings(transaction)):
        pages = {reading.page for reading in histories.wrong_causes(transaction, some)}
        settle_causes(transaction, sorted(pages))
        corrected |= pages
    store.changes.delete(transaction, store.integrity.stray_changes(transaction))
    pages = corrected | set(store.integrity.pages_with_wrong_current_sighting(transaction))
    for some in parts(store.changes.pages_with_changes(transaction)):
        pages.update(unlike(transaction, some))
    settle_pages(transaction, sorted(pages), rules)
    misjudged: list[int] = []
    if store.settings.get(transaction, CHANGES) == rules.recipe:
        for some in parts(store.changes.pages_with_changes(transaction)):
            misjudged += histories.wrong_judgements(transaction, some, rules)[0]
            progress(histories.CHECK, len(some))
        judge_again(transaction, misjudged, rules)
    return len(pages.union(misjudged))


def _give_texts(transaction: Transaction, options: Options, progress: Callable[[str, int], None]) -> int:
    """Give revisions whose body is as it was the text of it, a new one where none is stored; returns to how many."""
    given = 0
    store.revisions.clear_uncounted_texts(transaction, store.integrity.uncounted_revisions_with_texts(transaction))
    for rows in parts(store.integrity.read_in_parts(partial(store.integrity.states, transaction), 1, store.integrity.last_revision(transaction))):
        wrong = [row for row, faults in compare(rows, options, signed=False) if TEXT in faults]
        signed = [one for some in each_apart(wrong, partial(_signed, options), _aside) for one in some]
        known = store.texts.find_by_digest(transaction, {s.digest for _, s in signed if s.digest is not None})
        for row, s in signed:
            if s.digest is None:
                store.revisions.clear_text(transaction, row.id)
                continue
            if s.digest not in known:
                known[s.digest] = transaction.next_id("texts")
                store.texts.insert(transaction, [(known[s.digest], s.digest, s.characters, s.signature, 0)])
            store.revisions.set_texts(transaction, [(row.id, known[s.digest])])
        given += len(signed)
        progress("digests", len(rows))
    return given


def _signed(options: Options, rows: Sequence[StateRow]) -> list[tuple[StateRow, Signed]]:
    """Each with the signature of its body."""
    signed = sign((row.body.decode() for row in rows), options)
    return [(row, s) for row, (s, _) in zip(rows, signed, strict=True)]


def _aside(row: StateRow, error: Exception) -> None:
    """A revision that the program fails on is left as it is."""
    log_once(error, f"signing the text of revision {row.id}")

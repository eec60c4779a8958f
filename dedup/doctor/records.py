"""Check rows against each other, and what is derived from bodies against the bodies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from more_itertools import chunked

from dedup import store
from dedup.doctor.context import CheckContext, Finding, RepairKind, Steps
from dedup.doctor.database import RESTORE_REMEDY
from dedup.errors import RecipeChangedError
from dedup.model import Sighting
from dedup.pipeline import history, recipes
from dedup.pipeline.extract import ExtractOptions, sign_bodies, state_digest
from dedup.pipeline.session import build_extract_options
from dedup.similarity import winnowing
from dedup.store import Database
from dedup.store.changes import fields_json
from dedup.store.integrity import CONTRADICTION_QUERIES, TEXTS_WITHOUT_FINGERPRINTS, RowReport, StateWithText
from dedup.store.rows import SightingRow
from dedup.text.sanitise import to_printable

RECORDS, DIGESTS = "records", "digests"
BATCH_SIZE = 500
"""Bodies in memory at once."""

_Row = TypeVar("_Row")

_REPAIR_REMEDY = "Run 'dedup doctor --repair' to rebuild it from the other rows."
_LOST_ROWS_REMEDY = "Rows were lost or changed outside of dedup. " + RESTORE_REMEDY
_URLS_REMEDY = "Run 'dedup reindex --urls' to assign every sighting to its page."
_CONTRADICTION_REPAIRS: dict[str, tuple[RepairKind | None, str]] = {
    "readings of another page's URL": (None, _URLS_REMEDY),
    TEXTS_WITHOUT_FINGERPRINTS: ("matches", _REPAIR_REMEDY),
    "revisions with a text but no counted reading": ("texts", _REPAIR_REMEDY),
    "indexed texts whose bodies were pruned": ("matches", _REPAIR_REMEDY),
    "matches with an outdated recipe": ("matches", _REPAIR_REMEDY),
    "pages without a summary of their current crawl": ("summaries", _REPAIR_REMEDY),
    "clusters whose size does not match their members": ("summaries", _REPAIR_REMEDY),
}
"""How the rows of `integrity.CONTRADICTION_QUERIES` are repaired; the others were lost."""


def has_current_recipes(context: CheckContext, *, with_urls: bool = True) -> bool:
    """Return whether the database was written with the configured settings: otherwise what depends on them cannot be compared or rebuilt.

    Without `with_urls`, only the settings of [duplicates] count."""
    return has_recipes(context, [recipes.MATCHES, *([recipes.URLS] if with_urls else [])])


def has_recipes(context: CheckContext, names: Sequence[str]) -> bool:
    """Return whether the stored recipes of these names are the configured ones."""
    try:
        recipes.require_recipes(context.readable_database, recipes.configured_recipes(context.settings, names))
    except RecipeChangedError:
        return False
    return True


def check_row_count(context: CheckContext) -> Iterator[Finding]:
    """Count the rows; finds nothing."""
    context.add_checked(RECORDS, store.integrity.count_rows(context.readable_database))
    yield from ()


def check_contradictions(kind: str, context: CheckContext) -> Iterator[Finding]:
    """Report the rows of one of the `integrity.CONTRADICTION_QUERIES`."""
    if kind == TEXTS_WITHOUT_FINGERPRINTS and not (context.settings.duplicates.passages and has_current_recipes(context, with_urls=False)):
        return
    rows = store.integrity.find_contradictions(context.readable_database, kind)
    if rows.count:
        repair_kind, remedy = _CONTRADICTION_REPAIRS.get(kind, (None, _LOST_ROWS_REMEDY))
        yield rows_finding(rows, kind, repair_kind if has_current_recipes(context) else None, remedy)


def check_current_sightings(context: CheckContext) -> Iterator[Finding]:
    """Find pages with a wrong current sighting."""
    if pages := store.integrity.pages_with_wrong_current_sighting(context.readable_database):
        yield rows_finding(name_pages(context, pages), "pages whose current sighting is not the latest counted one", "histories")


def check_changes(context: CheckContext) -> Iterator[Finding]:
    """Compare the stored changes with the sightings of their pages."""
    if stray := store.integrity.stray_changes(context.readable_database):
        yield rows_finding(RowReport(len(stray), ()), "changes that do not connect two counted sightings of their page", "histories")
    wrong: list[int] = []
    for pages in in_batches(store.changes.pages_with_changes(context.readable_database)):
        with context.readable_database.snapshot():
            wrong += find_wrong_changes(context.readable_database, pages)
    if wrong:
        yield rows_finding(name_pages(context, wrong), "pages whose changes differ from those between their sightings", "histories")


def check_urls(context: CheckContext) -> Iterator[Finding]:
    """Compare the URLs of pages with those that the rules of [urls] derive from their files. Skipped by `quick`."""
    if context.quick or not has_current_recipes(context):
        return
    canonicaliser = context.settings.urls.build_canonicaliser()
    wrong: dict[int, None] = {}
    for batch in in_batches(store.pages.all_aliases(context.readable_database)):
        stored_urls = store.pages.urls(context.readable_database, {page for _, page, *_ in batch})
        expected_urls = ((page, canonicaliser.page_url(spelling, oid, aid)) for _, page, spelling, oid, aid in batch if page in stored_urls)
        wrong |= dict.fromkeys(page for page, url in expected_urls if url is not None and url != stored_urls[page])
    if wrong:
        yield rows_finding(name_pages(context, list(wrong)), "pages whose URL differs from the one in their files", None, _URLS_REMEDY)


def check_last_commit(context: CheckContext) -> Iterator[Finding]:
    """Compare the last commit, which the indexes rely on, with the stored texts."""
    if store.batches.latest(context.readable_database).last_text_id < store.integrity.last_signed_text_id(context.readable_database):
        yield Finding(RECORDS, "error", "the last commit does not include all texts with a signature", _REPAIR_REMEDY, "matches")


RECORD_STEPS: Steps = {
    "the number of rows": check_row_count,
    **{kind: partial(check_contradictions, kind) for kind in CONTRADICTION_QUERIES},
    "addresses": check_urls,
    "current crawls": check_current_sightings,
    "changes": check_changes,
    "commits": check_last_commit,
}


def rows_finding(rows: RowReport, message: str, repair_kind: RepairKind | None, remedy: str = _REPAIR_REMEDY) -> Finding:
    """Return an error about rows, which names the first few of them."""
    names = ", ".join(map(to_printable, rows.examples)) + (", …" if rows.count > len(rows.examples) else "")
    return Finding(RECORDS, "error", f"{message}: {rows.count:,}" + (f" ({names})" if rows.examples else ""), remedy, repair_kind)


def name_pages(context: CheckContext, pages: Sequence[int]) -> RowReport:
    """Return the number of pages and the URLs of the first three."""
    return RowReport(len(pages), tuple(store.pages.urls(context.readable_database, pages[:3]).values()))


def find_wrong_changes(database: Database, pages: Sequence[int]) -> list[int]:
    """Return the pages whose stored changes differ from those that their sightings imply."""
    sightings, stored = store.sightings.of_pages(database, pages), store.changes.of_pages(database, pages)
    stored_changes = {
        page: {s: (c.previous_sighting_id, c.returned, c.fields) for s, c in of_page.items()} for page, of_page in stored.items()
    }
    return [page for page in pages if _expected_changes(sightings.get(page, [])) != stored_changes.get(page, {})]


def _expected_changes(rows: Sequence[SightingRow]) -> dict[int, tuple[int, bool, str]]:
    sightings = [Sighting(s.id, s.crawled_at, s.revision_id, s.digest, s.metadata) for s in rows if s.status == "counted"]
    return {c.sighting.id: (c.previous.id, c.returned, fields_json(c)) for c in history.find_changes(sightings)}


def in_batches(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Yield the rows in lists of `BATCH_SIZE`."""
    return chunked(rows, BATCH_SIZE)


def check_digests(context: CheckContext) -> Iterator[Finding]:
    """Compare every body with its digest, text, signature and fingerprints."""
    database = context.readable_database
    options = replace(build_extract_options(context.settings), passages=True)
    with_signatures = has_current_recipes(context, with_urls=False)
    wrong = {message: RowReport(0, ()) for message in _REVISION_REPAIRS}
    checked_count = 0
    rows = store.integrity.read_in_ranges(
        partial(store.integrity.states, database), 1, store.integrity.last_revision_id(database), BATCH_SIZE
    )
    for batch in in_batches(rows):
        for row, problems in compare_revisions(batch, options, with_signatures=with_signatures):
            for message in problems:
                previous = wrong[message]
                wrong[message] = RowReport(previous.count + 1, (*previous.examples, row.url)[:3])
        checked_count += len(batch)
        context.add_checked(DIGESTS, len(batch))
    for message, report in wrong.items():
        if report.count:
            repair_kind, remedy = _REVISION_REPAIRS[message]
            yield replace(rows_finding(report, message, repair_kind if has_current_recipes(context) else None, remedy), check=DIGESTS)
    if (unread_count := store.statistics.count(database, "revisions") - checked_count) > 0:
        message = f"revisions that could not be checked because they, or rows they refer to, cannot be read: {unread_count:,}"
        yield Finding(DIGESTS, "error", message, RESTORE_REMEDY)
    if not with_signatures:
        message = "texts were signed with other settings than those configured: their signatures and fingerprints were not compared"
        yield Finding(DIGESTS, "warning", message, "Run 'dedup reindex' first; 'configuration' below lists the settings.")


WRONG_DIGEST = "revisions whose digest does not match their title and body"
WRONG_TEXT = "revisions whose text does not match their body"
WRONG_SIGNATURE = "revisions whose text has a wrong signature or length"
WRONG_FINGERPRINTS = "revisions whose text has fingerprints that its body does not have"
_REVISION_REPAIRS: dict[str, tuple[RepairKind | None, str]] = {
    WRONG_DIGEST: (None, "A body was changed outside of dedup, perhaps by a failing disk. " + RESTORE_REMEDY),
    WRONG_TEXT: ("texts", _REPAIR_REMEDY),
    WRONG_SIGNATURE: ("matches", _REPAIR_REMEDY),
    WRONG_FINGERPRINTS: ("matches", _REPAIR_REMEDY),
}


def compare_revisions(
    rows: Sequence[StateWithText], options: ExtractOptions, *, with_signatures: bool
) -> Iterator[tuple[StateWithText, list[str]]]:
    """Yield each revision with its problems. If the body was altered nothing else is reported; a pruned body cannot be checked."""
    bodies = [_decode(row.body) for row in rows]
    intact = [not row.is_pruned and is_intact(row.digest, row.title, row.body) for row in rows]
    signatures = iter(sign_bodies((body or "" for body, ok in zip(bodies, intact, strict=True) if ok), options))
    for row, ok in zip(rows, intact, strict=True):
        if not ok:
            yield row, [] if row.is_pruned and not row.body else [WRONG_DIGEST]
            continue
        computed, fingerprints = next(signatures)
        problems = []
        if has_wrong_text(row, computed.digest):
            problems.append(WRONG_TEXT)
        elif with_signatures and row.text_digest is not None:
            if (row.characters, row.signature) != (computed.characters, computed.signature):
                problems.append(WRONG_SIGNATURE)
            if row.fingerprints is not None and not set(_unpack_fingerprints(row.fingerprints)) <= set(
                _unpack_fingerprints(fingerprints or b"")
            ):
                problems.append(WRONG_FINGERPRINTS)
        yield row, problems


def has_wrong_text(row: StateWithText, digest: bytes | None) -> bool:
    """Return whether a revision has a text other than that of its body, given by `digest`. Without a counted sighting it needs none."""
    if row.text_id is None:
        return row.is_counted and digest is not None
    return row.text_digest != digest


def is_intact(digest: bytes, title: bytes, body: bytes) -> bool:
    """Return whether a state's digest matches its title and body, given as the stored bytes."""
    texts = _decode(title), _decode(body)
    return texts[0] is not None and texts[1] is not None and state_digest(texts[0], texts[1]) == digest


def _decode(encoded: bytes) -> str | None:
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        return None


def _unpack_fingerprints(packed: bytes) -> list[int]:
    fingerprints: list[int] = winnowing.unpack(packed[: len(packed) // winnowing.FINGERPRINT_BYTES * winnowing.FINGERPRINT_BYTES]).tolist()
    return fingerprints if len(packed) % winnowing.FINGERPRINT_BYTES == 0 else [*fingerprints, -1]

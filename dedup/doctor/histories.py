"""Stored sightings, causes of mismatches and judgements of changes against those that readings and bodies give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from dedup import store
from dedup.changes import Rules
from dedup.doctor.context import Case, Finding, Steps
from dedup.doctor.records import finding, is_intact, named_pages, parts, written_with
from dedup.scan import recipes
from dedup.scan.isolation import each_apart
from dedup.scan.mismatch_causes import cause_differences
from dedup.scan.page_history import assessed, misjudged, worth_differences
from dedup.store import Database
from dedup.store.rows import DoubtfulReading

CHECK = "histories"
SLICE = 500
"""Sightings, or pages, compared at once."""

WORTH = "sightings with another standing, check, metadata or source of their crawl time than their readings give"
CAUSE = "mismatched readings with another cause than the history of their page gives"
JUDGEMENT = "pages whose changes have another judgement than the settings in force give"
_REMEDY = "Run 'dedup doctor --repair': it is computed again from the records."
_JUDGE = "Run 'dedup doctor --repair' or 'dedup reindex --changes': they are judged again."


def wrong_sightings(database: Database, sightings: Sequence[int]) -> dict[int, int]:
    """Sighting → its page, of those that are not stored as their readings make them. Sightings without readings, or with a reading that
    lost its metadata, are left out: nothing can be computed of them."""
    places, worths = assessed(database, sightings)
    wrong = [s for s, _ in worth_differences(places, worths)]
    lost = store.integrity.sightings_with_lost_metadata(database, wrong)
    return {s: places[s].page for s in wrong if s not in lost}


def all_sightings(database: Database) -> Iterator[list[int]]:
    """The keys of all sightings in parts, in order."""
    last = 0
    while some := store.integrity.sighting_ids(database, after=last, most=SLICE):
        last = some[-1]
        yield some


def sightings(case: Case) -> Iterator[Finding]:
    """Every sighting against its readings."""
    number, pages = 0, dict[int, None]()
    for some in all_sightings(case.asked):
        with case.asked.snapshot():
            wrong = wrong_sightings(case.asked, some)
        number += len(wrong)
        pages |= dict.fromkeys(wrong.values())
        case.look(CHECK, len(some))
    if number:
        yield _finding(case, list(pages), number, WORTH)


def causes(case: Case) -> Iterator[Finding]:
    """Every mismatched reading against the history of its page."""
    number, pages = 0, dict[int, None]()
    for some in parts(store.integrity.pages_with_doubtful_readings(case.asked)):
        with case.asked.snapshot():
            wrong = wrong_causes(case.asked, some)
        number += len(wrong)
        pages |= dict.fromkeys(reading.page for reading in wrong)
        case.progress(CHECK, len(some))
    if number:
        yield _finding(case, list(pages), number, CAUSE)


def judgements(case: Case) -> Iterator[Finding]:
    """Every change, judged again and compared."""
    rules = recipes.rules_of(case.settings)
    if not written_with(case, [recipes.CHANGES]):
        return  # every change is judged again once the settings in force are those of the database
    wrong: list[int] = []
    failed: list[int] = []
    for some in parts(store.changes.pages_with_changes(case.asked)):
        with case.asked.snapshot():
            these, those = wrong_judgements(case.asked, some, rules)
        wrong += these
        failed += those
        case.progress(CHECK, len(some))
    if wrong:
        yield _finding(case, wrong, len(wrong), JUDGEMENT, _JUDGE)
    if failed:
        what = "pages whose changes could not be judged, because the program fails on them"
        told = finding(named_pages(case, failed), what, None, "If nothing is found in 'database', report it as an error of dedup.")
        yield replace(told, check=CHECK, severity="warning")


def wrong_judgements(database: Database, pages: Sequence[int], rules: Rules) -> tuple[list[int], list[int]]:
    """(pages with a change that is stored with another judgement, pages that the program fails on). Pages with an altered body are left
    out: nothing may be computed from it."""
    failed: list[int] = []
    wrong = each_apart(_intact(database, pages), partial(_misjudged, database, rules), lambda page, _: failed.append(page))
    return [page for some in wrong for page in some], failed


def wrong_causes(database: Database, pages: Sequence[int]) -> list[DoubtfulReading]:
    """Readings of these pages that are stored with another cause; pages with an altered body are left out."""
    return [reading for reading, _ in cause_differences(database, _intact(database, pages))]


def _intact(database: Database, pages: Sequence[int]) -> list[int]:
    """Those of the pages whose bodies are what their digests were made from."""
    altered = {page for page, digest, title, body in store.integrity.states_of_pages(database, pages) if not is_intact(digest, title, body)}
    return [page for page in pages if page not in altered]


def _misjudged(database: Database, rules: Rules, pages: Sequence[int]) -> list[int]:
    return misjudged(database, pages, rules)


def _finding(case: Case, pages: Sequence[int], number: int, what: str, remedy: str = _REMEDY) -> Finding:
    told = replace(named_pages(case, pages), number=number)
    return replace(finding(told, what, "histories", remedy), check=CHECK)


STEPS: Steps = {"sightings": sightings, "causes of mismatches": causes, "judgements of changes": judgements}

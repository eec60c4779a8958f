"""Rows against each other, and what is stored of bodies against the bodies themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TypeVar

from dedup import store
from dedup.doctor.context import Case, Cure, Finding, Steps
from dedup.doctor.database import RESTORE
from dedup.errors import RecipeChangedError
from dedup.model import Sighting
from dedup.scan import history, recipes
from dedup.scan.extract import Options, sign, state_digest
from dedup.scan.session import options_of
from dedup.similarity import winnowing
from dedup.store import Database
from dedup.store.changes import fields_json
from dedup.store.integrity import MISFITS, StateRow, Told
from dedup.store.rows import KeptSighting
from dedup.text.normalise import printable

RECORDS, DIGESTS = "records", "digests"
CHUNK = 500
"""Bodies in memory at once."""

_Row = TypeVar("_Row")

_CURED = "Run 'dedup doctor --repair': it is made again from the rest."
_UNCURED = "Rows were lost or altered by something else than dedup. " + RESTORE
_ADDRESSED = "Run 'dedup reindex --urls': it puts every crawl under the page it belongs to."
_CURES: dict[str, tuple[Cure | None, str]] = {
    "readings of another page's address": (None, _ADDRESSED),
    "texts with a signature and without passages": ("matches", _CURED),
    "states with a text though only readings that do not count show them": ("texts", _CURED),
    "texts that are looked up though their bodies were pruned": ("matches", _CURED),
    "matches by other rules than those in force": ("matches", _CURED),
    "pages without a summary of their current crawl": ("summaries", _CURED),
    "clusters that do not have the articles they tell of": ("summaries", _CURED),
}
"""What is repaired, or done otherwise, of `auditing.MISFITS`; the rest was lost."""


def in_force(case: Case, *, addresses: bool = True) -> bool:
    """Whether the database was written by the settings that are configured; only then can what depends on them be compared or
    made again. Without `addresses`, by those of [duplicates] alone."""
    return written_with(case, [recipes.MATCHES, *([recipes.URLS] if addresses else [])])


def written_with(case: Case, names: Sequence[str]) -> bool:
    """Whether the stored recipes of these names are those of the configuration."""
    try:
        recipes.require(case.asked, recipes.configured(case.settings, names))
    except RecipeChangedError:
        return False
    return True


def counted(case: Case) -> Iterator[Finding]:
    """How many rows there are."""
    case.look(RECORDS, store.integrity.count_rows(case.asked))
    yield from ()


def misfits(what: str, case: Case) -> Iterator[Finding]:
    """Rows of one kind of `auditing.MISFITS`."""
    if "passages" in what and not (case.settings.duplicates.passages and in_force(case, addresses=False)):
        return
    told = store.integrity.misfits(case.asked, what)
    if told.number:
        cure, remedy = _CURES.get(what, (None, _UNCURED))
        yield finding(told, what, cure if in_force(case) else None, remedy)


def current(case: Case) -> Iterator[Finding]:
    """What pages show now."""
    if pages := store.integrity.pages_with_wrong_current_sighting(case.asked):
        yield finding(named_pages(case, pages), "pages whose current crawl is not the latest that counts", "histories")


def changes(case: Case) -> Iterator[Finding]:
    """Stored changes against those that the crawls make."""
    if stray := store.integrity.stray_changes(case.asked):
        yield finding(Told(len(stray), ()), "changes that do not lie between two crawls of their page that count", "histories")
    wrong: list[int] = []
    for pages in parts(store.changes.pages_with_changes(case.asked)):
        with case.asked.snapshot():
            wrong += unlike(case.asked, pages)
    if wrong:
        yield finding(named_pages(case, wrong), "pages whose changes are not those between their crawls", "histories")


def addresses(case: Case) -> Iterator[Finding]:
    """URLs of pages against those that the rules of [urls] make of the addresses in their files. Left out by `quick`."""
    if case.quick or not in_force(case):
        return
    urls = case.settings.urls.canonicaliser()
    wrong: dict[int, None] = {}
    for some in parts(store.pages.all_aliases(case.asked)):
        shown = store.pages.urls(case.asked, {page for _, page, *_ in some})
        made = ((page, urls.page(spelling, oid, aid)) for _, page, spelling, oid, aid in some if page in shown)
        wrong |= dict.fromkeys(page for page, url in made if url is not None and url != shown[page])
    if wrong:
        yield finding(named_pages(case, list(wrong)), "pages with another URL than the addresses in their files give", None, _ADDRESSED)


def commits(case: Case) -> Iterator[Finding]:
    """What the indexes go by."""
    if store.batches.latest(case.asked)[1] < store.integrity.last_signed_text(case.asked):
        yield Finding(RECORDS, "error", "the last commit does not count all texts that have a signature", _CURED, "matches")


RECORD_STEPS: Steps = {
    "the number of rows": counted,
    **{what: partial(misfits, what) for what in MISFITS},
    "addresses": addresses,
    "current crawls": current,
    "changes": changes,
    "commits": commits,
}


def finding(told: Told, what: str, cure: Cure | None, remedy: str = _CURED) -> Finding:
    """An error about rows, with the first of their names."""
    names = ", ".join(map(printable, told.names)) + (", …" if told.number > len(told.names) else "")
    return Finding(RECORDS, "error", f"{what}: {told.number:,}" + (f" ({names})" if told.names else ""), remedy, cure)


def named_pages(case: Case, pages: Sequence[int]) -> Told:
    """The number of pages, with the URLs of the first."""
    return Told(len(pages), tuple(store.pages.urls(case.asked, pages[:3]).values()))


def unlike(database: Database, pages: Sequence[int]) -> list[int]:
    """Those of the pages whose stored changes are not what their sightings make."""
    kept, stored = store.sightings.of_pages(database, pages), store.changes.of_pages(database, pages)
    told = {page: {s: (c.previous, c.returned, c.fields) for s, c in of_page.items()} for page, of_page in stored.items()}
    return [page for page in pages if _changes(kept.get(page, [])) != told.get(page, {})]


def _changes(kept: Sequence[KeptSighting]) -> dict[int, tuple[int, bool, str]]:
    sightings = [Sighting(s.id, s.crawled_at, s.revision_id, s.digest, s.metadata) for s in kept if s.standing == "counted"]
    return {c.sighting.id: (c.previous.id, c.returned, fields_json(c)) for c in history.changes(sightings)}


def parts(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """So many rows at a time."""
    rest = iter(rows)
    while part := list(islice(rest, CHUNK)):
        yield part


def digests(case: Case) -> Iterator[Finding]:
    """Every body against what is stored of it."""
    database = case.asked
    options = replace(options_of(case.settings), passages=True)
    signed = in_force(case, addresses=False)
    wrong = {what: Told(0, ()) for what in _WRONG}
    read = 0
    rows = store.integrity.read_in_parts(partial(store.integrity.states, database), 1, store.integrity.last_revision(database), CHUNK)
    for some in parts(rows):
        for row, faults in compare(some, options, signed=signed):
            for what in faults:
                told = wrong[what]
                wrong[what] = Told(told.number + 1, (*told.names, row.url)[:3])
        read += len(some)
        case.look(DIGESTS, len(some))
    for what, told in wrong.items():
        if told.number:
            cure, remedy = _WRONG[what]
            yield replace(finding(told, what, cure if in_force(case) else None, remedy), check=DIGESTS)
    if (unread := store.statistics.count(database, "revisions") - read) > 0:
        what = f"revisions that could not be checked, since they or what belongs to them cannot be read: {unread:,}"
        yield Finding(DIGESTS, "error", what, RESTORE)
    if not signed:
        what = "texts were signed by other settings than those configured: their signatures and passages were not compared"
        yield Finding(DIGESTS, "warning", what, "Run 'dedup reindex' first; 'configuration' below tells which settings.")


STATE = "revisions whose title or body is not what their digest was made from"
TEXT = "revisions whose text is not that of their body"
SIGNATURE = "revisions whose text has another signature or length than their body"
KEYS = "revisions whose text is looked up by passages that their body does not have"
_WRONG: dict[str, tuple[Cure | None, str]] = {
    STATE: (None, "A body was altered by something else than dedup, the disk perhaps. " + RESTORE),
    TEXT: ("texts", _CURED),
    SIGNATURE: ("matches", _CURED),
    KEYS: ("matches", _CURED),
}


def compare(rows: Sequence[StateRow], options: Options, *, signed: bool) -> Iterator[tuple[StateRow, list[str]]]:
    """Each revision with what is wrong with what is stored of it; of one whose body is altered nothing else is told, and of one
    whose body was pruned nothing can be."""
    bodies = [_text(row.body) for row in rows]
    intact = [not row.pruned and is_intact(row.digest, row.title, row.body) for row in rows]
    made = iter(sign((body or "" for body, ok in zip(bodies, intact, strict=True) if ok), options))
    for row, ok in zip(rows, intact, strict=True):
        if not ok:
            yield row, [] if row.pruned and not row.body else [STATE]
            continue
        own, keys = next(made)
        wrong = []
        if has_other_text(row, own.digest):
            wrong.append(TEXT)
        elif signed and row.text_digest is not None:
            if (row.characters, row.signature) != (own.characters, own.signature):
                wrong.append(SIGNATURE)
            if row.keys is not None and not set(_keys(row.keys)) <= set(_keys(keys or b"")):
                wrong.append(KEYS)
        yield row, wrong


def has_other_text(row: StateRow, digest: bytes | None) -> bool:
    """Whether a revision has another text than its body, whose text has this digest. One that no crawl counts needs none."""
    if row.text_id is None:
        return row.counted and digest is not None
    return row.text_digest != digest


def is_intact(digest: bytes, title: bytes, body: bytes) -> bool:
    """Whether title and body, as the bytes that are stored, are what the digest of their state was made from."""
    texts = _text(title), _text(body)
    return texts[0] is not None and texts[1] is not None and state_digest(texts[0], texts[1]) == digest


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _keys(stored: bytes) -> list[int]:
    found: list[int] = winnowing.unpack(stored[: len(stored) // winnowing.KEY_BYTES * winnowing.KEY_BYTES]).tolist()
    return found if len(stored) % winnowing.KEY_BYTES == 0 else [*found, -1]

"""The half of the work that owns the transaction: what a batch of files says lands together or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dedup import digests, text, times
from dedup.ingest import history
from dedup.ingest.examine import Examined
from dedup.ingest.matching import Matcher
from dedup.ingest.tally import Tally
from dedup.model import Article, Cause, CheckStatus, Match, Sighting, Standing
from dedup.store import Writer
from dedup.store.rows import FileRow, KeptSighting
from dedup.store.writing import fields_json
from dedup.urls import without_credentials

_RANK: dict[Standing, int] = {"counted": 0, "superseded": 1, "truncated": 2, "overruled": 3}
_CHECK_RANK: dict[CheckStatus, int] = {"verified": 0, "unclaimed": 1, "mismatched": 2}


@dataclass(slots=True)
class _Batch:
    """What a batch leaves to be settled once all its files are in."""

    pages: dict[int, None] = field(default_factory=dict)
    sightings: dict[int, None] = field(default_factory=dict)
    counted: list[tuple[int, int, Examined]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


def record(store: Writer, examined: Sequence[Examined], matcher: Matcher, tally: Tally, tell: Callable[[str], None] | None = None) -> None:
    """Take a batch into the database in one transaction; `tally` is added to once it is committed, and `tell` hears of each
    mismatch, fault, change and match.

    Raises what SQLite raises; nothing of the batch is recorded then, and the same batch can be recorded again.
    """
    count = Tally()
    now = times.now()
    batch = _Batch()
    try:
        with store.transaction():
            for e in examined:
                _file(store, e, batch, count, now)
            for sighting in batch.sightings:
                settle_sighting(store, sighting)
            new, again = _texts(store, batch, count)
            for page in batch.pages:
                changed = settle_page(store, page)
                count.changes += changed
                if changed and tell:
                    batch.told.append(f"changed: {text.printable(store.page_url(page))}")
            for match in matcher.find(new, again):
                if store.add_match(match, matcher.matching.recipe, now):
                    count.matches[match.relation] += 1
                    if tell:
                        batch.told.append(_told_match(store, match))
    except BaseException:
        matcher.forget()
        raise
    tally.add(count)
    if tell:
        for line in batch.told:
            tell(line)


def _told_match(store: Writer, match: Match) -> str:
    a, b = (text.printable(url) for url in store.urls_of_texts(match.a, match.b))
    return f"{match.relation} duplicate, similarity {match.similarity:.2f}: {a} and {b}"


def _file(store: Writer, e: Examined, batch: _Batch, count: Tally, now: str) -> None:
    found = e.found
    if e.outcome == "vanished":
        row = store.file(found.directory, found.folder, found.name)
        if row and not row.gone:
            store.mark_gone([row.id], now)
            count.gone += 1
        return
    if e.outcome == "unsettled":
        count.unsettled += 1
        return
    if e.outcome in ("symlink", "special"):
        count.ignored[e.outcome] += 1
        return
    row = store.file(found.directory, found.folder, found.name)
    same = row is not None and e.content is not None and row.content == e.content
    if row is not None and same and row.is_article == (e.article is not None):
        store.update_file(row.id, found.stat, e.content)
        if row.gone:
            store.set_faults(found.directory, found.relative, _shown(e), e.faults, now)
        if e.article is None:
            count.faults += 1
        else:
            count.unchanged += 1
        return
    if row is None:
        file = store.add_file(found.directory, found.folder, found.name, _shown(e), found.stat, e.content, now)
    else:
        file = row.id
        store.update_file(file, found.stat, e.content)
    store.set_faults(found.directory, found.relative, _shown(e), e.faults, now)
    batch.told += [f"fault: {text.printable_path(found.path)}: {text.printable(fault.message)}" for fault in e.faults]
    if e.article is None or e.url is None:
        store.set_file_reading(file, None)
        count.faults += 1
        return
    _article(store, e, e.article, e.url, file, row, batch, count, now)


def _shown(e: Examined) -> str:
    return text.printable_path(e.found.relative)


def _article(
    store: Writer, e: Examined, article: Article, url: str, file: int, row: FileRow | None, batch: _Batch, count: Tally, now: str
) -> None:
    m = article.metadata
    page, _ = store.page(url)
    alias = store.alias(page, without_credentials(article.url), m.oid, m.aid)
    metadata = store.metadata(m)
    revision, new_state = store.revision(page, e.state, article.title, article.body)
    crawled_at = article.crawled_at or store.first_crawled_at(file, page, revision) or times.from_ns(e.found.stat.mtime_ns)
    status, cause, standing = article.check.status, article.check.cause, _standing(article)
    for prior in store.prior_readings(file, page, crawled_at, revision):
        if prior.standing == "overruled":
            continue
        if prior.check_status == "verified":
            status, cause, standing = "mismatched", "altered", "overruled"
        elif prior.check_status == "unclaimed":
            store.supersede_reading(prior.id)
            batch.sightings[prior.sighting_id] = None
        else:
            store.delete_reading(prior.id)
            batch.sightings[prior.sighting_id] = None
    from_ = "file" if article.crawled_at else "mtime"
    sighting, new = store.sighting(page, crawled_at, revision, from_, metadata)
    reading = store.reading(file, sighting, alias, metadata, article, status, cause, standing, now)
    store.set_file_reading(file, reading)
    batch.pages[page] = None
    batch.sightings[sighting] = None
    if standing == "counted":
        batch.counted.append((page, revision, e))
        count.revisions += new_state
    count.sightings += new
    count.checks[status] += 1
    if status == "mismatched":
        batch.told.append(f"mismatched content_hash ({cause}): {text.printable_path(e.found.path)}")
    if row is not None:
        count.changed += 1
    elif not new and _moved(store, e, sighting, file, now):
        count.moved += 1
    else:
        count.new += 1


def _standing(article: Article) -> Standing:
    return "truncated" if article.check.cause == "truncated" else "counted"


def _moved(store: Writer, e: Examined, sighting: int, file: int, now: str) -> bool:
    """Whether the same bytes were last seen at another path of this crawl directory that is no longer there."""
    assert e.content is not None
    gone = False
    for other, directory, folder, name, known_gone in store.files_of_sighting(sighting, e.content, file):
        if directory != e.found.directory:
            continue
        if not known_gone:
            if os.path.lexists(os.path.join(e.found.root, folder, name)):
                return False
            store.mark_gone([other], now)
        gone = True
    return gone


def _texts(store: Writer, batch: _Batch, count: Tally) -> tuple[list[int], list[int]]:
    """Give counted revisions their texts; returns (new texts, known texts that a first or second page has come to show)."""
    new: dict[int, None] = {}
    again: dict[int, None] = {}
    for page, revision, e in batch.counted:
        if e.text is None or not store.lacks_text(revision):
            continue
        number, made = store.add_text(e.text, e.characters, e.signature)
        before = store.pages_of_text(number)
        further = not store.shows(page, number)
        store.set_revision_text(revision, number)
        if further and before:
            count.matches["exact"] += 1
            batch.told.append(
                f"exact duplicate: {text.printable(e.url or '')} has the text of {text.printable(store.page_url(min(before)))}"
            )
        if made:
            new[number] = None
        elif further and len(before) < 2 and number not in new:
            again[number] = None
    return list(new), list(again)


def settle_sighting(store: Writer, sighting: int) -> None:
    """A sighting is worth what the best of its readings is; one without readings is forgotten."""
    readings = store.readings_of(sighting)
    if not readings:
        store.delete_sighting(sighting)
        return
    standing, status, cause, _, _ = min(readings, key=lambda r: (_RANK[r[0]], _CHECK_RANK[r[1]], r[2] or ""))
    store.update_sighting(sighting, standing, status, cause, readings[0][3])


def settle_page(store: Writer, page: int) -> int:
    """Put a page's current sighting, its mismatches' causes and its changes right after its sightings changed.

    Returns how many changes of state or metadata are new.
    """
    kept = store.kept_sightings(page)
    counted = [s for s in kept if s.standing == "counted"]
    _settle_causes(store, counted)
    store.set_current(page, counted[-1].id if counted else None)
    if len(kept) < 2:
        return 0
    wanted = {
        c.sighting.id: c for c in history.changes([Sighting(s.id, s.crawled_at, s.revision_id, s.digest, s.metadata) for s in counted])
    }
    stored = store.changes_of(page)
    added = 0
    for sighting, (previous, returned, fields) in stored.items():
        change = wanted.get(sighting)
        if change and (change.previous.id, change.returned, fields_json(change)) == (previous, returned, fields):
            del wanted[sighting]
        else:
            store.delete_change(sighting)
    for sighting, change in wanted.items():
        title_before, body_before = store.body_of_revision(change.previous.revision)
        title, body = store.body_of_revision(change.sighting.revision)
        store.add_change(
            page,
            change,
            title=title != title_before,
            body=body != body_before,
            body_similarity=1.0 if body == body_before else text.body_similarity(body_before, body),
        )
        added += sighting not in stored
    return added


def _settle_causes(store: Writer, counted: Sequence[KeptSighting]) -> None:
    """`stale` where a mismatched claim is the digest of an earlier revision, `altered` where it is not."""
    for i, s in enumerate(counted):
        if s.check_status != "mismatched" or s.check_cause not in ("altered", "stale"):
            continue
        claims = frozenset(c for c in (digests.claim_hex(c) for c in store.claims_of(s.id)) if c)
        earlier = {o.revision_id for o in counted[:i] if o.crawled_at < s.crawled_at and o.revision_id != s.revision_id}

        stale = any(claims & _claimable(store, revision, claims) for revision in sorted(earlier))
        cause: Cause = "stale" if stale else "altered"
        if cause != s.check_cause:
            store.set_cause(s.id, cause)


def _claimable(store: Writer, revision: int, claims: frozenset[str]) -> frozenset[str]:
    """The digests of a revision that could be claimed in the form these claims have."""
    title, body = store.body_of_revision(revision)
    recipes = {r for claim in claims for r in digests.fitting(tuple(digests.RECIPES.values()), claim)}
    return frozenset(digests.digest(r, title, body, digests.escape(body)) for r in recipes)

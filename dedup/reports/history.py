"""What a page said, and when."""

from __future__ import annotations

import json
from typing import Any

from dedup import store
from dedup.changes import diff
from dedup.changes.diff import render
from dedup.errors import AmbiguousPageError, NoRevisionError, UnknownPageError
from dedup.similarity.clustering import CHECKS
from dedup.store import Database
from dedup.store.rows import RevisionRow
from dedup.text.urls import Canonicaliser, shown, without_credentials

STATE_RECIPE = "sha256(title+ff+body)"


def find_page(database: Database, urls: Canonicaliser, wanted: str, path: tuple[bytes, bytes, bytes] | None) -> int:
    """The page that a URL in any spelling, an article's id or the path of a file (crawl directory, folder, name) stands for.

    Raises UnknownPageError, or AmbiguousPageError for an id that several pages carry.
    """
    canonical = urls.canonical(wanted)
    by_url = store.pages.get_by_url(database, canonical) if canonical else None
    if by_url is not None:
        return by_url
    found = store.pages.find_by_article_id(database, wanted) if not any("\ud800" <= c <= "\udfff" for c in wanted) else []
    if not found and path is not None:
        found = store.pages.find_by_path(database, *path)
    if not found:
        raise UnknownPageError(wanted=without_credentials(wanted))
    if len(found) > 1:
        raise AmbiguousPageError(wanted=without_credentials(wanted), urls=", ".join(url for _, url in found))
    return found[0][0]


def revision(number: int, row: RevisionRow) -> dict[str, Any]:
    """A state of a page as every command shows it, by its shown number."""
    return {
        "revision": number,
        "title": row.title,
        "digest": f"{STATE_RECIPE}:{row.digest.hex()}",
        "check": CHECKS[row.check_rank],
        "first_crawled_at": row.first_crawled_at,
        "last_crawled_at": row.last_crawled_at,
        "sightings": row.sightings,
        "pruned_at": row.pruned_at,
    }


def history(database: Database, page: int) -> dict[str, Any]:
    """A page's revisions, sightings and changes, by crawl time. Revision numbers are ordinals worked out now."""
    revisions = store.revisions.of_page(database, page)
    number = {r.id: i for i, r in enumerate(revisions, 1)}
    changes = store.changes.of_page(database, page)
    return {
        "url": store.pages.url(database, page),
        "aliases": sorted({shown(spelling) for spelling in store.pages.aliases(database, page)} - {store.pages.url(database, page)}),
        "revisions": [revision(n, r) for n, r in enumerate(revisions, 1)],
        "timeline": [
            {
                "crawled_at": t.crawled_at,
                "revision": number.get(t.revision_id) if t.standing == "counted" else None,
                "path": t.path,
                "check": t.check_status,
                "cause": t.check_cause,
                "standing": t.standing,
                "crawled_at_from": t.crawled_at_from,
                "gone": t.gone,
            }
            for t in store.sightings.timeline(database, page)
        ],
        "changes": [
            {
                "from": number[c.from_revision],
                "to": number[c.to_revision],
                "at": c.at,
                "title_changed": c.title_changed,
                "body_similarity": None if c.body_similarity is None else round(c.body_similarity, 4),
                "returned": c.returned,
                "kind": c.kind,
                "severity": c.severity,
                "stealth": c.stealth,
                "corrected": c.corrected,
            }
            for c in changes
            if c.from_revision != c.to_revision
        ],
        "metadata_changes": [
            {"at": c.at, "field": name, "before": before, "after": after}
            for c in changes
            for name, (before, after) in json.loads(c.fields).items()
        ],
    }


def difference(before: str, after: str) -> list[diff.Operation]:
    """What changed between two texts as they are stored."""
    return diff.compare(diff.clean(before), diff.clean(after))


def compare_revisions(database: Database, page: int, from_: int | None, to: int | None) -> dict[str, Any]:
    """What changed between two revisions of a page, by their shown numbers; the last two by crawl time where none are named. The
    `body` is None where that of either was pruned."""
    revisions = store.revisions.of_page(database, page)
    changes = [c for c in store.changes.of_page(database, page) if c.from_revision != c.to_revision]
    number = {r.id: i for i, r in enumerate(revisions, 1)}
    url = store.pages.url(database, page)
    if from_ is None and to is None and changes:
        from_, to = number[changes[-1].from_revision], number[changes[-1].to_revision]
    to = to if to is not None else len(revisions)
    from_ = from_ if from_ is not None else max(1, to - 1)
    for wanted in (from_, to):
        if not 1 <= wanted <= len(revisions):
            raise NoRevisionError(url=url, wanted=wanted, have=f"1 to {len(revisions)}" if revisions else "none")
    before, after = store.revisions.body(database, revisions[from_ - 1].id), store.revisions.body(database, revisions[to - 1].id)
    known = before.body is not None and after.body is not None
    return {
        "url": url,
        "from": from_,
        "to": to,
        "title": render.as_json(difference(before.title, after.title)),
        "body": render.as_json(difference(before.body or "", after.body or "")) if known else None,
        "pruned_at": {"from": before.pruned_at, "to": after.pruned_at},
    }

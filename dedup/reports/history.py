"""History of a page: revisions, timeline, changes, and differences between revisions."""

from __future__ import annotations

import json
import os
from typing import Any

from dedup import store
from dedup.changes import diff
from dedup.changes.diff import render
from dedup.config import Settings
from dedup.errors import AmbiguousPageError, UnknownPageError, UnknownRevisionError
from dedup.similarity.clustering import CHECK_ORDER
from dedup.store import Database
from dedup.store.rows import RevisionRow
from dedup.text.urls import Canonicaliser, strip_credentials, to_display_url

STATE_RECIPE = "sha256(title+ff+body)"
"""Recipe of the digest that identifies a state of a page: title and body, joined by the byte FF."""


def find_page(database: Database, urls: Canonicaliser, reference: str, path: tuple[bytes, bytes, bytes] | None) -> int:
    """Return the id of the page that `reference` names: a URL in any spelling or an article's id.

    `path` (crawl directory, folder, name) is tried if it is neither.

    Raises UnknownPageError, or AmbiguousPageError for an id that several pages have.
    """
    canonical = urls.canonicalise(reference)
    by_url = store.pages.get_by_url(database, canonical) if canonical else None
    if by_url is not None:
        return by_url
    matches = store.pages.find_by_article_id(database, reference) if not any("\ud800" <= c <= "\udfff" for c in reference) else []
    if not matches and path is not None:
        matches = store.pages.find_by_path(database, *path)
    if not matches:
        raise UnknownPageError(page=strip_credentials(reference))
    if len(matches) > 1:
        raise AmbiguousPageError(page=strip_credentials(reference), urls=", ".join(url for _, url in matches))
    return matches[0][0]


def resolve_page(database: Database, settings: Settings, reference: str) -> int:
    """Return the id of the page that a URL, an article's id or the path of one of its files names.

    Raises UnknownPageError, AmbiguousPageError.
    """
    path = os.path.abspath(os.fsencode(reference))
    path_parts = None
    for directory in store.directories.paths(database):
        if path.startswith(directory + b"/"):
            folder, _, name = path[len(directory) + 1 :].rpartition(b"/")
            path_parts = (directory, folder, name)
    return find_page(database, settings.urls.build_canonicaliser(), reference, path_parts)


def revision_as_json(number: int, row: RevisionRow) -> dict[str, Any]:
    """Return a revision as JSON. `number` is its ordinal among the revisions of the page."""
    return {
        "revision": number,
        "title": row.title,
        "state_digest": f"{STATE_RECIPE}:{row.digest.hex()}",
        "check_status": CHECK_ORDER[row.check_rank],
        "first_crawled_at": row.first_crawled_at,
        "last_crawled_at": row.last_crawled_at,
        "sightings": row.sighting_count,
        "pruned_at": row.pruned_at,
    }


def page_history(database: Database, page: int) -> dict[str, Any]:
    """Return a page's revisions, timeline and changes, ordered by crawl time.

    Revision numbers are ordinals, computed on each call.
    """
    revisions = store.revisions.of_page(database, page)
    numbers = {r.id: i for i, r in enumerate(revisions, 1)}
    changes = store.changes.of_page(database, page)
    return {
        "url": store.pages.url(database, page),
        "aliases": sorted(
            {to_display_url(spelling) for spelling in store.pages.aliases(database, page)} - {store.pages.url(database, page)}
        ),
        "revisions": [revision_as_json(n, r) for n, r in enumerate(revisions, 1)],
        "timeline": [
            {
                "crawled_at": t.crawled_at,
                "revision": numbers.get(t.revision_id) if t.status == "counted" else None,
                "path": t.path,
                "check_status": t.check_status,
                "check_cause": t.check_cause,
                "status": t.status,
                "crawled_at_source": t.crawled_at_source,
                "gone": t.is_gone,
            }
            for t in store.sightings.timeline(database, page)
        ],
        "changes": [
            {
                "from_revision": numbers[c.from_revision_id],
                "to_revision": numbers[c.to_revision_id],
                "at": c.at,
                "title_changed": c.title_changed,
                "body_similarity": None if c.body_similarity is None else round(c.body_similarity, 4),
                "returned": c.returned,
                "kind": c.kind,
                "severity": c.severity,
                "silent": c.silent,
                "corrected": c.corrected,
            }
            for c in changes
            if c.from_revision_id != c.to_revision_id
        ],
        "metadata_changes": [
            {"at": c.at, "field": name, "before": before, "after": after}
            for c in changes
            for name, (before, after) in json.loads(c.fields).items()
        ],
    }


def diff_texts(before: str, after: str) -> list[diff.Operation]:
    """Return the differences between two stored texts."""
    return diff.compare(diff.clean(before), diff.clean(after))


def compare_revisions(database: Database, page: int, from_: int | None, to: int | None) -> dict[str, Any]:
    """Return the differences in title and body between two revisions of a page, given by number.

    Without numbers the revisions of the last change are compared. `body` is None if the body of either revision was pruned.

    Raises UnknownRevisionError.
    """
    revisions = store.revisions.of_page(database, page)
    changes = [c for c in store.changes.of_page(database, page) if c.from_revision_id != c.to_revision_id]
    numbers = {r.id: i for i, r in enumerate(revisions, 1)}
    url = store.pages.url(database, page)
    if from_ is None and to is None and changes:
        from_, to = numbers[changes[-1].from_revision_id], numbers[changes[-1].to_revision_id]
    to = to if to is not None else len(revisions)
    from_ = from_ if from_ is not None else max(1, to - 1)
    for revision_number in (from_, to):
        if not 1 <= revision_number <= len(revisions):
            raise UnknownRevisionError(url=url, revision=revision_number, available=f"1 to {len(revisions)}" if revisions else "none")
    before, after = store.revisions.body(database, revisions[from_ - 1].id), store.revisions.body(database, revisions[to - 1].id)
    has_bodies = before.body is not None and after.body is not None
    return {
        "url": url,
        "from_revision": from_,
        "to_revision": to,
        "title": render.as_json(diff_texts(before.title, after.title)),
        "body": render.as_json(diff_texts(before.body or "", after.body or "")) if has_bodies else None,
        "pruned_at": {"from": before.pruned_at, "to": after.pruned_at},
    }

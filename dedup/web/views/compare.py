"""The difference between two revisions of a page, inline or side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dedup import reports, store
from dedup.changes.diff import Operation, render
from dedup.errors import UnknownRevisionError
from dedup.model import SEVERITIES
from dedup.reports import STATE_RECIPE, ChangeFilter
from dedup.store import Database
from dedup.store.rows import RevisionRow
from dedup.web.links import DIGEST_DIGITS
from dedup.web.render import Page, QueryParameters

CONTEXT_ROWS = 1
"""Unchanged rows shown around each row that differs."""
_DIGEST = re.compile(r"(?:[^:]{1,40}:)?([0-9a-f]{7,64})")


@dataclass(frozen=True, slots=True)
class SideBySideRow:
    """A row of both sides. If `skipped` is not 0, it replaces that many unchanged rows."""

    left: Sequence[Operation] = ()
    right: Sequence[Operation] = ()
    differs: bool = False
    skipped: int = 0


def view(database: Database, query: QueryParameters) -> Page:
    """Compare the revisions `from` and `to` of a page, by default those of its latest change. Each is a number or a prefix of a digest."""
    if not query.text("url"):
        return Page("compare.html", "Compare two revisions", {"url": None})
    page = reports.find_page(database, query.settings.urls.build_canonicaliser(), query.text("url"), None)
    layout, full = query.choice("view", ("inline", "side-by-side"), "inline"), query.flag("full")
    revisions = store.revisions.of_page(database, page)
    url = store.pages.url(database, page)
    from_, to = (_revision_number(url, revisions, query.text(name)) for name in ("from", "to"))
    comparison = reports.compare_revisions(database, page, from_, to)
    from_, to = comparison["from_revision"], comparison["to_revision"]
    changes = list(reports.list_changes(database, ChangeFilter(url=url, min_severity=SEVERITIES[0])))
    digests = [f"{STATE_RECIPE}:{r.digest.hex()}" for r in revisions]
    before, after = digests[from_ - 1], digests[to - 1]
    matching_changes = [c for c in changes if (c["state_digest_before"], c["state_digest_after"]) == (before, after)]
    states = [
        {"revision": n, "state_digest": digests[n - 1], "title": r.title, "crawled_at": r.first_crawled_at, "pruned_at": r.pruned_at}
        for n, r in enumerate(revisions, 1)
    ]
    content = {
        "url": url, "from": states[from_ - 1], "to": states[to - 1],
        "changes": matching_changes, "title": comparison["title"], "body": comparison["body"],
    }  # fmt: skip
    title, body = (_parse_operations(comparison[part] or []) for part in ("title", "body"))
    context = {
        "layout": layout, "full": full, "states": states, "change": matching_changes[0] if matching_changes else None,
        "digest_digits": DIGEST_DIGITS,
        "inline_diff": {"title": title, "body": body if full else render.fold_unchanged(body)},
        "side_by_side_rows": list(_side_by_side_rows(body, full=full)) if layout == "side-by-side" else [],
        "has_differences": {"title": _has_differences(title), "body": _has_differences(body)},
        "adjacent_changes": _adjacent_changes(changes, matching_changes),
    }  # fmt: skip
    return Page("compare.html", f"Revision {from_} → {to}: {states[to - 1]['title'] or url}", content, context)


def _revision_number(url: str, revisions: Sequence[RevisionRow], reference: str) -> int | None:
    """Return the number of the revision that a parameter names, None if it is missing. Raises UnknownRevisionError."""
    if not reference:
        return None
    if reference.isascii() and reference.isdigit() and len(reference) < 7:
        return int(reference)
    match = _DIGEST.fullmatch(reference.lower())
    numbers = [n for n, r in enumerate(revisions, 1) if match and r.digest.hex().startswith(match[1])]
    if len(numbers) != 1:
        raise UnknownRevisionError(url=url, revision=reference[:80], available=f"1 to {len(revisions)}" if revisions else "none")
    return numbers[0]


def _parse_operations(rows: Iterable[dict[str, Any]]) -> list[Operation]:
    return [Operation(o["kind"], o["text"], o["move"] - 1 if "move" in o else None) for o in rows]


def _has_differences(operations: Iterable[Operation]) -> bool:
    return any(o.kind != "same" for o in operations)


def _side_by_side_rows(operations: Sequence[Operation], *, full: bool) -> Iterable[SideBySideRow]:
    rows = list(render.to_rows(operations))
    nearby = {k for n, row in enumerate(rows) if row.differs for k in range(n - CONTEXT_ROWS, n + CONTEXT_ROWS + 1)}
    skipped = 0
    for n, row in enumerate(rows):
        if not full and n not in nearby:
            skipped += 1
            continue
        if skipped:
            yield SideBySideRow(skipped=skipped)
            skipped = 0
        yield SideBySideRow(row.left, row.right, row.differs)
    if skipped:
        yield SideBySideRow(skipped=skipped)


def _adjacent_changes(changes: Sequence[dict[str, Any]], matching_changes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the changes of state before and after the one that is shown, as `earlier` and `later`."""
    state_changes = [c for c in changes if c["state_digest_before"] != c["state_digest_after"]]
    position = state_changes.index(matching_changes[0]) if matching_changes and matching_changes[0] in state_changes else None
    if position is None:
        return {"earlier": None, "later": None}
    return {
        "earlier": state_changes[position + 1] if position + 1 < len(state_changes) else None,
        "later": state_changes[position - 1] if position else None,
    }

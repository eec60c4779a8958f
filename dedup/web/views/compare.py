"""Two revisions of one page: what changed between them, in words or side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dedup import reports, store
from dedup.changes.diff import Operation, render
from dedup.errors import NoRevisionError
from dedup.model import SEVERITIES
from dedup.reports import STATE_RECIPE, Wanted
from dedup.store import Database
from dedup.store.rows import RevisionRow
from dedup.web.links import DIGITS
from dedup.web.render import Answer, Asked

CONTEXT = 1
"""Unchanged rows that are shown around each that differs."""
_DIGEST = re.compile(r"(?:[^:]{1,40}:)?([0-9a-f]{7,64})")


@dataclass(frozen=True, slots=True)
class Cell:
    """A row of both sides; `skipped`: so many unchanged ones stand in its place."""

    left: Sequence[Operation] = ()
    right: Sequence[Operation] = ()
    differs: bool = False
    skipped: int = 0


def view(database: Database, asked: Asked) -> Answer:
    """The revisions `from` and `to` of a page, each a number or (the beginning of) a digest; by default those of its last change."""
    if not asked.text("url"):
        return Answer("compare.html", "Two revisions", {"url": None})
    page = reports.find_page(database, asked.settings.urls.canonicaliser(), asked.text("url"), None)
    how, full = asked.one_of("view", ("words", "sides"), "words"), asked.flag("full")
    revisions = store.revisions.of_page(database, page)
    url = store.pages.url(database, page)
    from_, to = (_ordinal(url, revisions, asked.text(name)) for name in ("from", "to"))
    found = reports.compare_revisions(database, page, from_, to)
    from_, to = found["from"], found["to"]
    changes = list(reports.changes(database, Wanted(url=url, min_severity=SEVERITIES[0])))
    digests = [f"{STATE_RECIPE}:{r.digest.hex()}" for r in revisions]
    before, after = digests[from_ - 1], digests[to - 1]
    those = [c for c in changes if (c["from"], c["to"]) == (before, after)]
    states = [
        {"revision": n, "digest": digests[n - 1], "title": r.title, "crawled_at": r.first_crawled_at, "pruned_at": r.pruned_at}
        for n, r in enumerate(revisions, 1)
    ]
    told = {
        "url": url, "from": states[from_ - 1], "to": states[to - 1],
        "changes": those, "title": found["title"], "body": found["body"],
    }  # fmt: skip
    title, body = (_operations(found[part] or []) for part in ("title", "body"))
    more = {
        "how": how, "full": full, "states": states, "change": those[0] if those else None, "digits": DIGITS,
        "words": {"title": title, "body": body if full else render.folded(body)},
        "rows": list(_rows(body, full=full)) if how == "sides" else [],
        "differ": {"title": _differs(title), "body": _differs(body)},
        "around": _neighbours(changes, those),
    }  # fmt: skip
    return Answer("compare.html", f"Revision {from_} → {to}: {states[to - 1]['title'] or url}", told, more)


def _ordinal(url: str, revisions: Sequence[RevisionRow], wanted: str) -> int | None:
    """A revision's number by what a link says. Raises NoRevisionError."""
    if not wanted:
        return None
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 7:
        return int(wanted)
    named = _DIGEST.fullmatch(wanted.lower())
    fits = [n for n, r in enumerate(revisions, 1) if named and r.digest.hex().startswith(named[1])]
    if len(fits) != 1:
        raise NoRevisionError(url=url, wanted=wanted[:80], have=f"1 to {len(revisions)}" if revisions else "none")
    return fits[0]


def _operations(told: Iterable[dict[str, Any]]) -> list[Operation]:
    return [Operation(o["kind"], o["text"], o["move"] - 1 if "move" in o else None) for o in told]


def _differs(operations: Iterable[Operation]) -> bool:
    return any(o.kind != "same" for o in operations)


def _rows(operations: Sequence[Operation], *, full: bool) -> Iterable[Cell]:
    rows = list(render.rows(operations))
    near = {k for n, row in enumerate(rows) if row.differs for k in range(n - CONTEXT, n + CONTEXT + 1)}
    skipped = 0
    for n, row in enumerate(rows):
        if not full and n not in near:
            skipped += 1
            continue
        if skipped:
            yield Cell(skipped=skipped)
            skipped = 0
        yield Cell(row.left, row.right, row.differs)
    if skipped:
        yield Cell(skipped=skipped)


def _neighbours(changes: Sequence[dict[str, Any]], those: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The changes of state before and after the one that is shown."""
    of_state = [c for c in changes if c["from"] != c["to"]]
    at = of_state.index(those[0]) if those and those[0] in of_state else None
    if at is None:
        return {"earlier": None, "later": None}
    return {"earlier": of_state[at + 1] if at + 1 < len(of_state) else None, "later": of_state[at - 1] if at else None}

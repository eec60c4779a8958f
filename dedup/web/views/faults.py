"""Files that could not be read, with the reasons."""

from __future__ import annotations

from typing import get_args

from dedup import store
from dedup.model import FAULT_MESSAGES, FaultKind
from dedup.store import Database
from dedup.web.links import decode_cursor, encode_cursor
from dedup.web.render import Page, QueryParameters

PAGE_SIZE = 100
"""Faults on one page of the list."""


def view(database: Database, query: QueryParameters) -> Page:
    """List the current faults by path, and count them by kind."""
    kind = query.choice("kind", ("", *get_args(FaultKind)), "")
    cursor = decode_cursor(query.text("cursor"), str, str)
    results = store.faults.list_after(database, (cursor[0], cursor[1]) if cursor else None, PAGE_SIZE + 1, kind or None)
    rows = [fault._asdict() for fault in results[:PAGE_SIZE]]
    next_cursor = encode_cursor(rows[-1]["path"], rows[-1]["kind"]) if len(results) > PAGE_SIZE else None
    content = {
        "kinds": store.statistics.count_by(database, "faults", "kind"),
        "kind": kind or None,
        "faults": rows,
        "next_cursor": next_cursor,
    }
    return Page(
        "faults.html",
        "Faults",
        content,
        {
            "meanings": FAULT_MESSAGES,
            "file_count": 0 if rows else store.files.count_present(database),
            "is_first_page": cursor is None,
        },
    )

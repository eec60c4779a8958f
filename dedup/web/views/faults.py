"""Files that could not be read, and why."""

from __future__ import annotations

from typing import get_args

from dedup import store
from dedup.model import FAULTS, FaultKind
from dedup.store import Database
from dedup.web.links import key, unkey
from dedup.web.render import Answer, Asked

SHOWN = 100
"""Faults on one page."""


def view(database: Database, asked: Asked) -> Answer:
    """Every fault that stands, by path, and how many there are of each kind."""
    kind = asked.one_of("kind", ("", *get_args(FaultKind)), "")
    place = unkey(asked.text("after"), str, str)
    found = store.faults.list_after(database, (place[0], place[1]) if place else None, SHOWN + 1, kind or None)
    rows = [{"path": p, "kind": k, "message": m, "since": s} for p, k, m, s in found[:SHOWN]]
    after = key(rows[-1]["path"], rows[-1]["kind"]) if len(found) > SHOWN else None
    told = {"kinds": store.statistics.count_by(database, "faults", "kind"), "kind": kind or None, "faults": rows, "after": after}
    return Answer(
        "faults.html",
        "Faults",
        told,
        {"meaning": FAULTS, "files": 0 if rows else store.statistics.count(database, "files", "gone = 0"), "begun": place is None},
    )

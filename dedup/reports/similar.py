"""What a file resembles among the articles of the database, without recording it."""

from __future__ import annotations

import os
from typing import Any

from dedup import reports, store
from dedup.config import Settings
from dedup.errors import NotAnArticleError
from dedup.matching.lookup import resembling
from dedup.model import ALIKE, RELATIONS
from dedup.scan import recipes
from dedup.scan.extract import Examined, Found, examine, ignore_lease_breaks
from dedup.scan.session import matching_of, options_of
from dedup.store import Database
from dedup.store.rows import Stat
from dedup.text import normalise


def resemble(database: Database, settings: Settings, path: bytes, *, every: bool) -> list[dict[str, Any]]:
    """Articles of other pages that the file's article matches, the closest first: as the pages stand now, or with `every` any
    revision of theirs. Raises NotAnArticleError."""
    matching = matching_of(settings)
    recipes.require(database, recipes.configured(settings, [recipes.MATCHES]))
    e = examined(settings, path)
    assert e.article is not None
    found: list[dict[str, Any]] = []
    known = store.texts.get_by_digest(database, e.text) if e.text else None
    if known is not None:
        exact = reports.told("exact", ALIKE)
        found += [reports.article(database, a) | exact for a in store.texts.articles(database, known, every=every) if a.url != e.url]
    if e.signature is not None:
        m = e.article.metadata
        house = settings.publishers.publishers().house(m.publisher, m.oid, e.url or "")
        resembled = resembling(database, matching, e.article.body, e.signature, e.keys or b"", house)
        for r in sorted(resembled, key=lambda r: (RELATIONS.index(r.relation), -r.numbers.coverage, -r.numbers.similarity)):
            if r.text != known:
                told = reports.told(r.relation, r.numbers)
                found += [
                    reports.article(database, a) | told for a in store.texts.articles(database, r.text, every=every) if a.url != e.url
                ]
    return found


def examined(settings: Settings, path: bytes) -> Examined:
    """A file read and signed as a scan would. Raises NotAnArticleError."""
    ignore_lease_breaks()
    whole = os.path.abspath(path)
    e = examine([Found(0, os.path.dirname(whole), b"", os.path.basename(whole), Stat(0, 0, 0, 0))], options_of(settings))[0]
    if e.article is None:
        problem = e.faults[0].message if e.faults else {"vanished": "there is no such file"}.get(e.outcome, f"it is {e.outcome}")
        raise NotAnArticleError(path=normalise.printable_path(path), problem=problem)
    return e

"""Confirmed matches of two texts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from dedup.model import Match, Numbers, Relation
from dedup.store.database import Database, Transaction
from dedup.store.rows import (
    ArticleRow,
)
from dedup.store.texts import _SHOWN, BODILESS, article


class Likeness(NamedTuple):
    """A state of one page that matches a state of another; `match` None: their texts are the same."""

    own: bytes
    page: int
    other: bytes
    match: Match | None


MATCH = "m.a, m.b, m.relation, m.similarity, m.containment, m.coverage, m.shared, m.longest, m.quoted, m.masked"


def list_of_page(database: Database, page: int, most: int) -> list[Likeness]:
    """Matches of any state of a page with states of others: those of the same text first, then those with most in common."""
    same = database.rows(
        "SELECT x.digest, y.page_id, y.digest FROM revisions x JOIN revisions y ON y.text_id = x.text_id AND y.page_id <> x.page_id"
        " WHERE x.page_id = ? LIMIT ?",
        page, most,
    )  # fmt: skip
    rows = database.rows(
        f"SELECT x.digest, y.page_id, y.digest, {MATCH} FROM revisions x JOIN matches m ON m.a = x.text_id JOIN revisions y"
        " ON y.text_id = m.b WHERE x.page_id = ?1 AND y.page_id <> ?1 UNION ALL"
        f" SELECT x.digest, y.page_id, y.digest, {MATCH} FROM revisions x JOIN matches m ON m.b = x.text_id JOIN revisions y"
        " ON y.text_id = m.a WHERE x.page_id = ?1 AND y.page_id <> ?1 ORDER BY coverage DESC, similarity DESC LIMIT ?2",
        page, most,
    )  # fmt: skip
    return [Likeness(r[0], r[1], r[2], None) for r in same] + [Likeness(r[0], r[1], r[2], match(r[3:])) for r in rows]


def of_texts(database: Database, texts: Iterable[int]) -> dict[tuple[int, int], Match]:
    """Stored pairs that one of the texts is in."""
    select = f"SELECT {MATCH} FROM wanted w CROSS JOIN matches m ON m.a = w.id"
    wanted = list(texts)
    return {(r[0], r[1]): match(r) for s in (select, select.replace("m.a = w", "m.b = w")) for r in database.select_by_ids(wanted, s)}


def matched_articles(database: Database, *, every: bool = False) -> list[ArticleRow]:
    """Articles whose text another page shows too, or that a stored match names: each page's current one, or with `every`
    all its revisions."""
    return [
        article(r)
        for r in database.connection.execute(
            _SHOWN[every] + " WHERE r.text_id IN (SELECT a FROM matches UNION SELECT b FROM matches UNION"
            " SELECT text_id FROM revisions WHERE text_id IS NOT NULL GROUP BY text_id HAVING count(DISTINCT page_id) > 1)"
        )
    ]


def list_all(database: Database) -> list[Match]:
    """Every stored match of two texts."""
    return [match(r) for r in database.connection.execute(f"SELECT {MATCH} FROM matches m ORDER BY a, b")]


def get(database: Database, a: int, b: int) -> Match | None:
    """The stored match of two texts."""
    row = database.row(f"SELECT {MATCH} FROM matches m WHERE m.a = ? AND m.b = ?", min(a, b), max(a, b))
    return match(row) if row else None


def between_pages(database: Database, a: int, b: int) -> list[tuple[bytes, bytes, Match | None]]:
    """(state of page `a`, state of page `b`, their match) of any revisions of two pages; None: their texts are the same."""
    rows = database.rows(
        f"SELECT x.digest, y.digest, {MATCH} FROM revisions x JOIN matches m ON m.a = x.text_id JOIN revisions y ON y.text_id = m.b"
        " WHERE x.page_id = ?1 AND y.page_id = ?2 UNION ALL"
        f" SELECT x.digest, y.digest, {MATCH} FROM revisions x JOIN matches m ON m.b = x.text_id JOIN revisions y ON y.text_id = m.a"
        " WHERE x.page_id = ?1 AND y.page_id = ?2",
        a, b,
    )  # fmt: skip
    same = database.rows(
        "SELECT x.digest, y.digest FROM revisions x JOIN revisions y ON y.text_id = x.text_id WHERE x.page_id = ? AND y.page_id = ?",
        a, b,
    )  # fmt: skip
    return [(r[0], r[1], match(r[2:])) for r in rows] + [(r[0], r[1], None) for r in same]


def delete_outdated(transaction: Transaction, texts: Iterable[int], recipe: str) -> None:
    """Forget the matches of these texts that were found by other rules and can be measured again."""
    transaction.execute_many(
        "DELETE FROM matches WHERE (a = ?1 OR b = ?1) AND recipe <> ?2"
        " AND EXISTS (SELECT 1 FROM revisions WHERE text_id = a AND pruned_at IS NULL)"
        " AND EXISTS (SELECT 1 FROM revisions WHERE text_id = b AND pruned_at IS NULL)",
        ((t, recipe) for t in texts),
    )


def update(transaction: Transaction, matches: Iterable[Match]) -> None:
    """Give stored pairs another relation and another share of quoted characters."""
    transaction.execute_many(
        "UPDATE matches SET relation = ?, quoted = ? WHERE a = ? AND b = ?", ((m.relation, m.numbers.quoted, m.a, m.b) for m in matches)
    )


def insert(transaction: Transaction, matches: Iterable[Match], recipe: str, found_at: str) -> None:
    """Record confirmed pairs of texts that are not stored yet."""
    transaction.execute_many(
        "INSERT INTO matches (a, b, relation, similarity, containment, coverage, shared, longest, quoted, masked, recipe, found_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (m.a, m.b, m.relation, n.similarity, n.containment, n.coverage, n.shared, n.longest, n.quoted,
             json.dumps(n.masked, ensure_ascii=False), recipe, found_at)
            for m in matches for n in (m.numbers,)
        ),
    )  # fmt: skip


def set_relations(transaction: Transaction, rows: Iterable[tuple[int, int, Relation]]) -> None:
    """(a, b, what the stored match is now that more is known)."""
    transaction.execute_many("UPDATE matches SET relation = ? WHERE a = ? AND b = ?", ((relation, a, b) for a, b, relation in rows))


def delete_all(transaction: Transaction) -> None:
    """Forget matches, and which texts stand for which: everything will be matched again, but for texts whose bodies were
    pruned. Nothing can be measured of them, and what was stays."""
    transaction.execute(
        f"DELETE FROM matches WHERE (a NOT IN ({BODILESS}) AND b NOT IN ({BODILESS}))"
        " OR NOT EXISTS (SELECT 1 FROM revisions WHERE text_id = a) OR NOT EXISTS (SELECT 1 FROM revisions WHERE text_id = b)"
    )
    transaction.execute(f"UPDATE texts SET signature = NULL WHERE signature IS NOT NULL AND id IN ({BODILESS})")
    transaction.execute("DELETE FROM represented")
    transaction.execute("DELETE FROM passages")
    transaction.execute("UPDATE texts SET crowded = 0 WHERE crowded = 1")


def match(r: tuple[Any, ...]) -> Match:
    """A row of `MATCH`."""
    masked = tuple(json.loads(r[9])) if r[9] != "[]" else ()
    return Match(r[0], r[1], r[2], Numbers(r[3], r[4], r[5], r[6], r[7], r[8], masked))

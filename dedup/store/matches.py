"""Confirmed matches of two texts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from dedup.model import Match, MatchScores, Relation
from dedup.store.database import Database, Transaction
from dedup.store.rows import (
    ArticleRow,
)
from dedup.store.texts import ARTICLE_QUERIES, TEXTS_WITHOUT_BODY, article_from_row


class RelatedState(NamedTuple):
    """A state of one page that matches a state of another; `match` None: their texts are the same."""

    digest: bytes
    page_id: int
    other_digest: bytes
    match: Match | None


MATCH_COLUMNS = (
    "m.text_a_id, m.text_b_id, m.relation, m.similarity, m.containment, m.coverage, m.shared_characters, m.longest_passage,"
    " m.quoted_share, m.masked_boilerplate"
)


def list_of_page(database: Database, page: int, limit: int) -> list[RelatedState]:
    """Matches of any state of a page with states of others: those of the same text first, then those with most in common."""
    exact_rows = database.rows(
        "SELECT x.digest, y.page_id, y.digest FROM revisions x JOIN revisions y ON y.text_id = x.text_id AND y.page_id <> x.page_id"
        " WHERE x.page_id = ? LIMIT ?",
        page, limit,
    )  # fmt: skip
    rows = database.rows(
        f"SELECT x.digest, y.page_id, y.digest, {MATCH_COLUMNS} FROM revisions x JOIN matches m ON m.text_a_id = x.text_id JOIN revisions y"
        " ON y.text_id = m.text_b_id WHERE x.page_id = ?1 AND y.page_id <> ?1 UNION ALL"
        f" SELECT x.digest, y.page_id, y.digest, {MATCH_COLUMNS} FROM revisions x JOIN matches m ON m.text_b_id = x.text_id"
        " JOIN revisions y"
        " ON y.text_id = m.text_a_id WHERE x.page_id = ?1 AND y.page_id <> ?1 ORDER BY coverage DESC, similarity DESC LIMIT ?2",
        page, limit,
    )  # fmt: skip
    return [RelatedState(r[0], r[1], r[2], None) for r in exact_rows] + [
        RelatedState(r[0], r[1], r[2], match_from_row(r[3:])) for r in rows
    ]


def of_texts(database: Database, texts: Iterable[int]) -> dict[tuple[int, int], Match]:
    """Stored pairs that one of the texts is in."""
    select = f"SELECT {MATCH_COLUMNS} FROM wanted w CROSS JOIN matches m ON m.text_a_id = w.id"
    text_ids = list(texts)
    return {
        (r[0], r[1]): match_from_row(r)
        for s in (select, select.replace("m.text_a_id = w", "m.text_b_id = w"))
        for r in database.select_by_ids(text_ids, s)
    }


def matched_articles(database: Database, *, all_revisions: bool = False) -> list[ArticleRow]:
    """Articles whose text another page shows too, or that a stored match names: each page's current one, or with `all_revisions`
    all its revisions."""
    return [
        article_from_row(r)
        for r in database.connection.execute(
            ARTICLE_QUERIES[all_revisions] + " WHERE r.text_id IN (SELECT text_a_id FROM matches UNION SELECT text_b_id FROM matches UNION"
            " SELECT text_id FROM revisions WHERE text_id IS NOT NULL GROUP BY text_id HAVING count(DISTINCT page_id) > 1)"
        )
    ]


def list_all(database: Database) -> list[Match]:
    """Every stored match of two texts."""
    return [match_from_row(r) for r in database.connection.execute(f"SELECT {MATCH_COLUMNS} FROM matches m ORDER BY text_a_id, text_b_id")]


def get(database: Database, a: int, b: int) -> Match | None:
    """The stored match of two texts."""
    row = database.row(f"SELECT {MATCH_COLUMNS} FROM matches m WHERE m.text_a_id = ? AND m.text_b_id = ?", min(a, b), max(a, b))
    return match_from_row(row) if row else None


def between_pages(database: Database, a: int, b: int) -> list[tuple[bytes, bytes, Match | None]]:
    """(state of page `a`, state of page `b`, their match) of any revisions of two pages; None: their texts are the same."""
    rows = database.rows(
        f"SELECT x.digest, y.digest, {MATCH_COLUMNS} FROM revisions x JOIN matches m ON m.text_a_id = x.text_id"
        " JOIN revisions y ON y.text_id = m.text_b_id"
        " WHERE x.page_id = ?1 AND y.page_id = ?2 UNION ALL"
        f" SELECT x.digest, y.digest, {MATCH_COLUMNS} FROM revisions x JOIN matches m ON m.text_b_id = x.text_id"
        " JOIN revisions y ON y.text_id = m.text_a_id"
        " WHERE x.page_id = ?1 AND y.page_id = ?2",
        a, b,
    )  # fmt: skip
    exact_rows = database.rows(
        "SELECT x.digest, y.digest FROM revisions x JOIN revisions y ON y.text_id = x.text_id WHERE x.page_id = ? AND y.page_id = ?",
        a, b,
    )  # fmt: skip
    return [(r[0], r[1], match_from_row(r[2:])) for r in rows] + [(r[0], r[1], None) for r in exact_rows]


def delete_outdated(transaction: Transaction, texts: Iterable[int], recipe: str) -> None:
    """Forget the matches of these texts that were found by other rules and can be measured again."""
    transaction.execute_many(
        "DELETE FROM matches WHERE (text_a_id = ?1 OR text_b_id = ?1) AND match_recipe <> ?2"
        " AND EXISTS (SELECT 1 FROM revisions WHERE text_id = text_a_id AND pruned_at IS NULL)"
        " AND EXISTS (SELECT 1 FROM revisions WHERE text_id = text_b_id AND pruned_at IS NULL)",
        ((t, recipe) for t in texts),
    )


def update(transaction: Transaction, matches: Iterable[Match]) -> None:
    """Give stored pairs another relation and another share of quoted characters."""
    transaction.execute_many(
        "UPDATE matches SET relation = ?, quoted_share = ? WHERE text_a_id = ? AND text_b_id = ?",
        ((m.relation, m.scores.quoted_share, m.a, m.b) for m in matches),
    )


def insert(transaction: Transaction, matches: Iterable[Match], recipe: str, found_at: str) -> None:
    """Record confirmed pairs of texts that are not stored yet."""
    transaction.execute_many(
        "INSERT INTO matches (text_a_id, text_b_id, relation, similarity, containment, coverage, shared_characters, longest_passage,"
        " quoted_share, masked_boilerplate, match_recipe, confirmed_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (m.a, m.b, m.relation, n.similarity, n.containment, n.coverage, n.shared_characters, n.longest_passage, n.quoted_share,
             json.dumps(n.masked_boilerplate, ensure_ascii=False), recipe, found_at)
            for m in matches for n in (m.scores,)
        ),
    )  # fmt: skip


def set_relations(transaction: Transaction, rows: Iterable[tuple[int, int, Relation]]) -> None:
    """(a, b, what the stored match is now that more is known)."""
    transaction.execute_many(
        "UPDATE matches SET relation = ? WHERE text_a_id = ? AND text_b_id = ?", ((relation, a, b) for a, b, relation in rows)
    )


def delete_all(transaction: Transaction) -> None:
    """Forget matches, and which texts stand for which: everything will be matched again, but for texts whose bodies were
    pruned. Nothing can be measured of them, and what was stays."""
    transaction.execute(
        f"DELETE FROM matches WHERE (text_a_id NOT IN ({TEXTS_WITHOUT_BODY}) AND text_b_id NOT IN ({TEXTS_WITHOUT_BODY}))"
        " OR NOT EXISTS (SELECT 1 FROM revisions WHERE text_id = text_a_id) OR NOT EXISTS (SELECT 1 FROM revisions"
        " WHERE text_id = text_b_id)"
    )
    transaction.execute(f"UPDATE texts SET signature = NULL WHERE signature IS NOT NULL AND id IN ({TEXTS_WITHOUT_BODY})")
    transaction.execute("DELETE FROM followers")
    transaction.execute("DELETE FROM text_fingerprints")
    transaction.execute("UPDATE texts SET crowded = 0 WHERE crowded = 1")


def match_from_row(row: tuple[Any, ...]) -> Match:
    """A row of `MATCH_COLUMNS`."""
    masked = tuple(json.loads(row[9])) if row[9] != "[]" else ()
    return Match(row[0], row[1], row[2], MatchScores(row[3], row[4], row[5], row[6], row[7], row[8], masked))

"""Confirmed matches of two texts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from dedup.model import Match, MatchScores, Relation
from dedup.store.database import Database, Transaction
from dedup.store.rows import ArticleRow
from dedup.store.texts import ARTICLE_QUERIES, TEXTS_WITHOUT_BODY, article_from_row


class RelatedState(NamedTuple):
    """A state of one page that matches a state of another page. `match` is None if both have the same text."""

    digest: bytes
    page_id: int
    other_digest: bytes
    match: Match | None


class StatePair(NamedTuple):
    """Matching states of two pages `a` and `b`. `match` is None if both have the same text."""

    digest_a: bytes
    digest_b: bytes
    match: Match | None


MATCH_COLUMNS = (
    "m.text_a_id, m.text_b_id, m.relation, m.similarity, m.containment, m.coverage, m.shared_characters, m.longest_passage,"
    " m.quoted_share, m.masked_boilerplate"
)


def list_of_page(database: Database, page: int, limit: int) -> list[RelatedState]:
    """Matches of any state of a page with states of other pages, at most `limit` of each kind.

    States with the same text come first, then stored matches by descending coverage and similarity.
    """
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
    """(text a, text b) → the stored match of the two, for every match that involves one of `texts`."""
    select = f"SELECT {MATCH_COLUMNS} FROM wanted w CROSS JOIN matches m ON m.text_a_id = w.id"
    text_ids = list(texts)
    return {
        (r[0], r[1]): match_from_row(r)
        for s in (select, select.replace("m.text_a_id = w", "m.text_b_id = w"))
        for r in database.select_by_ids(text_ids, s)
    }


def matched_articles(database: Database, *, all_revisions: bool = False) -> list[ArticleRow]:
    """Articles whose text is in a stored match or is shown by another page too.

    Without `all_revisions` only the current article of each page counts.
    """
    return [
        article_from_row(r)
        for r in database.connection.execute(
            ARTICLE_QUERIES[all_revisions] + " WHERE r.text_id IN (SELECT text_a_id FROM matches UNION SELECT text_b_id FROM matches UNION"
            " SELECT text_id FROM revisions WHERE text_id IS NOT NULL GROUP BY text_id HAVING count(DISTINCT page_id) > 1)"
        )
    ]


def list_all(database: Database) -> list[Match]:
    """Every stored match, by text ids."""
    return [match_from_row(r) for r in database.connection.execute(f"SELECT {MATCH_COLUMNS} FROM matches m ORDER BY text_a_id, text_b_id")]


def get(database: Database, a: int, b: int) -> Match | None:
    """The stored match of two texts in either order, or None."""
    row = database.row(f"SELECT {MATCH_COLUMNS} FROM matches m WHERE m.text_a_id = ? AND m.text_b_id = ?", min(a, b), max(a, b))
    return match_from_row(row) if row else None


def between_pages(database: Database, a: int, b: int) -> list[StatePair]:
    """Every pair of states of pages `a` and `b` that match, in any revision."""
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
    return [StatePair(r[0], r[1], match_from_row(r[2:])) for r in rows] + [StatePair(r[0], r[1], None) for r in exact_rows]


def delete_outdated(transaction: Transaction, texts: Iterable[int], recipe: str) -> None:
    """Delete the matches of `texts` that another recipe confirmed. A match stays if every body of one of its texts was pruned."""
    transaction.execute_many(
        "DELETE FROM matches WHERE (text_a_id = ?1 OR text_b_id = ?1) AND match_recipe <> ?2"
        " AND EXISTS (SELECT 1 FROM revisions WHERE text_id = text_a_id AND pruned_at IS NULL)"
        " AND EXISTS (SELECT 1 FROM revisions WHERE text_id = text_b_id AND pruned_at IS NULL)",
        ((t, recipe) for t in texts),
    )


def update(transaction: Transaction, matches: Iterable[Match]) -> None:
    """Update relation and quoted share of stored matches."""
    transaction.execute_many(
        "UPDATE matches SET relation = ?, quoted_share = ? WHERE text_a_id = ? AND text_b_id = ?",
        ((m.relation, m.scores.quoted_share, m.a, m.b) for m in matches),
    )


def insert(transaction: Transaction, matches: Iterable[Match], recipe: str, confirmed_at: str) -> None:
    """Insert confirmed matches. None of the pairs may be stored yet."""
    transaction.execute_many(
        "INSERT INTO matches (text_a_id, text_b_id, relation, similarity, containment, coverage, shared_characters, longest_passage,"
        " quoted_share, masked_boilerplate, match_recipe, confirmed_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (m.a, m.b, m.relation, n.similarity, n.containment, n.coverage, n.shared_characters, n.longest_passage, n.quoted_share,
             json.dumps(n.masked_boilerplate, ensure_ascii=False), recipe, confirmed_at)
            for m in matches for n in (m.scores,)
        ),
    )  # fmt: skip


def set_relations(transaction: Transaction, rows: Iterable[tuple[int, int, Relation]]) -> None:
    """Update the relation of stored matches. `rows`: (text a, text b, relation)."""
    transaction.execute_many(
        "UPDATE matches SET relation = ? WHERE text_a_id = ? AND text_b_id = ?", ((relation, a, b) for a, b, relation in rows)
    )


def delete_all(transaction: Transaction) -> None:
    """Delete matches, followers and fingerprints, so that all texts can be matched again.

    Texts whose bodies were all pruned cannot be measured again: their matches stay, and their signatures are removed.
    """
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
    """Build a match from a row of `MATCH_COLUMNS`."""
    masked = tuple(json.loads(row[9])) if row[9] != "[]" else ()
    return Match(row[0], row[1], row[2], MatchScores(row[3], row[4], row[5], row[6], row[7], row[8], masked))

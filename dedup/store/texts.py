"""Normalised texts, their signatures, and the articles that show them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from dedup.store.database import Database, Row, Transaction, placeholders
from dedup.store.rows import ArticleRow, TextPages, TextRow

_ARTICLE_QUERY = """
SELECT p.id, p.url, r.text_id, r.digest, r.title, m.publisher_printed, m.published_at, s.crawled_at, m.article_id, s.check_status,
       coalesce((SELECT o.path_text || '/' || f.path_text FROM readings d JOIN files f ON f.id = d.file_id
                 JOIN crawl_directories o ON o.id = f.directory_id WHERE d.sighting_id = s.id
                 ORDER BY f.gone, f.path_text LIMIT 1), ''),
       NOT EXISTS (SELECT 1 FROM readings d JOIN files f ON f.id = d.file_id WHERE d.sighting_id = s.id AND f.gone = 0),
       EXISTS (SELECT 1 FROM texts t WHERE t.id = r.text_id AND t.crowded = 1), m.oid, r.pruned_at
FROM {first}pages p JOIN sightings s ON {sighting} JOIN revisions r ON r.id = s.revision_id JOIN metadata m ON m.id = s.metadata_id
"""


_LATEST_COUNTED = (
    "s.page_id = p.id AND s.id = (SELECT x.id FROM sightings x WHERE x.revision_id = s.revision_id"
    " AND x.status = 'counted' ORDER BY x.crawled_at DESC LIMIT 1)"
)


ARTICLE_QUERIES = {
    False: _ARTICLE_QUERY.format(first="", sighting="s.id = p.current_sighting_id"),
    True: _ARTICLE_QUERY.format(first="", sighting=_LATEST_COUNTED),
}
"""Queries by `all_revisions`. False: the current article of each page. True: every counted revision, by its latest crawl."""


ARTICLE_OF_PAGE_QUERY = (
    _ARTICLE_QUERY.format(first="wanted w CROSS JOIN ", sighting=_LATEST_COUNTED) + " WHERE p.id = w.page AND r.text_id = w.text"
)
"""Every counted revision, by its latest crawl, of the (text, page) pairs in a table `wanted`."""


TEXTS_WITHOUT_BODY = (
    "SELECT r.text_id FROM revisions r INDEXED BY revisions_pruned WHERE r.pruned_at IS NOT NULL AND r.text_id IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM revisions o WHERE o.text_id = r.text_id AND o.pruned_at IS NULL)"
)
"""Query for the texts whose bodies were all pruned."""


_TEXT_QUERY = (
    "SELECT r.text_id, (SELECT body FROM revisions WHERE text_id = r.text_id AND pruned_at IS NULL"
    " ORDER BY id LIMIT 1), m.publisher_printed,"
    " m.oid, p.url FROM revisions r JOIN pages p ON p.id = r.page_id"
    " JOIN sightings s ON s.revision_id = r.id JOIN metadata m ON m.id = s.metadata_id"
    " WHERE r.id = (SELECT min(id) FROM revisions WHERE text_id = ?) ORDER BY s.id LIMIT 1"
)


def find_by_digest(database: Database, digests: Iterable[bytes]) -> dict[bytes, int]:
    """XXH3-128 of a normalised text → text. Unknown digests are left out."""
    select = "SELECT t.digest, t.id FROM wanted w CROSS JOIN texts t ON t.digest = w.digest"
    return dict(database.select_by_keys("digest", ((d,) for d in digests), select))


def pages_showing_any(database: Database, texts: Iterable[int]) -> dict[int, TextPages]:
    """Text → the first and the last of the pages that show it in any revision. Texts that no page shows are left out."""
    select = (
        "SELECT w.id, (SELECT min(page_id) FROM revisions WHERE text_id = w.id), (SELECT max(page_id) FROM revisions"
        " WHERE text_id = w.id) FROM wanted w"
    )
    return {r[0]: TextPages(r[1], r[2]) for r in database.select_by_ids(texts, select) if r[1] is not None}


def pages_showing_among(database: Database, pairs: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of the (text, page) pairs whose page shows the text in any revision."""
    select = "SELECT w.text, w.page FROM wanted w WHERE EXISTS (SELECT 1 FROM revisions WHERE text_id = w.text AND page_id = w.page)"
    return {(r[0], r[1]) for r in database.select_by_keys("text, page", pairs, select)}


def latest_articles(database: Database, pairs: Iterable[tuple[int, int]]) -> dict[tuple[int, int], ArticleRow]:
    """(text, page) → the article, by the latest counted crawl that showed the text on the page. Other pairs are left out."""
    rows = [article_from_row(r) for r in database.select_by_keys("text, page", pairs, ARTICLE_OF_PAGE_QUERY)]
    return {(a.text_id, a.page_id): a for a in sorted(rows, key=lambda a: a.crawled_at) if a.text_id is not None}


def signatures(database: Database, texts: Iterable[int]) -> dict[int, bytes]:
    """Text → signature. Texts without one are left out."""
    select = "SELECT t.id, t.signature FROM wanted w CROSS JOIN texts t ON t.id = w.id WHERE t.signature IS NOT NULL"
    return dict(database.select_by_ids(texts, select))


def bodies(database: Database, texts: Iterable[int]) -> dict[int, str]:
    """Text → the body of a revision that has it. Texts whose bodies were all pruned are left out."""
    select = (
        "SELECT w.id, r.body FROM wanted w CROSS JOIN revisions r"
        " ON r.id = (SELECT id FROM revisions WHERE text_id = w.id AND pruned_at IS NULL LIMIT 1)"
    )
    return dict(database.select_by_ids(texts, select))


def quoted_masks(database: Database, texts: Iterable[int]) -> dict[int, bytes]:
    """Text → its quoted mask (a bit for each character, packed by numpy.packbits), for texts whose bodies differ in quotations."""
    return dict(
        database.select_by_ids(
            texts, "SELECT t.id, t.quoted_mask FROM wanted w CROSS JOIN texts t ON t.id = w.id WHERE t.quoted_mask IS NOT NULL"
        )
    )


def without_body(database: Database, texts: Iterable[int]) -> set[int]:
    """Those of `texts` whose bodies were all pruned. No index holds them."""
    select = (
        "SELECT DISTINCT w.id FROM wanted w CROSS JOIN revisions r INDEXED BY revisions_pruned"
        " ON r.text_id = w.id AND r.pruned_at IS NOT NULL"
        " WHERE NOT EXISTS (SELECT 1 FROM revisions o WHERE o.text_id = w.id AND o.pruned_at IS NULL)"
    )
    return {r[0] for r in database.select_by_ids(texts, select)}


def crowded(database: Database, texts: Iterable[int]) -> set[int]:
    """Those of `texts` that are crowded: they had more candidates than were compared."""
    return {r[0] for r in database.select_by_ids(texts, "SELECT t.id FROM wanted w CROSS JOIN texts t ON t.id = w.id WHERE t.crowded = 1")}


def lengths(database: Database, texts: Iterable[int]) -> dict[int, int]:
    """Text → its normalised length in characters."""
    return dict(database.select_by_ids(texts, "SELECT t.id, t.characters FROM wanted w CROSS JOIN texts t ON t.id = w.id"))


def all_signatures(database: Database, after_id: int = 0) -> Iterator[tuple[int, bytes]]:
    """(text, signature) of every text with a signature and an id greater than `after_id`, by id."""
    yield from database.connection.execute(
        "SELECT id, signature FROM texts WHERE id > ? AND signature IS NOT NULL ORDER BY id", (after_id,)
    )


def get_by_digest(database: Database, digest: bytes) -> int | None:
    """The text with this XXH3-128 digest, or None."""
    text_id: int | None = database.value("SELECT id FROM texts WHERE digest = ?", digest)
    return text_id


def all_with_body(database: Database, *, skip_incomplete: bool = False) -> Iterator[TextRow]:
    """Every text that a revision with a body has, by id.

    A text without the rows that show it means damage. It fails an assertion, or is left out with `skip_incomplete`.
    """
    for (text_id,) in database.rows("SELECT DISTINCT text_id FROM revisions WHERE text_id IS NOT NULL ORDER BY 1"):
        row = database.row(_TEXT_QUERY, text_id)
        assert row is not None or skip_incomplete
        if row is not None and row[1] is not None:
            yield TextRow(*row)


def body(database: Database, text: int) -> str | None:
    """The body of any revision with this text, or None if every one was pruned."""
    result: str | None = database.value("SELECT body FROM revisions WHERE text_id = ? AND pruned_at IS NULL LIMIT 1", text)
    return result


def urls_of_pair(database: Database, a: int, b: int) -> tuple[str, str]:
    """Canonical URLs of two different pages: the first shows text `a`, the second text `b`, in any revision."""
    row = database.row(
        "SELECT p.url, q.url FROM revisions r JOIN pages p ON p.id = r.page_id JOIN revisions s ON s.text_id = ?"
        " JOIN pages q ON q.id = s.page_id WHERE r.text_id = ? AND p.id <> q.id LIMIT 1",
        b, a,
    )  # fmt: skip
    assert row is not None
    return row[0], row[1]


def url(database: Database, text: int) -> str | None:
    """The canonical URL of a page that shows a text. Pages that show it now come before pages that showed it earlier."""
    result: str | None = database.value(
        "SELECT p.url FROM revisions r JOIN pages p ON p.id = r.page_id LEFT JOIN sightings s ON s.id = p.current_sighting_id"
        " WHERE r.text_id = ? ORDER BY s.revision_id IS NOT r.id, p.url LIMIT 1",
        text,
    )
    return result


def articles(database: Database, text: int, *, all_revisions: bool = False) -> list[ArticleRow]:
    """Articles with this text, by URL: of pages that show it now, or with `all_revisions` in any revision."""
    return [article_from_row(r) for r in database.rows(ARTICLE_QUERIES[all_revisions] + " WHERE r.text_id = ? ORDER BY p.url", text)]


def cluster_size(database: Database, text: int, relations: Collection[str]) -> int:
    """Number of pages that now show this text or a text that matches it in one of `relations`."""
    relation_list = placeholders(relations)
    sql = (
        "SELECT count(DISTINCT s.page_id) FROM (SELECT ?1 AS id UNION SELECT text_b_id FROM matches"
        f" WHERE text_a_id = ?1 AND relation IN ({relation_list})"
        f" UNION SELECT text_a_id FROM matches WHERE text_b_id = ?1 AND relation IN ({relation_list})) t"
        " JOIN revisions r ON r.text_id = t.id"
        " JOIN sightings s ON s.revision_id = r.id JOIN pages p ON p.id = s.page_id AND p.current_sighting_id = s.id"
    )
    return int(database.value(sql, text, *relations, *relations))


def insert(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Insert texts. `rows`: (id, digest, characters, signature, crowded)."""
    transaction.execute_many("INSERT INTO texts (id, digest, characters, signature, crowded) VALUES (?, ?, ?, ?, ?)", rows)


def set_quoted_masks(transaction: Transaction, rows: Iterable[tuple[int, bytes]]) -> None:
    """Set quoted masks. `rows`: (text, mask as `matching.quotations.pack_common_quotations` returns it)."""
    transaction.execute_many("UPDATE texts SET quoted_mask = ? WHERE id = ?", ((quoted, text) for text, quoted in rows))


def release_digests(transaction: Transaction, texts: Iterable[int]) -> None:
    """Give texts a random digest, so that new rows can be inserted with theirs. See `replace`."""
    transaction.execute_many("UPDATE texts SET digest = randomblob(16) WHERE id = ?", ((t,) for t in texts))


def replace(transaction: Transaction, rows: Iterable[tuple[int, int]]) -> None:
    """Move revisions and matches from old text rows to new ones. `rows`: (old text, new text), the new id the greater one.

    The old rows stay as texts that no revision has.
    """
    new_ids = [(new, text) for text, new in rows]
    transaction.execute_many("UPDATE revisions SET text_id = ? WHERE text_id = ?", new_ids)
    transaction.execute_many("UPDATE matches SET text_a_id = text_b_id, text_b_id = ? WHERE text_a_id = ?", new_ids)
    transaction.execute_many("UPDATE matches SET text_b_id = ? WHERE text_b_id = ?", new_ids)


def delete_unshown(transaction: Transaction) -> None:
    """Delete texts that no revision has. Call `matches.delete_all` first, and rebuild the indexes afterwards."""
    transaction.execute("DELETE FROM texts WHERE NOT EXISTS (SELECT 1 FROM revisions WHERE text_id = texts.id)")


def set_crowded(transaction: Transaction, texts: Iterable[int]) -> None:
    """Mark texts as crowded: they met a full bucket, so that they may have more matches than were found."""
    transaction.execute_many("UPDATE texts SET crowded = 1 WHERE id = ? AND crowded = 0", ((t,) for t in texts))


def set_signatures(transaction: Transaction, rows: Iterable[tuple[int, bytes | None, int]]) -> None:
    """Set signatures. `rows`: (text, signature, normalised length)."""
    transaction.execute_many(
        "UPDATE texts SET signature = ?, characters = ? WHERE id = ?",
        ((signature, characters, text) for text, signature, characters in rows),
    )


def clear_signature(transaction: Transaction, text: int) -> None:
    """Delete the signature of a text, so that it takes no part in near duplicates."""
    transaction.execute("UPDATE texts SET signature = NULL WHERE id = ?", text)


def article_from_row(row: tuple[Any, ...]) -> ArticleRow:
    """Build an article from a row of one of the article queries."""
    return ArticleRow(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9], row[10], bool(row[11]), bool(row[12]), row[13],
        row[14],
    )  # fmt: skip

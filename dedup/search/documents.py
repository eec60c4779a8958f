"""The index words of revisions: what their title, body, URL and publishers are found by."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from dedup.runtime.heartbeat import beat
from dedup.search.tokenizer import PUBLISHER, TITLE, URL, prefix_words, tokenise_texts, truncate_words
from dedup.store.rows import SearchDocument

_log = logging.getLogger("dedup")


def document_words(rows: Sequence[SearchDocument]) -> list[str]:
    """The index words of each revision, separated by spaces.

    If the tokenizer raises an exception for a revision, it is logged and that revision has no words; the others are not affected.
    """
    try:
        return _tokenise_documents(rows)
    except Exception:
        if len(rows) > 1:
            middle = len(rows) // 2
            return document_words(rows[:middle]) + document_words(rows[middle:])
        _log.exception("search cannot find a text, because indexing it failed ('dedup reindex --search' tries again): %s", rows[0].url)
        return [""]


def _tokenise_documents(rows: Sequence[SearchDocument]) -> list[str]:
    """The words of title, body, URL and publishers; those of title, URL and publishers also with the prefix of their field."""
    if not rows:
        return []
    titles, urls = tokenise_texts([r.title for r in rows]), tokenise_texts([r.url for r in rows])
    bodies = tokenise_texts([r.body or "" for r in rows])
    beat()
    names = tokenise_texts(["\n".join(name for name, _ in r.publishers) for r in rows])
    oids = tokenise_texts(["\n".join(oid for _, oid in r.publishers) for r in rows])
    return [
        " ".join(
            (
                body,
                title,
                url,
                name,
                prefix_words(TITLE, title),
                prefix_words(URL, url),
                prefix_words(PUBLISHER, name),
                prefix_words(PUBLISHER, oid),
            )
        )
        for title, body, url, name, oid in zip(
            map(truncate_words, titles),
            map(truncate_words, bodies),
            map(truncate_words, urls),
            map(truncate_words, names),
            oids,
            strict=True,
        )
    ]

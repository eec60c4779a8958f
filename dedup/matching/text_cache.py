"""Cache of texts that are prepared for comparison."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from dedup import store
from dedup.matching.cache import Cache
from dedup.matching.quotations import unpack_mask
from dedup.runtime.heartbeat import beat
from dedup.similarity.overlap import PreparedText, prepare_text
from dedup.store import Database

MAX_CACHED_CHARACTERS = 4_000_000
"""Normalised characters that stay in memory between groups of comparisons (5 bytes each). A group may exceed the limit: texts that are not
stored yet and the two texts used last are never dropped."""


class PreparedTextCache:
    """Holds the texts of the current group of comparisons, and the most recently used ones of earlier groups."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._prepared_texts: Cache[int, PreparedText] = Cache(MAX_CACHED_CHARACTERS, lambda text: max(len(text.points), 1))
        self._pinned_ids: set[int] = set()
        self._quoted_masks: dict[int, bytes] = {}
        self._last_id = 0

    def clear(self) -> None:
        self._prepared_texts.clear()
        self._pinned_ids.clear()
        self._quoted_masks.clear()

    def set_quoted_masks(self, quoted_masks: Mapping[int, bytes]) -> None:
        """Use these masks of quoted characters, which are stored already. `put` applies them without a query for each text."""
        self._quoted_masks = dict(quoted_masks)
        for text_id in quoted_masks:
            self._prepared_texts.drop(text_id)

    def end_group(self) -> None:
        """End the group of comparisons: its texts may be dropped from now on."""
        self._pinned_ids.clear()
        self._prepared_texts.end_batch()

    def put(self, text_id: int, body: str) -> None:
        """Add a new text. It may not be stored yet, so it stays in memory until the group of comparisons ends."""
        self._pinned_ids.add(text_id)
        if self._prepared_texts.missing([text_id]):
            self._prepared_texts[text_id] = _prepare(body, self._quoted_masks.get(text_id))
            beat()

    def load(self, text_ids: Collection[int]) -> None:
        """Load the texts that are not cached, up to the size limit, with one query. `get` loads the others one by one."""
        missing = self._prepared_texts.missing(set(text_ids))
        remaining_characters = MAX_CACHED_CHARACTERS
        loadable_ids: list[int] = []
        for text_id, characters in sorted(store.texts.lengths(self._database, missing).items()):
            if characters <= remaining_characters:
                remaining_characters -= characters
                loadable_ids.append(text_id)
        stored_masks = store.texts.quoted_masks(self._database, loadable_ids)
        for text_id, body in store.texts.bodies(self._database, loadable_ids).items():
            self._prepared_texts[text_id] = _prepare(body, stored_masks.get(text_id))
            beat()

    def get(self, text_id: int) -> PreparedText:
        """Return a text, loaded from the database if it is not cached. A text whose bodies were pruned is empty."""
        if text_id not in self._prepared_texts:
            stored_mask = store.texts.quoted_masks(self._database, [text_id]).get(text_id)
            self._prepared_texts[text_id] = _prepare(store.texts.body(self._database, text_id) or "", stored_mask)
            beat()
            self._prepared_texts.trim({*self._pinned_ids, self._last_id, text_id})
        self._last_id = text_id
        return self._prepared_texts[text_id]


def _prepare(body: str, stored_mask: bytes | None) -> PreparedText:
    """Prepare a body for comparison. `stored_mask` replaces the quoted characters of the body itself."""
    prepared = prepare_text(body)
    return prepared if stored_mask is None else replace(prepared, is_quoted=unpack_mask(stored_mask, len(prepared.points)))

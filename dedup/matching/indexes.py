"""The two indexes of a database: opened, repaired, extended and reset together."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dedup import store
from dedup.config import DuplicatesConfig
from dedup.index import lsh, passages
from dedup.index.lsh import CandidateIndex
from dedup.index.passages import PassageIndex
from dedup.store import Database

_DAMAGED_INDEX = "%s was truncated or overwritten; rebuilding it from the database"
_log = logging.getLogger("dedup")


class MatchIndexes:
    """The candidate index (signatures) and the passage index (fingerprints), opened when first used.

    `progress` receives the number of texts added while an index catches up or is rebuilt."""

    def __init__(self, database: Database, settings: DuplicatesConfig, progress: Callable[[int], None]) -> None:
        self._database, self._settings, self._progress = database, settings, progress
        self._candidate_index: CandidateIndex | None = None
        self._passage_index: PassageIndex | None = None
        self._is_discarded = False

    def open_candidate_index(self) -> CandidateIndex:
        """Return the candidate index. Opens it, catches up, or rebuilds it as needed."""
        if self._candidate_index is not None and not self._candidate_index.is_intact():
            _log.warning(_DAMAGED_INDEX, self._database.lsh_index_path())
            self._candidate_index = None
        if self._candidate_index is None:
            database = self._database
            self._candidate_index = lsh.open_index(
                database.lsh_index_path(), self._uuid(), self._settings.threshold, self._settings.num_perm,
                store.batches.latest(database).token, partial(store.batches.last_text_of_token, database),
                partial(store.texts.all_signatures, database), self._progress,
            )  # fmt: skip
        return self._candidate_index

    def open_passage_index(self) -> PassageIndex:
        """Return the passage index. Opens it, catches up, or rebuilds it as needed."""
        if self._passage_index is not None and not self._passage_index.is_intact():
            _log.warning(_DAMAGED_INDEX, self._database.passage_index_path())
            self._passage_index = None
        if self._passage_index is None:
            database = self._database
            self._passage_index = passages.open_index(
                database.passage_index_path(), self._uuid(),
                store.batches.latest(database).token, partial(store.batches.last_text_of_token, database),
                partial(store.passages.all_fingerprints, database), self._progress,
            )  # fmt: skip
        return self._passage_index

    def open(self) -> None:
        """Open the indexes that the settings ask for."""
        self.open_candidate_index()
        if self._settings.passages:
            self.open_passage_index()

    def add(self, signatures: Mapping[int, bytes], fingerprints: Sequence[tuple[int, NDArray[np.int64]]], token: bytes) -> None:
        """Add the texts that the commit `token` wrote: text id → signature, and (text id, fingerprints), both in order of the ids.

        If that fails, both indexes are closed: their content is unknown, and opening them again catches up from the database."""
        try:
            candidate_index = self.open_candidate_index()
            candidate_index.add(list(signatures), list(signatures.values()), token)
            if self._settings.passages:
                self.open_passage_index().add([n for n, _ in fingerprints], [k for _, k in fingerprints], token, candidate_index.last_text)
        except BaseException:
            self._candidate_index = self._passage_index = None
            raise

    def reset(self) -> None:
        """Replace the indexes by empty ones."""
        settings = self._settings
        self._candidate_index = lsh.new_index(self._database.lsh_index_path(), self._uuid(), settings.threshold, settings.num_perm)
        if settings.passages:
            self._passage_index = passages.new_index(self._database.passage_index_path(), self._uuid())

    def discard(self) -> bool:
        """Delete both index files because their content may be the cause of a failure. The next use rebuilds them from the database.

        Returns False, and does nothing, if they were discarded before: it did not help then."""
        if self._is_discarded:
            return False
        self._is_discarded = True
        self._candidate_index = self._passage_index = None
        for path in (self._database.lsh_index_path(), self._database.passage_index_path()):
            with suppress(FileNotFoundError):
                os.unlink(path)
        return True

    def _uuid(self) -> bytes:
        return uuid.UUID(store.settings.get(self._database, "uuid")).bytes

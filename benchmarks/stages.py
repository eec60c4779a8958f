"""The time of a scan by stage, without the stages nested within each."""

from __future__ import annotations

import importlib
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from dedup import formats
from dedup.config import Settings
from dedup.index.lsh import CandidateIndex
from dedup.index.passages import PassageIndex
from dedup.matching.matcher import Matcher
from dedup.matching.passage_matcher import PassageMatcher
from dedup.matching.thresholds import MatchCriteria
from dedup.pipeline.counts import ScanCounts
from dedup.pipeline.extract import extract_files
from dedup.pipeline.scanner import Scan
from dedup.pipeline.session import open_session
from dedup.runtime import process
from dedup.similarity import winnowing
from dedup.store import WritableDatabase
from dedup.text.urls import Canonicaliser

_SQL = "statements of SQLite"
_COMMIT = "commit (log, disk)"


class _Clock:
    """Own times by stage. A stage that begins within another stops the other's clock."""

    def __init__(self) -> None:
        self.own: defaultdict[str, float] = defaultdict(float)
        self._running: list[str] = ["the rest"]
        self._since = time.perf_counter()

    def _lap(self) -> None:
        now = time.perf_counter()
        self.own[self._running[-1]] += now - self._since
        self._since = now

    def timed(self, stage: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self._lap()
        self._running.append(stage)
        try:
            return function(*arguments, **named)
        finally:
            self._lap()
            self._running.pop()

    def wrap(self, owner: Any, name: str, stage: str) -> None:
        function = getattr(owner, name)
        setattr(owner, name, lambda *arguments, **named: self.timed(stage, function, *arguments, **named))


class _Connection:
    """A connection that times its statements, including fetching the rows."""

    def __init__(self, connection: Any, clock: _Clock) -> None:
        self._connection, self._clock = connection, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *values: Any) -> Any:
        stage = _COMMIT if sql == "COMMIT" else _SQL
        cursor = self._clock.timed(stage, self._connection.execute, sql, *values)
        return _Cursor(self._clock.timed(stage, cursor.fetchall), cursor)

    def executemany(self, sql: str, rows: Any) -> Any:
        return self._clock.timed(_SQL, self._connection.executemany, sql, list(rows))


class _Cursor(list[Any]):
    """All rows of a statement, with the methods of a cursor that the program calls."""

    def __init__(self, rows: list[Any], cursor: Any) -> None:
        super().__init__(rows)
        self.description, self.lastrowid, self.rowcount = cursor.description, cursor.lastrowid, cursor.rowcount

    def fetchall(self) -> list[Any]:
        return list(self)

    def fetchone(self) -> Any:
        return self[0] if self else None


def stages(settings: Settings) -> dict[str, Any]:
    """Scan in one process. `marks` are [articles recorded, {stage: own seconds so far}] after each batch."""
    examine: Any = importlib.import_module(extract_files.__module__)
    clock = _Clock()
    for owner, name, stage in (
        (importlib.import_module(Scan.__module__), "record_extractions", "working rows out"),
        (examine, "read_file", "opening, reading, looking twice"),
        (formats, "read_article", "decoding, parsing, checking content_hash"),
        (Canonicaliser, "canonicalise", "canonical URL"),
        (examine, "state_digest", "digest of the state"),
        (examine, "sign_bodies", "normalising and signing"),
        (winnowing, "fingerprint_texts_packed", "winnowing"),
        (CandidateIndex, "query", "candidate index: lookup"),
        (CandidateIndex, "add", "candidate index: insertion"),
        (PassageMatcher, "__init__", "passages: looking up followers"),
        (PassageIndex, "query", "passage index: lookup"),
        (PassageMatcher, "propose", "passages: proposing, learning"),
        (PassageMatcher, "enter", "passages: entering"),
        (PassageIndex, "add", "passage index: insertion"),
        (MatchCriteria, "assess", "comparing pairs"),
        (Matcher, "confirm_candidates", "confirming candidates"),
    ):
        clock.wrap(owner, name, stage)
    marks: list[tuple[int, dict[str, float]]] = []

    def mark(tally: ScanCounts) -> None:
        if not marks or tally.new > marks[-1][0]:
            marks.append((tally.new, dict(clock.own)))

    process.prepare_for_scanning()
    with open_session(settings, "benchmark") as session:
        _time_statements(session.database, clock)
        clock.timed("walking, handing on", Scan(session, progress=mark).run)
    return {"marks": marks}


def _time_statements(database: WritableDatabase, clock: _Clock) -> None:
    vars(database)["connection"] = _Connection(vars(database)["connection"], clock)

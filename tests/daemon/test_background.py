"""The daemon's idle work: how long it runs, what it gives way to, and how it rests after long pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dedup.daemon.background import REST_FACTOR, SLICE_SECONDS, SLOW_BATCH_SECONDS, BackgroundWorker
from dedup.maintenance import summaries
from dedup.pipeline.session import Session
from dedup.search import IndexProgress, SearchIndexer
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile


@dataclass
class FakeWork:
    """A clock, and pieces of work on summaries and search that only take time."""

    pieces: list[float]
    remaining: int = 0
    now: float = 1000.0
    calls: list[tuple[str, float]] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def work_off(self, *_: object) -> int:
        self.calls.append(("summed", self.now))
        if not self.pieces:
            return 0
        self.now += self.pieces.pop(0)
        return 1

    def fill(self, *_: object, **__: object) -> IndexProgress:
        self.calls.append(("search", self.now))
        return IndexProgress(0, self.remaining)


MakeWorker = Callable[..., tuple[BackgroundWorker, FakeWork]]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    ArticleFile().write(tmp_path / "crawl")
    with running.session(tmp_path / "crawl", tmp_path / "dedup.db") as open_session:
        yield open_session


@pytest.fixture
def make_worker(session: Session, monkeypatch: pytest.MonkeyPatch) -> MakeWorker:
    def make(*pieces: float, least: int = 0, remaining: int = 0) -> tuple[BackgroundWorker, FakeWork]:
        work = FakeWork([*pieces], remaining)
        monkeypatch.setattr(summaries, "update_summaries", work.work_off)
        monkeypatch.setattr(SearchIndexer, "update", work.fill)
        return BackgroundWorker(session, lambda: len(work.pieces) < least, lambda: False, clock=work.clock), work

    return make


def test_summaries_are_updated_before_the_search_index(make_worker: MakeWorker) -> None:
    worker, work = make_worker(0.01, 0.01, remaining=3)
    assert worker.run_slice()
    assert [kind for kind, _ in work.calls] == ["summed", "summed", "summed", "search"]
    work.remaining = 0
    assert not worker.run_slice(), "there is nothing left"


def test_a_slice_is_short_and_the_next_one_continues(make_worker: MakeWorker) -> None:
    worker, work = make_worker(*[SLICE_SECONDS / 2] * 9)
    assert worker.run_slice()
    assert len(work.pieces) == 7
    assert worker.run_slice()
    assert len(work.pieces) == 5


def test_summaries_rest_after_a_slow_batch_while_indexing_continues(make_worker: MakeWorker) -> None:
    worker, work = make_worker(2 * SLOW_BATCH_SECONDS, 2 * SLOW_BATCH_SECONDS)
    assert worker.run_slice()
    end = work.now
    work.calls.clear()
    while work.now < end + REST_FACTOR * 2 * SLOW_BATCH_SECONDS:
        worker.run_slice()
        work.now += 1
    assert {kind for kind, _ in work.calls} == {"search"}
    worker.run_slice()
    assert not work.pieces


def test_background_work_gives_way_to_files_between_two_batches(make_worker: MakeWorker) -> None:
    worker, work = make_worker(0.01, 0.01, 0.01, least=2)
    assert not worker.run_slice()
    assert len(work.pieces) == 1
    assert not worker.run_slice()
    assert len(work.pieces) == 1

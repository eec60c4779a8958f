"""The daemon's idle work: how long it goes on, what it gives way to, and that long pieces do not take the daemon's time."""

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
class Told:
    """A clock, and pieces of summing up and of search that are made of nothing but seconds."""

    pieces: list[float]
    entering: int = 0
    now: float = 1000.0
    done: list[tuple[str, float]] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def work_off(self, *_: object) -> int:
        self.done.append(("summed", self.now))
        if not self.pieces:
            return 0
        self.now += self.pieces.pop(0)
        return 1

    def fill(self, *_: object, **__: object) -> IndexProgress:
        self.done.append(("search", self.now))
        return IndexProgress(0, self.entering)


Make = Callable[..., tuple[BackgroundWorker, Told]]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    ArticleFile().write(tmp_path / "crawl")
    with running.session(tmp_path / "crawl", tmp_path / "dedup.db") as opened:
        yield opened


@pytest.fixture
def made(session: Session, monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(*pieces: float, least: int = 0, entering: int = 0) -> tuple[BackgroundWorker, Told]:
        told = Told([*pieces], entering)
        monkeypatch.setattr(summaries, "update_summaries", told.work_off)
        monkeypatch.setattr(SearchIndexer, "update", told.fill)
        return BackgroundWorker(session, lambda: len(told.pieces) < least, lambda: False, clock=told.clock), told

    return make


def test_what_is_due_is_summed_up_first_and_then_search_is_filled(made: Make) -> None:
    work, told = made(0.01, 0.01, entering=3)
    assert work.run_slice()
    assert [what for what, _ in told.done] == ["summed", "summed", "summed", "search"]
    told.entering = 0
    assert not work.run_slice(), "there is nothing left"


def test_a_round_is_over_after_a_moment_and_goes_on_at_once(made: Make) -> None:
    work, told = made(*[SLICE_SECONDS / 2] * 9)
    assert work.run_slice()
    assert len(told.pieces) == 7
    assert work.run_slice()
    assert len(told.pieces) == 5


def test_after_a_long_piece_summing_up_rests_nine_times_as_long_and_search_goes_on(made: Make) -> None:
    work, told = made(2 * SLOW_BATCH_SECONDS, 2 * SLOW_BATCH_SECONDS)
    assert work.run_slice()
    ended = told.now
    told.done.clear()
    while told.now < ended + REST_FACTOR * 2 * SLOW_BATCH_SECONDS:
        work.run_slice()
        told.now += 1
    assert {what for what, _ in told.done} == {"search"}
    work.run_slice()
    assert not told.pieces


def test_it_gives_way_to_files_between_two_pieces(made: Make) -> None:
    work, told = made(0.01, 0.01, 0.01, least=2)
    assert not work.run_slice()
    assert len(told.pieces) == 1
    assert not work.run_slice()
    assert len(told.pieces) == 1

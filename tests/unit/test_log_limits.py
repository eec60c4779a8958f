"""Limits on log lines of one kind: suppressed lines are counted and reported, and no line is counted twice."""

from __future__ import annotations

import logging
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.runtime.log_limits import MAX_KINDS, OTHER_KIND, LogLimiter, LogLimitFilter, SuppressedCount


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Lines(logging.Handler):
    """A handler that collects messages."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.written.append(record.getMessage())


def limited_log(max_lines: int = 3) -> tuple[Clock, Lines, LogLimitFilter, logging.Logger]:
    clock, lines = Clock(), Lines()
    limit = LogLimitFilter(lines, LogLimiter(max_lines, 60.0, clock))
    lines.addFilter(limit)
    log = logging.Logger("dedup")
    log.addHandler(lines)
    return clock, lines, limit, log


@pytest.mark.system
def test_many_lines_of_a_kind_become_a_few_and_a_count() -> None:
    _, lines, limit, log = limited_log(10)
    for i in range(200_000):
        log.info("fault: %d.md: empty", i)
    limit.close()
    assert lines.written[:10] == [f"fault: {i}.md: empty" for i in range(10)]
    assert lines.written[10:] == ["and 199,990 more of this kind: fault: %d.md: empty"]


def test_a_flood_of_one_kind_leaves_room_for_another() -> None:
    _, lines, limit, log = limited_log()
    for i in range(100):
        log.info("fault: %d", i)
    log.error("the disk is full")
    limit.close()
    assert "the disk is full" in lines.written


def test_a_record_names_its_own_kind() -> None:
    _, lines, limit, log = limited_log(1)
    for kind in ("a", "b", "a"):
        log.info("%s", "line", extra={"kind": kind})
    limit.close()
    assert lines.written == ["line", "line", "and 1 more of this kind: a"]


def test_after_its_period_a_kind_is_written_again_after_its_count() -> None:
    clock, lines, _, log = limited_log(1)
    for i in range(5):
        log.info("n %d", i)
    clock.now = 60.0
    log.info("n %d", 5)
    assert lines.written == ["n 0", "and 4 more of this kind: n %d", "n 5"]


def test_the_count_is_reported_even_without_another_line() -> None:
    lines = Lines()
    reported = threading.Event()
    limit = LogLimitFilter(lines, LogLimiter(1, 0.05))
    lines.addFilter(limit)
    handle = lines.handle

    def notify(record: logging.LogRecord) -> bool:
        handled = bool(handle(record))
        if getattr(record, "summary", False):
            reported.set()
        return handled

    lines.handle = notify  # type: ignore[method-assign]
    log = logging.Logger("dedup")
    log.addHandler(lines)
    log.info("x")
    log.info("x")
    assert reported.wait(30)
    assert lines.written == ["x", "and 1 more of this kind: x"]


def test_a_filter_on_a_logger_limits_lines_too() -> None:
    lines, log = Lines(), logging.Logger("uvicorn.error")
    log.addHandler(lines)
    limit = LogLimitFilter(log, LogLimiter(1))
    log.addFilter(limit)
    for _ in range(3):
        log.warning("Invalid HTTP request received.")
    limit.close()
    assert lines.written == [
        "Invalid HTTP request received.",
        "and 2 more of this kind: Invalid HTTP request received.",
    ]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 40))),
    st.integers(1, 5),
)
def test_every_message_is_written_or_counted_once(messages: list[tuple[str, float]], limit: int) -> None:
    clock = Clock()
    limiter = LogLimiter(limit, 60.0, clock)
    lines: Counter[str] = Counter()
    suppressed: Counter[str] = Counter()
    times_by_kind: dict[str, list[float]] = {}
    for kind, seconds in messages:
        clock.now += seconds
        for s in limiter.pop_suppressed():
            suppressed[s.kind] += s.count
        if limiter.admit(kind):
            lines[kind] += 1
            times_by_kind.setdefault(kind, []).append(clock.now)
    for s in limiter.pop_suppressed(include_running=True):
        suppressed[s.kind] += s.count
    assert lines + suppressed == Counter(kind for kind, _ in messages)
    assert limiter.pop_suppressed(include_running=True) == []
    for times in times_by_kind.values():
        assert all(later - first >= 60.0 for first, later in zip(times, times[2 * limit :], strict=False))


def test_kinds_beyond_the_limit_share_one_count() -> None:
    limiter = LogLimiter(1, 60.0, Clock())
    admitted = [limiter.admit(f"kind {i}") for i in range(MAX_KINDS + 10)]
    assert sum(admitted) == MAX_KINDS + 1
    assert limiter.pop_suppressed(include_running=True) == [SuppressedCount(OTHER_KIND, 9)]

"""Which revisions keep their body: the rule of [history], compared with a plain restatement."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup.config import HistoryConfig
from dedup.maintenance.retention import PruneResult, RetentionRule, build_retention_rule, find_keep_reasons, find_prunable, prune
from dedup.store.connection import open_locked
from dedup.store.lock import Lock
from dedup.store.rows import RetentionState
from tests.builders import scans as running
from tests.builders.archived import ask
from tests.builders.crawl import ArticleFile

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain")]


@dataclass(frozen=True)
class Crawl:
    """One crawl of a page on a day of March: its state, whether it counts, and whether its file still exists."""

    day: int
    state: str
    is_counted: bool = True
    has_file: bool = False

    @property
    def at(self) -> str:
        return f"2026-03-{self.day:02}T00:30:00+00:00"


def digest(state: str) -> bytes:
    return hashlib.sha256(state.encode()).digest()


def kept_states(crawls: Sequence[Crawl], *, first: bool, since: str) -> set[str]:
    """The states that keep their body, following the documentation: each state is checked for each reason."""
    ordered = sorted(crawls, key=lambda c: (c.at, digest(c.state)))
    history = [c for c in ordered if c.is_counted]
    states = set()
    for state in {c.state for c in crawls}:
        crawls_of_state = [c for c in crawls if c.state == state]
        is_last = (history or ordered)[-1].state == state
        is_first = bool(history) and history[0].state == state
        has_file = any(c.has_file for c in crawls_of_state)
        is_young = any(c.at >= since for c in crawls_of_state)
        if is_last or (first and is_first) or has_file or is_young:
            states.add(state)
    return states


def retention_states(crawls: Sequence[Crawl]) -> list[RetentionState]:
    """The page's revisions as they are stored."""
    history = sorted((c for c in crawls if c.is_counted), key=lambda c: (c.at, digest(c.state)))
    states = []
    for number, state in enumerate(dict.fromkeys(c.state for c in crawls), 1):
        crawls_of_state = [c for c in crawls if c.state == state]
        times_of_state = [c.at for c in crawls_of_state if c.is_counted]
        current = bool(history) and history[-1].state == state
        times = min(times_of_state, default=None), max(times_of_state, default=None), max(c.at for c in crawls_of_state)
        states.append(RetentionState(1, number, digest(state), *times, current, any(c.has_file for c in crawls_of_state), is_pruned=False))
    return states


histories = st.lists(
    st.builds(Crawl, st.integers(1, 9), st.sampled_from("ABCDE"), st.booleans(), st.booleans()),
    min_size=1,
    max_size=9,
    unique_by=lambda c: (c.day, c.state),
)


@given(histories, st.booleans(), st.integers(1, 10))
@settings(max_examples=300, deadline=None)
def test_the_rule_keeps_what_the_documentation_says(crawls: list[Crawl], first: bool, day: int) -> None:
    since = f"2026-03-{day:02}T00:30:00+00:00"
    states = retention_states(crawls)
    names = dict(enumerate(dict.fromkeys(c.state for c in crawls), 1))
    reasons = find_keep_reasons(states, RetentionRule(frozenset({"first", "last"} if first else {"last"}), since))
    assert {names[revision] for revision in reasons} == kept_states(crawls, first=first, since=since)


@given(
    st.lists(st.builds(Crawl, st.integers(1, 9), st.sampled_from("ABCD"), has_file=st.booleans()), min_size=2, max_size=6,
             unique_by=lambda c: (c.day, c.state)),
    st.booleans(),
    st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_pruning_a_database_deletes_all_other_bodies(crawls: list[Crawl], first: bool, days: int) -> None:
    """A kept body is unchanged, a pruned body is empty, and no row is missing."""
    with tempfile.TemporaryDirectory() as folder:
        crawl, db = Path(folder, "crawl"), Path(folder, "dedup.db")
        for n, c in enumerate(crawls):
            ArticleFile(body=f"본문 {c.state}", crawled_at=f"2026-03-{c.day:02} 00:30:00").write(crawl, f"{n}.md")
        ArticleFile(body="다른 글", aid="0000000099", crawled_at="2026-03-01 00:00:00").write(crawl)
        running.scan(crawl, db)
        for n, c in enumerate(crawls):
            if not c.has_file:
                (crawl / f"{n}.md").unlink()
        running.scan(crawl, db)
        newest = max(c.day for c in crawls)
        since = f"2026-03-{newest - days:02}T00:30:00+00:00" if newest > days else "2026-02-01"
        bodies = {f"본문 {c.state}": c for c in crawls}
        crawls = [replace(c, state=f"본문 {c.state}") for c in crawls]
        kept_bodies = kept_states_by_digest(crawls, dict(ask(db, "SELECT body, digest FROM revisions")), first=first, since=since)
        before = ask(db, "SELECT id, page_id, digest, title, text_id FROM revisions ORDER BY 1")
        lengths = dict(ask(db, "SELECT id, length(body) FROM revisions"))
        result = prune_by(db, HistoryConfig(keep=("first", "last") if first else ("last",), days=days))
        assert {row[0] for row in ask(db, "SELECT body FROM revisions WHERE pruned_at IS NULL")} == kept_bodies | {"다른 글"}
        assert {row[0] for row in ask(db, "SELECT body FROM revisions WHERE pruned_at IS NOT NULL")} <= {""}
        assert ask(db, "SELECT id, page_id, digest, title, text_id FROM revisions ORDER BY 1") == before
        assert dict(ask(db, "SELECT id, coalesce(pruned_characters, length(body)) FROM revisions")) == lengths
        assert (result.states, result.states + result.kept_by_reason.total()) == (len(bodies) - len(kept_bodies), len(before))


def kept_states_by_digest(crawls: Sequence[Crawl], digests: dict[object, object], *, first: bool, since: str) -> set[str]:
    """`kept_states`, with crawls at one time ordered by the digests in the database."""
    order = sorted({c.state for c in crawls}, key=lambda state: digests[state])  # type: ignore[arg-type, return-value]
    names = dict(zip(sorted(order, key=digest), order, strict=True))
    back = {state: name for name, state in names.items()}
    return {names[s] for s in kept_states([replace(c, state=back[c.state]) for c in crawls], first=first, since=since)}


def prune_by(db: Path, history: HistoryConfig) -> PruneResult:
    result = PruneResult()
    lock = Lock(str(db), "test")
    try:
        with open_locked(str(db), lock) as database:
            rule = build_retention_rule(history, database)
            assert rule is not None
            prune(database, rule, result)
    finally:
        lock.release()
    return result


def test_everything_is_kept_by_default(crawl: Path, db: Path) -> None:
    ArticleFile().write(crawl)
    running.scan(crawl, db)
    lock = Lock(str(db), "test")
    with open_locked(str(db), lock) as database:
        assert build_retention_rule(HistoryConfig(), database) is None
    lock.release()


def test_days_count_from_the_last_crawl_that_is_not_in_the_future(crawl: Path, db: Path) -> None:
    """A wrong clock, or a crawler that paused for a year, makes nothing old."""
    ArticleFile(crawled_at="2026-03-02 00:30:00").write(crawl)
    ArticleFile(aid="2", crawled_at="9999-12-31 00:00:00").write(crawl)
    running.scan(crawl, db)
    lock = Lock(str(db), "test")
    with open_locked(str(db), lock) as database:
        for days, since in ((0, "2026-03-02T00:30:00+00:00"), (30, "2026-01-31T00:30:00+00:00")):
            assert build_retention_rule(HistoryConfig(keep=("last",), days=days), database) == RetentionRule(frozenset({"last"}), since)
        earliest = build_retention_rule(HistoryConfig(keep=("last",), days=36_500), database)
        assert earliest is not None
        assert earliest.since.startswith("1926-")
        assert list(find_prunable(database, earliest, PruneResult())) == []
    lock.release()

"""Which states keep their text: the rule of [history], held against a plain restatement of it."""

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

pytestmark = pytest.mark.usefixtures("plain")


@dataclass(frozen=True)
class Crawl:
    """One crawl of a page: on which day of March, which state it showed, whether it counts, and whether its file is there still."""

    day: int
    state: str
    counted: bool = True
    there: bool = False

    @property
    def at(self) -> str:
        return f"2026-03-{self.day:02}T00:30:00+00:00"


def digest(state: str) -> bytes:
    return hashlib.sha256(state.encode()).digest()


def stay(crawls: Sequence[Crawl], *, first: bool, since: str) -> set[str]:
    """The states that keep their text, by the words of the documentation: one state after the other, each asked for each reason."""
    told = sorted(crawls, key=lambda c: (c.at, digest(c.state)))
    those = [c for c in told if c.counted]
    found = set()
    for state in {c.state for c in crawls}:
        own = [c for c in crawls if c.state == state]
        is_last = (those or told)[-1].state == state
        is_first = bool(those) and those[0].state == state
        is_there = any(c.there for c in own)
        is_young = any(c.at >= since for c in own)
        if is_last or (first and is_first) or is_there or is_young:
            found.add(state)
    return found


def rows(crawls: Sequence[Crawl]) -> list[RetentionState]:
    """The page's states as they are stored."""
    those = sorted((c for c in crawls if c.counted), key=lambda c: (c.at, digest(c.state)))
    found = []
    for number, state in enumerate(dict.fromkeys(c.state for c in crawls), 1):
        own = [c for c in crawls if c.state == state]
        counted = [c.at for c in own if c.counted]
        current = bool(those) and those[-1].state == state
        times = min(counted, default=None), max(counted, default=None), max(c.at for c in own)
        found.append(RetentionState(1, number, digest(state), *times, current, any(c.there for c in own), is_pruned=False))
    return found


histories = st.lists(
    st.builds(Crawl, st.integers(1, 9), st.sampled_from("ABCDE"), st.booleans(), st.booleans()),
    min_size=1,
    max_size=9,
    unique_by=lambda c: (c.day, c.state),
)


@given(histories, st.booleans(), st.integers(1, 10))
@settings(max_examples=300, deadline=None)
def test_what_stays_is_what_the_rule_says(crawls: list[Crawl], first: bool, day: int) -> None:
    since = f"2026-03-{day:02}T00:30:00+00:00"
    states = rows(crawls)
    names = dict(enumerate(dict.fromkeys(c.state for c in crawls), 1))
    found = find_keep_reasons(states, RetentionRule(frozenset({"first", "last"} if first else {"last"}), since))
    assert {names[revision] for revision in found} == stay(crawls, first=first, since=since)


@given(
    st.lists(st.builds(Crawl, st.integers(1, 9), st.sampled_from("ABCD"), there=st.booleans()), min_size=2, max_size=6,
             unique_by=lambda c: (c.day, c.state)),
    st.booleans(),
    st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_what_goes_from_a_database_is_all_the_rest(crawls: list[Crawl], first: bool, days: int) -> None:
    """From files to bodies: what is kept is word for word what it was, what is not is empty, and no row is missing."""
    with tempfile.TemporaryDirectory() as place:
        crawl, db = Path(place, "crawl"), Path(place, "dedup.db")
        for n, c in enumerate(crawls):
            ArticleFile(body=f"본문 {c.state}", crawled_at=f"2026-03-{c.day:02} 00:30:00").write(crawl, f"{n}.md")
        ArticleFile(body="다른 글", aid="0000000099", crawled_at="2026-03-01 00:00:00").write(crawl)
        running.scan(crawl, db)
        for n, c in enumerate(crawls):
            if not c.there:
                (crawl / f"{n}.md").unlink()
        running.scan(crawl, db)
        newest = max(c.day for c in crawls)
        since = f"2026-03-{newest - days:02}T00:30:00+00:00" if newest > days else "2026-02-01"
        bodies = {f"본문 {c.state}": c for c in crawls}
        crawls = [replace(c, state=f"본문 {c.state}") for c in crawls]
        wanted = stay_by_digest(crawls, dict(ask(db, "SELECT body, digest FROM revisions")), first=first, since=since)
        before = ask(db, "SELECT id, page_id, digest, title, text_id FROM revisions ORDER BY 1")
        lengths = dict(ask(db, "SELECT id, length(body) FROM revisions"))
        pruned = pruned_by(db, HistoryConfig(keep=("first", "last") if first else ("last",), days=days))
        assert {row[0] for row in ask(db, "SELECT body FROM revisions WHERE pruned_at IS NULL")} == wanted | {"다른 글"}
        assert {row[0] for row in ask(db, "SELECT body FROM revisions WHERE pruned_at IS NOT NULL")} <= {""}
        assert ask(db, "SELECT id, page_id, digest, title, text_id FROM revisions ORDER BY 1") == before
        assert dict(ask(db, "SELECT id, coalesce(pruned_characters, length(body)) FROM revisions")) == lengths
        assert (pruned.states, pruned.states + pruned.kept_by_reason.total()) == (len(bodies) - len(wanted), len(before))


def stay_by_digest(crawls: Sequence[Crawl], digests: dict[object, object], *, first: bool, since: str) -> set[str]:
    """`stay`, crawls of one moment being ordered by the digests that the database has of them."""
    order = sorted({c.state for c in crawls}, key=lambda state: digests[state])  # type: ignore[arg-type, return-value]
    names = dict(zip(sorted(order, key=digest), order, strict=True))
    back = {state: name for name, state in names.items()}
    return {names[s] for s in stay([replace(c, state=back[c.state]) for c in crawls], first=first, since=since)}


def pruned_by(db: Path, history: HistoryConfig) -> PruneResult:
    pruned = PruneResult()
    lock = Lock(str(db), "test")
    try:
        with open_locked(str(db), lock) as database:
            rule = build_retention_rule(history, database)
            assert rule is not None
            prune(database, rule, pruned)
    finally:
        lock.release()
    return pruned


def test_all_is_kept_by_default(crawl: Path, db: Path) -> None:
    ArticleFile().write(crawl)
    running.scan(crawl, db)
    lock = Lock(str(db), "test")
    with open_locked(str(db), lock) as database:
        assert build_retention_rule(HistoryConfig(), database) is None
    lock.release()


def test_days_are_counted_from_the_last_crawl_that_is_not_in_the_future(crawl: Path, db: Path) -> None:
    """A clock that went wrong, or a crawler that stood still for a year, makes nothing old."""
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

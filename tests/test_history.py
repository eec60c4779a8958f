"""A page's history: the same whatever order its crawls arrive in."""

from __future__ import annotations

import hashlib
import random
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup.ingest import Scan, history
from dedup.model import Metadata, Sighting
from tests import running
from tests.crawl import Made, edited, words

_RNG = random.Random(20260302)
_STORY = words(_RNG, 60)
BODIES = tuple(" ".join(edited(random.Random(n), _STORY, 0.02 * n)) for n in range(4))
TIMES = tuple(f"2026-03-0{d} 0{h}:00:00" for d in (2, 3) for h in (1, 5))
HISTORY = ("pages", "aliases", "revisions", "sightings", "readings", "changes", "matches")


@dataclass(frozen=True)
class Version:
    """What a crawler wrote to a path at some time."""

    page: int
    crawl: int
    body: int
    titled: int
    claim: str
    commented: bool

    @property
    def article(self) -> Made:
        body = BODIES[self.body]
        claims = {"right": None, "none": "", "wrong": "0" * 64, "older": hashlib.sha256(BODIES[0].encode()).hexdigest()}
        return Made(
            body=body,
            title=f"제목 {self.titled}",
            aid=f"{self.page:010d}",
            crawled_at=TIMES[self.crawl],
            author="홍길동" if self.crawl > 1 else "",
            claim=claims[self.claim],
            comments="*댓글이 없습니다.*" if self.commented else None,
        )

    @property
    def key(self) -> tuple[str, str]:
        return self.article.name, self.article.crawled_at


VERSIONS = st.builds(
    Version,
    page=st.integers(0, 1),
    crawl=st.integers(0, 3),
    body=st.integers(0, 3),
    titled=st.integers(0, 1),
    claim=st.sampled_from(["right", "right", "right", "none", "wrong", "older"]),
    commented=st.booleans(),
)


def _record(versions: list[Version], scanned: list[bool]) -> list[dict[str, object]]:
    """Lay the versions over one directory in this order, every path scanned before it is overwritten."""
    with tempfile.TemporaryDirectory() as folder:
        crawl, db = Path(folder) / "crawl", Path(folder) / "dedup.db"
        crawl.mkdir()
        with running.session(crawl, db, min_characters=20) as session:
            unseen: set[str] = set()
            for version, scan in zip(versions, scanned, strict=True):
                if version.article.name in unseen:
                    Scan(session).run()
                    unseen.clear()
                version.article.write(crawl, age=0)
                unseen.add(version.article.name)
                if scan:
                    Scan(session).run()
                    unseen.clear()
            Scan(session).run()
        return running.dump(db, *HISTORY)


@given(
    versions=st.lists(VERSIONS, min_size=1, max_size=9, unique_by=lambda v: v.key),
    shuffle=st.randoms(use_true_random=False),
    scanned=st.lists(st.booleans(), min_size=9, max_size=9),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_order_of_arrival_gives_the_history_of_a_clean_rebuild(
    versions: list[Version], shuffle: random.Random, scanned: list[bool]
) -> None:
    in_time = sorted(versions, key=lambda v: (v.crawl, v.key))
    shuffled = list(versions)
    shuffle.shuffle(shuffled)
    assert _record(shuffled, scanned[: len(versions)]) == _record(in_time, [True] * len(versions))


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["", "홍길동", "김영희"])), max_size=12))
def test_changes_are_those_between_neighbours_and_returns_are_to_states_seen_before(seen: list[tuple[int, str]]) -> None:
    sightings = [Sighting(i, f"2026-03-02T00:{i:02}:00+00:00", r, bytes([r]), Metadata(author=a)) for i, (r, a) in enumerate(seen)]
    found = {c.sighting.id: c for c in history.changes(sightings)}
    for i in range(1, len(seen)):
        (before, author_before), (after, author_after) = seen[i - 1], seen[i]
        if (before, author_before) == (after, author_after):
            assert i not in found
            continue
        change = found.pop(i)
        assert change.state_changed == (before != after)
        assert change.returned == (before != after and after in [r for r, _ in seen[:i]])
        assert change.fields == ((("author", author_before, author_after),) if author_before != author_after else ())
    assert not found


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "crawl").mkdir()
    return tmp_path / "crawl", tmp_path / "dedup.db"


A = Made(body=BODIES[0])
B = replace(A, body=BODIES[1], crawled_at="2026-03-03 00:00:00")


def _seen(place: tuple[Path, Path], *articles: Made | str) -> dict[str, object]:
    """The history after the articles (or, as text, torn files) were written to one path in turn, each of them seen."""
    crawl, db = place
    for article in articles:
        if isinstance(article, Made):
            article.write(crawl, "one.md", age=0)
        else:
            (crawl / "one.md").write_text(article, encoding="utf-8")
        running.scan(crawl, db)
    return running.history(db, A.address)


def test_a_text_that_returns_is_two_revisions_and_two_changes(place: tuple[Path, Path]) -> None:
    found = _seen(place, A, B, replace(A, crawled_at="2026-03-04 00:00:00"))
    assert [r["sightings"] for r in found["revisions"]] == [2, 1]  # type: ignore[attr-defined]
    assert [(c["from"], c["to"], c["returned"]) for c in found["changes"]] == [(1, 2, False), (2, 1, True)]  # type: ignore[attr-defined]


def test_an_earlier_crawl_that_arrives_late_takes_its_place(place: tuple[Path, Path]) -> None:
    found = _seen(place, B, A)
    assert [(c["from"], c["to"]) for c in found["changes"]] == [(1, 2)]  # type: ignore[attr-defined]
    assert found["timeline"][0]["crawled_at"] == "2026-03-02T00:30:00+00:00"  # type: ignore[index]


def test_the_same_crawl_read_whole_replaces_what_was_torn(place: tuple[Path, Path]) -> None:
    torn = A.render()[: A.render().index(A.body) + 60]
    found = _seen(place, torn, A)
    assert [(t["check"], t["standing"]) for t in found["timeline"]] == [("verified", "counted")]  # type: ignore[attr-defined]


def test_a_state_known_only_from_a_torn_file_shows_and_does_not_count(place: tuple[Path, Path]) -> None:
    torn = B.render()[: B.render().index(B.body) + 60]
    found = _seen(place, A, torn)
    assert len(found["revisions"]) == 1  # type: ignore[arg-type]
    assert [(t["revision"], t["standing"]) for t in found["timeline"]] == [(1, "counted"), (None, "truncated")]  # type: ignore[attr-defined]
    assert found["changes"] == []


def test_a_mismatched_reading_of_the_same_crawl_is_replaced(place: tuple[Path, Path]) -> None:
    found = _seen(place, replace(A, body=BODIES[2], claim=A.digest), A)
    assert [(t["check"], t["cause"]) for t in found["timeline"]] == [("verified", None)]  # type: ignore[attr-defined]


def test_a_verified_reading_stays_and_what_came_over_it_is_altered(place: tuple[Path, Path]) -> None:
    found = _seen(place, A, replace(A, body=BODIES[2]))
    told = {(t["check"], t["cause"], t["standing"]) for t in found["timeline"]}  # type: ignore[attr-defined]
    assert told == {("verified", None, "counted"), ("mismatched", "altered", "overruled")}
    assert found["changes"] == []
    assert len(found["revisions"]) == 1  # type: ignore[arg-type]


def test_what_nothing_vouched_for_gives_way_but_its_text_is_kept(place: tuple[Path, Path]) -> None:
    found = _seen(place, replace(A, claim=""), replace(A, body=BODIES[2], claim=""))
    assert sorted(t["standing"] for t in found["timeline"]) == ["counted", "superseded"]  # type: ignore[attr-defined]
    bodies = {row["body"] for row in running.dump(place[1], "revisions")}
    assert bodies == {BODIES[0], BODIES[2]}


def test_a_claim_of_an_earlier_text_is_stale_even_if_that_text_arrives_later(place: tuple[Path, Path]) -> None:
    late = replace(B, claim=A.digest)
    crawl, db = place
    late.write(crawl, "b.md")
    running.scan(crawl, db)
    assert running.history(db, A.address)["timeline"][0]["cause"] == "altered"
    A.write(crawl, "a.md")
    running.scan(crawl, db)
    assert [t["cause"] for t in running.history(db, A.address)["timeline"]] == [None, "stale"]


def test_both_variants_of_one_crawl_are_one_sighting(place: tuple[Path, Path]) -> None:
    crawl, db = place
    A.write(crawl)
    replace(A, comments="*댓글이 없습니다.*").write(crawl)
    running.scan(crawl, db)
    found = running.history(db, A.address)
    assert len(found["revisions"]) == 1
    assert found["revisions"][0]["sightings"] == 1
    assert len(found["timeline"]) == 2


def test_metadata_alone_is_a_change_of_metadata_not_of_state(place: tuple[Path, Path]) -> None:
    found = _seen(place, A, replace(A, author="홍길동", crawled_at="2026-03-03 00:00:00"))
    assert found["changes"] == []
    assert [(c["field"], c["before"], c["after"]) for c in found["metadata_changes"]] == [("author", "", "홍길동")]  # type: ignore[attr-defined]


def test_a_file_without_a_crawl_time_is_dated_by_its_own_and_says_so(place: tuple[Path, Path]) -> None:
    crawl, db = place
    article = replace(A, crawled_at="")
    path = article.write(crawl)
    running.scan(crawl, db)
    path.touch()
    running.scan(crawl, db)
    timeline = running.history(db, A.address)["timeline"]
    assert [t["crawled_at_from"] for t in timeline] == ["mtime"]

"""The history of a page does not depend on the order in which its crawls arrive."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup.model import Metadata, Sighting
from dedup.pipeline import history, page_history
from dedup.pipeline.extract import CrawlFile, extract_files, to_file_stamp
from dedup.pipeline.record import record_extractions
from dedup.pipeline.scanner import Scan
from tests.builders import doctor as examining
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile, edit_words, words

pytestmark = pytest.mark.slow

_RNG = random.Random(20260302)
_STORY = words(_RNG, 60)
BODIES = tuple(" ".join(edit_words(random.Random(n), _STORY, 0.02 * n)) for n in range(4))
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
    def article(self) -> ArticleFile:
        body = BODIES[self.body]
        claims = {"right": None, "none": "", "wrong": "0" * 64, "older": hashlib.sha256(BODIES[0].encode()).hexdigest()}
        return ArticleFile(
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


def _dump_of_versions(versions: list[Version], scanned: list[bool]) -> list[dict[str, object]]:
    """The dump after the versions were written into one directory in this order. Each path is scanned before it is overwritten."""
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


@pytest.mark.system
@given(
    versions=st.lists(VERSIONS, min_size=1, max_size=9, unique_by=lambda v: v.key),
    shuffle=st.randoms(use_true_random=False),
    scanned=st.lists(st.booleans(), min_size=9, max_size=9),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_history_does_not_depend_on_the_order_of_arrival(versions: list[Version], shuffle: random.Random, scanned: list[bool]) -> None:
    in_time = sorted(versions, key=lambda v: (v.crawl, v.key))
    shuffled = list(versions)
    shuffle.shuffle(shuffled)
    assert _dump_of_versions(shuffled, scanned[: len(versions)]) == _dump_of_versions(in_time, [True] * len(versions))


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["", "홍길동", "김영희"])), max_size=12))
def test_changes_are_between_neighbours_and_returned_means_seen_before(states: list[tuple[int, str]]) -> None:
    sightings = [Sighting(i, f"2026-03-02T00:{i:02}:00+00:00", r, bytes([r]), Metadata(author=a)) for i, (r, a) in enumerate(states)]
    changes = {c.sighting.id: c for c in history.find_changes(sightings)}
    for i in range(1, len(states)):
        (before, author_before), (after, author_after) = states[i - 1], states[i]
        if (before, author_before) == (after, author_after):
            assert i not in changes
            continue
        change = changes.pop(i)
        assert change.state_changed == (before != after)
        assert change.returned == (before != after and after in [r for r, _ in states[:i]])
        assert change.fields == ((("author", author_before, author_after),) if author_before != author_after else ())
    assert not changes


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "crawl").mkdir()
    return tmp_path / "crawl", tmp_path / "dedup.db"


A = ArticleFile(body=BODIES[0])
B = replace(A, body=BODIES[1], crawled_at="2026-03-03 00:00:00")


def _history_after(place: tuple[Path, Path], *articles: ArticleFile | str) -> dict[str, object]:
    """The history after the articles (or truncated files, given as text) were written to one path, with a scan after each."""
    crawl, db = place
    for article in articles:
        if isinstance(article, ArticleFile):
            article.write(crawl, "one.md", age=0)
        else:
            (crawl / "one.md").write_text(article, encoding="utf-8")
        running.scan(crawl, db)
    return running.history(db, A.address)


def test_a_body_that_returns_makes_two_revisions_and_two_changes(place: tuple[Path, Path]) -> None:
    page = _history_after(place, A, B, replace(A, crawled_at="2026-03-04 00:00:00"))
    assert [r["sightings"] for r in page["revisions"]] == [2, 1]  # type: ignore[attr-defined]
    assert [(c["from_revision"], c["to_revision"], c["returned"]) for c in page["changes"]] == [(1, 2, False), (2, 1, True)]  # type: ignore[attr-defined]


def test_a_late_arrival_is_sorted_by_its_crawl_time(place: tuple[Path, Path]) -> None:
    page = _history_after(place, B, A)
    assert [(c["from_revision"], c["to_revision"]) for c in page["changes"]] == [(1, 2)]  # type: ignore[attr-defined]
    assert page["timeline"][0]["crawled_at"] == "2026-03-02T00:30:00+00:00"  # type: ignore[index]


def test_a_complete_reading_replaces_a_truncated_one_of_the_same_crawl(place: tuple[Path, Path]) -> None:
    truncated = A.render()[: A.render().index(A.body) + 60]
    page = _history_after(place, truncated, A)
    assert [(t["check_status"], t["status"]) for t in page["timeline"]] == [("verified", "counted")]  # type: ignore[attr-defined]


def test_a_state_known_only_from_a_truncated_file_is_shown_and_not_counted(place: tuple[Path, Path]) -> None:
    truncated = B.render()[: B.render().index(B.body) + 60]
    page = _history_after(place, A, truncated)
    assert len(page["revisions"]) == 1  # type: ignore[arg-type]
    assert [(t["revision"], t["status"]) for t in page["timeline"]] == [(1, "counted"), (None, "truncated")]  # type: ignore[attr-defined]
    assert page["changes"] == []


def test_a_mismatched_reading_of_the_same_crawl_is_replaced(place: tuple[Path, Path]) -> None:
    page = _history_after(place, replace(A, body=BODIES[2], claim=A.digest), A)
    assert [(t["check_status"], t["check_cause"]) for t in page["timeline"]] == [("verified", None)]  # type: ignore[attr-defined]


def test_a_verified_reading_stays_and_a_later_one_of_the_same_crawl_is_altered(place: tuple[Path, Path]) -> None:
    page = _history_after(place, A, replace(A, body=BODIES[2]))
    timeline = {(t["check_status"], t["check_cause"], t["status"]) for t in page["timeline"]}  # type: ignore[attr-defined]
    assert timeline == {("verified", None, "counted"), ("mismatched", "altered", "overruled")}
    assert page["changes"] == []
    assert len(page["revisions"]) == 1  # type: ignore[arg-type]


def test_an_unverified_reading_is_superseded_and_its_body_kept(place: tuple[Path, Path]) -> None:
    page = _history_after(place, replace(A, claim=""), replace(A, body=BODIES[2], claim=""))
    assert sorted(t["status"] for t in page["timeline"]) == ["counted", "superseded"]  # type: ignore[attr-defined]
    bodies = {row["body"] for row in running.dump(place[1], "revisions")}
    assert bodies == {BODIES[0], BODIES[2]}


def test_a_claim_of_an_earlier_body_is_stale_even_if_that_body_arrives_later(place: tuple[Path, Path]) -> None:
    late = replace(B, claim=A.digest)
    crawl, db = place
    late.write(crawl, "b.md")
    running.scan(crawl, db)
    assert running.history(db, A.address)["timeline"][0]["check_cause"] == "altered"
    A.write(crawl, "a.md")
    running.scan(crawl, db)
    assert [t["check_cause"] for t in running.history(db, A.address)["timeline"]] == [None, "stale"]


def test_two_files_of_one_crawl_are_one_sighting(place: tuple[Path, Path]) -> None:
    crawl, db = place
    A.write(crawl)
    replace(A, comments="*댓글이 없습니다.*").write(crawl)
    running.scan(crawl, db)
    page = running.history(db, A.address)
    assert len(page["revisions"]) == 1
    assert page["revisions"][0]["sightings"] == 1
    assert len(page["timeline"]) == 2


def test_a_change_of_metadata_is_not_a_change_of_state(place: tuple[Path, Path]) -> None:
    page = _history_after(place, A, replace(A, author="홍길동", crawled_at="2026-03-03 00:00:00"))
    assert page["changes"] == []
    assert [(c["field"], c["before"], c["after"]) for c in page["metadata_changes"]] == [("author", "", "홍길동")]  # type: ignore[attr-defined]


def test_a_file_without_a_crawl_time_uses_its_mtime(place: tuple[Path, Path]) -> None:
    crawl, db = place
    article = replace(A, crawled_at="")
    path = article.write(crawl)
    running.scan(crawl, db)
    path.touch()
    running.scan(crawl, db)
    timeline = running.history(db, A.address)["timeline"]
    assert [t["crawled_at_source"] for t in timeline] == ["mtime"]


def _dump_after(place: Path, *scans: list[tuple[str, ArticleFile]], short: int | None = None) -> list[dict[str, object]]:
    """The whole dump after each list of (name, article) was written and scanned."""
    crawl, db = place / "crawl", place / "dedup.db"
    crawl.mkdir(parents=True)
    with running.session(crawl, db, min_characters=20) as session, pytest.MonkeyPatch.context() as patch:
        if short is not None:
            patch.setattr(page_history, "FULL_RECOMPUTE_LIMIT", short)
        for files in scans:
            for name, article in files:
                article.write(crawl, name + ".md", age=0)
            Scan(session).run()
        assert examining.content_problems(session.settings, writing=True) == []
    return running.dump(db)


@pytest.mark.parametrize("first", ["x", "y"])
def test_the_cause_of_a_mismatch_does_not_depend_on_the_order_of_files(tmp_path: Path, first: str) -> None:
    files = {"x": replace(B, claim=A.digest), "y": B}
    second = "y" if first == "x" else "x"
    rows = _dump_after(tmp_path / "later", [("a", A)], [(first, files[first])], [(second, files[second])])
    assert rows == _dump_after(tmp_path / "at_once", [("a", A), ("x", files["x"]), ("y", files["y"])])
    assert {r["path"]: r["check_cause"] for r in rows if r["table"] == "readings"} == {"a.md": None, "x.md": "stale", "y.md": None}


def test_the_cause_of_a_sighting_does_not_depend_on_the_order_of_different_mismatches(tmp_path: Path) -> None:
    files = [("stale", replace(B, claim=A.digest)), ("malformed", replace(B, claim="zz!")), ("altered", replace(B, claim="0" * 64))]
    expected = _dump_after(tmp_path / "at_once", [("a", A), *files])
    assert [r["check_cause"] for r in expected if r["table"] == "sightings"] == [None, "stale"]
    for n, order in enumerate(itertools.permutations([("a", A), *files])):
        assert _dump_after(tmp_path / str(n), *([one] for one in order)) == expected


def test_the_source_of_a_crawl_time_does_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    dumps = []
    for n, order in enumerate((("dated", "undated"), ("undated", "dated"))):
        crawl, db = tmp_path / str(n), tmp_path / f"{n}.db"
        crawl.mkdir()
        for name in order:
            path = replace(A, crawled_at=A.crawled_at if name == "dated" else "").write(crawl, name + ".md")
            stamp = datetime.fromisoformat(A.crawled_at + "+00:00").timestamp()
            os.utime(path, (stamp, stamp))
            running.scan(crawl, db)
        dumps.append(running.dump(db))
    assert dumps[0] == dumps[1]
    assert [r["crawled_at_source"] for r in dumps[0] if r["table"] == "sightings"] == ["file"]


def test_each_mtime_of_a_file_without_a_crawl_time_is_a_crawl(place: tuple[Path, Path]) -> None:
    crawl, db = place
    for hour, body in enumerate((0, 0, 1, 0)):
        path = ArticleFile(body=BODIES[body], crawled_at="", author=str(hour)).write(crawl, "one.md")
        os.utime(path, (1_772_500_000 + 3600 * hour,) * 2)
        running.scan(crawl, db)
    page = running.history(db, A.address)
    assert [t["revision"] for t in page["timeline"]] == [1, 2, 1]
    assert [c["returned"] for c in page["changes"]] == [False, True]
    assert [t["crawled_at"][11:16] for t in page["timeline"]] == ["01:06", "03:06", "04:06"]


def test_a_text_that_returns_after_its_deletion_is_matched_with_newer_texts(tmp_path: Path) -> None:
    mismatched = replace(A, claim="0" * 64)
    steps = {
        "shown": [("1", mismatched)],
        "replaced": [("1", replace(mismatched, body="다른 기사이다. " * 20))],
        "similar": [("2", replace(A, body=BODIES[1], aid="2"))],
        "returned": [("3", replace(A, aid="3"))],
    }
    expected = _dump_after(tmp_path / "expected", *steps.values())
    assert [r["relation"] for r in expected if r["table"] == "matches"] == ["near"]
    for n, order in enumerate(itertools.permutations(steps)):
        if order.index("shown") < order.index("replaced"):
            assert _dump_after(tmp_path / str(n), *(steps[step] for step in order)) == expected, order


def test_a_state_known_only_from_a_truncated_file_has_no_text_in_any_order(tmp_path: Path) -> None:
    body_start = BODIES[0][:100].strip()
    truncated_file = A.render()[: A.render().index(A.body) + len(body_start)]

    def dump_after(folder: Path, *, truncated_first: bool) -> list[dict[str, object]]:
        crawl, db = folder / "crawl", folder / "dedup.db"
        crawl.mkdir(parents=True)

        def write_truncated() -> None:
            (crawl / "torn.md").write_text(truncated_file, encoding="utf-8")
            running.scan(crawl, db)

        if truncated_first:
            write_truncated()
        for body in (body_start, BODIES[2]):
            replace(A, body=body, claim="0" * 64).write(crawl, "whole.md")
            running.scan(crawl, db)
        if not truncated_first:
            write_truncated()
        return running.dump(db)

    rows = dump_after(tmp_path / "torn", truncated_first=True)
    assert rows == dump_after(tmp_path / "whole", truncated_first=False)
    assert [not r["text"] for r in rows if r["table"] == "revisions" and r["body"] == body_start] == [True]


@pytest.mark.parametrize("passages", [True, False])
@pytest.mark.parametrize("pages", [(1, 1), (1, 2)])
def test_two_similar_texts_of_one_path_in_a_batch_are_matched_with_other_pages(
    crawl: Path,
    db: Path,
    pages: tuple[int, int],
    passages: bool,
) -> None:
    """A batch holds two similar texts, of one page or of two, and then shows both on a third page."""
    similar = [replace(A, body=BODIES[n], aid=f"{page:010}", crawled_at=f"2026-03-0{n + 2} 00:00:00") for n, page in enumerate(pages)]
    with running.session(crawl, db, min_characters=20, passages=passages) as session:
        scan = Scan(session)
        scan.reconcile()
        root, batch = session.directories[0], []
        for part in (similar, [replace(a, aid="0000000003") for a in similar]):
            for n, article in enumerate(part):
                path = article.write(crawl, f"{n}.md")
                file = CrawlFile(root.id, root.path, b"", path.name.encode(), to_file_stamp(path.stat()))
                batch += extract_files([file], session.options)
        record_extractions(session.database, batch, session.matcher, session.policy, scan.counts)
    assert [r["relation"] for r in running.dump(db, "matches")] == ["near"]


STATES = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from([0, 0, 1, 1, 2, 3, 4]), st.sampled_from(["", "", "", "홍길동"]), st.booleans()),
    min_size=1,
    max_size=26,
    unique_by=lambda one: one[0],
)
_BODIES_OR_ERROR = (*BODIES, "Content not found")


@pytest.mark.system
@given(STATES, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_partial_and_full_recomputation_of_a_history_agree(crawls: list[tuple[int, int, str, bool]], shuffle: random.Random) -> None:
    """Crawls arrive one by one in any order; some are overwritten later."""
    files = []
    for hour, body, author, superseded in crawls:
        at = f"2026-03-{2 + hour // 24:02} {hour % 24:02}:00:00"
        article = ArticleFile(body=_BODIES_OR_ERROR[body], author=author, crawled_at=at)
        name = str(hour)
        files.append(
            [(name, replace(article, body=_BODIES_OR_ERROR[(body + 1) % 5], claim="0" * 64)), (name, article)]
            if superseded
            else [(name, article)]
        )
    steps = []
    remaining = [list(versions) for versions in files]
    while remaining:
        versions = shuffle.choice(remaining)
        steps.append([versions.pop(0)])
        remaining = [r for r in remaining if r]
    with tempfile.TemporaryDirectory() as folder:
        partial, whole = (_dump_after(Path(folder) / str(short), *steps, short=short) for short in (0, 1000))
        at_once = _dump_after(Path(folder) / "at_once", [versions[-1] for versions in files])
    assert partial == whole == at_once

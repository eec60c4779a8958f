"""A page's history: the same whatever order its crawls arrive in."""

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
from dedup.scan import history, page_history
from dedup.scan.extract import CrawlFile, extract_files, to_file_stamp
from dedup.scan.record import record_extractions
from dedup.scan.scanner import Scan
from tests.builders import doctor as examining
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile, edited, words

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
    found = {c.sighting.id: c for c in history.find_changes(sightings)}
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


A = ArticleFile(body=BODIES[0])
B = replace(A, body=BODIES[1], crawled_at="2026-03-03 00:00:00")


def _seen(place: tuple[Path, Path], *articles: ArticleFile | str) -> dict[str, object]:
    """The history after the articles (or, as text, torn files) were written to one path in turn, each of them seen."""
    crawl, db = place
    for article in articles:
        if isinstance(article, ArticleFile):
            article.write(crawl, "one.md", age=0)
        else:
            (crawl / "one.md").write_text(article, encoding="utf-8")
        running.scan(crawl, db)
    return running.history(db, A.address)


def test_a_text_that_returns_is_two_revisions_and_two_changes(place: tuple[Path, Path]) -> None:
    found = _seen(place, A, B, replace(A, crawled_at="2026-03-04 00:00:00"))
    assert [r["sightings"] for r in found["revisions"]] == [2, 1]  # type: ignore[attr-defined]
    assert [(c["from_revision"], c["to_revision"], c["returned"]) for c in found["changes"]] == [(1, 2, False), (2, 1, True)]  # type: ignore[attr-defined]


def test_an_earlier_crawl_that_arrives_late_takes_its_place(place: tuple[Path, Path]) -> None:
    found = _seen(place, B, A)
    assert [(c["from_revision"], c["to_revision"]) for c in found["changes"]] == [(1, 2)]  # type: ignore[attr-defined]
    assert found["timeline"][0]["crawled_at"] == "2026-03-02T00:30:00+00:00"  # type: ignore[index]


def test_the_same_crawl_read_whole_replaces_what_was_torn(place: tuple[Path, Path]) -> None:
    torn = A.render()[: A.render().index(A.body) + 60]
    found = _seen(place, torn, A)
    assert [(t["check"], t["status"]) for t in found["timeline"]] == [("verified", "counted")]  # type: ignore[attr-defined]


def test_a_state_known_only_from_a_torn_file_shows_and_does_not_count(place: tuple[Path, Path]) -> None:
    torn = B.render()[: B.render().index(B.body) + 60]
    found = _seen(place, A, torn)
    assert len(found["revisions"]) == 1  # type: ignore[arg-type]
    assert [(t["revision"], t["status"]) for t in found["timeline"]] == [(1, "counted"), (None, "truncated")]  # type: ignore[attr-defined]
    assert found["changes"] == []


def test_a_mismatched_reading_of_the_same_crawl_is_replaced(place: tuple[Path, Path]) -> None:
    found = _seen(place, replace(A, body=BODIES[2], claim=A.digest), A)
    assert [(t["check"], t["cause"]) for t in found["timeline"]] == [("verified", None)]  # type: ignore[attr-defined]


def test_a_verified_reading_stays_and_what_came_over_it_is_altered(place: tuple[Path, Path]) -> None:
    found = _seen(place, A, replace(A, body=BODIES[2]))
    told = {(t["check"], t["cause"], t["status"]) for t in found["timeline"]}  # type: ignore[attr-defined]
    assert told == {("verified", None, "counted"), ("mismatched", "altered", "overruled")}
    assert found["changes"] == []
    assert len(found["revisions"]) == 1  # type: ignore[arg-type]


def test_what_nothing_vouched_for_gives_way_but_its_text_is_kept(place: tuple[Path, Path]) -> None:
    found = _seen(place, replace(A, claim=""), replace(A, body=BODIES[2], claim=""))
    assert sorted(t["status"] for t in found["timeline"]) == ["counted", "superseded"]  # type: ignore[attr-defined]
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
    assert [t["crawled_at_source"] for t in timeline] == ["mtime"]


def _recorded(place: Path, *scans: list[tuple[str, ArticleFile]], short: int | None = None) -> list[dict[str, object]]:
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
        assert examining.wrong(session.settings, writing=True) == []
    return running.dump(db)


@pytest.mark.parametrize("first", ["x", "y"])
def test_the_cause_of_a_mismatch_does_not_depend_on_which_file_of_a_crawl_came_first(tmp_path: Path, first: str) -> None:
    files = {"x": replace(B, claim=A.digest), "y": B}
    second = "y" if first == "x" else "x"
    found = _recorded(tmp_path / "later", [("a", A)], [(first, files[first])], [(second, files[second])])
    assert found == _recorded(tmp_path / "at_once", [("a", A), ("x", files["x"]), ("y", files["y"])])
    assert {r["path"]: r["check_cause"] for r in found if r["table"] == "readings"} == {"a.md": None, "x.md": "stale", "y.md": None}


def test_nor_does_that_of_a_crawl_with_claims_that_fail_in_several_ways(tmp_path: Path) -> None:
    files = [("stale", replace(B, claim=A.digest)), ("malformed", replace(B, claim="zz!")), ("altered", replace(B, claim="0" * 64))]
    expected = _recorded(tmp_path / "at_once", [("a", A), *files])
    assert [r["check_cause"] for r in expected if r["table"] == "sightings"] == [None, "stale"]
    for n, order in enumerate(itertools.permutations([("a", A), *files])):
        assert _recorded(tmp_path / str(n), *([one] for one in order)) == expected


def test_the_source_of_a_crawl_time_does_not_depend_on_which_file_came_first(tmp_path: Path) -> None:
    found = []
    for n, order in enumerate((("dated", "undated"), ("undated", "dated"))):
        crawl, db = tmp_path / str(n), tmp_path / f"{n}.db"
        crawl.mkdir()
        for name in order:
            path = replace(A, crawled_at=A.crawled_at if name == "dated" else "").write(crawl, name + ".md")
            stamp = datetime.fromisoformat(A.crawled_at + "+00:00").timestamp()
            os.utime(path, (stamp, stamp))
            running.scan(crawl, db)
        found.append(running.dump(db))
    assert found[0] == found[1]
    assert [r["crawled_at_source"] for r in found[0] if r["table"] == "sightings"] == ["file"]


def test_a_file_without_crawl_times_that_goes_back_is_crawled_again(place: tuple[Path, Path]) -> None:
    crawl, db = place
    for hour, body in enumerate((0, 0, 1, 0)):
        path = ArticleFile(body=BODIES[body], crawled_at="", author=str(hour)).write(crawl, "one.md")
        os.utime(path, (1_772_500_000 + 3600 * hour,) * 2)
        running.scan(crawl, db)
    found = running.history(db, A.address)
    assert [t["revision"] for t in found["timeline"]] == [1, 2, 1]
    assert [c["returned"] for c in found["changes"]] == [False, True]
    assert [t["crawled_at"][11:16] for t in found["timeline"]] == ["01:06", "03:06", "04:06"]


def test_a_text_that_was_forgotten_and_returns_meets_what_came_meanwhile(tmp_path: Path) -> None:
    wrong = replace(A, claim="0" * 64)
    steps = {
        "shown": [("1", wrong)],
        "replaced": [("1", replace(wrong, body="다른 기사이다. " * 20))],
        "similar": [("2", replace(A, body=BODIES[1], aid="2"))],
        "returned": [("3", replace(A, aid="3"))],
    }
    expected = _recorded(tmp_path / "expected", *steps.values())
    assert [r["relation"] for r in expected if r["table"] == "matches"] == ["near"]
    for n, order in enumerate(itertools.permutations(steps)):
        if order.index("shown") < order.index("replaced"):
            assert _recorded(tmp_path / str(n), *(steps[step] for step in order)) == expected, order


def test_a_state_that_only_a_torn_file_still_shows_has_no_text_whatever_came_first(tmp_path: Path) -> None:
    shown = BODIES[0][:100].strip()
    torn = A.render()[: A.render().index(A.body) + len(shown)]

    def recorded(folder: Path, *, torn_first: bool) -> list[dict[str, object]]:
        crawl, db = folder / "crawl", folder / "dedup.db"
        crawl.mkdir(parents=True)

        def tear() -> None:
            (crawl / "torn.md").write_text(torn, encoding="utf-8")
            running.scan(crawl, db)

        if torn_first:
            tear()
        for body in (shown, BODIES[2]):
            replace(A, body=body, claim="0" * 64).write(crawl, "whole.md")
            running.scan(crawl, db)
        if not torn_first:
            tear()
        return running.dump(db)

    found = recorded(tmp_path / "torn", torn_first=True)
    assert found == recorded(tmp_path / "whole", torn_first=False)
    assert [not r["text"] for r in found if r["table"] == "revisions" and r["body"] == shown] == [True]


@pytest.mark.parametrize("passages", [True, False])
@pytest.mark.parametrize("pages", [(1, 1), (1, 2)])
def test_a_batch_that_names_a_path_twice_compares_what_its_parts_bring(
    crawl: Path,
    db: Path,
    pages: tuple[int, int],
    passages: bool,
) -> None:
    """Two similar texts, of one page or of two, come to a third page within the same transaction."""
    similar = [replace(A, body=BODIES[n], aid=f"{page:010}", crawled_at=f"2026-03-0{n + 2} 00:00:00") for n, page in enumerate(pages)]
    with running.session(crawl, db, min_characters=20, passages=passages) as session:
        scan = Scan(session)
        scan.reconcile()
        root, batch = session.directories[0], []
        for part in (similar, [replace(a, aid="0000000003") for a in similar]):
            for n, article in enumerate(part):
                path = article.write(crawl, f"{n}.md")
                found = CrawlFile(root.id, root.path, b"", path.name.encode(), to_file_stamp(path.stat()))
                batch += extract_files([found], session.options)
        record_extractions(session.database, batch, session.matcher, session.policy, scan.counts)
    assert [r["relation"] for r in running.dump(db, "matches")] == ["near"]


STATES = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from([0, 0, 1, 1, 2, 3, 4]), st.sampled_from(["", "", "", "홍길동"]), st.booleans()),
    min_size=1,
    max_size=26,
    unique_by=lambda one: one[0],
)
_SHOWN = (*BODIES, "Content not found")


@given(STATES, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_judging_what_is_around_a_crawl_gives_what_judging_the_whole_history_gives(
    crawls: list[tuple[int, int, str, bool]], shuffle: random.Random
) -> None:
    """Crawls that come one by one in any order, some of them replaced by another text later."""
    files = []
    for hour, body, author, replaced in crawls:
        at = f"2026-03-{2 + hour // 24:02} {hour % 24:02}:00:00"
        article = ArticleFile(body=_SHOWN[body], author=author, crawled_at=at)
        name = str(hour)
        files.append(
            [(name, replace(article, body=_SHOWN[(body + 1) % 5], claim="0" * 64)), (name, article)] if replaced else [(name, article)]
        )
    steps = []
    rest = [list(of_file) for of_file in files]
    while rest:
        of_file = shuffle.choice(rest)
        steps.append([of_file.pop(0)])
        rest = [r for r in rest if r]
    with tempfile.TemporaryDirectory() as folder:
        near, whole = (_recorded(Path(folder) / str(short), *steps, short=short) for short in (0, 1000))
        at_once = _recorded(Path(folder) / "at_once", [of_file[-1] for of_file in files])
    assert near == whole == at_once

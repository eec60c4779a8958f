"""Writers that pause, stop half way, come back, are killed, or are many: nothing is recorded that no writer had completed."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.builders import scans as running
from tests.builders.crawl import ArticleFile, words
from tests.builders.daemon import Daemon, watching
from tests.builders.oracle import assert_holds, caught_up
from tests.builders.privileges import Privileges, as_both
from tests.builders.rewriter import TIMES, WRITERS, version

pytestmark = [pytest.mark.system, as_both]

_RNG = random.Random(51)


def _articles(number: int) -> list[ArticleFile]:
    return [ArticleFile(body=" ".join(words(_RNG, 40)), aid=f"{n:010d}", title=f"기사 {n}") for n in range(number)]


_WRITER = """
import mmap, os, sys
how, path, *pieces = map(os.fsencode, sys.argv[1:])
begun = path + b".part" if how == b"renamed" else path
fd = os.open(begun, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
if how == b"mapped":
    os.ftruncate(fd, sum(map(len, pieces)))
    mapped = mmap.mmap(fd, 0)
    os.close(fd)
if how == b"leased":
    import fcntl, signal
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
for n, piece in enumerate(pieces):
    if how == b"mapped":
        mapped.write(piece)
    else:
        os.write(fd, piece)
    if how == b"renamed" and n == 0:
        os.rename(begun, path)
    print(n, flush=True)
    sys.stdin.readline()
"""


class _Writer:
    """A process that has a file open: it has written the first piece, and writes one more when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._wait()

    def _wait(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self._wait()

    def close(self) -> None:
        self.process.communicate("\n")
        assert self.process.returncode == 0


@contextmanager
def _writing(how: str, path: Path, pieces: Sequence[bytes]) -> Iterator[_Writer]:
    command: list[Any] = [sys.executable, "-c", _WRITER, how, path, *pieces]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _Writer(process)
        finally:
            process.kill()


def _cut(article: ArticleFile, pieces: int) -> list[bytes]:
    """The file's bytes in so many pieces, the first of which ends in the middle of the body."""
    raw = article.render().encode()
    first = raw.index(article.body.encode()) + len(article.body.encode()) // (pieces + 1)
    marks = [0, *(first + n * (len(raw) - first) // (pieces - 1) for n in range(pieces))]
    return [raw[a:b] for a, b in pairwise(marks)]


def _of(db: Path, table: str, name: str) -> list[dict[str, Any]]:
    """Rows of the dump that are about a file."""
    return [row for row in running.dump(db, table) if row["path"] == name]


def _checks(db: Path, name: str) -> list[tuple[str, str, str | None]]:
    return [(r["status"], r["check_status"], r["check_cause"]) for r in _of(db, "readings", name)]


def _something_else(daemon: Daemon, crawl: Path, article: ArticleFile) -> None:
    """Another file is written later and recorded: what was due before it has had its turn."""
    before = daemon.recorded()
    article.write(crawl, age=0)
    daemon.wait_until(lambda: daemon.recorded() > before)


# A file that somebody has open


@pytest.mark.parametrize("how", ["kept", "mapped", "renamed", "leased"])
def test_a_writer_that_pauses_again_and_again_with_the_file_open_is_never_recorded_half(
    privileges: Privileges, crawl: Path, db: Path, how: str
) -> None:
    slow, *others = _articles(5)
    with watching(crawl, db, settle=0.1) as daemon, _writing(how, crawl / "slow.md", [b"", *_cut(slow, 3)]) as writer:
        for n, other in enumerate(others):
            _something_else(daemon, crawl, other)
            complete = n == 3 and privileges == "service"  # its digest verifies: that the writer still has it open cannot be seen
            assert complete or (_of(db, "files", "slow.md"), _of(db, "faults", "slow.md")) == ([], [])
            if n < 3:
                writer.go_on()
        if privileges == "root":
            assert how == "leased" or not caught_up(crawl, db)  # to open a leased file is to wait for its holder
            daemon.wait_until(lambda: daemon.report().backlog.files == 1)
        writer.close()
        daemon.wait_until(lambda: daemon.recorded() == 5)
        assert daemon.leave() == 0
    assert_holds(crawl, db, {slow.body, *(o.body for o in others)})
    assert {r["check_status"] for r in running.dump(db, "readings")} == {"verified"}


@pytest.mark.parametrize("how", ["kept", "mapped"])
def test_a_recorded_file_that_is_opened_again_keeps_its_version_until_the_writer_is_through(crawl: Path, db: Path, how: str) -> None:
    first, *others = _articles(3)
    later = replace(first, body=first.body[::-1], crawled_at="2026-03-03 00:30:00")
    path = first.write(crawl, "a.md")
    with watching(crawl, db, settle=0.1) as daemon:
        assert daemon.recorded() == 1
        with _writing(how, path, _cut(later, 2)) as writer:
            for n, other in enumerate(others):
                _something_else(daemon, crawl, other)
                assert {r["body"] for r in running.dump(db, "revisions")} == {first.body, *(o.body for o in others[: n + 1])}
                if n == 0:
                    writer.go_on()
            writer.close()
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db, {first.body, later.body, *(o.body for o in others)})
    assert [(c["from_revision"], c["to_revision"]) for c in running.history(db, first.address)["changes"]] == [(1, 2)]


# A file that is closed and written again


def _append(path: Path, raw: bytes) -> None:
    with path.open("ab") as file:
        file.write(raw[path.stat().st_size :])


def _in_place(path: Path, raw: bytes) -> None:
    with path.open("wb") as file:
        file.write(raw)


def _mapped(path: Path, raw: bytes) -> None:
    with _writing("mapped", path, [raw]) as writer:
        writer.close()


def _by_rename(path: Path, raw: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(raw)
    part.rename(path)


_AGAIN = [_append, _in_place, _mapped, _by_rename]


@pytest.mark.parametrize("again", _AGAIN)
def test_of_a_file_closed_half_written_and_completed_later_only_the_last_version_stands(crawl: Path, db: Path, again: Any) -> None:
    article = _articles(1)[0]
    raw = article.render().encode()
    pieces = _cut(article, 3)
    path = crawl / "a.md"
    with watching(crawl, db, settle=0.1) as daemon:
        for n in (1, 2):
            again(path, b"".join(pieces[:n])) if n > 1 else path.write_bytes(pieces[0])
            daemon.wait_until(lambda: caught_up(crawl, db))
            assert _checks(db, "a.md") == [("truncated", "mismatched", "truncated")]
        again(path, raw)
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db, {article.body})
    assert _checks(db, "a.md") == [("counted", "verified", None)]
    told = running.history(db, article.address)
    assert [(t["status"], t["check"]) for t in told["timeline"]] == [("counted", "verified")]
    assert (len(told["revisions"]), told["changes"], told["metadata_changes"]) == (1, [], [])


@pytest.mark.parametrize("again", _AGAIN)
@pytest.mark.parametrize("torn", [False, True])
def test_without_a_claim_a_half_shows_as_superseded_unless_it_ends_within_a_character(
    crawl: Path, db: Path, again: Any, torn: bool
) -> None:
    article = replace(ArticleFile(body="가나다라마바" * 60), claim="")
    raw = article.render().encode()
    path = crawl / "a.md"
    with watching(crawl, db, settle=0.1) as daemon:
        path.write_bytes(raw[: raw.index(article.body.encode()) + 300 + torn])
        daemon.wait_until(lambda: caught_up(crawl, db))
        again(path, raw)
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    told = running.history(db, article.address)
    assert sorted(t["status"] for t in told["timeline"]) == ["counted"] + ["superseded"] * (not torn)
    assert (len(told["revisions"]), told["changes"]) == (1, [])
    current = next(r["current_state"] for r in running.dump(db, "pages"))
    assert [r["body"] for r in running.dump(db, "revisions") if r["state"] == current] == [article.body]


@pytest.mark.parametrize("again", [_in_place, _mapped, _by_rename])
def test_a_verified_crawl_that_is_written_over_stays_and_the_other_text_is_told_as_altered(crawl: Path, db: Path, again: Any) -> None:
    article = _articles(1)[0]
    other = replace(article, body=article.body[::-1])
    path = article.write(crawl, "a.md")
    with watching(crawl, db, settle=0.1) as daemon:
        again(path, other.render().encode())
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db, {article.body, other.body})
    assert sorted(_checks(db, "a.md")) == [("counted", "verified", None), ("overruled", "mismatched", "altered")]
    told = running.history(db, article.address)
    assert (len(told["revisions"]), told["changes"]) == (1, [])


# A writer that is killed


@pytest.mark.parametrize(
    ("cut", "left"),
    [
        (lambda raw, body: 0, "empty"),
        (lambda raw, body: raw.index(b"\nurl:"), "truncated_before_body"),
        (lambda raw, body: raw.index(body) + len(body) // 6 * 3, "truncated"),
        (lambda raw, body: raw.index(body) + len(body) // 6 * 3 + 1, "truncated"),  # within a character
    ],
)
@pytest.mark.parametrize("crawled_at", ["2026-03-02 00:30:00", "2026-03-03 00:30:00"])
def test_what_a_killed_writer_left_is_told_for_what_it_is_and_completed_by_the_next_crawl(
    crawl: Path, db: Path, cut: Any, left: str, crawled_at: str
) -> None:
    article, other = ArticleFile(body="가나다라마바" * 60), replace(_articles(1)[0], oid="902")
    raw = article.render().encode()
    half = raw[: cut(raw, article.body.encode())]
    whole = replace(article, crawled_at=crawled_at)
    with watching(crawl, db, settle=0.1) as daemon:
        with _writing("kept", crawl / "a.md", [half]) as writer:
            _something_else(daemon, crawl, other)
            assert _of(db, "files", "a.md") == []
            writer.process.kill()
            writer.process.wait()
        daemon.wait_until(lambda: caught_up(crawl, db))
        if left == "truncated":
            assert _checks(db, "a.md") == [("truncated", "mismatched", "truncated")]
            assert running.history(db, article.address)["revisions"] == []
        else:
            assert [row["kind"] for row in _of(db, "faults", "a.md")] == [left]
        whole.write(crawl, "a.md", age=0)
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    assert running.dump(db, "faults") == []
    told = running.history(db, article.address)
    kept = left == "truncated" and crawled_at != article.crawled_at  # another crawl of the page: it shows, and counts for nothing
    assert [t["status"] for t in told["timeline"]] == ["truncated"] * kept + ["counted"]
    assert (len(told["revisions"]), told["changes"]) == (1, [])


# Many writers


def test_of_eight_processes_that_rewrite_the_same_paths_every_stored_body_is_one_that_was_completed(crawl: Path, db: Path) -> None:
    for n in range(5):
        (crawl / f"{n}").mkdir()
    with watching(crawl, db, "-q", settle=0.1, until=None) as daemon:
        daemon.wait_until(lambda: db.exists() and daemon.problems() == [] and daemon.report().phase == "watching")
        for first in (0, TIMES):
            before = len(running.dump(db, "sightings"))
            command = [sys.executable, "-m", "tests.builders.rewriter", str(crawl)]
            writers = [subprocess.Popen([*command, str(w), str(first)]) for w in range(WRITERS)]
            daemon.wait_until(lambda: all(w.poll() is not None for w in writers), 240)  # noqa: B023 - waited for at once
            assert [w.returncode for w in writers] == [0] * WRITERS
            daemon.wait_until(lambda: caught_up(crawl, db), 240, every=0.2)
            assert len(running.dump(db, "sightings")) > before
        assert daemon.leave() == 0
    told = (re.match(r"기사 (\d+)의 (\d+)번 필자 (\d+)판", r["body"]) for r in running.dump(db, "revisions"))
    assert_holds(crawl, db, {version(*map(int, t.groups())).body for t in told if t})
    assert {r["check_status"] for r in running.dump(db, "readings")} == {"verified"}
    assert running.dump(db, "faults") == []

"""Writers that pause, stop half way, continue later, are killed, or are many: only complete files count."""

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
    """A process that has written the first piece of a file and holds it open. `go_on` writes the next piece."""

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


def _split(article: ArticleFile, pieces: int) -> list[bytes]:
    """The bytes of the file in `pieces` parts. The first ends in the middle of the body."""
    raw = article.render().encode()
    first = raw.index(article.body.encode()) + len(article.body.encode()) // (pieces + 1)
    marks = [0, *(first + n * (len(raw) - first) // (pieces - 1) for n in range(pieces))]
    return [raw[a:b] for a, b in pairwise(marks)]


def _rows_of(db: Path, table: str, name: str) -> list[dict[str, Any]]:
    """Rows of the dump for one path."""
    return [row for row in running.dump(db, table) if row["path"] == name]


def _checks(db: Path, name: str) -> list[tuple[str, str, str | None]]:
    return [(r["status"], r["check_status"], r["check_cause"]) for r in _rows_of(db, "readings", name)]


def _record_another(daemon: Daemon, crawl: Path, article: ArticleFile) -> None:
    """Write another file and wait until it is recorded: everything that was due earlier has been handled."""
    before = daemon.recorded()
    article.write(crawl, age=0)
    daemon.wait_until(lambda: daemon.recorded() > before)


# A file open for writing


@pytest.mark.parametrize("how", ["open", "mapped", "renamed", "leased"])
def test_a_file_is_not_recorded_while_its_writer_pauses_with_it_open(privileges: Privileges, crawl: Path, db: Path, how: str) -> None:
    slow, *others = _articles(5)
    with watching(crawl, db, settle=0.1) as daemon, _writing(how, crawl / "slow.md", [b"", *_split(slow, 3)]) as writer:
        for n, other in enumerate(others):
            _record_another(daemon, crawl, other)
            verifies = n == 3 and privileges == "service"  # its digest verifies, and its writer cannot be detected
            assert verifies or (_rows_of(db, "files", "slow.md"), _rows_of(db, "faults", "slow.md")) == ([], [])
            if n < 3:
                writer.go_on()
        if privileges == "root":
            assert how == "leased" or not caught_up(crawl, db)  # opening a leased file waits for its holder
            daemon.wait_until(lambda: daemon.report().backlog.files == 1)
        writer.close()
        daemon.wait_until(lambda: daemon.recorded() == 5)
        assert daemon.leave() == 0
    assert_holds(crawl, db, {slow.body, *(o.body for o in others)})
    assert {r["check_status"] for r in running.dump(db, "readings")} == {"verified"}


@pytest.mark.parametrize("how", ["open", "mapped"])
def test_a_recorded_file_keeps_its_version_until_a_second_writer_has_finished(crawl: Path, db: Path, how: str) -> None:
    first, *others = _articles(3)
    later = replace(first, body=first.body[::-1], crawled_at="2026-03-03 00:30:00")
    path = first.write(crawl, "a.md")
    with watching(crawl, db, settle=0.1) as daemon:
        assert daemon.recorded() == 1
        with _writing(how, path, _split(later, 2)) as writer:
            for n, other in enumerate(others):
                _record_another(daemon, crawl, other)
                assert {r["body"] for r in running.dump(db, "revisions")} == {first.body, *(o.body for o in others[: n + 1])}
                if n == 0:
                    writer.go_on()
            writer.close()
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db, {first.body, later.body, *(o.body for o in others)})
    assert [(c["from_revision"], c["to_revision"]) for c in running.history(db, first.address)["changes"]] == [(1, 2)]


# A file that is closed and rewritten


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


_REWRITES = [_append, _in_place, _mapped, _by_rename]


@pytest.mark.parametrize("rewrite", _REWRITES)
def test_a_completed_file_replaces_its_truncated_readings(crawl: Path, db: Path, rewrite: Any) -> None:
    article = _articles(1)[0]
    raw = article.render().encode()
    pieces = _split(article, 3)
    path = crawl / "a.md"
    with watching(crawl, db, settle=0.1) as daemon:
        for n in (1, 2):
            rewrite(path, b"".join(pieces[:n])) if n > 1 else path.write_bytes(pieces[0])
            daemon.wait_until(lambda: caught_up(crawl, db))
            assert _checks(db, "a.md") == [("truncated", "mismatched", "truncated")]
        rewrite(path, raw)
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db, {article.body})
    assert _checks(db, "a.md") == [("counted", "verified", None)]
    history = running.history(db, article.address)
    assert [(t["status"], t["check_status"]) for t in history["timeline"]] == [("counted", "verified")]
    assert (len(history["revisions"]), history["changes"], history["metadata_changes"]) == (1, [], [])


@pytest.mark.parametrize("rewrite", _REWRITES)
@pytest.mark.parametrize("within_character", [False, True])
def test_without_a_claim_a_partial_reading_is_superseded_or_truncated(crawl: Path, db: Path, rewrite: Any, within_character: bool) -> None:
    article = replace(ArticleFile(body="가나다라마바" * 60), claim="")
    raw = article.render().encode()
    path = crawl / "a.md"
    with watching(crawl, db, settle=0.1) as daemon:
        path.write_bytes(raw[: raw.index(article.body.encode()) + 300 + within_character])
        daemon.wait_until(lambda: caught_up(crawl, db))
        rewrite(path, raw)
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    history = running.history(db, article.address)
    assert sorted(t["status"] for t in history["timeline"]) == ["counted"] + ["superseded"] * (not within_character)
    assert (len(history["revisions"]), history["changes"]) == (1, [])
    current = next(r["current_state_digest"] for r in running.dump(db, "pages"))
    assert [r["body"] for r in running.dump(db, "revisions") if r["state_digest"] == current] == [article.body]


@pytest.mark.parametrize("rewrite", [_in_place, _mapped, _by_rename])
def test_a_verified_reading_stays_when_its_file_is_overwritten_and_the_other_is_altered(crawl: Path, db: Path, rewrite: Any) -> None:
    article = _articles(1)[0]
    other = replace(article, body=article.body[::-1])
    path = article.write(crawl, "a.md")
    with watching(crawl, db, settle=0.1) as daemon:
        rewrite(path, other.render().encode())
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db, {article.body, other.body})
    assert sorted(_checks(db, "a.md")) == [("counted", "verified", None), ("overruled", "mismatched", "altered")]
    history = running.history(db, article.address)
    assert (len(history["revisions"]), history["changes"]) == (1, [])


# A writer that is killed


@pytest.mark.parametrize(
    ("cut", "problem"),
    [
        (lambda raw, body: 0, "empty"),
        (lambda raw, body: raw.index(b"\nurl:"), "truncated_before_body"),
        (lambda raw, body: raw.index(body) + len(body) // 6 * 3, "truncated"),
        (lambda raw, body: raw.index(body) + len(body) // 6 * 3 + 1, "truncated"),  # within a character
    ],
)
@pytest.mark.parametrize("crawled_at", ["2026-03-02 00:30:00", "2026-03-03 00:30:00"])
def test_the_partial_file_of_a_killed_writer_is_reported_and_replaced_by_the_next_crawl(
    crawl: Path, db: Path, cut: Any, problem: str, crawled_at: str
) -> None:
    article, other = ArticleFile(body="가나다라마바" * 60), replace(_articles(1)[0], oid="902")
    raw = article.render().encode()
    partial = raw[: cut(raw, article.body.encode())]
    complete = replace(article, crawled_at=crawled_at)
    with watching(crawl, db, settle=0.1) as daemon:
        with _writing("open", crawl / "a.md", [partial]) as writer:
            _record_another(daemon, crawl, other)
            assert _rows_of(db, "files", "a.md") == []
            writer.process.kill()
            writer.process.wait()
        daemon.wait_until(lambda: caught_up(crawl, db))
        if problem == "truncated":
            assert _checks(db, "a.md") == [("truncated", "mismatched", "truncated")]
            assert running.history(db, article.address)["revisions"] == []
        else:
            assert [row["kind"] for row in _rows_of(db, "faults", "a.md")] == [problem]
        complete.write(crawl, "a.md", age=0)
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    assert running.dump(db, "faults") == []
    history = running.history(db, article.address)
    other_crawl = problem == "truncated" and crawled_at != article.crawled_at  # the truncated one is shown and not counted
    assert [t["status"] for t in history["timeline"]] == ["truncated"] * other_crawl + ["counted"]
    assert (len(history["revisions"]), history["changes"]) == (1, [])


# Many writers


def test_with_eight_processes_rewriting_the_same_paths_only_completed_bodies_are_stored(crawl: Path, db: Path) -> None:
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
    bodies = (re.match(r"기사 (\d+)의 (\d+)번 필자 (\d+)판", r["body"]) for r in running.dump(db, "revisions"))
    assert_holds(crawl, db, {version(*map(int, t.groups())).body for t in bodies if t})
    assert {r["check_status"] for r in running.dump(db, "readings")} == {"verified"}
    assert running.dump(db, "faults") == []

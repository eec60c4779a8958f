"""Scans compared with a walk of the tree: every file is recorded, unchanged, ignored by a named rule, or a fault."""

from __future__ import annotations

import errno
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup import errors, store
from dedup.config import AlertRuleConfig, ChannelConfig
from dedup.pipeline.counts import ScanCounts
from dedup.pipeline.crawl_directories import CrawlDirectory
from dedup.pipeline.extract import CrawlFile, extract_files
from dedup.pipeline.record import record_extractions
from dedup.pipeline.scanner import Scan
from dedup.pipeline.session import open_session
from dedup.reports import status
from dedup.store import open_database
from dedup.store.rows import FileStamp
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile, words

pytestmark = pytest.mark.slow

_RNG = random.Random(7)


def _articles(number: int) -> list[ArticleFile]:
    return [ArticleFile(body=" ".join(words(_RNG, 60)), aid=f"{n:010d}", title=f"기사 {n}") for n in range(number)]


def _paths(db: Path, *, gone: int = 0) -> set[str]:
    return {row["path"] for row in running.dump(db, "files") if row["gone"] == gone}


def test_counts_add_up_to_the_files_of_the_tree(crawl: Path, db: Path) -> None:
    for article in _articles(20):
        article.write(crawl / random.Random(article.aid).choice(["", "2026/03", "2026/03/02", "한빛일보"]))
    (crawl / "notes.txt").write_text("no article")
    (crawl / "empty.md").write_bytes(b"")
    tally = running.scan(crawl, db)
    walked = [Path(folder) / name for folder, _, names in os.walk(crawl) for name in names]
    assert tally.files == len(walked) == 22
    assert (tally.new, tally.faults, tally.ignored) == (20, 1, {"pattern": 1})
    assert _paths(db) == {str(p.relative_to(crawl)) for p in walked if p.suffix == ".md"}


def test_a_second_scan_finds_everything_unchanged(crawl: Path, db: Path) -> None:
    for article in _articles(5):
        article.write(crawl)
    running.scan(crawl, db)
    before = running.dump(db)
    tally = running.scan(crawl, db)
    assert (tally.files, tally.unchanged) == (5, 5)
    assert running.dump(db) == before


def test_a_touched_file_is_unchanged(crawl: Path, db: Path) -> None:
    path = _articles(1)[0].write(crawl)
    running.scan(crawl, db)
    path.touch()
    tally = running.scan(crawl, db)
    assert (tally.unchanged, tally.changed) == (1, 0)


def test_changed_content_with_the_same_size_and_mtime_is_found(crawl: Path, db: Path) -> None:
    article = _articles(1)[0]
    path = article.write(crawl, "a.md")
    stamp = path.stat().st_mtime_ns
    running.scan(crawl, db)
    body = article.body[:-1] + ("가" if article.body[-1] != "가" else "나")
    replace(article, body=body, crawled_at="2026-03-03 00:30:00").write(crawl, "a.md")
    os.utime(path, ns=(stamp, stamp))
    assert running.scan(crawl, db).changed == 1


def test_a_moved_file_is_neither_new_nor_gone(crawl: Path, db: Path) -> None:
    paths = [article.write(crawl) for article in _articles(3)]
    running.scan(crawl, db)
    (crawl / "archive").mkdir()
    for path in paths:
        path.rename(crawl / "archive" / path.name)
    tally = running.scan(crawl, db)
    assert (tally.moved, tally.new, tally.gone, tally.revisions, tally.sightings) == (3, 0, 0, 0, 0)
    assert _paths(db) == {f"archive/{p.name}" for p in paths}


def test_a_copied_file_is_not_moved(crawl: Path, db: Path) -> None:
    path = _articles(1)[0].write(crawl)
    running.scan(crawl, db)
    shutil.copy2(path, crawl / "copy.md")
    tally = running.scan(crawl, db)
    assert (tally.new, tally.moved, tally.gone, tally.sightings) == (1, 0, 0, 0)


def test_a_deleted_file_is_gone_and_its_history_stays(crawl: Path, db: Path) -> None:
    one, two = _articles(2)
    path = one.write(crawl)
    two.write(crawl)
    running.scan(crawl, db)
    path.unlink()
    assert running.scan(crawl, db).gone == 1
    assert running.scan(crawl, db).gone == 0
    assert _paths(db, gone=1) == {path.name}
    assert running.history(db, one.address)["timeline"][0]["gone"] is True
    one.write(crawl)
    assert running.scan(crawl, db).unchanged == 2
    assert _paths(db, gone=1) == set()


def test_files_of_a_deleted_folder_are_gone(crawl: Path, db: Path) -> None:
    for article in _articles(4):
        article.write(crawl / "a" / "b")
    _articles(1)[0].write(crawl)
    running.scan(crawl, db)
    shutil.rmtree(crawl / "a")
    assert running.scan(crawl, db).gone == 4


@pytest.mark.parametrize("how", ["missing", "replaced by an empty folder", "a file in its place"])
def test_an_absent_directory_marks_nothing_as_gone(crawl: Path, db: Path, how: str) -> None:
    for article in _articles(3):
        article.write(crawl)
    running.scan(crawl, db)
    before = running.dump(db)
    crawl.rename(crawl.with_name("elsewhere"))
    if how == "replaced by an empty folder":
        crawl.mkdir()
    elif how == "a file in its place":
        crawl.write_text("?")
    tally = running.scan(crawl, db)
    assert (tally.files, tally.gone, len(tally.absent_directories)) == (0, 0, 1)
    assert running.dump(db) == before


def test_files_of_an_emptied_directory_are_gone(crawl: Path, db: Path) -> None:
    paths = [article.write(crawl) for article in _articles(3)]
    running.scan(crawl, db)
    for path in paths:
        path.unlink()
    tally = running.scan(crawl, db)
    assert (tally.gone, tally.absent_directories) == (3, [])


def test_links_fifos_and_sockets_are_ignored_by_a_named_rule(crawl: Path, db: Path) -> None:
    path = _articles(1)[0].write(crawl / "real")
    (crawl / "link.md").symlink_to(path)
    (crawl / "dangling.md").symlink_to(crawl / "nowhere.md")
    (crawl / "real" / "loop").symlink_to(crawl)
    os.mkfifo(crawl / "fifo.md")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(crawl / "socket.md"))
        tally = running.scan(crawl, db)
    assert tally.new == 1
    assert tally.ignored == {"symlink": 3, "special": 2}


def test_names_that_are_not_utf8_or_of_maximum_length_are_recorded(crawl: Path, db: Path) -> None:
    one, two = _articles(2)
    os.rename(os.fsencode(one.write(crawl)), os.fsencode(crawl) + b"/\xff\xfe\x1b[31m.md")
    os.rename(os.fsencode(two.write(crawl)), os.fsencode(crawl) + b"/" + b"n" * 252 + b".md")
    assert running.scan(crawl, db).new == 2
    assert _paths(db) == {"\\xff\\xfe\\x1b[31m.md", "n" * 252 + ".md"}
    assert running.scan(crawl, db).unchanged == 2


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"---\nid: 1_2\ntitle: \"x\"\n", "truncated_before_body"),
        (b"<html><body>504 Gateway Time-out</body></html>", "not_an_article"),
        (b"---\ntitle: \"\xff\xff\xff\"\n---\n", "undecodable"),
        (b"---\n" + b"x" * 10_000_001, "too_large"),
        (replace(ArticleFile(), url="", oid="", aid="").render().replace("id: _", "id: ").encode(), "no_url"),
    ],
)  # fmt: skip
def test_a_fault_has_a_path_and_a_kind_until_the_file_is_complete(crawl: Path, db: Path, content: bytes, kind: str) -> None:
    path = crawl / "a.md"
    path.write_bytes(content)
    for _ in range(2):
        tally = running.scan(crawl, db)
        assert (tally.files, tally.faults) == (1, 1)
        with open_database(str(db)) as database:
            assert status.database_summary(database)["faults"] == {kind: 1}
            assert status.list_faults(database)[0]["path"] == str(path)
    _articles(1)[0].write(crawl, "a.md")
    tally = running.scan(crawl, db)
    assert (tally.faults, tally.changed) == (0, 1)
    with open_database(str(db)) as database:
        assert status.database_summary(database)["faults"] == {}


def test_an_unparsable_time_is_a_fault_and_the_article_is_recorded(crawl: Path, db: Path) -> None:
    replace(_articles(1)[0], published_at="어제 저녁").write(crawl)
    tally = running.scan(crawl, db)
    assert (tally.new, tally.faults) == (1, 0)
    with open_database(str(db)) as database:
        assert status.database_summary(database)["faults"] == {"unparsable_time": 1}


def test_a_file_open_for_writing_is_recorded_once_it_is_closed(crawl: Path, db: Path) -> None:
    path = _articles(1)[0].write(crawl)
    with path.open("ab"):
        tally = running.scan(crawl, db)
        assert (tally.files, tally.unsettled, tally.new) == (1, 1, 0)
    assert running.scan(crawl, db).new == 1


def test_a_scan_waits_for_a_new_file_to_settle(crawl: Path, db: Path) -> None:
    _articles(1)[0].write(crawl, age=0)
    tally = running.scan(crawl, db, settle=0.2)
    assert (tally.new, tally.unsettled) == (1, 0)


@pytest.mark.system
def test_a_file_that_settles_during_a_slow_batch_is_recorded(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit on waiting does not include time spent recording."""
    settle = 0.6

    def wait_for_age(path: Path, seconds: float) -> None:
        while time.time_ns() - path.stat().st_ctime_ns < seconds * 1e9:
            time.sleep(0.01)

    def record_slowly(*args: Any) -> None:
        record_extractions(*args)
        wait_for_age(young, 4 * settle)

    wait_for_age(ArticleFile(aid="1").write(crawl), 0.5 * settle)  # it settles and is recorded before the other file
    young = ArticleFile(aid="2").write(crawl, age=0)
    monkeypatch.setattr("dedup.pipeline.scanner.record_extractions", record_slowly)
    tally = running.scan(crawl, db, settle=settle)
    assert (tally.new, tally.unsettled) == (2, 0)


def test_no_file_is_read_before_it_has_settled(crawl: Path, db: Path) -> None:
    path = _articles(1)[0].write(crawl, age=0)
    with running.session(crawl, db, settle=60) as session:
        scan = Scan(session)
        assert (scan.reconcile().files, scan.count_waiting()) == (0, 1)
        assert scan.queue_settled() > 0
        scan.check_paths(session.directories[0], [os.fsencode(path.name)])
        assert (scan.counts.files, scan.count_waiting()) == (0, 1)
        os.utime(path, (time.time() - 61,) * 2)  # mtime is old now, ctime is not
        scan.queue_settled()
        scan.flush()
        assert (scan.counts.files, scan.count_waiting()) == (0, 1)


def test_a_file_that_changes_while_it_is_read_is_read_again(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer opens, changes and closes it after the check for writers and before the read."""
    first, second = _articles(2)
    path = first.write(crawl)
    read = os.read

    def read_and_change(fd: int, length: int) -> bytes:
        data = read(fd, length)
        if data and os.readlink(f"/proc/self/fd/{fd}") == str(path):
            monkeypatch.undo()
            path.write_text(second.render(), encoding="utf-8")
        return data

    monkeypatch.setattr(os, "read", read_and_change)
    tally = running.scan(crawl, db)
    assert (tally.files, tally.new + tally.unsettled) == (1, 1)
    running.scan(crawl, db)
    assert [row["body"] for row in running.dump(db, "revisions")] == [second.body]


@pytest.mark.parametrize("replaced", [False, True], ids=["away", "replaced"])
def test_a_directory_that_vanishes_during_a_scan_marks_nothing_as_gone(crawl: Path, db: Path, *, replaced: bool) -> None:
    articles = _articles(6)
    for n, article in enumerate(articles):
        article.write(crawl / f"{n % 3}")
    running.scan(crawl, db)
    aside = crawl.with_name("aside")
    with running.session(crawl, db) as session:

        def move_away(_: CrawlDirectory, folder: bytes) -> None:
            if folder == b"1":
                crawl.rename(aside)
                if replaced:
                    articles[0].write(crawl / "other")

        tally = Scan(session, on_folder=move_away).run()
    assert tally.gone == 0
    assert _paths(db, gone=1) == set()
    if replaced:
        shutil.rmtree(crawl)
    aside.rename(crawl)
    assert (running.scan(crawl, db).unchanged, len(_paths(db, gone=0))) == (6, 6)


@pytest.mark.parametrize("operation", ["listing", "reading"])
def test_running_out_of_descriptors_ends_the_scan_without_faults(
    crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    for n, article in enumerate(_articles(4)):
        article.write(crawl / f"{n % 2}")
    open_ = os.open

    def fail(path: str | bytes, flags: int, *args: Any, **kw: Any) -> int:
        if (operation == "listing" and path == b".") or (operation == "reading" and os.fsencode(path).endswith(b".md")):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return open_(path, flags, *args, **kw)

    with running.session(crawl, db) as session, monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(errors.DatabaseFailedError, match=r"Too many open files.*LimitNOFILE"), session.database.translate_errors():
            Scan(session).run()
    assert running.dump(db, "faults") == []
    assert running.scan(crawl, db).new == 4


def test_overlapping_crawl_directories_are_refused(crawl: Path, db: Path) -> None:
    (crawl / "inner").mkdir()
    nested = running.settings(crawl, db)
    nested = nested.model_copy(update={"crawl": nested.crawl.model_copy(update={"directories": (str(crawl), str(crawl / "inner"))})})
    from dedup.pipeline.session import open_session

    with pytest.raises(errors.DirectoriesOverlapError, match="overlap"), open_session(nested, "test"):
        pass


def test_a_stopped_scan_keeps_its_batches_and_the_next_one_continues(crawl: Path, db: Path) -> None:
    for article in _articles(600):
        article.write(crawl)
    stop = threading.Event()
    with running.session(crawl, db) as session:
        tally = Scan(session, stop, lambda _: stop.set()).run()
    assert 0 < tally.new < 600
    assert tally.gone == 0
    rest = running.scan(crawl, db)
    assert rest.new == 600 - tally.new
    clean = db.with_name("clean.db")
    running.scan(crawl, clean)
    assert running.dump(db) == running.dump(clean)


def test_an_unreadable_folder_is_a_fault_and_its_files_are_not_gone(crawl: Path, db: Path) -> None:
    for article in _articles(3):
        article.write(crawl / "locked")
    running.scan(crawl, db)
    (crawl / "locked").chmod(0)
    try:
        assert _scan_without_root_privileges(crawl, db) == ["1", "0"]
    finally:
        (crawl / "locked").chmod(0o755)
    with open_database(str(db)) as database:
        assert status.database_summary(database)["faults"] == {"unreadable": 1}
    tally = running.scan(crawl, db)
    assert (tally.faults, tally.unchanged) == (0, 3)
    with open_database(str(db)) as database:
        assert status.database_summary(database)["faults"] == {}


@pytest.mark.system
def test_an_unreadable_file_is_a_fault_until_it_is_readable(crawl: Path, db: Path) -> None:
    paths = [article.write(crawl / folder) for article, folder in zip(_articles(2), ("", "inner"), strict=True)]
    for path in paths:
        path.chmod(0)
    for _ in range(2):
        assert _scan_without_root_privileges(crawl, db) == ["2", "0"]
        with open_database(str(db)) as database:
            assert status.database_summary(database)["faults"] == {"unreadable": 2}
    for path in paths:
        path.chmod(0o644)
    assert running.scan(crawl, db).changed == 2
    with open_database(str(db)) as database:
        assert status.database_summary(database)["faults"] == {}


def _scan_without_root_privileges(crawl: Path, db: Path) -> list[str]:
    """Scan in a process without root's right to bypass permissions. Returns its output."""
    script = f"""
import os, sys
if os.geteuid() == 0:
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: PR_CAPBSET_DROP takes effect with exec
        assert libc.prctl(24, capability, 0, 0, 0) == 0
    os.execv(sys.executable, [sys.executable, "-c", {_SCAN!r}, {str(crawl)!r}, {str(db)!r}])
exec({_SCAN!r})
"""
    result = subprocess.run([sys.executable, "-c", script, str(crawl), str(db)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


_SCAN = """
import sys
from pathlib import Path
from tests.builders import scans as running
tally = running.scan(Path(sys.argv[1]), Path(sys.argv[2]))
print(tally.faults, tally.gone)
"""


# Large batches


class _CountingConnection:
    """A connection that counts calls."""

    def __init__(self, connection: Any) -> None:
        self._connection, self.calls = connection, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, *args: Any) -> Any:
        self.calls += 1
        return self._connection.execute(*args)

    def executemany(self, *args: Any) -> Any:
        self.calls += 1
        return self._connection.executemany(*args)


def _count_calls(monkeypatch: pytest.MonkeyPatch, crawl: Path, db: Path, number: int, crawls: int) -> int:
    """Number of statements of the last batch, in which `number` pages are crawled for the `crawls`th time, half of them changed."""
    for crawl_number in range(crawls):
        for n in range(number):
            body = f"기사 {n}의 본문 " + " ".join(words(random.Random(n), 40)) + (f" {crawl_number}판" if n % 2 else "")
            claim = None if n % 5 else "0" * 64
            ArticleFile(body=body, aid=f"{n:010}", crawled_at=f"2026-03-0{crawl_number + 2} 00:30:00", claim=claim).write(
                crawl, f"{crawl_number}_{n:04}.md"
            )
        with running.session(crawl, db) as session:
            scan = Scan(session)
            session.matcher.open_candidate_index()
            counting = _CountingConnection(session.database.connection)
            monkeypatch.setattr(session.database, "connection", counting)
            scan.run()
    return counting.calls


@pytest.mark.parametrize("crawls", [1, 3])
def test_the_number_of_statements_does_not_grow_with_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crawls: int) -> None:
    few, many = (_count_calls(monkeypatch, tmp_path / f"crawl{n}", tmp_path / f"{n}.db", n, crawls) for n in (12, 240))
    assert many <= few + 2, (few, many)  # a batch of a few rows may lack a kind of row
    assert few < 110


def _count_calls_for_copies(monkeypatch: pytest.MonkeyPatch, crawl: Path, db: Path, number: int) -> int:
    """Number of statements of a batch with `number` exact copies and `number` near copies that all raise alerts."""
    text_words = words(random.Random(1), 60)
    for n in range(number):
        for near in (False, True):
            body = " ".join([*text_words[:50], *(words(random.Random(n), 1) if near else text_words[50:])])
            ArticleFile(body=body, aid=f"{near:d}{n:09}").write(crawl, f"{near:d}{n}.md")
    alerting = {
        "channels": {"log": ChannelConfig(kind="log")},
        "alerts": (AlertRuleConfig(name="all", on=("duplicate",), to=("log",), min_severity="trivial"),),
    }
    with open_session(running.settings(crawl, db).model_copy(update=alerting), "test", alert_on_import=True) as session:
        scan = Scan(session)
        session.matcher.open_candidate_index()
        counting = _CountingConnection(session.database.connection)
        monkeypatch.setattr(session.database, "connection", counting)
        scan.run()
    return counting.calls


def test_the_number_of_statements_does_not_grow_with_the_alerts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (_count_calls_for_copies(monkeypatch, tmp_path / f"crawl{n}", tmp_path / f"{n}.db", n) for n in (6, 60))
    assert many < few + 10, (few, many)


@pytest.mark.parametrize("part", [1, 2, 7])
def test_the_chunk_size_does_not_change_the_result_for_a_folder(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    monkeypatch.setattr("dedup.pipeline.scanner.CHUNK_ENTRIES", part)
    for n in range(9):
        ArticleFile(aid=f"{n:010}", body=f"본문 {n}").write(crawl / "deep", f"{n}.md")
    (crawl / "deep" / "notes.txt").touch()
    first = running.scan(crawl, db)
    assert (first.files, first.new, first.ignored.total()) == (10, 9, 1)
    second = running.scan(crawl, db)
    assert (second.files, second.unchanged) == (10, 9)
    (crawl / "deep" / "0.md").unlink()
    (crawl / "deep" / "8.md").unlink()
    (crawl / "deep" / "3.md").rename(crawl / "deep" / "x.md")
    ArticleFile(aid="0000000005", body="고친 본문").write(crawl / "deep", "5.md")
    third = running.scan(crawl, db)
    assert (third.files, third.unchanged, third.moved, third.changed, third.gone) == (8, 5, 1, 1, 2)
    running.scan(crawl, db.with_name("other.db"))
    fourth = running.scan(crawl, db)
    assert (fourth.unchanged, fourth.gone, fourth.new) == (7, 0, 0)


def test_a_path_twice_in_a_batch_is_one_file_with_the_last_content(crawl: Path, db: Path) -> None:
    path = ArticleFile(body="먼저").write(crawl, "a.md")
    with running.session(crawl, db) as session:
        file = CrawlFile(session.directories[0].id, session.directories[0].path, b"", b"a.md", FileStamp(0, 0, 0, 0))
        first = extract_files([file], session.options)
        ArticleFile(body="나중", crawled_at="2026-03-03 00:30:00").write(crawl, "a.md")
        second = extract_files([file], session.options)
        tally = ScanCounts()
        record_extractions(session.database, [*first, *second, *second], session.matcher, session.policy, tally)
        assert (tally.new, tally.changed, tally.unchanged) == (1, 1, 1)
        assert store.statistics.count(session.database, "files") == 1
    assert path.exists()
    assert sorted(r["body"] for r in running.dump(db, "revisions")) == ["나중", "먼저"]


def test_one_of_two_copies_of_a_deleted_file_is_moved_and_the_other_is_new(crawl: Path, db: Path) -> None:
    path = ArticleFile(body="본문").write(crawl, "a.md")
    running.scan(crawl, db)
    shutil.copy2(path, crawl / "b.md")
    path.rename(crawl / "c.md")
    tally = running.scan(crawl, db)
    assert (tally.files, tally.moved, tally.new, tally.unchanged) == (2, 1, 1, 0)
    assert (_paths(db), _paths(db, gone=1)) == ({"b.md", "c.md"}, {"a.md"})


@pytest.mark.parametrize("adopts", [False, True], ids=["the scan waits for them", "a later scan adopts them"])
def test_files_of_a_first_import_that_settle_late_raise_no_alerts(crawl: Path, db: Path, adopts: bool) -> None:
    alerting = {
        "channels": {"log": ChannelConfig(kind="log")},
        "alerts": (AlertRuleConfig(name="all", on=("change",), to=("log",), min_severity="trivial"),),
    }
    for day in (2, 3):
        ArticleFile(body=f"시의회는 {day}명을 불렀다.", crawled_at=f"2026-03-0{day} 00:30:00").write(crawl, f"{day}.md", age=0)
    with open_session(running.settings(crawl, db, settle=0.3).model_copy(update=alerting), "test") as session:
        later_scan = scan = Scan(session)
        if adopts:
            scan.reconcile()
            later_scan = Scan(session)
            later_scan.adopt(scan)
            assert later_scan.count_waiting() == 2
            while later_scan.count_waiting():
                later_scan.queue_settled()
                later_scan.flush()
        else:
            scan.run()
        assert (store.statistics.count(session.database, "changes"), store.statistics.count(session.database, "alerts")) == (1, 0)
        ArticleFile(body="시의회는 4명을 불렀다.", crawled_at="2026-03-04 00:30:00").write(crawl, "4.md", age=0)
        if adopts:
            later_scan.check_paths(session.directories[0], [b"4.md"])
            while later_scan.count_waiting():
                later_scan.queue_settled()
                later_scan.flush()
        else:
            Scan(session).run()
        assert (store.statistics.count(session.database, "changes"), store.statistics.count(session.database, "alerts")) == (2, 1)

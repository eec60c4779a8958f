"""A file that makes the program fail becomes a fault, whatever the error and wherever it is raised. All other files are recorded as if
it did not exist. It is read again when it changes."""

from __future__ import annotations

import errno
import logging
import os
import random
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dedup import formats, store
from dedup.errors import DatabaseDamagedError, DatabaseFailedError
from dedup.index import lsh
from dedup.maintenance import summaries
from dedup.maintenance.reindex import reindex_signatures
from dedup.matching.matcher import Matcher
from dedup.pipeline import isolation
from dedup.pipeline.isolation import is_file_error, isolate_failures, summarise_error
from dedup.pipeline.session import build_extract_options, build_matching
from dedup.store import Transaction, corruption, open_writable
from dedup.text.publishers import PublisherResolver
from tests.builders import damage as damaging
from tests.builders import scans as running
from tests.builders.command import run
from tests.builders.crawl import ArticleFile, edit_words, words

MARK = "culprit"
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain")]

ERRORS: list[Callable[[], Exception]] = [
    lambda: ValueError("Exceeds the limit (4300 digits) for integer string conversion"),
    lambda: OverflowError("Python int too large to convert to SQLite INTEGER"),
    lambda: UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    lambda: TypeError("a \x1b[31m type\n of two lines"),
    lambda: AssertionError(),
    lambda: KeyError("x"),
    lambda: IndexError("list index out of range"),
    lambda: RecursionError("maximum recursion depth exceeded"),
    lambda: ZeroDivisionError("division by zero"),
    lambda: MemoryError(),
    lambda: sqlite3.IntegrityError("UNIQUE constraint failed: matches.a, matches.b"),
    lambda: sqlite3.DataError("string or blob too big"),
    lambda: sqlite3.InterfaceError("Error binding parameter 3 - probably unsupported type."),
]


def _has_mark(*rows: Any) -> bool:
    return any(MARK in str(value) for row in rows for value in row)


def _with_list(args: tuple[Any, ...], at: int) -> tuple[Any, ...]:
    return (*args[:at], list(args[at]), *args[at + 1 :])


STAGES: dict[str, tuple[str, int | None, Callable[..., bool]]] = {
    "parsing": ("dedup.formats.read_article", None, lambda name, raw, options: MARK.encode() in raw),
    "signing": ("dedup.pipeline.extract.sign_bodies", 0, lambda bodies, options: any(MARK in b for b in bodies)),
    "digesting": ("dedup.pipeline.extract.state_digest", None, lambda title, body: MARK in body),
    "metadata": ("dedup.pipeline.record_pages.metadata_values", None, lambda m: MARK in m.author),
    "files": ("dedup.store.files.insert", 1, lambda database, rows: _has_mark(*rows)),
    "pages": ("dedup.store.pages.insert", 1, lambda database, rows: _has_mark(*rows)),
    "revisions": ("dedup.store.revisions.insert", 1, lambda database, rows: _has_mark(*rows)),
    "meeting": ("dedup.matching.matcher.Matcher.query", None, lambda matcher, new, again: any(MARK in t.body for t in new)),
    "confirming": (
        "dedup.matching.matcher.Matcher.confirm_candidates",
        None,
        lambda matcher, transaction, candidates: any(MARK in t.body for t in candidates.new_texts),
    ),
    "aliases": ("dedup.store.pages.insert_aliases", 1, lambda database, rows: _has_mark(*rows)),
}
"""Stage → (function that fails, index of an argument that is an iterator, whether arguments belong to a culprit)."""


@contextmanager
def failing(stage: str, error: Callable[[], Exception], failures: list[int] | None = None) -> Iterator[None]:
    """Make the stage fail for every file with the mark."""
    target, iterator, is_culprit = STAGES[stage]
    with pytest.MonkeyPatch.context() as patch:
        owner, _, name = target.rpartition(".")
        module, _, inner = owner.rpartition(".")
        try:
            holder = __import__(owner, fromlist=["_"])
        except ModuleNotFoundError:
            holder = getattr(__import__(module, fromlist=["_"]), inner)
        if owner == "dedup.formats":
            holder = formats
        original = getattr(holder, name)

        def fail_for_culprits(*args: Any, **kw: Any) -> Any:
            if iterator is not None:
                args = _with_list(args, iterator)
            if is_culprit(*args, **kw):
                if failures is not None:
                    failures.append(1)
                raise error()
            return original(*args, **kw)

        patch.setattr(holder, name, fail_for_culprits)
        yield


def write_articles(crawl: Path, number: int, culprits: set[int], seed: int) -> None:
    """Write articles, among them copies and several crawls of one page. Culprits carry the mark in every value."""
    rng = random.Random(seed)
    story = words(rng, 80)
    for n in range(number):
        body = " ".join(edit_words(rng, story, 0.04) if n % 2 else words(rng, 60))
        page = n // 3 if n % 5 == 0 else n
        article = ArticleFile(body=body, aid=f"{page:010}", crawled_at=f"2026-03-02 00:{n:02}:00")
        if n in culprits:
            article = ArticleFile(
                body=f"{body} {MARK}", url=f"https://s.example/{MARK}/{n}", author=f"{MARK} {n}", crawled_at=article.crawled_at
            )
        article.write(crawl, f"{n:03}{'-' + MARK if n in culprits else ''}.md")


def rows_without_culprits(db: Path) -> list[dict[str, Any]]:
    return [row for row in running.dump(db) if MARK not in str(row)]


def faults(db: Path) -> dict[str, str]:
    return {row["path"]: row["kind"] for row in running.dump(db, "faults")}


@pytest.mark.system
@settings(
    max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    stage=st.sampled_from(sorted(STAGES)),
    error=st.sampled_from(ERRORS),
    culprits=st.sets(st.integers(0, 13), min_size=1, max_size=4),
    seed=st.integers(0, 3),
)
def test_other_files_are_recorded_as_if_the_culprits_did_not_exist(
    tmp_path_factory: pytest.TempPathFactory, stage: str, error: Callable[[], Exception], culprits: set[int], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("isolated")
    crawl, db = folder / "crawl", folder / "a.db"
    write_articles(crawl, 14, culprits, seed)
    with failing(stage, error):
        tally = running.scan(crawl, db)
    assert (tally.faults, tally.new) == (len(culprits), 14 - len(culprits))
    contents = {p.name: p.read_bytes() for p in crawl.iterdir() if MARK in p.name}
    assert faults(db) == dict.fromkeys(contents, "internal")
    if stage != "files":  # without a row in `files` the file counts as unread
        rescan = running.scan(crawl, db)
        assert (rescan.faults, rescan.new) == (len(culprits), 0), "an unchanged culprit is not read again"
    for name in contents:
        (crawl / name).unlink()
    running.scan(crawl, folder / "b.db")
    assert rows_without_culprits(db) == rows_without_culprits(folder / "b.db")
    for name, content in contents.items():
        (crawl / name).write_bytes(content)
        os.utime(crawl / name, (1_750_000_000, 1_750_000_000))
    running.scan(crawl, db)
    assert faults(db) == {}
    running.scan(crawl, folder / "c.db")
    assert running.dump(db) == running.dump(folder / "c.db")


def test_a_file_that_fails_again_after_a_change_stays_one_fault(crawl: Path, db: Path) -> None:
    write_articles(crawl, 3, {1}, 0)
    with failing("revisions", ERRORS[0]):
        running.scan(crawl, db)
        os.utime(crawl / f"001-{MARK}.md", (1_750_000_000, 1_750_000_000))
        tally = running.scan(crawl, db)
    assert (tally.faults, tally.unchanged) == (1, 2)
    assert faults(db) == {f"001-{MARK}.md": "internal"}


def test_the_message_of_an_internal_fault_names_the_error_and_its_place_in_one_line(crawl: Path, db: Path) -> None:
    write_articles(crawl, 2, {1}, 0)
    with failing("pages", ERRORS[3]):
        running.scan(crawl, db)
    (row,) = running.dump(db, "faults")
    assert re.fullmatch(
        r"the program failed on it: TypeError: a \\x1b\[31m type of two lines \(dedup\.pipeline\.record:\d+\)", row["message"]
    )


def test_the_traceback_is_logged_once_per_kind_of_error(
    crawl: Path, db: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "_logged_errors", set())
    write_articles(crawl, 9, set(range(9)), 0)
    with failing("pages", ERRORS[3]), caplog.at_level(logging.ERROR, "dedup"):
        running.scan(crawl, db)
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info


def _disk_full(*_: object) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def _no_descriptors(*_: object) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize("trouble", [_disk_full, _no_descriptors])
def test_an_error_of_the_database_or_the_system_is_not_a_fault_of_a_file(
    crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, trouble: Callable[..., None]
) -> None:
    write_articles(crawl, 5, set(), 0)
    monkeypatch.setattr("dedup.store.revisions.insert", trouble)
    with pytest.raises(DatabaseFailedError):
        running.scan(crawl, db)
    monkeypatch.undo()
    assert running.scan(crawl, db).new == 5


@pytest.mark.parametrize("stage", ["parsing", "revisions"])
def test_a_general_lack_of_memory_is_not_a_fault_of_a_file(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    write_articles(crawl, 5, {2}, 0)
    monkeypatch.setattr(isolation, "PROBE_BYTES", 1 << 60)
    with failing(stage, MemoryError), pytest.raises(DatabaseFailedError, match="memory"):
        running.scan(crawl, db)
    assert faults(db) == {}
    assert running.scan(crawl, db).faults == 0


def test_the_database_is_checked_for_damage_once_per_scan(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_articles(crawl, 14, set(range(0, 14, 3)), 0)
    checks: list[str] = []

    def record_check(connection: sqlite3.Connection, path: str, error: Exception) -> None:
        checks.append(path)
        corruption.require_sound(connection, path, error)

    monkeypatch.setattr("dedup.store.database.require_sound", record_check)
    with failing("revisions", ERRORS[0]):
        running.scan(crawl, db)
    assert checks == [str(db)]


def _missing(*_: object) -> None:
    raise KeyError(1)


def test_an_error_caused_by_database_damage_is_not_a_fault_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crawl, db = tmp_path / "crawl", tmp_path / "dedup.db"
    damaging.fill(crawl, 40)
    running.scan(crawl, db)
    damaging.fill(crawl, 1, first=40)
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("DELETE FROM revisions WHERE id % 2 = 0")
    monkeypatch.setattr("dedup.store.pages.insert", _missing)
    with pytest.raises(DatabaseDamagedError):
        running.scan(crawl, db)


def test_an_index_that_fails_is_rebuilt_and_no_file_becomes_a_fault(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_articles(crawl, 14, set(), 0)
    query = lsh.CandidateIndex.query
    failed: list[int] = []

    def fail_once(self: lsh.CandidateIndex, *args: Any) -> Any:
        if not failed:
            failed.append(1)
            return lsh.__dict__["_fail_in_the_index"]()
        return query(self, *args)

    exec("def _fail_in_the_index(): raise IndexError('out of bounds')", lsh.__dict__)  # the frame belongs to that module
    monkeypatch.setattr(lsh.CandidateIndex, "query", fail_once)
    try:
        tally = running.scan(crawl, db)
    finally:
        del lsh.__dict__["_fail_in_the_index"]
    assert (tally.new, tally.faults, failed) == (14, 0, [1])
    running.scan(crawl, db.with_name("b.db"))
    assert running.dump(db) == running.dump(db.with_name("b.db"))


def test_an_index_that_fails_after_the_commit_loses_nothing(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_articles(crawl, 14, set(), 0)
    monkeypatch.setattr("dedup.pipeline.scanner.BATCH_FILES", 5)
    add = lsh.CandidateIndex.add
    failed: list[int] = []

    def fail_once(self: lsh.CandidateIndex, *args: Any) -> Any:
        if not failed:
            failed.append(1)
            raise MemoryError
        return add(self, *args)

    monkeypatch.setattr(lsh.CandidateIndex, "add", fail_once)
    assert running.scan(crawl, db).new == 14
    assert failed
    running.scan(crawl, db.with_name("b.db"))
    assert running.dump(db) == running.dump(db.with_name("b.db"))


def test_reindex_skips_a_text_that_it_fails_on(crawl: Path, db: Path) -> None:
    write_articles(crawl, 14, {5}, 0)
    running.scan(crawl, db)
    settings = running.settings(crawl, db)

    def reindex() -> dict[str, int]:
        with open_writable(str(db), "test") as database:
            matcher = Matcher(database, build_matching(settings), settings.publishers.build_publishers())
            return reindex_signatures(database, build_extract_options(settings), matcher)

    before = running.dump(db)
    with failing("confirming", ERRORS[0]):
        assert reindex()["failed"] == 1
    with open_writable(str(db), "test") as database:
        assert store.statistics.count(database, "texts", "signature IS NULL") == 1
    matches = [row for row in before if row["table"] == "matches"]
    assert [row for row in running.dump(db, "matches") if row not in matches] == []
    assert reindex()["failed"] == 0
    assert running.dump(db) == before


def test_verify_continues_after_a_file_that_it_fails_on(crawl: Path) -> None:
    write_articles(crawl, 3, {1}, 0)
    with failing("parsing", ERRORS[1]):
        result = run(crawl.parent, "verify", "crawl", "--format", "json")
    assert result.code == 1
    rows = {row["path"].rpartition("/")[2]: row["fault"] for row in result.json()}
    assert rows["000.md"] is rows["002.md"] is None
    assert rows[f"001-{MARK}.md"].startswith("internal: the program failed on it: OverflowError")


@pytest.mark.parametrize("args", [("similar",), ("diff", "crawl/000.md"), ("why", "crawl/000.md")])
def test_a_command_fails_on_the_culprit_with_one_line(crawl: Path, db: Path, args: tuple[str, ...]) -> None:
    write_articles(crawl, 3, {1}, 0)
    (crawl.parent / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    assert run(crawl.parent, "scan").code == 0
    with failing("parsing", ERRORS[1]):
        result = run(crawl.parent, *args, f"crawl/001-{MARK}.md")
    assert result.code == 3
    assert result.err.splitlines()[-1].startswith(f"dedup: crawl/001-{MARK}.md could not be read as an article: the program failed on it")


def test_an_internal_error_exits_with_3_and_not_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a \x1b[31mbug")

    monkeypatch.setattr("dedup.config.load", fail)
    result = run(tmp_path, "status")
    assert result.code == 3, "1 means findings"
    assert result.err.splitlines()[-1].startswith("dedup: internal error: RuntimeError: a \\x1b[31mbug.")


def test_an_error_in_one_summary_does_not_affect_other_summaries(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_articles(crawl, 14, {5}, 0)
    running.scan(crawl, db)
    settings = running.settings(crawl, db)
    summarise = summaries._summarise_pages

    def fail(transaction: Transaction, publishers: PublisherResolver, pages: set[int]) -> None:
        if any(MARK in store.pages.url(transaction, page) for page in pages):
            raise ValueError("year 10000 is out of range")
        summarise(transaction, publishers, pages)

    with open_writable(str(db), "test") as database:
        with monkeypatch.context() as patch:
            patch.setattr(summaries, "_summarise_pages", fail)
            failed = summaries.SummaryFailures()
            summaries.update_all_summaries(database, settings, failures=failed)
            assert isinstance(failed.last_error, ValueError)
            dirty, _ = store.summaries.dirty_batch(database, 100)
            assert dirty == failed.pages
            assert any(MARK in store.pages.url(database, page) for page in dirty)
            assert store.statistics.count(database, "summaries") > 0
        summaries.update_all_summaries(database, settings)
        assert store.summaries.dirty_batch(database, 100) == (set(), set())


@given(st.lists(st.integers(0, 50), unique=True), st.sets(st.integers(0, 50)))
def test_isolate_failures_keeps_the_order_and_halves_the_batch(items: list[int], bad: set[int]) -> None:
    sizes: list[int] = []
    isolated: list[int] = []

    def work(part: Sequence[int]) -> list[int]:
        sizes.append(len(part))
        if bad & set(part):
            raise ValueError
        return list(part)

    parts = isolate_failures(items, work, lambda item, _: isolated.append(item))
    assert [i for part in parts for i in part] == [i for i in items if i not in bad]
    assert isolated == [i for i in items if i in bad]
    assert len(sizes) <= 1 + 2 * len(isolated) * (len(items).bit_length() + 1)


def test_is_file_error_separates_errors_of_files_from_errors_of_the_system() -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert not is_file_error(full)
    assert not is_file_error(sqlite3.OperationalError("no such table: files"))
    assert not is_file_error(sqlite3.ProgrammingError("Cannot operate on a closed database."))
    assert not is_file_error(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not is_file_error(DatabaseFailedError(path="x", problem="y"))
    assert all(is_file_error(error()) for error in ERRORS)
    assert summarise_error(ValueError("\n".join("ab"))) == "ValueError: a b"

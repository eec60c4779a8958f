"""Links inside a crawl directory never lead to reads outside it."""

from __future__ import annotations

import ctypes
import os
import shutil
import threading
from pathlib import Path

import pytest

from dedup.files.nofollow import NoFollowTree
from dedup.pipeline.extract import CrawlFile, extract_files
from dedup.pipeline.scanner import Scan
from dedup.pipeline.session import build_extract_options
from dedup.store.rows import FileStamp
from tests.builders import scans as running
from tests.builders.command import run
from tests.builders.crawl import ArticleFile
from tests.builders.opened_files import record_opened_files


def test_the_probe_sees_opened_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with record_opened_files(tmp_path) as paths:
        (tmp_path / "a").read_text()
    assert str(tmp_path / "a") in paths


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A tree beside the crawl directory, which must not be read."""
    for folder in ("outside", "outside/in/deep"):
        ArticleFile(body=f"{folder}에만 있는 비밀 글이다. " * 9, aid=f"{len(folder)}").write(tmp_path / folder, "a.md")
    return tmp_path / "outside"


def crawl_file(crawl: Path, folder: str) -> CrawlFile:
    return CrawlFile(1, os.fsencode(crawl), folder.encode(), b"a.md", FileStamp(0, 0, 0, 0))


@pytest.mark.parametrize(("folder", "link", "target"), [("in", "in", "."), ("in/deep", "in", "in"), ("in/deep", "in/deep", "in/deep")])
def test_a_folder_replaced_by_a_link_after_listing_is_not_followed(
    crawl: Path, db: Path, outside: Path, folder: str, link: str, target: str
) -> None:
    """There is time between listing and reading, which an attacker with the crawler's account can use."""
    ArticleFile().write(crawl / folder, "a.md")
    file, options = crawl_file(crawl, folder), build_extract_options(running.settings(crawl, db))
    assert extract_files([file], options)[0].outcome == "article"
    shutil.rmtree(crawl / link)
    (crawl / link).symlink_to(outside / target)
    assert os.path.isfile(file.path)
    with record_opened_files(outside, outside / "in", outside / "in/deep") as opened_paths:
        (extraction,) = extract_files([file], options)
    assert (extraction.outcome, extraction.article) == ("vanished", None)
    assert opened_paths == set()


def test_neither_the_walk_nor_events_follow_a_link_in_place_of_a_folder(crawl: Path, db: Path, outside: Path) -> None:
    ArticleFile(aid="1").write(crawl / "in", "a.md")
    ArticleFile(aid="2").write(crawl, "b.md")
    running.scan(crawl, db)
    (crawl / "in").rename(crawl.parent / "moved away")
    (crawl / "in").symlink_to(crawl.parent / "moved away")
    with record_opened_files(crawl.parent / "moved away") as opened_paths, running.session(crawl, db) as session:
        scan = Scan(session)
        (root,) = session.directories
        scan.reconcile_folder(root, b"in")
        scan.check_paths(root, [b"in/a.md", b"in/more/a.md"])
        scan.close()
    assert opened_paths == set()
    assert {(row["path"], row["gone"]) for row in running.dump(db, "files")} == {("in/a.md", 1), ("b.md", 0)}
    assert running.scan(crawl, db).ignored == {"symlink": 1}


def test_links_in_a_crawl_directory_are_never_opened(crawl: Path, db: Path, outside: Path) -> None:
    ArticleFile(aid="3").write(crawl / "folder", "a.md")
    (crawl / "file.md").symlink_to(outside / "a.md")
    (crawl / "folder/folder.md").symlink_to(outside)
    (crawl / "out").symlink_to(outside)
    (crawl / "folder/up").symlink_to("..")
    (crawl / "loop").symlink_to("loop")
    (crawl / "null.md").symlink_to("/dev/null")
    os.mkfifo(outside / "pipe.md")
    (crawl / "pipe.md").symlink_to(outside / "pipe.md")
    (crawl.parent / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    with record_opened_files(outside, outside / "a.md", outside / "in") as opened_paths:
        counts = run(crawl.parent, "scan", "--format", "json").json()
        rows = run(crawl.parent, "verify", "crawl", "-f", "json").json()
        for link in ("file.md", "out/a.md", "pipe.md", "null.md", "loop"):
            run(crawl.parent, "verify", crawl / link) if "/" not in link else None
            run(crawl.parent, "history", crawl / link)
        assert run(crawl.parent, "similar", crawl / "file.md").code == 3
        assert run(crawl.parent, "why", crawl / "file.md", crawl / "folder/a.md").code == 3
    assert opened_paths == set()
    assert (counts["new"], counts["ignored"], counts["files"]) == (1, 7, 8)
    assert [row["path"].endswith("crawl/folder/a.md") for row in rows] == [True]


def test_a_crawl_directory_may_be_a_link(crawl: Path, db: Path, tmp_path: Path) -> None:
    ArticleFile().write(crawl / "in", "a.md")
    (tmp_path / "named").symlink_to(crawl)
    assert running.scan(tmp_path / "named", db).new == 1
    assert run(tmp_path, "verify", tmp_path / "named").code == 0


def test_the_folder_cache_never_returns_the_wrong_folder(crawl: Path) -> None:
    for folder in ("a", "b", "a/b"):
        (crawl / folder).mkdir()
        (crawl / folder / "f").write_text(folder)
    root = os.fsencode(crawl)
    with NoFollowTree() as tree:
        stats = [tree.stat_path(root, path, b"f") for path in (b"a", b"b", b"a/b", b"a", b"")]
        assert [stat and stat.st_size for stat in stats] == [1, 1, 3, 1, None]
        with tree.list_folder(root, b"a") as entries:
            assert {entry.name for entry in entries} == {"b", "f"}
        with pytest.raises(NotADirectoryError):
            tree.open_folder(root, b"a/f")
        assert tree.stat_path(root, b"a/f", b"x") is None
        assert tree.stat_path(root, b"none", b"x") is None
    before = set(os.listdir("/proc/self/fd"))
    with NoFollowTree() as tree:
        for path in (b"a", b"a/b", b"none", b"a/f", b"b"):
            tree.stat_path(root, path, b"f")
    assert set(os.listdir("/proc/self/fd")) == before, "no descriptor leaks"


def test_swapping_a_folder_for_a_link_never_leaks_content(crawl: Path, db: Path, outside: Path) -> None:
    """A thread exchanges the folder and the link all the time."""
    ArticleFile(body="안에 있는 글이다. " * 30).write(crawl / "in", "a.md")
    file, options = crawl_file(crawl, "in"), build_extract_options(running.settings(crawl, db))
    (crawl / "link").symlink_to(outside)
    stop = threading.Event()

    def swap() -> None:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
        while not stop.is_set():
            renameat2(-100, os.fsencode(crawl / "in"), -100, os.fsencode(crawl / "link"), 2)  # RENAME_EXCHANGE

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        outcomes = [extract_files([file], options)[0] for _ in range(1500)]
    finally:
        stop.set()
        thread.join()
    bodies = {e.article.body for e in outcomes if e.article is not None}
    assert {e.outcome for e in outcomes} == {"article", "vanished"}, "both states were read"
    assert all("비밀" not in body for body in bodies)

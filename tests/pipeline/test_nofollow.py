"""Nothing outside a crawl directory is read, whatever is put in the way; nothing in it is written."""

from __future__ import annotations

import ctypes
import os
import shutil
import threading
from pathlib import Path

import pytest

from dedup.files.nofollow import NoFollowTree
from dedup.scan.extract import CrawlFile, extract_files
from dedup.scan.scanner import Scan
from dedup.scan.session import build_extract_options
from dedup.store.rows import FileStamp
from tests.builders import scans as running
from tests.builders.command import run
from tests.builders.crawl import ArticleFile
from tests.builders.opened_files import opened


def test_what_is_opened_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with opened(tmp_path) as found:
        (tmp_path / "a").read_text()
    assert str(tmp_path / "a") in found


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A tree beside the crawl directory that nobody asked to be read."""
    for folder in ("outside", "outside/in/deep"):
        ArticleFile(body=f"{folder}에만 있는 비밀 글이다. " * 9, aid=f"{len(folder)}").write(tmp_path / folder, "a.md")
    return tmp_path / "outside"


def found_at(crawl: Path, folder: str) -> CrawlFile:
    return CrawlFile(1, os.fsencode(crawl), folder.encode(), b"a.md", FileStamp(0, 0, 0, 0))


@pytest.mark.parametrize(("folder", "link", "target"), [("in", "in", "."), ("in/deep", "in", "in"), ("in/deep", "in/deep", "in/deep")])
def test_a_folder_that_became_a_link_after_it_was_listed_is_not_read_through(
    crawl: Path, db: Path, outside: Path, folder: str, link: str, target: str
) -> None:
    """What the walk found is read later; a crawler's account that was taken over has all the time in between."""
    ArticleFile().write(crawl / folder, "a.md")
    found, options = found_at(crawl, folder), build_extract_options(running.settings(crawl, db))
    assert extract_files([found], options)[0].outcome == "article"
    shutil.rmtree(crawl / link)
    (crawl / link).symlink_to(outside / target)
    assert os.path.isfile(found.path)
    with opened(outside, outside / "in", outside / "in/deep") as read:
        (e,) = extract_files([found], options)
    assert (e.outcome, e.article) == ("vanished", None)
    assert read == set()


def test_the_walk_and_events_do_not_go_through_a_link_that_took_a_folders_place(crawl: Path, db: Path, outside: Path) -> None:
    ArticleFile(aid="1").write(crawl / "in", "a.md")
    ArticleFile(aid="2").write(crawl, "b.md")
    running.scan(crawl, db)
    (crawl / "in").rename(crawl.parent / "moved away")
    (crawl / "in").symlink_to(crawl.parent / "moved away")
    with opened(crawl.parent / "moved away") as read, running.session(crawl, db) as session:
        scan = Scan(session)
        (root,) = session.directories
        scan.reconcile_folder(root, b"in")
        scan.check_paths(root, [b"in/a.md", b"in/more/a.md"])
        scan.close()
    assert read == set()
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
    with opened(outside, outside / "a.md", outside / "in") as read:
        scanned = run(crawl.parent, "scan", "--format", "json").json()
        verified = run(crawl.parent, "verify", "crawl", "-f", "json").json()
        for link in ("file.md", "out/a.md", "pipe.md", "null.md", "loop"):
            run(crawl.parent, "verify", crawl / link) if "/" not in link else None
            run(crawl.parent, "history", crawl / link)
        assert run(crawl.parent, "similar", crawl / "file.md").code == 3
        assert run(crawl.parent, "why", crawl / "file.md", crawl / "folder/a.md").code == 3
    assert read == set()
    assert (scanned["new"], scanned["ignored"], scanned["files"]) == (1, 7, 8)
    assert [row["path"].endswith("crawl/folder/a.md") for row in verified] == [True]


def test_a_crawl_directory_may_be_a_link_itself(crawl: Path, db: Path, tmp_path: Path) -> None:
    ArticleFile().write(crawl / "in", "a.md")
    (tmp_path / "named").symlink_to(crawl)
    assert running.scan(tmp_path / "named", db).new == 1
    assert run(tmp_path, "verify", tmp_path / "named").code == 0


def test_folders_are_told_apart_whatever_was_asked_before(crawl: Path) -> None:
    for folder in ("a", "b", "a/b"):
        (crawl / folder).mkdir()
        (crawl / folder / "f").write_text(folder)
    root = os.fsencode(crawl)
    with NoFollowTree() as beneath:
        found = [beneath.stat_path(root, place, b"f") for place in (b"a", b"b", b"a/b", b"a", b"")]
        assert [f and f.st_size for f in found] == [1, 1, 3, 1, None]
        with beneath.list_folder(root, b"a") as entries:
            assert {entry.name for entry in entries} == {"b", "f"}
        with pytest.raises(NotADirectoryError):
            beneath.open_folder(root, b"a/f")
        assert beneath.stat_path(root, b"a/f", b"x") is None
        assert beneath.stat_path(root, b"none", b"x") is None
    before = set(os.listdir("/proc/self/fd"))
    with NoFollowTree() as beneath:
        for place in (b"a", b"a/b", b"none", b"a/f", b"b"):
            beneath.stat_path(root, place, b"f")
    assert set(os.listdir("/proc/self/fd")) == before, "nothing stays open"


def test_swapping_a_folder_for_a_link_again_and_again_never_lets_a_byte_through(crawl: Path, db: Path, outside: Path) -> None:
    """Whatever moment the swap hits."""
    ArticleFile(body="안에 있는 글이다. " * 30).write(crawl / "in", "a.md")
    found, options = found_at(crawl, "in"), build_extract_options(running.settings(crawl, db))
    (crawl / "link").symlink_to(outside)
    over = threading.Event()

    def swap() -> None:
        renames = ctypes.CDLL(None, use_errno=True).renameat2
        while not over.is_set():
            renames(-100, os.fsencode(crawl / "in"), -100, os.fsencode(crawl / "link"), 2)  # RENAME_EXCHANGE

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        outcomes = [extract_files([found], options)[0] for _ in range(1500)]
    finally:
        over.set()
        swapping.join()
    read = {e.article.body for e in outcomes if e.article is not None}
    assert {e.outcome for e in outcomes} == {"article", "vanished"}, "both were met"
    assert all("비밀" not in body for body in read)

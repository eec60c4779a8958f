"""`kill -9` during scans: the next scan completes the database to that of an undisturbed scan."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import scans as running
from tests.builders.crawl import ArticleFile, edit_words, words


def _write_crawl(crawl: Path) -> None:
    """Pages with near copies and recrawls, so that every table has rows."""
    rng = random.Random(3)
    for n in range(150):
        story = words(rng, 80)
        article = ArticleFile(body=" ".join(story), aid=f"{n:010d}", title=f"기사 {n}")
        article.write(crawl)
        replace(article, body=" ".join(edit_words(rng, story, 0.03)), crawled_at="2026-03-03 00:30:00").write(crawl / "2026-03-03")
        replace(article, body=" ".join(edit_words(rng, story, 0.02)), oid="902").write(crawl / "copies")
    (crawl / "torn.md").write_text(ArticleFile(aid="0000009999").render()[:300], encoding="utf-8")


_SCAN = """
import sys
from pathlib import Path
from dedup.pipeline import scanner
from tests.builders import scans as running
scanner.BATCH_FILES = 16
with running.session(Path(sys.argv[1]), Path(sys.argv[2])) as session:
    print("open", flush=True)
    tally = scanner.Scan(session, progress=lambda t: print(t.files, flush=True)).run()
print("done", flush=True)
"""


def _kill_scans_and_compare(tmp_path: Path, kills: int) -> None:
    crawl, db, clean = tmp_path / "crawl", tmp_path / "dedup.db", tmp_path / "clean.db"
    _write_crawl(crawl)
    running.scan(crawl, clean)
    rng = random.Random(9)
    count = 0
    while count < kills:
        with subprocess.Popen([sys.executable, "-c", _SCAN, str(crawl), str(db)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(rng.randint(1, 4)):
                line = process.stdout.readline()
            if line.strip() in ("done", ""):
                process.wait()
                for file in db.parent.glob(db.name + "*"):
                    file.unlink()
                continue
            # Kill it some time after the reported commit.
            for _ in range(rng.randint(0, 200_000)):
                pass
            process.send_signal(signal.SIGKILL)
        count += 1
        assert sqlite3.connect(db).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    running.scan(crawl, db)
    assert running.dump(db) == running.dump(clean)


@pytest.mark.system
def test_a_scan_killed_a_few_times_ends_in_the_same_database(tmp_path: Path) -> None:
    _kill_scans_and_compare(tmp_path, 6)


@pytest.mark.system
@pytest.mark.timeout(1200)
def test_a_scan_killed_a_hundred_times_ends_in_the_same_database(tmp_path: Path) -> None:
    _kill_scans_and_compare(tmp_path, 100)

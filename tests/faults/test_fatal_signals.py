"""Truncating a mapped file kills the daemon. Its log shows where, and the next start rebuilds the file."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from tests.builders.crawl import ArticleFile, words
from tests.builders.daemon import assert_equals_scan, watching
from tests.builders.oracle import assert_holds, assert_sound, caught_up
from tests.builders.processes import patched_command

pytestmark = pytest.mark.system

_TRUNCATE_WHILE_INSERTING = """
import os
from dedup.runtime import process
from dedup.index import hashtable
process.prepare()
def truncated(self, *args):
    os.truncate(self.path, 0)
    return insert(self, *args)
insert, hashtable.HashTable.insert = hashtable.HashTable.insert, truncated
"""


def _write(crawl: Path, numbers: range) -> None:
    rng = random.Random(numbers.start)
    for n in numbers:
        ArticleFile(body=" ".join(words(rng, 80)), aid=f"{n:010d}", title=f"기사 {n}").write(crawl, age=0)


def test_an_index_truncated_within_a_batch_leaves_a_traceback_and_is_rebuilt_at_the_next_start(crawl: Path, db: Path) -> None:
    with watching(crawl, db, under=patched_command(_TRUNCATE_WHILE_INSERTING)) as daemon:
        _write(crawl, range(5))
        assert daemon.wait(60) == -signal.SIGBUS
        log = daemon.log.decode()
    assert "Fatal Python error: Bus error" in log
    assert "in truncated" in log, "the traceback shows the function"
    assert_sound(db)
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: caught_up(crawl, db))
        log = daemon.log.decode()
        assert daemon.leave() == 0
    assert "was killed" in log
    assert "is missing or damaged: rebuilding it from the database" in log
    assert_holds(crawl, db)
    assert_equals_scan(crawl, db)


def test_an_index_truncated_between_batches_is_rebuilt_by_the_same_daemon(crawl: Path, db: Path) -> None:
    _write(crawl, range(5))
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: caught_up(crawl, db))
        for end in (".index", ".passages"):
            with Path(f"{db}{end}").open("r+b") as file:
                file.truncate(0)
        _write(crawl, range(5, 10))
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert f"{db}.index" in daemon.log.decode()
    assert_holds(crawl, db)
    assert_equals_scan(crawl, db)

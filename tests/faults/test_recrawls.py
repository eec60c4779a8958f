"""Rounds of re-crawls laid over a watched directory: every change is told once, by HTTP, by mail and in the feed, with the daemon killed
on the way."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from dedup.text import times
from tests.builders.alerts import Receiver, receiver
from tests.builders.crawl import ArticleFile, words
from tests.builders.daemon import watching
from tests.builders.hook_secret import ENV
from tests.builders.oracle import assert_holds, caught_up
from tests.builders.smtp import smtp

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

KILLS = 5
PAGES, ROUNDS = 30, 6
_ATOM = "{http://www.w3.org/2005/Atom}"

_RULES = """
[channels.hook]
kind = "webhook"
url = "{hook}"
secret = "env:HOOK_SECRET"
[channels.mail]
kind = "apprise"
url = "{mail}"
[channels.feed]
kind = "atom"
path = "{feed}"
entries = 10000
[delivery]
gather_seconds = 1.0
retry_seconds = 1.0
max_retry_seconds = 1.0
[[alerts]]
name = "edits"
on = ["change"]
to = ["hook", "mail", "feed"]
min_severity = "minor"
max_per_hour = 0
"""


def told_once(crawl: Path, db: Path, rounds: Sequence[Path], seed: int) -> dict[str, Any]:
    """Lay the rounds over a watched directory one after the other, killing the daemon at random moments on the way; and hold what was
    received against what is recorded. Returns what came to the receivers."""
    rng = random.Random(seed)
    feed = db.with_name("feed.xml")
    kills = sorted(rng.sample(range(1, len(rounds) * 10), KILLS))
    with receiver() as hook, smtp() as (inbox, mail):
        more = _RULES.format(hook=hook.url, mail=mail.url, feed=feed)
        _laid(rounds[0], crawl)
        with watching(crawl, db, more=more, env=ENV) as daemon:
            assert daemon.leave() == 0
        assert (hook.received, inbox.mails) == ([], [])  # what was there is no news
        for number, folder in enumerate(rounds[1:], 1):
            _laid(folder, crawl)
            for kill in (k for k in kills if number * 10 - 10 < k <= number * 10):
                with watching(crawl, db, more=more, env=ENV) as daemon:
                    if kill % 2:
                        daemon.wait_until(_more_than(len(hook.received), hook, db))
                    daemon.process.kill()
                    daemon.wait()
            with watching(crawl, db, more=more, env=ENV) as daemon:
                daemon.wait_until(lambda: caught_up(crawl, db) and nothing_due(db), 120, every=0.2)
                assert daemon.leave() == 0
        told = {"hook": hook.ids(), "mails": list(inbox.mails), "requests": list(hook.received), "feed": feed}
    assert_holds(crawl, db)
    _each_change_once(db, told)
    return told


def _more_than(received: int, hook: Receiver, db: Path) -> Callable[[], bool]:
    return lambda: len(hook.received) > received or nothing_due(db)


def nothing_due(db: Path) -> bool:
    """Whether nothing waits but what tells of an incident's growth, which is told once a day."""
    soon = times.seconds_from_now(60)
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
        waiting = connection.execute("SELECT 1 FROM deliveries WHERE status = 'pending' AND due_at < ? LIMIT 1", (soon,)).fetchone()
    connection.close()
    return waiting is None


def _laid(folder: Path, crawl: Path) -> None:
    shutil.copytree(folder, crawl, dirs_exist_ok=True)


def _each_change_once(db: Path, told: dict[str, Any]) -> None:
    """Every change that the rule is about is in one alert that was received everywhere, or in the alert of its incident."""
    with sqlite3.connect(db) as connection:
        recorded = connection.execute(
            "SELECT p.url, c.at FROM changes c JOIN pages p ON p.id = c.page_id WHERE c.severity <> 'trivial'"
        ).fetchall()
        alerts = connection.execute(
            "SELECT a.public_id, a.url, a.at, f.public_id FROM alerts a LEFT JOIN alerts f ON f.id = a.folded_into_id"
            " WHERE a.withdrawn_at IS NULL AND a.page_count IS NULL"
        ).fetchall()
        sent = connection.execute(
            "SELECT DISTINCT a.public_id FROM alerts a JOIN deliveries d ON d.alert_id = a.id WHERE d.status = 'sent'"
        ).fetchall()
        later = connection.execute(
            "SELECT DISTINCT a.public_id FROM alerts a JOIN deliveries d ON d.alert_id = a.id"
            " WHERE d.status = 'pending' AND a.page_count IS NOT NULL"
        ).fetchall()
        states = dict(connection.execute("SELECT status, count(*) FROM deliveries GROUP BY 1"))
    connection.close()
    assert sorted((url, at) for _, url, at, _ in alerts) == sorted(recorded)
    assert set(states) <= {"sent", "withdrawn", "pending"}
    received = set(told["hook"])
    assert received == {name for (name,) in sent}
    assert {folded or name for name, *_, folded in alerts} - {name for (name,) in later} <= received
    entries = [e.findtext(f"{_ATOM}id") or "" for e in ElementTree.parse(told["feed"]).iter(f"{_ATOM}entry")]
    assert len(entries) == len(set(entries)) == len(received)
    mailed = "".join(m.get_body(("plain",)).get_content() for m in told["mails"])
    assert all(name in mailed for name in received)


def _rounds(folder: Path, seed: int) -> list[Path]:
    """Pages that are edited in every way from round to round; in the last one, a line comes under each of them."""
    rng = random.Random(seed)
    pages = [
        ArticleFile(aid=f"{n:010d}", title=f"기사 {n}", body=" ".join(words(rng, 60)) + f". 참석자는 {n + 10}명이었다.")
        for n in range(PAGES)
    ]
    made = []
    for number in range(ROUNDS):
        made.append(folder / f"{number}")
        for n, page in enumerate(pages):
            edit = rng.choice(("none", "number", "title", "word", "back", "author")) if number else "none"
            body = page.body
            if edit == "number":
                body = body.replace("명이었다", f"{number}명이었다")
            elif edit == "word":
                body = body.replace(body.split()[5], "바뀐낱말", 1)
            if number == ROUNDS - 1:
                body = page.body + " 구독자께는 매일 아침 편지를 보내 드립니다."
            now = replace(
                page,
                body=body,
                title=f"새 제목 {n} {number}" if edit == "title" else page.title,
                author="하늘봄" if edit == "author" else page.author,
                crawled_at=f"2026-03-{number + 2:02d} 00:30:00",
            )
            now.write(made[-1] / f"{number}")
            if edit != "back":
                pages[n] = replace(now, author=page.author, title=page.title)
    return made


def test_every_change_of_rounds_of_crawls_is_told_once_though_the_daemon_is_killed(crawl: Path, db: Path, tmp_path: Path) -> None:
    told = told_once(crawl, db, _rounds(tmp_path / "rounds", 7), 11)
    assert max(a["page_count"] or 0 for request in told["requests"] for a in request.json["alerts"]) >= PAGES // 2

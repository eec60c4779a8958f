"""Rounds of recrawls in a watched directory, with the daemon killed at random: each change raises one alert by webhook, mail and feed."""

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


def run_rounds(crawl: Path, db: Path, rounds: Sequence[Path], seed: int) -> dict[str, Any]:
    """Copy the rounds into a watched directory, one after the other, killing the daemon at random. Compare the received alerts with the
    recorded changes. Returns what the receivers got."""
    rng = random.Random(seed)
    feed = db.with_name("feed.xml")
    kills = sorted(rng.sample(range(1, len(rounds) * 10), KILLS))
    with receiver() as hook, smtp() as (inbox, mail):
        more = _RULES.format(hook=hook.url, mail=mail.url, feed=feed)
        _copy_into(rounds[0], crawl)
        with watching(crawl, db, more=more, env=ENV) as daemon:
            assert daemon.leave() == 0
        assert (hook.received, inbox.mails) == ([], [])  # a first import raises no alerts
        for number, folder in enumerate(rounds[1:], 1):
            _copy_into(folder, crawl)
            for kill in (k for k in kills if number * 10 - 10 < k <= number * 10):
                with watching(crawl, db, more=more, env=ENV) as daemon:
                    if kill % 2:
                        daemon.wait_until(_hook_received_more_than(len(hook.received), hook, db))
                    daemon.process.kill()
                    daemon.wait()
            with watching(crawl, db, more=more, env=ENV) as daemon:
                daemon.wait_until(lambda: caught_up(crawl, db) and nothing_is_due(db), 120, every=0.2)
                assert daemon.leave() == 0
        received = {"hook": hook.ids(), "mails": list(inbox.mails), "requests": list(hook.received), "feed": feed}
    assert_holds(crawl, db)
    _assert_one_alert_per_change(db, received)
    return received


def _hook_received_more_than(received: int, hook: Receiver, db: Path) -> Callable[[], bool]:
    return lambda: len(hook.received) > received or nothing_is_due(db)


def nothing_is_due(db: Path) -> bool:
    """Whether no delivery is due soon. Alerts about the growth of an incident are sent once a day."""
    soon = times.seconds_from_now(60)
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
        waiting = connection.execute("SELECT 1 FROM deliveries WHERE status = 'pending' AND due_at < ? LIMIT 1", (soon,)).fetchone()
    connection.close()
    return waiting is None


def _copy_into(folder: Path, crawl: Path) -> None:
    shutil.copytree(folder, crawl, dirs_exist_ok=True)


def _assert_one_alert_per_change(db: Path, received: dict[str, Any]) -> None:
    """Every channel received one alert for each change that the rule selects, or the alert of its incident."""
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
    alert_ids = set(received["hook"])
    assert alert_ids == {public_id for (public_id,) in sent}
    assert {incident_alert or public_id for public_id, *_, incident_alert in alerts} - {public_id for (public_id,) in later} <= alert_ids
    entries = [e.findtext(f"{_ATOM}id") or "" for e in ElementTree.parse(received["feed"]).iter(f"{_ATOM}entry")]
    assert len(entries) == len(set(entries)) == len(alert_ids)
    mail_text = "".join(m.get_body(("plain",)).get_content() for m in received["mails"])
    assert all(public_id in mail_text for public_id in alert_ids)


def _rounds(folder: Path, seed: int) -> list[Path]:
    """One folder per round of crawls. Pages are edited at random; in the last round each gets the same additional line."""
    rng = random.Random(seed)
    pages = [
        ArticleFile(aid=f"{n:010d}", title=f"기사 {n}", body=" ".join(words(rng, 60)) + f". 참석자는 {n + 10}명이었다.")
        for n in range(PAGES)
    ]
    folders = []
    for number in range(ROUNDS):
        folders.append(folder / f"{number}")
        for n, page in enumerate(pages):
            edit = rng.choice(("none", "number", "title", "word", "back", "author")) if number else "none"
            body = page.body
            if edit == "number":
                body = body.replace("명이었다", f"{number}명이었다")
            elif edit == "word":
                body = body.replace(body.split()[5], "바뀐낱말", 1)
            if number == ROUNDS - 1:
                body = page.body + " 구독자께는 매일 아침 편지를 보내 드립니다."
            version = replace(
                page,
                body=body,
                title=f"새 제목 {n} {number}" if edit == "title" else page.title,
                author="하늘봄" if edit == "author" else page.author,
                crawled_at=f"2026-03-{number + 2:02d} 00:30:00",
            )
            version.write(folders[-1] / f"{number}")
            if edit != "back":
                pages[n] = replace(version, author=page.author, title=page.title)
    return folders


def test_every_change_is_alerted_once_although_the_daemon_is_killed(crawl: Path, db: Path, tmp_path: Path) -> None:
    received = run_rounds(crawl, db, _rounds(tmp_path / "rounds", 7), 11)
    assert max(a["page_count"] or 0 for request in received["requests"] for a in request.json["alerts"]) >= PAGES // 2

"""Rereading files after a change of settings: new readings replace the old ones and raise no alerts."""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup import formats, store
from dedup.config import AlertRuleConfig, ChannelConfig, IntegrityConfig, Settings, TimeConfig, UrlsConfig
from dedup.maintenance.reindex import reindex_readings
from dedup.pipeline import recipes
from dedup.pipeline.counts import ScanCounts
from dedup.pipeline.scanner import Scan
from dedup.pipeline.session import open_session
from tests.builders import scans as running
from tests.builders.command import run
from tests.builders.crawl import DIGESTS, ArticleFile

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain")]

PAGE = "https://one.example/1"
FIRST = ArticleFile(url=PAGE, crawled_at="2026-03-02 01:00:00", body="Der Rat tagt am Montag um 10 Uhr im alten Haus am Markt.")
SECOND = replace(FIRST, crawled_at="2026-03-02 05:00:00", body="Der Rat tagt am Dienstag um 12 Uhr im neuen Haus am Markt.")
SEOUL = TimeConfig(crawled_at="Asia/Seoul")


def settings(crawl: Path, db: Path, **sections: Any) -> Settings:
    return running.settings(crawl, db).model_copy(update=sections)


def scan(settings: Settings) -> ScanCounts:
    with open_session(settings, "test", alert_on_import=True) as session:
        return Scan(session).run()


def reread(settings: Settings) -> dict[str, int]:
    with open_session(settings, "test", alert_on_import=True, exempt_recipes=[recipes.READINGS]) as session:
        return reindex_readings(session)


def dump_without_gone(db: Path) -> list[dict[str, Any]]:
    """The dump without files that are gone."""
    rows = running.dump(db)
    gone = {r["path"] for r in rows if r["table"] == "files" and r["gone"]}
    return [r for r in rows if r.get("path") not in gone]


def deliveries(db: Path) -> list[tuple[str, str, str]]:
    """(kind, time of the event, status) of each."""
    with sqlite3.connect(db) as connection:
        return connection.execute(
            "SELECT a.kind, a.at, d.status FROM alerts a JOIN deliveries d ON d.alert_id = a.id ORDER BY a.id"
        ).fetchall()


def test_without_a_configured_directory_reindex_reads_the_recorded_ones(crawl: Path, db: Path) -> None:
    FIRST.write(crawl, "a.md")
    assert run(crawl.parent, "-d", db, "scan", crawl).code == 0
    (crawl.parent / "config.toml").write_text('[time]\ncrawled_at = "Asia/Seoul"\n', encoding="utf-8")
    assert run(crawl.parent, "-d", db, "scan", crawl).code == 3
    assert run(crawl.parent, "-d", db, "reindex").out == "1 file reread.\n"
    assert run(crawl.parent, "-d", db, "scan", crawl).code == 0
    assert [s["crawled_at"] for s in running.dump(db, "sightings")] == ["2026-03-01T16:00:00+00:00"]


@pytest.mark.parametrize("move", ["before", "after", "between"])
def test_a_moved_file_gives_no_second_crawl_in_another_time_zone(crawl: Path, db: Path, tmp_path: Path, move: str) -> None:
    """The file moves before the time zone changes, after the change was applied, or between the change and the reread."""
    paths = [FIRST.write(crawl, "a.md"), SECOND.write(crawl, "b.md")]
    scan(settings(crawl, db))

    def move_files() -> None:
        (crawl / "x").mkdir()
        for path in paths:
            path.rename(crawl / "x" / path.name)

    if move == "before":
        move_files()
        assert scan(settings(crawl, db)).moved == 2
    if move == "between":
        move_files()
    reread(settings(crawl, db, time=SEOUL))
    if move == "after":
        move_files()
    tally = scan(settings(crawl, db, time=SEOUL))
    assert (tally.new, tally.changes, tally.sightings) == (0, 0, 0)
    assert tally.moved == (2 if move != "before" else 0)
    scan(settings(crawl, tmp_path / "fresh.db", time=SEOUL))
    assert dump_without_gone(db) == dump_without_gone(tmp_path / "fresh.db")
    assert len(running.dump(db, "sightings")) == 2


def test_a_file_that_comes_back_is_read_with_the_current_settings(crawl: Path, db: Path, tmp_path: Path) -> None:
    path = FIRST.write(crawl)
    scan(settings(crawl, db))
    path.rename(tmp_path / "kept.md")
    scan(settings(crawl, db))
    reread(settings(crawl, db, time=SEOUL))
    assert [s["crawled_at"][11:16] for s in running.dump(db, "sightings")] == ["01:00"], "history without a file is unchanged"
    (tmp_path / "kept.md").rename(path)
    assert scan(settings(crawl, db, time=SEOUL)).new == 0
    scan(settings(crawl, tmp_path / "fresh.db", time=SEOUL))
    assert running.dump(db) == running.dump(tmp_path / "fresh.db")


@pytest.mark.parametrize("batch", [1, 512])
def test_pending_alerts_get_the_new_time_and_sent_alerts_are_not_repeated(
    crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("dedup.pipeline.scanner.BATCH_FILES", batch)
    alerting = {
        "channels": {"log": ChannelConfig(kind="log")},
        "alerts": (AlertRuleConfig(name="all", on=("change", "mismatch"), to=("log",), min_severity="trivial"),),
    }
    FIRST.write(crawl, "a.md")
    SECOND.write(crawl, "b.md")
    replace(FIRST, claim="0" * 64, url="https://two.example/1").write(crawl, "c.md")
    scan(settings(crawl, db, **alerting))
    (change, mismatch) = deliveries(db)
    assert (change[1][11:16], change[2], mismatch[1][11:16], mismatch[2]) == ("05:00", "pending", "01:00", "pending")
    reread(settings(crawl, db, time=SEOUL, **alerting))
    pending = sorted((kind, at[11:16]) for kind, at, status in deliveries(db) if status == "pending")
    assert pending == sorted([(change[0], "20:00"), (mismatch[0], "16:00")])
    with sqlite3.connect(db) as connection:
        connection.execute("UPDATE deliveries SET status = 'sent' WHERE status = 'pending'")
    before = deliveries(db)
    reread(settings(crawl, db, **alerting))
    assert [d for d in deliveries(db) if d[2] == "pending"] == []
    assert [d for d in before if d[2] == "sent"] == [d for d in deliveries(db) if d[2] == "sent"]


def test_an_alert_of_a_mismatch_is_withdrawn_when_a_new_recipe_verifies_it(crawl: Path, db: Path) -> None:
    alerting = {
        "channels": {"log": ChannelConfig(kind="log")},
        "alerts": (AlertRuleConfig(name="all", on=("mismatch", "change"), to=("log",)),),
    }
    replace(FIRST, claim=DIGESTS["md5"](FIRST.body.encode())).write(crawl)
    one_recipe = settings(crawl, db, integrity=IntegrityConfig(recipes=("sha256(body)",)), **alerting)
    scan(one_recipe)
    assert [status for *_, status in deliveries(db)] == ["pending"]
    reread(settings(crawl, db, **alerting))
    assert [status for *_, status in deliveries(db)] == ["withdrawn"]
    assert [s["check_status"] for s in running.dump(db, "sightings")] == ["verified"]


def test_an_interrupted_reread_continues_where_it_stopped(crawl: Path, db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.pipeline.scanner.BATCH_FILES", 5)
    for n in range(23):
        replace(FIRST, url=f"https://one.example/{n % 12}", crawled_at=f"2026-03-02 {n:02}:00:00").write(crawl, f"{n:02}.md")
    scan(settings(crawl, db))
    new = settings(crawl, db, time=SEOUL)
    stop = threading.Event()

    def stop_after_ten(tally: ScanCounts) -> None:
        if tally.reread >= 10:
            stop.set()

    with open_session(new, "test", exempt_recipes=[recipes.READINGS]) as session:
        with session.database.transaction() as transaction:
            store.rereads.queue_all(transaction)
            store.settings.put(transaction, recipes.READINGS, recipes.configured_recipes(new)[recipes.READINGS])
        interrupted = Scan(session, stop, stop_after_ten)
        interrupted.reread(session.scopes)
        assert store.rereads.count(session.database) == 13
    assert "13 files to reread" in run(tmp_path, "-d", db, "status").out
    tally = scan(new)
    assert (tally.reread, tally.unchanged, tally.new, tally.changed) == (13, 23, 0, 0)
    scan(settings(crawl, tmp_path / "fresh.db", time=SEOUL))
    assert running.dump(db) == running.dump(tmp_path / "fresh.db")


def test_faults_are_read_again_after_a_change_of_settings_or_version(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace(FIRST, url="").write(crawl, "ids.md")
    (crawl / "other.md").write_text("kein Artikel")
    without_ids = settings(crawl, db, urls=UrlsConfig(from_ids=""))
    assert scan(without_ids).faults == 2
    assert (scan(without_ids).reread, scan(without_ids).faults) == (0, 2)
    monkeypatch.setattr("dedup.pipeline.recipes.__version__", "9.9")
    tally = scan(without_ids)
    assert (tally.reread, tally.faults) == (2, 2)
    assert scan(without_ids).reread == 0
    assert {f["kind"] for f in running.dump(db, "faults")} == {"no_url", "not_an_article"}


def test_another_version_of_the_readers_is_a_changed_recipe(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FIRST.write(crawl)
    scan(settings(crawl, db))
    monkeypatch.setattr(formats, "READERS_VERSION", formats.READERS_VERSION + 1)
    (crawl.parent / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    assert "dedup reindex --readings" in run(crawl.parent, "scan").err
    assert json.loads(run(crawl.parent, "status", "-f", "json").out)["pending_settings"][0]["remedy"] == "dedup reindex --readings"
    assert run(crawl.parent, "reindex").out == "1 file reread.\n"
    assert run(crawl.parent, "scan").code == 0


def test_files_that_no_longer_match_a_pattern_are_gone_until_they_match_again(crawl: Path, db: Path) -> None:
    FIRST.write(crawl, "a.md")
    SECOND.write(crawl, "b.txt")
    (crawl / "c.txt").write_text("kein Artikel")
    wide = running.settings(crawl, db, patterns=("*.md", "*.txt"))
    scan(wide)
    before = running.dump(db)
    tally = scan(settings(crawl, db))
    assert (tally.gone, tally.ignored["pattern"], tally.unchanged) == (2, 2, 1)
    assert running.dump(db, "faults") == []
    assert len(running.dump(db, "sightings")) == 2, "history stays"
    assert scan(settings(crawl, db)).gone == 0
    scan(wide)
    assert running.dump(db) == before

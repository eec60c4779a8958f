"""Changes are classified when they are recorded, independent of the order of arrival, and grouped into incidents."""

from __future__ import annotations

import itertools
import json
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup import store
from dedup.reports import ChangeFilter, IncidentGrouping, list_changes
from dedup.store import open_database
from dedup.store.changes import FeedCursor
from tests.builders import scans as running
from tests.builders.command import CommandResult, run
from tests.builders.crawl import ArticleFile
from tests.builders.labelled_changes import BODY, TITLE

pytestmark = pytest.mark.slow

PAGE = ArticleFile(body=BODY, title=TITLE, publisher="해솔신문", author="하늘봄", category="사회")


def crawl_of(page: ArticleFile, day: int, **more: Any) -> ArticleFile:
    return replace(page, crawled_at=f"2026-03-{day:02d} 00:30:00", **more)


def write_all(crawl: Path, articles: Sequence[ArticleFile]) -> None:
    for article in articles:
        article.write(crawl / article.crawled_at[:10])


def run_changes(crawl: Path, db: Path, *options: str) -> CommandResult:
    config = db.with_name("config.toml")
    if not config.exists():
        config.write_text(f'[crawl]\ndirectories = ["{crawl}"]\nsettle_seconds = 0.0\n[database]\npath = "{db}"\n')
    return run(db.parent, "changes", "--config", config, *options)


def reported_changes(crawl: Path, db: Path, *options: str) -> list[dict[str, Any]]:
    result = run_changes(crawl, db, "--format", "json", "--min-severity", "trivial", *options)
    assert (result.code, result.err) == (0, "")
    rows: list[dict[str, Any]] = result.json()
    return rows


def test_a_change_is_classified_when_it_is_recorded(crawl: Path, db: Path) -> None:
    write_all(crawl, [crawl_of(PAGE, 2), crawl_of(PAGE, 3, body=BODY.replace("638조원", "639조원"))])
    running.scan(crawl, db)
    (change,) = reported_changes(crawl, db)
    assert change["evidence"] == [{"kind": "amount", "before": "638조원", "after": "639조원"}]
    fields = {name: change[name] for name in ("url", "publisher", "kind", "severity", "silent", "corrected", "parts", "at", "page_count")}
    assert fields == {
        "url": PAGE.address, "publisher": "해솔신문", "kind": "substantive", "severity": "major", "silent": True, "corrected": False,
        "parts": ["body"], "at": "2026-03-03T00:30:00+00:00", "page_count": 1,
    }  # fmt: skip
    history = running.history(db, PAGE.address)["changes"]
    assert [(c["kind"], c["severity"], c["silent"]) for c in history] == [("substantive", "major", True)]
    output = run_changes(crawl, db).out
    assert "substantive, major, silent  해솔신문" in output
    assert "amount: 638조원 → 639조원" in output


def test_a_first_crawl_and_an_unchanged_recrawl_are_no_changes(crawl: Path, db: Path) -> None:
    write_all(crawl, [crawl_of(PAGE, 2), crawl_of(PAGE, 3)])
    running.scan(crawl, db)
    assert reported_changes(crawl, db) == []


EDITS = [
    crawl_of(PAGE, 2),
    crawl_of(PAGE, 3, title="야당 반발 속 내년 예산안 통과"),
    crawl_of(PAGE, 4),
    crawl_of(PAGE, 5, title="야당 반발 속 내년 예산안 통과"),
    crawl_of(PAGE, 6, title="Content not found", body="Content not found"),
    crawl_of(PAGE, 7, title="Content not found", body="Content not found."),
    crawl_of(PAGE, 8, body=BODY.replace("120명", "130명")),
    crawl_of(PAGE, 9, body=BODY.replace("120명", "130명"), author="하늘봄, 강물결"),
]


def test_each_edit_of_a_series_is_classified(crawl: Path, db: Path) -> None:
    write_all(crawl, EDITS)
    running.scan(crawl, db)
    changes = reported_changes(crawl, db)[::-1]
    assert [(c["kind"], c["severity"]) for c in changes] == [
        ("headline", "notable"), ("returned", "notable"), ("flapping", "minor"), ("removed", "major"), ("cosmetic", "trivial"),
        ("restored", "notable"), ("metadata", "minor"),
    ]  # fmt: skip
    durations = [e for e in changes[2]["evidence"] if e["kind"] == "state_durations"]
    assert [int(e["after"]) for e in durations] == [86_400] * 3
    assert durations[0]["before"] == durations[2]["before"] != durations[1]["before"]
    assert changes[-1]["fields"] == {"author": {"before": "하늘봄", "after": "하늘봄, 강물결"}}


ORDERS = [*itertools.islice(itertools.permutations(range(len(EDITS))), 0, 40_320, 2_500), tuple(range(len(EDITS)))[::-1]]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "".join(map(str, order)))
def test_classification_does_not_depend_on_the_order_of_arrival(crawl: Path, db: Path, order: tuple[int, ...]) -> None:
    clean = db.with_name("clean.db")
    for n in order:
        write_all(crawl, [EDITS[n]])
        running.scan(crawl, db)
    running.scan(crawl, clean)
    assert running.dump(db, "changes") == running.dump(clean, "changes")


def _write_template_edit(crawl: Path, pages: int, *, days: Sequence[int] = (3,), first: int = 0) -> None:
    """Write articles and a later crawl of each, with one new line under all of them."""
    for n in range(first, first + pages):
        page = replace(PAGE, aid=f"{n:010d}", body=BODY.replace("120명", f"{n + 20}명"))
        write_all(
            crawl, [crawl_of(page, 2), crawl_of(page, days[n % len(days)], body=page.body + "\n구독자께는 매일 아침 편지를 보내 드립니다.")]
        )


def test_the_same_edit_of_many_pages_is_one_incident(crawl: Path, db: Path) -> None:
    _write_template_edit(crawl, 6)
    single = replace(PAGE, aid="0000000099")
    write_all(crawl, [crawl_of(single, 2), crawl_of(single, 3, body=BODY.replace("638조원", "640조원"))])
    running.scan(crawl, db)
    changes = reported_changes(crawl, db)
    assert sorted((c["page_count"], c["incident"] is not None) for c in changes) == [(1, False), (6, True)]
    assert len(reported_changes(crawl, db, "--expand-incidents")) == 7
    assert "and 5 other pages, the same edit" in run_changes(crawl, db).out
    (incident,) = {c["incident"] for c in changes if c["incident"]}
    changes_of_incident = reported_changes(crawl, db, "--incident", incident)
    assert sorted(c["url"] for c in changes_of_incident) == sorted(
        c["url"] for c in reported_changes(crawl, db, "--expand-incidents") if c["url"] != single.address
    )
    assert run_changes(crawl, db, "--incident", "no").code == 2


def test_few_pages_or_pages_far_apart_are_no_incident(crawl: Path, db: Path) -> None:
    _write_template_edit(crawl, 4)
    running.scan(crawl, db)
    assert [c["page_count"] for c in reported_changes(crawl, db)] == [1] * 4
    other, far = crawl.with_name("other"), db.with_name("far.db")
    other.mkdir()
    _write_template_edit(other, 6, days=(3, 13))
    running.scan(other, far)
    with open_database(str(far)) as feed:
        (edit,) = {change.edit_digest for change in store.changes.list_latest(feed)}
        assert edit is not None
        assert store.changes.incidents(feed, edit, 5, 24.0) == []
        assert [i.page_count for i in store.changes.incidents(feed, edit, 5, 24 * 30.0)] == [6]


@pytest.mark.parametrize("large", [1, 3, 100])
def test_pages_of_the_feed_add_up_to_the_whole_feed(crawl: Path, db: Path, large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No change is missing or repeated, and an incident is in the page that holds its latest change."""
    monkeypatch.setattr(sys.modules["dedup.reports.changes"], "LARGE_INCIDENT", large)
    _write_template_edit(crawl, 7, days=(3, 4))
    _write_template_edit(crawl, 4, days=(20,), first=50)
    single = replace(PAGE, aid="0000000099")
    write_all(crawl, [crawl_of(single, 2), crawl_of(single, 3, body=BODY.replace("638조원", "640조원")), crawl_of(single, 5)])
    running.scan(crawl, db)
    with open_database(str(db)) as feed:
        for wanted in (
            ChangeFilter(),
            ChangeFilter(until="2026-03-04T00:00:00+00:00"),
            ChangeFilter(url="*/901/000000000*"),
            ChangeFilter(url="*[345]"),
        ):
            for grouping in (None, IncidentGrouping(3, 48.0)):
                whole = list(list_changes(feed, wanted, grouping))
                assert len(whole) > (1 if grouping is None else 0)
                for size in (1, 2, 3):
                    rows: list[dict[str, Any]] = []
                    while page := list(itertools.islice(list_changes(feed, wanted, grouping, cursor_after(rows)), size)):
                        rows += page
                    assert rows == whole


def cursor_after(rows: list[dict[str, Any]]) -> FeedCursor | None:
    return FeedCursor(rows[-1]["at"], rows[-1]["url"], bytes.fromhex(rows[-1]["state_digest_after"].partition(":")[2])) if rows else None


def test_filters_narrow_the_list(crawl: Path, db: Path) -> None:
    other = replace(PAGE, oid="902", publisher="갯마루일보")
    write_all(
        crawl,
        [
            crawl_of(PAGE, 2),
            crawl_of(PAGE, 3, body=BODY.replace("638조원", "639조원")),
            crawl_of(PAGE, 5, author="강물결", body=BODY.replace("638조원", "639조원")),
        ],
    )
    write_all(crawl, [crawl_of(other, 2), crawl_of(other, 4, body=BODY + "\n[정정] 날짜를 바로잡았습니다.")])
    running.scan(crawl, db)

    def urls(*options: str) -> list[tuple[str, str]]:
        return [(c["url"][-14:-11], c["kind"]) for c in reported_changes(crawl, db, *options)]

    assert urls() == [("901", "metadata"), ("902", "substantive"), ("901", "substantive")]
    assert urls("--since", "2026-03-04") == [("901", "metadata"), ("902", "substantive")]
    assert urls("--since", "2026-03-04", "--until", "2026-03-05") == [("902", "substantive")]
    assert urls("--kind", "metadata") == [("901", "metadata")]
    assert urls("--silent") == [("901", "substantive")]
    assert urls("--publisher", "갯마루일보") == [("902", "substantive")]
    assert urls("--url", other.address.replace("mnews/", "") + "?sid=100") == [("902", "substantive")]
    assert urls("--url", "*/901/*") == [("901", "metadata"), ("901", "substantive")]
    assert urls("--url", "https://n.news.naver.com/mnews/article/903/0000000001") == []
    assert run_changes(crawl, db, "--min-severity", "major").out.endswith("\n1 change\n")
    assert run_changes(crawl, db, "--since", "gestern").code == 2


def test_csv_rows_have_every_column_and_no_formula(crawl: Path, db: Path) -> None:
    write_all(crawl, [crawl_of(PAGE, 2), crawl_of(PAGE, 3, title="=1+1", body=BODY.replace("638조원", "639조원"))])
    running.scan(crawl, db)
    lines = run_changes(crawl, db, "--format", "csv").out.splitlines()
    assert lines[0].startswith("url,title,publisher,at,previous_at,kind,severity")
    assert "'=1+1" in lines[1]
    assert "amount: 638조원 → 639조원" in lines[1]


def test_new_settings_reclassify_old_changes_only_in_reindex(crawl: Path, db: Path) -> None:
    write_all(crawl, [crawl_of(PAGE, 2), crawl_of(PAGE, 3, body=BODY.replace("의결했다", "의결햇다"))])
    running.scan(crawl, db)
    assert [c["kind"] for c in reported_changes(crawl, db)] == ["typo"]
    config = db.with_name("config.toml")
    config.write_text(config.read_text("utf-8") + "[changes]\ntypo_edits = 0\n", "utf-8")
    assert [c["kind"] for c in reported_changes(crawl, db)] == ["typo"]
    result = run(db.parent, "reindex", "--config", config, "--changes", "--format", "json")
    assert (result.code, result.json()) == (0, {"changes": 1, "classified": 1})
    assert [c["kind"] for c in reported_changes(crawl, db)] == ["wording"]


def test_unclassified_changes_are_listed_and_classified_by_reindex(crawl: Path, db: Path) -> None:
    write_all(crawl, EDITS)
    running.scan(crawl, db)
    before = running.dump(db, "changes")
    with sqlite3.connect(db) as connection:
        connection.execute(
            "UPDATE changes SET kind = NULL, severity = NULL, parts = NULL, evidence = NULL, silent = 0, corrected = 0, edit_digest = NULL,"
            " page_history = NULL, classified_by = NULL"
        )
    connection.close()
    result = run_changes(crawl, db)
    assert "not classified" in result.out
    assert result.err == "7 changes not classified yet; run 'dedup reindex --changes'.\n"
    assert running.scan(crawl, db).unchanged == len(EDITS)
    assert run(db.parent, "reindex", "--config", db.with_name("config.toml"), "--changes").code == 0
    assert running.dump(db, "changes") == before


def test_the_view_change_details_shows_the_classification(crawl: Path, db: Path) -> None:
    write_all(crawl, EDITS[:2])
    running.scan(crawl, db)
    with sqlite3.connect(db) as connection:
        ((kind, severity, evidence),) = connection.execute("SELECT kind, severity, evidence FROM change_details").fetchall()
    connection.close()
    assert (kind, severity) == ("headline", "notable")
    assert json.loads(evidence)[0][0] == "sentence"

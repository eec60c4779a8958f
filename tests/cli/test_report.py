"""`dedup report`: its figures equal those of the records, in every format, and crawled text never becomes markup."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from datetime import datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.reports.period import html, render
from dedup.reports.period.render import CSV_COLUMNS
from dedup.reports.period.statistics import EDIT_DELAY_HOURS
from dedup.reports.period.tables import ReportCell
from dedup.reports.period.time_buckets import group_hours, local_hour
from dedup.text.format import format_duration
from dedup.text.sanitise import to_printable
from tests.builders.command import CommandResult, SampleCrawl, run
from tests.builders.crawl import ArticleFile, edit_words, words
from tests.builders.hostile import ALL, SECRET, URLS
from tests.builders.scans import dump
from tests.builders.summaries import CONFIG, crawls, recompute_clusters

pytestmark = pytest.mark.slow

FORMATS = ("text", "html", "json", "csv", "markdown")
SEOUL = ZoneInfo("Asia/Seoul")


def report_json(folder: Path, *args: str) -> Any:
    result = run(folder, "report", "-f", "json", *args)
    assert result.code == 0, result.err
    return result.json()


# Figures


class Oracle:
    """The figures of a period by brute force, from the logical dump and from clusters computed from all matches."""

    def __init__(self, folder: Path, since: str | None, until: str | None, publisher: str | None) -> None:
        db = folder / "dedup.db"
        self.since, self.until, self.publisher = since, until, publisher
        self.sightings = dump(db, "sightings")
        self.articles: dict[str, dict[str, Any]] = {}
        for s in sorted((s for s in self.sightings if s["status"] == "counted"), key=lambda s: (s["crawled_at"], s["state_digest"])):
            first = self.articles.get(s["url"], {}).get("first_at", s["crawled_at"])
            self.articles[s["url"]] = {**s, "first_at": first}
        self.clusters: dict[str, list[str]] = {url: [url, *{m[0] for m in members}] for url, members in recompute_clusters(folder).items()}
        self.relations = {url: Counter(m[1] for m in members) for url, members in recompute_clusters(folder).items()}
        self.new_articles = {u for u, a in self.articles.items() if self.in_period(a["first_at"]) and self.is_selected(u)}
        self.period_clusters = [c for c, urls in self.clusters.items() if self.new_articles & set(urls)]
        self.members = {u for urls in self.clusters.values() for u in urls[1:]} - self.clusters.keys()
        self.changes = [c for c in dump(db, "changes") if self.in_period(c["at"]) and self.is_selected(c["url"])]
        self.edits = [c for c in self.changes if c["title_changed"] or c["body_changed"]]

    def in_period(self, at: str) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    def publisher_of(self, url: str) -> str:
        sighting = self.articles.get(url) or next(s for s in self.sightings if s["url"] == url)
        return str(sighting["publisher_printed"])

    def is_selected(self, url: str) -> bool:
        return self.publisher is None or self.publisher_of(url) == self.publisher

    def publishers(self) -> list[dict[str, Any]]:
        rows = []
        for name in {self.publisher_of(u) for u in self.new_articles}:
            own = [u for u in self.new_articles if self.publisher_of(u) == name]
            copies = [u for u in own if u in self.members]
            others = [u for u in copies if any(u in urls and self.publisher_of(c) != name for c, urls in self.clusters.items())]
            rows.append(
                {
                    "publisher": name,
                    "articles": len(own),
                    "copies": len(others),
                    "own_copies": len(copies) - len(others),
                    "copy_share": round(len(others) / len(own), 4),
                }
            )
        return sorted(rows, key=lambda h: (-h["articles"], h["publisher"]))

    def hours(self) -> list[dict[str, Any]]:
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for u in self.new_articles:
            hour = datetime.fromisoformat(self.articles[u]["first_at"]).astimezone(SEOUL).replace(minute=0, second=0).isoformat()
            counts[hour][0] += 1
            counts[hour][1] += u in self.members
        return [{"hour": hour, "articles": n[0], "copies": n[1]} for hour, n in sorted(counts.items())]

    def checks(self) -> list[tuple[Any, ...]]:
        counts = Counter(
            (self.publisher_of(s["url"]), s["check_status"], s["check_cause"])
            for s in self.sightings
            if self.in_period(s["crawled_at"]) and self.is_selected(s["url"])
        )
        return sorted(((*key, n) for key, n in counts.items()), key=str)

    def publication_lags(self) -> dict[tuple[str, str], list[float]]:
        lags: dict[tuple[str, str], list[float]] = defaultdict(list)
        for c in self.period_clusters:
            first: dict[str, tuple[str, str]] = {}
            for u in self.clusters[c]:
                a = self.articles[u]
                if a["published_at"]:
                    known = first.get(a["publisher_printed"])
                    if known is None or a["published_at"] < known[0]:
                        first[a["publisher_printed"]] = a["published_at"], u
            order = sorted((at, name) for name, (at, _) in first.items())
            for at, name in order[1:]:
                leader = order[0]
                same = [x for x in self.clusters[c] if self.articles[x]["published_at"] == at and self.publisher_of(x) == name]
                within_period = {self.in_period(self.articles[x]["first_at"]) for x in same}
                if len(within_period) > 1:
                    pytest.skip("two simultaneous articles, only one of them in the period")
                if True in within_period and (self.publisher is None or self.publisher in (leader[1], name)):
                    lags[leader[1], name].append((datetime.fromisoformat(at) - datetime.fromisoformat(leader[0])).total_seconds())
        return lags

    def edit_delays(self) -> tuple[list[list[int]], int, int]:
        delays = [[0, 0] for _ in (0, *EDIT_DELAY_HOURS)]
        unknown = before = 0
        for c in self.edits:
            published = self.articles[c["url"]]["published_at"]
            if published is None:
                unknown += 1
                continue
            hours = (datetime.fromisoformat(c["at"]) - datetime.fromisoformat(published)).total_seconds() / 3600
            if hours < 0:
                before += 1
                continue
            position = sum(hours >= end for end in EDIT_DELAY_HOURS)
            delays[position][0] += 1
            delays[position][1] += c["silent"]
        return delays, unknown, before


def check(folder: Path, since: str | None, until: str | None, publisher: str | None) -> int:
    """Compare every figure of a period with the oracle. Returns the number of articles."""
    oracle = Oracle(folder, since, until, publisher)
    args = [x for name, value in (("--since", since), ("--until", until), ("--publisher", publisher)) if value for x in (name, value)]
    f = report_json(folder, *args)
    assert f["publishers"] == oracle.publishers()
    assert f["hours"] == oracle.hours()
    by_day: dict[str, list[int]] = defaultdict(lambda: [0] * 24)
    for u in oracle.new_articles:
        by_day[oracle.publisher_of(u)][datetime.fromisoformat(oracle.articles[u]["first_at"]).astimezone(SEOUL).hour] += 1
    assert {r["publisher"]: r["articles"] for r in f["hourly_histograms"]} == by_day
    assert sorted(((c["publisher"], c["check_status"], c["check_cause"], c["crawls"]) for c in f["checks"]), key=str) == oracle.checks()
    relations = sum((oracle.relations[c] for c in oracle.period_clusters), Counter[str]())
    clustered = {u for urls in oracle.clusters.values() for u in urls} & oracle.new_articles
    assert f["clusters"] == {
        "clusters": len(oracle.period_clusters),
        "articles": len(clustered),
        **{r: relations[r] for r in ("exact", "near", "copy")},
    }
    sizes = sorted((len(oracle.clusters[c]) for c in oracle.period_clusters), reverse=True)
    assert [t["articles"] for t in f["largest_clusters"]] == sizes[:10]
    assert {t["url"]: t["articles"] for t in f["newest_clusters"]}.items() <= {c: len(urls) for c, urls in oracle.clusters.items()}.items()
    newest = {c: max(oracle.articles[u]["first_at"] for u in oracle.clusters[c]) for c in oracle.period_clusters}
    assert [t["last_joined_at"] for t in f["newest_clusters"]] == sorted(newest.values(), reverse=True)[:10]
    for s in f["cluster_growth"]:
        published = sorted(datetime.fromisoformat(p) for u in oracle.clusters[s["url"]] if (p := oracle.articles[u]["published_at"]))
        grown = {(at - published[0]).total_seconds(): sum(other <= at for other in published) for at in published}
        assert [tuple(point) for point in s["points"]] == list(grown.items())
    expected_lags = oracle.publication_lags()
    matrix = {(lag["first_publisher"], lag["later_publisher"]): (lag["clusters"], lag["median_seconds"]) for lag in f["lags"]["matrix"]}
    assert matrix == {pair: (len(lags), round(median(lags))) for pair, lags in expected_lags.items()}
    assert sum(s["later"] for s in f["lags"]["ranks"]) == sum(map(len, expected_lags.values()))
    kinds = Counter((c["kind"], c["severity"]) for c in oracle.changes)
    assert {(k["kind"], k["severity"]): k["changes"] for k in f["changes_by_kind"]} == kinds
    edits = Counter(c["url"] for c in oracle.edits)
    assert [(e["changes"], e["url"]) for e in f["edited_pages"]] == sorted(((n, u) for u, n in edits.items()), key=lambda e: (-e[0], e[1]))[
        :10
    ]
    delays, unknown, before = oracle.edit_delays()
    assert (
        [[a["changes"], a["silent"]] for a in f["edit_delays"]],
        f["edits_without_publication_time"],
        f["edits_before_publication"],
    ) == (delays, unknown, before)
    silent_times = sorted((c["at"] for c in oracle.changes if c["silent"]), reverse=True)
    assert [s["at"] for s in f["silent_edits"]] == silent_times[:20]
    assert f["more_silent_edits"] == max(0, len(silent_times) - 20)
    return len(oracle.new_articles)


@pytest.mark.parametrize("seed", range(3))
def test_figures_equal_those_of_the_logical_dump(folder: Path, seed: int) -> None:
    """For all time, for periods and for one publisher, on random crawls with copies, changes, late and truncated crawls."""
    rng = random.Random(seed)
    articles = crawls(rng, 40)
    for n in range(90):
        next(articles).write(folder / "crawl", f"{n}.md")
    assert run(folder, "scan").code == 0
    counted = [check(folder, None, None, None), check(folder, "2026-03-03T00:30:00+00:00", None, None)]
    counted.append(check(folder, None, "2026-03-03T00:30:00+00:00", None))
    assert counted[0] == counted[1] + counted[2]
    assert min(counted) > 0
    assert check(folder, "2026-03-03T00:00:00+00:00", "2026-03-04T00:30:01+00:00", "신문 1") > 0
    assert check(folder, "2030-01-01T00:00:00+00:00", None, None) == 0


def test_faults_are_counted_by_the_time_they_were_recorded(folder: Path) -> None:
    ArticleFile().write(folder / "crawl")
    (folder / "crawl/empty.md").touch()
    (folder / "crawl/none.md").write_text("no article")
    assert run(folder, "scan").code == 0
    assert report_json(folder)["faults"] == [{"kind": "empty", "files": 1}, {"kind": "not_an_article", "files": 1}]
    assert report_json(folder, "--since", "2100-01-01")["faults"] == []
    assert report_json(folder, "--publisher", "한빛일보")["faults"] is None


def test_checks_include_truncated_crawls(folder: Path) -> None:
    """The page has truncated crawls only."""
    body = " ".join(words(random.Random(1), 100))
    path = ArticleFile(body).write(folder / "crawl")
    raw = path.read_text()
    path.write_text(raw[: raw.index(body) + 200])
    assert run(folder, "scan").code == 0
    for args in ((), ("--publisher", "한빛일보")):
        report = report_json(folder, *args)
        assert report["publishers"] == []
        assert report["checks"] == [{"publisher": "한빛일보", "check_status": "mismatched", "check_cause": "truncated", "crawls": 1}]
    assert report_json(folder, "--publisher", "새벽신문")["checks"] == []


def test_aliases_count_as_their_publisher(folder: Path) -> None:
    (folder / "config.toml").write_text(CONFIG + '[[publishers.aliases]]\nname = "한빛일보"\nnames = ["Hanbit"]\n')
    ArticleFile(publisher="Hanbit", aid="1").write(folder / "crawl")
    ArticleFile(publisher="한빛일보", aid="2", body="다른 글이다. " * 30).write(folder / "crawl")
    assert run(folder, "scan").code == 0
    assert report_json(folder, "--publisher", "Hanbit")["publishers"] == report_json(folder)["publishers"]
    assert report_json(folder)["publishers"][0]["articles"] == 2


def test_pages_without_a_current_summary_are_reported_as_missing(folder: Path) -> None:
    ArticleFile().write(folder / "crawl")
    assert run(folder, "scan").code == 0
    assert "just recorded" not in run(folder, "report").out
    with closing(sqlite3.connect(folder / "dedup.db")) as db, db:
        db.execute("INSERT INTO dirty_pages SELECT id FROM pages")
    assert report_json(folder)["header"]["dirty_pages"] == 1
    for form in ("text", "html", "markdown"):
        assert "1 page was just recorded and not in it yet." in run(folder, "report", "-f", form).out


def test_the_lag_matrix_groups_small_publishers_and_says_so(folder: Path) -> None:
    body = " ".join(words(random.Random(1), 80))
    for n in range(20):
        ArticleFile(body, aid=f"{n:04}", oid=f"{n}", publisher=f"신문 {n:02}", published_at=f"2026-03-02 {n:02}:00").write(folder / "crawl")
    assert run(folder, "scan").code == 0
    lags = report_json(folder)["lags"]
    assert (len(lags["publishers"]), lags["other_publishers"]) == (11, 9)
    assert sum(lag["clusters"] for lag in lags["matrix"]) == 19
    assert {lag["later_publisher"] for lag in lags["matrix"]} == {*lags["publishers"], None} - {"신문 00"}
    assert lags["ranks"][0] == {"publisher": "신문 00", "first": 1, "later": 0, "median_seconds": None}
    assert "9 others share one row" in run(folder, "report").out


# Hours


def test_hours_are_in_the_configured_time_zone(folder: Path) -> None:
    (folder / "config.toml").write_text(CONFIG + '[delivery]\nzone = "Asia/Kathmandu"\n')  # 5 h 45 min ahead
    ArticleFile(crawled_at="2026-03-02 00:14:59").write(folder / "crawl", "a.md")
    ArticleFile(crawled_at="2026-03-02 00:15:00", aid="2").write(folder / "crawl", "b.md")
    assert run(folder, "scan").code == 0
    report = report_json(folder)
    assert [h["hour"] for h in report["hours"]] == ["2026-03-02T05:00:00+05:45", "2026-03-02T06:00:00+05:45"]
    assert "Asia/Kathmandu" in run(folder, "report").out


def test_reports_work_for_the_earliest_and_latest_times(folder: Path) -> None:
    for n, at in enumerate(("0001-01-01 00:00:00", "9999-12-31 23:59:59")):
        for zone in ("Asia/Seoul", "America/New_York"):
            ArticleFile(aid=f"{n}", crawled_at=at, body=f"{n} {zone}").write(folder / "crawl", f"{n}.md")
            (folder / "config.toml").write_text(CONFIG + f'[delivery]\nzone = "{zone}"\n')
            assert run(folder, "scan").code == 0
            for form in FORMATS:
                assert run(folder, "report", "-f", form).code == 0


@given(st.lists(st.tuples(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)), st.integers(1, 9)), min_size=1), st.integers(1, 60))
def test_hours_are_grouped_without_loss_into_equal_adjacent_spans(hours: list[tuple[datetime, int]], max_groups: int) -> None:
    rows = [(h.replace(minute=0, second=0, microsecond=0).isoformat() + "+09:00", (n,)) for h, n in hours]
    groups = group_hours(rows, max_groups)
    assert groups is not None
    assert len(groups.begins) <= max_groups
    assert sum(n for (n,) in groups.sums) == sum(n for _, n in hours)
    spans = {b - a for a, b in pairwise(groups.begins)}
    assert len(spans) <= 1
    for h, _ in hours:
        position = max(n for n, b in enumerate(groups.begins) if b <= h)
        assert groups.sums[position][0] > 0


def test_day_groups_begin_at_midnight_and_week_groups_on_monday() -> None:
    hours = [((datetime(2026, 3, 4, 13) + timedelta(days=n)).isoformat() + "+09:00", (1,)) for n in range(20)]
    by_day, by_week = group_hours(hours, 48), group_hours(hours, 5)
    assert by_day
    assert by_week
    assert (by_day.unit, by_day.begins[0]) == ("day", datetime(2026, 3, 4))
    assert (by_week.unit, by_week.begins[0]) == ("week", datetime(2026, 3, 2))


@given(
    st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1)), st.sampled_from(["Asia/Seoul", "Asia/Kathmandu", "America/St_Johns", "UTC"])
)
def test_a_quarter_of_an_hour_belongs_to_its_local_hour(at: datetime, zone: str) -> None:
    quarter = f"{at:%Y-%m-%dT%H:}{at.minute // 15}"
    local = at.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(zone))
    ahead = local.utcoffset()
    if ahead is None or ahead % timedelta(minutes=15):  # historical local mean times
        return
    assert local_hour(quarter, ZoneInfo(zone)) == local.replace(minute=0, second=0, microsecond=0).isoformat()


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 min"), (59, "1 min"), (3600, "1 h"), (11_700, "3 h 15 min"), (90_000, "1 d 1 h")])
def test_a_duration_is_formatted_in_two_units(seconds: int, words: str) -> None:
    assert format_duration(seconds) == words


# Formats


class Page(HTMLParser):
    """A parsed page: its tags with attributes, and the text in each kind of element."""

    def __init__(self, raw: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inner: dict[str, str] = defaultdict(str)
        self._open: list[str] = []
        self.feed(raw)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.inner[self._open[-1] if self._open else ""] += data


def test_the_html_page_contains_the_json_report(sampled: SampleCrawl) -> None:
    page = Page(sampled("report", "-f", "html").out)
    assert json.loads(page.inner["script"]) == sampled("report", "-f", "json").json()


def check_self_contained(raw: str) -> Page:
    """Assert that a page loads nothing and has only the tags, style and script of the template."""
    page = Page(raw)
    assert {tag for tag, _ in page.tags} <= {
        "html", "head", "meta", "title", "style", "body", "header", "h1", "bdi", "p", "nav", "ul", "li", "a", "main", "section", "h2", "h3",
        "figure", "figcaption", "svg", "desc", "g", "rect", "line", "text", "path", "div", "table", "thead", "tbody", "tr", "th", "td",
        "small", "footer", "code", "script",
    }  # fmt: skip
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "style", "srcset", "action", "xlink:href")]
        if "href" in attributes:
            assert tag == "a"
            assert re.match(r"#[a-z_]+$|https?://", attributes["href"] or "")
    (policy,) = (a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "url(" not in page.inner["style"]
    assert "@import" not in page.inner["style"]
    scripts = [a for tag, a in page.tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "statistics"}]
    return page


def test_the_html_page_is_self_contained(sampled: SampleCrawl) -> None:
    from base64 import b64encode
    from hashlib import sha256

    raw = sampled("report", "-f", "html").out
    page = check_self_contained(raw)
    style = raw.partition("<style>")[2].partition("</style>")[0]
    assert b64encode(sha256(style.encode()).digest()).decode() in raw
    names = [a["id"] for _, a in page.tags if "id" in a]
    assert len(names) == len(set(names))
    assert sum(tag == "svg" and "role" in a for tag, a in page.tags) == 3


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("options", [(), ("--since", "2026-03-03", "--until", "2026-03-05"), ("--publisher", "새나루신문")], ids=str)
def test_a_report_of_the_same_database_and_period_is_identical(
    sampled: SampleCrawl, form: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    result = sampled("report", "-f", form, *options)
    assert result.code == 0
    assert run(sampled.folder, "report", "-f", form, *options, "-o", tmp_path / "file").out == ""
    assert (tmp_path / "file").read_bytes() == result.out.encode() != b""
    assert f"{datetime.now():%Y-%m-%d}" not in result.out, "the report has no creation time"


def test_figures_do_not_depend_on_the_order_of_arrival(folder: Path, tmp_path: Path) -> None:
    rng = random.Random(3)
    article_stream = crawls(rng, 30)
    articles = [(f"{n}.md", next(article_stream)) for n in range(60)]
    reports = []
    for folder_name, order in (("one", articles), ("two", articles[::-1])):
        path = tmp_path / folder_name
        (path / "crawl").mkdir(parents=True)
        (path / "config.toml").write_text(CONFIG)
        for n, (file, article) in enumerate(order):
            article.write(path / "crawl", file)
            if n % 13 == 0:
                assert run(path, "scan").code == 0
        assert run(path, "scan").code == 0
        figures = report_json(path)
        figures["header"].pop("database")
        reports.append(figures)
    assert reports[0] == reports[1]


def test_the_csv_has_a_row_for_every_figure(sampled: SampleCrawl) -> None:
    figures = sampled("report", "-f", "json").json()
    rows = list(csv.DictReader(io.StringIO(sampled("report", "-f", "csv").out)))
    assert tuple(rows[0]) == CSV_COLUMNS

    def value(section: str, measure: str, **of: str) -> list[str]:
        return [r["value"] for r in rows if r["section"] == section and r["measure"] == measure and of.items() <= r.items()]

    for h in figures["publishers"]:
        assert value("publishers", "articles", publisher=h["publisher"]) == [str(h["articles"])]
        assert value("publishers", "copy_share", publisher=h["publisher"]) == [str(h["copy_share"])]
    assert sum(map(int, value("hours", "articles"))) == sum(h["articles"] for h in figures["hours"])
    assert sum(map(int, value("hourly_histograms", "articles"))) == sum(map(int, value("hours", "articles")))
    for lag in figures["lags"]["matrix"]:
        assert value("lags", "clusters", publisher=lag["first_publisher"], other_publisher=lag["later_publisher"]) == [str(lag["clusters"])]
    for c in figures["checks"]:
        assert value("checks", "crawls", publisher=c["publisher"], kind=c["check_cause"] or c["check_status"]) == [str(c["crawls"])]
    assert value("clusters", "clusters") == [str(figures["clusters"]["clusters"])]
    assert value("silent_edits", "at") == [s["at"] for s in figures["silent_edits"]]
    assert value("faults", "files", kind="empty") == ["1"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scanned crawl with copies, changes and mismatches in which every reported value is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "config.toml").write_text(CONFIG)
    rng = random.Random(5)
    text = words(rng, 120, korean=False)
    attack = f"<b onclick=a></script></style><!--<script>]]>{ALL}| [x](javascript:alert(1)) `@everyone` &lt;"
    for n, url in enumerate(URLS):
        for day in (2, 3):
            article = ArticleFile(
                " ".join([*edit_words(rng, text, 0.02 if day == 2 else 0.1), f"{day * 1000} {attack}"]),
                title=f"={day}{attack}",
                publisher=f"{n % 4}{attack}",
                url=url,
                oid=f"{n}",
                claim="0" * 64 if n == 3 else None,
                published_at=f"2026-03-02 {n:02}:00",
                crawled_at=f"2026-03-0{day} 12:00:00",
            )
            article.write(folder / "crawl", f"{n}-{day}.md")
    assert run(folder, "scan").code == 0
    return folder


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_text_is_escaped_in_every_format(hostile: Path, form: str) -> None:
    result = run(hostile, "report", "-f", form)
    assert result.code == 0, result.err
    assert SECRET not in result.out
    lines = re.split("\r?\n", result.out.replace("\u2060", "") if form == "markdown" else result.out)
    assert [line for line in lines if to_printable(line) != line] == []
    assert "script" in result.out, "the report contains the hostile text"
    if form == "html":
        page = check_self_contained(result.out)
        assert json.loads(page.inner["script"]) == run(hostile, "report", "-f", "json").json()
        assert "&lt;" in page.inner["bdi"], "an entity in the text stays text"
    elif form == "markdown":
        from markdown_it import MarkdownIt

        rendered = MarkdownIt("commonmark").enable("table").render(result.out)
        assert not re.search(r"<(script|img|style|!--)", rendered)
        assert all(re.match("https?://", href) for href in re.findall(r'href="([^"]*)"', rendered))
        for rows in re.findall(r"(?:^\|.*\n)+", result.out, re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows.splitlines()}) == 1, "all rows have the same number of cells"
        assert not re.search(r"@(everyone|here)\b", result.out)
    elif form == "csv":
        rows = list(csv.reader(io.StringIO(result.out)))
        assert {len(r) for r in rows} == {len(CSV_COLUMNS)}
        assert not [c for r in rows for c in r if c.lstrip().startswith(("=", "+", "-", "@")) and not re.fullmatch(r"-?[\d.]+", c)]


def test_links_are_http_urls_without_credentials(hostile: Path) -> None:
    page = Page(run(hostile, "report", "-f", "html").out)
    links = {a["href"] for tag, a in page.tags if tag == "a" and not (a["href"] or "").startswith("#")}
    assert links
    assert all(re.match(r"https?://[^\s\"'<>@]+$", href or "") for href in links)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://a.example/", "//a.example/", "oid 1 aid 2", 'https://a.example/"onclick="x'])
def test_other_urls_are_not_links(url: str) -> None:
    """Canonical URLs are always http URLs; the renderer does not rely on that."""
    page = Page(str(html._format_cell(ReportCell("title", url=url))))
    assert [tag for tag, _ in page.tags] == ["bdi", "small"]
    assert page.inner["small"] == url
    assert render._markdown_cell(ReportCell("title", url=url)) == "title"


# Output files


def test_a_file_is_replaced_atomically_and_keeps_its_mode(sampled: SampleCrawl, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("previous content")
    path.chmod(0o640)
    link = tmp_path / "link.html"
    link.symlink_to(path)
    assert sampled("report", "-f", "html", "-o", link, "--force").code == 0
    assert link.is_symlink()
    assert path.read_text().startswith("<!doctype html>")
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link.html", "report.html"]


@pytest.mark.parametrize(
    "target", ["folder", "fifo", "crawl/report.html", "dedup.db", "dedup.db-wal", "dedup.db.index", "none/report.html"]
)
def test_an_invalid_output_path_is_refused_and_unchanged(folder: Path, target: str) -> None:
    ArticleFile().write(folder / "crawl")
    assert run(folder, "scan").code == 0
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if not p.name.endswith(("-shm", "-wal"))}
    result: CommandResult = run(folder, "report", "-o", target)
    assert result.code == 2
    assert "is not written" in result.err
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*") if not p.name.endswith(("-shm", "-wal"))} == before


def test_an_interrupted_report_keeps_the_previous_file(sampled: SampleCrawl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_half_way(*_: object) -> Any:
        yield "half of it"
        raise KeyboardInterrupt

    monkeypatch.setitem(__import__("dedup.reports.period", fromlist=["REPORT_FORMATS"]).REPORT_FORMATS, "html", fail_half_way)
    (tmp_path / "report.html").write_text("previous content")
    assert sampled("report", "-f", "html", "-o", tmp_path / "report.html", "--force").code == 130
    assert (tmp_path / "report.html").read_text() == "previous content"
    assert os.listdir(tmp_path) == ["report.html"]

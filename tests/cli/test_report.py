"""`dedup report`: its figures are those of the records, its forms tell the same, and nothing that a crawl holds becomes markup."""

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
from tests.builders.crawl import ArticleFile, edited, words
from tests.builders.hostile import ALL, SECRET, URLS
from tests.builders.scans import dump
from tests.builders.summaries import CONFIG, crawls, recompute_clusters

FORMS = ("text", "html", "json", "csv", "markdown")
SEOUL = ZoneInfo("Asia/Seoul")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "crawl").mkdir()
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


def told(folder: Path, *args: str) -> Any:
    ran = run(folder, "report", "-f", "json", *args)
    assert ran.code == 0, ran.err
    return ran.json()


# Figures


class Brute:
    """The figures of a period, counted one by one from what `dedup dump --logical` tells, and from clusters made of everything."""

    def __init__(self, folder: Path, since: str | None, until: str | None, house: str | None) -> None:
        db = folder / "dedup.db"
        self.since, self.until, self.house = since, until, house
        self.sightings = dump(db, "sightings")
        self.articles: dict[str, dict[str, Any]] = {}
        for s in sorted((s for s in self.sightings if s["status"] == "counted"), key=lambda s: (s["crawled_at"], s["state"])):
            first = self.articles.get(s["url"], {}).get("first_at", s["crawled_at"])
            self.articles[s["url"]] = {**s, "first_at": first}
        self.clusters: dict[str, list[str]] = {url: [url, *{m[0] for m in members}] for url, members in recompute_clusters(folder).items()}
        self.relations = {url: Counter(m[1] for m in members) for url, members in recompute_clusters(folder).items()}
        self.arrived = {u for u, a in self.articles.items() if self.within(a["first_at"]) and self.by(u)}
        self.here = [c for c, urls in self.clusters.items() if self.arrived & set(urls)]
        self.members = {u for urls in self.clusters.values() for u in urls[1:]} - self.clusters.keys()
        self.changes = [c for c in dump(db, "changes") if self.within(c["at"]) and self.by(c["url"])]
        self.edits = [c for c in self.changes if c["title_changed"] or c["body_changed"]]

    def within(self, at: str) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    def of(self, url: str) -> str:
        found = self.articles.get(url) or next(s for s in self.sightings if s["url"] == url)
        return str(found["publisher_printed"])

    def by(self, url: str) -> bool:
        return self.house is None or self.of(url) == self.house

    def publishers(self) -> list[dict[str, Any]]:
        found = []
        for name in {self.of(u) for u in self.arrived}:
            own = [u for u in self.arrived if self.of(u) == name]
            copies = [u for u in own if u in self.members]
            others = [u for u in copies if any(u in urls and self.of(c) != name for c, urls in self.clusters.items())]
            found.append(
                {
                    "publisher": name,
                    "articles": len(own),
                    "copies": len(others),
                    "own_copies": len(copies) - len(others),
                    "copy_share": round(len(others) / len(own), 4),
                }
            )
        return sorted(found, key=lambda h: (-h["articles"], h["publisher"]))

    def hours(self) -> list[dict[str, Any]]:
        found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for u in self.arrived:
            hour = datetime.fromisoformat(self.articles[u]["first_at"]).astimezone(SEOUL).replace(minute=0, second=0).isoformat()
            found[hour][0] += 1
            found[hour][1] += u in self.members
        return [{"hour": hour, "articles": n[0], "copies": n[1]} for hour, n in sorted(found.items())]

    def checks(self) -> list[tuple[Any, ...]]:
        found = Counter(
            (self.of(s["url"]), s["check_status"], s["check_cause"])
            for s in self.sightings
            if self.within(s["crawled_at"]) and self.by(s["url"])
        )
        return sorted(((*key, n) for key, n in found.items()), key=str)

    def races(self) -> dict[tuple[str, str], list[float]]:
        found: dict[tuple[str, str], list[float]] = defaultdict(list)
        for c in self.here:
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
                same = [x for x in self.clusters[c] if self.articles[x]["published_at"] == at and self.of(x) == name]
                shown = {self.within(self.articles[x]["first_at"]) for x in same}
                if len(shown) > 1:
                    pytest.skip("two articles of one moment, of which one is in the period")
                if True in shown and (self.house is None or self.house in (leader[1], name)):
                    found[leader[1], name].append((datetime.fromisoformat(at) - datetime.fromisoformat(leader[0])).total_seconds())
        return found

    def after(self) -> tuple[list[list[int]], int, int]:
        classes = [[0, 0] for _ in (0, *EDIT_DELAY_HOURS)]
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
            place = sum(hours >= end for end in EDIT_DELAY_HOURS)
            classes[place][0] += 1
            classes[place][1] += c["silent"]
        return classes, unknown, before


def check(folder: Path, since: str | None, until: str | None, house: str | None) -> int:
    """Every figure of a period; returns how many articles there are."""
    brute = Brute(folder, since, until, house)
    args = [x for name, value in (("--since", since), ("--until", until), ("--publisher", house)) if value for x in (name, value)]
    f = told(folder, *args)
    assert f["publishers"] == brute.publishers()
    assert f["hours"] == brute.hours()
    by_day: dict[str, list[int]] = defaultdict(lambda: [0] * 24)
    for u in brute.arrived:
        by_day[brute.of(u)][datetime.fromisoformat(brute.articles[u]["first_at"]).astimezone(SEOUL).hour] += 1
    assert {r["publisher"]: r["articles"] for r in f["hourly_histograms"]} == by_day
    assert sorted(((c["publisher"], c["check"], c["cause"], c["crawls"]) for c in f["checks"]), key=str) == brute.checks()
    relations = sum((brute.relations[c] for c in brute.here), Counter[str]())
    clustered = {u for urls in brute.clusters.values() for u in urls} & brute.arrived
    assert f["clusters"] == {
        "clusters": len(brute.here),
        "articles": len(clustered),
        **{r: relations[r] for r in ("exact", "near", "copy")},
    }
    sizes = sorted((len(brute.clusters[c]) for c in brute.here), reverse=True)
    assert [t["articles"] for t in f["largest_clusters"]] == sizes[:10]
    assert {t["url"]: t["articles"] for t in f["newest_clusters"]}.items() <= {c: len(urls) for c, urls in brute.clusters.items()}.items()
    newest = {c: max(brute.articles[u]["first_at"] for u in brute.clusters[c]) for c in brute.here}
    assert [t["last_joined_at"] for t in f["newest_clusters"]] == sorted(newest.values(), reverse=True)[:10]
    for s in f["cluster_growth"]:
        published = sorted(datetime.fromisoformat(p) for u in brute.clusters[s["url"]] if (p := brute.articles[u]["published_at"]))
        grown = {(at - published[0]).total_seconds(): sum(other <= at for other in published) for at in published}
        assert [tuple(point) for point in s["points"]] == list(grown.items())
    races = brute.races()
    matrix = {(lag["leader"], lag["follower"]): (lag["followed"], lag["median_seconds"]) for lag in f["lags"]["matrix"]}
    assert matrix == {pair: (len(lags), round(median(lags))) for pair, lags in races.items()}
    assert sum(s["followed"] for s in f["lags"]["ranks"]) == sum(map(len, races.values()))
    kinds = Counter((c["kind"], c["severity"]) for c in brute.changes)
    assert {(k["kind"], k["severity"]): k["changes"] for k in f["changes_by_kind"]} == kinds
    edits = Counter(c["url"] for c in brute.edits)
    assert [(e["changes"], e["url"]) for e in f["edited_pages"]] == sorted(((n, u) for u, n in edits.items()), key=lambda e: (-e[0], e[1]))[
        :10
    ]
    classes, unknown, before = brute.after()
    assert (
        [[a["changes"], a["silent"]] for a in f["edit_delays"]],
        f["edits_without_publication_time"],
        f["edits_before_publication"],
    ) == (classes, unknown, before)
    stealthy = sorted((c["at"] for c in brute.changes if c["silent"]), reverse=True)
    assert [s["at"] for s in f["silent_edits"]] == stealthy[:20]
    assert f["more_silent_edits"] == max(0, len(stealthy) - 20)
    return len(brute.arrived)


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_the_records(folder: Path, seed: int) -> None:
    """Of everything, of periods, of a publisher; on crawls that copy each other, change, come late and are cut short."""
    rng = random.Random(seed)
    made = crawls(rng, 40)
    for n in range(90):
        next(made).write(folder / "crawl", f"{n}.md")
    assert run(folder, "scan").code == 0
    counted = [check(folder, None, None, None), check(folder, "2026-03-03T00:30:00+00:00", None, None)]
    counted.append(check(folder, None, "2026-03-03T00:30:00+00:00", None))
    assert counted[0] == counted[1] + counted[2]
    assert min(counted) > 0
    assert check(folder, "2026-03-03T00:00:00+00:00", "2026-03-04T00:30:01+00:00", "신문 1") > 0
    assert check(folder, "2030-01-01T00:00:00+00:00", None, None) == 0


def test_faults_count_by_when_they_came(folder: Path) -> None:
    ArticleFile().write(folder / "crawl")
    (folder / "crawl/empty.md").touch()
    (folder / "crawl/none.md").write_text("no article")
    assert run(folder, "scan").code == 0
    assert told(folder)["faults"] == [{"kind": "empty", "files": 1}, {"kind": "not_an_article", "files": 1}]
    assert told(folder, "--since", "2100-01-01")["faults"] == []
    assert told(folder, "--publisher", "한빛일보")["faults"] is None


def test_crawls_that_do_not_count_are_checks_all_the_same(folder: Path) -> None:
    """Of a page that was never crawled whole."""
    body = " ".join(words(random.Random(1), 100))
    path = ArticleFile(body).write(folder / "crawl")
    raw = path.read_text()
    path.write_text(raw[: raw.index(body) + 200])
    assert run(folder, "scan").code == 0
    for args in ((), ("--publisher", "한빛일보")):
        found = told(folder, *args)
        assert found["publishers"] == []
        assert found["checks"] == [{"publisher": "한빛일보", "check": "mismatched", "cause": "truncated", "crawls": 1}]
    assert told(folder, "--publisher", "새벽신문")["checks"] == []


def test_a_publisher_is_its_house_under_any_name(folder: Path) -> None:
    (folder / "config.toml").write_text(CONFIG + '[[publishers.aliases]]\nname = "한빛일보"\nnames = ["Hanbit"]\n')
    ArticleFile(publisher="Hanbit", aid="1").write(folder / "crawl")
    ArticleFile(publisher="한빛일보", aid="2", body="다른 글이다. " * 30).write(folder / "crawl")
    assert run(folder, "scan").code == 0
    assert told(folder, "--publisher", "Hanbit")["publishers"] == told(folder)["publishers"]
    assert told(folder)["publishers"][0]["articles"] == 2


def test_pages_that_are_not_summed_up_are_said_to_be_missing(folder: Path) -> None:
    ArticleFile().write(folder / "crawl")
    assert run(folder, "scan").code == 0
    assert "just recorded" not in run(folder, "report").out
    with closing(sqlite3.connect(folder / "dedup.db")) as db, db:
        db.execute("INSERT INTO dirty_pages SELECT id FROM pages")
    assert told(folder)["header"]["dirty_pages"] == 1
    for form in ("text", "html", "markdown"):
        assert "1 page was just recorded and not in it yet." in run(folder, "report", "-f", form).out


def test_the_many_publishers_of_a_matrix_are_folded_and_that_is_said(folder: Path) -> None:
    body = " ".join(words(random.Random(1), 80))
    for n in range(20):
        ArticleFile(body, aid=f"{n:04}", oid=f"{n}", publisher=f"신문 {n:02}", published_at=f"2026-03-02 {n:02}:00").write(folder / "crawl")
    assert run(folder, "scan").code == 0
    lags = told(folder)["lags"]
    assert (len(lags["publishers"]), lags["other_publishers"]) == (11, 9)
    assert sum(lag["followed"] for lag in lags["matrix"]) == 19
    assert {lag["follower"] for lag in lags["matrix"]} == {*lags["publishers"], None} - {"신문 00"}
    assert lags["ranks"][0] == {"publisher": "신문 00", "first": 1, "followed": 0, "median_seconds": None}
    assert "9 others share one row" in run(folder, "report").out


# Hours


def test_hours_are_those_of_the_zone(folder: Path) -> None:
    (folder / "config.toml").write_text(CONFIG + '[delivery]\nzone = "Asia/Kathmandu"\n')  # 5 h 45 min ahead
    ArticleFile(crawled_at="2026-03-02 00:14:59").write(folder / "crawl", "a.md")
    ArticleFile(crawled_at="2026-03-02 00:15:00", aid="2").write(folder / "crawl", "b.md")
    assert run(folder, "scan").code == 0
    found = told(folder)
    assert [h["hour"] for h in found["hours"]] == ["2026-03-02T05:00:00+05:45", "2026-03-02T06:00:00+05:45"]
    assert "Asia/Kathmandu" in run(folder, "report").out


def test_hours_at_the_ends_of_the_calendar_are_hours(folder: Path) -> None:
    for n, at in enumerate(("0001-01-01 00:00:00", "9999-12-31 23:59:59")):
        for zone in ("Asia/Seoul", "America/New_York"):
            ArticleFile(aid=f"{n}", crawled_at=at, body=f"{n} {zone}").write(folder / "crawl", f"{n}.md")
            (folder / "config.toml").write_text(CONFIG + f'[delivery]\nzone = "{zone}"\n')
            assert run(folder, "scan").code == 0
            for form in FORMS:
                assert run(folder, "report", "-f", form).code == 0


@given(st.lists(st.tuples(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)), st.integers(1, 9)), min_size=1), st.integers(1, 60))
def test_hours_are_gathered_without_loss_into_spans_that_follow_each_other(hours: list[tuple[datetime, int]], most: int) -> None:
    shown = [(h.replace(minute=0, second=0, microsecond=0).isoformat() + "+09:00", (n,)) for h, n in hours]
    found = group_hours(shown, most)
    assert found is not None
    assert len(found.begins) <= most
    assert sum(n for (n,) in found.sums) == sum(n for _, n in hours)
    spans = {b - a for a, b in pairwise(found.begins)}
    assert len(spans) <= 1
    for h, _ in hours:
        place = max(n for n, b in enumerate(found.begins) if b <= h)
        assert found.sums[place][0] > 0


def test_days_begin_at_midnight_and_weeks_on_mondays() -> None:
    hours = [((datetime(2026, 3, 4, 13) + timedelta(days=n)).isoformat() + "+09:00", (1,)) for n in range(20)]
    by_day, by_week = group_hours(hours, 48), group_hours(hours, 5)
    assert by_day
    assert by_week
    assert (by_day.unit, by_day.begins[0]) == ("day", datetime(2026, 3, 4))
    assert (by_week.unit, by_week.begins[0]) == ("week", datetime(2026, 3, 2))


@given(
    st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1)), st.sampled_from(["Asia/Seoul", "Asia/Kathmandu", "America/St_Johns", "UTC"])
)
def test_a_quarter_lies_in_the_hour_of_the_zone_that_its_moments_lie_in(at: datetime, zone: str) -> None:
    quarter = f"{at:%Y-%m-%dT%H:}{at.minute // 15}"
    local = at.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(zone))
    ahead = local.utcoffset()
    if ahead is None or ahead % timedelta(minutes=15):  # local mean times of old
        return
    assert local_hour(quarter, ZoneInfo(zone)) == local.replace(minute=0, second=0, microsecond=0).isoformat()


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 min"), (59, "1 min"), (3600, "1 h"), (11_700, "3 h 15 min"), (90_000, "1 d 1 h")])
def test_a_duration_is_told_in_two_units(seconds: int, words: str) -> None:
    assert format_duration(seconds) == words


# Forms


class Page(HTMLParser):
    """What a browser would see of a page: tags with attributes, text, what scripts and styles hold."""

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

    def handle_data(self, shown: str) -> None:
        self.inner[self._open[-1] if self._open else ""] += shown


def test_the_figures_within_the_page_are_those_of_the_json(sampled: SampleCrawl) -> None:
    page = Page(sampled("report", "-f", "html").out)
    assert json.loads(page.inner["script"]) == sampled("report", "-f", "json").json()


def check_alone(raw: str) -> Page:
    """Nothing of elsewhere is loaded, and no script or style is in it but ours."""
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


def test_the_page_needs_nothing_of_elsewhere(sampled: SampleCrawl) -> None:
    from base64 import b64encode
    from hashlib import sha256

    raw = sampled("report", "-f", "html").out
    page = check_alone(raw)
    style = raw.partition("<style>")[2].partition("</style>")[0]
    assert b64encode(sha256(style.encode()).digest()).decode() in raw
    names = [a["id"] for _, a in page.tags if "id" in a]
    assert len(names) == len(set(names))
    assert sum(tag == "svg" and "role" in a for tag, a in page.tags) == 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("more", [(), ("--since", "2026-03-03", "--until", "2026-03-05"), ("--publisher", "새나루신문")], ids=str)
def test_the_same_database_and_period_give_the_same_bytes(sampled: SampleCrawl, form: str, more: tuple[str, ...], tmp_path: Path) -> None:
    once = sampled("report", "-f", form, *more)
    assert once.code == 0
    assert run(sampled.folder, "report", "-f", form, *more, "-o", tmp_path / "file").out == ""
    assert (tmp_path / "file").read_bytes() == once.out.encode() != b""
    assert f"{datetime.now():%Y-%m-%d}" not in once.out, "when it was made is not told"


def test_the_order_in_which_files_came_changes_no_figure(folder: Path, tmp_path: Path) -> None:
    rng = random.Random(3)
    made = crawls(rng, 30)
    articles = [(f"{n}.md", next(made)) for n in range(60)]
    found = []
    for name, order in (("one", articles), ("two", articles[::-1])):
        place = tmp_path / name
        (place / "crawl").mkdir(parents=True)
        (place / "config.toml").write_text(CONFIG)
        for n, (file, article) in enumerate(order):
            article.write(place / "crawl", file)
            if n % 13 == 0:
                assert run(place, "scan").code == 0
        assert run(place, "scan").code == 0
        figures = told(place)
        figures["header"].pop("database")
        found.append(figures)
    assert found[0] == found[1]


def test_every_figure_is_a_row_of_the_csv(sampled: SampleCrawl) -> None:
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
        assert value("lags", "followed", publisher=lag["leader"], other_publisher=lag["follower"]) == [str(lag["followed"])]
    for c in figures["checks"]:
        assert value("checks", "crawls", publisher=c["publisher"], kind=c["cause"] or c["check"]) == [str(c["crawls"])]
    assert value("clusters", "clusters") == [str(figures["clusters"]["clusters"])]
    assert value("silent_edits", "at") == [s["at"] for s in figures["silent_edits"]]
    assert value("faults", "files", kind="empty") == ["1"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies, changes and mismatches in which every value that a report shows is an attack."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "config.toml").write_text(CONFIG)
    rng = random.Random(5)
    text = words(rng, 120, korean=False)
    attack = f"<b onclick=a></script></style><!--<script>]]>{ALL}| [x](javascript:alert(1)) `@everyone` &lt;"
    for n, url in enumerate(URLS):
        for day in (2, 3):
            made = ArticleFile(
                " ".join([*edited(rng, text, 0.02 if day == 2 else 0.1), f"{day * 1000} {attack}"]),
                title=f"={day}{attack}",
                publisher=f"{n % 4}{attack}",
                url=url,
                oid=f"{n}",
                claim="0" * 64 if n == 3 else None,
                published_at=f"2026-03-02 {n:02}:00",
                crawled_at=f"2026-03-0{day} 12:00:00",
            )
            made.write(folder / "crawl", f"{n}-{day}.md")
    assert run(folder, "scan").code == 0
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_nothing_that_an_article_tries_comes_out_of_a_report(hostile: Path, form: str) -> None:
    ran = run(hostile, "report", "-f", form)
    assert ran.code == 0, ran.err
    assert SECRET not in ran.out
    lines = re.split("\r?\n", ran.out.replace("\u2060", "") if form == "markdown" else ran.out)
    assert [line for line in lines if to_printable(line) != line] == []
    assert "script" in ran.out, "what was laid was there to be shown"
    if form == "html":
        page = check_alone(ran.out)
        assert json.loads(page.inner["script"]) == run(hostile, "report", "-f", "json").json()
        assert "&lt;" in page.inner["bdi"], "an entity of the crawl is text"
    elif form == "markdown":
        from markdown_it import MarkdownIt

        shown = MarkdownIt("commonmark").enable("table").render(ran.out)
        assert not re.search(r"<(script|img|style|!--)", shown)
        assert all(re.match("https?://", href) for href in re.findall(r'href="([^"]*)"', shown))
        for rows in re.findall(r"(?:^\|.*\n)+", ran.out, re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows.splitlines()}) == 1, "a cell is a cell"
        assert not re.search(r"@(everyone|here)\b", ran.out)
    elif form == "csv":
        rows = list(csv.reader(io.StringIO(ran.out)))
        assert {len(r) for r in rows} == {len(CSV_COLUMNS)}
        assert not [c for r in rows for c in r if c.lstrip().startswith(("=", "+", "-", "@")) and not re.fullmatch(r"-?[\d.]+", c)]


def test_a_link_leads_to_the_web_and_nowhere_else(hostile: Path) -> None:
    page = Page(run(hostile, "report", "-f", "html").out)
    links = {a["href"] for tag, a in page.tags if tag == "a" and not (a["href"] or "").startswith("#")}
    assert links
    assert all(re.match(r"https?://[^\s\"'<>@]+$", href or "") for href in links)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://a.example/", "//a.example/", "oid 1 aid 2", 'https://a.example/"onclick="x'])
def test_what_is_no_address_of_the_web_is_no_link(url: str) -> None:
    """Canonical URLs all are; that is not relied on."""
    shown = Page(str(html._format_cell(ReportCell("title", url=url))))
    assert [tag for tag, _ in shown.tags] == ["bdi", "small"]
    assert shown.inner["small"] == url
    assert render._markdown_cell(ReportCell("title", url=url)) == "title"


# Where it goes


def test_a_file_is_replaced_as_a_whole_and_keeps_its_permissions(sampled: SampleCrawl, tmp_path: Path) -> None:
    place = tmp_path / "report.html"
    place.write_text("what stood there")
    place.chmod(0o640)
    link = tmp_path / "link.html"
    link.symlink_to(place)
    assert sampled("report", "-f", "html", "-o", link, "--force").code == 0
    assert link.is_symlink()
    assert place.read_text().startswith("<!doctype html>")
    assert place.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link.html", "report.html"]


@pytest.mark.parametrize("place", ["folder", "fifo", "crawl/report.html", "dedup.db", "dedup.db-wal", "dedup.db.index", "none/report.html"])
def test_what_must_not_be_written_is_refused_and_left_as_it_is(folder: Path, place: str) -> None:
    ArticleFile().write(folder / "crawl")
    assert run(folder, "scan").code == 0
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if not p.name.endswith(("-shm", "-wal"))}
    ran: CommandResult = run(folder, "report", "-o", place)
    assert ran.code == 2
    assert "is not written" in ran.err
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*") if not p.name.endswith(("-shm", "-wal"))} == before


def test_a_report_that_fails_leaves_nothing(sampled: SampleCrawl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> Any:
        yield "half of it"
        raise KeyboardInterrupt

    monkeypatch.setitem(__import__("dedup.reports.period", fromlist=["REPORT_FORMATS"]).REPORT_FORMATS, "html", breaks)
    (tmp_path / "report.html").write_text("what stood there")
    assert sampled("report", "-f", "html", "-o", tmp_path / "report.html", "--force").code == 130
    assert (tmp_path / "report.html").read_text() == "what stood there"
    assert os.listdir(tmp_path) == ["report.html"]

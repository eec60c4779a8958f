"""The dashboard on the sample crawl: every page that can be reached, as HTML and as JSON."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import feedparser
import pytest
from starlette.testclient import TestClient

from dedup import reports, store
from dedup.config import load
from dedup.store import open_database
from dedup.web.views import VIEWS, changes, faults, page
from tests.builders.command import SampleCrawl, run
from tests.builders.crawl import ArticleFile
from tests.builders.html_pages import BASE, check, client_of, within

RETURNED = "https://n.news.naver.com/mnews/article/903/0000100015"
FIRST = "https://n.news.naver.com/mnews/article/901/0000100120"
SECOND = "https://n.news.naver.com/mnews/article/903/0000100121"


@pytest.fixture(scope="module")
def site(sampled: SampleCrawl) -> Iterator[TestClient]:
    with client_of(sampled.folder) as found:
        yield found


def told(site: TestClient, address: str) -> Any:
    """The figures of a page."""
    answer = site.get(address + ("&" if "?" in address else "?") + "format=json")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_page_that_a_link_leads_to_is_there_and_well_made(site: TestClient) -> None:
    """From the root on, by every link, form and alternative."""
    todo, seen = ["/"], set[str]()
    while todo:
        address = todo.pop()
        if address in seen:
            continue
        seen.add(address)
        answer = site.get(address)
        assert answer.status_code == 200, address
        kind = answer.headers["content-type"]
        if kind.startswith("application/json"):
            assert isinstance(json.loads(answer.text), dict)
        elif kind.startswith("application/atom+xml"):
            assert not feedparser.parse(answer.content).bozo
        elif kind.startswith("text/html"):
            found = check(answer.text)
            inner = [within(BASE + address, link) for link in found.links]
            todo += [link.removesuffix("?") for link in inner if link is not None]
            assert any(link for link in inner if link and not link.startswith("/static/")), f"no way onward from {address}"
    paths = {urlsplit(address).path for address in seen}
    assert paths >= {place.path for place in VIEWS}
    assert len([a for a in seen if a.startswith("/page?")]) > 10
    assert len([a for a in seen if a.startswith("/compare?")]) > 5


def test_the_page_of_a_url_tells_what_the_command_tells(site: TestClient, sampled: SampleCrawl) -> None:
    expected = sampled("history", "903_0000100015", "--format", "json").json()
    for spelling in (RETURNED, "903_0000100015", RETURNED.replace("mnews/", "") + "?sid=100"):
        found = told(site, f"/page?url={quote(spelling, safe='')}")
        assert (found["url"], found["aliases"], found["revision_count"]) == (RETURNED, expected["aliases"], len(expected["revisions"]))
        assert found["revisions"][::-1] == expected["revisions"]
        assert [c["crawled_at"] for c in found["crawls"]] == [t["crawled_at"] for t in expected["timeline"]][::-1]
        of_state = [c for c in found["changes"] if c["from"] != c["to"]]
        assert [(c["from_revision"], c["to_revision"], c["kind"]) for c in of_state][::-1] == [
            (c["from_revision"], c["to_revision"], c["kind"]) for c in expected["changes"]
        ]
    shown = check(site.get(f"/page?url={quote(RETURNED)}").text)
    assert [e.text for e in shown.all("circle")] == ["revision 1", "revision 2", "revision 1"]


def test_copies_are_the_pairs_of_a_page(site: TestClient, sampled: SampleCrawl) -> None:
    pairs = sampled("duplicates", "--pairs", "--all-revisions", "--format", "json").json()
    pages = {side["url"] for pair in pairs for side in (pair["a"], pair["b"])}
    assert len(pages) > 15
    for url in pages:
        those = [pair for pair in pairs if url in (pair["a"]["url"], pair["b"]["url"])]
        expected = {pair["b" if pair["a"]["url"] == url else "a"]["url"]: pair for pair in those}
        found = told(site, f"/page?url={quote(url, safe='')}")["copies"]
        assert {c["url"] for c in found} == set(expected)
        for c in found:
            best = expected[c["url"]]["closest_revisions"]
            mine, theirs = ("a", "b") if expected[c["url"]]["a"]["url"] == url else ("b", "a")
            assert (c["relation"], c["coverage"]) == (best["relation"], best["coverage"])
            assert {c["revision"], c["other_revision"]} == {best[f"{mine}_revision"], best[f"{theirs}_revision"]}


def test_two_revisions_are_compared_in_words_and_side_by_side(site: TestClient, sampled: SampleCrawl) -> None:
    expected = sampled("diff", RETURNED, "--from", "1", "--to", "2", "--format", "json").json()
    found = told(site, f"/compare?url={quote(RETURNED)}&from=1&to=2")
    assert (found["title"], found["body"]) == (expected["title"], expected["body"])
    assert (found["changes"][0]["kind"], found["changes"][0]["severity"]) == ("substantive", "major")
    digest = found["from"]["digest"]
    assert told(site, f"/compare?url={quote(RETURNED)}&from={digest.rpartition(':')[2][:16]}&to=2") == found
    assert told(site, f"/compare?url={quote(RETURNED)}&from={quote(digest)}&to=2") == found
    words = check(site.get(f"/compare?url={quote(RETURNED)}&from=1&to=2").text)
    assert "5명" in [e.text for e in words.all("del")]
    sides = check(site.get(f"/compare?url={quote(RETURNED)}&from=1&to=2&view=side-by-side&full=1").text)
    (table,) = sides.all("table")
    whole = "".join("".join(o["text"] for o in expected["body"] if o["kind"] != "added").split())
    cells = [e for e in sides.all("td") if "colspan" not in e.attributes]
    assert "".join("".join("".join(e.inside).split()) for e in cells[::2]) == whole
    assert table.text


def test_two_articles_show_the_passages_that_they_share(site: TestClient, sampled: SampleCrawl) -> None:
    expected = sampled("why", FIRST, SECOND, "--format", "json").json()
    address = f"/pair?a={quote(FIRST)}&b={quote(SECOND)}"
    found = told(site, address)
    assert (found["reason"], found["relation"], found["coverage"]) == (expected["reason"], "copy", expected["coverage"])
    shown = check(site.get(address).text)
    numbers = [e.text for e in shown.all("a") if e.attributes.get("class") == "passage"]
    assert sorted(numbers, key=int) == [str(n) for n in range(1, len(expected["passages"]) + 1) for _ in "ab"]
    marked = " ".join(e.text for e in shown.all("mark"))
    for passage in expected["passages"]:
        assert "".join(passage["text"].split()) in "".join(marked.split())


def test_the_feed_of_changes_tells_what_the_command_tells(site: TestClient, sampled: SampleCrawl) -> None:
    for options, query in (
        ((), ""),
        (("--silent",), "silent=1"),
        (("--kind", "metadata"), "kind=metadata"),
        (("--min-severity", "major", "--publisher", "새나루신문"), f"min_severity=major&publisher={quote('새나루신문')}"),
        (("--since", "2026-03-04", "--until", "2026-03-05"), "since=2026-03-04T00:00Z&until=2026-03-05T00:00Z"),
        (("--url", "*/915/*"), "url=*/915/*"),
    ):
        expected = sampled("changes", *options, "--format", "json").json()
        assert expected
        assert told(site, f"/changes?{query}")["changes"] == expected
    assert told(site, "/changes?since=2026-03-04&until=2026-03-05")["changes"], "a day without a zone is one of the dashboard's"


def test_the_atom_feed_has_the_same_and_an_id_for_each_that_stays(site: TestClient) -> None:
    expected = told(site, "/changes?silent=1")["changes"]
    feed = feedparser.parse(site.get("/changes.atom?silent=1").content)
    assert not feed.bozo
    assert [e.link for e in feed.entries] == [c["url"] for c in expected]
    assert all(c["title"] in e.title for c, e in zip(expected, feed.entries, strict=True))
    ids = [e.id for e in feed.entries]
    assert len(set(ids)) == len(ids)
    assert ids == [e.id for e in feedparser.parse(site.get("/changes.atom?silent=1").content).entries]
    assert set(ids) <= {e.id for e in feedparser.parse(site.get("/changes.atom").content).entries}


def test_lists_are_read_piece_by_piece_to_their_end(site: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {
        name: told(site, address)
        for name, address in (("changes", "/changes"), ("faults", "/faults"), ("crawls", f"/page?url={quote(RETURNED)}"))
    }
    for module, name, constant in ((changes, "changes", "PAGE_SIZE"), (faults, "faults", "PAGE_SIZE"), (page, "crawls", "MAX_CRAWLS")):
        monkeypatch.setattr(module, constant, 2)
        address = {"changes": "/changes?", "faults": "/faults?", "crawls": f"/page?url={quote(RETURNED)}&"}[name]
        found: list[Any] = []
        after = ""
        for _ in itertools.count():
            piece = told(site, f"{address}cursor={after}")
            found += piece[name]
            check(site.get(f"{address}cursor={after}").text)
            assert len(piece[name]) <= 2
            if piece["next_cursor"] is None:
                break
            after = piece["next_cursor"]
        assert found == whole[name][name]
        assert len(found) > 2


@pytest.mark.parametrize("after", ["x", "eyJhIjoxfQ", "WzEsMl0", "W251bGwsbnVsbCxudWxsXQ", "WyJhIiwiYiIsImMiXQ", "%ff%00", "[" * 3000])
def test_a_place_that_no_list_gave_is_refused_in_one_sentence(site: TestClient, after: str) -> None:
    for address in ("/changes?", "/faults?kind=empty&", f"/page?url={quote(RETURNED)}&"):
        answer = site.get(f"{address}cursor={after}&format=json")
        assert answer.status_code == 400, (address, answer.text)
        assert "start again" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/page?url=https://none.example/", 404), ("/page?url=%00%ff", 404), ("/compare?url=903_0000100015&from=99", 404),
        ("/compare?url=903_0000100015&from=abcdef0", 404), ("/compare?url=903_0000100015&view=x", 400), ("/compare?url=none", 404),
        ("/pair?a=903_0000100015&b=none", 404), ("/pair?a=903_0000100015&b=901_0000100120&a_revision=x", 400),
        ("/changes?since=gestern", 400), ("/changes?kind=x", 400), ("/changes?min_severity=x", 400), ("/faults?kind=x", 400),
        ("/none", 404), ("/static/none.css", 404), ("/static/../config.toml", 404), ("/static/%2e%2e%2fapp.py", 404), ("/a/b/c", 404),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_said_in_a_page_with_a_way_onward(site: TestClient, address: str, status: int) -> None:
    answer = site.get(address)
    assert answer.status_code == status
    found = check(answer.text)
    onward = {to for link in found.links if (to := within(BASE + address, link)) and not to.startswith("/static/") and "format=" not in to}
    assert onward
    assert {site.get(to).status_code for to in onward} == {200}
    assert site.get(f"{address}{'&' if '?' in address else '?'}format=json").json()["error"]["status"] == status


def test_an_id_of_several_pages_lets_one_choose(tmp_path: Path) -> None:
    for n in range(2):
        ArticleFile(aid="7", url=f"https://several.example/{n}", body=f"{n} Anders ist es jedes Mal.").write(tmp_path / "crawl", f"{n}.md")
    (tmp_path / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    assert run(tmp_path, "scan").code == 0
    with client_of(tmp_path) as site:
        answer = site.get("/page?url=901_7")
        assert answer.status_code == 404
        choices = [to for link in check(answer.text).links if (to := within(BASE + "/page", link)) and "several.example" in to]
        assert len(choices) >= 2
        assert "Several pages" in answer.text


def test_an_empty_database_says_what_to_do_on_every_page(tmp_path: Path) -> None:
    """And one that is not there yet, too; it is found once it is made."""
    (tmp_path / "crawl").mkdir()
    (tmp_path / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    with client_of(tmp_path) as site:
        for place in VIEWS:
            answer = site.get(place.path)
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            check(answer.text)
            assert "dedup scan" in answer.text
        assert run(tmp_path, "scan").code == 0
        for place in VIEWS:
            answer = site.get(place.path)
            assert answer.status_code == 200, place
            if answer.headers["content-type"].startswith("text/html"):
                check(answer.text)


def test_a_damaged_or_newer_database_is_told_in_a_page(sampled: SampleCrawl, tmp_path: Path) -> None:
    whole = (sampled.folder / "dedup.db").read_bytes()
    (tmp_path / "config.toml").write_text("[crawl]\ndirectories = []\n")
    (tmp_path / "dedup.db").write_bytes(whole[:4096] + b"\xff" * 4096 * 60 + whole[4096 * 61 :])
    with client_of(tmp_path) as site:
        answer = site.get("/changes?min_severity=trivial")
        assert answer.status_code == 503
        assert "dedup doctor" in answer.text
        check(answer.text)
        (tmp_path / "dedup.db").write_bytes(b"no database at all" * 1000)
        assert site.get("/status").status_code == 503


def test_nothing_is_shown_by_a_key_of_the_database(site: TestClient, sampled: SampleCrawl) -> None:
    """Figures name pages by URL, states by digest or ordinal."""
    settings = load(str(sampled.folder / "config.toml")).settings
    with open_database(settings.database.path) as database:
        found = reports.page_history(database, store.pages.get_by_url(database, RETURNED) or 0)
    assert found["url"] == RETURNED
    those = f"/pair?a={quote(FIRST)}&b={quote(SECOND)}"
    for address in ("/changes", f"/page?url={quote(RETURNED)}", f"/compare?url={quote(RETURNED)}", those):
        assert not [name for name in _names(told(site, address)) if name in ("page", "page_id", "text_id", "sighting_id", "revision_id")]


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


def test_every_page_of_the_database_is_shown_whatever_became_of_its_crawls(site: TestClient, sampled: SampleCrawl, tmp_path: Path) -> None:
    """Those of which no crawl counts, too: they were cut short."""
    whole = ArticleFile(body="Ein Text, der ganz da ist. " * 5, aid="1")
    whole.write(tmp_path / "crawl", "whole.md")
    cut = ArticleFile(body="Ein Text, der abgeschnitten wurde. " * 5, aid="2").render().encode()
    (tmp_path / "crawl/cut.md").write_bytes(cut[: cut.rindex(b"abgeschnitten")])
    (tmp_path / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    assert run(tmp_path, "scan").code == 0
    with client_of(tmp_path) as small:
        found = told(small, "/page?url=901_2")
        assert (found["revision_count"], found["revisions"], [c["status"] for c in found["crawls"]]) == (0, [], ["truncated"])
        assert "truncated" in check(small.get("/page?url=901_2").text).all("main")[0].text
        assert small.get("/compare?url=901_2").status_code == 404
        assert small.get("/pair?a=901_2&b=901_1").status_code == 404
    for row in sampled("dump", "--logical").out.splitlines():
        page_ = json.loads(row)
        if page_["table"] == "pages":
            check(site.get(f"/page?url={quote(page_['url'], safe='')}").text)


def test_a_text_that_was_pruned_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n[history]\nkeep = ["last"]\ndays = 0\n', "utf-8"
    )
    for day in (2, 3):
        made = ArticleFile(body=f"Der Text des {day}. Tages. " * 8, crawled_at=f"2026-03-0{day} 00:30:00")
        made.write(tmp_path / "crawl", "same.md", age=100 - day)
        assert run(tmp_path, "scan").code == 0
    assert run(tmp_path, "prune", "-f", "json").json()["pruned"]["revisions"] == 1
    with client_of(tmp_path) as site:
        found = told(site, "/compare?url=901_0000000001")
        assert (found["body"], found["from"]["pruned_at"] is not None) == (None, True)
        assert "was pruned" in check(site.get("/compare?url=901_0000000001&view=side-by-side").text).all("main")[0].text
        assert [s["pruned_at"] is None for s in told(site, "/page?url=901_0000000001")["revisions"]] == [True, False]
        check(site.get("/page?url=901_0000000001").text)
        answer = site.get("/pair?a=901_0000000001&b=901_0000000001&a_revision=1")
        assert answer.status_code == 410
        check(answer.text)


def test_the_same_edit_of_many_pages_is_told_once_with_their_number_in_the_overview_the_feed_and_among_alerts(tmp_path: Path) -> None:
    assert run(tmp_path, "sample", ".").code == 0
    assert run(tmp_path, "scan", "--alert-on-import").code == 0
    with client_of(tmp_path) as site:
        overview = told(site, "/")
        lists = ((overview["alerts"], "page_count"), (overview["silent_edits"], "pages"), (told(site, "/changes")["changes"], "pages"))
        for listed, key in lists:
            assert [row[key] for row in listed if "/917/" in row["url"]] == [5]
        words = check(site.get("/").text).all("main")[0].text
        assert "the same edit on 5 pages" in words
        assert "substantive on 5 pages" in words
        assert "the same edit on 5 pages" in check(site.get("/changes").text).all("main")[0].text.lower()
        assert len([c for c in told(site, "/changes?expand_incidents=1")["changes"] if "/917/" in c["url"]]) == 5
        (incident,) = {row["incident"] for row in told(site, "/changes")["changes"] if row["pages"] > 1}
        assert f"changes?incident={incident}" in list(check(site.get("/changes").text).links)
        found = told(site, f"/changes?incident={incident}")["changes"]
        assert [("/917/" in row["url"], row["pages"]) for row in found] == [(True, 1)] * 5
        assert "All pages of this incident" in check(site.get(f"/changes?incident={incident}").text).all("main")[0].text
        assert site.get("/changes?incident=zz").status_code == 400


def test_changes_from_before_there_were_judgements_are_told_as_such(sampled: SampleCrawl, tmp_path: Path) -> None:
    assert run(sampled.folder, "backup", tmp_path / "dedup.db").code == 0
    with sqlite3.connect(tmp_path / "dedup.db") as connection:
        connection.execute("UPDATE changes SET kind = NULL, severity = NULL, evidence = NULL, parts = NULL, classified_by = NULL")
    connection.close()
    (tmp_path / "config.toml").write_text("[crawl]\ndirectories = []\n")
    with client_of(tmp_path) as site:
        found = check(site.get("/changes").text).all("main")[0].text
        assert "Not classified yet: 13 changes" in found
        assert "not classified" in found
        check(site.get(f"/page?url={quote(RETURNED)}").text)
        check(site.get(f"/compare?url={quote(RETURNED)}").text)

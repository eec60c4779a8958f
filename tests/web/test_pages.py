"""The dashboard on the sample crawl: every reachable page, as HTML and as JSON."""

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

pytestmark = pytest.mark.slow

RETURNED = "https://n.news.naver.com/mnews/article/903/0000100015"
FIRST = "https://n.news.naver.com/mnews/article/901/0000100120"
SECOND = "https://n.news.naver.com/mnews/article/903/0000100121"


@pytest.fixture(scope="module")
def site(sampled: SampleCrawl) -> Iterator[TestClient]:
    with client_of(sampled.folder) as client:
        yield client


def get_json(site: TestClient, address: str) -> Any:
    """The JSON of a page."""
    answer = site.get(address + ("&" if "?" in address else "?") + "format=json")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.system
def test_every_linked_page_exists_and_is_valid(site: TestClient) -> None:
    """From the overview, through every link, form and alternative format."""
    queue, visited = ["/"], set[str]()
    while queue:
        address = queue.pop()
        if address in visited:
            continue
        visited.add(address)
        answer = site.get(address)
        assert answer.status_code == 200, address
        kind = answer.headers["content-type"]
        if kind.startswith("application/json"):
            assert isinstance(json.loads(answer.text), dict)
        elif kind.startswith("application/atom+xml"):
            assert not feedparser.parse(answer.content).bozo
        elif kind.startswith("text/html"):
            parsed = check(answer.text)
            internal = [within(BASE + address, link) for link in parsed.links]
            queue += [link.removesuffix("?") for link in internal if link is not None]
            assert any(link for link in internal if link and not link.startswith("/static/")), f"no link on {address}"
    paths = {urlsplit(address).path for address in visited}
    assert paths >= {place.path for place in VIEWS}
    assert len([a for a in visited if a.startswith("/page?")]) > 10
    assert len([a for a in visited if a.startswith("/compare?")]) > 5


def test_the_page_of_a_url_agrees_with_dedup_history(site: TestClient, sampled: SampleCrawl) -> None:
    expected = sampled("history", "903_0000100015", "--format", "json").json()
    for spelling in (RETURNED, "903_0000100015", RETURNED.replace("mnews/", "") + "?sid=100"):
        output = get_json(site, f"/page?url={quote(spelling, safe='')}")
        assert (output["url"], output["aliases"], output["revision_count"]) == (RETURNED, expected["aliases"], len(expected["revisions"]))
        assert output["revisions"][::-1] == expected["revisions"]
        assert [c["crawled_at"] for c in output["crawls"]] == [t["crawled_at"] for t in expected["timeline"]][::-1]
        state_changes = [c for c in output["changes"] if c["state_digest_before"] != c["state_digest_after"]]
        assert [(c["from_revision"], c["to_revision"], c["kind"]) for c in state_changes][::-1] == [
            (c["from_revision"], c["to_revision"], c["kind"]) for c in expected["changes"]
        ]
    parsed = check(site.get(f"/page?url={quote(RETURNED)}").text)
    assert [e.text for e in parsed.all("circle")] == ["revision 1", "revision 2", "revision 1"]


def test_the_copies_of_a_page_agree_with_dedup_duplicates(site: TestClient, sampled: SampleCrawl) -> None:
    pairs = sampled("duplicates", "--pairs", "--all-revisions", "--format", "json").json()
    pages = {side["url"] for pair in pairs for side in (pair["a"], pair["b"])}
    assert len(pages) > 15
    for url in pages:
        pairs_of_page = [pair for pair in pairs if url in (pair["a"]["url"], pair["b"]["url"])]
        expected = {pair["b" if pair["a"]["url"] == url else "a"]["url"]: pair for pair in pairs_of_page}
        copies = get_json(site, f"/page?url={quote(url, safe='')}")["copies"]
        assert {c["url"] for c in copies} == set(expected)
        for c in copies:
            best = expected[c["url"]]["closest_revisions"]
            own_side, other_side = ("a", "b") if expected[c["url"]]["a"]["url"] == url else ("b", "a")
            assert (c["relation"], c["coverage"]) == (best["relation"], best["coverage"])
            assert {c["revision"], c["other_revision"]} == {best[f"{own_side}_revision"], best[f"{other_side}_revision"]}


def test_two_revisions_are_compared_inline_and_side_by_side(site: TestClient, sampled: SampleCrawl) -> None:
    expected = sampled("diff", RETURNED, "--from", "1", "--to", "2", "--format", "json").json()
    output = get_json(site, f"/compare?url={quote(RETURNED)}&from=1&to=2")
    assert (output["title"], output["body"]) == (expected["title"], expected["body"])
    assert (output["changes"][0]["kind"], output["changes"][0]["severity"]) == ("substantive", "major")
    digest = output["from"]["state_digest"]
    assert get_json(site, f"/compare?url={quote(RETURNED)}&from={digest.rpartition(':')[2][:16]}&to=2") == output
    assert get_json(site, f"/compare?url={quote(RETURNED)}&from={quote(digest)}&to=2") == output
    words = check(site.get(f"/compare?url={quote(RETURNED)}&from=1&to=2").text)
    assert "5명" in [e.text for e in words.all("del")]
    sides = check(site.get(f"/compare?url={quote(RETURNED)}&from=1&to=2&view=side-by-side&full=1").text)
    (table,) = sides.all("table")
    text_before = "".join("".join(o["text"] for o in expected["body"] if o["kind"] != "added").split())
    cells = [e for e in sides.all("td") if "colspan" not in e.attributes]
    assert "".join("".join("".join(e.inside).split()) for e in cells[::2]) == text_before
    assert table.text


def test_a_pair_shows_its_shared_passages(site: TestClient, sampled: SampleCrawl) -> None:
    expected = sampled("why", FIRST, SECOND, "--format", "json").json()
    address = f"/pair?a={quote(FIRST)}&b={quote(SECOND)}"
    output = get_json(site, address)
    assert (output["reason"], output["relation"], output["coverage"]) == (expected["reason"], "copy", expected["coverage"])
    parsed = check(site.get(address).text)
    numbers = [e.text for e in parsed.all("a") if e.attributes.get("class") == "passage"]
    assert sorted(numbers, key=int) == [str(n) for n in range(1, len(expected["passages"]) + 1) for _ in "ab"]
    marked_text = " ".join(e.text for e in parsed.all("mark"))
    for passage in expected["passages"]:
        assert "".join(passage["text"].split()) in "".join(marked_text.split())


def test_the_list_of_changes_agrees_with_dedup_changes(site: TestClient, sampled: SampleCrawl) -> None:
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
        assert get_json(site, f"/changes?{query}")["changes"] == expected
    assert get_json(site, "/changes?since=2026-03-04&until=2026-03-05")["changes"], "a day without a zone is in the zone of the dashboard"


def test_the_atom_feed_has_the_same_changes_with_stable_ids(site: TestClient) -> None:
    expected = get_json(site, "/changes?silent=1")["changes"]
    feed = feedparser.parse(site.get("/changes.atom?silent=1").content)
    assert not feed.bozo
    assert [e.link for e in feed.entries] == [c["url"] for c in expected]
    assert all(c["title"] in e.title for c, e in zip(expected, feed.entries, strict=True))
    ids = [e.id for e in feed.entries]
    assert len(set(ids)) == len(ids)
    assert ids == [e.id for e in feedparser.parse(site.get("/changes.atom?silent=1").content).entries]
    assert set(ids) <= {e.id for e in feedparser.parse(site.get("/changes.atom").content).entries}


def test_lists_continue_page_by_page_to_their_end(site: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    complete = {
        name: get_json(site, address)
        for name, address in (("changes", "/changes"), ("faults", "/faults"), ("crawls", f"/page?url={quote(RETURNED)}"))
    }
    for module, name, constant in ((changes, "changes", "PAGE_SIZE"), (faults, "faults", "PAGE_SIZE"), (page, "crawls", "MAX_CRAWLS")):
        monkeypatch.setattr(module, constant, 2)
        address = {"changes": "/changes?", "faults": "/faults?", "crawls": f"/page?url={quote(RETURNED)}&"}[name]
        rows: list[Any] = []
        cursor = ""
        for _ in itertools.count():
            piece = get_json(site, f"{address}cursor={cursor}")
            rows += piece[name]
            check(site.get(f"{address}cursor={cursor}").text)
            assert len(piece[name]) <= 2
            if piece["next_cursor"] is None:
                break
            cursor = piece["next_cursor"]
        assert rows == complete[name][name]
        assert len(rows) > 2


@pytest.mark.parametrize("after", ["x", "eyJhIjoxfQ", "WzEsMl0", "W251bGwsbnVsbCxudWxsXQ", "WyJhIiwiYiIsImMiXQ", "%ff%00", "[" * 3000])
def test_an_invalid_cursor_is_refused_in_one_sentence(site: TestClient, after: str) -> None:
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
def test_an_error_is_a_page_with_links(site: TestClient, address: str, status: int) -> None:
    answer = site.get(address)
    assert answer.status_code == status
    parsed = check(answer.text)
    targets = {
        target
        for link in parsed.links
        if (target := within(BASE + address, link)) and not target.startswith("/static/") and "format=" not in target
    }
    assert targets
    assert {site.get(target).status_code for target in targets} == {200}
    assert site.get(f"{address}{'&' if '?' in address else '?'}format=json").json()["error"]["status"] == status


def test_an_ambiguous_id_offers_a_choice(tmp_path: Path) -> None:
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


def test_every_page_of_an_empty_database_says_what_to_do(tmp_path: Path) -> None:
    """A missing database does so too, and is found once it exists."""
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


def test_a_damaged_or_newer_database_is_reported_in_a_page(sampled: SampleCrawl, tmp_path: Path) -> None:
    content = (sampled.folder / "dedup.db").read_bytes()
    (tmp_path / "config.toml").write_text("[crawl]\ndirectories = []\n")
    (tmp_path / "dedup.db").write_bytes(content[:4096] + b"\xff" * 4096 * 60 + content[4096 * 61 :])
    with client_of(tmp_path) as site:
        answer = site.get("/changes?min_severity=trivial")
        assert answer.status_code == 503
        assert "dedup doctor" in answer.text
        check(answer.text)
        (tmp_path / "dedup.db").write_bytes(b"no database at all" * 1000)
        assert site.get("/status").status_code == 503


def test_no_page_shows_a_surrogate_key(site: TestClient, sampled: SampleCrawl) -> None:
    """JSON names pages by URL and revisions by digest or number."""
    settings = load(str(sampled.folder / "config.toml")).settings
    with open_database(settings.database.path) as database:
        history = reports.page_history(database, store.pages.get_by_url(database, RETURNED) or 0)
    assert history["url"] == RETURNED
    pair_address = f"/pair?a={quote(FIRST)}&b={quote(SECOND)}"
    for address in ("/changes", f"/page?url={quote(RETURNED)}", f"/compare?url={quote(RETURNED)}", pair_address):
        assert not [
            name for name in key_names(get_json(site, address)) if name in ("page", "page_id", "text_id", "sighting_id", "revision_id")
        ]


def key_names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from key_names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from key_names(inner)


def test_a_page_without_counted_sightings_is_shown(site: TestClient, sampled: SampleCrawl, tmp_path: Path) -> None:
    """All crawls of such a page are truncated."""
    complete = ArticleFile(body="Ein Text, der ganz da ist. " * 5, aid="1")
    complete.write(tmp_path / "crawl", "whole.md")
    truncated = ArticleFile(body="Ein Text, der abgeschnitten wurde. " * 5, aid="2").render().encode()
    (tmp_path / "crawl/cut.md").write_bytes(truncated[: truncated.rindex(b"abgeschnitten")])
    (tmp_path / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    assert run(tmp_path, "scan").code == 0
    with client_of(tmp_path) as client:
        output = get_json(client, "/page?url=901_2")
        assert (output["revision_count"], output["revisions"], [c["status"] for c in output["crawls"]]) == (0, [], ["truncated"])
        assert "truncated" in check(client.get("/page?url=901_2").text).all("main")[0].text
        assert client.get("/compare?url=901_2").status_code == 404
        assert client.get("/pair?a=901_2&b=901_1").status_code == 404
    for row in sampled("dump", "--logical").out.splitlines():
        page_ = json.loads(row)
        if page_["table"] == "pages":
            check(site.get(f"/page?url={quote(page_['url'], safe='')}").text)


def test_a_pruned_revision_is_marked(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n[history]\nkeep = ["last"]\ndays = 0\n', "utf-8"
    )
    for day in (2, 3):
        article = ArticleFile(body=f"Der Text des {day}. Tages. " * 8, crawled_at=f"2026-03-0{day} 00:30:00")
        article.write(tmp_path / "crawl", "same.md", age=100 - day)
        assert run(tmp_path, "scan").code == 0
    assert run(tmp_path, "prune", "-f", "json").json()["pruned"]["revisions"] == 1
    with client_of(tmp_path) as site:
        output = get_json(site, "/compare?url=901_0000000001")
        assert (output["body"], output["from"]["pruned_at"] is not None) == (None, True)
        assert "was pruned" in check(site.get("/compare?url=901_0000000001&view=side-by-side").text).all("main")[0].text
        assert [s["pruned_at"] is None for s in get_json(site, "/page?url=901_0000000001")["revisions"]] == [True, False]
        check(site.get("/page?url=901_0000000001").text)
        answer = site.get("/pair?a=901_0000000001&b=901_0000000001&a_revision=1")
        assert answer.status_code == 410
        check(answer.text)


def test_an_incident_is_one_row_with_its_number_of_pages(tmp_path: Path) -> None:
    assert run(tmp_path, "sample", ".").code == 0
    assert run(tmp_path, "scan", "--alert-on-import").code == 0
    with client_of(tmp_path) as site:
        overview = get_json(site, "/")
        lists = (
            (overview["alerts"], "page_count"),
            (overview["silent_edits"], "page_count"),
            (get_json(site, "/changes")["changes"], "page_count"),
        )
        for rows, key in lists:
            assert [row[key] for row in rows if "/917/" in row["url"]] == [5]
        words = check(site.get("/").text).all("main")[0].text
        assert "the same edit on 5 pages" in words
        assert "substantive on 5 pages" in words
        assert "the same edit on 5 pages" in check(site.get("/changes").text).all("main")[0].text.lower()
        assert len([c for c in get_json(site, "/changes?expand_incidents=1")["changes"] if "/917/" in c["url"]]) == 5
        (incident,) = {row["incident"] for row in get_json(site, "/changes")["changes"] if row["page_count"] > 1}
        assert f"changes?incident={incident}" in list(check(site.get("/changes").text).links)
        incident_changes = get_json(site, f"/changes?incident={incident}")["changes"]
        assert [("/917/" in row["url"], row["page_count"]) for row in incident_changes] == [(True, 1)] * 5
        assert "All pages of this incident" in check(site.get(f"/changes?incident={incident}").text).all("main")[0].text
        assert site.get("/changes?incident=zz").status_code == 400


def test_unclassified_changes_are_marked(sampled: SampleCrawl, tmp_path: Path) -> None:
    assert run(sampled.folder, "backup", tmp_path / "dedup.db").code == 0
    with sqlite3.connect(tmp_path / "dedup.db") as connection:
        connection.execute("UPDATE changes SET kind = NULL, severity = NULL, evidence = NULL, parts = NULL, classified_by = NULL")
    connection.close()
    (tmp_path / "config.toml").write_text("[crawl]\ndirectories = []\n")
    with client_of(tmp_path) as site:
        text = check(site.get("/changes").text).all("main")[0].text
        assert "Not classified yet: 13 changes" in text
        assert "not classified" in text
        check(site.get(f"/page?url={quote(RETURNED)}").text)
        check(site.get(f"/compare?url={quote(RETURNED)}").text)

"""The dashboard in a browser: every page from every link, with and without mouse, script and wide screens, and with hostile articles."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.builders.browser import Tab, browser, serving, tab
from tests.builders.command import run
from tests.builders.crawl import ArticleFile, edit_words, words

pytestmark = pytest.mark.system

PLACES = {
    "overview": "/",
    "clusters": "/clusters",
    "cluster": "/cluster?url=901_0000100120",
    "pages": "/pages",
    "page": "/page?url=903_0000100015",
    "compare": "/compare?url=903_0000100015",
    "pair": "/pair?a=901_0000100120&b=903_0000100121",
    "changes": "/changes",
    "checks": "/checks",
    "faults": "/faults",
    "search": "/search?q=" + quote("지하철"),
    "status": "/status",
    "nothing": "/no-such-page",
}
ATTACK = "<script>window.attacked = 1</script><img src=x onerror='window.attacked = 2'>\"'><svg onload=window.attacked=3>"
PAGES = 130


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as instance:
        yield instance


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("browser")
    assert run(folder, "sample", "sample").code == 0
    assert run(folder / "sample", "scan", "--alert-on-import").code == 0
    with serving(folder / "sample") as base:
        yield base


@pytest.fixture(scope="module")
def large_sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Enough pages for a second page of each list. Each page is edited once, and half of them are copies."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    rng = random.Random(3)
    text = words(rng, 80)
    for n in range(PAGES):
        text = words(rng, 80) if n % 2 == 0 else edit_words(rng, text, 0.01)
        article = ArticleFile(body=" ".join(text), title=f"기사 {n}", oid=f"{901 + n % 7}", aid=f"{n:010}", publisher=f"신문 {n % 7}",
                    published_at=f"2026-03-02 09:{n % 60:02}", crawled_at=f"2026-03-02 01:{n % 60:02}:00")  # fmt: skip
        article.write(folder / "crawl" / "1")
        replace(article, body=article.body + f" 이날 {n + 2}명이 모였다.", crawled_at=f"2026-03-03 01:{n % 60:02}:00").write(
            folder / "crawl" / "2"
        )
    assert run(folder, "scan").code == 0
    with serving(folder) as base:
        yield base


@pytest.fixture(scope="module")
def hostile_sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Articles with script attacks in every field, copies of each other, edited, with wrong digests, and a file with such a name."""
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    passage = " ".join(words(random.Random(1), 80))
    for n in range(4):
        article = ArticleFile(
            body=f"{ATTACK} {passage} {ATTACK}\n\n{ATTACK}", title=f"{ATTACK} 제목 {n}", author=ATTACK, publisher=f"{ATTACK} {n}",
            category=ATTACK, url=f"https://attack.example/{n}?q={ATTACK}", oid="", aid="", claim="0" * 64 if n == 3 else None,
        )  # fmt: skip
        article.write(folder / "crawl", f"{n}.md")
        later = replace(article, title=f"{ATTACK} 다른 제목 {n}", body=f"{article.body} 12명 {ATTACK}", crawled_at="2026-03-03 00:30:00")
        later.write(folder / "crawl" / "later", f"{n}.md")
    (folder / "crawl" / "<img src=x onerror=window.attacked=4>.md").write_text("no article")
    assert run(folder, "scan").code == 0
    with serving(folder) as base:
        yield base


def visit_every_page(view: Tab, limit: int = 400) -> Iterator[str]:
    """Visit every page that links lead to, from the overview on."""
    visited: set[str] = set()
    queue = ["/"]
    while queue and len(visited) < limit:
        path = queue.pop(0)
        if path in visited or path.startswith("/static/") or ".atom" in path or "format=json" in path:
            continue
        visited.add(path)
        assert view.open(path).status == 200, path
        yield path
        queue += [link for link in view.links() if link not in visited]


@pytest.mark.timeout(1200)
def test_every_link_leads_to_a_page(chromium: Browser, sample: str) -> None:
    with tab(chromium, sample) as view:
        paths = list(visit_every_page(view))
        routes = {path.partition("?")[0] for path in paths}
    assert routes >= {"/", "/clusters", "/cluster", "/pages", "/page", "/compare", "/pair", "/changes", "/checks", "/faults", "/status"}
    assert len(paths) > 100


@pytest.mark.parametrize("place", PLACES)
def test_a_page_is_accessible(chromium: Browser, sample: str, place: str) -> None:
    for scheme in ("light", "dark"):
        with tab(chromium, sample, color_scheme=scheme) as view:
            view.open(PLACES[place])
            if place == "nothing":
                view.wrong.clear()  # the browser itself logs the 404
            violations = [v for v in Axe().run(view.page).response["violations"] if v["impact"] in ("serious", "critical")]
            assert not violations, [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in violations]
            assert view.page.locator("h1").count() == 1
            assert view.page.locator("main").count() == 1


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("width", [360, 800, 1400])
def test_no_page_scrolls_sideways(chromium: Browser, sample: str, place: str, width: int) -> None:
    with tab(chromium, sample, width=width) as view:
        view.open(PLACES[place])
        if place == "nothing":
            view.wrong.clear()
        assert view.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("place", [p for p in PLACES if p != "nothing"])
def test_nothing_moves_after_the_first_paint(chromium: Browser, sample: str, place: str) -> None:
    with tab(chromium, sample) as view:
        view.page.add_init_script(
            "window.moved = 0; new PerformanceObserver(list => list.getEntries().forEach(e => window.moved += e.value))"
            ".observe({type: 'layout-shift', buffered: true})"
        )
        view.open(PLACES[place])
        view.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert view.page.evaluate("window.moved") < 0.01


def test_the_colour_scheme_is_respected(chromium: Browser, sample: str) -> None:
    shades = []
    for scheme in ("light", "dark"):
        with tab(chromium, sample, color_scheme=scheme) as view:
            view.open("/")
            shade = view.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
            shades.append(sum(shade[:3]))
    assert shades[0] > 600
    assert shades[1] < 150


def test_the_keyboard_alone_is_enough(chromium: Browser, sample: str) -> None:
    with tab(chromium, sample) as view:
        page = view.page
        view.open("/")
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_text("Skip to content")
        assert page.locator(":focus").bounding_box()["y"] >= 0  # type: ignore[index]
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        view.open("/")
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.locator(":focus").inner_text() == "Changes":
                break
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        page.keyboard.press("Enter")
        page.wait_for_url("**/changes")
        page.locator("#f-publisher").focus()
        page.keyboard.type("Calder Bay Gazette")
        page.keyboard.press("Enter")
        page.wait_for_url("**/changes?*publisher=Calder*")
        assert page.locator(".change").count() >= 1


def test_filters_work_with_and_without_scripts(chromium: Browser, sample: str) -> None:
    for script in (True, False):
        with tab(chromium, sample, script=script) as view:
            view.open("/clusters")
            assert view.page.locator("tbody tr").count() == 6
            view.page.fill("#f-publisher", "물결방송")
            view.page.click("button.first")
            view.page.wait_for_url("**publisher=**")
            assert 0 < view.page.locator("tbody tr").count() < 6
            assert ("min_size=" in view.page.url) != script, "a script leaves empty parameters out of the address"
            view.open("/changes")
            before = view.page.locator(".change").count()
            view.page.check("#f-silent")
            view.page.click("button.first")
            view.page.wait_for_url("**silent=1**")
            assert 0 < view.page.locator(".change").count() < before


def test_two_revisions_are_compared_inline_and_side_by_side(chromium: Browser, sample: str) -> None:
    with tab(chromium, sample) as view:
        view.open(PLACES["page"])
        view.page.locator("#h-changes ~ ol a").first.click()
        assert view.page.locator("del").count()
        assert view.page.locator("ins").count()
        assert "6명" in view.text()
        view.page.select_option("#f-view", "side-by-side")
        view.page.click("main button.first")
        view.page.wait_for_url("**view=side-by-side**")
        assert view.page.locator("table.sides").count() == 1


def test_two_articles_are_shown_side_by_side_with_shared_passages(chromium: Browser, sample: str) -> None:
    with tab(chromium, sample) as view:
        view.open(PLACES["cluster"])
        view.page.get_by_role("link", name="side by side").first.click()
        assert view.page.locator("mark").count() >= 2
        view.page.locator("a.passage").first.click()
        assert "#b-" in view.page.url or "#a-" in view.page.url


def test_search_finds_two_korean_syllables(chromium: Browser, sample: str) -> None:
    with tab(chromium, sample) as view:
        view.open("/")
        view.page.get_by_role("link", name="Search", exact=True).click()
        view.page.fill("main input[name=q]", "하철")
        view.page.keyboard.press("Enter")
        view.page.wait_for_url("**/search?q=**")
        assert view.page.locator("main mark").first.inner_text() == "하철"
        view.open("/search?q=" + quote("없는말이다정말로"))
        assert view.page.locator(".empty").count() == 1


def test_lists_continue_page_by_page_without_repetition(chromium: Browser, large_sample: str) -> None:
    with tab(chromium, large_sample) as view:
        for path, rows, number in (
            ("/pages", "tbody th a.title", PAGES),
            ("/changes?min_severity=trivial&expand_incidents=1", ".change h2", PAGES),
        ):
            view.open(path)
            entries: list[str] = []
            pages = 1
            while True:
                entries += view.page.locator(rows).all_inner_texts()
                next_link = view.page.locator("a[rel=next]")
                if not next_link.count():
                    break
                next_link.click()
                pages += 1
            assert pages >= 2
            assert len(entries) == len(set(entries)) == number, path
            view.page.locator(".pagination a").first.click()
            assert view.page.locator(rows).first.inner_text() == entries[0]


def test_times_are_in_the_readers_zone_with_the_original_on_hover(chromium: Browser, sample: str) -> None:
    texts: dict[str, Any] = {}
    for zone in ("Asia/Seoul", "America/New_York"):
        with tab(chromium, sample, timezone_id=zone) as view:
            view.open("/changes")
            time = view.page.locator(".change time").first
            texts[zone] = (time.inner_text(), time.get_attribute("title"))
    assert texts["Asia/Seoul"][1] == texts["America/New_York"][1]
    assert texts["Asia/Seoul"][0] != texts["America/New_York"][0]
    with tab(chromium, sample, script=False) as view:
        view.open("/changes")
        assert view.page.locator(".change time").first.inner_text() == texts["Asia/Seoul"][0]


def test_hostile_articles_are_displayed_as_text(chromium: Browser, hostile_sample: str) -> None:
    with tab(chromium, hostile_sample) as view:
        paths = list(visit_every_page(view))
        assert {path.partition("?")[0] for path in paths} >= {
            "/",
            "/clusters",
            "/cluster",
            "/pages",
            "/page",
            "/compare",
            "/changes",
            "/faults",
        }
        for path in paths:
            view.open(path)
            assert view.page.evaluate("window.attacked") is None, path
            assert view.page.locator("img, main script, main svg[onload]").count() == 0, path
        view.open("/pages")
        assert "<script>window.attacked = 1</script>" in view.text()

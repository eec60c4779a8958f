"""The dashboard in a browser: every page from every link, with and without a mouse, a script or much room, and with articles that
attack whoever looks at them."""

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
from tests.builders.crawl import ArticleFile, edited, words

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
def opened() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("browser")
    assert run(folder, "sample", "sample").code == 0
    assert run(folder / "sample", "scan", "--alert-on-import").code == 0
    with serving(folder / "sample") as base:
        yield base


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """So many pages that lists have a second page, each edited once; half of them copies."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    rng = random.Random(3)
    text = words(rng, 80)
    for n in range(PAGES):
        text = words(rng, 80) if n % 2 == 0 else edited(rng, text, 0.01)
        made = ArticleFile(body=" ".join(text), title=f"기사 {n}", oid=f"{901 + n % 7}", aid=f"{n:010}", publisher=f"신문 {n % 7}",
                    published_at=f"2026-03-02 09:{n % 60:02}", crawled_at=f"2026-03-02 01:{n % 60:02}:00")  # fmt: skip
        made.write(folder / "crawl" / "1")
        replace(made, body=made.body + f" 이날 {n + 2}명이 모였다.", crawled_at=f"2026-03-03 01:{n % 60:02}:00").write(
            folder / "crawl" / "2"
        )
    assert run(folder, "scan").code == 0
    with serving(folder) as base:
        yield base


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Articles that are attacks in every part, copies of each other, edited, with wrong digests, and a file of such a name."""
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    frame = " ".join(words(random.Random(1), 80))
    for n in range(4):
        made = ArticleFile(
            body=f"{ATTACK} {frame} {ATTACK}\n\n{ATTACK}", title=f"{ATTACK} 제목 {n}", author=ATTACK, publisher=f"{ATTACK} {n}",
            category=ATTACK, url=f"https://attack.example/{n}?q={ATTACK}", oid="", aid="", claim="0" * 64 if n == 3 else None,
        )  # fmt: skip
        made.write(folder / "crawl", f"{n}.md")
        later = replace(made, title=f"{ATTACK} 다른 제목 {n}", body=f"{made.body} 12명 {ATTACK}", crawled_at="2026-03-03 00:30:00")
        later.write(folder / "crawl" / "later", f"{n}.md")
    (folder / "crawl" / "<img src=x onerror=window.attacked=4>.md").write_text("no article")
    assert run(folder, "scan").code == 0
    with serving(folder) as base:
        yield base


def every_page(found: Tab, most: int = 400) -> Iterator[str]:
    """Each page that a link leads to, from the overview on, opened."""
    seen: set[str] = set()
    waiting = ["/"]
    while waiting and len(seen) < most:
        path = waiting.pop(0)
        if path in seen or path.startswith("/static/") or ".atom" in path or "format=json" in path:
            continue
        seen.add(path)
        assert found.open(path).status == 200, path
        yield path
        waiting += [link for link in found.links() if link not in seen]


@pytest.mark.timeout(1200)
def test_every_link_leads_to_a_page(opened: Browser, sample: str) -> None:
    with tab(opened, sample) as found:
        met = list(every_page(found))
        areas = {path.partition("?")[0] for path in met}
    assert areas >= {"/", "/clusters", "/cluster", "/pages", "/page", "/compare", "/pair", "/changes", "/checks", "/faults", "/status"}
    assert len(met) > 100


@pytest.mark.parametrize("place", PLACES)
def test_a_page_is_well_formed_for_those_who_do_not_see_it(opened: Browser, sample: str, place: str) -> None:
    for scheme in ("light", "dark"):
        with tab(opened, sample, color_scheme=scheme) as found:
            found.open(PLACES[place])
            if place == "nothing":
                found.wrong.clear()  # the browser itself notes that there is nothing
            serious = [v for v in Axe().run(found.page).response["violations"] if v["impact"] in ("serious", "critical")]
            assert not serious, [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in serious]
            assert found.page.locator("h1").count() == 1
            assert found.page.locator("main").count() == 1


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("width", [360, 800, 1400])
def test_nothing_needs_scrolling_sideways(opened: Browser, sample: str, place: str, width: int) -> None:
    with tab(opened, sample, width=width) as found:
        found.open(PLACES[place])
        if place == "nothing":
            found.wrong.clear()
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("place", [p for p in PLACES if p != "nothing"])
def test_nothing_moves_once_it_is_shown(opened: Browser, sample: str, place: str) -> None:
    with tab(opened, sample) as found:
        found.page.add_init_script(
            "window.moved = 0; new PerformanceObserver(list => list.getEntries().forEach(e => window.moved += e.value))"
            ".observe({type: 'layout-shift', buffered: true})"
        )
        found.open(PLACES[place])
        found.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert found.page.evaluate("window.moved") < 0.01


def test_dark_is_dark_and_light_is_light(opened: Browser, sample: str) -> None:
    shades = []
    for scheme in ("light", "dark"):
        with tab(opened, sample, color_scheme=scheme) as found:
            found.open("/")
            shade = found.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
            shades.append(sum(shade[:3]))
    assert shades[0] > 600
    assert shades[1] < 150


def test_with_the_keyboard_alone_one_gets_everywhere(opened: Browser, sample: str) -> None:
    with tab(opened, sample) as found:
        page = found.page
        found.open("/")
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_text("Skip to the content")
        assert page.locator(":focus").bounding_box()["y"] >= 0  # type: ignore[index]
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        found.open("/")
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


def test_filters_narrow_with_and_without_a_script(opened: Browser, sample: str) -> None:
    for script in (True, False):
        with tab(opened, sample, script=script) as found:
            found.open("/clusters")
            assert found.page.locator("tbody tr").count() == 6
            found.page.fill("#f-publisher", "물결방송")
            found.page.click("button.first")
            found.page.wait_for_url("**publisher=**")
            assert 0 < found.page.locator("tbody tr").count() < 6
            assert ("min_size=" in found.page.url) != script, "a script leaves empty parameters out of the address"
            found.open("/changes")
            before = found.page.locator(".change").count()
            found.page.check("#f-silent")
            found.page.click("button.first")
            found.page.wait_for_url("**silent=1**")
            assert 0 < found.page.locator(".change").count() < before


def test_two_revisions_are_compared_in_words_and_side_by_side(opened: Browser, sample: str) -> None:
    with tab(opened, sample) as found:
        found.open(PLACES["page"])
        found.page.locator("#h-changes ~ ol a").first.click()
        assert found.page.locator("del").count()
        assert found.page.locator("ins").count()
        assert "6명" in found.text()
        found.page.select_option("#f-view", "sides")
        found.page.click("main button.first")
        found.page.wait_for_url("**view=side-by-side**")
        assert found.page.locator("table.sides").count() == 1


def test_two_articles_stand_beside_each_other_with_what_they_share(opened: Browser, sample: str) -> None:
    with tab(opened, sample) as found:
        found.open(PLACES["cluster"])
        found.page.get_by_role("link", name="side by side").first.click()
        assert found.page.locator("mark").count() >= 2
        found.page.locator("a.passage").first.click()
        assert "#b-" in found.page.url or "#a-" in found.page.url


def test_search_finds_korean_from_two_syllables_on(opened: Browser, sample: str) -> None:
    with tab(opened, sample) as found:
        found.open("/")
        found.page.get_by_role("link", name="Search", exact=True).click()
        found.page.fill("main input[name=q]", "하철")
        found.page.keyboard.press("Enter")
        found.page.wait_for_url("**/search?q=**")
        assert found.page.locator("main mark").first.inner_text() == "하철"
        found.open("/search?q=" + quote("없는말이다정말로"))
        assert found.page.locator(".empty").count() == 1


def test_lists_go_on_page_by_page_and_hold_everything_once(opened: Browser, many: str) -> None:
    with tab(opened, many) as found:
        for path, rows, number in (
            ("/pages", "tbody th a.title", PAGES),
            ("/changes?min_severity=trivial&expand_incidents=1", ".change h2", PAGES),
        ):
            found.open(path)
            met: list[str] = []
            pages = 1
            while True:
                met += found.page.locator(rows).all_inner_texts()
                following = found.page.locator("a[rel=next]")
                if not following.count():
                    break
                following.click()
                pages += 1
            assert pages >= 2
            assert len(met) == len(set(met)) == number, path
            found.page.locator(".onward a").first.click()
            assert found.page.locator(rows).first.inner_text() == met[0]


def test_times_are_the_readers_with_the_original_on_hover(opened: Browser, sample: str) -> None:
    shown: dict[str, Any] = {}
    for zone in ("Asia/Seoul", "America/New_York"):
        with tab(opened, sample, timezone_id=zone) as found:
            found.open("/changes")
            time = found.page.locator(".change time").first
            shown[zone] = (time.inner_text(), time.get_attribute("title"))
    assert shown["Asia/Seoul"][1] == shown["America/New_York"][1]
    assert shown["Asia/Seoul"][0] != shown["America/New_York"][0]
    with tab(opened, sample, script=False) as found:
        found.open("/changes")
        assert found.page.locator(".change time").first.inner_text() == shown["Asia/Seoul"][0]


def test_articles_that_attack_are_text(opened: Browser, attacked: str) -> None:
    with tab(opened, attacked) as found:
        met = list(every_page(found))
        assert {path.partition("?")[0] for path in met} >= {
            "/",
            "/clusters",
            "/cluster",
            "/pages",
            "/page",
            "/compare",
            "/changes",
            "/faults",
        }
        for path in met:
            found.open(path)
            assert found.page.evaluate("window.attacked") is None, path
            assert found.page.locator("img, main script, main svg[onload]").count() == 0, path
        found.open("/pages")
        assert "<script>window.attacked = 1</script>" in found.text()

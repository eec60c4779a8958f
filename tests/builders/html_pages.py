"""Checks of the dashboard's HTML that hold for every page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from starlette.testclient import TestClient

from dedup.config import Settings, load
from dedup.web.app import create_app

BASE = "http://localhost:8765"
VOID = {"meta", "link", "br", "input", "hr", "img"}


def client(settings: Settings, token: str = "") -> TestClient:
    """Return a client of the dashboard at a local address."""
    return TestClient(create_app(settings, token), base_url=BASE)


def client_of(folder: Path) -> TestClient:
    """Return a client of the dashboard for the configuration in a folder."""
    return client(load(str(folder / "config.toml")).settings)


@dataclass
class Element:
    """A start tag and the text in its element."""

    tag: str
    attributes: dict[str, str]
    inside: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.inside).split())


class Parsed(HTMLParser):
    """The elements of a page. Raises AssertionError if tags are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert not self._open, [e.tag for e in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open, tag
            assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.inside.append(data)

    def all(self, *tags: str) -> list[Element]:
        return [e for e in self.elements if e.tag in tags]

    @property
    def links(self) -> Iterator[str]:
        """Addresses of links, forms and loaded files, without fragments of the page itself."""
        for e in self.elements:
            for name in ("href", "src", "action"):
                if not e.attributes.get(name, "#").startswith("#"):
                    yield e.attributes[name]


def within(page: str, address: str) -> str | None:
    """Resolve a link of a page to path and query. None if it leads to another host."""
    whole = urlsplit(urljoin(page, address))
    return f"{whole.path}?{whole.query}" if whole.netloc == urlsplit(BASE).netloc else None


def check(html: str) -> Parsed:
    """Parse a page and assert what holds for every page."""
    page = Parsed(html)
    assert html.startswith("<!DOCTYPE html>")
    (root,) = page.all("html")
    assert root.attributes["lang"] == "en"
    (title,) = [e for e in page.all("title") if e.text.endswith(" · dedup")]
    assert title.text
    assert len(page.all("h1")) == 1, "one heading says what the page is"
    for tag in ("header", "main", "footer", "nav"):
        assert page.all(tag), f"no {tag}"
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for e in page.elements:
        assert "style" not in e.attributes, e
        assert not [name for name in e.attributes if name.startswith("on")], e
        for name in ("for", "aria-labelledby", "aria-describedby"):
            assert e.attributes.get(name, ids[0]) in ids, e
    assert page.all("style") == []
    assert [e.text for e in page.all("script") if e.text or not e.attributes.get("src")] == []
    labelled = {e.attributes["for"] for e in page.all("label")}
    for e in page.all("input", "select", "textarea"):
        assert e.attributes.get("type") == "hidden" or e.attributes["id"] in labelled, e
    for e in page.all("a", "button"):
        assert e.text or e.attributes.get("aria-label"), e
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(e.attributes.get("scope") for e in page.all("th"))
    levels = [int(e.tag[1]) for e in page.all("h1", "h2", "h3", "h4")]
    assert all(below <= above + 1 for above, below in pairwise(levels)), levels
    for e in page.all("a"):
        to = e.attributes["href"]
        assert not re.match(r"[a-z]+:", to) or (re.match(r"https?://", to) and e.attributes["rel"] == "noreferrer noopener"), e
    assert {e.attributes.get("method", "get") for e in page.all("form")} <= {"get"}
    return page

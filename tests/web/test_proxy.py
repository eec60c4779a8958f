"""The dashboard behind a reverse proxy as in docs/dashboard.md: HTTPS, with a path prefix that the proxy removes."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from dedup.config import load
from dedup.web.app import STATIC_FILES, create_app
from dedup.web.views import VIEWS
from tests.builders.command import SampleCrawl
from tests.builders.html_pages import Parsed

pytestmark = pytest.mark.slow

OUTSIDE = "https://desk.example/dedup"


def proxied_client(folder: Path) -> TestClient:
    """A browser behind nginx: `location /dedup/`, `proxy_pass http://127.0.0.1:8765/`, and `Host` passed on unchanged."""
    settings = load(str(folder / "config.toml")).settings
    app = create_app(settings.model_copy(update={"web": settings.web.model_copy(update={"hosts": ("desk.example",)})}))

    async def nginx(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["path"].startswith("/dedup/"), f"{scope['path']} is outside the prefix"
        path = scope["path"].removeprefix("/dedup")
        await app({**scope, "scheme": "http", "path": path, "raw_path": path.encode()}, receive, send)

    return TestClient(nginx, base_url=OUTSIDE)


PATHS = [view.path for view in VIEWS if view.path != "/"] + [f"/static/{name}" for name in STATIC_FILES]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", ["", "?url=https%3A%2F%2Fa.example%2F%3Fx%3D1&format=json"])
def test_an_address_with_a_final_slash_redirects(sampled: SampleCrawl, path: str, query: str) -> None:
    answer = proxied_client(sampled.folder).get(f"{OUTSIDE}{path}/{query}", follow_redirects=False)
    assert answer.status_code == 307
    assert not urlsplit(answer.headers["location"]).netloc
    assert urljoin(f"{OUTSIDE}{path}/{query}", answer.headers["location"]) == f"{OUTSIDE}{path}{query}"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/nothing/", "//evil.example/", "/page//", "//page/", "/static/", "/static/none/", "/page/x/", "/\\evil.example/"]
)
def test_nothing_else_is_redirected(sampled: SampleCrawl, path: str) -> None:
    answer = proxied_client(sampled.folder).get(OUTSIDE + path, follow_redirects=False)
    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_every_link_and_redirect_stays_below_the_prefix(sampled: SampleCrawl) -> None:
    """Starting at the overview, at addresses with a final slash and at error pages."""
    client = proxied_client(sampled.folder)
    start = ["/", "/nothing", "/nothing/else/", "/page?url=none", *(f"{path}/" for path in PATHS)]
    queue, visited = [OUTSIDE + path for path in start], set[str]()
    kinds: dict[str, int] = {}
    while queue:
        address = queue.pop()
        kind = urlsplit(address).path
        if address in visited or kinds.get(kind, 0) >= 3:
            continue
        visited.add(address)
        kinds[kind] = kinds.get(kind, 0) + 1
        answer = client.get(address, follow_redirects=False)
        assert answer.status_code < 500, address
        if "location" in answer.headers:
            links = [answer.headers["location"]]
        elif answer.headers["content-type"].startswith("text/html"):
            links = list(Parsed(answer.text).links)
        else:
            assert "desk.example" not in answer.text, address
            links = re.findall(r'(?:href|src)="([^"]+)"', answer.text)
        for link in links:
            url = urljoin(address, link)
            if urlsplit(url).netloc == "desk.example" or not urlsplit(link).netloc:
                assert url.startswith(OUTSIDE + "/"), (address, link)
                queue.append(url.partition("#")[0])
            assert "localhost" not in url, (address, link)
    assert {urlsplit(address).path.removeprefix("/dedup") for address in visited} >= {"/", *PATHS}

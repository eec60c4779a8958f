"""Access to the dashboard, and the headers of every response."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import quote

import pytest

from dedup.config import Settings, WebConfig
from dedup.errors import WebError, WebExposedError
from dedup.web.middleware import is_loopback
from dedup.web.server import load_token
from tests.builders import scans as running
from tests.builders.command import SampleCrawl
from tests.builders.crawl import ArticleFile
from tests.builders.html_pages import client, client_of

TOKEN = "벽 token:with a colon"


def settings(**web: object) -> Settings:
    return Settings(web=WebConfig.model_validate(web))


EVERYWHERE = ("/", "/status", "/changes.atom", "/none", "/static/dedup.css", "/status?format=json", "/page?url=none")


@pytest.mark.parametrize("path", EVERYWHERE)
@pytest.mark.parametrize("host", ["localhost:8765", "evil.example"], ids=["answered", "refused"])
def test_every_response_has_the_security_headers(sampled: SampleCrawl, path: str, host: str) -> None:
    answer = client_of(sampled.folder).get(path, headers={"host": host}, follow_redirects=False)
    assert answer.status_code == 421 or host != "evil.example"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy.pop("default-src") == policy.pop("base-uri") == policy.pop("frame-ancestors") == "'none'"
    assert set(policy.values()) == {"'self'"}
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cache-control"] == ("no-cache" if path.startswith("/static") and answer.status_code == 200 else "no-store")
    assert "server" not in answer.headers


def test_static_files_are_cached_until_they_change(sampled: SampleCrawl) -> None:
    site = client_of(sampled.folder)
    page = site.get("/status").text
    address = page.partition('<link rel="stylesheet" href="')[2].partition('"')[0]
    assert "immutable" in site.get("/" + address).headers["cache-control"]
    assert "immutable" not in site.get("/static/dedup.css?v=other").headers["cache-control"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"])
def test_only_get_and_head_are_allowed(sampled: SampleCrawl, method: str) -> None:
    answer = client_of(sampled.folder).request(method, "/status")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_head_is_supported(sampled: SampleCrawl) -> None:
    answer = client_of(sampled.folder).head("/status")
    assert (answer.status_code, answer.text) == (200, "")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("localhost:1", 200), ("LOCALHOST.", 200), ("127.0.0.1:8765", 200), ("[::1]:8765", 200), ("[::1]", 200),
        ("desk.example", 200), ("desk.example:443", 200), ("Desk.Example", 200), ("evil.example", 421), ("localhost.evil.example", 421),
        ("localhost@evil.example", 421), ("evil.example:localhost", 421), ("desk.example.evil.example", 421), ("127.0.0.2", 421),
        ("[::1", 421), ("", 400),
    ],
)  # fmt: skip
def test_only_configured_hosts_are_answered(sampled: SampleCrawl, host: str, status: int) -> None:
    """Otherwise another host name could lead a browser here (DNS rebinding)."""
    with client(settings(hosts=("desk.example", "["))) as site:
        assert site.get("/static/dedup.css", headers={"host": host}).status_code == status


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (basic("", TOKEN), 200), (basic("anyone", TOKEN), 200), (basic("anyone", TOKEN[:-1]), 401), (basic(TOKEN, ""), 401),
        ("Basic ###", 401), ("Basic", 401), ("Bearer", 401), ("Bearer wrong", 401), ("", 401), ("Digest x", 401),
    ],
)  # fmt: skip
def test_a_configured_token_is_required(authorization: str, status: int) -> None:
    with client(settings(), TOKEN) as site:
        for path in ("/static/dedup.css", "/none", "/status"):
            answer = site.get(path, headers={"authorization": authorization} if authorization else {})
            assert (answer.status_code == 401) == (status == 401), path
            assert TOKEN not in answer.text
            if status == 401:
                assert answer.headers["www-authenticate"].startswith("Basic ")


def test_an_ascii_token_is_accepted_as_a_bearer_token() -> None:
    with client(settings(), "s3cret") as site:
        assert site.get("/static/dedup.css", headers={"authorization": "bearer s3cret"}).status_code == 200
        assert site.get("/static/dedup.css", headers={"authorization": "Bearer s3cre"}).status_code == 401


@pytest.mark.parametrize(
    ("site_", "mode", "status"),
    [
        ("cross-site", "no-cors", 403), ("cross-site", "cors", 403), ("same-site", "no-cors", 403), ("cross-site", "navigate", 200),
        ("same-origin", "no-cors", 200), ("none", "navigate", 200),
    ],
)  # fmt: skip
def test_other_sites_can_link_here_but_not_load_from_here(site_: str, mode: str, status: int) -> None:
    with client(settings()) as site:
        answer = site.get("/static/dedup.css", headers={"sec-fetch-site": site_, "sec-fetch-mode": mode})
        assert answer.status_code == status


def test_an_internal_error_reveals_nothing_and_has_the_headers(sampled: SampleCrawl, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret place")

    monkeypatch.setattr("dedup.web.render.open_database", fail)
    site = client_of(sampled.folder)
    with pytest.raises(RuntimeError):
        site.get("/status")
    client = type(site)(site.app, base_url="http://localhost", raise_server_exceptions=False)
    answer = client.get("/status")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("listen", "is_local"),
    [
        ("127.0.0.1:1", True), ("127.5.5.5:1", True), ("[::1]:1", True), ("localhost:1", True), ("0.0.0.0:1", False), ("[::]:1", False),
        ("192.168.1.2:1", False), ("desk.example:1", False), ("127.0.0.1.evil.example:1", False),
    ],
)  # fmt: skip
def test_an_address_beyond_loopback_needs_a_token(listen: str, is_local: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_loopback(listen) is is_local
    if not is_local:
        with pytest.raises(WebExposedError, match="set \\[web\\] token"):
            load_token(settings(listen=listen))
    else:
        assert load_token(settings(listen=listen)) == ""
    monkeypatch.setenv("DESK", "s3cret")
    assert load_token(settings(listen=listen, token="env:DESK")) == "s3cret"
    monkeypatch.setenv("DESK", "")
    with pytest.raises(WebError, match="DESK of \\[web\\] token is empty"):
        load_token(settings(listen=listen, token="env:DESK"))


def test_only_http_urls_of_a_crawl_are_links(crawl: Path, db: Path) -> None:
    for n, url in enumerate(("https://me:secret@good.example/a?b=c", "http://plain.example/")):
        ArticleFile(url=url, aid=f"{n}").write(crawl)
    running.scan(crawl, db)
    with client(running.settings(crawl, db)) as site:
        page = site.get("/page?url=" + quote("https://good.example/a?b=c")).text
    assert 'href="https://good.example/a?b=c" rel="noreferrer noopener"' in page
    assert "secret" not in page

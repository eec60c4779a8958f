"""Values that one part of the system can hold and another cannot. Every command, route, report, export and channel accepts them or
refuses them with one line."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from dedup.cli import COMMANDS
from dedup.pipeline.extract import to_file_stamp
from dedup.text import times
from dedup.text.normalise import is_storable
from dedup.web.views import VIEWS
from tests.builders.command import CommandResult, run
from tests.builders.crawl import ArticleFile
from tests.builders.html_pages import client_of

pytestmark = pytest.mark.slow

TIMES = ("9999-12-31 23:30:00", "9999-12-31T23:59:59.999999+00:00", "0001-01-01 00:00:00", "0001-01-01T00:00:00-14:00", "1969-12-31 23:59")
STAMPS = (253_402_300_799 * 10**9, 10_413_792_000 * 10**9, -11_644_473_600 * 10**9, -1, (1 << 63) - 1)
HUGE = "9" * 5000
STORY = "The council adopted the budget of {0} million after a long debate, and the mayor thanked all who had taken part in it. " * 3

CONFIG = """
[crawl]
directories = ["crawl"]
settle_seconds = 0.0
[delivery]
gather_seconds = 0.0
zone = "{zone}"
[[alerts]]
name = "all"
on = ["change", "mismatch", "duplicate", "cluster", "faults"]
min_severity = "trivial"
to = ["feed", "log", "run"]
[channels.feed]
kind = "atom"
path = "alerts.atom"
[channels.log]
kind = "log"
[channels.run]
kind = "command"
command = ["cat"]
"""


@dataclass(frozen=True)
class Extreme:
    """A folder with a scanned crawl of extreme articles and files."""

    folder: Path
    urls: tuple[str, ...]
    web: TestClient

    def __call__(self, *args: str | bytes | Path) -> CommandResult:
        return run(self.folder, *args)


@pytest.fixture(scope="module", params=["Asia/Seoul", "America/Los_Angeles"])
def extreme(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Extreme]:
    folder = tmp_path_factory.mktemp("extreme")
    (folder / "config.toml").write_text(CONFIG.format(zone=request.param))
    crawl = folder / "crawl"
    urls = []
    for n, at in enumerate(TIMES):
        url = f"https://s.example/{n}"
        urls.append(url)
        extra = (("comment_count", HUGE), ("views", f"-{HUGE}"), ("when", at))
        ArticleFile(body=STORY.format(n), url=url, crawled_at=at, published_at=at, extra=extra).write(crawl, f"{n}-a.md")
        ArticleFile(body=STORY.format("640"), url=url, crawled_at="2026-03-02 01:00:00", published_at=TIMES[-n - 1]).write(
            crawl, f"{n}-b.md"
        )
        ArticleFile(body=STORY.format(n), url=url + "/copy", crawled_at=at, published_at=TIMES[n - 1], publisher=HUGE[:300]).write(
            crawl, f"{n}-c.md"
        )
    for n, stamp in enumerate(STAMPS):
        path = ArticleFile(body=STORY.format(n) + " More.", url=f"https://t.example/{n}", crawled_at="", published_at="").write(
            crawl, f"stamp-{n}.md"
        )
        with contextlib.suppress(OSError, OverflowError):
            os.utime(path, ns=(stamp, stamp))
        urls.append(f"https://t.example/{n}")
    ArticleFile(url="https://u.example/1", crawled_at="10000-01-01 00:00:00").write(crawl, "beyond.md")
    ArticleFile(url="https://u.example/2", claim="0" * 64, crawled_at=TIMES[0]).write(crawl, "mismatched.md")
    (crawl / os.fsdecode(b"fault-\xff.md")).write_bytes(b"no article")
    ArticleFile(url="https://u.example/3", crawled_at=TIMES[2]).write(crawl, os.fsdecode(b"name-\xed\xa0\x80.md"))
    result = run(folder, "scan", "--alert-on-import", "--format", "json")
    assert (result.code, result.json()["faults"]) == (0, 1), result.err
    with client_of(folder) as web:
        yield Extreme(folder, tuple(urls), web)


COMMAND_LINES: dict[str, list[list[str]]] = {
    "init": [["init", "crawl"]],
    "config": [["config"]],
    "sample": [["sample", "sampled"]],
    "completion": [["completion", "bash"]],
    "scan": [["scan"]],
    "watch": [],
    "directories": [["directories"], ["directories", "list"]],
    "verify": [["verify", "crawl"]],
    "duplicates": [["duplicates"], ["duplicates", "--pairs", "--all-revisions"], ["duplicates", "--since", "0001-01-01"]],
    "similar": [["similar", "crawl/0-a.md"]],
    "why": [["why", "crawl/0-a.md", "https://s.example/1"], ["why", "https://s.example/0#1", "https://s.example/2#2"]],
    "boilerplate": [["boilerplate", "list"]],
    "alerts": [["alerts", "list"], ["alerts", "send"], ["alerts", "list", "--status", "sent"]],
    "history": [["history", "https://s.example/0"], ["history", "https://s.example/2"], ["history", "https://t.example/2"]],
    "diff": [["diff", "https://s.example/0"], ["diff", "crawl/0-a.md", "crawl/2-a.md"]],
    "changes": [["changes"], ["changes", "--expand-incidents"], ["changes", "--since", "0001-01-01", "--until", "9999-12-31T23:59:59"]],
    "search": [["search", "council"]],
    "report": [["report"], ["report", "--since", "0001-01-01"], ["report", "--since", "9999-12-31"], ["report", "--until", "0001-01-02"]],
    "export": [["export", "articles"], ["export", "changes"], ["export", "keep"]],
    "status": [["status"]],
    "serve": [],
    "doctor": [["doctor"]],
    "reindex": [["reindex"], ["reindex", "--urls"], ["reindex", "--changes"], ["reindex", "--summaries"], ["reindex", "--search"]],
    "prune": [["prune", "--dry-run"]],
    "dump": [["dump", "--logical"]],
    "backup": [["backup", "kept.db"]],
    "restore": [["restore", "kept.db"]],
}
"""Arguments for every command. `watch` and `serve` run until they are stopped and have their own tests."""


def test_every_command_is_tested() -> None:
    assert COMMAND_LINES.keys() == COMMANDS.keys()


def formats_of(args: list[str]) -> list[str]:
    from tests.builders.project import command

    name = " ".join(args[:2]) if len(args) > 1 and args[0] in ("alerts", "boilerplate", "export", "directories") else args[0]
    (form,) = (p for p in command(name).params if p.name == "output_format")
    return list(form.type.choices)  # type: ignore[attr-defined]


@pytest.mark.system
@pytest.mark.parametrize("args", [line for lines in COMMAND_LINES.values() for line in lines], ids=" ".join)
def test_every_command_shows_extreme_values(extreme: Extreme, args: list[str]) -> None:
    for form in formats_of(args):
        if form == "parquet":
            continue
        result = extreme(*args, "--format", form)
        assert result.code in (0, 1, 3), result.err
        assert "Traceback" not in result.err, result.err
        assert "internal error" not in result.err, result.err
        if form == "json" and result.code != 3 and args[0] != "dump":
            json.loads(result.out)


def test_alerts_with_extreme_values_are_sent_and_their_feed_is_valid(extreme: Extreme) -> None:
    extreme("alerts", "send")
    assert extreme("alerts", "list", "--status", "dead", "--format", "json").json() == []
    for alert in extreme("alerts", "list", "--format", "json").json():
        assert extreme("alerts", "show", alert["id"], "--format", "json").code == 0
        assert extreme("alerts", "show", alert["id"]).code == 0
    feed = ElementTree.parse(extreme.folder / "alerts.atom")
    stamps = [e.text or "" for e in feed.iter() if e.tag.endswith(("}updated", "}published"))]
    assert stamps
    assert all(datetime.fromisoformat(stamp).tzinfo and len(stamp) == 20 for stamp in stamps), stamps


def test_a_clamped_time_stamp_is_no_change(extreme: Extreme) -> None:
    counts = extreme("scan", "--format", "json").json()
    assert (counts["new"], counts["changed"], counts["moved"]) == (0, 0, 0), "a time stamp that was clamped when it was stored is no change"


# The dashboard


def cursor_of(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def queries_for(path: str, urls: tuple[str, ...]) -> list[dict[str, str]]:
    """Query parameters that a route answers, and others that it has to refuse."""
    queries: list[dict[str, str]] = [{}]
    values: dict[str, tuple[str, ...]] = {
        "/cluster": urls, "/page": urls, "/compare": urls,
    }  # fmt: skip
    queries += [{"url": url} for url in values.get(path, ())]
    queries += [{"a": a, "b": b} for a, b in product(urls[:3], urls[1:4])] if path == "/pair" else []
    if path == "/pair":
        queries += [{"a": urls[0], "b": urls[1], "a_revision": r} for r in ("1", "0", "-1", "x", "\u0661", "\u00b2", HUGE, str(1 << 63))]
    if path == "/compare":
        queries += [{"url": urls[0], "from": r, "to": t} for r, t in product(("1", "0", "x", HUGE, "\u00b2"), ("2", str(1 << 64)))]
    url = {"url": urls[0]} if path in values else {}
    for after in CURSORS:
        queries += [url | {name: after} for name in ("cursor", "revisions_cursor")]
        queries += [url | {"cursor": after, "order": order} for order in ("largest", "edited", "newest", "x")]
    for at in ("0001-01-01", "9999-12-31T23:59:59", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "99999-01-01", HUGE):
        queries += [url | {name: at} for name in ("since", "until")]
    queries += [
        url | {name: v}
        for name in ("min_size", "q", "publisher", "incident", "representative", "kind")
        for v in (HUGE, "\ud800", "\0", "-1", "nan")
    ]
    return queries


CURSORS = [
    cursor_of("x", "\ud800"), cursor_of("\ud800", "x"), cursor_of("\ud800", "aa"), cursor_of("\ud800", "x", "aa"),
    cursor_of("x", "x", "\udfff"), cursor_of(1 << 63, "x"), cursor_of(-(1 << 63) - 1, "x"), cursor_of(1 << 63), cursor_of(1e999, "x"),
    cursor_of(int("9" * 400), "x"), cursor_of(True, "x"), cursor_of("9" * 10000, "x"), cursor_of("x", "zz"), cursor_of("x", "aa"),
    cursor_of("x", "x", "zz"), cursor_of(["x"], "x"), cursor_of(None, None), cursor_of(), cursor_of("\0", "\0"), cursor_of(0, ""),
    "!", "A", HUGE, "\ud800", "e30", "bnVsbA", base64.urlsafe_b64encode(b"[" * 30_000).decode(),
]  # fmt: skip


@pytest.mark.system
@pytest.mark.parametrize("path", [view.path for view in VIEWS])
def test_every_route_answers_or_refuses(extreme: Extreme, path: str) -> None:
    failures = []
    for query, form in product(queries_for(path, extreme.urls), ("", "json")):
        encoded = {name: value.encode("utf-8", "surrogatepass") for name, value in query.items()}
        try:
            response = extreme.web.get(path, params=encoded | ({"format": form} if form else {}), follow_redirects=False)
        except Exception as error:
            failures.append((query, repr(error)[:300]))
            continue
        if response.status_code not in (200, 302, 303, 307, 400, 404, 409, 410):
            failures.append((query, str(response.status_code)))
        if response.status_code == 400 and form:
            assert response.json()["error"]["message"]
    assert [(str(q)[:200], e) for q, e in failures] == []


@pytest.mark.parametrize(
    ("path", "cursor"),
    [
        ("/clusters", cursor_of("x", "\ud800")),
        ("/clusters?order=largest", cursor_of(1 << 63, "x")),
        ("/cluster?url=https://s.example/0", cursor_of("x", "\ud800")),
        ("/pages", cursor_of("\ud800", "x")),
        ("/pages?order=edited", cursor_of(1 << 63, "x")),
        ("/page?url=https://s.example/0", cursor_of("\ud800", "aa")),
        ("/changes", cursor_of("\ud800", "x", "aa")),
        ("/checks", cursor_of("\ud800", "x")),
        ("/faults", cursor_of("\ud800", "x")),
    ],
)
def test_a_cursor_that_the_database_cannot_hold_is_refused(extreme: Extreme, path: str, cursor: str) -> None:
    response = extreme.web.get(f"{path}{'&' if '?' in path else '?'}cursor={cursor}")
    assert response.status_code == 400


# Arguments

BAD = b"\xff"


@pytest.mark.parametrize(
    "args",
    [
        ["alerts", "retry", BAD], ["alerts", "show", BAD], ["alerts", "list", "--rule", BAD], ["alerts", "test", BAD],
        ["changes", "--url", BAD], ["changes", "--publisher", BAD], ["changes", "--since", BAD], ["changes", "--incident", BAD],
        ["changes", "--kind", BAD], ["report", "--publisher", BAD], ["report", "--until", BAD], ["boilerplate", "list", "--publisher", BAD],
        ["boilerplate", "mask", "--text", "x" * 30, "--publisher", BAD], ["boilerplate", "mask", "--publisher", "x", "--text", BAD],
        ["boilerplate", "allow", BAD], ["duplicates", "--publisher", BAD], ["duplicates", "--min-similarity", "nan"],
        ["search", BAD], ["search", "x", BAD], ["export", "articles", "--publisher", BAD], ["export", "keep", "--prefer", BAD],
        ["diff", "https://s.example/0", "--from", str(1 << 63)], ["diff", "https://s.example/0", "--from", HUGE],
    ],
    ids=lambda args: " ".join(a if isinstance(a, str) else repr(a) for a in args)[:60],
)  # fmt: skip
def test_an_argument_that_the_database_cannot_hold_is_a_usage_error(extreme: Extreme, args: list[str | bytes]) -> None:
    result = extreme(*args)
    assert result.code == 2, result.err
    assert "Traceback" not in result.err
    assert result.err.isprintable() or "\n" in result.err
    if BAD in args and not {"--since", "--until", "--kind", "--incident"} & set(args):
        assert "'\\xff' is not UTF-8 text." in result.err


@pytest.mark.parametrize(
    "args",
    [
        ["history", BAD],
        ["diff", BAD],
        ["why", BAD, BAD],
        ["similar", BAD],
        ["verify", BAD],
        ["diff", BAD, BAD],
        ["scan", BAD],
    ],
    ids=lambda args: " ".join(map(repr, args)),
)
def test_a_path_may_contain_any_bytes(extreme: Extreme, args: list[str | bytes]) -> None:
    result = extreme(*args)
    assert result.code in (1, 2, 3)
    assert "internal error" not in result.err
    assert "Traceback" not in result.err
    assert "\\xff" in result.err + result.out or "missing" in result.err


def test_a_file_whose_name_is_not_utf8_can_be_named(extreme: Extreme) -> None:
    assert extreme("history", b"crawl/name-\xed\xa0\x80.md").code == 0
    assert extreme("verify", b"crawl/name-\xed\xa0\x80.md").code == 0


# Conversion of times


@pytest.mark.parametrize("nanoseconds", [1 << 63, -(1 << 63) - 1, 10_413_792_000 * 10**9, 10**30])
def test_time_stamps_of_files_are_clamped_to_what_can_be_stored(tmp_path: Path, nanoseconds: int) -> None:
    class FakeStat:
        st_size, st_ino, st_mtime_ns, st_ctime_ns = 1, (1 << 64) - 5, nanoseconds, -nanoseconds

    stat = to_file_stamp(FakeStat)  # type: ignore[arg-type]
    assert all(is_storable(value) for value in (stat.size, stat.mtime_ns, stat.inode, stat.ctime_ns))
    assert (stat.mtime_ns > 0) == (nanoseconds > 0)
    assert stat.inode == -5
    datetime.fromisoformat(times.from_ns(stat.mtime_ns))


@pytest.mark.parametrize("iso", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00", "2026-03-02T09:00:00+00:00"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])
def test_times_at_both_ends_of_the_calendar_can_be_formatted_and_shifted(iso: str, zone: str) -> None:
    local = times.to_local(iso, ZoneInfo(zone))
    assert local == datetime.fromisoformat(iso)
    assert len(times.format_time(local)) == 16
    for delta in (timedelta(days=1), timedelta(days=-1), timedelta.max, timedelta.min):
        result = times.add_clamped(datetime.fromisoformat(iso), delta)
        assert times.EARLIEST <= result.astimezone(UTC) <= datetime.max.replace(tzinfo=UTC)

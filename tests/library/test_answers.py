"""What `dedup.open_database` answers is what the commands print as JSON, to the letter."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import dedup
from dedup import library
from tests.builders.command import SampleCrawl

SHOWCASE = "https://n.news.naver.com/mnews/article/915/0000100070"
SPELLING = "http://N.news.naver.com/mnews/article/915/0000100070?sid=101#comments"
"""Another URL of the same page."""


@pytest.fixture(scope="module")
def database(sampled: SampleCrawl) -> Iterator[dedup.Database]:
    with dedup.open_database(settings=sampled.folder / "config.toml") as opened:
        yield opened


def printed(sampled: SampleCrawl, *arguments: str) -> Any:
    result = sampled(*arguments, "--format", "json")
    assert result.code == 0, result.err
    return json.loads(result.out)


def to_text(answers: Iterable[library.Record]) -> str:
    return json.dumps([answer.to_dict() for answer in answers])


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ((), {}),
        (("--relation", "exact"), {"relations": ["exact"]}),
        (("--relation", "near", "--relation", "copy", "--min-similarity", "0.8"), {"relations": ["near", "copy"], "min_similarity": 0.8}),
        (("--since", "2026-03-05"), {"since": "2026-03-05"}),
        (("--since", "2026-03-05"), {"since": datetime(2026, 3, 5, tzinfo=UTC)}),
        (("--publisher", "새나루신문"), {"publisher": "새나루신문"}),
        (("--all-revisions",), {"all_revisions": True}),
    ],
)
def test_clusters_and_pairs(sampled: SampleCrawl, database: dedup.Database, options: tuple[str, ...], parameters: dict[str, Any]) -> None:
    clusters, pairs = printed(sampled, "duplicates", *options), printed(sampled, "duplicates", "--pairs", *options)
    assert pairs, "the sample has such pairs"
    assert to_text(database.clusters(**parameters)) == json.dumps(clusters)
    assert to_text(database.pairs(**parameters)) == json.dumps(pairs)


def test_pairs_with_passages(sampled: SampleCrawl, database: dedup.Database) -> None:
    pairs = printed(sampled, "duplicates", "--pairs", "--passages")
    assert any(pair["passages"] for pair in pairs)
    assert to_text(database.pairs(passages=True)) == json.dumps(pairs)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ((), {}),
        (("--silent",), {"silent": True}),
        (("--kind", "headline", "--kind", "typo"), {"kinds": ["headline", "typo"]}),
        (("--min-severity", "trivial"), {"min_severity": "trivial"}),
        (("--since", "2026-03-04", "--until", "2026-03-05T09:00:00+09:00"), {"since": "2026-03-04", "until": "2026-03-05T09:00:00+09:00"}),
        (
            ("--url", SPELLING),
            {"url": SPELLING},
        ),
        (("--url", "*/917/*", "--expand-incidents"), {"url": "*/917/*", "expand_incidents": True}),
    ],
)
def test_changes(sampled: SampleCrawl, database: dedup.Database, options: tuple[str, ...], parameters: dict[str, Any]) -> None:
    changes = printed(sampled, "changes", *options)
    assert changes, "the sample has such changes"
    assert to_text(database.changes(**parameters)) == json.dumps(changes)


def test_the_changes_of_an_incident(sampled: SampleCrawl, database: dedup.Database) -> None:
    (incident,) = {change.incident for change in database.changes()} - {None}
    assert incident is not None
    changes = list(database.changes(incident=incident))
    assert len(changes) > 1
    assert to_text(changes) == json.dumps(printed(sampled, "changes", "--incident", incident))


def test_the_history_of_every_page_that_changed(sampled: SampleCrawl, database: dedup.Database) -> None:
    urls = {change.url for change in database.changes(min_severity="trivial")}
    assert SHOWCASE in urls
    for url in urls:
        assert json.dumps(database.history(url).to_dict()) == json.dumps(printed(sampled, "history", url))


def test_a_page_is_named_by_url_id_or_path(sampled: SampleCrawl, database: dedup.Database) -> None:
    history = database.history("915_0000100070")
    assert history.url == SHOWCASE
    assert database.history(SPELLING) == history
    assert database.history(history.timeline[0].path) == history
    assert all(a.crawled_at <= b.crawled_at for a, b in pairwise(history.timeline))


def test_search(sampled: SampleCrawl, database: dedup.Database) -> None:
    results = database.search("가람항")
    assert to_text(results) == json.dumps(printed(sampled, "search", "가람항"))
    assert (results.has_more, results.indexed) == (False, results.total)
    first = database.search("가람항", limit=1)
    assert (list(first), len(first), first.has_more) == ([results.hits[0]], 1, True)


def test_explanations(sampled: SampleCrawl, database: dedup.Database) -> None:
    cluster = next(database.clusters())
    names = cluster.representative.url, cluster.members[0].url
    explanation = database.explain(*names)
    assert explanation.relation == cluster.members[0].relation
    assert json.dumps(explanation.to_dict()) == json.dumps(printed(sampled, "why", *names))
    first, path = f"{SHOWCASE}#1", cluster.representative.path
    assert json.dumps(database.explain(first, path).to_dict()) == json.dumps(printed(sampled, "why", first, path))


def test_answers_are_frozen_and_compare_by_value(database: dedup.Database) -> None:
    cluster = next(database.clusters())
    assert cluster == next(database.clusters())
    assert library.Cluster.from_dict(cluster.to_dict()) == cluster
    with pytest.raises(FrozenInstanceError):
        cluster.members = ()  # type: ignore[misc]
    with pytest.raises(TypeError, match="other fields"):
        library.Cluster.from_dict({**cluster.to_dict(), "size": 2})


@pytest.mark.parametrize(
    ("method", "parameters", "message"),
    [
        ("clusters", {"relations": ["quote"]}, "relations: 'quote' is not one of exact, near, copy"),
        ("pairs", {"relations": ["equal"]}, "relations: 'equal' is not one of exact, near, copy, excerpt, quote"),
        ("pairs", {"since": "yesterday"}, "since: 'yesterday' is not a time"),
        ("changes", {"kinds": ["edited"]}, "kinds: 'edited' is not one of "),
        ("changes", {"min_severity": "worst"}, "min_severity: 'worst' is not one of trivial, minor, notable, major"),
        ("changes", {"incident": "xyz"}, "incident: 'xyz' does not consist of pairs of hexadecimal digits"),
        ("changes", {"incident": "ab "}, "incident: 'ab ' does not consist of pairs of hexadecimal digits"),
        ("changes", {"url": 3}, "url: 3 is not text"),
        ("clusters", {"relations": None}, "relations: None is not a collection of names"),
        ("clusters", {"since": 3}, "since: 3 is not a time"),
        ("clusters", {"publisher": 3}, "publisher: 3 is not text"),
        ("clusters", {"min_similarity": 7}, "min_similarity: 7 is not a number from 0 to 1"),
        ("pairs", {"min_similarity": float("nan")}, "min_similarity: nan is not a number from 0 to 1"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_read(
    database: dedup.Database, method: str, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(dedup.errors.ParameterError) as error:
        getattr(database, method)(**parameters)
    assert str(error.value).startswith(message)


def test_errors_are_those_of_the_commands(database: dedup.Database, tmp_path: Path) -> None:
    with pytest.raises(dedup.UnknownPageError):
        database.history("https://calderbay-gazette.example/none")
    with pytest.raises(dedup.QueryError):
        database.search('"')
    with pytest.raises(dedup.DatabaseMissingError) as missing:
        dedup.open_database(tmp_path / "missing.db")
    assert (missing.value.exit_code, missing.value.facts) == (3, {"path": str(tmp_path / "missing.db")})
    with pytest.raises(dedup.ConfigError):
        dedup.load_settings(_write(tmp_path / "config.toml", "[crawl]\nsettle_seconds = -1\n"))
    assert issubclass(dedup.DatabaseDamagedError, dedup.DedupError)


def test_a_damaged_database_is_reported_as_such(sampled: SampleCrawl, tmp_path: Path) -> None:
    content = bytearray((sampled.folder / "dedup.db").read_bytes())
    content[4096 * 3 :] = b"\xff" * (len(content) - 4096 * 3)
    (tmp_path / "damaged.db").write_bytes(content)
    with pytest.raises(dedup.DatabaseDamagedError), dedup.open_database(tmp_path / "damaged.db") as damaged:
        list(damaged.changes())


def test_a_closed_database_answers_nothing(sampled: SampleCrawl) -> None:
    with dedup.open_database(sampled.folder / "dedup.db") as database:
        clusters = database.clusters()
        next(clusters)
    database.close()
    with pytest.raises(dedup.DedupError):
        database.history(SHOWCASE)


def test_an_error_of_the_caller_passes_unchanged(database: dedup.Database) -> None:
    def fail() -> None:
        for _ in database.clusters():
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()


def _write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path

"""Functions of texts and URLs."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from datasketch import MinHash, MinHashLSH

import dedup
from tests.builders.command import SampleCrawl

TEXT = "The council voted 7 to 4 on Wednesday to keep all six branch libraries open and to raise the hourly parking charge instead. " * 2
EDITED = TEXT.replace("Wednesday", "Thursday")
OTHER = "A storm closed the coastal road on Friday; the ferry to the islands runs again from Saturday noon, the operator said. " * 2


def test_signatures_are_those_of_the_database(sampled: SampleCrawl) -> None:
    query = "SELECT r.body, t.signature FROM revisions r JOIN texts t ON t.id = r.text_id WHERE t.signature IS NOT NULL"
    with closing(sqlite3.connect(sampled.folder / "dedup.db")) as connection:
        rows = connection.execute(query).fetchall()
    assert len(rows) > 50
    for body, stored in rows:
        assert dedup.signature(body).hashvalues.astype("<u4").tobytes() == stored


def test_a_signature_goes_into_an_index_of_datasketch() -> None:
    index = MinHashLSH(threshold=0.7, num_perm=128)
    index.insert("text", dedup.signature(TEXT))
    assert index.query(dedup.signature(EDITED)) == ["text"]
    assert index.query(dedup.signature(OTHER)) == []


def test_a_signature_is_an_ordinary_object_of_datasketch() -> None:
    signature = dedup.signature(TEXT, num_perm=64)
    assert isinstance(signature, MinHash)
    assert (signature.seed, signature.scheme, len(signature)) == (1, "affine32", 64)
    assert signature.jaccard(signature.copy()) == 1.0
    union = signature.copy()
    union.merge(dedup.signature(OTHER, num_perm=64))
    assert union.jaccard(signature) < 1.0
    assert dedup.signature("").is_empty()
    assert dedup.signature(" – !").is_empty()
    assert not dedup.signature("a").is_empty()


def test_the_relation_of_two_texts() -> None:
    assert dedup.compare(TEXT, TEXT.upper()).relation == "exact"
    near = dedup.compare(TEXT, EDITED)
    assert near.relation == "near"
    assert 0.7 < near.similarity < 1
    assert dedup.compare(TEXT, OTHER).relation is None
    assert dedup.compare("Six libraries stay open.", "Six libraries stay open!").relation == "exact"
    assert dedup.compare("Six libraries stay open.", "Five libraries stay open.").relation is None, "too short to match"
    assert dedup.compare("", "").relation is None
    strict = dedup.Settings(duplicates=dedup.Settings().duplicates.model_copy(update={"threshold": 0.99}))
    assert dedup.compare(TEXT, EDITED, settings=strict).relation != "near"


def test_the_measures_are_those_of_an_explanation(sampled: SampleCrawl) -> None:
    with dedup.open_database(settings=sampled.folder / "config.toml") as database:
        pair = next(p for p in database.pairs(relations=["near"]) if not p.masked_boilerplate)
        explanation = database.explain(pair.a.url, pair.b.url)
    query = "SELECT r.body FROM revisions r JOIN pages p ON p.id = r.page_id JOIN sightings s ON s.id = p.current_sighting_id"
    with closing(sqlite3.connect(sampled.folder / "dedup.db")) as connection:
        bodies = [connection.execute(f"{query} AND s.revision_id = r.id WHERE p.url = ?", (a.url,)).fetchone()[0] for a in (pair.a, pair.b)]
    comparison = dedup.compare(*bodies).to_dict()
    assert comparison == {key: explanation.to_dict()[key] for key in comparison}


def test_a_difference_leads_from_one_text_to_the_other() -> None:
    operations = dedup.diff(TEXT, EDITED)
    assert "".join(o.text for o in operations if o.kind in ("same", "removed", "moved_from")) == TEXT.strip()
    assert "".join(o.text for o in operations if o.kind in ("same", "added", "moved_to")) == EDITED.strip()
    assert {"kind": "removed", "text": "Wednesday"} in [o.to_dict() for o in operations]
    assert dedup.diff("", "") == ()


def test_a_difference_is_that_of_the_command(sampled: SampleCrawl) -> None:
    with closing(sqlite3.connect(sampled.folder / "dedup.db")) as connection:
        texts = connection.execute(
            "SELECT a.body, b.body, p.url FROM changes c JOIN pages p ON p.id = c.page_id JOIN sightings x ON x.id = c.previous_sighting_id"
            " JOIN sightings y ON y.id = c.sighting_id JOIN revisions a ON a.id = x.revision_id JOIN revisions b ON b.id = y.revision_id"
            " WHERE c.kind = 'rewrite' ORDER BY p.url, c.at DESC"
        ).fetchone()
    printed = sampled("diff", texts[2], "--format", "json").json()
    assert [o.to_dict() for o in dedup.diff(*texts[:2])] == printed["body"]


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("HTTP://WWW.Calderbay-Gazette.example:80/a?utm_source=feed&b=1#top", "https://www.calderbay-gazette.example/a?b=1"),
        ("https://m.n.news.naver.com/article/915/0000100070", None),
        ("mailto:editor@calderbay-gazette.example", None),
        ("", None),
    ],
)
def test_canonical_urls(url: str, canonical: str | None) -> None:
    result = dedup.canonical_url(url)
    if canonical is not None or not url.startswith("https"):
        assert result == canonical
    else:
        assert result is not None
        assert dedup.canonical_url(result) == result


def test_canonical_urls_follow_the_rules_of_the_settings() -> None:
    from dedup.config import UrlRuleConfig, UrlsConfig

    rule = UrlRuleConfig(pattern="calderbay-gazette.example/story?id={id}", template="https://calderbay-gazette.example/{id}")
    settings = dedup.Settings(urls=UrlsConfig(rules=(rule,)))
    assert (
        dedup.canonical_url("http://calderbay-gazette.example/story?id=7&ref=x", settings=settings) == "https://calderbay-gazette.example/7"
    )

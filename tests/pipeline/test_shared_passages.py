"""Copies that are found by shared passages: every pair of the oracle and no other, in any order and any batches. Beyond the limits of
buckets every copy keeps at least one match."""

from __future__ import annotations

import os
import pkgutil
import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import combinations, count
from pathlib import Path
from typing import Any

import pytest

from dedup import reports, store
from dedup.errors import DatabaseFailedError
from dedup.index import passages
from dedup.index.hashtable import HEADER_BYTES
from dedup.index.passages import MAX_BUCKET
from dedup.matching import batch_confirmer, boilerplate_filter, passage_lookup, passage_matcher, top_candidates
from dedup.matching.passage_matcher import CandidateProposal, PassageEntry, PassageMatcher
from dedup.matching.thresholds import Assessment, MatchCriteria
from dedup.pipeline import scanner as scanning
from dedup.pipeline.counts import ScanCounts
from dedup.pipeline.extract import CrawlFile, Extraction, extract_files, to_file_stamp
from dedup.pipeline.record import record_extractions
from dedup.pipeline.scanner import Scan
from dedup.similarity import winnowing
from dedup.store import open_database
from dedup.text.normalise import normalise
from tests.builders import relations
from tests.builders import scans as running
from tests.builders.command import run
from tests.builders.crawl import ArticleFile, words
from tests.builders.stories import (
    TAIL,
    Pair,
    Story,
    check_index,
    clusters,
    command_scan,
    derived_rows,
    families,
    in_many_scripts,
    keys_of,
    mixed,
    pairs,
    paper,
    prose,
    recrawled,
    scan_in_order,
    sentence,
    share_of_wide,
    story,
    wire_copy,
    write,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("machine_code")]


# Wire copy


def matches(db: Path) -> dict[Pair, Any]:
    """Stored matches, by the normalised bodies of the two texts."""
    with open_database(str(db)) as database:
        body = {t.id: normalise(t.body) for t in store.texts.all_with_body(database)}
        return {frozenset((body[m.a], body[m.b])): m for m in store.matches.list_all(database)}


@lru_cache(maxsize=1)
def mixed_articles() -> tuple[list[ArticleFile], dict[tuple[str, str], relations.Relation]]:
    """Articles of every kind, and the relations of the oracle."""
    articles = [paper(n, body) for n, body in enumerate(mixed(random.Random(4), 3))]
    return articles, relations.bundled({a.address: a.body for a in articles})


def test_exactly_the_pairs_of_the_definitions_are_reported_with_their_numbers(either: str, crawl: Path, db: Path) -> None:
    articles, expected = mixed_articles()
    write(crawl, articles)
    running.scan(crawl, db, boilerplate_articles=0)
    counts = Counter(expected.values())
    assert 60 <= len(articles) <= 100
    assert min(counts[r] for r in ("exact", "near", "copy", "excerpt", "quote")) >= 3
    assert counts["copy"] >= 20
    reported = pairs(db)
    assert {pair: p["relation"] for pair, p in reported.items()} == {frozenset(pair): r for pair, r in expected.items()}
    stored = matches(db)
    assert len(stored) >= len(expected) - 2 * counts["exact"] - counts["near"]
    bodies = {normalise(a.body): a.body for a in articles}
    for pair, match in stored.items():
        a, b = (bodies[side] for side in pair)
        n, m = relations.numbers(a, b), match.scores
        assert (m.shared_characters, m.longest_passage, m.masked_boilerplate) == (n.shared, n.passage, ())
        assert (m.similarity, m.containment) == pytest.approx((n.similarity, n.containment))
        assert (m.coverage, m.quoted_share) == pytest.approx((n.coverage, n.quoted))


@pytest.mark.parametrize("seed", range(3))
def test_exactly_the_pairs_of_the_definitions_are_reported_in_mixed_scripts(crawl: Path, db: Path, seed: int) -> None:
    """The fingerprints of a passage do not depend on the script of the text around it."""
    articles = in_many_scripts(seed)
    write(crawl, articles)
    running.scan(crawl, db, boilerplate_articles=0)
    expected = {frozenset(pair): r for pair, r in relations.bundled({a.address: a.body for a in articles}).items()}
    wide = {a.address: share_of_wide(a.body) >= 0.5 for a in articles}
    assert sum(len({wide[url] for url in pair}) == 2 for pair in expected) >= 8, "pairs of a mostly wide and a mostly narrow text"
    assert {pair: p["relation"] for pair, p in pairs(db).items()} == expected


def test_order_of_arrival_and_batch_size_do_not_change_the_database(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(crawl, [paper(n, body) for n, body in enumerate(mixed(random.Random(5), 3))])
    names = sorted(os.listdir(crawl))
    running.scan(crawl, db, boilerplate_articles=0)
    expected = running.dump(db)
    assert len([row for row in expected if row["table"] == "matches"]) > 50
    rng = random.Random(6)
    for number, (batch, passes) in enumerate([(1, 1), (3, 4), (7, 9), (64, 2), (512, 1), (2, 1)]):
        monkeypatch.setattr(scanning, "BATCH_FILES", batch)
        order = rng.sample(names, len(names))
        assert scan_in_order(db.with_name(f"{number}.db"), crawl, order, passes, boilerplate_articles=0) == expected


# Beyond the limits


def set_limits(monkeypatch: pytest.MonkeyPatch, **bounds: int) -> None:
    """Set limits of buckets and candidates, in every module that uses them."""
    for name, value in bounds.items():
        modules = [
            m for m in (passages, top_candidates, boilerplate_filter, passage_lookup, passage_matcher, batch_confirmer) if hasattr(m, name)
        ]
        assert modules, name
        for module in modules:
            monkeypatch.setattr(module, name, value)


def copies_of_one_story(number: int, seed: int, **kw: Any) -> list[ArticleFile]:
    """`number` copies of one story; every two match."""
    rng = random.Random(seed)
    source = story(rng, 8)
    return [paper(0, source.body), *(paper(n, wire_copy(rng, source, cut=0.1, endings=0.4), **kw) for n in range(1, number))]


def expected_pairs(articles: Iterable[ArticleFile], *kinds: str) -> set[Pair]:
    """Pairs that have one of these relations (any if none is given) by the oracle."""
    relation_of = {frozenset((a.address, b.address)): relations.relation(a.body, b.body) for a, b in combinations(articles, 2)}
    return {pair for pair, relation in relation_of.items() if relation and (relation in kinds or not kinds)}


@lru_cache(maxsize=1)
def popular_story() -> tuple[list[ArticleFile], set[Pair]]:
    """Twelve copies of one story, smaller families of others, and the pairs that match."""
    articles = copies_of_one_story(12, 7) + [paper(n + 100, body) for n, body in enumerate(families(random.Random(8), 4))]
    return articles, expected_pairs(articles, "near", "copy")


LIMITS = [
    {"MAX_FOLLOWERS": 2},
    {"MAX_CANDIDATES": 1},
    {"MAX_PROPOSED": 1},
    {"MAX_BUCKET": 2},
    {"MAX_FOLLOWERS": 2, "MAX_CANDIDATES": 1, "MAX_BUCKET": 2, "MAX_PROPOSED": 1},
]


@pytest.mark.parametrize("bounds", LIMITS, ids=lambda b: "-".join(b))
@pytest.mark.parametrize("batch", [1, 512])
def test_every_copy_is_matched_and_clustered_beyond_all_limits(
    crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, bounds: dict[str, int], batch: int
) -> None:
    articles, expected = popular_story()
    write(crawl, articles)
    set_limits(monkeypatch, **bounds)
    monkeypatch.setattr(scanning, "BATCH_FILES", batch)
    running.scan(crawl, db, boilerplate_articles=0)
    reported = pairs(db)
    assert {pair for pair, p in reported.items() if p["relation"] in ("near", "copy")} <= expected
    members = {url for pair in expected for url in pair}
    assert {url for pair in reported for url in pair} == members
    assert {a.address for a in articles[:12]} in clusters(db)
    assert set().union(*clusters(db)) == members


def enter_without_leaders(self: PassageMatcher, proposed: CandidateProposal, _: Iterable[int]) -> PassageEntry:
    """Enter every text as a leader, as if buckets counted articles."""
    return enter(self, proposed, ())


enter = PassageMatcher.enter


def test_sixty_copies_of_a_story_do_not_fill_its_buckets(crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket holds leaders only, so sixty copies are one entry and the bucket still proposes candidates. If it held all articles, the
    seventeenth would fill it, and a late excerpt that no signature finds would get no match."""
    set_limits(monkeypatch, MAX_FOLLOWERS=2)  # for speed; the result does not depend on it
    rng = random.Random(5)
    source = story(rng, 5)
    articles = [paper(0, source.body)]
    articles += [paper(n, prose((*story(rng, 3).sentences, *source.sentences, sentence(rng)))) for n in range(1, 60)]
    late = paper(60, prose((sentence(rng), *source.sentences[1:4], sentence(rng))))
    assert {relations.relation(late.body, a.body) for a in articles[:3]} == {"copy"}
    write(crawl, (*articles, late))

    def late_is_matched_with(db: Path) -> set[str]:
        scan_in_order(db, crawl, [a.name for a in (*articles, late)], boilerplate_articles=0)
        return {url for pair in pairs(db) if late.address in pair for url in pair} - {late.address}

    assert articles[0].address in late_is_matched_with(tmp_path / "stories.db")
    assert {a.address for a in (*articles, late)} in clusters(tmp_path / "stories.db")
    monkeypatch.setattr(PassageMatcher, "enter", enter_without_leaders)
    assert late_is_matched_with(tmp_path / "articles.db") == set()


def test_excerpts_and_quotations_are_leaders(crawl: Path, db: Path) -> None:
    """Only copies follow a leader."""
    rng = random.Random(29)
    source, speech = story(rng, 7), story(rng, 2).body
    bodies = [source.body, prose((*story(rng, 6).sentences, *source.sentences[2:4]))]
    bodies += [f"{story(rng, 4).body} “{speech}” {story(rng, 2).body}" for _ in range(2)]
    write(crawl, [paper(n, body) for n, body in enumerate(bodies)])
    running.scan(crawl, db)
    assert sorted(p["relation"] for p in pairs(db).values()) == ["excerpt", "quote"]
    assert derived_rows(db)["represented"] == []
    assert set(texts_per_key(db).values()) == {1, 2}


@pytest.mark.parametrize("batch", [1, 7, 40])
def test_a_full_bucket_holds_one_text_more_than_its_limit(
    either: str, crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """The additional text marks the bucket as full. Without a limit it would grow with every article that contains the phrase."""
    monkeypatch.setattr(scanning, "BATCH_FILES", batch)
    rng = random.Random(30)
    phrase = prose([sentence(rng)])
    articles = [paper(n, f"{story(rng, 4).body} {phrase} {story(rng, 2).body}") for n in range(MAX_BUCKET + 9)]
    write(crawl, articles)
    running.scan(crawl, db, boilerplate_articles=0)
    assert matches(db) == {}, "no text follows another"
    assert max(texts_per_key(db).values()) == MAX_BUCKET + 1
    with running.session(crawl, db, boilerplate_articles=0) as session:
        check_index(session, [a.body for a in articles])


# Revisions


def texts_per_key(db: Path) -> Counter[int]:
    """Key → number of texts in its bucket."""
    with open_database(str(db)) as database:
        return Counter(key for _, keys in store.passages.all_fingerprints(database) for key in winnowing.unpack(keys).tolist())


def write_revisions(crawl: Path, revisions: Iterable[ArticleFile]) -> None:
    for n, article in enumerate(revisions):
        article.write(crawl, f"{article.aid}-{n:02}.md")


def test_the_revisions_of_a_page_do_not_fill_a_bucket(crawl: Path, db: Path) -> None:
    """Later revisions of a page follow the first, as copies do."""
    source = story(random.Random(11), 12)
    rng = random.Random(12)
    body = list(source.sentences)
    revisions = []
    for n in range(31):
        body[-1] = sentence(rng)
        revisions.append(paper(0, prose(body), crawled_at=f"2026-03-{n // 24 + 2:02} {n % 24:02}:30:00"))
    write_revisions(crawl, revisions)
    running.scan(crawl, db)
    assert set(texts_per_key(db).values()) == {1}
    assert matches(db) == {}
    copy = paper(1, wire_copy(random.Random(13), source, cut=0.3))
    copy.write(crawl)
    running.scan(crawl, db)
    (match,) = pairs(db).values()
    assert {match["a"]["url"], match["b"]["url"]} == {revisions[0].address, copy.address}


def test_a_copy_of_an_old_revision_is_matched_with_that_revision(tmp_path: Path) -> None:
    crawl = tmp_path / "crawl"
    revisions = recrawled(story(random.Random(14), 7), 30, 15)
    write_revisions(crawl, revisions)
    assert command_scan(tmp_path).code == 0
    old_story = Story(tuple(tuple(s.split()) for s in revisions[9].body[:-1].split(". ")))
    assert old_story.body == revisions[9].body
    copy = paper(1, wire_copy(random.Random(16), old_story, cut=0.0, endings=0.2), crawled_at="2026-04-01 00:00:00")
    copy.write(crawl)
    assert command_scan(tmp_path).code == 0
    assert relations.relation(revisions[-1].body, copy.body) is None
    assert run(tmp_path, "duplicates", "--pairs", "--format", "json").json() == []
    rows = run(tmp_path, "duplicates", "--pairs", "--all-revisions", "--format", "json").json()
    number = {normalise(r.body): n for n, r in enumerate(revisions, 1)}
    assert all({p["a"]["url"], p["b"]["url"]} == {revisions[0].address, copy.address} for p in rows), "no match within the page"
    relation_of_revision = {next(p[side]["revision"] for side in "ab" if p[side]["url"] != copy.address): p["relation"] for p in rows}
    assert relation_of_revision == {number[normalise(r.body)]: x for r in revisions[3:17] if (x := relations.relation(r.body, copy.body))}
    assert len(relation_of_revision) > 2
    for p in rows:
        side = "a" if p["a"]["url"] == revisions[0].address else "b"
        assert (p["closest_revisions"][f"{side}_revision"], p["closest_revisions"]["relation"]) == (10, "copy")


def test_a_new_revision_of_a_page_that_was_copied_is_matched_with_the_copies(crawl: Path, db: Path) -> None:
    source = story(random.Random(17), 8)
    first = paper(0, source.body)
    copies = [paper(n, wire_copy(random.Random(n), source, cut=0.1, endings=0.4)) for n in (1, 2, 3)]
    write(crawl, [first, *copies])
    running.scan(crawl, db)
    later = replace(first, body=prose((*source.sentences[:7], *story(random.Random(18), 3).sentences)), crawled_at="2026-03-09 00:00:00")
    later.write(crawl, "later.md")
    running.scan(crawl, db)
    expected = expected_pairs([later, *copies])
    assert {frozenset((later.address, c.address)) for c in copies} <= expected_pairs([later, *copies])
    assert pairs(db).keys() == expected
    expected_of_all_revisions = {frozenset((a.address, b.address)) for a, b in combinations([first, *copies], 2)}
    assert pairs(db, all_revisions=True).keys() == expected_of_all_revisions
    assert len(matches(db)) == 3 + 3 + 3, "three of each revision with the copies, three among the copies"


@pytest.mark.parametrize("batch", [1, 512])
def test_texts_compared_only_with_an_old_revision_stay_in_one_cluster(
    crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Papers 1 and 2 copied one half of an agency's story, papers 3 to 6 the other half; then the agency's page changed. Papers 4 to 6
    were compared only with the agency's old text and its followers 1 and 2."""
    set_limits(monkeypatch, MAX_FOLLOWERS=2, MAX_CANDIDATES=1)
    monkeypatch.setattr(scanning, "BATCH_FILES", batch)
    source, rng = story(random.Random(19), 9), random.Random(20)
    halves = [source.sentences[:5] if n <= 2 else source.sentences[4:] for n in range(1, 7)]
    papers = [paper(n, prose((*half, *story(rng, 4).sentences))) for n, half in enumerate(halves, 1)]
    agency = paper(0, source.body)
    write(crawl, [agency, *papers])
    running.scan(crawl, db)
    replace(agency, body=story(rng).body, crawled_at="2026-03-09 00:00:00").write(crawl, "later.md")
    running.scan(crawl, db)
    one, *_, other = (p.address for p in papers)
    assert {url for pair in pairs(db) for url in pair} == {papers[0].address, papers[1].address}, "the others have no current match"
    with open_database(str(db)) as database:
        listed = list(reports.list_clusters(database, reports.DuplicateFilter()))
    members = {m["url"]: m for c in listed for m in c["members"]}
    assert {one, other} < members.keys() | {c["representative"]["url"] for c in listed}
    assert set().union(*clusters(db)) == {p.address for p in papers}
    for indirect in papers[3:]:
        assert members[indirect.address]["via_url"] == agency.address
        assert members[indirect.address]["crowded"]


# The index file, and batches that fail


def with_tail_of_one_publisher(bodies: Sequence[str]) -> list[ArticleFile]:
    """One article per body; every fourth has the publisher and the tail of one newspaper."""
    return [
        paper(n, f"{body} {TAIL}", publisher="새벽신문") if n % 4 == 0 else paper(n, body) for n, body in enumerate(bodies)
    ]  # fmt: skip


@pytest.mark.parametrize("batch", [1, 7, 40])
def test_the_passage_index_does_not_depend_on_the_batch_size(
    either: str, crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """A tail is learned in the middle of a batch. Later articles of the batch hold only a part of it, with other keys; the index does not
    hold them under these keys."""
    rng = random.Random(24)
    write(crawl, with_tail_of_one_publisher(mixed(rng, 2)))
    tail_words = TAIL.split()
    parts = [tail_words[begin : begin + length] for begin in range(0, len(tail_words) - 8, 2) for length in (8, 14, 20)]
    write(crawl, [paper(900 + n, f"{story(rng).body} {' '.join(part)}", publisher="새벽신문") for n, part in enumerate(parts)])
    tables = []
    for size in (512, batch):
        monkeypatch.setattr(scanning, "BATCH_FILES", size)
        running.scan(crawl, tmp_path / f"{size}.db")
        tables.append(derived_rows(tmp_path / f"{size}.db"))
    assert tables[0] == tables[1]
    assert tables[0]["boilerplate"]


def test_two_texts_of_one_path_in_a_batch_are_matched(either: str, crawl: Path, db: Path) -> None:
    """Their signatures share no band, and the passage index does not hold the first text before the commit."""
    source = story(random.Random(25), 12)
    copy = next(b for n in count() if relations.numbers(source.body, b := wire_copy(random.Random(n), source, cut=0.4)).similarity < 0.25)
    extractions: list[Extraction] = []
    with running.session(crawl, db) as session:
        for article in (paper(1, source.body), paper(2, copy)):
            path = article.write(crawl, "a.md")
            file = CrawlFile(session.directories[0].id, session.directories[0].path, b"", b"a.md", to_file_stamp(path.stat()))
            extractions += extract_files([file], session.options)
        record_extractions(session.database, extractions, session.matcher, session.policy, ScanCounts())
    ((pair, match),) = matches(db).items()
    assert (len(pair), match.relation) == (2, "copy")


def test_a_text_that_is_mostly_boilerplate_is_indexed_under_all_its_keys(either: str, crawl: Path, db: Path) -> None:
    rng = random.Random(28)
    write(crawl, [paper(n, f"{story(rng).body} {TAIL}", publisher="새벽신문") for n in range(6)])
    running.scan(crawl, db)
    assert derived_rows(db)["boilerplate"]
    body = f"{' '.join(words(rng, 20))} {TAIL}"
    write(crawl, [paper(7, body, publisher="새벽신문")])
    running.scan(crawl, db)
    *_, (_, _, keys) = derived_rows(db)["passages"]
    assert winnowing.unpack(keys).tolist() == keys_of(body)


def test_boilerplate_of_an_indexed_text_proposes_no_candidates(either: str, crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(27)
    write(crawl, [paper(n, f"{story(rng).body} {TAIL}", publisher="새벽신문") for n in range(6)])
    running.scan(crawl, db)
    assert derived_rows(db)["boilerplate"]
    compared: list[tuple[Any, ...]] = []
    assess = MatchCriteria.assess

    def assess_and_note(*args: Any, **kw: Any) -> Assessment:
        compared.append(args)
        return assess(*args, **kw)

    monkeypatch.setattr(MatchCriteria, "assess", assess_and_note)
    write(crawl, [paper(7, f"{story(rng).body} {TAIL}")])
    running.scan(crawl, db)
    assert compared == []
    write(crawl, [paper(8, f"{story(random.Random(27)).body} {story(rng).body}")])
    running.scan(crawl, db)
    assert len(compared) == 1


@pytest.mark.parametrize("how", ["deleted", "cut", "scribbled", "an old copy", "another database's", "not a byte"])
def test_a_damaged_or_old_passage_index_does_not_change_the_matches(crawl: Path, db: Path, tmp_path: Path, how: str) -> None:
    articles = with_tail_of_one_publisher(mixed(random.Random(22), 2))
    undisturbed, index = tmp_path / "whole.db", Path(f"{db}.passages")
    random.Random(23).shuffle(articles)
    first_content = b""
    for start in range(0, len(articles), 16):
        write(crawl, articles[start : start + 16])
        for place in (db, undisturbed):
            running.scan(crawl, place)
        content = index.read_bytes()
        if how == "deleted":
            index.unlink()
        elif how == "cut":
            index.write_bytes(content[:-1000])
        elif how == "scribbled":
            index.write_bytes(content[:HEADER_BYTES] + bytes(len(content) - HEADER_BYTES))
        elif how == "an old copy" and first_content:
            index.write_bytes(first_content)
        elif how == "another database's":
            index.write_bytes(Path(f"{undisturbed}.passages").read_bytes())
        elif how == "not a byte":
            index.write_bytes(b"")
        first_content = first_content or content
    assert running.dump(db) == running.dump(undisturbed)
    assert derived_rows(db) == derived_rows(undisturbed)
    assert len(running.dump(db, "matches")) > 20
    assert derived_rows(db)["boilerplate"]


class _InjectedError(sqlite3.OperationalError):
    pass


@pytest.mark.parametrize("failing", [2, 5])
@pytest.mark.parametrize("moment", ["matches.insert", "passages.insert", "passages.insert_followers"])
def test_a_rolled_back_batch_leaves_no_trace(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, moment: str, failing: int) -> None:
    write(crawl, with_tail_of_one_publisher(mixed(random.Random(24), 2)))
    monkeypatch.setattr(scanning, "BATCH_FILES", 8)
    remaining = failing
    with running.session(crawl, db) as session:
        insert = pkgutil.resolve_name(f"dedup.store.{moment}")

        def insert_and_fail(*args: Any) -> None:
            nonlocal remaining
            remaining -= 1
            insert(*args)
            if remaining == 0:
                raise _InjectedError

        monkeypatch.setattr(f"dedup.store.{moment}", insert_and_fail)
        with pytest.raises(DatabaseFailedError):
            Scan(session).run()
        Scan(session).run()
        check_index(session, [])
    clean = db.with_name("clean.db")
    running.scan(crawl, clean)
    assert running.dump(db) == running.dump(clean)
    assert derived_rows(db) == derived_rows(clean)
    assert derived_rows(db)["boilerplate"]


def test_a_rolled_back_batch_does_not_affect_the_batch_that_replaces_it(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the failed batch are overwritten before the next scan, with texts that share keys with the old ones. The old texts
    had taught a tail and had become leaders and followers."""
    rng = random.Random(28)
    first, sources = story(rng, 7), [story(rng, 7) for _ in range(3)]
    recorded_first = [first.body, *(story(rng, 5).body for _ in range(3))]
    rolled_back = [*(wire_copy(rng, first) for _ in range(2)), *(s.body for s in sources), *(story(rng, 5).body for _ in range(4))]
    replacements = [wire_copy(rng, s) for s in (first, *sources) for _ in range(2)] + [story(rng, 5).body]

    def articles(bodies: Sequence[str], first_number: int) -> list[ArticleFile]:
        return [paper(first_number + n, f"{body} {TAIL}", publisher="새벽신문") for n, body in enumerate(bodies)]

    write(crawl, articles(recorded_first, 0))
    clean = db.with_name("clean.db")
    with running.session(crawl, db) as session, running.session(crawl, clean) as undisturbed:
        Scan(session).run()
        Scan(undisturbed).run()
        write(crawl, articles(rolled_back, 10))
        with monkeypatch.context() as patch:
            patch.setattr("dedup.store.matches.insert", fail)
            with pytest.raises(DatabaseFailedError):
                Scan(session).run()
        write(crawl, articles(replacements, 10))
        Scan(session).run()
        Scan(undisturbed).run()
        later = [wire_copy(rng, s) for s in (first, *sources)]
        write(crawl, articles(later, 30))
        Scan(session).run()
        Scan(undisturbed).run()
        check_index(session, rolled_back)
    assert len(rolled_back) == len(replacements), "every file is overwritten"
    assert running.dump(db) == running.dump(clean)
    assert derived_rows(db) == derived_rows(clean)
    assert derived_rows(db)["boilerplate"]
    assert len(running.dump(db, "matches")) > 10


def fail(*_: object) -> None:
    raise _InjectedError


# Texts that are not recorded


def test_similar_finds_wire_copy_by_its_passages(tmp_path: Path) -> None:
    crawl = tmp_path / "crawl"
    source = story(random.Random(25), 8)
    copies = [wire_copy(random.Random(26 + n), source, endings=0.9) for n in range(6)]
    late, bodies = copies[-1], [source.body, *copies[:-1]]
    articles = [paper(n, body) for n, body in enumerate(bodies)] + [paper(20, story(random.Random(27)).body)]
    write(crawl, articles)
    assert command_scan(tmp_path).code == 0
    query = paper(9, late).write(tmp_path / "elsewhere")
    rows = run(tmp_path, "similar", query, "--format", "json").json()
    expected = {a.address: relations.relation(a.body, late) for a in articles}
    assert {m["url"]: m["relation"] for m in rows} == {url: r for url, r in expected.items() if r}
    assert {m["relation"] for m in rows} >= {"copy"}
    assert len(rows) >= 4
    for m in rows:
        n = relations.numbers(next(a.body for a in articles if a.address == m["url"]), late)
        assert (m["shared_characters"], m["longest_passage"], m["coverage"]) == (n.shared, n.passage, round(n.coverage, 4))
        assert m["similarity"] == round(n.similarity, 4) < 0.7
    order = [("near", "copy", "excerpt").index(m["relation"]) for m in rows]
    assert order == sorted(order)
    assert run(tmp_path, "similar", query, "--fail-on", "copy").code == 1
    assert run(tmp_path, "similar", query, "--fail-on", "quote").code == 0
    assert run(tmp_path, "status", "--format", "json").json()["pages"] == len(articles), "nothing was recorded"

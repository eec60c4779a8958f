"""Copies that only passages give away: every pair of the oracle and no other, in whatever order and however split, beyond
all bounds at least one, and over the revisions of pages."""

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
from dedup.scan import scanner as scanning
from dedup.scan.counts import ScanCounts
from dedup.scan.extract import CrawlFile, Extraction, extract_files, to_file_stamp
from dedup.scan.record import record_extractions
from dedup.scan.scanner import Scan
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
    derived,
    families,
    in_many_scripts,
    in_order,
    keys_of,
    mixed,
    pairs,
    paper,
    prose,
    recrawled,
    sentence,
    share_of_wide,
    story,
    wire_copy,
    write,
)

pytestmark = pytest.mark.usefixtures("machine_code")


# Wire copy


def matches(db: Path) -> dict[Pair, Any]:
    """What is stored of pairs of texts, by their normalised bodies."""
    with open_database(str(db)) as database:
        body = {t.id: normalise(t.body) for t in store.texts.all_with_body(database)}
        return {frozenset((body[m.a], body[m.b])): m for m in store.matches.list_all(database)}


@lru_cache(maxsize=1)
def judged() -> tuple[list[ArticleFile], dict[tuple[str, str], relations.Relation]]:
    """Articles of every kind, and what the oracle says of them."""
    articles = [paper(n, body) for n, body in enumerate(mixed(random.Random(4), 3))]
    return articles, relations.bundled({a.address: a.body for a in articles})


def test_every_pair_of_the_definitions_is_found_with_its_numbers_and_no_other(either: str, crawl: Path, db: Path) -> None:
    articles, expected = judged()
    write(crawl, articles)
    running.scan(crawl, db, boilerplate_articles=0)
    counts = Counter(expected.values())
    assert 60 <= len(articles) <= 100
    assert min(counts[r] for r in ("exact", "near", "copy", "excerpt", "quote")) >= 3
    assert counts["copy"] >= 20
    found = pairs(db)
    assert {pair: p["relation"] for pair, p in found.items()} == {frozenset(pair): r for pair, r in expected.items()}
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
def test_every_pair_of_the_definitions_is_found_whatever_scripts_the_texts_are_written_in(crawl: Path, db: Path, seed: int) -> None:
    """The runs of a passage are its own, not those of the texts around it."""
    articles = in_many_scripts(seed)
    write(crawl, articles)
    running.scan(crawl, db, boilerplate_articles=0)
    expected = {frozenset(pair): r for pair, r in relations.bundled({a.address: a.body for a in articles}).items()}
    wide = {a.address: share_of_wide(a.body) >= 0.5 for a in articles}
    assert sum(len({wide[url] for url in pair}) == 2 for pair in expected) >= 8, "pairs on both sides of one half"
    assert {pair: p["relation"] for pair, p in pairs(db).items()} == expected


def test_any_order_of_arrival_and_any_split_give_the_same_database(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(crawl, [paper(n, body) for n, body in enumerate(mixed(random.Random(5), 3))])
    names = sorted(os.listdir(crawl))
    running.scan(crawl, db, boilerplate_articles=0)
    expected = running.dump(db)
    assert len([row for row in expected if row["table"] == "matches"]) > 50
    rng = random.Random(6)
    for number, (batch, passes) in enumerate([(1, 1), (3, 4), (7, 9), (64, 2), (512, 1), (2, 1)]):
        monkeypatch.setattr(scanning, "BATCH_FILES", batch)
        shuffled = rng.sample(names, len(names))
        assert in_order(db.with_name(f"{number}.db"), crawl, shuffled, passes, boilerplate_articles=0) == expected


# Beyond the bounds


def small(monkeypatch: pytest.MonkeyPatch, **bounds: int) -> None:
    """Make bounds so small that a dozen articles are beyond them."""
    for name, value in bounds.items():
        modules = [
            m for m in (passages, top_candidates, boilerplate_filter, passage_lookup, passage_matcher, batch_confirmer) if hasattr(m, name)
        ]
        assert modules, name
        for module in modules:
            monkeypatch.setattr(module, name, value)


def ran_by(number: int, seed: int, **kw: Any) -> list[ArticleFile]:
    """One story, run by so many papers, of which every two are copies."""
    rng = random.Random(seed)
    source = story(rng, 8)
    return [paper(0, source.body), *(paper(n, wire_copy(rng, source, cut=0.1, endings=0.4), **kw) for n in range(1, number))]


def related(articles: Iterable[ArticleFile], *wanted: str) -> set[Pair]:
    """The articles of which every two have one of these relations (any, where none is named), by the oracle."""
    found = {frozenset((a.address, b.address)): relations.relation(a.body, b.body) for a, b in combinations(articles, 2)}
    return {pair for pair, relation in found.items() if relation and (relation in wanted or not wanted)}


@lru_cache(maxsize=1)
def beyond() -> tuple[list[ArticleFile], set[Pair]]:
    """A story that twelve papers ran and some that fewer did, and which of them are copies."""
    articles = ran_by(12, 7) + [paper(n + 100, body) for n, body in enumerate(families(random.Random(8), 4))]
    return articles, related(articles, "near", "copy")


BOUNDS = [
    {"MAX_FOLLOWERS": 2},
    {"MAX_CANDIDATES": 1},
    {"MAX_PROPOSED": 1},
    {"MAX_BUCKET": 2},
    {"MAX_FOLLOWERS": 2, "MAX_CANDIDATES": 1, "MAX_BUCKET": 2, "MAX_PROPOSED": 1},
]


@pytest.mark.parametrize("bounds", BOUNDS, ids=lambda b: "-".join(b))
@pytest.mark.parametrize("batch", [1, 512])
def test_every_paper_that_ran_a_story_is_matched_and_in_its_cluster_beyond_all_bounds(
    crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, bounds: dict[str, int], batch: int
) -> None:
    articles, true = beyond()
    write(crawl, articles)
    small(monkeypatch, **bounds)
    monkeypatch.setattr(scanning, "BATCH_FILES", batch)
    running.scan(crawl, db, boilerplate_articles=0)
    found = pairs(db)
    assert {pair for pair, p in found.items() if p["relation"] in ("near", "copy")} <= true
    everybody = {url for pair in true for url in pair}
    assert {url for pair in found for url in pair} == everybody
    assert {a.address for a in articles[:12]} in clusters(db)
    assert set().union(*clusters(db)) == everybody


def counted_by_articles(self: PassageMatcher, proposed: CandidateProposal, _: Iterable[int]) -> PassageEntry:
    """How texts would be entered if a bucket counted articles: each stands there for itself."""
    return enter(self, proposed, ())


enter = PassageMatcher.enter


def test_a_story_that_sixty_papers_ran_does_not_silence_its_own_keys(crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket counts stories, not articles: a text that copies one that stands there is not entered beside it, so that sixty
    papers are one entry, and the key goes on proposing. Counted by articles the seventeenth would silence every key of the
    story, and the paper that comes after them, too far from each to be met by its signature, would be lost."""
    small(monkeypatch, MAX_FOLLOWERS=2)  # it would find as many, and take longer
    rng = random.Random(5)
    source = story(rng, 5)
    articles = [paper(0, source.body)]
    articles += [paper(n, prose((*story(rng, 3).sentences, *source.sentences, sentence(rng)))) for n in range(1, 60)]
    late = paper(60, prose((sentence(rng), *source.sentences[1:4], sentence(rng))))
    assert {relations.relation(late.body, a.body) for a in articles[:3]} == {"copy"}
    write(crawl, (*articles, late))

    def late_is_matched_with(db: Path) -> set[str]:
        in_order(db, crawl, [a.name for a in (*articles, late)], boilerplate_articles=0)
        return {url for pair in pairs(db) if late.address in pair for url in pair} - {late.address}

    assert articles[0].address in late_is_matched_with(tmp_path / "stories.db")
    assert {a.address for a in (*articles, late)} in clusters(tmp_path / "stories.db")
    monkeypatch.setattr(PassageMatcher, "enter", counted_by_articles)
    assert late_is_matched_with(tmp_path / "articles.db") == set()


def test_an_excerpt_and_a_quotation_are_stories_of_their_own(crawl: Path, db: Path) -> None:
    """Only copies stand behind each other: those that have no more than a passage in common stand side by side."""
    rng = random.Random(29)
    source, speech = story(rng, 7), story(rng, 2).body
    bodies = [source.body, prose((*story(rng, 6).sentences, *source.sentences[2:4]))]
    bodies += [f"{story(rng, 4).body} “{speech}” {story(rng, 2).body}" for _ in range(2)]
    write(crawl, [paper(n, body) for n, body in enumerate(bodies)])
    running.scan(crawl, db)
    assert sorted(p["relation"] for p in pairs(db).values()) == ["excerpt", "quote"]
    assert derived(db)["represented"] == []
    assert set(under_one_key(db).values()) == {1, 2}


@pytest.mark.parametrize("batch", [1, 7, 40])
def test_a_phrase_of_more_stories_than_a_key_proposes_is_stored_with_no_further_one(
    either: str, crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """One more than propose anything is stored, to know; beyond that a key would grow with every article that holds the phrase."""
    monkeypatch.setattr(scanning, "BATCH_FILES", batch)
    rng = random.Random(30)
    phrase = prose([sentence(rng)])
    articles = [paper(n, f"{story(rng, 4).body} {phrase} {story(rng, 2).body}") for n in range(MAX_BUCKET + 9)]
    write(crawl, articles)
    running.scan(crawl, db, boilerplate_articles=0)
    assert matches(db) == {}, "nobody stands behind anybody"
    assert max(under_one_key(db).values()) == MAX_BUCKET + 1
    with running.session(crawl, db, boilerplate_articles=0) as session:
        check_index(session, [a.body for a in articles])


# Revisions


def under_one_key(db: Path) -> Counter[int]:
    """Key → texts that stand under it."""
    with open_database(str(db)) as database:
        return Counter(key for _, keys in store.passages.all_fingerprints(database) for key in winnowing.unpack(keys).tolist())


def write_all(crawl: Path, revisions: Iterable[ArticleFile]) -> None:
    for n, made in enumerate(revisions):
        made.write(crawl, f"{made.aid}-{n:02}.md")


def test_a_page_that_is_crawled_again_and_again_fills_no_bucket(crawl: Path, db: Path) -> None:
    """A page's own revisions stand behind each other, as copies do."""
    source = story(random.Random(11), 12)
    rng = random.Random(12)
    body = list(source.sentences)
    made = []
    for n in range(31):
        body[-1] = sentence(rng)
        made.append(paper(0, prose(body), crawled_at=f"2026-03-{n // 24 + 2:02} {n % 24:02}:30:00"))
    write_all(crawl, made)
    running.scan(crawl, db)
    assert set(under_one_key(db).values()) == {1}
    assert matches(db) == {}
    copy = paper(1, wire_copy(random.Random(13), source, cut=0.3))
    copy.write(crawl)
    running.scan(crawl, db)
    (told,) = pairs(db).values()
    assert {told["a"]["url"], told["b"]["url"]} == {made[0].address, copy.address}


def test_a_copy_of_an_old_revision_is_matched_with_that_revision(tmp_path: Path) -> None:
    crawl = tmp_path / "crawl"
    revisions = recrawled(story(random.Random(14), 7), 30, 15)
    write_all(crawl, revisions)
    assert command_scan(tmp_path).code == 0
    copied = Story(tuple(tuple(s.split()) for s in revisions[9].body[:-1].split(". ")))
    assert copied.body == revisions[9].body
    copy = paper(1, wire_copy(random.Random(16), copied, cut=0.0, endings=0.2), crawled_at="2026-04-01 00:00:00")
    copy.write(crawl)
    assert command_scan(tmp_path).code == 0
    assert relations.relation(revisions[-1].body, copy.body) is None
    assert run(tmp_path, "duplicates", "--pairs", "--format", "json").json() == []
    found = run(tmp_path, "duplicates", "--pairs", "--all-revisions", "--format", "json").json()
    number = {normalise(r.body): n for n, r in enumerate(revisions, 1)}
    assert all({p["a"]["url"], p["b"]["url"]} == {revisions[0].address, copy.address} for p in found), "none within the page"
    told = {next(p[side]["revision"] for side in "ab" if p[side]["url"] != copy.address): p["relation"] for p in found}
    assert told == {number[normalise(r.body)]: x for r in revisions[3:17] if (x := relations.relation(r.body, copy.body))}
    assert len(told) > 2
    for p in found:
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
    expected = related([later, *copies])
    assert {frozenset((later.address, c.address)) for c in copies} <= related([later, *copies])
    assert pairs(db).keys() == expected
    every = {frozenset((a.address, b.address)) for a, b in combinations([first, *copies], 2)}
    assert pairs(db, all_revisions=True).keys() == every
    assert len(matches(db)) == 3 + 3 + 3, "of either revision and the copies, and among these"


@pytest.mark.parametrize("batch", [1, 512])
def test_those_that_were_compared_only_with_a_revision_that_went_are_in_one_cluster_still(
    crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Papers 1 and 2 ran the one half of a story, 3 to 6 the other; the agency's own page, which they all copied, shows another
    text by now. 4 to 6 were compared with that one, and with 1 and 2, which stand behind it."""
    small(monkeypatch, MAX_FOLLOWERS=2, MAX_CANDIDATES=1)
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
    assert {url for pair in pairs(db) for url in pair} == {papers[0].address, papers[1].address}, "the others have none left"
    with open_database(str(db)) as database:
        found = list(reports.list_clusters(database, reports.DuplicateFilter()))
    members = {m["url"]: m for c in found for m in c["members"]}
    assert {one, other} < members.keys() | {c["representative"]["url"] for c in found}
    assert set().union(*clusters(db)) == {p.address for p in papers}
    for lonely in papers[3:]:
        assert members[lonely.address]["via_url"] == agency.address
        assert members[lonely.address]["crowded"]


# The index beside the database, and batches that fail


def with_tails(bodies: Sequence[str]) -> list[ArticleFile]:
    """Articles of which every fourth is one publisher's, with its tail."""
    return [
        paper(n, f"{body} {TAIL}", publisher="새벽신문") if n % 4 == 0 else paper(n, body) for n, body in enumerate(bodies)
    ]  # fmt: skip


@pytest.mark.parametrize("batch", [1, 7, 40])
def test_what_is_stored_does_not_depend_on_how_the_stream_was_split(
    either: str, crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """A tail is learned in the midst of a batch: those behind that have no more than a part of it, and other keys within that
    part than all before, are not entered under them."""
    rng = random.Random(24)
    write(crawl, with_tails(mixed(rng, 2)))
    letters = TAIL.split()
    parts = [letters[begin : begin + length] for begin in range(0, len(letters) - 8, 2) for length in (8, 14, 20)]
    write(crawl, [paper(900 + n, f"{story(rng).body} {' '.join(part)}", publisher="새벽신문") for n, part in enumerate(parts)])
    found = []
    for size in (512, batch):
        monkeypatch.setattr(scanning, "BATCH_FILES", size)
        running.scan(crawl, tmp_path / f"{size}.db")
        found.append(derived(tmp_path / f"{size}.db"))
    assert found[0] == found[1]
    assert found[0]["boilerplate"]


def test_what_one_path_showed_one_after_the_other_within_a_batch_is_matched(either: str, crawl: Path, db: Path) -> None:
    """Their signatures share no band: what stands in the index only once this is committed has to propose it."""
    source = story(random.Random(25), 12)
    copy = next(b for n in count() if relations.numbers(source.body, b := wire_copy(random.Random(n), source, cut=0.4)).similarity < 0.25)
    examined: list[Extraction] = []
    with running.session(crawl, db) as session:
        for article in (paper(1, source.body), paper(2, copy)):
            path = article.write(crawl, "a.md")
            found = CrawlFile(session.directories[0].id, session.directories[0].path, b"", b"a.md", to_file_stamp(path.stat()))
            examined += extract_files([found], session.options)
        record_extractions(session.database, examined, session.matcher, session.policy, ScanCounts())
    ((pair, match),) = matches(db).items()
    assert (len(pair), match.relation) == (2, "copy")


def test_a_text_that_is_boilerplate_for_more_than_half_is_entered_under_all_its_keys(either: str, crawl: Path, db: Path) -> None:
    rng = random.Random(28)
    write(crawl, [paper(n, f"{story(rng).body} {TAIL}", publisher="새벽신문") for n in range(6)])
    running.scan(crawl, db)
    assert derived(db)["boilerplate"]
    body = f"{' '.join(words(rng, 20))} {TAIL}"
    write(crawl, [paper(7, body, publisher="새벽신문")])
    running.scan(crawl, db)
    *_, (_, _, keys) = derived(db)["passages"]
    assert winnowing.unpack(keys).tolist() == keys_of(body)


def test_what_is_boilerplate_of_those_that_stand_in_a_bucket_proposes_them_to_nobody(
    either: str, crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(27)
    write(crawl, [paper(n, f"{story(rng).body} {TAIL}", publisher="새벽신문") for n in range(6)])
    running.scan(crawl, db)
    assert derived(db)["boilerplate"]
    compared: list[tuple[Any, ...]] = []
    judge = MatchCriteria.assess

    def watched(*args: Any, **kw: Any) -> Assessment:
        compared.append(args)
        return judge(*args, **kw)

    monkeypatch.setattr(MatchCriteria, "assess", watched)
    write(crawl, [paper(7, f"{story(rng).body} {TAIL}")])
    running.scan(crawl, db)
    assert compared == []
    write(crawl, [paper(8, f"{story(random.Random(27)).body} {story(rng).body}")])
    running.scan(crawl, db)
    assert len(compared) == 1


@pytest.mark.parametrize("how", ["deleted", "cut", "scribbled", "an old copy", "another database's", "not a byte"])
def test_matches_are_those_of_an_undisturbed_run_whatever_happened_to_the_passage_index(
    crawl: Path, db: Path, tmp_path: Path, how: str
) -> None:
    articles = with_tails(mixed(random.Random(22), 2))
    whole, index = tmp_path / "whole.db", Path(f"{db}.passages")
    random.Random(23).shuffle(articles)
    old = b""
    for begin in range(0, len(articles), 16):
        write(crawl, articles[begin : begin + 16])
        for place in (db, whole):
            running.scan(crawl, place)
        now = index.read_bytes()
        if how == "deleted":
            index.unlink()
        elif how == "cut":
            index.write_bytes(now[:-1000])
        elif how == "scribbled":
            index.write_bytes(now[:HEADER_BYTES] + bytes(len(now) - HEADER_BYTES))
        elif how == "an old copy" and old:
            index.write_bytes(old)
        elif how == "another database's":
            index.write_bytes(Path(f"{whole}.passages").read_bytes())
        elif how == "not a byte":
            index.write_bytes(b"")
        old = old or now
    assert running.dump(db) == running.dump(whole)
    assert derived(db) == derived(whole)
    assert len(running.dump(db, "matches")) > 20
    assert derived(db)["boilerplate"]


class _OnPurposeError(sqlite3.OperationalError):
    pass


@pytest.mark.parametrize("failing", [2, 5])
@pytest.mark.parametrize("moment", ["matches.insert", "passages.insert", "passages.insert_followers"])
def test_a_batch_that_was_rolled_back_leaves_nothing_behind(
    crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, moment: str, failing: int
) -> None:
    write(crawl, with_tails(mixed(random.Random(24), 2)))
    monkeypatch.setattr(scanning, "BATCH_FILES", 8)
    left = failing
    with running.session(crawl, db) as session:
        whole = pkgutil.resolve_name(f"dedup.store.{moment}")

        def fail(*args: Any) -> None:
            nonlocal left
            left -= 1
            whole(*args)
            if left == 0:
                raise _OnPurposeError

        monkeypatch.setattr(f"dedup.store.{moment}", fail)
        with pytest.raises(DatabaseFailedError):
            Scan(session).run()
        Scan(session).run()
        check_index(session, [])
    clean = db.with_name("clean.db")
    running.scan(crawl, clean)
    assert running.dump(db) == running.dump(clean)
    assert derived(db) == derived(clean)
    assert derived(db)["boilerplate"]


def test_what_a_batch_that_was_rolled_back_brought_plays_no_part_in_those_that_come_instead(
    crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that were being taken in when it failed hold other articles by the next pass: other texts under the same keys. Those
    that went had taught a tail, stood for stories, and stood behind them."""
    rng = random.Random(28)
    first, sources = story(rng, 7), [story(rng, 7) for _ in range(3)]
    kept = [first.body, *(story(rng, 5).body for _ in range(3))]
    went = [*(wire_copy(rng, first) for _ in range(2)), *(s.body for s in sources), *(story(rng, 5).body for _ in range(4))]
    came = [wire_copy(rng, s) for s in (first, *sources) for _ in range(2)] + [story(rng, 5).body]

    def articles(bodies: Sequence[str], since: int) -> list[ArticleFile]:
        return [paper(since + n, f"{body} {TAIL}", publisher="새벽신문") for n, body in enumerate(bodies)]

    write(crawl, articles(kept, 0))
    clean = db.with_name("clean.db")
    with running.session(crawl, db) as session, running.session(crawl, clean) as undisturbed:
        Scan(session).run()
        Scan(undisturbed).run()
        write(crawl, articles(went, 10))
        with monkeypatch.context() as patch:
            patch.setattr("dedup.store.matches.insert", fail_on_purpose)
            with pytest.raises(DatabaseFailedError):
                Scan(session).run()
        write(crawl, articles(came, 10))
        Scan(session).run()
        Scan(undisturbed).run()
        more = [wire_copy(rng, s) for s in (first, *sources)]
        write(crawl, articles(more, 30))
        Scan(session).run()
        Scan(undisturbed).run()
        check_index(session, went)
    assert len(went) == len(came), "the one files stand in the others' places"
    assert running.dump(db) == running.dump(clean)
    assert derived(db) == derived(clean)
    assert derived(db)["boilerplate"]
    assert len(running.dump(db, "matches")) > 10


def fail_on_purpose(*_: object) -> None:
    raise _OnPurposeError


# Asking without recording


def test_similar_finds_wire_copy_by_its_passages(tmp_path: Path) -> None:
    crawl = tmp_path / "crawl"
    source = story(random.Random(25), 8)
    copies = [wire_copy(random.Random(26 + n), source, endings=0.9) for n in range(6)]
    late, bodies = copies[-1], [source.body, *copies[:-1]]
    articles = [paper(n, body) for n, body in enumerate(bodies)] + [paper(20, story(random.Random(27)).body)]
    write(crawl, articles)
    assert command_scan(tmp_path).code == 0
    asked = paper(9, late).write(tmp_path / "elsewhere")
    found = run(tmp_path, "similar", asked, "--format", "json").json()
    expected = {a.address: relations.relation(a.body, late) for a in articles}
    assert {m["url"]: m["relation"] for m in found} == {url: r for url, r in expected.items() if r}
    assert {m["relation"] for m in found} >= {"copy"}
    assert len(found) >= 4
    for m in found:
        n = relations.numbers(next(a.body for a in articles if a.address == m["url"]), late)
        assert (m["shared_characters"], m["longest_passage"], m["coverage"]) == (n.shared, n.passage, round(n.coverage, 4))
        assert m["similarity"] == round(n.similarity, 4) < 0.7
    order = [("near", "copy", "excerpt").index(m["relation"]) for m in found]
    assert order == sorted(order)
    assert run(tmp_path, "similar", asked, "--fail-on", "copy").code == 1
    assert run(tmp_path, "similar", asked, "--fail-on", "quote").code == 0
    assert run(tmp_path, "status", "--format", "json").json()["pages"] == len(articles), "nothing was recorded"

"""Counts of characters and comparisons bound the work for one file, never a clock. Long work sends heartbeats."""

from __future__ import annotations

import hashlib
import html
import os
import random
import signal
import socket
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup import store
from dedup.changes import diff, evidence, lexicon
from dedup.changes.classify import PageHistory, PageState, classify_change
from dedup.changes.diff import stretches
from dedup.config import Settings
from dedup.daemon import loop
from dedup.daemon.health_reporter import HealthReporter
from dedup.formats import markdown
from dedup.matching import boilerplate, pair_confirmer, text_cache
from dedup.matching.text_cache import PreparedTextCache
from dedup.matching.thresholds import MatchCriteria
from dedup.pipeline import workers
from dedup.pipeline.extract import CrawlFile, extract_files
from dedup.pipeline.recipes import build_change_rules
from dedup.pipeline.session import build_extract_options
from dedup.pipeline.workers import WorkerPool
from dedup.runtime import heartbeat
from dedup.search import SearchIndexer, tokenizer
from dedup.similarity import overlap
from dedup.store import open_database, open_writable
from dedup.store.rows import FileStamp
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile, edit_words
from tests.builders.crawl import words as prose

OPTIONS = build_extract_options(Settings())


class Beats:
    """Counts heartbeats."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self) -> None:
        self.number += 1


# Heartbeats


def test_a_beat_reaches_the_innermost_listener_of_its_thread() -> None:
    outer, inner = Beats(), Beats()
    heartbeat.beat()
    with heartbeat.listen_to_beats(outer):
        heartbeat.beat()
        with heartbeat.listen_to_beats(inner):
            heartbeat.beat()
        thread = threading.Thread(target=heartbeat.beat)
        thread.start()
        thread.join()
        assert list(heartbeat.with_beats(range(7), 3)) == list(range(7))
    heartbeat.beat()
    assert (outer.number, inner.number) == (1 + 2, 1)


def write_similar_pages(folder: Path, number: int, length: int = 120, publisher: str = "신문 {}") -> list[Path]:
    """Write `number` pages with similar texts."""
    rng = random.Random(3)
    story = prose(rng, length)
    return [
        ArticleFile(body=" ".join(edit_words(rng, story, 0.02)), aid=f"{n:010}", publisher=publisher.format(n)).write(folder)
        for n in range(number)
    ]


def test_a_batch_beats_for_each_file_and_each_comparison(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_similar_pages(crawl, 6)
    beats = Beats()
    beat_counts: list[int] = []
    original = MatchCriteria.assess

    def count_beats(*args: Any, **kw: Any) -> Any:
        beat_counts.append(beats.number)
        return original(*args, **kw)

    monkeypatch.setattr(MatchCriteria, "assess", count_beats)
    with heartbeat.listen_to_beats(beats):
        running.scan(crawl, db)
    assert beat_counts[0] >= 6  # one for each file before the first comparison
    assert len(beat_counts) >= 5
    assert all(later - earlier >= 2 for earlier, later in zip(beat_counts, [*beat_counts[1:], beats.number], strict=True))


def test_classification_and_search_indexing_beat(crawl: Path, db: Path) -> None:
    write_similar_pages(crawl, 3)
    running.scan(crawl, db)
    beats = Beats()
    with open_writable(str(db), "test") as database, heartbeat.listen_to_beats(beats):
        search = SearchIndexer(database)
        assert search.update().indexed == 3
        search.close()
    assert beats.number >= 3
    beats = Beats()
    with heartbeat.listen_to_beats(beats):
        classify_change(
            PageState("t", "One sentence. " * 40), PageState("t", "Another sentence. " * 40), PageHistory(), build_change_rules(Settings())
        )
    assert beats.number >= 3


def test_a_round_of_the_daemon_beats_while_it_works(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_similar_pages(crawl, 4)
    stop = threading.Event()
    beats: list[int] = []
    original_beat, original_extract = HealthReporter.beat, extract_files

    def beat(self: HealthReporter) -> None:
        beats.append(1)
        original_beat(self)

    def extract(*args: Any) -> Any:
        before = len(beats)
        result = original_extract(*args)
        assert len(beats) - before >= 4
        stop.set()
        return result

    monkeypatch.setattr(HealthReporter, "beat", beat)
    monkeypatch.setattr("dedup.pipeline.workers.extract_files", extract)
    with running.session(crawl, db) as session:
        loop.run(session, stop)
    assert stop.is_set()
    beats_of_round = len(beats)
    heartbeat.beat()
    assert len(beats) == beats_of_round


def test_a_worker_process_sends_heartbeats_before_its_answer(crawl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_similar_pages(crawl, 3)
    crawl_files = [CrawlFile(1, os.fsencode(crawl), b"", os.fsencode(p.name), FileStamp(0, 0, 0, 0)) for p in files]
    monkeypatch.setattr(workers, "HEARTBEAT_SECONDS", 0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    parent, child = socket.socketpair()
    connection = Connection(parent.detach())
    connection.send(OPTIONS)
    connection.send(crawl_files)
    duplicate = socket.socket(fileno=os.dup(connection.fileno()))
    duplicate.shutdown(socket.SHUT_WR)
    workers.serve(child.detach())
    messages: list[Any] = []
    while not messages or messages[-1] is None:
        messages.append(connection.recv())
    duplicate.close()
    connection.close()
    assert messages[:-1] == [None] * (len(messages) - 1)
    assert len(messages) > 3
    results, records = messages[-1]
    assert (results, records) == (extract_files(crawl_files, OPTIONS), [])


def test_waiting_for_workers_beats_only_while_the_workers_beat() -> None:
    beats = Beats()
    pool = WorkerPool(OPTIONS, 2)

    class Slow(Future[Any]):
        calls = 0

        def result(self, timeout: float | None = None) -> Any:
            self.calls += 1
            if self.calls in (2, 3):
                pool._heartbeats += 1
            if self.calls <= 6:
                raise NotYetError
            return []

    slow = Slow()
    pool._pending.append(([], slow))
    with heartbeat.listen_to_beats(beats):
        assert pool.take_oldest(threading.Event()) == []
    assert (slow.calls, beats.number) == (7, 2)


# Reading

REFERENCES = st.sampled_from(["&", "&amp", "&amp;", "&#1", "&#x41;", "&#0000000000000000000000000000000000000000000000065;", "&notit",
                              "&#xD800;", "&CounterClock", ";", " ", "가", "#", "a"])  # fmt: skip


@given(st.lists(REFERENCES, max_size=30).map("".join), st.integers(1, 20))
@settings(max_examples=400, deadline=None)
def test_unescaping_in_blocks_gives_the_same_text(text: str, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markdown, "_BLOCK_CHARACTERS", block)
        assert markdown.unescape(text) == html.unescape(text)


def test_a_body_is_unescaped_once_for_all_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    original = markdown.unescape

    def count(text: str) -> str:
        lengths.append(len(text))
        return original(text)

    monkeypatch.setattr(markdown, "unescape", count)
    article = ArticleFile(body="&#x1F916 " * 2000, claim="0" * 32)
    reading = markdown.read_markdown(article.render().encode(), OPTIONS.read_options)
    assert reading.article is not None
    assert reading.article.check.status == "mismatched"
    assert sum(lengths) < 3 * len(article.render())


@pytest.mark.parametrize(("rules", "verified"), [(1, True), (5, True), (15, False), (39, True)])
def test_of_many_possible_ends_the_first_and_last_are_checked_against_the_claim(
    monkeypatch: pytest.MonkeyPatch, rules: int, verified: bool
) -> None:
    monkeypatch.setattr(markdown, "_MAX_BODY_ENDS", 10)
    content = "".join(f"part {n}\n\n---\n\n" for n in range(40))
    body = "\n\n---\n\n".join(f"part {n}" for n in range(rules))
    claim = hashlib.sha256(body.encode()).hexdigest()
    raw = f"---\ntitle: t\nurl: https://h.example/1\ncontent_hash: {claim}\n---\n\n# t\n\n---\n\n{content}"
    reading = markdown.read_markdown(raw.encode(), OPTIONS.read_options)
    assert reading.article is not None
    assert (reading.article.check.status == "verified") is verified
    assert len(list(markdown._split_segments(content))) <= 22


# Differences

PIECES = ["가나다", "마바 사", ". ", "z", "\n", "1,000", "00 ", "\u0301", "\u200d", "🇰", "“", "”", "word "]


def edit_randomly(rng: random.Random, text: str) -> str:
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.randrange(400))
        insertion = "".join(rng.choices(PIECES, k=rng.randrange(60)))
        text = rng.choice((text[:at] + text[end:], text[:at] + insertion + text[at:], text[:at] + insertion + text[end:]))
    return text


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limits: texts of a few thousand characters count as long."""
    monkeypatch.setattr(stretches, "_CUT_RARITY", 64)
    monkeypatch.setattr(stretches, "_MIN_PIECE_CHARACTERS", 16)
    monkeypatch.setattr(stretches, "_MAX_PIECE_CHARACTERS", 256)
    monkeypatch.setattr(stretches, "_MAX_TRIM_CHARACTERS", 100)
    monkeypatch.setattr(stretches, "MAX_SPLIT_CHARACTERS", 500)


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize("seed", range(40))
def test_stretches_make_up_both_texts_and_split_no_grapheme_or_number(seed: int) -> None:
    rng = random.Random(seed)
    base = "".join(rng.choices(PIECES[: rng.randrange(2, len(PIECES))], k=rng.randrange(3000)))
    before, after = (diff.clean(edit_randomly(rng, base)) for _ in range(2))
    pieces = list(stretches.find_stretches(before, after))
    for side, text in enumerate((before, after)):
        assert "".join(stretch[side] + stretch[2] for stretch in pieces) == text
        graphemes = {m.start() for m in regex.finditer(r"\X", text)} | {len(text)}
        at = 0
        for stretch in pieces:
            for part in (stretch[side], stretch[2]):
                at += len(part)
                assert at in graphemes
                assert not regex.search(r"\d[.,]?\Z", text[:at]) or not regex.match(r"[.,]?\d", text[at:])
    operations = diff.compare(before, after)
    assert diff.text_before(operations) == before
    assert diff.text_after(operations) == after


@pytest.mark.usefixtures("_short")
def test_stretches_find_most_of_what_two_long_texts_have_in_common() -> None:
    rng = random.Random(5)
    base = " ".join(prose(rng, 3000))
    after = "Begin. " + base[:5000] + "something else here " + base[5000:9000] + base[9100:] + " End."
    common_length = sum(len(stretch[2]) for stretch in stretches.find_stretches(base, after))
    assert common_length > 0.9 * len(base)


def test_only_the_difference_of_long_texts_is_split_into_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    original = diff.split_sentences.__globals__["_split"]

    def count(text: str) -> list[str]:
        lengths.append(len(text))
        result: list[str] = original(text)
        return result

    monkeypatch.setitem(diff.split_sentences.__globals__, "_split", count)
    rng = random.Random(6)
    body = "\n".join(rng.choices("abcdefghijklmnop", k=150_000))
    body = body[:200_000] + "\nThe price is 300 dollars.\n" + body[200_001:]
    result = classify_change(
        PageState("t", body), PageState("t", body.replace("300", "900")), PageHistory(), build_change_rules(Settings())
    )
    assert [(e.kind, e.before, e.after) for e in result.evidence][:1] == [("amount", "300 dollars", "900 dollars")] or (
        "300" in result.evidence[0].before and "900" in result.evidence[0].after
    )
    assert result.severity == "major"
    assert sum(lengths) < 40_000


def test_a_long_text_is_split_only_near_its_beginning_and_end() -> None:
    text = "Some words here. " * 40_000
    sentences = diff.split_sentences(text)
    assert "".join(sentences) == text
    assert len(sentences) <= diff.MAX_SPLIT_CHARACTERS
    assert max(map(len, sentences)) > len(text) - 2 * diff.MAX_SPLIT_CHARACTERS
    assert sentences[0] == sentences[-1] == "Some words here. "


ORACLE = regex.compile(
    r"“([^”\n]{2,600})”|\"([^\"\n]{2,600})\"|「([^」\n]{2,600})」|『([^』\n]{2,600})』"
    r"|‘([^’\n]{4,600})’|(?<!\w)'([^'\n]{4,600})'(?!\w)"
)
"""The definition of a quotation. It reads 600 characters for each mark that is never closed."""
MARKS = st.sampled_from([*"“”\"「」『』‘’''가b \n.1_", "abcd", "'abcd'", "x" * 599])


@pytest.mark.slow
@given(st.lists(MARKS, max_size=25).map("".join))
@settings(max_examples=400, deadline=None)
@example("'abcd'a'abcd'")
def test_quotations_match_the_regular_expression(text: str) -> None:
    assert lexicon.find_quotations(text) == [next(g for g in m.groups() if g) for m in ORACLE.finditer(text)]


def test_evidence_reads_a_bounded_number_of_characters_and_names(monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[str] = []
    lengths: list[int] = []
    original, original_row = lexicon.contains_korean_name, evidence._row_evidence

    def count(name: str, text: str) -> bool:
        searches.append(name)
        return original(name, text)

    def count_row(before: Any, after: Any) -> Any:
        lengths.append(sum(len(o.text) for o in (*before, *after)))
        return original_row(before, after)

    monkeypatch.setattr(evidence, "contains_korean_name", count)
    monkeypatch.setattr(evidence, "_row_evidence", count_row)
    monkeypatch.setattr(evidence, "MAX_COMPARED_CHARACTERS", 3000)
    names = [f"{a}{b}{c} 의원" for a in "김이박최정" for b in "가나다라마바사아" for c in "하후호희"]
    left = [diff.Operation("removed", ", ".join(names) + "."), diff.Operation("same", " ")]
    right = [diff.Operation("added", "아무도 없다."), diff.Operation("same", " ")]
    groups = [[left[0], right[0], left[1]] for _ in range(50)]
    assert evidence.collect_evidence(groups)
    assert len(names) > evidence.MAX_NAMES
    assert 0 < len(searches) <= evidence.MAX_NAMES * len(lengths)
    assert sum(lengths) <= 3000 + max(lengths)


# Comparing


def count_comparisons(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """Text id → number of earlier texts that the text was compared with."""
    numbers: dict[int, int] = {}
    original = pair_confirmer.PairAssessor.assess

    def count(self: Any, a: int, b: int, **kw: Any) -> Any:
        numbers[max(a, b)] = numbers.get(max(a, b), 0) + 1
        return original(self, a, b, **kw)

    monkeypatch.setattr(pair_confirmer.PairAssessor, "assess", count)
    running.scan(crawl, db)
    return numbers


def test_large_texts_are_compared_with_few_others_and_each_keeps_a_match(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_similar_pages(crawl, 9)
    monkeypatch.setattr(pair_confirmer, "MAX_COMPARED_CHARACTERS", 10)
    assert set(count_comparisons(crawl, db, monkeypatch).values()) == {1}
    with open_database(str(db)) as database:
        text_ids = {n for row in database.rows("SELECT text_a_id, text_b_id FROM matches") for n in row}
        assert text_ids == {n for (n,) in database.rows("SELECT id FROM texts")}
        assert database.value("SELECT count(*) FROM texts WHERE crowded = 1") == 7


def test_texts_of_usual_length_are_compared_with_all_candidates(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_similar_pages(crawl, 9)
    assert sorted(count_comparisons(crawl, db, monkeypatch).values()) == list(range(1, 9))


def test_texts_beyond_the_cache_are_prepared_on_demand(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_similar_pages(crawl, 6)
    running.scan(crawl, db)
    bodies: list[str] = []

    def count(body: str) -> overlap.PreparedText:
        bodies.append(body)
        return overlap.prepare_text(body)

    monkeypatch.setattr(text_cache, "prepare_text", count)
    monkeypatch.setattr(text_cache, "MAX_CACHED_CHARACTERS", 100)
    with open_writable(str(db), "test") as database:
        cache = PreparedTextCache(database)
        cache.load(range(1, 7))
        assert bodies == []
        for text_id in range(2, 7):
            cache.get(1)
            cache.get(text_id)
        assert len(bodies) == 6  # text 1 stays prepared
        monkeypatch.setattr(text_cache, "MAX_CACHED_CHARACTERS", 1_000_000)
        cache.load(range(1, 7))
        assert len(bodies) == 6 + 4


def test_boilerplate_is_not_learned_from_long_texts(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(8)
    passage = " ".join(prose(rng, 40))
    for n in range(7):
        ArticleFile(body=" ".join(prose(rng, 60)) + "\n" + passage, aid=f"{n:010}", publisher="신문").write(crawl)
    monkeypatch.setattr(boilerplate, "MAX_LEARNED_CHARACTERS", 10)
    running.scan(crawl, db)
    with open_database(str(db)) as database:
        assert store.boilerplate.list_passages(database) == []
    monkeypatch.setattr(boilerplate, "MAX_LEARNED_CHARACTERS", 1_000_000)
    running.scan(crawl, db.with_name("other.db"))
    with open_database(str(db.with_name("other.db"))) as database:
        assert len(store.boilerplate.list_passages(database)) == 1


# Search


@given(st.text(alphabet="ab가나漢 .\0", max_size=60), st.integers(1, 7))
@settings(max_examples=200, deadline=None)
def test_search_terms_do_not_depend_on_the_chunk_size(text: str, chunk_size: int) -> None:
    expected = tokenizer.tokenise_texts([text, "가나"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer, "_CHUNK_CODE_POINTS", chunk_size)
        assert tokenizer.tokenise_texts([text, "가나"]) == expected


def test_a_step_of_the_search_index_is_bounded_by_characters(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_similar_pages(crawl, 5)
    running.scan(crawl, db)
    monkeypatch.setattr("dedup.search.indexer.MAX_STEP_CHARACTERS", 10)
    steps: list[int] = []
    with open_writable(str(db), "test") as database:
        search = SearchIndexer(database)
        assert search.update(progress=steps.append).indexed == 5
        search.close()
        assert steps == [1] * 5
        assert [len(store.search.revisions_after(database, 0, 5, limit)) for limit in (1, 1e9)] == [1, 5]
        assert len(store.search.revisions(database, [1, 2, 3], 1)) == 1

"""Work for one file is bounded: by counts of characters and comparisons, never by a clock. Long work gives signs of life."""

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
from dedup.changes import PageHistory, PageState, classify_change, diff, evidence, lexicon
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
from dedup.search import SearchIndexer
from dedup.search import tokenizer as found_by
from dedup.similarity import overlap
from dedup.store import open_database, open_writable
from dedup.store.rows import FileStamp
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile, edited
from tests.builders.crawl import words as prose

OPTIONS = build_extract_options(Settings())


class Beats:
    """Counts signs of life."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self) -> None:
        self.number += 1


# Signs of life


def test_a_beat_is_heard_by_the_innermost_listener_of_its_own_thread() -> None:
    outer, inner = Beats(), Beats()
    heartbeat.beat()
    with heartbeat.listen_to_beats(outer):
        heartbeat.beat()
        with heartbeat.listen_to_beats(inner):
            heartbeat.beat()
        another = threading.Thread(target=heartbeat.beat)
        another.start()
        another.join()
        assert list(heartbeat.with_beats(range(7), 3)) == list(range(7))
    heartbeat.beat()
    assert (outer.number, inner.number) == (1 + 2, 1)


def likes(folder: Path, number: int, length: int = 120, publisher: str = "신문 {}") -> list[Path]:
    """So many pages with similar texts."""
    rng = random.Random(3)
    story = prose(rng, length)
    return [
        ArticleFile(body=" ".join(edited(rng, story, 0.02)), aid=f"{n:010}", publisher=publisher.format(n)).write(folder)
        for n in range(number)
    ]


def test_a_batch_beats_for_each_file_and_each_comparison(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    likes(crawl, 6)
    beats = Beats()
    judged: list[int] = []
    real = MatchCriteria.assess

    def counted(*args: Any, **kw: Any) -> Any:
        judged.append(beats.number)
        return real(*args, **kw)

    monkeypatch.setattr(MatchCriteria, "assess", counted)
    with heartbeat.listen_to_beats(beats):
        running.scan(crawl, db)
    assert judged[0] >= 6  # a file each, before the first comparison
    assert len(judged) >= 5
    assert all(later - sooner >= 2 for sooner, later in zip(judged, [*judged[1:], beats.number], strict=True))


def test_a_change_and_the_search_index_beat(crawl: Path, db: Path) -> None:
    likes(crawl, 3)
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


def test_the_daemon_hears_the_work_of_its_rounds(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    likes(crawl, 4)
    stop = threading.Event()
    during: list[int] = []
    real, examined = HealthReporter.beat, extract_files

    def beat(self: HealthReporter) -> None:
        during.append(1)
        real(self)

    def examining(*args: Any) -> Any:
        before = len(during)
        found = examined(*args)
        assert len(during) - before >= 4
        stop.set()
        return found

    monkeypatch.setattr(HealthReporter, "beat", beat)
    monkeypatch.setattr("dedup.pipeline.workers.extract_files", examining)
    with running.session(crawl, db) as session:
        loop.run(session, stop)
    assert stop.is_set()
    heard = len(during)
    heartbeat.beat()
    assert len(during) == heard


def test_a_process_that_examines_sends_signs_of_life_before_its_answer(crawl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = likes(crawl, 3)
    those = [CrawlFile(1, os.fsencode(crawl), b"", os.fsencode(p.name), FileStamp(0, 0, 0, 0)) for p in files]
    monkeypatch.setattr(workers, "HEARTBEAT_SECONDS", 0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    ours, theirs = socket.socketpair()
    here = Connection(ours.detach())
    here.send(OPTIONS)
    here.send(those)
    half = socket.socket(fileno=os.dup(here.fileno()))
    half.shutdown(socket.SHUT_WR)
    workers.serve(theirs.detach())
    got: list[Any] = []
    while not got or got[-1] is None:
        got.append(here.recv())
    half.close()
    here.close()
    assert got[:-1] == [None] * (len(got) - 1)
    assert len(got) > 3
    examined, records = got[-1]
    assert (examined, records) == (extract_files(those, OPTIONS), [])


def test_waiting_for_a_process_is_a_sign_of_life_only_while_that_gives_some() -> None:
    beats = Beats()
    examiners = WorkerPool(OPTIONS, 2)

    class Slow(Future[Any]):
        asked = 0

        def result(self, timeout: float | None = None) -> Any:
            self.asked += 1
            if self.asked in (2, 3):
                examiners._heartbeats += 1
            if self.asked <= 6:
                raise NotYetError
            return []

    slow = Slow()
    examiners._pending.append(([], slow))
    with heartbeat.listen_to_beats(beats):
        assert examiners.take_oldest(threading.Event()) == []
    assert (slow.asked, beats.number) == (7, 2)


# Reading

REFERENCES = st.sampled_from(["&", "&amp", "&amp;", "&#1", "&#x41;", "&#0000000000000000000000000000000000000000000000065;", "&notit",
                              "&#xD800;", "&CounterClock", ";", " ", "가", "#", "a"])  # fmt: skip


@given(st.lists(REFERENCES, max_size=30).map("".join), st.integers(1, 20))
@settings(max_examples=400, deadline=None)
def test_unescaping_block_by_block_is_unescaping(text: str, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markdown, "_BLOCK_CHARACTERS", block)
        assert markdown.unescape(text) == html.unescape(text)


def test_a_body_is_unescaped_once_for_all_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    unescaped: list[int] = []
    real = markdown.unescape

    def counted(text: str) -> str:
        unescaped.append(len(text))
        return real(text)

    monkeypatch.setattr(markdown, "unescape", counted)
    article = ArticleFile(body="&#x1F916 " * 2000, claim="0" * 32)
    reading = markdown.read_markdown(article.render().encode(), OPTIONS.read_options)
    assert reading.article is not None
    assert reading.article.check.status == "mismatched"
    assert sum(unescaped) < 3 * len(article.render())


@pytest.mark.parametrize(("rules", "verified"), [(1, True), (5, True), (15, False), (39, True)])
def test_of_very_many_possible_ends_the_first_and_the_last_are_held_against_the_claim(
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


def changed(rng: random.Random, text: str) -> str:
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(text) + 1)
        until = min(len(text), at + rng.randrange(400))
        some = "".join(rng.choices(PIECES, k=rng.randrange(60)))
        text = rng.choice((text[:at] + text[until:], text[:at] + some + text[at:], text[:at] + some + text[until:]))
    return text


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of some thousand characters are long ones."""
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
    one, other = (diff.clean(changed(rng, base)) for _ in range(2))
    found = list(stretches.find_stretches(one, other))
    for side, text in enumerate((one, other)):
        assert "".join(stretch[side] + stretch[2] for stretch in found) == text
        graphemes = {m.start() for m in regex.finditer(r"\X", text)} | {len(text)}
        at = 0
        for stretch in found:
            for part in (stretch[side], stretch[2]):
                at += len(part)
                assert at in graphemes
                assert not regex.search(r"\d[.,]?\Z", text[:at]) or not regex.match(r"[.,]?\d", text[at:])
    operations = diff.compare(one, other)
    assert diff.text_before(operations) == one
    assert diff.text_after(operations) == other


@pytest.mark.usefixtures("_short")
def test_stretches_find_most_of_what_two_long_texts_have_in_common() -> None:
    rng = random.Random(5)
    base = " ".join(prose(rng, 3000))
    other = "Begin. " + base[:5000] + "something else here " + base[5000:9000] + base[9100:] + " End."
    same = sum(len(stretch[2]) for stretch in stretches.find_stretches(base, other))
    assert same > 0.9 * len(base)


def test_of_long_texts_only_what_differs_is_split_into_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    split: list[int] = []
    real = diff.split_sentences.__globals__["_split"]

    def counted(text: str) -> list[str]:
        split.append(len(text))
        found: list[str] = real(text)
        return found

    monkeypatch.setitem(diff.split_sentences.__globals__, "_split", counted)
    rng = random.Random(6)
    body = "\n".join(rng.choices("abcdefghijklmnop", k=150_000))
    body = body[:200_000] + "\nThe price is 300 dollars.\n" + body[200_001:]
    found = classify_change(PageState("t", body), PageState("t", body.replace("300", "900")), PageHistory(), build_change_rules(Settings()))
    assert [(e.kind, e.before, e.after) for e in found.evidence][:1] == [("amount", "300 dollars", "900 dollars")] or (
        "300" in found.evidence[0].before and "900" in found.evidence[0].after
    )
    assert found.severity == "major"
    assert sum(split) < 40_000


def test_a_long_text_is_split_at_its_beginning_and_its_end_alone() -> None:
    text = "Some words here. " * 40_000
    found = diff.split_sentences(text)
    assert "".join(found) == text
    assert len(found) <= diff.MAX_SPLIT_CHARACTERS
    assert max(map(len, found)) > len(text) - 2 * diff.MAX_SPLIT_CHARACTERS
    assert found[0] == found[-1] == "Some words here. "


ORACLE = regex.compile(
    r"“([^”\n]{2,600})”|\"([^\"\n]{2,600})\"|「([^」\n]{2,600})」|『([^』\n]{2,600})』"
    r"|‘([^’\n]{4,600})’|(?<!\w)'([^'\n]{4,600})'(?!\w)"
)
"""What a quotation is. It looks at 600 characters for every mark that is never closed."""
MARKS = st.sampled_from([*"“”\"「」『』‘’''가b \n.1_", "abcd", "'abcd'", "x" * 599])


@given(st.lists(MARKS, max_size=25).map("".join))
@settings(max_examples=400, deadline=None)
@example("'abcd'a'abcd'")
def test_quotations_are_those_of_the_expression(text: str) -> None:
    assert lexicon.find_quotations(text) == [next(g for g in m.groups() if g) for m in ORACLE.finditer(text)]


def test_evidence_reads_so_many_characters_and_looks_for_so_many_names(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_for: list[str] = []
    read: list[int] = []
    real, row = lexicon.contains_korean_name, evidence._row_evidence

    def counted(name: str, text: str) -> bool:
        looked_for.append(name)
        return real(name, text)

    def counted_row(one: Any, other: Any) -> Any:
        read.append(sum(len(o.text) for o in (*one, *other)))
        return row(one, other)

    monkeypatch.setattr(evidence, "contains_korean_name", counted)
    monkeypatch.setattr(evidence, "_row_evidence", counted_row)
    monkeypatch.setattr(evidence, "MAX_COMPARED_CHARACTERS", 3000)
    names = [f"{a}{b}{c} 의원" for a in "김이박최정" for b in "가나다라마바사아" for c in "하후호희"]
    left = [diff.Operation("removed", ", ".join(names) + "."), diff.Operation("same", " ")]
    right = [diff.Operation("added", "아무도 없다."), diff.Operation("same", " ")]
    groups = [[left[0], right[0], left[1]] for _ in range(50)]
    assert evidence.collect_evidence(groups)
    assert len(names) > evidence.MAX_NAMES
    assert 0 < len(looked_for) <= evidence.MAX_NAMES * len(read)
    assert sum(read) <= 3000 + max(read)


# Comparing


def compared(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """Text → with how many earlier ones it was compared."""
    numbers: dict[int, int] = {}
    real = pair_confirmer.PairAssessor.assess

    def counted(self: Any, a: int, b: int, **kw: Any) -> Any:
        numbers[max(a, b)] = numbers.get(max(a, b), 0) + 1
        return real(self, a, b, **kw)

    monkeypatch.setattr(pair_confirmer.PairAssessor, "assess", counted)
    running.scan(crawl, db)
    return numbers


def test_large_texts_are_compared_with_few_others_and_each_keeps_a_match(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    likes(crawl, 9)
    monkeypatch.setattr(pair_confirmer, "MAX_COMPARED_CHARACTERS", 10)
    assert set(compared(crawl, db, monkeypatch).values()) == {1}
    with open_database(str(db)) as database:
        matched = {n for row in database.rows("SELECT text_a_id, text_b_id FROM matches") for n in row}
        assert matched == {n for (n,) in database.rows("SELECT id FROM texts")}
        assert database.value("SELECT count(*) FROM texts WHERE crowded = 1") == 7


def test_usual_texts_are_compared_with_all_their_candidates(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    likes(crawl, 9)
    assert sorted(compared(crawl, db, monkeypatch).values()) == list(range(1, 9))


def test_texts_that_do_not_fit_are_prepared_when_they_are_asked_for(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    likes(crawl, 6)
    running.scan(crawl, db)
    prepared: list[str] = []

    def counted(body: str) -> overlap.PreparedText:
        prepared.append(body)
        return overlap.prepare_text(body)

    monkeypatch.setattr(text_cache, "prepare_text", counted)
    monkeypatch.setattr(text_cache, "MAX_CACHED_CHARACTERS", 100)
    with open_writable(str(db), "test") as database:
        held = PreparedTextCache(database)
        held.load(range(1, 7))
        assert prepared == []
        for other in range(2, 7):
            held.get(1)
            held.get(other)
        assert len(prepared) == 6  # the one that is compared with the others is not prepared again
        monkeypatch.setattr(text_cache, "MAX_CACHED_CHARACTERS", 1_000_000)
        held.load(range(1, 7))
        assert len(prepared) == 6 + 4


def test_boilerplate_is_not_learned_from_long_texts(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(8)
    frame = " ".join(prose(rng, 40))
    for n in range(7):
        ArticleFile(body=" ".join(prose(rng, 60)) + "\n" + frame, aid=f"{n:010}", publisher="신문").write(crawl)
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
def test_what_a_text_is_found_by_does_not_depend_on_blocks(text: str, block: int) -> None:
    whole = found_by.tokenise_texts([text, "가나"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(found_by, "_CHUNK_CODE_POINTS", block)
        assert found_by.tokenise_texts([text, "가나"]) == whole


def test_a_step_of_the_search_index_is_bounded_by_characters(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    likes(crawl, 5)
    running.scan(crawl, db)
    monkeypatch.setattr("dedup.search.indexer.MAX_STEP_CHARACTERS", 10)
    entered: list[int] = []
    with open_writable(str(db), "test") as database:
        search = SearchIndexer(database)
        assert search.update(progress=entered.append).indexed == 5
        search.close()
        assert entered == [1] * 5
        assert [len(store.search.revisions_after(database, 0, 5, most)) for most in (1, 1e9)] == [1, 5]
        assert len(store.search.revisions(database, [1, 2, 3], 1)) == 1

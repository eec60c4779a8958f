"""Full-text search: what is found, what is never found, and what becomes of its index."""

from __future__ import annotations

import random
import sqlite3
import unicodedata
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup.pipeline.scanner import Scan
from dedup.search import (
    IndexCoverage,
    IndexProgress,
    SearchIndexer,
    highlight,
    index_coverage,
    pieces_to_text,
    rebuild,
    search_revisions,
    searcher,
    tokenizer,
)
from dedup.search.query import parse_query
from dedup.store import open_database, open_writable
from dedup.text.normalise import fold
from dedup.text.publishers import Publisher, PublisherResolver
from tests.builders import scans as running
from tests.builders.command import run
from tests.builders.crawl import words as invented
from tests.builders.oracle import assert_holds
from tests.builders.search import NOBODY, filled, numbered, scanned, search_page, titles

# What a text is found by


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("예산안은", "예산 산안 안은"),
        ("예", ""),
        ("예산 안", "예산"),
        ("KBS가 말했다", "kbs 말했 했다"),
        ("3월에", "3 월에"),
        ("제3의", "3"),
        ("美 금리", "美 금리"),
        ("美금리", "美금 美 금리"),
        ("2.5%, “e.g.”", "2 5 e g"),
        ("École STRASSE straße", "école strasse strasse"),
        (unicodedata.normalize("NFD", "예산 École"), "예산 école"),
        ("ニュース", "ニュ ュー ース"),
        ("\0\ue000a\x1f", "a"),
        ("", ""),
    ],
)
def test_a_text_is_found_by_pairs_of_its_hangul_and_by_whole_words(text: str, expected: str) -> None:
    assert tokenizer.tokenise(text) == expected.split()


TEXTS = st.text(st.one_of(st.sampled_from("가나다각 a1美ㄱ-'\"*\0\u0301é日ー\ue000"), st.characters()), max_size=40)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=6))
def test_texts_are_split_together_as_each_alone(texts: list[str]) -> None:
    assert [one.split() for one in tokenizer.tokenise_texts(texts)] == [tokenizer.tokenise(text) for text in texts]
    assert [len(tokenizer.blank_separators(fold(text))) for text in texts] == [len(fold(text)) for text in texts]


@settings(deadline=None)
@given(TEXTS, st.integers(0, 40), st.integers(1, 20))
@example("예산안이 의결됐다", 1, 3)
def test_what_stands_in_a_text_is_asked_of_the_index_by_words_that_the_text_has(text: str, begin: int, number: int) -> None:
    """For any piece of any text that its own pattern finds in it: nothing is looked for that would leave the text out."""
    piece = tokenizer.blank_separators(fold(text))[begin : begin + number].strip()
    for term in parse_query(f'"{piece}"').terms:
        if term.pattern.search(tokenizer.blank_separators(fold(text))):
            assert set(term.words) <= set(tokenizer.tokenise(text))


# What is found

BODIES = (
    "새솔시 의회가 예산안을 의결했다. 시장은 환영했다.",
    "The Council passed the budget. Opinion pieces followed; e.g. this one.",
    "예산 산안 의결: 낱말이 따로 있다.",
    "美 금리 3월에 오른다고 KBS가 전했다. Budgetary talks.",
    unicodedata.normalize("NFD", "군수가 다리를 놓았다. Café École."),
)


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("five")
    (folder / "crawl").mkdir()
    made = [numbered(n, body, title=f"글 {n}", publisher=("한빛일보", "The Courier")[n % 2]) for n, body in enumerate(BODIES)]
    scanned(folder / "crawl", folder / "dedup.db", *made)
    return folder / "dedup.db"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("예산", [0, 2]),
        ("예산안", [0]),  # 2 has both pairs, not behind one another
        ("산안", [0, 2]),
        ("의결했", [0]),
        ("예산 의결", [0, 2]),
        ('"예산안을 의결"', [0]),
        ('"예산 의결"', []),
        ('"시장은 환영', [0]),
        ("council", [1]),
        ("COUNCIL BUDGET", [1]),
        ("budget", [1]),
        ("budget*", [1, 3]),
        ('"passed the budget"', [1]),
        ('"the passed budget"', []),
        ("e.g.", [1]),
        ("예산 -의결", []),
        ("의결 -예산안", [2]),
        ("美", [3]),
        ("3월", [3]),
        ("kbs", [3]),
        ("군수", [4]),
        (unicodedata.normalize("NFD", "다리를"), [4]),
        ("café", [4]),
        (unicodedata.normalize("NFD", "ÉCOLE"), [4]),
        ("publisher:한빛", [0, 2, 4]),
        ("publisher:courier 금리", [3]),
        ("-publisher:한빛 글", None),
        ("url:0000000003", [3]),
        ("url:naver.com/mnews", [0, 1, 2, 3, 4]),
        ("title:예산", []),
        ('title:"글 2"', [2]),
        ("한빛일보", [0, 2, 4]),
        ("없는말", []),
    ],
)
def test_a_query_finds_these_and_no_others(five: Path, asked: str, expected: list[int] | None) -> None:
    if expected is None:
        assert search_page(five, asked).problem
    else:
        assert titles(five, asked) == [f"글 {n}" for n in expected]


def test_every_two_syllables_of_a_text_find_it(crawl: Path, db: Path) -> None:
    """And whatever is found has them: against a plain look into every text."""
    rng = random.Random(7)
    made = [numbered(n, " ".join(invented(rng, 30))) for n in range(40)]
    scanned(crawl, db, *made)
    runs = sorted({run for m in made for run in m.body.split()})
    for run_ in rng.sample(runs, 60):
        begin = rng.randrange(len(run_) - 1)
        piece = run_[begin : begin + rng.randint(2, 4)]
        assert titles(db, piece) == sorted(m.title for m in made if piece in m.body), piece


HOUSE = PublisherResolver([Publisher("새물결", ("한빛일보", "Hanbit"), ("901",), ("hanbit.example",))])


@pytest.mark.parametrize("asked", ["새물결", "한빛일보", "한빛", "hanbit"])
def test_a_publisher_is_found_under_every_name_of_its_house(crawl: Path, db: Path, asked: str) -> None:
    """Whatever it printed: one of the names, or what is known by its id or its host."""
    named = numbered(1, "본문이다", title="이름", oid="905", publisher="Hanbit")
    by_id = numbered(2, "본문이다", title="번호", oid="901", publisher="아무개")
    by_host = numbered(3, "본문이다", title="주소", oid="", publisher="", url="https://news.hanbit.example/3")
    scanned(crawl, db, named, by_id, by_host, numbered(4, "본문이다", title="남", oid="902", publisher="딴집"))
    assert titles(db, f"publisher:{asked}", HOUSE) == ["번호", "이름", "주소"]
    assert titles(db, f"본문이다 -publisher:{asked}", HOUSE) == ["남"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("", "no letter or digit"),
        ('"" - * ()', "no letter or digit"),
        ("월", "a single syllable"),
        ("예산 ab*", "at least 3 letters"),
        ("-예산", "only excludes"),
        ("가" * 1001, "more than 1,000 characters"),
        (" ".join(f"가나{n}" for n in range(33)), "more than 32"),
    ],
)
def test_what_cannot_be_looked_for_is_told_why(five: Path, asked: str, why: str) -> None:
    found = search_page(five, asked)
    assert why in found.problem
    assert found.hits == ()


HOSTILE = [
    "NEAR(",
    '"',
    '""""',
    "a AND",
    "OR",
    "NOT x",
    "^a",
    "{text} : a",
    "text:예산",
    "a* b*",
    "예산*",
    "*",
    ":",
    "title:",
    '-"',
    "\x00예산\x00",
    "'; DROP TABLE words; --",
    "\ue000예산",
    "\udc80예산",
    "예산\u202e",
    "((((",
    "rowid:1",
    "words",
    "\xad",
    "١٢ ٣٤",
    "-" * 900,
    "a" * 10_000,
    '"' + "예산 " * 200,
]


@pytest.mark.parametrize("asked", HOSTILE)
def test_no_query_raises(five: Path, asked: str) -> None:
    found = search_page(five, asked)
    assert "cannot be read" not in found.problem


@settings(deadline=None)
@given(st.text(st.one_of(st.sampled_from("가나다 ab*\"'-:()^{}+\0title:"), st.characters()), max_size=60))
def test_no_query_at_all_raises(five: Path, asked: str) -> None:
    assert "cannot be read" not in search_page(five, asked).problem


# Pages of results


def test_results_come_newest_first_in_pages_that_join(crawl: Path, db: Path) -> None:
    scanned(crawl, db, *(numbered(n, f"예산 이야기 {n}") for n in range(25)))
    seen: list[str] = []
    before, pages = None, 0
    while True:
        found = search_page(db, "예산", before, 10)
        seen += [hit.url for hit in found.hits]
        pages += 1
        before = found.next_cursor
        if before is None:
            break
    with closing(sqlite3.connect(db)) as asked:
        by_key = [u for (u,) in asked.execute("SELECT p.url FROM revisions r JOIN pages p ON p.id = r.page_id ORDER BY r.id DESC")]
    assert (seen, pages) == (by_key, 3)


def test_a_page_that_is_full_and_the_last_has_no_next_one(crawl: Path, db: Path) -> None:
    scanned(crawl, db, *(numbered(n, f"예산 이야기 {n}") for n in range(10)))
    assert search_page(db, "예산", limit=10).next_cursor is None


@pytest.mark.parametrize("before", ["", "x", "AAAA", "9" * 400, "가", "__________8"])
def test_a_place_that_is_none_is_told(five: Path, before: str) -> None:
    assert "not a valid cursor" in search_page(five, "예산", before).problem


def test_a_page_that_looked_at_enough_goes_on_on_the_next(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that the index gives and that are not meant cost time; nothing is left out for it."""
    monkeypatch.setattr(searcher, "_CHUNK_ROWS", 4)
    scanned(crawl, db, numbered(0, "예산안 하나"), *(numbered(n, f"예산 산안 {n}") for n in range(1, 30)))
    before, pages, hits = None, 0, 0
    while True:
        with open_database(str(db)) as database:
            found = search_revisions(database, NOBODY, "예산안", before, 1, 7)
        pages, hits, before = pages + 1, hits + len(found.hits), found.next_cursor
        if before is None:
            break
    assert hits == 1
    assert pages > 3


def test_no_hit_is_lost_between_two_chunks_of_candidates(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fifth candidate matches: the first one after each chunk of four."""
    monkeypatch.setattr(searcher, "_CHUNK_ROWS", 4)
    scanned(crawl, db, *(numbered(n, f"{'예산안' if n % 5 == 0 else '예산 산안'} {n}") for n in range(20)))
    assert len(search_page(db, "예산안", limit=3).hits) == 3
    assert len(search_page(db, "예산안").hits) == 4


# What is shown


def hit_texts(pieces: highlight.HighlightedText | None) -> list[str]:
    assert pieces is not None
    return [text for text, hit in pieces if hit]


def test_a_hit_shows_its_page_its_last_crawl_and_what_stands_around_it(crawl: Path, db: Path) -> None:
    first = numbered(1, "앞 " * 200 + "예산안을 의결했다. " + "뒤 " * 200, title="예산 소식", crawled_at="2026-03-02 00:30:00")
    scanned(crawl, db, first)
    numbered(1, first.body, title="예산 소식", crawled_at="2026-03-03 00:30:00").write(crawl, "again.md")
    running.scan(crawl, db)
    (hit,) = search_page(db, "예산 의결").hits
    assert hit.url == first.address
    assert hit.crawled_at == "2026-03-03T00:30:00+00:00"
    assert hit.current
    assert hit.publisher == "한빛일보"
    assert hit.title == (("예산", True), (" 소식", False))
    assert hit.snippet is not None
    assert hit_texts(hit.snippet) == ["예산", "의결"]
    assert hit.snippet[0][0] == hit.snippet[-1][0][-1] == highlight.ELLIPSIS
    assert len(pieces_to_text(hit.snippet)) < 300


def test_an_earlier_text_is_found_and_is_told_not_to_be_what_the_page_shows(crawl: Path, db: Path) -> None:
    scanned(crawl, db, numbered(1, "예산은 100억이다", crawled_at="2026-03-02 00:30:00"))
    numbered(1, "예산은 200억이다", crawled_at="2026-03-03 00:30:00").write(crawl, "later.md")
    running.scan(crawl, db)
    filled(db)
    assert [(hit_texts(hit.snippet), hit.current) for hit in search_page(db, "예산은").hits] == [(["예산은"], True), (["예산은"], False)]
    assert [hit.current for hit in search_page(db, "100억").hits] == [False]


@settings(deadline=None)
@given(TEXTS, TEXTS)
@example("e\u0301e\u0301 가각", "가각")
@example("👩‍👧 예산 " * 60, "예산")
@example("ßß예산ß", "예산")
def test_a_snippet_is_a_stretch_of_the_text_and_its_hits_are_whole_characters(text: str, asked: str) -> None:
    terms = parse_query(asked).terms
    shown = " ".join(unicodedata.normalize("NFC", text).split())
    pieces = highlight.snippet(text, terms)
    whole = highlight.highlight(text, terms)
    assert pieces_to_text(whole) == shown
    assert pieces_to_text(pieces).strip(highlight.ELLIPSIS) in shown
    edges = {0, *(m.end() for m in highlight._GRAPHEMES.finditer(shown))}
    at = 0
    for piece, _ in whole:
        at += len(piece)
        assert at in edges


# The index follows the database


def test_the_index_is_filled_in_steps_and_search_tells_how_far_it_reaches(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.search.indexer.MAX_STEP_REVISIONS", 4)
    for n in range(10):
        numbered(n, f"예산 이야기 {n}").write(crawl)
    running.scan(crawl, db)
    asked = iter([False, False, True])
    with open_writable(str(db), "test") as database:
        search = SearchIndexer(database)
        assert search.update(should_stop=lambda: next(asked)) == IndexProgress(8, 2)
        search.close()
        assert index_coverage(database) == IndexCoverage(8, 10)
    assert search_page(db, "예산").coverage == IndexCoverage(8, 10)
    assert len(search_page(db, "예산").hits) == 8
    assert filled(db) == IndexProgress(2, 0)
    assert filled(db) == IndexProgress(0, 0)
    assert len(search_page(db, "예산").hits) == 10


def test_no_time_enters_nothing(crawl: Path, db: Path) -> None:
    numbered(1, "예산 이야기").write(crawl)
    running.scan(crawl, db)
    assert filled(db, 0.0) == IndexProgress(0, 1)


def overwritten(crawl: Path, db: Path) -> None:
    """The last revision goes, a crawl being read again, this time whole: as a state that the page had before. Its key is another
    page's then."""
    whole = numbered(1, "다리를 놓았다는 소식", crawled_at="2026-03-02 00:30:00")
    again = numbered(1, whole.body, crawled_at="2026-03-03 00:30:00")
    whole.write(crawl)
    replace(again, body="철거된 육교 이야기", claim=again.digest).write(crawl, "again.md")
    scanned(crawl, db)
    assert titles(db, "육교") == ["제목1"]
    again.write(crawl, "again.md")
    running.scan(crawl, db)
    numbered(2, "항구에서 온 소식").write(crawl)
    running.scan(crawl, db)
    with closing(sqlite3.connect(db)) as asked:
        assert asked.execute("SELECT count(*), max(id) FROM revisions").fetchone() == (2, 2), "no key was given out again"


def test_a_key_that_another_text_has_by_now_finds_that_and_nothing_of_the_one_before(crawl: Path, db: Path) -> None:
    overwritten(crawl, db)
    assert titles(db, "육교") == []
    filled(db)
    assert titles(db, "육교") == []
    assert titles(db, "항구") == ["제목2"]
    assert titles(db, "소식") == ["제목1", "제목2"]
    assert search_page(db, "소식").coverage == IndexCoverage(2, 2)
    assert_holds(crawl, db)


def test_a_process_that_goes_on_notices_that_a_key_was_given_out_again(crawl: Path, db: Path) -> None:
    """It has no reason to hold everything against the database, as a start has that finds another text under the last key."""
    whole = numbered(1, "다리를 놓았다는 소식", crawled_at="2026-03-02 00:30:00")
    again = replace(whole, crawled_at="2026-03-03 00:30:00")
    whole.write(crawl)
    replace(again, body="철거된 육교 이야기", claim=again.digest).write(crawl, "again.md")
    with running.session(crawl, db) as opened:
        search = SearchIndexer(opened.database)
        for article, name in ((again, "again.md"), (numbered(2, "항구에서 온 소식"), None)):
            Scan(opened).run()
            search.update()
            article.write(crawl, name)
        Scan(opened).run()
        search.update()
        search.close()
    assert titles(db, "항구") == ["제목2"]
    assert titles(db, "육교") == []


def test_a_text_whose_publisher_is_told_otherwise_is_found_by_the_new_name(crawl: Path, db: Path) -> None:
    scanned(crawl, db, numbered(1, "예산안 이야기", publisher="옛이름", crawled_at="2026-03-02 00:30:00"))
    numbered(1, "예산안 이야기", publisher="새이름", crawled_at="2026-03-03 00:30:00").write(crawl, "later.md")
    running.scan(crawl, db)
    filled(db)
    assert titles(db, "publisher:새이름") == ["제목1"]
    assert titles(db, "publisher:옛이름") == []


def test_the_same_crawl_read_again_with_another_publisher_is_found_by_that(crawl: Path, db: Path) -> None:
    scanned(crawl, db, numbered(1, "예산안 이야기", publisher="옛이름"))
    numbered(1, "예산안 이야기", publisher="새이름").write(crawl)
    running.scan(crawl, db)
    filled(db)
    assert titles(db, "publisher:새이름") == ["제목1"]


def test_a_text_that_no_counted_crawl_shows_is_not_found(crawl: Path, db: Path) -> None:
    scanned(crawl, db, numbered(1, "예산안 이야기"))
    with closing(sqlite3.connect(db, isolation_level=None)) as asked:
        asked.execute("UPDATE sightings SET status = 'overruled'")
    assert titles(db, "예산안") == []


def test_a_pruned_text_is_found_by_its_title_alone_and_wholly_when_a_file_shows_it_again(tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "crawl").mkdir()
    (folder / "config.toml").write_text(
        '[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n[history]\nkeep = ["last"]\ndays = 0\n[database]\npath = "dedup.db"\n'
    )
    db = folder / "dedup.db"
    old = numbered(1, "육교를 철거했다는 이야기", crawled_at="2026-03-02 00:30:00")
    path = old.write(folder / "crawl")
    numbered(1, "다리를 놓았다는 이야기", crawled_at="2026-03-03 00:30:00").write(folder / "crawl", "later.md")
    assert run(folder, "scan").code == 0
    assert titles(db, "육교") == ["제목1"]
    path.unlink()
    assert run(folder, "scan").code == 0
    assert run(folder, "prune").code == 0
    assert titles(db, "육교") == []
    found = [hit for hit in search_page(db, "title:제목1").hits if hit.snippet is None]
    assert [hit.pruned_at is not None for hit in found] == [True]
    with open_writable(str(db), "test") as database:
        rebuild(database)
    assert titles(db, "육교") == []
    old.write(folder / "crawl")
    assert run(folder, "scan").code == 0
    assert titles(db, "육교") == ["제목1"]
    assert_holds(folder / "crawl", db)

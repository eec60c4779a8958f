"""Full-text search: what is found, what is never found, and how the index follows the database."""

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
from tests.builders.search import NO_ALIASES, numbered_article, scan_articles, search_page, titles, update_index

# Search terms


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
def test_search_terms_are_pairs_of_hangul_and_whole_words(text: str, expected: str) -> None:
    assert tokenizer.tokenise(text) == expected.split()


TEXTS = st.text(st.one_of(st.sampled_from("가나다각 a1美ㄱ-'\"*\0\u0301é日ー\ue000"), st.characters()), max_size=40)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=6))
def test_texts_give_the_same_terms_alone_and_in_a_batch(texts: list[str]) -> None:
    assert [terms.split() for terms in tokenizer.tokenise_texts(texts)] == [tokenizer.tokenise(text) for text in texts]
    assert [len(tokenizer.blank_separators(fold(text))) for text in texts] == [len(fold(text)) for text in texts]


@settings(deadline=None)
@given(TEXTS, st.integers(0, 40), st.integers(1, 20))
@example("예산안이 의결됐다", 1, 3)
def test_a_query_uses_only_terms_that_matching_texts_have(text: str, begin: int, number: int) -> None:
    """For any piece of any text that the pattern of the piece finds: no term of the query excludes the text."""
    piece = tokenizer.blank_separators(fold(text))[begin : begin + number].strip()
    for term in parse_query(f'"{piece}"').terms:
        if term.pattern.search(tokenizer.blank_separators(fold(text))):
            assert set(term.words) <= set(tokenizer.tokenise(text))


# Matches

BODIES = (
    "새솔시 의회가 예산안을 의결했다. 시장은 환영했다.",
    "The Council passed the budget. Opinion pieces followed; e.g. this one.",
    "예산 산안 의결: 낱말이 따로 있다.",
    "美 금리 3월에 오른다고 KBS가 전했다. Budgetary talks.",
    unicodedata.normalize("NFD", "군수가 다리를 놓았다. Café École."),
)


@pytest.fixture(scope="module")
def five_articles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("five")
    (folder / "crawl").mkdir()
    articles = [numbered_article(n, body, title=f"글 {n}", publisher=("한빛일보", "The Courier")[n % 2]) for n, body in enumerate(BODIES)]
    scan_articles(folder / "crawl", folder / "dedup.db", *articles)
    return folder / "dedup.db"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("예산", [0, 2]),
        ("예산안", [0]),  # 2 has both pairs, but not in sequence
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
def test_a_query_finds_exactly_the_matching_articles(five_articles: Path, query: str, expected: list[int] | None) -> None:
    if expected is None:
        assert search_page(five_articles, query).problem
    else:
        assert titles(five_articles, query) == [f"글 {n}" for n in expected]


def test_any_two_syllables_of_a_text_find_it(crawl: Path, db: Path) -> None:
    """And every result contains them, compared with a search in every text."""
    rng = random.Random(7)
    articles = [numbered_article(n, " ".join(invented(rng, 30))) for n in range(40)]
    scan_articles(crawl, db, *articles)
    words_ = sorted({run for m in articles for run in m.body.split()})
    for word in rng.sample(words_, 60):
        begin = rng.randrange(len(word) - 1)
        piece = word[begin : begin + rng.randint(2, 4)]
        assert titles(db, piece) == sorted(m.title for m in articles if piece in m.body), piece


PUBLISHERS = PublisherResolver([Publisher("새물결", ("한빛일보", "Hanbit"), ("901",), ("hanbit.example",))])


@pytest.mark.parametrize("name", ["새물결", "한빛일보", "한빛", "hanbit"])
def test_a_publisher_is_found_by_each_of_its_names(crawl: Path, db: Path, name: str) -> None:
    """The articles print one of the names, or are known by id or host."""
    by_name = numbered_article(1, "본문이다", title="이름", oid="905", publisher="Hanbit")
    by_id = numbered_article(2, "본문이다", title="번호", oid="901", publisher="아무개")
    by_host = numbered_article(3, "본문이다", title="주소", oid="", publisher="", url="https://news.hanbit.example/3")
    scan_articles(crawl, db, by_name, by_id, by_host, numbered_article(4, "본문이다", title="남", oid="902", publisher="딴집"))
    assert titles(db, f"publisher:{name}", PUBLISHERS) == ["번호", "이름", "주소"]
    assert titles(db, f"본문이다 -publisher:{name}", PUBLISHERS) == ["남"]


@pytest.mark.parametrize(
    ("query", "reason"),
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
def test_a_query_that_cannot_be_searched_is_reported_with_the_reason(five_articles: Path, query: str, reason: str) -> None:
    result = search_page(five_articles, query)
    assert reason in result.problem
    assert result.hits == ()


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


@pytest.mark.parametrize("query", HOSTILE)
def test_no_hostile_query_raises(five_articles: Path, query: str) -> None:
    result = search_page(five_articles, query)
    assert "cannot be read" not in result.problem


@pytest.mark.slow
@settings(deadline=None)
@given(st.text(st.one_of(st.sampled_from("가나다 ab*\"'-:()^{}+\0title:"), st.characters()), max_size=60))
def test_no_generated_query_raises(five_articles: Path, query: str) -> None:
    assert "cannot be read" not in search_page(five_articles, query).problem


# Pages of results


def test_results_are_newest_first_and_pages_have_no_gaps(crawl: Path, db: Path) -> None:
    scan_articles(crawl, db, *(numbered_article(n, f"예산 이야기 {n}") for n in range(25)))
    result_urls: list[str] = []
    before, pages = None, 0
    while True:
        results = search_page(db, "예산", before, 10)
        result_urls += [hit.url for hit in results.hits]
        pages += 1
        before = results.next_cursor
        if before is None:
            break
    with closing(sqlite3.connect(db)) as connection:
        expected_urls = [
            u for (u,) in connection.execute("SELECT p.url FROM revisions r JOIN pages p ON p.id = r.page_id ORDER BY r.id DESC")
        ]
    assert (result_urls, pages) == (expected_urls, 3)


def test_a_full_last_page_has_no_next_page(crawl: Path, db: Path) -> None:
    scan_articles(crawl, db, *(numbered_article(n, f"예산 이야기 {n}") for n in range(10)))
    assert search_page(db, "예산", limit=10).next_cursor is None


@pytest.mark.parametrize("before", ["", "x", "AAAA", "9" * 400, "가", "__________8"])
def test_an_invalid_cursor_is_reported(five_articles: Path, before: str) -> None:
    assert "not a valid cursor" in search_page(five_articles, "예산", before).problem


def test_a_page_ends_at_its_row_limit_and_the_next_page_continues(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the index that do not match cost time. They end a page early, and no match is lost."""
    monkeypatch.setattr(searcher, "_CHUNK_ROWS", 4)
    scan_articles(crawl, db, numbered_article(0, "예산안 하나"), *(numbered_article(n, f"예산 산안 {n}") for n in range(1, 30)))
    before, pages, hits = None, 0, 0
    while True:
        with open_database(str(db)) as database:
            results = search_revisions(database, NO_ALIASES, "예산안", before, 1, 7)
        pages, hits, before = pages + 1, hits + len(results.hits), results.next_cursor
        if before is None:
            break
    assert hits == 1
    assert pages > 3


def test_no_match_is_lost_between_two_chunks_of_candidates(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fifth candidate matches: the first one after each chunk of four."""
    monkeypatch.setattr(searcher, "_CHUNK_ROWS", 4)
    scan_articles(crawl, db, *(numbered_article(n, f"{'예산안' if n % 5 == 0 else '예산 산안'} {n}") for n in range(20)))
    assert len(search_page(db, "예산안", limit=3).hits) == 3
    assert len(search_page(db, "예산안").hits) == 4


# Display


def hit_texts(pieces: highlight.HighlightedText | None) -> list[str]:
    assert pieces is not None
    return [text for text, hit in pieces if hit]


def test_a_hit_has_its_page_its_last_crawl_and_a_snippet(crawl: Path, db: Path) -> None:
    first = numbered_article(1, "앞 " * 200 + "예산안을 의결했다. " + "뒤 " * 200, title="예산 소식", crawled_at="2026-03-02 00:30:00")
    scan_articles(crawl, db, first)
    numbered_article(1, first.body, title="예산 소식", crawled_at="2026-03-03 00:30:00").write(crawl, "again.md")
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


def test_an_earlier_revision_is_found_and_marked_as_not_current(crawl: Path, db: Path) -> None:
    scan_articles(crawl, db, numbered_article(1, "예산은 100억이다", crawled_at="2026-03-02 00:30:00"))
    numbered_article(1, "예산은 200억이다", crawled_at="2026-03-03 00:30:00").write(crawl, "later.md")
    running.scan(crawl, db)
    update_index(db)
    assert [(hit_texts(hit.snippet), hit.current) for hit in search_page(db, "예산은").hits] == [(["예산은"], True), (["예산은"], False)]
    assert [hit.current for hit in search_page(db, "100억").hits] == [False]


@settings(deadline=None)
@given(TEXTS, TEXTS)
@example("e\u0301e\u0301 가각", "가각")
@example("👩‍👧 예산 " * 60, "예산")
@example("ßß예산ß", "예산")
def test_a_snippet_is_part_of_the_text_and_splits_no_character(text: str, query: str) -> None:
    terms = parse_query(query).terms
    displayed = " ".join(unicodedata.normalize("NFC", text).split())
    pieces = highlight.snippet(text, terms)
    highlighted = highlight.highlight(text, terms)
    assert pieces_to_text(highlighted) == displayed
    assert pieces_to_text(pieces).strip(highlight.ELLIPSIS) in displayed
    edges = {0, *(m.end() for m in highlight._GRAPHEMES.finditer(displayed))}
    at = 0
    for piece, _ in highlighted:
        at += len(piece)
        assert at in edges


# The index follows the database


def test_the_index_is_filled_in_steps_and_search_reports_its_coverage(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.search.indexer.MAX_STEP_REVISIONS", 4)
    for n in range(10):
        numbered_article(n, f"예산 이야기 {n}").write(crawl)
    running.scan(crawl, db)
    stop_answers = iter([False, False, True])
    with open_writable(str(db), "test") as database:
        search = SearchIndexer(database)
        assert search.update(should_stop=lambda: next(stop_answers)) == IndexProgress(8, 2)
        search.close()
        assert index_coverage(database) == IndexCoverage(8, 10)
    assert search_page(db, "예산").coverage == IndexCoverage(8, 10)
    assert len(search_page(db, "예산").hits) == 8
    assert update_index(db) == IndexProgress(2, 0)
    assert update_index(db) == IndexProgress(0, 0)
    assert len(search_page(db, "예산").hits) == 10


def test_an_update_without_time_indexes_nothing(crawl: Path, db: Path) -> None:
    numbered_article(1, "예산 이야기").write(crawl)
    running.scan(crawl, db)
    assert update_index(db, 0.0) == IndexProgress(0, 1)


def reuse_a_revision_id(crawl: Path, db: Path) -> None:
    """The file of the last revision is read again with an earlier state of the page.

    The revision is deleted, and another page gets its id.
    """
    original = numbered_article(1, "다리를 놓았다는 소식", crawled_at="2026-03-02 00:30:00")
    reread = numbered_article(1, original.body, crawled_at="2026-03-03 00:30:00")
    original.write(crawl)
    replace(reread, body="철거된 육교 이야기", claim=reread.digest).write(crawl, "again.md")
    scan_articles(crawl, db)
    assert titles(db, "육교") == ["제목1"]
    reread.write(crawl, "again.md")
    running.scan(crawl, db)
    numbered_article(2, "항구에서 온 소식").write(crawl)
    running.scan(crawl, db)
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("SELECT count(*), max(id) FROM revisions").fetchone() == (2, 2), "no id was reused"


def test_a_reused_revision_id_finds_the_new_text_only(crawl: Path, db: Path) -> None:
    reuse_a_revision_id(crawl, db)
    assert titles(db, "육교") == []
    update_index(db)
    assert titles(db, "육교") == []
    assert titles(db, "항구") == ["제목2"]
    assert titles(db, "소식") == ["제목1", "제목2"]
    assert search_page(db, "소식").coverage == IndexCoverage(2, 2)
    assert_holds(crawl, db)


def test_a_running_process_notices_a_reused_revision_id(crawl: Path, db: Path) -> None:
    """A start compares the last id with the database. A running process has no reason to."""
    original = numbered_article(1, "다리를 놓았다는 소식", crawled_at="2026-03-02 00:30:00")
    reread = replace(original, crawled_at="2026-03-03 00:30:00")
    original.write(crawl)
    replace(reread, body="철거된 육교 이야기", claim=reread.digest).write(crawl, "again.md")
    with running.session(crawl, db) as session:
        search = SearchIndexer(session.database)
        for article, name in ((reread, "again.md"), (numbered_article(2, "항구에서 온 소식"), None)):
            Scan(session).run()
            search.update()
            article.write(crawl, name)
        Scan(session).run()
        search.update()
        search.close()
    assert titles(db, "항구") == ["제목2"]
    assert titles(db, "육교") == []


def test_a_text_with_a_changed_publisher_is_found_by_the_new_name(crawl: Path, db: Path) -> None:
    scan_articles(crawl, db, numbered_article(1, "예산안 이야기", publisher="옛이름", crawled_at="2026-03-02 00:30:00"))
    numbered_article(1, "예산안 이야기", publisher="새이름", crawled_at="2026-03-03 00:30:00").write(crawl, "later.md")
    running.scan(crawl, db)
    update_index(db)
    assert titles(db, "publisher:새이름") == ["제목1"]
    assert titles(db, "publisher:옛이름") == []


def test_a_crawl_read_again_with_another_publisher_is_found_by_the_new_name(crawl: Path, db: Path) -> None:
    scan_articles(crawl, db, numbered_article(1, "예산안 이야기", publisher="옛이름"))
    numbered_article(1, "예산안 이야기", publisher="새이름").write(crawl)
    running.scan(crawl, db)
    update_index(db)
    assert titles(db, "publisher:새이름") == ["제목1"]


def test_a_text_without_a_counted_sighting_is_not_found(crawl: Path, db: Path) -> None:
    scan_articles(crawl, db, numbered_article(1, "예산안 이야기"))
    with closing(sqlite3.connect(db, isolation_level=None)) as connection:
        connection.execute("UPDATE sightings SET status = 'overruled'")
    assert titles(db, "예산안") == []


def test_a_pruned_text_is_found_by_its_title_only_until_a_file_shows_it_again(tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "crawl").mkdir()
    (folder / "config.toml").write_text(
        '[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n[history]\nkeep = ["last"]\ndays = 0\n[database]\npath = "dedup.db"\n'
    )
    db = folder / "dedup.db"
    old = numbered_article(1, "육교를 철거했다는 이야기", crawled_at="2026-03-02 00:30:00")
    path = old.write(folder / "crawl")
    numbered_article(1, "다리를 놓았다는 이야기", crawled_at="2026-03-03 00:30:00").write(folder / "crawl", "later.md")
    assert run(folder, "scan").code == 0
    assert titles(db, "육교") == ["제목1"]
    path.unlink()
    assert run(folder, "scan").code == 0
    assert run(folder, "prune").code == 0
    assert titles(db, "육교") == []
    hits = [hit for hit in search_page(db, "title:제목1").hits if hit.snippet is None]
    assert [hit.pruned_at is not None for hit in hits] == [True]
    with open_writable(str(db), "test") as database:
        rebuild(database)
    assert titles(db, "육교") == []
    old.write(folder / "crawl")
    assert run(folder, "scan").code == 0
    assert titles(db, "육교") == ["제목1"]
    assert_holds(folder / "crawl", db)

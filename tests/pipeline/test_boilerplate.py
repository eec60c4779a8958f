"""Boilerplate: learned per publisher at the fifth article, masked from then on, corrected with `dedup boilerplate`."""

from __future__ import annotations

import csv
import io
import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from dedup import store
from dedup.pipeline import scanner as scanning
from dedup.pipeline.scanner import Scan
from dedup.store import open_database
from dedup.text.normalise import normalise
from tests.builders import relations
from tests.builders import scans as running
from tests.builders.command import CommandResult, run
from tests.builders.crawl import ArticleFile
from tests.builders.printed import TAIL, boilerplate_article
from tests.builders.stories import derived_rows, pairs, paper, prose, scan_in_order, sentence, story, wire_copy

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("machine_code")]


def write_and_scan(tmp_path: Path, articles: Iterable[ArticleFile], config: str = "") -> CommandResult:
    """Write the articles into the crawl directory and scan it with this configuration."""
    (tmp_path / "config.toml").write_text(f'[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n{config}', "utf-8")
    for article in articles:
        article.write(tmp_path / "crawl")
    result = run(tmp_path, "scan")
    assert result.code == 0, result.err
    return result


def list_boilerplate(tmp_path: Path, *args: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run(tmp_path, "boilerplate", "list", "--format", "json", *args).json()
    return rows


def relations_by_titles(tmp_path: Path) -> dict[frozenset[str], str]:
    """Relation of each reported pair, by the titles of its articles."""
    rows = run(tmp_path, "duplicates", "--pairs", "--format", "json").json()
    return {frozenset((p["a"]["title"], p["b"]["title"])): p["relation"] for p in rows}


def titles(*numbers: int) -> frozenset[str]:
    return frozenset(f"기사 {n}" for n in numbers)


def test_a_passage_becomes_boilerplate_at_its_fifth_article(tmp_path: Path) -> None:
    write_and_scan(tmp_path, (boilerplate_article(n) for n in range(4)))
    assert list_boilerplate(tmp_path) == []
    write_and_scan(tmp_path, [boilerplate_article(4)])
    (row,) = list_boilerplate(tmp_path)
    assert (row["publisher"], row["status"], row["article_count"], row["example"]) == ("한빛일보", "learned", 5, TAIL)
    assert row["passage"] == normalise(TAIL)
    assert row["characters"] == len(normalise(TAIL))


@pytest.mark.parametrize("articles", [3, 4, 8, 17])
def test_the_number_of_articles_that_makes_boilerplate_is_configurable(tmp_path: Path, articles: int) -> None:
    configured = f"[duplicates]\nboilerplate_articles = {articles}\n"
    write_and_scan(tmp_path, (boilerplate_article(n, 3) for n in range(articles - 1)), configured)
    assert list_boilerplate(tmp_path) == []
    write_and_scan(tmp_path, [boilerplate_article(99, 3)], configured)
    assert [row["article_count"] for row in list_boilerplate(tmp_path)] == [articles]


def test_boilerplate_articles_0_turns_learning_off(tmp_path: Path) -> None:
    write_and_scan(tmp_path, (boilerplate_article(n) for n in range(12)), "[duplicates]\nboilerplate_articles = 0\n")
    assert list_boilerplate(tmp_path) == []


@pytest.mark.parametrize("batch", [1, 2, 512])
def test_the_batch_size_does_not_change_what_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(scanning, "BATCH_FILES", batch)
    write_and_scan(tmp_path, (boilerplate_article(n) for n in range(6)))
    assert [row["passage"] for row in list_boilerplate(tmp_path)] == [normalise(TAIL)]


def test_a_passage_of_two_publishers_is_not_boilerplate(tmp_path: Path) -> None:
    """It is probably wire copy."""
    write_and_scan(tmp_path, [boilerplate_article(n, publisher="한빛일보" if n < 2 else "새벽신문") for n in range(5)])
    assert list_boilerplate(tmp_path) == []
    write_and_scan(tmp_path, [boilerplate_article(9, publisher="한빛일보")])
    assert list_boilerplate(tmp_path) == []


@pytest.mark.parametrize(
    ("alias", "second"),
    [
        ('names = ["새벽 신문"]', {"publisher": "새벽  신문"}),
        ('oids = ["902"]', {"publisher": "다른 이름", "oid": "902"}),
        ('hosts = ["dawn.example"]', {"publisher": "또 다른 이름", "url": "https://www.dawn.example/{n}"}),
    ],
    ids=["name", "oid", "host"],
)
def test_aliases_of_a_publisher_count_as_one_publisher(tmp_path: Path, alias: str, second: dict[str, str]) -> None:
    def of_second(n: int) -> ArticleFile:
        return boilerplate_article(n, **{k: v.format(n=n) for k, v in second.items()})  # type: ignore[arg-type]

    articles = [boilerplate_article(n) if n < 2 else of_second(n) for n in range(5)]
    write_and_scan(tmp_path, articles)
    assert list_boilerplate(tmp_path) == []
    (tmp_path / "dedup.db").unlink()
    write_and_scan(tmp_path, articles, f'[[publishers.aliases]]\nname = "한빛일보"\n{alias}\n')
    assert [(row["publisher"], row["passage"]) for row in list_boilerplate(tmp_path)] == [("한빛일보", normalise(TAIL))]


def test_copies_of_one_story_by_one_publisher_are_one_article(tmp_path: Path) -> None:
    """Otherwise five versions of a story would turn the story itself into boilerplate."""
    rng = random.Random(2)
    source = story(rng, 7)
    versions = [wire_copy(rng, source, cut=0.05, endings=0.3) for _ in range(5)]
    write_and_scan(tmp_path, (paper(n, body, publisher="한빛일보") for n, body in enumerate([source.body, *versions])))
    assert list_boilerplate(tmp_path) == []
    assert len(relations_by_titles(tmp_path)) == 15


def test_revisions_of_one_page_are_one_article(tmp_path: Path) -> None:
    """The revisions have only the tail in common."""
    for n in range(8):
        article = boilerplate_article(1, 2, seed=200 + n, crawled_at=f"2026-03-02 0{n}:00:00")
        article.write(tmp_path / "crawl", f"{n}.md")
    write_and_scan(tmp_path, [])
    assert list_boilerplate(tmp_path) == []
    write_and_scan(tmp_path, (boilerplate_article(n) for n in (2, 3, 4)))
    assert list_boilerplate(tmp_path) == [], "four pages"
    write_and_scan(tmp_path, [boilerplate_article(5)])
    assert [row["passage"] for row in list_boilerplate(tmp_path)] == [normalise(TAIL)]


# The effect of boilerplate


LONG_TAIL = prose(story(random.Random(3), 3).sentences)
"""A tail of about 250 letters: long enough to make an excerpt if it is not masked."""


def test_recorded_matches_keep_boilerplate_until_reindex(tmp_path: Path) -> None:
    write_and_scan(tmp_path, (boilerplate_article(n, 4, tail=LONG_TAIL) for n in range(8)))
    before = relations_by_titles(tmp_path)
    assert before == {titles(a, b): "excerpt" for a in range(4) for b in range(a)}, "the fifth article is the first one that is masked"
    assert len(list_boilerplate(tmp_path)) == 1
    write_and_scan(tmp_path, [boilerplate_article(9, 4, tail=LONG_TAIL)])
    assert relations_by_titles(tmp_path) == before
    assert run(tmp_path, "reindex").code == 0
    assert relations_by_titles(tmp_path) == {}
    with open_database(str(tmp_path / "dedup.db")) as database:
        assert store.statistics.count(database, "matches") == 0
    assert len(list_boilerplate(tmp_path)) == 1


def copies_with_masked_tail(tmp_path: Path, sentences: int) -> list[ArticleFile]:
    """Two copies of a story of `sentences` sentences, each with a tail that was masked by hand before."""
    rng = random.Random(4)
    source = story(rng, sentences)
    write_and_scan(tmp_path, [boilerplate_article(50, 6, tail="")])
    assert run(tmp_path, "boilerplate", "mask", "--publisher", "한빛일보", "--text", LONG_TAIL).code == 0
    articles = [paper(n, prose((sentence(rng), *source.sentences)) + " " + LONG_TAIL, publisher="한빛일보") for n in (1, 2)]
    write_and_scan(tmp_path, articles)
    return articles


@pytest.mark.parametrize(("sentences", "masked"), [(6, True), (3, True), (1, False)])
def test_boilerplate_is_masked_if_it_is_at_most_half_of_a_text(tmp_path: Path, sentences: int, masked: bool) -> None:
    a, b = copies_with_masked_tail(tmp_path, sentences)
    hidden = [relations.masked_by(article.body, [LONG_TAIL]) for article in (a, b)]
    assert [bool(spans) for spans in hidden] == [masked] * 2
    n = relations.numbers(a.body, b.body, *hidden)
    (pair,) = run(tmp_path, "duplicates", "--pairs", "--format", "json").json()
    (row,) = list_boilerplate(tmp_path)
    assert pair["masked_boilerplate"] == ([row["name"]] if masked else [])
    assert (pair["shared_characters"], pair["longest_passage"], pair["coverage"]) == (n.shared, n.passage, round(n.coverage, 4))
    assert pair["relation"] == relations.relation(a.body, b.body, *hidden)


def test_a_wire_copy_with_two_different_tails_is_a_copy(tmp_path: Path) -> None:
    """Both tails were learned before. The common text of the copies does not become boilerplate."""
    rng = random.Random(5)
    source = story(rng, 6)
    tails = [prose(story(rng, 1).sentences) for _ in range(2)]
    publishers = ("한빛일보", "새벽신문")
    articles = [boilerplate_article(10 * side + n, 3, tail=tails[side], publisher=publishers[side]) for side in range(2) for n in range(5)]
    write_and_scan(tmp_path, articles)
    assert {(row["publisher"], row["passage"]) for row in list_boilerplate(tmp_path)} == {
        (publisher, normalise(tail)) for publisher, tail in zip(publishers, tails, strict=True)
    }
    copies = [
        paper(90 + side, f"{wire_copy(rng, source, cut=0.0, endings=0.3)} {tails[side]}", publisher=publishers[side]) for side in range(2)
    ]
    write_and_scan(tmp_path, copies)
    (pair,) = (p for p in run(tmp_path, "duplicates", "--pairs", "--format", "json").json() if p["a"]["title"] in titles(90, 91))
    masks = [relations.masked_by(article.body, [tail]) for article, tail in zip(copies, tails, strict=True)]
    assert pair["relation"] == "copy" == relations.relation(copies[0].body, copies[1].body, *masks)
    n = relations.numbers(copies[0].body, copies[1].body, *masks)
    assert (pair["shared_characters"], pair["coverage"]) == (n.shared, round(n.coverage, 4))
    assert sorted(pair["masked_boilerplate"]) == sorted(row["name"] for row in list_boilerplate(tmp_path))


def test_a_match_names_boilerplate_that_was_learned_after_an_earlier_match(crawl: Path, db: Path) -> None:
    """One process scans everything, so its cache of masks has to notice the second tail."""
    rng = random.Random(6)
    source = story(rng, 8)
    tails = [TAIL, prose(story(rng, 1).sentences)]
    wire = paper(50, f"{source.body} {tails[0]} {tails[1]}", publisher="한빛일보")
    copies = [paper(60 + n, prose((sentence(rng), *source.sentences)), publisher=f"신문 {n}") for n in range(2)]
    with running.session(crawl, db) as session:
        for n, copy in enumerate(copies):
            for article in (*(boilerplate_article(10 * n + i, 3, tail=tails[n]) for i in range(4)), wire):
                article.write(crawl)
                Scan(session).run()
            copy.write(crawl)
            Scan(session).run()
    with open_database(str(db)) as database:
        name = {row.passage: row.name for row in store.boilerplate.list_passages(database)}
    first, second = (name[normalise(tail)] for tail in tails)
    matches = pairs(db)
    assert matches[frozenset((wire.address, copies[0].address))]["masked_boilerplate"] == [first]
    assert sorted(matches[frozenset((wire.address, copies[1].address))]["masked_boilerplate"]) == sorted((first, second))


def scan_a_tail_that_other_publishers_print(tmp_path: Path) -> None:
    """One publisher's tail becomes boilerplate; then two other publishers print the same passage in one article each."""
    write_and_scan(tmp_path, (boilerplate_article(n, 4, tail=LONG_TAIL) for n in range(6)))
    write_and_scan(
        tmp_path,
        [
            boilerplate_article(20, 4, tail=LONG_TAIL, publisher="새벽신문"),
            boilerplate_article(21, 4, tail=LONG_TAIL, publisher="저녁신문"),
        ],
    )


def test_boilerplate_of_one_publisher_is_not_masked_for_others(tmp_path: Path) -> None:
    scan_a_tail_that_other_publishers_print(tmp_path)
    assert run(tmp_path, "reindex").code == 0
    assert relations_by_titles(tmp_path) == {titles(20, 21): "excerpt"}


def test_boilerplate_of_one_publisher_is_not_masked_for_others_before_reindex(tmp_path: Path) -> None:
    scan_a_tail_that_other_publishers_print(tmp_path)
    assert relations_by_titles(tmp_path)[titles(20, 21)] == "excerpt"


# Repeatability


def test_learning_is_deterministic(crawl: Path, tmp_path: Path) -> None:
    articles = [boilerplate_article(n, 5, tail=LONG_TAIL if n % 2 else TAIL, publisher=f"신문 {n % 2 + n % 4 // 2}") for n in range(32)]
    for article in articles:
        article.write(crawl)
    names = [article.name for article in articles]
    dumps = [scan_in_order(tmp_path / f"{n}.db", crawl, names, passes) for n, passes in enumerate((1, 1, 8))]
    assert dumps[1:] == dumps[:1] * 2
    tables = [derived_rows(tmp_path / f"{n}.db") for n in range(3)]
    assert tables[1:] == tables[:1] * 2
    assert len(tables[0]["boilerplate"]) == 4


_KILLED_WHILE_LEARNING = """
import os, signal, sys
from pathlib import Path
from dedup.pipeline import scanner
from dedup import store
from tests.builders import scans as running
scanner.BATCH_FILES = 4
module, left = getattr(store, sys.argv[3]), int(sys.argv[4])
insert = module.insert
def insert_and_die(*args):
    global left
    result = insert(*args)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
module.insert = insert_and_die
running.scan(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize(("moment", "times"), [("boilerplate", 1), ("passages", 2), ("batches", 2)])
def test_a_scan_killed_while_learning_leaves_no_partial_state(crawl: Path, db: Path, moment: str, times: int) -> None:
    for n in range(12):
        boilerplate_article(n, 4, tail=LONG_TAIL).write(crawl)
    result = subprocess.run(
        [sys.executable, "-c", _KILLED_WHILE_LEARNING, str(crawl), str(db), moment, str(times)], check=False, timeout=120
    )
    assert result.returncode == -signal.SIGKILL
    with open_database(str(db)) as database:
        assert store.boilerplate.list_passages(database) == []
        assert store.statistics.count(database, "text_fingerprints") == store.statistics.count(database, "texts") == 4
    running.scan(crawl, db)
    running.scan(crawl, db.with_name("clean.db"))
    assert running.dump(db) == running.dump(db.with_name("clean.db"))
    assert derived_rows(db) == derived_rows(db.with_name("clean.db"))
    assert len(derived_rows(db)["boilerplate"]) == 1


# By hand


def test_reindex_restores_the_pairs_of_an_allowed_passage(tmp_path: Path) -> None:
    write_and_scan(tmp_path, (boilerplate_article(n, 4, tail=LONG_TAIL) for n in range(7)))
    (row,) = list_boilerplate(tmp_path)
    result = run(tmp_path, "boilerplate", "allow", row["name"][:5])
    assert result.code == 0
    assert "reindex" in result.err
    assert [r["status"] for r in list_boilerplate(tmp_path)] == ["allowed"]
    assert len(relations_by_titles(tmp_path)) == 6
    write_and_scan(tmp_path, [boilerplate_article(7, 4, tail=LONG_TAIL)])
    assert sum(titles(7, n) in relations_by_titles(tmp_path) for n in range(7)) >= 4, "new articles are compared with the passage"
    assert run(tmp_path, "reindex").code == 0
    assert [r["status"] for r in list_boilerplate(tmp_path)] == ["allowed"], "an allowed passage is not learned again"
    relations_by_pair = relations_by_titles(tmp_path)
    assert set(relations_by_pair.values()) == {"excerpt"}
    assert {n for pair in relations_by_pair for n in pair} == {n for pair in (titles(n) for n in range(8)) for n in pair}
    assert run(tmp_path, "boilerplate", "mask", row["name"]).code == 0
    assert run(tmp_path, "reindex").code == 0
    assert relations_by_titles(tmp_path) == {}


@pytest.mark.parametrize("passage", [LONG_TAIL, LONG_TAIL.replace(" ", "\n  ").replace(".", "!")], ids=["verbatim", "other spacing"])
def test_mask_hides_a_passage_that_was_not_learned(tmp_path: Path, passage: str) -> None:
    write_and_scan(tmp_path, (boilerplate_article(n, 4, tail=LONG_TAIL) for n in range(3)))
    assert len(relations_by_titles(tmp_path)) == 3
    assert run(tmp_path, "boilerplate", "mask", "--publisher", " 한빛일보 ", "--text", passage).code == 0
    (row,) = list_boilerplate(tmp_path)
    assert (row["publisher"], row["status"], row["article_count"], row["passage"]) == ("한빛일보", "masked", 0, normalise(LONG_TAIL))
    write_and_scan(tmp_path, [boilerplate_article(4, 4, tail=LONG_TAIL)])
    assert len(relations_by_titles(tmp_path)) == 3
    assert run(tmp_path, "reindex").code == 0
    assert relations_by_titles(tmp_path) == {}


def test_mask_accepts_an_alias_of_the_publisher(tmp_path: Path) -> None:
    config = '[[publishers.aliases]]\nname = "한빛일보"\nnames = ["한빛 스포츠"]\n'
    write_and_scan(
        tmp_path, (boilerplate_article(n, 4, tail=LONG_TAIL, publisher=("한빛일보", "한빛 스포츠")[n % 2]) for n in range(3)), config
    )
    assert run(tmp_path, "boilerplate", "mask", "--publisher", "한빛 스포츠", "--text", LONG_TAIL).code == 0
    assert [r["publisher"] for r in list_boilerplate(tmp_path)] == ["한빛일보"]
    assert run(tmp_path, "reindex").code == 0
    assert relations_by_titles(tmp_path) == {}


def test_mask_replaces_an_earlier_allow_and_keeps_one_row(tmp_path: Path) -> None:
    write_and_scan(tmp_path, (boilerplate_article(n) for n in range(5)))
    (row,) = list_boilerplate(tmp_path)
    assert run(tmp_path, "boilerplate", "allow", row["name"]).code == 0
    for _ in range(2):
        assert run(tmp_path, "boilerplate", "mask", "--publisher", "한빛일보", "--text", TAIL).code == 0
    assert [(r["name"], r["status"]) for r in list_boilerplate(tmp_path)] == [(row["name"], "masked")]


@pytest.fixture
def two_tails(tmp_path: Path) -> Path:
    """A folder with a scanned crawl: two publishers, each with a tail that became boilerplate."""
    tails = [TAIL, LONG_TAIL]
    write_and_scan(
        tmp_path,
        (
            boilerplate_article(10 * index + n, 4, tail=tails[index], publisher=("한빛일보", "=새벽신문")[index])
            for index in range(2)
            for n in range(6)
        ),
    )
    assert len(list_boilerplate(tmp_path)) == 2
    return tmp_path


COLUMNS = ["name", "publisher", "status", "article_count", "added_at", "characters", "example", "passage"]


def test_list_prints_json_csv_and_text(two_tails: Path) -> None:
    rows = list_boilerplate(two_tails)
    assert all(list(row) == COLUMNS for row in rows)
    assert [row["publisher"] for row in rows] == ["=새벽신문", "한빛일보"]
    csv_rows = list(csv.DictReader(io.StringIO(run(two_tails, "boilerplate", "list", "-f", "csv").out, newline="")))
    assert [list(row) for row in csv_rows] == [COLUMNS] * 2
    assert [row["name"] for row in csv_rows] == [row["name"] for row in rows]
    assert csv_rows[0]["publisher"] == "'=새벽신문", "a cell never starts a formula"
    output = run(two_tails, "boilerplate", "list").out
    assert all(row["name"] in output and row["example"] in output and row["publisher"] in output for row in rows)
    assert output.rstrip().endswith("2 passages")


def test_list_filters_by_publisher_and_status(two_tails: Path) -> None:
    assert [row["passage"] for row in list_boilerplate(two_tails, "--publisher", "한빛일보")] == [normalise(TAIL)]
    assert list_boilerplate(two_tails, "--publisher", "없는 신문") == []
    assert list_boilerplate(two_tails, "--status", "allowed") == []
    name = list_boilerplate(two_tails)[0]["name"]
    assert run(two_tails, "boilerplate", "allow", name).code == 0
    assert [row["name"] for row in list_boilerplate(two_tails, "--status", "allowed")] == [name]
    assert [row["name"] for row in list_boilerplate(two_tails, "--status", "learned")] == [list_boilerplate(two_tails)[1]["name"]]
    assert run(two_tails, "boilerplate", "list", "--status", "masked").out.strip() == "No boilerplate is recorded."


def test_a_unique_prefix_of_a_name_is_enough(two_tails: Path) -> None:
    one, other = (row["name"] for row in list_boilerplate(two_tails))
    short = next(n for n in range(1, 13) if one[:n] != other[:n])
    assert run(two_tails, "boilerplate", "allow", one[:short].upper(), other).code == 0
    assert [row["status"] for row in list_boilerplate(two_tails)] == ["allowed"] * 2


def test_an_ambiguous_prefix_is_refused(two_tails: Path) -> None:
    """The names are overwritten to share a prefix."""
    import sqlite3

    with sqlite3.connect(two_tails / "dedup.db") as connection:
        connection.execute("UPDATE boilerplate SET name = 'abc' || id || substr(name, 5)")
    connection.close()
    result = run(two_tails, "boilerplate", "allow", "ABC")
    assert result.code == 2
    assert all(row["name"] in result.err for row in list_boilerplate(two_tails))
    assert [row["status"] for row in list_boilerplate(two_tails)] == ["learned"] * 2


@pytest.mark.parametrize(
    "args",
    [
        ["allow", "ffffffffffffff"],
        ["allow", ""],
        ["allow"],
        ["mask"],
        ["mask", "--text", TAIL],
        ["mask", "--publisher", "한빛일보"],
        ["mask", "--publisher", "한빛일보", "--text", "열아홉글자열아홉글자열아홉글자열아홉,"],
        ["mask", "--publisher", "한빛일보", "--text", "…"],
        ["list", "--status", "none"],
        ["forget"],
    ],
    ids=lambda args: " ".join(args)[:30],
)
def test_wrong_usage_exits_with_2_and_changes_nothing(two_tails: Path, args: list[str]) -> None:
    before = list_boilerplate(two_tails)
    result = run(two_tails, "boilerplate", *args)
    assert (result.code, result.out) == (2, "")
    assert result.err
    assert list_boilerplate(two_tails) == before


def test_an_unknown_name_leaves_the_other_names_unchanged(two_tails: Path) -> None:
    name = list_boilerplate(two_tails)[0]["name"]
    assert run(two_tails, "boilerplate", "allow", name, "ffffffffffffff").code == 2
    assert [row["status"] for row in list_boilerplate(two_tails)] == ["learned"] * 2


def test_a_passage_of_twenty_letters_is_long_enough(two_tails: Path) -> None:
    assert run(two_tails, "boilerplate", "mask", "--publisher", "한빛일보", "--text", "스무글자 " * 5).code == 0
    assert len(list_boilerplate(two_tails)) == 3


def test_a_database_in_use_by_a_writer_is_not_changed(two_tails: Path) -> None:
    program = (
        "import sys\nfrom dedup.store import open_writable\nwith open_writable(sys.argv[1], 'watch'):\n    print('open', flush=True)\n"
    )
    program += "    input()"
    name, before = list_boilerplate(two_tails)[0]["name"], list_boilerplate(two_tails)
    command = [sys.executable, "-c", program, str(two_tails / "dedup.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        for args in (("allow", name), ("mask", "--publisher", "한빛일보", "--text", LONG_TAIL)):
            result = run(two_tails, "boilerplate", *args)
            assert result.code == 3
            assert "'dedup watch'" in result.err
        assert list_boilerplate(two_tails) == before
        process.communicate(b"\n")
    assert run(two_tails, "boilerplate", "allow", name).code == 0


@pytest.mark.parametrize("args", [["list"], ["allow", "abc"], ["mask", "--publisher", "a", "--text", TAIL]], ids=lambda a: a[0])
def test_no_command_creates_a_missing_database(tmp_path: Path, args: list[str]) -> None:
    result = run(tmp_path, "boilerplate", *args)
    assert result.code == 3
    assert list(tmp_path.iterdir()) == []


HOSTILE = "\x1b[2J\u202e지움\u2028끝\u200b"


def test_control_characters_are_never_printed(tmp_path: Path) -> None:
    tail = f"{LONG_TAIL[:120]}{HOSTILE}{LONG_TAIL[120:]}"
    write_and_scan(tmp_path, (boilerplate_article(n, 5, tail=tail, publisher=f"한빛{HOSTILE}일보") for n in range(5)))
    (row,) = list_boilerplate(tmp_path)
    results = [run(tmp_path, "boilerplate", "list", "-f", form) for form in ("text", "csv", "json")]
    results += [run(tmp_path, "boilerplate", "allow", row["name"]), run(tmp_path, "boilerplate", "mask", row["name"])]
    results += [run(tmp_path, "boilerplate", "allow", HOSTILE)]
    for result in results:
        assert not set(HOSTILE) - set("[2J지움끝") & set(result.out + result.err)
    assert json.loads(results[2].out)[0]["example"].count("\x1b") == 1

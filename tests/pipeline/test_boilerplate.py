"""What a publisher prints under everything is learned at its fifth article, counts for nothing from then on, and never reaches
beyond that publisher; people correct it by hand."""

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
from dedup.scan import scanner as scanning
from dedup.scan.scanner import Scan
from dedup.store import open_database
from dedup.text.normalise import normalise
from tests.builders import relations
from tests.builders import scans as running
from tests.builders.command import CommandResult, run
from tests.builders.crawl import ArticleFile
from tests.builders.printed import TAIL, printed
from tests.builders.stories import derived, in_order, pairs, paper, prose, sentence, story, wire_copy

pytestmark = pytest.mark.usefixtures("machine_code")


def take(tmp_path: Path, articles: Iterable[ArticleFile], config: str = "") -> CommandResult:
    """Write the articles into the crawl directory and scan it by this configuration."""
    (tmp_path / "config.toml").write_text(f'[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n{config}', "utf-8")
    for article in articles:
        article.write(tmp_path / "crawl")
    done = run(tmp_path, "scan")
    assert done.code == 0, done.err
    return done


def known(tmp_path: Path, *args: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run(tmp_path, "boilerplate", "list", "--format", "json", *args).json()
    return found


def related(tmp_path: Path) -> dict[frozenset[str], str]:
    """The pairs that are told, by their titles."""
    found = run(tmp_path, "duplicates", "--pairs", "--format", "json").json()
    return {frozenset((p["a"]["title"], p["b"]["title"])): p["relation"] for p in found}


def titles(*numbers: int) -> frozenset[str]:
    return frozenset(f"기사 {n}" for n in numbers)


def test_it_is_learned_at_the_fifth_article_not_at_the_fourth(tmp_path: Path) -> None:
    take(tmp_path, (printed(n) for n in range(4)))
    assert known(tmp_path) == []
    take(tmp_path, [printed(4)])
    (row,) = known(tmp_path)
    assert (row["publisher"], row["status"], row["article_count"], row["example"]) == ("한빛일보", "learned", 5, TAIL)
    assert row["passage"] == normalise(TAIL)
    assert row["characters"] == len(normalise(TAIL))


@pytest.mark.parametrize("articles", [3, 4, 8, 17])
def test_after_how_many_articles_is_a_matter_of_configuration(tmp_path: Path, articles: int) -> None:
    configured = f"[duplicates]\nboilerplate_articles = {articles}\n"
    take(tmp_path, (printed(n, 3) for n in range(articles - 1)), configured)
    assert known(tmp_path) == []
    take(tmp_path, [printed(99, 3)], configured)
    assert [row["article_count"] for row in known(tmp_path)] == [articles]


def test_nothing_is_learned_where_that_is_not_wanted(tmp_path: Path) -> None:
    take(tmp_path, (printed(n) for n in range(12)), "[duplicates]\nboilerplate_articles = 0\n")
    assert known(tmp_path) == []


@pytest.mark.parametrize("batch", [1, 2, 512])
def test_it_does_not_matter_how_they_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(scanning, "BATCH_FILES", batch)
    take(tmp_path, (printed(n) for n in range(6)))
    assert [row["passage"] for row in known(tmp_path)] == [normalise(TAIL)]


def test_what_two_publishers_print_is_neithers_boilerplate(tmp_path: Path) -> None:
    """It would be wire copy."""
    take(tmp_path, [printed(n, publisher="한빛일보" if n < 2 else "새벽신문") for n in range(5)])
    assert known(tmp_path) == []
    take(tmp_path, [printed(9, publisher="한빛일보")])
    assert known(tmp_path) == []


@pytest.mark.parametrize(
    ("alias", "second"),
    [
        ('names = ["새벽 신문"]', {"publisher": "새벽  신문"}),
        ('oids = ["902"]', {"publisher": "다른 이름", "oid": "902"}),
        ('hosts = ["dawn.example"]', {"publisher": "또 다른 이름", "url": "https://www.dawn.example/{n}"}),
    ],
    ids=["name", "oid", "host"],
)
def test_names_that_are_aliases_of_one_house_are_one_publisher(tmp_path: Path, alias: str, second: dict[str, str]) -> None:
    def of_second(n: int) -> ArticleFile:
        return printed(n, **{k: v.format(n=n) for k, v in second.items()})  # type: ignore[arg-type]

    articles = [printed(n) if n < 2 else of_second(n) for n in range(5)]
    take(tmp_path, articles)
    assert known(tmp_path) == []
    (tmp_path / "dedup.db").unlink()
    take(tmp_path, articles, f'[[publishers.aliases]]\nname = "한빛일보"\n{alias}\n')
    assert [(row["publisher"], row["passage"]) for row in known(tmp_path)] == [("한빛일보", normalise(TAIL))]


def test_copies_of_one_story_by_one_publisher_are_one_article(tmp_path: Path) -> None:
    """Five versions of a story would make boilerplate of the story itself."""
    rng = random.Random(2)
    source = story(rng, 7)
    versions = [wire_copy(rng, source, cut=0.05, endings=0.3) for _ in range(5)]
    take(tmp_path, (paper(n, body, publisher="한빛일보") for n, body in enumerate([source.body, *versions])))
    assert known(tmp_path) == []
    assert len(related(tmp_path)) == 15


def test_revisions_of_one_page_are_one_article(tmp_path: Path) -> None:
    """Of which each is another text, but for the tail."""
    for n in range(8):
        made = printed(1, 2, seed=200 + n, crawled_at=f"2026-03-02 0{n}:00:00")
        made.write(tmp_path / "crawl", f"{n}.md")
    take(tmp_path, [])
    assert known(tmp_path) == []
    take(tmp_path, (printed(n) for n in (2, 3, 4)))
    assert known(tmp_path) == [], "four pages"
    take(tmp_path, [printed(5)])
    assert [row["passage"] for row in known(tmp_path)] == [normalise(TAIL)]


# What it does


LONG_TAIL = prose(story(random.Random(3), 3).sentences)
"""A tail of some 250 letters: enough for an excerpt, if it counted."""


def test_from_then_on_it_counts_for_nothing_and_what_was_recorded_before_stays_until_reindex(tmp_path: Path) -> None:
    take(tmp_path, (printed(n, 4, tail=LONG_TAIL) for n in range(8)))
    before = related(tmp_path)
    assert before == {titles(a, b): "excerpt" for a in range(4) for b in range(a)}, "at the fifth it was known"
    assert len(known(tmp_path)) == 1
    take(tmp_path, [printed(9, 4, tail=LONG_TAIL)])
    assert related(tmp_path) == before
    assert run(tmp_path, "reindex").code == 0
    assert related(tmp_path) == {}
    with open_database(str(tmp_path / "dedup.db")) as database:
        assert store.statistics.count(database, "matches") == 0
    assert len(known(tmp_path)) == 1


def masked_by_hand(tmp_path: Path, *sentences: int) -> list[ArticleFile]:
    """Two copies of a story, each with the tail, which is told by hand first: (the story's sentences, the tail's letters)."""
    rng = random.Random(4)
    source = story(rng, sentences[0])
    take(tmp_path, [printed(50, 6, tail="")])
    assert run(tmp_path, "boilerplate", "mask", "--publisher", "한빛일보", "--text", LONG_TAIL).code == 0
    made = [paper(n, prose((sentence(rng), *source.sentences)) + " " + LONG_TAIL, publisher="한빛일보") for n in (1, 2)]
    take(tmp_path, made)
    return made


@pytest.mark.parametrize(("sentences", "masked"), [(6, True), (3, True), (1, False)])
def test_it_is_masked_where_it_is_at_most_half_of_a_text(tmp_path: Path, sentences: int, masked: bool) -> None:
    a, b = masked_by_hand(tmp_path, sentences)
    hidden = [relations.masked_by(made.body, [LONG_TAIL]) for made in (a, b)]
    assert [bool(h) for h in hidden] == [masked] * 2
    n = relations.numbers(a.body, b.body, *hidden)
    (pair,) = run(tmp_path, "duplicates", "--pairs", "--format", "json").json()
    (row,) = known(tmp_path)
    assert pair["masked_boilerplate"] == ([row["name"]] if masked else [])
    assert (pair["shared_characters"], pair["longest_passage"], pair["coverage"]) == (n.shared, n.passage, round(n.coverage, 4))
    assert pair["relation"] == relations.relation(a.body, b.body, *hidden)


def test_a_wire_copy_with_each_papers_own_tail_is_a_copy_still(tmp_path: Path) -> None:
    """Once both tails are learned; and what the copies have in common is not taken for boilerplate of either."""
    rng = random.Random(5)
    source = story(rng, 6)
    tails = [prose(story(rng, 1).sentences) for _ in range(2)]
    houses = ("한빛일보", "새벽신문")
    own = [printed(10 * h + n, 3, tail=tails[h], publisher=houses[h]) for h in range(2) for n in range(5)]
    take(tmp_path, own)
    assert {(row["publisher"], row["passage"]) for row in known(tmp_path)} == {
        (house, normalise(tail)) for house, tail in zip(houses, tails, strict=True)
    }
    copies = [paper(90 + h, f"{wire_copy(rng, source, cut=0.0, endings=0.3)} {tails[h]}", publisher=houses[h]) for h in range(2)]
    take(tmp_path, copies)
    (pair,) = (p for p in run(tmp_path, "duplicates", "--pairs", "--format", "json").json() if p["a"]["title"] in titles(90, 91))
    masks = [relations.masked_by(made.body, [tail]) for made, tail in zip(copies, tails, strict=True)]
    assert pair["relation"] == "copy" == relations.relation(copies[0].body, copies[1].body, *masks)
    n = relations.numbers(copies[0].body, copies[1].body, *masks)
    assert (pair["shared_characters"], pair["coverage"]) == (n.shared, round(n.coverage, 4))
    assert sorted(pair["masked_boilerplate"]) == sorted(row["name"] for row in known(tmp_path))


def test_what_is_learned_later_is_named_too_of_an_article_that_was_copied_before(crawl: Path, db: Path) -> None:
    """All by one process, which remembers of a text that is copied again and again what of it is masked."""
    rng = random.Random(6)
    source = story(rng, 8)
    tails = [TAIL, prose(story(rng, 1).sentences)]
    wire = paper(50, f"{source.body} {tails[0]} {tails[1]}", publisher="한빛일보")
    copies = [paper(60 + n, prose((sentence(rng), *source.sentences)), publisher=f"신문 {n}") for n in range(2)]
    with running.session(crawl, db) as session:
        for n, copy in enumerate(copies):
            for made in (*(printed(10 * n + i, 3, tail=tails[n]) for i in range(4)), wire):
                made.write(crawl)
                Scan(session).run()
            copy.write(crawl)
            Scan(session).run()
    with open_database(str(db)) as database:
        name = {row.passage: row.name for row in store.boilerplate.list_passages(database)}
    first, second = (name[normalise(tail)] for tail in tails)
    told = pairs(db)
    assert told[frozenset((wire.address, copies[0].address))]["masked_boilerplate"] == [first]
    assert sorted(told[frozenset((wire.address, copies[1].address))]["masked_boilerplate"]) == sorted((first, second))


def tail_of_one_in_articles_of_others(tmp_path: Path) -> None:
    """Six articles of one publisher, which teach its tail, then one each of two other publishers that hold the same passage."""
    take(tmp_path, (printed(n, 4, tail=LONG_TAIL) for n in range(6)))
    take(tmp_path, [printed(20, 4, tail=LONG_TAIL, publisher="새벽신문"), printed(21, 4, tail=LONG_TAIL, publisher="저녁신문")])


def test_what_one_publisher_masks_is_text_in_another_ones_articles(tmp_path: Path) -> None:
    tail_of_one_in_articles_of_others(tmp_path)
    assert run(tmp_path, "reindex").code == 0
    assert related(tmp_path) == {titles(20, 21): "excerpt"}


def test_what_one_publisher_masks_is_text_in_another_ones_articles_before_all_is_indexed_again(tmp_path: Path) -> None:
    tail_of_one_in_articles_of_others(tmp_path)
    assert related(tmp_path)[titles(20, 21)] == "excerpt"


# The same every time


def test_the_same_articles_in_the_same_order_teach_the_same(crawl: Path, tmp_path: Path) -> None:
    articles = [printed(n, 5, tail=LONG_TAIL if n % 2 else TAIL, publisher=f"신문 {n % 2 + n % 4 // 2}") for n in range(32)]
    for made in articles:
        made.write(crawl)
    names = [made.name for made in articles]
    dumps = [in_order(tmp_path / f"{n}.db", crawl, names, passes) for n, passes in enumerate((1, 1, 8))]
    assert dumps[1:] == dumps[:1] * 2
    tables = [derived(tmp_path / f"{n}.db") for n in range(3)]
    assert tables[1:] == tables[:1] * 2
    assert len(tables[0]["boilerplate"]) == 4


_DYING = """
import os, signal, sys
from pathlib import Path
from dedup.scan import scanner
from dedup import store
from tests.builders import scans as running
scanner.BATCH_FILES = 4
module, left = getattr(store, sys.argv[3]), int(sys.argv[4])
whole = module.insert
def dying(*args):
    global left
    found = whole(*args)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
module.insert = dying
running.scan(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize(("moment", "times"), [("boilerplate", 1), ("passages", 2), ("batches", 2)])
def test_a_scan_killed_as_it_learns_leaves_nothing_half_learned(crawl: Path, db: Path, moment: str, times: int) -> None:
    for n in range(12):
        printed(n, 4, tail=LONG_TAIL).write(crawl)
    done = subprocess.run([sys.executable, "-c", _DYING, str(crawl), str(db), moment, str(times)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    with open_database(str(db)) as database:
        assert store.boilerplate.list_passages(database) == []
        assert store.statistics.count(database, "text_fingerprints") == store.statistics.count(database, "texts") == 4
    running.scan(crawl, db)
    running.scan(crawl, db.with_name("clean.db"))
    assert running.dump(db) == running.dump(db.with_name("clean.db"))
    assert derived(db) == derived(db.with_name("clean.db"))
    assert len(derived(db)["boilerplate"]) == 1


# By hand


def test_what_was_learned_wrongly_is_allowed_and_reindex_brings_its_pairs(tmp_path: Path) -> None:
    take(tmp_path, (printed(n, 4, tail=LONG_TAIL) for n in range(7)))
    (row,) = known(tmp_path)
    allowed = run(tmp_path, "boilerplate", "allow", row["name"][:5])
    assert allowed.code == 0
    assert "reindex" in allowed.err
    assert [r["status"] for r in known(tmp_path)] == ["allowed"]
    assert len(related(tmp_path)) == 6
    take(tmp_path, [printed(7, 4, tail=LONG_TAIL)])
    assert sum(titles(7, n) in related(tmp_path) for n in range(7)) >= 4, "what arrives from then on counts it"
    assert run(tmp_path, "reindex").code == 0
    assert [r["status"] for r in known(tmp_path)] == ["allowed"], "it is not learned again"
    told = related(tmp_path)
    assert set(told.values()) == {"excerpt"}
    assert {n for pair in told for n in pair} == {n for pair in (titles(n) for n in range(8)) for n in pair}
    assert run(tmp_path, "boilerplate", "mask", row["name"]).code == 0
    assert run(tmp_path, "reindex").code == 0
    assert related(tmp_path) == {}


@pytest.mark.parametrize("shown", [LONG_TAIL, LONG_TAIL.replace(" ", "\n  ").replace(".", "!")], ids=["as it stands", "otherwise spaced"])
def test_what_was_not_learned_is_masked_by_hand(tmp_path: Path, shown: str) -> None:
    take(tmp_path, (printed(n, 4, tail=LONG_TAIL) for n in range(3)))
    assert len(related(tmp_path)) == 3
    assert run(tmp_path, "boilerplate", "mask", "--publisher", " 한빛일보 ", "--text", shown).code == 0
    (row,) = known(tmp_path)
    assert (row["publisher"], row["status"], row["article_count"], row["passage"]) == ("한빛일보", "masked", 0, normalise(LONG_TAIL))
    take(tmp_path, [printed(4, 4, tail=LONG_TAIL)])
    assert len(related(tmp_path)) == 3
    assert run(tmp_path, "reindex").code == 0
    assert related(tmp_path) == {}


def test_what_is_told_by_hand_of_an_alias_counts_for_the_house(tmp_path: Path) -> None:
    config = '[[publishers.aliases]]\nname = "한빛일보"\nnames = ["한빛 스포츠"]\n'
    take(tmp_path, (printed(n, 4, tail=LONG_TAIL, publisher=("한빛일보", "한빛 스포츠")[n % 2]) for n in range(3)), config)
    assert run(tmp_path, "boilerplate", "mask", "--publisher", "한빛 스포츠", "--text", LONG_TAIL).code == 0
    assert [r["publisher"] for r in known(tmp_path)] == ["한빛일보"]
    assert run(tmp_path, "reindex").code == 0
    assert related(tmp_path) == {}


def test_a_passage_told_twice_is_one_and_one_that_was_allowed_is_masked_again(tmp_path: Path) -> None:
    take(tmp_path, (printed(n) for n in range(5)))
    (row,) = known(tmp_path)
    assert run(tmp_path, "boilerplate", "allow", row["name"]).code == 0
    for _ in range(2):
        assert run(tmp_path, "boilerplate", "mask", "--publisher", "한빛일보", "--text", TAIL).code == 0
    assert [(r["name"], r["status"]) for r in known(tmp_path)] == [(row["name"], "masked")]


@pytest.fixture
def taught(tmp_path: Path) -> Path:
    """Two publishers, of which each has taught its tail."""
    tails = [TAIL, LONG_TAIL]
    take(tmp_path, (printed(10 * h + n, 4, tail=tails[h], publisher=("한빛일보", "=새벽신문")[h]) for h in range(2) for n in range(6)))
    assert len(known(tmp_path)) == 2
    return tmp_path


COLUMNS = ["name", "publisher", "status", "article_count", "added_at", "characters", "example", "passage"]


def test_the_list_as_json_csv_and_text(taught: Path) -> None:
    rows = known(taught)
    assert all(list(row) == COLUMNS for row in rows)
    assert [row["publisher"] for row in rows] == ["=새벽신문", "한빛일보"]
    shown = list(csv.DictReader(io.StringIO(run(taught, "boilerplate", "list", "-f", "csv").out, newline="")))
    assert [list(row) for row in shown] == [COLUMNS] * 2
    assert [row["name"] for row in shown] == [row["name"] for row in rows]
    assert shown[0]["publisher"] == "'=새벽신문", "no formula"
    told = run(taught, "boilerplate", "list").out
    assert all(row["name"] in told and row["example"] in told and row["publisher"] in told for row in rows)
    assert told.rstrip().endswith("2 passages")


def test_the_list_can_be_narrowed(taught: Path) -> None:
    assert [row["passage"] for row in known(taught, "--publisher", "한빛일보")] == [normalise(TAIL)]
    assert known(taught, "--publisher", "없는 신문") == []
    assert known(taught, "--status", "allowed") == []
    name = known(taught)[0]["name"]
    assert run(taught, "boilerplate", "allow", name).code == 0
    assert [row["name"] for row in known(taught, "--status", "allowed")] == [name]
    assert [row["name"] for row in known(taught, "--status", "learned")] == [known(taught)[1]["name"]]
    assert run(taught, "boilerplate", "list", "--status", "masked").out.strip() == "No boilerplate is recorded."


def test_names_may_be_cut_short_as_long_as_they_stand_for_one(taught: Path) -> None:
    one, other = (row["name"] for row in known(taught))
    short = next(n for n in range(1, 13) if one[:n] != other[:n])
    assert run(taught, "boilerplate", "allow", one[:short].upper(), other).code == 0
    assert [row["status"] for row in known(taught)] == ["allowed"] * 2


def test_a_name_that_stands_for_several_is_refused(taught: Path) -> None:
    """The two names are made to begin alike."""
    import sqlite3

    with sqlite3.connect(taught / "dedup.db") as connection:
        connection.execute("UPDATE boilerplate SET name = 'abc' || id || substr(name, 5)")
    connection.close()
    done = run(taught, "boilerplate", "allow", "ABC")
    assert done.code == 2
    assert all(row["name"] in done.err for row in known(taught))
    assert [row["status"] for row in known(taught)] == ["learned"] * 2


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
def test_wrong_usage_leaves_with_2_and_changes_nothing(taught: Path, args: list[str]) -> None:
    before = known(taught)
    done = run(taught, "boilerplate", *args)
    assert (done.code, done.out) == (2, "")
    assert done.err
    assert known(taught) == before


def test_of_several_names_all_or_none_are_taken(taught: Path) -> None:
    name = known(taught)[0]["name"]
    assert run(taught, "boilerplate", "allow", name, "ffffffffffffff").code == 2
    assert [row["status"] for row in known(taught)] == ["learned"] * 2


def test_a_passage_of_twenty_letters_is_long_enough(taught: Path) -> None:
    assert run(taught, "boilerplate", "mask", "--publisher", "한빛일보", "--text", "스무글자 " * 5).code == 0
    assert len(known(taught)) == 3


def test_a_database_that_another_one_writes_to_is_left_alone(taught: Path) -> None:
    hold = "import sys\nfrom dedup.store import open_writable\nwith open_writable(sys.argv[1], 'watch'):\n    print('open', flush=True)\n"
    hold += "    input()"
    name, before = known(taught)[0]["name"], known(taught)
    command = [sys.executable, "-c", hold, str(taught / "dedup.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        for args in (("allow", name), ("mask", "--publisher", "한빛일보", "--text", LONG_TAIL)):
            done = run(taught, "boilerplate", *args)
            assert done.code == 3
            assert "'dedup watch'" in done.err
        assert known(taught) == before
        process.communicate(b"\n")
    assert run(taught, "boilerplate", "allow", name).code == 0


@pytest.mark.parametrize("args", [["list"], ["allow", "abc"], ["mask", "--publisher", "a", "--text", TAIL]], ids=lambda a: a[0])
def test_without_a_database_none_is_made(tmp_path: Path, args: list[str]) -> None:
    done = run(tmp_path, "boilerplate", *args)
    assert done.code == 3
    assert list(tmp_path.iterdir()) == []


HOSTILE = "\x1b[2J\u202e지움\u2028끝\u200b"


def test_nothing_that_a_terminal_would_obey_is_printed(tmp_path: Path) -> None:
    tail = f"{LONG_TAIL[:120]}{HOSTILE}{LONG_TAIL[120:]}"
    take(tmp_path, (printed(n, 5, tail=tail, publisher=f"한빛{HOSTILE}일보") for n in range(5)))
    (row,) = known(tmp_path)
    outputs = [run(tmp_path, "boilerplate", "list", "-f", form) for form in ("text", "csv", "json")]
    outputs += [run(tmp_path, "boilerplate", "allow", row["name"]), run(tmp_path, "boilerplate", "mask", row["name"])]
    outputs += [run(tmp_path, "boilerplate", "allow", HOSTILE)]
    for done in outputs:
        assert not set(HOSTILE) - set("[2J지움끝") & set(done.out + done.err)
    assert json.loads(outputs[2].out)[0]["example"].count("\x1b") == 1

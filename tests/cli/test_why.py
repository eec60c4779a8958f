"""`dedup why`: one sentence that names the relation and the numbers it follows from, whatever two articles are."""

from __future__ import annotations

import json
import os
import random
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup.text.normalise import normalise
from tests.builders import relations
from tests.builders.command import CommandResult, run
from tests.builders.crawl import ArticleFile, edited, words
from tests.builders.stories import Story, command_scan, paper, prose, sentence, story, wire_copy

pytestmark = pytest.mark.usefixtures("machine_code")

TAIL = prose(story(random.Random(1), 2).sentences)
"""What one publisher prints under its articles."""


def made() -> dict[str, ArticleFile]:
    """Articles by what they are to each other."""
    rng = random.Random(2)
    source, other, quoting = story(rng, 7), story(rng, 7), [story(rng, 3) for _ in range(4)]
    speech = prose(story(rng, 2).sentences)
    parts = [story(rng, 3).body for _ in range(2)]
    flat = source.body.split()
    bodies = {
        "agency": source.body,
        "exact": source.body.replace(" ", "\n\n", 7).replace(".", "…"),
        "near": " ".join(edited(rng, flat, 0.02)),
        "copy": wire_copy(rng, source),
        "excerpt": prose((*other.sentences[:3], *source.sentences[2:4], *other.sentences[3:])),
        "quote a": f"{quoting[0].body} “{speech}” {quoting[1].body}",
        "quote b": f"{quoting[2].body} 그는 “{speech}”라고 했다. {quoting[3].body}",
        "part": parts[0],
        "newsletter": " ".join(parts),
        "other part": parts[1],
        "unrelated": story(rng, 7).body,
        "a little": prose((*story(rng, 6).sentences, source.sentences[5][:12])),
        "short": "오늘의 운세 쥐띠는 서두르지 말고",
        "same short": "오늘의 운세, 쥐띠는 서두르지 말고!",
    }
    found = {name: paper(n, body) for n, (name, body) in enumerate(bodies.items())}
    house = {"publisher": "한빛일보"}
    found |= {f"tail {n}": paper(50 + n, f"{story(rng, 4).body} {TAIL}", **house) for n in range(6)}
    own = story(rng, 5)
    found["tailed a"] = paper(60, f"{own.body} {TAIL}", **house)
    found["tailed b"] = paper(61, f"{wire_copy(rng, own)} {TAIL}", **house)
    return found


MADE = made()
PAGE = [
    paper(
        80,
        prose((*story(random.Random(3), 6).sentences, *story(random.Random(4 + n), 2 * n).sentences)),
        crawled_at=f"2026-03-0{n + 2} 00:00:00",
    )
    for n in range(3)
]
"""The revisions of a page, each longer than the one before."""
COPY_OF_FIRST = paper(81, wire_copy(random.Random(9), Story(story(random.Random(3), 6).sentences), cut=0.0, endings=0.2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scanned crawl of all of them; tests only read it."""
    folder = tmp_path_factory.mktemp("why")
    for article in MADE.values():
        article.write(folder / "crawl")
    for n, revision in enumerate(PAGE):
        revision.write(folder / "crawl", f"page {n}.md")
    COPY_OF_FIRST.write(folder / "crawl")
    assert command_scan(folder).code == 0
    return folder


def why(folder: Path, a: str | Path, b: str | Path) -> dict[str, Any]:
    """What is told of two, as JSON; the sentence stands in the text too."""
    ran = run(folder, "why", a, b, "--format", "json")
    assert ran.code == 0, ran.err
    told: dict[str, Any] = ran.json()
    shown = run(folder, "why", a, b)
    assert (shown.code, shown.err) == (0, "")
    assert told["reason"] in shown.out
    return told


def of(folder: Path, a: str, b: str) -> dict[str, Any]:
    return why(folder, MADE[a].address, MADE[b].address)


def measured(a: str, b: str, tail: str = "") -> relations.Numbers:
    x, y = MADE[a].body, MADE[b].body
    return relations.numbers(x, y, *(relations.masked_by(body, [tail] if tail else []) for body in (x, y)))


# What they are


def test_exact(folder: Path) -> None:
    told = of(folder, "agency", "exact")
    assert (told["relation"], told["reason"].partition(":")[0]) == ("exact", "exact")
    assert (told["similarity"], told["coverage"]) == (1, 1)


def test_near_names_its_jaccard(folder: Path) -> None:
    told, n = of(folder, "agency", "near"), measured("agency", "near")
    assert n.similarity >= 0.7
    assert (told["relation"], told["recorded_relation"]) == ("near", "near")
    assert told["reason"].startswith("near: ")
    assert f"{n.similarity:.2f}" in told["reason"]
    assert "0.7" in told["reason"]


def test_a_copy_names_its_coverage(folder: Path) -> None:
    told, n = of(folder, "agency", "copy"), measured("agency", "copy")
    assert (told["relation"], told["recorded_relation"]) == ("copy", "copy")
    assert told["reason"].startswith("copy: ")
    assert f"{n.coverage:.0%}" in told["reason"]
    assert f"{n.shared} " in told["reason"]


def test_an_excerpt_names_its_coverage_and_its_longest_passage(folder: Path) -> None:
    told, n = of(folder, "agency", "excerpt"), measured("agency", "excerpt")
    assert (told["relation"], told["recorded_relation"]) == ("excerpt", "excerpt")
    assert told["reason"].startswith("excerpt: ")
    for number in (f"{n.coverage:.0%}", f"{n.shared} ", f"{n.passage} "):
        assert number in told["reason"]


def test_a_quote_names_how_much_is_quoted(folder: Path) -> None:
    told, n = of(folder, "quote a", "quote b"), measured("quote a", "quote b")
    assert (told["relation"], told["recorded_relation"]) == ("quote", "quote")
    assert told["reason"].startswith("quote: ")
    assert f"{n.quoted:.0%}" in told["reason"]
    assert told["quoted_share"] == round(n.quoted, 4) >= 0.9


def test_a_part_of_a_newsletter_is_told_as_what_was_recorded(folder: Path) -> None:
    told = of(folder, "part", "newsletter")
    assert (told["relation"], told["recorded_relation"]) == ("excerpt", "excerpt")
    assert told["reason"].startswith("excerpt: ")
    assert "bundles" in told["reason"]
    assert told["coverage"] == 1


def test_nothing_in_common(folder: Path) -> None:
    told = of(folder, "agency", "unrelated")
    assert (told["relation"], told["recorded_relation"], told["closest_revisions"], told["passages"]) == (None, None, None, [])
    assert told["reason"] == "none: they share no run of 20 letters or digits."


def test_too_little_in_common_names_what_there_is_and_what_it_would_take(folder: Path) -> None:
    told, n = of(folder, "agency", "a little"), measured("agency", "a little")
    assert n.passage >= 30
    assert told["relation"] is None
    assert told["reason"].startswith("none: ")
    for number in (f"{n.coverage:.0%}", f"{n.shared} ", f"{n.passage} ", "50%", "100", "25%", "80", "150"):
        assert number in told["reason"]


def test_a_short_text_is_exact_or_nothing(folder: Path) -> None:
    assert of(folder, "short", "same short")["relation"] == "exact"
    told = of(folder, "short", "agency")
    assert told["relation"] is None
    assert told["reason"].startswith("none: ")
    assert "min_characters = 80" in told["reason"]


def test_two_states_of_one_page_are_no_duplicates(folder: Path) -> None:
    told = why(folder, f"{PAGE[0].address}#1", f"{PAGE[0].address}#3")
    assert (told["relation"], told["recorded_relation"]) == (None, None)
    assert "one page" in told["reason"]
    assert (told["a"]["revision"], told["b"]["revision"]) == (1, 3)
    assert of(folder, "agency", "agency")["relation"] is None


def test_boilerplate_is_shown_and_left_out(folder: Path) -> None:
    told, n = of(folder, "tailed a", "tailed b"), measured("tailed a", "tailed b", TAIL)
    assert (told["relation"], told["recorded_relation"]) == ("copy", "copy")
    assert (told["shared_characters"], told["longest_passage"], told["coverage"]) == (n.shared, n.passage, round(n.coverage, 4))
    for side in "ab":
        hidden = told["masked_boilerplate"][side]
        assert hidden["characters"] == len(normalise(TAIL))
        assert [p["text"] for p in hidden["passages"]] == [TAIL.rstrip(".")]
    name = told["masked_boilerplate"]["a"]["passages"][0]["name"]
    shown = run(folder, "why", MADE["tailed a"].address, MADE["tailed b"].address).out
    assert shown.count(name) == 2
    assert TAIL.rstrip(".") in shown


def test_what_was_recorded_before_its_boilerplate_was_known_is_told_with_what_to_do(folder: Path) -> None:
    told = of(folder, "tail 0", "tail 1")
    assert (told["relation"], told["recorded_relation"], told["shared_characters"]) == (None, "excerpt", 0)
    assert told["reason"].startswith("none: ")
    assert "boilerplate" in told["reason"]
    assert "recorded as excerpt" in told["reason"]
    assert "'dedup reindex'" in told["reason"]
    told = of(folder, "tail 4", "tail 5")
    assert (told["relation"], told["recorded_relation"]) == (None, None)
    assert "recorded" not in told["reason"]


# How they are named


def test_a_revision_is_named_by_its_number_and_the_closest_two_are_told(folder: Path) -> None:
    now, first = (why(folder, PAGE[0].address + number, COPY_OF_FIRST.address) for number in ("", "#1"))
    assert (now["a"]["revision"], first["a"]["revision"]) == (3, 1)
    for told, revision in ((now, PAGE[2]), (first, PAGE[0])):
        n = relations.numbers(revision.body, COPY_OF_FIRST.body)
        assert (told["similarity"], told["shared_characters"]) == (round(n.similarity, 4), n.shared)
        assert told["a"]["characters"] == len(normalise(revision.body))
        assert (told["closest_revisions"]["a_revision"], told["closest_revisions"]["b_revision"]) == (1, 1)
    assert why(folder, "081_0000000080#2", COPY_OF_FIRST.address)["a"]["revision"] == 2


def test_both_sides_change_places_with_their_names(folder: Path) -> None:
    one, other = of(folder, "agency", "excerpt"), of(folder, "excerpt", "agency")
    assert one["reason"] == other["reason"]
    assert (one["a"], one["b"]) == (other["b"], other["a"])
    assert {(*p["a"], *p["b"]) for p in one["passages"]} == {(*p["b"], *p["a"]) for p in other["passages"]}


def test_a_file_that_is_not_in_the_database(folder: Path, tmp_path: Path) -> None:
    body = wire_copy(random.Random(20), Story(tuple(tuple(s.split()) for s in MADE["agency"].body[:-1].split(". "))))
    path = paper(99, body).write(tmp_path)
    told = why(folder, path, MADE["agency"].address)
    assert (told["relation"], told["recorded_relation"]) == ("copy", None)
    assert told["reason"].startswith("copy: ")
    assert told["reason"].endswith("at least one of the two is not in the database.")
    assert (told["a"]["path"], told["a"]["revision"]) == (str(path), None)
    assert told["closest_revisions"] is None
    assert run(folder, "history", path).code == 3, "nothing was recorded"


def test_files_that_are_in_the_database(folder: Path) -> None:
    paths = [f"crawl/{MADE[name].name}" for name in ("agency", "copy")]
    told = why(folder, *paths)
    assert (told["relation"], told["recorded_relation"], told["a"]["revision"]) == ("copy", "copy", 1)
    assert told["a"]["path"] == os.path.join(folder, paths[0])
    assert why(folder, "crawl/page 0.md", PAGE[0].address)["a"]["revision"] == 1


def test_a_file_that_went_stands_for_its_page(tmp_path: Path) -> None:
    paths = [MADE[name].write(tmp_path / "crawl") for name in ("agency", "copy")]
    assert command_scan(tmp_path).code == 0
    paths[0].unlink()
    assert why(tmp_path, paths[0], paths[1])["relation"] == "copy"


@pytest.mark.parametrize("agency_first", [True, False])
@pytest.mark.parametrize(
    ("named", "code"),
    [
        ("https://none.example/", 3),
        ("no such thing", 3),
        ("https://none.example/#1", 3),
        (f"{PAGE[0].address}#0", 2),
        (f"{PAGE[0].address}#4", 2),
        (f"{PAGE[0].address}#999999999", 2),
        ("crawl", 3),
        ("none.md", 3),
        ("torn.md", 3),
        ("", 3),
    ],
)
def test_what_is_not_there_is_told_with_an_exit_code(folder: Path, named: str, code: int, agency_first: bool) -> None:
    (folder / "torn.md").write_text("---\ntitle:", "utf-8")
    args = (MADE["agency"].address, named) if agency_first else (named, MADE["agency"].address)
    ran = run(folder, "why", *args)
    assert (ran.code, ran.out) == (code, "")
    assert len(ran.err.splitlines()) == 1


def test_an_id_of_two_pages_is_refused(tmp_path: Path) -> None:
    for site in ("one", "two"):
        replace(MADE["agency"], url=f"https://{site}.example/").write(tmp_path / "crawl", f"{site}.md")
    assert command_scan(tmp_path).code == 0
    ran = run(tmp_path, "why", "001_0000000000", "https://one.example/")
    assert ran.code == 2
    assert "https://one.example/" in ran.err
    assert "https://two.example/" in ran.err
    assert why(tmp_path, "https://one.example/", "https://two.example/")["relation"] == "exact"


def test_other_settings_than_those_of_the_database_are_refused(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "other.toml"
    config.write_text("[duplicates]\ncopy_coverage = 0.6\n", "utf-8")
    ran = run(folder, "why", "-c", config, "-d", folder / "dedup.db", MADE["agency"].address, MADE["copy"].address)
    assert ran.code == 3
    assert "dedup reindex" in ran.err


# What is told


KEYS = {
    "a", "b", "relation", "recorded_relation", "reason", "similarity", "containment",
    "coverage", "shared_characters", "longest_passage", "quoted_share", "shingles", "bands",
    "fingerprints", "passages", "masked_boilerplate", "closest_revisions", "thresholds",
}  # fmt: skip
SIDE = {"url", "title", "publisher", "publisher_printed", "revision", "path", "characters"}
PAIRS = [("agency", other) for other in ("exact", "near", "copy", "excerpt", "unrelated", "a little", "short")]
PAIRS += [("quote a", "quote b"), ("part", "newsletter"), ("tailed a", "tailed b"), ("tail 0", "tail 1"), ("copy", "excerpt")]


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_every_answer_has_the_same_keys_and_the_numbers_of_the_definitions(folder: Path, pair: tuple[str, str]) -> None:
    told = of(folder, *pair)
    assert told.keys() == KEYS
    assert told["a"].keys() == told["b"].keys() == SIDE
    bodies = [MADE[name].body for name in pair]
    n = measured(*pair, TAIL if "tail" in pair[0] else "")
    assert told["similarity"] == round(n.similarity, 4)
    assert told["containment"] == round(n.containment, 4)
    assert (told["shared_characters"], told["longest_passage"]) == (n.shared, n.passage)
    assert (told["coverage"], told["quoted_share"]) == (round(n.coverage, 4), round(n.quoted, 4))
    sets = [relations.shingles(normalise(body)) for body in bodies]
    assert told["shingles"] == {"a": len(sets[0]), "b": len(sets[1]), "shared": len(sets[0] & sets[1])}
    assert [told[side]["characters"] for side in "ab"] == [len(normalise(body)) for body in bodies]
    assert [told[side]["title"] for side in "ab"] == [MADE[name].title for name in pair]
    assert told["thresholds"]["copy_coverage"] == 0.5
    keys, bands = told["fingerprints"], told["bands"]
    assert 0 <= keys["shared"] <= min(keys["a"], keys["b"])
    assert 0 <= bands["shared"] <= bands["total"]
    assert (bands["shared"] > 0) >= (n.similarity > 0.95 and min(told[side]["characters"] for side in "ab") >= 80)


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_passages_stand_where_they_are_said_to_stand(folder: Path, pair: tuple[str, str]) -> None:
    told = of(folder, *pair)
    one, other = (MADE[name].body for name in pair)
    check_passages(told, one, other)
    if "tail" not in pair[0]:
        assert max((p["characters"] for p in told["passages"]), default=0) == told["longest_passage"] or told["relation"] == "exact"


def check_passages(told: dict[str, Any], one: str, other: str) -> None:
    covered: set[int] = set()
    for p in told["passages"]:
        (begin, end), (there, until) = p["a"], p["b"]
        assert p["text"] == one[begin:end]
        assert normalise(one[begin:end]) == normalise(other[there:until])
        assert len(normalise(one[begin:end])) == p["characters"] >= 20
        before = len(normalise(one[:begin]))
        covered |= set(range(before, before + p["characters"]))
    assert covered == relations.covered(normalise(one), normalise(other))


def test_passages_of_decomposed_text_stand_where_they_are_said_to_stand(tmp_path: Path) -> None:
    """Each syllable of the one is two or three characters, and its marks and blanks are others."""
    source = story(random.Random(30), 5)
    own = prose([sentence(random.Random(31))])
    one = f"{own} é“{source.body}”"
    other = unicodedata.normalize("NFD", f"『{source.body.replace(' ', '  ')}』 É {' '.join(words(random.Random(32), 9))}")
    for n, body in enumerate((one, other)):
        paper(n, body).write(tmp_path / "crawl")
    assert command_scan(tmp_path).code == 0
    for a, b, bodies in ((0, 1, (one, other)), (1, 0, (other, one))):
        told = why(tmp_path, f"00{a + 1}_000000000{a}", f"00{b + 1}_000000000{b}")
        check_passages(told, *bodies)
        assert max(p["characters"] for p in told["passages"]) == len(normalise(source.body))


def test_the_house_is_told_where_it_goes_by_another_name(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n[[publishers.aliases]]\nname = "한빛"\nnames = ["신문 0"]\n', "utf-8"
    )
    for name in ("agency", "copy"):
        MADE[name].write(tmp_path / "crawl")
    assert run(tmp_path, "scan").code == 0
    told = of(tmp_path, "agency", "copy")
    assert (told["a"]["publisher_printed"], told["a"]["publisher"]) == ("신문 0", "한빛")
    assert told["b"]["publisher"] == told["b"]["publisher_printed"]
    assert run(tmp_path, "why", MADE["agency"].address, MADE["copy"].address).out.count("counted as") == 1


# Hostile content

EVIL = "\x1b[31m\x07\x7f\x9b2J\u202e\u2066\u2028\u200f\x1b]0;owned\x07\ufeff"


def steering(text: str) -> set[str]:
    """Characters that a terminal could obey or that reorder a line."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") and c not in "\n\u200c\u200d"}


def test_nothing_that_a_terminal_would_obey_is_printed(tmp_path: Path) -> None:
    rng = random.Random(40)
    tail = f"{TAIL[:60]}{EVIL}{TAIL[60:]}"
    for n in range(5):
        paper(50 + n, f"{story(rng, 5).body} {tail}", publisher="한빛").write(tmp_path / "crawl")
    source = story(rng, 5)
    both = []
    for n in range(2):
        body = f"{prose((sentence(rng),))} {EVIL.join(source.body.split('.'))} {tail}"
        url = f"https://x.example/{n}?q={EVIL}"
        both.append(replace(paper(60 + n, body, publisher=f"한빛{EVIL}", url=url), title=f"제목{EVIL}"))
        both[-1].write(tmp_path / "crawl", f"{n}.md")
    assert command_scan(tmp_path).code == 0
    assert run(tmp_path, "boilerplate", "mask", "--publisher", f"한빛{EVIL}", "--text", tail).code == 0
    evil = tmp_path / f"e\x1b[1m\u202evil{both[0].name[-3:]}"
    evil.write_text(both[0].render(), "utf-8")
    answers: list[CommandResult] = []
    for a, b in (("crawl/0.md", "crawl/1.md"), (str(evil), "crawl/1.md"), (both[0].address, f"{both[1].address}#1")):
        for form in ("text", "json"):
            answers.append(run(tmp_path, "why", a, b, "--format", form))
            assert answers[-1].code == 0, answers[-1].err
    told = json.loads(answers[1].out)
    assert "\x1b[31m" in told["a"]["title"]
    assert told["masked_boilerplate"]["a"]["passages"]
    assert any("\x1b" in p["text"] for p in told["passages"])
    answers += [run(tmp_path, "why", both[0].address, f"https://none.example/{EVIL}"), run(tmp_path, "why", f"{EVIL}", "crawl/1.md")]
    assert all("x1b" in a.out + a.err or "u001b" in a.out + a.err for a in answers), "the hostile content was there to be shown"
    for answer in answers:
        assert not steering(answer.out + answer.err)

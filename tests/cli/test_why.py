"""`dedup why`: one sentence with the relation of two articles and the measures behind it."""

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
from tests.builders.crawl import ArticleFile, edit_words, words
from tests.builders.stories import Story, command_scan, paper, prose, sentence, story, wire_copy

pytestmark = pytest.mark.usefixtures("machine_code")

TAIL = prose(story(random.Random(1), 2).sentences)
"""Boilerplate of one publisher."""


def build_articles() -> dict[str, ArticleFile]:
    """Return articles by name; the names say how they are related."""
    rng = random.Random(2)
    source, other, quoting = story(rng, 7), story(rng, 7), [story(rng, 3) for _ in range(4)]
    speech = prose(story(rng, 2).sentences)
    parts = [story(rng, 3).body for _ in range(2)]
    flat = source.body.split()
    bodies = {
        "agency": source.body,
        "exact": source.body.replace(" ", "\n\n", 7).replace(".", "…"),
        "near": " ".join(edit_words(rng, flat, 0.02)),
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
    articles = {name: paper(n, body) for n, (name, body) in enumerate(bodies.items())}
    fields = {"publisher": "한빛일보"}
    articles |= {f"tail {n}": paper(50 + n, f"{story(rng, 4).body} {TAIL}", **fields) for n in range(6)}
    own = story(rng, 5)
    articles["tailed a"] = paper(60, f"{own.body} {TAIL}", **fields)
    articles["tailed b"] = paper(61, f"{wire_copy(rng, own)} {TAIL}", **fields)
    return articles


ARTICLES = build_articles()
PAGE = [
    paper(
        80,
        prose((*story(random.Random(3), 6).sentences, *story(random.Random(4 + n), 2 * n).sentences)),
        crawled_at=f"2026-03-0{n + 2} 00:00:00",
    )
    for n in range(3)
]
"""Revisions of a page, each longer than the one before."""
COPY_OF_FIRST = paper(81, wire_copy(random.Random(9), Story(story(random.Random(3), 6).sentences), cut=0.0, endings=0.2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scanned crawl of all these articles. Tests only read it."""
    folder = tmp_path_factory.mktemp("why")
    for article in ARTICLES.values():
        article.write(folder / "crawl")
    for n, revision in enumerate(PAGE):
        revision.write(folder / "crawl", f"page {n}.md")
    COPY_OF_FIRST.write(folder / "crawl")
    assert command_scan(folder).code == 0
    return folder


def why(folder: Path, a: str | Path, b: str | Path) -> dict[str, Any]:
    """Return the JSON answer for two articles, and check that the text output has its reason."""
    result = run(folder, "why", a, b, "--format", "json")
    assert result.code == 0, result.err
    answer: dict[str, Any] = result.json()
    text = run(folder, "why", a, b)
    assert (text.code, text.err) == (0, "")
    assert answer["reason"] in text.out
    return answer


def why_of(folder: Path, a: str, b: str) -> dict[str, Any]:
    return why(folder, ARTICLES[a].address, ARTICLES[b].address)


def measured(a: str, b: str, tail: str = "") -> relations.Numbers:
    x, y = ARTICLES[a].body, ARTICLES[b].body
    return relations.numbers(x, y, *(relations.masked_by(body, [tail] if tail else []) for body in (x, y)))


# Relations


def test_equal_texts_are_exact(folder: Path) -> None:
    answer = why_of(folder, "agency", "exact")
    assert (answer["relation"], answer["reason"].partition(":")[0]) == ("exact", "exact")
    assert (answer["similarity"], answer["coverage"]) == (1, 1)


def test_near_is_explained_by_its_similarity(folder: Path) -> None:
    answer, n = why_of(folder, "agency", "near"), measured("agency", "near")
    assert n.similarity >= 0.7
    assert (answer["relation"], answer["recorded_relation"]) == ("near", "near")
    assert answer["reason"].startswith("near: ")
    assert f"{n.similarity:.2f}" in answer["reason"]
    assert "0.7" in answer["reason"]


def test_a_copy_is_explained_by_its_coverage(folder: Path) -> None:
    answer, n = why_of(folder, "agency", "copy"), measured("agency", "copy")
    assert (answer["relation"], answer["recorded_relation"]) == ("copy", "copy")
    assert answer["reason"].startswith("copy: ")
    assert f"{n.coverage:.0%}" in answer["reason"]
    assert f"{n.shared} " in answer["reason"]


def test_an_excerpt_is_explained_by_its_coverage_and_longest_passage(folder: Path) -> None:
    answer, n = why_of(folder, "agency", "excerpt"), measured("agency", "excerpt")
    assert (answer["relation"], answer["recorded_relation"]) == ("excerpt", "excerpt")
    assert answer["reason"].startswith("excerpt: ")
    for number in (f"{n.coverage:.0%}", f"{n.shared} ", f"{n.passage} "):
        assert number in answer["reason"]


def test_a_quote_is_explained_by_its_quoted_share(folder: Path) -> None:
    answer, n = why_of(folder, "quote a", "quote b"), measured("quote a", "quote b")
    assert (answer["relation"], answer["recorded_relation"]) == ("quote", "quote")
    assert answer["reason"].startswith("quote: ")
    assert f"{n.quoted:.0%}" in answer["reason"]
    assert answer["quoted_share"] == round(n.quoted, 4) >= 0.9


def test_a_part_of_a_newsletter_is_explained_as_recorded(folder: Path) -> None:
    answer = why_of(folder, "part", "newsletter")
    assert (answer["relation"], answer["recorded_relation"]) == ("excerpt", "excerpt")
    assert answer["reason"].startswith("excerpt: ")
    assert "bundles" in answer["reason"]
    assert answer["coverage"] == 1


def test_unrelated_texts_have_no_relation(folder: Path) -> None:
    answer = why_of(folder, "agency", "unrelated")
    assert (answer["relation"], answer["recorded_relation"], answer["closest_revisions"], answer["passages"]) == (None, None, None, [])
    assert answer["reason"] == "none: they share no run of 20 letters or digits."


def test_too_little_in_common_is_explained_with_measures_and_thresholds(folder: Path) -> None:
    answer, n = why_of(folder, "agency", "a little"), measured("agency", "a little")
    assert n.passage >= 30
    assert answer["relation"] is None
    assert answer["reason"].startswith("none: ")
    for number in (f"{n.coverage:.0%}", f"{n.shared} ", f"{n.passage} ", "50%", "100", "25%", "80", "150"):
        assert number in answer["reason"]


def test_a_short_text_can_only_be_exact(folder: Path) -> None:
    assert why_of(folder, "short", "same short")["relation"] == "exact"
    answer = why_of(folder, "short", "agency")
    assert answer["relation"] is None
    assert answer["reason"].startswith("none: ")
    assert "min_characters = 80" in answer["reason"]


def test_two_revisions_of_one_page_are_no_duplicates(folder: Path) -> None:
    answer = why(folder, f"{PAGE[0].address}#1", f"{PAGE[0].address}#3")
    assert (answer["relation"], answer["recorded_relation"]) == (None, None)
    assert "one page" in answer["reason"]
    assert (answer["a"]["revision"], answer["b"]["revision"]) == (1, 3)
    assert why_of(folder, "agency", "agency")["relation"] is None


def test_boilerplate_is_listed_and_does_not_count(folder: Path) -> None:
    answer, n = why_of(folder, "tailed a", "tailed b"), measured("tailed a", "tailed b", TAIL)
    assert (answer["relation"], answer["recorded_relation"]) == ("copy", "copy")
    assert (answer["shared_characters"], answer["longest_passage"], answer["coverage"]) == (n.shared, n.passage, round(n.coverage, 4))
    for side in "ab":
        masked = answer["masked_boilerplate"][side]
        assert masked["characters"] == len(normalise(TAIL))
        assert [p["text"] for p in masked["passages"]] == [TAIL.rstrip(".")]
    name = answer["masked_boilerplate"]["a"]["passages"][0]["name"]
    output = run(folder, "why", ARTICLES["tailed a"].address, ARTICLES["tailed b"].address).out
    assert output.count(name) == 2
    assert TAIL.rstrip(".") in output


def test_a_match_recorded_before_its_boilerplate_was_learned_is_reported_with_the_remedy(folder: Path) -> None:
    answer = why_of(folder, "tail 0", "tail 1")
    assert (answer["relation"], answer["recorded_relation"], answer["shared_characters"]) == (None, "excerpt", 0)
    assert answer["reason"].startswith("none: ")
    assert "boilerplate" in answer["reason"]
    assert "recorded as excerpt" in answer["reason"]
    assert "'dedup reindex'" in answer["reason"]
    answer = why_of(folder, "tail 4", "tail 5")
    assert (answer["relation"], answer["recorded_relation"]) == (None, None)
    assert "recorded" not in answer["reason"]


# Naming articles


def test_a_revision_is_selected_by_number_and_the_closest_pair_is_reported(folder: Path) -> None:
    current, first = (why(folder, PAGE[0].address + number, COPY_OF_FIRST.address) for number in ("", "#1"))
    assert (current["a"]["revision"], first["a"]["revision"]) == (3, 1)
    for answer, revision in ((current, PAGE[2]), (first, PAGE[0])):
        n = relations.numbers(revision.body, COPY_OF_FIRST.body)
        assert (answer["similarity"], answer["shared_characters"]) == (round(n.similarity, 4), n.shared)
        assert answer["a"]["characters"] == len(normalise(revision.body))
        assert (answer["closest_revisions"]["a_revision"], answer["closest_revisions"]["b_revision"]) == (1, 1)
    assert why(folder, "081_0000000080#2", COPY_OF_FIRST.address)["a"]["revision"] == 2


def test_swapping_the_arguments_swaps_both_sides(folder: Path) -> None:
    forward, swapped = why_of(folder, "agency", "excerpt"), why_of(folder, "excerpt", "agency")
    assert forward["reason"] == swapped["reason"]
    assert (forward["a"], forward["b"]) == (swapped["b"], swapped["a"])
    assert {(*p["a"], *p["b"]) for p in forward["passages"]} == {(*p["b"], *p["a"]) for p in swapped["passages"]}


def test_a_file_outside_of_the_database_is_compared_and_not_recorded(folder: Path, tmp_path: Path) -> None:
    body = wire_copy(random.Random(20), Story(tuple(tuple(s.split()) for s in ARTICLES["agency"].body[:-1].split(". "))))
    path = paper(99, body).write(tmp_path)
    answer = why(folder, path, ARTICLES["agency"].address)
    assert (answer["relation"], answer["recorded_relation"]) == ("copy", None)
    assert answer["reason"].startswith("copy: ")
    assert answer["reason"].endswith("at least one of the two is not in the database.")
    assert (answer["a"]["path"], answer["a"]["revision"]) == (str(path), None)
    assert answer["closest_revisions"] is None
    assert run(folder, "history", path).code == 3, "the file is not recorded"


def test_recorded_files_are_their_revisions(folder: Path) -> None:
    paths = [f"crawl/{ARTICLES[name].name}" for name in ("agency", "copy")]
    answer = why(folder, *paths)
    assert (answer["relation"], answer["recorded_relation"], answer["a"]["revision"]) == ("copy", "copy", 1)
    assert answer["a"]["path"] == os.path.join(folder, paths[0])
    assert why(folder, "crawl/page 0.md", PAGE[0].address)["a"]["revision"] == 1


def test_the_path_of_a_deleted_file_names_its_page(tmp_path: Path) -> None:
    paths = [ARTICLES[name].write(tmp_path / "crawl") for name in ("agency", "copy")]
    assert command_scan(tmp_path).code == 0
    paths[0].unlink()
    assert why(tmp_path, paths[0], paths[1])["relation"] == "copy"


@pytest.mark.parametrize("agency_first", [True, False])
@pytest.mark.parametrize(
    ("name", "code"),
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
def test_an_unknown_name_fails_with_one_line(folder: Path, name: str, code: int, agency_first: bool) -> None:
    (folder / "torn.md").write_text("---\ntitle:", "utf-8")
    args = (ARTICLES["agency"].address, name) if agency_first else (name, ARTICLES["agency"].address)
    result = run(folder, "why", *args)
    assert (result.code, result.out) == (code, "")
    assert len(result.err.splitlines()) == 1


def test_an_ambiguous_id_is_rejected_with_the_urls(tmp_path: Path) -> None:
    for site in ("one", "two"):
        replace(ARTICLES["agency"], url=f"https://{site}.example/").write(tmp_path / "crawl", f"{site}.md")
    assert command_scan(tmp_path).code == 0
    result = run(tmp_path, "why", "001_0000000000", "https://one.example/")
    assert result.code == 2
    assert "https://one.example/" in result.err
    assert "https://two.example/" in result.err
    assert why(tmp_path, "https://one.example/", "https://two.example/")["relation"] == "exact"


def test_settings_that_differ_from_the_database_are_refused(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "other.toml"
    config.write_text("[duplicates]\ncopy_coverage = 0.6\n", "utf-8")
    result = run(folder, "why", "-c", config, "-d", folder / "dedup.db", ARTICLES["agency"].address, ARTICLES["copy"].address)
    assert result.code == 3
    assert "dedup reindex" in result.err


# Answers


KEYS = {
    "a", "b", "relation", "recorded_relation", "reason", "similarity", "containment",
    "coverage", "shared_characters", "longest_passage", "quoted_share", "shingles", "bands",
    "fingerprints", "passages", "masked_boilerplate", "closest_revisions", "thresholds",
}  # fmt: skip
SIDE = {"url", "title", "publisher", "publisher_printed", "revision", "path", "characters"}
PAIRS = [("agency", other) for other in ("exact", "near", "copy", "excerpt", "unrelated", "a little", "short")]
PAIRS += [("quote a", "quote b"), ("part", "newsletter"), ("tailed a", "tailed b"), ("tail 0", "tail 1"), ("copy", "excerpt")]


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_every_answer_has_the_same_keys_and_the_measures_of_the_oracle(folder: Path, pair: tuple[str, str]) -> None:
    answer = why_of(folder, *pair)
    assert answer.keys() == KEYS
    assert answer["a"].keys() == answer["b"].keys() == SIDE
    bodies = [ARTICLES[name].body for name in pair]
    n = measured(*pair, TAIL if "tail" in pair[0] else "")
    assert answer["similarity"] == round(n.similarity, 4)
    assert answer["containment"] == round(n.containment, 4)
    assert (answer["shared_characters"], answer["longest_passage"]) == (n.shared, n.passage)
    assert (answer["coverage"], answer["quoted_share"]) == (round(n.coverage, 4), round(n.quoted, 4))
    sets = [relations.shingles(normalise(body)) for body in bodies]
    assert answer["shingles"] == {"a": len(sets[0]), "b": len(sets[1]), "shared": len(sets[0] & sets[1])}
    assert [answer[side]["characters"] for side in "ab"] == [len(normalise(body)) for body in bodies]
    assert [answer[side]["title"] for side in "ab"] == [ARTICLES[name].title for name in pair]
    assert answer["thresholds"]["copy_coverage"] == 0.5
    keys, bands = answer["fingerprints"], answer["bands"]
    assert 0 <= keys["shared"] <= min(keys["a"], keys["b"])
    assert 0 <= bands["shared"] <= bands["total"]
    assert (bands["shared"] > 0) >= (n.similarity > 0.95 and min(answer[side]["characters"] for side in "ab") >= 80)


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_passages_have_correct_positions(folder: Path, pair: tuple[str, str]) -> None:
    answer = why_of(folder, *pair)
    one, other = (ARTICLES[name].body for name in pair)
    check_passages(answer, one, other)
    if "tail" not in pair[0]:
        assert max((p["characters"] for p in answer["passages"]), default=0) == answer["longest_passage"] or answer["relation"] == "exact"


def check_passages(answer: dict[str, Any], one: str, other: str) -> None:
    covered: set[int] = set()
    for p in answer["passages"]:
        (begin, end), (other_begin, other_end) = p["a"], p["b"]
        assert p["text"] == one[begin:end]
        assert normalise(one[begin:end]) == normalise(other[other_begin:other_end])
        assert len(normalise(one[begin:end])) == p["characters"] >= 20
        before = len(normalise(one[:begin]))
        covered |= set(range(before, before + p["characters"]))
    assert covered == relations.covered(normalise(one), normalise(other))


def test_passages_of_decomposed_text_have_correct_positions(tmp_path: Path) -> None:
    """Syllables of the second text are two or three characters; its quotation marks and blanks differ."""
    source = story(random.Random(30), 5)
    own = prose([sentence(random.Random(31))])
    one = f"{own} é“{source.body}”"
    other = unicodedata.normalize("NFD", f"『{source.body.replace(' ', '  ')}』 É {' '.join(words(random.Random(32), 9))}")
    for n, body in enumerate((one, other)):
        paper(n, body).write(tmp_path / "crawl")
    assert command_scan(tmp_path).code == 0
    for a, b, bodies in ((0, 1, (one, other)), (1, 0, (other, one))):
        answer = why(tmp_path, f"00{a + 1}_000000000{a}", f"00{b + 1}_000000000{b}")
        check_passages(answer, *bodies)
        assert max(p["characters"] for p in answer["passages"]) == len(normalise(source.body))


def test_the_canonical_publisher_is_reported_for_an_alias(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n[[publishers.aliases]]\nname = "한빛"\nnames = ["신문 0"]\n', "utf-8"
    )
    for name in ("agency", "copy"):
        ARTICLES[name].write(tmp_path / "crawl")
    assert run(tmp_path, "scan").code == 0
    answer = why_of(tmp_path, "agency", "copy")
    assert (answer["a"]["publisher_printed"], answer["a"]["publisher"]) == ("신문 0", "한빛")
    assert answer["b"]["publisher"] == answer["b"]["publisher_printed"]
    assert run(tmp_path, "why", ARTICLES["agency"].address, ARTICLES["copy"].address).out.count("counted as") == 1


# Hostile content

HOSTILE = "\x1b[31m\x07\x7f\x9b2J\u202e\u2066\u2028\u200f\x1b]0;owned\x07\ufeff"


def control_characters(text: str) -> set[str]:
    """Return characters that control a terminal or reorder a line."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") and c not in "\n\u200c\u200d"}


def test_output_has_no_control_characters(tmp_path: Path) -> None:
    rng = random.Random(40)
    tail = f"{TAIL[:60]}{HOSTILE}{TAIL[60:]}"
    for n in range(5):
        paper(50 + n, f"{story(rng, 5).body} {tail}", publisher="한빛").write(tmp_path / "crawl")
    source = story(rng, 5)
    articles = []
    for n in range(2):
        body = f"{prose((sentence(rng),))} {HOSTILE.join(source.body.split('.'))} {tail}"
        url = f"https://x.example/{n}?q={HOSTILE}"
        articles.append(replace(paper(60 + n, body, publisher=f"한빛{HOSTILE}", url=url), title=f"제목{HOSTILE}"))
        articles[-1].write(tmp_path / "crawl", f"{n}.md")
    assert command_scan(tmp_path).code == 0
    assert run(tmp_path, "boilerplate", "mask", "--publisher", f"한빛{HOSTILE}", "--text", tail).code == 0
    hostile_path = tmp_path / f"e\x1b[1m\u202evil{articles[0].name[-3:]}"
    hostile_path.write_text(articles[0].render(), "utf-8")
    results: list[CommandResult] = []
    for a, b in (("crawl/0.md", "crawl/1.md"), (str(hostile_path), "crawl/1.md"), (articles[0].address, f"{articles[1].address}#1")):
        for form in ("text", "json"):
            results.append(run(tmp_path, "why", a, b, "--format", form))
            assert results[-1].code == 0, results[-1].err
    answer = json.loads(results[1].out)
    assert "\x1b[31m" in answer["a"]["title"]
    assert answer["masked_boilerplate"]["a"]["passages"]
    assert any("\x1b" in p["text"] for p in answer["passages"])
    results += [
        run(tmp_path, "why", articles[0].address, f"https://none.example/{HOSTILE}"),
        run(tmp_path, "why", f"{HOSTILE}", "crawl/1.md"),
    ]
    assert all("x1b" in a.out + a.err or "u001b" in a.out + a.err for a in results), "the output included the hostile content, escaped"
    for result in results:
        assert not control_characters(result.out + result.err)

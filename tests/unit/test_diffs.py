"""What changed between two texts: every side comes back, nothing that belongs together is split, what moved is told as moved."""

from __future__ import annotations

import random
import unicodedata
from itertools import pairwise

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup.changes import diff
from dedup.changes.diff import Operation, render
from tests.builders.crawl import edited, words

WORDY = st.lists(
    st.sampled_from(
        [
            "금리",
            "가",
            " ",
            "  ",
            "\n",
            "1,200",
            "3.5",
            "%",
            ".",
            "다.",
            "port",
            "_",
            "\u0301",
            "“",
            "”",
            '"',
            "'",
            "638조원",
            "金",
            "말했다. ",
        ]
    ),
    max_size=60,
).map("".join)
ANY = st.one_of(WORDY, st.text())
CLEAN = ANY.map(diff.clean)


@given(ANY)
@settings(deadline=None)
@example("\x1c0")
@example("가\u0301\r\n\u00a0나")
def test_cleaning_twice_is_cleaning_once_and_leaves_letters_alone(raw: str) -> None:
    once = diff.clean(raw)
    assert diff.clean(once) == once
    assert not regex.search(r"[^\S \n]|\s\s", once)
    letters = [c for c in unicodedata.normalize("NFC", raw) if unicodedata.category(c)[0] in "LN"]
    assert [c for c in once if unicodedata.category(c)[0] in "LN"] == letters


@given(CLEAN)
@settings(deadline=None)
@example("각\u0301")
@example("\u1112\u1161\u11ab\u1100")
def test_tokens_and_sentences_joined_are_the_text_and_split_no_grapheme(text: str) -> None:
    graphemes = {m.end() for m in regex.finditer(r"\X", text)} | {0}
    for parts in ([t.text for t in diff.tokenise(text)], diff.split_sentences(text)):
        assert "".join(parts) == text
        assert all(parts)
        at = 0
        for part in parts:
            at += len(part)
            assert at in graphemes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("금리 -3.5%로, 1,200원!", ["-3.5%", "1,200원"]),
        ("638조→639조, 3억 5천만원", ["638조", "639조", "3억 5천만원"]),
        ("2026-03-05 10:30 12월 3일", ["2026-03-05", "10:30", "12월", "3일"]),
        ("$1.2bn, 5.2%p 2분기 3만여명", ["$1.2bn", "5.2%p", "2분기", "3만여명"]),
        ("△0.3포인트 +7 3~5명", ["△0.3포인트", "+7", "3", "5명"]),
        ("GPT4 A-1 v1.2.3", ["1"]),
        ("https://a.example/2026?n=3 그리고 n3@a.example", []),
    ],
)
def test_a_number_has_its_sign_separators_powers_and_unit(text: str, expected: list[str]) -> None:
    assert [t.text for t in diff.tokenise(text) if t.kind == "number"] == expected


@given(st.lists(st.tuples(st.integers(0, 10**7), st.sampled_from(["원", "%", "명", "조", "", "km"])), min_size=1, max_size=6))
def test_no_number_is_ever_split(made: list[tuple[int, str]]) -> None:
    numbers = [f"{n:,}{unit}" for n, unit in made]
    assert [t.text for t in diff.tokenise(" 그리고 ".join(numbers)) if t.kind == "number"] == numbers


def test_hangul_and_latin_words_are_whole_and_ideographs_stand_alone() -> None:
    assert [t.text for t in diff.tokenise("don't 대통령은 金利é, 한e")] == [
        "don't",
        " ",
        "대통령은",
        " ",
        "金",
        "利",
        "é",
        ",",
        " ",
        "한",
        "e",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("의결했다.이어 제출한다. 끝이다", ["의결했다.", "이어 제출한다. ", "끝이다"]),
        ('밝혔다."그럴 수 없다. 안 된다."고 했다. 끝.', ["밝혔다.", '"그럴 수 없다. 안 된다."고 했다. ', "끝."]),
        ("“하나다. 둘이다.” 그는 말했다. 셋.", ["“하나다. 둘이다.” 그는 말했다. ", "셋."]),
        ("김 의원은 'A안이다. B안은 아니다'라고 했다. 끝.", ["김 의원은 'A안이다. B안은 아니다'라고 했다. ", "끝."]),
        (
            "It rose 3.5 percent.Analysts agreed. Mr. Han left.\nHe won.",
            ["It rose 3.5 percent.", "Analysts agreed. ", "Mr. Han left.\n", "He won."],
        ),
        ("The U.S. economy e.g. v1.2. 3. Third point.", ["The U.S. economy e.g. v1.2. ", "3. Third point."]),
        ('열린 "따옴표다. 다음이다.', ['열린 "따옴표다. ', "다음이다."]),
        ("終わり。次へ", ["終わり。", "次へ"]),
    ],
)
def test_sentences_end_glued_or_not_and_keep_quotations_whole(text: str, expected: list[str]) -> None:
    assert diff.split_sentences(text) == expected


@given(CLEAN, CLEAN)
@settings(deadline=None, max_examples=400)
@example("", "")
@example("a b a b a", "b a b")
@example("가나다라마바사아. 하나다.", "하나다. 가나다라마바사아.")
def test_either_side_comes_back_from_a_difference(one: str, other: str) -> None:
    found = diff.compare(one, other)
    assert (diff.text_before(found), diff.text_after(found)) == (one, other)
    assert all(o.text for o in found)
    assert all(a.kind != b.kind or a.move is not None for a, b in pairwise(found))


@given(CLEAN)
def test_a_text_differs_from_itself_in_nothing(text: str) -> None:
    assert diff.compare(text, text) == ([Operation("same", text)] if text else [])


@given(CLEAN, CLEAN)
@settings(deadline=None, max_examples=200)
def test_differences_begin_and_end_between_tokens(one: str, other: str) -> None:
    found = diff.compare(one, other)
    for side, kinds in ((one, ("same", "removed", "moved_from")), (other, ("same", "added", "moved_to"))):
        ends = {0}
        for sentence in diff.split_sentences(side):
            start = max(ends)
            for t in diff.tokenise(sentence):
                start += len(t.text)
                ends.add(start)
                if t.kind == "blank":  # of a sentence that stayed, what follows it may differ
                    ends |= set(range(start - len(t.text), start))
        at = 0
        for o in found:
            if o.kind in kinds:
                at += len(o.text)
                assert at in ends


@given(CLEAN, CLEAN)
@settings(deadline=None, max_examples=200)
def test_rows_side_by_side_are_the_two_sides(one: str, other: str) -> None:
    found = diff.compare(one, other)
    rows = list(render.to_rows(found))
    assert "".join(o.text for row in rows for o in row.left) == one
    assert "".join(o.text for row in rows for o in row.right) == other


def told(one: str, other: str) -> str:
    marks = {"removed": "[-{}-]", "added": "{{+{}+}}", "moved_from": "<{}<", "moved_to": ">{}>", "same": "{}"}
    return "".join(marks[o.kind].format(o.text) for o in diff.compare(diff.clean(one), diff.clean(other)))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("금리를 3.5%로 올렸다.", "금리를 3.75%로 올렸다.", "금리를 [-3.5%-]{+3.75%+}로 올렸다."),
        ("예산은 638조원이다.끝이다.", "예산은 639조원이다.끝이다.", "예산은 [-638조원-]{+639조원+}이다.끝이다."),
        ("첫 문장이다.", "첫 문장이다. 둘째 문장이다.", "첫 문장이다.{+ 둘째 문장이다.+}"),
        ("앞말 본문", "본문", "[-앞말 -]본문"),
        ("시장은 웃었다. 의장은 울었다.", "시장은 크게 웃었다. 의장은 울었다.", "시장은 {+크게 +}웃었다. 의장은 울었다."),
        ("시의회는 표결했다. 시장은 반대했다. 끝났다.", "시장은 반대했다. 시의회는 표결했다. 끝났다.", None),
        ("같은  글\r\n둘\u200b", "같은 글\n둘", "같은 글\n둘"),
        ("", "새 글", "{+새 글+}"),
    ],
)
def test_whole_words_and_numbers_are_told(one: str, other: str, expected: str | None) -> None:
    if expected is not None:
        assert told(one, other) == expected
    else:
        assert told(one, other) in (
            "<시의회는 표결했다. <시장은 반대했다. >시의회는 표결했다. >끝났다.",
            ">시장은 반대했다. >시의회는 표결했다. <시장은 반대했다. <끝났다.",
        )


def test_a_sentence_that_moved_is_told_once_with_where_it_was_and_is() -> None:
    rng = random.Random(5)
    sentences = [" ".join(words(rng, 8)) + "다. " for _ in range(30)]
    moved = [*sentences[:3], *sentences[4:20], sentences[3], *sentences[20:]]
    found = diff.compare(diff.clean("".join(sentences)), diff.clean("".join(moved)))
    moves = [o for o in found if o.kind != "same"]
    assert [(o.kind, o.text, o.move) for o in moves] == [("moved_from", sentences[3], 0), ("moved_to", sentences[3], 0)]


def test_only_the_words_that_changed_are_told_in_a_long_article() -> None:
    rng = random.Random(3)
    before = words(rng, 4000)
    after = edited(rng, before, 0.05)
    found = diff.compare(" ".join(before), " ".join(after))
    changed = sum(1 for a, b in zip(before, after, strict=True) if a != b)
    added = "".join(o.text for o in found if o.kind == "added")
    assert 0 < len(regex.findall(r"\w+", added)) <= 2 * changed


def _prose(seed: int, sentences: int, between: str) -> str:
    rng = random.Random(seed)
    return between.join(" ".join(chr(0xAC00 + rng.randrange(11172)) * 2 for _ in range(10)) + "다." for _ in range(sentences))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x a " * 100_000, "a y " * 100_000),
        (_prose(1, 10_000, " "), _prose(2, 10_000, " ")),
        (_prose(1, 10_000, ""), _prose(2, 10_000, "")),
        ("".join(f"{n} " for n in range(90_000)), "".join(f"{n} " for n in range(90_000, 0, -1))),
        ('"' * 500_000, "“" * 500_000),
        ("가. " * 200_000, "나. " * 200_000),
    ],
    ids=["repeated", "prose", "glued", "long", "quotes", "short"],
)
@pytest.mark.timeout(60)
def test_a_megabyte_is_told_more_coarsely_rather_than_never(one: str, other: str) -> None:
    one, other = diff.clean(one), diff.clean(other)
    found = diff.compare(one, other)
    assert (diff.text_before(found), diff.text_after(found)) == (one, other)


def test_unchanged_stretches_are_folded_and_the_differences_stay() -> None:
    rng = random.Random(8)
    before = " ".join(words(rng, 300))
    found = render.fold_unchanged(diff.compare(before, before.replace(before.split()[150], "바뀐말", 1)), 20)
    assert len("".join(o.text for o in found)) < 120
    assert any(o.kind == "added" and o.text == "바뀐말" for o in found)
    assert [o.kind for o in found].count("same") == 2


def test_unified_text_has_a_line_for_each_sentence() -> None:
    one = "하나는 그대로다. 둘은 3명이다. 셋도 그대로다. 넷도 그대로 있다. 다섯은 간다."
    other = "하나는 그대로다. 둘은 4명이다. 셋도 그대로다. 넷도 그대로 있다."
    assert list(render.to_unified(diff.compare(one, other))) == [
        " 하나는 그대로다.", "-둘은 3명이다.", "+둘은 4명이다.", " 셋도 그대로다.", " 넷도 그대로 있다.", "-다섯은 간다.",
    ]  # fmt: skip


@given(ANY.map(lambda s: diff.clean(s + '<script>&"')), CLEAN)
@settings(deadline=None)
def test_html_has_no_tags_but_its_own(one: str, other: str) -> None:
    shown = render.to_html(diff.compare(one, other))
    assert not regex.search(r"<(?!/?(?:del|ins)(?: class=\"moved\" data-move=\"\d+\")?>|br>)", shown)
    assert not regex.search(r"&(?!amp;|lt;|gt;|quot;|#x27;)", shown)


def test_json_has_a_number_for_each_move() -> None:
    found = diff.compare("가나다라마바사아자. 하나둘셋넷다섯여섯.", "하나둘셋넷다섯여섯. 가나다라마바사아자.")
    told = render.as_json(found)
    assert {t["move"] for t in told if "move" in t} == {1}
    assert all(set(t) <= {"kind", "text", "move"} for t in told)

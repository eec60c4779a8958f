"""Differences between two texts: both sides can be restored, tokens stay whole, and moves are marked as moves."""

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
from tests.builders.crawl import edit_words, words

pytestmark = pytest.mark.slow

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
def test_cleaning_is_idempotent_and_keeps_letters(raw: str) -> None:
    once = diff.clean(raw)
    assert diff.clean(once) == once
    assert not regex.search(r"[^\S \n]|\s\s", once)
    letters = [c for c in unicodedata.normalize("NFC", raw) if unicodedata.category(c)[0] in "LN"]
    assert [c for c in once if unicodedata.category(c)[0] in "LN"] == letters


@given(CLEAN)
@settings(deadline=None)
@example("각\u0301")
@example("\u1112\u1161\u11ab\u1100")
def test_joined_tokens_and_sentences_are_the_text_and_split_no_grapheme(text: str) -> None:
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
def test_a_number_token_includes_sign_separators_powers_and_unit(text: str, expected: list[str]) -> None:
    assert [t.text for t in diff.tokenise(text) if t.kind == "number"] == expected


@given(st.lists(st.tuples(st.integers(0, 10**7), st.sampled_from(["원", "%", "명", "조", "", "km"])), min_size=1, max_size=6))
def test_no_number_is_ever_split(amounts: list[tuple[int, str]]) -> None:
    numbers = [f"{n:,}{unit}" for n, unit in amounts]
    assert [t.text for t in diff.tokenise(" 그리고 ".join(numbers)) if t.kind == "number"] == numbers


def test_a_word_is_one_token_and_an_ideograph_is_one_token() -> None:
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
def test_sentences_may_be_glued_together_and_keep_quotations_whole(text: str, expected: list[str]) -> None:
    assert diff.split_sentences(text) == expected


@given(CLEAN, CLEAN)
@settings(deadline=None, max_examples=400)
@example("", "")
@example("a b a b a", "b a b")
@example("가나다라마바사아. 하나다.", "하나다. 가나다라마바사아.")
def test_both_sides_can_be_restored_from_a_difference(before: str, after: str) -> None:
    operations = diff.compare(before, after)
    assert (diff.text_before(operations), diff.text_after(operations)) == (before, after)
    assert all(o.text for o in operations)
    assert all(a.kind != b.kind or a.move is not None for a, b in pairwise(operations))


@given(CLEAN)
def test_a_text_does_not_differ_from_itself(text: str) -> None:
    assert diff.compare(text, text) == ([Operation("same", text)] if text else [])


@given(CLEAN, CLEAN)
@settings(deadline=None, max_examples=200)
def test_differences_begin_and_end_between_tokens(before: str, after: str) -> None:
    operations = diff.compare(before, after)
    for side, kinds in ((before, ("same", "removed", "moved_from")), (after, ("same", "added", "moved_to"))):
        ends = {0}
        for sentence in diff.split_sentences(side):
            start = max(ends)
            for t in diff.tokenise(sentence):
                start += len(t.text)
                ends.add(start)
                if t.kind == "blank":  # the blank after an unchanged sentence may differ
                    ends |= set(range(start - len(t.text), start))
        at = 0
        for o in operations:
            if o.kind in kinds:
                at += len(o.text)
                assert at in ends


@given(CLEAN, CLEAN)
@settings(deadline=None, max_examples=200)
def test_joined_cells_of_side_by_side_rows_are_the_two_texts(before: str, after: str) -> None:
    operations = diff.compare(before, after)
    rows = list(render.to_rows(operations))
    assert "".join(o.text for row in rows for o in row.left) == before
    assert "".join(o.text for row in rows for o in row.right) == after


def mark_differences(before: str, after: str) -> str:
    marks = {"removed": "[-{}-]", "added": "{{+{}+}}", "moved_from": "<{}<", "moved_to": ">{}>", "same": "{}"}
    return "".join(marks[o.kind].format(o.text) for o in diff.compare(diff.clean(before), diff.clean(after)))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
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
def test_differences_are_whole_words_and_numbers(before: str, after: str, expected: str | None) -> None:
    if expected is not None:
        assert mark_differences(before, after) == expected
    else:
        assert mark_differences(before, after) in (
            "<시의회는 표결했다. <시장은 반대했다. >시의회는 표결했다. >끝났다.",
            ">시장은 반대했다. >시의회는 표결했다. <시장은 반대했다. <끝났다.",
        )


def test_a_moved_sentence_has_one_origin_and_one_target() -> None:
    rng = random.Random(5)
    sentences = [" ".join(words(rng, 8)) + "다. " for _ in range(30)]
    reordered = [*sentences[:3], *sentences[4:20], sentences[3], *sentences[20:]]
    operations = diff.compare(diff.clean("".join(sentences)), diff.clean("".join(reordered)))
    moves = [o for o in operations if o.kind != "same"]
    assert [(o.kind, o.text, o.move) for o in moves] == [("moved_from", sentences[3], 0), ("moved_to", sentences[3], 0)]


def test_only_changed_words_of_a_long_article_are_marked() -> None:
    rng = random.Random(3)
    before = words(rng, 4000)
    after = edit_words(rng, before, 0.05)
    operations = diff.compare(" ".join(before), " ".join(after))
    changes = sum(1 for a, b in zip(before, after, strict=True) if a != b)
    added = "".join(o.text for o in operations if o.kind == "added")
    assert 0 < len(regex.findall(r"\w+", added)) <= 2 * changes


def _prose(seed: int, sentences: int, between: str) -> str:
    rng = random.Random(seed)
    return between.join(" ".join(chr(0xAC00 + rng.randrange(11172)) * 2 for _ in range(10)) + "다." for _ in range(sentences))


@pytest.mark.parametrize(
    ("before", "after"),
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
def test_the_difference_of_a_megabyte_is_coarser_but_complete(before: str, after: str) -> None:
    before, after = diff.clean(before), diff.clean(after)
    operations = diff.compare(before, after)
    assert (diff.text_before(operations), diff.text_after(operations)) == (before, after)


def test_unchanged_text_is_folded_and_differences_are_kept() -> None:
    rng = random.Random(8)
    before = " ".join(words(rng, 300))
    operations = render.fold_unchanged(diff.compare(before, before.replace(before.split()[150], "바뀐말", 1)), 20)
    assert len("".join(o.text for o in operations)) < 120
    assert any(o.kind == "added" and o.text == "바뀐말" for o in operations)
    assert [o.kind for o in operations].count("same") == 2


def test_unified_text_has_a_line_for_each_sentence() -> None:
    before = "하나는 그대로다. 둘은 3명이다. 셋도 그대로다. 넷도 그대로 있다. 다섯은 간다."
    after = "하나는 그대로다. 둘은 4명이다. 셋도 그대로다. 넷도 그대로 있다."
    assert list(render.to_unified(diff.compare(before, after))) == [
        " 하나는 그대로다.", "-둘은 3명이다.", "+둘은 4명이다.", " 셋도 그대로다.", " 넷도 그대로 있다.", "-다섯은 간다.",
    ]  # fmt: skip


@given(ANY.map(lambda s: diff.clean(s + '<script>&"')), CLEAN)
@settings(deadline=None)
def test_html_has_no_tags_but_its_own(before: str, after: str) -> None:
    markup = render.to_html(diff.compare(before, after))
    assert not regex.search(r"<(?!/?(?:del|ins)(?: class=\"moved\" data-move=\"\d+\")?>|br>)", markup)
    assert not regex.search(r"&(?!amp;|lt;|gt;|quot;|#x27;)", markup)


def test_json_has_a_number_for_each_move() -> None:
    operations = diff.compare("가나다라마바사아자. 하나둘셋넷다섯여섯.", "하나둘셋넷다섯여섯. 가나다라마바사아자.")
    values = render.as_json(operations)
    assert {t["move"] for t in values if "move" in t} == {1}
    assert all(set(t) <= {"kind", "text", "move"} for t in values)

"""Text as it is compared and as it is shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup import text

ANY = st.text(st.characters(exclude_categories=["Cs"]))
MARKS = st.text(st.sampled_from("\u0301\u0323\u0344\u0f73\u0f71\u05b0e가"), max_size=200)


def naive_normalised(raw: str) -> str:
    folded = unicodedata.normalize("NFC", raw).casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] in {"L", "M", "N"})


def naive_shingles(normalised: str) -> set[str]:
    runs = {normalised[i : i + 5] for i in range(len(normalised)) if i + 5 <= len(normalised)}
    return runs or ({normalised} if normalised else set())


@given(ANY)
@settings(deadline=None)
@example("ﬁ İ ß ΐ ㎞ ½ Ⅳ")
def test_normalised_text_is_nfc_case_folded_letters_marks_and_numbers(raw: str) -> None:
    assert text.normalise(raw) == naive_normalised(raw)


@given(ANY)
@settings(deadline=None)
def test_composed_and_decomposed_spellings_are_the_same_text(raw: str) -> None:
    assert text.normalise(unicodedata.normalize("NFD", raw)) == text.normalise(unicodedata.normalize("NFC", raw))


@given(MARKS.map(lambda marks: marks * 3))
@settings(deadline=None)
@example("e" + "\u0301\u0323" * 200)
@example("\u0f73" * 200)
@example("한" + "\u0323\u0344" * 100 + "…")
@example("," * 10 + "—" * 90 + "\u0301")
def test_long_runs_of_combining_marks_are_composed_as_unicode_says(raw: str) -> None:
    assert text.nfc(raw) == unicodedata.normalize("NFC", raw)


@pytest.mark.parametrize("marks", ["\u0301\u0323", "\u0f73", "\u0344\u0323"])
def test_millions_of_combining_marks_are_ordered_without_squaring_them(marks: str) -> None:
    raw = "가" + marks * (1_000_000 // len(marks))
    assert len(text.normalise(raw)) >= 1_000_000


def test_spacing_punctuation_and_case_make_no_difference() -> None:
    assert text.normalise("가람항, 6월 '개장'! — PORT opens") == text.normalise("가람항6월개장portOPENS")


@given(ANY)
@settings(deadline=None)
def test_shingles_are_the_distinct_overlapping_runs_of_five(raw: str) -> None:
    assert text.shingles(raw) == naive_shingles(raw)


@pytest.mark.parametrize(("short", "expected"), [("", set()), ("가", {"가"}), ("가나다라마", {"가나다라마"})])
def test_a_text_no_longer_than_a_shingle_is_one_and_an_empty_one_has_none(short: str, expected: set[str]) -> None:
    assert text.shingles(short) == expected


def test_the_table_of_kept_characters_is_that_of_unicode() -> None:
    kept = text.kept_codes()
    assert [bool(k) for k in kept] == [unicodedata.category(chr(code))[0] in "LMN" for code in range(0x110000)]


@given(ANY)
@settings(deadline=None)
def test_choosing_from_the_folded_text_is_normalising(a: str) -> None:
    kept = text.kept_codes()
    assert "".join(c for c in text.fold(a) if kept[ord(c)]) == text.normalise(a)


STEERING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(st.text())
@settings(deadline=None)
@example("\x1b[2J\x9b31m\u202eevil\u2028\r\n\t\x00\ud800\U000e0001")
def test_what_is_shown_has_nothing_that_steers_a_terminal(raw: str) -> None:
    shown = text.printable(raw)
    assert not [c for c in shown if unicodedata.category(c) in STEERING and c not in "\u200c\u200d"]
    assert text.printable(shown) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("제목 — Title 1", "제목 — Title 1"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\u202eb", "a\\u202eb"),
        ("\U000e0001", "\\U000e0001"),
        ("\u0646\u0645\u06cc\u200c\u062e", "\u0646\u0645\u06cc\u200c\u062e"),
        ("두\n줄", "두\\x0a줄"),
    ],
)
def test_only_steering_characters_are_spelt_out(raw: str, shown: str) -> None:
    assert text.printable(raw) == shown


@given(st.binary())
@settings(deadline=None)
def test_any_path_can_be_shown_on_one_line(path: bytes) -> None:
    shown = text.printable_path(path)
    assert shown == text.printable(shown)


def test_bytes_of_a_path_that_are_not_utf8_are_spelt_out() -> None:
    assert text.printable_path("기사\n".encode() + b"\xff.md") == "기사\\x0a\\xff.md"


@given(st.lists(st.text(st.characters(exclude_characters="\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")), min_size=1))
@settings(deadline=None)
def test_a_block_is_shown_line_by_line(lines: list[str]) -> None:
    shown = text.printable_block("\n".join(lines) + "\n").rstrip("\n")
    assert shown == "\n".join(text.printable(line.replace("\t", "    ")) for line in lines).rstrip("\n")

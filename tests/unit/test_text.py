"""Text as it is compared and as it is displayed."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup.text import normalise, sanitise

pytestmark = pytest.mark.slow

ANY = st.text(st.characters(exclude_categories=["Cs"]))
MARKS = st.text(st.sampled_from("\u0301\u0323\u0344\u0f73\u0f71\u05b0e가"), max_size=200)


def naive_normalised(raw: str) -> str:
    text = unicodedata.normalize("NFC", raw).casefold()
    return "".join(c for c in text if unicodedata.category(c)[0] in {"L", "M", "N"})


def naive_shingles(normalised: str) -> set[str]:
    runs = {normalised[i : i + 5] for i in range(len(normalised)) if i + 5 <= len(normalised)}
    return runs or ({normalised} if normalised else set())


@given(ANY)
@settings(deadline=None)
@example("ﬁ İ ß ΐ ㎞ ½ Ⅳ")
def test_normalised_text_is_nfc_case_folded_letters_marks_and_numbers(raw: str) -> None:
    assert normalise.normalise(raw) == naive_normalised(raw)


@given(ANY)
@settings(deadline=None)
def test_composed_and_decomposed_forms_are_the_same_text(raw: str) -> None:
    assert normalise.normalise(unicodedata.normalize("NFD", raw)) == normalise.normalise(unicodedata.normalize("NFC", raw))


@given(MARKS.map(lambda marks: marks * 3))
@settings(deadline=None)
@example("e" + "\u0301\u0323" * 200)
@example("\u0f73" * 200)
@example("한" + "\u0323\u0344" * 100 + "…")
@example("," * 10 + "—" * 90 + "\u0301")
def test_long_runs_of_combining_marks_are_composed_as_in_unicode(raw: str) -> None:
    assert normalise.to_nfc(raw) == unicodedata.normalize("NFC", raw)


@pytest.mark.parametrize("marks", ["\u0301\u0323", "\u0f73", "\u0344\u0323"])
def test_millions_of_combining_marks_are_not_ordered_in_quadratic_time(marks: str) -> None:
    raw = "가" + marks * (1_000_000 // len(marks))
    assert len(normalise.normalise(raw)) >= 1_000_000


def test_spacing_punctuation_and_case_make_no_difference() -> None:
    assert normalise.normalise("가람항, 6월 '개장'! — PORT opens") == normalise.normalise("가람항6월개장portOPENS")


@given(ANY)
@settings(deadline=None)
def test_shingles_are_the_distinct_overlapping_runs_of_5(raw: str) -> None:
    assert normalise.shingles(raw) == naive_shingles(raw)


@pytest.mark.parametrize(("short", "expected"), [("", set()), ("가", {"가"}), ("가나다라마", {"가나다라마"})])
def test_a_short_text_is_one_shingle_and_an_empty_text_has_none(short: str, expected: set[str]) -> None:
    assert normalise.shingles(short) == expected


def test_alphanumeric_flags_follow_unicode_categories() -> None:
    flags = normalise.alphanumeric_flags()
    assert [bool(flag) for flag in flags] == [unicodedata.category(chr(code))[0] in "LMN" for code in range(0x110000)]


@given(ANY)
@settings(deadline=None)
def test_filtering_folded_text_is_normalising(a: str) -> None:
    flags = normalise.alphanumeric_flags()
    assert "".join(c for c in normalise.fold(a) if flags[ord(c)]) == normalise.normalise(a)


def split_batch(batch: normalise.FoldedTexts) -> list[str]:
    ends = batch.starts.tolist()
    return [batch.points[a:b].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass") for a, b in pairwise(ends)]


@given(st.lists(st.text(max_size=20) | st.just("ﬁ\u1112\u1161\u11ab" * 4), max_size=12), st.sampled_from([1, 7, 30, 1_000_000]))
@settings(deadline=None)
def test_folding_batches_are_as_small_as_possible(texts: list[str], size: int) -> None:
    """Each batch except the last reaches the size only with its last text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normalise, "MAX_BATCH_CHARACTERS", size)
        batches = list(normalise.fold_batches(iter(texts)))
    assert [t for batch in batches for t in split_batch(batch)] == [normalise.fold(t) for t in texts]
    for batch in batches:
        assert (batch.points.dtype, batch.starts.dtype) == (np.dtype("<u4"), np.dtype(np.int64))
        assert batch.starts[0] == 0
        assert batch.starts[-1] == len(batch.points)
        assert batch.starts[-2] < size
    assert all(batch.starts[-1] >= size for batch in batches[:-1])


def test_texts_are_folded_lazily(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalise, "MAX_BATCH_CHARACTERS", 10)
    remaining = iter(["가" * 10] * 3)
    next(normalise.fold_batches(remaining))
    assert len(list(remaining)) == 2
    assert list(normalise.fold_batches([])) == []


_WIDE_NAMES = ("HANGUL ", "HIRAGANA ", "KATAKANA ", "BOPOMOFO ", "CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH")
_ELSEWHERE = {*range(0x302E, 0x3030), *range(0x3200, 0x3400), *range(0xFF00, 0xFFF0), *range(0x1AFF0, 0x1B170)}
"""Tone marks, circled letters, halfwidth forms and historical kana in other blocks."""


def test_the_wide_characters_are_those_named_after_hangul_kana_bopomofo_and_ideographs() -> None:
    wide = normalise.wide_mask()
    assert (wide.shape, wide.dtype) == ((0x110000,), np.dtype(np.bool_))
    for code in np.flatnonzero(normalise.alphanumeric_mask()).tolist():
        if code not in _ELSEWHERE:
            name = unicodedata.name(chr(code), "")
            if name.startswith(_WIDE_NAMES):
                assert wide[code], hex(code)
            elif wide[code]:  # a mark of length or iteration in those blocks, or a stroke or radical
                assert re.search("SOUND MARK|ITERATION|PROLONGED|RADICAL|KANJI|IDEOGRAPHIC", name), hex(code)


@pytest.mark.parametrize("alphabet", ["azAZéßø", "абвЯ", "αωΣ", "אבג", "عربي", "ไทย", "हिन्दी", "0123４５", "𝔸𐍈"])
def test_letters_of_alphabets_and_figures_are_not_wide(alphabet: str) -> None:
    assert not any(normalise.wide_mask()[ord(c)] for c in alphabet)


def test_the_wide_characters_never_change() -> None:
    """Stored fingerprints depend on them. They go by blocks and do not change with Unicode versions."""
    wide = normalise.wide_mask()
    edges = np.flatnonzero(np.diff(np.concatenate(([False], wide, [False])).astype(np.int8))).tolist()
    assert [(hex(a), hex(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)] == [
        ("0x1100", "0x1200"), ("0x2e80", "0x2fe0"), ("0x3040", "0x3100"), ("0x3105", "0x3190"), ("0x31a0", "0x31c0"),
        ("0x31f0", "0x3200"), ("0x3400", "0x4dc0"), ("0x4e00", "0xa000"), ("0xa960", "0xa980"), ("0xac00", "0xd800"),
        ("0xf900", "0xfb00"), ("0x20000", "0x40000"),
    ]  # fmt: skip


CONTROL_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(st.text())
@settings(deadline=None)
@example("\x1b[2J\x9b31m\u202eevil\u2028\r\n\t\x00\ud800\U000e0001")
def test_printable_text_contains_no_control_characters(raw: str) -> None:
    printable = sanitise.to_printable(raw)
    assert not [c for c in printable if unicodedata.category(c) in CONTROL_CATEGORIES and c not in "\u200c\u200d"]
    assert sanitise.to_printable(printable) == printable


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("제목 — Title 1", "제목 — Title 1"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\u202eb", "a\\u202eb"),
        ("\U000e0001", "\\U000e0001"),
        ("\u0646\u0645\u06cc\u200c\u062e", "\u0646\u0645\u06cc\u200c\u062e"),
        ("두\n줄", "두\\x0a줄"),
    ],
)
def test_only_control_characters_are_escaped(raw: str, expected: str) -> None:
    assert sanitise.to_printable(raw) == expected


@given(st.binary())
@settings(deadline=None)
def test_any_path_can_be_shown_on_one_line(path: bytes) -> None:
    printable = sanitise.to_printable_path(path)
    assert printable == sanitise.to_printable(printable)


def test_bytes_of_a_path_that_are_not_utf8_are_escaped() -> None:
    assert sanitise.to_printable_path("기사\n".encode() + b"\xff.md") == "기사\\x0a\\xff.md"


@given(st.lists(st.text(st.characters(exclude_characters="\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")), min_size=1))
@settings(deadline=None)
def test_a_block_is_shown_line_by_line(lines: list[str]) -> None:
    printable = sanitise.to_printable_block("\n".join(lines) + "\n").rstrip("\n")
    assert printable == "\n".join(sanitise.to_printable(line.replace("\t", "    ")) for line in lines).rstrip("\n")

"""From bytes to text: UTF-8, UTF-16, CP949; never a guess."""

from __future__ import annotations

import codecs
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.formats.decoding import DecodedText, decode
from tests.builders.crawl import ArticleFile, words

ARTICLE = ArticleFile(body=" ".join(words(random.Random(5), 60)), title="가람항 “자동화” 부두").render()
KOREAN = ArticleFile(body=" ".join(words(random.Random(6), 60)), title="가람항 자동화 부두").render()
ANY = st.text(st.characters(exclude_categories=["Cs"]))


@given(ANY)
@settings(deadline=None)
def test_utf8_is_read_as_it_is(content: str) -> None:
    whole = "---\n" + content
    assert decode(whole.encode()) == DecodedText(whole, "utf-8", truncated=False)
    assert decode(codecs.BOM_UTF8 + whole.encode()) == DecodedText(whole, "utf-8", truncated=False)


@pytest.mark.parametrize(("encoding", "bom"), [("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", codecs.BOM_UTF16_BE)])
@given(content=ANY)
@settings(deadline=None)
def test_utf16_is_read_with_and_without_a_bom(encoding: str, bom: bytes, content: str) -> None:
    whole = "---\n" + content
    assert decode(bom + whole.encode(encoding)) == DecodedText(whole, encoding, truncated=False)
    assert decode(whole.encode(encoding)) == DecodedText(whole, encoding, truncated=False)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("lost", [1, 2, 3])
def test_half_a_utf16_character_at_the_end_is_truncation(encoding: str, lost: int) -> None:
    assert decode("---\n가😀".encode(encoding)[:-lost]) == DecodedText("---\n가", encoding, truncated=True)


def test_a_lone_surrogate_within_utf16_is_undecodable() -> None:
    assert decode(codecs.BOM_UTF16_LE + "---\n".encode("utf-16-le") + b"\x00\xd8" + "가나".encode("utf-16-le")) is None


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("encoding", ["cp949", "euc-kr"])
def test_cp949_and_euc_kr_are_read(seed: int, encoding: str) -> None:
    syllables = [c for c in map(chr, range(0xAC00, 0xD7A4)) if len(c.encode(encoding)) == 2]
    content = ArticleFile(body="".join(random.Random(seed).choices(syllables, k=500))).render()
    assert decode(content.encode(encoding)) == DecodedText(content, "cp949", truncated=False)


def test_half_a_cp949_character_at_the_end_is_truncation() -> None:
    raw = KOREAN.encode("cp949")
    end = raw.index("부두".encode("cp949")) + 1
    assert decode(raw[:end]) == DecodedText(raw[: end - 1].decode("cp949"), "cp949", truncated=True)


@given(st.integers(0, len(ARTICLE.encode())))
@settings(deadline=None, max_examples=300)
def test_utf8_cut_anywhere_is_what_stands_before_the_cut(end: int) -> None:
    raw = ARTICLE.encode()[:end]
    found = decode(raw)
    assert found is not None
    assert found.encoding == "utf-8"
    assert ARTICLE.startswith(found.text)
    assert found.truncated == (len(found.text.encode()) < len(raw))
    assert len(raw) - len(found.text.encode()) < 4


BEYOND_ASCII = [i for i, byte in enumerate(ARTICLE.encode()) if byte > 0x7F]


@given(st.sampled_from(BEYOND_ASCII), st.sampled_from([b"", b"\xff", b"\x80", b"A", b"\xb0\xa1"]))
@settings(deadline=None, max_examples=300)
def test_damaged_utf8_is_undecodable_and_never_read_as_cp949(at: int, instead: bytes) -> None:
    raw = ARTICLE.encode()
    damaged = raw[:at] + instead + raw[at + 1 :]
    found = decode(damaged)
    assert found is None or (found.encoding, found.text) == ("utf-8", damaged.decode())


def test_several_damaged_places_do_not_make_it_cp949() -> None:
    raw = bytearray(KOREAN.encode())
    for at in BEYOND_ASCII[:: len(BEYOND_ASCII) // 9]:
        raw[at] = 0xFE
    assert decode(bytes(raw)) is None


def test_bytes_of_no_known_encoding_are_undecodable() -> None:
    assert decode(b"---\n\xff\xff\xff\xff\n") is None


@given(st.binary())
@settings(deadline=None, max_examples=500)
def test_any_bytes_are_text_that_can_be_written_again_or_none(raw: bytes) -> None:
    for content in (raw, b"---\n" + raw, codecs.BOM_UTF16_LE + raw, codecs.BOM_UTF16_BE + raw, codecs.BOM_UTF8 + raw):
        found = decode(content)
        if found is not None:
            assert found.text.encode().decode() == found.text
            assert found.encoding in {"utf-8", "utf-16-le", "utf-16-be", "cp949"}

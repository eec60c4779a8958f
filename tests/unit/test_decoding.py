"""Decoding bytes as UTF-8, UTF-16 or CP949, without guessing."""

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
def test_utf8_decodes_to_the_same_text(content: str) -> None:
    text = "---\n" + content
    assert decode(text.encode()) == DecodedText(text, "utf-8", truncated=False)
    assert decode(codecs.BOM_UTF8 + text.encode()) == DecodedText(text, "utf-8", truncated=False)


@pytest.mark.parametrize(("encoding", "bom"), [("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", codecs.BOM_UTF16_BE)])
@given(content=ANY)
@settings(deadline=None)
def test_utf16_is_read_with_and_without_a_bom(encoding: str, bom: bytes, content: str) -> None:
    text = "---\n" + content
    assert decode(bom + text.encode(encoding)) == DecodedText(text, encoding, truncated=False)
    assert decode(text.encode(encoding)) == DecodedText(text, encoding, truncated=False)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_half_a_utf16_character_at_the_end_is_truncation(encoding: str, cut: int) -> None:
    assert decode("---\n가😀".encode(encoding)[:-cut]) == DecodedText("---\n가", encoding, truncated=True)


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
def test_utf8_cut_anywhere_decodes_up_to_the_cut(end: int) -> None:
    raw = ARTICLE.encode()[:end]
    decoded = decode(raw)
    assert decoded is not None
    assert decoded.encoding == "utf-8"
    assert ARTICLE.startswith(decoded.text)
    assert decoded.truncated == (len(decoded.text.encode()) < len(raw))
    assert len(raw) - len(decoded.text.encode()) < 4


BEYOND_ASCII = [i for i, byte in enumerate(ARTICLE.encode()) if byte > 0x7F]


@given(st.sampled_from(BEYOND_ASCII), st.sampled_from([b"", b"\xff", b"\x80", b"A", b"\xb0\xa1"]))
@settings(deadline=None, max_examples=300)
def test_damaged_utf8_is_undecodable_and_never_taken_for_cp949(at: int, replacement: bytes) -> None:
    raw = ARTICLE.encode()
    content = raw[:at] + replacement + raw[at + 1 :]
    decoded = decode(content)
    assert decoded is None or (decoded.encoding, decoded.text) == ("utf-8", content.decode())


def test_utf8_with_several_errors_is_not_taken_for_cp949() -> None:
    raw = bytearray(KOREAN.encode())
    for at in BEYOND_ASCII[:: len(BEYOND_ASCII) // 9]:
        raw[at] = 0xFE
    assert decode(bytes(raw)) is None


def test_bytes_of_no_known_encoding_are_undecodable() -> None:
    assert decode(b"---\n\xff\xff\xff\xff\n") is None


@given(st.binary())
@settings(deadline=None, max_examples=500)
def test_any_bytes_decode_to_encodable_text_or_to_none(raw: bytes) -> None:
    for content in (raw, b"---\n" + raw, codecs.BOM_UTF16_LE + raw, codecs.BOM_UTF16_BE + raw, codecs.BOM_UTF8 + raw):
        decoded = decode(content)
        if decoded is not None:
            assert decoded.text.encode().decode() == decoded.text
            assert decoded.encoding in {"utf-8", "utf-16-le", "utf-16-be", "cp949"}

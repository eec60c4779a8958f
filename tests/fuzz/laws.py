"""Laws: one function for each part of the program that reads untrusted input.

Each takes bytes. It raises if the program raises an unexpected exception or returns a wrong result.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dedup import formats
from dedup.changes import diff
from dedup.changes.classify import PageHistory, PageState, classify_change
from dedup.changes.diff import render
from dedup.config import Settings, UrlsConfig
from dedup.formats import ReadOptions
from dedup.model import FAULT_MESSAGES, Article
from dedup.pipeline.extract import state_digest
from dedup.pipeline.recipes import build_change_rules
from dedup.similarity import minhash, overlap, winnowing
from dedup.similarity.overlap import spans
from dedup.text import digests, normalise, sanitise, times, urls
from dedup.text.digests import RECIPES, WHITESPACE
from dedup.text.sanitise import format_csv_cell, format_json

SEOUL = ZoneInfo("Asia/Seoul")
OPTIONS = ReadOptions(tuple(RECIPES.values()), SEOUL, UTC)
RULES = build_change_rules(Settings())
SHIPPED = UrlsConfig().build_canonicaliser()
STEERING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")


def steering(text: str) -> list[str]:
    """Return characters that control a terminal or reorder a line. Zero-width joiners are allowed: some scripts need them."""
    return [c for c in text if unicodedata.category(c) in STEERING and c not in "\u200c\u200d"]


def reader(raw: bytes) -> None:
    """Any file is an article that can be recorded, or one fault. Reading is deterministic."""
    reading = formats.read_article(b"a.md", raw, OPTIONS)
    assert formats.read_article(b"a.md", raw, OPTIONS) == reading
    assert all(f.kind in FAULT_MESSAGES and f.message for f in reading.faults)
    article = reading.article
    if article is None:
        assert len(reading.faults) == 1
        return
    assert {f.kind for f in reading.faults} <= {"unparsable_time"}
    _recordable(article)
    _checked(article)
    page = SHIPPED.page_url(article.url, article.metadata.oid, article.metadata.aid)
    assert page is None or SHIPPED.canonicalise(page) == page
    (folded,) = normalise.fold_batches([article.body])
    minhash.sign_folded(folded, 16, 5)
    winnowing.fingerprint_texts_packed(folded, 5)


def _recordable(article: Article) -> None:
    m = article.metadata
    values = [article.title, article.body, article.url, m.publisher, m.author, m.category, m.published_printed, m.id or "", m.oid, m.aid]
    for value in (*values, *(part for pair in m.extra for part in pair)):
        value.encode()  # SQLite rejects lone surrogates
    assert article.body == article.body.strip(WHITESPACE)
    assert len(state_digest(article.title, article.body)) == 32
    for time in (article.crawled_at, m.published_at):
        assert time is None or datetime.fromisoformat(time).utcoffset() == timedelta(0)


def _checked(article: Article) -> None:
    check = article.check
    recipe = RECIPES[check.recipe]
    assert (check.status == "mismatched") == (check.cause is not None)
    if check.status == "verified":
        assert digests.parse_claim(check.claimed) == check.computed
    if recipe.text != "escaped":
        assert digests.compute_digest(recipe, article.title, article.body, "") == check.computed


def addresses(raw: bytes) -> None:
    """A canonical URL is its own canonical URL, is ASCII, and has a host and no credentials. Credentials do not affect it."""
    url = _any_text(raw)
    once = SHIPPED.canonicalise(url)
    if once is not None:
        assert SHIPPED.canonicalise(once) == once
        assert once.startswith("https://")
        assert once.isascii()
        assert once.isprintable()
        assert not set(once) & set(' <>"\\')
        split = urlsplit(once)
        assert split.hostname
        assert "@" not in split.netloc
        bare = urls.strip_credentials(url)
        assert urls.strip_credentials(bare) == bare
        assert urlsplit(bare.strip()).username is None
        assert SHIPPED.canonicalise(bare) == SHIPPED.canonicalise(urls.to_display_url(url)) == once
        assert urls.to_display_url(url).partition("//")[2].partition("/")[0].partition("?")[0].partition("#")[0].isascii()
    if url.lower().startswith(("http://", "https://")):
        assert "@" not in _host(urls.strip_credentials(url)) + _host(urls.to_display_url(url))
    half = len(url) // 2
    page = SHIPPED.page_url(url[:half], url[half:], url[half:][:7])
    assert page is None or SHIPPED.canonicalise(page) == page


def _host(url: str) -> str:
    """Return the host part of a URL, or an empty string."""
    return re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]


def _any_text(raw: bytes) -> str:
    """Decode bytes to any text, including lone surrogates as in file names and arguments."""
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")


def clock(raw: bytes) -> None:
    """A parsed time is in UTC, and parsing it again gives the same time."""
    printed = raw.decode("utf-8", "replace")
    for zone in (UTC, SEOUL):
        utc = times.to_utc(printed, zone)
        if utc is not None:
            assert datetime.fromisoformat(utc).utcoffset() == timedelta(0)
            assert times.to_utc(utc, SEOUL) == utc
            assert times.seconds_between(utc, utc) == 0
    assert datetime.fromisoformat(times.from_ns(int.from_bytes(raw[:16], "little", signed=True))).utcoffset() == timedelta(0)


def difference(raw: bytes) -> None:
    """A diff transforms one text into the other, and shared passages are in both."""
    a, _, b = raw.decode("utf-8", "replace").partition("\n\n")
    one, other = diff.clean(a), diff.clean(b)
    operations = diff.compare(one, other)
    assert (diff.text_before(operations), diff.text_after(operations)) == (one, other)
    assert all(o.text for o in operations)
    assert "".join(o.text for row in render.to_rows(operations) for o in row.left) == one
    assert not steering("".join(render.to_unified(operations)).translate(dict.fromkeys(map(ord, set(one + other)))))
    assert not re.search(r"<(?!/?(?:del|ins)\b|br>)", render.to_html(operations))
    if (a, b) != (b, a):
        change = classify_change(PageState(a[:80], a), PageState(b[:80], b), PageHistory(), RULES)
        assert change.parts
        assert 0 <= change.similarity <= 1
        assert (change.kind == "cosmetic") == (change.severity == "trivial")
    assert 0 <= overlap.body_similarity(a, b) <= 1
    shared = overlap.measure_passages(overlap.prepare_text(a), overlap.prepare_text(b))
    assert 0 <= shared.unquoted_characters <= shared.characters <= shared.shorter_length
    assert shared.longest_passage <= shared.shorter_length
    for p in spans.find_passages(a, b):
        assert 0 <= p.a_begin < p.a_end <= len(a)
        assert 0 <= p.b_begin < p.b_end <= len(b)


def words(raw: bytes) -> None:
    """Normalisation follows Unicode in every form, and output has no control characters."""
    text = _any_text(raw)
    assert normalise.to_nfc(text) == unicodedata.normalize("NFC", text)
    normalised = normalise.normalise(text)
    flags = normalise.alphanumeric_flags()
    assert "".join(c for c in normalise.fold(text) if flags[ord(c)]) == normalised
    assert overlap.normalised_points(text).astype("<u4").tobytes() == normalised.encode("utf-32-le", "surrogatepass")
    assert all(0 < begin <= end for begin, end in overlap.find_quotations(text))
    assert all(end < begin for (_, end), (begin, _) in pairwise(overlap.find_quotations(text)))
    printable = sanitise.to_printable(text)
    assert not steering(printable)
    assert sanitise.to_printable(printable) == printable
    assert "\n" not in printable
    path = sanitise.to_printable_path(raw)
    assert sanitise.to_printable(path) == path
    assert not steering(sanitise.to_printable_block(text).replace("\n", ""))
    cell = format_csv_cell(text)
    assert not steering(cell)
    assert not cell.lstrip().startswith(FORMULA)
    assert not steering(format_json([text]))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "reader": reader,
    "urls": addresses,
    "times": clock,
    "diffs": difference,
    "text": words,
}
"""Name → law."""


def found(name: str) -> list[tuple[str, bytes]]:
    """Return (name, content) of the inputs that once broke a law."""
    folder = os.path.join(os.path.dirname(__file__), "found", name)
    if not os.path.isdir(folder):
        return []
    inputs = []
    for entry in sorted(os.listdir(folder)):
        with open(os.path.join(folder, entry), "rb") as file:
            inputs.append((entry, file.read()))
    return inputs

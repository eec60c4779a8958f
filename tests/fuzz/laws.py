"""The laws, one function for every part of the program that meets what others wrote. Each takes bytes and raises where the
program does not keep its word: an exception that is no fault, or a result that is not what it says."""

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
from dedup.changes import PageHistory, PageState, classify_change, diff
from dedup.changes.diff import render
from dedup.config import Settings, UrlsConfig
from dedup.formats import ReadOptions
from dedup.model import FAULT_MESSAGES, Article
from dedup.scan.extract import state_digest
from dedup.scan.recipes import build_change_rules
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


def steering(shown: str) -> list[str]:
    """Characters that a terminal could obey, or that reorder a line. Zero-width joiners are part of scripts."""
    return [c for c in shown if unicodedata.category(c) in STEERING and c not in "\u200c\u200d"]


def reader(raw: bytes) -> None:
    """A file is an article that can be recorded, or one fault; and the same each time."""
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
        value.encode()  # SQLite takes no lone surrogates
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
    """A canonical URL is its own, is ASCII, names a host without credentials; credentials decide nothing and are not shown."""
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
    """What stands between two slashes, and what ends a host; empty where there are none."""
    return re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]


def _any_text(raw: bytes) -> str:
    """Any text there is, lone surrogates (names of files, arguments of commands) among it."""
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")


def clock(raw: bytes) -> None:
    """What is read as a time is a moment in UTC that is read back as itself."""
    printed = raw.decode("utf-8", "replace")
    for zone in (UTC, SEOUL):
        found = times.to_utc(printed, zone)
        if found is not None:
            assert datetime.fromisoformat(found).utcoffset() == timedelta(0)
            assert times.to_utc(found, SEOUL) == found
            assert times.seconds_between(found, found) == 0
    assert datetime.fromisoformat(times.from_ns(int.from_bytes(raw[:16], "little", signed=True))).utcoffset() == timedelta(0)


def difference(raw: bytes) -> None:
    """What is told of two texts leads from one to the other; and what they share stands in both."""
    a, _, b = raw.decode("utf-8", "replace").partition("\n\n")
    one, other = diff.clean(a), diff.clean(b)
    operations = diff.compare(one, other)
    assert (diff.text_before(operations), diff.text_after(operations)) == (one, other)
    assert all(o.text for o in operations)
    assert "".join(o.text for row in render.to_rows(operations) for o in row.left) == one
    assert not steering("".join(render.to_unified(operations)).translate(dict.fromkeys(map(ord, set(one + other)))))
    assert not re.search(r"<(?!/?(?:del|ins)\b|br>)", render.to_html(operations))
    if (a, b) != (b, a):
        judged = classify_change(PageState(a[:80], a), PageState(b[:80], b), PageHistory(), RULES)
        assert judged.parts
        assert 0 <= judged.similarity <= 1
        assert (judged.kind == "cosmetic") == (judged.severity == "trivial")
    assert 0 <= overlap.body_similarity(a, b) <= 1
    shared = overlap.measure_passages(overlap.prepare_text(a), overlap.prepare_text(b))
    assert 0 <= shared.unquoted_characters <= shared.characters <= shared.shorter_length
    assert shared.longest_passage <= shared.shorter_length
    for p in spans.find_passages(a, b):
        assert 0 <= p.a_begin < p.a_end <= len(a)
        assert 0 <= p.b_begin < p.b_end <= len(b)


def words(raw: bytes) -> None:
    """Text is composed as Unicode says, in whatever form it is asked for; and what is shown of it steers nothing."""
    told = _any_text(raw)
    assert normalise.to_nfc(told) == unicodedata.normalize("NFC", told)
    normalised = normalise.normalise(told)
    kept = normalise.alphanumeric_flags()
    assert "".join(c for c in normalise.fold(told) if kept[ord(c)]) == normalised
    assert overlap.normalised_points(told).astype("<u4").tobytes() == normalised.encode("utf-32-le", "surrogatepass")
    assert all(0 < begin <= end for begin, end in overlap.find_quotations(told))
    assert all(end < begin for (_, end), (begin, _) in pairwise(overlap.find_quotations(told)))
    shown = sanitise.to_printable(told)
    assert not steering(shown)
    assert sanitise.to_printable(shown) == shown
    assert "\n" not in shown
    path = sanitise.to_printable_path(raw)
    assert sanitise.to_printable(path) == path
    assert not steering(sanitise.to_printable_block(told).replace("\n", ""))
    cell = format_csv_cell(told)
    assert not steering(cell)
    assert not cell.lstrip().startswith(FORMULA)
    assert not steering(format_json([told]))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "reader": reader,
    "urls": addresses,
    "times": clock,
    "diffs": difference,
    "text": words,
}
"""Name → law."""


def found(name: str) -> list[tuple[str, bytes]]:
    """(name, content) of the inputs that once broke a law."""
    folder = os.path.join(os.path.dirname(__file__), "found", name)
    if not os.path.isdir(folder):
        return []
    inputs = []
    for entry in sorted(os.listdir(folder)):
        with open(os.path.join(folder, entry), "rb") as file:
            inputs.append((entry, file.read()))
    return inputs

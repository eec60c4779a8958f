"""Initial inputs of the fuzzer: article files, URLs, times and texts, and a dictionary of tokens."""

from __future__ import annotations

import codecs
import random

from tests.builders.crawl import ArticleFile, words

_BODY = "첫 단락이다. “인용”도 있다.\n\n---\n\n두 번째 단락 & <b>셋</b> 12,345.6원"
_ARTICLES = (
    ArticleFile(),
    ArticleFile(body=_BODY, title="제목 & '따옴표'", author="김가나\n\t기자", extra=(("section_id", "101"),)),
    ArticleFile(body=_BODY, comments="## 댓글 (2)\n\n**나다** 좋다\n\n**마바** 글쎄", claim="sha256:" + "0" * 64),
    ArticleFile(body="short", claim="", published_at="2026-03-02T09:00:00+09:00", url="https://me:pw@hanbit.example:443/a?b=1&a=2#x"),
    ArticleFile(body=_BODY, claim="not a digest", published_at="어제", title="x\n---\n\n# y"),
)
ARTICLES = [article.render().encode() for article in _ARTICLES]
ARTICLES += [article.render().encode(encoding) for article in _ARTICLES[:2] for encoding in ("utf-16-le", "utf-16-be")]
ARTICLES += [codecs.BOM_UTF16_LE + ARTICLES[0].decode().encode("utf-16-le"), codecs.BOM_UTF8 + ARTICLES[1]]
ARTICLES += [_ARTICLES[0].render().encode("cp949"), ARTICLES[1].replace(b"\n", b"\r\n"), ARTICLES[1].replace(b"\n", b"\r")]
ARTICLES += [article[: len(article) * part // 7] for article in ARTICLES[:3] for part in (1, 4, 5, 6)]

ADDRESSES = [
    "https://n.news.naver.com/mnews/article/901/0000100001?sid=100#comment",
    "http://news.naver.com/main/read.naver?oid=901&aid=0000100001&utm_source=x",
    "https://me:se%40cret@HANBIT.example:443/a/../b//c;p?b=1&a=%EA%B0%80&a=",
    "https://한빛.example/가?q=나+다%2B#라",
    "https://[::1]:8080/%2525",
    "//user:pw@host.example/",
    "https:\n//user:pw@host.example\\@other.example/",
]
TIMES = [
    "2026-03-02 09:00",
    "2026-03-02T09:00:00+09:00",
    "20260302T090000.123456Z",
    "2026-W10-1",
    "0001-01-01",
    "9999-12-31 23:59:59-12:00",
]
TEXTS = [
    "가람항 “자동화” 부두\u0301\u0323",
    "e\u0323\u0301\u0345\u1112\u1161\u11ab",
    "=cmd|' /C calc'!A0\t\x1b[31m\u202e",
    "İßﬁ㎞½Ⅳ\u00ad\u200d",
]
_RNG = random.Random(1)
_WORDS = words(_RNG, 40)
PAIRS = [
    "가나 다라 12,345\n\n가나 마바 12,346",
    " ".join(_WORDS) + "\n\n" + " ".join([*_WORDS[:20], "다른", *_WORDS[25:]]),
    "가나다라" * 20 + "\n\n" + "가나다라" * 25,
]

SEEDS: dict[str, list[bytes]] = {
    "reader": ARTICLES,
    "urls": [a.encode() for a in ADDRESSES],
    "times": [t.encode() for t in TIMES],
    "diffs": [p.encode() for p in PAIRS],
    "text": [t.encode() for t in TEXTS],
}

DICTIONARY = [
    "---",
    "\n---\n",
    "\n\n---\n\n",
    "\n\n# ",
    "**",
    " | ",
    "content_hash: ",
    "title: ",
    "author: ",
    "url: ",
    "published_at: ",
    "oid: ",
    "aid: ",
    "comment_count: 1",
    "*Crawled at: ",
    "*Source: ",
    "## 댓글 (",
    "*댓글이 없습니다.*",
    "&amp;",
    "&#x27;",
    "&#xD800;",
    "&#0;",
    "&lt",
    "&#",
    "\r\n",
    "\r",
    "\x00",
    "\ufeff",
    "́",
    "̣",
    "ᆨ",
    "ᅡ",
    "가",
    "İ",
    "ß",
    "\u202e",
    "\u061c",
    "\u200b",
    "“",
    "”",
    "😀",
    "https://",
    "http:",
    "//",
    "@",
    ":pw@",
    "%40",
    "%25",
    "%2F",
    "..",
    "xn--",
    "[",
    "]",
    "utm_x=",
    "&",
    "=",
    "#",
    "?",
    "\\",
    "。",
    "n.news.naver.com",
    "/mnews/article/",
    "T",
    "Z",
    "+09:00",
    "-W",
    "23:59",
    "9999",
    "0001",
]
"""Tokens of the formats."""

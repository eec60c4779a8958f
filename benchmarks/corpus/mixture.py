"""The articles of a corpus, and from which article each is made."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from benchmarks.corpus.draws import CRAWL, EDIT, HEAD, PLACE, PLAN, STOCK, TEXT, TITLE, key_of, keys_of, mix, mixed
from benchmarks.corpus.language import Language, boilerplate, edit, english, fixed, hangul, korean, make_bodies, make_titles, rewrite, tails

KINDS = ("mixed", "phrases", "unrelated", "boilerplate", "copies")
LEVELS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.10, 0.20)
"""Shares of a copy's words that are replaced; 0 is an exact copy."""
CRAWL_LEVELS = (0.005, 0.01, 0.02)
"""Shares of the words replaced in a page that was edited between two crawls."""
WIRE_LEVELS = (0.25, 0.35, 0.5, 0.65)
"""Shares of the sentences that a newsroom cuts."""
TAILED = 3
"""One in this many articles ends in a tail of its publisher."""
BLOCK = 50
COPIES, CRAWLS, BOILERPLATE = 10, 4, 1
"""Articles of each kind in a block; the rest are unrelated."""
RECENT = 4000 // BLOCK
"""Blocks within which most copies have their source."""
DAY = 30 * BLOCK
"""Articles crawled in a day, which is a folder."""

_START = datetime(2025, 1, 1)  # noqa: DTZ001  as the crawler prints it: UTC, no zone
_KOREA = timedelta(hours=9)
_SITE = "https://n.news.naver.com/mnews/article"


@dataclass(frozen=True, slots=True)
class Article:
    """An article as the crawler saw it, and its source.

    `source` is the number of the article of which it is a copy or a later crawl. `level` is the share of the words that differ from
    it (before a publisher's tail); for a wire copy, the share of the sentences that were cut.
    """

    number: int
    kind: str
    """unrelated, copy, wire, crawl or boilerplate"""
    source: int | None
    level: float
    body: str
    title: str
    publisher: str
    author: str
    category: str
    published_at: str
    """`%Y-%m-%d %H:%M`, Korean time"""
    crawled_at: str
    """`%Y-%m-%d %H:%M:%S`, UTC"""
    oid: str
    aid: str

    @property
    def url(self) -> str:
        return f"{_SITE}/{self.oid}/{self.aid}"

    @property
    def folder(self) -> str:
        """Return the folder of its file below the crawl directory: YYYY/MM/DD of the crawl."""
        return self.crawled_at[:10].replace("-", "/")

    @property
    def name(self) -> str:
        title = "".join(c for c in self.title if c.isalnum() or c in "-_ ")[:50].strip().replace(" ", "_").lower()
        return f"{self.oid}_{self.aid}_{title}.md"


# Heads.

_STEMS = ("한별", "새솔", "미리내", "가람", "너울", "달구름", "온새미", "해찬", "이든", "두루", "마루", "빛가온", "여울", "슬기샘", "아라")
_ENDS = ("일보", "신문", "경제", "저널", "방송", "통신", "데일리", "타임스")
PUBLISHERS = tuple(_STEMS[i % 15] + _ENDS[i % 8] for i in range(40))
"""Invented names. Publisher i has the oid 901 + i."""
_CATEGORIES = ("정치", "경제", "사회", "생활", "세계", "과학", "")
_FAMILIES = ("도", "라", "마", "방", "사", "온", "제", "천", "편", "하")


def _author(key: int) -> str:
    return "" if key % 8 == 0 else f"{_FAMILIES[key // 8 % 10]}{hangul(key >> 8)}{hangul(key >> 20)} 기자"


def _head(key: int, number: int, title: str, *, not_publisher: int = -1) -> dict[str, str]:
    """The metadata of an article that is published on a page of its own."""
    publisher = key % len(PUBLISHERS)
    if publisher == not_publisher:
        publisher = (publisher + 1) % len(PUBLISHERS)
    crawled = _crawled(number)
    return {
        "title": title,
        "publisher": PUBLISHERS[publisher],
        "author": _author(key >> 8),
        "category": _CATEGORIES[(key >> 40) % 7],
        "published_at": (crawled + _KOREA - timedelta(minutes=5 + (key >> 48) % 600)).isoformat(" ", "minutes"),
        "crawled_at": crawled.isoformat(" ", "seconds"),
        "oid": str(901 + publisher),
        "aid": f"{number + 1:010d}",
    }


def _crawled(number: int) -> datetime:
    return _START + timedelta(days=number // DAY, seconds=number % DAY * 86_400 // DAY)


# Blocks.


@dataclass(frozen=True, slots=True)
class _Plan:
    """The kind of an article and, for copies and crawls, its source and edit level."""

    kind: str
    source: int | None = None
    level: float = 0.0


def _kinds(seed: int, block: int) -> list[str]:
    kinds = ["copy"] * COPIES + ["crawl"] * CRAWLS + ["boilerplate"] * BOILERPLATE
    if block == 0:  # nothing before it to copy or to crawl a second time
        kinds = ["boilerplate"] * BOILERPLATE
    kinds += ["unrelated"] * (BLOCK - len(kinds))
    order = np.argsort(mixed(np.arange(BLOCK, dtype=np.uint64) + np.uint64(key_of(seed, PLACE, block) >> 8)), kind="stable")
    return [kinds[i] for i in order.tolist()]


@functools.lru_cache(maxsize=2 * RECENT)
def _unrelated(seed: int, block: int) -> tuple[int, ...]:
    """The numbers of the unrelated articles of a block."""
    return tuple(block * BLOCK + i for i, kind in enumerate(_kinds(seed, block)) if kind == "unrelated")


def _plan(seed: int, block: int, *, wire: bool) -> list[_Plan]:
    """The plans of the articles of a block. With `wire`, every other copy is a wire copy."""
    crawls = copies = 0
    plans: list[_Plan] = []
    keys = keys_of(seed, PLAN, range(block * BLOCK, (block + 1) * BLOCK))
    for key, kind in zip(keys, _kinds(seed, block), strict=True):
        if kind == "copy":
            back = 1 + (key >> 32) % (block if key % 10 == 0 else min(RECENT, block))
            sources = _unrelated(seed, block - back)
            copies += 1
            kind, levels = ("wire", WIRE_LEVELS) if wire and copies % 2 else (kind, LEVELS)  # noqa: PLW2901
            plans.append(_Plan(kind, sources[(key >> 8) % len(sources)], levels[(key >> 16) % len(levels)]))
        elif kind == "crawl":
            # Two crawls of a page in one day would be one file: within a day all blocks look back equally far.
            day = block * BLOCK // DAY
            lag = key_of(seed, CRAWL, day)
            before = day * DAY // BLOCK
            back = 1 + (0 if not day else (lag >> 8) % (before if lag % 10 == 0 else min(RECENT, before)))
            sources = _unrelated(seed, block - back)
            level = 0.0 if key >> 32 & 1 else CRAWL_LEVELS[(key >> 16) % len(CRAWL_LEVELS)]
            plans.append(_Plan(kind, sources[(lag >> 40) % 31 + crawls], level))
            crawls += 1
        else:
            plans.append(_Plan(kind))
    return plans


def _block(seed: int, block: int, *, stock: bool) -> list[Article]:
    """The 50 articles of a block of the mixture, with or without the repetition of real news."""
    plans = _plan(seed, block, wire=stock)
    numbers = range(block * BLOCK, (block + 1) * BLOCK)
    origins = [number if plan.source is None else plan.source for number, plan in zip(numbers, plans, strict=True)]
    spoken = keys_of(seed, TEXT, origins)
    edits = keys_of(seed, EDIT, numbers)
    heads, origin_heads = keys_of(seed, HEAD, numbers), keys_of(seed, HEAD, origins)
    # A crawl has its page's title, and so has every other copy.
    kept = [plan.kind == "crawl" or (plan.kind == "copy" and number % 2 == 0) for number, plan in zip(numbers, plans, strict=True)]
    named = keys_of(seed, TITLE, [origin if keep else number for number, origin, keep in zip(numbers, origins, kept, strict=True)])
    bodies, titles = [""] * BLOCK, [""] * BLOCK
    for language, in_english in ((korean(), False), (english(), True)):
        places = [p for p in range(BLOCK) if (spoken[p] % 5 == 0) == in_english and plans[p].kind != "boilerplate"]
        texts = make_bodies(language, [mix(spoken[p]) for p in places], stock=stock)
        texts = _changed(language, texts, [plans[p] for p in places], [edits[p] for p in places])
        for place, text, title in zip(places, texts, make_titles(language, [named[p] for p in places]), strict=True):
            bodies[place] = text
            titles[place] = title
    made: list[Article] = []
    for place, (number, plan) in enumerate(zip(numbers, plans, strict=True)):
        body, title = bodies[place], titles[place]
        if plan.kind == "boilerplate":
            body = boilerplate(seed, edits[place] % 5, 350, number)
            title = f"{body[:12].strip()} {number}"
        if plan.kind == "crawl":
            head = _head(origin_heads[place], origins[place], title)
            head["crawled_at"] = (_crawled(number) + timedelta(days=1)).isoformat(" ", "seconds")
        else:
            other = origin_heads[place] % len(PUBLISHERS) if plan.kind in {"copy", "wire"} else -1
            head = _head(heads[place], number, title, not_publisher=other)
        if stock and plan.kind != "boilerplate":
            # A copy or a crawl has its source's tail, word for word, a wire copy one of its own publisher.
            key = heads[place] if plan.kind == "wire" else origin_heads[place]
            body += _tail(seed, key, int(head["oid"]) - 901 if plan.kind == "wire" else key % len(PUBLISHERS))
        made.append(Article(number, plan.kind, plan.source, plan.level, body, **head))
    return made


def _changed(language: Language, texts: list[str], plans: list[_Plan], keys: list[int]) -> list[str]:
    """Each text changed according to its plan."""
    made = edit(language, texts, [0.0 if plan.kind == "wire" else plan.level for plan in plans], keys)
    wire = [i for i, plan in enumerate(plans) if plan.kind == "wire"]
    written = rewrite(language, [made[i] for i in wire], [plans[i].level for i in wire], [keys[i] for i in wire])
    for i, text in zip(wire, written, strict=True):
        made[i] = text
    return made


def _tail(seed: int, key: int, publisher: int) -> str:
    """The tail of the page with this key at a publisher; mostly empty."""
    own = mix(key ^ key_of(STOCK))
    if own % TAILED:
        return ""
    variants = tails(seed, publisher, PUBLISHERS[publisher])
    return f"\n{variants[(own >> 32) % len(variants)]}"


def _uniform_block(seed: int, block: int, kind: str) -> list[Article]:
    """The 50 articles of a block of a kind with a single sort of article."""
    numbers = range(block * BLOCK, (block + 1) * BLOCK)
    if kind == "unrelated":
        bodies = make_bodies(korean(), keys_of(seed, TEXT, numbers))
    elif kind == "boilerplate":
        bodies = [boilerplate(seed, 5, 1400, number) for number in numbers]
    else:
        bodies = [" ".join(fixed(seed, 6, 1420))] * BLOCK
    titles = make_titles(korean(), keys_of(seed, TITLE, numbers))
    labels = [("copy" if number else "unrelated") if kind == "copies" else kind for number in numbers]
    return [
        Article(number, label, 0 if label == "copy" else None, 0.0, body, **_head(head, number, title))
        for number, label, body, title, head in zip(numbers, labels, bodies, titles, keys_of(seed, HEAD, numbers), strict=True)
    ]


def articles(number: int, seed: int = 1, kind: str = "mixed") -> Iterator[Article]:
    """Yield the first `number` articles of a corpus. A longer corpus of the same seed begins with them."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of corpus: {kind}; use one of {', '.join(KINDS)}")
    yield from between(0, number, seed, kind)


def between(first: int, last: int, seed: int, kind: str) -> Iterator[Article]:
    """Yield the articles from `first`, which begins a block, up to but without `last`."""
    for block in range(first // BLOCK, -(-last // BLOCK)):
        made = _block(seed, block, stock=kind == "phrases") if kind in {"mixed", "phrases"} else _uniform_block(seed, block, kind)
        yield from made[: last - block * BLOCK]


def bodies(number: int, seed: int = 1, kind: str = "mixed") -> list[str]:
    """Return the bodies of `articles`, in order, for measurements in memory."""
    return [article.body for article in articles(number, seed, kind)]

"""Article files and generated text. The renderer of the crawler's format shares no code with dedup."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import xxhash

_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;"), ("`", "&#x60;"), ("=", "&#x3D;"))

DIGESTS: dict[str, Callable[[bytes], str]] = {
    "sha256": lambda b: hashlib.sha256(b).hexdigest(),
    "sha1": lambda b: hashlib.sha1(b).hexdigest(),
    "md5": lambda b: hashlib.md5(b).hexdigest(),
    "blake2b": lambda b: hashlib.blake2b(b).hexdigest(),
    "xxh64": xxhash.xxh64_hexdigest,
    "xxh3_64": xxhash.xxh3_64_hexdigest,
    "xxh3_128": xxhash.xxh3_128_hexdigest,
}
"""Algorithm → function that returns the hex digest. The oracle for recipes."""


def escape(text: str) -> str:
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text


@dataclass(frozen=True)
class ArticleFile:
    """The content of an article file. `claim` None means the correct SHA-256; with `comments` the file is the variant with comments."""

    body: str = "본문이 한 문단으로 길게 이어진다. The body goes on in one long paragraph."
    title: str = "제목"
    oid: str = "901"
    aid: str = "0000000001"
    publisher: str = "한빛일보"
    author: str = ""
    category: str = ""
    published_at: str = "2026-03-02 09:00"
    crawled_at: str = "2026-03-02 00:30:00"
    url: str | None = None
    claim: str | None = None
    comments: str | None = None
    extra: tuple[tuple[str, str], ...] = field(default=())

    @property
    def address(self) -> str:
        return self.url if self.url is not None else f"https://n.news.naver.com/mnews/article/{self.oid}/{self.aid}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.body.encode()).hexdigest() if self.claim is None else self.claim

    @property
    def name(self) -> str:
        slug = "".join(c for c in self.title if c.isalnum() or c in "-_ ")[:50].strip().replace(" ", "_").lower()
        return f"{self.oid}_{self.aid}" + (f"_{slug}" if slug else "") + ("_with_comments" if self.comments is not None else "") + ".md"

    def render(self) -> str:
        head = [("id", f"{self.oid}_{self.aid}"), ("title", f'"{escape(self.title)}"'), ("category", escape(self.category))]
        head += [("publisher", escape(self.publisher)), ("author", escape(self.author)), ("published_at", self.published_at)]
        head += [("crawled_at", self.crawled_at), ("url", escape(self.address)), ("oid", self.oid), ("aid", self.aid)]
        head += [("content_hash", self.digest), *self.extra]
        if self.comments is not None:
            head.append(("comment_count", str(self.comments.count("**"))))
        rows = "".join(f"{key}: {value}\n" for key, value in head)
        middle = "" if self.comments is None else f"{escape(self.comments)}\n\n---\n\n"
        return (
            f"---\n{rows}---\n\n# {escape(self.title)}\n\n**{escape(self.publisher)}** | {self.published_at} | {escape(self.category)}\n\n"
            f"---\n\n{escape(self.body)}\n\n---\n\n{middle}"
            f"*Crawled at: {self.crawled_at}*\n*Source: [원문 보기]({escape(self.address)})*\n"
        )

    def write(self, folder: Path, name: str | None = None, *, age: float = 60.0) -> Path:
        """Write the file as the crawler does, with a modification time `age` seconds ago."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / (name or self.name)
        path.write_text(self.render(), encoding="utf-8")
        if age:
            stamp = path.stat().st_mtime - age
            os.utime(path, (stamp, stamp))
        return path


_SYLLABLES = [chr(c) for c in range(0xAC00, 0xAC00 + 28 * 40, 7)]


def words(rng: random.Random, number: int, *, korean: bool = True) -> list[str]:
    """Return invented words, chosen by `rng`."""
    if korean:
        return ["".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4))) for _ in range(number)]
    return ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(number)]


def edit_words(rng: random.Random, text: list[str], share: float) -> list[str]:
    """Return the words with about `share` of them replaced."""
    return [words(rng, 1)[0] if rng.random() < share else word for word in text]

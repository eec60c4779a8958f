"""Compute content digests by recipe, and find the recipe and the end of the body that a claimed `content_hash` verifies.

A digest is written `recipe:hex`. A recipe is `algorithm(text)`; SHA-256 of the body is `sha256(body)`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import xxhash


class HashState(Protocol):
    """The common interface of the hash objects of hashlib and xxhash."""

    def update(self, content: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


ALGORITHMS: dict[str, tuple[Callable[[], HashState], int]] = {
    "sha256": (hashlib.sha256, 64),
    "sha1": (hashlib.sha1, 40),
    "md5": (hashlib.md5, 32),
    "blake2b": (hashlib.blake2b, 128),
    "xxh64": (xxhash.xxh64, 16),
    "xxh3_64": (xxhash.xxh3_64, 16),
    "xxh3_128": (xxhash.xxh3_128, 32),
}
"""Name → (constructor, hex digits of a digest). xxhash uses seed 0 and canonical (big-endian) digests."""

HASHED_TEXTS = ("body", "escaped", "title+newline+body")
"""What is hashed, as UTF-8: the unescaped body, the body as written in the file, or title, newline and unescaped body."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a digest is computed. `str()` returns the stored form."""

    algorithm: str
    text: str

    def __str__(self) -> str:
        return f"{self.algorithm}({self.text})"


RECIPES: dict[str, Recipe] = {str(r): r for a in ALGORITHMS for t in HASHED_TEXTS for r in (Recipe(a, t),)}
"""Stored form → recipe, the most common recipes first."""

WHITESPACE = " \t\r\n"
"""White space that every trim function removes; bodies neither start nor end with it."""

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;", "`": "&#x60;", "=": "&#x3D;"}
"""Escapes of Handlebars, in the order in which they are applied: `&` first, because the others add `&`."""

_CLAIM_PATTERN = re.compile(r"(?:[A-Za-z][A-Za-z0-9_-]{0,15}:)?([0-9a-fA-F]{16,128})")


class BodySegment(NamedTuple):
    """A piece of an article's text that ends at a possible end of the body (offset `end`), and begins where the previous piece ended.

    `escaped` is the text as in the file.
    """

    end: int
    escaped: str
    unescaped: str


def parse_claim(claim: str) -> str | None:
    """Return the digest of a claim in lower-case hex, without a prefix such as `sha256:`; None if the claim is no digest."""
    match = _CLAIM_PATTERN.fullmatch(claim)
    return match[1].lower() if match else None


def recipes_of_length(recipes: Sequence[Recipe], claim: str) -> list[Recipe]:
    """Return the recipes whose digests are as long as the claim."""
    return [r for r in recipes if ALGORITHMS[r.algorithm][1] == len(claim)]


def compute_digest(recipe: Recipe, title: str, body: str, escaped: str) -> str:
    """Return the hex digest of a body by a recipe. `escaped` is the body as in the file."""
    state = ALGORITHMS[recipe.algorithm][0]()
    if recipe.text == "title+newline+body":
        state.update(title.encode() + b"\n")
    state.update((escaped if recipe.text == "escaped" else body).encode())
    return state.hexdigest()


def find_claimed(recipes: Sequence[Recipe], title: str, segments: Iterable[BodySegment], claim: str) -> tuple[Recipe, int] | None:
    """Return the first recipe that yields the claimed digest (lower-case hex) for the text up to the end of a segment, and that end.

    Of several such ends it is the first. None if no recipe matches. All recipes are tried in one pass over the segments.
    """
    result: tuple[Recipe, int] | None = None
    running_digests = [_RunningDigest(recipe, title) for recipe in recipes]
    for segment in segments:
        for index, running_digest in enumerate(running_digests):
            if running_digest.extend(segment) == claim:
                result = running_digest.recipe, segment.end
                del running_digests[index:]  # only an earlier recipe takes precedence
                break
        if not running_digests:
            break
    return result


class _RunningDigest:
    """The digest of a text that grows by segments; white space at both ends does not count."""

    def __init__(self, recipe: Recipe, title: str) -> None:
        self.recipe = recipe
        self._state = ALGORITHMS[recipe.algorithm][0]()
        if recipe.text == "title+newline+body":
            self._state.update(title.encode() + b"\n")
        self._pending_whitespace, self._has_text = "", False

    def extend(self, segment: BodySegment) -> str:
        """Append a segment and return the hex digest."""
        text = segment.escaped if self.recipe.text == "escaped" else segment.unescaped
        if not self._has_text:
            text = text.lstrip(WHITESPACE)
            self._has_text = bool(text)
        stripped = text.rstrip(WHITESPACE)
        if stripped:
            self._state.update((self._pending_whitespace + stripped).encode())
            self._pending_whitespace = text[len(stripped) :]
        else:
            self._pending_whitespace += text
        return self._state.hexdigest()


def escape_handlebars(text: str) -> str:
    """Escape `text` as the crawler does: HTML by the rules of Handlebars."""
    for character, reference in _ESCAPES.items():
        text = text.replace(character, reference)
    return text

"""Recipes for `content_hash` (algorithm × text), and which of several possible bodies a claim vouches for.

A digest is written `recipe:hex`. A recipe is `algorithm(text)`: SHA-256 of the body is `sha256(body)`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import xxhash


class HashState(Protocol):
    """What hashlib's and xxhash's objects have in common."""

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
"""Name → (constructor, hex digits of a digest). xxhash with seed 0, digests in canonical (big-endian) order."""

HASHED_TEXTS = ("body", "escaped", "title+newline+body")
"""What is hashed, as UTF-8: the body unescaped, the body as it stands in the file, or title, newline and body."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a digest is made; `str()` gives the stored form."""

    algorithm: str
    text: str

    def __str__(self) -> str:
        return f"{self.algorithm}({self.text})"


RECIPES: dict[str, Recipe] = {str(r): r for a in ALGORITHMS for t in HASHED_TEXTS for r in (Recipe(a, t),)}
"""Every known recipe by its stored form, the usual ones first."""

WHITESPACE = " \t\r\n"
"""White space that every trim function agrees on; bodies are free of it at both ends."""

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;", "`": "&#x60;", "=": "&#x3D;"}
"""Each character in turn, `&` first: what it becomes has none of those that follow."""

_CLAIM_PATTERN = re.compile(r"(?:[A-Za-z][A-Za-z0-9_-]{0,15}:)?([0-9a-fA-F]{16,128})")


class BodySegment(NamedTuple):
    """One stretch of an article's text up to a possible end of the body (at offset `end`, beginning where the stretch before
    ended): `escaped` as in the file, `unescaped` unescaped."""

    end: int
    escaped: str
    unescaped: str


def parse_claim(claim: str) -> str | None:
    """The lower-case hex of a usable claim (a prefix like `sha256:` is allowed); None for one that is no digest."""
    match = _CLAIM_PATTERN.fullmatch(claim)
    return match[1].lower() if match else None


def recipes_of_length(recipes: Sequence[Recipe], claim: str) -> list[Recipe]:
    """Those recipes whose digests have as many hex digits as the claim."""
    return [r for r in recipes if ALGORITHMS[r.algorithm][1] == len(claim)]


def compute_digest(recipe: Recipe, title: str, body: str, escaped: str) -> str:
    """Hex digest of one body by one recipe."""
    state = ALGORITHMS[recipe.algorithm][0]()
    if recipe.text == "title+newline+body":
        state.update(title.encode() + b"\n")
    state.update((escaped if recipe.text == "escaped" else body).encode())
    return state.hexdigest()


def find_claimed(recipes: Sequence[Recipe], title: str, segments: Iterable[BodySegment], claim: str) -> tuple[Recipe, int] | None:
    """The first of the recipes by which the text up to the end of some piece has the claimed digest (lower-case hex), and the first such
    end; None where there is none. One pass over the pieces, however many recipes there are."""
    result: tuple[Recipe, int] | None = None
    running_digests = [_RunningDigest(recipe, title) for recipe in recipes]
    for segment in segments:
        for index, running_digest in enumerate(running_digests):
            if running_digest.extend(segment) == claim:
                result = running_digest.recipe, segment.end
                del running_digests[index:]  # only an earlier recipe counts for more
                break
        if not running_digests:
            break
    return result


class _RunningDigest:
    """The digest of a text that grows piece by piece."""

    def __init__(self, recipe: Recipe, title: str) -> None:
        self.recipe = recipe
        self._state = ALGORITHMS[recipe.algorithm][0]()
        if recipe.text == "title+newline+body":
            self._state.update(title.encode() + b"\n")
        self._pending_whitespace, self._has_text = "", False

    def extend(self, segment: BodySegment) -> str:
        """The hex digest with this piece at the end."""
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
    """`text` as the crawler writes it: HTML-escaped by Handlebars' rules."""
    for character, reference in _ESCAPES.items():
        text = text.replace(character, reference)
    return text

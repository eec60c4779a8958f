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


class Hash(Protocol):
    """What hashlib's and xxhash's objects have in common."""

    def update(self, content: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


ALGORITHMS: dict[str, tuple[Callable[[], Hash], int]] = {
    "sha256": (hashlib.sha256, 64),
    "sha1": (hashlib.sha1, 40),
    "md5": (hashlib.md5, 32),
    "blake2b": (hashlib.blake2b, 128),
    "xxh64": (xxhash.xxh64, 16),
    "xxh3_64": (xxhash.xxh3_64, 16),
    "xxh3_128": (xxhash.xxh3_128, 32),
}
"""Name → (constructor, hex digits of a digest). xxhash with seed 0, digests in canonical (big-endian) order."""

TEXTS = ("body", "escaped", "title+newline+body")
"""What is hashed, as UTF-8: the body unescaped, the body as it stands in the file, or title, newline and body."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a digest is made; `str()` gives the stored form."""

    algorithm: str
    text: str

    def __str__(self) -> str:
        return f"{self.algorithm}({self.text})"


RECIPES: dict[str, Recipe] = {str(r): r for a in ALGORITHMS for t in TEXTS for r in (Recipe(a, t),)}
"""Every known recipe by its stored form, the usual ones first."""

BLANKS = " \t\r\n"
"""White space that every trim function agrees on; bodies are free of it at both ends."""

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;", "`": "&#x60;", "=": "&#x3D;"}
"""Each character in turn, `&` first: what it becomes has none of those that follow."""

_CLAIM = re.compile(r"(?:[A-Za-z][A-Za-z0-9_-]{0,15}:)?([0-9a-fA-F]{16,128})")


class Piece(NamedTuple):
    """One stretch of an article's text up to a possible end of the body (at offset `end`, beginning where the stretch before
    ended): `escaped` as in the file, `plain` unescaped."""

    end: int
    escaped: str
    plain: str


def claim_hex(claimed: str) -> str | None:
    """The lower-case hex of a usable claim (a prefix like `sha256:` is allowed); None for one that is no digest."""
    match = _CLAIM.fullmatch(claimed)
    return match[1].lower() if match else None


def fitting(recipes: Sequence[Recipe], hexdigest: str) -> list[Recipe]:
    """Those recipes whose digests have as many hex digits as the claim."""
    return [r for r in recipes if ALGORITHMS[r.algorithm][1] == len(hexdigest)]


def digest(recipe: Recipe, title: str, body: str, escaped: str) -> str:
    """Hex digest of one body by one recipe."""
    state = ALGORITHMS[recipe.algorithm][0]()
    if recipe.text == "title+newline+body":
        state.update(title.encode() + b"\n")
    state.update((escaped if recipe.text == "escaped" else body).encode())
    return state.hexdigest()


def first_claimed(recipes: Sequence[Recipe], title: str, pieces: Iterable[Piece], claim: str) -> tuple[Recipe, int] | None:
    """The first of the recipes by which the text up to the end of some piece has the claimed digest (lower-case hex), and the first such
    end; None where there is none. One pass over the pieces, however many recipes there are."""
    found: tuple[Recipe, int] | None = None
    prefixes = [_Prefix(recipe, title) for recipe in recipes]
    for piece in pieces:
        for number, prefix in enumerate(prefixes):
            if prefix.extended(piece) == claim:
                found = prefix.recipe, piece.end
                del prefixes[number:]  # only an earlier recipe counts for more
                break
        if not prefixes:
            break
    return found


class _Prefix:
    """The digest of a text that grows piece by piece."""

    def __init__(self, recipe: Recipe, title: str) -> None:
        self.recipe = recipe
        self._state = ALGORITHMS[recipe.algorithm][0]()
        if recipe.text == "title+newline+body":
            self._state.update(title.encode() + b"\n")
        self._blanks, self._begun = "", False

    def extended(self, piece: Piece) -> str:
        """The hex digest with this piece at the end."""
        text = piece.escaped if self.recipe.text == "escaped" else piece.plain
        if not self._begun:
            text = text.lstrip(BLANKS)
            self._begun = bool(text)
        solid = text.rstrip(BLANKS)
        if solid:
            self._state.update((self._blanks + solid).encode())
            self._blanks = text[len(solid) :]
        else:
            self._blanks += text
        return self._state.hexdigest()


def escape(text: str) -> str:
    """`text` as the crawler writes it: HTML-escaped by Handlebars' rules."""
    for character, reference in _ESCAPES.items():
        text = text.replace(character, reference)
    return text

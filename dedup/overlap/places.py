"""Where in the bodies themselves the shared passages stand: for showing them, not for finding them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from dedup import text
from dedup.overlap.forms import RUN, STEPS


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that runs alike through two bodies: code points [a_begin, a_end) of the one and [b_begin, b_end) of the other;
    `characters` normalised ones."""

    a_begin: int
    a_end: int
    b_begin: int
    b_end: int
    characters: int


def passages(a: str, b: str) -> list[Passage]:
    """The passages of at least `RUN` normalised characters that two bodies share, each as long as it runs, in the order of the
    first body; one that lies within others on both sides is left out, and in texts that repeat themselves endlessly some are."""
    one, other = text.normalise(a), text.normalise(b)
    kept: list[tuple[int, int, int]] = []
    seen_a, seen_b = bytearray(len(one)), bytearray(len(other))
    for length, i, j in sorted(_alike(one, other), key=lambda m: (-m[0], m[1], m[2])):
        if 0 in seen_a[i : i + length] or 0 in seen_b[j : j + length]:
            kept.append((i, j, length))
            seen_a[i : i + length] = seen_b[j : j + length] = b"\1" * length
    if not kept:
        return []
    origin_a, origin_b = origins(a), origins(b)
    return [
        Passage(origin_a[i][0], origin_a[i + n - 1][1], origin_b[j][0], origin_b[j + n - 1][1], n) for i, j, n in sorted(kept)
    ]  # fmt: skip


def _alike(a: str, b: str) -> list[tuple[int, int, int]]:
    """(length, place in a, place in b) of every passage that cannot be made longer."""
    places: dict[str, list[int]] = {}
    for i in range(len(a) - RUN + 1):
        places.setdefault(a[i : i + RUN], []).append(i)
    found = []
    steps = STEPS * (len(a) + len(b))
    for j in range(len(b) - RUN + 1):
        for i in places.get(b[j : j + RUN], ()):
            steps -= 1
            if i and j and a[i - 1] == b[j - 1]:
                continue
            n = RUN
            while i + n < len(a) and j + n < len(b) and a[i + n] == b[j + n]:
                n += 1
            found.append((n, i, j))
            steps -= n
            if steps < 0:
                return found
    return found


def origins(body: str) -> list[tuple[int, int]]:
    """For each character of the normalised body, the code points [begin, end) of the body that it comes from."""
    kept = text.kept_codes()
    found: list[tuple[int, int]] = []
    for begin, end in _parts(body):
        found += [(begin, end) for c in text.fold(body[begin:end]) if kept[ord(c)]]
    return found


def _parts(body: str) -> list[tuple[int, int]]:
    """Where the body may be cut so that its parts, brought to NFC, make up the whole in NFC."""
    if unicodedata.is_normalized("NFC", body):
        return [(i, i + 1) for i in range(len(body))]
    joined = _joining()
    cuts = [i for i, c in enumerate(body) if i == 0 or not (unicodedata.combining(c) or c in joined)]
    return list(zip(cuts, [*cuts[1:], len(body)], strict=True))


@lru_cache(maxsize=1)
def _joining() -> frozenset[str]:
    """Characters that join what is before them though they are no combining marks: vowels and finals of Hangul, the second
    halves of canonical compositions (Unicode Standard Annex 15, NFC_Quick_Check=Maybe), and what decomposes into marks."""
    halves = {chr(c) for c in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    for code in range(0x30000):
        parts = unicodedata.decomposition(chr(code)).split()
        if not parts or parts[0].startswith("<"):
            continue
        if len(parts) == 2:
            halves.add(chr(int(parts[1], 16)))
        if unicodedata.combining(chr(int(parts[0], 16))):
            halves.add(chr(code))
    return frozenset(halves)

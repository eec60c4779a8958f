"""What a change rests on: the numbers, quotations, names, negations and sentences that came, went or became others."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Literal, Self

import regex

from dedup.changes.diff import Operation, tokens
from dedup.changes.lexicon import AGO, CREDITS, LINK, NAMES, NEGATIONS, SPELT, STAMPS, TARGET, quotations, sort_of_number, stands_in
from dedup.heartbeat import beat
from dedup.text.normalise import kept, unicode_form

What = Literal[
    "number", "amount", "date", "percentage", "quotation", "name", "negation", "sentence", "moved", "words", "address",
    "form", "credit", "time_stamp", "failure", "stub", "states",
]  # fmt: skip
"""`form` is blanks, punctuation, Unicode form or letter case alone; `states` how long each stood of those that a page goes between."""

SENTENCE, LABEL = 10, 20
"""Letters and digits from which a sentence's coming or going counts by itself: one that ends as such, and one that does not (a
heading, a button). A syllable of Hangul or a Chinese character is as good as two."""
_ENDED = regex.compile(r"[.!?…。！？][”’」』》〉)\]\"']{0,3}$")
_LISTED = regex.compile(r"[^\w#]{0,10}\p{Lu}\p{Ll}{3,}\W{0,5}")
CLAUSE = 30
"""The same of words that came into a sentence, or went from it: so many say as much as a sentence."""
SHOWN = 200
"""Characters that are kept of either side of a piece of evidence."""
MOST = 40
"""Pieces of evidence that are kept."""
LONGEST = 40_000
"""Characters of a sentence, before and after, that is looked at word by word; what is longer is none."""
MOST_ROWS = 2_000
"""Sentences that differ and are looked at one by one; what differs beyond them is told as one."""
MOST_READ = 500_000
"""Characters of them, of both sides together, after which the same holds."""
MOST_NAMES = 100
"""Names in a sentence that are looked for in the other one."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that differs; empty where there was nothing, or is nothing."""

    what: What
    before: str
    after: str


def plain(text: str) -> str:
    """Letters and digits alone, in compatibility form and folded: what is left where form counts for nothing."""
    letters = kept(unicode_form("NFKC", text).casefold())
    beat()
    return letters


def has_letters(text: str) -> bool:
    """Whether anything is left of it when it is `plain`."""
    return bool(plain(text[:_SOME])) or (len(text) > _SOME and bool(plain(text)))


_SOME = 10_000


@dataclass(frozen=True, slots=True)
class Aside:
    """Those sentences that are nothing but credits, time stamps, or links (to other pages, in a menu)."""

    credits: tuple[str, ...]
    stamps: tuple[str, ...]
    links: tuple[str, ...]

    @classmethod
    def among(cls, sentences: Iterable[str]) -> Self:
        """Find them."""
        found: dict[str, list[str]] = {"credits": [], "stamps": [], "links": []}
        for bare in map(str.strip, sentences):
            if len(bare) <= 160 and (STAMPS.fullmatch(bare) or AGO.fullmatch(bare)):
                found["stamps"].append(bare)
            elif len(bare) <= 160 and CREDITS.fullmatch(bare):
                found["credits"].append(bare)
            elif "]()" in bare and not plain(LINK.sub("", LINK.sub("", bare))):
                found["links"].append(bare)
        return cls(*map(tuple, found.values()))

    @property
    def all(self) -> set[str]:
        return {*self.credits, *self.stamps, *self.links}

    def differences(self, other: Self) -> Iterator[Evidence]:
        """What is told of them."""
        for what, was, now in (
            ("credit", self.credits, other.credits), ("time_stamp", self.stamps, other.stamps), ("address", self.links, other.links)
        ):  # fmt: skip
            if plain(" ".join(was)) != plain(" ".join(now)):
                yield Evidence(what, cut(" / ".join(was)), cut(" / ".join(now)))  # type: ignore[arg-type]  # one of these three


def unlinked(text: str) -> str:
    """A text without what nobody reads of it: where its links lead."""
    return TARGET.sub("", text) if "](" in text else text


def of(groups: Iterable[Sequence[Operation]]) -> list[Evidence]:
    """What differs between two texts, as `diffs.aligned` tells it, the gravest first; without what is a matter of form alone."""
    found: list[Evidence] = []
    quoted: tuple[list[str], list[str]] = [], []
    rows = _rows(groups)
    read = 0
    for left, right in islice(rows, MOST_ROWS):
        found += _of_row(left, right)
        for side, marks in zip((left, right), quoted, strict=True):
            text = _text(side)
            read += len(text)
            if len(text) <= LONGEST:
                marks.extend(quotations(text))
        beat()
        if read > MOST_READ:
            break
    rest = [[_text(side) for side in row] for row in rows]
    gone, come = ("\n".join(row[n] for row in rest) for n in (0, 1))
    if plain(gone) != plain(come):
        found.append(Evidence("sentence", cut(gone), cut(come)))
    found += _paired("quotation", *quoted)
    order = {what: n for n, what in enumerate(("negation", "amount", "percentage", "number", "date", "quotation", "name", "sentence"))}
    return sorted(dict.fromkeys(found), key=lambda e: order.get(e.what, len(order)))


_Side = Sequence[Operation]


def _text(side: _Side) -> str:
    return "".join(o.text for o in side)


def _rows(groups: Iterable[_Side]) -> Iterator[tuple[_Side, _Side]]:
    """Of every sentence that differs the two sides; one that went and one that came in its place are a row."""
    gone: _Side = ()
    for group in groups:
        left = [o for o in group if o.kind in ("same", "removed", "moved_from")]
        right = [o for o in group if o.kind in ("same", "added", "moved_to")]
        if gone:
            if right and not left and right[0].kind == "added":
                yield gone, right
                gone = ()
                continue
            yield gone, ()
            gone = ()
        if left and not right and left[0].kind == "removed":
            gone = left
        elif any(o.kind != "same" for o in group):
            yield left, right
    if gone:
        yield gone, ()


def _of_row(one: _Side, other: _Side) -> Iterator[Evidence]:
    left, right = _text(one), _text(other)
    if len(left) + len(right) > MOST_READ and all(o.kind in ("removed", "added") for o in (*one, *other)):
        yield Evidence("sentence", cut(left), cut(right))
        return
    letters = plain(left), plain(right)
    if letters[0] == letters[1]:
        return
    if any(o.move is not None for o in (*one, *other)):
        if one:
            yield Evidence("moved", cut(left), cut(left))
        return
    if all(o.kind != "same" for o in (*one, *other)) and (len(left + right) > LONGEST or _is_line(_without_addresses(left + right))):
        yield Evidence("sentence", cut(left), cut(right))
        return
    yield from _edits(one, other, letters)
    left, right = _without_addresses(left), _without_addresses(right)
    yield from _paired("name", _missing(_names(left), right), _missing(_names(right), left))
    yield from _paired("negation", _negations(left), _negations(right))


def _is_line(text: str) -> bool:
    """Whether it says something by itself: so many letters, or a name in a list."""
    bare, letters = text.strip(), plain(text)
    least = SENTENCE if is_ended(bare) else LABEL
    return _weight(letters) >= least or _LISTED.fullmatch(bare) is not None


def _weight(letters: str) -> int:
    return len(letters) + sum("⺀" <= c <= "힣" for c in letters)


def is_ended(text: str) -> bool:
    """Whether it ends as a sentence does."""
    return _ENDED.search(text.rstrip()) is not None


def _without_addresses(text: str) -> str:
    if "//" not in text and "@" not in text:
        return text
    return "".join(t.text for t in tokens(text) if t.kind != "address")


def _edits(one: _Side, other: _Side, letters: tuple[str, str]) -> Iterator[Evidence]:
    """Numbers that became others, and the other words that did, edit by edit; `letters` are those of the two sides."""
    for was, now in _edit_pairs(one, other):
        if _is_clause(plain(_without_addresses(was)), plain(_without_addresses(now)), *letters):
            yield Evidence("sentence", cut(was), cut(now))
        parts = [tokens(side) for side in (was, now)]
        yield from _numbers(*([t.text for t in side if t.kind == "number"] for side in parts))
        yield from _paired("number", *([m[0] for m in SPELT.finditer(side)] for side in (was, now)))
        for what, kinds in (("words", ("word", "ideograph")), ("address", ("address",))):
            told = ["".join(t.text for t in side if t.kind in kinds) for side in parts]
            if plain(told[0]) != plain(told[1]):
                yield Evidence(what, cut(was), cut(now))  # type: ignore[arg-type]  # one of the two above


def _is_clause(was: str, now: str, before: str, after: str) -> bool:
    """Whether so much came, or went, and in no other place of the sentence."""
    return max(_weight(was), _weight(now)) >= CLAUSE and ((not was and now not in before) or (not now and was not in after))


def _edit_pairs(one: _Side, other: _Side) -> Iterator[tuple[str, str]]:
    """(what went, what came in its place): both sides have the same unchanged stretches in the same order."""
    sides = []
    for side in (one, other):
        edits, edit = [], ""
        for o in side:
            if o.kind == "same":
                edits.append(edit)
                edit = ""
            else:
                edit += o.text
        sides.append([*edits, edit])
    yield from ((a, b) for a, b in zip(*sides, strict=True) if a or b)


def _numbers(before: list[str], after: list[str]) -> Iterator[Evidence]:
    left, right = _without_common(before, after, _value)
    for was, now in zip_longest(left, right, fillvalue=""):
        sort = sort_of_number(now or was)
        yield Evidence(sort if sort != "number" else sort_of_number(was or now), was, now)


def _value(number: str) -> str:
    """`1,000` and `1000` are one number, `-3` and `\u22123` too."""
    return unicodedata.normalize("NFKC", number).replace(",", "").replace("\u2212", "-").replace(" ", "").casefold()


def _names(text: str) -> list[str]:
    return [m["name"] or m["latin"] or m["acronym"] for m in NAMES.finditer(text)]


def _missing(names: Iterable[str], other: str) -> list[str]:
    """Those that the other side does not have in any spelling."""
    there = plain(other)
    some = islice(dict.fromkeys(names), MOST_NAMES)
    return [name for name in some if not (stands_in(name, other) if name[0] >= "가" else plain(name) in there)]


def _negations(text: str) -> list[str]:
    return [m[0] for m in NEGATIONS.finditer(text)]


def _paired(what: What, before: Sequence[str], after: Sequence[str]) -> Iterator[Evidence]:
    """What only one side has, in order, beside what only the other has."""
    left, right = _without_common(before, after, plain)
    if what == "negation" and len(left) == len(right):
        return  # otherwise put, and as negative as before
    for was, now in zip_longest(left, right, fillvalue=""):
        yield Evidence(what, cut(was), cut(now))


def _without_common(before: Sequence[str], after: Sequence[str], key: Callable[[str], str]) -> tuple[list[str], list[str]]:
    here, there = Counter(map(key, before)), Counter(map(key, after))
    return _beyond(before, there, key), _beyond(after, here, key)


def _beyond(texts: Sequence[str], others: Counter[str], key: Callable[[str], str]) -> list[str]:
    left, found = Counter(others), []
    for text in texts:
        k = key(text)
        if left[k] > 0:
            left[k] -= 1
        else:
            found.append(text)
    return found


def cut(text: str) -> str:
    """What is kept of one side of a piece of evidence."""
    text = text.strip()
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"

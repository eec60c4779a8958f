"""Invented text: vocabularies, word frequencies, and the bodies and titles made of them."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.corpus.draws import FIXED, STOCK, VOCABULARY, Words, key_of, mix, mixed

# Vocabularies: words and their frequencies.


@dataclass(frozen=True, slots=True)
class Language:
    """Tokens and how they are drawn.

    Bits of a random number, from the lowest: 20 select a word through `frequent` (a table of 2**20 ranks, Zipf-Mandelbrot), 6
    select its form through `forms` (64 → form), giving `tokens[word × forms + form]`; at the end of a sentence, 16 select among
    `ends`.
    """

    tokens: NDArray[np.object_]
    frequent: NDArray[np.int32]
    forms: NDArray[np.int32]
    number_of_forms: int
    ends: NDArray[np.object_]
    pattern: NDArray[np.bool_]
    """4,096 positions, true at the end of a sentence. An article reads it from a position of its own."""
    characters: float
    """Average characters of a token with the space after it."""
    lengths: NDArray[np.int32]
    """Body lengths in characters: 4,096 quantiles of the log-normal distribution, clamped."""
    capitals: bool
    phrase: int
    """Words of the shortest stock phrase; the longest has 7 more."""


def _ranks(words: int) -> NDArray[np.int32]:
    """2**20 ranks below `words`; rank i is as frequent as 1 / (i + 3): Zipf-Mandelbrot, the law of word frequencies."""
    total = np.cumsum(1.0 / (np.arange(words) + 3.0))
    ranks: NDArray[np.int32] = np.searchsorted(total, (np.arange(1 << 20) + 0.5) * (total[-1] / (1 << 20))).astype(np.int32)
    return ranks


def _lengths(mean: int, sigma: float = 0.5, least: int = 300, most: int = 6000) -> NDArray[np.int32]:
    normal = statistics.NormalDist(math.log(mean) - sigma * sigma / 2, sigma)
    return np.array([min(max(round(math.exp(normal.inv_cdf((i + 0.5) / 4096))), least), most) for i in range(4096)], dtype=np.int32)


def _pattern(shortest: int, longest: int) -> NDArray[np.bool_]:
    pattern = np.zeros(4096, dtype=np.bool_)
    place = 0
    for counter in range(4096):
        place += shortest + key_of(VOCABULARY, 7, counter) % (longest - shortest + 1)
        if place >= 4096:
            break
        pattern[place] = True
    return pattern


def _invented(language: int, number: int, syllables: Callable[[int], list[str]]) -> list[str]:
    """`number` distinct words, or fewer if there are not as many. `syllables` makes the parts of a word from a random number."""
    draws = mixed(np.arange(2 * number, dtype=np.uint64) + np.uint64(key_of(VOCABULARY, language) >> 1))
    words: dict[str, None] = {}
    for draw in draws.tolist():
        words["".join(syllables(draw))] = None
        if len(words) == number:
            break
    return list(words)


_INITIALS, _VOWELS = (0, 2, 3, 5, 6, 7, 9, 11, 12, 14, 15, 16, 17, 18), (0, 1, 4, 5, 6, 8, 9, 12, 13, 18, 20)
_FINALS = (0, 0, 0, 0, 1, 4, 4, 8, 16, 17, 21, 21)
_PARTICLES = ("은", "는", "이", "가", "을", "를", "의", "에", "에서", "으로", "와", "과", "도", "까지", "부터", "에게", "보다", "만")
_ENDINGS = (
    "했다.",
    "됐다.",
    "한다.",
    "하고 있다.",
    "할 예정이다.",
    "했다고 밝혔다.",
    "된다고 설명했다.",
    "하기로 했다.",
    "된 것으로 나타났다.",
    "해야 한다.",
)


def hangul(key: int) -> str:
    initial, vowel, final = _INITIALS[key % 14], _VOWELS[key // 14 % 11], _FINALS[key // 154 % 12]
    return chr(0xAC00 + (initial * 21 + vowel) * 28 + final)


@functools.cache
def korean() -> Language:
    """30,000 words of two to four syllables, each with a bare form, three of its particles, a comma and a quotation."""
    words = _invented(1, 30_000, lambda key: [hangul(key >> 11 * i) for i in range((2, 2, 2, 3, 3, 4)[(key >> 50) % 6])])
    draws = mixed(np.arange(len(words), dtype=np.uint64) + np.uint64(key_of(VOCABULARY, 2) >> 1))
    tokens: list[str] = []
    for draw, word in zip(draws.tolist(), words, strict=True):
        a, b, c = (_PARTICLES[(draw >> 8 * i & 0xFF) % len(_PARTICLES)] for i in range(3))
        tokens += (word, word + a, word + b, word + c, word + a + ",", f'"{word}"{b}')
    stems = _invented(3, 3_000, lambda key: [hangul(key), hangul(key >> 11)])
    return _language(
        tokens,
        forms=(20, 16, 14, 9, 4, 1),
        ends=[stem + ending for stem in stems for ending in _ENDINGS],
        pattern=_pattern(7, 18),
        lengths=_lengths(1400),
        capitals=False,
        phrase=8,
    )


_ONSETS = ("b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "v", "w", "br", "ch", "cl", "pr", "sh", "st", "th", "tr", "")
_NUCLEI = ("a", "a", "e", "e", "e", "i", "i", "o", "o", "u", "ai", "ea", "ee", "ou")
_CODAS = ("", "", "", "n", "n", "r", "r", "s", "t", "t", "l", "d", "m", "ck", "nd", "ng", "st", "p")


def _syllable(key: int) -> str:
    return _ONSETS[key % 24] + _NUCLEI[key // 24 % 14] + _CODAS[key // 336 % 18]


@functools.cache
def english() -> Language:
    """24,000 words of one to three syllables, the most frequent ones of one."""
    short = [w for w in _invented(4, 200, lambda key: [_syllable(key)]) if len(w) < 5]
    long = _invented(5, 24_000, lambda key: [_syllable(key >> 13 * i) for i in range((1, 2, 2, 2, 3, 3)[(key >> 50) % 6])])
    words = list(dict.fromkeys(short + long))
    tokens: list[str] = []
    for number, word in enumerate(words):
        ending = ("s", "ed", "ing", "ly", "er")[number * 7 % 11 % 5]
        tokens += (word, word + ending, word + ",", word + "'s", f'"{word}"')
    return _language(
        tokens,
        forms=(40, 16, 4, 3, 1),
        ends=[word + "." for word in words],
        pattern=_pattern(9, 24),
        lengths=_lengths(2600),
        capitals=True,
        phrase=7,
    )


def _language(
    tokens: list[str],
    *,
    forms: tuple[int, ...],
    ends: list[str],
    pattern: NDArray[np.bool_],
    lengths: NDArray[np.int32],
    capitals: bool,
    phrase: int,
) -> Language:
    frequent = _ranks(len(tokens) // len(forms))
    table = np.repeat(np.arange(len(forms), dtype=np.int32), forms)
    sizes = np.array([len(token) + 1 for token in tokens]).reshape(-1, len(forms))
    share = float(pattern.mean())
    characters = (1 - share) * float((sizes[frequent] * (np.array(forms) / 64)).sum(axis=1).mean())
    characters += share * (sum(map(len, ends)) / len(ends) + 1)
    return Language(
        tokens=np.array(tokens, dtype=object),
        frequent=frequent,
        forms=table,
        number_of_forms=len(forms),
        ends=np.array(ends, dtype=object),
        pattern=pattern,
        characters=characters,
        lengths=lengths,
        capitals=capitals,
        phrase=phrase,
    )


# Bodies.


def draw(language: Language, draws: Words, ends: NDArray[np.bool_] | None = None) -> list[str]:
    """Return a token for each random number; one that ends a sentence where `ends` is true."""
    index = language.frequent[draws & np.uint64((1 << 20) - 1)] * language.number_of_forms
    index += language.forms[draws >> np.uint64(20) & np.uint64(63)]
    tokens = language.tokens[index]
    if ends is not None:
        tokens[ends] = language.ends[(draws[ends] >> np.uint64(26) & np.uint64(0xFFFF)) % np.uint64(len(language.ends))]
    return tokens.tolist()  # type: ignore[no-any-return]


def make_bodies(language: Language, keys: Sequence[int], characters: int | None = None, *, stock: bool = False) -> list[str]:
    """Return a body for each key, of about `characters` characters or of a length drawn with it, with or without stock phrases."""
    if not keys:
        return []
    aims = language.lengths[[key >> 52 for key in keys]] if characters is None else np.full(len(keys), characters, dtype=np.int32)
    sizes = np.maximum((aims / language.characters).round().astype(np.int64), 1)
    last = np.cumsum(sizes)
    first = last - sizes
    place = np.arange(last[-1], dtype=np.int64) - np.repeat(first, sizes)
    draws = mixed(np.repeat(np.array(keys, dtype=np.uint64), sizes) + place.astype(np.uint64))
    offsets = np.array([key & 0xFFF for key in keys], dtype=np.int64)
    ends = language.pattern[(place + np.repeat(offsets, sizes)) & 0xFFF]
    if stock:
        _insert(language, draws, ends, first, sizes)
    ends[last - 1] = True
    tokens = draw(language, draws, ends)
    if language.capitals:
        for start in (*first.tolist(), *(np.flatnonzero(ends[:-1]) + 1).tolist()):
            tokens[start] = tokens[start].capitalize()
    return [" ".join(tokens[a:b]) for a, b in zip(first.tolist(), last.tolist(), strict=True)]


# Stock phrases: passages that unrelated texts have in common.

LIBRARY = 1 << 20
"""Number of stock phrases. The one of rank r is about as frequent as r to the power of -0.6. The share of an article's phrases that n
others contain therefore grows as n to the power of 0.4 / 0.6, until most are known. The first ten are left out: a few phrases would
make up most of what articles have in common."""
STRETCH, LONGEST = 64, 16
"""Words of an article that contain at most one stock phrase; more than a phrase has."""
OFTEN = 192
"""Stretches of 256 with a stock phrase. Of about 40,000 pairs of unrelated Korean-like articles, one shares a fingerprint
(`benchmarks.repetition`)."""
_LIBRARY_KEY, _LENGTH_KEY = (np.uint64(key_of(STOCK, which) >> 1) for which in (1, 2))


def _insert(language: Language, draws: Words, ends: NDArray[np.bool_], first: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
    """Write stock phrases over the random numbers of bodies that begin at `first`, at most one in a stretch. Every other one ends a
    sentence.

    Bits of a stretch's own random number, from the lowest: 8 whether there is a phrase, 16 where, 40 which.
    """
    stretches = sizes // STRETCH
    before = np.cumsum(stretches) - stretches
    starts = np.repeat(first, stretches) + STRETCH * (np.arange(stretches.sum()) - np.repeat(before, stretches))
    own = mixed(draws[starts] ^ _LIBRARY_KEY)
    chosen = (own & np.uint64(0xFF)) < OFTEN
    own, starts = own[chosen], starts[chosen]
    starts += ((own >> np.uint64(8) & np.uint64(0xFFFF)) % np.uint64(STRETCH - LONGEST)).astype(np.int64)
    share = 0.01 + 0.99 * ((own >> np.uint64(24)).astype(np.float64) / 2.0**40)
    which = (share * share * np.sqrt(share) * LIBRARY).astype(np.uint64)  # no other power: these give the same result on every machine
    length = mixed(which ^ _LENGTH_KEY)
    words = language.phrase + np.minimum(length & np.uint64(7), length >> np.uint64(3) & np.uint64(7)).astype(np.int64)
    step = np.arange(words.sum()) - np.repeat(np.cumsum(words) - words, words)
    places = np.repeat(starts, words) + step
    draws[places] = mixed(np.repeat(which * np.uint64(LONGEST), words) + step.astype(np.uint64) + _LIBRARY_KEY)
    ends[places] = False
    ends[starts + words - 1] = (which & np.uint64(1)).astype(np.bool_)


# Copies.

LEAD = 90
"""Characters of the lead that a newsroom writes itself."""


def edit(language: Language, bodies: Sequence[str], levels: Sequence[float], keys: Sequence[int]) -> list[str]:
    """Return each body with its level of its words replaced, at least one if the level is not 0."""
    split = [body.split(" ") if level else [] for body, level in zip(bodies, levels, strict=True)]
    numbers = [max(round(level * len(words)), 1) if level else 0 for words, level in zip(split, levels, strict=True)]
    counters = [(key >> 1) + i for key, number in zip(keys, numbers, strict=True) for i in range(number)]
    drawn = iter(draw(language, mixed(np.array(counters, dtype=np.uint64))))
    edited: list[str] = []
    for body, words, number, key in zip(bodies, split, numbers, keys, strict=True):
        if number:
            for place in _strided(key, len(words), number):
                words[place] = next(drawn)
            body = " ".join(words)  # noqa: PLW2901
        edited.append(body)
    return edited


def rewrite(language: Language, bodies: Sequence[str], cuts: Sequence[float], keys: Sequence[int]) -> list[str]:
    """Return each body as another newsroom prints it: another lead, sentences cut (their share; half of them the last ones), and
    another ending for every third of the remaining sentences."""
    leads = make_bodies(language, [mix(key) for key in keys], LEAD)
    split = [body.removesuffix(".").split(". ") for body in bodies]
    counters = [(key >> 1) + i for key, sentences in zip(keys, split, strict=True) for i in range(len(sentences))]
    endings = iter(draw(language, mixed(np.array(counters, dtype=np.uint64)), np.ones(len(counters), dtype=np.bool_)))
    return [
        _rewritten(lead, sentences, cut, key, [next(endings) for _ in sentences])
        for lead, sentences, cut, key in zip(leads, split, cuts, keys, strict=True)
    ]


def _rewritten(lead: str, sentences: list[str], cut: float, key: int, endings: list[str]) -> str:
    number = len(sentences) - 1  # the lead differs
    gone = int(cut * number)
    last = len(sentences) - gone // 2
    away = set(_strided(key, last - 1, gone - gone // 2))
    said = [lead]
    for place in range(1, last):
        if place - 1 in away:
            continue
        sentence = sentences[place]
        if (key + place) % 3 == 0:
            sentence = f"{sentence.rpartition(' ')[0]} {endings[place].removesuffix('.')}".lstrip()
        said.append(f"{sentence}.")
    return " ".join(said)


def _strided(key: int, size: int, number: int) -> Iterator[int]:
    """`number` different positions below `size`, which is at least as large."""
    step = 1 + (key >> 24) % size if size else 1
    while math.gcd(step, size) > 1:  # coprime, so no position occurs twice
        step += 1
    return ((key + i * step) % size for i in range(number))


# Fixed texts.


@functools.lru_cache(maxsize=64)
def fixed(seed: int, which: int, characters: int) -> tuple[str, str, str]:
    """Return a text of about `characters` characters in three parts, between which a date and a number are inserted."""
    words = make_bodies(korean(), [key_of(seed, FIXED, which)], characters - 20)[0].split(" ")
    one, two = len(words) // 5, len(words) * 3 // 4
    return " ".join(words[:one]), " ".join(words[one:two]), " ".join(words[two:])


def boilerplate(seed: int, which: int, characters: int, number: int) -> str:
    a, b, c = fixed(seed, which, characters)
    value = key_of(seed, FIXED, which, number)
    return f"{a} {1 + value % 12}월 {1 + value // 12 % 28}일 {b} {value // 336 % 9_000_000 / 100 + 1000:,.2f} {c}"


@functools.cache
def tails(seed: int, which: int, publisher: str) -> tuple[str, ...]:
    """Return the endings of a publisher's articles: one to three of them, of 35 to 120 letters, most of them short."""
    key = key_of(seed, STOCK, 3, which)
    ends: list[str] = []
    for variant in range(1 + key % 3):
        own = key_of(key, variant)
        long = (own >> 20 & 0xFF) * (own >> 28 & 0xFF) * (own >> 36 & 0xFF) >> 16
        words = make_bodies(korean(), [own], 12 + long // 2)[0]
        ends.append(f"{words} {publisher} 제보 {1000 + own % 9000}-{own >> 8 & 0xFFF:04d} ⓒ {publisher} 무단 전재 및 재배포 금지")
    return tuple(ends)


def make_titles(language: Language, keys: Sequence[int]) -> list[str]:
    """Return a title of three to seven words for each key."""
    sizes = [3 + key % 5 for key in keys]
    counters = [(key >> 1) + i for key, size in zip(keys, sizes, strict=True) for i in range(size)]
    words = iter(draw(language, mixed(np.array(counters, dtype=np.uint64))))
    return [" ".join(next(words).strip(",") for _ in range(size)) for size in sizes]

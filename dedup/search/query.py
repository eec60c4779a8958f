"""What somebody looks for: words that must all be there, "phrases", -excluded ones, and title:, url: and publisher: for one place.

Nothing of what is typed reaches SQLite as syntax: only quoted words that are made of letters, marks and numbers do, and what they find
is held against the text of the row itself.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import lru_cache

from dedup.search import tokenizer
from dedup.search.tokenizer import PUBLISHER, TITLE, URL, blanked, is_wide
from dedup.text.normalise import fold
from dedup.text.publishers import Publishers

MOST_CHARACTERS = 1000
MOST_TERMS = 32
MOST_WORDS = 16
"""Words of a term that the index is asked for: more of them say no more, and all are looked for in what it finds."""
LEAST_PREFIX = 3
"""Letters before a `*`: fewer would begin too many words."""

_TERM = re.compile(r'(-?)(?:(title|url|publisher):)?(?:"([^"]*)"?|(\S+))', re.IGNORECASE)
_PLACES = {"": "", "title": TITLE, "url": URL, "publisher": PUBLISHER}

_TOO_LONG = f"it has more than {MOST_CHARACTERS:,} characters"
_TOO_MANY = f"it has more than {MOST_TERMS} words or phrases"
_NOTHING = "there is no letter or digit in it"
_TOO_SHORT = "one syllable alone is found nearly everywhere; two that follow each other are the least"
_SHORT_PREFIX = f"at least {LEAST_PREFIX} letters must stand before a *"
_ONLY_EXCLUDED = "it only says what is not to be there; add a word that is"


@dataclass(frozen=True, slots=True)
class Term:
    """One of the things looked for, in a `place` ("" for anywhere), or `excluded`. `pattern` finds it in a text as `blanked` makes
    it; `wording` is what was looked for as `blanked` makes that; `words` are those that the index has for it."""

    place: str
    excluded: bool
    wording: str
    pattern: re.Pattern[str]
    words: tuple[str, ...]
    prefix: bool = False

    def finds(self, text: str) -> bool:
        """Whether it stands in a text."""
        return self.pattern.search(blanked(fold(text))) is not None


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for; with a `problem`, why nothing can be."""

    terms: tuple[Term, ...] = ()
    problem: str = ""

    def expression(self, publishers: Publishers) -> str:
        """The same for FTS5: everything that fits is found by it, and some things that do not."""
        return " AND ".join(_asked(term, publishers) for term in self.terms if term.words and not term.excluded)


def parse(asked: str) -> Query:
    """Understand what somebody typed, whatever it is."""
    if len(asked) > MOST_CHARACTERS:
        return Query(problem=_TOO_LONG)
    found = itertools.islice(_TERM.finditer(asked.replace("\0", " ")), 4 * MOST_TERMS)
    terms = [term for match in found if (term := _term(match))]
    wanted = [term for term in terms if not term.excluded]
    if len(terms) > MOST_TERMS:
        return Query(problem=_TOO_MANY)
    if not terms:
        return Query(problem=_NOTHING)
    if not wanted:
        return Query(problem=_ONLY_EXCLUDED)
    if any(term.prefix and len(_runs(term.wording)[-1]) < LEAST_PREFIX for term in terms):
        return Query(problem=_SHORT_PREFIX)
    if not any(term.words for term in wanted):
        return Query(problem=_TOO_SHORT)
    return Query(tuple(terms))


def _term(match: re.Match[str]) -> Term | None:
    minus, place, phrase, word = match.groups()
    text = phrase if phrase is not None else word
    wording = " ".join(blanked(fold(text)).split())
    if not wording:
        return None
    runs = _runs(wording)
    prefix = word is not None and word.endswith("*") and not is_wide(runs[-1][-1])
    asked = [word for run in runs for word in _words_of(run)]
    some = tuple(dict.fromkeys(asked[:-1]))[: MOST_WORDS - 1] + tuple(asked[-1:])
    return Term(_PLACES[(place or "").lower()], minus == "-", wording, _pattern(wording, prefix=prefix), some, prefix)


def _runs(wording: str) -> list[str]:
    """Runs of wide characters, and words between them."""
    return ["".join(run) for word in wording.split() for _, run in itertools.groupby(word, is_wide)]


def _words_of(run: str) -> list[str]:
    """What the index is asked for: of several wide characters the pairs, of one nothing unless it is an ideograph."""
    found = tokenizer.words(run)
    return [word for word in found if len(word) == 2] if len(run) > 1 and is_wide(run[0]) else [tokenizer.cut(word) for word in found]


@lru_cache(maxsize=1)
def _edge() -> str:
    """A character of a word that is no pair's."""
    return rf"[^ {tokenizer.wide_class()}]"


def _pattern(wording: str, *, prefix: bool) -> re.Pattern[str]:
    made = "" if is_wide(wording[0]) else rf"(?<!{_edge()})"
    before = ""
    for run in _runs(wording):
        if before:
            made += " *" if is_wide(before) or is_wide(run[0]) else " +"
        made += re.escape(run)
        before = run[-1]
    return re.compile(made if prefix or is_wide(before) else rf"{made}(?!{_edge()})")


def _asked(term: Term, publishers: Publishers) -> str:
    if term.place != PUBLISHER:
        return _all(term.words, term.place, prefix=term.prefix)
    ways = [_all(term.words, PUBLISHER, prefix=term.prefix)]
    for house in publishers.called(term.finds):
        ways += [_all(tokenizer.words(name), PUBLISHER) for name in (house.name, *house.names, *house.oids)]
        ways += [_all(tokenizer.words(host), URL) for host in house.hosts]
    return f"({' OR '.join(way for way in ways if way)})"


def _all(asked: tuple[str, ...] | list[str], place: str, *, prefix: bool = False) -> str:
    quoted = [f'"{place}{word}"' for word in asked]
    if prefix:
        quoted[-1] += " *"
    return f"({' AND '.join(quoted)})" if quoted else ""

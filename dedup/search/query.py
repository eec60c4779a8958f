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
from dedup.search.tokenizer import PUBLISHER, TITLE, URL, blank_separators, is_wide
from dedup.text.normalise import fold
from dedup.text.publishers import PublisherResolver

MAX_CHARACTERS = 1000
MAX_TERMS = 32
MAX_WORDS = 16
"""Words of a term that the index is asked for: more of them say no more, and all are looked for in what it finds."""
MIN_PREFIX_LETTERS = 3
"""Letters before a `*`: fewer would begin too many words."""

_TERM = re.compile(r'(-?)(?:(title|url|publisher):)?(?:"([^"]*)"?|(\S+))', re.IGNORECASE)
_FIELD_PREFIXES = {"": "", "title": TITLE, "url": URL, "publisher": PUBLISHER}

_TOO_LONG = f"it has more than {MAX_CHARACTERS:,} characters"
_TOO_MANY = f"it has more than {MAX_TERMS} words or phrases"
_NOTHING = "there is no letter or digit in it"
_TOO_SHORT = "one syllable alone is found nearly everywhere; two that follow each other are the least"
_SHORT_PREFIX = f"at least {MIN_PREFIX_LETTERS} letters must stand before a *"
_ONLY_EXCLUDED = "it only says what is not to be there; add a word that is"


@dataclass(frozen=True, slots=True)
class Term:
    """One of the things looked for, in a `field_prefix` ("" for anywhere), or `excluded`. `pattern` finds it in a text as
    `blank_separators` makes it; `normalised_text` is what was looked for as `blank_separators` makes that; `words` are those that the index
    has for it."""

    field_prefix: str
    excluded: bool
    normalised_text: str
    pattern: re.Pattern[str]
    words: tuple[str, ...]
    prefix: bool = False

    def occurs_in(self, text: str) -> bool:
        """Whether it stands in a text."""
        return self.pattern.search(blank_separators(fold(text))) is not None


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What is looked for; with a `problem`, why nothing can be."""

    terms: tuple[Term, ...] = ()
    problem: str = ""

    def to_fts5(self, publishers: PublisherResolver) -> str:
        """The same for FTS5: everything that fits is found by it, and some things that do not."""
        return " AND ".join(_term_to_fts5(term, publishers) for term in self.terms if term.words and not term.excluded)


def parse_query(query_text: str) -> SearchQuery:
    """Understand what somebody typed, whatever it is."""
    if len(query_text) > MAX_CHARACTERS:
        return SearchQuery(problem=_TOO_LONG)
    matches = itertools.islice(_TERM.finditer(query_text.replace("\0", " ")), 4 * MAX_TERMS)
    terms = [term for match in matches if (term := _parse_term(match))]
    included = [term for term in terms if not term.excluded]
    if len(terms) > MAX_TERMS:
        return SearchQuery(problem=_TOO_MANY)
    if not terms:
        return SearchQuery(problem=_NOTHING)
    if not included:
        return SearchQuery(problem=_ONLY_EXCLUDED)
    if any(term.prefix and len(_runs(term.normalised_text)[-1]) < MIN_PREFIX_LETTERS for term in terms):
        return SearchQuery(problem=_SHORT_PREFIX)
    if not any(term.words for term in included):
        return SearchQuery(problem=_TOO_SHORT)
    return SearchQuery(tuple(terms))


def _parse_term(match: re.Match[str]) -> Term | None:
    minus, field_name, phrase, word = match.groups()
    text = phrase if phrase is not None else word
    normalised_text = " ".join(blank_separators(fold(text)).split())
    if not normalised_text:
        return None
    runs = _runs(normalised_text)
    prefix = word is not None and word.endswith("*") and not is_wide(runs[-1][-1])
    index_words = [word for run in runs for word in _index_words(run)]
    limited_words = tuple(dict.fromkeys(index_words[:-1]))[: MAX_WORDS - 1] + tuple(index_words[-1:])
    return Term(
        _FIELD_PREFIXES[(field_name or "").lower()],
        minus == "-",
        normalised_text,
        _pattern(normalised_text, prefix=prefix),
        limited_words,
        prefix,
    )


def _runs(normalised_text: str) -> list[str]:
    """Runs of wide characters, and words between them."""
    return ["".join(run) for word in normalised_text.split() for _, run in itertools.groupby(word, is_wide)]


def _index_words(run: str) -> list[str]:
    """What the index is asked for: of several wide characters the pairs, of one nothing unless it is an ideograph."""
    tokens = tokenizer.tokenise(run)
    return (
        [word for word in tokens if len(word) == 2]
        if len(run) > 1 and is_wide(run[0])
        else [tokenizer.truncate_words(word) for word in tokens]
    )


@lru_cache(maxsize=1)
def _word_character() -> str:
    """A character of a word that is no pair's."""
    return rf"[^ {tokenizer.wide_character_class()}]"


def _pattern(normalised_text: str, *, prefix: bool) -> re.Pattern[str]:
    expression = "" if is_wide(normalised_text[0]) else rf"(?<!{_word_character()})"
    previous = ""
    for run in _runs(normalised_text):
        if previous:
            expression += " *" if is_wide(previous) or is_wide(run[0]) else " +"
        expression += re.escape(run)
        previous = run[-1]
    return re.compile(expression if prefix or is_wide(previous) else rf"{expression}(?!{_word_character()})")


def _term_to_fts5(term: Term, publishers: PublisherResolver) -> str:
    if term.field_prefix != PUBLISHER:
        return _all_words_to_fts5(term.words, term.field_prefix, prefix=term.prefix)
    alternatives = [_all_words_to_fts5(term.words, PUBLISHER, prefix=term.prefix)]
    for publisher in publishers.find_by_name(term.occurs_in):
        alternatives += [
            _all_words_to_fts5(tokenizer.tokenise(name), PUBLISHER) for name in (publisher.name, *publisher.aliases, *publisher.oids)
        ]
        alternatives += [_all_words_to_fts5(tokenizer.tokenise(host), URL) for host in publisher.hosts]
    return f"({' OR '.join(way for way in alternatives if way)})"


def _all_words_to_fts5(words: tuple[str, ...] | list[str], field_prefix: str, *, prefix: bool = False) -> str:
    quoted_words = [f'"{field_prefix}{word}"' for word in words]
    if prefix:
        quoted_words[-1] += " *"
    return f"({' AND '.join(quoted_words)})" if quoted_words else ""

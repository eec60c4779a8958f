"""Search queries: words that must all occur, "phrases", -excluded terms, and the fields title:, url: and publisher:.

Nothing of a query reaches SQLite as syntax. The FTS5 expression consists of quoted words of letters, marks and numbers, and the
revisions that it finds are compared with the query itself.
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
"""Words of a term that are looked up in the index. The comparison with the row uses all words of the term."""
MIN_PREFIX_LETTERS = 3
"""Letters required before `*`. Shorter prefixes match too many words."""

_TERM = re.compile(r'(-?)(?:(title|url|publisher):)?(?:"([^"]*)"?|(\S+))', re.IGNORECASE)
_FIELD_PREFIXES = {"": "", "title": TITLE, "url": URL, "publisher": PUBLISHER}

_TOO_LONG = f"it has more than {MAX_CHARACTERS:,} characters"
_TOO_MANY = f"it has more than {MAX_TERMS} words or phrases"
_NOTHING = "it has no letter or digit"
_TOO_SHORT = "a single syllable occurs nearly everywhere; search for at least two adjacent ones"
_SHORT_PREFIX = f"it needs at least {MIN_PREFIX_LETTERS} letters before a *"
_ONLY_EXCLUDED = "it only excludes words; add a word to search for"


@dataclass(frozen=True, slots=True)
class Term:
    """One word or phrase of a query.

    `field_prefix` is "" for any field. `excluded`: the term must not occur. `normalised_text` is the term as `blank_separators`
    returns it, without repeated blanks. `pattern` finds it in other results of `blank_separators`. `words` are its words in the index.
    `prefix`: its last word may continue.
    """

    field_prefix: str
    excluded: bool
    normalised_text: str
    pattern: re.Pattern[str]
    words: tuple[str, ...]
    prefix: bool = False

    def occurs_in(self, text: str) -> bool:
        """Return whether the term occurs in a text."""
        return self.pattern.search(blank_separators(fold(text))) is not None


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A parsed query. A `problem` says why it cannot be searched for."""

    terms: tuple[Term, ...] = ()
    problem: str = ""

    def to_fts5(self, publishers: PublisherResolver) -> str:
        """The query as an FTS5 expression. It finds every revision that matches the query, and some that do not."""
        return " AND ".join(_term_to_fts5(term, publishers) for term in self.terms if term.words and not term.excluded)


def parse_query(query_text: str) -> SearchQuery:
    """Parse the text of a query. Any text is accepted; problems are in the result."""
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
    """Split a normalised text into runs of wide characters and the words between them."""
    return ["".join(run) for word in normalised_text.split() for _, run in itertools.groupby(word, is_wide)]


def _index_words(run: str) -> list[str]:
    """The index words of a run: pairs for several wide characters, the character itself for an ideograph, none for another single one."""
    tokens = tokenizer.tokenise(run)
    return (
        [word for word in tokens if len(word) == 2]
        if len(run) > 1 and is_wide(run[0])
        else [tokenizer.truncate_words(word) for word in tokens]
    )


@lru_cache(maxsize=1)
def _word_character() -> str:
    """Regular expression of one character of a word that is not wide."""
    return rf"[^ {tokenizer.wide_character_class()}]"


def _pattern(normalised_text: str, *, prefix: bool) -> re.Pattern[str]:
    """The pattern that finds a term: words match as a whole, wide characters anywhere, with or without blanks next to them."""
    expression = "" if is_wide(normalised_text[0]) else rf"(?<!{_word_character()})"
    previous = ""
    for run in _runs(normalised_text):
        if previous:
            expression += " *" if is_wide(previous) or is_wide(run[0]) else " +"
        expression += re.escape(run)
        previous = run[-1]
    return re.compile(expression if prefix or is_wide(previous) else rf"{expression}(?!{_word_character()})")


def _term_to_fts5(term: Term, publishers: PublisherResolver) -> str:
    """A term as an FTS5 expression. A publisher is also found by the names, ids and hosts of each publisher that the term occurs in."""
    if term.field_prefix != PUBLISHER:
        return _all_words_to_fts5(term.words, term.field_prefix, prefix=term.prefix)
    alternatives = [_all_words_to_fts5(term.words, PUBLISHER, prefix=term.prefix)]
    for publisher in publishers.find_by_name(term.occurs_in):
        alternatives += [
            _all_words_to_fts5(tokenizer.tokenise(name), PUBLISHER) for name in (publisher.name, *publisher.aliases, *publisher.oids)
        ]
        alternatives += [_all_words_to_fts5(tokenizer.tokenise(host), URL) for host in publisher.hosts]
    return f"({' OR '.join(a for a in alternatives if a)})"


def _all_words_to_fts5(words: tuple[str, ...] | list[str], field_prefix: str, *, prefix: bool = False) -> str:
    quoted_words = [f'"{field_prefix}{word}"' for word in words]
    if prefix:
        quoted_words[-1] += " *"
    return f"({' AND '.join(quoted_words)})" if quoted_words else ""

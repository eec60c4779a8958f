"""Invented crawl directories. The same seed gives the same articles, byte for byte.

    python -m benchmarks.corpus DIR --articles N [--kind mixed] [--seed 1] [--processes CORES]

Every article is a function of the seed and its number alone. Nothing is remembered between articles, so a million of them take no more
memory than a thousand. Numbers come in blocks of 50 with a fixed mixture. Random numbers are SplitMix64 of (seed, number, position),
which does not depend on the versions of Python and NumPy.

The mixture (`mixed`), in a block of 50:

- 35 articles unrelated to any other: four in five Korean-like, about 1,400 characters, the rest English-like, about 2,600;
- 10 copies of an unrelated article on another publisher's page, with 0 to 20 % of the words replaced; nine in ten of an article among
  the last 4,000, the others of any earlier one;
- 4 crawls of an earlier page a day later, half of them unchanged, half with a few words edited;
- 1 of five boilerplate texts of about 350 characters with another date and number in it.

Words are drawn independently, so unrelated articles have no long passage in common. In real news they do. The kind `phrases` is the
same mixture with these differences:

- an article contains about three stock phrases of 7 to 15 words, out of a library of a million; two unrelated articles share one
  about as often as Korean news articles do (`python -m benchmarks.repetition` measures it);
- a third of the articles end in one of the one to three tails of their publisher, of about 50 letters;
- 5 of the 10 copies are wire copies (`wire`), as newsrooms make them: another lead, 25 to 65 % of the sentences cut, another ending of
  every third sentence, the other publisher's tail. Their Jaccard index is between 0.2 and 0.75, and their passages are whole sentences.

The other kinds are Korean-like throughout, about 1,400 characters on average, so that their costs can be compared: `unrelated`,
`boilerplate` (one text, another date and number in each) and `copies` (one text, another page for each).
"""

from __future__ import annotations

from benchmarks.corpus.files import Written, lay_out, render, write
from benchmarks.corpus.mixture import CRAWL_LEVELS, DAY, KINDS, LEVELS, PUBLISHERS, Article, articles, between, bodies

__all__ = [
    "CRAWL_LEVELS",
    "DAY",
    "KINDS",
    "LEVELS",
    "PUBLISHERS",
    "Article",
    "Written",
    "articles",
    "between",
    "bodies",
    "lay_out",
    "render",
    "write",
]

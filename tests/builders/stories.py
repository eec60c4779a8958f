"""Generated wire stories, copies of them and other related texts, and helpers that read their relations."""

from __future__ import annotations

import os
import random
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dedup import reports, store
from dedup.index.passages import MAX_BUCKET
from dedup.pipeline.scanner import Scan
from dedup.pipeline.session import Session
from dedup.similarity import winnowing
from dedup.store import open_database
from dedup.text.normalise import fold_batches, normalise
from tests.builders import relations
from tests.builders import scans as running
from tests.builders.command import CommandResult, run
from tests.builders.crawl import ArticleFile, words


@dataclass(frozen=True)
class Story:
    """A wire story, as sentences of words."""

    sentences: tuple[tuple[str, ...], ...]
    korean: bool = True

    @property
    def body(self) -> str:
        return prose(self.sentences)


def prose(sentences: Iterable[Iterable[str]]) -> str:
    return " ".join(" ".join(sentence) + "." for sentence in sentences)


def sentence(rng: random.Random, *, korean: bool = True) -> tuple[str, ...]:
    """Return a sentence of 65 to 130 letters: long enough to have a fingerprint even if its ending changes."""
    return tuple(words(rng, rng.randint(26, 32) if korean else rng.randint(18, 22), korean=korean))


def story(rng: random.Random, sentences: int = 7, *, korean: bool = True) -> Story:
    return Story(tuple(sentence(rng, korean=korean) for _ in range(sentences)), korean)


def wire_copy(rng: random.Random, source: Story, *, cut: float = 0.2, endings: float = 0.6) -> str:
    """Return the story as another paper runs it: with another lead and tail, some sentences cut and some endings changed.

    Its similarity is between 0.2 and 0.65, its coverage at least 0.5.
    """
    while True:
        remaining = [s for s in source.sentences[1:] if rng.random() >= cut]
        middle = [(*s[:-1], *words(rng, 1, korean=source.korean)) if rng.random() < endings else s for s in remaining]
        lead, tail = (sentence(rng, korean=source.korean) for _ in range(2))
        body = prose((lead, *middle, tail))
        n = relations.numbers(source.body, body)
        if 0.2 <= n.similarity <= 0.65 and n.coverage >= 0.5:
            return body


def paper(number: int, body: str, **kw: Any) -> ArticleFile:
    """Return an article of page `number` of publisher `number`."""
    kw = {"oid": f"{number + 1:03}", "publisher": f"신문 {number}", **kw}
    return ArticleFile(body=body, aid=f"{number:010}", title=f"기사 {number}", **kw)


def families(rng: random.Random, number: int) -> list[str]:
    """Return the bodies of `number` stories, each with one to five wire copies. Every third story is English."""
    bodies = []
    for family in range(number):
        source = story(rng, 6, korean=family % 3 != 0)
        bodies += [source.body, *(wire_copy(rng, source) for _ in range(1 + family % 5))]
    return bodies


def mixed(rng: random.Random, number: int) -> list[str]:
    """Return bodies of every relation: wire copies, excerpts, quotations, newsletters, near and exact copies, and unrelated ones.

    Each kind occurs in Korean and English.
    """
    bodies = families(rng, 2 * number)
    for n in range(number):
        korean = n % 2 == 0

        def own(sentences: int, korean: bool = korean) -> Story:
            return story(rng, sentences, korean=korean)

        source, other = own(6), own(6)
        bodies += [source.body, prose((*other.sentences[:4], *source.sentences[:2], *other.sentences[4:]))]
        speech = prose(own(2).sentences)
        bodies += [f"{own(3).body} “{speech}” {own(1).body}", f"{own(1).body} 그는 “{speech}” {own(3).body}"]
        parts = [own(2).body for _ in range(3)]
        bodies += [*parts, " ".join(parts)]
        same = own(4)
        bodies += [same.body, same.body.replace(" ", "  ", 5), prose((*same.sentences[:-1], sentence(rng, korean=korean)[:4]))]
        phrase = words(rng, 5, korean=True)  # under 20 letters
        bodies += [f"{own(3).body} {' '.join(phrase)[:19]} {own(1).body}" for _ in range(2)]
        bodies += [own(5).body for _ in range(3)]
    return bodies


Pair = frozenset[str]


def pairs(db: Path, **kw: Any) -> dict[Pair, dict[str, Any]]:
    """Return the reported pairs of pages, by their URLs."""
    with open_database(str(db)) as database:
        return {frozenset((p["a"]["url"], p["b"]["url"])): p for p in reports.list_pairs(database, reports.DuplicateFilter(**kw))}


def clusters(db: Path, **kw: Any) -> list[set[str]]:
    """Return the URLs of each cluster."""
    with open_database(str(db)) as database:
        listed = list(reports.list_clusters(database, reports.DuplicateFilter(**kw)))
    return [{c["representative"]["url"], *(m["url"] for m in c["members"])} for c in listed]


def write(crawl: Path, articles: Iterable[ArticleFile]) -> None:
    for article in articles:
        article.write(crawl)


def command_scan(folder: Path) -> CommandResult:
    """Run `dedup scan` on the crawl directory `crawl`. Writes a configuration without settling time if there is none."""
    config = folder / "config.toml"
    if not config.exists():
        config.write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n', "utf-8")
    return run(folder, "scan")


SCRIPTS = (
    "가나다라마바사아자차카타파하거너더러머버",
    "abcdefghijklmnopqrstuvwxyz",
    "漢字文書新聞記者社會經濟",
    "かきくけこカキクケコ",
    "0123456789",
)


def letters(rng: random.Random, number: int, shares: Sequence[float]) -> str:
    """Return `number` letters and digits in words of the `SCRIPTS`, in these proportions."""
    parts: list[str] = []
    while number > 0:
        (script,) = rng.choices(SCRIPTS, shares)
        parts.append("".join(rng.choices(script, k=min(number, rng.randint(2, 7)))))
        number -= len(parts[-1])
    return " ".join(parts)


def share_of_wide(body: str) -> float:
    normalised = normalise(body)
    return sum(unicodedata.east_asian_width(c) in "WF" for c in normalised) / len(normalised)


def statement_within(rng: random.Random, statement: str, share: float, length: int) -> str:
    """Return a text of about `length` letters around a statement. About `share` of it are wide characters."""
    wide = share * length - share_of_wide(statement) * len(normalise(statement))
    rest = max(length - len(normalise(statement)), 40)
    wide_share = min(max(wide / rest, 0), 1)
    shares = [wide_share * rng.random(), 1 - wide_share, 0, 0, 0]
    shares[2] = wide_share - shares[0]
    before = rng.randint(20, rest - 20)
    return f"{letters(rng, before, shares)} {statement} {letters(rng, rest - before, shares)}"


def in_many_scripts(seed: int, statements: int = 12) -> list[ArticleFile]:
    """Return articles in groups of two to four that share a statement word for word.

    The rest of their text is in random scripts. Their shares of wide characters are near one half and far from it.
    """
    rng = random.Random(seed)
    bodies = []
    for n in range(statements):
        shares = [rng.random() * (rng.random() < 0.6) for _ in SCRIPTS]
        statement = letters(rng, rng.randint(160, 260), shares if any(shares) else [1, 1, 0, 0, 0])
        wide_shares = [(0.47, 0.53), (0.05, 0.95), (0.3, 0.5, 0.7), (0.49, 0.51, 0.2, 0.8)][n % 4]
        bodies += [statement_within(rng, statement, share, rng.randint(300, 1500)) for share in wide_shares]
    return [paper(n, body) for n, body in enumerate(bodies)]


def scan_in_order(db: Path, crawl: Path, names: Sequence[str], passes: int = 1, **kw: Any) -> list[dict[str, Any]]:
    """Record the files one by one in this order, in `passes` sessions. Returns the dump."""
    size = -(-len(names) // passes)
    for begin in range(0, len(names), size):
        with running.session(crawl, db, **kw) as session:
            Scan(session).check_paths(session.directories[0], [os.fsencode(name) for name in names[begin : begin + size]])
    return running.dump(db)


def recrawled(source: Story, edits: int, seed: int, number: int = 0) -> list[ArticleFile]:
    """Return `edits` + 1 crawls of a page. Each crawl replaces one more sentence, so that its revisions drift apart."""
    rng, sentences, articles = random.Random(seed), list(source.sentences), []
    for n in range(edits + 1):
        articles.append(paper(number, prose(sentences), crawled_at=f"2026-03-{n // 24 + 2:02} {n % 24:02}:30:00"))
        sentences[n % len(sentences)] = sentence(rng)
    return articles


def derived_rows(db: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return all derived rows that matching depends on and the dump omits, without times."""
    with open_database(str(db)) as database:
        return {
            "publishers": database.rows("SELECT * FROM publishers ORDER BY 1"),
            "passages": database.rows("SELECT * FROM text_fingerprints ORDER BY 1"),
            "represented": database.rows("SELECT * FROM followers ORDER BY 1, 2"),
            "boilerplate": database.rows(
                "SELECT id, name, publisher_id, passage, example, article_count, status FROM boilerplate ORDER BY 1"
            ),
            "crowded": database.rows("SELECT id FROM texts WHERE crowded = 1 ORDER BY 1"),
        }


TAIL = " ".join(words(random.Random(21), 30))
"""Boilerplate of one publisher."""


def check_index(session: Session, bodies: Iterable[str]) -> None:
    """Assert that the passage index holds exactly the stored fingerprints. Those of `bodies` are queried too."""
    stored: dict[int, list[int]] = {}
    for number, packed in store.passages.all_fingerprints(session.database):
        for key in winnowing.unpack(packed).tolist():
            stored.setdefault(key, []).append(number)
    index = session.matcher.open_passage_index()
    assert index.last_text == store.batches.latest(session.database).last_text_id
    wanted = {key for body in bodies for key in keys_of(body)} | stored.keys()
    keys = np.array(sorted(wanted), np.int64)
    numbers, texts = index.query(keys)
    indexed = {
        int(key): entries.tolist() for key, entries in zip(keys, np.split(texts, np.cumsum(numbers)[:-1]), strict=True) if len(entries)
    }
    assert indexed == {key: numbers[: MAX_BUCKET + 1] for key, numbers in stored.items()}


def keys_of(body: str) -> list[int]:
    (fingerprints,) = winnowing.fingerprint_texts(next(fold_batches([body])), 1)
    assert fingerprints is not None
    return [int(key) for key in fingerprints]

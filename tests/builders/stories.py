"""Wire copy, press releases and their derivatives as generated text, and what relations they must have."""

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
from dedup.scan.scanner import Scan
from dedup.scan.session import Session
from dedup.similarity import winnowing
from dedup.store import open_database
from dedup.text.normalise import fold_batches, normalise
from tests.builders import relations
from tests.builders import scans as running
from tests.builders.command import CommandResult, run
from tests.builders.crawl import ArticleFile, words


@dataclass(frozen=True)
class Story:
    """What an agency wrote, sentence by sentence."""

    sentences: tuple[tuple[str, ...], ...]
    korean: bool = True

    @property
    def body(self) -> str:
        return prose(self.sentences)


def prose(sentences: Iterable[Iterable[str]]) -> str:
    return " ".join(" ".join(sentence) + "." for sentence in sentences)


def sentence(rng: random.Random, *, korean: bool = True) -> tuple[str, ...]:
    """A sentence of 65 to 130 letters, so that one that is kept but for its ending has a key of its own."""
    return tuple(words(rng, rng.randint(26, 32) if korean else rng.randint(18, 22), korean=korean))


def story(rng: random.Random, sentences: int = 7, *, korean: bool = True) -> Story:
    return Story(tuple(sentence(rng, korean=korean) for _ in range(sentences)), korean)


def wire_copy(rng: random.Random, source: Story, *, cut: float = 0.2, endings: float = 0.6) -> str:
    """The story as another paper runs it: another lead, sentences cut, endings changed, a tail of its own. Jaccard (0.2 to 0.65)
    says little of it; most of the shorter text stands in the other."""
    while True:
        kept = [s for s in source.sentences[1:] if rng.random() >= cut]
        middle = [(*s[:-1], *words(rng, 1, korean=source.korean)) if rng.random() < endings else s for s in kept]
        lead, tail = (sentence(rng, korean=source.korean) for _ in range(2))
        body = prose((lead, *middle, tail))
        n = relations.numbers(source.body, body)
        if 0.2 <= n.similarity <= 0.65 and n.coverage >= 0.5:
            return body


def paper(number: int, body: str, **kw: Any) -> ArticleFile:
    """An article of a page and a publisher of its own."""
    kw = {"oid": f"{number + 1:03}", "publisher": f"신문 {number}", **kw}
    return ArticleFile(body=body, aid=f"{number:010}", title=f"기사 {number}", **kw)


def families(rng: random.Random, number: int) -> list[str]:
    """So many stories, each with one to five copies; every third is English."""
    found = []
    for family in range(number):
        source = story(rng, 6, korean=family % 3 != 0)
        found += [source.body, *(wire_copy(rng, source) for _ in range(1 + family % 5))]
    return found


def mixed(rng: random.Random, number: int) -> list[str]:
    """Bodies of every kind: wire copy, excerpts, quotations, newsletters, near and exact copies, and what is of its own. Some of
    each in either language."""
    found = families(rng, 2 * number)
    for n in range(number):
        korean = n % 2 == 0

        def own(sentences: int, korean: bool = korean) -> Story:
            return story(rng, sentences, korean=korean)

        source, other = own(6), own(6)
        found += [source.body, prose((*other.sentences[:4], *source.sentences[:2], *other.sentences[4:]))]
        speech = prose(own(2).sentences)
        found += [f"{own(3).body} “{speech}” {own(1).body}", f"{own(1).body} 그는 “{speech}” {own(3).body}"]
        parts = [own(2).body for _ in range(3)]
        found += [*parts, " ".join(parts)]
        same = own(4)
        found += [same.body, same.body.replace(" ", "  ", 5), prose((*same.sentences[:-1], sentence(rng, korean=korean)[:4]))]
        phrase = words(rng, 5, korean=True)  # under 20 letters
        found += [f"{own(3).body} {' '.join(phrase)[:19]} {own(1).body}" for _ in range(2)]
        found += [own(5).body for _ in range(3)]
    return found


Pair = frozenset[str]


def pairs(db: Path, **kw: Any) -> dict[Pair, dict[str, Any]]:
    """What is told of pairs of pages, by their URLs."""
    with open_database(str(db)) as database:
        return {frozenset((p["a"]["url"], p["b"]["url"])): p for p in reports.list_pairs(database, reports.DuplicateFilter(**kw))}


def clusters(db: Path, **kw: Any) -> list[set[str]]:
    """The URLs of each cluster."""
    with open_database(str(db)) as database:
        found = list(reports.list_clusters(database, reports.DuplicateFilter(**kw)))
    return [{c["representative"]["url"], *(m["url"] for m in c["members"])} for c in found]


def write(crawl: Path, articles: Iterable[ArticleFile]) -> None:
    for article in articles:
        article.write(crawl)


def command_scan(folder: Path) -> CommandResult:
    """`dedup scan` of the crawl directory `crawl`, by a configuration that takes files in at once."""
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
    """So many letters and digits in words of these scripts, in these proportions."""
    found: list[str] = []
    while number > 0:
        (script,) = rng.choices(SCRIPTS, shares)
        found.append("".join(rng.choices(script, k=min(number, rng.randint(2, 7)))))
        number -= len(found[-1])
    return " ".join(found)


def share_of_wide(body: str) -> float:
    normalised = normalise(body)
    return sum(unicodedata.east_asian_width(c) in "WF" for c in normalised) / len(normalised)


def statement_within(rng: random.Random, statement: str, share: float, length: int) -> str:
    """A text around a statement, of which about this share is Hangul, ideographs and kana."""
    wide = share * length - share_of_wide(statement) * len(normalise(statement))
    rest = max(length - len(normalise(statement)), 40)
    wide_share = min(max(wide / rest, 0), 1)
    shares = [wide_share * rng.random(), 1 - wide_share, 0, 0, 0]
    shares[2] = wide_share - shares[0]
    before = rng.randint(20, rest - 20)
    return f"{letters(rng, before, shares)} {statement} {letters(rng, rest - before, shares)}"


def in_many_scripts(seed: int, statements: int = 12) -> list[ArticleFile]:
    """Texts that share statements word for word: two to four for each, whatever scripts the rest of them is written in. The shares of wide
    characters lie around one half, and far from it."""
    rng = random.Random(seed)
    bodies = []
    for n in range(statements):
        shares = [rng.random() * (rng.random() < 0.6) for _ in SCRIPTS]
        statement = letters(rng, rng.randint(160, 260), shares if any(shares) else [1, 1, 0, 0, 0])
        some = [(0.47, 0.53), (0.05, 0.95), (0.3, 0.5, 0.7), (0.49, 0.51, 0.2, 0.8)][n % 4]
        bodies += [statement_within(rng, statement, share, rng.randint(300, 1500)) for share in some]
    return [paper(n, body) for n, body in enumerate(bodies)]


def in_order(db: Path, crawl: Path, names: Sequence[str], passes: int = 1, **kw: Any) -> list[dict[str, Any]]:
    """The dump after the files were taken in one after the other in this order, the database being opened so many times."""
    size = -(-len(names) // passes)
    for begin in range(0, len(names), size):
        with running.session(crawl, db, **kw) as session:
            Scan(session).check_paths(session.directories[0], [os.fsencode(name) for name in names[begin : begin + size]])
    return running.dump(db)


def recrawled(source: Story, edits: int, seed: int, number: int = 0) -> list[ArticleFile]:
    """A page whose sentences are written anew, one at each crawl, from the second on: its revisions drift apart."""
    rng, now, found = random.Random(seed), list(source.sentences), []
    for n in range(edits + 1):
        found.append(paper(number, prose(now), crawled_at=f"2026-03-{n // 24 + 2:02} {n % 24:02}:30:00"))
        now[n % len(now)] = sentence(rng)
    return found


def derived(db: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What of the database the dump leaves out and matching depends on, to the last row; times left out."""
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
"""What one publisher prints under its articles."""


def check_index(session: Session, bodies: Iterable[str]) -> None:
    """The passage index holds the keys that are stored, and no other ones: neither of those of these bodies."""
    stored: dict[int, list[int]] = {}
    for number, packed in store.passages.all_fingerprints(session.database):
        for key in winnowing.unpack(packed).tolist():
            stored.setdefault(key, []).append(number)
    index = session.matcher.open_passage_index()
    assert index.last_text == store.batches.latest(session.database).last_text_id
    asked = {key for body in bodies for key in keys_of(body)} | stored.keys()
    keys = np.array(sorted(asked), np.int64)
    numbers, texts = index.query(keys)
    found = {int(key): there.tolist() for key, there in zip(keys, np.split(texts, np.cumsum(numbers)[:-1]), strict=True) if len(there)}
    assert found == {key: numbers[: MAX_BUCKET + 1] for key, numbers in stored.items()}


def keys_of(body: str) -> list[int]:
    (found,) = winnowing.fingerprint_texts(next(fold_batches([body])), 1)
    assert found is not None
    return [int(key) for key in found]

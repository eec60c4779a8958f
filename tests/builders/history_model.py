"""A model of the history that files show over time: what a database must hold after each scan.

It is written from the design and shares no code with dedup.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations, pairwise
from typing import Any

from tests.builders.crawl import ArticleFile

PathKey = tuple[str, str]
"""(crawl directory, path below it)."""
State = tuple[str, str]
"""(title, body)."""
Rows = dict[str, list[tuple[Any, ...]]]
"""Table → rows, sorted; None is an empty string."""
THRESHOLD = 0.7

STATUSES = ("counted", "superseded", "truncated", "overruled")
CHECKS = ("verified", "unclaimed", "mismatched")
CAUSES = (None, "stale", "altered", "malformed", "truncated")
"""Each in order, best first. The best reading of a crawl decides the verdict on the crawl."""


def digest_of(state: State) -> str:
    """Return the digest that identifies a state."""
    return hashlib.sha256(state[0].encode() + b"\xff" + state[1].encode()).hexdigest()


@dataclass(frozen=True)
class FileContent:
    """The content of a file. `crawl` None: the file has no crawl time. `kept`: number of body bytes in a truncated file."""

    page: int
    title: str
    body: str
    crawl: str | None
    claim: str
    author: str = ""
    spelling: int = 0
    kept: int | None = None
    fault: bool = False

    @property
    def url(self) -> str:
        return f"https://gazette.example/news/{self.page}"

    @property
    def spelt(self) -> str:
        return (self.url, f"HTTPS://Gazette.example:443/news/{self.page}#top")[self.spelling]

    def render(self) -> bytes:
        article = ArticleFile(
            body=self.body, title=self.title, oid="", aid="", url=self.spelt, crawled_at=self.crawl or "", claim=self.claim,
            author=self.author,
        )  # fmt: skip
        raw = article.render().encode()
        if self.fault:
            return raw[: raw.index(b"crawled_at")]
        if self.kept is not None:
            return raw[: raw.index(self.body.encode()) + self.kept]
        return raw

    @property
    def state(self) -> State:
        body = self.body
        if self.kept is not None:
            body = body.encode()[: self.kept].decode("utf-8", "ignore")
        return self.title, body.strip()

    @property
    def cut_within_a_character(self) -> bool:
        """Without a claim, only this shows that the end is missing."""
        raw = self.body.encode()[: self.kept]
        return self.kept is not None and raw.decode("utf-8", "ignore").encode() != raw

    @property
    def check(self) -> tuple[str, str | None]:
        """The check of the file alone, without the page's history."""
        if self.kept is not None and (self.claim or self.cut_within_a_character):
            return "mismatched", "truncated"
        if not self.claim:
            return "unclaimed", None
        if self.claim == hashlib.sha256(self.body.encode()).hexdigest():
            return "verified", None
        return "mismatched", "altered" if all(c in "0123456789abcdef" for c in self.claim) else "malformed"


@dataclass
class Reading:
    """What one file showed at one time."""

    url: str
    at: str
    source: str
    state: State
    check_status: str
    cause: str | None
    claim: str
    status: str


@dataclass
class PathState:
    """One path: its current content and the readings made of it."""

    content: bytes | None = None
    fault: bool = False
    gone: bool = False
    readings: list[Reading] = field(default_factory=list)
    last: Reading | None = None
    last_article: Reading | None = None


@dataclass
class Model:
    """All paths seen so far."""

    paths: dict[PathKey, PathState] = field(default_factory=dict)
    urls: set[str] = field(default_factory=set)

    def see(self, path: PathKey, content: FileContent | None, mtime: int) -> None:
        """Record that a scan saw this content at the path, or that the file is missing (None)."""
        if content is None:
            if path in self.paths:
                self.paths[path].gone = True
            return
        path_state = self.paths.setdefault(path, PathState())
        path_state.gone = False
        raw = content.render()
        if raw == path_state.content:
            return
        path_state.content, path_state.fault = raw, content.fault
        path_state.last = None if content.fault else self._read(path_state, content, mtime)
        path_state.last_article = path_state.last or path_state.last_article

    def _read(self, path_state: PathState, content: FileContent, mtime: int) -> Reading:
        self.urls.add(content.url)
        before = path_state.last_article
        if content.crawl is not None:
            at, source = content.crawl.replace(" ", "T") + "+00:00", "file"
        else:
            same = before is not None and (before.url, before.state, before.source) == (content.url, content.state, "mtime")
            at, source = before.at if before and same else datetime.fromtimestamp(mtime, UTC).isoformat(), "mtime"
        status, cause = content.check
        new = Reading(
            content.url, at, source, content.state, status, cause, content.claim, "truncated" if cause == "truncated" else "counted"
        )
        remaining = []
        for r in path_state.readings:
            if (r.url, r.at) == (new.url, new.at) and r.state != new.state and r.status != "overruled":
                if r.check_status == "verified":
                    new.check_status, new.cause, new.status = "mismatched", "altered", "overruled"
                elif r.check_status == "mismatched":
                    continue
                else:
                    r.status = "superseded"
            if (r.url, r.at, r.state) != (new.url, new.at, new.state):
                remaining.append(r)
        path_state.readings = [*remaining, new]
        return new

    # Derived from the readings

    def sightings(self) -> dict[tuple[str, str, State], tuple[str, str, str | None, str]]:
        """(URL, crawl time, state) → (status, check, cause, source of the crawl time)."""
        by_state: dict[tuple[str, str, State], list[Reading]] = {}
        for _, r in self.readings():
            by_state.setdefault((r.url, r.at, r.state), []).append(r)
        verdicts = {}
        for key, readings in by_state.items():
            best = min(readings, key=lambda r: (STATUSES.index(r.status), CHECKS.index(r.check_status), CAUSES.index(self.cause(r))))
            source = "file" if any(r.source == "file" for r in readings) else "mtime"
            verdicts[key] = best.status, best.check_status, self.cause(best), source
        return verdicts

    def readings(self) -> list[tuple[PathKey, Reading]]:
        return [(path, r) for path, path_state in self.paths.items() for r in path_state.readings]

    def cause(self, reading: Reading) -> str | None:
        """The cause of a mismatch. `stale`: the claim is the digest of a state that the page showed earlier."""
        if reading.check_status != "mismatched" or reading.status != "counted" or reading.cause != "altered":
            return reading.cause
        earlier = {
            r.state for _, r in self.readings()
            if r.url == reading.url and r.status == "counted" and r.at < reading.at and r.state != reading.state
        }  # fmt: skip
        return "stale" if reading.claim in {hashlib.sha256(body.encode()).hexdigest() for _, body in earlier} else "altered"

    def history(self, url: str) -> list[tuple[str, State]]:
        """The counted crawls of a page, in order."""
        counted = [(at, state) for (of, at, state), verdict in self.sightings().items() if of == url and verdict[0] == "counted"]
        return sorted(counted, key=lambda one: (one[0], digest_of(one[1])))

    def texts(self) -> dict[str, set[str]]:
        """Normalised text → pages that show it."""
        pages: dict[str, set[str]] = {}
        for _, r in self.readings():
            if r.status in ("counted", "superseded"):
                pages.setdefault(normalised(r.state[1]), set()).add(r.url)
        return pages

    def matches(self) -> set[tuple[str, str]]:
        """Near duplicates, by brute force. Excerpts and copies are found by chance here; they are only checked against `pairs`."""
        return {pair for pair in self.pairs() if similarity(*pair) >= THRESHOLD}

    def pairs(self) -> set[tuple[str, str]]:
        """Pairs of sufficiently long texts that two different pages show."""
        texts = {text: pages for text, pages in self.texts().items() if len(text) >= 80}
        return {(min(a, b), max(a, b)) for a, b in combinations(texts, 2) if len(texts[a] | texts[b]) > 1}

    # As rows of the logical dump

    def rows(self) -> Rows:
        """Table → rows, for the compared tables."""
        changes, pages = [], []
        for url in self.urls:
            history = self.history(url)
            pages.append((url, *((history[-1][0], digest_of(history[-1][1])) if history else (None, None))))
            seen: set[State] = set()
            for (_, before), (at, after) in pairwise(history):
                seen.add(before)
                if before != after:
                    changes.append((url, at, digest_of(before), digest_of(after), int(after in seen)))
        files = [
            (
                path[1],
                int(path_state.gone),
                path_state.last.url if path_state.last else None,
                path_state.last.at if path_state.last else None,
            )
            for path, path_state in self.paths.items()
        ]
        return {
            "pages": _sorted(pages),
            "sightings": _sorted((url, at, digest_of(s), *w) for (url, at, s), w in self.sightings().items()),
            "readings": _sorted(
                (r.url, r.at, digest_of(r.state), path[1], r.status, r.check_status, self.cause(r)) for path, r in self.readings()
            ),
            "changes": _sorted(changes),
            "files": _sorted(files),
            "faults": _sorted((path[1],) for path, path_state in self.paths.items() if path_state.fault and not path_state.gone),
            "texts": _sorted((url, text) for text, urls in self.texts().items() for url in urls),
            "matches": _sorted(self.matches()),
        }


def rows_of(dump: Iterable[dict[str, Any]]) -> Rows:
    """Convert a logical dump to the form of `Model.rows`."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for row in dump:
        tables.setdefault(row["table"], []).append(row)
    tables["changes"] = [r for r in tables.get("changes", ()) if r["state_digest_before"] != r["state_digest_after"]]
    compared = {
        table: _sorted(tuple(r[c] for c in columns) for r in tables.get(table, ()))
        for table, columns in {
            "pages": ("url", "current_at", "current_state_digest"),
            "sightings": ("url", "crawled_at", "state_digest", "status", "check_status", "check_cause", "crawled_at_source"),
            "readings": ("url", "crawled_at", "state_digest", "path", "status", "check_status", "check_cause"),
            "changes": ("url", "at", "state_digest_before", "state_digest_after", "returned"),
            "files": ("path", "gone", "url", "crawled_at"),
            "faults": ("path",),
        }.items()
    }
    revisions = [r for r in tables.get("revisions", ()) if r["text"]]
    text_of = {r["text"]: normalised(r["body"]) for r in revisions}
    assert len(set(text_of.values())) == len(text_of)
    compared["texts"] = _sorted({(r["url"], text_of[r["text"]]) for r in revisions})
    pairs = [(r["relation"] == "near", tuple(sorted((text_of[r["text_a"]], text_of[r["text_b"]])))) for r in tables.get("matches", ())]
    compared["matches"] = _sorted(pair for near, pair in pairs if near)
    compared["other matches"] = _sorted(pair for near, pair in pairs if not near)
    return compared


def normalised(body: str) -> str:
    """Return the letters, marks and numbers of a body, composed and case-folded."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", body).casefold())
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LMN")


def similarity(a: str, b: str) -> float:
    """Return the Jaccard similarity of the sets of 5-character shingles."""
    one, other = ({text[i : i + 5] for i in range(len(text) - 4)} for text in (a, b))
    return len(one & other) / len(one | other)


def _sorted(rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return sorted(tuple("" if value is None else value for value in row) for row in rows)

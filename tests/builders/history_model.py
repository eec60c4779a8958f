"""A model of what files show over time, written from the design and not from the program: what a database must hold after each scan."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations, pairwise
from typing import Any

from tests.builders.crawl import ArticleFile

Path_ = tuple[str, str]
"""(crawl directory, path below it)."""
State = tuple[str, str]
"""(title, body)."""
Rows = dict[str, list[tuple[Any, ...]]]
"""Table → rows, sorted; None is an empty string."""
THRESHOLD = 0.7

STANDINGS = ("counted", "superseded", "truncated", "overruled")
CHECKS = ("verified", "unclaimed", "mismatched")
CAUSES = (None, "stale", "altered", "malformed", "truncated")
"""Each from the best on: the best reading of a crawl is what the crawl is worth."""


def digest_of(state: State) -> str:
    """The key of a state."""
    return hashlib.sha256(state[0].encode() + b"\xff" + state[1].encode()).hexdigest()


@dataclass(frozen=True)
class Written:
    """What is in a file. `crawl` None: it prints no crawl time. `kept` is how many bytes of the body a file that was cut off holds."""

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
        made = ArticleFile(
            body=self.body, title=self.title, oid="", aid="", url=self.spelt, crawled_at=self.crawl or "", claim=self.claim,
            author=self.author,
        )  # fmt: skip
        raw = made.render().encode()
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
        """Where nothing is claimed, this alone shows that the end is missing."""
        raw = self.body.encode()[: self.kept]
        return self.kept is not None and raw.decode("utf-8", "ignore").encode() != raw

    @property
    def check(self) -> tuple[str, str | None]:
        """The verdict on the file alone."""
        if self.kept is not None and (self.claim or self.cut_within_a_character):
            return "mismatched", "truncated"
        if not self.claim:
            return "unclaimed", None
        if self.claim == hashlib.sha256(self.body.encode()).hexdigest():
            return "verified", None
        return "mismatched", "altered" if all(c in "0123456789abcdef" for c in self.claim) else "malformed"


@dataclass
class Reading:
    """What one file showed of one crawl."""

    url: str
    at: str
    source: str
    state: State
    status: str
    cause: str | None
    claim: str
    standing: str


@dataclass
class Shown:
    """One path: what it holds, and what it has shown."""

    content: bytes | None = None
    fault: bool = False
    gone: bool = False
    readings: list[Reading] = field(default_factory=list)
    last: Reading | None = None
    last_article: Reading | None = None


@dataclass
class Model:
    """Every path that was seen."""

    paths: dict[Path_, Shown] = field(default_factory=dict)
    urls: set[str] = field(default_factory=set)

    def see(self, path: Path_, written: Written | None, mtime: int) -> None:
        """A scan met the path: it holds this, or is not there (None)."""
        if written is None:
            if path in self.paths:
                self.paths[path].gone = True
            return
        shown = self.paths.setdefault(path, Shown())
        shown.gone = False
        raw = written.render()
        if raw == shown.content:
            return
        shown.content, shown.fault = raw, written.fault
        shown.last = None if written.fault else self._read(shown, written, mtime)
        shown.last_article = shown.last or shown.last_article

    def _read(self, shown: Shown, written: Written, mtime: int) -> Reading:
        self.urls.add(written.url)
        before = shown.last_article
        if written.crawl is not None:
            at, source = written.crawl.replace(" ", "T") + "+00:00", "file"
        else:
            same = before is not None and (before.url, before.state, before.source) == (written.url, written.state, "mtime")
            at, source = before.at if before and same else datetime.fromtimestamp(mtime, UTC).isoformat(), "mtime"
        status, cause = written.check
        new = Reading(
            written.url, at, source, written.state, status, cause, written.claim, "truncated" if cause == "truncated" else "counted"
        )
        left = []
        for r in shown.readings:
            if (r.url, r.at) == (new.url, new.at) and r.state != new.state and r.standing != "overruled":
                if r.status == "verified":
                    new.status, new.cause, new.standing = "mismatched", "altered", "overruled"
                elif r.status == "mismatched":
                    continue
                else:
                    r.standing = "superseded"
            if (r.url, r.at, r.state) != (new.url, new.at, new.state):
                left.append(r)
        shown.readings = [*left, new]
        return new

    # What follows from the readings

    def sightings(self) -> dict[tuple[str, str, State], tuple[str, str, str | None, str]]:
        """(URL, crawl time, state) → (standing, check, cause, source of the crawl time)."""
        found: dict[tuple[str, str, State], list[Reading]] = {}
        for _, r in self.readings():
            found.setdefault((r.url, r.at, r.state), []).append(r)
        worth = {}
        for key, readings in found.items():
            best = min(readings, key=lambda r: (STANDINGS.index(r.standing), CHECKS.index(r.status), CAUSES.index(self.cause(r))))
            source = "file" if any(r.source == "file" for r in readings) else "mtime"
            worth[key] = best.standing, best.status, self.cause(best), source
        return worth

    def readings(self) -> list[tuple[Path_, Reading]]:
        return [(path, r) for path, shown in self.paths.items() for r in shown.readings]

    def cause(self, reading: Reading) -> str | None:
        """Why a reading is mismatched: `stale` where its claim is the digest of a state that the page showed before."""
        if reading.status != "mismatched" or reading.standing != "counted" or reading.cause != "altered":
            return reading.cause
        earlier = {
            r.state for _, r in self.readings()
            if r.url == reading.url and r.standing == "counted" and r.at < reading.at and r.state != reading.state
        }  # fmt: skip
        return "stale" if reading.claim in {hashlib.sha256(body.encode()).hexdigest() for _, body in earlier} else "altered"

    def history(self, url: str) -> list[tuple[str, State]]:
        """The counted crawls of a page in order."""
        counted = [(at, state) for (of, at, state), worth in self.sightings().items() if of == url and worth[0] == "counted"]
        return sorted(counted, key=lambda one: (one[0], digest_of(one[1])))

    def texts(self) -> dict[str, set[str]]:
        """Normalised text → pages that show it."""
        found: dict[str, set[str]] = {}
        for _, r in self.readings():
            if r.standing in ("counted", "superseded"):
                found.setdefault(normalised(r.state[1]), set()).add(r.url)
        return found

    def matches(self) -> set[tuple[str, str]]:
        """Near duplicates, by brute force. Excerpts and copies, which signatures lead to by chance, are only held against `pairs`."""
        return {pair for pair in self.pairs() if similarity(*pair) >= THRESHOLD}

    def pairs(self) -> set[tuple[str, str]]:
        """Pairs of texts that are long enough and that two different pages show."""
        texts = {text: pages for text, pages in self.texts().items() if len(text) >= 80}
        return {(min(a, b), max(a, b)) for a, b in combinations(texts, 2) if len(texts[a] | texts[b]) > 1}

    # In the form of the logical dump

    def rows(self) -> Rows:
        """Table → rows, of what is compared."""
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
            (path[1], int(shown.gone), shown.last.url if shown.last else None, shown.last.at if shown.last else None)
            for path, shown in self.paths.items()
        ]
        return {
            "pages": _sorted(pages),
            "sightings": _sorted((url, at, digest_of(s), *w) for (url, at, s), w in self.sightings().items()),
            "readings": _sorted(
                (r.url, r.at, digest_of(r.state), path[1], r.standing, r.status, self.cause(r)) for path, r in self.readings()
            ),
            "changes": _sorted(changes),
            "files": _sorted(files),
            "faults": _sorted((path[1],) for path, shown in self.paths.items() if shown.fault and not shown.gone),
            "texts": _sorted((url, text) for text, urls in self.texts().items() for url in urls),
            "matches": _sorted(self.matches()),
        }


def rows_of(dump: Iterable[dict[str, Any]]) -> Rows:
    """What a logical dump of a database says, in the form of `Model.rows`."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for row in dump:
        tables.setdefault(row["table"], []).append(row)
    tables["changes"] = [r for r in tables.get("changes", ()) if r["state_before"] != r["state_after"]]
    found = {
        table: _sorted(tuple(r[c] for c in columns) for r in tables.get(table, ()))
        for table, columns in {
            "pages": ("url", "current_at", "current_state"),
            "sightings": ("url", "crawled_at", "state", "status", "check_status", "check_cause", "crawled_at_source"),
            "readings": ("url", "crawled_at", "state", "path", "status", "check_status", "check_cause"),
            "changes": ("url", "at", "state_before", "state_after", "returned"),
            "files": ("path", "gone", "url", "crawled_at"),
            "faults": ("path",),
        }.items()
    }
    shown = [r for r in tables.get("revisions", ()) if r["text"]]
    text_of = {r["text"]: normalised(r["body"]) for r in shown}
    assert len(set(text_of.values())) == len(text_of)
    found["texts"] = _sorted({(r["url"], text_of[r["text"]]) for r in shown})
    pairs = [(r["relation"] == "near", tuple(sorted((text_of[r["text_a"]], text_of[r["text_b"]])))) for r in tables.get("matches", ())]
    found["matches"] = _sorted(pair for near, pair in pairs if near)
    found["other matches"] = _sorted(pair for near, pair in pairs if not near)
    return found


def normalised(body: str) -> str:
    """Letters, marks and numbers, composed and case-folded."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", body).casefold())
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LMN")


def similarity(a: str, b: str) -> float:
    """Jaccard of the sets of five characters in a row."""
    one, other = ({text[i : i + 5] for i in range(len(text) - 4)} for text in (a, b))
    return len(one & other) / len(one | other)


def _sorted(rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return sorted(tuple("" if value is None else value for value in row) for row in rows)

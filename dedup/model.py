"""The data types that all packages share, as frozen dataclasses.

Times are ISO 8601 text in UTC with offset; content digests are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

CheckStatus = Literal["verified", "mismatched", "unclaimed"]
MismatchCause = Literal["truncated", "stale", "altered", "malformed"]
Relation = Literal["exact", "near", "copy", "excerpt", "quote"]
"""Relations of two texts by precedence. Clusters consist of the first three."""
Masking = Literal["learned", "masked", "allowed"]
"""How matching treats a recurring passage of a publisher: `learned` and `masked` (by hand) are ignored, `allowed` counts."""
SightingStatus = Literal["counted", "truncated", "overruled", "superseded"]
"""Whether a sighting counts: `counted` takes part in runs, changes and clusters; `truncated` was read incompletely; `overruled`
differs from an earlier verified reading of the same crawl; `superseded` differs from a later reading of the same crawl, and neither is
verified."""

FileOutcome = Literal["new", "changed", "moved", "unchanged", "reread"]
"""What a file was when its article was recorded. `unchanged` and `reread`: it has the recorded bytes, and was recorded again because its
text was pruned or settings changed."""

TimeSource = Literal["file", "mtime"]
"""Source of a crawl time: the text of the file, or its modification time."""

ChangeKind = Literal[
    "cosmetic", "typo", "wording", "headline", "substantive", "rewrite", "removed", "restored", "returned", "flapping", "metadata"
]
Severity = Literal["trivial", "minor", "notable", "major"]
SEVERITIES: tuple[Severity, ...] = ("trivial", "minor", "notable", "major")
AlertTopic = Literal["change", "mismatch", "duplicate", "cluster", "faults", "daemon"]
"""Topics of alerts."""
Language = Literal["ko", "en"]
"""Languages of alert messages."""

FaultKind = Literal[
    "empty",
    "truncated_before_body",
    "not_an_article",
    "undecodable",
    "too_large",
    "no_url",
    "unreadable",
    "unparsable_time",
    "internal",
]

FAULT_MESSAGES: dict[FaultKind, str] = {
    "empty": "the file is empty",
    "truncated_before_body": "the file ends before the article's body begins",
    "not_an_article": "the file does not begin with an article's header",
    "undecodable": "the bytes are neither UTF-8, UTF-16 nor CP949 text",
    "too_large": "the file is larger than max_file_bytes",
    "no_url": "the article has neither a usable URL nor an oid and aid",
    "unreadable": "the file or folder cannot be read",
    "unparsable_time": "a time cannot be read; it is recorded as empty",
    "internal": "the program failed on it",
}


NO_COMMIT = bytes(16)
"""The commit token of an index that is empty or still being filled."""


class PickleBySlots:
    """Base of dataclasses that are sent between processes: pickles as constructor arguments, in the order of the fields."""

    __slots__: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.__class__, tuple(getattr(self, name) for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class Fault(PickleBySlots):
    """Why a file, or a part of it, could not be read as an article: a kind, and a message for people."""

    kind: FaultKind
    message: str


@dataclass(frozen=True, slots=True)
class Check(PickleBySlots):
    """The verdict on an article's `content_hash`.

    `claimed` is the text in the file. `computed` is the hex digest of the body by `recipe`, which is the recipe that matched the claim,
    else the first one whose digests are as long as the claim.
    """

    status: CheckStatus
    cause: MismatchCause | None
    claimed: str
    computed: str
    recipe: str


@dataclass(frozen=True, slots=True)
class Metadata(PickleBySlots):
    """What a file states about its article besides title, body, URL and crawl time: unescaped, trimmed, otherwise as printed.

    URLs in `extra` have no credentials.
    """

    publisher: str = ""
    author: str = ""
    category: str = ""
    published_at: str | None = None
    published_printed: str = ""
    id: str | None = None
    oid: str = ""
    aid: str = ""
    extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Article(PickleBySlots):
    """One parsed file or record. `url` is as printed; `crawled_at` is None if the file states no valid time."""

    title: str
    body: str
    url: str
    crawled_at: str | None
    metadata: Metadata
    check: Check
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class ParseResult:
    """The result of parsing one file: an article, or None and the faults. An article can have faults too, such as an invalid time.

    `complete`: the content proves that its writer had finished. The claimed digest verifies, or none is claimed and the end mark of the
    format is present.
    """

    article: Article | None
    faults: tuple[Fault, ...] = ()
    complete: bool = False


RELATIONS: tuple[Relation, ...] = ("exact", "near", "copy", "excerpt", "quote")
CLUSTER_RELATIONS: tuple[Relation, ...] = RELATIONS[:3]


@dataclass(frozen=True, slots=True)
class MatchScores:
    """Measures of two texts.

    `similarity`: Jaccard similarity of the shingle sets. `containment`: share of the smaller set that is in the larger one. `coverage`:
    share of the shorter text that occurs in common passages; `shared_characters` is its length in normalised characters.
    `longest_passage`: length of the longest common passage. `quoted_share`: share of the common passages that is quoted.
    `masked_boilerplate`: names of the boilerplate that is excluded from the last four.
    """

    similarity: float
    containment: float
    coverage: float
    shared_characters: int
    longest_passage: int
    quoted_share: float
    masked_boilerplate: tuple[str, ...] = ()


IDENTICAL = MatchScores(1.0, 1.0, 1.0, 0, 0, 0.0)
"""The scores of equal texts; their lengths are left at 0."""


@dataclass(frozen=True, slots=True)
class Match:
    """A confirmed match of two distinct normalised texts, by their ids."""

    a: int
    b: int
    relation: Relation
    scores: MatchScores


@dataclass(frozen=True, slots=True)
class Sighting:
    """One crawl of a page. `revision` and `digest` identify the state that it saw."""

    id: int
    crawled_at: str
    revision: int
    digest: bytes
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Change:
    """The difference between two successive sightings. `returned`: the later state had occurred before.

    `fields` are the tracked metadata that differ: (name, value before, value after).
    """

    previous: Sighting
    sighting: Sighting
    returned: bool
    fields: tuple[tuple[str, str, str], ...]

    @property
    def state_changed(self) -> bool:
        """Return whether title or body differ."""
        return self.previous.revision != self.sighting.revision

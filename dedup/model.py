"""The words of the program as frozen dataclasses. Times are ISO 8601 text in UTC with offset; digests of content are bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

CheckStatus = Literal["verified", "mismatched", "unclaimed"]
MismatchCause = Literal["truncated", "stale", "altered", "malformed"]
Relation = Literal["exact", "near", "copy", "excerpt", "quote"]
"""In the order of their precedence. Clusters are made of the first three."""
Masking = Literal["learned", "masked", "allowed"]
"""What is done with a publisher's passage: `learned` and `masked` (by hand) count for nothing, `allowed` counts."""
SightingStatus = Literal["counted", "truncated", "overruled", "superseded"]
"""What a sighting is worth: `counted` takes part in runs, changes and clusters; `truncated` was cut short; `overruled`
came after a verified reading of the same crawl; `superseded` was read again otherwise without anything vouching for it."""

TimeSource = Literal["file", "mtime"]
"""Where a crawl time is from: the file prints it, or it is the file's modification time."""

ChangeKind = Literal[
    "cosmetic", "typo", "wording", "headline", "substantive", "rewrite", "removed", "restored", "returned", "flapping", "metadata"
]
Severity = Literal["trivial", "minor", "notable", "major"]
SEVERITIES: tuple[Severity, ...] = ("trivial", "minor", "notable", "major")
AlertTopic = Literal["change", "mismatch", "duplicate", "cluster", "faults", "daemon"]
"""What can be alerted to."""
Language = Literal["ko", "en"]
"""In which messages are worded."""

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
"""The token of no commit: what the candidate index holds before any, and while it is being filled."""


class PickleBySlots:
    """What travels between processes: pickled as its constructor's arguments, in the order of its fields."""

    __slots__: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.__class__, tuple(getattr(self, name) for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class Fault(PickleBySlots):
    """Why a file (or a part of it) could not be read as an article: a kind and a sentence for people."""

    kind: FaultKind
    message: str


@dataclass(frozen=True, slots=True)
class Check(PickleBySlots):
    """The verdict on an article's `content_hash`.

    `claimed` is the text in the file; `computed` the hex digest of the body by `recipe`: the recipe that matched, or
    where none did the first that fits the claim.
    """

    status: CheckStatus
    cause: MismatchCause | None
    claimed: str
    computed: str
    recipe: str


@dataclass(frozen=True, slots=True)
class Metadata(PickleBySlots):
    """What a file says of its article beside title, body, URL and crawl time; unescaped, blanks trimmed, else as printed;
    `extra` without credentials in addresses."""

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
    """One parsed file. `url` is as spelt in the file; `crawled_at` is None where the file has no usable one."""

    title: str
    body: str
    url: str
    crawled_at: str | None
    metadata: Metadata
    check: Check
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class ParseResult:
    """What reading one file gave: an article, or none and why; an article may carry faults of its own (a bad time). `complete`: the
    content shows that its writer had finished: the claimed digest verifies, or nothing is claimed and the format's end mark is there."""

    article: Article | None
    faults: tuple[Fault, ...] = ()
    complete: bool = False


RELATIONS: tuple[Relation, ...] = ("exact", "near", "copy", "excerpt", "quote")
CLUSTER_RELATIONS: tuple[Relation, ...] = RELATIONS[:3]


@dataclass(frozen=True, slots=True)
class MatchScores:
    """What was measured of two texts. `similarity` is Jaccard of the shingle sets, `containment` the share of the smaller one
    that the larger holds; `coverage` the share of the shorter text that occurs in the other, `shared_characters` the same in
    normalised characters, `longest_passage` the length of the longest passage, `quoted_share` the share of what is shared that
    is quoted. `masked_boilerplate` names the boilerplate that was left out of the last four."""

    similarity: float
    containment: float
    coverage: float
    shared_characters: int
    longest_passage: int
    quoted_share: float
    masked_boilerplate: tuple[str, ...] = ()


IDENTICAL = MatchScores(1.0, 1.0, 1.0, 0, 0, 0.0)
"""Of texts that are the same; how many characters that are is not told."""


@dataclass(frozen=True, slots=True)
class Match:
    """A confirmed pair of distinct normalised texts."""

    a: int
    b: int
    relation: Relation
    scores: MatchScores


@dataclass(frozen=True, slots=True)
class Sighting:
    """One crawl of a page, as its history needs it: `revision` and `digest` name the state seen."""

    id: int
    crawled_at: str
    revision: int
    digest: bytes
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Change:
    """The difference between two successive sightings; keyed by the later one. `fields` are tracked metadata that differ."""

    previous: Sighting
    sighting: Sighting
    returned: bool
    fields: tuple[tuple[str, str, str], ...]

    @property
    def state_changed(self) -> bool:
        """Whether title or body differ, not metadata alone."""
        return self.previous.revision != self.sighting.revision

"""Full-text search: the answer of `Database.search`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dedup.library.records import Record


@dataclass(frozen=True)
class SnippetPiece(Record):
    """A piece of a snippet, and whether it is a match."""

    text: str
    found: bool


@dataclass(frozen=True)
class SearchHit(Record):
    """A revision that matches. `current`: its page shows it now. `snippet` is None if its text was pruned."""

    url: str
    title: str
    publisher: str
    crawled_at: str
    current: bool
    state_digest: str
    snippet: tuple[SnippetPiece, ...] | None
    pruned_at: str | None


@dataclass(frozen=True)
class SearchResults:
    """The hits of a query, the most recently recorded first. Iterating yields them.

    `has_more`: there are more hits than the limit. `indexed` of `total` texts can be found; scans index the rest.
    """

    hits: tuple[SearchHit, ...]
    has_more: bool
    indexed: int
    total: int

    def __iter__(self) -> Iterator[SearchHit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

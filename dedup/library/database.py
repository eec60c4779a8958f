"""A database opened for reading, and the questions that it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, get_args, overload

from dedup import reports, store
from dedup.errors import ParameterError
from dedup.library.articles import Cluster, Pair, PairWithPassages
from dedup.library.changes import Change
from dedup.library.explanations import Explanation
from dedup.library.histories import History
from dedup.library.hits import SearchHit, SearchResults
from dedup.library.parameters import to_digest, to_known, to_share, to_text, to_utc
from dedup.library.records import Record
from dedup.library.settings import SettingsSource, StrPath, resolve_settings
from dedup.model import CLUSTER_RELATIONS, RELATIONS, SEVERITIES, ChangeKind, Relation, Severity
from dedup.reports import explain
from dedup.reports.search import find_hits, hit_as_json

_Record = TypeVar("_Record", bound=Record)


def open_database(path: StrPath | None = None, *, settings: SettingsSource = None) -> Database:
    """Open a database for reading. Without `path`, the one of the settings.

    `settings` are those that it was written with, or the path of their configuration file: publisher aliases, URL rules and thresholds are
    taken from them. Without them the built-in values are used. Other processes may write to the database meanwhile.

    Raises DatabaseMissingError, DatabaseUnreadableError, DatabaseDamagedError, DatabaseNewerError, DatabaseTooOldError, ConfigError.
    """
    return Database(path, settings=settings)


class Database:
    """A database that is open for reading. All answers show its state at the moment when it was opened.

    It is a context manager; `close` does the same as leaving the block. Use it in one thread at a time. Iterators read lazily, so read them
    before the database is closed.
    """

    def __init__(self, path: StrPath | None = None, *, settings: SettingsSource = None) -> None:
        self.settings = resolve_settings(settings, database=path)
        self.path = self.settings.database.path
        with ExitStack() as opened:
            self._database = opened.enter_context(store.open_database(self.path))
            with self._translate_errors():
                store.settings.get(self._database, "uuid")  # SQLite takes the state of the moment when something is read first
            self._exit = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the database. Closing it again does nothing."""
        self._exit.close()

    def clusters(
        self,
        *,
        relations: Iterable[Relation] = (),
        since: str | datetime | None = None,
        publisher: str | None = None,
        min_similarity: float = 0.0,
        all_revisions: bool = False,
    ) -> Iterator[Cluster]:
        """Yield the clusters of articles that share text, as `dedup duplicates` lists them.

        A cluster is given in full if one of its members has one of the `relations` (empty: any), was crawled at or after `since`, is by the
        `publisher` (under any of its names), and has at least `min_similarity`; the last crawl of the two and either publisher count. Only
        the current revision of each page counts, unless `all_revisions` is true.

        Raises ParameterError.
        """
        criteria = self._duplicate_filter(relations, CLUSTER_RELATIONS, since, publisher, min_similarity, all_revisions=all_revisions)
        return self._read(Cluster, lambda: reports.list_clusters(self._database, criteria))

    @overload
    def pairs(
        self,
        *,
        relations: Iterable[Relation] = ...,
        since: str | datetime | None = ...,
        publisher: str | None = ...,
        min_similarity: float = ...,
        all_revisions: bool = ...,
        passages: Literal[False] = ...,
    ) -> Iterator[Pair]: ...

    @overload
    def pairs(
        self,
        *,
        relations: Iterable[Relation] = ...,
        since: str | datetime | None = ...,
        publisher: str | None = ...,
        min_similarity: float = ...,
        all_revisions: bool = ...,
        passages: Literal[True],
    ) -> Iterator[PairWithPassages]: ...

    def pairs(
        self,
        *,
        relations: Iterable[Relation] = (),
        since: str | datetime | None = None,
        publisher: str | None = None,
        min_similarity: float = 0.0,
        all_revisions: bool = False,
        passages: bool = False,
    ) -> Iterator[Pair] | Iterator[PairWithPassages]:
        """Yield the pairs of matching articles, as `dedup duplicates --pairs` lists them: exact copies first, then the closest.

        The parameters are those of `clusters`. With `passages` each pair has the positions of its shared passages.

        Raises ParameterError.
        """
        criteria = self._duplicate_filter(relations, RELATIONS, since, publisher, min_similarity, all_revisions=all_revisions)
        record_type = PairWithPassages if passages else Pair
        return self._read(record_type, lambda: reports.list_pairs(self._database, criteria, passages=passages))

    def history(self, page: str) -> History:
        """Return the revisions, crawls and changes of a page, as `dedup history` does.

        `page` is a URL in any spelling, an article's id (`OID_AID`) or the path of one of its files.

        Raises UnknownPageError, AmbiguousPageError.
        """
        with self._translate_errors():
            return History.from_dict(reports.page_history(self._database, reports.resolve_page(self._database, self.settings, page)))

    def changes(
        self,
        *,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        kinds: Iterable[ChangeKind] = (),
        min_severity: Severity = "minor",
        publisher: str | None = None,
        url: str | None = None,
        silent: bool = False,
        expand_incidents: bool = False,
        incident: str | None = None,
    ) -> Iterator[Change]:
        """Yield the edits of all pages, as `dedup changes` lists them, the latest first.

        `since` and `until` (exclusive) are crawl times. `kinds` selects these kinds of any severity. `url` is a page, or a pattern with `*`
        for canonical URLs. `silent` selects changes of substance that the page does not mention. One edit on many pages is listed once,
        unless `expand_incidents` is true; `incident` lists the pages of one such edit.

        Raises ParameterError.
        """
        edit_digest = None if incident is None else to_digest("incident", incident)
        (severity,) = to_known("min_severity", (min_severity,), SEVERITIES)
        url = to_text("url", url)
        if url is not None and "*" not in url:
            url = self.settings.urls.build_canonicaliser().canonicalise(url) or url
        criteria = reports.ChangeFilter(
            to_utc("since", since),
            to_utc("until", until),
            to_known("kinds", kinds, get_args(ChangeKind)),
            severity,
            to_text("publisher", publisher),
            url,
            silent,
            self.settings.publishers.build_publishers(),
            edit_digest,
        )
        settings = self.settings.changes
        grouping = None if expand_incidents else reports.IncidentGrouping(settings.incident_pages, settings.incident_hours)
        return self._read(Change, lambda: reports.list_changes(self._database, criteria, grouping))

    def search(self, query: str, *, limit: int = 20) -> SearchResults:
        """Search current and earlier texts, as `dedup search` does. Returns at most `limit` hits.

        Raises QueryError, SearchUnavailableError, ParameterError.
        """
        if limit < 1:
            raise ParameterError(name="limit", problem="must be at least 1")
        with self._translate_errors():
            found = find_hits(self._database, self.settings, query, limit)
            hits = tuple(SearchHit.from_dict(hit_as_json(hit)) for hit in found.hits)
        return SearchResults(hits, found.has_more, found.coverage.indexed, found.coverage.total)

    def explain(self, a: str, b: str) -> Explanation:
        """Explain why two articles match or do not, as `dedup why` does.

        Each is a URL in any spelling, an article's id, or the path of a file, which need not be recorded. A URL or id means the page's
        current revision; append `#N` for revision N.

        Raises UnknownPageError, AmbiguousPageError, UnknownRevisionError, RevisionPrunedError, NotAnArticleError, RecipeChangedError.
        """
        with self._translate_errors():
            sides = [explain.resolve_article(self._database, self.settings, reference) for reference in (a, b)]
            return Explanation.from_dict(explain.explain_pair(self._database, self.settings, *sides))

    def _duplicate_filter(
        self,
        relations: Iterable[str],
        known_relations: tuple[Relation, ...],
        since: str | datetime | None,
        publisher: str | None,
        min_similarity: float,
        *,
        all_revisions: bool,
    ) -> reports.DuplicateFilter:
        return reports.DuplicateFilter(
            to_known("relations", relations, known_relations),
            to_utc("since", since),
            to_text("publisher", publisher),
            to_share("min_similarity", min_similarity),
            all_revisions,
            self.settings.publishers.build_publishers(),
        )

    def _read(self, record_type: type[_Record], list_rows: Callable[[], Iterator[Mapping[str, Any]]]) -> Iterator[_Record]:
        """Yield rows as records. Only errors of reading are translated, not those of the code that takes the records."""
        rows = list_rows()
        while True:
            with self._translate_errors():
                row = next(rows, None)
            if row is None:
                return
            yield record_type.from_dict(row)

    def _translate_errors(self) -> AbstractContextManager[None]:
        return store.translate_read_errors(self._database.connection, self.path)

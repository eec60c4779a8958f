"""Full-text search over revisions: an index in a file of its own, derived from the database.

The index yields candidates. Each candidate is compared with its row in the database before it is shown. So nothing has to be removed
from the index: a revision that was deleted or pruned, or whose id another revision reuses, fails the comparison. Only what is new under
an existing id must be indexed again: `revision_log` in the database lists these revisions. If the log does not reach back far enough,
because an older copy of the database was restored, the index is compared with all stored revisions.
"""

from __future__ import annotations

from dedup.search.check import IndexCheck, check_index
from dedup.search.coverage import IndexCoverage, index_coverage
from dedup.search.highlight import pieces_to_text
from dedup.search.index_file import NOT_AVAILABLE, is_available
from dedup.search.indexer import IndexProgress, SearchIndexer, rebuild
from dedup.search.query import parse_query
from dedup.search.searcher import SearchHit, SearchPage, search_revisions

__all__ = [
    "NOT_AVAILABLE",
    "IndexCheck",
    "IndexCoverage",
    "IndexProgress",
    "SearchHit",
    "SearchIndexer",
    "SearchPage",
    "check_index",
    "index_coverage",
    "is_available",
    "parse_query",
    "pieces_to_text",
    "rebuild",
    "search_revisions",
]

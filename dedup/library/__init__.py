"""The library: what `import dedup` offers, and the types of its answers. docs/library.md describes it.

The functions are imported from `dedup`; the types of their answers from here. An answer is a frozen dataclass whose `to_dict` is the
documented JSON of the command. Nothing is written to standard output or standard error; messages go to the logger `dedup`.
"""

from __future__ import annotations

import logging

from dedup.library.articles import Article, ClosestRevisions, Cluster, Match, Member, Pair, PairWithPassages
from dedup.library.batches import RecordedFault, RecordedFile, WatchBatch
from dedup.library.changes import BeforeAfter, Change, Evidence
from dedup.library.comparisons import Comparison, DiffOperation
from dedup.library.explanations import (
    Bands,
    ComparedArticle,
    Explanation,
    MaskedBoilerplate,
    MaskedPassage,
    Passage,
    SharedCounts,
    TwoMasks,
)
from dedup.library.histories import History, MetadataChange, Revision, StateChange, TimelineEntry
from dedup.library.hits import SearchHit, SearchResults, SnippetPiece
from dedup.library.records import Record
from dedup.library.scans import ScanResult

logging.getLogger("dedup").addHandler(logging.NullHandler())  # without a handler, logging writes to standard error

__all__ = [
    "Article",
    "Bands",
    "BeforeAfter",
    "Change",
    "ClosestRevisions",
    "Cluster",
    "ComparedArticle",
    "Comparison",
    "DiffOperation",
    "Evidence",
    "Explanation",
    "History",
    "MaskedBoilerplate",
    "MaskedPassage",
    "Match",
    "Member",
    "MetadataChange",
    "Pair",
    "PairWithPassages",
    "Passage",
    "Record",
    "RecordedFault",
    "RecordedFile",
    "Revision",
    "ScanResult",
    "SearchHit",
    "SearchResults",
    "SharedCounts",
    "SnippetPiece",
    "StateChange",
    "TimelineEntry",
    "TwoMasks",
    "WatchBatch",
]

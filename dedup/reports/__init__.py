"""What people ask of the database, as plain values ready for JSON; nothing here writes."""

from dedup.reports.changes import CHANGE_COLUMNS, Folding, Wanted, changes, flat_changes, in_words
from dedup.reports.copies import copies
from dedup.reports.dump import boilerplate, dump, passage
from dedup.reports.duplicates import (
    CLUSTER_COLUMNS,
    NUMBERS,
    PAIR_COLUMNS,
    RESEMBLANCE_COLUMNS,
    Filter,
    article,
    closest,
    clusters,
    flat,
    flat_clusters,
    flat_pairs,
    pairs,
    told,
    with_passages,
)
from dedup.reports.history import STATE_RECIPE, compare_revisions, difference, find_page, history, revision

__all__ = [
    "CHANGE_COLUMNS",
    "CLUSTER_COLUMNS",
    "NUMBERS",
    "PAIR_COLUMNS",
    "RESEMBLANCE_COLUMNS",
    "STATE_RECIPE",
    "Filter",
    "Folding",
    "Wanted",
    "article",
    "boilerplate",
    "changes",
    "closest",
    "clusters",
    "compare_revisions",
    "copies",
    "difference",
    "dump",
    "find_page",
    "flat",
    "flat_changes",
    "flat_clusters",
    "flat_pairs",
    "history",
    "in_words",
    "pairs",
    "passage",
    "revision",
    "told",
    "with_passages",
]

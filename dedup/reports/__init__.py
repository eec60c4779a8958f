"""Reports on the database as plain values, ready for JSON. Nothing here writes to the database."""

from dedup.reports.changes import CHANGE_COLUMNS, ChangeFilter, IncidentGrouping, describe_classification, flatten_changes, list_changes
from dedup.reports.copies import list_copies
from dedup.reports.dump import boilerplate_as_json, dump_rows, list_boilerplate
from dedup.reports.duplicates import (
    CLUSTER_COLUMNS,
    PAIR_COLUMNS,
    SCORE_COLUMNS,
    SIMILAR_COLUMNS,
    DuplicateFilter,
    add_passages,
    article_as_json,
    closest_revisions,
    flatten_clusters,
    flatten_match,
    flatten_pairs,
    list_clusters,
    list_pairs,
    scores_as_json,
)
from dedup.reports.history import STATE_RECIPE, compare_revisions, diff_texts, find_page, page_history, resolve_page, revision_as_json

__all__ = [
    "CHANGE_COLUMNS",
    "CLUSTER_COLUMNS",
    "PAIR_COLUMNS",
    "SCORE_COLUMNS",
    "SIMILAR_COLUMNS",
    "STATE_RECIPE",
    "ChangeFilter",
    "DuplicateFilter",
    "IncidentGrouping",
    "add_passages",
    "article_as_json",
    "boilerplate_as_json",
    "closest_revisions",
    "compare_revisions",
    "describe_classification",
    "diff_texts",
    "dump_rows",
    "find_page",
    "flatten_changes",
    "flatten_clusters",
    "flatten_match",
    "flatten_pairs",
    "list_boilerplate",
    "list_changes",
    "list_clusters",
    "list_copies",
    "list_pairs",
    "page_history",
    "resolve_page",
    "revision_as_json",
    "scores_as_json",
]

"""Tables for other programs, and lists of the articles of a corpus to keep and to drop."""

from dedup.reports.export.schema import ExportTable
from dedup.reports.export.selection import KEEP_ORDERS, KeepRule, dropped_table, kept_table
from dedup.reports.export.tables import ExportFilter, articles_table, changes_table, clusters_table, matches_table
from dedup.reports.export.writers import FORMATS

__all__ = [
    "FORMATS",
    "KEEP_ORDERS",
    "ExportFilter",
    "ExportTable",
    "KeepRule",
    "articles_table",
    "changes_table",
    "clusters_table",
    "dropped_table",
    "kept_table",
    "matches_table",
]

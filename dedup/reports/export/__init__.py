"""Tables for other programs, and lists of what to keep of a corpus and what to drop."""

from dedup.reports.export.schema import Table
from dedup.reports.export.selection import RULES, Rule, dropped, kept
from dedup.reports.export.tables import Chosen, articles, changed, clusters, matches
from dedup.reports.export.writers import FORMATS

__all__ = ["FORMATS", "RULES", "Chosen", "Rule", "Table", "articles", "changed", "clusters", "dropped", "kept", "matches"]

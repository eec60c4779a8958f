"""The report of a period: its statistics, and their rendering as text, Markdown, HTML, CSV and JSON."""

from dedup.reports.period.render import REPORT_FORMATS
from dedup.reports.period.statistics import PeriodStatistics, compute_statistics

__all__ = ["REPORT_FORMATS", "PeriodStatistics", "compute_statistics"]

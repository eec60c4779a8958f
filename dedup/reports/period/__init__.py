"""The report of a period: figures, and the forms that they are told in."""

from dedup.reports.period.render import REPORT_FORMATS
from dedup.reports.period.statistics import PeriodStatistics, compute_statistics

__all__ = ["REPORT_FORMATS", "PeriodStatistics", "compute_statistics"]

"""The report of a period: figures, and the forms that they are told in."""

from dedup.reports.period.render import FORMS
from dedup.reports.period.statistics import Figures, compute_statistics

__all__ = ["FORMS", "Figures", "compute_statistics"]

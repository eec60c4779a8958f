"""The report of a period: figures, and the forms that they are told in."""

from dedup.reports.period.figures import Figures, figures
from dedup.reports.period.forms import FORMS

__all__ = ["FORMS", "Figures", "figures"]

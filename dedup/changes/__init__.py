"""Classification of changes: kind, severity and evidence. Pure functions of two states of a page."""

from dedup.changes.classify import Classification, ClassificationRules, PageHistory, PageState, classify_change
from dedup.changes.evidence import Evidence, EvidenceKind
from dedup.model import SEVERITIES, ChangeKind, Severity

__all__ = [
    "SEVERITIES",
    "ChangeKind",
    "Classification",
    "ClassificationRules",
    "Evidence",
    "EvidenceKind",
    "PageHistory",
    "PageState",
    "Severity",
    "classify_change",
]

"""What kind of change a change is, how grave, and on what evidence. Pure: two states in, a judgement out."""

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

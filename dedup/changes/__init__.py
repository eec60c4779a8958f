"""What kind of change a change is, how grave, and on what evidence. Pure: two states in, a judgement out."""

from dedup.changes.classify import Judgement, Past, Rules, State, classify_change
from dedup.changes.evidence import Evidence, What
from dedup.model import SEVERITIES, ChangeKind, Severity

__all__ = ["SEVERITIES", "ChangeKind", "Evidence", "Judgement", "Past", "Rules", "Severity", "State", "What", "classify_change"]

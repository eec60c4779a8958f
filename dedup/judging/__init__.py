"""What kind of change a change is, how grave, and on what evidence. Pure: two states in, a judgement out."""

from dedup.judging.evidence import Evidence, What
from dedup.judging.judge import SEVERITIES, ChangeKind, Judgement, Past, Rules, Severity, State, judge

__all__ = ["SEVERITIES", "ChangeKind", "Evidence", "Judgement", "Past", "Rules", "Severity", "State", "What", "judge"]

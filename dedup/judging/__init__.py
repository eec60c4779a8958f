"""What kind of change a change is, how grave, and on what evidence. Pure: two states in, a judgement out."""

from dedup.judging.evidence import Evidence, What
from dedup.judging.judge import Judgement, Past, Rules, State, judge
from dedup.model import SEVERITIES, ChangeKind, Severity

__all__ = ["SEVERITIES", "ChangeKind", "Evidence", "Judgement", "Past", "Rules", "Severity", "State", "What", "judge"]

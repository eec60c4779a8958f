"""Alert rules, and which of them an event matches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import get_args

from dedup.model import SEVERITIES, AlertTopic, ChangeKind, MismatchCause, Relation, Severity
from dedup.rules.event import Event
from dedup.rules.schedule import Schedule
from dedup.text.normalise import to_nfc

EVENT_KINDS: dict[AlertTopic, tuple[str, ...]] = {
    "change": get_args(ChangeKind),
    "mismatch": get_args(MismatchCause),
    "duplicate": get_args(Relation),
    "cluster": ("growing",),
    "faults": ("rate",),
    "daemon": ("database", "absent", "unwatched", "events", "alerts", "derived", "internal"),
}
"""Topic → the kinds of its events."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """Which events go to which channels, and when; see `[[alerts]]`. A condition that is empty or None matches every event."""

    name: str
    on: tuple[AlertTopic, ...]
    to: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    min_severity: Severity = "minor"
    parts: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    silent: bool | None = None
    min_similarity: float = 0.0
    across_publishers: bool = False
    min_size: int = 0
    schedule: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """All rules, and what applies to each of them.

    An edit on `incident_pages` pages within `incident_hours` of each other is reported as one incident. Events of a backlog or an
    incident wait `gather_seconds` for more of their kind.
    """

    rules: tuple[AlertRule, ...] = ()
    incident_pages: int = 5
    incident_hours: float = 24.0
    gather_seconds: float = 60.0

    def find_rule(self, name: str) -> AlertRule | None:
        """Return the rule with this name, or None."""
        return next((r for r in self.rules if r.name == name), None)


def matching_rules(event: Event, rules: Iterable[AlertRule]) -> list[AlertRule]:
    """Return the rules that an event matches, in order; an empty list for a change with nothing to show."""
    matches = [rule for rule in rules if matches_rule(event, rule)]
    return [] if matches and event.is_empty else matches


def matches_rule(event: Event, rule: AlertRule) -> bool:
    """Return whether an event matches a rule, even if it has nothing to show. Conditions on changes, duplicates and sizes apply only to
    events of that topic."""
    return (
        event.topic in rule.on
        and (not rule.kinds or event.kind in rule.kinds)
        and SEVERITIES.index(event.severity) >= SEVERITIES.index(rule.min_severity)
        and (not rule.publishers or _fold_name(event.publisher) in map(_fold_name, rule.publishers))
        and (not rule.urls or any(fnmatchcase(event.url, glob) for glob in rule.urls))
        and _matches_topic_conditions(event, rule)
    )


def _matches_topic_conditions(event: Event, rule: AlertRule) -> bool:
    if event.topic == "change":
        return (not rule.parts or not set(rule.parts).isdisjoint(event.parts)) and rule.silent in (None, event.silent)
    if event.topic == "duplicate":
        is_similar = event.similarity is None or event.similarity >= rule.min_similarity
        return is_similar and (event.across_publishers or not rule.across_publishers)
    return event.size >= rule.min_size or event.topic not in ("cluster", "faults")


def _fold_name(name: str) -> str:
    return to_nfc(name).strip().casefold()

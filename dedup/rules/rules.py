"""Rules, and which of them an event meets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import get_args

from dedup.model import SEVERITIES, Cause, ChangeKind, Relation, Severity, Topic
from dedup.rules.event import Event
from dedup.rules.schedule import Rhythm
from dedup.text.normalise import nfc

KINDS: dict[Topic, tuple[str, ...]] = {
    "change": get_args(ChangeKind),
    "mismatch": get_args(Cause),
    "duplicate": get_args(Relation),
    "cluster": ("growing",),
    "faults": ("rate",),
    "daemon": ("database", "absent", "unwatched", "events", "alerts", "derived", "internal"),
}
"""Topic → the kinds of its events."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is told, to which channels, in what rhythm; see `[[alerts]]`. What is empty or None asks for nothing."""

    name: str
    on: tuple[Topic, ...]
    to: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    min_severity: Severity = "minor"
    parts: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    stealth: bool | None = None
    min_similarity: float = 0.0
    across_publishers: bool = False
    min_size: int = 0
    rhythm: Rhythm = field(default_factory=Rhythm)


@dataclass(frozen=True, slots=True)
class Alerting:
    """All rules, and what holds for each: an edit on `incident_pages` pages within `incident_hours` is told as one; what comes of a
    backlog or an incident waits for `gather_seconds` for more of its kind."""

    rules: tuple[Rule, ...] = ()
    incident_pages: int = 5
    incident_hours: float = 24.0
    gather_seconds: float = 60.0

    def rule(self, name: str) -> Rule | None:
        """The rule of that name; None where there is none any more."""
        return next((r for r in self.rules if r.name == name), None)


def matching_rules(event: Event, rules: Iterable[Rule]) -> list[Rule]:
    """The rules that an event meets, in their order; none for a change that has nothing to show."""
    found = [rule for rule in rules if meets(event, rule)]
    return [] if found and event.empty else found


def meets(event: Event, rule: Rule) -> bool:
    """Whether it does, whatever it has to show; what a rule asks of changes, duplicates or sizes it asks of those events that have
    such."""
    return (
        event.topic in rule.on
        and (not rule.kinds or event.kind in rule.kinds)
        and SEVERITIES.index(event.severity) >= SEVERITIES.index(rule.min_severity)
        and (not rule.publishers or _folded(event.publisher) in map(_folded, rule.publishers))
        and (not rule.urls or any(fnmatchcase(event.url, glob) for glob in rule.urls))
        and _of_its_topic(event, rule)
    )


def _of_its_topic(event: Event, rule: Rule) -> bool:
    if event.topic == "change":
        return (not rule.parts or not set(rule.parts).isdisjoint(event.channels)) and rule.stealth in (None, event.stealth)
    if event.topic == "duplicate":
        alike = event.similarity is None or event.similarity >= rule.min_similarity
        return alike and (event.across or not rule.across_publishers)
    return event.size >= rule.min_size or event.topic not in ("cluster", "faults")


def _folded(name: str) -> str:
    return nfc(name).strip().casefold()

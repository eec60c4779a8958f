"""Which of what happens is told, to whom, and when. Pure: events and rules in, decisions out."""

from dedup.rules.event import DETAILS, Event, alert_id, incident_key
from dedup.rules.rules import KINDS, Alerting, Rule, matching_rules, meets
from dedup.rules.schedule import Due, Rhythm, Why, due, hour_of

__all__ = [
    "DETAILS",
    "KINDS",
    "Alerting",
    "Due",
    "Event",
    "Rhythm",
    "Rule",
    "Why",
    "alert_id",
    "due",
    "hour_of",
    "incident_key",
    "matching_rules",
    "meets",
]

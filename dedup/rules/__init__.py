"""Which events are sent, to which channels, and when. Pure functions of events and rules."""

from dedup.rules.event import DETAIL_FIELDS, Event, alert_id, incident_key
from dedup.rules.rules import EVENT_KINDS, AlertPolicy, AlertRule, matches_rule, matching_rules
from dedup.rules.schedule import DeliveryTime, DigestReason, Schedule, delivery_time, start_of_hour

__all__ = [
    "DETAIL_FIELDS",
    "EVENT_KINDS",
    "AlertPolicy",
    "AlertRule",
    "DeliveryTime",
    "DigestReason",
    "Event",
    "Schedule",
    "alert_id",
    "delivery_time",
    "incident_key",
    "matches_rule",
    "matching_rules",
    "start_of_hour",
]

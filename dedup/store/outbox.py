"""Events into the outbox: within the transaction of what they tell of, so that both are there or neither."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from dedup import store
from dedup.model import SEVERITIES, Severity
from dedup.rules import AlertPolicy, AlertRule, Event, alert_id, delivery_time, incident_key, matching_rules
from dedup.store import Transaction
from dedup.store.alerts import as_json
from dedup.store.rows import ExistingAlert, IncidentState

MAX_EXAMPLES = 20
"""Pages of an incident that messages name."""


def write(transaction: Transaction, events: Iterable[Event], alerting: AlertPolicy, now: str) -> int:
    """Write the alerts that events ask for by the rules; returns how many are new. To be called within a transaction.

    The same event again writes nothing, but brings back what was withdrawn and not sent. What several rules tell to one channel
    goes there by the first. Where the same edit was made on `incident_pages` pages, one alert tells of all of them.
    """
    if not alerting.rules:
        return 0
    matched = [(event, rules) for event in events if (rules := matching_rules(event, alerting.rules))]
    if not matched:
        return 0
    batch = _Batch(transaction, alerting, now, store.alerts.find_by_event(transaction, (event.key for event, _ in matched)))
    for event, rules in matched:
        batch.add(event, rules)
    batch.finish()
    return batch.new_count


def withdraw(transaction: Transaction, keys: Iterable[str], now: str) -> int:
    """What the events with these keys tell of is not so any more: returns the number of deliveries that are not made for it. What was
    sent stays as it is. To be called within a transaction."""
    existing = [a for alerts in store.alerts.find_by_event(transaction, keys).values() for a in alerts if a.withdrawn_at is None]
    withdrawn_count = store.alerts.withdraw(transaction, (a.id for a in existing), now)
    for incident in sorted({a.folded_into_id for a in existing if a.folded_into_id is not None}):
        if store.alerts.is_incident_open(transaction, incident, now):
            withdrawn_count += _update_incident(transaction, incident, now)
    return withdrawn_count


class _Batch:
    def __init__(self, transaction: Transaction, alerting: AlertPolicy, now: str, existing: dict[str, list[ExistingAlert]]) -> None:
        self._transaction, self._alerting, self._now, self._existing = transaction, alerting, now, existing
        self._incident_window = timedelta(hours=alerting.incident_hours)
        self._next_id = transaction.next_id("alerts")
        self._alerts: list[tuple[Any, ...]] = []
        self._deliveries: list[tuple[Any, ...]] = []
        self._incidents: dict[tuple[str, str], AlertRule] = {}
        self.new_count = 0

    def add(self, event: Event, rules: Sequence[AlertRule]) -> None:
        """Write what is told of an event, or leave it, if that is known."""
        existing = self._existing.setdefault(event.key, [])
        used_channels = {channel for a in existing for channel in a.channels if a.withdrawn_at is None}
        for rule in rules:
            own_alert = next((a for a in existing if a.rule == rule.name), None)
            if own_alert is not None:
                self._revive(own_alert, event, rule)
                used_channels |= own_alert.channels
                continue
            channels = [c for c in rule.to if c not in used_channels]
            if not channels:
                continue
            used_channels.update(channels)
            row_id = self._add(event, rule, channels)
            existing.append(ExistingAlert(row_id, rule.name, None, None, frozenset(channels)))

    def _add(self, event: Event, rule: AlertRule, channels: Sequence[str]) -> int:
        row_id, self._next_id = self._next_id, self._next_id + 1
        self.new_count += 1
        self._alerts.append(
            (row_id, alert_id(rule.name, event.key), rule.name, event.key, event.topic, event.kind, event.severity, event.url, event.title,
             event.publisher, event.at, as_json(event.details()), as_json(event.payload), self._now, event.incident)
        )  # fmt: skip
        due_at, digest_reason = self._delivery_time(rule, backlog=event.backlog)
        self._deliveries += [(row_id, channel, due_at, digest_reason, self._now) for channel in channels]
        if event.incident is not None:
            self._incidents[rule.name, event.incident] = rule
        return row_id

    def _delivery_time(self, rule: AlertRule, *, backlog: bool) -> tuple[str, str | None]:
        window = timedelta(seconds=self._alerting.gather_seconds) if backlog else None
        delivery = delivery_time(datetime.fromisoformat(self._now), rule.schedule, gather_time=window)
        return _format_time(delivery.at), delivery.digest_reason

    def _revive(self, existing: ExistingAlert, event: Event, rule: AlertRule) -> None:
        """It was withdrawn, and is so again; what was told of it stays told."""
        if existing.withdrawn_at is None:
            return
        transaction, incident_id = self._transaction, existing.folded_into_id
        store.alerts.revive(transaction, existing.id, as_json(event.payload))
        if incident_id is not None and store.alerts.is_incident_open(transaction, incident_id, self._now):
            _update_incident(transaction, incident_id, self._now)
        elif incident_id is None or store.alerts.was_incident_open(
            transaction, incident_id, existing.withdrawn_at
        ):  # else the incident was told with it
            store.alerts.requeue_withdrawn(transaction, existing.id, *self._delivery_time(rule, backlog=event.backlog), self._now)
            if event.incident is not None:
                self._incidents[rule.name, event.incident] = rule

    def finish(self) -> None:
        """Write what was taken, incidents as one each."""
        self._write()
        for (_, incident), rule in self._incidents.items():
            self._fold_incident(rule, incident)

    def _write(self) -> None:
        store.alerts.insert(self._transaction, self._alerts)
        store.alerts.insert_deliveries(self._transaction, self._deliveries)
        self._alerts, self._deliveries = [], []

    def _fold_incident(self, rule: AlertRule, incident: str) -> None:
        transaction, now = self._transaction, datetime.fromisoformat(self._now)
        unreported = store.alerts.unreported_pages_of_incident(transaction, rule.name, incident, _format_time(now - self._incident_window))
        latest = store.alerts.latest_of_incident(transaction, rule.name, incident)
        if not unreported or (latest is None and len({url for _, url in unreported}) < self._alerting.incident_pages):
            return
        if latest is None or latest.is_sent or latest.open_until <= self._now:
            latest = self._open_incident(rule, incident, latest, unreported[0][0], sorted({a for a, _ in unreported}))
        store.alerts.fold_into_incident(transaction, [a for a, _ in unreported], latest.alert_id)
        _update_incident(transaction, latest.alert_id, self._now)

    def _open_incident(
        self, rule: AlertRule, incident: str, latest: IncidentState | None, first_alert: int, members: Sequence[int]
    ) -> IncidentState:
        """The alert that tells of an incident, for the first time or of its growth."""
        window = timedelta(seconds=self._alerting.gather_seconds)
        earliest = datetime.fromisoformat(self._now)
        if latest is not None:
            earliest = max(
                earliest, min(earliest, datetime.fromisoformat(latest.open_until)) + self._incident_window
            )  # the clock may have been ahead
        delivery = delivery_time(earliest, rule.schedule, gather_time=window)
        open_until, report_count = _format_time(delivery.at), (latest.report_count if latest else 0) + 1
        template = store.alerts.get(self._transaction, [first_alert])[first_alert]
        key = incident_key(incident, report_count)
        row_id, self._next_id = self._next_id, self._next_id + 1
        self._alerts.append(
            (row_id, alert_id(rule.name, key), rule.name, key, template.topic, template.kind, template.severity, template.url,
             template.title, template.publisher, template.at, as_json(template.details),
             as_json(template.payload | {"times": report_count}), self._now, incident)
        )  # fmt: skip
        channels = {d.channel: None for of_alert in store.alerts.deliveries(self._transaction, members).values() for d in of_alert}
        digest_reason = "incident" if delivery.digest_reason == "backlog" else delivery.digest_reason
        self._deliveries += [(row_id, channel, open_until, digest_reason, self._now) for channel in channels]
        self._write()
        store.alerts.open_incident(self._transaction, row_id, open_until)
        return IncidentState(row_id, open_until, report_count)


def _update_incident(transaction: Transaction, incident: int, now: str) -> int:
    """Let the alert of an incident tell of its pages as they are; returns the number of deliveries that are not made, where none is
    left."""
    pages, severities, members = store.alerts.incident_members(transaction, incident, MAX_EXAMPLES)
    alert = store.alerts.get(transaction, [incident])[incident]
    if not pages:
        return store.alerts.withdraw(transaction, [incident], now)
    if alert.withdrawn_at is not None:
        assert alert.open_until is not None
        store.alerts.requeue_withdrawn(transaction, incident, alert.open_until, "incident", now)
    examples = [m._asdict() for m in members]
    worst: Severity = max((s for s in SEVERITIES if s in severities), key=SEVERITIES.index)
    store.alerts.set_incident_members(transaction, incident, pages, worst, as_json(alert.payload | {"pages": pages, "examples": examples}))
    return 0


def _format_time(time: datetime) -> str:
    """Whole seconds, rounded up: nothing is due before its time."""
    if time.microsecond:
        time = time.replace(microsecond=0) + timedelta(seconds=1)
    return time.isoformat()


__all__ = ["withdraw", "write"]

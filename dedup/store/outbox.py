"""Writes events as alerts and deliveries into the outbox, in the transaction that records what happened."""

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


def write(transaction: Transaction, events: Iterable[Event], policy: AlertPolicy, now: str) -> int:
    """Write the alerts that the rules ask for, and return the number of new ones.

    An event that has an alert already writes nothing; if its alert was withdrawn before it was sent, the alert is queued again. If
    several rules send an event to one channel, only the first rule does. The same edit on at least `policy.incident_pages` pages
    becomes one alert for all of them.
    """
    if not policy.rules:
        return 0
    matched = [(event, rules) for event in events if (rules := matching_rules(event, policy.rules))]
    if not matched:
        return 0
    return _AlertBatch(transaction, policy, now).write(matched)


def withdraw(transaction: Transaction, keys: Iterable[str], now: str) -> int:
    """Withdraw the alerts of events that are no longer true, by the keys of the events.

    Returns the number of pending deliveries that were withdrawn. Deliveries that were sent stay as they are.
    """
    active_alerts = [a for alerts in store.alerts.find_by_event(transaction, keys).values() for a in alerts if a.withdrawn_at is None]
    withdrawn_count = store.alerts.withdraw(transaction, (a.id for a in active_alerts), now)
    for incident in sorted({a.folded_into_id for a in active_alerts if a.folded_into_id is not None}):
        if store.alerts.is_incident_open(transaction, incident, now):
            withdrawn_count += _update_incident(transaction, incident, now)
    return withdrawn_count


class _AlertBatch:
    """The alerts of one transaction. Rows are collected and inserted together; then alerts of one edit are folded into incidents."""

    def __init__(self, transaction: Transaction, policy: AlertPolicy, now: str) -> None:
        self._transaction, self._policy, self._now = transaction, policy, now
        self._incident_window = timedelta(hours=policy.incident_hours)
        self._next_id = transaction.next_id("alerts")
        self._alert_rows: list[tuple[Any, ...]] = []
        self._delivery_rows: list[tuple[Any, ...]] = []
        self._incidents: dict[tuple[str, str], AlertRule] = {}
        """(name of a rule, incident) → the rule, for incidents that may have grown."""

    def write(self, matched: Sequence[tuple[Event, Sequence[AlertRule]]]) -> int:
        """Write the alerts of events with the rules that each matches. Returns the number of new alerts, without those of incidents."""
        existing_by_key = store.alerts.find_by_event(self._transaction, (event.key for event, _ in matched))
        new_count = sum(self._add_event(event, rules, existing_by_key.setdefault(event.key, [])) for event, rules in matched)
        self._insert_rows()
        for (_, incident), rule in self._incidents.items():
            self._fold_incident(rule, incident)
        return new_count

    def _add_event(self, event: Event, rules: Sequence[AlertRule], existing: list[ExistingAlert]) -> int:
        """Add an alert for each rule that has none for the event yet, and revive withdrawn ones. Returns the number of new alerts.

        `existing` are the alerts of the event; new ones are appended.
        """
        used_channels = {channel for a in existing for channel in a.channels if a.withdrawn_at is None}
        new_count = 0
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
            row_id = self._add_alert(event, rule, channels)
            existing.append(ExistingAlert(row_id, rule.name, None, None, frozenset(channels)))
            new_count += 1
        return new_count

    def _add_alert(self, event: Event, rule: AlertRule, channels: Iterable[str]) -> int:
        row_id = self._take_id()
        self._alert_rows.append(
            (row_id, alert_id(rule.name, event.key), rule.name, event.key, event.topic, event.kind, event.severity, event.url, event.title,
             event.publisher, event.at, as_json(event.details()), as_json(event.payload), self._now, event.incident)
        )  # fmt: skip
        due_at, digest_reason = self._delivery_time(rule, backlog=event.backlog)
        self._add_deliveries(row_id, channels, due_at, digest_reason)
        if event.incident is not None:
            self._incidents[rule.name, event.incident] = rule
        return row_id

    def _take_id(self) -> int:
        row_id, self._next_id = self._next_id, self._next_id + 1
        return row_id

    def _add_deliveries(self, alert: int, channels: Iterable[str], due_at: str, digest_reason: str | None) -> None:
        self._delivery_rows += [(alert, channel, due_at, digest_reason, self._now) for channel in channels]

    def _delivery_time(self, rule: AlertRule, *, backlog: bool) -> tuple[str, str | None]:
        window = timedelta(seconds=self._policy.gather_seconds) if backlog else None
        delivery = delivery_time(datetime.fromisoformat(self._now), rule.schedule, gather_time=window)
        return _format_time(delivery.at), delivery.digest_reason

    def _revive(self, alert: ExistingAlert, event: Event, rule: AlertRule) -> None:
        """Revive a withdrawn alert, because its event is true again. Deliveries that were sent are not repeated."""
        if alert.withdrawn_at is None:
            return
        transaction, incident = self._transaction, alert.folded_into_id
        store.alerts.revive(transaction, alert.id, as_json(event.payload))
        if incident is not None and store.alerts.is_incident_open(transaction, incident, self._now):
            _update_incident(transaction, incident, self._now)
            return
        if incident is not None and not store.alerts.was_incident_open(transaction, incident, alert.withdrawn_at):
            return  # the incident's alert reported the event before it was withdrawn
        store.alerts.requeue_withdrawn(transaction, alert.id, *self._delivery_time(rule, backlog=event.backlog), self._now)
        if event.incident is not None:
            self._incidents[rule.name, event.incident] = rule

    def _insert_rows(self) -> None:
        store.alerts.insert(self._transaction, self._alert_rows)
        store.alerts.insert_deliveries(self._transaction, self._delivery_rows)
        self._alert_rows, self._delivery_rows = [], []

    def _fold_incident(self, rule: AlertRule, incident: str) -> None:
        """Fold the alerts of one edit that no incident's alert reports yet into the open one, or into a new one."""
        transaction, now = self._transaction, datetime.fromisoformat(self._now)
        unreported = store.alerts.unreported_pages_of_incident(transaction, rule.name, incident, _format_time(now - self._incident_window))
        latest = store.alerts.latest_of_incident(transaction, rule.name, incident)
        if not unreported or (latest is None and len({url for _, url in unreported}) < self._policy.incident_pages):
            return
        if latest is None or latest.is_sent or latest.open_until <= self._now:
            latest = self._open_incident(rule, incident, latest, unreported[0][0], sorted({a for a, _ in unreported}))
        store.alerts.fold_into_incident(transaction, [a for a, _ in unreported], latest.alert_id)
        _update_incident(transaction, latest.alert_id, self._now)

    def _open_incident(
        self, rule: AlertRule, incident: str, latest: IncidentState | None, first_alert: int, members: Sequence[int]
    ) -> IncidentState:
        """Insert an alert that reports an incident, for the first time or because it grew after the `latest` report."""
        delivery = delivery_time(self._earliest_report(latest), rule.schedule, gather_time=timedelta(seconds=self._policy.gather_seconds))
        open_until, report_count = _format_time(delivery.at), (latest.report_count if latest else 0) + 1
        template = store.alerts.get(self._transaction, [first_alert])[first_alert]
        key = incident_key(incident, report_count)
        row_id = self._take_id()
        self._alert_rows.append(
            (row_id, alert_id(rule.name, key), rule.name, key, template.topic, template.kind, template.severity, template.url,
             template.title, template.publisher, template.at, as_json(template.details),
             as_json(template.payload | {"times": report_count}), self._now, incident)
        )  # fmt: skip
        channels = {d.channel: None for of_alert in store.alerts.deliveries(self._transaction, members).values() for d in of_alert}
        self._add_deliveries(row_id, channels, open_until, "incident" if delivery.digest_reason == "backlog" else delivery.digest_reason)
        self._insert_rows()
        store.alerts.open_incident(self._transaction, row_id, open_until)
        return IncidentState(row_id, open_until, report_count)

    def _earliest_report(self, latest: IncidentState | None) -> datetime:
        """The time from which an incident may be reported: now, or `incident_hours` after the latest report."""
        now = datetime.fromisoformat(self._now)
        if latest is None:
            return now
        latest_report = min(now, datetime.fromisoformat(latest.open_until))  # `open_until` is later than now if the clock was ahead
        return max(now, latest_report + self._incident_window)


def _update_incident(transaction: Transaction, incident: int, now: str) -> int:
    """Update the alert of an incident to its current pages, or withdraw it if none is left. Returns the number of withdrawn deliveries."""
    page_count, severities, members = store.alerts.incident_members(transaction, incident, MAX_EXAMPLES)
    alert = store.alerts.get(transaction, [incident])[incident]
    if not page_count:
        return store.alerts.withdraw(transaction, [incident], now)
    if alert.withdrawn_at is not None:
        assert alert.open_until is not None
        store.alerts.requeue_withdrawn(transaction, incident, alert.open_until, "incident", now)
    examples = [m._asdict() for m in members]
    worst: Severity = max((s for s in SEVERITIES if s in severities), key=SEVERITIES.index)
    payload = as_json(alert.payload | {"pages": page_count, "examples": examples})
    store.alerts.set_incident_members(transaction, incident, page_count, worst, payload)
    return 0


def _format_time(time: datetime) -> str:
    """Format a time in whole seconds, rounded up, so that nothing is sent before its time."""
    if time.microsecond:
        time = time.replace(microsecond=0) + timedelta(seconds=1)
    return time.isoformat()


__all__ = ["withdraw", "write"]

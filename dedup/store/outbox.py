"""Events into the outbox: within the transaction of what they tell of, so that both are there or neither."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from dedup import store
from dedup.model import SEVERITIES, Severity
from dedup.rules import Alerting, Event, Rule, alert_id, due, incident_key, matching_rules
from dedup.store import Transaction
from dedup.store.alerts import as_json
from dedup.store.rows import KnownAlert, Told

EXAMPLES = 20
"""Pages of an incident that messages name."""


def write(transaction: Transaction, events: Iterable[Event], alerting: Alerting, now: str) -> int:
    """Write the alerts that events ask for by the rules; returns how many are new. To be called within a transaction.

    The same event again writes nothing, but brings back what was withdrawn and not sent. What several rules tell to one channel
    goes there by the first. Where the same edit was made on `incident_pages` pages, one alert tells of all of them.
    """
    if not alerting.rules:
        return 0
    met = [(event, rules) for event in events if (rules := matching_rules(event, alerting.rules))]
    if not met:
        return 0
    batch = _Batch(transaction, alerting, now, store.alerts.find_by_event(transaction, (event.key for event, _ in met)))
    for event, rules in met:
        batch.take(event, rules)
    batch.finish()
    return batch.new


def withdraw(transaction: Transaction, keys: Iterable[str], now: str) -> int:
    """What the events with these keys tell of is not so any more: returns the number of deliveries that are not made for it. What was
    sent stays as it is. To be called within a transaction."""
    known = [a for alerts in store.alerts.find_by_event(transaction, keys).values() for a in alerts if a.withdrawn_at is None]
    number = store.alerts.withdraw(transaction, (a.id for a in known), now)
    for incident in sorted({a.folded_into for a in known if a.folded_into is not None}):
        if store.alerts.is_incident_open(transaction, incident, now):
            number += _tell_again(transaction, incident, now)
    return number


class _Batch:
    def __init__(self, transaction: Transaction, alerting: Alerting, now: str, known: dict[str, list[KnownAlert]]) -> None:
        self._transaction, self._alerting, self._now, self._known = transaction, alerting, now, known
        self._within = timedelta(hours=alerting.incident_hours)
        self._next = transaction.next_id("alerts")
        self._alerts: list[tuple[Any, ...]] = []
        self._deliveries: list[tuple[Any, ...]] = []
        self._incidents: dict[tuple[str, str], Rule] = {}
        self.new = 0

    def take(self, event: Event, rules: Sequence[Rule]) -> None:
        """Write what is told of an event, or leave it, if that is known."""
        known = self._known.setdefault(event.key, [])
        taken = {channel for a in known for channel in a.channels if a.withdrawn_at is None}
        for rule in rules:
            own = next((a for a in known if a.rule == rule.name), None)
            if own is not None:
                self._again(own, event, rule)
                taken |= own.channels
                continue
            channels = [c for c in rule.to if c not in taken]
            if not channels:
                continue
            taken.update(channels)
            number = self._add(event, rule, channels)
            known.append(KnownAlert(number, rule.name, None, None, frozenset(channels)))

    def _add(self, event: Event, rule: Rule, channels: Sequence[str]) -> int:
        number, self._next = self._next, self._next + 1
        self.new += 1
        self._alerts.append(
            (number, alert_id(rule.name, event.key), rule.name, event.key, event.topic, event.kind, event.severity, event.url, event.title,
             event.publisher, event.at, as_json(event.details()), as_json(event.told), self._now, event.incident)
        )  # fmt: skip
        at, digest = self._due(rule, backlog=event.backlog)
        self._deliveries += [(number, channel, at, digest, self._now) for channel in channels]
        if event.incident is not None:
            self._incidents[rule.name, event.incident] = rule
        return number

    def _due(self, rule: Rule, *, backlog: bool) -> tuple[str, str | None]:
        gather = timedelta(seconds=self._alerting.gather_seconds) if backlog else None
        found = due(datetime.fromisoformat(self._now), rule.rhythm, gather=gather)
        return _printed(found.at), found.digest

    def _again(self, known: KnownAlert, event: Event, rule: Rule) -> None:
        """It was withdrawn, and is so again; what was told of it stays told."""
        if known.withdrawn_at is None:
            return
        transaction, into = self._transaction, known.folded_into
        store.alerts.revive(transaction, known.id, as_json(event.told))
        if into is not None and store.alerts.is_incident_open(transaction, into, self._now):
            _tell_again(transaction, into, self._now)
        elif into is None or store.alerts.was_incident_open(transaction, into, known.withdrawn_at):  # else the incident was told with it
            store.alerts.requeue_withdrawn(transaction, known.id, *self._due(rule, backlog=event.backlog), self._now)
            if event.incident is not None:
                self._incidents[rule.name, event.incident] = rule

    def finish(self) -> None:
        """Write what was taken, incidents as one each."""
        self._write()
        for (_, incident), rule in self._incidents.items():
            self._fold(rule, incident)

    def _write(self) -> None:
        store.alerts.insert(self._transaction, self._alerts)
        store.alerts.insert_deliveries(self._transaction, self._deliveries)
        self._alerts, self._deliveries = [], []

    def _fold(self, rule: Rule, incident: str) -> None:
        transaction, now = self._transaction, datetime.fromisoformat(self._now)
        untold = store.alerts.unreported_pages_of_incident(transaction, rule.name, incident, _printed(now - self._within))
        last = store.alerts.latest_of_incident(transaction, rule.name, incident)
        if not untold or (last is None and len({url for _, url in untold}) < self._alerting.incident_pages):
            return
        if last is None or last.sent or last.open_until <= self._now:
            last = self._begin(rule, incident, last, untold[0][0], sorted({a for a, _ in untold}))
        store.alerts.fold_into_incident(transaction, [a for a, _ in untold], last.id)
        _tell_again(transaction, last.id, self._now)

    def _begin(self, rule: Rule, incident: str, last: Told | None, first: int, members: Sequence[int]) -> Told:
        """The alert that tells of an incident, for the first time or of its growth."""
        gather = timedelta(seconds=self._alerting.gather_seconds)
        earliest = datetime.fromisoformat(self._now)
        if last is not None:
            earliest = max(earliest, min(earliest, datetime.fromisoformat(last.open_until)) + self._within)  # the clock may have been ahead
        found = due(earliest, rule.rhythm, gather=gather)
        until, times_told = _printed(found.at), (last.times if last else 0) + 1
        a = store.alerts.get(self._transaction, [first])[first]
        key = incident_key(incident, times_told)
        number, self._next = self._next, self._next + 1
        self._alerts.append(
            (number, alert_id(rule.name, key), rule.name, key, a.topic, a.kind, a.severity, a.url, a.title, a.publisher, a.at,
             as_json(a.details), as_json(a.told | {"times": times_told}), self._now, incident)
        )  # fmt: skip
        channels = {d.channel: None for of_alert in store.alerts.deliveries(self._transaction, members).values() for d in of_alert}
        digest = "incident" if found.digest == "backlog" else found.digest
        self._deliveries += [(number, channel, until, digest, self._now) for channel in channels]
        self._write()
        store.alerts.open_incident(self._transaction, number, until)
        return Told(number, until, times_told)


def _tell_again(transaction: Transaction, incident: int, now: str) -> int:
    """Let the alert of an incident tell of its pages as they are; returns the number of deliveries that are not made, where none is
    left."""
    pages, severities, members = store.alerts.incident_members(transaction, incident, EXAMPLES)
    alert = store.alerts.get(transaction, [incident])[incident]
    if not pages:
        return store.alerts.withdraw(transaction, [incident], now)
    if alert.withdrawn_at is not None:
        assert alert.open_until is not None
        store.alerts.requeue_withdrawn(transaction, incident, alert.open_until, "incident", now)
    examples = [{"url": m[0], "title": m[1], "publisher": m[2], "at": m[3]} for m in members]
    gravest: Severity = max((s for s in SEVERITIES if s in severities), key=SEVERITIES.index)
    store.alerts.set_incident_members(transaction, incident, pages, gravest, as_json(alert.told | {"pages": pages, "examples": examples}))
    return 0


def _printed(moment: datetime) -> str:
    """Whole seconds, rounded up: nothing is due before its time."""
    if moment.microsecond:
        moment = moment.replace(microsecond=0) + timedelta(seconds=1)
    return moment.isoformat()


__all__ = ["withdraw", "write"]

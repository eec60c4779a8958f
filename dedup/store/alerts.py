"""Alerts and their deliveries: the tables of the outbox (`dedup.store.outbox`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import fields
from typing import Any, NamedTuple

from more_itertools import chunked

from dedup.store.database import Database, Row, Transaction, placeholders
from dedup.store.rows import AlertRow, DeliveryRow, ExistingAlert, IncidentState, MistimedDelivery, OutstandingDeliveries

_ALERT_COLUMNS = (
    "a.id, a.public_id, a.rule, a.event_key, a.topic, a.kind, a.severity, a.url, a.title, a.publisher, a.at, a.details, a.payload,"
    " a.created_at, a.withdrawn_at, a.incident, a.page_count, a.open_until, a.folded_into_id"
)


_DELIVERY_COLUMNS = (
    "d.id, d.alert_id, a.rule, d.channel, d.status, d.due_at, d.digest_reason, d.attempts, d.first_attempt_at, d.last_attempt_at,"
    " d.last_error, d.sent_at, d.message_id"
)


_HAS_DELIVERY_STATUS = "EXISTS (SELECT 1 FROM deliveries d WHERE d.alert_id = a.id AND d.status = ?2)"


_RETRY_SECONDS = (
    "CASE WHEN first_attempt_at IS NULL THEN 0 ELSE retry_seconds + max(0, min(:max_gap_seconds,"
    " coalesce(CAST(strftime('%s', :now) AS INTEGER) - CAST(strftime('%s', scheduled_at) AS INTEGER), 0))) END"
)
"""SQL for the seconds spent on retrying a delivery: those counted so far, plus those since it was scheduled, at most `:max_gap_seconds`.
0 before its first attempt."""


_IS_SENT = "EXISTS (SELECT 1 FROM deliveries d WHERE d.alert_id = a.id AND d.status = 'sent')"
"""SQL condition: some channel accepted alert `a`."""


_IS_UNREPORTED = "a.page_count IS NULL AND a.folded_into_id IS NULL AND a.withdrawn_at IS NULL"
"""SQL condition: alert `a` is of a single page, valid, and part of no incident's alert."""


class UnreportedPage(NamedTuple):
    """A page of an incident that no alert of the incident reports yet."""

    alert_id: int
    url: str


class IncidentMember(NamedTuple):
    """A page that the alert of an incident reports."""

    url: str
    title: str
    publisher: str
    at: str


class IncidentMembers(NamedTuple):
    """The number of pages that the alert of an incident reports, their distinct severities, and the first pages by time, then by URL."""

    page_count: int
    severities: list[str]
    examples: list[IncidentMember]


def channels_with_due_deliveries(database: Database, now: str) -> list[str]:
    """Return the names of the channels with a delivery due at `now`."""
    return [r[0] for r in database.rows("SELECT DISTINCT channel FROM deliveries WHERE status = 'pending' AND due_at <= ?", now)]


def due_deliveries(database: Database, channel: str, now: str, limit: int) -> list[DeliveryRow]:
    """Return at most `limit` deliveries of a channel that are due at `now`, those due for longest first."""
    rows = database.rows(
        f"SELECT {_DELIVERY_COLUMNS} FROM deliveries d JOIN alerts a ON a.id = d.alert_id"
        " WHERE d.channel = ? AND d.status = 'pending' AND d.due_at <= ? ORDER BY d.due_at, d.id LIMIT ?",
        channel, now, limit,
    )  # fmt: skip
    return [DeliveryRow(*r) for r in rows]


def deliveries_scheduled_after(database: Database, now: str, limit: int) -> list[MistimedDelivery]:
    """Return pending deliveries that were scheduled later than `now`: the clock was ahead then and has been corrected since."""
    rows = database.rows(
        "SELECT d.id, d.alert_id, a.rule, d.due_at, d.digest_reason, d.last_error IS NOT NULL, d.scheduled_at"
        " FROM deliveries d JOIN alerts a ON a.id = d.alert_id WHERE d.status = 'pending' AND d.scheduled_at > ? ORDER BY d.id LIMIT ?",
        now, limit,
    )  # fmt: skip
    return [
        MistimedDelivery(delivery, alert, rule, due_at, digest_reason, bool(is_retry), scheduled_at)
        for delivery, alert, rule, due_at, digest_reason, is_retry, scheduled_at in rows
    ]


def count_sent_since(database: Database, rule: str, channel: str, since: str, now: str) -> int:
    """Count the messages of a rule that a channel accepted from `since` to `now`. Those with a later time were sent while the clock was
    ahead and do not count."""
    sql = (
        "SELECT count(DISTINCT d.message_id) FROM deliveries d JOIN alerts a ON a.id = d.alert_id"
        " WHERE d.channel = ? AND d.status = 'sent' AND d.sent_at BETWEEN ? AND ? AND a.rule = ?"
    )
    return int(database.value(sql, channel, since, now, rule))


def get(database: Database, ids: Collection[int]) -> dict[int, AlertRow]:
    """Return id → alert for the ids that exist."""
    alerts_by_id: dict[int, AlertRow] = {}
    for chunk in chunked(ids, 1000):
        for r in database.rows(f"SELECT {_ALERT_COLUMNS} FROM alerts a WHERE a.id IN ({placeholders(chunk)})", *chunk):
            alerts_by_id[r[0]] = _alert_row(r)
    return alerts_by_id


def find_by_prefix(database: Database, prefix: str) -> list[AlertRow]:
    """Return the alerts whose public id begins with `prefix`, at most two."""
    sql = f"SELECT {_ALERT_COLUMNS} FROM alerts a WHERE a.public_id >= ? AND a.public_id < ? ORDER BY a.public_id LIMIT 2"
    return [_alert_row(r) for r in database.rows(sql, prefix, prefix + "g")]  # names are hexadecimal digits


def list_latest(
    database: Database, limit: int, *, status: str | None = None, rule: str | None = None, active_only: bool = False
) -> list[AlertRow]:
    """Return at most `limit` alerts, the newest first.

    `status` selects alerts with a delivery of that status, `rule` those of one rule. `active_only` leaves out alerts that were withdrawn or
    folded into the alert of an incident.
    """
    sql = (
        f"SELECT {_ALERT_COLUMNS} FROM alerts a WHERE (?2 IS NULL OR {_HAS_DELIVERY_STATUS}) AND (?3 IS NULL OR a.rule = ?3)"
        " AND (?4 = 0 OR (a.withdrawn_at IS NULL AND a.folded_into_id IS NULL)) ORDER BY a.id DESC LIMIT ?1"
    )
    return [_alert_row(r) for r in database.rows(sql, limit, status, rule, active_only)]


def deliveries(database: Database, alerts: Collection[int]) -> dict[int, list[DeliveryRow]]:
    """Return alert → its deliveries, in the order in which they were created."""
    deliveries_by_alert: dict[int, list[DeliveryRow]] = {alert: [] for alert in alerts}
    for alert in deliveries_by_alert:
        rows = database.rows(
            f"SELECT {_DELIVERY_COLUMNS} FROM deliveries d JOIN alerts a ON a.id = d.alert_id WHERE a.id = ? ORDER BY d.id", alert
        )
        deliveries_by_alert[alert] = [DeliveryRow(*r) for r in rows]
    return deliveries_by_alert


def outstanding(database: Database) -> dict[str, OutstandingDeliveries]:
    """Return channel → its pending and dead deliveries. Channels with neither are left out."""
    rows = database.rows(
        "SELECT channel, sum(pending), min(due_at), sum(dead) FROM ("
        "SELECT channel, 1 AS pending, due_at, 0 AS dead FROM deliveries WHERE status = 'pending' UNION ALL"
        " SELECT channel, 0, NULL, 1 FROM deliveries WHERE status = 'dead') GROUP BY channel ORDER BY channel"
    )
    return {channel: OutstandingDeliveries(pending, first_due_at, dead) for channel, pending, first_due_at, dead in rows}


def withdrawn_with_prefix(database: Database, prefixes: Iterable[str]) -> set[str]:
    """Return those prefixes of event keys under which every alert was withdrawn and no alert was sent. A prefix without alerts is left
    out."""
    withdrawn = set()
    for prefix in dict.fromkeys(prefixes):
        row = database.row(
            "SELECT count(*), count(a.withdrawn_at), sum(EXISTS (SELECT 1 FROM deliveries d WHERE d.status = 'sent'"
            " AND d.alert_id IN (a.id, a.folded_into_id))) FROM alerts a WHERE a.event_key >= ?1 AND a.event_key < ?1 || char(1114111)",
            prefix,
        )
        assert row is not None
        alert_count, withdrawn_count, sent_count = row
        if alert_count and alert_count == withdrawn_count and not sent_count:
            withdrawn.add(prefix)
    return withdrawn


def find_by_event(database: Database, event_keys: Iterable[str]) -> dict[str, list[ExistingAlert]]:
    """Return event key → the alerts of that event."""
    select = (
        "SELECT a.event_key, a.id, a.rule, a.withdrawn_at, a.folded_into_id, (SELECT json_group_array(d.channel) FROM deliveries d"
        " WHERE d.alert_id = a.id) FROM wanted w CROSS JOIN alerts a ON a.event_key = w.event"
    )
    alerts_by_event: dict[str, list[ExistingAlert]] = {}
    rows = database.select_by_keys("event", ((key,) for key in event_keys), select)
    for event_key, alert, rule, withdrawn_at, folded_into_id, channels in rows:
        existing = ExistingAlert(alert, rule, withdrawn_at, folded_into_id, frozenset(json.loads(channels)))
        alerts_by_event.setdefault(event_key, []).append(existing)
    return alerts_by_event


def insert(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Insert alerts: rows (id, public_id, rule, event_key, topic, kind, severity, url, title, publisher, at, details, payload, created_at,
    incident), with `details` and `payload` as JSON."""
    transaction.execute_many(
        "INSERT INTO alerts (id, public_id, rule, event_key, topic, kind, severity, url, title, publisher, at, details, payload,"
        " created_at, incident) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def insert_deliveries(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Insert pending deliveries: rows (alert_id, channel, due_at, digest_reason, scheduled_at)."""
    transaction.execute_many(
        "INSERT INTO deliveries (alert_id, channel, status, due_at, digest_reason, attempts, scheduled_at)"
        " VALUES (?, ?, 'pending', ?, ?, 0, ?)",
        rows,
    )


def revive(transaction: Transaction, alert: int, payload: str) -> None:
    """Undo the withdrawal of an alert whose event is true again, and replace its payload."""
    transaction.execute("UPDATE alerts SET withdrawn_at = NULL, payload = ? WHERE id = ?", payload, alert)


def requeue_withdrawn(transaction: Transaction, alert: int, due_at: str, digest_reason: str | None, now: str) -> None:
    """Re-queue the withdrawn, never-sent deliveries of an alert and detach it from its incident."""
    transaction.execute("UPDATE alerts SET folded_into_id = NULL WHERE id = ?", alert)
    transaction.execute(
        "UPDATE deliveries SET status = 'pending', due_at = ?, digest_reason = ?, attempts = 0, first_attempt_at = NULL, last_error = NULL,"
        " scheduled_at = ?, retry_seconds = 0 WHERE alert_id = ? AND status = 'withdrawn'",
        due_at, digest_reason, now, alert,
    )  # fmt: skip


def withdraw(transaction: Transaction, alerts: Iterable[int], at: str) -> int:
    """Withdraw alerts whose event is no longer true. Returns the number of pending deliveries that are withdrawn with them."""
    ids = [(a,) for a in alerts]
    transaction.execute_many("UPDATE alerts SET withdrawn_at = ? WHERE id = ?", ((at, a) for (a,) in ids))
    return _withdraw_deliveries(transaction, ids)


def _withdraw_deliveries(transaction: Transaction, ids: Iterable[tuple[int]]) -> int:
    return transaction.execute_many("UPDATE deliveries SET status = 'withdrawn' WHERE alert_id = ? AND status = 'pending'", ids)


def unreported_pages_of_incident(database: Database, rule: str, incident: str, since: str) -> list[UnreportedPage]:
    """Return the pages of an incident whose alerts were created since then and that no alert of the incident reports."""
    sql = f"SELECT a.id, a.url FROM alerts a WHERE a.incident = ? AND a.rule = ? AND a.created_at >= ? AND {_IS_UNREPORTED}"
    return [UnreportedPage(*r) for r in database.rows(sql, incident, rule, since)]


def latest_of_incident(database: Database, rule: str, incident: str) -> IncidentState | None:
    """Return the state of the newest alert of an incident, None if the incident was not reported yet."""
    row = database.row(
        "SELECT a.id, a.open_until, (SELECT count(*) FROM alerts b WHERE b.incident = a.incident AND b.rule = a.rule"
        f" AND b.page_count IS NOT NULL), {_IS_SENT} FROM alerts a WHERE a.incident = ? AND a.rule = ? AND a.page_count IS NOT NULL"
        " ORDER BY a.id DESC LIMIT 1",
        incident, rule,
    )  # fmt: skip
    if row is None:
        return None
    alert, open_until, report_count, is_sent = row
    return IncidentState(alert, open_until, report_count, bool(is_sent))


def open_incident(transaction: Transaction, alert: int, open_until: str) -> None:
    """Turn an alert into the alert of an incident, which collects further pages until `open_until`."""
    transaction.execute("UPDATE alerts SET page_count = 0, open_until = ? WHERE id = ?", open_until, alert)


def fold_into_incident(transaction: Transaction, alerts: Collection[int], incident: int) -> None:
    """Make alerts part of the alert of an incident. Their pending deliveries are withdrawn."""
    transaction.execute_many("UPDATE alerts SET folded_into_id = ? WHERE id = ?", ((incident, a) for a in alerts))
    _withdraw_deliveries(transaction, ((a,) for a in alerts))


def was_incident_open(database: Database, incident: int, at: str) -> bool:
    """Return whether the alert of an incident collected further pages at that time."""
    return bool(database.value("SELECT open_until > ? FROM alerts WHERE id = ?", at, incident))


def is_incident_open(database: Database, incident: int, now: str) -> bool:
    """Return whether the alert of an incident still collects pages. It does not once a channel accepted it, whatever the clock says."""
    return bool(database.value(f"SELECT a.open_until > ? AND NOT {_IS_SENT} FROM alerts a WHERE a.id = ?", now, incident))


def incident_members(database: Database, incident: int, limit: int) -> IncidentMembers:
    """Return the pages that the alert of an incident reports, with at most `limit` examples."""
    where = "FROM alerts WHERE folded_into_id = ? AND withdrawn_at IS NULL"
    rows = database.rows(f"SELECT url, title, publisher, at {where} ORDER BY at, url LIMIT ?", incident, limit)
    return IncidentMembers(
        page_count=int(database.value(f"SELECT count(DISTINCT url) {where}", incident)),
        severities=[severity for (severity,) in database.rows(f"SELECT DISTINCT severity {where}", incident)],
        examples=[IncidentMember(*r) for r in rows],
    )


def set_incident_members(transaction: Transaction, incident: int, page_count: int, severity: str, payload: str) -> None:
    """Update the alert of an incident to its current pages. An alert that was withdrawn becomes valid again."""
    transaction.execute(
        "UPDATE alerts SET page_count = ?, severity = ?, payload = ?, withdrawn_at = NULL WHERE id = ?",
        page_count, severity, payload, incident,
    )  # fmt: skip


def mark_sent(transaction: Transaction, deliveries: Iterable[int], at: str, message_id: str) -> None:
    """Record that a channel accepted deliveries in a message with that id. A delivery withdrawn meanwhile counts as sent too."""
    transaction.execute_many(
        "UPDATE deliveries SET status = 'sent', sent_at = ?, last_attempt_at = ?, first_attempt_at = coalesce(first_attempt_at, ?),"
        " attempts = attempts + 1, last_error = NULL, message_id = ? WHERE id = ?",
        ((at, at, at, message_id, d) for d in deliveries),
    )


def mark_failed(
    transaction: Transaction, deliveries: Iterable[int], at: str, error: str, due_at: str, max_gap_seconds: int, give_up_seconds: int
) -> None:
    """Record a failed attempt; the next one is at `due_at`.

    A delivery becomes dead once more than `give_up_seconds` were spent on retrying it. Between two attempts at most `max_gap_seconds`
    count.
    """
    transaction.connection.executemany(
        "UPDATE deliveries SET attempts = attempts + 1, last_attempt_at = :now, first_attempt_at = coalesce(first_attempt_at, :now),"
        f" last_error = :error, due_at = :due_at, scheduled_at = :now, retry_seconds = {_RETRY_SECONDS},"
        f" status = CASE WHEN {_RETRY_SECONDS} > :give_up_seconds THEN 'dead' ELSE status END WHERE id = :id AND status = 'pending'",
        (
            {"now": at, "error": error, "due_at": due_at, "max_gap_seconds": max_gap_seconds, "give_up_seconds": give_up_seconds, "id": d}
            for d in deliveries
        ),
    )


def postpone_channel(
    transaction: Transaction, channel: str, now: str, error: str, due_at: str, max_gap_seconds: int, give_up_seconds: int
) -> None:
    """Postpone all deliveries of a channel that are due at `now`, without an attempt, because the channel accepts nothing. They become dead
    as in `mark_failed`."""
    transaction.connection.execute(
        "UPDATE deliveries SET first_attempt_at = coalesce(first_attempt_at, :now), last_error = :error, due_at = :due_at,"
        f" scheduled_at = :now, retry_seconds = {_RETRY_SECONDS}, status = CASE WHEN {_RETRY_SECONDS} > :give_up_seconds THEN 'dead'"
        " ELSE status END WHERE channel = :channel AND status = 'pending' AND due_at <= :now",
        {
            "now": now,
            "error": error,
            "due_at": due_at,
            "max_gap_seconds": max_gap_seconds,
            "give_up_seconds": give_up_seconds,
            "channel": channel,
        },
    )


def postpone(transaction: Transaction, deliveries: Iterable[int], due_at: str, digest_reason: str, now: str, max_gap_seconds: int) -> None:
    """Move deliveries to a digest at `due_at`. Of the time since they were scheduled at most `max_gap_seconds` count as retrying."""
    transaction.connection.executemany(
        f"UPDATE deliveries SET due_at = :due_at, digest_reason = :digest_reason, retry_seconds = {_RETRY_SECONDS}, scheduled_at = :now"
        " WHERE id = :id",
        ({"due_at": due_at, "digest_reason": digest_reason, "now": now, "max_gap_seconds": max_gap_seconds, "id": d} for d in deliveries),
    )


def reschedule(transaction: Transaction, delivery: int, alert: int, due_at: str, now: str) -> None:
    """Replace a due time that was set while the clock was ahead. The alert of an incident collects pages until the new one."""
    transaction.execute("UPDATE deliveries SET due_at = ?, scheduled_at = ? WHERE id = ?", due_at, now, delivery)
    transaction.execute("UPDATE alerts SET open_until = ? WHERE id = ? AND page_count IS NOT NULL", due_at, alert)


def retry(transaction: Transaction, now: str, alerts: Collection[int] | None = None) -> int:
    """Make the dead deliveries of all alerts due now, or with `alerts` the dead and pending ones of these. Returns how many."""
    sql = (
        "UPDATE deliveries SET status = 'pending', due_at = ?1, scheduled_at = ?1, retry_seconds = 0, attempts = 0,"
        " first_attempt_at = NULL WHERE (status = 'dead' OR (?2 IS NOT NULL AND status = 'pending')) AND (?2 IS NULL OR alert_id = ?2)"
    )
    return transaction.execute_many(sql, ((now, a) for a in (alerts if alerts is not None else [None])))


def newest_of_channel(database: Database, channel: str, limit: int, in_flight: Collection[int] = ()) -> list[AlertRow]:
    """Return the newest `limit` alerts of a channel, newest first: those that it has accepted, and those of the deliveries `in_flight`.

    The order is that of insertion: a clock that was ahead does not change it.
    """
    ids = list(in_flight)
    rows = database.rows(
        "SELECT alert_id FROM deliveries NOT INDEXED"  # from the newest row backwards: few of many rows are read
        f" WHERE channel = ? AND (status = 'sent' OR id IN ({placeholders(ids)})) ORDER BY id DESC LIMIT ?",
        channel, *ids, limit,
    )  # fmt: skip
    alerts_by_id = get(database, [r[0] for r in rows])
    return [alerts_by_id[r[0]] for r in rows]


def _alert_row(row: Row) -> AlertRow:
    names = (field.name for field in fields(AlertRow))
    values = dict(zip(names, row, strict=True))
    return AlertRow(**{**values, "details": json.loads(values["details"]), "payload": json.loads(values["payload"])})


def as_json(value: Any) -> str:
    """Return the JSON that is stored for a value. A lone surrogate, which UTF-8 cannot encode, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace").decode()

"""Alerts and their deliveries: the outbox as rows."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from more_itertools import chunked

from dedup.store.database import Database, Row, Transaction, placeholders
from dedup.store.rows import AlertRow, DeliveryRow, ExistingAlert, IncidentState, MistimedDelivery, OutstandingDeliveries

_ALERT_COLUMNS = (
    "a.id, a.public_id, a.rule, a.event_key, a.topic, a.kind, a.severity, a.url, a.title, a.publisher, a.at, a.details, a.payload,"
    " a.created_at,"
    " a.withdrawn_at, a.incident, a.page_count, a.open_until, a.folded_into_id"
)


_DELIVERY_COLUMNS = (
    "d.id, d.alert_id, a.rule, d.channel, d.status, d.due_at, d.digest_reason, d.attempts, d.first_attempt_at, d.last_attempt_at,"
    " d.last_error,"
    " d.sent_at, d.message_id"
)


_HAS_DELIVERY_STATUS = "EXISTS (SELECT 1 FROM deliveries d WHERE d.alert_id = a.id AND d.status = ?2)"


_RETRY_SECONDS = (
    "CASE WHEN first_attempt_at IS NULL THEN 0 ELSE retry_seconds + max(0, min(:max_gap_seconds,"
    " coalesce(CAST(strftime('%s', :now) AS INTEGER) - CAST(strftime('%s', scheduled_at) AS INTEGER), 0))) END"
)
"""Of a delivery: seconds since its first attempt, with those since it was scheduled, of which at most `:most` count."""


_IS_SENT = "EXISTS (SELECT 1 FROM deliveries d WHERE d.alert_id = a.id AND d.status = 'sent')"
"""Whether a channel has taken an alert."""


_IS_UNREPORTED = "a.page_count IS NULL AND a.folded_into_id IS NULL AND a.withdrawn_at IS NULL"


def channels_with_due_deliveries(database: Database, now: str) -> list[str]:
    """Names of the channels for which something is due."""
    return [r[0] for r in database.rows("SELECT DISTINCT channel FROM deliveries WHERE status = 'pending' AND due_at <= ?", now)]


def due_deliveries(database: Database, channel: str, now: str, limit: int) -> list[DeliveryRow]:
    """Deliveries that are due, what has been due for longest first."""
    rows = database.rows(
        f"SELECT {_DELIVERY_COLUMNS} FROM deliveries d JOIN alerts a ON a.id = d.alert_id"
        " WHERE d.channel = ? AND d.status = 'pending' AND d.due_at <= ? ORDER BY d.due_at, d.id LIMIT ?",
        channel, now, limit,
    )  # fmt: skip
    return [DeliveryRow(*r) for r in rows]


def deliveries_scheduled_after(database: Database, now: str, limit: int) -> list[MistimedDelivery]:
    """Pending deliveries whose due time was set later than now: the clock was ahead then, and has been set right."""
    rows = database.rows(
        "SELECT d.id, d.alert_id, a.rule, d.due_at, d.digest_reason, d.last_error IS NOT NULL, d.scheduled_at"
        " FROM deliveries d JOIN alerts a ON a.id = d.alert_id WHERE d.status = 'pending' AND d.scheduled_at > ? ORDER BY d.id LIMIT ?",
        now, limit,
    )  # fmt: skip
    return [MistimedDelivery(r[0], r[1], r[2], r[3], r[4], bool(r[5]), r[6]) for r in rows]


def count_sent_since(database: Database, rule: str, channel: str, since: str, now: str) -> int:
    """How many messages of a rule a channel has taken since then; none that it took later than now, by a clock that was ahead."""
    sql = (
        "SELECT count(DISTINCT d.message_id) FROM deliveries d JOIN alerts a ON a.id = d.alert_id"
        " WHERE d.channel = ? AND d.status = 'sent' AND d.sent_at BETWEEN ? AND ? AND a.rule = ?"
    )
    return int(database.value(sql, channel, since, now, rule))


def get(database: Database, ids: Collection[int]) -> dict[int, AlertRow]:
    """Alerts by their keys."""
    alerts_by_id: dict[int, AlertRow] = {}
    for chunk in chunked(ids, 1000):
        for r in database.rows(f"SELECT {_ALERT_COLUMNS} FROM alerts a WHERE a.id IN ({placeholders(chunk)})", *chunk):
            alerts_by_id[r[0]] = _alert_row(r)
    return alerts_by_id


def find_by_prefix(database: Database, prefix: str) -> list[AlertRow]:
    """Alerts whose name begins so, two at most."""
    sql = f"SELECT {_ALERT_COLUMNS} FROM alerts a WHERE a.public_id >= ? AND a.public_id < ? ORDER BY a.public_id LIMIT 2"
    return [_alert_row(r) for r in database.rows(sql, prefix, prefix + "g")]  # names are hexadecimal digits


def list_latest(
    database: Database, limit: int, *, status: str | None = None, rule: str | None = None, active_only: bool = False
) -> list[AlertRow]:
    """The alerts made last, the newest first: those with a delivery in that state, those of that rule, or all; `active_only`: without
    those that were withdrawn or are told as part of an incident."""
    sql = (
        f"SELECT {_ALERT_COLUMNS} FROM alerts a WHERE (?2 IS NULL OR {_HAS_DELIVERY_STATUS}) AND (?3 IS NULL OR a.rule = ?3)"
        " AND (?4 = 0 OR (a.withdrawn_at IS NULL AND a.folded_into_id IS NULL)) ORDER BY a.id DESC LIMIT ?1"
    )
    return [_alert_row(r) for r in database.rows(sql, limit, status, rule, active_only)]


def deliveries(database: Database, alerts: Collection[int]) -> dict[int, list[DeliveryRow]]:
    """Alert → its deliveries."""
    deliveries_by_alert: dict[int, list[DeliveryRow]] = {alert: [] for alert in alerts}
    for alert in deliveries_by_alert:
        rows = database.rows(
            f"SELECT {_DELIVERY_COLUMNS} FROM deliveries d JOIN alerts a ON a.id = d.alert_id WHERE a.id = ? ORDER BY d.id", alert
        )
        deliveries_by_alert[alert] = [DeliveryRow(*r) for r in rows]
    return deliveries_by_alert


def outstanding(database: Database) -> dict[str, OutstandingDeliveries]:
    """Channel → what is on its way to it, or could not be delivered; channels without either are left out."""
    rows = database.rows(
        "SELECT channel, sum(pending), min(due_at), sum(dead) FROM ("
        "SELECT channel, 1 AS pending, due_at, 0 AS dead FROM deliveries WHERE status = 'pending' UNION ALL"
        " SELECT channel, 0, NULL, 1 FROM deliveries WHERE status = 'dead') GROUP BY channel ORDER BY channel"
    )
    return {r[0]: OutstandingDeliveries(r[1], r[2], r[3]) for r in rows}


def withdrawn_with_prefix(database: Database, prefixes: Iterable[str]) -> set[str]:
    """Those of the beginnings of event keys for which an alert was withdrawn before any channel took it, and none was sent."""
    withdrawn = set()
    for prefix in dict.fromkeys(prefixes):
        row = database.row(
            "SELECT count(*), count(a.withdrawn_at), sum(EXISTS (SELECT 1 FROM deliveries d WHERE d.status = 'sent'"
            " AND d.alert_id IN (a.id, a.folded_into_id))) FROM alerts a WHERE a.event_key >= ?1 AND a.event_key < ?1 || char(1114111)",
            prefix,
        )
        if row and row[0] and row[0] == row[1] and not row[2]:
            withdrawn.add(prefix)
    return withdrawn


def find_by_event(database: Database, event_keys: Iterable[str]) -> dict[str, list[ExistingAlert]]:
    """Event → the alerts that tell of it."""
    select = (
        "SELECT a.event_key, a.id, a.rule, a.withdrawn_at, a.folded_into_id, (SELECT json_group_array(d.channel) FROM deliveries d"
        " WHERE d.alert_id = a.id) FROM wanted w CROSS JOIN alerts a ON a.event_key = w.event"
    )
    alerts_by_event: dict[str, list[ExistingAlert]] = {}
    for r in database.select_by_keys("event", ((e,) for e in event_keys), select):
        alerts_by_event.setdefault(r[0], []).append(ExistingAlert(r[1], r[2], r[3], r[4], frozenset(json.loads(r[5]))))
    return alerts_by_event


def insert(transaction: Transaction, rows: Iterable[Row]) -> None:
    """(alert, name, rule, event, topic, kind, severity, url, title, publisher, at, details, told, made_at, incident)"""
    transaction.execute_many(
        "INSERT INTO alerts (id, public_id, rule, event_key, topic, kind, severity, url, title, publisher, at, details, payload,"
        " created_at, incident)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def insert_deliveries(transaction: Transaction, rows: Iterable[Row]) -> None:
    """(alert, channel, due_at, why in a digest, now)"""
    transaction.execute_many(
        "INSERT INTO deliveries (alert_id, channel, status, due_at, digest_reason, attempts, scheduled_at)"
        " VALUES (?, ?, 'pending', ?, ?, 0, ?)",
        rows,
    )


def revive(transaction: Transaction, alert: int, payload: str) -> None:
    """What an alert tells of is so again."""
    transaction.execute("UPDATE alerts SET withdrawn_at = NULL, payload = ? WHERE id = ?", payload, alert)


def requeue_withdrawn(transaction: Transaction, alert: int, due_at: str, digest_reason: str | None, now: str) -> None:
    """What was withdrawn of an alert before it was sent is to be sent; it stands by itself again."""
    transaction.execute("UPDATE alerts SET folded_into_id = NULL WHERE id = ?", alert)
    transaction.execute(
        "UPDATE deliveries SET status = 'pending', due_at = ?, digest_reason = ?, attempts = 0, first_attempt_at = NULL, last_error = NULL,"
        " scheduled_at = ?, retry_seconds = 0 WHERE alert_id = ? AND status = 'withdrawn'",
        due_at, digest_reason, now, alert,
    )  # fmt: skip


def withdraw(transaction: Transaction, alerts: Iterable[int], at: str) -> int:
    """What alerts tell of is not so any more; returns the number of deliveries that are not made for it."""
    ids = [(a,) for a in alerts]
    transaction.execute_many("UPDATE alerts SET withdrawn_at = ? WHERE id = ?", ((at, a) for (a,) in ids))
    return _withdraw_deliveries(transaction, ids)


def _withdraw_deliveries(transaction: Transaction, ids: Iterable[tuple[int]]) -> int:
    changes_before = transaction.connection.total_changes
    transaction.execute_many("UPDATE deliveries SET status = 'withdrawn' WHERE alert_id = ? AND status = 'pending'", ids)
    return transaction.connection.total_changes - changes_before


def unreported_pages_of_incident(database: Database, rule: str, incident: str, since: str) -> list[tuple[int, str]]:
    """(alert, URL) of those made since then that no alert of the incident tells of."""
    sql = f"SELECT a.id, a.url FROM alerts a WHERE a.incident = ? AND a.rule = ? AND a.created_at >= ? AND {_IS_UNREPORTED}"
    return [(r[0], r[1]) for r in database.rows(sql, incident, rule, since)]


def latest_of_incident(database: Database, rule: str, incident: str) -> IncidentState | None:
    """What was told last of an incident; None: nothing yet."""
    row = database.row(
        "SELECT a.id, a.open_until, (SELECT count(*) FROM alerts b WHERE b.incident = a.incident AND b.rule = a.rule"
        f" AND b.page_count IS NOT NULL), {_IS_SENT} FROM alerts a WHERE a.incident = ? AND a.rule = ? AND a.page_count IS NOT NULL"
        " ORDER BY a.id DESC LIMIT 1",
        incident, rule,
    )  # fmt: skip
    return IncidentState(row[0], row[1], row[2], bool(row[3])) if row else None


def open_incident(transaction: Transaction, alert: int, open_until: str) -> None:
    """An alert tells of an incident, which further pages join until then."""
    transaction.execute("UPDATE alerts SET page_count = 0, open_until = ? WHERE id = ?", open_until, alert)


def fold_into_incident(transaction: Transaction, alerts: Collection[int], incident: int) -> None:
    """The alert of an incident tells of what these tell of; what of them was not sent is not."""
    transaction.execute_many("UPDATE alerts SET folded_into_id = ? WHERE id = ?", ((incident, a) for a in alerts))
    _withdraw_deliveries(transaction, ((a,) for a in alerts))


def was_incident_open(database: Database, incident: int, at: str) -> bool:
    """Whether further pages joined an incident's alert at that time."""
    return bool(database.value("SELECT open_until > ? FROM alerts WHERE id = ?", at, incident))


def is_incident_open(database: Database, incident: int, now: str) -> bool:
    """Whether further pages join an incident's alert. Once a channel has taken it none do, whatever the clock says."""
    return bool(database.value(f"SELECT a.open_until > ? AND NOT {_IS_SENT} FROM alerts a WHERE a.id = ?", now, incident))


def incident_members(database: Database, incident: int, limit: int) -> tuple[int, list[str], list[Row]]:
    """(pages, severities, (URL, title, publisher, time) of the first) that an incident's alert tells of."""
    where = "FROM alerts WHERE folded_into_id = ? AND withdrawn_at IS NULL"
    pages = int(database.value(f"SELECT count(DISTINCT url) {where}", incident))
    severities = [r[0] for r in database.rows(f"SELECT DISTINCT severity {where}", incident)]
    return pages, severities, database.rows(f"SELECT url, title, publisher, at {where} ORDER BY at, url LIMIT ?", incident, limit)


def set_incident_members(transaction: Transaction, incident: int, page_count: int, severity: str, payload: str) -> None:
    """What the alert of an incident tells, as it stands."""
    transaction.execute(
        "UPDATE alerts SET page_count = ?, severity = ?, payload = ?, withdrawn_at = NULL WHERE id = ?",
        page_count,
        severity,
        payload,
        incident,
    )


def mark_sent(transaction: Transaction, deliveries: Iterable[int], at: str, message_id: str) -> None:
    """A channel has taken them in a message of that name. What was withdrawn meanwhile was sent all the same."""
    transaction.execute_many(
        "UPDATE deliveries SET status = 'sent', sent_at = ?, last_attempt_at = ?, first_attempt_at = coalesce(first_attempt_at, ?),"
        " attempts = attempts + 1, last_error = NULL, message_id = ? WHERE id = ?",
        ((at, at, at, message_id, d) for d in deliveries),
    )


def mark_failed(
    transaction: Transaction, deliveries: Iterable[int], at: str, error: str, due_at: str, max_gap_seconds: int, give_up_seconds: int
) -> None:
    """A channel has not taken them: to be tried again at `due_at`. They are dead after `give_up_seconds` seconds of trying, of which at
    most `max_gap_seconds` count between two attempts."""
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
    """What else is due of a channel that takes nothing is put off without an attempt of its own; it is dead as in `mark_failed`."""
    transaction.connection.execute(
        "UPDATE deliveries SET first_attempt_at = coalesce(first_attempt_at, :now), last_error = :error, due_at = :due_at,"
        f" scheduled_at = :now, retry_seconds = {_RETRY_SECONDS}, status = CASE WHEN {_RETRY_SECONDS} > :give_up_seconds THEN 'dead'"
        " ELSE status END"
        " WHERE channel = :channel AND status = 'pending' AND due_at <= :now",
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
    """To be told at another time, in a digest; of the time since they were scheduled at most `max_gap_seconds` seconds count as tried."""
    transaction.connection.executemany(
        f"UPDATE deliveries SET due_at = :due_at, digest_reason = :digest_reason, retry_seconds = {_RETRY_SECONDS}, scheduled_at = :now"
        " WHERE id = :id",
        ({"due_at": due_at, "digest_reason": digest_reason, "now": now, "max_gap_seconds": max_gap_seconds, "id": d} for d in deliveries),
    )


def reschedule(transaction: Transaction, delivery: int, alert: int, due_at: str, now: str) -> None:
    """Another due time, in place of one that was set by a clock that was ahead. An incident gathers pages until then."""
    transaction.execute("UPDATE deliveries SET due_at = ?, scheduled_at = ? WHERE id = ?", due_at, now, delivery)
    transaction.execute("UPDATE alerts SET open_until = ? WHERE id = ? AND page_count IS NOT NULL", due_at, alert)


def retry(transaction: Transaction, now: str, alerts: Collection[int] | None = None) -> int:
    """Send now what is dead, and of these alerts what waits too; of all alerts where none are named. Returns how many."""
    changes_before = transaction.connection.total_changes
    sql = (
        "UPDATE deliveries SET status = 'pending', due_at = ?1, scheduled_at = ?1, retry_seconds = 0, attempts = 0,"
        " first_attempt_at = NULL"
        " WHERE (status = 'dead' OR (?2 IS NOT NULL AND status = 'pending')) AND (?2 IS NULL OR alert_id = ?2)"
    )
    transaction.execute_many(sql, ((now, a) for a in (alerts if alerts is not None else [None])))
    return transaction.connection.total_changes - changes_before


def _alert_row(r: tuple[Any, ...]) -> AlertRow:
    values = list(r)
    values[11:13] = json.loads(r[11]), json.loads(r[12])
    return AlertRow(*values)


def as_json(value: Any) -> str:
    """As it is stored. What no encoding has (half of a surrogate pair) becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace").decode()

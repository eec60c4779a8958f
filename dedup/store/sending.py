"""What the one writer does to the outbox, within transactions: alerts and deliveries written, withdrawn, marked."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from dedup.store.lookups import Lookups, Row
from dedup.store.rows import KnownAlert, Told

_WAITED = (
    "CASE WHEN first_attempt IS NULL THEN 0 ELSE waited_seconds + max(0, min(:most,"
    " coalesce(CAST(strftime('%s', :now) AS INTEGER) - CAST(strftime('%s', scheduled_at) AS INTEGER), 0))) END"
)
"""Of a delivery: seconds since its first attempt, with those since it was scheduled, of which at most `:most` count."""
_SENT = "EXISTS (SELECT 1 FROM deliveries d WHERE d.alert_id = a.id AND d.state = 'sent')"
"""Whether a channel has taken an alert."""
_UNTOLD = "a.pages IS NULL AND a.folded_into IS NULL AND a.withdrawn_at IS NULL"


class Sending(Lookups):
    """Changes of the outbox; all of it is to be done within a transaction."""

    def _many(self, sql: str, rows: Iterable[Row]) -> None:
        self._connection.executemany(sql, rows)

    def known_alerts(self, events: Iterable[str]) -> dict[str, list[KnownAlert]]:
        """Event → the alerts that tell of it."""
        select = (
            "SELECT a.event, a.id, a.rule, a.withdrawn_at, a.folded_into, (SELECT json_group_array(d.channel) FROM deliveries d"
            " WHERE d.alert_id = a.id) FROM wanted w CROSS JOIN alerts a ON a.event = w.event"
        )
        found: dict[str, list[KnownAlert]] = {}
        for r in self._wanted("event", ((e,) for e in events), select):
            found.setdefault(r[0], []).append(KnownAlert(r[1], r[2], r[3], r[4], frozenset(json.loads(r[5]))))
        return found

    def insert_alerts(self, rows: Iterable[Row]) -> None:
        """(alert, name, rule, event, topic, kind, severity, url, title, publisher, at, details, told, made_at, incident)"""
        self._many(
            "INSERT INTO alerts (id, name, rule, event, topic, kind, severity, url, title, publisher, at, details, told, made_at, incident)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def insert_deliveries(self, rows: Iterable[Row]) -> None:
        """(alert, channel, due_at, why in a digest, now)"""
        self._many(
            "INSERT INTO deliveries (alert_id, channel, state, due_at, digest, attempts, scheduled_at)"
            " VALUES (?, ?, 'pending', ?, ?, 0, ?)",
            rows,
        )

    def revive(self, alert: int, told: str) -> None:
        """What an alert tells of is so again."""
        self._execute("UPDATE alerts SET withdrawn_at = NULL, told = ? WHERE id = ?", told, alert)

    def send_after_all(self, alert: int, due_at: str, digest: str | None, now: str) -> None:
        """What was withdrawn of an alert before it was sent is to be sent; it stands by itself again."""
        self._execute("UPDATE alerts SET folded_into = NULL WHERE id = ?", alert)
        self._execute(
            "UPDATE deliveries SET state = 'pending', due_at = ?, digest = ?, attempts = 0, first_attempt = NULL, last_error = NULL,"
            " scheduled_at = ?, waited_seconds = 0 WHERE alert_id = ? AND state = 'withdrawn'",
            due_at, digest, now, alert,
        )  # fmt: skip

    def withdraw_alerts(self, alerts: Iterable[int], at: str) -> int:
        """What alerts tell of is not so any more; returns the number of deliveries that are not made for it."""
        ids = [(a,) for a in alerts]
        self._many("UPDATE alerts SET withdrawn_at = ? WHERE id = ?", ((at, a) for (a,) in ids))
        return self._withdraw_deliveries(ids)

    def _withdraw_deliveries(self, ids: Iterable[tuple[int]]) -> int:
        before = self._connection.total_changes
        self._many("UPDATE deliveries SET state = 'withdrawn' WHERE alert_id = ? AND state = 'pending'", ids)
        return self._connection.total_changes - before

    # Incidents

    def untold_of(self, rule: str, incident: str, since: str) -> list[tuple[int, str]]:
        """(alert, URL) of those made since then that no alert of the incident tells of."""
        sql = f"SELECT a.id, a.url FROM alerts a WHERE a.incident = ? AND a.rule = ? AND a.made_at >= ? AND {_UNTOLD}"
        return [(r[0], r[1]) for r in self._all(sql, incident, rule, since)]

    def last_told_of(self, rule: str, incident: str) -> Told | None:
        """What was told last of an incident; None: nothing yet."""
        row = self._one(
            "SELECT a.id, a.open_until, (SELECT count(*) FROM alerts b WHERE b.incident = a.incident AND b.rule = a.rule"
            f" AND b.pages IS NOT NULL), {_SENT} FROM alerts a WHERE a.incident = ? AND a.rule = ? AND a.pages IS NOT NULL"
            " ORDER BY a.id DESC LIMIT 1",
            incident, rule,
        )  # fmt: skip
        return Told(row[0], row[1], row[2], bool(row[3])) if row else None

    def open_incident(self, alert: int, until: str) -> None:
        """An alert tells of an incident, which further pages join until then."""
        self._execute("UPDATE alerts SET pages = 0, open_until = ? WHERE id = ?", until, alert)

    def fold(self, alerts: Collection[int], into: int) -> None:
        """The alert of an incident tells of what these tell of; what of them was not sent is not."""
        self._many("UPDATE alerts SET folded_into = ? WHERE id = ?", ((into, a) for a in alerts))
        self._withdraw_deliveries((a,) for a in alerts)

    def was_open(self, incident: int, at: str) -> bool:
        """Whether further pages joined an incident's alert at that time."""
        return bool(self._value("SELECT open_until > ? FROM alerts WHERE id = ?", at, incident))

    def is_open(self, incident: int, now: str) -> bool:
        """Whether further pages join an incident's alert. Once a channel has taken it none do, whatever the clock says."""
        return bool(self._value(f"SELECT a.open_until > ? AND NOT {_SENT} FROM alerts a WHERE a.id = ?", now, incident))

    def members(self, incident: int, most: int) -> tuple[int, list[str], list[Row]]:
        """(pages, severities, (URL, title, publisher, time) of the first) that an incident's alert tells of."""
        where = "FROM alerts WHERE folded_into = ? AND withdrawn_at IS NULL"
        pages = int(self._value(f"SELECT count(DISTINCT url) {where}", incident))
        severities = [r[0] for r in self._all(f"SELECT DISTINCT severity {where}", incident)]
        return pages, severities, self._all(f"SELECT url, title, publisher, at {where} ORDER BY at, url LIMIT ?", incident, most)

    def set_members(self, incident: int, pages: int, severity: str, told: str) -> None:
        """What the alert of an incident tells, as it stands."""
        self._execute(
            "UPDATE alerts SET pages = ?, severity = ?, told = ?, withdrawn_at = NULL WHERE id = ?", pages, severity, told, incident
        )

    # Marks

    def mark_sent(self, deliveries: Iterable[int], at: str, message: str) -> None:
        """A channel has taken them in a message of that name. What was withdrawn meanwhile was sent all the same."""
        self._many(
            "UPDATE deliveries SET state = 'sent', sent_at = ?, last_attempt = ?, first_attempt = coalesce(first_attempt, ?),"
            " attempts = attempts + 1, last_error = NULL, message = ? WHERE id = ?",
            ((at, at, at, message, d) for d in deliveries),
        )

    def mark_failed(self, deliveries: Iterable[int], at: str, error: str, due_at: str, most: int, give_up: int) -> None:
        """A channel has not taken them: to be tried again at `due_at`. They are dead after `give_up` seconds of trying, of which at most
        `most` count between two attempts."""
        self._connection.executemany(
            "UPDATE deliveries SET attempts = attempts + 1, last_attempt = :now, first_attempt = coalesce(first_attempt, :now),"
            f" last_error = :error, due_at = :due_at, scheduled_at = :now, waited_seconds = {_WAITED},"
            f" state = CASE WHEN {_WAITED} > :give_up THEN 'dead' ELSE state END WHERE id = :id AND state = 'pending'",
            ({"now": at, "error": error, "due_at": due_at, "most": most, "give_up": give_up, "id": d} for d in deliveries),
        )

    def put_off(self, channel: str, now: str, error: str, due_at: str, most: int, give_up: int) -> None:
        """What else is due of a channel that takes nothing is put off without an attempt of its own; it is dead as in `mark_failed`."""
        self._connection.execute(
            "UPDATE deliveries SET first_attempt = coalesce(first_attempt, :now), last_error = :error, due_at = :due_at,"
            f" scheduled_at = :now, waited_seconds = {_WAITED}, state = CASE WHEN {_WAITED} > :give_up THEN 'dead' ELSE state END"
            " WHERE channel = :channel AND state = 'pending' AND due_at <= :now",
            {"now": now, "error": error, "due_at": due_at, "most": most, "give_up": give_up, "channel": channel},
        )

    def hold(self, deliveries: Iterable[int], due_at: str, digest: str, now: str, most: int) -> None:
        """To be told at another time, in a digest; of the time since they were scheduled at most `most` seconds count as tried."""
        self._connection.executemany(
            f"UPDATE deliveries SET due_at = :due_at, digest = :digest, waited_seconds = {_WAITED}, scheduled_at = :now WHERE id = :id",
            ({"due_at": due_at, "digest": digest, "now": now, "most": most, "id": d} for d in deliveries),
        )

    def reschedule(self, delivery: int, alert: int, due_at: str, now: str) -> None:
        """Another due time, in place of one that was set by a clock that was ahead. An incident gathers pages until then."""
        self._execute("UPDATE deliveries SET due_at = ?, scheduled_at = ? WHERE id = ?", due_at, now, delivery)
        self._execute("UPDATE alerts SET open_until = ? WHERE id = ? AND pages IS NOT NULL", due_at, alert)

    def retry(self, now: str, alerts: Collection[int] | None = None) -> int:
        """Send now what is dead, and of these alerts what waits too; of all alerts where none are named. Returns how many."""
        before = self._connection.total_changes
        again = (
            "UPDATE deliveries SET state = 'pending', due_at = ?1, scheduled_at = ?1, waited_seconds = 0, attempts = 0,"
            " first_attempt = NULL"
            " WHERE (state = 'dead' OR (?2 IS NOT NULL AND state = 'pending')) AND (?2 IS NULL OR alert_id = ?2)"
        )
        self._many(again, ((now, a) for a in (alerts if alerts is not None else [None])))
        return self._connection.total_changes - before


def as_json(value: Any) -> str:
    """As it is stored. What no encoding has (half of a surrogate pair) becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace").decode()

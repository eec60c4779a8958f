"""What is asked of the outbox: alerts, and how far they got."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from dedup.store.asking import Asking, marks
from dedup.store.rows import Ahead, AlertRow, DeliveryRow, Outstanding

_ALERT = (
    "a.id, a.name, a.rule, a.event, a.topic, a.kind, a.severity, a.url, a.title, a.publisher, a.at, a.details, a.told, a.made_at,"
    " a.withdrawn_at, a.incident, a.pages, a.open_until, a.folded_into"
)
_DELIVERY = (
    "d.id, d.alert_id, a.rule, d.channel, d.state, d.due_at, d.digest, d.attempts, d.first_attempt, d.last_attempt, d.last_error,"
    " d.sent_at, d.message"
)
_STATE = "EXISTS (SELECT 1 FROM deliveries d WHERE d.alert_id = a.id AND d.state = ?2)"


class Deliveries(Asking):
    """Questions about alerts and their deliveries."""

    def channels_due(self, now: str) -> list[str]:
        """Names of the channels for which something is due."""
        return [r[0] for r in self._all("SELECT DISTINCT channel FROM deliveries WHERE state = 'pending' AND due_at <= ?", now)]

    def due(self, channel: str, now: str, most: int) -> list[DeliveryRow]:
        """Deliveries that are due, what has been due for longest first."""
        rows = self._all(
            f"SELECT {_DELIVERY} FROM deliveries d JOIN alerts a ON a.id = d.alert_id"
            " WHERE d.channel = ? AND d.state = 'pending' AND d.due_at <= ? ORDER BY d.due_at, d.id LIMIT ?",
            channel, now, most,
        )  # fmt: skip
        return [DeliveryRow(*r) for r in rows]

    def scheduled_after(self, now: str, most: int) -> list[Ahead]:
        """Pending deliveries whose due time was set later than now: the clock was ahead then, and has been set right."""
        rows = self._all(
            "SELECT d.id, d.alert_id, a.rule, d.due_at, d.digest, d.last_error IS NOT NULL, d.scheduled_at"
            " FROM deliveries d JOIN alerts a ON a.id = d.alert_id WHERE d.state = 'pending' AND d.scheduled_at > ? ORDER BY d.id LIMIT ?",
            now, most,
        )  # fmt: skip
        return [Ahead(r[0], r[1], r[2], r[3], r[4], bool(r[5]), r[6]) for r in rows]

    def sent_since(self, rule: str, channel: str, since: str, now: str) -> int:
        """How many messages of a rule a channel has taken since then; none that it took later than now, by a clock that was ahead."""
        sql = (
            "SELECT count(DISTINCT d.message) FROM deliveries d JOIN alerts a ON a.id = d.alert_id"
            " WHERE d.channel = ? AND d.state = 'sent' AND d.sent_at BETWEEN ? AND ? AND a.rule = ?"
        )
        return int(self._value(sql, channel, since, now, rule))

    def alerts(self, ids: Collection[int]) -> dict[int, AlertRow]:
        """Alerts by their keys."""
        found: dict[int, AlertRow] = {}
        wanted = list(ids)
        for start in range(0, len(wanted), 1000):
            some = wanted[start : start + 1000]
            for r in self._all(f"SELECT {_ALERT} FROM alerts a WHERE a.id IN ({marks(some)})", *some):
                found[r[0]] = _alert(r)
        return found

    def alerts_named(self, beginning: str) -> list[AlertRow]:
        """Alerts whose name begins so, two at most."""
        sql = f"SELECT {_ALERT} FROM alerts a WHERE a.name >= ? AND a.name < ? ORDER BY a.name LIMIT 2"
        return [_alert(r) for r in self._all(sql, beginning, beginning + "g")]  # names are hexadecimal digits

    def latest_alerts(self, most: int, *, state: str | None = None, rule: str | None = None, standing: bool = False) -> list[AlertRow]:
        """The alerts made last, the newest first: those with a delivery in that state, those of that rule, or all; `standing`: without
        those that were withdrawn or are told as part of an incident."""
        sql = (
            f"SELECT {_ALERT} FROM alerts a WHERE (?2 IS NULL OR {_STATE}) AND (?3 IS NULL OR a.rule = ?3)"
            " AND (?4 = 0 OR (a.withdrawn_at IS NULL AND a.folded_into IS NULL)) ORDER BY a.id DESC LIMIT ?1"
        )
        return [_alert(r) for r in self._all(sql, most, state, rule, standing)]

    def deliveries_of(self, alerts: Collection[int]) -> dict[int, list[DeliveryRow]]:
        """Alert → its deliveries."""
        found: dict[int, list[DeliveryRow]] = {alert: [] for alert in alerts}
        for alert in found:
            rows = self._all(f"SELECT {_DELIVERY} FROM deliveries d JOIN alerts a ON a.id = d.alert_id WHERE a.id = ? ORDER BY d.id", alert)
            found[alert] = [DeliveryRow(*r) for r in rows]
        return found

    def outstanding(self) -> dict[str, Outstanding]:
        """Channel → what is on its way to it, or could not be delivered; channels without either are left out."""
        rows = self._all(
            "SELECT channel, sum(pending), min(due_at), sum(dead) FROM ("
            "SELECT channel, 1 AS pending, due_at, 0 AS dead FROM deliveries WHERE state = 'pending' UNION ALL"
            " SELECT channel, 0, NULL, 1 FROM deliveries WHERE state = 'dead') GROUP BY channel ORDER BY channel"
        )
        return {r[0]: Outstanding(r[1], r[2], r[3]) for r in rows}


def _alert(r: tuple[Any, ...]) -> AlertRow:
    values = list(r)
    values[11:13] = json.loads(r[11]), json.loads(r[12])
    return AlertRow(*values)

"""Events that may raise an alert, and their identity."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dedup.model import AlertTopic, Severity


@dataclass(frozen=True, slots=True)
class Event:
    """An event.

    `key`: its identity, equal whenever the same event is found again and different from any other. `kind`: one of its topic's, see
    EVENT_KINDS. `at`: ISO 8601 in UTC. `parts`: of a change, the parts that differ (`title`, `body`, `author`…). `incident`: of a
    change, equal for the same edit on other pages. `across_publishers`: of a duplicate, the other article is by another publisher.
    `size`: articles of a cluster, or a number of faults. `backlog`: it was found after a time without a scan. `payload`: what else
    a message shows, as JSON; docs/alerts.md describes its keys.
    """

    topic: AlertTopic
    key: str
    at: str
    kind: str
    severity: Severity
    url: str = ""
    title: str = ""
    publisher: str = ""
    category: str = ""
    parts: tuple[str, ...] = ()
    silent: bool = False
    corrected: bool = False
    similarity: float | None = None
    across_publishers: bool = False
    size: int = 0
    incident: str | None = None
    backlog: bool = False
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Return whether the event is a change with nothing to show: no word differs."""
        return self.topic == "change" and not any(_differing_parts(self.payload))

    def details(self) -> dict[str, Any]:
        """Return the fields that are stored with an alert as one JSON object, besides `payload`."""
        return {name: list(value) if isinstance(value := getattr(self, name), tuple) else value for name in DETAIL_FIELDS}


DETAIL_FIELDS = ("category", "parts", "silent", "corrected", "similarity", "across_publishers", "size", "backlog")
"""Names of the fields that `Event.details` returns."""


def alert_id(rule: str, key: str) -> str:
    """Return the id of an alert in the database and in messages: 32 hex digits, a function of the rule's name and the event's key."""
    return hashlib.sha256(f"{rule}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def incident_key(incident: str, number: int) -> str:
    """Return the key of the event that reports an incident for the `number`th time, from 1."""
    return f"incident:{incident}:{number}"


def _differing_parts(payload: Mapping[str, Any]) -> Iterator[bool]:
    for operations in payload.get("diff", {}).values():
        yield from (o["kind"] != "same" and bool(o["text"]) for o in operations)
    yield from (before != after for _, before, after in payload.get("fields", ()))

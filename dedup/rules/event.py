"""What may be worth telling, and what it is known by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dedup.model import AlertTopic, Severity


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `key` names it: equal whenever the same thing is met again, different from any other. `kind` is of its
    topic (see EVENT_KINDS), `at` ISO 8601 in UTC. Of a change, `parts` are what differs (`title`, `body`, `author`…), `incident` is equal
    for the same edit on other pages. Of a duplicate, `across_publishers`: the other one is of another publisher. `size` is a cluster's,
    or a number of faults. `backlog`: it was found after a time in which nobody looked. `payload` is what else a message shows, as
    JSON: docs/alerts.md describes each key."""

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
        """Whether it is a change that has nothing to show: no word of it differs."""
        return self.topic == "change" and not any(_differing_parts(self.payload))

    def details(self) -> dict[str, Any]:
        """What an alert keeps of it in one piece, beside `payload`."""
        return {name: list(value) if isinstance(value := getattr(self, name), tuple) else value for name in DETAIL_FIELDS}


DETAIL_FIELDS = ("category", "parts", "silent", "corrected", "similarity", "across_publishers", "size", "backlog")
"""Names of what an alert keeps of its event in one piece."""


def alert_id(rule: str, key: str) -> str:
    """What an alert is known by, in the database, in messages and to their receivers: 32 hex digits, the same whenever the same rule
    meets the same event."""
    return hashlib.sha256(f"{rule}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def incident_key(incident: str, number: int) -> str:
    """The key of what is told of an incident for the `number`th time, from 1."""
    return f"incident:{incident}:{number}"


def _differing_parts(payload: Mapping[str, Any]) -> Iterator[bool]:
    for operations in payload.get("diff", {}).values():
        yield from (o["kind"] != "same" and bool(o["text"]) for o in operations)
    yield from (before != after for _, before, after in payload.get("fields", ()))

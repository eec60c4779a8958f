"""Events for alerts, and an HTTP receiver on loopback."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dedup.config import AlertRuleConfig, ChangesConfig, ChannelConfig, DeliveryConfig, Settings
from dedup.rules import Event
from dedup.store import WritableDatabase, open_writable, outbox

AT = "2026-03-05T09:00:00+00:00"


def event(n: int = 1, **overrides: Any) -> Event:
    """Return a substantive change of page `n`. Keyword arguments replace fields of the event."""
    payload = {
        "diff": {
            "title": [],
            "body": [
                {"kind": "same", "text": "예산안 규모는 "},
                {"kind": "removed", "text": "638조원"},
                {"kind": "added", "text": "639조원"},
                {"kind": "same", "text": "으로 늘었다."},
            ],
        },
        "evidence": [{"kind": "amount", "before": "638조원", "after": "639조원"}],
        "crawled_at": ["2026-03-05T00:30:00+00:00", AT],
        "published_at": "2026-03-05T00:00:00+00:00",
    }
    values: dict[str, Any] = {
        "topic": "change",
        "key": f"change:{n}",
        "at": AT,
        "kind": "substantive",
        "severity": "major",
        "url": f"https://paper.example/{n}",
        "title": f"새솔시 의회, 예산안 의결 {n}",
        "publisher": "한빛일보",
        "category": "정치",
        "parts": ("body",),
        "payload": payload,
    }
    return Event(**{**values, **overrides})


def settings(channels: Mapping[str, ChannelConfig], *rules: AlertRuleConfig, incident_pages: int = 5, **delivery: Any) -> Settings:
    """Return settings with these channels. Without `rules`, one rule sends every change to all channels."""
    rules_or_default = rules or (AlertRuleConfig(name="all", on=("change",), to=tuple(channels)),)
    return Settings(
        changes=ChangesConfig(incident_pages=incident_pages),
        channels=dict(channels),
        alerts=rules_or_default,
        delivery=DeliveryConfig(**{"gather_seconds": 0.0, **delivery}),
    )


@contextmanager
def open_with_outbox(db: Path, configured: Settings, events: Iterable[Event], now: str) -> Iterator[WritableDatabase]:
    """Open a new database and write the alerts of the events to its outbox."""
    with open_writable(str(db), "test") as database:
        with database.transaction() as transaction:
            outbox.write(transaction, events, configured.alert_policy(), now)
        yield database


def rows(database: WritableDatabase, *columns: str) -> list[tuple[Any, ...]]:
    """Return columns of `alert_deliveries`, ordered by alert."""
    return database.rows(f"SELECT {', '.join(columns)} FROM alert_deliveries")


@dataclass
class ReceivedRequest:
    """A request as the receiver read it."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """An HTTP server that records POST requests. `answers` are the status codes of the next answers; after them it answers 200.
    It does not answer while `hold` is clear."""

    url: str = ""
    received: list[ReceivedRequest] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    arrival: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, number: int, seconds: float = 30) -> list[ReceivedRequest]:
        """Wait for at least `number` requests and return all."""
        with self.arrival:
            assert self.arrival.wait_for(lambda: len(self.received) >= number, seconds), len(self.received)
            return list(self.received)

    def ids(self) -> list[str]:
        """Return the ids of the received alerts, in order."""
        return [alert["id"] for request in list(self.received) for alert in request.json["alerts"]]


@contextmanager
def receiver() -> Iterator[Receiver]:
    hook = Receiver()
    hook.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if len(body) < int(self.headers["Content-Length"]):
                return  # the sender was killed while sending
            with hook.arrival:
                hook.received.append(ReceivedRequest(self.path, dict(self.headers), body))
                code = hook.answers.pop(0) if hook.answers else 200
                hook.arrival.notify_all()
            hook.hold.wait(60)
            self.send_response(code)
            if 300 <= code < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hook.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hook
    finally:
        hook.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


def free_port() -> int:
    """Return a port on loopback that no process listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])

"""Events made by hand, and receivers on loopback that alerts are sent to."""

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


def event(n: int = 1, **given: Any) -> Event:
    """A change of substance on page `n`."""
    told = {
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
        "payload": told,
    }
    return Event(**{**values, **given})


def settings(channels: Mapping[str, ChannelConfig], *rules: AlertRuleConfig, incident_pages: int = 5, **delivery: Any) -> Settings:
    """Settings with these channels, and a rule that sends every change to all of them where none is given."""
    chosen = rules or (AlertRuleConfig(name="all", on=("change",), to=tuple(channels)),)
    return Settings(
        changes=ChangesConfig(incident_pages=incident_pages),
        channels=dict(channels),
        alerts=chosen,
        delivery=DeliveryConfig(**{"gather_seconds": 0.0, **delivery}),
    )


@contextmanager
def open_with_outbox(db: Path, chosen: Settings, events: Iterable[Event], now: str) -> Iterator[WritableDatabase]:
    """A database whose outbox has what these events ask for."""
    with open_writable(str(db), "test") as database:
        with database.transaction() as transaction:
            outbox.write(transaction, events, chosen.alert_policy(), now)
        yield database


def rows(database: WritableDatabase, *columns: str) -> list[tuple[Any, ...]]:
    """Columns of `alert_deliveries`, in order of the alerts."""
    return database.rows(f"SELECT {', '.join(columns)} FROM alert_deliveries")


@dataclass
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """An HTTP server that takes what is posted; `answers` are the codes of the next answers, 200 after them. While `hold` is clear
    it does not answer at all."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    came: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, number: int, seconds: float = 30) -> list[Received]:
        """The requests, once there are so many."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.received) >= number, seconds), len(self.received)
            return list(self.received)

    def ids(self) -> list[str]:
        """Ids of the alerts that were received, in order."""
        return [alert["id"] for request in list(self.received) for alert in request.json["alerts"]]


@contextmanager
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    found.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if len(body) < int(self.headers["Content-Length"]):
                return  # whoever sent it was killed in the midst of it
            with found.came:
                found.received.append(Received(self.path, dict(self.headers), body))
                code = found.answers.pop(0) if found.answers else 200
                found.came.notify_all()
            found.hold.wait(60)
            self.send_response(code)
            if 300 <= code < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield found
    finally:
        found.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


def free_port() -> int:
    """A port on loopback that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])

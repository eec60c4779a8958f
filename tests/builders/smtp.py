"""A mail server on loopback, and a strict reader of Atom feeds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import feedparser
from aiosmtpd.controller import Controller

from dedup.config import ChannelConfig
from tests.builders.alerts import free_port


class Inbox:
    """Received mails. `answer` is the reply to the next message."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        if self.answer.startswith("250"):
            mail = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
        return self.answer


@contextmanager
def smtp() -> Iterator[tuple[Inbox, ChannelConfig]]:
    inbox, port = Inbox(), free_port()
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield inbox, ChannelConfig(kind="apprise", url=f"mailto://127.0.0.1:{port}?from=dedup@a.example&to=desk@b.example")
    finally:
        controller.stop()


def parse_feed(path: Path) -> Any:
    """Check a feed against RFC 4287 and parse it with feedparser."""
    content = path.read_bytes()
    root = ElementTree.fromstring(content)
    a = "{http://www.w3.org/2005/Atom}"
    assert root.tag == a + "feed"
    for element in (root, *root.findall(a + "entry")):
        for tag in ("id", "title", "updated"):
            assert len(element.findall(a + tag)) == 1
        assert re.fullmatch(r"tag:dedup\.invalid,2026:[0-9a-f]+|tag:dedup\.invalid,2026:feed", str(element.findtext(a + "id")))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(element.findtext(a + "updated")))
    assert root.findtext(f"{a}author/{a}name")
    assert root.find(f"{a}link[@rel='self']") is not None
    ids = [e.findtext(a + "id") for e in root.findall(a + "entry")]
    assert len(ids) == len(set(ids))
    allowed = {a + tag for tag in ("feed", "entry", "id", "title", "updated", "author", "name", "link", "content")}
    assert {e.tag for e in root.iter()} <= allowed
    parsed = feedparser.parse(content)
    assert not parsed.bozo, parsed.get("bozo_exception")
    return parsed

"""Alerts to render, message styles, and hostile text."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from dedup.alerts.content import MessageStyle
from dedup.rules import Event, alert_id
from dedup.store.rows import AlertRow
from tests.builders.alerts import AT, event

KO = MessageStyle("ko", ZoneInfo("Asia/Seoul"))


EN = MessageStyle("en", ZoneInfo("America/New_York"))


def alert(source: Event | None = None, **overrides: Any) -> AlertRow:
    e = source or event()
    payload = json.loads(json.dumps(dict(e.payload)))
    row = AlertRow(
        1, alert_id("major edits", e.key), "major edits", e.key, e.topic, e.kind, e.severity, e.url, e.title, e.publisher, e.at,
        e.details(), payload, AT,
    )  # fmt: skip
    return replace(row, **overrides)


NASTY = [
    "\x1b[31m", "a\r\nBcc: x@evil.example", "<script>alert(1)</script>", "</p><img src=x onerror=1>", "&lt;b&gt;", "&#42;x&#42;",
    "**x**", "_x_", "`x`", "[x](https://evil.example)", "<!channel>", "<@U123>", "@everyone", "@HERE", "x@channel",
    "\u202eevil", "\ufeff", "\ud800", "\uffff", "\x00",
    "~~x~~", "\\*x*", "]]>", "# x", "1. x", "> x", "- x", "<https://evil.example>", "a\u2028b", "{+x+}", "@\u2060everyone",
]  # fmt: skip


hostile = st.one_of(st.sampled_from(NASTY), st.text(max_size=30), st.text("<>&\"'@\\`*_[]()~#|!{}-+=.\r\n\t 가a1", max_size=30))


hostile = st.lists(hostile, max_size=4).map("".join)

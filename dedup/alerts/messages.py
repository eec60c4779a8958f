"""Messages: one alert, or several in a digest, in every form that a channel takes."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dedup.alerts import render
from dedup.alerts.content import MAX_DIGEST_DIFF_CHARACTERS, MessageStyle, build_section, format_subject, highest_severity
from dedup.alerts.render import MessageLine, MessagePiece, MessageSection
from dedup.store.rows import AlertRow
from dedup.text import times

MAX_DIGEST_ALERTS = 50
"""Alerts of a digest that are told in words; of the rest their number. Programs and feeds get all of them."""


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One alert for a feed; `html` is a fragment."""

    id: str
    title: str
    at: str
    url: str
    html: str


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to a channel. `id` is the same whenever the same message is sent again; `json_body` is for programs."""

    id: str
    at: str
    subject: str
    text: str
    markdown: str
    html: str
    json_body: dict[str, Any]
    entries: tuple[FeedEntry, ...] = ()


def build_message(alerts: Sequence[AlertRow], style: MessageStyle, digest_reason: str | None = None) -> Message:
    """The message for some alerts; `digest_reason` says why it is a digest, None for one alert by itself."""
    if digest_reason is None:
        (alert,) = alerts
        return _assemble_message(alert.public_id, "alert", format_subject(alert, style), [build_section(alert, style)], alerts, style)
    message_id = hashlib.sha256("\0".join(sorted(a.public_id for a in alerts)).encode()).hexdigest()[:32]
    subject_line = f"[{style.translate(highest_severity(alerts))}] {style.translate('digest', n=len(alerts))}"
    if len(alerts) == 1:
        subject_line = format_subject(alerts[0], style)
    sections = [MessageSection("", (MessageLine("", (MessagePiece("plain", style.translate(f"digest.{digest_reason}")),)),))]
    sections += [build_section(a, style, limit=MAX_DIGEST_DIFF_CHARACTERS) for a in alerts[:MAX_DIGEST_ALERTS]]
    if len(alerts) > MAX_DIGEST_ALERTS:
        sections.append(
            MessageSection("", (MessageLine("", (MessagePiece("plain", style.translate("more", n=len(alerts) - MAX_DIGEST_ALERTS)),)),))
        )
    return _assemble_message(message_id, "digest", subject_line, sections, alerts, style, digest_reason)


def build_test_message(channel: str, style: MessageStyle) -> Message:
    """What `dedup alerts test` sends."""
    lines = (MessageLine("", (MessagePiece("plain", style.translate("test.text")),)), MessageLine("", (MessagePiece("plain", channel),)))
    subject_line = f"dedup: {style.translate('test')}"
    assembled = _assemble_message(secrets.token_hex(16), "test", subject_line, [MessageSection("", lines)], (), style)
    entry = FeedEntry(assembled.id, subject_line, times.now(), "", assembled.html)
    return Message(
        assembled.id, entry.at, assembled.subject, assembled.text, assembled.markdown, assembled.html, assembled.json_body, (entry,)
    )


def alert_to_json(alert: AlertRow) -> dict[str, Any]:
    """An alert for programs: the documented form."""
    return {
        "id": alert.public_id,
        "rule": alert.rule,
        "event_key": alert.event_key,
        "topic": alert.topic,
        "kind": alert.kind,
        "severity": alert.severity,
        "url": alert.url,
        "title": alert.title,
        "publisher": alert.publisher,
        "at": alert.at,
        "created_at": alert.created_at,
        "incident": alert.incident,
        "page_count": alert.page_count,
        **alert.details,
        "payload": alert.payload,
    }


def _assemble_message(
    message_id: str,
    kind: str,
    subject_line: str,
    sections: Sequence[MessageSection],
    alerts: Sequence[AlertRow],
    style: MessageStyle,
    digest_reason: str | None = None,
) -> Message:
    text = render.to_text(sections)
    entries = tuple(
        FeedEntry(a.public_id, format_subject(a, style), a.created_at, a.url, render.to_html([build_section(a, style)])) for a in alerts
    )
    json_body = {
        "id": message_id,
        "kind": kind,
        "digest_reason": digest_reason,
        "subject": subject_line,
        "text": text,
        "alerts": [alert_to_json(a) for a in alerts],
    }
    at = max((a.created_at for a in alerts), default=times.now())
    return Message(message_id, at, subject_line, text, render.to_markdown(sections), render.to_html(sections), json_body, entries)

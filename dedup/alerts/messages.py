"""Messages: one alert, or several in a digest, in every form that a channel may need."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from dedup.alerts import render
from dedup.alerts.content import MAX_DIGEST_DIFF_CHARACTERS, MessageStyle, build_section, format_subject, highest_severity
from dedup.alerts.render import MessageLine, MessagePiece, MessageSection
from dedup.store.rows import AlertRow
from dedup.text import times

MAX_DIGEST_ALERTS = 50
"""Alerts that the text of a digest describes; the others are counted. JSON and feeds have all of them."""


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One entry of a feed. `at` is ISO 8601, `html` a fragment."""

    id: str
    title: str
    at: str
    url: str
    html: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message in every form.

    `id` depends on the alerts alone: a message that is sent again has the same id. `entries` has one entry for each alert of the message,
    `feed` is the whole feed of the channel, newest first (None: the entries of the message).
    """

    id: str
    at: str
    subject: str
    text: str
    markdown: str
    html: str
    json_body: dict[str, Any]
    entries: tuple[FeedEntry, ...] = ()
    feed: tuple[FeedEntry, ...] | None = None


@dataclass(frozen=True)
class FeedSnapshot:
    """The alerts of a feed, newest first. They are rendered at first use, and once for all messages that carry the snapshot."""

    alerts: tuple[AlertRow, ...]
    style: MessageStyle

    @cached_property
    def entries(self) -> tuple[FeedEntry, ...]:
        return tuple(build_feed_entry(alert, self.style) for alert in self.alerts)


def build_feed_entry(alert: AlertRow, style: MessageStyle) -> FeedEntry:
    """Return the feed entry of an alert. It depends on the stored alert and the style alone."""
    html = render.to_html([build_section(alert, style)])
    return FeedEntry(alert.public_id, format_subject(alert, style), alert.created_at, alert.url, html)


def build_message(alerts: Sequence[AlertRow], style: MessageStyle, digest_reason: str | None = None) -> Message:
    """Return the message of some alerts: a digest, with the reason for it, or for None the message of a single alert."""
    if digest_reason is None:
        (alert,) = alerts
        return _assemble_message(alert.public_id, "alert", format_subject(alert, style), [build_section(alert, style)], alerts, style)
    message_id = hashlib.sha256("\0".join(sorted(a.public_id for a in alerts)).encode()).hexdigest()[:32]
    subject = f"[{style.translate(highest_severity(alerts))}] {style.translate('digest', n=len(alerts))}"
    if len(alerts) == 1:
        subject = format_subject(alerts[0], style)
    sections = [_text_section(style.translate(f"digest.{digest_reason}"))]
    sections += [build_section(a, style, limit=MAX_DIGEST_DIFF_CHARACTERS) for a in alerts[:MAX_DIGEST_ALERTS]]
    if len(alerts) > MAX_DIGEST_ALERTS:
        sections.append(_text_section(style.translate("more", n=len(alerts) - MAX_DIGEST_ALERTS)))
    return _assemble_message(message_id, "digest", subject, sections, alerts, style, digest_reason)


def build_test_message(channel: str, style: MessageStyle, feed_alerts: Sequence[AlertRow] = ()) -> Message:
    """Return the message that `dedup alerts test` sends. In a feed it precedes the entries of `feed_alerts`."""
    subject = f"dedup: {style.translate('test')}"
    message_id = secrets.token_hex(16)
    message = _assemble_message(message_id, "test", subject, [_text_section(style.translate("test.text"), channel)], (), style)
    entry = FeedEntry(message_id, subject, times.now(), "", message.html)
    return replace(message, at=entry.at, entries=(entry,), feed=(entry, *FeedSnapshot(tuple(feed_alerts), style).entries))


def alert_to_json(alert: AlertRow) -> dict[str, Any]:
    """Return an alert as programs receive it (docs/alerts.md documents the keys)."""
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


def _text_section(*lines: str) -> MessageSection:
    return MessageSection("", tuple(MessageLine("", (MessagePiece("plain", line),)) for line in lines))


def _assemble_message(
    message_id: str,
    kind: str,
    subject: str,
    sections: Sequence[MessageSection],
    alerts: Sequence[AlertRow],
    style: MessageStyle,
    digest_reason: str | None = None,
) -> Message:
    text = render.to_text(sections)
    json_body = {
        "id": message_id,
        "kind": kind,
        "digest_reason": digest_reason,
        "subject": subject,
        "text": text,
        "alerts": [alert_to_json(a) for a in alerts],
    }
    at = max((a.created_at for a in alerts), default=times.now())
    entries = tuple(build_feed_entry(a, style) for a in alerts)
    return Message(message_id, at, subject, text, render.to_markdown(sections), render.to_html(sections), json_body, entries)

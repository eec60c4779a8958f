"""Messages: one alert, or several in a digest, in every form that a channel takes."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dedup.alerts import render
from dedup.alerts.content import DIFF_IN_DIGEST, Style, gravest, section, subject
from dedup.alerts.render import Line, Piece, Section
from dedup.store.rows import AlertRow
from dedup.text import times

SHOWN = 50
"""Alerts of a digest that are told in words; of the rest their number. Programs and feeds get all of them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One alert for a feed; `html` is a fragment."""

    id: str
    title: str
    at: str
    url: str
    html: str


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to a channel. `id` is the same whenever the same message is sent again; `machine` is for programs, as JSON takes it."""

    id: str
    at: str
    subject: str
    text: str
    markdown: str
    html: str
    machine: dict[str, Any]
    entries: tuple[Entry, ...] = ()


def message(alerts: Sequence[AlertRow], style: Style, why: str | None = None) -> Message:
    """The message that tells of some alerts; `why` it is a digest (see dedup.rules.Why), None where it is one alert by itself."""
    if why is None:
        (alert,) = alerts
        return _made(alert.name, "alert", subject(alert, style), [section(alert, style)], alerts, style)
    id_ = hashlib.sha256("\0".join(sorted(a.name for a in alerts)).encode()).hexdigest()[:32]
    head = f"[{style.word(gravest(alerts))}] {style.word('digest', n=len(alerts))}"
    if len(alerts) == 1:
        head = subject(alerts[0], style)
    sections = [Section("", (Line("", (Piece("plain", style.word(f"digest.{why}")),)),))]
    sections += [section(a, style, most=DIFF_IN_DIGEST) for a in alerts[:SHOWN]]
    if len(alerts) > SHOWN:
        sections.append(Section("", (Line("", (Piece("plain", style.word("more", n=len(alerts) - SHOWN)),)),)))
    return _made(id_, "digest", head, sections, alerts, style, why)


def trial(channel: str, style: Style) -> Message:
    """What `dedup alerts test` sends."""
    lines = (Line("", (Piece("plain", style.word("test.text")),)), Line("", (Piece("plain", channel),)))
    head = f"dedup: {style.word('test')}"
    made = _made(secrets.token_hex(16), "test", head, [Section("", lines)], (), style)
    entry = Entry(made.id, head, times.now(), "", made.html)
    return Message(made.id, entry.at, made.subject, made.text, made.markdown, made.html, made.machine, (entry,))


def machine(alert: AlertRow) -> dict[str, Any]:
    """An alert for programs: the documented form."""
    return {
        "id": alert.name,
        "rule": alert.rule,
        "event": alert.event,
        "topic": alert.topic,
        "kind": alert.kind,
        "severity": alert.severity,
        "url": alert.url,
        "title": alert.title,
        "publisher": alert.publisher,
        "at": alert.at,
        "made_at": alert.made_at,
        "incident": alert.incident,
        "pages": alert.pages,
        **alert.details,
        "told": alert.told,
    }


def _made(
    id_: str, kind: str, head: str, sections: Sequence[Section], alerts: Sequence[AlertRow], style: Style, why: str | None = None
) -> Message:
    text = render.text(sections)
    entries = tuple(Entry(a.name, subject(a, style), a.made_at, a.url, render.html([section(a, style)])) for a in alerts)
    told = {"id": id_, "kind": kind, "digest": why, "subject": head, "text": text, "alerts": [machine(a) for a in alerts]}
    at = max((a.made_at for a in alerts), default=times.now())
    return Message(id_, at, head, text, render.markdown(sections), render.html(sections), told, entries)

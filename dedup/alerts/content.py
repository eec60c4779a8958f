"""The content of a message: the subject and the lines that describe an alert."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from dedup.alerts.render import MessageLine, MessagePiece, MessageSection, join_pieces
from dedup.alerts.strings import STRINGS
from dedup.model import SEVERITIES, Language, Severity
from dedup.store.rows import AlertRow
from dedup.text import times
from dedup.text.sanitise import is_linkable_url, to_one_line, truncate

MAX_TITLE_CHARACTERS, MAX_VALUE_CHARACTERS = 120, 300
"""Length to which titles in subjects, and other values, are truncated."""
MAX_DIFF_CHARACTERS, MAX_DIGEST_DIFF_CHARACTERS = 2000, 400
"""Length to which a diff is truncated, in a message of one alert and in a digest."""
MAX_EVIDENCE, MAX_EXAMPLES = 8, 10
"""Pieces of evidence and further articles that a message shows at most."""


@dataclass(frozen=True, slots=True)
class MessageStyle:
    """The language of a message, and the time zone of its times."""

    language: Language
    zone: ZoneInfo

    def translate(self, key: str, **numbers: int) -> str:
        """Return the string of a key with its numbers filled in. A key without a string becomes its last part."""
        template = STRINGS[self.language].get(key)
        return (
            template.format(**{name: f"{n:,}" for name, n in numbers.items()})
            if template is not None
            else to_one_line(key.rpartition(".")[2])
        )

    def format_time(self, iso: str) -> str:
        """Return an ISO 8601 time in the zone of the message, for example `2026-03-05 09:30 KST`. Other text is returned on one line."""
        try:
            local_time = times.to_local(iso, self.zone)
            return f"{times.format_time(local_time)} {local_time.tzname()}"
        except ValueError:
            return truncate(to_one_line(iso), MAX_VALUE_CHARACTERS)


def highest_severity(alerts: Sequence[AlertRow]) -> Severity:
    """Return the highest severity of some alerts."""
    return max((a.severity for a in alerts), key=SEVERITIES.index)


def describe_kind(alert: AlertRow, style: MessageStyle) -> str:
    """Return the kind of an alert in a few words, with the number of pages, faults or articles where there is one."""
    text = style.translate(f"{alert.topic}.{alert.kind}")
    if alert.page_count is not None:
        key = "incident.update" if alert.payload.get("times", 1) > 1 else "incident"
        return f"{style.translate(key, n=alert.page_count)}, {text}"
    if alert.topic in ("faults", "cluster"):
        return f"{text} ({alert.details.get('size', 0):,})"
    return text


def format_subject(alert: AlertRow, style: MessageStyle) -> str:
    """Return the subject: severity, publisher, kind and title on one line."""
    title = truncate(to_one_line(alert.title or alert.url), MAX_TITLE_CHARACTERS)
    parts = [truncate(to_one_line(alert.publisher), 60), describe_kind(alert, style), title]
    return f"[{style.translate(alert.severity)}] " + " · ".join(part for part in parts if part)


def build_section(alert: AlertRow, style: MessageStyle, *, limit: int = MAX_DIFF_CHARACTERS) -> MessageSection:
    """Return the section that describes an alert. Diffs are truncated to `limit` characters."""
    return MessageSection(alert.title or describe_kind(alert, style), tuple(_section_lines(alert, style, limit)))


def _section_lines(alert: AlertRow, style: MessageStyle, limit: int) -> Iterator[MessageLine]:
    payload, translate = alert.payload, style.translate
    source = " · ".join(truncate(to_one_line(part), 60) for part in (alert.publisher, str(alert.details.get("category", ""))) if part)
    if source:
        yield _plain_line("", source)
    if alert.url:
        yield MessageLine("", (MessagePiece("link", alert.url),))
    marks = [translate(mark) for mark in ("silent", "corrected", "across_publishers") if alert.details.get(mark)]
    yield _plain_line(translate("classification"), ", ".join([describe_kind(alert, style), translate(alert.severity), *marks]))
    yield _plain_line(translate("when"), _format_when(alert, style))
    yield from _evidence_lines(payload, style)
    yield from _difference_lines(payload, style, limit)
    yield from _topic_lines(alert, style)
    yield from _command_line(alert, style)
    yield _plain_line(translate("rule"), truncate(to_one_line(alert.rule), 100))
    yield _plain_line(translate("id"), alert.public_id)


def _plain_line(label: str, value: str) -> MessageLine:
    return MessageLine(label, (MessagePiece("plain", value),))


def _format_when(alert: AlertRow, style: MessageStyle) -> str:
    crawled_at = alert.payload.get("crawled_at")
    text = style.format_time(alert.at)
    if isinstance(crawled_at, list) and len(crawled_at) == 2:
        text = f"{style.translate('crawled')} {style.format_time(crawled_at[0])} → {style.format_time(crawled_at[1])}"
    if published_at := alert.payload.get("published_at"):
        text += f", {style.translate('published')} {style.format_time(str(published_at))}"
    return text


def _evidence_lines(payload: Mapping[str, Any], style: MessageStyle) -> Iterator[MessageLine]:
    items = payload.get("evidence") or []
    groups = []
    for e in items[:MAX_EVIDENCE]:
        before, after = (truncate(to_one_line(e[side]), MAX_VALUE_CHARACTERS) for side in ("before", "after"))
        pieces = [MessagePiece("plain", style.translate(e["kind"]) + " ")]
        if before and before == after:
            pieces.append(MessagePiece("plain", before))
        else:
            pieces += [MessagePiece("removed", before)] if before else []
            pieces += [MessagePiece("plain", " → ")] if before and after else []
            pieces += [MessagePiece("added", after)] if after else []
        groups.append(pieces)
    if groups:
        yield MessageLine(
            style.translate("evidence"), join_pieces(groups, "; ") + ((MessagePiece("plain", "; …"),) if len(items) > MAX_EVIDENCE else ())
        )


def _difference_lines(payload: Mapping[str, Any], style: MessageStyle, limit: int) -> Iterator[MessageLine]:
    for part, operations in (payload.get("diff") or {}).items():
        pieces = tuple(_truncate_operations(operations, limit))
        if any(p.kind != "plain" for p in pieces):
            yield MessageLine(style.translate(part), pieces)
    for name, before, after in payload.get("fields") or ():
        values = [truncate(to_one_line(str(v or "")), MAX_VALUE_CHARACTERS) or style.translate("none") for v in (before, after)]
        yield MessageLine(
            style.translate(name), (MessagePiece("removed", values[0]), MessagePiece("plain", " → "), MessagePiece("added", values[1]))
        )


_PIECE_KINDS = {"removed": "removed", "moved_from": "removed", "added": "added", "moved_to": "added"}


def _truncate_operations(operations: Sequence[Mapping[str, Any]], remaining: int) -> Iterator[MessagePiece]:
    """Yield the pieces of a diff up to `remaining` characters."""
    for o in operations:
        if remaining <= 0:
            yield MessagePiece("plain", " …")
            return
        yield MessagePiece(_PIECE_KINDS.get(o["kind"], "plain"), truncate(o["text"], remaining))  # type: ignore[arg-type]  # two of its kinds, or plain
        remaining -= len(o["text"])


def _topic_lines(alert: AlertRow, style: MessageStyle) -> Iterator[MessageLine]:
    """Yield the lines that only some topics have."""
    payload, translate = alert.payload, style.translate
    if other := payload.get("other"):
        yield MessageLine(translate("other_article"), tuple(_article_pieces(other)))
    numbers = [(translate("similarity"), alert.details.get("similarity")), (translate("coverage"), payload.get("coverage"))]
    if alert.topic == "duplicate":
        for label, value in numbers:
            if value is not None:
                yield _plain_line(label, f"{value:.0%}")
    for key in ("message", "path", "claimed_digest", "computed_digest"):
        if value := payload.get(key):
            yield _plain_line(translate(key), truncate(to_one_line(str(value)), MAX_VALUE_CHARACTERS))
    if counts := payload.get("counts"):
        yield _plain_line(translate("count"), ", ".join(f"{to_one_line(str(name))} {n:,}" for name, n in counts.items()))
    articles = payload.get("examples") or payload.get("members") or []
    if articles:
        remaining = (alert.page_count or alert.details.get("size", 0)) - len(articles[:MAX_EXAMPLES])
        pieces = join_pieces([tuple(_article_pieces(a)) for a in articles[:MAX_EXAMPLES]], "; ")
        yield MessageLine(translate("members"), pieces + ((MessagePiece("plain", f"; … +{remaining:,}"),) if remaining > 0 else ()))


def _article_pieces(article: Mapping[str, Any]) -> Iterator[MessagePiece]:
    parts = [
        truncate(to_one_line(str(article.get(key) or "")), limit) for key, limit in (("publisher", 60), ("title", MAX_TITLE_CHARACTERS))
    ]
    yield MessagePiece("plain", ": ".join(part for part in parts if part) + " ")
    yield MessagePiece("link", str(article.get("url") or ""))


def _command_line(alert: AlertRow, style: MessageStyle) -> Iterator[MessageLine]:
    """Yield the line with the commands that show the details."""
    commands = [f"dedup alerts show {alert.public_id}"]
    if is_linkable_url(alert.url) and to_one_line(alert.url) == alert.url:
        commands = [f"dedup {name} {shlex.quote(alert.url)}" for name in (("diff", "history") if alert.topic == "change" else ("history",))]
    yield MessageLine(style.translate("commands"), join_pieces([(MessagePiece("code", command),) for command in commands], ", "))

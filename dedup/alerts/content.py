"""What is said of an alert: its subject, and its lines."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from dedup.alerts.render import Line, Piece, Section, joined
from dedup.alerts.strings import WORDS
from dedup.model import SEVERITIES, Language, Severity
from dedup.store.rows import AlertRow
from dedup.text import times
from dedup.text.sanitise import cut, is_address, one_line

TITLE, VALUE = 120, 300
"""Characters of a title in a subject, and of any other value, that are shown."""
DIFF, DIFF_IN_DIGEST = 2000, 400
"""Characters of a difference that are shown."""
EVIDENCE, EXAMPLES = 8, 10
"""Pieces of evidence, and further articles, that are shown."""


@dataclass(frozen=True, slots=True)
class Style:
    """In which language, and with the times of which zone."""

    language: Language
    zone: ZoneInfo

    def word(self, key: str, **numbers: int) -> str:
        """Words of our own; a key without any is shown as it is."""
        told = WORDS[self.language].get(key)
        return told.format(**{name: f"{n:,}" for name, n in numbers.items()}) if told is not None else one_line(key.rpartition(".")[2])

    def time(self, iso: str) -> str:
        """A time as people read it."""
        try:
            there = times.local(iso, self.zone)
            return f"{times.printed(there)} {there.tzname()}"
        except ValueError:
            return cut(one_line(iso), VALUE)


def gravest(alerts: Sequence[AlertRow]) -> Severity:
    """The highest severity among some alerts."""
    return max((a.severity for a in alerts), key=SEVERITIES.index)


def what(alert: AlertRow, style: Style) -> str:
    """What it is, in a few words."""
    told = style.word(f"{alert.topic}.{alert.kind}")
    if alert.pages is not None:
        return f"{style.word('incident.again' if alert.told.get('times', 1) > 1 else 'incident', n=alert.pages)}, {told}"
    if alert.topic == "faults":
        return f"{told} ({alert.details.get('size', 0):,})"
    if alert.topic == "cluster":
        return f"{told} ({alert.details.get('size', 0):,})"
    return told


def subject(alert: AlertRow, style: Style) -> str:
    """One line: how grave, whose, what, which article."""
    where = cut(one_line(alert.title or alert.url), TITLE)
    parts = [cut(one_line(alert.publisher), 60), what(alert, style), where]
    return f"[{style.word(alert.severity)}] " + " · ".join(part for part in parts if part)


def section(alert: AlertRow, style: Style, *, most: int = DIFF) -> Section:
    """All that is said of one alert; of differences `most` characters."""
    return Section(alert.title or what(alert, style), tuple(_lines(alert, style, most)))


def _lines(alert: AlertRow, style: Style, most: int) -> Iterator[Line]:
    told, word = alert.told, style.word
    whose = " · ".join(cut(one_line(part), 60) for part in (alert.publisher, str(alert.details.get("category", ""))) if part)
    if whose:
        yield _line("", whose)
    if alert.url:
        yield Line("", (Piece("link", alert.url),))
    marks = [word(mark) for mark in ("stealth", "corrected", "across") if alert.details.get(mark)]
    yield _line(word("why"), ", ".join([what(alert, style), word(alert.severity), *marks]))
    yield _line(word("when"), _when(alert, style))
    yield from _evidence(told, style)
    yield from _differences(told, style, most)
    yield from _of_topic(alert, style)
    yield from _whole(alert, style)
    yield _line(word("rule"), cut(one_line(alert.rule), 100))
    yield _line(word("id"), alert.name)


def _line(label: str, value: str) -> Line:
    return Line(label, (Piece("plain", value),))


def _when(alert: AlertRow, style: Style) -> str:
    crawled = alert.told.get("crawled_at")
    told = style.time(alert.at)
    if isinstance(crawled, list) and len(crawled) == 2:
        told = f"{style.word('crawled')} {style.time(crawled[0])} → {style.time(crawled[1])}"
    if published := alert.told.get("published_at"):
        told += f", {style.word('published')} {style.time(str(published))}"
    return told


def _evidence(told: Mapping[str, Any], style: Style) -> Iterator[Line]:
    found = told.get("evidence") or []
    groups = []
    for e in found[:EVIDENCE]:
        before, after = (cut(one_line(e[side]), VALUE) for side in ("before", "after"))
        shown = [Piece("plain", style.word(e["what"]) + " ")]
        if before and before == after:
            shown.append(Piece("plain", before))
        else:
            shown += [Piece("removed", before)] if before else []
            shown += [Piece("plain", " → ")] if before and after else []
            shown += [Piece("added", after)] if after else []
        groups.append(shown)
    if groups:
        yield Line(style.word("evidence"), joined(groups, "; ") + ((Piece("plain", "; …"),) if len(found) > EVIDENCE else ()))


def _differences(told: Mapping[str, Any], style: Style, most: int) -> Iterator[Line]:
    for part, operations in (told.get("diff") or {}).items():
        pieces = tuple(_cut_operations(operations, most))
        if any(p.kind != "plain" for p in pieces):
            yield Line(style.word(part), pieces)
    for name, before, after in told.get("fields") or ():
        values = [cut(one_line(str(v or "")), VALUE) or style.word("none") for v in (before, after)]
        yield Line(style.word(name), (Piece("removed", values[0]), Piece("plain", " → "), Piece("added", values[1])))


_KINDS = {"removed": "removed", "moved_from": "removed", "added": "added", "moved_to": "added"}


def _cut_operations(operations: Sequence[Mapping[str, Any]], most: int) -> Iterator[Piece]:
    """The beginning of a difference."""
    for o in operations:
        if most <= 0:
            yield Piece("plain", " …")
            return
        yield Piece(_KINDS.get(o["kind"], "plain"), cut(o["text"], most))  # type: ignore[arg-type]  # two of its kinds, or plain
        most -= len(o["text"])


def _of_topic(alert: AlertRow, style: Style) -> Iterator[Line]:
    """What only some topics tell."""
    told, word = alert.told, style.word
    if other := told.get("other"):
        yield Line(word("other"), tuple(_article(other)))
    numbers = [(word("similarity"), alert.details.get("similarity")), (word("coverage"), told.get("coverage"))]
    if alert.topic == "duplicate":
        for label, value in numbers:
            if value is not None:
                yield _line(label, f"{value:.0%}")
    for key in ("message", "path", "claimed", "computed"):
        if value := told.get(key):
            yield _line(word(key), cut(one_line(str(value)), VALUE))
    if counts := told.get("counts"):
        yield _line(word("count"), ", ".join(f"{one_line(str(name))} {n:,}" for name, n in counts.items()))
    articles = told.get("examples") or told.get("members") or []
    if articles:
        rest = (alert.pages or alert.details.get("size", 0)) - len(articles[:EXAMPLES])
        shown = joined([tuple(_article(a)) for a in articles[:EXAMPLES]], "; ")
        yield Line(word("members"), shown + ((Piece("plain", f"; … +{rest:,}"),) if rest > 0 else ()))


def _article(article: Mapping[str, Any]) -> Iterator[Piece]:
    named = [cut(one_line(str(article.get(key) or "")), most) for key, most in (("publisher", 60), ("title", TITLE))]
    yield Piece("plain", ": ".join(part for part in named if part) + " ")
    yield Piece("link", str(article.get("url") or ""))


def _whole(alert: AlertRow, style: Style) -> Iterator[Line]:
    """Where to see all of it."""
    commands = [f"dedup alerts show {alert.name}"]
    if is_address(alert.url) and one_line(alert.url) == alert.url:
        commands = [f"dedup {name} {shlex.quote(alert.url)}" for name in (("diff", "history") if alert.topic == "change" else ("history",))]
    yield Line(style.word("whole"), joined([(Piece("code", command),) for command in commands], ", "))

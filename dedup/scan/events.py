"""What of a batch may be worth telling: events, for the rules of alerts to choose from."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import xxhash

from dedup import store
from dedup.changes import Rules, diff
from dedup.changes.diff import render
from dedup.model import CLUSTERED, Article, Cause, Match, Relation, Severity, Topic
from dedup.rules import Alerting, Event, meets
from dedup.scan.extract import Examined
from dedup.scan.judgements import Settled, Superseded
from dedup.store import Database, Transaction, outbox
from dedup.store.rows import ArticleRow, TextPages
from dedup.text.normalise import printable_path
from dedup.text.publishers import Publishers

BACKLOG_SECONDS = 3600
"""What has lain there for so long before it is recorded was not watched: alerts of it are told together."""
GROWTH = (3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""Sizes of a cluster at which its growth is told."""
_MISMATCHES: dict[Cause, Severity] = {"truncated": "minor", "malformed": "minor", "stale": "notable", "altered": "major"}
_DUPLICATES: dict[Relation, Severity] = {"exact": "notable", "near": "notable", "copy": "notable", "excerpt": "minor", "quote": "minor"}


@dataclass(frozen=True, slots=True)
class Policy:
    """How changes are judged, and which of what happens is told."""

    rules: Rules
    alerting: Alerting = field(default_factory=Alerting)
    publishers: Publishers = field(default_factory=Publishers)

    def asks(self, topic: Topic) -> bool:
        """Whether any rule is about it."""
        return any(topic in rule.on for rule in self.alerting.rules)


def change_key(url: str, before: bytes, after: bytes, at: str) -> str:
    """What a change is known by: the page, its two states, the later crawl."""
    return f"change:{_short(url)}:{before.hex()[:16]}:{after.hex()[:16]}:{at}"


def mismatch_key(url: str, state: bytes, at: str) -> str:
    """What a mismatch is known by: the page, its state, the crawl."""
    return f"mismatch:{_short(url)}:{state.hex()[:16]}:{at}"


def changed(settled: Settled, url: str, *, backlog: bool) -> Event | None:
    """The event of a change, without what is `told` of it; None of one that could not be judged."""
    j, c = settled.judgement, settled.change
    if j is None or settled.before.body is None or settled.after.body is None:
        return None
    m = c.sighting.metadata
    return Event(
        topic="change",
        key=change_key(url, c.previous.digest, c.sighting.digest, c.sighting.crawled_at),
        at=c.sighting.crawled_at,
        kind=j.kind,
        severity=j.severity,
        url=url,
        title=settled.after.title,
        publisher=m.publisher,
        category=m.category,
        channels=j.channels,
        stealth=j.stealth,
        corrected=j.corrected,
        similarity=j.similarity,
        incident=j.edit.hex() if j.edit else None,
        backlog=backlog,
    )


def told_of(settled: Settled) -> dict[str, Any]:
    """What is told of a change that was judged; its difference is worked out here, which takes as long as judging did."""
    j, c = settled.judgement, settled.change
    one, other = settled.before, settled.after
    assert j is not None
    assert one.body is not None
    assert other.body is not None
    return {
        "crawled_at": [c.previous.crawled_at, c.sighting.crawled_at],
        "published_at": c.sighting.metadata.published_at,
        "title_before": one.title,
        "evidence": [{"what": e.what, "before": e.before, "after": e.after} for e in j.evidence],
        "diff": {
            part: render.as_json(render.folded(diff.compare(diff.clean(was), diff.clean(now))))
            for part, was, now in (("title", one.title, other.title), ("body", one.body, other.body))
            if was != now
        },
        "fields": [list(f) for f in c.fields],
    }


def mismatched(m: Met, cause: Cause) -> Event:
    """The event of an article whose digest does not fit it."""
    return Event(
        topic="mismatch",
        key=mismatch_key(m.url, m.e.state, m.crawled_at),
        at=m.crawled_at,
        kind=cause,
        severity=_MISMATCHES[cause],
        url=m.url,
        title=m.article.title,
        publisher=m.article.metadata.publisher,
        category=m.article.metadata.category,
        backlog=m.backlog,
        told={
            "published_at": m.article.metadata.published_at,
            "path": printable_path(m.e.found.path),
            "claimed": m.article.check.claimed,
            "computed": f"{m.article.check.recipe}:{m.article.check.computed}",
        },
    )


def duplicated(
    a: ArticleRow, b: ArticleRow, relation: Relation, numbers: dict[str, float], publishers: Publishers, *, backlog: bool
) -> Event:
    """The event of two articles of different pages that match; `b` is what was met before."""
    houses = [publishers.house(x.publisher, x.oid, x.url) for x in (a, b)]
    pages = sorted((_short(a.url), _short(b.url)))
    return Event(
        topic="duplicate",
        key=f"duplicate:{pages[0]}:{pages[1]}:{relation}",
        at=a.crawled_at,
        kind=relation,
        severity=_DUPLICATES[relation],
        url=a.url,
        title=a.title,
        publisher=a.publisher,
        similarity=numbers.get("similarity", 1.0),
        across=houses[0] != houses[1],
        backlog=backlog,
        told={
            "published_at": a.published_at,
            "other": {"url": b.url, "title": b.title, "publisher": b.publisher, "published_at": b.published_at},
            **{name: value for name, value in numbers.items() if name != "similarity"},
        },
    )


def grown(database: Database, text: int, *, backlog: bool) -> Event | None:
    """The event of a cluster around a text that has grown past one of the sizes of GROWTH."""
    size = store.texts.cluster_size(database, text, CLUSTERED)
    reached = max((most for most in GROWTH if most <= size), default=0)
    articles = store.texts.articles(database, text) if reached else []
    if not articles:
        return None
    first = min(articles, key=lambda a: (a.published_at or "9", a.crawled_at, a.url))
    return Event(
        topic="cluster",
        key=f"cluster:{_short(first.url)}:{reached}",
        at=max(a.crawled_at for a in articles),
        kind="growing",
        severity="notable",
        url=first.url,
        title=first.title,
        publisher=first.publisher,
        size=size,
        backlog=backlog,
        told={"published_at": first.published_at},
    )


def faults(database: Database, now: str, since: str) -> Event:
    """How many files could not be read as articles since a time, up to now; one event an hour."""
    counts = store.faults.count_between(database, since, now)
    return Event(
        topic="faults",
        key=f"faults:{now[:13]}",
        at=now,
        kind="rate",
        severity="notable",
        size=sum(counts.values()),
        told={"counts": counts},
    )


@dataclass(slots=True)
class Happened:
    """What recording a batch came to: changes, those that are none any more, matches, and exact copies (text, page that came to show
    it, page that did before)."""

    settled: list[Settled] = field(default_factory=list)
    superseded: list[Superseded] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)
    copies: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Met:
    """An article of a batch as it was recorded; `text` where it brought one that was compared with others: a new one, or one that a
    second page shows now."""

    sighting: int
    page: int
    url: str
    e: Examined
    article: Article
    crawled_at: str
    mismatched: bool
    text: int | None

    @property
    def backlog(self) -> bool:
        """Whether the file has been as it is for long before it was recorded."""
        newest = max(self.e.found.stat.mtime_ns, self.e.found.stat.ctime_ns)
        return time.time_ns() - newest > BACKLOG_SECONDS * 1_000_000_000


def announce(transaction: Transaction, policy: Policy, happened: Happened, met: Sequence[Met], now: str) -> None:
    """Write the alerts that rules ask for, of what was `met`, into the outbox; those of changes that are none any more are withdrawn.
    To be called within the transaction of the batch."""
    if happened.superseded:
        urls = store.pages.urls(transaction, {page for page, *_ in happened.superseded})
        outbox.withdraw(transaction, (change_key(urls[page], a, b, at) for page, a, b, at in happened.superseded), now)
    events = [*_changes(policy, happened, met), *_mismatches(transaction, policy, met), *_duplicates(transaction, policy, happened, met)]
    if events:
        outbox.write(transaction, events, policy.alerting, now)


def announce_faults(transaction: Transaction, policy: Policy, now: str) -> None:
    """The same of files that could not be read."""
    if policy.asks("faults"):
        since = (datetime.fromisoformat(now) - timedelta(hours=1)).isoformat()
        outbox.write(transaction, [faults(transaction, now, since)], policy.alerting, now)


def _changes(policy: Policy, happened: Happened, met: Sequence[Met]) -> Iterator[Event]:
    if not policy.asks("change"):
        return
    pages = {m.page: m for m in met}
    for settled in happened.settled:
        m = pages.get(settled.page)
        event = changed(settled, m.url, backlog=m.backlog) if m is not None else None
        if event is not None and any(meets(event, rule) for rule in policy.alerting.rules):
            yield replace(event, told=told_of(settled))


def _mismatches(database: Database, policy: Policy, met: Sequence[Met]) -> Iterator[Event]:
    doubtful = [m for m in met if m.mismatched] if policy.asks("mismatch") else []
    causes = store.sightings.mismatch_causes(database, {m.sighting for m in doubtful})
    for m in doubtful:
        if m.sighting in causes:
            yield mismatched(m, causes[m.sighting])


def _duplicates(database: Database, policy: Policy, happened: Happened, met: Sequence[Met]) -> Iterator[Event]:
    if not (policy.asks("duplicate") or policy.asks("cluster")):
        return
    new = {m.text: m for m in met if m.text is not None}
    pages = {m.page: m.backlog for m in met}
    matches = [(match, new[match.a], match.b) for match in happened.matches if match.a in new]
    matches += [(match, new[match.b], match.a) for match in happened.matches if match.a not in new and match.b in new]
    showing = store.texts.pages_showing_any(database, {text for match, _, _ in matches for text in (match.a, match.b)})
    found = [(_pair(mine, other, showing), match.relation, _numbers(match), mine.backlog) for match, mine, other in matches]
    found += [(((t, page), (t, before)), "exact", {}, pages[page]) for t, page, before in happened.copies if page in pages]
    articles = store.texts.latest_articles(database, {side for pair, *_ in found if pair for side in pair})
    for pair, relation, numbers, backlog in found:
        if pair is not None and pair[0] in articles and pair[1] in articles:
            yield duplicated(articles[pair[0]], articles[pair[1]], relation, numbers, policy.publishers, backlog=backlog)
    if policy.asks("cluster"):
        around = {t: mine.backlog for match, mine, other in matches if match.relation in CLUSTERED for t in (mine.text, other)}
        around |= {t: pages[page] for t, page, _ in happened.copies if page in pages}
        yield from filter(None, (grown(database, text, backlog=backlog) for text, backlog in around.items() if text is not None))


_Shown = tuple[int, int]
"""(text, page that shows it)."""


def _pair(mine: Met, other: int, showing: Mapping[int, TextPages]) -> tuple[_Shown, _Shown] | None:
    """Two different pages of which the one shows the new text that was met, and the other the text that it matches."""
    assert mine.text is not None
    here, there = showing[mine.text], showing[other]
    pages = ((a, b) for a in (mine.page, here.first, here.last) for b in (there.first, there.last))
    return next((((mine.text, a), (other, b)) for a, b in pages if a != b), None)


def _numbers(match: Match) -> dict[str, float]:
    return {"similarity": match.numbers.similarity, "coverage": match.numbers.coverage}


def _short(url: str) -> str:
    return xxhash.xxh3_128_hexdigest(url.encode("utf-8", "surrogatepass"))

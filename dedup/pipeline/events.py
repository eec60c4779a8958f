"""Events of a batch, which the alert rules choose from."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import xxhash

from dedup import store
from dedup.changes import diff
from dedup.changes.classify import ClassificationRules
from dedup.changes.diff import render
from dedup.model import CLUSTER_RELATIONS, AlertTopic, Article, Match, MismatchCause, Relation, Severity
from dedup.pipeline.classifications import ChangeIdentity, PageChange
from dedup.pipeline.extract import Extraction
from dedup.rules import AlertPolicy, Event, matches_rule
from dedup.store import Database, Transaction, outbox
from dedup.store.rows import ArticleRow, TextPages
from dedup.text.publishers import PublisherResolver
from dedup.text.sanitise import to_printable_path

BACKLOG_SECONDS = 3600
"""Age from which a file counts as backlog when it is recorded. Alerts about backlog are sent together."""
CLUSTER_SIZES = (3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""Cluster sizes that raise an event when they are reached."""
_MISMATCH_SEVERITY: dict[MismatchCause, Severity] = {"truncated": "minor", "malformed": "minor", "stale": "notable", "altered": "major"}
_DUPLICATE_SEVERITY: dict[Relation, Severity] = {
    "exact": "notable",
    "near": "notable",
    "copy": "notable",
    "excerpt": "minor",
    "quote": "minor",
}


@dataclass(frozen=True, slots=True)
class Policy:
    """How changes are classified, and which events raise alerts."""

    rules: ClassificationRules
    alerting: AlertPolicy = field(default_factory=AlertPolicy)
    publishers: PublisherResolver = field(default_factory=PublisherResolver)

    def has_rule_for(self, topic: AlertTopic) -> bool:
        """Return whether any alert rule covers a topic."""
        return any(topic in rule.on for rule in self.alerting.rules)


def change_key(url: str, before: bytes, after: bytes, at: str) -> str:
    """Return the event key of a change: the page, digests of its two states, and the later crawl time."""
    return f"change:{_digest_url(url)}:{before.hex()[:16]}:{after.hex()[:16]}:{at}"


def mismatch_key(url: str, state: bytes, at: str) -> str:
    """Return the event key of a mismatch: the page, the digest of its state, and the crawl time."""
    return f"mismatch:{_digest_url(url)}:{state.hex()[:16]}:{at}"


def change_event(page_change: PageChange, url: str, *, backlog: bool) -> Event | None:
    """Return the event of a change without its payload; None if the change could not be classified."""
    classification, change = page_change.classification, page_change.change
    if classification is None or page_change.before.body is None or page_change.after.body is None:
        return None
    metadata = change.sighting.metadata
    return Event(
        topic="change",
        key=change_key(url, change.previous.digest, change.sighting.digest, change.sighting.crawled_at),
        at=change.sighting.crawled_at,
        kind=classification.kind,
        severity=classification.severity,
        url=url,
        title=page_change.after.title,
        publisher=metadata.publisher,
        category=metadata.category,
        parts=classification.parts,
        silent=classification.silent,
        corrected=classification.corrected,
        similarity=classification.similarity,
        incident=classification.edit_digest.hex() if classification.edit_digest else None,
        backlog=backlog,
    )


def change_payload(page_change: PageChange) -> dict[str, Any]:
    """Return the payload of a classified change. The diff is computed here, which takes as long as the classification did."""
    classification, change = page_change.classification, page_change.change
    before, after = page_change.before, page_change.after
    assert classification is not None
    assert before.body is not None
    assert after.body is not None
    return {
        "crawled_at": [change.previous.crawled_at, change.sighting.crawled_at],
        "published_at": change.sighting.metadata.published_at,
        "title_before": before.title,
        "evidence": [{"kind": e.kind, "before": e.before, "after": e.after} for e in classification.evidence],
        "diff": {
            part: render.as_json(render.fold_unchanged(diff.compare(diff.clean(was), diff.clean(now))))
            for part, was, now in (("title", before.title, after.title), ("body", before.body, after.body))
            if was != now
        },
        "fields": [list(f) for f in change.fields],
    }


def mismatch_event(recorded_article: RecordedArticle, cause: MismatchCause) -> Event:
    """Return the event of an article whose claimed digest does not match."""
    return Event(
        topic="mismatch",
        key=mismatch_key(recorded_article.url, recorded_article.extraction.state_digest, recorded_article.crawled_at),
        at=recorded_article.crawled_at,
        kind=cause,
        severity=_MISMATCH_SEVERITY[cause],
        url=recorded_article.url,
        title=recorded_article.article.title,
        publisher=recorded_article.article.metadata.publisher,
        category=recorded_article.article.metadata.category,
        backlog=recorded_article.is_backlog,
        payload={
            "published_at": recorded_article.article.metadata.published_at,
            "path": to_printable_path(recorded_article.extraction.file.path),
            "claimed_digest": recorded_article.article.check.claimed,
            "computed_digest": f"{recorded_article.article.check.recipe}:{recorded_article.article.check.computed}",
        },
    )


def duplicate_event(
    a: ArticleRow, b: ArticleRow, relation: Relation, scores: dict[str, float], publishers: PublisherResolver, *, backlog: bool
) -> Event:
    """Return the event of two matching articles of different pages; `b` is the earlier one."""
    publisher_names = [publishers.canonical_name(x.publisher, x.oid, x.url) for x in (a, b)]
    url_digests = sorted((_digest_url(a.url), _digest_url(b.url)))
    return Event(
        topic="duplicate",
        key=f"duplicate:{url_digests[0]}:{url_digests[1]}:{relation}",
        at=a.crawled_at,
        kind=relation,
        severity=_DUPLICATE_SEVERITY[relation],
        url=a.url,
        title=a.title,
        publisher=a.publisher,
        similarity=scores.get("similarity", 1.0),
        across_publishers=publisher_names[0] != publisher_names[1],
        backlog=backlog,
        payload={
            "published_at": a.published_at,
            "other": {"url": b.url, "title": b.title, "publisher": b.publisher, "published_at": b.published_at},
            **{name: value for name, value in scores.items() if name != "similarity"},
        },
    )


def growth_event(database: Database, text: int, *, backlog: bool) -> Event | None:
    """Return the event of a cluster around a text that has reached one of CLUSTER_SIZES; None if it has not."""
    size = store.texts.cluster_size(database, text, CLUSTER_RELATIONS)
    threshold = max((threshold for threshold in CLUSTER_SIZES if threshold <= size), default=0)
    articles = store.texts.articles(database, text) if threshold else []
    if not articles:
        return None
    earliest = min(articles, key=lambda a: (a.published_at or "9", a.crawled_at, a.url))
    return Event(
        topic="cluster",
        key=f"cluster:{_digest_url(earliest.url)}:{threshold}",
        at=max(a.crawled_at for a in articles),
        kind="growing",
        severity="notable",
        url=earliest.url,
        title=earliest.title,
        publisher=earliest.publisher,
        size=size,
        backlog=backlog,
        payload={"published_at": earliest.published_at},
    )


def fault_rate_event(database: Database, now: str, since: str) -> Event:
    """Return the event that counts the faults between two times. Its key allows one event per hour."""
    counts = store.faults.count_between(database, since, now)
    return Event(
        topic="faults",
        key=f"faults:{now[:13]}",
        at=now,
        kind="rate",
        severity="notable",
        size=sum(counts.values()),
        payload={"counts": counts},
    )


class ExactCopy(NamedTuple):
    """A page that now shows a text which another page showed before."""

    text_id: int
    page_id: int
    earlier_page_id: int


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """Results of recording a batch: changes, changes that no longer exist, matches, and exact copies."""

    page_changes: list[PageChange]
    superseded_changes: list[ChangeIdentity]
    matches: list[Match]
    copies: list[ExactCopy]


@dataclass(frozen=True, slots=True)
class RecordedArticle:
    """An article of a batch as it was recorded. `text_id` is its text if that was compared with others: a new text, or one that a second
    page now shows; else None."""

    sighting_id: int
    page_id: int
    url: str
    extraction: Extraction
    article: Article
    crawled_at: str
    is_mismatched: bool
    text_id: int | None

    @property
    def is_backlog(self) -> bool:
        """Return whether the file was unchanged for more than BACKLOG_SECONDS when it was recorded."""
        newest_ns = max(self.extraction.file.stamp.mtime_ns, self.extraction.file.stamp.ctime_ns)
        return time.time_ns() - newest_ns > BACKLOG_SECONDS * 1_000_000_000


def write_alerts(transaction: Transaction, policy: Policy, outcome: BatchOutcome, articles: Sequence[RecordedArticle], now: str) -> None:
    """Write the alerts that rules ask for about `articles` to the outbox, and withdraw those of changes that no longer exist."""
    if outcome.superseded_changes:
        urls = store.pages.urls(transaction, {page for page, *_ in outcome.superseded_changes})
        outbox.withdraw(transaction, (change_key(urls[page], a, b, at) for page, a, b, at in outcome.superseded_changes), now)
    events = [
        *_change_events(policy, outcome, articles),
        *_mismatch_events(transaction, policy, articles),
        *_duplicate_events(transaction, policy, outcome, articles),
    ]
    if events:
        outbox.write(transaction, events, policy.alerting, now)


def write_fault_alert(transaction: Transaction, policy: Policy, now: str) -> None:
    """Write the alert about files that could not be read as articles in the last hour, if a rule covers faults."""
    if policy.has_rule_for("faults"):
        since = (datetime.fromisoformat(now) - timedelta(hours=1)).isoformat()
        outbox.write(transaction, [fault_rate_event(transaction, now, since)], policy.alerting, now)


def _change_events(policy: Policy, outcome: BatchOutcome, articles: Sequence[RecordedArticle]) -> Iterator[Event]:
    if not policy.has_rule_for("change"):
        return
    articles_by_page = {article.page_id: article for article in articles}
    for page_change in outcome.page_changes:
        article = articles_by_page.get(page_change.page_id)
        event = change_event(page_change, article.url, backlog=article.is_backlog) if article is not None else None
        if event is not None and any(matches_rule(event, rule) for rule in policy.alerting.rules):
            yield replace(event, payload=change_payload(page_change))


def _mismatch_events(database: Database, policy: Policy, articles: Sequence[RecordedArticle]) -> Iterator[Event]:
    mismatched_articles = [article for article in articles if article.is_mismatched] if policy.has_rule_for("mismatch") else []
    causes = store.sightings.mismatch_causes(database, {article.sighting_id for article in mismatched_articles})
    for article in mismatched_articles:
        if article.sighting_id in causes:
            yield mismatch_event(article, causes[article.sighting_id])


def _duplicate_events(database: Database, policy: Policy, outcome: BatchOutcome, articles: Sequence[RecordedArticle]) -> Iterator[Event]:
    if not (policy.has_rule_for("duplicate") or policy.has_rule_for("cluster")):
        return
    articles_by_text = {m.text_id: m for m in articles if m.text_id is not None}
    backlog_by_page = {m.page_id: m.is_backlog for m in articles}
    matches = [(match, articles_by_text[match.a], match.b) for match in outcome.matches if match.a in articles_by_text]
    matches += [
        (match, articles_by_text[match.b], match.a)
        for match in outcome.matches
        if match.a not in articles_by_text and match.b in articles_by_text
    ]
    pages_by_text = store.texts.pages_showing_any(database, {text for match, _, _ in matches for text in (match.a, match.b)})
    page_pairs = [
        (_find_page_pair(mine, other, pages_by_text), match.relation, _format_scores(match), mine.is_backlog)
        for match, mine, other in matches
    ]
    page_pairs += [
        (((text, page), (text, earlier_page)), "exact", {}, backlog_by_page[page])
        for text, page, earlier_page in outcome.copies
        if page in backlog_by_page
    ]
    article_rows = store.texts.latest_articles(database, {side for pair, *_ in page_pairs if pair for side in pair})
    for pair, relation, scores, backlog in page_pairs:
        if pair is not None and pair[0] in article_rows and pair[1] in article_rows:
            yield duplicate_event(article_rows[pair[0]], article_rows[pair[1]], relation, scores, policy.publishers, backlog=backlog)
    if policy.has_rule_for("cluster"):
        backlog_by_text = {
            t: mine.is_backlog for match, mine, other in matches if match.relation in CLUSTER_RELATIONS for t in (mine.text_id, other)
        }
        backlog_by_text |= {t: backlog_by_page[page] for t, page, _ in outcome.copies if page in backlog_by_page}
        yield from filter(
            None, (growth_event(database, text, backlog=backlog) for text, backlog in backlog_by_text.items() if text is not None)
        )


_TextOnPage = tuple[int, int]
"""(text, page that shows it)."""


def _find_page_pair(
    article: RecordedArticle, other_text: int, pages_by_text: Mapping[int, TextPages]
) -> tuple[_TextOnPage, _TextOnPage] | None:
    """Return two different pages, the first of which shows the article's text and the second the matching text; None if there are none."""
    assert article.text_id is not None
    own_pages, other_pages = pages_by_text[article.text_id], pages_by_text[other_text]
    pages = (
        (a, b)
        for a in (article.page_id, own_pages.first_page_id, own_pages.last_page_id)
        for b in (other_pages.first_page_id, other_pages.last_page_id)
    )
    return next((((article.text_id, a), (other_text, b)) for a, b in pages if a != b), None)


def _format_scores(match: Match) -> dict[str, float]:
    return {"similarity": match.scores.similarity, "coverage": match.scores.coverage}


def _digest_url(url: str) -> str:
    return xxhash.xxh3_128_hexdigest(url.encode("utf-8", "surrogatepass"))

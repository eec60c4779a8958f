"""Retention: decide which revisions of a page keep their body, and prune the others.

Only 'dedup prune' does that. The record of a pruned state stays: digest, title, sightings, changes and matches. A text that has no body
left is removed from the indexes: its signature, and its fingerprints, under which its followers become leaders.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

import numpy as np
from more_itertools import chunked

from dedup import store
from dedup.config import HistoryConfig
from dedup.similarity import jit, winnowing
from dedup.store import Database, Transaction, WritableDatabase
from dedup.store.rows import RetentionState
from dedup.text import normalise, times

PAGES_PER_BATCH = 500
"""Pages examined at once."""
STATES_PER_TRANSACTION = 500
"""States pruned in one transaction."""
MAX_LOADED_TEXTS = 2000
"""Followers in memory at once; those of the last leader may exceed it."""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Keeps the states of a page named in `keep` (`config.KEEPABLE_STATES`), and all that were seen at `since` (ISO 8601) or later."""

    keep: frozenset[str]
    since: str


@dataclass(slots=True)
class PruneResult:
    """The number of states pruned, or to be pruned, of their pages, and of the bytes of their bodies.

    `kept_by_reason` counts the states kept for each reason, the first that applies. States pruned before are not counted."""

    states: int = 0
    pages: int = 0
    body_bytes: int = 0
    kept_by_reason: Counter[str] = field(default_factory=Counter)


def build_retention_rule(history: HistoryConfig, database: Database) -> RetentionRule | None:
    """Return the configured rule; None if everything is kept.

    Days are counted back from the last crawl, so that neither a wrong clock nor a paused crawler makes a state old."""
    if history.keep == "all":
        return None
    latest_crawl = store.prune.latest_crawl(database, times.now()) or times.now()
    since = times.add_clamped(datetime.fromisoformat(latest_crawl), -timedelta(days=history.days))
    return RetentionRule(frozenset(history.keep), since.isoformat())


def find_keep_reasons(states: Sequence[RetentionState], rule: RetentionRule) -> dict[int, str]:
    """Return revision → the reason why it is kept, for the states of one page.

    The `last` state is always kept, and so is one that a file `on_disk` shows: the next reading of that file would restore it."""
    reasons = {s.revision_id: "recent" for s in states if s.last_seen_at >= rule.since}
    reasons |= {s.revision_id: "on_disk" for s in states if s.has_file}
    counted_states = [s for s in states if s.first_crawled_at is not None]
    if "first" in rule.keep and counted_states:
        reasons[min(counted_states, key=lambda s: (s.first_crawled_at or "", s.digest)).revision_id] = "first"
    latest = max(states, key=lambda s: (s.is_current, s.last_crawled_at is not None, s.last_crawled_at or s.last_seen_at, s.digest))
    return reasons | {latest.revision_id: "last"}


def find_prunable(database: Database, rule: RetentionRule, result: PruneResult) -> Iterator[list[int]]:
    """Yield batches of the revisions whose bodies the rule does not keep, in the order of their pages. Each batch is added to `result`
    before it is yielded."""
    # pages with one state are not examined: their states count as kept, from which the examined ones are subtracted
    result.kept_by_reason["last"] += store.statistics.count_unpruned_revisions(database)
    after_id = 0
    while pages := store.prune.pages_with_several_states(database, after_id, PAGES_PER_BATCH):
        after_id = pages[-1]
        prunable_revisions: list[int] = []
        for _, rows in groupby(store.prune.states(database, pages), key=lambda s: s.page_id):
            states = list(rows)
            reasons = find_keep_reasons(states, rule)
            unpruned_revisions = [s.revision_id for s in states if not s.is_pruned]
            prunable_of_page = [revision for revision in unpruned_revisions if revision not in reasons]
            result.kept_by_reason["last"] -= len(unpruned_revisions)
            result.kept_by_reason.update(reasons[revision] for revision in unpruned_revisions if revision in reasons)
            result.pages += bool(prunable_of_page)
            prunable_revisions += prunable_of_page
        for batch in chunked(prunable_revisions, STATES_PER_TRANSACTION):
            result.states += len(batch)
            result.body_bytes += store.prune.body_bytes(database, batch)
            yield batch


def prune(database: WritableDatabase, rule: RetentionRule, result: PruneResult, progress: Callable[[int], None] = lambda _: None) -> bool:
    """Delete the bodies that the rule does not keep, each batch in its own transaction.

    `result` always shows what is committed; `progress` receives the number of states in each batch. Returns whether texts were removed
    from the indexes, so that they must be rebuilt."""
    pruned_at = times.now()
    indexes_stale = False
    running_result = PruneResult()
    for batch in find_prunable(database, rule, running_result):
        indexes_stale |= _prune_batch(database, batch, pruned_at)
        result.states, result.pages, result.body_bytes = running_result.states, running_result.pages, running_result.body_bytes
        result.kept_by_reason = running_result.kept_by_reason
        progress(len(batch))
    result.kept_by_reason = running_result.kept_by_reason
    return indexes_stale


def _prune_batch(database: WritableDatabase, revisions: Sequence[int], pruned_at: str) -> bool:
    """Delete the bodies of these revisions. Returns whether texts were removed from the indexes."""
    database.lock.set_activity("pruning old states")
    with database.transaction() as transaction:
        texts = store.prune.delete_bodies(transaction, revisions, pruned_at)
        if texts:
            for index in (transaction.lsh_index_path(), transaction.passage_index_path()):  # they hold the removed texts
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(index)
            _promote_followers(transaction, sorted(texts))
            store.prune.remove_from_indexes(transaction, texts)
            store.batches.restart(transaction)
    return bool(texts)


def _promote_followers(transaction: Transaction, texts: Sequence[int]) -> None:
    """Replace leaders that are removed from the passage index by their followers.

    For each fingerprint of a leader, the earliest of its followers with that fingerprint becomes a leader; the others follow it."""
    group: dict[int, list[int]] = {}
    for leader, followers in sorted(store.prune.followers(transaction, texts).items()):
        group[leader] = followers
        if sum(map(len, group.values())) >= MAX_LOADED_TEXTS:
            _promote_followers_of(transaction, group)
            group = {}
    _promote_followers_of(transaction, group)


def _promote_followers_of(transaction: Transaction, followers_by_leader: dict[int, list[int]]) -> None:
    """Replace these leaders, given with all their followers."""
    bodies = store.texts.bodies(transaction, {follower for followers in followers_by_leader.values() for follower in followers})
    own_fingerprints = dict(zip(bodies, _compute_fingerprints(bodies.values()), strict=True))
    led_fingerprints = {
        text_id: set(winnowing.unpack(packed).tolist())
        for text_id, packed in store.prune.fingerprints(transaction, {*followers_by_leader, *bodies}).items()
    }
    promotion = _choose_leaders(followers_by_leader, own_fingerprints, led_fingerprints)
    store.prune.set_fingerprints(
        transaction,
        (
            (_pack_promoted(own_fingerprints[text_id], led_fingerprints[text_id] | promotion.fingerprints[text_id]), text_id)
            for text_id in sorted(promotion.fingerprints)
        ),
    )
    store.passages.insert_followers(transaction, sorted(promotion.follower_pairs))


class _Promotion(NamedTuple):
    """New leaders, with the fingerprints under which each leads now, and new (leader, follower) pairs."""

    fingerprints: dict[int, set[int]]
    follower_pairs: set[tuple[int, int]]


def _choose_leaders(
    followers_by_leader: Mapping[int, list[int]], own_fingerprints: Mapping[int, list[int]], led_fingerprints: Mapping[int, set[int]]
) -> _Promotion:
    """Choose a new leader for each fingerprint of the old ones. `own_fingerprints` are all fingerprints of the followers' bodies,
    `led_fingerprints` those under which a text leads already."""
    promotion = _Promotion({}, set())
    for old_leader, followers in followers_by_leader.items():
        leader_by_fingerprint: dict[int, int] = {}
        for follower in followers:
            if follower not in own_fingerprints or follower not in led_fingerprints:
                continue
            old_fingerprints = led_fingerprints.get(old_leader, set()) | promotion.fingerprints.get(old_leader, set())
            for fingerprint in old_fingerprints.intersection(own_fingerprints[follower]):
                leader = leader_by_fingerprint.setdefault(fingerprint, follower)
                if leader == follower:
                    promotion.fingerprints.setdefault(follower, set()).add(fingerprint)
                else:
                    promotion.follower_pairs.add((leader, follower))
    return promotion


def _pack_promoted(own_fingerprints: list[int], led_fingerprints: set[int]) -> bytes:
    """Pack the fingerprints under which a text leads, in the order of its body."""
    return winnowing.pack(np.array([fingerprint for fingerprint in own_fingerprints if fingerprint in led_fingerprints], np.int64))


def _compute_fingerprints(bodies: Collection[str]) -> Iterator[list[int]]:
    jit.count_work(len(bodies))
    for folded in normalise.fold_batches(bodies):
        for fingerprints in winnowing.fingerprint_texts(folded, 1):
            yield [] if fingerprints is None else fingerprints.tolist()

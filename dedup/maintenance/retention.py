"""Which states of a page keep their body, and letting the others go.

Only 'dedup prune' does that. What a state was stays known (digest, title, crawls, changes, matches); what cannot be made of it any
more without its body is taken out of the indexes: its signature, and the passages that it stood for, which go to those that stood
behind it.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
from more_itertools import chunked

from dedup import store
from dedup.config import HistoryConfig
from dedup.similarity import jit, winnowing
from dedup.store import Database, Transaction, WritableDatabase
from dedup.store.rows import RetentionState
from dedup.text import normalise, times

PAGES_PER_BATCH = 500
"""Pages that are looked at at a time."""
STATES_PER_TRANSACTION = 500
"""States that go in one transaction."""
MAX_LOADED_TEXTS = 2000
"""Texts that are in memory at a time, and what is behind one more."""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """`keep`: which states of a page are kept (`config.KEEPABLE_STATES`), beside those that were seen at `since` or later."""

    keep: frozenset[str]
    since: str


@dataclass(slots=True)
class PruneResult:
    """What went, or would go: states, the pages they are of, the bytes of their bodies. `kept_by_reason`: reason → states that stay for it,
    the first that holds; those that were pruned before are not counted."""

    states: int = 0
    pages: int = 0
    body_bytes: int = 0
    kept_by_reason: Counter[str] = field(default_factory=Counter)


def build_retention_rule(history: HistoryConfig, database: Database) -> RetentionRule | None:
    """The rule that is configured; None where everything is kept. Days are counted back from the last crawl: a clock that is wrong,
    or a crawler that rests, makes no state old."""
    if history.keep == "all":
        return None
    latest_crawl = store.prune.latest_crawl(database, times.now()) or times.now()
    since = times.add_clamped(datetime.fromisoformat(latest_crawl), -timedelta(days=history.days))
    return RetentionRule(frozenset(history.keep), since.isoformat())


def find_keep_reasons(states: Sequence[RetentionState], rule: RetentionRule) -> dict[int, str]:
    """Revision → why it is kept, of one page's states: the `last` one always, and always what a file `on_disk` holds, which
    the next reading of that file would bring back."""
    reasons = {s.revision_id: "recent" for s in states if s.last_seen_at >= rule.since}
    reasons |= {s.revision_id: "on_disk" for s in states if s.has_file}
    counted_states = [s for s in states if s.first_crawled_at is not None]
    if "first" in rule.keep and counted_states:
        reasons[min(counted_states, key=lambda s: (s.first_crawled_at or "", s.digest)).revision_id] = "first"
    latest = max(states, key=lambda s: (s.is_current, s.last_crawled_at is not None, s.last_crawled_at or s.last_seen_at, s.digest))
    return reasons | {latest.revision_id: "last"}


def find_prunable(database: Database, rule: RetentionRule, result: PruneResult) -> Iterator[list[int]]:
    """Revisions whose bodies go by a rule, some at a time, in order of their pages; `result` is added to as they are given."""
    result.kept_by_reason["last"] += store.statistics.count_unpruned_revisions(database)  # of which what is looked at is taken away again
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
    """Let go what the rule does not keep; each batch is a transaction. `result` tells at any time what is committed, `progress` hears
    of states. Returns whether texts went out of the indexes, which are to be made again then."""
    pruned_at = times.now()
    indexes_stale = False
    running_result = PruneResult()
    for batch in find_prunable(database, rule, running_result):
        indexes_stale |= _prune_batch(database, batch, pruned_at)
        result.states, result.pages, result.body_bytes, result.kept_by_reason = (
            running_result.states,
            running_result.pages,
            running_result.body_bytes,
            running_result.kept_by_reason,
        )
        progress(len(batch))
    result.kept_by_reason = running_result.kept_by_reason
    return indexes_stale


def _prune_batch(database: WritableDatabase, revisions: Sequence[int], pruned_at: str) -> bool:
    database.lock.set_activity("pruning old states")
    with database.transaction() as transaction:
        texts = store.prune.delete_bodies(transaction, revisions, pruned_at)
        if texts:
            for index in (transaction.lsh_index_path(), transaction.passage_index_path()):  # what they hold is not so any more
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(index)
            _promote_followers(transaction, sorted(texts))
            store.prune.remove_from_indexes(transaction, texts)
            store.batches.restart(transaction)
    return bool(texts)


def _promote_followers(transaction: Transaction, texts: Sequence[int]) -> None:
    """What stood behind a text stands for the passages of it that it has itself, the earliest of those that have one; the others
    stand behind that."""
    group: dict[int, list[int]] = {}
    for leader, followers in sorted(store.prune.followers(transaction, texts).items()):
        group[leader] = followers
        if sum(map(len, group.values())) >= MAX_LOADED_TEXTS:
            _promote_followers_of(transaction, group)
            group = {}
    _promote_followers_of(transaction, group)


def _promote_followers_of(transaction: Transaction, followers_by_leader: dict[int, list[int]]) -> None:
    """The same for these texts, each with those that stood behind it."""
    bodies = store.texts.bodies(transaction, {follower for followers in followers_by_leader.values() for follower in followers})
    fingerprints_by_text = dict(zip(bodies, _compute_fingerprints(bodies.values()), strict=True))
    stored_fingerprints = {
        number: set(winnowing.unpack(keys).tolist())
        for number, keys in store.prune.fingerprints(transaction, {*followers_by_leader, *bodies}).items()
    }
    promoted_texts: set[int] = set()
    follower_pairs: set[tuple[int, int]] = set()
    for old_leader, followers in followers_by_leader.items():
        leader_by_fingerprint: dict[int, int] = {}
        for follower in followers:
            if follower not in fingerprints_by_text or follower not in stored_fingerprints:
                continue
            for fingerprint in stored_fingerprints.get(old_leader, set()).intersection(fingerprints_by_text[follower]):
                leader = leader_by_fingerprint.setdefault(fingerprint, follower)
                if leader == follower:
                    stored_fingerprints[follower].add(fingerprint)
                    promoted_texts.add(follower)
                else:
                    follower_pairs.add((leader, follower))
    store.prune.set_fingerprints(
        transaction,
        (
            (winnowing.pack(np.array([k for k in fingerprints_by_text[n] if k in stored_fingerprints[n]], np.int64)), n)
            for n in sorted(promoted_texts)
        ),
    )
    store.passages.insert_followers(transaction, sorted(follower_pairs))


def _compute_fingerprints(bodies: Collection[str]) -> Iterator[list[int]]:
    jit.count_work(len(bodies))
    for folded in normalise.fold_batches(bodies):
        yield from ([] if found is None else found.tolist() for found in winnowing.fingerprint_texts(folded, 1))

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

from dedup import store
from dedup.config import History
from dedup.similarity import jit, winnowing
from dedup.store import Database, Transaction, WritableDatabase
from dedup.store.rows import StoredState
from dedup.text import normalise, times

PAGES = 500
"""Pages that are looked at at a time."""
BATCH = 500
"""States that go in one transaction."""
LOADED = 2000
"""Texts that are in memory at a time, and what is behind one more."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`keep`: which states of a page are kept (`config.KEPT`), beside those that were seen at `since` or later."""

    keep: frozenset[str]
    since: str


@dataclass(slots=True)
class Pruned:
    """What went, or would go: states, the pages they are of, the bytes of their bodies. `kept`: reason → states that stay for it,
    the first that holds; those that were pruned before are not counted."""

    states: int = 0
    pages: int = 0
    bytes: int = 0
    kept: Counter[str] = field(default_factory=Counter)


def rule_of(history: History, database: Database) -> Rule | None:
    """The rule that is configured; None where everything is kept. Days are counted back from the last crawl: a clock that is wrong,
    or a crawler that rests, makes no state old."""
    if history.keep == "all":
        return None
    last = store.prune.latest_crawl(database, times.now()) or times.now()
    since = times.shifted(datetime.fromisoformat(last), -timedelta(days=history.days))
    return Rule(frozenset(history.keep), since.isoformat())


def kept(states: Sequence[StoredState], rule: Rule) -> dict[int, str]:
    """Revision → why it is kept, of one page's states: the `last` one always, and always what a file that is `there` holds, which
    the next reading of that file would bring back."""
    found = {s.revision: "young" for s in states if s.seen >= rule.since}
    found |= {s.revision: "there" for s in states if s.there}
    counted = [s for s in states if s.first is not None]
    if "first" in rule.keep and counted:
        found[min(counted, key=lambda s: (s.first or "", s.digest)).revision] = "first"
    latest = max(states, key=lambda s: (s.current, s.last is not None, s.last or s.seen, s.digest))
    return found | {latest.revision: "last"}


def doomed(database: Database, rule: Rule, pruned: Pruned) -> Iterator[list[int]]:
    """Revisions whose bodies go by a rule, some at a time, in order of their pages; `pruned` is added to as they are given."""
    pruned.kept["last"] += store.statistics.count(
        database, "revisions", "pruned_at IS NULL"
    )  # of which what is looked at is taken away again
    beyond = 0
    while pages := store.prune.pages_with_several_states(database, beyond, PAGES):
        beyond = pages[-1]
        going: list[int] = []
        for _, of_page in groupby(store.prune.states(database, pages), key=lambda s: s.page):
            states = list(of_page)
            reasons = kept(states, rule)
            there = [s.revision for s in states if not s.pruned]
            gone = [revision for revision in there if revision not in reasons]
            pruned.kept["last"] -= len(there)
            pruned.kept.update(reasons[revision] for revision in there if revision in reasons)
            pruned.pages += bool(gone)
            going += gone
        for begin in range(0, len(going), BATCH):
            some = going[begin : begin + BATCH]
            pruned.states += len(some)
            pruned.bytes += store.prune.body_bytes(database, some)
            yield some


def prune(database: WritableDatabase, rule: Rule, pruned: Pruned, progress: Callable[[int], None] = lambda _: None) -> bool:
    """Let go what the rule does not keep; each batch is a transaction. `pruned` tells at any time what is committed, `progress` hears
    of states. Returns whether texts went out of the indexes, which are to be made again then."""
    at = times.now()
    touched = False
    now = Pruned()
    for some in doomed(database, rule, now):
        touched |= _let_go(database, some, at)
        pruned.states, pruned.pages, pruned.bytes, pruned.kept = now.states, now.pages, now.bytes, now.kept
        progress(len(some))
    pruned.kept = now.kept
    return touched


def _let_go(database: WritableDatabase, revisions: Sequence[int], at: str) -> bool:
    database.lock.doing("pruning old states")
    with database.transaction() as transaction:
        texts = store.prune.delete_bodies(transaction, revisions, at)
        if texts:
            for index in (transaction.index_path(), transaction.passages_path()):  # what they hold is not so any more
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(index)
            _hand_on(transaction, sorted(texts))
            store.prune.withdraw_texts(transaction, texts)
            store.batches.restart(transaction)
    return bool(texts)


def _hand_on(transaction: Transaction, texts: Sequence[int]) -> None:
    """What stood behind a text stands for the passages of it that it has itself, the earliest of those that have one; the others
    stand behind that."""
    some: dict[int, list[int]] = {}
    for text_, others in sorted(store.prune.followers(transaction, texts).items()):
        some[text_] = others
        if sum(map(len, some.values())) >= LOADED:
            _hand_on_some(transaction, some)
            some = {}
    _hand_on_some(transaction, some)


def _hand_on_some(transaction: Transaction, behind: dict[int, list[int]]) -> None:
    """The same for these texts, each with those that stood behind it."""
    left = store.texts.bodies(transaction, {other for others in behind.values() for other in others})
    own = dict(zip(left, _keys(left.values()), strict=True))
    stored = {number: set(winnowing.unpack(keys).tolist()) for number, keys in store.prune.fingerprints(transaction, {*behind, *left}).items()}
    heirs: set[int] = set()
    represented: set[tuple[int, int]] = set()
    for gone, others in behind.items():
        owners: dict[int, int] = {}
        for other in others:
            if other not in own or other not in stored:
                continue
            for key in stored.get(gone, set()).intersection(own[other]):
                by = owners.setdefault(key, other)
                if by == other:
                    stored[other].add(key)
                    heirs.add(other)
                else:
                    represented.add((by, other))
    store.prune.set_fingerprints(
        transaction, ((winnowing.pack(np.array([k for k in own[n] if k in stored[n]], np.int64)), n) for n in sorted(heirs))
    )
    store.passages.insert_followers(transaction, sorted(represented))


def _keys(bodies: Collection[str]) -> Iterator[list[int]]:
    jit.worth(len(bodies))
    for folded in normalise.folded(bodies):
        yield from ([] if found is None else found.tolist() for found in winnowing.keys(folded, 1))

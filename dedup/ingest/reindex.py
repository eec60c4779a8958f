"""Recomputing what is derived: signatures and matches after other settings, page identities after other URL rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from dedup import minhash, times
from dedup.ingest.examine import Options
from dedup.ingest.matching import Matcher, Matching, NewText
from dedup.ingest.session import MATCHES, URLS
from dedup.ingest.settle import settle_pages, settle_sightings
from dedup.store import Writer

CHUNK = 500


def reindex_signatures(store: Writer, matching: Matching, progress: Callable[[int], Any] = lambda _: None) -> dict[str, int]:
    """Every text's signature and every match again, by the settings given; all or nothing. Returns counts."""
    counts = {"texts": 0, "matches": 0}
    matcher = Matcher(store, matching)
    with store.transaction():
        store.drop_matches()
        for texts in _chunks(store.texts()):
            signed = minhash.sign(list(texts.values()), matching.num_perm, matching.min_characters)
            store.set_signatures((number, s.signature, s.characters) for number, s in zip(texts, signed, strict=True))
            counts["texts"] += len(texts)
            progress(len(texts))
        counts["matches"] = _match_again(store, matcher)
        matcher.token = store.restart_batches()
        store.set_setting(MATCHES, matching.recipe)
    matcher.settled()
    return counts


def _match_again(store: Writer, matcher: Matcher) -> int:
    """All matches among all texts, the store holding none."""
    found, now = 0, times.now()
    matcher.restart()
    for texts in _chunks(store.texts()):
        signatures = store.signatures_of(texts)
        meeting = matcher.meet([NewText(n, signatures.get(n), body) for n, body in texts.items()], ())
        matches = matcher.confirm(meeting)
        store.add_matches(matches, matcher.matching.recipe, now)
        store.set_crowded(meeting.crowded)
        matcher.taken()
        found += len(matches)
    return found


def _chunks(texts: Iterator[tuple[int, str]]) -> Iterator[dict[int, str]]:
    while chunk := dict(islice(texts, CHUNK)):
        yield chunk


def reindex_urls(store: Writer, options: Options, matching: Matching, progress: Callable[[int], Any] = lambda _: None) -> dict[str, int]:
    """Regroup every sighting by the rules given: pages merge or part, histories are put right, matches that are now within
    one page go and those that are now between two pages come. All or nothing, and no alert is made of it. Returns counts.
    """
    counts = {"readings": 0, "moved": 0, "unplaceable": 0}
    matcher = Matcher(store, matching)
    with store.transaction():
        touched: set[int] = set()
        for alias, page, spelling, oid, aid in store.all_aliases():
            url = options.urls.page(spelling, oid, aid)
            if url is None:
                counts["unplaceable"] += 1  # it had a page by the old rules and keeps it
                continue
            target = store.page(url)
            if target == page:
                continue
            store.move_alias(alias, target)
            touched |= {page, target}
        sightings: set[int] = set()
        for reading, sighting, revision, target in store.misplaced_readings():
            there = store.copy_revision(revision, target)
            crawl = store.copy_sighting(sighting, target, there)
            store.move_reading(reading, crawl)
            sightings |= {sighting, crawl}
            counts["moved"] += 1
            progress(1)
        settle_sightings(store, sightings)
        settle_pages(store, sorted(touched))
        store.delete_empty_pages()
        store.drop_matches()
        _match_again(store, matcher)
        matcher.token = store.last_batch()[0]
        counts["readings"] = store.count("readings")
        store.set_setting(URLS, options.urls.recipe)
    matcher.settled()
    return counts

"""Recomputing what is derived: signatures and matches after other settings, page identities after other URL rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dedup import minhash, text, times
from dedup.ingest.examine import Options
from dedup.ingest.matching import Matcher, Matching
from dedup.ingest.record import settle_page, settle_sighting
from dedup.ingest.session import MATCHES, URLS
from dedup.store import Writer

CHUNK = 500


def reindex_signatures(store: Writer, matching: Matching, progress: Callable[[int], Any] = lambda _: None) -> dict[str, int]:
    """Every text's signature and every match again, by the settings given; all or nothing. Returns counts."""
    counts = {"texts": 0, "matches": 0}
    with store.transaction():
        store.drop_matches()
        texts = []
        for number, body in store.texts():
            normalised = text.normalise(body)
            long = len(normalised) >= matching.min_characters
            signature = minhash.signature(text.shingles(normalised), matching.num_perm) if long else None
            texts.append(number)
            store.set_signature(number, signature, len(normalised))
            progress(1)
        counts["texts"] = len(texts)
        counts["matches"] = _match_again(store, matching, texts)
        store.set_setting(MATCHES, matching.recipe)
    return counts


def _match_again(store: Writer, matching: Matching, texts: list[int]) -> int:
    """All matches among these texts, the store holding none of theirs."""
    found, now = 0, times.now()
    for match in Matcher(store, matching).find(texts, ()):
        found += store.add_match(match, matching.recipe, now)
    return found


def reindex_urls(store: Writer, options: Options, matching: Matching, progress: Callable[[int], Any] = lambda _: None) -> dict[str, int]:
    """Regroup every sighting by the rules given: pages merge or part, histories are put right, matches that are now within
    one page go and those that are now between two pages come. All or nothing, and no alert is made of it. Returns counts.
    """
    counts = {"readings": 0, "moved": 0, "unplaceable": 0}
    with store.transaction():
        touched: set[int] = set()
        for alias, page, spelling, oid, aid in store.all_aliases():
            url = options.urls.page(spelling, oid, aid)
            if url is None:
                counts["unplaceable"] += 1  # it had a page by the old rules and keeps it
                continue
            target, _ = store.page(url)
            if target == page:
                continue
            store.move_alias(alias, target)
            touched |= {page, target}
        sightings: set[int] = set()
        for reading, sighting, revision, target in store.misplaced_readings():
            there, _ = store.copy_revision(revision, target)
            crawl, _ = store.copy_sighting(sighting, target, there)
            store.move_reading(reading, crawl)
            sightings |= {sighting, crawl}
            counts["moved"] += 1
            progress(1)
        for sighting in sorted(sightings):
            settle_sighting(store, sighting)
        for page in sorted(touched):
            settle_page(store, page)
        store.delete_empty_pages()
        store.drop_matches()
        _match_again(store, matching, [number for number, _ in store.texts()])
        counts["readings"] = store.count("readings")
        store.set_setting(URLS, options.urls.recipe)
    return counts

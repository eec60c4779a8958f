"""Applying settings to what is recorded: signatures and matches, page identities, judgements of changes, readings of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from dedup import store
from dedup.changes import Rules
from dedup.matching.matcher import Matcher, NewText
from dedup.scan import recipes
from dedup.scan.counts import Tally
from dedup.scan.extract import Options, sign
from dedup.scan.isolation import each_apart, log_once, require_memory
from dedup.scan.page_history import settle_pages, settle_sightings
from dedup.scan.scanner import Scan
from dedup.scan.session import Session
from dedup.store import Transaction, WritableDatabase
from dedup.store.corruption import UNEXPECTED
from dedup.store.rows import TextRow
from dedup.text import normalise, times

CHUNK = 500
MOST_PASSES = 3
"""Times that all texts are matched while something is learned; the second pass rarely learns anything."""


def reindex_signatures(
    database: WritableDatabase,
    options: Options,
    matcher: Matcher,
    progress: Callable[[int], Any] = lambda _: None,
    *,
    publishers: str | None = None,
) -> dict[str, int]:
    """Every text's signature and every match again, by the settings given and with all boilerplate that is known by now; all
    or nothing. `publishers` is the recipe of the aliases in force, where they are to be applied. Returns counts."""
    with database.transaction() as transaction:
        _forget_learned(transaction, matcher, publishers)
        counts = _match_again(transaction, options, matcher, progress, sign_again=True)
        matcher.token = store.batches.restart(transaction)
    matcher.settled()
    return counts


def _forget_learned(transaction: Transaction, matcher: Matcher, publishers: str | None) -> bool:
    """Note by which recipes matches are made from now on. Where others were in force, boilerplate that was learned by them is learned
    again; what was decided by hand stays. Returns whether others were."""
    now = {recipes.MATCHES: matcher.matching.recipe} | ({} if publishers is None else {recipes.PUBLISHERS: publishers})
    others = bool(recipes.pending(transaction, now))
    if others:
        store.boilerplate.delete_learned(transaction, matcher.house_called)
        matcher.forget()
    for name, recipe in now.items():
        store.settings.put(transaction, name, recipe)
    return others


def _match_again(
    transaction: Transaction,
    options: Options,
    matcher: Matcher,
    progress: Callable[[int], Any] = lambda _: None,
    *,
    sign_again: bool = False,
) -> dict[str, int]:
    """All matches among all texts. What is learned of boilerplate on the way would have counted for those before: they are
    matched once more then. Returns counts."""
    known = -1
    for _ in range(MOST_PASSES):
        if known == (known := len(store.boilerplate.list_passages(transaction))):
            break
        store.matches.delete_all(transaction)
        store.texts.delete_unshown(transaction)
        counts = _pass(transaction, options, matcher, progress, sign_again=sign_again)
        sign_again = False
    return counts


def _pass(
    transaction: Transaction, options: Options, matcher: Matcher, progress: Callable[[int], Any], *, sign_again: bool
) -> dict[str, int]:
    """All matches among all texts, the store holding none. Returns counts."""
    counts, now = {"texts": 0, "matches": 0, "failed": 0}, times.now()
    matcher.restart()

    def part(texts: Sequence[TextRow]) -> int:
        """These texts signed and matched with all before them; the number of matches. All or nothing."""
        try:
            with transaction.savepoint():
                signed = sign((t.body for t in texts), options)
                if sign_again:
                    store.texts.set_signatures(
                        transaction, ((t.id, s.signature, s.characters) for t, (s, _) in zip(texts, signed, strict=True))
                    )
                new = [
                    NewText(t.id, s.signature, t.body, keys, t.publisher, t.oid, t.url) for t, (s, keys) in zip(texts, signed, strict=True)
                ]
                meeting = matcher.meet(new, ())
                matches = matcher.confirm(transaction, meeting)
                store.matches.insert(transaction, matches, matcher.matching.recipe, now)
                store.texts.set_crowded(transaction, meeting.crowded)
        except BaseException:
            matcher.forget()
            raise
        matcher.taken()
        return len(matches)

    def aside(one: TextRow, error: Exception) -> None:
        """A text that the program fails on stays without a signature: it has exact copies only."""
        require_of_file(transaction, error)
        log_once(error, f"matching the text of {normalise.printable(one.url)}")
        store.texts.clear_signature(transaction, one.id)
        counts["failed"] += 1

    rows = store.texts.all_with_body(transaction)
    while texts := list(islice(rows, CHUNK)):
        counts["matches"] += sum(each_apart(texts, part, aside))
        counts["texts"] += len(texts)
        progress(len(texts))
    return counts


def require_of_file(transaction: Transaction, error: Exception) -> None:
    """Raise what is wrong if it is the database or the machine, not the one text that `error` was met with. The transaction goes on."""
    if isinstance(error, MemoryError):
        require_memory(error)
    elif isinstance(error, UNEXPECTED):
        transaction.require_sound(error)


def reindex_urls(
    database: WritableDatabase,
    options: Options,
    matcher: Matcher,
    rules: Rules,
    progress: Callable[[int], Any] = lambda _: None,
    *,
    publishers: str | None = None,
) -> dict[str, int]:
    """Regroup every sighting by the rules given: pages merge or part, histories are put right, matches that are now within
    one page go and those that are now between two pages come. All or nothing, and no alert is made of it. Signatures and matches
    are made by the settings given, too: neither can be right without the other. Files whose article has no page by these rules are
    queued for reading, so that the next scan records their fault. Returns counts.
    """
    counts = {"readings": 0, "moved": 0, "unplaceable": 0}
    with database.transaction() as transaction:
        touched: set[int] = set()
        unplaceable: list[int] = []
        for alias, page, spelling, oid, aid in store.pages.all_aliases(transaction):
            url = options.urls.page(spelling, oid, aid)
            if url is None:
                counts["unplaceable"] += 1  # it keeps the page that it had until its file is read again
                unplaceable.append(alias)
                continue
            target = store.pages.get_or_insert(transaction, url)
            if target == page:
                continue
            store.pages.move_alias(transaction, alias, target)
            touched |= {page, target}
        sightings: set[int] = set()
        for reading, sighting, revision, target in store.readings.misplaced(transaction):
            there = store.revisions.copy_to_page(transaction, revision, target)
            crawl = store.sightings.copy_to_page(transaction, sighting, target, there)
            store.readings.move(transaction, reading, crawl)
            sightings |= {sighting, crawl}
            counts["moved"] += 1
            progress(1)
        settle_sightings(transaction, sightings)
        settle_pages(transaction, sorted(touched), rules)
        store.rereads.queue_files_of_aliases(transaction, unplaceable)
        store.pages.delete_empty(transaction)
        sign_again = _forget_learned(transaction, matcher, publishers)
        _match_again(transaction, options, matcher, sign_again=sign_again)
        matcher.token = store.batches.restart(transaction)
        counts["readings"] = store.statistics.count(transaction, "readings")
        store.settings.put(transaction, recipes.URLS, options.urls.recipe)
    matcher.settled()
    return counts


def reindex_changes(database: WritableDatabase, rules: Rules, progress: Callable[[int], Any] = lambda _: None) -> dict[str, int]:
    """Judge every change again by the rules given; all or nothing, and no alert is made of it. What was pruned keeps its judgement.
    Returns counts."""
    with database.transaction() as transaction:
        judge_again(transaction, store.changes.pages_with_changes(transaction), rules, progress)
        store.settings.put(transaction, recipes.CHANGES, rules.recipe)
    return {
        "changes": store.statistics.count(database, "changes"),
        "judged": store.statistics.count(database, "changes", "judged_by IS NOT NULL"),
    }


def judge_again(transaction: Transaction, pages: Iterable[int], rules: Rules, progress: Callable[[int], Any] = lambda _: None) -> None:
    """Judge every change of these pages again, within a transaction; no alert is made of it. A page that the program fails on keeps its
    judgements."""

    def part(pages: Sequence[int]) -> None:
        with transaction.savepoint():
            settle_pages(transaction, pages, rules, again=True)

    def aside(page: int, error: Exception) -> None:
        require_of_file(transaction, error)
        log_once(error, f"judging the changes of {normalise.printable(store.pages.url(transaction, page))}")

    rest = iter(pages)
    while some := list(islice(rest, CHUNK)):
        each_apart(some, part, aside)
        progress(len(some))


def reindex_readings(session: Session, progress: Callable[[int], Any] = lambda _: None) -> dict[str, int]:
    """Read every recorded file again by the settings in force. What a file says now replaces what the same bytes said before; no alert is
    made of it. Each batch is recorded by itself, and a run that was killed goes on where it was. Returns counts: files that were read
    again, and files that are there and could not be reached now (`waiting`); the next scan reads them."""
    database = session.database
    recipe = recipes.configured(session.settings, [recipes.READINGS])
    if recipes.pending(database, recipe) or not store.rereads.any_queued(database):
        with database.transaction() as transaction:
            store.rereads.queue_all(transaction)
            for name, value in recipe.items():
                store.settings.put(transaction, name, value)
            store.settings.put(transaction, recipes.FAULTS, recipes.faults_recipe(session.settings))
    before = 0

    def advance(tally: Tally) -> None:
        nonlocal before
        progress(tally.reread - before)
        before = tally.reread

    scan = Scan(session, progress=advance)
    try:
        scan.reread(session.places)
        scan.settle()
    finally:
        scan.close()
    return {"reread": scan.tally.reread, "waiting": store.rereads.count(database)}

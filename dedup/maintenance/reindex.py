"""Applying settings to what is recorded: signatures and matches, page identities, judgements of changes, readings of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from dedup.changes import Rules
from dedup.matching.matcher import Matcher, NewText
from dedup.scan import recipes
from dedup.scan.counts import Tally
from dedup.scan.extract import Options, sign
from dedup.scan.isolation import each_apart, log_once, require_memory
from dedup.scan.page_history import settle_pages, settle_sightings
from dedup.scan.scanner import Scan
from dedup.scan.session import Session
from dedup.store import Writer
from dedup.store.corruption import UNEXPECTED
from dedup.store.rows import TextRow
from dedup.text import normalise, times

CHUNK = 500
MOST_PASSES = 3
"""Times that all texts are matched while something is learned; the second pass rarely learns anything."""


def reindex_signatures(
    store: Writer, options: Options, matcher: Matcher, progress: Callable[[int], Any] = lambda _: None, *, publishers: str | None = None
) -> dict[str, int]:
    """Every text's signature and every match again, by the settings given and with all boilerplate that is known by now; all
    or nothing. `publishers` is the recipe of the aliases in force, where they are to be applied. Returns counts."""
    with store.transaction():
        _forget_learned(store, matcher, publishers)
        counts = _match_again(store, options, matcher, progress, sign_again=True)
        matcher.token = store.restart_batches()
    matcher.settled()
    return counts


def _forget_learned(store: Writer, matcher: Matcher, publishers: str | None) -> bool:
    """Note by which recipes matches are made from now on. Where others were in force, boilerplate that was learned by them is learned
    again; what was decided by hand stays. Returns whether others were."""
    now = {recipes.MATCHES: matcher.matching.recipe} | ({} if publishers is None else {recipes.PUBLISHERS: publishers})
    others = bool(recipes.pending(store, now))
    if others:
        store.drop_learned(matcher.house_called)
        matcher.forget()
    for name, recipe in now.items():
        store.set_setting(name, recipe)
    return others


def _match_again(
    store: Writer, options: Options, matcher: Matcher, progress: Callable[[int], Any] = lambda _: None, *, sign_again: bool = False
) -> dict[str, int]:
    """All matches among all texts. What is learned of boilerplate on the way would have counted for those before: they are
    matched once more then. Returns counts."""
    known = -1
    for _ in range(MOST_PASSES):
        if known == (known := len(store.boilerplate())):
            break
        store.drop_matches()
        store.drop_unshown_texts()
        counts = _pass(store, options, matcher, progress, sign_again=sign_again)
        sign_again = False
    return counts


def _pass(store: Writer, options: Options, matcher: Matcher, progress: Callable[[int], Any], *, sign_again: bool) -> dict[str, int]:
    """All matches among all texts, the store holding none. Returns counts."""
    counts, now = {"texts": 0, "matches": 0, "failed": 0}, times.now()
    matcher.restart()

    def part(texts: Sequence[TextRow]) -> int:
        """These texts signed and matched with all before them; the number of matches. All or nothing."""
        try:
            with store.savepoint():
                signed = sign((t.body for t in texts), options)
                if sign_again:
                    store.set_signatures((t.id, s.signature, s.characters) for t, (s, _) in zip(texts, signed, strict=True))
                new = [
                    NewText(t.id, s.signature, t.body, keys, t.publisher, t.oid, t.url) for t, (s, keys) in zip(texts, signed, strict=True)
                ]
                meeting = matcher.meet(new, ())
                matches = matcher.confirm(meeting)
                store.add_matches(matches, matcher.matching.recipe, now)
                store.set_crowded(meeting.crowded)
        except BaseException:
            matcher.forget()
            raise
        matcher.taken()
        return len(matches)

    def aside(one: TextRow, error: Exception) -> None:
        """A text that the program fails on stays without a signature: it has exact copies only."""
        require_of_file(store, error)
        log_once(error, f"matching the text of {normalise.printable(one.url)}")
        store.clear_signature(one.id)
        counts["failed"] += 1

    rows = store.texts()
    while texts := list(islice(rows, CHUNK)):
        counts["matches"] += sum(each_apart(texts, part, aside))
        counts["texts"] += len(texts)
        progress(len(texts))
    return counts


def require_of_file(store: Writer, error: Exception) -> None:
    """Raise what is wrong if it is the database or the machine, not the one text that `error` was met with. The transaction goes on."""
    if isinstance(error, MemoryError):
        require_memory(error)
    elif isinstance(error, UNEXPECTED):
        store.require_sound(error, rollback=False)


def reindex_urls(
    store: Writer,
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
    with store.transaction():
        touched: set[int] = set()
        unplaceable: list[int] = []
        for alias, page, spelling, oid, aid in store.all_aliases():
            url = options.urls.page(spelling, oid, aid)
            if url is None:
                counts["unplaceable"] += 1  # it keeps the page that it had until its file is read again
                unplaceable.append(alias)
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
        settle_pages(store, sorted(touched), rules)
        store.queue_files_of_aliases(unplaceable)
        store.delete_empty_pages()
        sign_again = _forget_learned(store, matcher, publishers)
        _match_again(store, options, matcher, sign_again=sign_again)
        matcher.token = store.restart_batches()
        counts["readings"] = store.count("readings")
        store.set_setting(recipes.URLS, options.urls.recipe)
    matcher.settled()
    return counts


def reindex_changes(store: Writer, rules: Rules, progress: Callable[[int], Any] = lambda _: None) -> dict[str, int]:
    """Judge every change again by the rules given; all or nothing, and no alert is made of it. What was pruned keeps its judgement.
    Returns counts."""
    with store.transaction():
        judge_again(store, store.pages_with_changes(), rules, progress)
        store.set_setting(recipes.CHANGES, rules.recipe)
    return {"changes": store.count("changes"), "judged": store.count("changes", "judged_by IS NOT NULL")}


def judge_again(store: Writer, pages: Iterable[int], rules: Rules, progress: Callable[[int], Any] = lambda _: None) -> None:
    """Judge every change of these pages again, within a transaction; no alert is made of it. A page that the program fails on keeps its
    judgements."""

    def part(pages: Sequence[int]) -> None:
        with store.savepoint():
            settle_pages(store, pages, rules, again=True)

    def aside(page: int, error: Exception) -> None:
        require_of_file(store, error)
        log_once(error, f"judging the changes of {normalise.printable(store.page_url(page))}")

    rest = iter(pages)
    while some := list(islice(rest, CHUNK)):
        each_apart(some, part, aside)
        progress(len(some))


def reindex_readings(session: Session, progress: Callable[[int], Any] = lambda _: None) -> dict[str, int]:
    """Read every recorded file again by the settings in force. What a file says now replaces what the same bytes said before; no alert is
    made of it. Each batch is recorded by itself, and a run that was killed goes on where it was. Returns counts: files that were read
    again, and files that are there and could not be reached now (`waiting`); the next scan reads them."""
    store = session.store
    recipe = recipes.configured(session.settings, [recipes.READINGS])
    if recipes.pending(store, recipe) or not store.any_queued():
        with store.transaction():
            store.queue_all()
            for name, value in recipe.items():
                store.set_setting(name, value)
            store.set_setting(recipes.FAULTS, recipes.faults_recipe(session.settings))
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
    return {"reread": scan.tally.reread, "waiting": store.rereads_waiting()}

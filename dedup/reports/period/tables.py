"""A report as sections and tables: what every form of it shows. Words of a crawl are in cells as they are; each form escapes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from dedup.model import SEVERITIES
from dedup.reports.period.statistics import After, Figures, Stealth, Told
from dedup.reports.period.time_buckets import Gathered, gathered
from dedup.text import times
from dedup.text.sanitise import cut

Align = Literal["text", "number"]
SPANS = 48
"""Rows of the table of hours at most."""
PAIRS = 20
"""Rows of the list of who followed whom at most."""
PUBLISHERS = 30
"""Rows of tables by publisher at most."""
EVIDENCE = 3
"""Pieces of evidence that are told of an edit."""
LONGEST = 80
"""Characters of a title, or of a side of evidence."""
OTHERS = "all others"
NOBODY = "no publisher"


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a table. `url`: it names a page, and may be a link; `beneath`: smaller, under it; `weight` from 0 to 4: how much it is
    beside the others; `ours`: a word of the program's, not of a crawl."""

    text: str
    url: str = ""
    beneath: str = ""
    weight: int = 0
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` are (heading, how it is aligned). `where`: the form that it is for, or all."""

    name: str
    caption: str
    columns: tuple[tuple[Cell, Align], ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: str = ""
    where: Literal["", "html", "plain"] = ""


@dataclass(frozen=True, slots=True)
class Section:
    """What is told of one matter: sentences, then tables."""

    name: str
    title: str
    lead: tuple[str, ...]
    tables: tuple[Table, ...]


def heading(f: Figures) -> tuple[str, str, tuple[str, ...]]:
    """(title, period, remarks) of a report."""
    zone = ZoneInfo(f.head.zone)
    since, until = (_moment(t, zone) if t else None for t in (f.head.since, f.head.until))
    period = f"{since} to {until}" if since and until else f"since {since}" if since else f"until {until}" if until else "all crawls"
    last = _moment(f.head.last_crawl, zone) if f.head.last_crawl else "none"
    remarks = [f"Times and hours are those of {f.head.zone}. Last crawl: {last}. Database {f.head.database}."]
    if f.head.due:
        remarks.append(f"{_plural(f.head.due, 'page')} {'was' if f.head.due == 1 else 'were'} just recorded and not in it yet.")
    return "Report" + (f": {f.head.publisher}" if f.head.publisher is not None else ""), period, tuple(remarks)


def sections(f: Figures) -> Iterator[Section]:
    """All of a report."""
    zone = ZoneInfo(f.head.zone)
    yield _articles(f)
    yield _checks(f)
    yield _clusters(f, zone)
    yield _lags(f)
    yield _changes(f, zone)
    yield _stealth(f, zone)
    yield _faults(f)


def spans(f: Figures, most: int) -> Gathered | None:
    """Articles that are no copies, and those that are, by spans of time; no more than so many."""
    return gathered([(h.hour, (h.articles - h.copies, h.copies)) for h in f.hours], most)


def edit_span(after: After) -> str:
    """`1–2 h`"""
    if after.end is None:
        return f"over {after.begin // 24} d"
    if after.begin >= 24:
        return f"{after.begin // 24}–{after.end // 24} d"
    return f"{after.begin}–{after.end} h"


def duration(seconds: float) -> str:
    """`3 h 15 min`"""
    minutes = round(abs(seconds) / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days:,} d" + (f" {hours} h" if hours else "")
    return f"{hours} h" + (f" {minutes} min" if minutes else "") if hours else f"{minutes} min"


def _articles(f: Figures) -> Section:
    articles, copies = sum(h.articles for h in f.publishers), sum(h.copies + h.own_copies for h in f.publishers)
    lead = f"{_plural(articles, 'article')} of {_plural(sum(1 for h in f.publishers if h.publisher is not None), 'publisher')} came"
    lead += f", {copies:,} of them copies ({_share(copies, articles)})." if articles else "."
    by = Table(
        "publishers",
        "Articles by publisher, and which share of them copies another publisher's article",
        _columns("Publisher", "#Articles", "#Copies of others", "#Share", "#Copies of its own"),
        tuple(
            (_house(h.publisher), _number(h.articles), _number(h.copies), Cell(f"{h.share:.0%}", ours=True), _number(h.own_copies))
            for h in f.publishers[:PUBLISHERS]
        ),
        _more(len(f.publishers) - PUBLISHERS),
    )
    found = spans(f, SPANS)
    hours = Table(
        "hours",
        f"Articles by {found.unit if found else 'hour'}",
        _columns("From", "#Articles", "#Copies"),
        tuple(
            (
                _ours(begin.isoformat(" ", "minutes") if found.unit == "hour" else begin.date().isoformat()),
                _number(sum(values)),
                _number(values[1]),
            )
            for begin, values in zip(found.begins, found.sums, strict=True)
            if sum(values)
        )
        if found
        else (),
    )
    most = max((n for r in f.rhythm if r.publisher is not None for n in r.articles), default=0)
    rhythm = Table(
        "rhythm",
        "Articles by publisher and hour of the day",
        ((_ours("Publisher"), "text"), *((_ours(f"{hour}"), "number") for hour in range(24))),
        tuple((_house(r.publisher), *(Cell(f"{n or '·'}", weight=_weight(n, most), ours=True) for n in r.articles)) for r in f.rhythm),
    )
    return Section("articles", "Articles", (lead,), (by, hours, rhythm))


def _checks(f: Figures) -> Section:
    by_check = Counter[str]()
    for c in f.checks:
        by_check[c.check] += c.crawls
    told = ", ".join(f"{by_check[name]:,} {name}" for name in ("verified", "mismatched", "unclaimed"))
    causes = sorted({c.cause for c in f.checks if c.cause})
    bad: dict[str | None, Counter[str]] = {}
    crawls: Counter[str | None] = Counter()
    for c in f.checks:
        crawls[c.publisher] += c.crawls
        if c.cause:
            bad.setdefault(c.publisher, Counter())[c.cause] += c.crawls
    in_order = sorted(bad, key=lambda name: (name is None, -sum(bad[name].values()), name or ""))
    table = Table(
        "mismatches",
        "Crawls whose body does not fit its content_hash, by cause and publisher",
        _columns("Publisher", *(f"#{cause}" for cause in causes), "#All", "#Of crawls"),
        tuple(
            (
                _house(name),
                *(_number(bad[name][cause]) for cause in causes),
                _number(sum(bad[name].values())),
                Cell(_share(sum(bad[name].values()), crawls[name]), ours=True),
            )
            for name in in_order[:PUBLISHERS]
        ),
        _more(len(in_order) - PUBLISHERS),
    )
    return Section("checks", "Checks", (f"{_plural(sum(by_check.values()), 'crawl')}: {told}.",), (table,))


def _clusters(f: Figures, zone: ZoneInfo) -> Section:
    c = f.clusters
    lead = (
        f"{_plural(c['clusters'], 'cluster')} with {_plural(c['articles'], 'article')} of the period"
        f" ({c['exact']:,} exact, {c['near']:,} near, {c['copy']:,} other copies of representatives)."
    )

    def table(name: str, caption: str, told: Sequence[Told], heads: Sequence[str], of: Callable[[Told], Iterable[Cell]]) -> Table:
        rows = tuple((_page(t.title, t.url), _house(t.publisher), *of(t)) for t in told)
        return Table(name, caption, _columns("Representative", "Publisher", *heads), rows)

    return Section(
        "clusters",
        "Clusters",
        (lead,),
        (
            table(
                "largest",
                "The largest",
                f.largest,
                ("#Articles", "#Publishers", "#Published within"),
                lambda t: (_number(t.articles), _number(t.publishers), _between(t.first_published, t.last_published)),
            ),
            table(
                "newest",
                "The newest: those that an article came to last",
                f.newest,
                ("Newest article", "#Articles", "#Publishers"),
                lambda t: (_ours(_moment(t.newest_at, zone)), _number(t.articles), _number(t.publishers)),
            ),
            table(
                "fastest",
                "The fastest: most articles published within an hour of the first",
                f.fastest,
                ("#Within the hour", "#Articles", "#Publishers"),
                lambda t: (_number(t.first_hour), _number(t.articles), _number(t.publishers)),
            ),
        ),
    )


def _lags(f: Figures) -> Section:
    lead = ["Who published first is counted once a cluster, and so is each publisher that followed, with the time until its first article."]
    if f.lags.others:
        lead.append(f"The {len(f.lags.named)} publishers that did either most often are named; {f.lags.others:,} others are told together.")
    standings = Table(
        "standings",
        "First, and behind",
        _columns("Publisher", "#First", "#Followed", "#Median lag"),
        tuple(
            (
                _house(s.publisher),
                _number(s.first),
                _number(s.followed),
                _ours("–" if s.median_seconds is None else duration(s.median_seconds)),
            )
            for s in f.lags.standings
        ),
    )
    names: list[str | None] = [*f.lags.named, *([None] if f.lags.others else [])]
    by = {(lag.leader, lag.follower): lag for lag in f.lags.matrix}
    most = max((lag.followed for lag in f.lags.matrix if None not in (lag.leader, lag.follower)), default=0)
    matrix = Table(
        "matrix",
        "Down: who was first. Across: who followed, how often, and the median lag",
        ((_ours("First"), "text"), *((_house(name), "number") for name in names)),
        tuple(
            (
                _house(leader),
                *(
                    Cell(f"{lag.followed:,}", beneath=duration(lag.median_seconds), weight=_weight(lag.followed, most), ours=True)
                    if (lag := by.get((leader, follower)))
                    else _ours("·")
                    for follower in names
                ),
            )
            for leader in names
            if any(lag.leader == leader for lag in f.lags.matrix)
        ),
        where="html",
    )
    pairs = sorted(f.lags.matrix, key=lambda p: (-p.followed, p.leader is None, p.leader or "", p.follower is None, p.follower or ""))
    listed = Table(
        "pairs",
        "Who followed whom",
        _columns("First", "Followed by", "#Times", "#Median lag"),
        tuple((_house(p.leader), _house(p.follower), _number(p.followed), _ours(duration(p.median_seconds))) for p in pairs[:PAIRS]),
        _more(len(pairs) - PAIRS),
        where="plain",
    )
    return Section("lags", "Who was first", tuple(lead), (standings, matrix, listed))


def _changes(f: Figures, zone: ZoneInfo) -> Section:
    number = sum(k.changes for k in f.changes)
    kinds: dict[str | None, Counter[str | None]] = {}
    stealth: Counter[str | None] = Counter()
    for k in f.changes:
        kinds.setdefault(k.kind, Counter())[k.severity] += k.changes
        stealth[k.kind] += k.stealth
    in_order = sorted(kinds, key=lambda kind: (kind is None, -sum(kinds[kind].values()), kind or ""))
    by_kind = Table(
        "kinds",
        "Changes by kind and severity",
        _columns("Kind", *(f"#{severity}" for severity in SEVERITIES), "#All", "#Stealth"),
        tuple(
            (
                _ours(kind or "not judged"),
                *(_number(kinds[kind][severity]) for severity in SEVERITIES),
                _number(sum(kinds[kind].values())),
                _number(stealth[kind]),
            )
            for kind in in_order
        ),
    )
    any_after = any(a.changes for a in f.after)
    beside = [
        _plural(n, "change") + told
        for n, told in (
            (f.after_unknown, " of pages without a publication time"),
            (f.after_before, " crawled before the publication time"),
        )
        if n
    ]
    after = Table(
        "after",
        "Changes of title or body by time after publication",
        _columns("After", "#Changes", "#Stealth"),
        tuple((_ours(edit_span(a)), _number(a.changes), _number(a.stealth)) for a in f.after) if any_after else (),
        f"Beside these: {' and '.join(beside)}." if beside else "",
    )
    edited = Table(
        "edited",
        "The most edited pages",
        _columns("Page", "Publisher", "#Changes", "#Stealth", "Last"),
        tuple(
            (_page(e.title, e.url), _house(e.publisher), _number(e.changes), _number(e.stealth), _ours(_moment(e.last_at, zone)))
            for e in f.edited
        ),
    )
    return Section("changes", "Changes", (f"{_plural(number, 'change')}.",), (by_kind, after, edited))


def _stealth(f: Figures, zone: ZoneInfo) -> Section:
    number = len(f.stealth) + f.stealth_more
    table = Table(
        "stealth",
        "Edits of substance that the page does not own up to, the newest first",
        _columns("When", "Page", "Publisher", "Kind", "Evidence"),
        tuple(
            (
                _ours(_moment(s.at, zone)),
                _page(s.title, s.url),
                _house(s.publisher),
                _ours(f"{s.kind}, {s.severity}"),
                Cell(_evidence(s)),
            )
            for s in f.stealth
        ),
        f"And {_plural(f.stealth_more, 'earlier edit')}: dedup changes --stealth" if f.stealth_more else "",
    )
    return Section("stealth", "Stealth edits", (f"{_plural(number, 'stealth edit')}.",), (table,))


def _faults(f: Figures) -> Section:
    if f.faults is None:
        return Section("faults", "Faults", ("Files that cannot be read are of no publisher.",), ())
    number = sum(t.files for t in f.faults)
    table = Table(
        "faults",
        "What could not be read, by kind",
        _columns("Kind", "#Files"),
        tuple((_ours(t.kind), _number(t.files)) for t in f.faults),
    )
    lead = f"{_plural(number, 'file')} that came in the period cannot be read." if number else "Everything that came could be read."
    return Section("faults", "Faults", (lead,), (table,))


# Cells


def _columns(*names: str) -> tuple[tuple[Cell, Align], ...]:
    """Headings; one that begins with `#` is over numbers."""
    return tuple((_ours(n.removeprefix("#")), "number" if n.startswith("#") else "text") for n in names)


def _ours(text: str) -> Cell:
    return Cell(text, ours=True)


def _number(n: int) -> Cell:
    return Cell(f"{n:,}", ours=True)


def _house(name: str | None) -> Cell:
    return Cell(name, ours=False) if name else _ours(OTHERS if name is None else NOBODY)


def _page(title: str, url: str) -> Cell:
    return Cell(cut(" ".join(title.split()), LONGEST) or url, url=url)


def _between(first: str | None, last: str | None) -> Cell:
    if first is None or last is None:
        return _ours("–")
    return _ours(duration(times.seconds_between(first, last)))


def _evidence(s: Stealth) -> str:
    def side(text: str) -> str:
        return cut(" ".join(text.split()), LONGEST // 2)

    told = [f"{e['what'].replace('_', ' ')}: {side(e['before']) or '–'} → {side(e['after']) or '–'}" for e in s.evidence[:EVIDENCE]]
    if len(s.evidence) > EVIDENCE:
        told.append(f"and {len(s.evidence) - EVIDENCE} more")
    return "; ".join(told)


def _moment(iso: str, zone: ZoneInfo) -> str:
    return times.printed(times.local(iso, zone))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "0%"


def _weight(number: int, most: int) -> int:
    return min(4, -(-4 * number // most)) if most else 0


def _more(number: int) -> str:
    return f"And {number:,} more." if number > 0 else ""


def _plural(number: int, one: str) -> str:
    return f"{number:,} {one if number == 1 else one + 's'}"

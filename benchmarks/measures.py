"""The measurements, each from running the program to its table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import jobs, latency, oracle, truth
from benchmarks import peers as others
from benchmarks.corpus import articles, lay_out
from benchmarks.jobs import Done
from benchmarks.peers.environment import UnavailableError, prepare
from benchmarks.peers.harness import Measured
from benchmarks.table import Cell, Figure, Measurement, Target, peers, ratio
from dedup.config import DuplicatesConfig
from dedup.text import normalise

SAME_PIPELINE = 100_000
"""Articles up to which other engines run the whole job: their indexes are in memory."""
SIGNED = 10_000
"""Texts of (a), (b) and (h): few enough to compare all pairs."""
HOT = 10_000
"""Articles of each kind in (i)."""
HOT_REPEATS = 3
MIB = 2**20
INDEXES = (".index", ".passages")
"""The index files next to a database: by signature, by passage."""
NEAR_ONLY = "dedup, signatures alone"


@dataclass(slots=True)
class Place:
    """Folders of a benchmark run: `folder` is for corpora, databases and the environments of other packages."""

    folder: Path
    say: Callable[[str], None]
    processes: int
    scans: dict[int, Done] = field(default_factory=dict)
    """Number of articles → the scan that left the database there."""
    versions: dict[str, str] = field(default_factory=dict)
    """of the measured packages"""

    def crawl(self, number: int, kind: str = "mixed") -> Path:
        """Return a corpus, which is written when it is first needed."""
        folder = self.folder / f"{kind}-{number}"
        if not folder.is_dir():
            self.say(f"writing {number:,} articles ({kind})")
            new = folder.with_suffix(".new")
            lay_out(new, number, kind=kind, processes=self.processes)
            new.rename(folder)
        return folder

    def database(self, number: int) -> Path:
        return self.folder / f"{number}.db"

    def scanned(self, number: int) -> Done:
        """Return a scan of ours with the default number of processes. Its database is kept."""
        if number not in self.scans:
            crawl = self.crawl(number)
            jobs.forget(self.database(number))
            self.say(f"scanning {number:,} articles")
            self.scans[number] = jobs.run("scan", crawl=crawl, database=self.database(number), engine="dedup", workers=0)
        return self.scans[number]


def packages(place: Place) -> list[Measurement]:
    """(a) and (b): signatures, lookup and insertion, compared with other packages."""
    made = list(articles(SIGNED))
    raw = [article.body for article in made]
    normalised = [normalise.normalise(body) for body in raw]
    texts, pairs = place.folder / "texts.jsonl", place.folder / "pairs.jsonl"
    others.write_texts(texts, raw, normalised)
    place.say(f"comparing all pairs of {SIGNED:,} texts")
    oracle.write(pairs, oracle.similar_pairs(normalised, DuplicatesConfig().threshold))
    results = []
    for name in (others.OURS.name, *others.PEERS):
        place.say(f"measuring {name}")
        results.append(others.measure(name, texts, place.folder / "environments", truth_file=pairs))
        place.versions |= {package: version for package, version in results[-1].versions.items() if package != "python"}
    characters = sum(map(len, normalised)) / len(normalised)
    note = f"{SIGNED:,} texts of {characters:,.0f} normalised characters on average, one process, one thread."
    fastest = min(
        (way.sign_us for result in results if result.name != others.OURS.name for way in result.measured if way.way == "same"),
        default=None,
    )
    ours = results[0].way("same")
    if ours is not None and fastest is not None:
        against = Figure(ours.sign_us, "µs", ratio(fastest, ours.sign_us), Target(3))
        note += f" Our signature against that of the fastest peer's way `same`: {against}."

    def table(key: str, title: str, time: Callable[[Measured], float], target: Target | None = None) -> Measurement:
        return peers(key, title, results, time, target=target, note=note)

    return [
        table("a", "Signature: from a text to 128 minima", lambda way: way.sign_us, Target(12)),
        table("b", "Signature, lookup and insertion", lambda way: way.work_us),
    ]


def whole_jobs(place: Place, sizes: Sequence[int]) -> Measurement:
    """(c): from files on disk to a committed database, with our engine, none, and those of two packages."""
    rows: list[tuple[Cell, ...]] = []
    for number in sizes:
        ours = place.scanned(number).said["seconds"]
        found = {}
        for engine in (NEAR_ONLY, "dedup", "floor", "datasketch", "rensa") if number <= SAME_PIPELINE else ("floor",):
            place.say(f"the whole job with {number:,} articles, one process: {engine}")
            try:
                found[engine] = _alone(place, number, engine)
            except UnavailableError as error:
                rows.append((f"{number:,}", engine, "1", Figure(None), Figure(None), str(error)))
        base = found.get(NEAR_ONLY)
        rows.append((f"{number:,}", "dedup", "its own choice", Figure(ours, "s"), Figure(ours / number * 1e6, "µs"), ""))
        targets = {"datasketch": Target(8), "rensa": Target(2)}
        for engine, seconds in found.items():
            against: Cell = ""
            if engine == "floor" and base:
                against = Figure(base / seconds, "× the floor's time", target=Target(2, at_least=False))
            elif engine in targets and base:
                against = Figure(seconds / base, "× our time", target=targets[engine])
            rows.append((f"{number:,}", engine, "1", Figure(seconds, "s"), Figure(seconds / number * 1e6, "µs"), against))
    return Measurement(
        "c",
        "The whole job: files on disk to committed database",
        ("articles", "engine", "processes", "time", "an article", f"against {NEAR_ONLY}"),
        tuple(rows),
        "A new process; loading its libraries is included. Files come from the page cache, except in the first scan of a size and with"
        f" more articles than fit into it. `{NEAR_ONLY}`: without the passage index, like the other engines."
        " `floor`: no signatures, no candidates. `datasketch` and `rensa`: the same program with their signatures and their index in"
        " memory in place of ours.",
    )


def _alone(place: Place, number: int, engine: str) -> float:
    database = place.folder / "other.db"
    jobs.forget(database)
    found = None
    if engine == "rensa":
        python = prepare(place.folder / "environments" / "rensa", others.PEERS["rensa"].requirements)
        found = next(python.parent.parent.glob("lib/python*/site-packages"))
    facts = {"crawl": place.crawl(number), "database": database, "workers": 1}
    done = jobs.run("scan", found, **facts, engine="dedup" if engine == NEAR_ONLY else engine, passages=engine == "dedup")
    jobs.forget(database)
    return float(done.said["seconds"])


def rescans(place: Place, sizes: Sequence[int]) -> Measurement:
    """(d): a scan of an unchanged directory."""
    rows: list[tuple[Cell, ...]] = []
    for number in sizes:
        place.scanned(number)
        place.say(f"scanning {number:,} articles again")
        said = jobs.run("rescan", crawl=place.crawl(number), database=place.database(number)).said
        scan, walk = statistics.median(said["scans"]), statistics.median(said["walks"])
        times = Figure(scan / walk, "× the walk", target=Target(2.5, at_least=False))
        rows.append((f"{number:,}", Figure(scan, "s"), Figure(scan / number * 1e6, "µs"), Figure(walk, "s"), times))
    return Measurement(
        "d",
        "Rescan of an unchanged directory",
        ("files", "rescan", "a file", "bare walk", "ratio"),
        tuple(rows),
        f"Bare walk: `scandir` and a `stat` for each entry. Medians of {jobs.REPEATS}, in turn.",
    )


def restarts(place: Place, sizes: Sequence[int]) -> Measurement:
    """(e): the indexes at the next start."""
    rows: list[tuple[Cell, ...]] = []
    for number in sizes:
        place.scanned(number)
        place.say(f"opening the indexes of {number:,} articles")
        facts = {"crawl": place.crawl(number), "database": place.database(number)}
        clean = jobs.run("open_index", **facts).said["seconds"]
        for index in INDEXES:
            Path(f"{place.database(number)}{index}").unlink()
        again = jobs.run("open_index", **facts).said["seconds"]
        whole = number >= 1_000_000
        rows.append(
            (
                f"{number:,}",
                Figure(clean, "s", target=Target(number / 1e6, at_least=False) if whole else None),
                Figure(again, "s", target=Target(30 * number / 1e6, at_least=False) if whole else None),
            )
        )
    return Measurement(
        "e",
        "Restart: until both indexes are ready",
        ("articles", "loaded and checked", "made again from what the database stores"),
        tuple(rows),
    )


def latencies(place: Place, sizes: Sequence[int]) -> Measurement:
    """(f): the daemon, with files one by one and many at once."""
    rows: list[tuple[Cell, ...]] = []
    for number in sizes:
        scan = place.scanned(number).said["seconds"]
        place.say(f"watching with {number:,} articles in the database")
        found = latency.measure(place.crawl(number), place.database(number))
        rate = latency.BURST / found.burst
        rows.append(
            (
                f"{number:,}",
                Figure(found.median * 1e3, "ms", target=Target(50, at_least=False)),
                Figure(found.single[int(0.95 * len(found.single))] * 1e3, "ms"),
                Figure(found.single[-1] * 1e3, "ms"),
                Figure(rate, "a second"),
                Figure(number / scan, "a second"),
            )
        )
        del place.scans[number]  # the database has other articles now
    return Measurement(
        "f",
        "`dedup watch`: from a settled file to its commit",
        ("articles in the database", "median", "95 %", "longest", f"{latency.BURST:,} files at once", "a scan's rate"),
        tuple(rows),
        f"{latency.FILES} files one by one, then {latency.BURST:,} at once; `settle_seconds` {latency.SETTLE_SECONDS} is not counted. The"
        " scan's rate is that with which the database was filled. Processes are started for more than 20,000 files: the files at once are"
        " one process's work.",
    )


def sizes_of(place: Place, sizes: Sequence[int]) -> Measurement:
    """(g): bytes on disk and in memory."""
    rows: list[tuple[Cell, ...]] = []
    for number in sizes:
        done = place.scanned(number)
        bodies = sum(len(article.body.encode()) for article in articles(min(number, SIGNED))) / min(number, SIGNED)
        database = place.database(number).stat().st_size
        indexes = [Path(f"{place.database(number)}{end}").stat().st_size for end in INDEXES]
        limit = Target(800, at_least=False) if number >= 1_000_000 else None
        rows.append(
            (
                f"{number:,}",
                Figure(bodies, "bytes"),
                Figure(database / number, "bytes"),
                *(Figure(size / number, "bytes") for size in indexes),
                Figure(done.anonymous_bytes / MIB, "MiB", target=limit),
            )
        )
    return Measurement(
        "g",
        "Bytes",
        ("articles", "body, an article", "database, an article", *(f"{end}, an article" for end in INDEXES), "peak memory, all processes"),
        tuple(rows),
        "Memory is the peak of all processes during a scan, without pages of files (RssAnon), which the kernel reclaims when needed.",
    )


def truths(place: Place) -> Measurement:
    """(h): recall and precision of the database, compared with brute force."""
    threshold = DuplicatesConfig().threshold
    place.scanned(SIGNED)
    place.say("comparing the database with brute force")
    judged = truth.judge(place.database(SIGNED), threshold)
    rows: list[tuple[Cell, ...]] = [
        (f"{low} to {min(high, 1)}", Figure(score.true), Figure(score.recall * 100, "%"), "") for low, high, score in judged.bands
    ]
    whole = judged.whole
    rows.append((f"{threshold} and above", Figure(whole.true), Figure(whole.recall * 100, "%"), Figure(whole.precision * 100, "%")))
    return Measurement(
        "h",
        "Near duplicates against brute force",
        ("Jaccard", "true pairs", "found", "of those found, true"),
        tuple(rows),
        f"{judged.texts:,} distinct texts; every pair is compared by exact shingle sets. Pairs within one page are not duplicates.",
    )


def hot(place: Place) -> Measurement:
    """(i): full buckets, compared with none."""
    kinds = ("unrelated", "boilerplate", "copies")
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    tallies: dict[str, Mapping[str, Any]] = {}
    for _ in range(HOT_REPEATS):
        for kind in kinds:
            database = place.folder / "hot.db"
            crawl = place.crawl(HOT, kind)
            jobs.forget(database)
            place.say(f"scanning {HOT:,} articles ({kind})")
            said = jobs.run("scan", crawl=crawl, database=database, engine="dedup", workers=1).said
            jobs.forget(database)
            taken[kind].append(said["seconds"])
            tallies[kind] = said["tally"]["matches"]
    base = statistics.median(taken["unrelated"])
    rows: list[tuple[Cell, ...]] = []
    for kind in kinds:
        seconds = statistics.median(taken[kind])
        times = Figure(seconds / base, "×", target=None if kind == "unrelated" else Target(1.5, at_least=False))
        matches = tallies[kind]
        rows.append((kind, Figure(seconds, "s"), times, Figure(matches["exact"]), Figure(matches["near"])))
    return Measurement(
        "i",
        f"Hot buckets: {HOT:,} articles of one text",
        ("kind", "time", "against unrelated", "exact", "near"),
        tuple(rows),
        f"One process, medians of {HOT_REPEATS}, in turn.",
    )


def shared_passages(place: Place, sizes: Sequence[int]) -> Measurement:
    """(k): the whole job with and without passages, and without boilerplate detection, on texts that repeat phrases like real news."""
    ways: dict[str, dict[str, Any]] = {
        "none": {"passages": False},
        "passages": {},
        "passages, nothing learned": {"boilerplate_articles": 0},
    }
    rows: list[tuple[Cell, ...]] = []
    for number in sizes:
        crawl, database = place.crawl(number, "phrases"), place.folder / "other.db"
        base = None
        jobs.warm(crawl)
        for name, facts in ways.items():
            jobs.forget(database)
            place.say(f"scanning {number:,} articles with phrases: {name}")
            said = jobs.run("scan", None, crawl=crawl, database=database, engine="dedup", workers=0, **facts).said
            base = base or said["seconds"]
            throughput = Figure(base / said["seconds"], "of that without", target=Target(0.7) if name == "passages" else None)
            index = Path(f"{database}.passages")
            size = Figure(index.stat().st_size / number, "bytes", target=Target(500, at_least=False)) if index.exists() else Figure(None)
            false = (said["compared"] - said["matched"]) / number
            found = truth.wire(database, number)
            rows.append(
                (f"{number:,}", name, Figure(said["seconds"], "s"), throughput, Figure(said["compared"] / number), Figure(false),
                 Figure(found * 100, "%"), size)
            )  # fmt: skip
    jobs.forget(database)
    return Measurement(
        "k",
        "Shared passages, where phrases repeat",
        (
            "articles",
            "looked for",
            "time",
            "throughput",
            "pairs compared, an article",
            "in vain",
            "wire copies found",
            "passage index, an article",
        ),
        tuple(rows),
        "Articles of kind `phrases`: 3 stock phrases in each from a library of a million, a third with a tail of their publisher's, a"
        " tenth of all wire copies with another lead, other endings, cuts and a tail (Jaccard with their source 0.2 to 0.77). How"
        " often long n-grams recur was set by measuring real text: see `python -m benchmarks.repetition`. One process for each"
        " processor. A wire copy counts as found if it is an exact, near or copy match of its source.",
    )


def searches(place: Place, sizes: Sequence[int]) -> Measurement:
    """(l): the search index, and queries."""
    rows: list[tuple[Cell, ...]] = []
    for number in sizes:
        place.scanned(number)
        place.say(f"filling the search index with {number:,} articles")
        said = jobs.run("search", path=place.database(number)).said
        rows += [
            (f"{number:,}", "entering a text", Figure(said["all"] * 1e6, "µs"), ""),
            (f"{number:,}", "entering one of the last tenth", Figure(said["late"] * 1e6, "µs"), ""),
            (f"{number:,}", "size of the index, a text", Figure(said["bytes"] / said["texts"], "bytes"), ""),
        ]
        limit = Target(30, at_least=False)
        for what, (_, seconds, hits) in said["queries"].items():
            rows.append((f"{number:,}", f"asking for what is {what}" if what.startswith("in ") else f"asking for {what}",
                         Figure(seconds * 1e3, "ms", target=limit), Figure(hits)))  # fmt: skip
    return Measurement(
        "l",
        "Search",
        ("articles", "what", "cost", "hits on the first page"),
        tuple(rows),
        "Processor time of one process, reading from the database included. A page has 20 hits at most, each checked"
        f" against its row and shown with its context; opening the index is included. Medians of {jobs.REPEATS}.",
    )


def growth(place: Place, number: int) -> Measurement:
    """(j): the cost of each stage early and late in one long scan."""
    database = place.folder / "other.db"
    jobs.forget(database)
    crawl = place.crawl(number)
    place.say(f"scanning {number:,} articles with a clock on every stage")
    marks = jobs.run("stages", crawl=crawl, database=database).said["marks"]
    jobs.forget(database)
    columns: dict[str, dict[str, float]] = {}
    for at in [10**n for n in range(4, 9) if 10**n < number] + [number]:
        begun = next(mark for mark in marks if mark[0] >= at // 2)
        ended = next((mark for mark in marks if at < number and mark[0] >= at * 3 // 2), marks[-1])
        articles_ = ended[0] - begun[0]
        columns[f"{begun[0]:,} to {ended[0]:,}"] = {
            stage: (seconds - begun[1].get(stage, 0)) / articles_ * 1e6 for stage, seconds in ended[1].items()
        }
    last = list(columns.values())[-1]
    rows: list[tuple[Cell, ...]] = [
        (stage, *(Figure(column[stage], "µs") for column in columns.values())) for stage in sorted(last, key=lambda stage: -last[stage])
    ]
    sums = [sum(column.values()) for column in columns.values()]
    limit = Target(1.3, at_least=False) if number >= 1_000_000 else None
    rows.append(("all", *(Figure(cost, "µs") for cost in sums)))
    rows.append(("against the first", *(Figure(cost / sums[0], "×", target=limit if cost is sums[-1] else None) for cost in sums)))
    return Measurement(
        "j",
        f"Where the time goes, and how it grows: within one scan of {number:,} articles",
        ("an article's share of", *columns),
        tuple(rows),
        "One process. Columns are the articles whose mean is shown. Times are those of a stage without the stages nested within it; the"
        " clocks add a few µs.",
    )

"""Whole jobs, each in a process that is monitored from outside: a scan, a rescan, opening the indexes, searches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import engines
from benchmarks.machine import field
from benchmarks.peers.environment import UnavailableError, last_line
from benchmarks.stages import stages
from dedup import store
from dedup.config import CrawlConfig, DatabaseConfig, DuplicatesConfig, Settings
from dedup.matching.thresholds import Assessment, MatchCriteria
from dedup.pipeline.scanner import Scan
from dedup.pipeline.session import open_session
from dedup.runtime import process
from dedup.search import rebuild, search_revisions
from dedup.store import open_database, open_writable
from dedup.text.publishers import PublisherResolver

ROOT = Path(__file__).resolve().parents[1]
SAMPLED_SECONDS = 0.05
"""Seconds between two samples of memory."""
REPEATS = 5
"""Repetitions of a quick measurement; the median counts."""


@dataclass(frozen=True, slots=True)
class Done:
    """The output of a job, and its peak memory: RssAnon of all its processes in bytes. This leaves out pages of files, which the kernel
    reclaims when needed."""

    said: dict[str, Any]
    anonymous_bytes: int


def settings(crawl: Path, database: Path, *, workers: int, engine: str = "dedup", **duplicates: object) -> Settings:
    """Return the shipped configuration for a crawl directory, except for the settle time and the given values of `[duplicates]`. Other
    engines do not support passages."""
    usual = DuplicatesConfig().model_copy(update={"passages": engine == "dedup", **duplicates})
    least = engines.least_characters(engine, usual.min_characters)
    return Settings(
        crawl=CrawlConfig(directories=(str(crawl),), settle_seconds=0.0, workers=workers),
        database=DatabaseConfig(path=str(database)),
        duplicates=usual.model_copy(update={"min_characters": least}),
    )


def warm(crawl: Path) -> None:
    """Read every file once, so that the page cache holds as many of them as fit before they are measured."""
    for folder, _, names in os.walk(crawl):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                file.read()


def forget(database: Path) -> None:
    """Remove a database and the files next to it."""
    for end in ("", "-wal", "-shm", ".lock", ".index", ".index.new", ".passages", ".passages.new", ".search"):
        Path(f"{database}{end}").unlink(missing_ok=True)


def run(job: str, packages: Path | None = None, **facts: object) -> Done:
    """Run a job of this module (`scan`, `rescan`, `open_index`, `stages`, `search`) in a new process. `packages` is a folder of
    further packages.

    Raises UnavailableError with the last line of its error output if it fails.
    """
    surroundings = os.environ | {"PYTHONPATH": str(ROOT), "BENCHMARK_PACKAGES": str(packages or "")}
    command = [sys.executable, "-m", "benchmarks.jobs", job, json.dumps(facts, default=str)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out, tempfile.TemporaryFile("w+", encoding="utf-8") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT, env=surroundings)  # noqa: S603  ourselves
        most = 0
        try:
            while process.poll() is None:
                most = max(most, sum(map(anonymous, _family(process.pid))))
                time.sleep(SAMPLED_SECONDS)
        finally:
            process.kill()
            process.wait()
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise UnavailableError(f"{job}: {last_line(err.read()) or process.returncode}")
        return Done(json.loads(out.read().strip().rpartition("\n")[2]), most)


def _family(pid: int) -> Iterable[int]:
    yield pid
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="ascii").split():
                yield from _family(int(child))
    except OSError:
        return  # it has ended


def anonymous(pid: int) -> int:
    """Return the anonymous memory (RssAnon) of a process in bytes; 0 if it has ended."""
    try:
        held = field(Path(f"/proc/{pid}/status"), "RssAnon")
    except OSError:
        held = None
    return int(held.split()[0]) * 1024 if held else 0


def _scan(crawl: str, database: str, engine: str, workers: int, **duplicates: object) -> dict[str, Any]:
    """From files on disk to a committed database; counts `compared` pairs, and those that `matched`."""
    usual = DuplicatesConfig()
    engines.install(engine, usual.threshold, usual.num_perm)
    judged = _counted()
    begun = time.perf_counter()
    process.prepare_for_scanning()
    with open_session(settings(Path(crawl), Path(database), workers=workers, engine=engine, **duplicates), "benchmark") as session:
        tally = Scan(session).run()
    return {"seconds": time.perf_counter() - begun, "tally": tally.as_json(), **judged}


def _counted() -> dict[str, int]:
    """Count the pairs that are compared from now on."""
    counts = {"compared": 0, "matched": 0}
    judge = MatchCriteria.assess

    def counting(*arguments: Any, **named: Any) -> Assessment:
        found = judge(*arguments, **named)
        counts["compared"] += 1
        counts["matched"] += found.relation is not None
        return found

    MatchCriteria.assess = counting  # type: ignore[method-assign]
    return counts


def _rescan(crawl: str, database: str) -> dict[str, Any]:
    """Seconds of a scan of an unchanged directory, and of a mere walk with a `stat` for each file, in turn."""
    scans, walks = [], []
    process.prepare_for_scanning()
    with open_session(settings(Path(crawl), Path(database), workers=1), "benchmark") as session:
        for _ in range(REPEATS):
            walks.append(_timed(lambda: _walk(os.fsencode(crawl))))
            scans.append(_timed(lambda: Scan(session).run()))
    return {"scans": scans, "walks": walks}


def _walk(folder: bytes) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _walk(entry.path)
            else:
                entry.stat(follow_symlinks=False)


def _open_index(crawl: str, database: str) -> dict[str, Any]:
    """Seconds until the candidate index and the passage index are ready."""
    process.prepare_for_scanning()
    with open_session(settings(Path(crawl), Path(database), workers=1), "benchmark") as session:
        return {"seconds": _timed(session.matcher.open_candidate_index) + _timed(session.matcher.open_passage_index)}


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _stages(crawl: str, database: str) -> dict[str, Any]:
    return stages(settings(Path(crawl), Path(database), workers=1))


def _search(path: str) -> dict[str, Any]:
    """Seconds of processor time for entering a text into the search index, for all texts and for the last tenth; then for each query
    its description, its seconds of processor time and the hits on its first page."""
    marks = [(0, time.process_time())]
    with open_writable(path, "benchmark") as database:
        rebuild(database, lambda number: marks.append((marks[-1][0] + number, time.process_time())))
        size = os.path.getsize(database.search_index_path())
    late = next(mark for mark in marks if mark[0] >= 0.9 * marks[-1][0])
    with open_database(path) as database:
        body = store.search.revisions(database, [store.search.last_revision_id(database) // 2])[0].body or ""
        taken = {}
        for what, asked in _asked(body.split()).items():
            seconds = []
            for _ in range(REPEATS):
                begun = time.process_time()
                found = search_revisions(database, PublisherResolver(), asked)
                seconds.append(time.process_time() - begun)
            taken[what] = asked, sorted(seconds)[REPEATS // 2], len(found.hits)
    last = marks[-1]
    return {"texts": last[0], "all": (last[1] - marks[0][1]) / last[0], "late": (last[1] - late[1]) / (last[0] - late[0] or 1),
            "bytes": size, "queries": taken}  # fmt: skip


def _asked(body: list[str]) -> dict[str, str]:
    """Search queries, some of them from a body in the middle of the corpus."""
    return {
        "in every article": "news",
        "in most": "했다",
        "a word": body[3],
        "two words": " ".join(body[5:7]),
        "a phrase": '"' + " ".join(body[8:10]) + '"',
        "in a title": "title:했다",
        "in none": "없는낱말입니다",
    }


_JOBS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "scan": _scan,
    "rescan": _rescan,
    "open_index": _open_index,
    "stages": _stages,
    "search": _search,
}


def main() -> None:
    """`python -m benchmarks.jobs JOB JSON`, as started by `run`."""
    if packages := os.environ["BENCHMARK_PACKAGES"]:
        sys.path.append(packages)  # last: only packages missing here are imported from there
    print(json.dumps(_JOBS[sys.argv[1]](**json.loads(sys.argv[2]))))


if __name__ == "__main__":
    main()

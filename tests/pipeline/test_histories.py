"""Histories of files against a model: whatever is written, moved, cut off, deleted and scanned, the database holds what it should."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from dedup import reports
from dedup.config import CrawlConfig, DatabaseConfig, DuplicatesConfig, Settings
from dedup.scan.scanner import Scan
from dedup.scan.session import Session, open_session
from dedup.store import open_database
from tests.builders import doctor as examining
from tests.builders.crawl import edited, words
from tests.builders.history_model import Model, Path_, Written, rows_of

ROOTS = ("one", "two")
_RNG = random.Random(20260302)
_STORIES = [words(_RNG, 45) for _ in range(2)]
BODIES = tuple(
    " ".join(edited(random.Random(n), story, share)) for n, (story, share) in enumerate((s, x) for s in _STORIES for x in (0.0, 0.04))
)
CRAWLS = tuple(f"2026-03-0{day} 01:00:00" for day in range(2, 6))
BEGUN = 1_772_500_000
"""Seconds of the first modification time."""
CLAIMS = ("right", "right", "right", "none", "wrong", "malformed", "stale")
PATHS = tuple((root, folder + name) for root in ROOTS for folder in ("", "deep/") for name in ("a.md", "b.md", "c.md"))


@dataclass(frozen=True)
class Seen:
    """A path as a scan met it: what it held (None: it was not there), and its modification time."""

    path: Path_
    written: Written | None
    mtime: int


class World:
    """Two crawl directories, a database and a session; what was seen of each path is kept in order."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        for root in ROOTS:
            (self.folder / root).mkdir()
            (self.folder / root / "keep.txt").touch()  # a directory that is empty might not be there at all
        self.db = self.folder / "dedup.db"
        crawl = CrawlConfig(directories=tuple(str(self.folder / root) for root in ROOTS), settle_seconds=0.0, workers=1)
        found = Settings(crawl=crawl, database=DatabaseConfig(path=str(self.db)), duplicates=DuplicatesConfig(passages=False))
        self.session: Session = self._stack.enter_context(open_session(found, "test"))
        Scan(self.session).run()

    def close(self) -> None:
        self._stack.close()

    def place(self, path: Path_) -> Path:
        return self.folder / path[0] / path[1]

    def lay(self, path: Path_, written: Written | None, mtime: int) -> None:
        place = self.place(path)
        if written is None:
            place.unlink(missing_ok=True)
            return
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(written.render())
        os.utime(place, (mtime, mtime))

    def take(self, paths: Sequence[Path_]) -> None:
        scan = Scan(self.session)
        for root, name in zip(self.session.directories, ROOTS, strict=True):
            scan.check_paths(root, [p[1].encode() for p in paths if p[0] == name])
        scan.close()

    def subtrees(self, paths: Sequence[Path_]) -> None:
        scan = Scan(self.session)
        for root, name in zip(self.session.directories, ROOTS, strict=True):
            for folder in sorted({p[1].rpartition("/")[0] for p in paths if p[0] == name}):
                scan.reconcile_folder(root, folder.encode())
        scan.close()

    def dump(self) -> list[dict[str, Any]]:
        with open_database(str(self.db)) as database:
            return list(reports.dump_rows(database))


def claim_of(kind: str, body: str, other: str) -> str:
    """What a file claims."""
    claims = {"right": body, "stale": other}
    if kind in claims:
        return hashlib.sha256(claims[kind].encode()).hexdigest()
    return {"none": "", "wrong": "0" * 64, "malformed": "not a digest!"}[kind]


WRITTEN = st.builds(
    lambda page, title, body, other, crawl, claim, spelling: Written(
        page, f"Title {title}", BODIES[body], crawl, claim_of(claim, BODIES[body], BODIES[other]), spelling=spelling
    ),
    page=st.integers(1, 3),
    title=st.sampled_from((0, 0, 0, 1)),
    body=st.integers(0, len(BODIES) - 1),
    other=st.integers(0, len(BODIES) - 1),
    crawl=st.sampled_from((*CRAWLS, *CRAWLS, None, None)),
    claim=st.sampled_from(CLAIMS),
    spelling=st.sampled_from((0, 0, 1)),
)


class Histories(RuleBasedStateMachine):
    """What happens to files between scans, and the three ways in which scans come."""

    histories = 0

    @initialize()
    def begin(self) -> None:
        Histories.histories += 1
        self.world, self.model = World(), Model()
        self.there: dict[Path_, tuple[Written, int]] = {}
        self.touched: set[Path_] = set()
        self.seen: list[list[Seen]] = []
        self.clock = 0

    def _lay(self, path: Path_, written: Written | None, mtime: int) -> None:
        self.world.lay(path, written, mtime)
        self.touched.add(path)
        if written is None:
            self.there.pop(path, None)
        else:
            self.there[path] = written, mtime

    @rule(path=st.sampled_from(PATHS), written=WRITTEN, hours=st.integers(0, 3))
    def write(self, path: Path_, written: Written, hours: int) -> None:
        self.clock += 1
        self._lay(path, written, BEGUN + 3600 * (hours + self.clock))

    @precondition(lambda self: self.there)
    @rule(data=st.data(), body=st.integers(0, len(BODIES) - 1), claim=st.sampled_from(CLAIMS))
    def overwrite(self, data: st.DataObject, body: int, claim: str) -> None:
        """The same crawl again, or the page as it was when nothing says when it was crawled."""
        path = data.draw(st.sampled_from(sorted(self.there)))
        old, _ = self.there[path]
        self.clock += 1
        new = Written(old.page, old.title, BODIES[body], old.crawl, claim_of(claim, BODIES[body], BODIES[0]), spelling=old.spelling)
        self._lay(path, new, BEGUN + 3600 * self.clock)

    @precondition(lambda self: self.there)
    @rule(data=st.data(), share=st.floats(0.1, 0.9), fault=st.sampled_from((False, False, True)))
    def cut(self, data: st.DataObject, share: float, fault: bool) -> None:
        """The file ends within the body, perhaps within a character, or before the body begins."""
        path = data.draw(st.sampled_from(sorted(self.there)))
        old, mtime = self.there[path]
        claim = claim_of("right", old.body, "") if old.claim else ""
        kept = max(1, int(share * len(old.body.encode())))
        self._lay(
            path,
            Written(old.page, old.title, old.body, old.crawl, claim, spelling=old.spelling, kept=None if fault else kept, fault=fault),
            mtime,
        )

    @precondition(lambda self: self.there)
    @rule(data=st.data(), to=st.sampled_from(PATHS), move=st.booleans())
    def move_or_copy(self, data: st.DataObject, to: Path_, move: bool) -> None:
        path = data.draw(st.sampled_from(sorted(self.there)))
        if path == to:
            return
        written, mtime = self.there[path]
        self.world.place(to).parent.mkdir(exist_ok=True)
        if move:
            os.replace(self.world.place(path), self.world.place(to))
            self.touched.add(path)
            del self.there[path]
        else:
            shutil.copy2(self.world.place(path), self.world.place(to))
        self.touched.add(to)
        self.there[to] = written, mtime

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self._lay(data.draw(st.sampled_from(sorted(self.there))), None, 0)

    @precondition(lambda self: self.touched)
    @rule(how=st.sampled_from(("scan", "take", "subtree")))
    def scan(self, how: str) -> None:
        paths = sorted(self.touched)
        self.touched.clear()
        if how == "scan":
            tally = Scan(self.world.session).run()
            assert tally.files == len(self.there) + len(ROOTS)
            counted = tally.new + tally.changed + tally.unchanged + tally.moved + tally.faults + tally.unsettled + tally.ignored.total()
            assert counted == tally.files
        elif how == "take":
            self.world.take(paths)
        else:
            self.world.subtrees(paths)
        self.seen.append([Seen(p, *self.there.get(p, (None, 0))) for p in paths])
        for seen in self.seen[-1]:
            self.model.see(seen.path, seen.written, seen.mtime)
        found = rows_of(self.world.dump())
        wrong = unlike(found, self.model.rows())
        assert not wrong, pformat(wrong)
        assert set(found["other matches"]) <= self.model.pairs() - self.model.matches()

    def teardown(self) -> None:
        """Nothing that is computed is wrong; the same files, seen in another order and in other batches, end in the same database."""
        if not hasattr(self, "world"):
            return
        try:
            assert examining.wrong(self.world.session.settings, writing=True) == []
            if self.seen:
                wrong = unlike({"otherwise": recorded_otherwise(self.seen)}, {"otherwise": self.world.dump()})
                assert not wrong, pformat(wrong)
        finally:
            self.world.close()


def unlike(found: Mapping[str, Sequence[Any]], expected: Mapping[str, Sequence[Any]]) -> dict[str, tuple[list[Any], list[Any]]]:
    """Table → (rows that should not be there, rows that are missing)."""
    return {
        table: ([r for r in found[table] if r not in expected[table]], [r for r in expected[table] if r not in found[table]])
        for table in expected
        if found[table] != expected[table]
    }


def recorded_otherwise(seen: list[list[Seen]]) -> list[dict[str, Any]]:
    """The dump after what was seen of each path came in its own order, but mixed with that of other paths otherwise."""
    of_path: dict[Path_, list[Seen]] = {}
    for one in (one for some in seen for one in some):
        of_path.setdefault(one.path, []).append(one)
    rng = random.Random(repr(seen))
    world = World()
    try:
        while of_path:
            paths = rng.sample(sorted(of_path), rng.randint(1, min(3, len(of_path))))
            for path in paths:
                one = of_path[path].pop(0)
                world.lay(path, one.written, one.mtime)
                if not of_path[path]:
                    del of_path[path]
            world.take(paths)
        return world.dump()
    finally:
        world.close()


_QUICK = settings(
    max_examples=8,
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_the_database_holds_what_files_showed() -> None:
    run_state_machine_as_test(Histories, settings=_QUICK)


@pytest.mark.system
@pytest.mark.timeout(0)
def test_the_database_holds_what_files_showed_in_many_histories() -> None:
    examples = int(os.environ.get("HISTORIES", "250"))
    found = settings(_QUICK, max_examples=examples, stateful_step_count=30, phases=(Phase.explicit, Phase.generate))
    run_state_machine_as_test(Histories, settings=found)

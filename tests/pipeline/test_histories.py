"""Random histories of files (written, moved, truncated, deleted, scanned) compared with a model of the database."""

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
from dedup.pipeline.scanner import Scan
from dedup.pipeline.session import Session, open_session
from dedup.store import open_database
from tests.builders import doctor as examining
from tests.builders.crawl import edit_words, words
from tests.builders.history_model import FileContent, Model, PathKey, rows_of

pytestmark = pytest.mark.slow

ROOTS = ("one", "two")
_RNG = random.Random(20260302)
_STORIES = [words(_RNG, 45) for _ in range(2)]
BODIES = tuple(
    " ".join(edit_words(random.Random(n), story, share)) for n, (story, share) in enumerate((s, x) for s in _STORIES for x in (0.0, 0.04))
)
CRAWLS = tuple(f"2026-03-0{day} 01:00:00" for day in range(2, 6))
FIRST_MTIME = 1_772_500_000
"""In seconds since the epoch."""
CLAIMS = ("right", "right", "right", "none", "wrong", "malformed", "stale")
PATHS = tuple((root, folder + name) for root in ROOTS for folder in ("", "deep/") for name in ("a.md", "b.md", "c.md"))


@dataclass(frozen=True)
class Observation:
    """A path as a scan saw it: its content (None: no file) and modification time."""

    path: PathKey
    written: FileContent | None
    mtime: int


class World:
    """Two crawl directories, a database and a session."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        for root in ROOTS:
            (self.folder / root).mkdir()
            (self.folder / root / "keep.txt").touch()  # an empty directory may count as absent
        self.db = self.folder / "dedup.db"
        crawl = CrawlConfig(directories=tuple(str(self.folder / root) for root in ROOTS), settle_seconds=0.0, workers=1)
        settings_ = Settings(crawl=crawl, database=DatabaseConfig(path=str(self.db)), duplicates=DuplicatesConfig(passages=False))
        self.session: Session = self._stack.enter_context(open_session(settings_, "test"))
        Scan(self.session).run()

    def close(self) -> None:
        self._stack.close()

    def place(self, path: PathKey) -> Path:
        return self.folder / path[0] / path[1]

    def write(self, path: PathKey, written: FileContent | None, mtime: int) -> None:
        place = self.place(path)
        if written is None:
            place.unlink(missing_ok=True)
            return
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(written.render())
        os.utime(place, (mtime, mtime))

    def check_paths(self, paths: Sequence[PathKey]) -> None:
        scan = Scan(self.session)
        for root, root_name in zip(self.session.directories, ROOTS, strict=True):
            scan.check_paths(root, [p[1].encode() for p in paths if p[0] == root_name])
        scan.close()

    def reconcile_folders(self, paths: Sequence[PathKey]) -> None:
        scan = Scan(self.session)
        for root, root_name in zip(self.session.directories, ROOTS, strict=True):
            for folder in sorted({p[1].rpartition("/")[0] for p in paths if p[0] == root_name}):
                scan.reconcile_folder(root, folder.encode())
        scan.close()

    def dump(self) -> list[dict[str, Any]]:
        with open_database(str(self.db)) as database:
            return list(reports.dump_rows(database))


def claim_of(kind: str, body: str, other: str) -> str:
    """The claimed digest of a file."""
    claims = {"right": body, "stale": other}
    if kind in claims:
        return hashlib.sha256(claims[kind].encode()).hexdigest()
    return {"none": "", "wrong": "0" * 64, "malformed": "not a digest!"}[kind]


WRITTEN = st.builds(
    lambda page, title, body, other, crawl, claim, spelling: FileContent(
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
    """Operations on files, and the three ways to scan them."""

    histories = 0

    @initialize()
    def begin(self) -> None:
        Histories.histories += 1
        self.world, self.model = World(), Model()
        self.files: dict[PathKey, tuple[FileContent, int]] = {}
        self.dirty: set[PathKey] = set()
        self.observations: list[list[Observation]] = []
        self.clock = 0

    def _write(self, path: PathKey, written: FileContent | None, mtime: int) -> None:
        self.world.write(path, written, mtime)
        self.dirty.add(path)
        if written is None:
            self.files.pop(path, None)
        else:
            self.files[path] = written, mtime

    @rule(path=st.sampled_from(PATHS), written=WRITTEN, hours=st.integers(0, 3))
    def write(self, path: PathKey, written: FileContent, hours: int) -> None:
        self.clock += 1
        self._write(path, written, FIRST_MTIME + 3600 * (hours + self.clock))

    @precondition(lambda self: self.files)
    @rule(data=st.data(), body=st.integers(0, len(BODIES) - 1), claim=st.sampled_from(CLAIMS))
    def overwrite(self, data: st.DataObject, body: int, claim: str) -> None:
        """Write another body for the same crawl time, if the file has one."""
        path = data.draw(st.sampled_from(sorted(self.files)))
        old, _ = self.files[path]
        self.clock += 1
        new = FileContent(old.page, old.title, BODIES[body], old.crawl, claim_of(claim, BODIES[body], BODIES[0]), spelling=old.spelling)
        self._write(path, new, FIRST_MTIME + 3600 * self.clock)

    @precondition(lambda self: self.files)
    @rule(data=st.data(), share=st.floats(0.1, 0.9), fault=st.sampled_from((False, False, True)))
    def cut(self, data: st.DataObject, share: float, fault: bool) -> None:
        """Truncate a file within its body (perhaps within a character) or before it."""
        path = data.draw(st.sampled_from(sorted(self.files)))
        old, mtime = self.files[path]
        claim = claim_of("right", old.body, "") if old.claim else ""
        size = max(1, int(share * len(old.body.encode())))
        self._write(
            path,
            FileContent(old.page, old.title, old.body, old.crawl, claim, spelling=old.spelling, kept=None if fault else size, fault=fault),
            mtime,
        )

    @precondition(lambda self: self.files)
    @rule(data=st.data(), to=st.sampled_from(PATHS), move=st.booleans())
    def move_or_copy(self, data: st.DataObject, to: PathKey, move: bool) -> None:
        path = data.draw(st.sampled_from(sorted(self.files)))
        if path == to:
            return
        written, mtime = self.files[path]
        self.world.place(to).parent.mkdir(exist_ok=True)
        if move:
            os.replace(self.world.place(path), self.world.place(to))
            self.dirty.add(path)
            del self.files[path]
        else:
            shutil.copy2(self.world.place(path), self.world.place(to))
        self.dirty.add(to)
        self.files[to] = written, mtime

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self._write(data.draw(st.sampled_from(sorted(self.files))), None, 0)

    @precondition(lambda self: self.dirty)
    @rule(how=st.sampled_from(("scan", "paths", "folders")))
    def scan(self, how: str) -> None:
        paths = sorted(self.dirty)
        self.dirty.clear()
        if how == "scan":
            tally = Scan(self.world.session).run()
            assert tally.files == len(self.files) + len(ROOTS)
            total = tally.new + tally.changed + tally.unchanged + tally.moved + tally.faults + tally.unsettled + tally.ignored.total()
            assert total == tally.files
        elif how == "paths":
            self.world.check_paths(paths)
        else:
            self.world.reconcile_folders(paths)
        self.observations.append([Observation(p, *self.files.get(p, (None, 0))) for p in paths])
        for observation in self.observations[-1]:
            self.model.see(observation.path, observation.written, observation.mtime)
        rows = rows_of(self.world.dump())
        differences = differences_between(rows, self.model.rows())
        assert not differences, pformat(differences)
        assert set(rows["other matches"]) <= self.model.pairs() - self.model.matches()

    def teardown(self) -> None:
        """Derived data is correct, and the same observations in another order and other batches end in the same database."""
        if not hasattr(self, "world"):
            return
        try:
            assert examining.content_problems(self.world.session.settings, writing=True) == []
            if self.observations:
                differences = differences_between({"dump": dump_after_reordering(self.observations)}, {"dump": self.world.dump()})
                assert not differences, pformat(differences)
        finally:
            self.world.close()


def differences_between(
    actual: Mapping[str, Sequence[Any]], expected: Mapping[str, Sequence[Any]]
) -> dict[str, tuple[list[Any], list[Any]]]:
    """Table → (rows that should not be there, rows that are missing)."""
    return {
        table: ([r for r in actual[table] if r not in expected[table]], [r for r in expected[table] if r not in actual[table]])
        for table in expected
        if actual[table] != expected[table]
    }


def dump_after_reordering(observations: list[list[Observation]]) -> list[dict[str, Any]]:
    """The dump after the same observations per path in the same order, interleaved differently between paths."""
    of_path: dict[PathKey, list[Observation]] = {}
    for observation in (observation for batch in observations for observation in batch):
        of_path.setdefault(observation.path, []).append(observation)
    rng = random.Random(repr(observations))
    world = World()
    try:
        while of_path:
            paths = rng.sample(sorted(of_path), rng.randint(1, min(3, len(of_path))))
            for path in paths:
                observation = of_path[path].pop(0)
                world.write(path, observation.written, observation.mtime)
                if not of_path[path]:
                    del of_path[path]
            world.check_paths(paths)
        return world.dump()
    finally:
        world.close()


_QUICK = settings(
    max_examples=8,
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_the_database_equals_the_model_after_any_history_of_files() -> None:
    run_state_machine_as_test(Histories, settings=_QUICK)


@pytest.mark.system
@pytest.mark.timeout(0)
def test_the_database_equals_the_model_after_many_long_histories() -> None:
    examples = int(os.environ.get("HISTORIES", "250"))
    long_run = settings(_QUICK, max_examples=examples, stateful_step_count=30, phases=(Phase.explicit, Phase.generate))
    run_state_machine_as_test(Histories, settings=long_run)

"""The candidate index against datasketch's own; what a full bucket still promises; and that damage is never believed."""

from __future__ import annotations

import errno
import logging
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from datasketch import MinHashLSH
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup.errors import TooManyTextsError
from dedup.index import hashtable, lsh, probing
from dedup.similarity import jit, minhash
from tests.builders.crawl import edited, words

UUID = bytes(range(16))
TOKEN = b"t" * 16


def signatures(number: int, share: float = 0.1, families: int = 1) -> list[bytes]:
    rng = random.Random(4)
    stories = [words(rng, 80) for _ in range(families)]
    bodies = [" ".join(edited(rng, stories[n % families], share)) for n in range(number)]
    return [s.signature for s in minhash.sign_texts(bodies, 128, 0) if s.signature]


def unlike(number: int) -> list[bytes]:
    """Signatures that share nothing."""
    rng = np.random.default_rng(7)
    return [row.tobytes() for row in rng.integers(0, 1 << 32, (number, 128), dtype=np.uint32)]


def fresh(path: Path, threshold: float = 0.7) -> lsh.CandidateIndex:
    return lsh.new_index(str(path), UUID, threshold, 128)


def filled(path: Path, those: list[bytes], threshold: float = 0.7, step: int = 100) -> lsh.CandidateIndex:
    index = fresh(path, threshold)
    for start in range(0, len(those), step):
        part = those[start : start + step]
        index.add(list(range(start + 1, start + len(part) + 1)), part, TOKEN)
    return index


class Store:
    """What the index asks of a database that holds these signatures as of commit TOKEN, earlier commits being known too."""

    def __init__(self, those: list[bytes], known: dict[bytes, int] | None = None) -> None:
        self.those = those
        self.known = {bytes(16): 0, TOKEN: len(those)} | (known or {})
        self.asked: list[int] = []

    def signatures(self, beyond: int) -> Iterator[tuple[int, bytes]]:
        self.asked.append(beyond)
        return ((n, s) for n, s in enumerate(self.those, 1) if n > beyond)

    def open(self, path: Path, uuid: bytes = UUID) -> lsh.CandidateIndex:
        return lsh.open_index(str(path), uuid, 0.7, 128, TOKEN, self.known.get, self.signatures)


def answers(index: lsh.CandidateIndex, those: list[bytes]) -> list[dict[int, int]]:
    return [m.candidates for s in those for m in index.query([0], [s])]


# Candidates


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_candidates_are_those_of_datasketch(either: str, tmp_path: Path, threshold: float) -> None:
    index = fresh(tmp_path / "index", threshold)
    oracle = MinHashLSH(num_perm=128, params=minhash.choose_bands(threshold, 128))
    those = signatures(60, 0.03)
    for start in range(0, 60, 7):  # in batches: those before it in the batch are met too
        part = those[start : start + 7]
        numbers = list(range(start + 1, start + 1 + len(part)))
        met = index.query(numbers, part)
        for number, signature, found in zip(numbers, part, met, strict=True):
            assert sorted(found.candidates) == sorted(oracle.query(minhash.to_datasketch(signature)))
            assert not found.crowded
            oracle.insert(number, minhash.to_datasketch(signature))
        index.add(numbers, part, TOKEN)
    assert max(map(len, answers(index, those))) > 5


def test_the_bands_shared_are_counted(either: str, tmp_path: Path) -> None:
    those = signatures(30)
    bands, rows = minhash.choose_bands(0.7, 128)
    cut = [[s[4 * rows * b : 4 * rows * (b + 1)] for b in range(bands)] for s in those]
    for i, met in enumerate(fresh(tmp_path / "index").query(list(range(1, 31)), those)):
        shared = {j + 1: sum(x == y for x, y in zip(cut[i], cut[j], strict=True)) for j in range(i)}
        assert met.candidates == {j: n for j, n in shared.items() if n}


def test_a_text_is_not_its_own_candidate_and_adding_twice_changes_nothing(either: str, tmp_path: Path) -> None:
    (signature,) = signatures(1)
    index = fresh(tmp_path / "index")
    index.add([1], [signature], TOKEN)
    index.add([1], [signature], TOKEN)
    assert answers(index, [signature]) == [{1: 25}]
    assert index.query([1], [signature]) == [lsh.LshCandidates({}, crowded=False)]


def test_both_forms_make_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    those = [*signatures(150), *unlike(300)]
    made = []
    for engaged in (False, True):
        monkeypatch.setattr(jit._JitState, "enabled", engaged)
        filled(tmp_path / "index", those)
        made.append((tmp_path / "index").read_bytes())
    assert made[0] == made[1]


# Full buckets


def test_a_full_bucket_keeps_so_many_gives_a_few_and_says_so(either: str, tmp_path: Path) -> None:
    (signature,) = signatures(1, 0)
    index = fresh(tmp_path / "index")
    numbers = list(range(1, lsh.MAX_BUCKET + 11))
    met = index.query(numbers, [signature] * len(numbers))
    assert [m.crowded for m in met] == [False] * lsh.MAX_BUCKET + [True] * 10
    assert list(met[lsh.MAX_BUCKET - 1].candidates) == list(range(1, lsh.MAX_BUCKET))
    assert list(met[-1].candidates) == list(range(1, lsh.INITIAL_CANDIDATES + 1))
    index.add(numbers, [signature] * len(numbers), TOKEN)
    assert index.query([999], [signature]) == [lsh.LshCandidates(dict.fromkeys(range(1, lsh.INITIAL_CANDIDATES + 1), 25), crowded=True)]
    assert list(index.query([999], [signature], initial_limit=lsh.MAX_BUCKET)[0].candidates) == list(range(1, lsh.MAX_BUCKET + 1))


def test_a_bucket_that_fills_over_several_batches_is_the_same(either: str, tmp_path: Path) -> None:
    (signature,) = signatures(1, 0)
    one = filled(tmp_path / "one", [signature] * 100, step=7)
    other = filled(tmp_path / "other", [signature] * 100, step=100)
    assert answers(one, [signature]) == answers(other, [signature])


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=250), st.integers(1, 70), st.booleans())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_table_holds_what_a_dictionary_of_lists_would(either: str, entries: list[tuple[int, int]], cap: int, grown: bool) -> None:
    """Hashes that crowd at one end of a small table, among them many equal ones."""
    hashes = np.array([(1 << 35) - 1 - h * 3 for h, _ in entries], np.int64)
    texts = np.arange(1, len(entries) + 1, dtype=np.int64)
    slots = np.zeros(300, np.int64)
    run = jit.compiled
    made, sum_ = run(probing.insert)(
        hashtable.to_kernel_array(slots), 30, hashtable.to_kernel_array(hashes), hashtable.to_kernel_array(texts), 1, cap
    )
    if grown:
        larger = np.zeros(400, np.int64)
        moved, sum_ = run(probing.rehash)(hashtable.to_kernel_array(slots), hashtable.to_kernel_array(larger), 77)
        assert moved == made
        slots = larger
    held: dict[int, list[int]] = {}
    for h, t in zip(hashes.tolist(), texts.tolist(), strict=True):
        if len(held.setdefault(h, [])) < cap:
            held[h].append(t)
    there = [(s >> 28, s & (1 << 28) - 1) for s in slots.tolist() if s]
    assert {h: [t for x, t in there if x == h] for h in held} == held
    assert made == sum(map(len, held.values()))
    assert hashtable._compute_checksum(slots) == (sum_ % (1 << 64), made)


# Growth


def test_it_grows_with_what_it_holds_and_is_never_much_larger(either: str, tmp_path: Path) -> None:
    those = unlike(1500)
    index = fresh(tmp_path / "index")
    for start in range(0, len(those), 60):
        index.add(list(range(start + 1, start + 61)), those[start : start + 60], TOKEN)
        needed = 8 * 25 * (start + 60)
        assert index.size_bytes == os.path.getsize(tmp_path / "index")
        assert index.size_bytes <= 2.5 * needed + hashtable.HEADER_BYTES + 8 * (hashtable.TAIL_SLOTS + hashtable.MIN_HOMES)
    assert answers(index, those) == [{n: 25} for n in range(1, 1501)]
    assert not (tmp_path / "index.new").exists()


def test_a_table_whose_tail_is_full_grows(either: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashtable, "TAIL_SLOTS", 8)
    monkeypatch.setattr(lsh, "MAX_BUCKET", 1000)
    those = [s for s in unlike(3) for _ in range(40)]
    index = filled(tmp_path / "index", those)
    assert answers(index, those[::40]) == [dict.fromkeys(range(n, n + 40), 25) for n in (1, 41, 81)]


def test_a_full_disk_leaves_the_index_in_memory(
    either: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    index = fresh(tmp_path / "index")
    index.add([1], signatures(1), TOKEN)
    before = (tmp_path / "index").read_bytes()

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    those = unlike(200)
    with caplog.at_level(logging.WARNING, "dedup"):
        index.add(list(range(2, 202)), those, TOKEN)
    assert "No space left" in caplog.text
    assert answers(index, those) == [{n: 25} for n in range(2, 202)]
    assert not (tmp_path / "index.new").exists()
    assert (tmp_path / "index").read_bytes() == before


# Opening again


def test_a_clean_index_is_taken_as_it_is(either: str, tmp_path: Path) -> None:
    those = signatures(200)
    filled(tmp_path / "index", those)
    database = Store(those)
    assert answers(database.open(tmp_path / "index"), those) == answers(filled(tmp_path / "other", those), those)
    assert database.asked == []


def test_one_that_is_behind_is_caught_up(either: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    those = signatures(200)
    earlier = fresh(tmp_path / "index")
    earlier.add(list(range(1, 151)), those[:150], b"e" * 16)
    database = Store(those, {b"e" * 16: 150})
    with caplog.at_level(logging.INFO, "dedup"):
        index = database.open(tmp_path / "index")
    assert database.asked == [150]
    assert [r.getMessage() for r in caplog.records] == ["the candidate index was behind: 50 texts added"]
    assert answers(index, those) == answers(filled(tmp_path / "other", those), those)
    assert answers(Store(those).open(tmp_path / "index"), those) == answers(index, those)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "deleted": lambda p: p.unlink(),
    "empty": lambda p: p.write_bytes(b""),
    "cut short": lambda p: os.truncate(p, p.stat().st_size // 2),
    "cut within the header": lambda p: os.truncate(p, 100),
    "longer": lambda p: os.truncate(p, p.stat().st_size + 8),
    "a directory": lambda p: folder(p),
    "another kind of file": lambda p: p.write_bytes(b"SQLite format 3\0" * 4096),
    "magic scribbled over": lambda p: scribble(p, 3),
    "uuid scribbled over": lambda p: scribble(p, 20),
    "recipe scribbled over": lambda p: scribble(p, 36),
    "token scribbled over": lambda p: scribble(p, 52),
    "last text scribbled over": lambda p: scribble(p, 64, b"\x95\0\0\0\0\0\0\0"),
    "number of entries scribbled over": lambda p: scribble(p, 72),
    "number of homes scribbled over": lambda p: scribble(p, 80),
    "sum scribbled over": lambda p: scribble(p, 88),
    "padding of the header scribbled over": lambda p: scribble(p, 3000),
    "an entry scribbled over": lambda p: scribble(p, hashtable.HEADER_BYTES + 8 * first_entry(p)),
    "an empty slot scribbled over": lambda p: scribble(p, hashtable.HEADER_BYTES + 8 * first_gap(p)),
    "two entries exchanged": lambda p: exchange(p),
    "one entry lost": lambda p: scribble(p, hashtable.HEADER_BYTES + 8 * first_entry(p), bytes(8)),
    "zeros from the middle on": lambda p: scribble(p, p.stat().st_size // 2, bytes(p.stat().st_size // 2)),
    "the last slot taken": lambda p: scribble(p, p.stat().st_size - 8),
}


def slots_of(path: Path) -> list[int]:
    found: list[int] = np.frombuffer(path.read_bytes()[hashtable.HEADER_BYTES :], "<i8").tolist()
    return found


def first_entry(path: Path) -> int:
    return next(i for i, s in enumerate(slots_of(path)) if s)


def first_gap(path: Path) -> int:
    return next(i for i, s in enumerate(slots_of(path)) if not s)


def scribble(path: Path, at: int, what: bytes = b"\x5a\xa5scrib\x01") -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(what)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def exchange(path: Path) -> None:
    slots = slots_of(path)
    i = first_entry(path)
    j = next(k for k in range(i + 1, len(slots)) if slots[k] and slots[k] != slots[i])
    for at, slot in ((i, slots[j]), (j, slots[i])):
        scribble(path, hashtable.HEADER_BYTES + 8 * at, slot.to_bytes(8, "little"))


@pytest.mark.parametrize("how", DAMAGE)
def test_whatever_is_done_to_the_file_the_answers_are_those_of_a_fresh_one(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    those = signatures(150)
    filled(tmp_path / "index", those)
    whole = answers(filled(tmp_path / "other", those), those)
    DAMAGE[how](tmp_path / "index")
    database = Store(those)
    with caplog.at_level(logging.INFO, "dedup"):
        index = database.open(tmp_path / "index")
    assert answers(index, those) == whole
    if how.startswith("padding"):
        assert database.asked == []  # nothing is kept there
    else:
        assert database.asked == [0]
        assert "rebuilt from 150 texts" in caplog.text


@pytest.mark.parametrize(
    ("uuid", "threshold", "why"), [(bytes(16), 0.7, "that of another database"), (UUID, 0.5, "built with other settings")]
)
def test_an_index_of_something_else_is_made_again(
    tmp_path: Path, uuid: bytes, threshold: float, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path / "index", unlike(50), threshold)
    those = signatures(30)
    with caplog.at_level(logging.INFO, "dedup"):
        index = Store(those).open(tmp_path / "index", uuid)
    assert f"the candidate index is {why}: rebuilding it" in caplog.text
    assert "rebuilt from 30 texts" in caplog.text
    assert answers(index, those) == answers(filled(tmp_path / "other", those), those)


def test_texts_and_signatures_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    those = signatures(2)
    index = fresh(tmp_path / "index")
    for texts, rows in (([1, 2, 3], those), ([1], those), ([1, 2], [those[0], those[1][:-1]])):
        with pytest.raises(ValueError, match=r"signatures|buffer size"):
            index.query(texts, rows)
        with pytest.raises(ValueError, match=r"signatures|buffer size"):
            index.add(texts, rows, TOKEN)


def test_more_texts_than_a_slot_has_room_for_are_refused(tmp_path: Path) -> None:
    (signature,) = signatures(1)
    index = fresh(tmp_path / "index")
    index.add([hashtable.MAX_TEXT_ID], [signature], TOKEN)
    assert answers(index, [signature]) == [{hashtable.MAX_TEXT_ID: 25}]
    for refuse in (lambda n: index.query([n], [signature]), lambda n: index.add([n], [signature], TOKEN)):
        with pytest.raises(TooManyTextsError, match="268,435,455"):
            refuse(hashtable.MAX_TEXT_ID + 1)


def test_an_index_ahead_of_a_restored_backup_is_made_again(tmp_path: Path) -> None:
    those = signatures(60)
    filled(tmp_path / "index", [*those, *unlike(20)])  # as of a commit that the backup does not know
    database = Store(those)
    database.known = {bytes(16): 0, b"b" * 16: 60}
    index = lsh.open_index(str(tmp_path / "index"), UUID, 0.7, 128, b"b" * 16, database.known.get, database.signatures)
    assert database.asked == [0]
    assert answers(index, those) == answers(filled(tmp_path / "other", those), those)


def test_entries_of_a_batch_that_was_not_finished_are_not_believed(tmp_path: Path) -> None:
    """The slots were written, then the process ended: the header still speaks of the commit before."""
    those = signatures(80)
    index = filled(tmp_path / "index", those[:60])
    index._table.insert(*index._hash_bands(range(61, 81), those[60:]), 25, lsh.MAX_BUCKET)
    database = Store(those)
    assert answers(database.open(tmp_path / "index"), those) == answers(filled(tmp_path / "other", those), those)
    assert database.asked == [0]


_GROWING = """
import sys
from pathlib import Path
from tests.unit.test_lsh import TOKEN, fresh, unlike
those = unlike(40_000)
index = fresh(Path(sys.argv[1]))
print("begun", flush=True)
for start in range(0, len(those), 100):
    index.add(list(range(start + 1, start + 101)), those[start : start + 100], TOKEN)
    print(start + 100, flush=True)
"""


@pytest.mark.parametrize("kill_at", [0, 100, 1500, 2700, 6000])
def test_killed_while_it_grows_the_answers_are_those_of_a_fresh_one(tmp_path: Path, kill_at: int) -> None:
    path = tmp_path / "index"
    with subprocess.Popen([sys.executable, "-c", _GROWING, str(path)], stdout=subprocess.PIPE, text=True) as growing:
        assert growing.stdout is not None
        reached = 0
        for line in growing.stdout:
            reached = int(line) if line.strip().isdigit() else 0
            if reached >= kill_at:
                growing.send_signal(signal.SIGKILL)
                break
        held = max([reached, *(int(line) for line in growing.stdout if line.strip().isdigit())])
    those = unlike(40_000)[: held + 100]
    database = Store(those)
    asked = those[:: max(1, len(those) // 50)]
    index = database.open(path)
    assert [list(found) for found in answers(index, asked)] == [[those.index(s) + 1] for s in asked]
    assert not (tmp_path / "index.new").exists()

"""The candidate index compared with datasketch's, its promises for full buckets, and the detection of damage."""

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
from tests.builders.crawl import edit_words, words

pytestmark = pytest.mark.slow

UUID = bytes(range(16))
TOKEN = b"t" * 16


def signatures(number: int, share: float = 0.1, families: int = 1) -> list[bytes]:
    rng = random.Random(4)
    stories = [words(rng, 80) for _ in range(families)]
    bodies = [" ".join(edit_words(rng, stories[n % families], share)) for n in range(number)]
    return [s.signature for s in minhash.sign_texts(bodies, 128, 0) if s.signature]


def unrelated_signatures(number: int) -> list[bytes]:
    """Signatures that share no band."""
    rng = np.random.default_rng(7)
    return [row.tobytes() for row in rng.integers(0, 1 << 32, (number, 128), dtype=np.uint32)]


def create_index(path: Path, threshold: float = 0.7) -> lsh.CandidateIndex:
    return lsh.new_index(str(path), UUID, threshold, 128)


def fill_index(path: Path, rows: list[bytes], threshold: float = 0.7, step: int = 100) -> lsh.CandidateIndex:
    index = create_index(path, threshold)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        index.add(list(range(start + 1, start + len(part) + 1)), part, TOKEN)
    return index


class Store:
    """A database as the index reads it: these signatures as of commit TOKEN, and known earlier commits."""

    def __init__(self, rows: list[bytes], known: dict[bytes, int] | None = None) -> None:
        self.rows = rows
        self.known = {bytes(16): 0, TOKEN: len(rows)} | (known or {})
        self.reads: list[int] = []

    def signatures(self, beyond: int) -> Iterator[tuple[int, bytes]]:
        self.reads.append(beyond)
        return ((n, s) for n, s in enumerate(self.rows, 1) if n > beyond)

    def open(self, path: Path, uuid: bytes = UUID) -> lsh.CandidateIndex:
        return lsh.open_index(str(path), uuid, 0.7, 128, TOKEN, self.known.get, self.signatures)


def query_each(index: lsh.CandidateIndex, rows: list[bytes]) -> list[dict[int, int]]:
    return [m.candidates for s in rows for m in index.query([0], [s])]


# Candidates


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_candidates_are_the_candidates_of_datasketch(either: str, tmp_path: Path, threshold: float) -> None:
    index = create_index(tmp_path / "index", threshold)
    oracle = MinHashLSH(num_perm=128, params=minhash.choose_bands(threshold, 128))
    rows = signatures(60, 0.03)
    for start in range(0, 60, 7):  # in batches, so that candidates from the same batch are included
        part = rows[start : start + 7]
        numbers = list(range(start + 1, start + 1 + len(part)))
        results = index.query(numbers, part)
        for number, signature, result in zip(numbers, part, results, strict=True):
            assert sorted(result.candidates) == sorted(oracle.query(minhash.to_datasketch(signature)))
            assert not result.crowded
            oracle.insert(number, minhash.to_datasketch(signature))
        index.add(numbers, part, TOKEN)
    assert max(map(len, query_each(index, rows))) > 5


def test_shared_bands_are_counted(either: str, tmp_path: Path) -> None:
    texts = signatures(30)
    bands, rows = minhash.choose_bands(0.7, 128)
    band_rows = [[s[4 * rows * b : 4 * rows * (b + 1)] for b in range(bands)] for s in texts]
    for i, result in enumerate(create_index(tmp_path / "index").query(list(range(1, 31)), texts)):
        shared_bands = {j + 1: sum(x == y for x, y in zip(band_rows[i], band_rows[j], strict=True)) for j in range(i)}
        assert result.candidates == {j: n for j, n in shared_bands.items() if n}


def test_a_text_is_not_its_own_candidate_and_adding_is_idempotent(either: str, tmp_path: Path) -> None:
    (signature,) = signatures(1)
    index = create_index(tmp_path / "index")
    index.add([1], [signature], TOKEN)
    index.add([1], [signature], TOKEN)
    assert query_each(index, [signature]) == [{1: 25}]
    assert index.query([1], [signature]) == [lsh.LshCandidates({}, crowded=False)]


def test_both_kernels_write_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [*signatures(150), *unrelated_signatures(300)]
    contents = []
    for enabled in (False, True):
        monkeypatch.setattr(jit._JitState, "enabled", enabled)
        fill_index(tmp_path / "index", rows)
        contents.append((tmp_path / "index").read_bytes())
    assert contents[0] == contents[1]


# Full buckets


def test_a_full_bucket_keeps_its_limit_gives_a_few_and_is_marked_crowded(either: str, tmp_path: Path) -> None:
    (signature,) = signatures(1, 0)
    index = create_index(tmp_path / "index")
    numbers = list(range(1, lsh.MAX_BUCKET + 11))
    results = index.query(numbers, [signature] * len(numbers))
    assert [m.crowded for m in results] == [False] * lsh.MAX_BUCKET + [True] * 10
    assert list(results[lsh.MAX_BUCKET - 1].candidates) == list(range(1, lsh.MAX_BUCKET))
    assert list(results[-1].candidates) == list(range(1, lsh.INITIAL_CANDIDATES + 1))
    index.add(numbers, [signature] * len(numbers), TOKEN)
    assert index.query([999], [signature]) == [lsh.LshCandidates(dict.fromkeys(range(1, lsh.INITIAL_CANDIDATES + 1), 25), crowded=True)]
    assert list(index.query([999], [signature], initial_limit=lsh.MAX_BUCKET)[0].candidates) == list(range(1, lsh.MAX_BUCKET + 1))


def test_a_bucket_that_fills_over_several_batches_is_the_same(either: str, tmp_path: Path) -> None:
    (signature,) = signatures(1, 0)
    small_batches = fill_index(tmp_path / "one", [signature] * 100, step=7)
    one_batch = fill_index(tmp_path / "other", [signature] * 100, step=100)
    assert query_each(small_batches, [signature]) == query_each(one_batch, [signature])


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=250), st.integers(1, 70), st.booleans())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_table_holds_what_a_dictionary_of_lists_holds(either: str, entries: list[tuple[int, int]], cap: int, grow: bool) -> None:
    """Hashes crowd at one end of a small table, and many are equal."""
    hashes = np.array([(1 << 35) - 1 - h * 3 for h, _ in entries], np.int64)
    texts = np.arange(1, len(entries) + 1, dtype=np.int64)
    slots = np.zeros(300, np.int64)
    run = jit.compiled
    inserted_count, checksum = run(probing.insert)(
        hashtable.to_kernel_array(slots), 30, hashtable.to_kernel_array(hashes), hashtable.to_kernel_array(texts), 1, cap
    )
    if grow:
        larger = np.zeros(400, np.int64)
        moved_count, checksum = run(probing.rehash)(hashtable.to_kernel_array(slots), hashtable.to_kernel_array(larger), 77)
        assert moved_count == inserted_count
        slots = larger
    buckets: dict[int, list[int]] = {}
    for h, t in zip(hashes.tolist(), texts.tolist(), strict=True):
        if len(buckets.setdefault(h, [])) < cap:
            buckets[h].append(t)
    entries_in_slots = [(s >> 28, s & (1 << 28) - 1) for s in slots.tolist() if s]
    assert {h: [t for x, t in entries_in_slots if x == h] for h in buckets} == buckets
    assert inserted_count == sum(map(len, buckets.values()))
    assert hashtable._compute_checksum(slots) == (checksum % (1 << 64), inserted_count)


# Growth


def test_the_index_grows_with_its_entries_and_is_never_much_larger(either: str, tmp_path: Path) -> None:
    rows = unrelated_signatures(1500)
    index = create_index(tmp_path / "index")
    for start in range(0, len(rows), 60):
        index.add(list(range(start + 1, start + 61)), rows[start : start + 60], TOKEN)
        needed = 8 * 25 * (start + 60)
        assert index.size_bytes == os.path.getsize(tmp_path / "index")
        assert index.size_bytes <= 2.5 * needed + hashtable.HEADER_BYTES + 8 * (hashtable.TAIL_SLOTS + hashtable.MIN_HOMES)
    assert query_each(index, rows) == [{n: 25} for n in range(1, 1501)]
    assert not (tmp_path / "index.new").exists()


def test_a_table_whose_tail_is_full_grows(either: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashtable, "TAIL_SLOTS", 8)
    monkeypatch.setattr(lsh, "MAX_BUCKET", 1000)
    rows = [s for s in unrelated_signatures(3) for _ in range(40)]
    index = fill_index(tmp_path / "index", rows)
    assert query_each(index, rows[::40]) == [dict.fromkeys(range(n, n + 40), 25) for n in (1, 41, 81)]


def test_a_full_disk_leaves_the_index_in_memory(
    either: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    index = create_index(tmp_path / "index")
    index.add([1], signatures(1), TOKEN)
    before = (tmp_path / "index").read_bytes()

    def fail(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    rows = unrelated_signatures(200)
    with caplog.at_level(logging.WARNING, "dedup"):
        index.add(list(range(2, 202)), rows, TOKEN)
    assert "No space left" in caplog.text
    assert query_each(index, rows) == [{n: 25} for n in range(2, 202)]
    assert not (tmp_path / "index.new").exists()
    assert (tmp_path / "index").read_bytes() == before


# Opening again


def test_a_clean_index_is_opened_without_reading_the_database(either: str, tmp_path: Path) -> None:
    rows = signatures(200)
    fill_index(tmp_path / "index", rows)
    database = Store(rows)
    assert query_each(database.open(tmp_path / "index"), rows) == query_each(fill_index(tmp_path / "other", rows), rows)
    assert database.reads == []


def test_an_index_that_is_behind_catches_up(either: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = signatures(200)
    earlier = create_index(tmp_path / "index")
    earlier.add(list(range(1, 151)), rows[:150], b"e" * 16)
    database = Store(rows, {b"e" * 16: 150})
    with caplog.at_level(logging.INFO, "dedup"):
        index = database.open(tmp_path / "index")
    assert database.reads == [150]
    assert [r.getMessage() for r in caplog.records] == ["the candidate index was behind: 50 texts added"]
    assert query_each(index, rows) == query_each(fill_index(tmp_path / "other", rows), rows)
    assert query_each(Store(rows).open(tmp_path / "index"), rows) == query_each(index, rows)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "deleted": lambda p: p.unlink(),
    "empty": lambda p: p.write_bytes(b""),
    "cut short": lambda p: os.truncate(p, p.stat().st_size // 2),
    "cut within the header": lambda p: os.truncate(p, 100),
    "longer": lambda p: os.truncate(p, p.stat().st_size + 8),
    "a directory": lambda p: folder(p),
    "another kind of file": lambda p: p.write_bytes(b"SQLite format 3\0" * 4096),
    "magic overwritten": lambda p: overwrite(p, 3),
    "uuid overwritten": lambda p: overwrite(p, 20),
    "recipe overwritten": lambda p: overwrite(p, 36),
    "token overwritten": lambda p: overwrite(p, 52),
    "last text overwritten": lambda p: overwrite(p, 64, b"\x95\0\0\0\0\0\0\0"),
    "number of entries overwritten": lambda p: overwrite(p, 72),
    "number of homes overwritten": lambda p: overwrite(p, 80),
    "sum overwritten": lambda p: overwrite(p, 88),
    "padding of the header overwritten": lambda p: overwrite(p, 3000),
    "an entry overwritten": lambda p: overwrite(p, hashtable.HEADER_BYTES + 8 * first_entry(p)),
    "an empty slot overwritten": lambda p: overwrite(p, hashtable.HEADER_BYTES + 8 * first_gap(p)),
    "two entries exchanged": lambda p: swap_slots(p),
    "one entry lost": lambda p: overwrite(p, hashtable.HEADER_BYTES + 8 * first_entry(p), bytes(8)),
    "zeros from the middle on": lambda p: overwrite(p, p.stat().st_size // 2, bytes(p.stat().st_size // 2)),
    "the last slot taken": lambda p: overwrite(p, p.stat().st_size - 8),
}


def slots_of(path: Path) -> list[int]:
    slots: list[int] = np.frombuffer(path.read_bytes()[hashtable.HEADER_BYTES :], "<i8").tolist()
    return slots


def first_entry(path: Path) -> int:
    return next(i for i, s in enumerate(slots_of(path)) if s)


def first_gap(path: Path) -> int:
    return next(i for i, s in enumerate(slots_of(path)) if not s)


def overwrite(path: Path, at: int, content: bytes = b"\x5a\xa5scrib\x01") -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(content)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def swap_slots(path: Path) -> None:
    slots = slots_of(path)
    i = first_entry(path)
    j = next(k for k in range(i + 1, len(slots)) if slots[k] and slots[k] != slots[i])
    for at, slot in ((i, slots[j]), (j, slots[i])):
        overwrite(path, hashtable.HEADER_BYTES + 8 * at, slot.to_bytes(8, "little"))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_answers_like_a_new_one(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    rows = signatures(150)
    fill_index(tmp_path / "index", rows)
    expected = query_each(fill_index(tmp_path / "other", rows), rows)
    DAMAGE[damage](tmp_path / "index")
    database = Store(rows)
    with caplog.at_level(logging.INFO, "dedup"):
        index = database.open(tmp_path / "index")
    assert query_each(index, rows) == expected
    if damage.startswith("padding"):
        assert database.reads == []  # the padding holds no entries
    else:
        assert database.reads == [0]
        assert "rebuilt from 150 texts" in caplog.text


@pytest.mark.parametrize(
    ("uuid", "threshold", "reason"), [(bytes(16), 0.7, "that of another database"), (UUID, 0.5, "built with other settings")]
)
def test_an_index_with_another_uuid_or_threshold_is_rebuilt(
    tmp_path: Path, uuid: bytes, threshold: float, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    fill_index(tmp_path / "index", unrelated_signatures(50), threshold)
    rows = signatures(30)
    with caplog.at_level(logging.INFO, "dedup"):
        index = Store(rows).open(tmp_path / "index", uuid)
    assert f"the candidate index is {reason}: rebuilding it" in caplog.text
    assert "rebuilt from 30 texts" in caplog.text
    assert query_each(index, rows) == query_each(fill_index(tmp_path / "other", rows), rows)


def test_texts_and_signatures_of_different_numbers_are_refused(tmp_path: Path) -> None:
    rows = signatures(2)
    index = create_index(tmp_path / "index")
    for texts, batch in (([1, 2, 3], rows), ([1], rows), ([1, 2], [rows[0], rows[1][:-1]])):
        with pytest.raises(ValueError, match=r"signatures|buffer size"):
            index.query(texts, batch)
        with pytest.raises(ValueError, match=r"signatures|buffer size"):
            index.add(texts, batch, TOKEN)


def test_text_ids_that_do_not_fit_in_a_slot_are_refused(tmp_path: Path) -> None:
    (signature,) = signatures(1)
    index = create_index(tmp_path / "index")
    index.add([hashtable.MAX_TEXT_ID], [signature], TOKEN)
    assert query_each(index, [signature]) == [{hashtable.MAX_TEXT_ID: 25}]
    for refuse in (lambda n: index.query([n], [signature]), lambda n: index.add([n], [signature], TOKEN)):
        with pytest.raises(TooManyTextsError, match="268,435,455"):
            refuse(hashtable.MAX_TEXT_ID + 1)


def test_an_index_ahead_of_a_restored_backup_is_rebuilt(tmp_path: Path) -> None:
    rows = signatures(60)
    fill_index(tmp_path / "index", [*rows, *unrelated_signatures(20)])  # as of a commit that the backup does not know
    database = Store(rows)
    database.known = {bytes(16): 0, b"b" * 16: 60}
    index = lsh.open_index(str(tmp_path / "index"), UUID, 0.7, 128, b"b" * 16, database.known.get, database.signatures)
    assert database.reads == [0]
    assert query_each(index, rows) == query_each(fill_index(tmp_path / "other", rows), rows)


def test_entries_of_an_unfinished_batch_are_discarded(tmp_path: Path) -> None:
    """The process ended after writing the slots: the header still names the commit before."""
    rows = signatures(80)
    index = fill_index(tmp_path / "index", rows[:60])
    index._table.insert(*index._hash_bands(range(61, 81), rows[60:]), 25, lsh.MAX_BUCKET)
    database = Store(rows)
    assert query_each(database.open(tmp_path / "index"), rows) == query_each(fill_index(tmp_path / "other", rows), rows)
    assert database.reads == [0]


_GROWING = """
import sys
from pathlib import Path
from tests.unit.test_lsh import TOKEN, create_index, unrelated_signatures
rows = unrelated_signatures(40_000)
index = create_index(Path(sys.argv[1]))
print("started", flush=True)
for start in range(0, len(rows), 100):
    index.add(list(range(start + 1, start + 101)), rows[start : start + 100], TOKEN)
    print(start + 100, flush=True)
"""


@pytest.mark.system
@pytest.mark.parametrize("kill_at", [0, 100, 1500, 2700, 6000])
def test_an_index_killed_while_it_grows_answers_like_a_new_one(tmp_path: Path, kill_at: int) -> None:
    path = tmp_path / "index"
    with subprocess.Popen([sys.executable, "-c", _GROWING, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reached = 0
        for line in process.stdout:
            reached = int(line) if line.strip().isdigit() else 0
            if reached >= kill_at:
                process.send_signal(signal.SIGKILL)
                break
        last = max([reached, *(int(line) for line in process.stdout if line.strip().isdigit())])
    rows = unrelated_signatures(40_000)[: last + 100]
    database = Store(rows)
    queries = rows[:: max(1, len(rows) // 50)]
    index = database.open(path)
    assert [list(candidates) for candidates in query_each(index, queries)] == [[rows.index(s) + 1] for s in queries]
    assert not (tmp_path / "index.new").exists()

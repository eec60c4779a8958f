"""What stands under hashes, in either form, against a dictionary of lists; and keys of texts that have room in a slot.

Files, damage and growth are held by the tests of the indexes that are such tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup.errors import TooManyTextsError
from dedup.index import hashtable, probing
from dedup.index.hashtable import HashTable, Int64Array
from dedup.similarity import jit

TOP = (1 << hashtable.HASH_BITS) - 1
HASHES = st.sampled_from([0, 1, 7, 8, 9, 1 << 34, *range(TOP - 24, TOP + 1)])
"""Some at either end of a table; many of one home."""


def gather(slots: Int64Array, homes: int, hashes: list[int], cap: int, room: int) -> tuple[int, list[list[int]]]:
    """What `probing.gather` gives, and the texts it found under each hash."""
    numbers, found = np.zeros(len(hashes), np.int64), np.zeros(room, np.int64)
    run = jit.compiled(probing.gather)
    all_ = run(
        hashtable.to_kernel_array(slots),
        homes,
        hashtable.to_kernel_array(np.array(hashes, np.int64)),
        cap,
        hashtable.to_kernel_array(numbers),
        hashtable.to_kernel_array(found),
    )
    ends = np.cumsum(numbers).tolist()
    return int(all_), [found[end - n : end].tolist() for end, n in zip(ends, numbers.tolist(), strict=True)]


@given(st.lists(HASHES, max_size=200), st.lists(HASHES, max_size=20), st.integers(1, 70), st.integers(1, 70), st.booleans())
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_gathered_is_what_a_dictionary_of_lists_would_give(
    either: str, entries: list[int], asked: list[int], kept: int, cap: int, grown: bool
) -> None:
    slots, homes = np.zeros(300, np.int64), 30
    texts = np.arange(1, len(entries) + 1, dtype=np.int64)
    hashes = np.array(entries, np.int64)
    made, _ = jit.compiled(probing.insert)(
        hashtable.to_kernel_array(slots), homes, hashtable.to_kernel_array(hashes), hashtable.to_kernel_array(texts), 1, kept
    )
    held: dict[int, list[int]] = {}
    for h, t in zip(entries, texts.tolist(), strict=True):
        held.setdefault(h, []).append(t)
    if made < 0:
        return
    if grown:
        larger, homes = np.zeros(400, np.int64), 77
        moved, _ = jit.compiled(probing.rehash)(hashtable.to_kernel_array(slots), hashtable.to_kernel_array(larger), homes)
        assert moved == made
        slots = larger
    before = slots.copy()
    expected = [held.get(h, [])[: min(kept, cap)] for h in asked]
    number = sum(map(len, expected))
    assert gather(slots, homes, asked, cap, number + 3) == (number, expected)
    assert gather(slots, homes, asked, cap, number) == (number, expected)
    if number:
        assert gather(slots, homes, asked, cap, number - 1)[0] == -1
    assert np.array_equal(slots, before)


def test_nothing_stands_in_an_empty_table_nor_under_no_hash(either: str) -> None:
    slots = np.zeros(50, np.int64)
    assert gather(slots, 30, [0, 5, TOP], 10, 0) == (0, [[], [], []])
    assert gather(slots, 30, [], 10, 0) == (0, [])


def test_a_bucket_that_stands_at_the_end_of_the_tail_is_read_to_there(either: str) -> None:
    """As in a file that was not made by `add`: no empty slot follows."""
    slots = np.full(33, TOP << 28 | 5, np.int64)
    assert gather(slots, 30, [TOP], 1000, 10) == (4, [[5] * 4])


def test_hashes_and_texts_at_their_greatest_do_not_spill_into_each_other(either: str) -> None:
    slots = np.zeros(50, np.int64)
    texts = np.array([hashtable.MAX_TEXT_ID, 1], np.int64)
    jit.compiled(probing.insert)(
        hashtable.to_kernel_array(slots), 30, hashtable.to_kernel_array(np.array([TOP, TOP - 1])), hashtable.to_kernel_array(texts), 1, 9
    )
    assert gather(slots, 30, [TOP, TOP - 1, TOP - 2], 9, 9) == (2, [[hashtable.MAX_TEXT_ID], [1], []])


def test_what_is_gathered_outlives_the_growth_of_a_file(either: str, tmp_path: Path) -> None:
    grown = HashTable.create(str(tmp_path / "table"), bytes(16), bytes(16))
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 1 << hashtable.HASH_BITS, 9000)
    hashes[::10] = hashes[0]
    homes = set()
    for start in range(0, 9000, 500):
        grown.insert(hashes[start : start + 500], hashtable.to_text_id_array(range(start + 1, start + 501)), 1, 40)
        homes.add(grown.state.homes)
    assert len(homes) >= 4
    for h in (hashes[0], *hashes[1::1000]):
        texts = (np.flatnonzero(hashes == h) + 1).tolist()[:40]
        assert gather(grown.slots_and_mapping()[0], grown.state.homes, [int(h)], 100, 100) == (len(texts), [texts])


def test_texts_are_numbered_as_they_are() -> None:
    found = hashtable.to_text_id_array([3, 1, hashtable.MAX_TEXT_ID])
    assert found.dtype == np.int64
    assert found.tolist() == [3, 1, (1 << 28) - 1]
    assert hashtable.to_text_id_array([]).tolist() == []
    assert hashtable.to_text_id_array(range(1, 4)).tolist() == [1, 2, 3]


@pytest.mark.parametrize("texts", [[1 << 28], [1, 1 << 28, 2], [1 << 40]])
def test_a_text_that_a_slot_has_no_room_for_is_refused(texts: list[int]) -> None:
    with pytest.raises(TooManyTextsError, match="268,435,455"):
        hashtable.to_text_id_array(texts)


# Hashes that somebody chose


def test_hashes_are_scattered_one_to_one_and_in_every_database_otherwise(tmp_path: Path) -> None:
    one, other = (HashTable.create(str(tmp_path / name), name.encode() * 16, bytes(16)) for name in "ab")
    hashes = np.concatenate((np.arange(50_000), np.arange(TOP - 50_000, TOP + 1), np.random.default_rng(1).integers(0, TOP, 50_000)))
    hashes = np.unique(hashes)
    found = one.permute_hashes(hashes)
    assert found.dtype == np.int64
    assert len(np.unique(found)) == len(hashes)
    assert found.min() >= 0
    assert found.max() <= TOP
    assert np.array_equal(found, one.permute_hashes(hashes))
    assert np.count_nonzero(found == other.permute_hashes(hashes)) < 10


@pytest.mark.parametrize("begin", [0, 1 << 34, TOP - 20_000])
@pytest.mark.parametrize("step", [1, 8, 1 << 12])
def test_hashes_that_stand_side_by_side_do_not_make_a_table_grow(tmp_path: Path, begin: int, step: int) -> None:
    """As they are, five thousand of them at the end of the range would never fit, however large it grew."""
    grown = HashTable.create(str(tmp_path / "table"), b"some database's own", bytes(16))
    hashes = (begin + step * np.arange(20_000)) % (TOP + 1)
    for start in range(0, len(hashes), 1000):
        grown.insert(grown.permute_hashes(hashes[start : start + 1000]), hashtable.to_text_id_array(range(start + 1, start + 1001)), 1, 9)
    assert grown.state.homes < 2 * len(hashes)

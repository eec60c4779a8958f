"""The hash table in both kernels, compared with a dictionary of lists. Text ids that do not fit in a slot are refused.

The tests of the indexes cover files, damage and growth.
"""

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

pytestmark = pytest.mark.slow

TOP = (1 << hashtable.HASH_BITS) - 1
HASHES = st.sampled_from([0, 1, 7, 8, 9, 1 << 34, *range(TOP - 24, TOP + 1)])
"""Hashes at both ends of a table, many of them with the same home."""


def gather(slots: Int64Array, homes: int, hashes: list[int], cap: int, room: int) -> tuple[int, list[list[int]]]:
    """Return the number of entries that `probing.gather` reports, and the texts under each hash."""
    counts, texts = np.zeros(len(hashes), np.int64), np.zeros(room, np.int64)
    run = jit.compiled(probing.gather)
    total = run(
        hashtable.to_kernel_array(slots),
        homes,
        hashtable.to_kernel_array(np.array(hashes, np.int64)),
        cap,
        hashtable.to_kernel_array(counts),
        hashtable.to_kernel_array(texts),
    )
    ends = np.cumsum(counts).tolist()
    return int(total), [texts[end - n : end].tolist() for end, n in zip(ends, counts.tolist(), strict=True)]


@given(st.lists(HASHES, max_size=200), st.lists(HASHES, max_size=20), st.integers(1, 70), st.integers(1, 70), st.booleans())
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_gather_returns_what_a_dictionary_of_lists_returns(
    either: str, entries: list[int], queries: list[int], insert_limit: int, query_limit: int, grow: bool
) -> None:
    slots, homes = np.zeros(300, np.int64), 30
    texts = np.arange(1, len(entries) + 1, dtype=np.int64)
    hashes = np.array(entries, np.int64)
    inserted_count, _ = jit.compiled(probing.insert)(
        hashtable.to_kernel_array(slots), homes, hashtable.to_kernel_array(hashes), hashtable.to_kernel_array(texts), 1, insert_limit
    )
    buckets: dict[int, list[int]] = {}
    for h, t in zip(entries, texts.tolist(), strict=True):
        buckets.setdefault(h, []).append(t)
    if inserted_count < 0:
        return
    if grow:
        larger, homes = np.zeros(400, np.int64), 77
        moved_count, _ = jit.compiled(probing.rehash)(hashtable.to_kernel_array(slots), hashtable.to_kernel_array(larger), homes)
        assert moved_count == inserted_count
        slots = larger
    before = slots.copy()
    expected = [buckets.get(h, [])[: min(insert_limit, query_limit)] for h in queries]
    total = sum(map(len, expected))
    assert gather(slots, homes, queries, query_limit, total + 3) == (total, expected)
    assert gather(slots, homes, queries, query_limit, total) == (total, expected)
    if total:
        assert gather(slots, homes, queries, query_limit, total - 1)[0] == -1
    assert np.array_equal(slots, before)


def test_an_empty_table_and_an_empty_query_give_nothing(either: str) -> None:
    slots = np.zeros(50, np.int64)
    assert gather(slots, 30, [0, 5, TOP], 10, 0) == (0, [[], [], []])
    assert gather(slots, 30, [], 10, 0) == (0, [])


def test_a_bucket_at_the_end_of_the_tail_is_read_to_the_end(either: str) -> None:
    """`insert` never makes such a file: no empty slot follows the bucket."""
    slots = np.full(33, TOP << 28 | 5, np.int64)
    assert gather(slots, 30, [TOP], 1000, 10) == (4, [[5] * 4])


def test_the_largest_hashes_and_text_ids_do_not_overlap_in_a_slot(either: str) -> None:
    slots = np.zeros(50, np.int64)
    texts = np.array([hashtable.MAX_TEXT_ID, 1], np.int64)
    jit.compiled(probing.insert)(
        hashtable.to_kernel_array(slots), 30, hashtable.to_kernel_array(np.array([TOP, TOP - 1])), hashtable.to_kernel_array(texts), 1, 9
    )
    assert gather(slots, 30, [TOP, TOP - 1, TOP - 2], 9, 9) == (2, [[hashtable.MAX_TEXT_ID], [1], []])


def test_gather_returns_the_same_after_a_file_grows(either: str, tmp_path: Path) -> None:
    table = HashTable.create(str(tmp_path / "table"), bytes(16), bytes(16))
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 1 << hashtable.HASH_BITS, 9000)
    hashes[::10] = hashes[0]
    homes = set()
    for start in range(0, 9000, 500):
        table.insert(hashes[start : start + 500], hashtable.to_text_id_array(range(start + 1, start + 501)), 1, 40)
        homes.add(table.state.homes)
    assert len(homes) >= 4
    for h in (hashes[0], *hashes[1::1000]):
        texts = (np.flatnonzero(hashes == h) + 1).tolist()[:40]
        assert gather(table.slots_and_mapping()[0], table.state.homes, [int(h)], 100, 100) == (len(texts), [texts])


def test_text_ids_are_converted_unchanged() -> None:
    text_ids = hashtable.to_text_id_array([3, 1, hashtable.MAX_TEXT_ID])
    assert text_ids.dtype == np.int64
    assert text_ids.tolist() == [3, 1, (1 << 28) - 1]
    assert hashtable.to_text_id_array([]).tolist() == []
    assert hashtable.to_text_id_array(range(1, 4)).tolist() == [1, 2, 3]


@pytest.mark.parametrize("texts", [[1 << 28], [1, 1 << 28, 2], [1 << 40]])
def test_a_text_id_that_does_not_fit_in_a_slot_is_refused(texts: list[int]) -> None:
    with pytest.raises(TooManyTextsError, match="268,435,455"):
        hashtable.to_text_id_array(texts)


# Chosen hashes


def test_hashes_are_permuted_differently_in_each_database(tmp_path: Path) -> None:
    first, second = (HashTable.create(str(tmp_path / name), name.encode() * 16, bytes(16)) for name in "ab")
    hashes = np.concatenate((np.arange(50_000), np.arange(TOP - 50_000, TOP + 1), np.random.default_rng(1).integers(0, TOP, 50_000)))
    hashes = np.unique(hashes)
    permuted = first.permute_hashes(hashes)
    assert permuted.dtype == np.int64
    assert len(np.unique(permuted)) == len(hashes)
    assert permuted.min() >= 0
    assert permuted.max() <= TOP
    assert np.array_equal(permuted, first.permute_hashes(hashes))
    assert np.count_nonzero(permuted == second.permute_hashes(hashes)) < 10


@pytest.mark.parametrize("begin", [0, 1 << 34, TOP - 20_000])
@pytest.mark.parametrize("step", [1, 8, 1 << 12])
def test_adjacent_hashes_do_not_make_a_table_grow(tmp_path: Path, begin: int, step: int) -> None:
    """Without the permutation, five thousand adjacent hashes at the end of the range never fit, however large the table."""
    table = HashTable.create(str(tmp_path / "table"), b"some database's own", bytes(16))
    hashes = (begin + step * np.arange(20_000)) % (TOP + 1)
    for start in range(0, len(hashes), 1000):
        table.insert(table.permute_hashes(hashes[start : start + 1000]), hashtable.to_text_id_array(range(start + 1, start + 1001)), 1, 9)
    assert table.state.homes < 2 * len(hashes)

"""The passage index in both kernels, compared with a dictionary of lists, and the detection of damage."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dedup.errors import TooManyTextsError
from dedup.index import hashtable, passages
from dedup.index.passages import MAX_BUCKET, PassageIndex
from dedup.similarity import jit, winnowing
from dedup.text import normalise
from tests.builders.crawl import words

UUID = bytes(range(16))
TOKEN = b"t" * 16
Fingerprints = NDArray[np.int64]
Buckets = dict[int, list[int]]


def fingerprints(*numbers: int) -> Fingerprints:
    return np.array(numbers, np.int64)


def random_fingerprints(number: int, per_text: int = 20, common: int = 0) -> list[Fingerprints]:
    """Fingerprints that no other text has; with `common`, each text also has one of that many common fingerprints."""
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 1 << winnowing.FINGERPRINT_BITS, (number, per_text))
    if common:
        rows[:, 0] = np.arange(number) % common
    return [np.unique(row) for row in rows]


def create_index(path: Path) -> PassageIndex:
    return passages.new_index(str(path), UUID)


def fill_index(path: Path, texts: list[Fingerprints], step: int = 100) -> PassageIndex:
    index = create_index(path)
    for start in range(0, len(texts), step):
        part = texts[start : start + step]
        index.add(range(start + 1, start + len(part) + 1), part, TOKEN, start + len(part))
    return index


def query_index(index: PassageIndex, query: Fingerprints) -> list[tuple[int, list[int]]]:
    """(position in the query, text ids) of each fingerprint that has entries."""
    numbers, entries = index.query(query)
    buckets = np.split(entries, np.cumsum(numbers)[:-1])
    return [(position, text_ids.tolist()) for position, text_ids in enumerate(buckets) if len(text_ids)]


def query_each(index: PassageIndex, texts: list[Fingerprints]) -> list[list[tuple[int, list[int]]]]:
    return [query_index(index, k) for k in texts]


def build_oracle(texts: list[Fingerprints]) -> Buckets:
    """Fingerprint → text ids in the order of insertion, at most one more than the limit of a bucket."""
    buckets: Buckets = {}
    for number, row in enumerate(texts, 1):
        for fingerprint in row.tolist():
            if len(buckets.setdefault(fingerprint, [])) <= MAX_BUCKET:
                buckets[fingerprint].append(number)
    return buckets


def query_oracle(oracle: Buckets, query: Fingerprints) -> list[tuple[int, list[int]]]:
    return [(position, oracle[fingerprint]) for position, fingerprint in enumerate(query.tolist()) if fingerprint in oracle]


class Store:
    """A database as the index reads it: these fingerprints as of commit TOKEN, and known earlier commits."""

    def __init__(self, texts: list[Fingerprints], known: dict[bytes, int] | None = None) -> None:
        self.texts = texts
        self.known = {bytes(16): 0, TOKEN: len(texts)} | (known or {})
        self.reads: list[int] = []
        self.counted = 0

    def read_fingerprints(self, beyond: int) -> Iterator[tuple[int, bytes]]:
        self.reads.append(beyond)
        return ((n, winnowing.pack(k)) for n, k in enumerate(self.texts, 1) if n > beyond)

    def count(self, texts: int) -> None:
        self.counted += texts

    def open(self, path: Path, uuid: bytes = UUID, token: bytes = TOKEN) -> PassageIndex:
        return passages.open_index(str(path), uuid, token, self.known.get, self.read_fingerprints, self.count)


# Queries

FINGERPRINT_LISTS = st.lists(st.sampled_from([0, 1, 5, (1 << 35) - 2, (1 << 35) - 1]), unique=True).map(
    lambda values: fingerprints(*sorted(values))
)


@given(st.lists(FINGERPRINT_LISTS, max_size=40), st.integers(1, 9), FINGERPRINT_LISTS)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_query_returns_what_a_dictionary_of_lists_returns(
    either: str, tmp_path_factory: pytest.TempPathFactory, texts: list[Fingerprints], step: int, query: Fingerprints
) -> None:
    index = fill_index(tmp_path_factory.mktemp("index") / "index", texts, step)
    assert query_index(index, query) == query_oracle(build_oracle(texts), query)


def test_no_fingerprint_gives_more_texts_than_one_above_the_limit(either: str, tmp_path: Path) -> None:
    index = fill_index(tmp_path / "index", [fingerprints(7)] * 40, step=3)
    assert query_index(index, fingerprints(7)) == [(0, list(range(1, MAX_BUCKET + 2)))]
    assert MAX_BUCKET == 16


def test_texts_are_returned_in_the_order_of_insertion(either: str, tmp_path: Path) -> None:
    """Text ids of a batch need not be in ascending order."""
    index = create_index(tmp_path / "index")
    index.add([5, 9, 2], [fingerprints(3, 4), fingerprints(4), fingerprints(3, 4)], TOKEN, 9)
    index.add([7, 1], [fingerprints(4), fingerprints(3)], TOKEN, 9)
    assert query_index(index, fingerprints(1, 3, 4, 8)) == [(1, [5, 2, 1]), (2, [5, 9, 2, 7])]


def test_adding_twice_changes_nothing(either: str, tmp_path: Path) -> None:
    index = create_index(tmp_path / "index")
    for _ in range(2):
        index.add([1, 2], [fingerprints(3, 4), fingerprints(4)], TOKEN, 2)
    assert query_index(index, fingerprints(3, 4)) == [(0, [1]), (1, [1, 2])]


def test_a_query_with_many_full_buckets_returns_all_texts(either: str, tmp_path: Path) -> None:
    """Hundreds of fingerprints, each with a full bucket."""
    (full,) = random_fingerprints(1, 800)
    index = fill_index(tmp_path / "index", [full] * 20)
    assert query_index(index, full) == [(place, list(range(1, MAX_BUCKET + 2))) for place in range(len(full))]


def test_texts_without_fingerprints_count_as_added(either: str, tmp_path: Path) -> None:
    index = create_index(tmp_path / "index")
    index.add([1, 2], [fingerprints(), fingerprints()], TOKEN, 2)
    index.add([], [], TOKEN, 5)
    assert index.last_text == 5
    assert query_index(index, fingerprints()) == query_index(index, fingerprints(1)) == []


def test_both_kernels_write_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = []
    for enabled in (False, True):
        monkeypatch.setattr(jit._JitState, "enabled", enabled)
        fill_index(tmp_path / "index", random_fingerprints(300, common=10))
        contents.append((tmp_path / "index").read_bytes())
    assert contents[0] == contents[1]


def test_a_passage_finds_the_text_that_it_is_from(either: str, tmp_path: Path) -> None:
    rng = random.Random(3)
    bodies = [" ".join(words(rng, 120)) for _ in range(30)]
    bodies.append(" ".join(words(rng, 40)) + bodies[17][100:250] + " ".join(words(rng, 40)))
    rows = [k for batch in normalise.fold_batches(bodies) for k in winnowing.fingerprint_texts(batch, 80) if k is not None]
    index = fill_index(tmp_path / "index", rows[:30])
    assert {text for _, texts in query_index(index, rows[30]) for text in texts} == {18}


# Growth


def test_the_index_grows_with_its_entries(either: str, tmp_path: Path) -> None:
    texts = random_fingerprints(400, common=50)
    index = create_index(tmp_path / "index")
    sizes = set()
    for start in range(0, 400, 25):
        index.add(range(start + 1, start + 26), texts[start : start + 25], TOKEN, start + 25)
        assert index.size_bytes == os.path.getsize(tmp_path / "index")
        sizes.add(index.size_bytes)
    assert len(sizes) >= 3  # it grew at least twice
    oracle = build_oracle(texts)
    assert query_each(index, texts) == [query_oracle(oracle, k) for k in texts]
    assert query_each(Store(texts).open(tmp_path / "index"), texts) == query_each(index, texts)
    assert not (tmp_path / "index.new").exists()


# Opening again


def test_a_clean_index_is_opened_without_reading_the_database(either: str, tmp_path: Path) -> None:
    texts = random_fingerprints(60, common=5)
    fill_index(tmp_path / "index", texts)
    database = Store(texts)
    index = database.open(tmp_path / "index")
    assert query_each(index, texts) == query_each(fill_index(tmp_path / "other", texts), texts)
    assert (database.reads, database.counted, index.last_text) == ([], 0, 60)


def test_an_index_that_is_behind_catches_up(either: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    texts = random_fingerprints(60, common=5)
    create_index(tmp_path / "index").add(range(1, 41), texts[:40], b"e" * 16, 40)
    database = Store(texts, {b"e" * 16: 40})
    with caplog.at_level(logging.INFO, "dedup"):
        index = database.open(tmp_path / "index")
    assert (database.reads, database.counted, index.last_text) == ([40], 20, 60)
    assert [r.getMessage() for r in caplog.records] == ["the passage index was behind: 20 texts added"]
    assert query_each(index, texts) == query_each(fill_index(tmp_path / "other", texts), texts)
    assert query_each(Store(texts).open(tmp_path / "index"), texts) == query_each(index, texts)


def test_an_index_ahead_of_a_restored_backup_is_rebuilt(tmp_path: Path) -> None:
    texts = random_fingerprints(60, common=5)
    fill_index(tmp_path / "index", texts)  # as of a commit that the backup does not know
    database = Store(texts[:40])
    database.known = {bytes(16): 0, b"b" * 16: 40}
    index = database.open(tmp_path / "index", token=b"b" * 16)
    assert database.reads == [0]
    assert query_each(index, texts) == query_each(fill_index(tmp_path / "other", texts[:40]), texts)


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(content)


def entry(path: Path) -> int:
    """Offset of the first occupied slot in the file."""
    slots = np.frombuffer(path.read_bytes()[hashtable.HEADER_BYTES :], "<i8")
    return hashtable.HEADER_BYTES + 8 * int(np.flatnonzero(slots)[0])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "deleted": lambda p: p.unlink(),
    "cut short": lambda p: os.truncate(p, p.stat().st_size // 2),
    "header overwritten": lambda p: overwrite(p, 40, b"scrib"),
    "last text overwritten": lambda p: overwrite(p, 64, bytes([33])),
    "an entry overwritten": lambda p: overwrite(p, entry(p), b"\x11\x22"),
    "an entry lost": lambda p: overwrite(p, entry(p), bytes(8)),
    "zeros from the middle on": lambda p: overwrite(
        p, hashtable.HEADER_BYTES + 8192, bytes(p.stat().st_size - hashtable.HEADER_BYTES - 8192)
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_answers_like_a_new_one(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    texts = random_fingerprints(60, common=5)
    fill_index(tmp_path / "index", texts)
    before = (tmp_path / "index").read_bytes()
    DAMAGE[damage](tmp_path / "index")
    assert damage == "deleted" or (tmp_path / "index").read_bytes() != before
    database = Store(texts)
    with caplog.at_level(logging.INFO, "dedup"):
        index = database.open(tmp_path / "index")
    oracle = build_oracle(texts)
    assert query_each(index, texts) == [query_oracle(oracle, k) for k in texts]
    assert (database.reads, database.counted) == ([0], 60)
    assert "the passage index was rebuilt from 60 texts" in caplog.text


def test_an_index_of_another_database_is_rebuilt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill_index(tmp_path / "index", random_fingerprints(80))
    texts = random_fingerprints(30, common=3)
    with caplog.at_level(logging.INFO, "dedup"):
        index = Store(texts).open(tmp_path / "index", bytes(16))
    assert "the passage index is that of another database: rebuilding it" in caplog.text
    assert query_each(index, texts) == query_each(fill_index(tmp_path / "other", texts), texts)


@pytest.mark.parametrize(("name", "value"), [("STORIES", 8), ("RECIPE", "winnow/other")])
def test_an_index_of_another_recipe_or_limit_is_rebuilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: object
) -> None:
    """The recipe digest in the file includes both."""
    limit, recipe = (value, winnowing.RECIPE) if name == "STORIES" else (MAX_BUCKET, value)
    other_digest = xxhash.xxh3_128_digest(f"{recipe}/{limit}".encode())
    assert passages._RECIPE_DIGEST == xxhash.xxh3_128_digest(f"{winnowing.RECIPE}/{MAX_BUCKET}".encode()) != other_digest
    texts = random_fingerprints(30)
    with monkeypatch.context() as patch:
        patch.setattr(passages, "_RECIPE_DIGEST", other_digest)
        fill_index(tmp_path / "index", texts)
    with caplog.at_level(logging.INFO, "dedup"):
        index = Store(texts).open(tmp_path / "index")
    assert "the passage index is built with other settings: rebuilding it" in caplog.text
    assert query_each(index, texts) == query_each(fill_index(tmp_path / "other", texts), texts)


def test_a_candidate_index_is_not_taken_for_a_passage_index(tmp_path: Path) -> None:
    hashtable.HashTable.create(str(tmp_path / "index"), UUID, b"r" * 16).commit(TOKEN, 30)
    texts = random_fingerprints(30)
    database = Store(texts)
    assert query_each(database.open(tmp_path / "index"), texts) == query_each(fill_index(tmp_path / "other", texts), texts)
    assert database.reads == [0]


def test_entries_of_an_unfinished_batch_are_discarded(tmp_path: Path) -> None:
    """The process ended after writing the slots: the header still names the commit before."""
    texts = random_fingerprints(60)
    index = fill_index(tmp_path / "index", texts[:40])
    passages.insert_texts(index._table, range(41, 61), [k + 1 for k in texts[40:]])
    database = Store(texts, {TOKEN: 40, b"n" * 16: 60})
    assert query_each(database.open(tmp_path / "index", token=b"n" * 16), texts) == query_each(fill_index(tmp_path / "other", texts), texts)
    assert database.reads == [0]


# Refusals


def test_texts_and_fingerprint_lists_of_different_numbers_are_refused(tmp_path: Path) -> None:
    index = create_index(tmp_path / "index")
    for texts, rows in (([1, 2], [fingerprints(1)]), ([1], [fingerprints(1), fingerprints(2)]), ([], [fingerprints(1)]), ([1], [])):
        with pytest.raises(ValueError, match=f"{len(texts)} texts and {len(rows)} lists of fingerprints"):
            index.add(texts, rows, TOKEN, 2)
    assert query_index(index, fingerprints(1, 2)) == []


def test_text_ids_that_do_not_fit_in_a_slot_are_refused(tmp_path: Path) -> None:
    index = create_index(tmp_path / "index")
    index.add([hashtable.MAX_TEXT_ID], [fingerprints(1)], TOKEN, hashtable.MAX_TEXT_ID)
    assert query_index(index, fingerprints(1)) == [(0, [hashtable.MAX_TEXT_ID])]
    with pytest.raises(TooManyTextsError, match="268,435,455"):
        index.add([hashtable.MAX_TEXT_ID + 1], [fingerprints(1)], TOKEN, hashtable.MAX_TEXT_ID + 1)


def test_chosen_adjacent_fingerprints_do_not_make_the_index_grow(tmp_path: Path) -> None:
    fingerprints = [
        np.arange((1 << winnowing.FINGERPRINT_BITS) - 500 * (n + 1), (1 << winnowing.FINGERPRINT_BITS) - 500 * n) for n in range(20)
    ]
    index = fill_index(tmp_path / "index", fingerprints)
    assert index.size_bytes < 1_000_000
    assert query_each(index, fingerprints) == [query_oracle(build_oracle(fingerprints), k) for k in fingerprints]

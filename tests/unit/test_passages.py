"""The passage index against a dictionary of lists, in either form; and that damage is never believed."""

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
Keys = NDArray[np.int64]
Held = dict[int, list[int]]


def keys(*numbers: int) -> Keys:
    return np.array(numbers, np.int64)


def of_texts(number: int, per_text: int = 20, common: int = 0) -> list[Keys]:
    """Keys that no other text has, and of each text one of so many common ones."""
    rng = np.random.default_rng(5)
    those = rng.integers(0, 1 << winnowing.FINGERPRINT_BITS, (number, per_text))
    if common:
        those[:, 0] = np.arange(number) % common
    return [np.unique(row) for row in those]


def fresh(path: Path) -> PassageIndex:
    return passages.new_index(str(path), UUID)


def filled(path: Path, those: list[Keys], step: int = 100) -> PassageIndex:
    index = fresh(path)
    for start in range(0, len(those), step):
        part = those[start : start + step]
        index.add(range(start + 1, start + len(part) + 1), part, TOKEN, start + len(part))
    return index


def told(index: PassageIndex, asked: Keys) -> list[tuple[int, list[int]]]:
    """(place among the keys, the texts there) for keys that any are under."""
    numbers, texts = index.query(asked)
    there = np.split(texts, np.cumsum(numbers)[:-1])
    return [(place, those.tolist()) for place, those in enumerate(there) if len(those)]


def answers(index: PassageIndex, those: list[Keys]) -> list[list[tuple[int, list[int]]]]:
    return [told(index, k) for k in those]


def held(those: list[Keys]) -> Held:
    """Every key → the texts under it, in order of being added, one more than a key may hold."""
    found: Held = {}
    for number, own in enumerate(those, 1):
        for key in own.tolist():
            if len(found.setdefault(key, [])) <= MAX_BUCKET:
                found[key].append(number)
    return found


def expected(oracle: Held, asked: Keys) -> list[tuple[int, list[int]]]:
    return [(place, oracle[key]) for place, key in enumerate(asked.tolist()) if key in oracle]


class Store:
    """What the index asks of a database that holds these keys as of commit TOKEN, earlier commits being known too."""

    def __init__(self, those: list[Keys], known: dict[bytes, int] | None = None) -> None:
        self.those = those
        self.known = {bytes(16): 0, TOKEN: len(those)} | (known or {})
        self.asked: list[int] = []
        self.heard = 0

    def stored(self, beyond: int) -> Iterator[tuple[int, bytes]]:
        self.asked.append(beyond)
        return ((n, winnowing.pack(k)) for n, k in enumerate(self.those, 1) if n > beyond)

    def hear(self, texts: int) -> None:
        self.heard += texts

    def open(self, path: Path, uuid: bytes = UUID, token: bytes = TOKEN) -> PassageIndex:
        return passages.open_index(str(path), uuid, token, self.known.get, self.stored, self.hear)


# Stories

SOME = st.lists(st.sampled_from([0, 1, 5, (1 << 35) - 2, (1 << 35) - 1]), unique=True).map(lambda those: keys(*sorted(those)))


@given(st.lists(SOME, max_size=40), st.integers(1, 9), SOME)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_stories_are_those_of_a_dictionary_of_lists(
    either: str, tmp_path_factory: pytest.TempPathFactory, those: list[Keys], step: int, asked: Keys
) -> None:
    index = filled(tmp_path_factory.mktemp("index") / "index", those, step)
    assert told(index, asked) == expected(held(those), asked)


def test_no_key_gives_more_stories_than_one_above_the_limit(either: str, tmp_path: Path) -> None:
    index = filled(tmp_path / "index", [keys(7)] * 40, step=3)
    assert told(index, keys(7)) == [(0, list(range(1, MAX_BUCKET + 2)))]
    assert MAX_BUCKET == 16


def test_stories_are_given_in_the_order_of_adding(either: str, tmp_path: Path) -> None:
    """Not in that of their numbers: a batch may bring its texts in any order."""
    index = fresh(tmp_path / "index")
    index.add([5, 9, 2], [keys(3, 4), keys(4), keys(3, 4)], TOKEN, 9)
    index.add([7, 1], [keys(4), keys(3)], TOKEN, 9)
    assert told(index, keys(1, 3, 4, 8)) == [(1, [5, 2, 1]), (2, [5, 9, 2, 7])]


def test_adding_twice_changes_nothing(either: str, tmp_path: Path) -> None:
    index = fresh(tmp_path / "index")
    for _ in range(2):
        index.add([1, 2], [keys(3, 4), keys(4)], TOKEN, 2)
    assert told(index, keys(3, 4)) == [(0, [1]), (1, [1, 2])]


def test_more_stories_than_there_is_room_for_at_first(either: str, tmp_path: Path) -> None:
    """Hundreds of keys, each as full as may be."""
    (full,) = of_texts(1, 800)
    index = filled(tmp_path / "index", [full] * 20)
    assert told(index, full) == [(place, list(range(1, MAX_BUCKET + 2))) for place in range(len(full))]


def test_texts_without_keys_are_held_as_added(either: str, tmp_path: Path) -> None:
    index = fresh(tmp_path / "index")
    index.add([1, 2], [keys(), keys()], TOKEN, 2)
    index.add([], [], TOKEN, 5)
    assert index.last_text == 5
    assert told(index, keys()) == told(index, keys(1)) == []


def test_both_forms_make_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for engaged in (False, True):
        monkeypatch.setattr(jit._JitState, "enabled", engaged)
        filled(tmp_path / "index", of_texts(300, common=10))
        made.append((tmp_path / "index").read_bytes())
    assert made[0] == made[1]


def test_a_story_is_found_by_a_passage_of_it(either: str, tmp_path: Path) -> None:
    rng = random.Random(3)
    bodies = [" ".join(words(rng, 120)) for _ in range(30)]
    bodies.append(" ".join(words(rng, 40)) + bodies[17][100:250] + " ".join(words(rng, 40)))
    found = [k for folded in normalise.fold_batches(bodies) for k in winnowing.fingerprint_texts(folded, 80) if k is not None]
    index = filled(tmp_path / "index", found[:30])
    assert {story for _, stories in told(index, found[30]) for story in stories} == {18}


# Growth


def test_it_grows_with_what_it_holds(either: str, tmp_path: Path) -> None:
    those = of_texts(400, common=50)
    index = fresh(tmp_path / "index")
    sizes = set()
    for start in range(0, 400, 25):
        index.add(range(start + 1, start + 26), those[start : start + 25], TOKEN, start + 25)
        assert index.size_bytes == os.path.getsize(tmp_path / "index")
        sizes.add(index.size_bytes)
    assert len(sizes) >= 3  # it has grown twice and more
    oracle = held(those)
    assert answers(index, those) == [expected(oracle, k) for k in those]
    assert answers(Store(those).open(tmp_path / "index"), those) == answers(index, those)
    assert not (tmp_path / "index.new").exists()


# Opening again


def test_a_clean_index_is_taken_as_it_is(either: str, tmp_path: Path) -> None:
    those = of_texts(60, common=5)
    filled(tmp_path / "index", those)
    database = Store(those)
    index = database.open(tmp_path / "index")
    assert answers(index, those) == answers(filled(tmp_path / "other", those), those)
    assert (database.asked, database.heard, index.last_text) == ([], 0, 60)


def test_one_that_is_behind_is_caught_up(either: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    those = of_texts(60, common=5)
    fresh(tmp_path / "index").add(range(1, 41), those[:40], b"e" * 16, 40)
    database = Store(those, {b"e" * 16: 40})
    with caplog.at_level(logging.INFO, "dedup"):
        index = database.open(tmp_path / "index")
    assert (database.asked, database.heard, index.last_text) == ([40], 20, 60)
    assert [r.getMessage() for r in caplog.records] == ["the passage index was behind: 20 texts added"]
    assert answers(index, those) == answers(filled(tmp_path / "other", those), those)
    assert answers(Store(those).open(tmp_path / "index"), those) == answers(index, those)


def test_one_that_is_ahead_of_a_restored_backup_is_made_again(tmp_path: Path) -> None:
    those = of_texts(60, common=5)
    filled(tmp_path / "index", those)  # as of a commit that the backup does not know
    database = Store(those[:40])
    database.known = {bytes(16): 0, b"b" * 16: 40}
    index = database.open(tmp_path / "index", token=b"b" * 16)
    assert database.asked == [0]
    assert answers(index, those) == answers(filled(tmp_path / "other", those[:40]), those)


def scribble(path: Path, at: int, what: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(what)


def entry(path: Path) -> int:
    """Where in the file the first slot stands that is taken."""
    slots = np.frombuffer(path.read_bytes()[hashtable.HEADER_BYTES :], "<i8")
    return hashtable.HEADER_BYTES + 8 * int(np.flatnonzero(slots)[0])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "deleted": lambda p: p.unlink(),
    "cut short": lambda p: os.truncate(p, p.stat().st_size // 2),
    "header scribbled over": lambda p: scribble(p, 40, b"scrib"),
    "last text scribbled over": lambda p: scribble(p, 64, bytes([33])),
    "a story scribbled over": lambda p: scribble(p, entry(p), b"\x11\x22"),
    "an entry lost": lambda p: scribble(p, entry(p), bytes(8)),
    "zeros from the middle on": lambda p: scribble(
        p, hashtable.HEADER_BYTES + 8192, bytes(p.stat().st_size - hashtable.HEADER_BYTES - 8192)
    ),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_whatever_is_done_to_the_file_the_answers_are_those_of_a_fresh_one(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    those = of_texts(60, common=5)
    filled(tmp_path / "index", those)
    before = (tmp_path / "index").read_bytes()
    DAMAGE[how](tmp_path / "index")
    assert how == "deleted" or (tmp_path / "index").read_bytes() != before
    database = Store(those)
    with caplog.at_level(logging.INFO, "dedup"):
        index = database.open(tmp_path / "index")
    oracle = held(those)
    assert answers(index, those) == [expected(oracle, k) for k in those]
    assert (database.asked, database.heard) == ([0], 60)
    assert "the passage index was rebuilt from 60 texts" in caplog.text


def test_an_index_of_another_database_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path / "index", of_texts(80))
    those = of_texts(30, common=3)
    with caplog.at_level(logging.INFO, "dedup"):
        index = Store(those).open(tmp_path / "index", bytes(16))
    assert "the passage index is that of another database: rebuilding it" in caplog.text
    assert answers(index, those) == answers(filled(tmp_path / "other", those), those)


@pytest.mark.parametrize(("name", "value"), [("STORIES", 8), ("RECIPE", "winnow/other")])
def test_an_index_of_other_keys_or_another_limit_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: object
) -> None:
    """The recipe that the file bears is made of both."""
    stories, recipe = (value, winnowing.RECIPE) if name == "STORIES" else (MAX_BUCKET, value)
    other = xxhash.xxh3_128_digest(f"{recipe}/{stories}".encode())
    assert passages._RECIPE_DIGEST == xxhash.xxh3_128_digest(f"{winnowing.RECIPE}/{MAX_BUCKET}".encode()) != other
    those = of_texts(30)
    with monkeypatch.context() as patch:
        patch.setattr(passages, "_RECIPE_DIGEST", other)
        filled(tmp_path / "index", those)
    with caplog.at_level(logging.INFO, "dedup"):
        index = Store(those).open(tmp_path / "index")
    assert "the passage index is built with other settings: rebuilding it" in caplog.text
    assert answers(index, those) == answers(filled(tmp_path / "other", those), those)


def test_the_candidate_index_is_no_passage_index(tmp_path: Path) -> None:
    hashtable.HashTable.create(str(tmp_path / "index"), UUID, b"r" * 16).commit(TOKEN, 30)
    those = of_texts(30)
    database = Store(those)
    assert answers(database.open(tmp_path / "index"), those) == answers(filled(tmp_path / "other", those), those)
    assert database.asked == [0]


def test_entries_of_a_batch_that_was_not_finished_are_not_believed(tmp_path: Path) -> None:
    """The slots were written, then the process ended: the header still speaks of the commit before."""
    those = of_texts(60)
    index = filled(tmp_path / "index", those[:40])
    passages.insert_texts(index._table, range(41, 61), [k + 1 for k in those[40:]])
    database = Store(those, {TOKEN: 40, b"n" * 16: 60})
    assert answers(database.open(tmp_path / "index", token=b"n" * 16), those) == answers(filled(tmp_path / "other", those), those)
    assert database.asked == [0]


# Refusals


def test_texts_and_lists_of_keys_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    index = fresh(tmp_path / "index")
    for texts, those in (([1, 2], [keys(1)]), ([1], [keys(1), keys(2)]), ([], [keys(1)]), ([1], [])):
        with pytest.raises(ValueError, match=f"{len(texts)} texts and {len(those)} lists of fingerprints"):
            index.add(texts, those, TOKEN, 2)
    assert told(index, keys(1, 2)) == []


def test_more_texts_than_a_slot_has_room_for_are_refused(tmp_path: Path) -> None:
    index = fresh(tmp_path / "index")
    index.add([hashtable.MAX_TEXT_ID], [keys(1)], TOKEN, hashtable.MAX_TEXT_ID)
    assert told(index, keys(1)) == [(0, [hashtable.MAX_TEXT_ID])]
    with pytest.raises(TooManyTextsError, match="268,435,455"):
        index.add([hashtable.MAX_TEXT_ID + 1], [keys(1)], TOKEN, hashtable.MAX_TEXT_ID + 1)


def test_keys_that_somebody_made_to_stand_side_by_side_do_not_make_the_index_grow(tmp_path: Path) -> None:
    keys = [np.arange((1 << winnowing.FINGERPRINT_BITS) - 500 * (n + 1), (1 << winnowing.FINGERPRINT_BITS) - 500 * n) for n in range(20)]
    index = filled(tmp_path / "index", keys)
    assert index.size_bytes < 1_000_000
    assert answers(index, keys) == [expected(held(keys), k) for k in keys]

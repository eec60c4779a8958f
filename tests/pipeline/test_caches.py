"""No bound of a cache and no size of a batch decides what is recorded: every one of them is made 1 in turn. And no cache escapes
this: the sources are searched for caches."""

from __future__ import annotations

import ast
import importlib
import random
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.matching.cache import Cache
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile
from tests.builders.printed import printed
from tests.builders.project import MODULES
from tests.builders.stories import derived, families, in_many_scripts, mixed, paper, recrawled, story

pytestmark = pytest.mark.usefixtures("machine_code")

BOUNDS = (
    "dedup.matching.boilerplate.MAX_CACHED_MASK_CHARACTERS",
    "dedup.scan.mismatch_causes.MAX_DIGESTS",
    "dedup.matching.text_cache.MAX_CACHED_CHARACTERS",
    "dedup.matching.match_caches.MAX_CACHED_PUBLISHERS",
)
"""What bounds the caches that are objects of `Cache`."""
RESULTS = (
    "dedup.similarity.minhash.permutations",
    "dedup.store.database._value_rows",
    "dedup.text.normalise._form_of_runs",
    "dedup.text.urls._normalise",
)
"""Functions of which the latest results are kept."""
BATCHES = (
    "dedup.matching.batch_confirmer.COMPARISONS_PER_CHUNK",
    "dedup.maintenance.reindex.CHUNK",
    "dedup.scan.scanner.BATCH_FILES",
    "dedup.scan.scanner.BATCH_BYTES",
    "dedup.text.normalise.MAX_BATCH_CHARACTERS",
)
"""How much is worked on at once."""


# The cache


class Model:
    """What the cache holds, by a list from the least to the most recently used entry."""

    def __init__(self, most: int) -> None:
        self.most, self.entries = most, list[tuple[int, int]]()

    def use(self, key: int) -> int | None:
        found = [entry for entry in self.entries if entry[0] == key]
        self.entries = [entry for entry in self.entries if entry[0] != key] + found
        return found[0][1] if found else None

    def put(self, key: int, value: int) -> None:
        self.entries = [entry for entry in self.entries if entry[0] != key] + [(key, value)]

    def end_batch(self) -> None:
        while sum(value for _, value in self.entries) > self.most:
            self.entries.pop(0)


@given(st.integers(0, 8), st.dictionaries(st.integers(0, 9), st.integers(1, 4)), st.sets(st.integers(0, 9)))
def test_trimming_drops_what_is_beyond_the_bound_and_not_needed(most: int, entries: dict[int, int], needed: set[int]) -> None:
    tried = Cache[int, int](most, lambda value: value)
    tried.update(entries)
    tried.trim(needed)
    left = {key for key in entries if key in tried}
    assert needed & entries.keys() <= left
    assert left <= needed or sum(entries[key] for key in left) <= most
    dropped = [key for key in entries if key not in left]
    assert dropped == [key for key in entries if key not in needed][: len(dropped)]
    assert not dropped or sum(entries[key] for key in left) + entries[dropped[-1]] > most


STEPS = st.lists(
    st.tuples(st.just("put"), st.integers(0, 5), st.integers(1, 4))
    | st.tuples(st.sampled_from(["get", "missing", "end", "clear"]), st.integers(0, 5), st.just(0)),
    max_size=40,
)


@given(st.integers(0, 8), STEPS)
def test_a_cache_drops_the_entries_that_were_not_used_for_the_longest_time_when_a_batch_ends(
    most: int, steps: list[tuple[str, int, int]]
) -> None:
    tried, model = Cache[int, int](most, lambda value: value), Model(most)
    for step, key, value in steps:
        if step == "put":
            tried[key] = value
            model.put(key, value)
        elif step == "get":
            assert tried.get(key) == model.use(key)
        elif step == "missing":
            assert tried.missing([key]) == ([key] if model.use(key) is None else [])
        elif step == "end":
            tried.end_batch()
            model.end_batch()
        else:
            tried.clear()
            model.entries.clear()
        assert len(tried) == len(model.entries)
        assert all(key in tried for key, _ in model.entries)


@given(st.integers(0, 3), st.lists(st.integers(0, 9), max_size=30))
def test_a_cache_drops_nothing_within_a_batch(most: int, keys: list[int]) -> None:
    tried = Cache[int, int](most)
    for key in keys:
        tried[key] = -key
    assert [tried[key] for key in keys] == [-key for key in keys]
    tried.end_batch()
    assert len(tried) == min(most, len(set(keys)))


# Where there are caches


def bounds_of_caches(tree: ast.Module) -> Iterator[str]:
    """The first argument of every `Cache(…)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).partition("[")[0] == "Cache":
            yield ast.unparse(node.args[0])


def bounded_results(tree: ast.Module) -> Iterator[str]:
    """Functions with parameters of which only the latest results are kept. One without parameters has one result."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ast.unparse(node.args):
            kept = [ast.unparse(decorator) for decorator in node.decorator_list]
            yield from (
                node.name for how in kept if "cache" in how and how not in ("cache", "cached_property") and "maxsize=None" not in how
            )


def other_ways_to_forget(tree: ast.Module) -> Iterator[str]:
    """What drops entries by itself or may: everything that must be a `Cache`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "popitem":
            yield "popitem"
        elif isinstance(node, ast.Name) and node.id in ("OrderedDict", "WeakValueDictionary", "WeakKeyDictionary"):
            yield node.id
        elif isinstance(node, ast.Call) and any(keyword.arg == "maxlen" for keyword in node.keywords):
            yield "maxlen"
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Compare) and "len(" in ast.unparse(node.test):
            for inner in node.body:
                source = ast.unparse(inner)
                if source.endswith(".clear()") or (isinstance(inner, ast.Assign) and isinstance(inner.value, ast.Dict | ast.DictComp)):
                    yield source


SOURCES = {module: ast.parse(path.read_text("utf-8")) for module, path in MODULES.items()}


def test_all_caches_of_the_program_are_made_small_below() -> None:
    assert sorted(f"{module}.{bound}" for module, tree in SOURCES.items() for bound in bounds_of_caches(tree)) == sorted(BOUNDS)
    assert sorted(f"{module}.{name}" for module, tree in SOURCES.items() for name in bounded_results(tree)) == sorted(RESULTS)


def test_nothing_else_forgets_what_it_holds() -> None:
    assert {module for module, tree in SOURCES.items() if list(other_ways_to_forget(tree))} == {"dedup.matching.cache"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("a = OrderedDict()", ["OrderedDict"]),
        ("a.popitem(last=False)", ["popitem"]),
        ("a = deque(maxlen=3)", ["maxlen"]),
        ("if len(a) > 3:\n    a.clear()", ["a.clear()"]),
        ("if len(a) > 3:\n    self.a = {}", ["self.a = {}"]),
        ("if len(a) > 3:\n    self.a = {k: 1 for k in b}", ["self.a = {k: 1 for k in b}"]),
        ("a.clear()\nb = deque()\nif a:\n    b = {}", []),
    ],
)
def test_the_search_sees_every_way_to_forget(source: str, found: list[str]) -> None:
    assert list(other_ways_to_forget(ast.parse(source))) == found


# With the smallest bounds


def corpus() -> list[ArticleFile]:
    """Articles of every kind: wire copy, bundles, quotations, texts in many scripts, boilerplate, a page and its revisions."""
    rng = random.Random(17)
    bodies = [*mixed(rng, 1), *families(rng, 3)]
    found = [paper(n, body) for n, body in enumerate(bodies)]
    found += [paper(200 + n, made.body) for n, made in enumerate(in_many_scripts(5, 4))]
    found += [printed(300 + n, 2 + n % 2) for n in range(9)]
    return [*found, *recrawled(story(rng, 6), 4, seed=3, number=400)]


def recorded(db: Path) -> tuple[list[dict[str, Any]], Any]:
    return running.dump(db), derived(db)


@cache
def normal(folder: Path) -> Any:
    for article in corpus():
        article.write(folder / "crawl")
    running.scan(folder / "crawl", folder / "dedup.db")
    return recorded(folder / "dedup.db")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("caches")


@pytest.mark.parametrize(
    ("bound", "files"),
    [*((bound, 7) for bound in (*BOUNDS, *RESULTS, *BATCHES)), *((bound, 512) for bound in (*BOUNDS, "all"))],
    ids=lambda value: str(value).rpartition(".")[2],
)
def test_the_database_is_the_same_whatever_the_bounds(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, files: int
) -> None:
    expected = normal(folder)
    assert {row["relation"] for row in expected[0] if row["table"] == "matches"} == {"near", "copy", "excerpt", "quote"}
    assert expected[1]["boilerplate"]
    monkeypatch.setattr("dedup.scan.scanner.BATCH_FILES", files)
    for name in (*BOUNDS, *BATCHES) if bound == "all" else (bound,):
        if name in RESULTS:
            module, _, function = name.rpartition(".")
            original = getattr(importlib.import_module(module), function)
            monkeypatch.setattr(name, lru_cache(maxsize=1)(original.__wrapped__))
        else:
            monkeypatch.setattr(name, 1)
    running.scan(folder / "crawl", tmp_path / "dedup.db")
    assert recorded(tmp_path / "dedup.db") == expected

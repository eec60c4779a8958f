"""Cache limits and batch sizes do not change what is recorded: each is set to 1 in turn. A search of the sources makes sure that no
cache is forgotten."""

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
from tests.builders.printed import boilerplate_article
from tests.builders.project import MODULES
from tests.builders.stories import derived_rows, families, in_many_scripts, mixed, paper, recrawled, story

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("machine_code")]

BOUNDS = (
    "dedup.matching.boilerplate.MAX_CACHED_MASK_CHARACTERS",
    "dedup.pipeline.mismatch_causes.MAX_DIGESTS",
    "dedup.matching.text_cache.MAX_CACHED_CHARACTERS",
    "dedup.matching.match_caches.MAX_CACHED_PUBLISHERS",
)
"""Limits of the `Cache` objects."""
RESULT_CACHES = (
    "dedup.library.records._type_hints",
    "dedup.library.texts._canonicaliser",
    "dedup.similarity.minhash.permutations",
    "dedup.store.database._value_rows",
    "dedup.text.normalise._form_of_runs",
    "dedup.text.urls._normalise",
)
"""Functions with `lru_cache`."""
BATCH_SIZES = (
    "dedup.matching.batch_confirmer.COMPARISONS_PER_CHUNK",
    "dedup.maintenance.reindex.CHUNK",
    "dedup.pipeline.scanner.BATCH_FILES",
    "dedup.pipeline.scanner.BATCH_BYTES",
    "dedup.text.normalise.MAX_BATCH_CHARACTERS",
)
"""Sizes of batches and chunks."""


# The cache


class Model:
    """A cache as a list, from the least to the most recently used entry."""

    def __init__(self, limit: int) -> None:
        self.limit, self.entries = limit, list[tuple[int, int]]()

    def use(self, key: int) -> int | None:
        hits = [entry for entry in self.entries if entry[0] == key]
        self.entries = [entry for entry in self.entries if entry[0] != key] + hits
        return hits[0][1] if hits else None

    def put(self, key: int, value: int) -> None:
        self.entries = [entry for entry in self.entries if entry[0] != key] + [(key, value)]

    def end_batch(self) -> None:
        while sum(value for _, value in self.entries) > self.limit:
            self.entries.pop(0)


@given(st.integers(0, 8), st.dictionaries(st.integers(0, 9), st.integers(1, 4)), st.sets(st.integers(0, 9)))
def test_trim_keeps_needed_entries_and_drops_the_oldest_others_beyond_the_limit(
    limit: int, entries: dict[int, int], needed: set[int]
) -> None:
    cached = Cache[int, int](limit, lambda value: value)
    cached.update(entries)
    cached.trim(needed)
    remaining = {key for key in entries if key in cached}
    assert needed & entries.keys() <= remaining
    assert remaining <= needed or sum(entries[key] for key in remaining) <= limit
    dropped = [key for key in entries if key not in remaining]
    assert dropped == [key for key in entries if key not in needed][: len(dropped)]
    assert not dropped or sum(entries[key] for key in remaining) + entries[dropped[-1]] > limit


STEPS = st.lists(
    st.tuples(st.just("put"), st.integers(0, 5), st.integers(1, 4))
    | st.tuples(st.sampled_from(["get", "missing", "end", "clear"]), st.integers(0, 5), st.just(0)),
    max_size=40,
)


@given(st.integers(0, 8), STEPS)
def test_a_cache_evicts_the_least_recently_used_entries_when_a_batch_ends(limit: int, steps: list[tuple[str, int, int]]) -> None:
    cached, model = Cache[int, int](limit, lambda value: value), Model(limit)
    for step, key, value in steps:
        if step == "put":
            cached[key] = value
            model.put(key, value)
        elif step == "get":
            assert cached.get(key) == model.use(key)
        elif step == "missing":
            assert cached.missing([key]) == ([key] if model.use(key) is None else [])
        elif step == "end":
            cached.end_batch()
            model.end_batch()
        else:
            cached.clear()
            model.entries.clear()
        assert len(cached) == len(model.entries)
        assert all(key in cached for key, _ in model.entries)


@given(st.integers(0, 3), st.lists(st.integers(0, 9), max_size=30))
def test_a_cache_evicts_nothing_within_a_batch(limit: int, keys: list[int]) -> None:
    cached = Cache[int, int](limit)
    for key in keys:
        cached[key] = -key
    assert [cached[key] for key in keys] == [-key for key in keys]
    cached.end_batch()
    assert len(cached) == min(limit, len(set(keys)))


# Caches in the sources


def bounds_of_caches(tree: ast.Module) -> Iterator[str]:
    """The first argument of every `Cache(…)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).partition("[")[0] == "Cache":
            yield ast.unparse(node.args[0])


def bounded_functions(tree: ast.Module) -> Iterator[str]:
    """Functions with parameters and a bounded result cache. A function without parameters has only one result."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ast.unparse(node.args):
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            yield from (
                node.name for how in decorators if "cache" in how and how not in ("cache", "cached_property") and "maxsize=None" not in how
            )


def other_evictions(tree: ast.Module) -> Iterator[str]:
    """Code that evicts entries, or may, without being a `Cache`."""
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


def test_every_cache_of_the_program_is_in_these_lists() -> None:
    assert sorted(f"{module}.{bound}" for module, tree in SOURCES.items() for bound in bounds_of_caches(tree)) == sorted(BOUNDS)
    assert sorted(f"{module}.{name}" for module, tree in SOURCES.items() for name in bounded_functions(tree)) == sorted(RESULT_CACHES)


def test_nothing_but_the_cache_class_evicts_entries() -> None:
    assert {module for module, tree in SOURCES.items() if list(other_evictions(tree))} == {"dedup.matching.cache"}


@pytest.mark.parametrize(
    ("source", "expected"),
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
def test_the_search_finds_every_kind_of_eviction(source: str, expected: list[str]) -> None:
    assert list(other_evictions(ast.parse(source))) == expected


# With the smallest limits


def corpus() -> list[ArticleFile]:
    """Wire copy, bundles, quotations, texts in many scripts, boilerplate, and a page with revisions."""
    rng = random.Random(17)
    bodies = [*mixed(rng, 1), *families(rng, 3)]
    articles = [paper(n, body) for n, body in enumerate(bodies)]
    articles += [paper(200 + n, article.body) for n, article in enumerate(in_many_scripts(5, 4))]
    articles += [boilerplate_article(300 + n, 2 + n % 2) for n in range(9)]
    return [*articles, *recrawled(story(rng, 6), 4, seed=3, number=400)]


def dump_of(db: Path) -> tuple[list[dict[str, Any]], Any]:
    return running.dump(db), derived_rows(db)


@cache
def expected_dump(folder: Path) -> Any:
    for article in corpus():
        article.write(folder / "crawl")
    running.scan(folder / "crawl", folder / "dedup.db")
    return dump_of(folder / "dedup.db")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("caches")


@pytest.mark.parametrize(
    ("bound", "files"),
    [*((bound, 7) for bound in (*BOUNDS, *RESULT_CACHES, *BATCH_SIZES)), *((bound, 512) for bound in (*BOUNDS, "all"))],
    ids=lambda value: str(value).rpartition(".")[2],
)
def test_the_database_does_not_depend_on_cache_limits_or_batch_sizes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, files: int
) -> None:
    expected = expected_dump(folder)
    assert {row["relation"] for row in expected[0] if row["table"] == "matches"} == {"near", "copy", "excerpt", "quote"}
    assert expected[1]["boilerplate"]
    monkeypatch.setattr("dedup.pipeline.scanner.BATCH_FILES", files)
    for name in (*BOUNDS, *BATCH_SIZES) if bound == "all" else (bound,):
        if name in RESULT_CACHES:
            module, _, function = name.rpartition(".")
            original = getattr(importlib.import_module(module), function)
            monkeypatch.setattr(name, lru_cache(maxsize=1)(original.__wrapped__))
        else:
            monkeypatch.setattr(name, 1)
    running.scan(folder / "crawl", tmp_path / "dedup.db")
    assert dump_of(tmp_path / "dedup.db") == expected

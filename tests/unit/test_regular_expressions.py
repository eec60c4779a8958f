"""No regular expression backtracks without bound, neither in the program nor made from a configuration."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import regex

from dedup.text.urls import Canonicaliser
from tests.builders import scans as running
from tests.builders.project import MODULES

pytestmark = pytest.mark.slow

UNAMBIGUOUS = {
    "dedup.text.urls._ALREADY_CANONICAL": "each turn of the outer repeat begins with a sign that the inner one does not take",
}
"""Nested repeats that match in one way only, and why."""

_parser: Any = import_module("re._parser")
_UNBOUNDED = 1000
"""A repeat with at least this maximum counts as unbounded."""


def has_nested_repeats(pattern: str | bytes, flags: int = 0) -> bool:
    """Whether an unbounded repeat is inside another, neither of them possessive or atomic, as in (a+)+."""
    return _nested(_parser.parse(pattern, flags), within=False)


def _nested(parsed: Any, *, within: bool) -> bool:
    for kind, arguments in parsed:
        name = str(kind)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            _, maximum, inner = arguments
            unbounded = int(maximum) >= _UNBOUNDED
            if (unbounded and within) or _nested(inner, within=within or unbounded):
                return True
        elif name in ("POSSESSIVE_REPEAT", "ATOMIC_GROUP"):
            inner = arguments[2] if name == "POSSESSIVE_REPEAT" else arguments
            if _nested(inner, within=False):
                return True
        elif any(_nested(inner, within=within) for inner in _inner(name, arguments)):
            return True
    return False


def _inner(name: str, arguments: Any) -> Iterator[Any]:
    if name == "SUBPATTERN":
        yield arguments[3]
    elif name in ("ASSERT", "ASSERT_NOT"):
        yield arguments[1]
    elif name == "BRANCH":
        yield from arguments[1]


@pytest.mark.parametrize("pattern", ["(a+)+", "(?:a*b?)*", "(?:(?:a|b+)c?)+", "(x{0,}|y)*", "(?=(a+)*)", "(?>(?:a+)+)"])
def test_nested_repeats_are_detected(pattern: str) -> None:
    assert has_nested_repeats(pattern)


@pytest.mark.parametrize("pattern", ["a+b+", "(?:a{1,9})+", "(?:a++b)+", "(?>a+)b+", "(a|b)+", "(?:a{0,40}b)*"])
def test_other_repeats_are_not_reported(pattern: str) -> None:
    assert not has_nested_repeats(pattern)


def program_patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Every regular expression of the program: module variables, and literals in calls of `re` functions."""
    for module, path in MODULES.items():
        if module.endswith("__main__"):
            continue
        yield from ((f"{module}.{name}", value) for name, value in vars(import_module(module)).items() if isinstance(value, re.Pattern))
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            is_re_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "re"
            if is_re_call and isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                yield f"{module}:{node.lineno}", re.compile(node.args[0].value)


def test_no_pattern_of_the_program_has_nested_repeats() -> None:
    patterns = dict(program_patterns())
    assert len(patterns) > 25
    nested_patterns = {name: p.pattern for name, p in patterns.items() if has_nested_repeats(p.pattern, p.flags & ~re.UNICODE)}
    allowed = {patterns[name].pattern for name in UNAMBIGUOUS}
    assert {name for name, pattern in nested_patterns.items() if pattern not in allowed} == set()
    assert UNAMBIGUOUS.keys() <= nested_patterns.keys()


LONG = 100_000
"""At this length, a pattern that backtracks without bound would take hours."""


def script_patterns() -> Iterator[tuple[str, regex.Pattern[str]]]:
    """Patterns of the `regex` package, which exposes no parse tree."""
    for module in MODULES:
        if not module.endswith("__main__"):
            yield from ((f"{module}.{n}", v) for n, v in vars(import_module(module)).items() if isinstance(v, regex.Pattern))


@pytest.mark.system
@pytest.mark.parametrize(
    "unit",
    ["a", "가", "1", "1,", "조1", " ", "\n", ".", "다.", "\u0301", '"', "'가", "“", "-", "a@", "a.", "입력 1", "사진 =", "ⓒ", "not ", "金"],
)
def test_patterns_of_the_regex_package_end_on_repetitive_text(unit: str) -> None:
    patterns = dict(script_patterns())
    assert len(patterns) > 8
    for pattern in patterns.values():
        for text in (unit * (LONG // len(unit)), unit * (LONG // len(unit)) + "!"):
            for _ in pattern.finditer(text, timeout=60):
                pass


STARS = "*".join("aaaaaaaaaaaa")


def test_file_name_patterns_with_many_stars_end(crawl: Any, db: Any) -> None:
    """A name of 255 characters can be divided among twelve stars in 10^20 ways."""
    (crawl / ("a" * 255)).touch()
    (crawl / ("a" * 251 + ".md")).touch()
    tally = running.scan(crawl, db, patterns=(f"*{STARS}*b", f"*{STARS}*[!a]x"))
    assert tally.ignored == {"pattern": 2}
    assert running.scan(crawl, db, patterns=(f"*{STARS}*.md",)).faults == 1
    assert running.scan(crawl, db, patterns=(f"{STARS}?" * 50,)).ignored == {"pattern": 2}


def test_parameter_patterns_with_many_stars_end() -> None:
    canonicaliser = Canonicaliser([], [f"*{STARS}*b"], "")
    name = "a" * 3000
    assert canonicaliser.canonicalise(f"https://hanbit.example/?{name}=1") == f"https://hanbit.example/?{name}=1"
    assert canonicaliser.canonicalise(f"https://hanbit.example/?{name}b=1") == "https://hanbit.example/"
    assert canonicaliser.canonicalise("https://hanbit.example/?" + "&".join(["a"] * 1000)) is not None


def test_url_rules_are_matched_segment_by_segment() -> None:
    """URL rules are not regular expressions: a hundred placeholders match in one way only."""
    names = [f"n{i}" for i in range(100)]
    pattern = "hanbit.example/" + "/".join(f"{{{n}}}" for n in names)
    canonicaliser = Canonicaliser([(pattern + "/end", "https://hanbit.example/{n0}")], [], "")
    many = "https://hanbit.example/" + "/".join("a" * 30 for _ in names)
    assert canonicaliser.canonicalise(many + "/end") == "https://hanbit.example/" + "a" * 30
    assert canonicaliser.canonicalise(many + "/other") == many + "/other"

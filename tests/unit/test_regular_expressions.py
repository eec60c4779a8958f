"""No regular expression that backtracks without bound: the program's own, and those that are made of what somebody configured."""

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

UNAMBIGUOUS = {
    "dedup.text.urls._ALREADY_CANONICAL": "each turn of the outer repeat begins with a sign that the inner one does not take",
}
"""Repeats within repeats that can be read in one way only, and why."""

_parser: Any = import_module("re._parser")
_UNBOUNDED = 1000
"""A repeat up to so many times or more."""


def nested(pattern: str | bytes, flags: int = 0) -> bool:
    """Whether a repeat without bound stands within another, neither of them possessive or atomic: (a+)+."""
    return _nested(_parser.parse(pattern, flags), within=False)


def _nested(parsed: Any, *, within: bool) -> bool:
    for kind, given in parsed:
        name = str(kind)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            _, most, inner = given
            unbounded = int(most) >= _UNBOUNDED
            if (unbounded and within) or _nested(inner, within=within or unbounded):
                return True
        elif name in ("POSSESSIVE_REPEAT", "ATOMIC_GROUP"):
            inner = given[2] if name == "POSSESSIVE_REPEAT" else given
            if _nested(inner, within=False):
                return True
        elif any(_nested(inner, within=within) for inner in _inner(name, given)):
            return True
    return False


def _inner(name: str, given: Any) -> Iterator[Any]:
    if name == "SUBPATTERN":
        yield given[3]
    elif name in ("ASSERT", "ASSERT_NOT"):
        yield given[1]
    elif name == "BRANCH":
        yield from given[1]


@pytest.mark.parametrize("pattern", ["(a+)+", "(?:a*b?)*", "(?:(?:a|b+)c?)+", "(x{0,}|y)*", "(?=(a+)*)", "(?>(?:a+)+)"])
def test_repeats_within_repeats_are_seen(pattern: str) -> None:
    assert nested(pattern)


@pytest.mark.parametrize("pattern", ["a+b+", "(?:a{1,9})+", "(?:a++b)+", "(?>a+)b+", "(a|b)+", "(?:a{0,40}b)*"])
def test_other_repeats_are_none(pattern: str) -> None:
    assert not nested(pattern)


def own() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Every regular expression of the program: those that modules keep, and those that stand where they are used."""
    for module, path in MODULES.items():
        if module.endswith("__main__"):
            continue
        yield from ((f"{module}.{name}", value) for name, value in vars(import_module(module)).items() if isinstance(value, re.Pattern))
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "re"
            if called and isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                yield f"{module}:{node.lineno}", re.compile(node.args[0].value)


def test_no_expression_of_the_program_repeats_within_a_repeat() -> None:
    found = dict(own())
    assert len(found) > 25
    kept = {name: p.pattern for name, p in found.items() if nested(p.pattern, p.flags & ~re.UNICODE)}
    reasons = {found[name].pattern for name in UNAMBIGUOUS}
    assert {name for name, pattern in kept.items() if pattern not in reasons} == set()
    assert UNAMBIGUOUS.keys() <= kept.keys()


LONG = 100_000
"""Characters over which an expression that backtracks without bound would take hours."""


def _scripts() -> Iterator[tuple[str, regex.Pattern[str]]]:
    """Expressions that know scripts and graphemes: their package does not tell how it reads them."""
    for module in MODULES:
        if not module.endswith("__main__"):
            yield from ((f"{module}.{n}", v) for n, v in vars(import_module(module)).items() if isinstance(v, regex.Pattern))


@pytest.mark.parametrize(
    "unit",
    ["a", "가", "1", "1,", "조1", " ", "\n", ".", "다.", "\u0301", '"', "'가", "“", "-", "a@", "a.", "입력 1", "사진 =", "ⓒ", "not ", "金"],
)
def test_expressions_of_scripts_end_on_whatever_repeats_itself(unit: str) -> None:
    found = dict(_scripts())
    assert len(found) > 8
    for pattern in found.values():
        for text in (unit * (LONG // len(unit)), unit * (LONG // len(unit)) + "!"):
            for _ in pattern.finditer(text, timeout=60):
                pass


STARS = "*".join("aaaaaaaaaaaa")


def test_patterns_of_names_with_many_stars_end(crawl: Any, db: Any) -> None:
    """A name of 255 characters that nearly fits could be divided among twelve stars in 10^20 ways."""
    (crawl / ("a" * 255)).touch()
    (crawl / ("a" * 251 + ".md")).touch()
    tally = running.scan(crawl, db, patterns=(f"*{STARS}*b", f"*{STARS}*[!a]x"))
    assert tally.ignored == {"pattern": 2}
    assert running.scan(crawl, db, patterns=(f"*{STARS}*.md",)).faults == 1
    assert running.scan(crawl, db, patterns=(f"{STARS}?" * 50,)).ignored == {"pattern": 2}


def test_patterns_of_parameters_with_many_stars_end() -> None:
    canonicaliser = Canonicaliser([], [f"*{STARS}*b"], "")
    name = "a" * 3000
    assert canonicaliser.canonicalise(f"https://hanbit.example/?{name}=1") == f"https://hanbit.example/?{name}=1"
    assert canonicaliser.canonicalise(f"https://hanbit.example/?{name}b=1") == "https://hanbit.example/"
    assert canonicaliser.canonicalise("https://hanbit.example/?" + "&".join(["a"] * 1000)) is not None


def test_rules_of_addresses_are_compared_segment_by_segment() -> None:
    """They are no regular expressions: a hundred placeholders are read in one way only."""
    names = [f"n{i}" for i in range(100)]
    pattern = "hanbit.example/" + "/".join(f"{{{n}}}" for n in names)
    canonicaliser = Canonicaliser([(pattern + "/end", "https://hanbit.example/{n0}")], [], "")
    many = "https://hanbit.example/" + "/".join("a" * 30 for _ in names)
    assert canonicaliser.canonicalise(many + "/end") == "https://hanbit.example/" + "a" * 30
    assert canonicaliser.canonicalise(many + "/other") == many + "/other"

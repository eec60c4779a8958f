"""The public names: what `import dedup` loads, what it offers, and that the documentation says so."""

from __future__ import annotations

import inspect
import io
import re
from contextlib import chdir, redirect_stdout
from pathlib import Path

import pytest

import dedup
from dedup import library
from tests.builders.library import lay_out_sample, run_program
from tests.builders.project import TOP

PAGE = (TOP / "docs/library.md").read_text("utf-8")
HEAVY = {"click", "datasketch", "jinja2", "numba", "numpy", "pyarrow", "pydantic", "rich", "scipy", "sqlite3", "sqlite_utils", "watchdog"}


def test_importing_dedup_loads_nothing_else() -> None:
    loaded = run_program("import json, sys, dedup; dir(dedup); dedup.__version__; print(json.dumps(sorted(sys.modules)))")
    assert [name for name in loaded if name.startswith("dedup")] == ["dedup"]
    assert HEAVY.isdisjoint(loaded)


_FIRST_USE = """
import json, os, dedup
codes = {}
for name in dedup.__all__:
    child = os.fork()
    if not child:
        os._exit(int(name not in dir(dedup) or callable(getattr(dedup, name)) != (name != "errors")))
    codes[name] = os.waitpid(child, 0)[1]
print(json.dumps(codes))
"""


@pytest.mark.system
def test_each_name_can_be_used_first() -> None:
    """Each in a process that has imported nothing but the package."""
    assert run_program(_FIRST_USE) == dict.fromkeys(dedup.__all__, 0)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        dedup.no_such_name  # type: ignore[attr-defined]  # noqa: B018


def test_the_names_are_those_that_type_checkers_see() -> None:
    source = (TOP / "dedup/__init__.py").read_text("utf-8")
    block = source[source.index("if TYPE_CHECKING:") : source.index("__version__")]
    imported = re.findall(r"^    from (\S+) import (?:\(([^)]*)\)|(.*))$", block, re.MULTILINE)
    names = {(module, name) for module, many, one in imported for name in re.findall(r"\w+", many or one)}
    assert {name for _, name in names} == set(dedup.__all__)
    for module, name in names:
        if name != "errors":
            assert getattr(dedup, name).__module__.startswith(module), name


@pytest.mark.parametrize("name", dedup.__all__)
def test_the_page_names_every_public_name(name: str) -> None:
    assert re.search(rf"\b{name}\b", PAGE)


@pytest.mark.parametrize("method", [name for name in vars(dedup.Database) if not name.startswith("_") and name != "close"])
def test_the_page_shows_the_parameters_of_every_method(method: str) -> None:
    parameters = inspect.signature(getattr(dedup.Database, method)).parameters.values()
    names = [p.name for p in parameters if p.name != "self"]
    first_keyword = next((p.name for p in parameters if p.kind is p.KEYWORD_ONLY), None)
    shown = ", ".join(f"*, {name}" if name == first_keyword else name for name in names)
    assert f"`{method}({shown})`" in PAGE


@pytest.mark.parametrize("name", library.__all__)
def test_every_type_of_an_answer_explains_itself(name: str) -> None:
    assert (getattr(library, name).__doc__ or "").strip().endswith((".", ":")), name


def test_the_examples_of_the_page_give_what_it_shows(tmp_path: Path) -> None:
    lay_out_sample(tmp_path)
    examples = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == PAGE.count("```python") >= 6
    namespace: dict[str, object] = {}
    with chdir(tmp_path):
        for source, expected in examples:
            output = io.StringIO()
            with redirect_stdout(output):
                exec(source, namespace)
            assert output.getvalue() == expected

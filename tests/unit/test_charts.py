"""Pictures: well-formed, without styles or addresses, and true to their numbers."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Tree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dedup import charts
from dedup.charts import AxisTick, ChartColumn, StepLine, TimelinePoint

ATTACK = '</svg><script>alert(1)</script>"\' onload="alert(1)" & <img src=x>'

words = st.one_of(st.just(ATTACK), st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=20))
some_columns = st.lists(
    st.builds(ChartColumn, words, st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), words), min_size=1, max_size=120
)
points = st.lists(st.tuples(st.floats(-1, 2), st.integers(0, 10**6)), min_size=1, max_size=30).map(tuple)


def parsed(svg: str) -> Tree.Element:
    root = Tree.fromstring(svg)
    for element in root.iter():
        assert element.tag in {"svg", "title", "desc", "g", "rect", "line", "text", "path", "circle"}
        assert "style" not in element.attrib
        assert not any("href" in name or name.startswith("on") for name in element.attrib)
    return root


@given(words, words, some_columns, st.integers(1, 8))
def test_columns_are_well_formed_whatever_they_are_called(title: str, described: str, shown: list[ChartColumn], labels: int) -> None:
    root = parsed(charts.render_columns(title, described, shown, max_labels=labels))
    assert (root.findtext("title"), root.findtext("desc")) == (title, described)
    assert [g.findtext("title") for g in root.iter("g")] == [c.tooltip for c in shown]
    assert len([t for t in root.iter("text") if t.get("y") == str(charts.CHART_HEIGHT - 6)]) <= labels


@given(
    words,
    words,
    st.lists(st.builds(StepLine, points, words), min_size=1, max_size=8),
    st.lists(st.builds(AxisTick, st.floats(0, 1), words)),
)
def test_steps_are_well_formed_whatever_they_are_called(title: str, described: str, lines: list[StepLine], ticks: list[AxisTick]) -> None:
    root = parsed(charts.render_step_lines(title, described, lines, ticks))
    assert [p.findtext("title") for p in root.iter("path")] == [line.tooltip for line in lines[: charts.MAX_SERIES]]
    assert [t.text or "" for t in root.iter("text")][2:] == [t.label for t in ticks]


@given(some_columns)
def test_columns_are_as_high_as_their_numbers_and_stand_on_each_other(shown: list[ChartColumn]) -> None:
    root = parsed(charts.render_columns("title", "", shown))
    top = charts.round_up_axis(max(sum(c.values) for c in shown))
    for group, column in zip(root.iter("g"), shown, strict=True):
        drawn = {r.get("class"): r for r in group.iter("rect")}
        bottom = float(drawn["reach"].get("y", 0)) + float(drawn["reach"].get("height", 0))
        full = float(drawn["reach"].get("height", 0))
        for series, value in enumerate(column.values, 1):
            if value:
                rect = drawn[f"s{series}"]
                assert float(rect.get("height", 0)) == pytest.approx(full * value / top, abs=0.01)
                assert float(rect.get("y", 0)) + float(rect.get("height", 0)) == pytest.approx(bottom, abs=0.03)
                bottom = float(rect.get("y", 0))


@given(points)
def test_steps_never_leave_the_picture(points: tuple[tuple[float, int], ...]) -> None:
    root = parsed(charts.render_step_lines("title", "", [StepLine(points, "")], []))
    (path,) = root.iter("path")
    plot = next(root.iter("svg")).find("svg")
    assert plot is not None
    height = float(plot.get("height", 0))
    for letter, first, second in re.findall(r"([MHV])([-\d.]+)(?: ([-\d.]+))?", path.get("d", "")):
        across, down = (first, second) if letter == "M" else (first, "") if letter == "H" else ("", first)
        assert not across or 0 <= float(across) <= 1000
        assert not down or 0 <= float(down) <= height


@example(5)
@example(0)
@given(st.integers(0, 10**9))
def test_a_scale_ends_at_a_round_number_that_is_not_much_too_large(most: int) -> None:
    top = charts.round_up_axis(most)
    assert max(2, most) <= top <= max(2, 2.5 * most)
    assert top % 2 == 0
    assert str(top).rstrip("0") in {"1", "2", "4", "5"}


def test_nothing_makes_no_picture() -> None:
    assert charts.render_columns("title", "", []) == charts.render_step_lines("title", "", [], []) == ""
    parsed(charts.render_columns("title", "", [ChartColumn("", (0, 0), "")]))


@pytest.mark.parametrize("kind", ["columns", "steps"])
def test_a_swatch_is_a_picture_too(kind: str) -> None:
    assert parsed(charts.render_swatch(1, kind)).get("aria-hidden") == "true"


def test_a_timeline_joins_the_filled_points_in_order() -> None:
    times = ("2026-03-02T00:00:00+00:00", "2026-03-02T06:00:00+00:00", "2026-03-02T12:00:00+00:00")
    points = [TimelinePoint(times[0], 1, "<1>"), TimelinePoint(times[1], 1, "2", is_filled=False), TimelinePoint(times[2], 2, "3")]
    root = parsed(charts.render_timeline("a <title>", "", points, 2))
    assert [(c.get("cx"), c.get("class"), c.findtext("title")) for c in root.iter("circle")] == [
        ("6.00%", "full", "<1>"),
        ("52.00%", "hollow", "2"),
        ("98.00%", "full", "3"),
    ]
    assert [line.get("class") for line in root.iter("line")] == ["lane", "lane", "run", "step"]
    assert charts.render_timeline("title", "", [], 1) == charts.render_timeline("title", "", points, charts.MAX_ROWS + 1) == ""

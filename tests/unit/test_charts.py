"""Charts are well-formed SVG without inline styles or addresses, and true to their numbers."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Tree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dedup import charts
from dedup.charts import AxisTick, ChartColumn, StepLine, TimelinePoint

pytestmark = pytest.mark.slow

ATTACK = '</svg><script>alert(1)</script>"\' onload="alert(1)" & <img src=x>'

words = st.one_of(st.just(ATTACK), st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=20))
column_lists = st.lists(
    st.builds(ChartColumn, words, st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), words), min_size=1, max_size=120
)
points = st.lists(st.tuples(st.floats(-1, 2), st.integers(0, 10**6)), min_size=1, max_size=30).map(tuple)


def parse_svg(svg: str) -> Tree.Element:
    root = Tree.fromstring(svg)
    for element in root.iter():
        assert element.tag in {"svg", "title", "desc", "g", "rect", "line", "text", "path", "circle"}
        assert "style" not in element.attrib
        assert not any("href" in name or name.startswith("on") for name in element.attrib)
    return root


@given(words, words, column_lists, st.integers(1, 8))
def test_columns_with_any_labels_are_well_formed(title: str, description: str, columns: list[ChartColumn], labels: int) -> None:
    root = parse_svg(charts.render_columns(title, description, columns, max_labels=labels))
    assert (root.findtext("title"), root.findtext("desc")) == (title, description)
    assert [g.findtext("title") for g in root.iter("g")] == [c.tooltip for c in columns]
    assert len([t for t in root.iter("text") if t.get("y") == str(charts.CHART_HEIGHT - 6)]) <= labels


@given(
    words,
    words,
    st.lists(st.builds(StepLine, points, words), min_size=1, max_size=8),
    st.lists(st.builds(AxisTick, st.floats(0, 1), words)),
)
def test_steps_with_any_labels_are_well_formed(title: str, description: str, lines: list[StepLine], ticks: list[AxisTick]) -> None:
    root = parse_svg(charts.render_step_lines(title, description, lines, ticks))
    assert [p.findtext("title") for p in root.iter("path")] == [line.tooltip for line in lines[: charts.MAX_SERIES]]
    assert [t.text or "" for t in root.iter("text")][2:] == [t.label for t in ticks]


@given(column_lists)
def test_stacked_columns_are_as_high_as_their_numbers(columns: list[ChartColumn]) -> None:
    root = parse_svg(charts.render_columns("title", "", columns))
    top = charts.round_up_axis(max(sum(c.values) for c in columns))
    for group, column in zip(root.iter("g"), columns, strict=True):
        rects = {r.get("class"): r for r in group.iter("rect")}
        bottom = float(rects["reach"].get("y", 0)) + float(rects["reach"].get("height", 0))
        full = float(rects["reach"].get("height", 0))
        for series, value in enumerate(column.values, 1):
            if value:
                rect = rects[f"s{series}"]
                assert float(rect.get("height", 0)) == pytest.approx(full * value / top, abs=0.01)
                assert float(rect.get("y", 0)) + float(rect.get("height", 0)) == pytest.approx(bottom, abs=0.03)
                bottom = float(rect.get("y", 0))


@given(points)
def test_steps_never_leave_the_chart(points: tuple[tuple[float, int], ...]) -> None:
    root = parse_svg(charts.render_step_lines("title", "", [StepLine(points, "")], []))
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
def test_an_axis_ends_at_a_round_number_just_above_the_maximum(maximum: int) -> None:
    top = charts.round_up_axis(maximum)
    assert max(2, maximum) <= top <= max(2, 2.5 * maximum)
    assert top % 2 == 0
    assert str(top).rstrip("0") in {"1", "2", "4", "5"}


def test_no_data_makes_no_chart() -> None:
    assert charts.render_columns("title", "", []) == charts.render_step_lines("title", "", [], []) == ""
    parse_svg(charts.render_columns("title", "", [ChartColumn("", (0, 0), "")]))


@pytest.mark.parametrize("kind", ["columns", "steps"])
def test_a_swatch_is_an_svg(kind: str) -> None:
    assert parse_svg(charts.render_swatch(1, kind)).get("aria-hidden") == "true"


def test_a_timeline_joins_the_filled_points_in_order() -> None:
    times = ("2026-03-02T00:00:00+00:00", "2026-03-02T06:00:00+00:00", "2026-03-02T12:00:00+00:00")
    points = [TimelinePoint(times[0], 1, "<1>"), TimelinePoint(times[1], 1, "2", is_filled=False), TimelinePoint(times[2], 2, "3")]
    root = parse_svg(charts.render_timeline("a <title>", "", points, 2))
    assert [(c.get("cx"), c.get("class"), c.findtext("title")) for c in root.iter("circle")] == [
        ("6.00%", "full", "<1>"),
        ("52.00%", "hollow", "2"),
        ("98.00%", "full", "3"),
    ]
    assert [line.get("class") for line in root.iter("line")] == ["lane", "lane", "run", "step"]
    assert charts.render_timeline("title", "", [], 1) == charts.render_timeline("title", "", points, charts.MAX_ROWS + 1) == ""

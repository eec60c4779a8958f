"""Results as Markdown and as JSON. Pure functions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.peers import BASELINE, PeerResult
from benchmarks.peers.harness import Measured


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of a measurement: memory in bytes, cores that this process may use."""

    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    file_system: str


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a figure: a minimum or maximum of its ratio if it has one, else of its value."""

    amount: float
    at_least: bool = True

    def met(self, amount: float) -> bool:
        return amount >= self.amount if self.at_least else amount <= self.amount


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number. `ratio`: how many times better it is than what it is compared with."""

    value: float | None
    unit: str = ""
    ratio: float | None = None
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        """Return whether the target is met; None without a target or a measurement."""
        judged = self.value if self.ratio is None else self.ratio
        return None if self.target is None or judged is None else self.target.met(judged)

    def __str__(self) -> str:
        if self.value is None:
            return "–"
        shown = f"{number(self.value)} {self.unit}".rstrip()
        remarks = [] if self.ratio is None else [f"{number(self.ratio)} ×"]
        if self.target is not None:
            sign = "≥" if self.target.at_least else "≤"
            unit = "×" if self.ratio is not None else self.unit
            remarks.append(f"target {sign} {number(self.target.amount)} {unit}".rstrip() + f": {'met' if self.met else 'missed'}")
        return f"{shown} ({', '.join(remarks)})" if remarks else shown


Cell = str | Figure


@dataclass(frozen=True, slots=True)
class Measurement:
    """One table. `key`: its letter. `note`: how it was measured, printed below."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    command: str = ""

    @property
    def missed(self) -> list[Figure]:
        """Return the figures whose target is not met."""
        return [cell for row in self.rows for cell in row if isinstance(cell, Figure) and cell.met is False]


@dataclass(frozen=True, slots=True)
class Report:
    """All measurements of one run. `date`: ISO 8601. `command`: the command line. `versions`: package → version."""

    machine: Machine
    date: str
    command: str
    versions: dict[str, str]
    measurements: tuple[Measurement, ...]


def number(value: float) -> str:
    """Return a number with about three significant digits, or all digits before its decimal point, in groups of three."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{round(value):,}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.4g}" if abs(value) >= 0.1 else f"{value:.3g}"


def ratio(baseline: float | None, value: float | None) -> float | None:
    """Return how many times less `value` is than `baseline`, for figures of which less is better."""
    return baseline / value if baseline and value else None


def markdown(report: Report) -> str:
    """Return the report as Markdown: the machine, then a table for each measurement."""
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in sorted(report.versions.items()))
    memory = f"{machine.memory_bytes / 2**30:.0f} GiB"
    lines = [
        f"{machine.cpu}, {machine.cores} cores, {memory}; {machine.kernel}; {machine.python}; {machine.file_system}; {report.date}.",
        "",
        f"`{report.command}`",
        "",
        *((f"Versions: {versions}.", "") if versions else ()),
    ]
    for measurement in report.measurements:
        lines += [*_table(measurement), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(measurement: Measurement) -> list[str]:
    lines = [f"### ({measurement.key}) {measurement.title}", ""]
    if measurement.command:
        lines += [f"`{measurement.command}`", ""]
    right = [all(isinstance(row[i], Figure) for row in measurement.rows) for i in range(len(measurement.columns))]
    lines.append(_row(measurement.columns))
    lines.append("|" + "|".join("---:" if figures and measurement.rows else "---" for figures in right) + "|")
    lines += [_row(tuple(map(str, row))) for row in measurement.rows]
    if measurement.note:
        lines += ["", measurement.note]
    return lines


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def as_json(report: Report) -> str:
    """Return the report as JSON, a figure as {"value", "unit", "ratio", "target", "met"}."""
    content = asdict(report)
    for measurement, table in zip(content["measurements"], report.measurements, strict=True):
        measurement["rows"] = [[_cell(cell) for cell in row] for row in table.rows]
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _cell(cell: Cell) -> object:
    if isinstance(cell, str):
        return cell
    target = None if cell.target is None else asdict(cell.target)
    return {"value": cell.value, "unit": cell.unit, "ratio": cell.ratio, "target": target, "met": cell.met}


def peers(
    key: str,
    title: str,
    results: Sequence[PeerResult],
    time: Callable[[Measured], float],
    *,
    target: Target | None = None,
    ours: str = "dedup",
    note: str = "",
) -> Measurement:
    """Return a table that compares packages. `time` selects the figures: signatures alone, or the whole work.

    Ratios are how many times faster a way is than the baseline's way `same`. The target applies to `ours`, which the same harness
    measures and which is one of the results.
    """
    base = next((way for result in results if result.name == BASELINE and (way := result.way("same")) is not None), None)
    rows: list[tuple[Cell, ...]] = []
    for result in results:
        package = f"{result.name} {result.versions.get(result.name, '')}".rstrip()
        for way in result.measured:
            against = ratio(None if base is None else time(base), time(way))
            whole = None if way.normalise_us is None else time(way) + way.normalise_us
            found = way.repeats_recall
            rows.append(
                (
                    package,
                    way.way,
                    Figure(time(way), "µs", against, target if result.name == ours and way.way == "same" else None),
                    Figure(whole, "µs"),
                    Figure(way.pairs),
                    Figure(None if way.recall is None else way.recall * 100, "%"),
                    Figure(None if found is None else found * 100, "%"),
                    Figure(way.rss_kib / 1024, "MiB"),
                    way.note,
                )
            )
        if result.error is not None:
            rows.append((package, "", *(Figure(None) for _ in range(6)), result.error))
    columns = ("package", "way", "an article", "with normalising", "pairs", "true pairs found", "repeats found", "peak memory", "how")
    return Measurement(key, title, columns, tuple(rows), note)

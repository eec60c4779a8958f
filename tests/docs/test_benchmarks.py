"""The benchmarks measure what they claim: the corpus has its documented properties, brute force is right, and other engines agree."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import jobs, oracle, repetition, truth
from benchmarks.corpus import DAY, KINDS, articles, lay_out
from benchmarks.peers.environment import UnavailableError
from benchmarks.table import Figure, Machine, Measurement, Report, Target, as_json, markdown
from dedup import store
from dedup.pipeline.scanner import Scan
from dedup.text import normalise
from tests.builders import scans as running
from tests.builders.crawl import words

pytestmark = pytest.mark.slow


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


TEXTS = st.lists(st.text(st.sampled_from("가나ab"), max_size=12), max_size=8)


@given(TEXTS, st.sampled_from([0.2, 0.5, 1.0]))
@settings(deadline=None)
def test_brute_force_agrees_with_set_operations(texts: list[str], threshold: float) -> None:
    sets = [normalise.shingles(text) for text in texts]
    expected = {
        (i, j): len(sets[i] & sets[j]) / len(sets[i] | sets[j])
        for i, j in combinations(range(len(texts)), 2)
        if sets[i] & sets[j] and len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= threshold
    }
    assert oracle.similar_pairs(texts, threshold) == pytest.approx(expected)


@pytest.mark.system
@pytest.mark.parametrize("kind", KINDS)
def test_a_corpus_is_the_same_from_one_or_two_processes_and_verifies(tmp_path: Path, kind: str) -> None:
    number = 4 * DAY + 100
    first = lay_out(tmp_path / "one", number, kind=kind)
    second = lay_out(tmp_path / "two", number, kind=kind, processes=2)
    assert first.files == second.files == number
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    tally = running.scan(tmp_path / "one", tmp_path / "db")
    assert (tally.new, tally.checks) == (number, {"verified": number})


def test_copies_differ_from_their_source_as_declared() -> None:
    corpus = list(articles(3_000))
    assert {a.kind for a in corpus} == {"unrelated", "copy", "crawl", "boilerplate"}
    copies = [a for a in corpus if a.kind == "copy"]
    assert len(copies) == (3_000 // 50 - 1) * 10  # the first block has no source to copy
    for copy in copies:
        assert copy.source is not None
        source = corpus[copy.source]
        assert source.number < copy.number
        assert source.url != copy.url
        before, after = source.body.split(), copy.body.split()
        differing = sum(a != b for a, b in zip(before, after, strict=True)) / len(before)
        assert abs(differing - copy.level) <= 2 / len(before)


@pytest.mark.system
@pytest.mark.parametrize("engine", ["dedup", "datasketch"])
def test_the_pipeline_finds_the_same_duplicates_with_another_engine(tmp_path: Path, engine: str) -> None:
    lay_out(tmp_path / "crawl", 1_500)  # several batches: texts match across batches
    expected = running.scan(tmp_path / "crawl", tmp_path / "expected.db", passages=False)
    result = jobs.run("scan", crawl=tmp_path / "crawl", database=tmp_path / "db", engine=engine, workers=1, passages=False)
    assert result.said["tally"]["matches"] == expected.as_json()["matches"]
    assert result.said["tally"]["matches"]["near"] > 50
    assert result.anonymous_bytes > 10_000_000
    assert running.dump(tmp_path / "db", "matches") == running.dump(tmp_path / "expected.db", "matches")


@pytest.mark.system
def test_wire_copies_share_passages_with_their_source_and_are_found(tmp_path: Path) -> None:
    corpus = list(articles(1_500, kind="phrases"))
    wires = [a for a in corpus if a.kind == "wire"]
    assert len(wires) == (1_500 // 50 - 1) * 5
    for wire in wires:
        assert wire.source is not None
        assert wire.source < wire.number
        a, b = (normalise.shingles(normalise.normalise(x.body)) for x in (wire, corpus[wire.source]))
        assert 0.1 < len(a & b) / len(a | b) < 0.85
    lay_out(tmp_path / "crawl", 1_500, kind="phrases")
    running.scan(tmp_path / "crawl", tmp_path / "db")
    assert truth.wire(tmp_path / "db", 1_500) > 0.9
    with running.session(tmp_path / "crawl", tmp_path / "db") as session, session.database.transaction() as transaction:
        store.matches.delete_all(transaction)
    assert truth.wire(tmp_path / "db", 1_500) == 0


def test_fingerprints_that_unrelated_articles_share_are_counted() -> None:
    rng = random.Random(3)
    phrase = "".join(words(rng, 40))
    bodies = [" ".join(words(rng, 150)) for _ in range(6)]
    alone = repetition.measure(bodies, [6])
    shared = repetition.measure([f"{body} {phrase}" if n < 2 else body for n, body in enumerate(bodies)], [6])
    assert [row.touched for row in alone] == [0]
    assert [row.touched for row in shared] == [pytest.approx(2 / 6)]


def test_the_floor_engine_signs_nothing(tmp_path: Path) -> None:
    lay_out(tmp_path / "crawl", 200)
    result = jobs.run("scan", crawl=tmp_path / "crawl", database=tmp_path / "db", engine="floor", workers=1)
    assert result.said["tally"]["new"] == 200
    assert result.said["tally"]["matches"]["near"] == 0
    assert not Path(f"{tmp_path / 'db'}.index").exists()


def test_recall_drops_if_matches_are_missing(tmp_path: Path) -> None:
    lay_out(tmp_path / "crawl", 600)
    with running.session(tmp_path / "crawl", tmp_path / "db") as session:
        Scan(session).run()
        overall = truth.judge(tmp_path / "db", 0.7).whole
        assert overall.true > 50
        assert (overall.recall, overall.precision) == (1, 1)
        with session.database.transaction() as transaction:
            store.matches.delete_all(transaction)
    assert truth.judge(tmp_path / "db", 0.7).whole.recall == 0


def test_a_failed_job_reports_its_reason(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="nowhere"):
        jobs.run("scan", crawl=tmp_path, database=tmp_path / "nowhere" / "db", engine="dedup", workers=1)


def test_a_missed_target_is_reported() -> None:
    figures = Figure(5, "s", target=Target(2, at_least=False)), Figure(3, "µs", ratio=12.4, target=Target(12)), Figure(None)
    table = Measurement("x", "Title", ("a|b", "c", "d"), (figures,))
    machine = Machine("CPU", 2, 2**30, "Linux 6", "CPython 3", "ext4")
    report = Report(machine, "2026-01-01", "python -m benchmarks", {}, (table,))
    assert "| 5 s (target ≤ 2 s: missed) | 3 µs (12.4 ×, target ≥ 12 ×: met) | – |" in markdown(report)
    assert "| a\\|b | c | d |" in markdown(report)
    assert table.missed == [figures[0]]
    assert [cell["met"] for cell in json.loads(as_json(report))["measurements"][0]["rows"][0]] == [False, True, None]


@pytest.mark.system
@pytest.mark.timeout(1200)
def test_the_documented_command_writes_its_tables(tmp_path: Path) -> None:
    output = tmp_path / "figures"
    options = ["--articles=2000", "--only=defgjkl", f"--folder={tmp_path / 'kept'}", f"--output={output}"]
    subprocess.run([sys.executable, "-m", "benchmarks", *options], cwd=jobs.ROOT, check=True, capture_output=True)
    tables = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))["measurements"]
    assert [table["key"] for table in tables] == ["d", "e", "f", "g", "j", "k", "l"]
    assert all(table["rows"] for table in tables)
    assert output.with_suffix(".md").read_text(encoding="utf-8").count("### (") == 7


@pytest.mark.system
def test_the_soak_benchmark_records_everything(tmp_path: Path) -> None:
    output = tmp_path / "soak.md"
    options = ["--minutes=0.1", f"--folder={tmp_path / 'kept'}", f"--output={output}"]
    result = subprocess.run([sys.executable, "-m", "benchmarks.soak", *options], cwd=jobs.ROOT, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    report = output.read_text(encoding="utf-8")
    assert "A scan afterwards found nothing that was not recorded; `dedup doctor` exited with 0." in report
    (row,) = [line.split("|") for line in report.splitlines() if line.startswith("| 0 |")]
    assert int(row[2].replace(",", "")) >= 12

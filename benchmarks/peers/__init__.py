"""Other packages that find near duplicates, measured on the same texts as this one.

Each runs in a process and a virtual environment of its own, which is created when it is first needed. The task is the same for all:
from the distinct overlapping 5-character runs of a normalised text to a signature of 128 permutations (way `same`, measurement a), and
from there to the earlier texts that share one of 25 bands of 5 rows, text by text (measurement b). If a package cannot do exactly that,
its module does the nearest to it, and its note says so. Way `own` is the package as its documentation uses it, on the raw text, with
its defaults except for the threshold, 0.7.

The peers' interpreters import these modules too. They need only the standard library and the package that they measure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.environment import UnavailableError, last_line, prepare
from benchmarks.peers.harness import Measured

ROOT = Path(__file__).resolve().parents[2]
"""The clone from which the peers' modules are run."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A package to measure: its requirements, the module that uses it, and its ways."""

    name: str
    requirements: tuple[str, ...]
    module: str
    ways: tuple[str, ...]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("datasketch", ("datasketch>=2,<3", "xxhash"), "datasketch", ("same", "own")),
        Peer("rensa", ("rensa", "numpy"), "rensa", ("same", "prehashed", "rho", "own")),
        Peer("gaoya", ("gaoya",), "gaoya", ("same", "own")),
        Peer("text-dedup", ("text-dedup",), "text_dedup", ("same", "own")),
        # datatrove's MinHash step imports packages of extras that install much more; its xxhash calls need a version before 4.
        Peer("datatrove", ("datatrove", "xxhash<4", "regex", "tokenizers", "spacy"), "datatrove", ("same", "own")),
    )
}
OURS = Peer("dedup", (), "ours", ("same", "own", "plain"))
"""This package, run by the interpreter that runs the benchmark."""
BASELINE = "datasketch"
"""The baseline of ratios: datasketch with xxhash, its fastest permutation scheme."""


@dataclass(frozen=True, slots=True)
class PeerResult:
    """Measurements of a package. `error` is the last line of the reason why one or all ways are missing."""

    name: str
    versions: dict[str, str]
    measured: tuple[Measured, ...]
    error: str | None = None

    def way(self, name: str) -> Measured | None:
        """Return the measurements of one way, None if it did not run."""
        return next((one for one in self.measured if one.way == name), None)


def write_texts(path: Path, raw: Sequence[str], normalised: Sequence[str]) -> None:
    """Write the texts of the measurement: JSON lines of {"raw", "text"}."""
    with path.open("w", encoding="utf-8") as file:
        for one, other in zip(raw, normalised, strict=True):
            file.write(json.dumps({"raw": one, "text": other}, ensure_ascii=False) + "\n")


def measure(
    name: str,
    texts_file: Path,
    environments: Path,
    *,
    truth_file: Path | None = None,
    ways: Iterable[str] | None = None,
    threads: int = 1,
    timeout_seconds: float = 7200,
) -> PeerResult:
    """Measure a package on the file of `write_texts`, in an environment below `environments`.

    `truth_file`: the true pairs as written by `oracle.write`. `threads`: limit for the threads of native code. A package that
    fails, or cannot be installed, raises nothing; see `PeerResult.error`.
    """
    peer = OURS if name == OURS.name else PEERS[name]
    try:
        python = Path(sys.executable) if peer is OURS else prepare(environments / peer.name, peer.requirements)
    except UnavailableError as e:
        return PeerResult(peer.name, {}, (), str(e))
    versions: dict[str, str] = {}
    measured: list[Measured] = []
    error: str | None = None
    for way in peer.ways if ways is None else ways:
        try:
            found = _run(python, peer, way, texts_file, truth_file, threads, timeout_seconds)
        except UnavailableError as e:
            error = error or f"{way}: {e}"
            continue
        versions |= found.versions
        measured.append(found)
    return PeerResult(peer.name, versions, tuple(measured), error)


def _run(python: Path, peer: Peer, way: str, texts: Path, truth: Path | None, threads: int, timeout_seconds: float) -> Measured:
    command = [str(python), "-m", f"benchmarks.peers.{peer.module}", str(texts.resolve()), "--way", way]
    if truth is not None:
        command += ["--truth", str(truth.resolve())]
    try:
        done = subprocess.run(  # noqa: S603  an interpreter we made, a module of ours
            command, cwd=ROOT, env=_surroundings(threads), capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"not finished after {timeout_seconds:,.0f} s") from None
    if done.returncode:
        raise UnavailableError(last_line(done.stderr) or f"exit code {done.returncode}")
    try:
        return Measured.from_json(done.stdout.strip().rpartition("\n")[2])
    except (ValueError, TypeError) as e:
        raise UnavailableError(f"its output has no measurements: {e}") from None


def _surroundings(threads: int) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    bound = dict.fromkeys(("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    # Hugging Face libraries, which two packages import, stay off the network.
    return kept | bound | {"PYTHONHASHSEED": "0", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def main(arguments: Sequence[str]) -> None:
    """`python -m benchmarks.peers TEXTS ENVIRONMENTS [NAME…]`: measure and print JSON, to try a single package."""
    texts, environments, *names = arguments
    for name in names or PEERS:
        result = measure(name, Path(texts), Path(environments))
        print(json.dumps({"name": name, "error": result.error, "measured": [one.as_dict() for one in result.measured]}, indent=1))
        sys.stdout.flush()

"""Metrics: the daemon's report in the Prometheus format, without anything from the crawl."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from unittest import mock
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dedup.daemon import metrics
from dedup.daemon.health_file import Degradation
from dedup.errors import MetricsError, MissingExtraError
from dedup.pipeline.counts import ScanCounts
from tests.builders.alerts import free_port
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import watching
from tests.builders.health import REPORT

pytestmark = pytest.mark.slow


def scrape(listen: str) -> dict[tuple[str, ...], float]:
    """(name, label values…) → value, as Prometheus's own parser reads it."""
    with urlopen(f"http://{listen}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {(s.name, *s.labels.values()): s.value for family in text_string_to_metric_families(text) for s in family.samples}


def test_every_number_of_a_report_is_a_metric(tmp_path: Path) -> None:
    tally = ScanCounts(new=5, changed=2, unchanged=9, moved=1, faults=3, unsettled=1, gone=4)
    tally.ignored.update(pattern=6)
    report = replace(REPORT, counts=tally.as_json() | {"ignored_by": dict(tally.ignored)}, last_scan_at=REPORT.at, last_scan_seconds=2.5)
    (tmp_path / "dedup.db").write_bytes(b"x" * 100)
    listen = f"127.0.0.1:{free_port()}"
    stop = metrics.serve_metrics(listen, lambda: report, str(tmp_path / "dedup.db"))
    try:
        samples = scrape(listen)
    finally:
        stop()
    outcomes = {key[1]: value for key, value in samples.items() if key[0] == "dedup_files_total"}
    assert outcomes == {"new": 5, "changed": 2, "unchanged": 9, "moved": 1, "fault": 3, "unsettled": 1, "ignored": 6}
    assert sum(outcomes.values()) == tally.files
    assert (samples["dedup_ignored_total", "pattern"], samples["dedup_gone_total",]) == (6, 4)
    assert (samples["dedup_backlog_files",], samples["dedup_last_scan_duration_seconds",]) == (2, 2.5)
    assert {key[1]: v for key, v in samples.items() if key[0] == "dedup_degraded"} == {
        "database": 1, "absent": 0, "unwatched": 0, "events": 0, "alerts": 0, "derived": 0, "internal": 0,
    }  # fmt: skip
    assert samples["dedup_bytes", "database"] == 100
    assert samples["dedup_report_timestamp_seconds",] == 1772702020


@pytest.mark.system
def test_metrics_of_a_daemon_have_no_labels_from_the_crawl(crawl: Path, db: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    with watching(crawl, db, more=f'[metrics]\nlisten = "{listen}"') as daemon:
        ArticleFile(publisher="Nobody's Paper", url="https://secret.example/a").write(crawl, age=0)
        daemon.wait_until(lambda: scrape(listen)["dedup_files_total", "new"] == 1)
        with urlopen(f"http://{listen}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        assert daemon.leave() == 0
    assert not any(word in text for word in ("secret", "Nobody", str(crawl)))


def test_a_missing_package_or_a_used_port_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listen = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(MetricsError, match="in use"):
            metrics.serve_metrics(listen, lambda: replace(REPORT, degraded=(Degradation("absent", REPORT.at, ""),)), "x.db")
    with (
        mock.patch.dict("sys.modules", {"prometheus_client": None}),
        pytest.raises(MissingExtraError, match=r"install \"crawl-dedup\[metrics\]\""),
    ):
        metrics.serve_metrics("127.0.0.1:1", lambda: REPORT, "x.db")

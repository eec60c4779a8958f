"""The daemon's reports as metrics for Prometheus. Nothing from the crawl is in them: no URL, no path, no publisher."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import get_args

from dedup.daemon.health_file import DegradationReason, Health
from dedup.errors import MetricsError
from dedup.extras import require_extra

MAX_CONNECTIONS = 16
"""Connections that it has open at most."""


def serve_metrics(listen: str, latest_health: Callable[[], Health], database: str) -> Callable[[], None]:
    """Answer at `listen` ("address:port") from a thread of its own, out of `latest_health` and the sizes of the files of a
    `database`; returns what ends it. Raises MissingExtraError and MetricsError."""
    require_extra("metrics")
    from prometheus_client import CollectorRegistry, make_asgi_app
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector

    from dedup.http_server import HttpServer, limits_for, open_listening_socket

    class HealthCollector(Collector):
        def collect(self) -> Iterator[Metric]:
            for name, kind, help_, label, values in _metric_families(latest_health(), database):
                family = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(name, help_, labels=[label] if label else None)
                for value_label, value in values.items():
                    family.add_metric([value_label] if label else [], value)
                yield family

    registry = CollectorRegistry(auto_describe=False)
    registry.register(HealthCollector())
    try:
        listener = open_listening_socket(listen)
    except OSError as error:
        raise MetricsError(listen=listen, problem=error.strerror or str(error)) from error
    server = HttpServer(make_asgi_app(registry), listener, limits_for(resource.getrlimit(resource.RLIMIT_NOFILE)[0], MAX_CONNECTIONS))
    thread = threading.Thread(target=server.run, name="metrics", daemon=True)
    thread.start()

    def stop() -> None:
        server.stop()
        thread.join(2)

    return stop


_MetricFamily = tuple[str, str, str, str, Mapping[str, float]]
"""(name, counter or gauge, help, label or empty, label value → value)"""


def _metric_families(health: Health, database: str) -> Iterator[_MetricFamily]:
    counts = health.counts
    outcomes = {o: counts[o] for o in ("new", "changed", "moved", "unchanged", "ignored", "unsettled")} | {"fault": counts["faults"]}
    yield "dedup_files", "counter", "Files looked at since the start, by what became of them.", "outcome", outcomes
    yield "dedup_ignored", "counter", "Files ignored since the start, by rule.", "rule", counts["ignored_by"]
    yield "dedup_checks", "counter", "Claims checked since the start, by verdict.", "status", counts["checks"]
    yield "dedup_matches", "counter", "Matches found since the start, by relation.", "relation", counts["matches"]
    for name in ("gone", "revisions", "sightings", "changes"):
        yield f"dedup_{name}", "counter", f"{name.capitalize()} recorded since the start.", "", {"": counts[name]}
    yield "dedup_backlog_files", "gauge", "Files known of and not recorded yet.", "", {"": health.backlog.files}
    yield "dedup_backlog_oldest_seconds", "gauge", "For how long the oldest of them has waited.", "", {"": health.backlog.oldest_seconds}
    yield "dedup_scans", "counter", "Passes over everything since the start.", "", {"": health.scans}
    if health.last_scan_at is not None and health.last_scan_seconds is not None:
        yield "dedup_last_scan_timestamp_seconds", "gauge", "When the last pass ended.", "", {"": _to_timestamp(health.last_scan_at)}
        yield "dedup_last_scan_duration_seconds", "gauge", "What it took.", "", {"": health.last_scan_seconds}
    yield "dedup_overflows", "counter", "Times that events were lost in a burst.", "", {"": health.overflows}
    yield "dedup_observer_restarts", "counter", "Times that the observer was rebuilt.", "", {"": health.restarts}
    yield "dedup_unwatched_folders", "gauge", "Folders that only the timer's scans see.", "", {"": health.unwatched}
    yield "dedup_alerts_pending", "gauge", "Deliveries of alerts that are not made yet.", "", {"": health.alerts.pending}
    yield "dedup_alerts_overdue_seconds", "gauge", "For how long the first of them has been due.", "", {"": health.alerts.overdue_seconds}
    yield "dedup_alerts_dead", "gauge", "Deliveries of alerts that were given up.", "", {"": health.alerts.dead}
    degraded_by_reason: dict[str, float] = dict.fromkeys(get_args(DegradationReason), 0.0)
    yield (
        "dedup_degraded",
        "gauge",
        "1 where the daemon cannot do part of its work, by reason.",
        "reason",
        degraded_by_reason | {d.reason: 1.0 for d in health.degraded},
    )
    yield "dedup_start_timestamp_seconds", "gauge", "When the daemon started.", "", {"": _to_timestamp(health.started_at)}
    yield "dedup_report_timestamp_seconds", "gauge", "When this was so: the work's own loop says it.", "", {"": _to_timestamp(health.at)}
    yield "dedup_bytes", "gauge", "Bytes on disk.", "file", _file_sizes(database)
    with suppress(OSError):
        filesystem = os.statvfs(os.path.dirname(database))
        yield "dedup_free_bytes", "gauge", "Room on the database's file system.", "", {"": filesystem.f_bavail * filesystem.f_frsize}


def _file_sizes(database: str) -> dict[str, float]:
    sizes: dict[str, float] = {}
    for name, suffix in (("database", ""), ("wal", "-wal"), ("index", ".index"), ("passages", ".passages"), ("search", ".search")):
        with suppress(OSError):
            sizes[name] = os.path.getsize(database + suffix)
    return sizes


def _to_timestamp(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()

"""The daemon's health as Prometheus metrics. They contain nothing from the crawl: no URL, no path, no publisher."""

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
from dedup.runtime.extras import require_extra

MAX_CONNECTIONS = 16
"""Connections open at the same time."""


def serve_metrics(listen: str, latest_health: Callable[[], Health], database: str) -> Callable[[], None]:
    """Serve metrics at `listen` ("address:port") in a thread, from `latest_health` and the file sizes of `database`.

    Returns the function that stops the server. Raises MissingExtraError, and MetricsError if it cannot be started."""
    require_extra("metrics")
    from prometheus_client import CollectorRegistry, make_asgi_app
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector

    from dedup.runtime.http_server import HttpServer, limits_for, open_listening_socket

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
    yield "dedup_files", "counter", "Files checked since the start, by outcome.", "outcome", outcomes
    yield "dedup_ignored", "counter", "Files ignored since the start, by rule.", "rule", counts["ignored_by"]
    yield "dedup_checks", "counter", "Claims checked since the start, by verdict.", "status", counts["checks"]
    yield "dedup_matches", "counter", "Matches found since the start, by relation.", "relation", counts["matches"]
    for name in ("gone", "revisions", "sightings", "changes"):
        yield f"dedup_{name}", "counter", f"{name.capitalize()} recorded since the start.", "", {"": counts[name]}
    yield "dedup_backlog_files", "gauge", "Files known and not recorded yet.", "", {"": health.backlog.files}
    oldest_seconds = {"": health.backlog.oldest_seconds}
    yield "dedup_backlog_oldest_seconds", "gauge", "Seconds that the oldest of these files has waited.", "", oldest_seconds
    yield "dedup_scans", "counter", "Full scans since the start.", "", {"": health.scans}
    if health.last_scan_at is not None and health.last_scan_seconds is not None:
        yield "dedup_last_scan_timestamp_seconds", "gauge", "When the last full scan ended.", "", {"": _to_timestamp(health.last_scan_at)}
        yield "dedup_last_scan_duration_seconds", "gauge", "Duration of the last full scan.", "", {"": health.last_scan_seconds}
    yield "dedup_overflows", "counter", "Times that inotify's queue overflowed and events were lost.", "", {"": health.overflows}
    yield "dedup_observer_restarts", "counter", "Times that the observer was rebuilt after a failure.", "", {"": health.restarts}
    yield "dedup_unwatched_folders", "gauge", "Folders that are not watched; only timed scans see them.", "", {"": health.unwatched}
    yield "dedup_alerts_pending", "gauge", "Deliveries of alerts that are not sent yet.", "", {"": health.alerts.pending}
    overdue_seconds = {"": health.alerts.overdue_seconds}
    yield "dedup_alerts_overdue_seconds", "gauge", "Seconds that the first of these deliveries is overdue.", "", overdue_seconds
    yield "dedup_alerts_dead", "gauge", "Deliveries of alerts that were given up.", "", {"": health.alerts.dead}
    degraded_by_reason: dict[str, float] = dict.fromkeys(get_args(DegradationReason), 0.0)
    yield (
        "dedup_degraded",
        "gauge",
        "1 if the daemon cannot do part of its work, by reason.",
        "reason",
        degraded_by_reason | {d.reason: 1.0 for d in health.degraded},
    )
    yield "dedup_start_timestamp_seconds", "gauge", "When the daemon started.", "", {"": _to_timestamp(health.started_at)}
    yield "dedup_report_timestamp_seconds", "gauge", "When the daemon's loop made this report.", "", {"": _to_timestamp(health.at)}
    yield "dedup_bytes", "gauge", "Bytes on disk.", "file", _file_sizes(database)
    with suppress(OSError):
        filesystem = os.statvfs(os.path.dirname(database))
        yield "dedup_free_bytes", "gauge", "Free bytes on the database's file system.", "", {"": filesystem.f_bavail * filesystem.f_frsize}


def _file_sizes(database: str) -> dict[str, float]:
    sizes: dict[str, float] = {}
    for name, suffix in (("database", ""), ("wal", "-wal"), ("index", ".index"), ("passages", ".passages"), ("search", ".search")):
        with suppress(OSError):
            sizes[name] = os.path.getsize(database + suffix)
    return sizes


def _to_timestamp(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()

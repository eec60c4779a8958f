"""Clients that occupy the dashboard and the metrics endpoint do not stop the daemon from recording."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.builders.alerts import free_port
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import watching
from tests.builders.web_client import get

pytestmark = pytest.mark.system

CLIENTS, DESCRIPTORS = 1100, 1024
HALF_A_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-a: "


def test_more_idle_clients_than_descriptors_do_not_stop_recording(crawl: Path, db: Path) -> None:
    web, metrics = free_port(), free_port()
    more = f'[web]\nenabled = true\nlisten = "127.0.0.1:{web}"\ntoken = "hush"\n[metrics]\nlisten = "127.0.0.1:{metrics}"'
    under = ("bash", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh")
    with watching(crawl, db, more=more, under=under) as daemon, ExitStack() as stack:
        descriptor_counts = set()
        for n in range(CLIENTS):
            for port in (web, metrics):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)).sendall(HALF_A_REQUEST)
            if n % 100 == 0:
                descriptor_counts.add(len(os.listdir(f"/proc/{daemon.process.pid}/fd")))
        ArticleFile(title="새로 온 기사").write(crawl, age=0)
        daemon.wait_until(lambda: daemon.recorded() == 1)
        assert max(descriptor_counts) < DESCRIPTORS // 2
        assert get(f"http://127.0.0.1:{web}/status", Authorization="Bearer hush")[0] == 200
        assert "dedup_files_total" in get(f"http://127.0.0.1:{metrics}/metrics")[1]
        assert daemon.report().degraded == ()
        assert len(os.listdir(f"/proc/{daemon.process.pid}/task")) < 40
        assert daemon.leave() == 0
    assert b"Traceback" not in daemon.log
    assert daemon.log.count(b"\n") < 20

"""`dedup serve` as a process: its address, its token, and its exit."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from tests.builders.command import SampleCrawl, command, run
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import watching
from tests.builders.web_client import get

pytestmark = pytest.mark.slow


@contextmanager
def serving(folder: Path, *options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A `dedup serve` on a free port, and the address that it reports."""
    arguments = command("serve", "--listen", "127.0.0.1:0", "--format", "json", *options)
    process = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment})
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield process, json.loads(line)["address"]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_serve_reports_its_address_answers_and_exits_at_once(sampled: SampleCrawl, signal_number: signal.Signals, code: int) -> None:
    """With an open connection that was used, and one that sent no complete request."""
    with serving(sampled.folder) as (process, address):
        status, page = get(address + "status")
        assert (status, "<h1>Status</h1>" in page) == (200, True)
        port = int(address.rpartition(":")[2].strip("/"))
        with socket.create_connection(("127.0.0.1", port)) as idle, socket.create_connection(("127.0.0.1", port)) as used:
            used.sendall(b"GET /faults HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert used.recv(15) == b"HTTP/1.1 200 OK"
            idle.sendall(b"GET /")
            process.send_signal(signal_number)
            assert process.wait(60) == code
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_serve_waits_for_a_missing_database(sampled: SampleCrawl, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(f'[crawl]\ndirectories = ["{sampled.folder}/crawl"]\nsettle_seconds = 0.0\n')
    with serving(tmp_path) as (_, address):
        status, page = get(address + "changes")
        assert (status, "dedup scan" in page) == (503, True)
        assert run(tmp_path, "scan").code == 0
        assert get(address + "changes")[0] == 200


def test_a_token_from_the_environment_is_required_and_never_shown(sampled: SampleCrawl, tmp_path: Path) -> None:
    shipped = (sampled.folder / "config.toml").read_text("utf-8")
    config = tmp_path / "config.toml"
    config.write_text(shipped.replace('token = ""', 'token = "env:DESK_TOKEN"'), "utf-8")
    options = ("--config", str(config), "--database", str(sampled.folder / "dedup.db"), "--verbose")
    with serving(tmp_path, *options, DESK_TOKEN="hush-hush") as (process, address):
        assert get(address + "status")[0] == 401
        assert get(address + "status", Authorization="Bearer hush-hush")[0] == 200
        process.terminate()
        out, err = process.communicate(timeout=60)
        assert b"hush-hush" not in out + err
        assert err.count(b"GET /status") == 2, "with --verbose requests are logged"


@pytest.mark.parametrize(("value", "problem"), [(None, "not set"), ("", "empty"), (" ", "empty")])
def test_a_missing_token_in_the_environment_is_an_error(tmp_path: Path, value: str | None, problem: str) -> None:
    (tmp_path / "config.toml").write_text('[web]\ntoken = "env:DESK_TOKEN"\n')
    environment = {name: v for name, v in os.environ.items() if name != "DESK_TOKEN"} | ({} if value is None else {"DESK_TOKEN": value})
    with mock.patch.dict(os.environ, environment, clear=True):
        result = run(tmp_path, "serve", "--listen", "127.0.0.1:0")
    assert result.code == 3
    assert result.err.endswith(f"the environment variable DESK_TOKEN of [web] token is {problem}.\n")


def test_a_configured_token_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[web]\ntoken = "hush-hush"\n')
    for form in ("text", "json"):
        result = run(tmp_path, "config", "--format", form)
        assert "hush-hush" not in result.out
        assert "web.token" in result.out


def test_a_failure_to_serve_is_reported_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listen = f"127.0.0.1:{listener.getsockname()[1]}"
        result = run(tmp_path, "serve", "--listen", listen)
        assert (result.code, result.err) == (3, f"dedup: The dashboard cannot be served on {listen}: address already in use.\n")
    result = run(tmp_path, "serve", "--listen", "0.0.0.0:0")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "set [web] token" in result.err
    result = run(tmp_path, "serve", "--listen", "somewhere")
    assert (result.code, "write it like 127.0.0.1:8765" in result.err) == (2, True)
    with mock.patch.dict(sys.modules, {"uvicorn": None}):
        result = run(tmp_path, "serve")
    assert (result.code, 'pip install "crawl-dedup[web]"' in result.err) == (2, True)


SLOW_SERVER = """
import sys, time
from dedup.__main__ import main
from dedup.web import render
def hang(*_):
    print("asked", flush=True)
    time.sleep(600)
render.open_database = hang
sys.argv = ["dedup", "serve", "--listen", "127.0.0.1:0"]
main()
"""


def test_a_slow_response_does_not_delay_the_exit(tmp_path: Path) -> None:
    """SQLite waits for a database that another program has locked. `serve` does not wait for SQLite on exit."""
    process = subprocess.Popen([sys.executable, "-c", SLOW_SERVER], cwd=tmp_path, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().split(b"127.0.0.1:")[1].split(b"/")[0])
        with socket.create_connection(("127.0.0.1", port)) as asking:
            asking.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert process.stdout.readline() == b"asked\n"
            process.terminate()
            assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.system
def test_the_daemon_serves_the_dashboard_if_enabled(crawl: Path, db: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    with watching(crawl, db, more=f'[web]\nenabled = true\nlisten = "{listen}"') as daemon:
        ArticleFile(title="새로 온 기사").write(crawl, age=0)
        daemon.wait_until(lambda: "새로 온 기사" in get(f"http://{listen}/page?url=901_0000000001")[1])
        status, body = get(f"http://{listen}/status?format=json")
        assert status == 200
        assert json.loads(body)["problems"] == []
        assert daemon.leave(signal.SIGTERM) == 0
    assert f"the dashboard is at http://{listen}/".encode() in daemon.log

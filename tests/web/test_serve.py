"""`dedup serve` as a process: where it is, whom it tells, how it leaves."""

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


@contextmanager
def serving(folder: Path, *options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A `dedup serve` on a port of its own, and its address, as it says itself."""
    given = command("serve", "--listen", "127.0.0.1:0", "--format", "json", *options)
    process = subprocess.Popen(given, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment})
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield process, json.loads(line)["address"]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_says_where_it_is_answers_and_leaves_at_once(sampled: SampleCrawl, number: signal.Signals, code: int) -> None:
    """With a connection that is kept open, and one that never asked."""
    with serving(sampled.folder) as (process, address):
        status, page = get(address + "status")
        assert (status, "<h1>Status</h1>" in page) == (200, True)
        port = int(address.rpartition(":")[2].strip("/"))
        with socket.create_connection(("127.0.0.1", port)) as idle, socket.create_connection(("127.0.0.1", port)) as kept:
            kept.sendall(b"GET /faults HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert kept.recv(15) == b"HTTP/1.1 200 OK"
            idle.sendall(b"GET /")
            process.send_signal(number)
            assert process.wait(60) == code
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_it_waits_for_a_database_that_is_made_later(sampled: SampleCrawl, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(f'[crawl]\ndirectories = ["{sampled.folder}/crawl"]\nsettle_seconds = 0.0\n')
    with serving(tmp_path) as (_, address):
        status, page = get(address + "changes")
        assert (status, "dedup scan" in page) == (503, True)
        assert run(tmp_path, "scan").code == 0
        assert get(address + "changes")[0] == 200


def test_a_token_from_the_environment_is_wanted_and_never_told(sampled: SampleCrawl, tmp_path: Path) -> None:
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
def test_a_token_that_the_environment_does_not_have_is_an_error(tmp_path: Path, value: str | None, problem: str) -> None:
    (tmp_path / "config.toml").write_text('[web]\ntoken = "env:DESK_TOKEN"\n')
    environment = {name: v for name, v in os.environ.items() if name != "DESK_TOKEN"} | ({} if value is None else {"DESK_TOKEN": value})
    with mock.patch.dict(os.environ, environment, clear=True):
        told = run(tmp_path, "serve", "--listen", "127.0.0.1:0")
    assert told.code == 3
    assert told.err.endswith(f"the environment variable DESK_TOKEN of [web] token is {problem}.\n")


def test_a_configured_token_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[web]\ntoken = "hush-hush"\n')
    for form in ("text", "json"):
        told = run(tmp_path, "config", "--format", form)
        assert "hush-hush" not in told.out
        assert "web.token" in told.out


def test_what_keeps_it_from_serving_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        told = run(tmp_path, "serve", "--listen", listen)
        assert (told.code, told.err) == (3, f"dedup: The dashboard cannot be served on {listen}: address already in use.\n")
    told = run(tmp_path, "serve", "--listen", "0.0.0.0:0")
    assert told.code == 2
    assert told.err.count("\n") == 1
    assert "set [web] token" in told.err
    told = run(tmp_path, "serve", "--listen", "somewhere")
    assert (told.code, "write one like 127.0.0.1:8765" in told.err) == (2, True)
    with mock.patch.dict(sys.modules, {"uvicorn": None}):
        told = run(tmp_path, "serve")
    assert (told.code, 'pip install "crawl-dedup[web]"' in told.err) == (2, True)


HANGING = """
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


def test_an_answer_that_takes_long_does_not_hold_it(tmp_path: Path) -> None:
    """SQLite waits for a database that another program holds; `serve` does not wait for that when it is to leave."""
    process = subprocess.Popen([sys.executable, "-c", HANGING], cwd=tmp_path, stdout=subprocess.PIPE)
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


def test_the_daemon_serves_it_too_where_it_is_enabled(crawl: Path, db: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    with watching(crawl, db, more=f'[web]\nenabled = true\nlisten = "{listen}"') as daemon:
        ArticleFile(title="새로 온 기사").write(crawl, age=0)
        daemon.wait_until(lambda: "새로 온 기사" in get(f"http://{listen}/page?url=901_0000000001")[1])
        status, told = get(f"http://{listen}/status?format=json")
        assert status == 200
        assert json.loads(told)["problems"] == []
        assert daemon.leave(signal.SIGTERM) == 0
    assert f"the dashboard is at http://{listen}/".encode() in daemon.log

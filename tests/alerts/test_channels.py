"""Channels against real receivers on loopback: an HTTP server, an SMTP server, a command, a feed."""

from __future__ import annotations

import base64
import errno
import hashlib
import hmac
import io
import json
import logging
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dedup.alerts import atom
from dedup.alerts.channels import MAX_HANGING_ATTEMPTS, SENDERS, SIGNATURE_HEADER, encode_body, send_message, sign_body
from dedup.alerts.messages import FeedEntry, Message, build_message, build_test_message
from dedup.alerts.secrets import redact
from dedup.config import AlertRuleConfig, ChannelConfig, DeliveryConfig, load
from dedup.errors import ChannelError
from dedup.rules import EVENT_KINDS
from tests.builders.alerts import event, free_port, receiver
from tests.builders.messages import EN, KO, NASTY, alert, hostile
from tests.builders.smtp import parse_feed, smtp

pytestmark = pytest.mark.slow

MESSAGE = build_message([alert()], KO)


def error_of(channel: ChannelConfig, message: Message = MESSAGE, timeout: float = 5.0) -> str:
    with pytest.raises(ChannelError) as raised:
        send_message("x", channel, message, timeout)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_every_kind_of_channel_has_a_sender() -> None:
    from typing import get_args

    assert set(SENDERS) == set(get_args(ChannelConfig.model_fields["kind"].annotation))


# Webhook

SECRET = "하나-two-3"


def verified(secret: str, header: str, body: bytes, *, now: float, tolerance: float = 300) -> bool:
    """The verification of docs/alerts.md."""
    parts = dict(part.split("=", 1) for part in header.split(","))
    expected = hmac.new(secret.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, parts["v1"]) and abs(now - int(parts["t"])) <= tolerance


def test_a_webhook_gets_signed_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    with receiver() as hook:
        send_message("hook", ChannelConfig(kind="webhook", url=hook.url, secret="env:HOOK_SECRET"), MESSAGE, 5)
    (request,) = hook.received
    assert request.json == json.loads(json.dumps(MESSAGE.json_body))
    assert request.json["alerts"][0]["id"] == request.headers["X-Dedup-Id"] == MESSAGE.id
    assert request.headers["Content-Type"] == "application/json"
    header = request.headers[SIGNATURE_HEADER]
    assert verified(SECRET, header, request.body, now=time.time())
    assert not verified("another", header, request.body, now=time.time())
    assert not verified(SECRET, header, request.body + b" ", now=time.time())
    assert not verified(SECRET, header.replace("t=1", "t=2"), request.body, now=time.time())
    assert not verified(SECRET, header, request.body, now=time.time() + 400)


def test_credentials_in_a_webhook_url_become_an_authorization_header() -> None:
    with receiver() as hook:
        send_message("hook", ChannelConfig(kind="webhook", url=hook.url.replace("http://", "http://me:p%40ss@")), MESSAGE, 5)
    assert hook.received[0].headers["Authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert hook.received[0].path == "/hook"


def test_a_webhook_without_a_secret_is_not_signed() -> None:
    with receiver() as hook:
        send_message("hook", ChannelConfig(kind="webhook", url=hook.url), MESSAGE, 5)
    assert SIGNATURE_HEADER not in hook.received[0].headers


@pytest.mark.parametrize("code", [400, 404, 410, 429, 500, 503])
def test_an_error_status_of_a_webhook_is_a_failure(code: int) -> None:
    with receiver() as hook:
        hook.answers.append(code)
        assert f"the server answered {code}" in error_of(ChannelConfig(kind="webhook", url=hook.url))


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_webhook_is_not_followed(code: int) -> None:
    with receiver() as hook:
        hook.answers.append(code)
        assert f"the server answered {code}" in error_of(ChannelConfig(kind="webhook", url=hook.url))
    assert [r.path for r in hook.received] == ["/hook"]


def test_a_webhook_that_does_not_answer_times_out() -> None:
    with receiver() as hook:
        hook.hold.clear()
        assert "timed out" in error_of(ChannelConfig(kind="webhook", url=hook.url), timeout=0.2)
    assert "refused" in error_of(ChannelConfig(kind="webhook", url=f"http://127.0.0.1:{free_port()}/"))


@contextmanager
def raw_server(script: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server on loopback that answers by a script until the client disconnects. Yields its address and the requests."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        requests: list[bytes] = []

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, suppress(OSError):
                    request = b""
                    while script is not silent and not request.endswith(b"}"):
                        request += client.recv(65536)
                    requests.append(request)
                    script(client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}/hook", requests
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(60)
        assert not thread.is_alive(), "the client is still connected"


def silent(client: socket.socket) -> None:
    while client.recv(65536):
        pass


def drip(answer: bytes) -> Callable[[socket.socket], None]:
    """Send byte by byte, faster than any timeout of a single operation, and then `x` without end."""

    def send_slowly(client: socket.socket) -> None:
        for byte in answer:
            client.sendall(bytes((byte,)))
            time.sleep(0.005)
        while True:
            client.sendall(b"x")
            time.sleep(0.005)

    return send_slowly


def flood(piece: bytes, first: bytes = b"") -> Callable[[socket.socket], None]:
    def send_always(client: socket.socket) -> None:
        client.sendall(first)
        while True:
            client.sendall(piece)

    return send_always


def once(answer: bytes) -> Callable[[socket.socket], None]:
    return lambda client: client.sendall(answer)


@pytest.mark.parametrize(
    "script",
    [silent, drip(b"HTTP/1.1 200 "), drip(b"HTTP/1.1 100 Continue\r\nA: "), drip(b"HTTP/1.1 103 Early Hints\r\nA: ")],
    ids=["nothing", "a status line", "an interim answer", "an early hint"],
)
def test_the_timeout_of_a_webhook_covers_the_whole_request(script: Callable[[socket.socket], None]) -> None:
    """A steady trickle of bytes does not extend the timeout."""
    with raw_server(script) as (place, _):
        assert error_of(ChannelConfig(kind="webhook", url=f"http://{place}"), timeout=0.5) == "Channel x: timed out after 0.5 seconds"
        if script is silent:
            assert "timed out" in error_of(ChannelConfig(kind="webhook", url=f"https://{place}"), timeout=0.5)


@pytest.mark.system
def test_a_receiver_that_does_not_read_times_out() -> None:
    """The request is larger than the socket buffers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        large = replace(MESSAGE, json_body={**MESSAGE.json_body, "text": "x" * (64 << 20)})
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert "timed out" in error_of(ChannelConfig(kind="webhook", url=url), large, timeout=2.0)


def test_a_slow_name_resolution_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved.wait(60) and [])
    try:
        assert "timed out" in error_of(ChannelConfig(kind="webhook", url="http://paper.example/"), timeout=0.2)
    finally:
        resolved.set()


@pytest.mark.parametrize("piece", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_endless_interim_responses_are_a_failure(piece: bytes) -> None:
    with raw_server(flood(piece)) as (place, _):
        assert "interim responses" in error_of(ChannelConfig(kind="webhook", url=f"http://{place}"), timeout=60)


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "script",
    [
        once(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
        once(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n"),
        once(OK),
        once(OK + b"Content-Length: 1000\r\n\r\nx"),
        once(OK + b"Content-Length: nonsense\r\n\r\n"),
        once(OK + b"Transfer-Encoding: chunked\r\n\r\nno chunk"),
        once(OK + b"no header at all\r\n\r\n"),
        drip(OK + b"A: "),
        drip(OK + b"\r\n"),
        flood(b"x" * 65536, OK + b"\r\n"),
        flood(b"A: b\r\n", OK),
        flood(b"x" * 65536, OK + b"A: "),
    ],
)
def test_a_2xx_status_is_a_success_whatever_follows(script: Callable[[socket.socket], None]) -> None:
    with raw_server(script) as (place, requests):
        send_message("x", ChannelConfig(kind="webhook", url=f"http://{place}"), MESSAGE, 1.0)
    assert len(requests) == 1


def test_the_error_of_a_redirect_has_a_remedy() -> None:
    with receiver() as hook:
        hook.answers.append(308)
        assert "redirects are not followed: set the url to the final address" in error_of(ChannelConfig(kind="webhook", url=hook.url))


@pytest.mark.parametrize("kind", ["apprise", "atom"])
def test_a_hanging_sender_times_out_and_the_number_of_hanging_attempts_is_limited(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    """After `MAX_HANGING_ATTEMPTS` no attempt is made until one of them has ended."""
    released, attempts = threading.Event(), []

    def hang(*_: Any) -> None:
        attempts.append(threading.current_thread())
        released.wait(60)

    monkeypatch.setitem(SENDERS, kind, hang)
    channel = ChannelConfig(kind=kind, url="json://paper.example" if kind == "apprise" else "", path="/x" if kind == "atom" else "")
    for _ in range(MAX_HANGING_ATTEMPTS):
        assert "timed out after 0.1 seconds" in error_of(channel, timeout=0.1)
    assert "earlier attempts still hang" in error_of(channel, timeout=0.1)
    assert len(attempts) == MAX_HANGING_ATTEMPTS
    released.set()
    for thread in attempts:
        thread.join(60)
    send_message("x", channel, MESSAGE, 60)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "nonsense"])
def test_a_url_from_the_environment_is_validated(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HOOK", url)
    assert error_of(ChannelConfig(kind="webhook", url="env:HOOK"))


# Secrets


def test_a_missing_secret_is_reported_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    assert error_of(ChannelConfig(kind="webhook", url="http://127.0.0.1/", secret="env:NOT_THERE")) == (
        "Channel x: the environment variable NOT_THERE is not set"
    )


@pytest.mark.parametrize("value", ["", " ", "\n"])
@pytest.mark.parametrize("key", ["url", "secret"])
def test_an_empty_secret_is_an_error(monkeypatch: pytest.MonkeyPatch, key: str, value: str) -> None:
    monkeypatch.setenv("GIVEN", value)
    values: dict[str, Any] = {"url": "http://127.0.0.1/", "secret": "", key: "env:GIVEN"}
    assert error_of(ChannelConfig(kind="webhook", **values)) == "Channel x: the environment variable GIVEN is empty"


PARTS = ("gu3st", "pa55w0rd", "t0ken-in-path", "t0ken-in-query")
LEAKS = [
    ("webhook", "http://gu3st:pa55w0rd@127.0.0.1:{port}/t0ken-in-path?key=t0ken-in-query"),
    ("apprise", "json://gu3st:pa55w0rd@127.0.0.1:{port}/t0ken-in-path?x=t0ken-in-query&rto=1&cto=1"),
    ("apprise", "mailto://gu3st:pa55w0rd@127.0.0.1:{port}?to=t0ken-in-query@a.example&cto=1"),
    ("apprise", "nosuchservice://gu3st:pa55w0rd@t0ken-in-path/t0ken-in-query"),
    ("apprise", "tgram://gu3st/pa55w0rd/t0ken-in-path"),
]


@pytest.mark.parametrize(("kind", "url"), LEAKS)
def test_error_and_log_of_a_failure_contain_no_secret(kind: Any, url: str, capfd: pytest.CaptureFixture[str]) -> None:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)  # pytest's handlers capture more than a user sees
    try:
        error = error_of(ChannelConfig(kind=kind, url=url.format(port=free_port())), timeout=1.0)
    finally:
        logging.getLogger().removeHandler(handler)
    out, err = capfd.readouterr()
    assert not [p for p in PARTS for output in (error, out, err, log.getvalue()) if p in output], (error, out, err, log.getvalue())


@pytest.mark.system
@given(st.text(st.characters(categories=("L", "N")), min_size=4, max_size=20), st.text(max_size=50), st.text(max_size=50))
def test_a_secret_is_redacted_anywhere_in_a_text(secret: str, before: str, after: str) -> None:
    redacted = redact(f"{before}{secret}{after}", [f"https://user:{secret}@a.example/x"])
    assert secret not in redacted or secret in "user:a.example/x***"
    assert "\n" not in redacted


# Apprise: mail


def test_mail_has_a_subject_and_html_and_text_parts() -> None:
    with smtp() as (inbox, channel):
        send_message("mail", channel, MESSAGE, 5)
    (mail,) = inbox.mails
    assert mail["Subject"] == MESSAGE.subject
    assert mail["To"] == "desk@b.example"
    html, plain = (mail.get_body((kind,)) for kind in ("html", "plain"))
    assert html is not None
    assert plain is not None
    assert "<del>[-638조원-]</del><ins>{+639조원+}</ins>" in html.get_content()
    assert plain.get_content().split("\r\n") == MESSAGE.text.strip().split("\n")


def test_rejected_mail_is_a_failure() -> None:
    with smtp() as (inbox, channel):
        inbox.answer = "451 not now"
        assert error_of(channel).startswith("Channel x: the message was not accepted")
    assert inbox.mails == []


def test_hostile_titles_cannot_inject_mail_headers() -> None:
    with smtp() as (inbox, channel):
        for nasty in NASTY:
            send_message(
                "mail", channel, build_message([alert(event(title=f"가 {nasty}\r\nBcc: evil@c.example\r\n\r\nx", publisher=nasty))], EN), 5
            )
    assert len(inbox.mails) == len(NASTY)
    for mail in inbox.mails:
        assert mail["Bcc"] is None
        assert mail["To"] == "desk@b.example"
        assert set(mail.keys()) <= {
            "Content-Type", "MIME-Version", "Subject", "From", "To", "Date", "Message-ID", "X-Application",
            "X-Peer", "X-MailFrom", "X-RcptTo",
        }  # fmt: skip


def test_apprise_posts_json_in_the_requested_format() -> None:
    with receiver() as hook:
        url = hook.url.replace("http://", "json://")
        for form in ("", "?format=markdown", "?format=html"):
            send_message("hook", ChannelConfig(kind="apprise", url=url + form), MESSAGE, 5)
    bodies = [r.json["message"] for r in hook.received]
    assert [r.json["title"] for r in hook.received] == [MESSAGE.subject] * 3
    assert [b.strip() for b in bodies] == [form.strip() for form in (MESSAGE.text, MESSAGE.markdown, MESSAGE.html)]


def slack_payloads(message: Message, monkeypatch: pytest.MonkeyPatch, form: str = "") -> list[dict[str, Any]]:
    """Return the payloads that Apprise posts to Slack."""
    import requests

    payloads: list[dict[str, Any]] = []

    class Answer:
        status_code, content, text = 200, b"ok", "ok"

    def request(_: str, __: str, data: Any = None, **___: Any) -> Answer:
        payloads.append(json.loads(data))
        return Answer()

    monkeypatch.setattr(requests, "request", request)
    send_message(
        "slack", ChannelConfig(kind="apprise", url=f"slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#news{form}"), message, 5
    )
    return payloads


@pytest.mark.parametrize("form", ["", "?format=markdown"])
@pytest.mark.parametrize(
    "nasty", ["<!channel>", "<!everyone|x>", "<@U024BE7LH>", "<https://evil.example|한빛일보>", "@channel", "&lt;!channel&gt;"]
)
def test_slack_text_has_no_mentions_and_no_disguised_links(monkeypatch: pytest.MonkeyPatch, nasty: str, form: str) -> None:
    diff = {"body": [{"kind": "removed", "text": nasty}]}
    (payload,) = slack_payloads(
        build_message([alert(event(title=f"a {nasty} b", publisher=nasty, payload={"diff": diff}))], EN), monkeypatch, form
    )
    attachments = json.dumps(payload["attachments"], ensure_ascii=False)
    assert not re.search(r"<[!@#]|@(channel|everyone|here)", attachments)
    assert not re.search(r"<https?://[^>]*\|[^>]*한빛일보", attachments)
    if not form:
        assert payload["mrkdwn"] is False


def test_without_apprise_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert 'pip install "crawl-dedup[alerts]"' in error_of(ChannelConfig(kind="apprise", url="json://a.example"))


# Command


def script(place: Path, program: str) -> ChannelConfig:
    (place / "program.py").write_text(program)
    return ChannelConfig(kind="command", command=(sys.executable, str(place / "program.py"), "an argument; $(touch x)"))


def test_a_command_gets_json_on_standard_input_and_unchanged_arguments(tmp_path: Path) -> None:
    values = "[json.load(sys.stdin), sys.argv[1], os.environ['DEDUP_ALERT_ID']]"
    write = f"import json, os, sys; json.dump({values}, open({str(tmp_path / 'got')!r}, 'w'))"
    send_message("x", script(tmp_path, write), MESSAGE, 30)
    assert json.loads((tmp_path / "got").read_text()) == [json.loads(json.dumps(MESSAGE.json_body)), "an argument; $(touch x)", MESSAGE.id]


def test_a_failed_command_is_reported_with_its_error_output(tmp_path: Path) -> None:
    error = error_of(script(tmp_path, "import sys; sys.exit('no\\n\\x1b[31mroom')"), timeout=30)
    assert error == "Channel x: the command failed with exit code 1: no \\x1b[31mroom"


def test_a_hanging_command_is_killed_with_its_children(tmp_path: Path) -> None:
    program = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    channel = script(tmp_path, program)
    started = time.monotonic()
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
        assert "did not end within" in error_of(channel, timeout=1.0 + (time.monotonic() - started))
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split(")")[1]:
        assert time.monotonic() < deadline


def test_a_process_left_behind_by_a_command_is_not_waited_for(tmp_path: Path) -> None:
    program = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)'])\n"
    started = time.monotonic()
    send_message("x", script(tmp_path, program), MESSAGE, 60)
    assert time.monotonic() - started < 15


def test_a_missing_command_is_reported() -> None:
    assert "No such file" in error_of(ChannelConfig(kind="command", command=("/no/such/command",)))


# Atom


def entry(n: int, **overrides: Any) -> FeedEntry:
    return replace(
        FeedEntry(f"{n:032x}", f"제목 {n}", f"2026-03-05T09:{n % 60:02d}:00+00:00", f"https://paper.example/{n}", f"<p>{n}</p>"),
        **overrides,
    )


def test_a_feed_has_an_entry_for_each_alert_latest_first(tmp_path: Path) -> None:
    path = tmp_path / "alerts.atom"
    send_message("feed", ChannelConfig(kind="atom", path=str(path)), build_message([alert(event(n)) for n in (1, 2)], KO, "rate_limit"), 5)
    parsed = parse_feed(path)
    assert [e.link for e in parsed.entries] == ["https://paper.example/1", "https://paper.example/2"]
    assert parsed.entries[0].title == "[중대] 한빛일보 · 내용 수정 · 새솔시 의회, 예산안 의결 1"
    assert "<del>[-638조원-]</del>" in parsed.entries[0].content[0].value
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["alerts.atom"]


def test_a_feed_is_limited_and_written_identically_each_time(tmp_path: Path) -> None:
    path = tmp_path / "a.atom"
    channel = ChannelConfig(kind="atom", path=str(path), entries=3)
    message = replace(MESSAGE, feed=tuple(entry(n) for n in (9, 8, 7, 6)))
    send_message("feed", channel, message, 5)
    before = path.read_bytes()
    send_message("feed", channel, message, 5)
    assert [e.title for e in parse_feed(path).entries] == [f"제목 {n}" for n in (9, 8, 7)]
    assert path.read_bytes() == before


def test_a_feed_has_the_time_of_its_latest_entry(tmp_path: Path) -> None:
    path = tmp_path / "a.atom"
    atom.write_feed(path, [entry(1), entry(9), entry(2)], 5)
    assert parse_feed(path).feed.updated == "2026-03-05T09:09:00Z"


def test_a_late_write_does_not_replace_a_newer_feed(tmp_path: Path) -> None:
    path = tmp_path / "a.atom"
    atom.write_feed(path, [entry(2)], 5)
    with pytest.raises(TimeoutError):
        atom.write_feed(path, [entry(1)], -1)
    assert [e.title for e in parse_feed(path).entries] == ["제목 2"]
    assert os.listdir(tmp_path) == ["a.atom"]


@pytest.mark.parametrize(
    "content",
    [
        b"<feed",
        b"\xff\xfe",
        b"<html/>",
        b"[crawl]\n",
        b"---\ntitle: a\n---\n",
        b"SQLite format 3\0" + bytes(4080),
        b'<?xml version="1.0"?>\n<feed xmlns="http://www.w3.org/2005/Atom"><id>https://b.example/feed</id></feed>',
        b'<!DOCTYPE x [<!ENTITY a "b">]><feed xmlns="http://www.w3.org/2005/Atom"><entry><id>&a;</id></entry></feed>',
    ],
)
def test_a_file_that_is_not_a_feed_of_dedup_is_not_overwritten(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.atom"
    path.write_bytes(content)
    assert "the existing file is not a feed of dedup" in error_of(ChannelConfig(kind="atom", path=str(path)))
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["a.atom"]


@pytest.mark.parametrize("end", [0, -20])
def test_an_empty_or_damaged_feed_of_dedup_is_replaced(tmp_path: Path, end: int) -> None:
    path = tmp_path / "a.atom"
    atom.write_feed(path, [entry(1)], 5)
    path.write_bytes(path.read_bytes()[:end])
    atom.write_feed(path, [entry(2), entry(1)], 5)
    assert [e.title for e in parse_feed(path).entries] == ["제목 2", "제목 1"]


def test_a_feed_is_not_written_through_a_symlink(tmp_path: Path) -> None:
    """`resolve_path` follows links of the configured path; a link that appears later is refused."""
    (tmp_path / "precious").write_text("")
    (tmp_path / "a.atom").symlink_to("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    for path in ("a.atom", "link/a.atom"):
        with pytest.raises(OSError, match=r"link|directory|symbolic"):
            atom.write_feed(tmp_path / path, [entry(1)], 5)
    assert (tmp_path / "precious").read_text() == ""
    assert os.listdir(tmp_path / "folder") == []


def test_a_failed_write_keeps_the_old_feed_and_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.atom"
    atom.write_feed(path, [entry(1)], 5)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "No space left" in error_of(ChannelConfig(kind="atom", path=str(path)))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.atom"]
    assert "No such file" in error_of(ChannelConfig(kind="atom", path=str(tmp_path / "none" / "a.atom")))


@given(hostile, hostile, hostile)
@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_feed_of_hostile_text_is_valid(tmp_path: Path, title: str, publisher: str, url: str) -> None:
    path = tmp_path / "a.atom"
    path.unlink(missing_ok=True)
    message = build_message([alert(event(title=title, publisher=publisher, url=url))], EN)
    send_message("feed", ChannelConfig(kind="atom", path=str(path)), message, 5)
    (entry_,) = parse_feed(path).entries
    assert "".join(entry_.title.split()) == "".join(message.subject.split())
    assert "<script" not in entry_.content[0].value


# Log


def test_the_log_has_a_line_for_each_alert(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "dedup"):
        send_message("journal", ChannelConfig(kind="log"), build_message([alert(event(n)) for n in (1, 2)], EN, "rate_limit"), 5)
    line = "alert ID: [major] 한빛일보 · substance changed · 새솔시 의회, 예산안 의결 {n} https://paper.example/{n}"
    assert [re.sub("[0-9a-f]{32}", "ID", r.getMessage()) for r in caplog.records] == [line.format(n=n) for n in (1, 2)]


def test_a_test_message_reaches_every_kind_of_channel(tmp_path: Path) -> None:
    with receiver() as hook, smtp() as (inbox, mail):
        message = build_test_message("x", KO)
        for channel in (
            ChannelConfig(kind="webhook", url=hook.url),
            mail,
            ChannelConfig(kind="atom", path=str(tmp_path / "a.atom")),
            ChannelConfig(kind="log"),
        ):
            send_message("x", channel, message, 5)
    assert hook.received[0].json["kind"] == "test"
    assert inbox.mails[0]["Subject"] == message.subject
    assert len(parse_feed(tmp_path / "a.atom").entries) == 1


def test_help_loads_neither_apprise_nor_sqlite_utils() -> None:
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dedup", "alerts", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in process.stderr.splitlines() if line.startswith("import time:")}
    assert loaded & {"apprise", "requests", "sqlite_utils", "numpy"} == set()


DOCS = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text("utf-8")


def test_the_documented_verification_works() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(program, namespace)
    body, now = encode_body(MESSAGE), int(time.time())
    header = sign_body(SECRET, now, body)
    assert namespace["verified"](SECRET, header, body)
    assert not namespace["verified"](SECRET, sign_body(SECRET, now - 400, body), body)
    assert not any(
        namespace["verified"](SECRET, wrong, body) for wrong in ("", "t=1", header[:-1], header.replace("v1=", "v2="), "t=x,v1=y")
    )
    assert not namespace["verified"](SECRET, header, body + b" ")


def test_the_documented_configurations_are_valid(tmp_path: Path) -> None:
    recipes = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)
    assert len(recipes) == 4
    for recipe in recipes:
        (tmp_path / "config.toml").write_text(recipe, "utf-8")
        configured = load(str(tmp_path / "config.toml")).settings
        assert configured.alerts
        assert configured.channels


def test_the_documentation_names_every_setting_and_kind() -> None:
    names = {*AlertRuleConfig.model_fields, *ChannelConfig.model_fields, *DeliveryConfig.model_fields, *SENDERS}
    names |= {kind for kinds in EVENT_KINDS.values() for kind in kinds}
    assert [
        name for name in sorted(names) if f"`{name}`" not in DOCS and f'"{name}"' not in DOCS and f"`[delivery]` {name}" not in DOCS
    ] == []

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
from hypothesis import settings as trying
from hypothesis import strategies as st

from dedup.alerts import atom
from dedup.alerts.channels import MAX_HANGING_ATTEMPTS, SENDERS, SIGNATURE_HEADER, encode_body, send_message, sign_body
from dedup.alerts.messages import FeedEntry, Message, alert_to_json, build_message, build_test_message
from dedup.alerts.secrets import redact
from dedup.config import AlertRuleConfig, ChannelConfig, DeliveryConfig, load
from dedup.errors import ChannelError
from dedup.rules import DETAIL_FIELDS, EVENT_KINDS, DigestReason
from tests.builders.alerts import event, free_port, receiver
from tests.builders.messages import EN, KO, NASTY, alert, hostile
from tests.builders.smtp import parse_feed, smtp

TOLD = build_message([alert()], KO)


def refused(channel: ChannelConfig, told: Message = TOLD, timeout: float = 5.0) -> str:
    with pytest.raises(ChannelError) as failed:
        send_message("x", channel, told, timeout)
    assert "\n" not in str(failed.value)
    return str(failed.value)


def test_every_kind_of_channel_has_a_sender() -> None:
    from typing import get_args

    assert set(SENDERS) == set(get_args(ChannelConfig.model_fields["kind"].annotation))


# Webhook

SECRET = "하나-two-3"


def verified(secret: str, header: str, body: bytes, *, now: float, tolerance: float = 300) -> bool:
    """As docs/alerts.md has it."""
    parts = dict(part.split("=", 1) for part in header.split(","))
    made = hmac.new(secret.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(made, parts["v1"]) and abs(now - int(parts["t"])) <= tolerance


def test_a_webhook_gets_signed_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    with receiver() as hook:
        send_message("hook", ChannelConfig(kind="webhook", url=hook.url, secret="env:HOOK_SECRET"), TOLD, 5)
    (got,) = hook.received
    assert got.json == json.loads(json.dumps(TOLD.json_body))
    assert got.json["alerts"][0]["id"] == got.headers["X-Dedup-Id"] == TOLD.id
    assert got.headers["Content-Type"] == "application/json"
    header = got.headers[SIGNATURE_HEADER]
    assert verified(SECRET, header, got.body, now=time.time())
    assert not verified("another", header, got.body, now=time.time())
    assert not verified(SECRET, header, got.body + b" ", now=time.time())
    assert not verified(SECRET, header.replace("t=1", "t=2"), got.body, now=time.time())
    assert not verified(SECRET, header, got.body, now=time.time() + 400)


def test_user_and_password_of_a_webhook_s_address_go_into_a_header_of_their_own() -> None:
    with receiver() as hook:
        send_message("hook", ChannelConfig(kind="webhook", url=hook.url.replace("http://", "http://me:p%40ss@")), TOLD, 5)
    assert hook.received[0].headers["Authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert hook.received[0].path == "/hook"


def test_without_a_secret_it_is_not_signed() -> None:
    with receiver() as hook:
        send_message("hook", ChannelConfig(kind="webhook", url=hook.url), TOLD, 5)
    assert SIGNATURE_HEADER not in hook.received[0].headers


@pytest.mark.parametrize("code", [400, 404, 410, 429, 500, 503])
def test_what_a_webhook_does_not_accept_is_not_sent(code: int) -> None:
    with receiver() as hook:
        hook.answers.append(code)
        assert f"the server answered {code}" in refused(ChannelConfig(kind="webhook", url=hook.url))


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_webhook_s_redirect_is_not_followed(code: int) -> None:
    with receiver() as hook:
        hook.answers.append(code)
        assert f"the server answered {code}" in refused(ChannelConfig(kind="webhook", url=hook.url))
    assert [r.path for r in hook.received] == ["/hook"]


def test_a_webhook_that_does_not_answer_is_not_waited_for() -> None:
    with receiver() as hook:
        hook.hold.clear()
        assert "timed out" in refused(ChannelConfig(kind="webhook", url=hook.url), timeout=0.2)
    assert "refused" in refused(ChannelConfig(kind="webhook", url=f"http://127.0.0.1:{free_port()}/"))


@contextmanager
def raw_server(script: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[bytes]]]:
    """A server on loopback that reads a request and goes on by a script, until the client has gone. Gives its address, and the requests."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        requests: list[bytes] = []

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                with client, suppress(OSError):
                    read = b""
                    while script is not silent and not read.endswith(b"}"):
                        read += client.recv(65536)
                    requests.append(read)
                    script(client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}/hook", requests
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(60)
        assert not thread.is_alive(), "the client is still there"


def silent(client: socket.socket) -> None:
    while client.recv(65536):
        pass


def drip(sent: bytes) -> Callable[[socket.socket], None]:
    """Byte by byte, faster than any time limit for a single operation, and again from the start of the last line without end."""

    def send_slowly(client: socket.socket) -> None:
        for byte in sent:
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
def test_the_time_limit_of_a_webhook_is_that_of_the_whole_request(script: Callable[[socket.socket], None]) -> None:
    """However steadily the answer comes: the server goes on until the client has left."""
    with raw_server(script) as (place, _):
        assert refused(ChannelConfig(kind="webhook", url=f"http://{place}"), timeout=0.5) == "Channel x: timed out after 0.5 seconds"
        if script is silent:
            assert "timed out" in refused(ChannelConfig(kind="webhook", url=f"https://{place}"), timeout=0.5)


def test_a_receiver_that_does_not_read_is_not_waited_for() -> None:
    """It is the size of the request that keeps the kernel from taking all of it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        large = replace(TOLD, json_body={**TOLD.json_body, "text": "x" * (64 << 20)})
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        assert "timed out" in refused(ChannelConfig(kind="webhook", url=url), large, timeout=2.0)


def test_a_name_that_is_not_resolved_in_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved.wait(60) and [])
    try:
        assert "timed out" in refused(ChannelConfig(kind="webhook", url="http://paper.example/"), timeout=0.2)
    finally:
        resolved.set()


@pytest.mark.parametrize("piece", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_interim_answers_without_end_are_no_answer(piece: bytes) -> None:
    with raw_server(flood(piece)) as (place, _):
        assert "interim responses" in refused(ChannelConfig(kind="webhook", url=f"http://{place}"), timeout=60)


TAKEN = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "script",
    [
        once(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
        once(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n"),
        once(TAKEN),
        once(TAKEN + b"Content-Length: 1000\r\n\r\nx"),
        once(TAKEN + b"Content-Length: nonsense\r\n\r\n"),
        once(TAKEN + b"Transfer-Encoding: chunked\r\n\r\nno chunk"),
        once(TAKEN + b"no header at all\r\n\r\n"),
        drip(TAKEN + b"A: "),
        drip(TAKEN + b"\r\n"),
        flood(b"x" * 65536, TAKEN + b"\r\n"),
        flood(b"A: b\r\n", TAKEN),
        flood(b"x" * 65536, TAKEN + b"A: "),
    ],
)
def test_a_2xx_status_is_a_success_whatever_follows(script: Callable[[socket.socket], None]) -> None:
    with raw_server(script) as (place, requests):
        send_message("x", ChannelConfig(kind="webhook", url=f"http://{place}"), TOLD, 1.0)
    assert len(requests) == 1


def test_a_redirect_is_refused_with_what_to_do() -> None:
    with receiver() as hook:
        hook.answers.append(308)
        assert "redirects are not followed: set the url to the final address" in refused(ChannelConfig(kind="webhook", url=hook.url))


@pytest.mark.parametrize("kind", ["apprise", "atom"])
def test_a_channel_that_hangs_in_a_library_or_on_a_disk_is_left_after_the_time_limit(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    """A few attempts may hang; after that none is made until one of them has ended."""
    released, begun = threading.Event(), []

    def hang(*_: Any) -> None:
        begun.append(threading.current_thread())
        released.wait(60)

    monkeypatch.setitem(SENDERS, kind, hang)
    channel = ChannelConfig(kind=kind, url="json://paper.example" if kind == "apprise" else "", path="/x" if kind == "atom" else "")
    for _ in range(MAX_HANGING_ATTEMPTS):
        assert "timed out after 0.1 seconds" in refused(channel, timeout=0.1)
    assert "earlier attempts still hang" in refused(channel, timeout=0.1)
    assert len(begun) == MAX_HANGING_ATTEMPTS
    released.set()
    for thread in begun:
        thread.join(60)
    send_message("x", channel, TOLD, 60)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "nonsense"])
def test_an_environment_variable_that_holds_another_address_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HOOK", url)
    assert refused(ChannelConfig(kind="webhook", url="env:HOOK"))


# Secrets


def test_a_secret_that_is_not_there_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    assert refused(ChannelConfig(kind="webhook", url="http://127.0.0.1/", secret="env:NOT_THERE")) == (
        "Channel x: the environment variable NOT_THERE is not set"
    )


@pytest.mark.parametrize("value", ["", " ", "\n"])
@pytest.mark.parametrize("key", ["url", "secret"])
def test_a_secret_that_is_empty_is_an_error_and_signs_nothing(monkeypatch: pytest.MonkeyPatch, key: str, value: str) -> None:
    monkeypatch.setenv("GIVEN", value)
    given: dict[str, Any] = {"url": "http://127.0.0.1/", "secret": "", key: "env:GIVEN"}
    assert refused(ChannelConfig(kind="webhook", **given)) == "Channel x: the environment variable GIVEN is empty"


PARTS = ("gu3st", "pa55w0rd", "t0ken-in-path", "t0ken-in-query")
LEAKS = [
    ("webhook", "http://gu3st:pa55w0rd@127.0.0.1:{port}/t0ken-in-path?key=t0ken-in-query"),
    ("apprise", "json://gu3st:pa55w0rd@127.0.0.1:{port}/t0ken-in-path?x=t0ken-in-query&rto=1&cto=1"),
    ("apprise", "mailto://gu3st:pa55w0rd@127.0.0.1:{port}?to=t0ken-in-query@a.example&cto=1"),
    ("apprise", "nosuchservice://gu3st:pa55w0rd@t0ken-in-path/t0ken-in-query"),
    ("apprise", "tgram://gu3st/pa55w0rd/t0ken-in-path"),
]


@pytest.mark.parametrize(("kind", "url"), LEAKS)
def test_nothing_secret_is_in_what_is_told_or_logged_of_a_failure(kind: Any, url: str, capfd: pytest.CaptureFixture[str]) -> None:
    logged = io.StringIO()
    handler = logging.StreamHandler(logged)
    logging.getLogger().addHandler(handler)  # pytest's own would hear what nobody else does
    try:
        told = refused(ChannelConfig(kind=kind, url=url.format(port=free_port())), timeout=1.0)
    finally:
        logging.getLogger().removeHandler(handler)
    out, err = capfd.readouterr()
    assert not [p for p in PARTS for shown in (told, out, err, logged.getvalue()) if p in shown], (told, out, err, logged.getvalue())


@given(st.text(st.characters(categories=("L", "N")), min_size=4, max_size=20), st.text(max_size=50), st.text(max_size=50))
def test_a_secret_is_taken_out_wherever_it_stands(secret: str, before: str, after: str) -> None:
    told = redact(f"{before}{secret}{after}", [f"https://user:{secret}@a.example/x"])
    assert secret not in told or secret in "user:a.example/x***"
    assert "\n" not in told


# Apprise: mail


def test_mail_has_a_subject_html_and_the_same_as_text() -> None:
    with smtp() as (inbox, channel):
        send_message("mail", channel, TOLD, 5)
    (mail,) = inbox.mails
    assert mail["Subject"] == TOLD.subject
    assert mail["To"] == "desk@b.example"
    html, plain = (mail.get_body((kind,)) for kind in ("html", "plain"))
    assert html is not None
    assert plain is not None
    assert "<del>[-638조원-]</del><ins>{+639조원+}</ins>" in html.get_content()
    assert plain.get_content().split("\r\n") == TOLD.text.strip().split("\n")


def test_mail_that_is_not_accepted_is_not_sent() -> None:
    with smtp() as (inbox, channel):
        inbox.answer = "451 not now"
        assert refused(channel).startswith("Channel x: the message was not accepted")
    assert inbox.mails == []


def test_hostile_titles_put_nothing_into_the_head_of_a_mail() -> None:
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


def test_apprise_posts_json_in_the_form_that_is_asked_for() -> None:
    with receiver() as hook:
        url = hook.url.replace("http://", "json://")
        for form in ("", "?format=markdown", "?format=html"):
            send_message("hook", ChannelConfig(kind="apprise", url=url + form), TOLD, 5)
    bodies = [r.json["message"] for r in hook.received]
    assert [r.json["title"] for r in hook.received] == [TOLD.subject] * 3
    assert [b.strip() for b in bodies] == [form.strip() for form in (TOLD.text, TOLD.markdown, TOLD.html)]


def slack_payloads(told: Message, monkeypatch: pytest.MonkeyPatch, form: str = "") -> list[dict[str, Any]]:
    """What Apprise would post to Slack."""
    import requests

    posted: list[dict[str, Any]] = []

    class Answer:
        status_code, content, text = 200, b"ok", "ok"

    def request(_: str, __: str, data: Any = None, **___: Any) -> Answer:
        posted.append(json.loads(data))
        return Answer()

    monkeypatch.setattr(requests, "request", request)
    send_message("slack", ChannelConfig(kind="apprise", url=f"slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#news{form}"), told, 5)
    return posted


@pytest.mark.parametrize("form", ["", "?format=markdown"])
@pytest.mark.parametrize(
    "nasty", ["<!channel>", "<!everyone|x>", "<@U024BE7LH>", "<https://evil.example|한빛일보>", "@channel", "&lt;!channel&gt;"]
)
def test_slack_calls_nobody_and_shows_no_link_by_another_name(monkeypatch: pytest.MonkeyPatch, nasty: str, form: str) -> None:
    diff = {"body": [{"kind": "removed", "text": nasty}]}
    (posted,) = slack_payloads(
        build_message([alert(event(title=f"a {nasty} b", publisher=nasty, payload={"diff": diff}))], EN), monkeypatch, form
    )
    told = json.dumps(posted["attachments"], ensure_ascii=False)
    assert not re.search(r"<[!@#]|@(channel|everyone|here)", told)
    assert not re.search(r"<https?://[^>]*\|[^>]*한빛일보", told)
    if not form:
        assert posted["mrkdwn"] is False


def test_without_apprise_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert 'pip install "crawl-dedup[alerts]"' in refused(ChannelConfig(kind="apprise", url="json://a.example"))


# Command


def script(place: Path, program: str) -> ChannelConfig:
    (place / "program.py").write_text(program)
    return ChannelConfig(kind="command", command=(sys.executable, str(place / "program.py"), "an argument; $(touch x)"))


def test_a_command_gets_json_on_its_standard_input_and_its_arguments_as_they_are(tmp_path: Path) -> None:
    got = "[json.load(sys.stdin), sys.argv[1], os.environ['DEDUP_ALERT_ID']]"
    write = f"import json, os, sys; json.dump({got}, open({str(tmp_path / 'got')!r}, 'w'))"
    send_message("x", script(tmp_path, write), TOLD, 30)
    assert json.loads((tmp_path / "got").read_text()) == [json.loads(json.dumps(TOLD.json_body)), "an argument; $(touch x)", TOLD.id]


def test_a_command_that_leaves_with_an_error_has_not_taken_it_and_its_last_words_are_told(tmp_path: Path) -> None:
    told = refused(script(tmp_path, "import sys; sys.exit('no\\n\\x1b[31mroom')"), timeout=30)
    assert told == "Channel x: the command failed with exit code 1: no \\x1b[31mroom"


def test_a_command_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    program = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    channel = script(tmp_path, program)
    begun = time.monotonic()
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
        assert "did not end within" in refused(channel, timeout=1.0 + (time.monotonic() - begun))
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split(")")[1]:
        assert time.monotonic() < deadline


def test_a_command_that_leaves_somebody_behind_is_not_waited_for(tmp_path: Path) -> None:
    program = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)'])\n"
    begun = time.monotonic()
    send_message("x", script(tmp_path, program), TOLD, 60)
    assert time.monotonic() - begun < 15


def test_a_command_that_is_not_there_is_told() -> None:
    assert "No such file" in refused(ChannelConfig(kind="command", command=("/no/such/command",)))


# Atom


def entry(n: int, **given: Any) -> FeedEntry:
    return replace(
        FeedEntry(f"{n:032x}", f"제목 {n}", f"2026-03-05T09:{n % 60:02d}:00+00:00", f"https://paper.example/{n}", f"<p>{n}</p>"), **given
    )


def test_a_feed_has_an_entry_for_each_alert_the_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "alerts.atom"
    send_message("feed", ChannelConfig(kind="atom", path=str(path)), build_message([alert(event(n)) for n in (1, 2)], KO, "rate_limit"), 5)
    parsed = parse_feed(path)
    assert [e.link for e in parsed.entries] == ["https://paper.example/1", "https://paper.example/2"]
    assert parsed.entries[0].title == "[중대] 한빛일보 · 내용 수정 · 새솔시 의회, 예산안 의결 1"
    assert "<del>[-638조원-]</del>" in parsed.entries[0].content[0].value
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["alerts.atom"]


def test_a_feed_is_written_whole_and_equal_each_time(tmp_path: Path) -> None:
    path = tmp_path / "a.atom"
    channel = ChannelConfig(kind="atom", path=str(path), entries=3)
    message = replace(TOLD, feed=tuple(entry(n) for n in (9, 8, 7, 6)))
    send_message("feed", channel, message, 5)
    before = path.read_bytes()
    send_message("feed", channel, message, 5)
    assert [e.title for e in parse_feed(path).entries] == [f"제목 {n}" for n in (9, 8, 7)]
    assert path.read_bytes() == before


def test_a_feed_is_as_recent_as_its_newest_entry(tmp_path: Path) -> None:
    path = tmp_path / "a.atom"
    atom.write_feed(path, [entry(1), entry(9), entry(2)], 5)
    assert parse_feed(path).feed.updated == "2026-03-05T09:09:00Z"


def test_a_write_that_is_late_replaces_no_later_feed(tmp_path: Path) -> None:
    path = tmp_path / "a.atom"
    atom.write_feed(path, [entry(2)], 5)
    with pytest.raises(TimeoutError):
        atom.write_feed(path, [entry(1)], -1)
    assert [e.title for e in parse_feed(path).entries] == ["제목 2"]
    assert os.listdir(tmp_path) == ["a.atom"]


@pytest.mark.parametrize(
    "held",
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
def test_a_file_that_is_no_feed_of_ours_is_left_as_it_is(tmp_path: Path, held: bytes) -> None:
    path = tmp_path / "a.atom"
    path.write_bytes(held)
    assert "the existing file is not a feed of dedup" in refused(ChannelConfig(kind="atom", path=str(path)))
    assert path.read_bytes() == held
    assert os.listdir(tmp_path) == ["a.atom"]


@pytest.mark.parametrize("kept", [0, -20])
def test_a_feed_of_ours_that_is_empty_or_damaged_is_written_whole(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.atom"
    atom.write_feed(path, [entry(1)], 5)
    path.write_bytes(path.read_bytes()[:kept])
    atom.write_feed(path, [entry(2), entry(1)], 5)
    assert [e.title for e in parse_feed(path).entries] == ["제목 2", "제목 1"]


def test_a_feed_is_not_written_through_a_link_that_comes_in_its_way(tmp_path: Path) -> None:
    """`placed` follows links of the configuration; whatever is put there after that is refused."""
    (tmp_path / "precious").write_text("")
    (tmp_path / "a.atom").symlink_to("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    for path in ("a.atom", "link/a.atom"):
        with pytest.raises(OSError, match=r"link|directory|symbolic"):
            atom.write_feed(tmp_path / path, [entry(1)], 5)
    assert (tmp_path / "precious").read_text() == ""
    assert os.listdir(tmp_path / "folder") == []


def test_a_feed_that_cannot_be_written_stays_as_it_was_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.atom"
    atom.write_feed(path, [entry(1)], 5)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as within:
        within.setattr(os, "fsync", full)
        assert "No space left" in refused(ChannelConfig(kind="atom", path=str(path)))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.atom"]
    assert "No such file" in refused(ChannelConfig(kind="atom", path=str(tmp_path / "none" / "a.atom")))


@given(hostile, hostile, hostile)
@trying(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_feed_is_valid_whatever_is_in_it(tmp_path: Path, title: str, publisher: str, url: str) -> None:
    path = tmp_path / "a.atom"
    path.unlink(missing_ok=True)
    told = build_message([alert(event(title=title, publisher=publisher, url=url))], EN)
    send_message("feed", ChannelConfig(kind="atom", path=str(path)), told, 5)
    (read,) = parse_feed(path).entries
    assert "".join(read.title.split()) == "".join(told.subject.split())
    assert "<script" not in read.content[0].value


# Log


def test_the_log_has_a_line_for_each_alert(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "dedup"):
        send_message("journal", ChannelConfig(kind="log"), build_message([alert(event(n)) for n in (1, 2)], EN, "rate_limit"), 5)
    line = "alert ID: [major] 한빛일보 · substance changed · 새솔시 의회, 예산안 의결 {n} https://paper.example/{n}"
    assert [re.sub("[0-9a-f]{32}", "ID", r.getMessage()) for r in caplog.records] == [line.format(n=n) for n in (1, 2)]


def test_a_trial_reaches_every_kind(tmp_path: Path) -> None:
    with receiver() as hook, smtp() as (inbox, mail):
        told = build_test_message("x", KO)
        for channel in (
            ChannelConfig(kind="webhook", url=hook.url),
            mail,
            ChannelConfig(kind="atom", path=str(tmp_path / "a.atom")),
            ChannelConfig(kind="log"),
        ):
            send_message("x", channel, told, 5)
    assert hook.received[0].json["kind"] == "test"
    assert inbox.mails[0]["Subject"] == told.subject
    assert len(parse_feed(tmp_path / "a.atom").entries) == 1


def test_help_of_the_command_loads_neither_apprise_nor_the_database() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dedup", "alerts", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert loaded & {"apprise", "requests", "sqlite_utils", "numpy"} == set()


DOCS = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text("utf-8")


def test_the_verification_that_is_documented_verifies() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    told: dict[str, Any] = {}
    exec(program, told)
    body, now = encode_body(TOLD), int(time.time())
    header = sign_body(SECRET, now, body)
    assert told["verified"](SECRET, header, body)
    assert not told["verified"](SECRET, sign_body(SECRET, now - 400, body), body)
    assert not any(told["verified"](SECRET, wrong, body) for wrong in ("", "t=1", header[:-1], header.replace("v1=", "v2="), "t=x,v1=y"))
    assert not told["verified"](SECRET, header, body + b" ")


def test_the_recipes_are_configurations(tmp_path: Path) -> None:
    recipes = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)
    assert len(recipes) == 4
    for recipe in recipes:
        (tmp_path / "config.toml").write_text(recipe, "utf-8")
        found = load(str(tmp_path / "config.toml")).settings
        assert found.alerts
        assert found.channels


def test_the_documentation_tells_of_every_key_kind_and_reason() -> None:
    from typing import get_args

    names = {
        *AlertRuleConfig.model_fields,
        *ChannelConfig.model_fields,
        *DeliveryConfig.model_fields,
        *SENDERS,
        *DETAIL_FIELDS,
        *alert_to_json(alert()),
    }
    names |= {kind for kinds in EVENT_KINDS.values() for kind in kinds} | set(get_args(DigestReason)) - {"incident"}
    assert [
        name for name in sorted(names) if f"`{name}`" not in DOCS and f'"{name}"' not in DOCS and f"`[delivery]` {name}" not in DOCS
    ] == []

"""Channels: a plain table, kind → what sends a message there. A sender returns once the channel has accepted the message, and raises
ChannelError where it has not."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import signal
import subprocess
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import IO, Self
from urllib.parse import unquote, urlsplit

from dedup import __version__
from dedup.alerts import atom, webhook
from dedup.alerts.messages import Message
from dedup.alerts.secrets import reveal, without
from dedup.config import Channel
from dedup.errors import ChannelError
from dedup.files.protected import Protected

SIGNATURE = "X-Dedup-Signature"
"""Header of a signed request: `t=<seconds since 1970>,v1=<hex of HMAC-SHA-256 over "<t>." and the body>`."""

_log = logging.getLogger("dedup")


def send(name: str, channel: Channel, message: Message, timeout: float) -> None:
    """Send a message to the channel of that name; returns once it is accepted. Raises ChannelError, with nothing secret in it."""
    secrets: list[str] = []
    try:
        given = {key: reveal(getattr(channel, key), name) for key in ("url", "secret")}
        secrets += [value for value in given.values() if value]
        sender, own = SENDERS[channel.kind], channel.model_copy(update=given)
        if channel.kind in _UNTIMED:
            _within(timeout, name, lambda: sender(own, message, timeout))
        else:
            sender(own, message, timeout)
    except ChannelError:
        raise
    except Exception as error:
        told = without(f"{error}" or type(error).__name__, secrets)
        raise ChannelError(channel=name, problem=told) from None


_UNTIMED = ("apprise", "atom")
"""Kinds whose work has no time limit of its own: a service that Apprise asks, a disk."""
LEFT_BEHIND = 3
"""Attempts of one channel that may hang at a time. As long as they do, further attempts are refused."""
_hanging: dict[str, list[threading.Thread]] = {}


def _within(seconds: float, name: str, work: Callable[[], None]) -> None:
    """Do the work for a channel in a thread, and wait for it no longer than that. A thread cannot be ended: one that is late is left
    behind. Raises what the work raises."""
    hanging = _hanging[name] = [t for t in _hanging.get(name, []) if t.is_alive()]
    if len(hanging) >= LEFT_BEHIND:
        raise _Refused(f"{len(hanging)} earlier attempts hang; the next one is made when one of them has ended")
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name=f"an alert to {name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        hanging.append(thread)
        raise _Refused(f"it was not done within {seconds:g} seconds")
    if failed:
        raise failed[0]


def placed(name: str, channel: Channel, protected: Protected) -> Channel:
    """The channel of that name with the file that it writes as a path without links; senders follow none from there on. Raises
    ChannelError for a file that must not be written."""
    if not channel.path:
        return channel
    place = os.path.realpath(channel.path)
    if problem := protected.problem(place):
        raise ChannelError(channel=name, problem=f"{channel.path} is not written: {problem}")
    return channel.model_copy(update={"path": place})


class _Refused(Exception):  # noqa: N818  a word for what it is
    """The channel has not taken it, and why."""


def _apprise(channel: Channel, message: Message, _: float) -> None:
    try:
        from apprise import Apprise, AppriseAsset, NotifyFormat
    except ImportError:
        raise _Refused("Apprise is not installed; install dedup[alerts]") from None
    asset = AppriseAsset(app_id="dedup", app_desc="dedup", app_url="", async_mode=False)
    with _Overheard() as heard:
        service = Apprise.instantiate(channel.url, asset=asset)
        if service is None or isinstance(service, list):
            raise _Refused("the url is none that Apprise knows" + heard.told)
        usual = service.resolve_format()
        form = usual if usual == NotifyFormat.HTML else service.resolve_format(NotifyFormat.TEXT)
        body = {NotifyFormat.HTML: message.html, NotifyFormat.MARKDOWN: message.markdown}.get(form, message.text)
        if not service.notify(body=body, title=message.subject, body_format=form):
            raise _Refused("it was not accepted" + heard.told)


class _Overheard(logging.Handler):
    """What Apprise logs in this thread, which goes nowhere else: it may hold parts of an address."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self._lines: list[str] = []

    @property
    def told(self) -> str:
        return ": " + "; ".join(self._lines) if self._lines else ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._lines.append(record.getMessage())

    def __enter__(self) -> Self:
        log = logging.getLogger("apprise")
        log.propagate = False
        log.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)


def body_of(message: Message) -> bytes:
    """What programs are given of a message: JSON in UTF-8."""
    return json.dumps(message.machine, ensure_ascii=False).encode("utf-8", "replace")


def signature(secret: str, at: int, body: bytes) -> str:
    """The value of the header that signs a request made at a time, in seconds since 1970."""
    made = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={made}"


def _webhook(channel: Channel, message: Message, timeout: float) -> None:
    body = body_of(message)
    headers = {"Content-Type": "application/json", "User-Agent": f"dedup/{__version__}", "X-Dedup-Id": message.id}
    if channel.secret:
        headers[SIGNATURE] = signature(channel.secret, int(time.time()), body)
    url, authorisation = _without_credentials(channel.url)
    if urlsplit(url).scheme not in ("http", "https"):
        raise _Refused("the url is neither http:// nor https://")
    try:
        status, reason = webhook.post(url, body, headers | authorisation, timeout)
    except (OSError, HTTPException) as error:
        raise _Refused(f"{error}" or type(error).__name__) from None
    if 300 <= status < 400:
        raise _Refused(f"it answered {status} {reason}; redirects are not followed: set the url to the final address")
    if not 200 <= status < 300:
        raise _Refused(f"it answered {status} {reason}")


def _without_credentials(url: str) -> tuple[str, dict[str, str]]:
    """An address without user and password, and the header that has them (RFC 7617)."""
    split = urlsplit(url)
    credentials, at, host = split.netloc.rpartition("@")
    if not at:
        return url, {}
    told = b64encode(unquote(credentials).encode()).decode()
    return split._replace(netloc=host).geturl(), {"Authorization": f"Basic {told}"}


def _command(channel: Channel, message: Message, timeout: float) -> None:
    """Files, not pipes: nobody waits for a process that outlives the command and keeps its output open."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(body_of(message))
        given.seek(0)
        process = subprocess.Popen(  # noqa: S603  no shell, and the user's own command
            channel.command, stdin=given, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True,
            env=os.environ | {"DEDUP_ALERT_ID": message.id},
        )  # fmt: skip
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise _Refused(f"the command did not end within {timeout:g} seconds") from None
        finally:
            _end(process)
        if code:
            raise _Refused(f"the command left with exit code {code}{_tail(said)}")


ENDING = 5.0
"""Seconds that a process has to end in once it is killed."""


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # the kernel may hold it, on a disk that does not answer
            process.wait(ENDING)


def _tail(said: IO[bytes]) -> str:
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - 200))
    told = said.read().decode("utf-8", "replace").strip()
    return f": {told}" if told else ""


def _atom(channel: Channel, message: Message, _: float) -> None:
    try:
        atom.add(Path(channel.path), message.entries, channel.entries)
    except OSError as error:
        raise _Refused(f"{channel.path}: {error.strerror or error}") from None


def _to_log(_: Channel, message: Message, __: float) -> None:
    for entry in message.entries:
        _log.warning("alert %s: %s %s", entry.id, entry.title, entry.url)


SENDERS: dict[str, Callable[[Channel, Message, float], None]] = {
    "apprise": _apprise,
    "webhook": _webhook,
    "command": _command,
    "atom": _atom,
    "log": _to_log,
}
"""Kind of channel → what sends there. Another kind is a row here and one in dedup.config."""

"""Senders of messages, one for each kind of channel.

A sender returns once the channel has accepted the message, and raises an error if it has not.
"""

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
from typing import IO
from urllib.parse import unquote, urlsplit

from dedup import __version__
from dedup.alerts import atom, webhook
from dedup.alerts.messages import Message
from dedup.alerts.secrets import redact, resolve_secret
from dedup.config import ChannelConfig
from dedup.errors import ChannelError
from dedup.files.protected import ProtectedFiles
from dedup.runtime.extras import require_extra
from dedup.runtime.log_capture import capture_log

SIGNATURE_HEADER = "X-Dedup-Signature"
"""Header of a signed request: `t=<seconds since 1970>,v1=<hex of HMAC-SHA-256 over "<t>." and the body>`."""

_log = logging.getLogger("dedup")


def send_message(name: str, channel: ChannelConfig, message: Message, timeout_seconds: float) -> None:
    """Send a message to the channel `name` and return once the channel has accepted it. Raises ChannelError, without secrets."""
    secrets: list[str] = []
    try:
        resolved = {key: resolve_secret(getattr(channel, key), name) for key in ("url", "secret")}
        secrets += [value for value in resolved.values() if value]
        sender, resolved_channel = SENDERS[channel.kind], channel.model_copy(update=resolved)
        if channel.kind in _KINDS_WITHOUT_TIMEOUT:
            _run_with_timeout(timeout_seconds, name, lambda: sender(resolved_channel, message, timeout_seconds))
        else:
            sender(resolved_channel, message, timeout_seconds)
    except ChannelError:
        raise
    except Exception as error:
        problem = redact(f"{error}" or type(error).__name__, secrets)
        raise ChannelError(channel=name, problem=problem) from None


_KINDS_WITHOUT_TIMEOUT = ("apprise", "atom")
"""Kinds whose senders cannot limit their own time: services behind Apprise, and disks."""
MAX_HANGING_ATTEMPTS = 3
"""Attempts of one channel that may hang at the same time. While they do, further attempts are refused."""
_hanging_threads: dict[str, list[threading.Thread]] = {}


def _run_with_timeout(timeout_seconds: float, name: str, work: Callable[[], None]) -> None:
    """Run `work` for the channel `name` in a thread and wait for it. Raises what `work` raises.

    A thread cannot be stopped. One that exceeds the time limit is left behind.
    """
    hanging = _hanging_threads[name] = [t for t in _hanging_threads.get(name, []) if t.is_alive()]
    if len(hanging) >= MAX_HANGING_ATTEMPTS:
        raise _SendRefusedError(f"{len(hanging)} earlier attempts still hang; the next attempt waits until one of them ends")
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name=f"alert-{name}", daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    if thread.is_alive():
        hanging.append(thread)
        raise _SendRefusedError(f"timed out after {timeout_seconds:g} seconds")
    if errors:
        raise errors[0]


def resolve_path(name: str, channel: ChannelConfig, protected: ProtectedFiles) -> ChannelConfig:
    """Return the channel `name` with links in its `path` resolved; its sender follows no further link.

    Raises ChannelError for a file that channels must not write.
    """
    if not channel.path:
        return channel
    real_path = os.path.realpath(channel.path)
    if problem := protected.find_problem(real_path):
        raise ChannelError(channel=name, problem=f"cannot write {channel.path}: {problem}")
    return channel.model_copy(update={"path": real_path})


class _SendRefusedError(Exception):
    """The channel did not accept the message; the text says why."""


def _send_apprise(channel: ChannelConfig, message: Message, _: float) -> None:
    require_extra("alerts")
    from apprise import Apprise, AppriseAsset, NotifyFormat

    asset = AppriseAsset(app_id="dedup", app_desc="dedup", app_url="", async_mode=False)
    log_lines: list[str] = []
    own_thread = threading.get_ident()

    def on_record(record: logging.LogRecord) -> None:
        if record.thread == own_thread:
            log_lines.append(record.getMessage())

    def refused_error(problem: str) -> _SendRefusedError:
        return _SendRefusedError(f"{problem}: {'; '.join(log_lines)}" if log_lines else problem)

    with capture_log("apprise", on_record):
        service = Apprise.instantiate(channel.url, asset=asset)
        if service is None or isinstance(service, list):
            raise refused_error("Apprise does not support this url")
        default_format = service.resolve_format()
        body_format = default_format if default_format == NotifyFormat.HTML else service.resolve_format(NotifyFormat.TEXT)
        body = {NotifyFormat.HTML: message.html, NotifyFormat.MARKDOWN: message.markdown}.get(body_format, message.text)
        if not service.notify(body=body, title=message.subject, body_format=body_format):
            raise refused_error("the message was not accepted")


def encode_body(message: Message) -> bytes:
    """Return a message as webhooks and commands receive it: JSON in UTF-8."""
    return json.dumps(message.json_body, ensure_ascii=False).encode("utf-8", "replace")


def sign_body(secret: str, timestamp: int, body: bytes) -> str:
    """Return the value of SIGNATURE_HEADER for a request made at `timestamp`, in seconds since 1970."""
    digest = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def _send_webhook(channel: ChannelConfig, message: Message, timeout_seconds: float) -> None:
    body = encode_body(message)
    headers = {"Content-Type": "application/json", "User-Agent": f"dedup/{__version__}", "X-Dedup-Id": message.id}
    if channel.secret:
        headers[SIGNATURE_HEADER] = sign_body(channel.secret, int(time.time()), body)
    url, authorisation = _split_credentials(channel.url)
    if urlsplit(url).scheme not in ("http", "https"):
        raise _SendRefusedError("the url is neither http:// nor https://")
    try:
        status, reason = webhook.post(url, body, headers | authorisation, timeout_seconds)
    except (OSError, HTTPException) as error:
        raise _SendRefusedError(f"{error}" or type(error).__name__) from None
    if 300 <= status < 400:
        raise _SendRefusedError(f"the server answered {status} {reason}; redirects are not followed: set the url to the final address")
    if not 200 <= status < 300:
        raise _SendRefusedError(f"the server answered {status} {reason}")


def _split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """Return a URL without user and password, and the header that carries them (RFC 7617)."""
    split = urlsplit(url)
    credentials, separator, host = split.netloc.rpartition("@")
    if not separator:
        return url, {}
    encoded = b64encode(unquote(credentials).encode()).decode()
    return split._replace(netloc=host).geturl(), {"Authorization": f"Basic {encoded}"}


def _send_command(channel: ChannelConfig, message: Message, timeout_seconds: float) -> None:
    """Run the command. Its streams are files, because a pipe stays open while a child process that outlives the command holds it."""
    with tempfile.TemporaryFile() as stdin_file, tempfile.TemporaryFile() as stderr_file:
        stdin_file.write(encode_body(message))
        stdin_file.seek(0)
        process = subprocess.Popen(  # noqa: S603  no shell, and the user's own command
            channel.command, stdin=stdin_file, stdout=subprocess.DEVNULL, stderr=stderr_file, start_new_session=True,
            env=os.environ | {"DEDUP_ALERT_ID": message.id},
        )  # fmt: skip
        try:
            code = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise _SendRefusedError(f"the command did not end within {timeout_seconds:g} seconds") from None
        finally:
            _kill(process)
        if code:
            raise _SendRefusedError(f"the command failed with exit code {code}{_stderr_tail(stderr_file)}")


KILL_WAIT_SECONDS = 5.0
"""Seconds to wait for a killed process."""


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # it may be stuck in the kernel, on a disk that does not answer
            process.wait(KILL_WAIT_SECONDS)


def _stderr_tail(stderr_file: IO[bytes]) -> str:
    stderr_file.seek(0, os.SEEK_END)
    stderr_file.seek(max(0, stderr_file.tell() - 200))
    text = stderr_file.read().decode("utf-8", "replace").strip()
    return f": {text}" if text else ""


def _send_atom(channel: ChannelConfig, message: Message, timeout_seconds: float) -> None:
    entries = message.entries if message.feed is None else message.feed
    try:
        atom.write_feed(Path(channel.path), entries[: channel.entries], timeout_seconds)
    except OSError as error:
        raise _SendRefusedError(f"{channel.path}: {error.strerror or error}") from None


def _send_to_log(_: ChannelConfig, message: Message, __: float) -> None:
    for entry in message.entries:
        _log.warning("alert %s: %s %s", entry.id, entry.title, entry.url)


SENDERS: dict[str, Callable[[ChannelConfig, Message, float], None]] = {
    "apprise": _send_apprise,
    "webhook": _send_webhook,
    "command": _send_command,
    "atom": _send_atom,
    "log": _send_to_log,
}
"""Maps a kind of channel to its sender. A new kind needs a row here and one in `dedup.config`."""

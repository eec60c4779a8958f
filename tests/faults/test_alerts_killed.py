"""A daemon killed while it sends alerts: unrecorded deliveries are sent again with the same id, and no alert is lost."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from dedup import store
from dedup.config import ChannelConfig
from dedup.rules import alert_id
from dedup.store import open_database
from tests.builders.alerts import Receiver, event, open_with_outbox, receiver, settings
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import Daemon, watching
from tests.builders.hook_secret import ENV
from tests.builders.oracle import assert_holds
from tests.builders.processes import patched_command
from tests.builders.smtp import parse_feed, smtp

pytestmark = pytest.mark.system

ALERTS = 40

_KILLED_BEFORE_MARKING = """
import os, signal
from dedup.alerts import delivery
delivery.DeliveryService._record_result = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""


def config_for(hook: Receiver, more: str = "") -> str:
    return f"""
[channels.hook]
kind = "webhook"
url = "{hook.url}"
secret = "env:HOOK_SECRET"
{more}
[delivery]
retry_seconds = 1.0
max_retry_seconds = 1.0
[[alerts]]
name = "all"
on = ["change"]
to = ["hook"{', "mail", "feed"' if more else ""}]
max_per_hour = 0
"""


def fill_outbox(db: Path, channels: dict[str, ChannelConfig], number: int = ALERTS) -> list[str]:
    """Create a database with pending alerts. Returns their ids."""
    chosen = settings(channels)
    from dedup.text import times

    with open_with_outbox(db, chosen, [event(n) for n in range(number)], times.now()):
        pass
    return [alert_id("all", f"change:{n}") for n in range(number)]


def all_sent(db: Path) -> bool:
    with open_database(str(db)) as database:
        return not store.alerts.outstanding(database)


def test_a_daemon_killed_before_it_records_a_delivery_sends_it_again_with_the_same_id(crawl: Path, db: Path) -> None:
    ArticleFile().write(crawl)
    ids = fill_outbox(db, {"hook": ChannelConfig(kind="webhook", url="http://x/")}, 3)
    with receiver() as hook:
        with watching(crawl, db, more=config_for(hook), env=ENV, under=patched_command(_KILLED_BEFORE_MARKING), until=None) as daemon:
            assert daemon.wait() == -signal.SIGKILL
        first_ids = hook.ids()
        assert first_ids
        assert not all_sent(db)
        with watching(crawl, db, more=config_for(hook), env=ENV) as daemon:
            daemon.wait_until(lambda: all_sent(db))
            assert daemon.leave() == 0
        assert set(hook.ids()) == set(ids)
        assert sorted(hook.ids()) == sorted(ids + first_ids)
        bodies = {r.json["id"]: r.json for r in hook.received}
        assert all(bodies[r.json["id"]] == r.json for r in hook.received)
    assert_holds(crawl, db)


def test_a_daemon_killed_repeatedly_loses_no_alert(crawl: Path, db: Path) -> None:
    ArticleFile().write(crawl)
    feed = db.with_name("alerts.atom")
    with receiver() as hook, smtp() as (inbox, mail):
        channels = {
            "hook": ChannelConfig(kind="webhook", url="http://x/"),
            "mail": mail,
            "feed": ChannelConfig(kind="atom", path=str(feed)),
        }
        ids = fill_outbox(db, channels)
        more = config_for(hook, f'[channels.mail]\nkind = "apprise"\nurl = "{mail.url}"\n[channels.feed]\nkind = "atom"\npath = "{feed}"\n')
        for kill in range(5):
            with watching(crawl, db, more=more, env=ENV, until=None) as daemon:
                hook.wait_for(7 * kill + 1, seconds=60)
                daemon.process.kill()
                daemon.wait()
        with watching(crawl, db, more=more, env=ENV) as daemon:
            daemon.wait_until(lambda: all_sent(db), 120)
            assert daemon.leave() == 0
        assert set(hook.ids()) == set(ids)
        mail_text = "".join(body.get_content() for message in inbox.mails if (body := message.get_body(("plain",))) is not None)
        assert all(alert in mail_text for alert in ids)
        assert sorted(e.id.rpartition(":")[2] for e in parse_feed(feed).entries) == sorted(ids)
    assert_holds(crawl, db)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_hanging_channel_delays_neither_recording_nor_shutdown(crawl: Path, db: Path, number: int) -> None:
    fill_outbox(db, {"hook": ChannelConfig(kind="webhook", url="http://x/")}, 3)
    with receiver() as hook:
        hook.hold.clear()
        with watching(crawl, db, more=config_for(hook), env=ENV) as daemon:
            hook.wait_for(1)
            ArticleFile().write(crawl, age=0)
            daemon.wait_until(lambda: daemon.recorded() == 1)
            start = time.monotonic()
            assert daemon.leave(number) == (130 if number == signal.SIGINT else 0)
            assert time.monotonic() - start < 10
        hook.hold.set()
    assert not all_sent(db)
    assert_holds(crawl, db)


def alerts_degraded(daemon: Daemon) -> bool:
    return daemon.degraded("alerts")


def test_a_daemon_reports_a_failing_channel_and_its_recovery_without_secrets(crawl: Path, db: Path) -> None:
    fill_outbox(db, {"hook": ChannelConfig(kind="webhook", url="http://x/")}, 4)
    with receiver() as hook:
        hook.answers += [500] * 4
        url_with_secret = hook.url.replace("http://", "http://gu3st:pa55w0rd@")
        more = config_for(hook).replace(hook.url, "env:HOOK_URL")
        with watching(crawl, db, more=more, env=ENV | {"HOOK_URL": url_with_secret}) as daemon:
            daemon.wait_until(lambda: alerts_degraded(daemon))
            assert any("a channel does not take alerts" in problem for problem in daemon.problems())
            assert daemon.report().alerts.pending > 0
            daemon.wait_until(lambda: not alerts_degraded(daemon) and all_sent(db))
            daemon.wait_until(lambda: daemon.report().alerts.pending == 0)
            assert daemon.leave() == 0
    stored = b"".join(path.read_bytes() for path in db.parent.glob(db.name + "*") if path.suffix != ".toml" and path.is_file())
    assert not [s for s in ("pa55w0rd", "s3cret") if s.encode() in stored + daemon.log]
    assert "accepts alerts again" in daemon.log.decode()

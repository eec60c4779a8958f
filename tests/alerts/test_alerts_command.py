"""`dedup alerts`: list, show, retry, test, send."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dedup import store
from dedup.config import ChannelConfig
from dedup.rules import alert_id
from dedup.store import open_database, open_writable
from dedup.text import times
from tests.builders.alerts import Receiver, event, free_port, open_with_outbox, receiver, settings
from tests.builders.command import CommandResult, run

IDS = [alert_id("all", f"change:{n}") for n in range(3)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a database that has three due alerts for `hook`, and without a configuration."""
    with open_with_outbox(tmp_path / "dedup.db", settings({"hook": ChannelConfig(kind="log")}), [event(n) for n in range(3)], times.now()):
        pass
    return tmp_path


def configure(folder: Path, url: str) -> Path:
    (folder / "config.toml").write_text(
        f'[delivery]\nlanguage = "en"\nzone = "UTC"\n[channels.hook]\nkind = "webhook"\nurl = "{url}"\n'
        '[channels.feed]\nkind = "atom"\npath = "feed/alerts.atom"\n[[alerts]]\nname = "all"\non = ["change"]\nto = ["hook"]\n',
        "utf-8",
    )
    return folder


def delivery_statuses(folder: Path) -> list[str]:
    alerts = run(folder, "alerts", "list", "-f", "json").json()
    return [d["status"] for a in alerts for d in a["deliveries"]]


def send(folder: Path, hook: Receiver) -> CommandResult:
    return run(configure(folder, hook.url), "alerts", "send", "-f", "json")


def test_send_sends_due_alerts_once(folder: Path) -> None:
    with receiver() as hook:
        result = send(folder, hook)
        assert (result.code, result.json()) == (0, {"sent": 3, "failed": 0, "pending": 0})
        assert hook.ids() == IDS
        assert send(folder, hook).json() == {"sent": 0, "failed": 0, "pending": 0}
    assert delivery_statuses(folder) == ["sent"] * 3


def test_send_reports_a_failed_delivery_and_keeps_it(folder: Path) -> None:
    result = run(configure(folder, f"http://127.0.0.1:{free_port()}/"), "alerts", "send")
    assert result.code == 3
    assert result.out.endswith("failed\n")
    assert "Channel hook: [Errno 111] Connection refused" in result.err
    assert delivery_statuses(folder) == ["pending"] * 3


def test_send_and_retry_name_another_writer(folder: Path) -> None:
    with receiver() as hook, open_writable(str(folder / "dedup.db"), "watch"):
        for args in (("send",), ("retry", "--dead")):
            result = run(configure(folder, hook.url), "alerts", *args)
            assert (result.code, "is being written by 'dedup watch'" in result.err) == (3, True)
    assert hook.received == []


def test_list_and_show_report_the_status_of_deliveries(folder: Path) -> None:
    with receiver() as hook:
        send(folder, hook)
    output = run(folder, "alerts", "list")
    assert output.out.splitlines()[0].startswith(IDS[2][:12])
    assert "[major] 한빛일보 · substance changed · 새솔시 의회, 예산안 의결 2" in output.out
    assert output.out.splitlines()[1].split() == ["hook", "sent"]
    assert run(folder, "alerts", "list", "--status", "dead").out == ""
    assert len(run(folder, "alerts", "list", "-n", "2", "-f", "json").json()) == 2
    assert run(folder, "alerts", "list", "--rule", "none", "-f", "json").json() == []
    text = run(folder, "alerts", "show", IDS[1][:8])
    assert "Body: 예산안 규모는 [-638조원-]{+639조원+}으로 늘었다." in text.out
    assert "hook        sent" in text.out
    shown_json = run(folder, "alerts", "show", IDS[1], "-f", "json").json()
    assert (shown_json["id"], shown_json["deliveries"][0]["attempts"], shown_json["payload"]) == (
        IDS[1],
        1,
        json.loads(json.dumps(event(1).payload)),
    )


@pytest.mark.parametrize("name", ["", "zz", "'; --", "0" * 32, "%"])
def test_show_of_an_unknown_alert_fails_with_one_line(folder: Path, name: str) -> None:
    result = run(configure(folder, "http://127.0.0.1/"), "alerts", "show", name)
    assert result.code == 2
    assert result.err.startswith("dedup: There is no alert named")


def test_retry_sends_dead_deliveries_again_and_no_sent_ones(folder: Path) -> None:
    with open_writable(str(folder / "dedup.db"), "test") as database, database.transaction() as transaction:
        store.alerts.mark_sent(transaction, [1], times.now(), "m")
        store.alerts.mark_failed(transaction, [2], times.now(), "no", times.seconds_from_now(9999), 60, -1)
        store.alerts.mark_failed(transaction, [3], times.now(), "no", times.seconds_from_now(9999), 60, 9)
    configure(folder, "http://127.0.0.1/")
    assert delivery_statuses(folder) == ["pending", "dead", "sent"]
    assert run(folder, "alerts", "retry").code == 2
    assert run(folder, "alerts", "retry", "--dead", IDS[0]).code == 2
    assert run(folder, "alerts", "retry", "--dead", "-f", "json").json() == {"retried": 1}
    assert delivery_statuses(folder) == ["pending", "pending", "sent"]
    with receiver() as hook:
        assert send(folder, hook).json()["sent"] == 1
        assert run(folder, "alerts", "retry", IDS[2], IDS[0], "-f", "json").json() == {"retried": 1}
        assert send(folder, hook).json()["sent"] == 1
        assert hook.ids() == [IDS[1], IDS[2]]


def test_retry_of_an_unknown_alert_changes_nothing(folder: Path) -> None:
    configure(folder, "http://127.0.0.1/")
    assert run(folder, "alerts", "retry", IDS[0], "none").code == 2
    with open_database(str(folder / "dedup.db")) as database:
        assert store.alerts.outstanding(database)["hook"].pending == 3


def test_test_needs_no_database_and_reports_whether_the_channel_accepted(tmp_path: Path) -> None:
    with receiver() as hook:
        configure(tmp_path, hook.url)
        result = run(tmp_path, "alerts", "test", "hook", "-f", "json")
        assert (result.code, result.json()["accepted"]) == (0, True)
        assert hook.received[0].json["id"] == result.json()["id"]
        hook.answers.append(503)
        rejected = run(tmp_path, "alerts", "test", "hook")
        assert (rejected.code, rejected.err) == (3, "dedup: Channel hook: the server answered 503 Service Unavailable\n")
    unknown = run(tmp_path, "alerts", "test", "hok")
    assert (unknown.code, unknown.err) == (2, "dedup: There is no channel named hok; the configuration has hook, feed.\n")
    assert not (tmp_path / "dedup.db").exists()
    (tmp_path / "feed").mkdir()
    assert run(tmp_path, "alerts", "test", "feed").code == 0
    assert (tmp_path / "feed" / "alerts.atom").exists()


@pytest.mark.parametrize("args", [("list",), ("show", "a"), ("retry", "--dead"), ("send",)], ids=str)
def test_without_a_database_commands_fail_and_create_none(tmp_path: Path, args: tuple[str, ...]) -> None:
    result = run(tmp_path, "alerts", *args)
    assert result.code == 3
    assert "There is no database" in result.err
    assert list(tmp_path.iterdir()) == []


def test_status_counts_pending_alerts(folder: Path) -> None:
    assert run(configure(folder, "http://127.0.0.1/"), "status", "-f", "json").json()["alerts"] == {"pending": 3}
    assert "alerts      3 pending" in run(folder, "status").out


def test_a_backup_contains_the_outbox(folder: Path) -> None:
    configure(folder, "http://127.0.0.1/")
    assert run(folder, "backup", "kept.db").code == 0
    assert len(run(folder, "-d", "kept.db", "alerts", "list", "-f", "json").json()) == 3

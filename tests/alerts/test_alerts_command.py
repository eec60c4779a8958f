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
def here(tmp_path: Path) -> Path:
    """A folder with a database that has three alerts due at `hook`, and no configuration yet."""
    with open_with_outbox(tmp_path / "dedup.db", settings({"hook": ChannelConfig(kind="log")}), [event(n) for n in range(3)], times.now()):
        pass
    return tmp_path


def configured(folder: Path, url: str) -> Path:
    (folder / "config.toml").write_text(
        f'[delivery]\nlanguage = "en"\nzone = "UTC"\n[channels.hook]\nkind = "webhook"\nurl = "{url}"\n'
        '[channels.feed]\nkind = "atom"\npath = "feed/alerts.atom"\n[[alerts]]\nname = "all"\non = ["change"]\nto = ["hook"]\n',
        "utf-8",
    )
    return folder


def states(folder: Path) -> list[str]:
    found = run(folder, "alerts", "list", "-f", "json").json()
    return [d["status"] for a in found for d in a["deliveries"]]


def sent(folder: Path, hook: Receiver) -> CommandResult:
    return run(configured(folder, hook.url), "alerts", "send", "-f", "json")


def test_send_sends_what_is_due_once(here: Path) -> None:
    with receiver() as hook:
        ran = sent(here, hook)
        assert (ran.code, ran.json()) == (0, {"sent": 3, "failed": 0, "pending": 0})
        assert hook.ids() == IDS
        assert sent(here, hook).json() == {"sent": 0, "failed": 0, "pending": 0}
    assert states(here) == ["sent"] * 3


def test_send_tells_in_its_exit_code_and_on_standard_error_what_was_not_taken_and_keeps_it(here: Path) -> None:
    ran = run(configured(here, f"http://127.0.0.1:{free_port()}/"), "alerts", "send")
    assert ran.code == 3
    assert ran.out.endswith("failed\n")
    assert "Channel hook: [Errno 111] Connection refused" in ran.err
    assert states(here) == ["pending"] * 3


def test_while_somebody_else_writes_send_and_retry_say_who(here: Path) -> None:
    with receiver() as hook, open_writable(str(here / "dedup.db"), "watch"):
        for args in (("send",), ("retry", "--dead")):
            ran = run(configured(here, hook.url), "alerts", *args)
            assert (ran.code, "is being written by 'dedup watch'" in ran.err) == (3, True)
    assert hook.received == []


def test_list_and_show_tell_what_became_of_each(here: Path) -> None:
    with receiver() as hook:
        sent(here, hook)
    listed = run(here, "alerts", "list")
    assert listed.out.splitlines()[0].startswith(IDS[2][:12])
    assert "[major] 한빛일보 · substance changed · 새솔시 의회, 예산안 의결 2" in listed.out
    assert listed.out.splitlines()[1].split() == ["hook", "sent"]
    assert run(here, "alerts", "list", "--status", "dead").out == ""
    assert len(run(here, "alerts", "list", "-n", "2", "-f", "json").json()) == 2
    assert run(here, "alerts", "list", "--rule", "none", "-f", "json").json() == []
    shown = run(here, "alerts", "show", IDS[1][:8])
    assert "Body: 예산안 규모는 [-638조원-]{+639조원+}으로 늘었다." in shown.out
    assert "hook        sent" in shown.out
    told = run(here, "alerts", "show", IDS[1], "-f", "json").json()
    assert (told["id"], told["deliveries"][0]["attempts"], told["payload"]) == (IDS[1], 1, json.loads(json.dumps(event(1).payload)))


@pytest.mark.parametrize("name", ["", "zz", "'; --", "0" * 32, "%"])
def test_an_alert_that_is_not_there_is_told_in_a_line(here: Path, name: str) -> None:
    ran = run(configured(here, "http://127.0.0.1/"), "alerts", "show", name)
    assert ran.code == 2
    assert ran.err.startswith("dedup: There is no alert named")


def test_retry_sends_anew_what_was_given_up_and_nothing_that_was_taken(here: Path) -> None:
    with open_writable(str(here / "dedup.db"), "test") as database, database.transaction() as transaction:
        store.alerts.mark_sent(transaction, [1], times.now(), "m")
        store.alerts.mark_failed(transaction, [2], times.now(), "no", times.seconds_from_now(9999), 60, -1)
        store.alerts.mark_failed(transaction, [3], times.now(), "no", times.seconds_from_now(9999), 60, 9)
    configured(here, "http://127.0.0.1/")
    assert states(here) == ["pending", "dead", "sent"]
    assert run(here, "alerts", "retry").code == 2
    assert run(here, "alerts", "retry", "--dead", IDS[0]).code == 2
    assert run(here, "alerts", "retry", "--dead", "-f", "json").json() == {"retried": 1}
    assert states(here) == ["pending", "pending", "sent"]
    with receiver() as hook:
        assert sent(here, hook).json()["sent"] == 1
        assert run(here, "alerts", "retry", IDS[2], IDS[0], "-f", "json").json() == {"retried": 1}
        assert sent(here, hook).json()["sent"] == 1
        assert hook.ids() == [IDS[1], IDS[2]]


def test_retry_of_one_that_is_not_there_changes_nothing(here: Path) -> None:
    configured(here, "http://127.0.0.1/")
    assert run(here, "alerts", "retry", IDS[0], "none").code == 2
    with open_database(str(here / "dedup.db")) as database:
        assert store.alerts.outstanding(database)["hook"].pending == 3


def test_test_needs_no_database_and_says_whether_the_channel_took_it(tmp_path: Path) -> None:
    with receiver() as hook:
        configured(tmp_path, hook.url)
        ran = run(tmp_path, "alerts", "test", "hook", "-f", "json")
        assert (ran.code, ran.json()["accepted"]) == (0, True)
        assert hook.received[0].json["id"] == ran.json()["id"]
        hook.answers.append(503)
        refused = run(tmp_path, "alerts", "test", "hook")
        assert (refused.code, refused.err) == (3, "dedup: Channel hook: the server answered 503 Service Unavailable\n")
    unknown = run(tmp_path, "alerts", "test", "hok")
    assert (unknown.code, unknown.err) == (2, "dedup: There is no channel named hok; the configuration has hook, feed.\n")
    assert not (tmp_path / "dedup.db").exists()
    (tmp_path / "feed").mkdir()
    assert run(tmp_path, "alerts", "test", "feed").code == 0
    assert (tmp_path / "feed" / "alerts.atom").exists()


@pytest.mark.parametrize("args", [("list",), ("show", "a"), ("retry", "--dead"), ("send",)], ids=str)
def test_without_a_database_it_says_so_and_makes_none(tmp_path: Path, args: tuple[str, ...]) -> None:
    ran = run(tmp_path, "alerts", *args)
    assert ran.code == 3
    assert "There is no database" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_status_counts_them(here: Path) -> None:
    assert run(configured(here, "http://127.0.0.1/"), "status", "-f", "json").json()["alerts"] == {"pending": 3}
    assert "alerts      3 pending" in run(here, "status").out


def test_a_backup_has_the_outbox_too(here: Path) -> None:
    configured(here, "http://127.0.0.1/")
    assert run(here, "backup", "kept.db").code == 0
    assert len(run(here, "-d", "kept.db", "alerts", "list", "-f", "json").json()) == 3

"""`alerts`: what was told, what could not be, and whether a channel works."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import Common, common, formats, plural, print_json, remark, told
from dedup.text.normalise import printable, printable_block

if TYPE_CHECKING:
    from dedup.config import Settings
    from dedup.store import Database
    from dedup.store.rows import AlertRow, DeliveryRow

STATES = ("pending", "sent", "dead", "withdrawn")


@click.group()
@common
def alerts() -> None:
    """Alerts: what was told of changes and duplicates, to which channels, and what became of it.

    Rules and channels are configured in [[alerts]] and [channels.NAME]; docs/alerts.md tells how. `dedup watch` sends what is due;
    where no daemon runs, `dedup alerts send` does, from cron for example.
    """


@alerts.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only alerts with a delivery in that state.")
@click.option("--rule", metavar="NAME", help="Only alerts of that rule.")
@click.option("-n", "--most", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="So many at most, the newest.")
@formats("text", "json")
@common
@click.pass_obj
def list_(options: Common, state: str | None, rule: str | None, most: int, form: str) -> None:
    """List alerts, the newest first, with what became of each."""
    from dedup import store
    from dedup.alerts.content import subject
    from dedup.store import open_database

    settings = options.load().settings
    with open_database(settings.database.path) as database:
        found = store.alerts.list_latest(database, most, state=state, rule=rule)
        deliveries = store.alerts.deliveries(database, [a.id for a in found])
    if form == "json":
        print_json([_as_json(a, deliveries[a.id]) for a in found])
        return
    style = _style(settings)
    for a in found:
        states = ", ".join(f"{d.channel} {d.state}" for d in deliveries[a.id]) or "no delivery"
        click.echo(f"{a.name[:12]}  {style.time(a.made_at)}  {printable(subject(a, style))}")
        click.echo(f"{'':<12}  {printable(states + _fate(a))}")
    remark(options, plural(len(found), "alert"))


@alerts.command("show")
@click.argument("name", metavar="ID")
@formats("text", "json")
@common
@click.pass_obj
def show(options: Common, name: str, form: str) -> None:
    """Show all of one alert: what it tells, and each delivery with its attempts. The first characters of an ID are enough."""
    from dedup import store
    from dedup.alerts import render
    from dedup.alerts.content import section, subject
    from dedup.store import open_database

    settings = options.load().settings
    with open_database(settings.database.path) as database:
        alert = _find(database, name)
        deliveries = store.alerts.deliveries(database, [alert.id])[alert.id]
    if form == "json":
        print_json(_as_json(alert, deliveries))
        return
    style = _style(settings)
    click.echo(click.style(printable(subject(alert, style) + _fate(alert)), bold=True))
    click.echo(printable_block(render.text([section(alert, style, most=1_000_000)])))
    for d in deliveries:
        when = d.sent_at if d.state == "sent" else d.due_at if d.state == "pending" else d.last_attempt
        line = f"{d.channel:<12}{d.state:<10} {style.time(when) if when else ''}  {plural(d.attempts, 'attempt')}"
        click.echo(printable(line + (f": {d.last_error}" if d.last_error else "")))


@alerts.command("retry")
@click.argument("names", nargs=-1, metavar="[ID]...")
@click.option("--dead", is_flag=True, help="All that were given up.")
@formats("text", "json")
@common
@click.pass_obj
def retry(options: Common, names: tuple[str, ...], dead: bool, form: str) -> None:
    """Let alerts be sent anew, at once: those with these IDs, or with --dead all that were given up.

    They are sent by 'dedup alerts send', or by 'dedup watch' once it runs again: while it does, the database is its own. What a channel
    has taken is not sent again.
    """
    from dedup import store
    from dedup.store import open_writable
    from dedup.text import times

    if bool(names) == dead:
        raise click.UsageError("name alerts by their IDs, or all that were given up with --dead")
    path = _existing(options.load().settings)
    with open_writable(path, "alerts retry") as database, database.transaction() as transaction:
        number = store.alerts.retry(transaction, times.now(), None if dead else [_find(transaction, name).id for name in names])
    if form == "json":
        print_json({"retried": number})
    else:
        click.echo(f"{plural(number, 'delivery', 'deliveries')} to be made; 'dedup alerts send' or 'dedup watch' makes them.")


@alerts.command("test")
@click.argument("name", metavar="CHANNEL")
@formats("text", "json")
@common
@click.pass_obj
def test(options: Common, name: str, form: str) -> None:
    """Send a test message to a channel of the configuration. Exits with 3 and says why if it is not taken; needs no database."""
    from dedup.alerts.channels import placed
    from dedup.alerts.channels import send as send_to
    from dedup.alerts.messages import trial
    from dedup.errors import UnknownChannelError

    loaded = options.load()
    settings = loaded.settings
    channel = settings.channels.get(name)
    if channel is None:
        raise UnknownChannelError(wanted=name, known=", ".join(settings.channels) or "none")
    message = trial(name, _style(settings))
    protected = settings.protected(_known_directories(settings), loaded.file)
    with told(options):
        send_to(name, placed(name, channel, protected), message, settings.delivery.timeout_seconds)
    if form == "json":
        print_json({"channel": name, "id": message.id, "accepted": True})
    else:
        click.echo(f"{printable(name)}: accepted, id {message.id}")


@alerts.command("send")
@formats("text", "json")
@common
@click.pass_obj
def send(options: Common, form: str) -> None:
    """Send what is due now and leave: for cron, where no daemon runs. Exits with 3 if a channel did not take something.

    What it could not send is kept, and tried again by the next 'dedup alerts send' or 'dedup watch' once its time has come. What is not
    due yet waits: digests, what quiet hours hold back, the same edit of many pages until it is gathered.
    """
    import time

    from dedup import store
    from dedup.alerts import Post
    from dedup.store import open_writable

    loaded = options.load()
    settings = loaded.settings
    path = _existing(settings)
    with told(options), open_writable(path, "alerts send") as database, database.work():
        post = Post(settings, settings.protected(store.directories.paths(database), loaded.file))
        while post.exchange(database, at_once=True) or post.busy:
            time.sleep(0.02)
        post.finish(database)
        left = store.alerts.outstanding(database).values()
    waiting = sum(o.pending for o in left)
    if form == "json":
        print_json({"sent": post.sent, "failed": post.failed, "waiting": waiting})
    else:
        click.echo(f"{plural(post.sent, 'message')} sent, {post.failed:,} not taken")
        if waiting:
            first = _style(settings).time(min(o.first_due for o in left if o.first_due))
            remark(options, f"{plural(waiting, 'delivery', 'deliveries')} not due yet, the first {first}")
    if post.failed:
        sys.exit(3)


def _existing(settings: Settings) -> str:
    from dedup.errors import DatabaseMissingError

    if not os.path.exists(settings.database.path):
        raise DatabaseMissingError(path=settings.database.path)
    return settings.database.path


def _known_directories(settings: Settings) -> list[bytes]:
    """The crawl directories that the database knows; none where there is no database, or it cannot be read."""
    from contextlib import suppress

    from dedup import store
    from dedup.errors import DedupError
    from dedup.store import open_database

    with suppress(DedupError), open_database(settings.database.path) as database:
        return store.directories.paths(database)
    return []


def _style(settings: Settings) -> Any:
    from zoneinfo import ZoneInfo

    from dedup.alerts.content import Style

    return Style(settings.delivery.language, ZoneInfo(settings.delivery.zone))


def _find(database: Database, name: str) -> AlertRow:
    """The alert that a name, or its beginning, stands for. Raises UnknownAlertError, AmbiguousAlertError."""
    from dedup import store
    from dedup.errors import AmbiguousAlertError, UnknownAlertError

    found = store.alerts.find_by_prefix(database, name) if name else []
    if not found:
        raise UnknownAlertError(wanted=name)
    if len(found) > 1:
        raise AmbiguousAlertError(wanted=name)
    return found[0]


def _fate(alert: AlertRow) -> str:
    told = [f"withdrawn {alert.withdrawn_at}"] if alert.withdrawn_at else []
    told += ["told as part of an incident"] if alert.folded_into is not None else []
    return f" ({'; '.join(told)})" if told else ""


def _as_json(alert: AlertRow, deliveries: list[DeliveryRow]) -> dict[str, Any]:
    from dedup.alerts.messages import machine

    shown = ("channel", "state", "due_at", "digest", "attempts", "first_attempt", "last_attempt", "last_error", "sent_at", "message")
    return machine(alert) | {
        "withdrawn_at": alert.withdrawn_at,
        "folded": alert.folded_into is not None,
        "deliveries": [{key: getattr(d, key) for key in shown} for d in deliveries],
    }

"""`alerts`: list, test, send and retry alerts."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import CommonOptions, common_options, format_option, log_to_stderr, print_json, print_note
from dedup.cli.suggestions import CommandGroup, SuggestingChoice
from dedup.text.format import format_count
from dedup.text.sanitise import to_printable, to_printable_block

if TYPE_CHECKING:
    from dedup.alerts.content import MessageStyle
    from dedup.config import Settings
    from dedup.store import Database
    from dedup.store.rows import AlertRow, DeliveryRow

DELIVERY_STATUSES = ("pending", "sent", "dead", "withdrawn")


@click.group(cls=CommandGroup)
@common_options
def alerts() -> None:
    """List, test, send and retry alerts.

    An alert is an event that a rule ([[alerts]] in config.toml) sends to channels ([channels.NAME]); each alert has one
    delivery per channel. 'dedup watch' sends due deliveries. Without a daemon, run 'dedup alerts send', for example from cron.
    docs/alerts.md describes rules and channels.

    \b
    Examples:
      dedup alerts test mail
      dedup alerts list --status dead
    """


@alerts.command("list")
@click.option("--status", type=SuggestingChoice(DELIVERY_STATUSES), help="Only alerts with a delivery of this status.")
@click.option("--rule", metavar="NAME", help="Only alerts of this rule.")
@click.option("-n", "--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="Number of alerts to list.")
@format_option("text", "json")
@common_options
@click.pass_obj
def list_(options: CommonOptions, status: str | None, rule: str | None, limit: int, output_format: str) -> None:
    """List alerts and their deliveries.

    Prints the newest first: id, time and subject, then the status of each delivery. A delivery is pending, sent, dead (given
    up) or withdrawn.

    \b
    Examples:
      dedup alerts list --limit 5
      dedup alerts list --status dead --format json
    """
    from dedup import store
    from dedup.alerts.content import format_subject
    from dedup.store import open_database

    settings = options.load().settings
    with open_database(settings.database.path) as database:
        rows = store.alerts.list_latest(database, limit, status=status, rule=rule)
        deliveries = store.alerts.deliveries(database, [alert.id for alert in rows])
    if output_format == "json":
        print_json([_as_json(alert, deliveries[alert.id]) for alert in rows])
        return
    style = _style(settings)
    for alert in rows:
        statuses = ", ".join(f"{d.channel} {d.status}" for d in deliveries[alert.id]) or "no delivery"
        click.echo(f"{alert.public_id[:12]}  {style.format_time(alert.created_at)}  {to_printable(format_subject(alert, style))}")
        click.echo(f"{'':<12}  {to_printable(statuses + _format_fate(alert))}")
    print_note(options, format_count(len(rows), "alert"))


@alerts.command("show")
@click.argument("name", metavar="ID")
@format_option("text", "json")
@common_options
@click.pass_obj
def show(options: CommonOptions, name: str, output_format: str) -> None:
    """Show one alert with its deliveries.

    Prints the message and, for each delivery, channel, status, time, number of attempts and last error. ID is the id that
    'dedup alerts list' prints, or its first characters.

    \b
    Examples:
      dedup alerts show 3f2a91
      dedup alerts show 3f2a91 --format json
    """
    from dedup import store
    from dedup.alerts import render
    from dedup.alerts.content import build_section, format_subject
    from dedup.store import open_database

    settings = options.load().settings
    with open_database(settings.database.path) as database:
        alert = _find_alert(database, name)
        deliveries = store.alerts.deliveries(database, [alert.id])[alert.id]
    if output_format == "json":
        print_json(_as_json(alert, deliveries))
        return
    style = _style(settings)
    click.echo(click.style(to_printable(format_subject(alert, style) + _format_fate(alert)), bold=True))
    click.echo(to_printable_block(render.to_text([build_section(alert, style, limit=1_000_000)])))
    for d in deliveries:
        when = d.sent_at if d.status == "sent" else d.due_at if d.status == "pending" else d.last_attempt_at
        line = f"{d.channel:<12}{d.status:<10} {style.format_time(when) if when else ''}  {format_count(d.attempts, 'attempt')}"
        click.echo(to_printable(line + (f": {d.last_error}" if d.last_error else "")))


@alerts.command("retry")
@click.argument("names", nargs=-1, metavar="[ID]...")
@click.option("--dead", is_flag=True, help="Retry every delivery that was given up.")
@format_option("text", "json")
@common_options
@click.pass_obj
def retry(options: CommonOptions, names: tuple[str, ...], dead: bool, output_format: str) -> None:
    """Make failed deliveries due now.

    Applies to the deliveries of the alerts with these IDs, or with --dead to all that were given up. Deliveries that a channel
    has accepted are not repeated. Prints how many are due; 'dedup alerts send' or 'dedup watch' sends them. Stop 'dedup watch'
    first: only one process may write to the database.

    \b
    Examples:
      dedup alerts retry 3f2a91
      dedup alerts retry --dead && dedup alerts send
    """
    from dedup import store
    from dedup.store import open_writable
    from dedup.text import times

    if bool(names) == dead:
        raise click.UsageError("give the IDs of alerts, or --dead for all that were given up")
    path = _require_database(options.load().settings)
    with open_writable(path, "alerts retry") as database, database.transaction() as transaction:
        count = store.alerts.retry(transaction, times.now(), None if dead else [_find_alert(transaction, name).id for name in names])
    if output_format == "json":
        print_json({"retried": count})
    else:
        click.echo(f"{format_count(count, 'delivery', 'deliveries')} due; 'dedup alerts send' or 'dedup watch' sends them.")


@alerts.command("test")
@click.argument("name", metavar="CHANNEL")
@format_option("text", "json")
@common_options
@click.pass_obj
def test(options: CommonOptions, name: str, output_format: str) -> None:
    """Send a test message to a channel.

    CHANNEL is a name from [channels.NAME]. Prints the id of the message if the channel accepts it. Needs no database.

    \b
    Examples:
      dedup alerts test mail
      dedup alerts test feed --format json

    Exit codes: 3 if the channel does not accept the message; the reason is printed.
    """
    from dedup.alerts.channels import resolve_path, send_message
    from dedup.alerts.messages import build_test_message
    from dedup.errors import UnknownChannelError

    loaded = options.load()
    settings = loaded.settings
    channel = settings.channels.get(name)
    if channel is None:
        raise UnknownChannelError(name=name, available=", ".join(settings.channels) or "none")
    feed_alerts = _feed_alerts(settings, name) if channel.kind == "atom" else ()
    message = build_test_message(name, _style(settings), feed_alerts)
    protected = settings.protected_paths(_known_directories(settings), loaded.file)
    with log_to_stderr(options):
        send_message(name, resolve_path(name, channel, protected), message, settings.delivery.timeout_seconds)
    if output_format == "json":
        print_json({"channel": name, "id": message.id, "accepted": True})
    else:
        click.echo(f"{to_printable(name)}: accepted, id {message.id}")


@alerts.command("send")
@format_option("text", "json")
@common_options
@click.pass_obj
def send(options: CommonOptions, output_format: str) -> None:
    """Send due deliveries once, without a daemon.

    Prints how many messages were sent and how many failed. A failed delivery is retried later by 'dedup alerts send' or
    'dedup watch'. Deliveries that are not due stay pending: digests, alerts held back by quiet hours, and an edit of many
    pages that is still being gathered into an incident.

    \b
    Examples:
      dedup alerts send
      */5 * * * * dedup -q -c /etc/dedup/config.toml alerts send

    Exit codes: 3 if a channel did not accept a message.
    """
    import time

    from dedup import store
    from dedup.alerts import DeliveryService
    from dedup.store import open_writable

    loaded = options.load()
    settings = loaded.settings
    path = _require_database(settings)
    with log_to_stderr(options), open_writable(path, "alerts send") as database, database.translate_errors():
        service = DeliveryService(settings, settings.protected_paths(store.directories.paths(database), loaded.file))
        while service.exchange(database, immediately=True) or service.is_busy:
            time.sleep(0.02)
        service.finish(database)
        outstanding = store.alerts.outstanding(database).values()
    pending = sum(o.pending for o in outstanding)
    if output_format == "json":
        print_json({"sent": service.sent_count, "failed": service.failed_count, "pending": pending})
    else:
        click.echo(f"{format_count(service.sent_count, 'message')} sent, {service.failed_count:,} failed")
        if pending:
            first = _style(settings).format_time(min(o.first_due_at for o in outstanding if o.first_due_at))
            print_note(options, f"{format_count(pending, 'delivery', 'deliveries')} not due yet, the next at {first}")
    if service.failed_count:
        sys.exit(3)


def _require_database(settings: Settings) -> str:
    from dedup.errors import DatabaseMissingError

    if not os.path.exists(settings.database.path):
        raise DatabaseMissingError(path=settings.database.path)
    return settings.database.path


def _known_directories(settings: Settings) -> list[bytes]:
    """Return the recorded crawl directories. Empty if there is no readable database."""
    from contextlib import suppress

    from dedup import store
    from dedup.errors import DedupError
    from dedup.store import open_database

    with suppress(DedupError), open_database(settings.database.path) as database:
        return store.directories.paths(database)
    return []


def _feed_alerts(settings: Settings, channel: str) -> list[AlertRow]:
    """Return the alerts of a feed, newest first, with those that the daemon may be writing now. Empty without a readable database."""
    from contextlib import suppress

    from dedup import store
    from dedup.errors import DedupError
    from dedup.store import open_database
    from dedup.text import times

    limit = settings.channels[channel].entries
    with suppress(DedupError), open_database(settings.database.path) as database:
        due = store.alerts.due_deliveries(database, channel, times.now(), limit)
        return store.alerts.newest_of_channel(database, channel, limit, [d.id for d in due])
    return []


def _style(settings: Settings) -> MessageStyle:
    from zoneinfo import ZoneInfo

    from dedup.alerts.content import MessageStyle

    return MessageStyle(settings.delivery.language, ZoneInfo(settings.delivery.zone))


def _find_alert(database: Database, prefix: str) -> AlertRow:
    """Return the alert whose id begins with `prefix`. Raises UnknownAlertError, AmbiguousAlertError."""
    from dedup import store
    from dedup.errors import AmbiguousAlertError, UnknownAlertError

    matches = store.alerts.find_by_prefix(database, prefix) if prefix else []
    if not matches:
        raise UnknownAlertError(name=prefix)
    if len(matches) > 1:
        raise AmbiguousAlertError(name=prefix)
    return matches[0]


def _format_fate(alert: AlertRow) -> str:
    parts = [f"withdrawn {alert.withdrawn_at}"] if alert.withdrawn_at else []
    parts += ["sent as part of an incident"] if alert.folded_into_id is not None else []
    return f" ({'; '.join(parts)})" if parts else ""


def _as_json(alert: AlertRow, deliveries: list[DeliveryRow]) -> dict[str, Any]:
    from dedup.alerts.messages import alert_to_json

    fields = (
        "channel", "status", "due_at", "digest_reason", "attempts", "first_attempt_at", "last_attempt_at", "last_error",
        "sent_at", "message_id",
    )  # fmt: skip
    return alert_to_json(alert) | {
        "withdrawn_at": alert.withdrawn_at,
        "in_incident": alert.folded_into_id is not None,
        "deliveries": [{key: getattr(d, key) for key in fields} for d in deliveries],
    }

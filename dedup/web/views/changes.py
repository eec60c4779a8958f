"""The list of changes, as a page and as an Atom feed."""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import Any, get_args

from markupsafe import Markup, escape

from dedup import reports, store
from dedup.alerts import atom
from dedup.alerts.messages import FeedEntry
from dedup.model import SEVERITIES, ChangeKind
from dedup.reports import ChangeFilter, IncidentGrouping
from dedup.store import Database
from dedup.store.changes import FeedCursor
from dedup.text.sanitise import to_printable
from dedup.web.filters import format_before_after
from dedup.web.links import decode_cursor, encode_cursor, parse_digest
from dedup.web.render import Page, QueryParameters, RawResponse

PAGE_SIZE = 50
"""Changes on one page of the list, and in the Atom feed."""
FILTER_PARAMETERS = ("since", "until", "publisher", "url", "kind", "min_severity", "silent", "expand_incidents", "incident")
"""Parameters that filter the list."""


def view(database: Database, query: QueryParameters) -> Page:
    """List the changes of all pages, newest first. An incident is listed once."""
    cursor = decode_cursor(query.text("cursor"), str, str, str)
    results = _list_changes(database, query, FeedCursor(cursor[0], cursor[1], parse_digest(cursor[2])) if cursor else None, PAGE_SIZE + 1)
    rows = results[:PAGE_SIZE]
    next_cursor = (
        encode_cursor(rows[-1]["at"], rows[-1]["url"], rows[-1]["state_digest_after"].partition(":")[2])
        if len(results) > PAGE_SIZE
        else None
    )
    parameters = {name: query.text(name) for name in FILTER_PARAMETERS if name != "kind"} | {
        "kind": query.choices("kind", get_args(ChangeKind))
    }
    content = {"filters": {name: value for name, value in parameters.items() if value}, "changes": rows, "next_cursor": next_cursor}
    context = {
        "parameters": parameters,
        "kinds": get_args(ChangeKind),
        "severities": SEVERITIES,
        "is_first_page": cursor is None,
        "unclassified_count": store.changes.count_unclassified(database) if any(c["kind"] is None for c in rows) else 0,
        "has_any": bool(rows) or store.statistics.count(database, "changes") > 0,
        "feed_url": query.links.to("changes.atom", **parameters),
    }
    return Page("changes.html", "Changes", content, context)


def _list_changes(database: Database, query: QueryParameters, cursor: FeedCursor | None, limit: int) -> list[dict[str, Any]]:
    settings = query.settings
    url = query.text("url") or None
    if url is not None and "*" not in url:
        url = settings.urls.build_canonicaliser().canonicalise(url) or url
    incident = query.text("incident")
    edit_digest = parse_digest(incident, "incident", "is not an incident id; use hexadecimal digits") if incident else None
    criteria = ChangeFilter(
        since=query.timestamp("since"), until=query.timestamp("until"), kinds=frozenset(query.choices("kind", get_args(ChangeKind))),
        min_severity=query.choice("min_severity", SEVERITIES, SEVERITIES[1]), publisher=query.text("publisher") or None, url=url,
        silent=query.flag("silent"), publishers=settings.publishers.build_publishers(), edit=edit_digest,
    )  # fmt: skip
    grouping = (
        None if query.flag("expand_incidents") else IncidentGrouping(settings.changes.incident_pages, settings.changes.incident_hours)
    )
    return list(islice(reports.list_changes(database, criteria, grouping, cursor), limit))


def atom_feed(database: Database, query: QueryParameters) -> RawResponse:
    """Return the latest changes as an Atom feed. The id of an entry is a hash of page, states and time."""
    changes = _list_changes(database, query, None, PAGE_SIZE)
    entries = [_atom_entry(change) for change in changes]
    parameters = {name: query.parameters.getlist(name) for name in FILTER_PARAMETERS}
    document = atom.render_feed(entries, "changes", "dedup: changes", query.links.to("changes.atom", **parameters))
    return RawResponse(document, "application/atom+xml")


def _atom_entry(change: dict[str, Any]) -> FeedEntry:
    lines = [escape(", ".join(reports.describe_classification(change)))]
    lines += [format_before_after("title", change["title_before"], change["title"])] if change["title_before"] != change["title"] else []
    lines += [format_before_after(name, sides["before"], sides["after"]) for name, sides in change["fields"].items()]
    lines += [format_before_after(e["kind"], e["before"], e["after"]) for e in change["evidence"]]
    if change["page_count"] > 1:
        lines.append(escape(f"the same edit on {change['page_count']:,} pages"))
    prefix = f"{change['publisher']}: " if change["publisher"] else ""
    entry_id = hashlib.sha256(
        "\0".join((change["url"], change["state_digest_before"], change["state_digest_after"], change["at"])).encode()
    ).hexdigest()[:32]
    return FeedEntry(
        f"change:{entry_id}",
        to_printable(f"{prefix}{change['title'] or change['url']}"),
        change["at"],
        change["url"],
        str(Markup("<br>").join(lines)),
    )

"""The status of the daemon, the database and the last scan."""

from __future__ import annotations

from dedup.daemon import health_file
from dedup.reports.status import daemon_as_json, daemon_status, database_summary
from dedup.store import Database
from dedup.web.render import Page, QueryParameters


def view(database: Database, query: QueryParameters) -> Page:
    """Show what `dedup status` reports."""
    content = database_summary(database) | daemon_as_json(daemon_status(query.settings.database.path))
    context = {
        "reason_descriptions": health_file.REASON_DESCRIPTIONS,
        "database": query.settings.database.path,
        "directories": query.settings.crawl.directories,
    }
    return Page("status.html", "Status", content, context)

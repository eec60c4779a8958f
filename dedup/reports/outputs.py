"""Recognises reports and exports written by dedup. Such a file may be replaced by a newer one without `--force`."""

from __future__ import annotations

import json
import re

from dedup.reports.export.schema import ALL_SCHEMAS, ExportColumn
from dedup.reports.period.render import CSV_COLUMNS

_HTML_REPORT = re.compile(rb"\s*<!doctype html>.{0,4000}?<title>Report\b", re.DOTALL | re.IGNORECASE)
_TEXT_REPORT = re.compile(r"(?:# )?Report\b[^\n]*, [^\n]*\n\n?Times and hours are those of ")
_JSON_REPORT = re.compile(r'\{\s*"header": \{\s*"')
_KEY_COLUMNS = 4
"""Leading columns by which an export is recognised. Columns after them may change."""


def is_output(head: bytes, tail: bytes) -> bool:
    """Return whether a file is a report or an export of dedup, in any format.

    `head` and `tail` are its first and last 64 KiB, or all of it.
    """
    if head.startswith(b"PAR1"):
        return tail.endswith(b"PAR1") and any(all(c.name.encode() in tail for c in columns[:_KEY_COLUMNS]) for columns in ALL_SCHEMAS)
    if _HTML_REPORT.match(head):
        return True
    text = head.decode("utf-8", "ignore")
    return bool(_TEXT_REPORT.match(text) or _JSON_REPORT.match(text)) or _is_csv(text) or _is_json(text)


def _is_csv(text: str) -> bool:
    names = text.partition("\n")[0].rstrip("\r").split(",")
    return names[:_KEY_COLUMNS] in ([c.name for c in columns[:_KEY_COLUMNS]] for columns in ALL_SCHEMAS) or names[:_KEY_COLUMNS] == list(
        CSV_COLUMNS[:_KEY_COLUMNS]
    )


def _is_json(text: str) -> bool:
    """Return whether text is JSON lines or a JSON array of objects whose keys are the columns of a table, or an empty array."""
    if re.fullmatch(r"\[\s*\]\s*", text):
        return True
    return any(re.match(_object_pattern(columns), text) for columns in ALL_SCHEMAS)


def _object_pattern(columns: tuple[ExportColumn, ...]) -> str:
    """Return a pattern for the beginning of JSON lines or a JSON array whose objects have these columns."""
    value = r'\s*(?:"(?:[^"\\]|\\.)*"|[^",\[\]{}]+)\s*'
    return r"\[?\s*\{\s*" + ",\\s*".join(json.dumps(c.name) + ":" + value for c in columns[:_KEY_COLUMNS])

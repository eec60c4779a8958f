"""Whether a file is a report or an export that this program wrote: such a file may be replaced by a newer one without asking."""

from __future__ import annotations

import json
import re

from dedup.reports.export.schema import ALL_SCHEMAS, ExportColumn
from dedup.reports.period.render import CSV_COLUMNS

_HTML_REPORT = re.compile(rb"\s*<!doctype html>.{0,4000}?<title>Report\b", re.DOTALL | re.IGNORECASE)
_TEXT_REPORT = re.compile(r"(?:# )?Report\b[^\n]*, [^\n]*\n\n?Times and hours are those of ")
_JSON_REPORT = re.compile(r'\{\s*"header": \{\s*"')
_KEY_COLUMNS = 4
"""Columns by which an export is known: others may come later."""


def is_output(head: bytes, tail: bytes) -> bool:
    """Whether the first and the last bytes of a file (64 KiB of each, or all of it) are those of a report or an export, in any form."""
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
    """An object a line, or an array of them, whose keys are the columns of a table; or an empty array."""
    if re.fullmatch(r"\[\s*\]\s*", text):
        return True
    return any(re.match(_object_pattern(columns), text) for columns in ALL_SCHEMAS)


def _object_pattern(columns: tuple[ExportColumn, ...]) -> str:
    """How an array or a line begins whose objects have these columns."""
    value = r'\s*(?:"(?:[^"\\]|\\.)*"|[^",\[\]{}]+)\s*'
    return r"\[?\s*\{\s*" + ",\\s*".join(json.dumps(c.name) + ":" + value for c in columns[:_KEY_COLUMNS])

"""The only SQL beside `schema`: opening the database, writing what a batch brought, asking for what people want to see."""

from __future__ import annotations

from dedup.store.connection import open_reader, open_writer
from dedup.store.lock import Lock
from dedup.store.reading import Reader
from dedup.store.rows import AlertRow, ArticleRow, DeliveryRow, FileRow, KeptSighting
from dedup.store.writing import Writer

__all__ = ["AlertRow", "ArticleRow", "DeliveryRow", "FileRow", "KeptSighting", "Lock", "Reader", "Writer", "open_reader", "open_writer"]

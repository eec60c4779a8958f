"""Deduplication and change tracking for crawled articles."""

__version__ = "0.2.0"

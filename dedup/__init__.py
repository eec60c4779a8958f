"""Deduplication and change tracking for crawled articles."""

__version__ = "0.1.0"

"""Maintenance of existing records: reindexing, retention and summaries."""

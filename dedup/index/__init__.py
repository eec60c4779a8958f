"""Indexes derived from the database: memory-mapped hash tables from bands and fingerprints to texts."""

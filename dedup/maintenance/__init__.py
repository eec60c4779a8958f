"""Work on records that exist: reindexing, retention, summaries, crawl directories that moved or were retired."""

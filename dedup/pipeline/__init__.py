"""From files to records: walk a crawl directory, read what changed, record it in one transaction per batch."""

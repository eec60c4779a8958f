"""From candidates to matches: look up candidates in the indexes, measure pairs, decide their relation."""

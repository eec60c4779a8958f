"""From candidates to matches: what is looked up in the indexes, measured, judged and cached."""

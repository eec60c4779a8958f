"""Pure functions on text: normalisation, escaping and formatting of output, URLs, publishers, digests, times."""

"""Pure functions on text: normalisation, output sanitising, URLs, publishers, digests and times."""

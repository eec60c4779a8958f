"""`python -m dedup` and the `dedup` console script."""

from __future__ import annotations

from dedup.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()

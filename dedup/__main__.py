"""`python -m dedup` and the `dedup` console script."""

from __future__ import annotations

from typing import NoReturn

from dedup.runtime import process


def main() -> NoReturn:
    """Prepare the process, run the command line, and exit with its exit code."""
    process.prepare()
    from dedup.cli import main as run

    run()


if __name__ == "__main__":
    main()

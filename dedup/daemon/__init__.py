"""The daemon: scan, then follow. One loop owns all the work; events only say where to look, and it tells how it is."""

from __future__ import annotations

from dedup.daemon.loop import run

__all__ = ["run"]

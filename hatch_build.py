"""Build hook of hatchling: makes the manual pages and puts them into the wheel, from where pip installs them as PREFIX/share/man/man1."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManPageHook(BuildHookInterface):  # type: ignore[type-arg]
    """Makes the pages in a temporary directory, which `finalize` removes."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Add the pages to the data files of the wheel."""
        self._folder = tempfile.mkdtemp(prefix="dedup-man-")
        sys.path.insert(0, self.root)
        try:
            from dedup.cli.man_pages import write_pages
        finally:
            sys.path.remove(self.root)
        for name in write_pages(self._folder):
            build_data["shared_data"][os.path.join(self._folder, name)] = f"share/man/man1/{name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove the directory; the pages are in the wheel."""
        shutil.rmtree(self._folder)

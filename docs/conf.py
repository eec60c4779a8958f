"""Configuration of the documentation site: `sphinx-build -W -b dirhtml docs DIR` with the extra `docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from dedup import __version__

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "dedup"
author = "the dedup contributors"
release = __version__
extensions = [
    "myst_parser",
    "sphinx_click",
    "sphinxcontrib.mermaid",
    "sphinx.ext.autodoc",
    "settings_reference",
    "json_schema_tables",
    "command_pages",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "dedup"
html_copy_source = False
html_show_sourcelink = False
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]
nitpicky = True

"""`python -m tests.docs.screenshots [DIR]`: take the screenshots of the dashboard for the docs, from the sample crawl.

Needs the extra `dev` and the system's Chromium (on Debian: apt-get install chromium fonts-noto-cjk).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.builders.browser import browser, serving, tab
from tests.builders.command import run

PICTURES = {
    "overview": ("/", 1280, "light"),
    "clusters": ("/clusters", 1280, "light"),
    "cluster": ("/cluster?url=901_0000100120", 1280, "dark"),
    "pair": ("/pair?a=901_0000100120&b=903_0000100121", 1280, "light"),
    "page": ("/page?url=903_0000100015", 1280, "light"),
    "compare": ("/compare?url=903_0000100015", 1280, "dark"),
    "changes-narrow": ("/changes", 360, "light"),
    "search": ("/search?q=%EC%A7%80%ED%95%98%EC%B2%A0", 1280, "light"),
}
"""File name → address, width in pixels, colour scheme."""
HEIGHT = 900


def main(folder: Path) -> None:
    """Write the screenshots to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        sample = Path(temporary) / "sample"
        for command in (("sample", sample), ("--config", sample / "config.toml", "scan", "--alert-on-import")):
            result = run(Path(temporary), *command)
            if result.code:
                sys.exit(result.err)
        with serving(sample) as base, browser() as chromium:
            for name, (path, width, scheme) in PICTURES.items():
                with tab(chromium, base, width=width, color_scheme=scheme, timezone_id="Asia/Seoul", locale="ko-KR") as view:
                    view.open(path)
                    view.page.screenshot(path=folder / f"{name}.png", clip={"x": 0, "y": 0, "width": width, "height": HEIGHT})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs" / "screenshots")

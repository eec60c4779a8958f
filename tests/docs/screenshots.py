"""`python -m tests.docs.screenshots [DIR]`: the pictures of the dashboard in docs, made from the sample crawl.

Wants the extra `dev` and the system's Chromium (on Debian: apt-get install chromium fonts-noto-cjk)."""

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
"""Name of the file → what is on it: address, width in pixels, colour scheme."""
HEIGHT = 900


def main(folder: Path) -> None:
    """Write the pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        sample = Path(temporary) / "sample"
        for command in (("sample", sample), ("--config", sample / "config.toml", "scan", "--alert-on-import")):
            done = run(Path(temporary), *command)
            if done.code:
                sys.exit(done.err)
        with serving(sample) as base, browser() as opened:
            for name, (path, width, scheme) in PICTURES.items():
                with tab(opened, base, width=width, color_scheme=scheme, timezone_id="Asia/Seoul", locale="ko-KR") as found:
                    found.open(path)
                    found.page.screenshot(path=folder / f"{name}.png", clip={"x": 0, "y": 0, "width": width, "height": HEIGHT})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs" / "screenshots")

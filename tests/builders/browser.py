"""A headless Chromium, driven by Playwright, on a real `dedup serve`. Its console, errors and requests are recorded."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Dialog, Page, Request, sync_playwright

from tests.builders.command import command

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the dashboard of the configuration in a folder on a free port. Yields the address without a trailing slash."""
    with subprocess.Popen(
        command("serve", "--listen", "127.0.0.1:0"), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
            assert address
            yield address[0]
        finally:
            process.terminate()


@contextmanager
def browser() -> Iterator[Browser]:
    """Launch the system's Chromium."""
    path = next((which for name in CHROMIUM if (which := shutil.which(name))), None)
    if path is None:
        pytest.fail("there is no Chromium; on Debian, apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@dataclass
class Tab:
    """A browser tab. `wrong` collects console messages, script errors, dialogs, and requests that failed or went to another host."""

    page: Page
    base: str
    wrong: list[str] = field(default_factory=list)

    def open(self, path: str) -> Any:
        answer = self.page.goto(self.base + path)
        assert answer is not None
        return answer

    def text(self) -> str:
        return self.page.inner_text("body")

    def links(self) -> list[str]:
        """Return the targets of the page's links to the dashboard itself."""
        targets = self.page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
        return [link.partition("#")[0][len(self.base) :] for link in targets if link.startswith(self.base + "/")]


@contextmanager
def tab(chromium: Browser, base: str, *, width: int = 1280, script: bool = True, **more: Any) -> Iterator[Tab]:
    """Open a tab in a new browser context, and fail at the end if anything went wrong in it."""
    context = chromium.new_context(viewport={"width": width, "height": 900}, java_script_enabled=script, **more)
    opened_tab = Tab(context.new_page(), base)
    page, wrong = opened_tab.page, opened_tab.wrong

    def check_origin(request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(base).netloc:
            wrong.append(f"asked {request.url}")

    def dismiss(dialog: Dialog) -> None:
        wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def note_failure(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the test navigated on before the icon was loaded
            wrong.append(f"failed: {request.url}: {request.failure}")

    page.on("console", lambda message: wrong.append(f"console: {message.text} ({page.url})"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error} ({page.url})"))
    page.on("dialog", dismiss)
    page.on("request", check_origin)
    page.on("requestfailed", note_failure)
    yield opened_tab
    context.close()
    assert not wrong, wrong[:5]

"""A real browser on a real `dedup serve`: Debian's Chromium through Playwright, headless; what it logs and asks for is watched."""

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
    """The dashboard of the configuration in a folder, at a port of its own; its address without the slash at the end."""
    with subprocess.Popen(
        command("serve", "--listen", "127.0.0.1:0"), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            told = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
            assert told
            yield told[0]
        finally:
            process.terminate()


@contextmanager
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        pytest.fail("there is no Chromium; on Debian, apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass
class Tab:
    """A tab, and what went wrong in it: messages of the console, errors of scripts, dialogs, requests that went elsewhere or failed."""

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
        """Where links of the page lead within the dashboard."""
        found = self.page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
        return [link.partition("#")[0][len(self.base) :] for link in found if link.startswith(self.base + "/")]


@contextmanager
def tab(opened: Browser, base: str, *, width: int = 1280, script: bool = True, **more: Any) -> Iterator[Tab]:
    """A tab of a context of its own; at its end nothing may have gone wrong."""
    context = opened.new_context(viewport={"width": width, "height": 900}, java_script_enabled=script, **more)
    found = Tab(context.new_page(), base)
    page, wrong = found.page, found.wrong

    def asked(request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(base).netloc:
            wrong.append(f"asked {request.url}")

    def met(dialog: Dialog) -> None:
        wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # one went on before the icon had come
            wrong.append(f"failed: {request.url}: {request.failure}")

    page.on("console", lambda message: wrong.append(f"console: {message.text} ({page.url})"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error} ({page.url})"))
    page.on("dialog", met)
    page.on("request", asked)
    page.on("requestfailed", failed)
    yield found
    context.close()
    assert not wrong, wrong[:5]

"""The distribution's Chromium, in which a test uses the page as a person does. What goes wrong in it fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.support.needs import missing, tool

PATIENCE_MS = 60_000.0  # until something that does not appear counts as a failure
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)  # what Chromium asks of the internet by itself would fail here


class Browser:
    """A window. `troubles` are errors in its console, refusals of the policy, and requests to anybody else."""

    def __init__(self, context: Any, origin: str) -> None:
        self.context = context
        self.origin = origin
        self.troubles: list[str] = []
        self.expected: tuple[str, ...] = ()  # words of errors in the console that the test brings about
        context.set_default_timeout(PATIENCE_MS)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.troubles.append(f"error: {error.error}"))
        context.on("request", self._request)

    def page(self, path: str) -> Any:
        """A new tab."""
        page = self.context.new_page()
        page.goto(self.origin + path)
        return page

    def _console(self, message: Any) -> None:
        if message.type == "error" and not any(words in message.text for words in self.expected):
            self.troubles.append(f"console: {message.text} {message.location.get('url', '')}")

    def _request(self, request: Any) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.origin).netloc:
            self.troubles.append(f"asked elsewhere: {request.url}")


@contextmanager
def browser(origin: str, **options: Any) -> Iterator[Browser]:
    """A window of its own, with no cookies; at the end nothing may have gone wrong in it."""
    path = tool("chromium", "scripts/tools.sh")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        missing("playwright is not installed")
    with sync_playwright() as driver:
        program = driver.chromium.launch(executable_path=path, args=list(QUIET))
        try:
            window = Browser(program.new_context(**options), origin)
            yield window
            assert not window.troubles, window.troubles
        finally:
            program.close()

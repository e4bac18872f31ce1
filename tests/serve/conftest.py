"""One browser and one service for all tests of the page: both take seconds to start."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from belink.registry import aliases, impacts
from tests.support import small
from tests.support.impacts import watched
from tests.support.serving import Made, Server, serving

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
expect.set_options(timeout=60_000)


@pytest.fixture(scope="session")
def server(served_home: Made) -> Iterator[Server]:
    here, name = served_home.here, "page"
    first = served_home.register(name, small.RELEASES[0])
    reports = {impacts.FILE: impacts.stored_text(watched(25))}
    second = served_home.register(name, small.RELEASES[1], reports=reports)
    aliases.settle(here, name, first, ("min_accuracy_at_1",))
    aliases.promote(here, name, first)
    aliases.settle(here, name, second)
    aliases.promote(here, name, second)
    with serving(here, name, every=5) as running:
        yield running


# Not for the whole session: while Playwright runs, no other test of this thread can start an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """The page, opened; anything that the browser complains of, or asks of another host, fails the test."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: request.url.startswith(server.url) or complaints.append(request.url))
    opened.goto(server.url)
    expect(opened.locator("#serving")).to_contain_text("version 2")
    yield opened
    context.close()
    assert not [said for said in complaints if "status of 413" not in said]

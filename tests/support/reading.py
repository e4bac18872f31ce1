"""What tests of the page do first: find names that are linked, and link a text."""

from playwright.sync_api import Page, expect

from tests.support.serving import Server


def names(server: Server, n: int = 3) -> list[str]:
    """Labels that the detector finds, none of which holds another."""
    release = server.follower.current.releases[0]
    rows = release.rows("SELECT label FROM concept WHERE NOT obsolete AND own AND length(label) > 14 ORDER BY label")
    found = [label for (label,) in rows if label.replace(" ", "").isalpha()]
    return [label for label in found if len(server.follower.linker.link_text(f"A {label}."))][:: len(found) // n][:n]


def ask(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#go")).to_have_text("Link")
    expect(page.locator("#made")).to_contain_text("version 2")
    assert page.locator("#reading").text_content() == text

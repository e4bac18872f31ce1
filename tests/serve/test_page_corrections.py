"""Corrections on the page: shown only where they are stored, stored as given, undone; the queue by keyboard."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from belink.corpora import feedback
from belink.linker.review import review_queue, write_queue
from belink.records import Document
from belink.registry import aliases
from tests.support import axe, small
from tests.support.reading import names
from tests.support.serving import Made, Server, serving

pytestmark = pytest.mark.heavy
LINKER = "judged"


@pytest.fixture(scope="module")
def judged(served_home: Made, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    aliases.promote(served_home.here, LINKER, served_home.register(LINKER, small.RELEASES[1]))
    documents = [Document(id=str(i), text=f"A case of {name}.") for i, name in enumerate(names(server, 4))]
    queue = tmp_path_factory.mktemp("queue") / "queue.jsonl"
    write_queue(review_queue(server.follower.current.linker, documents, 3), queue)
    with serving(served_home.here, LINKER, feedback=True, review=queue) as running:
        yield running


@pytest.fixture
def page(browser: Browser, judged: Server) -> Iterator[Page]:
    page = browser.new_page()
    page.goto(judged.url)
    expect(page.locator("#tab-review")).to_be_visible()
    yield page
    page.close()


def standing(here: Made) -> list[tuple[str, str | None, str]]:
    """Verdict, concept and words of each correction in force."""
    records = feedback.standing(feedback.read_records(here.here, LINKER)).agreed
    return [(each.verdict, each.concept, each.text[each.start : each.end]) for each in records]


def link(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.click("#go")
    expect(page.locator("#go")).to_have_text("Link")
    page.locator("#links").wait_for()


def test_a_link_is_judged_and_the_judgement_undone(page: Page, judged: Server, served_home: Made) -> None:
    name = names(judged)[0]
    link(page, f"😀 Seen: {name}.")
    page.locator(".mention").first.click()
    panel = page.locator(".correcting")
    panel.locator("button", has_text="No mention").click()
    expect(panel).to_contain_text("Write your name first")
    panel.locator(".who").fill("anna")
    panel.locator("button", has_text="No mention").click()
    expect(panel).to_contain_text("Stored: no mention")
    assert standing(served_home) == [("no-mention", None, name)]
    panel.locator("button", has_text="Undo").click()
    expect(panel).to_contain_text("Withdrawn")
    assert standing(served_home) == []
    panel.locator("summary").click()
    other = panel.locator("details li").first
    concept = other.locator(".id").text_content()
    other.locator("button").click()
    expect(panel).to_contain_text("Stored:")
    assert standing(served_home) == [("other", concept, name)]
    assert axe.violations(page, axe.script()) == []
    panel.locator("button", has_text="Undo").click()
    expect(panel).to_contain_text("Withdrawn")


def test_a_missed_mention_is_marked_by_selecting_it(page: Page, judged: Server, served_home: Made) -> None:
    name = names(judged)[0]
    link(page, f"😀 The {name} and the strange illness.")
    page.click("#missed")
    expect(page.locator("#notice")).to_contain_text("Select the mention")
    page.evaluate(
        "(() => { const a = document.querySelector('#text'); const at = a.value.indexOf('strange illness');"
        "a.focus(); a.setSelectionRange(at, at + 'strange illness'.length); })()"
    )
    page.click("#missed")
    panel = page.locator(".correcting")
    panel.locator(".who").fill("anna")
    panel.locator("input[type=search]").fill(name)
    panel.locator("input[type=search]").press("Enter")
    option = panel.locator("details li").first
    concept = option.locator(".id").text_content()
    option.locator("button").click()
    expect(panel).to_contain_text("Stored:")
    assert ("missed", concept, "strange illness") in standing(served_home)


def test_the_queue_is_worked_through_by_keyboard(page: Page, judged: Server, served_home: Made) -> None:
    page.click("#tab-review")
    expect(page.locator("#review-count")).to_have_text("1 of 3 · 0 judged")
    first = judged.get("/review", position=0).json()["item"]
    expect(page.locator("#view-review mark")).to_have_text(first["mention"])
    page.locator("#view-review .who").fill("ben")
    page.locator("#review-next").focus()
    page.keyboard.press("n")
    expect(page.locator("#review-count")).to_have_text("2 of 3 · 1 judged")
    assert ("nil", None, first["mention"]) in standing(served_home)
    second = judged.get("/review", position=1).json()["item"]
    page.keyboard.press("1")
    expect(page.locator("#review-count")).to_have_text("3 of 3 · 2 judged")
    verdict = "right" if second["candidates"][0]["id"] == second["id"] else "other"
    assert (verdict, second["candidates"][0]["id"], second["mention"]) in standing(served_home)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#review-count")).to_have_text("2 of 3 · 2 judged")
    page.keyboard.press("u")
    expect(page.locator("#review-count")).to_have_text("2 of 3 · 1 judged")
    assert axe.violations(page, axe.script()) == []


def test_a_service_that_stores_nothing_offers_nothing(browser: Browser, server: Server) -> None:
    page = browser.new_page()
    page.goto(server.url)
    link(page, f"A {names(server)[0]}.")
    page.locator(".mention").first.click()
    page.locator("#panel-content .options").wait_for()
    assert not page.locator(".correcting").count()
    assert page.locator("#missed").is_hidden() and page.locator("#tab-review").is_hidden()
    page.close()

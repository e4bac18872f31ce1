"""Corrections on the page: shown only where they are stored, stored as given, undone; the queue by keyboard."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect

from belink.corpora import feedback
from belink.linker.review import review_queue, write_queue
from belink.records import Document
from belink.registry import aliases
from tests.support import axe, small
from tests.support.made_releases import concept
from tests.support.reading import names
from tests.support.serving import Made, Server, register_concepts, serving

pytestmark = pytest.mark.heavy
LINKER, DRUGS = "judged", "judged-drugs"


@pytest.fixture(scope="module")
def judged(served_home: Made, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    aliases.promote(served_home.here, LINKER, served_home.register(LINKER, small.RELEASES[1]))
    drugs = (concept(1, "heparin"), concept(2, "aspirin"))
    register_concepts(served_home, tmp_path_factory.mktemp("drugs"), DRUGS, "Chemical", *drugs)
    documents = [Document(id=str(i), text=f"A case of {name}.") for i, name in enumerate(names(server, 4))]
    queue = tmp_path_factory.mktemp("queue") / "queue.jsonl"
    items = review_queue(server.follower.current.linker, documents, 3)
    write_queue([replace(item, linker=LINKER) for item in items], queue)
    with serving(served_home.here, LINKER, DRUGS, feedback=True, review=queue) as running:
        yield running


@pytest.fixture
def page(browser: Browser, judged: Server) -> Iterator[Page]:
    page = browser.new_page()
    page.goto(judged.url)
    expect(page.locator("#tab-review")).to_be_visible()
    yield page
    page.close()


def standing(here: Made, linker: str = LINKER) -> list[tuple[str, str | None, str]]:
    """Verdict, concept and words of each correction in force."""
    records = feedback.standing(feedback.read_records(here.here, linker)).agreed
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
    panel.locator("button", has_text="No concept fits").click()
    expect(panel).to_contain_text("Stored: no concept fits")
    panel.locator("button", has_text="Undo").click()
    label = other.locator("button").text_content()
    expect(panel).to_contain_text(f"Withdrawn. What counts now: {label}, by anna on 20")
    assert standing(served_home) == [("other", concept, name)]
    other.locator("button").click()
    panel.locator("button", has_text="Undo").click()
    expect(panel).to_contain_text("Withdrawn. What counts now")


def test_a_missed_mention_goes_to_the_linker_that_the_reader_chooses(
    page: Page, judged: Server, served_home: Made
) -> None:
    name = names(judged)[0]
    page.evaluate("sessionStorage.setItem('belink-who', 'carol')")
    link(page, f"Acid and aspirin for {name}.")

    def miss(words: str) -> None:
        page.evaluate(
            "words => { const a = document.querySelector('#text'); const at = a.value.indexOf(words);"
            "a.focus(); a.setSelectionRange(at, at + words.length); }",
            words,
        )
        page.click("#missed")

    panel, linker = page.locator(".correcting"), page.locator(".of-linker")
    miss("Acid")
    expect(linker).to_have_value(LINKER)  # nothing says which, so the first
    page.locator(".filter", has_not_text="Chemical").first.click()  # leaves the chemicals alone
    miss("Acid")
    expect(linker).to_have_value(DRUGS)
    panel.locator("input[type=search]").fill("heparin")
    panel.locator("input[type=search]").press("Enter")
    options = panel.locator("details li")
    expect(options.first.locator(".id")).to_have_text("X:1")
    assert all(each.startswith("X:") for each in options.locator(".id").all_text_contents())
    options.first.locator("button").click()
    expect(panel).to_contain_text("Stored: heparin")
    assert standing(served_home, DRUGS) == [("missed", "X:1", "Acid")]
    page.locator(".filter", has_not_text="Chemical").first.click()  # all again
    miss("for")
    expect(linker).to_have_value(DRUGS)  # the one corrected last
    linker.select_option(LINKER)
    panel.locator("input[type=search]").fill(name)
    panel.locator("input[type=search]").press("Enter")
    expect(options.first.locator("button")).to_have_text(name)
    linker.select_option(DRUGS)
    assert not options.count(), "a concept of the other linker must not be left to choose"


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
    page.evaluate("sessionStorage.removeItem('belink-who')")
    page.keyboard.press("u")
    expect(page.locator("#notice")).to_contain_text("Write your name first")
    page.locator("#view-review .who").fill("ben")
    page.locator("#review-next").focus()
    page.keyboard.press("u")
    expect(page.locator("#review-count")).to_have_text("2 of 3 · 1 judged")
    expect(page.locator("#review-said")).to_have_text("Withdrawn. Nothing is said of it now.")
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

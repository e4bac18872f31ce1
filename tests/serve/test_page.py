"""The page, in a real browser: what a reader sees, clicks, types and shares."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from belink.linker.abstention import Abstention
from tests.support import small
from tests.support.made_releases import concept
from tests.support.reading import ask, names
from tests.support.serving import EVIL, Made, Server, register_concepts, serving

pytestmark = pytest.mark.heavy


def test_mentions_are_marked_where_they_stand_and_nil_is_shown_as_such(page: Page, server: Server) -> None:
    one, two, three = names(server)
    text = f"😀 First {one}; 𝛃 then {two}, and\nat last {three}."
    ask(page, text)
    links = server.post(text=text, min_probability=0).json()["links"]
    assert page.locator(".mention").all_text_contents() == [found["text"] for found in links]
    nil = [found["text"] for found in links if found["id"] is None]
    assert page.locator(".mention.nil").all_text_contents() == nil
    kept = sum(found["id"] is not None for found in links)
    assert page.locator("#kept").text_content() == f"{kept} of {len(links)} kept"
    assert small.ONTOLOGY in page.locator("#legend").text_content() or not kept


def test_a_mention_shows_its_candidates_its_concept_and_its_release(page: Page, server: Server) -> None:
    (label, *_) = names(server)
    ask(page, f"A case of {label}.")
    (found,) = server.post(text=f"A case of {label}.", min_probability=0, candidates=25).json()["links"]
    page.click(".mention")
    panel = page.locator("#panel-content")
    panel.locator(f"text={small.RELEASES[1]}").first.wait_for()
    assert panel.locator("h3").text_content() == (found["label"] if found["id"] else "NIL")
    shown = panel.locator(".options .name").all_text_contents()
    assert sorted(shown) == sorted([*(c["label"] for c in found["candidates"]), "None of these (NIL)"])
    probabilities = [float(p) for p in panel.locator(".options .number").all_text_contents()]
    assert probabilities == sorted(probabilities, reverse=True)
    last = panel.locator("button.option").last
    last.click()
    assert last.get_attribute("aria-expanded") == "true"
    parents = server.get(f"/concepts/{found['candidates'][-1]['id']}").json()["parents"]
    if parents:
        panel.locator(".more", has_text=parents[0]["label"] or parents[0]["id"]).wait_for()


def test_appositions_are_shown(page: Page, server: Server) -> None:
    one, other, _ = names(server)
    ask(page, f"A {one} ({other}) was seen.")
    page.locator(".mention", has_text=one).first.click()
    expect(page.locator(".said")).to_contain_text(f"in brackets {other}")


def test_the_threshold_decides_what_is_kept(page: Page, server: Server) -> None:
    text = ". ".join(f"A case of {name}" for name in names(server, 12))
    ask(page, text)
    links = server.post(text=text, min_probability=0).json()["links"]
    for bound in (0, 0.5, 0.9, 1):
        page.locator("#threshold").fill(str(bound))
        kept = [found["text"] for found in links if found["id"] and found["probability"] >= bound]
        below = [found["text"] for found in links if found["id"] and found["probability"] < bound]
        assert page.locator("#kept").text_content() == f"{len(kept)} of {len(links)} kept"
        assert page.locator(".mention.below").all_text_contents() == below


def test_the_threshold_starts_at_the_bound_that_the_refresh_chose(page: Page, server: Server) -> None:
    served = server.follower.current.linker
    calibration = served.calibration
    chosen = Abstention(declared=0.9, bound=0.62, precision=0.91, kept=0.7, n=300)
    try:
        served.calibration = replace(calibration, abstention=chosen)
        page.reload()
        expect(page.locator("#threshold")).to_have_value("0.62")
    finally:
        served.calibration = calibration


def test_a_shared_link_shows_the_same_result_and_its_text_reaches_no_log(page: Page, server: Server) -> None:
    one, two, _ = names(server)
    text = f"{one} & {two} = 100 % #1 + 😀"
    ask(page, text)
    page.locator("#threshold").fill("0.3")
    page.locator(".mention").nth(1).click()
    page.click("#share")
    expect(page.locator("#share")).to_have_text("Copied")
    address = page.evaluate("navigator.clipboard.readText()")
    assert "#" in address and quote(one) not in address.partition("#")[0]
    again = page.context.new_page()
    again.goto(address)
    again.wait_for_selector(".mention[aria-pressed=true]")
    assert again.locator("#text").input_value() == text
    assert again.locator("#threshold").input_value() == "0.3"
    assert again.locator(".mention[aria-pressed=true]").text_content() == page.locator(".mention").nth(1).text_content()


def test_everything_can_be_done_with_the_keyboard(page: Page, server: Server) -> None:
    one, two, _ = names(server)
    ask(page, f"First {one}, then {two}.")
    page.locator(".mention").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".mention").first.get_attribute("aria-pressed") == "true"
    page.keyboard.press("ArrowRight")
    assert page.locator(".mention").nth(1).get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.activeElement.dataset.mention") == "1"
    page.keyboard.press("Escape")
    assert page.locator("#panel-empty").is_visible()
    assert page.evaluate("document.activeElement.dataset.mention") == "1"
    page.locator("#tab-history").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#versions table")


def test_a_name_that_is_html_is_shown_as_text(page: Page, server: Server) -> None:
    document = {"text": f"{EVIL} fever"}
    ask(page, document["text"])
    page.wait_for_selector("#reading")
    assert page.locator("#reading").text_content() == document["text"]
    page.locator(".mention").last.click()
    panel = page.locator("#panel-content")
    panel.locator(f"text={small.RELEASES[1]}").first.wait_for()
    labels = panel.locator(".options .name").all_text_contents()
    assert f"{EVIL} fever" in labels
    panel.locator("button.option", has_text="onerror").first.click()
    panel.locator("text=A fever made for testing").first.wait_for()
    assert page.locator("main img").count() == 0
    assert "evil" not in page.title()
    page.click("#tab-history")
    page.wait_for_selector("#versions table")
    page.click("#compare button")
    page.locator("summary", has_text="added").first.click()
    assert page.locator("#diff").text_content().count(EVIL) >= 1
    assert page.locator("main img").count() == 0


def test_the_second_view_tells_versions_gates_releases_and_changes(page: Page, server: Server) -> None:
    page.click("#tab-history")
    page.wait_for_selector("#versions table")
    versions = page.locator("#versions").text_content()
    assert "champion" in versions and "previous" in versions
    assert "rejected: min_accuracy_at_1" in versions
    assert "min accuracy at 1" in page.locator("#gates-2").text_content()
    assert page.locator("#gates-1").is_hidden()
    page.locator("#versions button", has_text="1").click()
    assert page.locator("#gates-1").is_visible()
    for release in small.RELEASES:
        assert release in page.locator("#releases").text_content()
    page.click("#compare button")
    diff = server.get("/diff", ontology=small.ONTOLOGY, old=small.RELEASES[0], new=small.RELEASES[1]).json()
    assert f"added{diff['added']:,}" in page.locator(".counts", has_text="relabelled").text_content()
    page.reload()
    page.wait_for_selector("#versions table")


def test_a_refusal_is_said_in_words(page: Page, served_home: Made) -> None:
    page.fill("#text", "x" * (1 << 20))
    page.click("#go")
    page.wait_for_selector("#notice:not([hidden])")
    assert "too long" in page.locator("#notice").text_content()


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
@pytest.mark.parametrize("width", [360, 1280])
def test_both_schemes_are_readable_and_no_width_scrolls_sideways(
    browser: Browser, server: Server, scheme: str, dark: bool, width: int
) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(server.url)
    ask(page, ". ".join(f"A case of {name}" for name in names(server, 5)))
    page.locator(".mention").first.click()
    background, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert (luminance(background) < luminance(ink)) is dark
    assert contrast(background, ink) > 7
    mention = page.evaluate(
        "(e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color])(document.querySelector('.mention'))"
    )
    if "rgba" not in mention[0]:
        assert contrast(*mention) > 7
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click("#tab-history")
    page.wait_for_selector("#versions table")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def test_a_guarded_service_asks_for_its_token(browser: Browser, served_home: Made, server: Server) -> None:
    with serving(served_home.here, "page", token="geheim") as guarded:
        page = browser.new_page()
        page.goto(guarded.url)
        page.wait_for_selector("#token-form:not([hidden])")
        page.fill("#token", "geheim")
        page.keyboard.press("Enter")
        expect(page.locator("#serving")).to_contain_text("version 2")
        assert page.locator("#token-form").is_hidden()
        ask(page, names(server)[0])
        page.close()


def luminance(colour: str) -> float:
    """Relative luminance, 0 to 1, as WCAG 2 defines it."""
    channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture
def several(browser: Browser, served_home: Made, server: Server, tmp_path: Path) -> Iterator[Page]:
    """The page of two linkers."""
    drugs = (concept(1, "heparin"), concept(2, "aspirin"))
    register_concepts(served_home, tmp_path, "cures", "Chemical", *drugs)
    with serving(served_home.here, "page", "cures") as running:
        context = browser.new_context()
        opened = context.new_page()
        opened.goto(running.url)
        expect(opened.locator("#serving")).to_contain_text("; ")
        yield opened
        context.close()


def test_of_several_linkers_types_are_coloured_and_can_be_hidden(several: Page, server: Server) -> None:
    (label, *_) = names(server)
    several.fill("#text", f"Heparin and aspirin for {label}.")
    several.keyboard.press("Control+Enter")
    expect(several.locator(".mention")).to_have_count(3)
    several.locator("#threshold").fill("0")
    colours = [mention.get_attribute("class") for mention in several.locator(".mention").all()]
    assert colours[0] == colours[1]
    kinds = several.locator("#legend button")
    chemicals = kinds.filter(has_text="Chemical")
    expect(chemicals).to_have_text("Chemical 2")
    if kinds.count() > 1:  # the tiny model may answer NIL for the disease
        assert colours[2] != colours[0]
    chemicals.click()
    expect(chemicals).to_have_attribute("aria-pressed", "false")
    expect(several.locator(".mention.off")).to_have_count(2)
    chemicals.click()
    expect(several.locator(".mention.off")).to_have_count(0)
    several.locator(".mention").first.click()
    expect(several.locator("#panel-content .tag")).to_have_text("Chemical")
    several.click("#tab-history")
    several.select_option("#history-linker", "cures")
    expect(several.locator("#releases")).to_contain_text("cures-terms")

"""What the page offers beside marking mentions: concepts, search, the table, files, parts, the phone, /docs."""

import json
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from belink.corpora.files import read_corpus
from tests.support import axe, small
from tests.support.reading import ask, names
from tests.support.serving import Server

pytestmark = pytest.mark.heavy
DESKTOP, PHONE = 1280, 390


def text_of(server: Server, n: int = 5) -> str:
    return " ".join(f"Case {i} 😀 is {name}." for i, name in enumerate(names(server, n)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_no_view_has_a_fault_of_accessibility(browser: Browser, server: Server, width: int, scheme: str) -> None:
    source = axe.script()
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 844})  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(server.url)
    ask(page, text_of(server))
    assert axe.violations(page, source) == []
    page.locator(".mention").first.click()
    page.locator("#panel-content dt", has_text="release").first.wait_for()
    page.locator("button.option").first.click()
    page.locator("#threshold").fill("0.9")
    assert axe.violations(page, source) == []
    page.fill("#text", "Another text.")
    expect(page.locator("#old")).to_be_visible()
    assert axe.violations(page, source) == []
    page.locator(".close").click()
    page.click("#tab-history")
    page.wait_for_selector("#version-table table")
    page.click("#versions summary")
    page.locator(".changes li").first.wait_for()
    assert axe.violations(page, source) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.goto(f"{server.url}/docs")
    page.wait_for_selector("#objects section")
    assert axe.violations(page, source) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def test_axe_sees_a_fault(page: Page) -> None:
    source = axe.script()
    page.evaluate("document.querySelector('label[for=text]').remove()")
    page.evaluate("document.querySelector('#text').removeAttribute('placeholder')")
    assert any(fault.startswith("label") for fault in axe.violations(page, source))


def test_text_fields_have_borders_that_are_seen(browser: Browser, server: Server) -> None:
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(server.url)
        border, ground = page.evaluate(
            "(s => [s.borderTopColor, s.backgroundColor])(getComputedStyle(document.querySelector('#text')))"
        )
        assert contrast(border, ground) >= 3
        page.close()


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_text_is_one_tab_stop_and_arrows_move_inside(page: Page, server: Server) -> None:
    ask(page, text_of(server))
    stops = page.locator(".mention[tabindex='0']")
    expect(stops).to_have_count(1)
    stops.focus()
    page.keyboard.press("End")
    last = page.locator(".mention").count() - 1
    assert page.evaluate("document.activeElement.dataset.mention") == str(last)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.mention") == "1"
    assert stops.get_attribute("data-mention") == "1"
    page.keyboard.press("Tab")
    assert not page.evaluate("document.activeElement.classList.contains('mention')")


def test_concepts_lead_to_their_neighbours_and_ids_lead_out(page: Page, server: Server) -> None:
    release = server.follower.current.releases[0]
    ((child, label, parent),) = release.rows(
        "SELECT c.id, c.label, p.parent_id FROM concept c JOIN parent p ON p.concept_id = c.id "
        "JOIN concept above ON above.id = p.parent_id WHERE NOT c.obsolete AND NOT above.obsolete ORDER BY c.id LIMIT 1"
    )
    known = server.get(f"/concepts/{parent}").json()
    assert child in [each["id"] for each in known["children"]] or known["n_children"] > len(known["children"])
    page.fill("#query", child)
    page.keyboard.press("Enter")
    page.locator("#panel-content .option").first.click()
    panel = page.locator("#panel-content")
    expect(panel.locator("h3")).to_have_text(label)
    link = panel.locator(".identifier a")
    assert link.get_attribute("href") == f"https://bioregistry.io/{child}"
    assert link.get_attribute("rel") == "noopener"
    for synonym in server.get(f"/concepts/{child}").json()["synonyms"]:
        expect(panel.locator("dl")).to_contain_text(f"{synonym['text']} {synonym['scope']}")
    panel.locator(".copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == child
    panel.locator("dd button", has_text=known["label"]).first.click()
    expect(panel.locator("h3")).to_have_text(known["label"])
    expect(panel.locator(".identifier a")).to_have_text(parent)


def test_the_table_is_sorted_and_filtered(page: Page, server: Server) -> None:
    ask(page, text_of(server))
    links = server.post(text=text_of(server), min_probability=0).json()["links"]
    rows = page.locator("#links-table tbody tr")
    assert rows.locator("td:first-child").all_text_contents() == [link["text"] for link in links]
    page.locator("#links-table th button", has_text="probability").click()
    shown = [float(cell) for cell in rows.locator("td:nth-child(5)").all_text_contents()]
    assert shown == sorted(shown, reverse=True)
    assert page.locator("#links-table th[aria-sort=descending]").text_content() == "probability"
    page.fill("#links-filter", links[0]["text"].upper())
    expect(rows).to_have_count(sum(links[0]["text"] in f"{link['text']} {link['label']}" for link in links))
    rows.first.locator("button").click()
    expect(page.locator("#panel-content .said")).to_contain_text("“")


@pytest.mark.parametrize("name", ["bioc", "pubtator", "json", "tsv"])
def test_saved_files_hold_the_links_that_are_shown(page: Page, server: Server, tmp_path: Path, name: str) -> None:
    text = text_of(server) + "\n" + text_of(server)
    ask(page, text)
    page.locator("#threshold").fill("0.5")
    links = server.post(text=text, min_probability=0.5).json()["links"]
    with page.expect_download() as waiting:
        page.click(f"#export-{name}")
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    if name == "json":
        saved = json.loads(path.read_text(encoding="utf-8"))
        assert [(link["start"], link["id"]) for link in saved["links"]] == [
            (link["start"], link["id"]) for link in links
        ]
        return
    if name == "tsv":
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
        assert [row[4].strip('"') for row in rows] == [link["id"] or "" for link in links]
        return
    (document,) = read_corpus(path)
    assert document.text == text
    assert [(m.start, m.end) for m in document.mentions] == [(link["start"], link["end"]) for link in links]
    assert [m.gold for m in document.mentions] == [(link["id"],) if link["id"] else () for link in links]


def test_a_long_text_is_answered_in_parts_and_can_be_cancelled(
    page: Page, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    linker = server.follower.current.linker
    link = linker.link

    def slowly(*arguments: object, **options: object) -> object:
        time.sleep(0.3)
        return link(*arguments, **options)

    monkeypatch.setattr(linker, "link", slowly)
    name = names(server)[0]
    page.fill("#text", f"A case of {name}. " * 2_000)
    page.click("#go")
    expect(page.locator("#progress-value")).to_contain_text("of 2,000 mentions")
    page.locator(".mention").nth(40).wait_for()
    page.click("#cancel")
    expect(page.locator("#notice")).to_contain_text("Cancelled. The first")
    assert 40 < page.locator(".mention").count() < 2_000
    assert page.locator("#reading").text_content() == f"A case of {name}. " * 2_000
    expect(page.locator("#go")).to_be_enabled()


def test_an_edited_text_marks_its_result_as_old(page: Page, server: Server) -> None:
    ask(page, text_of(server))
    expect(page.locator("#old")).to_be_hidden()
    page.locator("#text").press_sequentially(" x")
    expect(page.locator("#old")).to_be_visible()
    page.fill("#text", text_of(server))
    expect(page.locator("#old")).to_be_hidden()


def test_back_and_forward_lead_through_views_and_texts(page: Page, server: Server) -> None:
    first, second, _ = (f"A case of {name}." for name in names(server))
    reading = page.locator("#reading")
    ask(page, first)
    page.click("#tab-history")
    expect(page.locator("#view-history")).to_be_visible()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.go_back()
    expect(page.locator("#view-link")).to_be_visible()
    expect(reading).to_have_text(first)
    assert not [url for url in requests if url.endswith("/link")], "what is shown is not asked for again"
    page.locator(".mention").first.click()
    ask(page, second)
    page.go_back()
    expect(reading).to_have_text(first)
    expect(page.locator("#text")).to_have_value(first)
    page.go_forward()
    expect(reading).to_have_text(second)
    page.click("#tab-history")
    page.click("#tab-link")
    expect(reading).to_have_text(second)
    page.goto(f"{server.url}/#view=releases")
    page.goto(f"{server.url}/#text={quote(first)}")
    expect(page.locator("#view-link")).to_be_visible()
    expect(reading).to_have_text(first)


def test_examples_are_made_of_the_linkers_own_names(page: Page, server: Server) -> None:
    texts = server.get("/examples").json()["texts"]
    assert texts
    seen = []
    for _ in texts:
        page.click("#example")
        expect(page.locator("#go")).to_have_text("Link")
        expect(page.locator(".mention").first).to_be_visible()
        seen.append(page.locator("#text").input_value())
    assert seen == texts


def test_shades_tell_probabilities_and_the_linkers_bound_what_is_unsure(page: Page, server: Server) -> None:
    links = server.post(text=text_of(server, 12), min_probability=0).json()["links"]
    probabilities = sorted(link["probability"] for link in links if link["id"])
    bound = probabilities[len(probabilities) // 2]
    declared = server.follower.current.linker.declaration
    try:
        server.follower.current.linker.declaration = declared.model_copy(update={"min_probability": bound})
        page.reload()
        expect(page.locator("#threshold")).not_to_have_value("0")
        ask(page, text_of(server, 12))
        page.locator("#threshold").fill("0")
        unsure = page.locator(".mention.unsure").count()
        assert unsure == sum(p < bound for p in probabilities)
        for mention, link in zip(page.locator(".mention").all(), links, strict=True):
            shade = sum(link["probability"] >= step for step in (0.5, 0.7, 0.9))
            assert link["id"] is None or f"p{shade}" in (mention.get_attribute("class") or "").split()
    finally:
        server.follower.current.linker.declaration = declared


def test_on_a_phone_the_panel_is_a_sheet_at_the_bottom(browser: Browser, server: Server) -> None:
    context = browser.new_context(viewport={"width": PHONE, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(server.url)
    ask(page, text_of(server))
    expect(page.locator("#panel")).to_be_hidden()
    page.locator(".mention").first.tap()
    box = page.locator("#panel").bounding_box()
    assert box is not None and round(box["y"] + box["height"]) == 844 and box["height"] < 0.65 * 844
    page.locator(".close").tap()
    expect(page.locator("#panel")).to_be_hidden()
    assert not page.locator("kbd:visible").count()
    page.click("#tab-history")
    cell = page.locator("#gates-2 table td").nth(3)
    cell.wait_for()
    inside = cell.bounding_box()
    assert inside is not None and inside["x"] + inside["width"] <= PHONE
    context.close()


def test_two_versions_are_compared(page: Page) -> None:
    page.click("#tab-history")
    table = page.locator("#version-table")
    expect(table).to_contain_text("version 1")
    accuracy = table.locator("tr", has_text="accuracy at 1").first
    expect(accuracy).to_contain_text("0.51")
    for release in small.RELEASES:
        expect(table.locator("tr", has_text=small.ONTOLOGY)).to_contain_text(release)
    page.select_option("#version-old", "2")
    expect(table).not_to_contain_text("version 1")


def test_a_version_shows_what_it_changed_in_watched_texts(page: Page) -> None:
    page.click("#tab-history")
    row = page.locator("#versions tbody > tr", has_text="champion").first
    expect(row).to_contain_text("26 of 27, 25 unexplained")
    impact = page.locator("#gates-2 .impact")
    expect(impact.locator(".counts li", has_text="other choice")).to_have_text("other choice25")
    assert not impact.locator(".changes").count(), "examples come only when they are asked for"
    impact.locator("summary").click()
    examples = impact.locator(".changes")
    expect(examples.first.locator("li")).to_have_count(20)
    expect(impact.locator("h4").first).to_have_text("other choice, the first 20 of 25")
    first = examples.first.locator("li").first
    expect(first.locator("mark")).to_have_text("gout")
    expect(first).to_contain_text("The scurvy and the gout of a child.")
    expect(first).to_contain_text("gout (X:2, 0.75) → gout (X:1, 0.75)")
    expect(first).to_contain_text("not explained by the releases")
    found = examples.nth(1).locator("li")
    expect(found).to_contain_text("A <b>croup</b> was seen")
    expect(found).to_contain_text("not found → croup (X:4, 0.50)")
    expect(found).not_to_contain_text("not explained")
    expect(page.locator("#version-table tr", has_text="links changed in notes")).to_contain_text("not measured26 of 27")
    page.locator("#versions tbody > tr", has_text="rejected").locator("button").click()
    assert not page.locator("#gates-1 .impact").count()
    expect(page.locator("#versions tr:has([aria-controls='gates-1'])")).to_contain_text("not measured")
    expect(page.locator("#gates-1")).to_contain_text("Changed links in watched texts: not measured.")


def test_the_interface_is_described_without_outside_scripts(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/docs")
    described = server.get("/openapi.json").json()
    expect(page.locator("#paths")).to_contain_text("POST /link")
    shown = page.locator("#paths h2").all_text_contents()
    assert shown == [f"{method.upper()} {path}" for path, item in described["paths"].items() for method in item]
    page.locator("#paths a", has_text="Documents").first.click()
    assert page.locator("#Documents").is_visible()

"""A wrong link, a correction over HTTP, a refresh: the champion has learned it; and what it cannot learn is refused."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from belink.corpora import feedback
from belink.flows import refresh
from belink.linker.linker import Linker
from belink.registry import aliases
from belink.settings import Settings
from belink.training.holdout import is_held_out
from tests.support import small
from tests.support.serving import Server, serving, until

pytestmark = pytest.mark.usefixtures("prefect")

TAUGHT = next(f"note {n}" for n in range(100) if not is_held_out(f"note {n}", "", 0.3))
HELD_OUT = next(f"note {n}" for n in range(100) if is_held_out(f"note {n}", "", 0.3))


class Corrected:
    """A home whose linker takes corrections and is served."""

    def __init__(self, folder: Path, models: dict[str, str], here: Settings) -> None:
        self.here = here
        self.toml = small.linker(folder, models)
        # Corrections alone: the twelve mentions of the sample corpus teach tiny models to answer NIL.
        declared = self.toml.read_text(encoding="utf-8").partition("[[corpora]]")[0]
        self.toml.write_text(f"{declared}[[corpora]]\nfeedback = true\n", encoding="utf-8")
        self.file = small.release(folder / "files", small.RELEASES[1])

    def refresh(self) -> dict[str, Any]:
        return refresh.run(self.here, str(self.toml), {small.ONTOLOGY: [self.file]}, "never").to_dict()

    def linker(self) -> Linker:
        path, version = aliases.bundle_path(self.here, "small")
        return Linker(path, self.here.cache, model_version=version)


@pytest.fixture(scope="module")
def corrected(
    tmp_path_factory: pytest.TempPathFactory, models: dict[str, str], make_home: Callable[[Path], Settings]
) -> Corrected:
    folder = tmp_path_factory.mktemp("corrected")
    made = Corrected(folder, models, make_home(folder))
    assert made.refresh()["outcome"] == "promoted"
    return made


@pytest.fixture(scope="module")
def server(corrected: Corrected, prefect_server: Path) -> Iterator[Server]:
    with serving(corrected.here, "small", feedback=True) as running:
        yield running


def linked_names(linker: Linker) -> list[str]:
    """Names that are linked where they stand in a text."""
    names = [name for name in linker.index.names() if 14 < len(name) < 40 and name.replace(" ", "").isalpha()]
    return [
        n for n in names[:150] if [(k.text, bool(k.id)) for k in linker.link_text(f"A case of {n}.")] == [(n, True)]
    ]


def correct(server: Server, text: str, mention: str, verdict: str, concept: str | None = None, **body: Any) -> str:
    start = text.index(mention)
    given = {"text": text, "start": start, "end": start + len(mention), "verdict": verdict, "concept": concept}
    answer = httpx.post(f"{server.url}/feedback", json={**given, "who": "anna", "document": TAUGHT, **body}, timeout=60)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_a_corrected_link_is_learned_by_the_next_champion(corrected: Corrected, server: Server) -> None:
    assert corrected.refresh()["outcome"] == "unchanged"
    linker = corrected.linker()
    names = linked_names(linker)
    text = f"A case of {names[0]} was seen. The blorbish wind came. Then {names[9]} came."
    before = {link["text"]: link["id"] for link in server.post(text=text, min_probability=0.0).json()["links"]}
    assert before.keys() == {names[0], names[9]} and all(before.values())
    other = next(id for name in names[20:] if (id := linker.search(name)[0].id) not in before.values())

    correct(server, text, names[0], "other", other, answered=before[names[0]])
    correct(server, text, "blorbish wind", "missed", other)
    correct(server, text, names[9], "no-mention")
    measured = f"Later {names[30]} was seen."
    correct(server, measured, names[30], "other", other, document=HELD_OUT)
    outcome = corrected.refresh()
    gates = {gate["name"]: gate for gate in outcome["gates"]}
    assert (outcome["outcome"], gates["repeated_errors"]["value"]) == ("promoted", 0.0), gates["repeated_errors"][
        "detail"
    ]

    until(lambda: server.follower.current is not None and server.follower.current.version == outcome["version"])
    after = {link["text"]: link["id"] for link in server.post(text=text, min_probability=0.0).json()["links"]}
    assert (after[names[0]], after["blorbish wind"]) == (other, other)
    assert names[9] not in after
    strata = corrected.linker().path / "evaluation.json"
    assert "corrected by people" in strata.read_text(encoding="utf-8")
    assert corrected.refresh()["outcome"] == "unchanged"


def test_an_exact_name_without_a_concept_is_learned(corrected: Corrected, server: Server) -> None:
    name = linked_names(corrected.linker())[50]
    text = f"Again {name} was seen."
    correct(server, text, name, "nil")
    outcome = corrected.refresh()
    assert outcome["outcome"] == "promoted", outcome["gates"]
    linker = corrected.linker()
    (link,) = linker.link_text(f"Elsewhere {name} came.", min_probability=0.0)
    assert (link.text, link.id, link.decided_by) == (name, None, "correction")
    assert link.probability >= 0.99
    assert sum(p for _, p in link.options) + link.probability == pytest.approx(1.0)
    assert linker.search(name), "the concept is still there to be chosen"
    # An exam that hides a name must not be answered by what people have said of it.
    mention = link.mention
    (hidden,) = linker.choose([mention], linker.candidates([mention], hide_own_name=True), names_hidden={0})
    assert hidden.decided_by != "correction"


def test_a_version_that_repeats_a_corrected_error_is_refused(corrected: Corrected, server: Server) -> None:
    linker = corrected.linker()
    names = linked_names(linker)
    text = f"It was {names[40]} again."
    champion = aliases.champion(corrected.here, "small")
    concept = linker.search(names[40])[0].id
    # Of the same words in another sentence somebody says the opposite, so the text alone cannot decide.
    right = correct(server, f"And {names[40]} before.", names[40], "right", concept)
    wrong = correct(server, text, names[40], "nil")
    outcome = corrected.refresh()
    assert (outcome["outcome"], outcome["champion"]) == ("rejected", champion)
    (gate,) = [gate for gate in outcome["gates"] if not gate["passed"]]
    assert gate["name"] == "repeated_errors"
    assert f"It was [{names[40]}] again.: has no concept, linked to MONDO:" in gate["detail"]
    for each in (wrong, right):
        feedback.withdraw(corrected.here, "small", each, "anna")
    assert corrected.refresh()["outcome"] == "unchanged"

"""``belink demo``: two releases of the sample ontology become one champion, which then links a paragraph.

The linker stays in the home like any other, so the commands that README shows next work as they stand.
"""

import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from belink import settings
from belink.cli import commands, show

ONTOLOGY, LINKER = "mondo-sample", "sample"
RELEASES = ("2025-02-04", "2025-09-02")
PARAGRAPH = (
    "A 58-year-old man with type 2 diabetes and chronic obstructive pulmonary disease (COPD) was admitted for "
    "pneumonia. COPD had been treated for ten years. His mother died of breast carcinoma, and a brother has Huntington "
    "chorea. There was no sign of psoriasis."
)
_WIDTH = 80  # columns that every terminal has

Say = Callable[[str], None]


def run(here: settings.Settings, *, say: Say) -> dict[str, Any]:
    """Refresh both releases, compare them, and link a paragraph; return all of it as one JSON document.

    A release that the linker's champion has left behind is not built again: a second run says what there is.

    :param say: called with each text that is shown on the way.
    """
    from belink.flows.refresh import run as refresh
    from belink.registry import aliases

    samples = settings.shipped_ontologies() / "samples"
    outcomes: list[dict[str, Any]] = []
    for number, version in enumerate(RELEASES, 1):
        say(f"\n[{number}/3] {ONTOLOGY} {version}: refresh the linker {LINKER}")
        current = _champion_release(aliases.status(here))
        if current is not None and current > version:
            say(f"{LINKER}: already built from {ONTOLOGY} {current}")
            continue
        started = time.monotonic()
        outcome = refresh(here, LINKER, {ONTOLOGY: [samples / f"{ONTOLOGY}-{version}.obo"]}, "auto").to_dict()
        outcome["seconds"] = round(time.monotonic() - started, 1)
        say(show.refreshed(outcome))
        say(f"{outcome['seconds']:.0f} s")
        outcomes.append(outcome)

    say(f"\nWhat changed between {RELEASES[0]} and {RELEASES[1]}")
    change = commands.compare(here, ONTOLOGY, *RELEASES, examples=3)
    say(show.diff(change))

    say("\n[3/3] Link a paragraph with the champion\n")
    linked = commands.link(here, LINKER, PARAGRAPH, None, None, None)
    say(textwrap.fill(PARAGRAPH, _WIDTH))
    say(show.linked(linked))
    say(_next_steps(here))
    return {"home": str(here.home), "refreshes": outcomes, "diff": change, "links": linked["links"]}


def _champion_release(status: dict[str, Any]) -> str | None:
    """The release that the champion of the sample linker is built from; ``None`` before there is one."""
    for linker in status["linkers"]:
        if linker["name"] == LINKER and linker["champion"]:
            return str(linker["releases"].get(ONTOLOGY)) if linker["releases"].get(ONTOLOGY) else None
    return None


def _next_steps(here: settings.Settings) -> str:
    home = _relative(here.home)
    option = "" if here.home == settings.load().home else f" --home {home}"
    store = settings.without_password(here.tracking_uri).replace(str(here.home), str(home))
    belink = f".venv/bin/belink{option}"
    return f"""
Next
  what there is    {belink} status
  link a text      {belink} link "a text about asthma" --linker {LINKER}
  the page         {belink} serve {LINKER}
                   then open http://127.0.0.1:8000
  the registry     .venv/bin/mlflow ui --port 5000 \\
                     --backend-store-uri {store}
                   then open http://127.0.0.1:5000
  the flow runs    PREFECT_HOME={home / "prefect"} .venv/bin/prefect server start
                   then open http://127.0.0.1:4200

Everything lies in {home}; delete that folder to start again."""


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

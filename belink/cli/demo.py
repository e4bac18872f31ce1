"""``belink demo``: two releases of the sample ontology become one champion, which then links a paragraph.

The linker stays in the home like any other, so the commands that README shows next work as they stand.
"""

import shutil
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from belink.cli import commands, show
from belink.settings import Settings, load, shipped_ontologies, without_password

ONTOLOGY, LINKER = "mondo-sample", "sample"
RELEASES = ("2025-02-04", "2025-09-02")
PARAGRAPH = (
    "A 58-year-old man with type 2 diabetes and chronic obstructive pulmonary disease (COPD) was admitted for "
    "pneumonia. COPD had been treated for ten years. His mother died of breast carcinoma, and a brother has Huntington "
    "chorea. There was no sign of psoriasis."
)
_WIDTH = 80  # columns that every terminal has

Say = Callable[[str], None]


def run(settings: Settings, *, say: Say, declaration: str = LINKER) -> dict[str, Any]:
    """Refresh both releases, compare them, and link a paragraph; return all of it as one JSON document.

    A release older than the champion's is not built again, so a second run ends soon.

    :param say: called with each text that is shown on the way.
    :param declaration: of the linker; tests name one with tiny models.
    """
    from belink.flows.refresh import run as refresh
    from belink.registry.status import read_status

    samples = shipped_ontologies() / "samples"
    outcomes: list[dict[str, Any]] = []
    for number, version in enumerate(RELEASES, 1):
        say(f"\n[{number}/3] {ONTOLOGY} {version}: refresh the linker {LINKER}")
        current = _champion_release(read_status(settings))
        # Versions of the sample are ISO dates, which sort as text.
        if current is not None and current > version:
            say(f"{LINKER}: already built from {ONTOLOGY} {current}")
            continue
        started = time.monotonic()
        files = {ONTOLOGY: [samples / f"{ONTOLOGY}-{version}.obo"]}
        # Files instead of the declared address: the demonstration works without a network.
        outcome = refresh(settings, declaration, files, "auto").to_dict()
        outcome["seconds"] = round(time.monotonic() - started, 1)
        say(show.refreshed(outcome))
        say(f"{outcome['seconds']:.0f} s")
        outcomes.append(outcome)

    say(f"\nWhat changed between {RELEASES[0]} and {RELEASES[1]}")
    change = commands.compare(settings, ONTOLOGY, *RELEASES, examples=3)
    say(show.diff_counts(change))

    say("\n[3/3] Link a paragraph with the champion\n")
    linked = commands.link(settings, LINKER, PARAGRAPH, None, None, None)
    say(textwrap.fill(PARAGRAPH, _WIDTH))
    say(show.linked(linked))
    say(_next_steps(settings))
    return {"home": str(settings.home), "refreshes": outcomes, "diff": change, "links": linked["links"]}


def _champion_release(status: dict[str, Any]) -> str | None:
    """Return the release that the champion of the sample linker is built from; ``None`` before there is a champion."""
    releases = [linker["releases"] for linker in status["linkers"] if linker["name"] == LINKER and linker["champion"]]
    return releases[0].get(ONTOLOGY) if releases else None


def _next_steps(settings: Settings) -> str:
    """Return the commands that show what the demonstration has left, at most 80 columns wide in the default home."""
    home = _relative(settings.home)
    belink = _program("belink") + ("" if settings.home == load().home else f" --home {home}")
    store = without_password(settings.tracking_uri).replace(str(settings.home), str(home))
    return f"""
Next
  what there is    {belink} status
  link a text      {belink} link "a text about asthma" --linker {LINKER}
  the page         {belink} serve {LINKER}
                   then open http://127.0.0.1:8000
  the registry     DO_NOT_TRACK=true {_program("mlflow")} ui --port 5000 \\
                     --backend-store-uri {store}
                   then open http://127.0.0.1:5000
  the flow runs    PREFECT_HOME={home / "prefect"} \\
                     PREFECT_SERVER_ANALYTICS_ENABLED=false \\
                     {_program("prefect")} server start
                   then open http://127.0.0.1:4200

Everything lies in {home}; delete that folder to start again."""


def _program(name: str) -> str:
    """Return how to call a program of this environment from the current folder."""
    # A user may have called belink by its path, without activating the environment.
    path = Path(sys.executable).with_name(name)
    return name if shutil.which(name) == str(path) else str(_relative(path))


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

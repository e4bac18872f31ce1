"""``belink demo``: the whole loop on the two sample releases, told as it happens."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
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

Say = Callable[..., None]


def run(here: settings.Settings, *, say: Say) -> dict[str, Any]:
    """Both releases refreshed, the change between them, and a linked paragraph, as one JSON document.

    Works in ``home/demo``, which each run makes anew.
    """
    from belink.flows.refresh import run as refresh

    home = here.home / "demo"
    shutil.rmtree(home, ignore_errors=True)
    here = replace(here, home=home, tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    samples = settings.shipped_ontologies() / "samples"

    outcomes = []
    for number, version in enumerate(RELEASES, 1):
        file = samples / f"{ONTOLOGY}-{version}.obo"
        say(f"\n[{number}/3] release {version} of {ONTOLOGY} → refresh {LINKER}")
        started = time.monotonic()
        outcome = refresh(here, LINKER, {ONTOLOGY: [file]}, "auto").to_dict()
        outcome["seconds"] = round(time.monotonic() - started, 1)
        if number > 1:
            change = commands.compare(here, ONTOLOGY, *RELEASES, examples=3)
            say(show.diff(change))
        say(show.refreshed(outcome))
        say(f"{outcome['seconds']} s")
        outcomes.append(outcome)

    say("\n[3/3] a paragraph, linked by the champion")
    linked = commands.link(here, LINKER, PARAGRAPH, None, None, None)
    say(PARAGRAPH + "\n")
    say(show.links(linked["links"]))
    for line in _where(here):
        say(line)
    return {"home": str(home), "refreshes": outcomes, "diff": change, "links": linked["links"]}


def _where(here: settings.Settings) -> list[str]:
    home = _short(here.home)
    return [
        f"\nEverything lies below {home}: releases/ indices/ adapters/ bundles/, mlflow.db and artifacts/ (registry).",
        f'  link a text   .venv/bin/belink --home {home} link "a text about asthma" --linker {LINKER}',
        f"  the registry  .venv/bin/mlflow ui --backend-store-uri sqlite:///{home}/mlflow.db",
        f"  the flows     PREFECT_HOME={here.home / 'prefect'} .venv/bin/prefect server start",
    ]


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

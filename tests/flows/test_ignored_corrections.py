"""Corrections of a linker that was not declared to learn from them: each place says so, until it is declared."""

import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from belink.cli import corrections
from belink.corpora import feedback
from belink.flows import refresh
from belink.linker.linker import Linker
from belink.registry import aliases
from tests.support import small
from tests.support.serving import serving

pytestmark = pytest.mark.usefixtures("prefect")


def test_ignored_corrections_are_told_everywhere_and_learned_once_it_is_declared(
    refreshed_homes: small.Homes, models: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = refreshed_homes.copy(tmp_path, small.RELEASES[0])
    toml = small.linker(tmp_path, models)
    file = small.release(tmp_path / "files", small.RELEASES[0])
    linker = Linker(aliases.bundle_path(here, "small")[0], here.cache)
    name = next(linker.index.names())
    concept = linker.search(name)[0].id

    def refreshed() -> dict[str, Any]:
        caplog.clear()
        logger = logging.getLogger("belink")
        logger.addHandler(caplog.handler)  # Prefect takes handlers from the root
        try:
            return refresh.run(here, str(toml), {small.ONTOLOGY: [file]}, "never").to_dict()
        finally:
            logger.removeHandler(caplog.handler)

    assert refreshed()["outcome"] == "unchanged"
    assert "teach nothing" not in caplog.text, "there are none"
    line = {"id": "1", "text": f"A {name}.", "mentions": [{"start": 2, "end": 2 + len(name), "ids": [concept]}]}
    (tmp_path / "labelled.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    imported = corrections.import_corrections(here, "small", tmp_path / "labelled.jsonl", "anna")
    assert "small: corrections are stored and teach nothing" in corrections.imported(imported)
    listed = corrections.list_corrections(here, "small")
    assert [row["state"] for row in listed["corrections"]] == ["ignored"]
    assert "add both lines to its TOML and refresh" in corrections.listed(listed)
    queue = corrections.review(here, "small", tmp_path / "labelled.jsonl", 1, tmp_path / "queue.jsonl")
    assert "teach nothing" in corrections.queued(queue)
    given = {"text": "No asthma.", "start": 3, "end": 9, "verdict": "nil", "who": "ben"}
    with serving(here, "small", feedback=True) as server:
        assert httpx.post(f"{server.url}/feedback", json=given, timeout=60).json()["ignored"] is True
    assert refreshed()["outcome"] == "unchanged"
    assert "small: 2 corrections are stored and teach nothing" in caplog.text

    toml.write_text(f"{toml.read_text('utf-8')}\n[[corpora]]\nfeedback = true\n", encoding="utf-8")
    assert refreshed()["outcome"] == "promoted"
    assert "teach nothing" not in caplog.text
    listed = corrections.list_corrections(here, "small")
    assert "ignored" not in [row["state"] for row in listed["corrections"]] and not listed["ignored"]
    with serving(here, "small", feedback=True) as server:
        assert httpx.post(f"{server.url}/feedback", json=given, timeout=60).json()["ignored"] is False
    # Withdrawn corrections leave the declaration as it is: nothing speaks of ignoring.
    for row in listed["corrections"]:
        feedback.withdraw(here, "small", row["id"], row["who"])
    assert not corrections.list_corrections(here, "small")["ignored"]

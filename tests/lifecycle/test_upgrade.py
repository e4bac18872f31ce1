"""A champion that an earlier belink made is taken on, though its declarations have options that were removed since."""

import json
from pathlib import Path
from typing import Any

import pytest

from belink import artefacts, declarations
from belink.lifecycle import refresh, retrain
from belink.lifecycle.refresh import Champion, RefreshRun
from belink.linker import bundle, prompts, reranker
from belink.settings import Settings
from tests.support import made_releases, small

OPTIONS = {
    "training": {"residual": 1.0, "order": "shuffled", "inserted": 0.5, "lora_dropout": 0.0},
    "adaptation": {"hard_negatives": 5},
}


@pytest.fixture
def run(here: Settings, tmp_path: Path, models: dict[str, str]) -> RefreshRun:
    return refresh.start(here, str(small.linker(tmp_path / "declared", models)))


def old_champion(run: RefreshRun, folder: Path, training: dict[str, Any]) -> Champion:
    """Write the parts of a bundle that decide whether its adapter is kept, as they were written before."""
    stored = run.linker.model_dump(mode="json")
    for section, options in OPTIONS.items():
        stored[section] |= options
    adapter = folder / bundle.ADAPTER
    adapter.mkdir(parents=True)
    (folder / bundle.LINKER).write_text(json.dumps(stored))
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    manifest = {
        "base": {"sha256": retrain.base_model(run).sha256},
        "prompts": prompts.VERSION,
        "asking": reranker.question_settings(run.linker.reranker),
        "training": {**stored["training"], **training},
    }
    artefacts.write_manifest(adapter, manifest)
    about = {"adapter": "0123456789abcdef", "encoder": {}, "inputs": {"corpora": dict(run.corpora), "adapter": {}}}
    return Champion(version="1", path=folder, manifest=about)


def test_options_are_those_that_were_removed() -> None:
    assert {f"{s}.{o}" for s, options in OPTIONS.items() for o in options} <= set(declarations.REMOVED_OPTIONS)


def test_an_old_adapter_is_kept(run: RefreshRun, tmp_path: Path) -> None:
    releases = {small.ONTOLOGY: made_releases.release(tmp_path / "2", made_releases.concept(1, "gout"))}
    decision = retrain.decide(run, releases, old_champion(run, tmp_path / "old", {}), {})
    assert not decision.train
    assert decision.adapter == run.settings.adapters / run.linker.name / "0123456789abcdef"
    assert (decision.adapter / "adapter_model.safetensors").read_bytes() == b"weights"


def test_an_old_adapter_of_another_recipe_is_trained_anew(run: RefreshRun, tmp_path: Path) -> None:
    releases = {small.ONTOLOGY: made_releases.release(tmp_path / "2", made_releases.concept(1, "gout"))}
    decision = retrain.decide(run, releases, old_champion(run, tmp_path / "old", {"epochs": 9.0}), {})
    assert decision.train
    assert decision.reason == "the declared training is another than the champion's"

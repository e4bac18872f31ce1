"""The shipped linkers of large models, refreshed with tiny models of the same architectures: BERT and Qwen3."""

from collections.abc import Callable
from pathlib import Path

import pytest

from belink import artefacts
from belink.declarations import load_linker
from belink.flows import refresh
from belink.linker import bundle
from belink.records import Mention
from belink.registry import aliases
from belink.registry.open import open_linker
from belink.settings import Settings, shipped_linkers
from belink.training.footprint import footprint
from tests.support import small
from tests.support.tiny import tiny_causal_lm, tiny_encoder

pytestmark = pytest.mark.heavy
NAMES = ("disease-large", "chemical-large")
ENCODER = "hf:cambridgeltl/SapBERT-from-PubMedBERT-fulltext"


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """References of a tiny BERT and a tiny Qwen3, by the part of the linker that they take."""
    folder = tmp_path_factory.mktemp("tiny")
    return {
        "encoder": f"path:{tiny_encoder(folder / 'bert')}",
        "reranker": f"path:{tiny_causal_lm(folder / 'qwen3', architecture='Qwen3')}",
    }


def with_tiny_models(name: str, references: dict[str, str], folder: Path) -> Path:
    """Return the declaration of a shipped linker, its models, ontology, corpora and gates replaced by small ones."""
    declared = load_linker(name)
    text = (shipped_linkers() / f"{name}.toml").read_text(encoding="utf-8")
    kept, _, _ = text.partition("[gates]")
    for given, tiny in {
        declared.encoder.model: references["encoder"],
        declared.reranker.model: references["reranker"],
        declared.ontologies[0]: small.ONTOLOGY,
        "steps = 300": "steps = 2\nbatch_size = 16",
        "epochs = 3": "epochs = 0.2",
    }.items():
        assert given in kept
        kept = kept.replace(given, tiny)
    # Both declarations are asked about a few items only.
    head, _, rest = kept.partition("[evaluation]")
    kept = f"{head}[evaluation]\nitems = 30\ncorpus_items = 20\nindex_queries = 50\n{rest}"
    path = folder / f"{name}.toml"
    gates = "max_accuracy_loss = 1.0\nmax_ece = 1.0\nreranking_helps = 1.0\nmax_latency_ratio = 1000.0"
    corpus = '[[corpora]]\nname = "sample"\nfile = "$SAMPLES/corpus.jsonl"'
    path.write_text(f"{kept}[gates]\n{gates}\n{corpus}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_large_linker_names_sapbert_and_qwen3(name: str) -> None:
    linker = load_linker(name)
    assert (linker.encoder.model, linker.encoder.pooling) == (ENCODER, "cls")
    assert linker.reranker.model.startswith("hf:Qwen/Qwen3-")
    assert linker.corpora == load_linker(name.removesuffix("-large")).corpora
    assert linker.schedule == ""


@pytest.mark.parametrize("name", NAMES)
def test_the_memory_of_a_large_linkers_training_is_predicted(
    name: str, references: dict[str, str], tmp_path: Path
) -> None:
    linker = load_linker(str(with_tiny_models(name, references, tmp_path)))
    predicted = footprint(linker, tmp_path, "cpu")
    assert predicted.gradient_checkpointing == (name == "chemical-large")
    assert predicted.trained > 0
    assert predicted.advice == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_large_linker_is_refreshed_and_links(
    name: str, references: dict[str, str], tmp_path: Path, make_home: Callable[[Path], Settings], prefect_server: Path
) -> None:
    settings, declared = make_home(tmp_path), with_tiny_models(name, references, tmp_path)
    file = small.release(tmp_path / "files", small.RELEASES[0])
    outcome = refresh.run(settings, str(declared), {small.ONTOLOGY: [file]}).to_dict()
    assert (outcome["outcome"], outcome["trained"]) == ("promoted", True)
    folder, _ = aliases.bundle_path(settings, name)
    adapter = artefacts.read_manifest(folder / bundle.ADAPTER)
    assert adapter["base"]["reference"] == references["reranker"]
    (link,) = open_linker(settings, name).link([Mention(text="breast carcinoma")])
    assert 0 <= link.probability <= 1

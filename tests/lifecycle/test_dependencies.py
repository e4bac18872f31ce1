"""Every field of a declaration either changes the key of an artefact or is listed, with a reason, as not content."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from belink import artefacts
from belink.declarations import REMOVED_OPTIONS, CorpusConfig, LinkerConfig, SourceConfig, read_stored_linker
from belink.lifecycle import dependencies, promotion
from belink.linker import bundle, calibration, name_finder, prompts
from belink.ontology import ingest
from belink.records import Mention
from belink.retrieval import index
from belink.text import normalise
from belink.training.splits import EvaluationItem

pytestmark = pytest.mark.filterwarnings("error::UserWarning")  # pydantic warns where a value is not of the field's type

RECORDED = json.loads(Path(__file__).with_name("recorded_keys.json").read_text(encoding="utf-8"))
LINKERS = ["sample", "disease", "chemical", "mondo"]
LINKER = LinkerConfig(
    name="x", title="X", ontologies=("x",), corpora=(CorpusConfig(name="c", file="c.jsonl", use="train"),)
)
SOURCE = SourceConfig(name="x", title="X", format="obo", prefixes=("X",), licence="CC0")
# One of them is valid for each field that is empty by default.
GIVEN = ("x", 1, ("x",), {"id": "x", "label": "x"}, {"name": "x", "file": "x"})
Key = Callable[[LinkerConfig, Mapping[str, Path]], str]


def corpora_of(linker: LinkerConfig) -> dict[str, str]:
    return {corpus.name: str(number) * 64 for number, corpus in enumerate(linker.corpora, 1)}


def index_key(linker: LinkerConfig, releases: Mapping[str, Path]) -> str:
    encoder: Any = SimpleNamespace(fingerprint="f" * 16)
    return artefacts.key(index._about(list(releases.values()), linker, encoder, [("a", "X:1")]))


KEYS: dict[str, Key] = {
    "encoder": lambda linker, releases: dependencies.encoder_key(
        linker, releases, corpora_of(linker), base_sha256="b" * 64
    ),
    "adapter": lambda linker, releases: dependencies.adapter_key(
        linker, releases, corpora_of(linker), base_sha256="b" * 64
    ),
    "calibration": lambda linker, _: dependencies.calibration_key(linker, "i" * 16, "a" * 16, corpora_of(linker)),
    "lexicon": lambda linker, _: dependencies.lexicon_key(linker, "i" * 16, corpora_of(linker)),
    "inputs": lambda linker, _: dependencies.inputs_key(linker, {"x": (SOURCE, "s")}, corpora_of(linker)),
    "index": index_key,
}
NOT_CONTENT = {
    "encoder": (dependencies.ENCODER_NOT_CONTENT, {"training.held_out"}),
    "adapter": (dependencies.ADAPTER_NOT_CONTENT, set()),
    "calibration": (
        dependencies.CALIBRATION_NOT_CONTENT,
        {"training.held_out", "training.nil_share", "detector.learn", "detector.model"},
    ),
    "lexicon": (dependencies.LEXICON_NOT_CONTENT, {"training.held_out"}),
    "inputs": (dependencies.INPUTS_NOT_CONTENT, set()),
    "index": (index.NOT_CONTENT, {"retrieval.exact_below"}),
}


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return made_releases(tmp_path_factory.mktemp("releases"), {"x": "r"})


def made_releases(folder: Path, readings: Mapping[str, str]) -> dict[str, Path]:
    """Folders with the manifests of releases, as the recorded keys were made with."""
    paths = {}
    for number, (name, reading) in enumerate(readings.items()):
        paths[name] = folder / name
        paths[name].mkdir()
        sums = {"sha256": f"a{number}", "database_sha256": f"d{number}", "content_sha256": f"c{number}"}
        artefacts.write_manifest(paths[name], {"ontology": name, "version": "2025", **sums, "reading": reading})
    return paths


def changed(config: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Each field's dotted name, and the configuration with only that field changed."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            for path, inner in changed(value, f"{above}{name}."):
                yield path, config.model_copy(update={name: inner})
        elif name == "corpora":
            for path, inner in changed(value[0], "corpora."):
                yield path, config.model_copy(update={name: (inner,)})
        else:
            yield f"{above}{name}", config.model_copy(update={name: another(value, field.annotation)})


def another(value: Any, annotation: Any) -> Any:
    """A value of the field's type that is not ``value``."""
    if get_origin(annotation) is Literal:
        return next(choice for choice in get_args(annotation) if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    choices = [annotation, *(get_args(annotation) if value is None else ())]  # of "type | None"
    for choice in choices:
        if get_origin(choice) is dict:
            return {**(value or {}), "x": an_instance(get_args(choice)[1])}
        if get_origin(choice) is tuple and not value:
            return (an_instance(get_args(choice)[0]),)
    if isinstance(value, tuple):
        return (*value[1:], "label") if value[0] != "label" else (*value, "related")[1:]
    return an_instance(annotation)


def an_instance(annotation: Any) -> Any:
    """A value of that type, which is not ``None``; patterns and bounds are left out of account."""
    if get_origin(annotation) is Annotated:
        return an_instance(get_args(annotation)[0])
    for given in (*GIVEN, *get_args(annotation)):
        try:
            return TypeAdapter(annotation).validate_python(given)
        except ValidationError:
            continue
    raise AssertionError(f"expected a value of the type {annotation}, found none")


def is_listed(path: str, listed: Mapping[str, str], but: set[str]) -> bool:
    parts = path.split(".")
    return path not in but and any(".".join(parts[: n + 1]) in listed for n in range(len(parts)))


@pytest.mark.parametrize("stage", list(KEYS))
def test_every_field_of_a_linker_is_content_or_listed(stage: str, releases: dict[str, Path]) -> None:
    key, (listed, but) = KEYS[stage], NOT_CONTENT[stage]
    before = key(LINKER, releases)
    paths = []
    for path, config in changed(LINKER):
        paths.append(path)
        assert (key(config, releases) == before) == is_listed(path, listed, but), path
    assert len(paths) > 70
    assert set(listed) <= {".".join(path.split(".")[: n + 1]) for path in paths for n in range(2)}


def test_every_field_of_a_source_decides_the_release_or_is_listed() -> None:
    before = ingest._reading(SOURCE)
    paths = []
    for path, config in changed(SOURCE):
        paths.append(path)
        assert (ingest._reading(config) == before) == is_listed(path, ingest.NOT_READING, set()), path
    assert len(paths) > 25


@pytest.mark.parametrize("stage", list(KEYS))
def test_every_listed_field_has_a_reason(stage: str) -> None:
    listed, but = NOT_CONTENT[stage]
    assert all(len(reason.split()) >= 1 for reason in listed.values())
    assert all(is_listed(path, listed, set()) for path in but), "only a listed section needs an exception"


@pytest.fixture
def rules_as_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = RECORDED["rules"]
    monkeypatch.setattr(calibration, "rules", lambda: rules["calibration"])
    monkeypatch.setattr(name_finder, "VERSION", rules["lexicon"])
    monkeypatch.setattr(prompts, "VERSION", rules["prompts"])
    monkeypatch.setattr(normalise, "VERSION", rules["text"])
    monkeypatch.setattr(bundle, "FORMAT", rules["bundle"])
    monkeypatch.setattr(index, "FORMAT", rules["index"][0])
    monkeypatch.setattr(index, "RECIPE", rules["index"][1])


@pytest.mark.usefixtures("rules_as_recorded")
@pytest.mark.parametrize("name", LINKERS)
def test_artefacts_of_an_earlier_belink_are_found_again(name: str, tmp_path: Path) -> None:
    recorded = RECORDED[name]
    (tmp_path / "linker.json").write_text(json.dumps(recorded["declaration"]))
    linker = read_stored_linker(tmp_path / "linker.json")
    sources = {name: SourceConfig.model_validate(source) for name, source in recorded["sources"].items()}
    readings = {name: ingest._reading(source) for name, source in sources.items()}
    paths = made_releases(tmp_path, readings)
    found: dict[str, Any] = {stage: key(linker, paths) for stage, key in KEYS.items() if stage != "encoder"}
    steps = linker.adaptation.steps or 100
    tuned = linker.model_copy(update={"adaptation": linker.adaptation.model_copy(update={"steps": steps})})
    found["encoder"] = KEYS["encoder"](tuned, paths)
    shas = {name: (source, f"s{number}") for number, (name, source) in enumerate(sources.items())}
    found["inputs"] = dependencies.inputs_key(linker, shas, corpora_of(linker))
    expected = recorded["keys"]
    if recorded["declaration"]["training"]["residual"]:  # trains otherwise now that the option is gone
        assert all(found.pop(stage) != expected.pop(stage) for stage in ("adapter", "inputs"))
    assert {**found, "reading": readings} == expected


def test_a_removed_option_has_the_value_that_stands_for_it_in_keys() -> None:
    no_content = {option for option in REMOVED_OPTIONS if option.split(".")[0] in dependencies.INPUTS_NOT_CONTENT}
    assert set(REMOVED_OPTIONS) - no_content == {*dependencies.RETIRED_ADAPTATION, *dependencies.RETIRED_TRAINING}


def test_an_evaluation_of_an_earlier_belink_is_found_again() -> None:
    mention = Mention(text="AD", is_nil=True, is_found=True, document="d")
    item = EvaluationItem(mention=mention, source="names", without=("X:1",))
    assert artefacts.key(promotion.item_content(item)) == "7cebaf6f00d4d279"

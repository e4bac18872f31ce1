"""A refresh leads from files to a champion, or says why not; again, it finds what is done."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest

from belink import artefacts, settings
from belink.cli import commands, show
from belink.cli.show_status import status
from belink.declarations import load_source
from belink.errors import DeclarationError, RegistryError, ReleaseError, SourceError
from belink.flows import refresh
from belink.lifecycle import calibrate, ontology, promotion, retrain
from belink.lifecycle import refresh as steps
from belink.linker import bundle, calibration, fitting
from belink.linker.linker import Linker
from belink.ontology.ingest import ingest
from belink.records import Mention
from belink.registry import aliases, history, tags
from belink.registry.status import read_status
from belink.serve import following
from belink.settings import Settings
from belink.text import normalise
from tests.support import small, warm

FIRST, SECOND = small.RELEASES


pytestmark = pytest.mark.usefixtures("prefect")


# Between the two releases the first concept leads to another one, the second is retired, and the third is new.
NOTES = "Asperger syndrome was ruled out. He had epilepsia partialis continua. She had acquired hypothalamic obesity."


class Bench:
    """A home, and refreshes of the small linker in it."""

    def __init__(self, folder: Path, models: dict[str, str], make_home: Callable[[Path], Settings]) -> None:
        self.folder = folder
        self.models = models
        self.here = make_home(folder)
        self.toml = small.linker(folder, models)

    def refresh(self, version: str, retrain: str = "auto", **cut: float) -> dict[str, Any]:
        file = small.release(self.folder / "files", version, **cut)
        return refresh.run(self.here, str(self.toml), {small.ONTOLOGY: [file]}, retrain).to_dict()

    def declare(self, **parts: str) -> None:
        small.linker(self.folder, self.models, **parts)


@pytest.fixture
def bench(tmp_path: Path, models: dict[str, str], make_home: Callable[[Path], Settings]) -> Bench:
    return Bench(tmp_path, models, make_home)


@pytest.fixture
def promoted(bench: Bench, refreshed_homes: small.Homes) -> Bench:
    """A bench whose home has the first release as champion."""
    shutil.rmtree(bench.here.home)
    bench.here = refreshed_homes.copy(bench.folder, FIRST)
    return bench


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory,
    models: dict[str, str],
    make_home: Callable[[Path], Settings],
    prefect_server: Path,
) -> tuple[Bench, list[dict[str, Any]]]:
    """The story that most tests read: a first release, a second one, the second again."""
    bench = Bench(tmp_path_factory.mktemp("told"), models, make_home)
    (bench.folder / "notes.txt").write_text(NOTES, encoding="utf-8")
    watch = '[[watch]]\nname = "notes"\nfile = "notes.txt"'
    bench.declare(more=f"[adaptation]\nsteps = 4\nbatch_size = 16\nlearning_rate = 1e-3\n{watch}")
    return bench, [bench.refresh(FIRST), bench.refresh(SECOND), bench.refresh(SECOND)]


def test_the_first_release_becomes_champion(told: tuple[Bench, list[dict[str, Any]]]) -> None:
    first = told[1][0]
    assert (first["outcome"], first["version"], first["champion"]) == ("promoted", "1", "1")
    assert first["encoded"] > 500
    assert first["reused"] == 0
    assert first["trained"]
    assert {"name", "value", "bound", "passed"} <= first["gates"][0].keys()


def test_the_second_encodes_only_new_names_and_keeps_the_adapter(told: tuple[Bench, list[dict[str, Any]]]) -> None:
    first, second = told[1][:2]
    assert (second["outcome"], second["version"], second["champion"]) == ("promoted", "2", "2")
    assert 0 < second["encoded"] < 0.2 * first["encoded"]
    assert second["reused"] > 0.9 * first["encoded"]
    assert not second["trained"]
    assert {gate["name"] for gate in second["gates"]} >= {"not_below_champion", "latency_ratio"}


def test_unchanged_sources_change_nothing(told: tuple[Bench, list[dict[str, Any]]]) -> None:
    bench, (_, second, again) = told
    assert (again["outcome"], again["version"], again["champion"]) == ("unchanged", "2", "2")
    assert again["encoded"] == 0
    assert again["reused"] == second["encoded"] + second["reused"]
    assert aliases.aliases(bench.here, "small") == {"champion": "2", "previous": "1", "challenger": "2"}


def test_nothing_new_is_found_out_without_prefect_or_models(told: tuple[Bench, list[dict[str, Any]]]) -> None:
    bench, _ = told
    file = small.release(bench.folder / "files", SECOND)
    code = f"""
import json, sys
from pathlib import Path
from belink import settings
from belink.flows.refresh import run
answer = run(settings.load(Path({str(bench.here.home)!r})), {str(bench.toml)!r},
             {{{small.ONTOLOGY!r}: [Path({str(file)!r})]}})
heavy = [name for name in ("torch", "transformers", "faiss", "prefect", "sklearn") if name in sys.modules]
print(json.dumps([answer.outcome, heavy]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["unchanged", []]


@pytest.mark.parametrize(
    ("rules", "fault"), [(calibration, "refresh the linker"), (normalise, "normalised by version")]
)
def test_a_champion_of_other_rules_is_refreshed_and_lends_its_parts(
    told: tuple[Bench, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, rules: ModuleType, fault: str
) -> None:
    bench, _ = told
    run = steps.start(bench.here, str(bench.toml))
    file = small.release(bench.folder / "files", SECOND)
    files = {small.ONTOLOGY: ontology.fetch(run.ontologies[small.ONTOLOGY], [file])}
    current = steps.read_champion(run)
    assert current is not None and steps.is_unchanged(run, files, current)
    monkeypatch.setattr(rules, "VERSION", rules.VERSION + 1)
    assert not steps.is_unchanged(run, files, current)
    upgraded = steps.read_champion(run)
    assert upgraded is not None and fault in upgraded.fault
    assert steps.sound(upgraded) is None

    # An upgrade of belink costs a calibration, not a training.
    releases = steps.newest_releases(run)
    decision = retrain.decide(run, releases, upgraded, steps.compare(upgraded, releases))
    assert not decision.train
    assert decision.adapter is not None and decision.adapter.name == current.manifest["adapter"]
    assert decision.drift == current.manifest["inputs"]["adapter"]["drift"] > 0
    assert calibrate.kept_calibration(run, decision, upgraded) is None


def test_what_a_question_must_win_is_calibrated_for_without_training_again(
    told: tuple[Bench, list[dict[str, Any]]], tmp_path: Path
) -> None:
    bench, _ = told
    toml = tmp_path / bench.toml.name
    toml.write_text(bench.toml.read_text().replace("options = 4", "options = 4\nmin_gain = 0.5"))
    shutil.copy(bench.folder / "notes.txt", tmp_path)  # watched
    run = steps.start(bench.here, str(toml))
    releases, current = steps.newest_releases(run), steps.read_champion(run)
    decision = retrain.decide(run, releases, current, {})
    assert not decision.train
    index = steps.build_index(run, releases, current, decision.encoder).path
    with mock.patch.object(fitting, "fit", wraps=fitting.fit) as fit:
        calibrate.calibrate(run, releases, index, decision, current)
    assert [call.kwargs for call in fit.call_args_list] == [{"min_gain": 0.5, "precision": 0.9}]


def test_damage_on_the_disk_never_goes_into_the_next_champion(
    told: tuple[Bench, list[dict[str, Any]]], tmp_path: Path
) -> None:
    bench, _ = told
    here = settings.load(tmp_path / "copy")  # a copy shares no bytes with the original; within it nothing is linked
    shutil.copytree(bench.here.home, here.home)
    parts = [*here.indices.glob("small/*/vectors.npy"), *here.adapters.glob("small/*/adapter_model.safetensors")]
    sound = {path: path.read_bytes() for path in parts}
    assert len(sound) >= 3
    for path, content in sound.items():
        third = len(content) // 3
        path.write_bytes(content[:third] + bytes(third) + content[2 * third :])
    file = small.release(bench.folder / "files", FIRST)
    outcome = refresh.run(here, str(bench.toml), {small.ONTOLOGY: [file]})
    assert outcome.outcome == "promoted"
    bundle_folder, version = aliases.bundle_path(here, "small")
    assert version == outcome.version == "3"
    first, _ = aliases.bundle_path(here, "small", "1")
    vectors, expected = (np.load(folder / "index" / "vectors.npy") for folder in (bundle_folder, first))
    np.testing.assert_array_equal(vectors, expected)
    assert artefacts.damaged_file(bundle_folder / bundle.ADAPTER) is None


def test_a_champion_with_other_bytes_is_replaced(told: tuple[Bench, list[dict[str, Any]]], tmp_path: Path) -> None:
    bench, _ = told
    here = settings.load(tmp_path / "copy")
    shutil.copytree(bench.here.home, here.home)
    path, _ = aliases.bundle_path(here, "small")
    calibration = (path / bundle.CALIBRATION).read_text()
    (path / bundle.CALIBRATION).write_text(calibration.replace("1", "2", 1))
    champion = steps.read_champion(steps.start(here, str(bench.toml)))
    assert champion is not None and bundle.CALIBRATION in champion.fault and not champion.is_whole


def test_the_bundle_tells_what_it_was_made_of(told: tuple[Bench, list[dict[str, Any]]]) -> None:
    bench, _ = told
    path, version = aliases.bundle_path(bench.here, "small")
    manifest = bundle.check(path)
    assert version == "2"
    assert manifest["releases"][small.ONTOLOGY]["version"] == SECOND
    assert manifest["lineage"]["releases"] == f"{small.ONTOLOGY} {SECOND}"
    assert "names_added" in (path / "diffs" / f"{small.ONTOLOGY}.md").read_text().replace(" ", "_")
    evaluation = json.loads((path / bundle.EVALUATION).read_text())
    assert evaluation["champion"]["n"] == evaluation["challenger"]["n"]
    assert {"from names", "from sample"} <= evaluation["challenger"]["strata"].keys()
    assert not [file for file in path.rglob("*") if file.suffix in (".pkl", ".pt", ".pth", ".bin")]


def test_the_bundle_carries_the_encoder_that_was_adapted_for_the_first_release(
    told: tuple[Bench, list[dict[str, Any]]],
) -> None:
    bench, _ = told
    (adapted,) = (path for path in (bench.here.home / "encoders" / "small").iterdir() if path.is_dir())
    for version in ("1", "2"):
        path, _ = aliases.bundle_path(bench.here, "small", version)
        assert bundle.check(path)["encoder"]["adapted"] == adapted.name
        weights = [folder / "model.safetensors" for folder in (path / bundle.ENCODER, adapted)]
        assert artefacts.sha256(weights[0]) == artefacts.sha256(weights[1])
    linker = Linker(path, bench.here.cache)
    assert linker.encoder.fingerprint == linker.index.manifest["encoder"]
    assert linker.link_text("Type 2 diabetes mellitus runs in families.") is not None


def test_status_names_the_release_in_use(told: tuple[Bench, list[dict[str, Any]]]) -> None:
    bench, answers = told
    (linker,) = read_status(bench.here)["linkers"]
    assert linker["releases"] == {small.ONTOLOGY: SECOND}
    promoted = next(answer for answer in answers if answer["version"] == "2")
    assert promoted["abstention"]["declared"] == 0.9
    assert linker["abstention"] == promoted["abstention"]
    # The third refresh found the second release again.
    last = linker["last_refresh"]
    assert (last["outcome"], last["version"], last["failed_gates"]) == ("unchanged", "2", [])
    assert {"index", "adapter"} <= linker["built_from"].keys()
    assert linker["newer"] == {}


def test_a_version_describes_itself(told: tuple[Bench, list[dict[str, Any]]]) -> None:
    from belink.registry.store import setup

    bench, (_, second, _) = told
    client = setup(bench.here)
    version = client.get_model_version("small", "2")
    for said in (SECOND, "CC BY 4.0", "Vasilevsky", "accuracy_at_1", "not_below_champion", "95 % interval"):
        assert said in version.description
    path, _ = aliases.bundle_path(bench.here, "small")
    files = artefacts.read_manifest(path)["files"]
    assert set(version.tags) <= set(tags.OF_VERSIONS)
    params = client.get_run(version.run_id).data.params
    assert params["adapter.sha256"] == files["adapter/adapter_model.safetensors"]["sha256"]
    assert params["index.sha256"] in {file["sha256"] for file in files.values()}
    experiment = client.get_experiment_by_name("belink").experiment_id
    (model,) = client.search_logged_models([experiment], filter_string=f"source_run_id = '{version.run_id}'")
    accuracy = {metric.key: metric.value for metric in model.metrics}["accuracy_at_1"]
    (gate,) = [gate for gate in second["gates"] if gate["name"] == "not_below_champion"]
    assert 0 <= accuracy <= 1 and gate["value"] is not None
    first_line = version.description.splitlines()[0]
    assert first_line.startswith(f"accuracy {accuracy:.3f} on ") and f"{small.ONTOLOGY} {SECOND}" in first_line
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    plots = {Path(each.path).name for each in client.list_artifacts(version.run_id, "plots")}
    assert plots >= {"reliability.png", "strata.png"}
    inputs = run.inputs
    assert {entry.dataset.name for entry in inputs.dataset_inputs} == {f"{small.ONTOLOGY} {SECOND}", "sample"}
    assert {entry.model_id for entry in inputs.model_inputs} == {model.model_id}


def test_reports_are_kept_as_prefect_artifacts(told: tuple[Bench, list[dict[str, Any]]]) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        artifacts = {artifact.key: artifact for artifact in client.read_artifacts()}
    assert {f"diff-{small.ONTOLOGY}", "index-small", "gates-small"} <= artifacts.keys()
    gates = artifacts["gates-small"]
    assert gates.type == "table" and gates.description.startswith("Linker small version ")


def test_a_refresh_tells_what_it_changes_in_watched_text(told: tuple[Bench, list[dict[str, Any]]]) -> None:
    from prefect.client.orchestration import get_client

    bench, (first, second, again) = told
    assert "impact" not in first and "impact" not in again, "without another champion there is nothing to compare"
    impact = second["impact"]["notes"]
    counts = {cause: count for cause, count in impact["counts"].items() if count}
    assert counts == {"id replaced": 1, "concept obsolete": 1, "new concept": 1}
    assert (impact["mentions"], impact["changed"], impact["unexplained_changes"]) == (3, 3, 0)
    assert "text notes: 3 of 3 links change, 0 of them unexplained" in show.refreshed(second)
    by_hand = commands.impact(bench.here, "small", "1", "2", bench.folder / "notes.txt", None)
    assert by_hand["counts"] == impact["counts"]
    (replaced,) = by_hand["examples"]["id replaced"]
    assert (replaced["text"], replaced["old"]["id"], replaced["new"]["id"]) == (
        "Asperger syndrome",
        "MONDO:0005259",
        "MONDO:0100610",
    )
    assert replaced["sentence"] == "Asperger syndrome was ruled out."
    (stored,) = [path.read_text("utf-8") for path in (bench.here.home / "artifacts").rglob("impact-notes.md")]
    assert "concept obsolete" in stored
    # The refresh after it compared nothing, and the version still tells.
    (linker,) = read_status(bench.here)["linkers"]
    assert "impact" not in linker["last_refresh"] and linker["impact"]["notes"] == impact
    said = status(read_status(bench.here))
    assert "When it came, text notes: 3 of 3 links change, 0 of them unexplained" in said
    texts = history.impact(bench.here, "small", "2")
    assert texts is not None and texts["notes"]["examples"]["id replaced"][0]["text"] == "Asperger syndrome"
    with get_client(sync_client=True) as client:
        assert stored in [each.data for each in client.read_artifacts() if each.key == "impact-small-notes"]


@pytest.mark.parametrize(("shown", "answered"), [(True, 2), (False, 1)])
def test_what_a_batch_repeats_is_answered_once(
    told: tuple[Bench, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, shown: bool, answered: int
) -> None:
    bench, _ = told
    linker = Linker(aliases.bundle_path(bench.here, "small")[0], bench.here.cache)
    assert linker.reranker is not None
    reranker = linker.declaration.reranker.model_copy(update={"sentence": shown})
    linker.declaration = linker.declaration.model_copy(update={"reranker": reranker})
    asked: list[Mention] = []
    find = linker.candidates
    monkeypatch.setattr(linker, "candidates", lambda mentions: (asked.extend(mentions), find(mentions))[1])
    mentions = [Mention(text="fever", sentence=sentence) for sentence in ("A fever.", "No fever.", "No fever.")]
    assert [link.mention for link in linker.link(mentions)] == mentions
    assert len(asked) == answered


STORED_EARLIER = Path(__file__).parents[1] / "registry" / "stored_pyfunc_model.py"


@pytest.mark.parametrize("stored", [None, STORED_EARLIER], ids=["now", "by an earlier belink"])
def test_a_process_that_knows_only_mlflow_links_with_the_champion(
    told: tuple[Bench, list[dict[str, Any]]], stored: Path | None
) -> None:
    bench, _ = told
    model = aliases.bundle_path(bench.here, "small")[0].parents[1] / "pyfunc_model.py"
    before = model.read_bytes()
    try:
        model.write_bytes(stored.read_bytes() if stored else before)
        link_with_mlflow_alone(bench)
    finally:
        model.write_bytes(before)


def link_with_mlflow_alone(bench: Bench) -> None:
    names = _names(bench)
    normalise = f"Two siblings had {names[0]}."
    code = f"""
import json, mlflow
mlflow.set_tracking_uri({bench.here.tracking_uri!r})
model = mlflow.pyfunc.load_model("models:/small@champion")
found, marked = model.predict([
    {{"text": {normalise!r}}},
    {{"text": {normalise!r}, "mentions": [{{"start": 4, "end": 12}}], "min_probability": 0.0}},
])
print(json.dumps([found, marked]))
"""
    done = warm.run(["-c", code], env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"})
    assert done.returncode == 0, done.stderr
    found, marked = json.loads(done.stdout.splitlines()[-1])
    (link,) = found["links"]
    assert normalise[link["start"] : link["end"]] == link["text"] == names[0]
    assert link["id"].startswith("MONDO:")
    assert link["release"] == SECOND
    assert 0 <= link["probability"] <= 1
    assert link["candidates"]
    assert found["lineage"]["releases"] == f"{small.ONTOLOGY} {SECOND}"
    assert [link["text"] for link in marked["links"]] == ["siblings"]


def test_a_table_of_documents_is_linked_to_a_table_of_links(told: tuple[Bench, list[dict[str, Any]]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from belink.cli import commands

    bench, _ = told
    names = _names(bench)[:3]
    documents, links = bench.folder / "docs.parquet", bench.folder / "links.parquet"
    pq.write_table(pa.table({"id": ["a", "b", "c"], "text": [f"a case of {name}" for name in names]}), documents)
    answer = commands.link(bench.here, "small", None, documents, links, None)
    assert (answer["documents"], answer["output"]) == (3, str(links))
    rows = pq.read_table(links).to_pylist()
    assert answer["mentions"] == len(rows) >= 3
    assert {(row["document"], row["text"]) for row in rows} >= set(zip("abc", names, strict=True))
    assert {row["model_version"] for row in rows} == {"2"}
    assert {row["releases"] for row in rows} == {f"{small.ONTOLOGY} {SECOND}"}


@pytest.mark.slow
def test_mlflow_serves_the_champion(told: tuple[Bench, list[dict[str, Any]]]) -> None:
    import signal
    import socket
    import time

    import httpx

    bench, _ = told
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # MLflow starts uvicorn by name, so the environment's programs must be found.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": bench.here.tracking_uri}
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", "models:/small@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with (bench.folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 250
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/ping").status_code == 200:
                    break
            except httpx.TransportError:
                assert process.poll() is None, (bench.folder / "serve.log").read_text()
            time.sleep(0.2)
        name = _names(bench)[0]
        asked = {"inputs": [{"text": f"a case of {name}"}, {"text": "of it", "mentions": [{"start": 3, "end": 5}]}]}
        said = httpx.post(f"http://127.0.0.1:{port}/invocations", json=asked, timeout=120).raise_for_status().json()
        found, marked = said["predictions"]
        assert [link["text"] for link in found["links"]] == [name]
        assert [link["text"] for link in marked["links"]] == ["it"]
        assert found["lineage"]["releases"] == f"{small.ONTOLOGY} {SECOND}"
        wrong = httpx.post(f"http://127.0.0.1:{port}/invocations", json={"inputs": [{"body": "x"}]}, timeout=120)
        assert wrong.status_code == 400
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _names(bench: Bench) -> list[str]:
    """Unambiguous labels of two words or more, as the champion's release has them."""
    from belink.ontology.release import open_release

    path, _ = aliases.bundle_path(bench.here, "small")
    with open_release(path / "releases" / small.ONTOLOGY) as release:
        labels = release.concepts_table()["label"].to_pylist()
    return sorted(label for label in labels if label and label.replace(" ", "").isalpha() and label.count(" ") == 1)


def test_a_gate_that_fails_keeps_the_champion_and_says_which(promoted: Bench) -> None:
    promoted.declare(gates="min_accuracy_at_1 = 1.0")
    refused = promoted.refresh(SECOND)
    assert (refused["outcome"], refused["version"], refused["champion"]) == ("rejected", "2", "1")
    assert [gate["name"] for gate in refused["gates"] if not gate["passed"]] == ["accuracy_at_1"]
    (linker,) = read_status(promoted.here)["linkers"]
    assert (linker["champion"], linker["challenger"]) == ("1", "2")
    last = linker["last_refresh"]
    assert (last["outcome"], last["version"], last["failed_gates"]) == ("rejected", "2", ["accuracy_at_1"])
    again = promoted.refresh(SECOND)
    assert (again["outcome"], again["version"]) == ("rejected", "2"), "the same challenger is no new version"


def test_a_release_that_lost_its_half_is_refused_before_anything_is_built(promoted: Bench) -> None:
    refused = promoted.refresh(SECOND, keep=0.5)
    assert (refused["outcome"], refused["version"], refused["champion"]) == ("rejected", None, "1")
    assert "max_shrinkage" in [gate["name"] for gate in refused["gates"] if not gate["passed"]]
    assert f"belink diff {small.ONTOLOGY} {FIRST} rejected" in refused["reason"]
    assert "--accept" in refused["reason"]
    change = commands.compare(promoted.here, small.ONTOLOGY, FIRST, "rejected")
    assert change["removed"] > 100
    assert aliases.aliases(promoted.here, "small")["champion"] == "1"
    assert promoted.refresh(SECOND)["outcome"] == "promoted", "the whole release is taken afterwards"


def test_status_tells_of_a_refresh_that_an_error_ended(promoted: Bench) -> None:
    (broken := promoted.folder / "broken.obo").write_text("garbage\n")
    with pytest.raises(SourceError):
        refresh.run(promoted.here, str(promoted.toml), {small.ONTOLOGY: [broken]})
    (linker,) = read_status(promoted.here)["linkers"]
    assert (linker["champion"], linker["last_refresh"]["outcome"]) == ("1", "failed")
    assert "broken.obo: expected OBO" in linker["last_refresh"]["reason"]


def test_a_refused_release_is_taken_when_somebody_accepts_it(promoted: Bench) -> None:
    half = {small.ONTOLOGY: [small.release(promoted.folder / "files", SECOND, keep=0.5)]}
    assert refresh.run(promoted.here, str(promoted.toml), half).outcome == "rejected"
    taken = refresh.run(promoted.here, str(promoted.toml), half, accept=True)
    assert (taken.outcome, taken.champion) == ("promoted", "2")


def test_a_file_that_was_read_under_another_declaration_is_read_again_as_another_version(bench: Bench) -> None:
    file = small.release(bench.folder / "files", FIRST)
    source = load_source(small.ONTOLOGY)
    ingest(source.model_copy(update={"prefixes": ()}), [file], bench.here)
    with pytest.raises(ReleaseError, match=rf"under another declaration .* --version {FIRST}-2"):
        bench.refresh(FIRST)
    files, versions = {small.ONTOLOGY: [file]}, {small.ONTOLOGY: f"{FIRST}-2"}
    done = refresh.run(bench.here, str(bench.toml), files, versions=versions)
    assert done.outcome == "promoted"
    (linker,) = read_status(bench.here)["linkers"]
    assert linker["releases"] == versions
    assert bench.refresh(FIRST)["outcome"] == "unchanged", "the release that this declaration made is found again"


def test_the_same_files_as_another_version_are_something_new(told: tuple[Bench, list[dict[str, Any]]]) -> None:
    bench, _ = told
    for version, unchanged in ((None, True), (SECOND, True), ("another", False)):
        versions = {} if version is None else {small.ONTOLOGY: version}
        run = steps.start(bench.here, str(bench.toml), versions=versions)
        files = {small.ONTOLOGY: ontology.fetch(run.ontologies[small.ONTOLOGY], [small.release(bench.folder, SECOND)])}
        champion = steps.read_champion(run)
        assert champion is not None
        assert steps.is_unchanged(run, files, champion) is unchanged
    with pytest.raises(DeclarationError, match="expected a version for one of its ontologies mondo-sample, found hp"):
        steps.start(bench.here, str(bench.toml), versions={"hp": "2"})


def test_what_a_linker_leaves_out_is_counted(told: tuple[Bench, list[dict[str, Any]]]) -> None:
    covered = told[1][0]["coverage"][small.ONTOLOGY]
    assert covered["linked"] == covered["concepts"] > 100
    assert covered["left_out"] == {}


def test_what_was_rolled_back_is_not_promoted_again_by_itself(bench: Bench, refreshed_homes: small.Homes) -> None:
    shutil.rmtree(bench.here.home)
    bench.here = refreshed_homes.copy(bench.folder, FIRST, SECOND)
    aliases.rollback(bench.here, "small")
    refused = bench.refresh(SECOND)
    assert (refused["outcome"], refused["champion"]) == ("rejected", "1")
    assert [gate["name"] for gate in refused["gates"] if not gate["passed"]] == ["not_withdrawn"]
    aliases.promote(bench.here, "small", "2")
    assert bench.refresh(SECOND)["outcome"] == "unchanged"


def test_retraining_can_be_ruled_out_and_asked_for(bench: Bench) -> None:
    first = bench.refresh(FIRST, "never")
    assert not first["trained"]
    assert bundle.check(aliases.bundle_path(bench.here, "small")[0])["adapter"] is None
    second = bench.refresh(SECOND, "always")
    assert second["trained"]
    assert bundle.check(aliases.bundle_path(bench.here, "small")[0])["adapter"] is not None


def test_names_that_change_while_training_is_ruled_out_count_later(promoted: Bench) -> None:
    assert not promoted.refresh(SECOND, "never")["trained"]
    made = bundle.check(aliases.bundle_path(promoted.here, "small")[0])["inputs"]["adapter"]
    assert made["drift"] > 0


def test_many_new_names_or_another_recipe_ask_for_training(promoted: Bench) -> None:
    promoted.declare(more="[retrain]\nnames_changed = 0.001")
    assert promoted.refresh(SECOND)["trained"]
    promoted.declare(more="[retrain]\nnames_changed = 1.0", name="small")
    toml = promoted.toml.read_text().replace("questions = 16", "questions = 17")
    promoted.toml.write_text(toml)
    third = promoted.refresh(SECOND)
    assert third["trained"]
    assert "declared training" in third["why"]


def test_only_one_refresh_of_a_linker_at_a_time(bench: Bench) -> None:
    run = steps.start(bench.here, str(bench.toml))
    with steps.exclusive(run), pytest.raises(RegistryError, match="another refresh"):
        bench.refresh(FIRST)


def test_files_must_be_for_an_ontology_of_the_linker(bench: Bench) -> None:
    file = small.release(bench.folder / "files", FIRST)
    with pytest.raises(DeclarationError, match="expected files for one of its ontologies mondo-sample, found hp"):
        refresh.run(bench.here, str(bench.toml), {"hp": [file]})


def test_a_missing_corpus_says_where_to_get_it(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BELINK_DATA", raising=False)
    with pytest.raises(DeclarationError, match=r"BELINK_DATA unset; get it from https://"):
        steps.start(settings.load(here.home), "disease")


@pytest.mark.parametrize("name", ["sample", "mondo", "chemical", "disease"])
def test_every_shipped_linker_can_be_read(name: str) -> None:
    from belink.declarations import load_linker, load_source

    declared = load_linker(name)
    assert [load_source(ontology).name for ontology in declared.ontologies]


def test_tasks_are_functions_of_the_library_and_only_fetching_is_retried() -> None:
    from prefect import Task

    from belink.flows import pipeline

    tasks = {name: value for name, value in vars(pipeline).items() if isinstance(value, Task)}
    assert len(tasks) >= 12
    assert all(task.fn.__module__.startswith("belink.") for task in tasks.values())
    assert [name for name, task in tasks.items() if task.retries] == ["fetch"]


def test_a_linker_without_an_adapter_needs_no_language_model(bench: Bench) -> None:
    bench.toml = bench.folder / "names.toml"
    bench.toml.write_text(
        f"""
        title = "By names alone"
        ontologies = ["{small.ONTOLOGY}"]
        [encoder]
        model = "{bench.models["encoder"]}"
        pooling = "mean"
        [reranker]
        model = "path:/no/such/folder"
        [training]
        questions = 0
        [evaluation]
        items = 30
        index_queries = 50
        [gates]
        max_accuracy_loss = 1.0
        max_ece = 1.0
        max_latency_ratio = 1000.0
        """,
        encoding="utf-8",
    )
    outcomes = [bench.refresh(version) for version in (FIRST, SECOND, SECOND)]
    assert [outcome["outcome"] for outcome in outcomes] == ["promoted", "promoted", "unchanged"]
    folder, _ = aliases.bundle_path(bench.here, "names", "champion")
    assert bundle.base_sha256(bundle.check(folder)) is None
    assert promotion.reopen(steps.start(bench.here, str(bench.toml)), "2").path == folder


def test_a_linker_that_declares_no_language_model_trains_none_on_its_corpora(bench: Bench) -> None:
    small.linker(bench.folder, {**bench.models, "reranker": ""})
    outcome = bench.refresh(FIRST, "always")
    assert (outcome["outcome"], outcome["trained"]) == ("promoted", False)
    folder, _ = aliases.bundle_path(bench.here, "small", "champion")
    manifest = bundle.check(folder)
    assert (manifest["adapter"], bundle.base_sha256(manifest)) == (None, None)
    assert (folder / bundle.LEXICON).is_file()  # the corpus still teaches which names are mentions
    for step in (retrain.train_newest, commands.training_footprint):
        with pytest.raises(DeclarationError, match="expected a language model to train"):
            step(bench.here, str(bench.toml))


def test_a_linker_that_declares_no_models_links_by_names_and_trigrams(bench: Bench) -> None:
    bench.models = {**bench.models, "encoder": "", "reranker": ""}
    bench.declare()
    outcomes = [bench.refresh(version) for version in (FIRST, SECOND, SECOND)]
    assert [outcome["outcome"] for outcome in outcomes] == ["promoted", "promoted", "unchanged"]
    assert [(outcome["encoded"], outcome["reused"]) for outcome in outcomes] == [(0, 0)] * 3
    folder, _ = aliases.bundle_path(bench.here, "small", "champion")
    manifest = bundle.check(folder)
    assert (manifest["encoder"]["reference"], manifest["encoder"]["fingerprint"]) == ("", "none")
    assert manifest["index"]["dimension"] == 0
    linker = Linker(folder, bench.here.cache)
    label = next(concept.label for concept in linker.search("disease", limit=1))
    whole, misspelt = linker.link([Mention(text=label), Mention(text=label.replace("e", "ee", 1))])
    assert whole.candidate is not None and whole.candidate.exact and whole.label == label
    assert label in [candidate.label for candidate, _ in misspelt.options]
    assert all(candidate.dense == 0 for candidate, _ in misspelt.options)
    assert following.open_version(bench.here, "small", "champion").version == "2"


def test_a_linker_without_an_adapter_keeps_its_encoder_until_many_names_change(bench: Bench) -> None:
    def declare(bound: float, steps: int = 4) -> None:
        more = (
            f"[retrain]\nnames_changed = {bound}\n[adaptation]\nsteps = {steps}\nbatch_size = 16\nlearning_rate = 1e-3"
        )
        small.linker(bench.folder, {**bench.models, "reranker": ""}, more=more)

    def refreshed(version: str, retrain: str) -> tuple[str | None, int, float]:
        outcome = bench.refresh(version, retrain)
        assert outcome["outcome"] == "promoted"
        manifest = bundle.check(aliases.bundle_path(bench.here, "small", "champion")[0])
        return manifest["encoder"].get("adapted"), outcome["reused"], manifest["inputs"]["adapter"]["drift"]

    declare(1.0)
    first, _, drift = refreshed(FIRST, "auto")
    assert (first is not None, drift) == (True, 0)
    kept, reused, drift = refreshed(SECOND, "auto")
    assert kept == first
    assert reused > 0
    assert drift > 0
    declare(drift / 2)
    anew, reused, drift = refreshed(FIRST, "auto")
    assert (anew, reused, drift) == (first, reused, 0), "the encoder of the first release is there already"
    third, reused, _ = refreshed(SECOND, "auto")
    assert third not in (None, first)
    assert reused == 0
    declare(1.0, steps=5)
    assert refreshed(FIRST, "never")[0] == third


def test_leftovers_of_killed_builds_are_swept(bench: Bench) -> None:
    stale = bench.here.indices / "small" / ".tmp-abc-999999999-0123abcd"
    stale.mkdir(parents=True)
    with steps.exclusive(steps.start(bench.here, str(bench.toml))):
        assert not stale.exists()


def test_a_damaged_champion_is_replaced_without_being_compared(promoted: Bench) -> None:
    path, _ = aliases.bundle_path(promoted.here, "small")
    (path / bundle.CALIBRATION).unlink()
    repaired = promoted.refresh(FIRST)
    assert (repaired["outcome"], repaired["champion"]) == ("promoted", "2")
    assert "not_below_champion" not in [gate["name"] for gate in repaired["gates"]]
    bundle.check(aliases.bundle_path(promoted.here, "small")[0])


def test_a_linker_whose_name_no_registry_takes_is_refused(bench: Bench) -> None:
    odd = bench.toml.rename(bench.toml.with_name("o'brien@home.toml"))
    with pytest.raises(DeclarationError, match="name: String should match pattern"):
        refresh.run(bench.here, str(odd))

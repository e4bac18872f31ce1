"""An encoder is aligned with what concepts are called, continues where it was killed, and is kept if it finds more."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from belink import artefacts
from belink import weights as model_references
from belink.declarations import AdaptationConfig, EncoderConfig
from belink.errors import DeclarationError
from belink.records import Mention
from belink.retrieval.encoder import EncoderConfig as Loaded
from belink.retrieval.encoder import encoded, load_model
from belink.training import checkpoints, encoder_finetuning, hard_negatives
from belink.training.encoder_finetuning import ConceptNames
from belink.training.holdout import is_held_out
from belink.weights import ResolvedModel

CONFIG = EncoderConfig(pooling="mean")
PARTS = ("cardiac", "renal", "hepatic", "pulmonary", "gastric", "dermal", "neural", "ocular", "osseous", "vascular")
TWINS = ("heart", "kidney", "liver", "lung", "stomach", "skin", "nerve", "eye", "bone", "vessel")
KINDS = ("tumour", "failure", "infection", "fibrosis")
SAME = ("neoplasm", "insufficiency", "contagion", "scarring")
ADAPTATION = AdaptationConfig(steps=12, batch_size=16, learning_rate=2e-3, checkpoint_every=3)


def table() -> pa.Table:
    """Forty concepts of two names each, whose words say which belong together and whose letters do not."""
    rows = [
        (f"X:{i}{j}", text)
        for i, (part, twin) in enumerate(zip(PARTS, TWINS, strict=True))
        for j, (kind, same) in enumerate(zip(KINDS, SAME, strict=True))
        for text in (f"{part} {kind}", f"{twin} {same}")
    ]
    return pa.table({"concept_id": [c for c, _ in rows], "text": [t for _, t in rows]})


PRECEDENTS = [("Failing heart", "X:01"), ("failing heart", "X:01"), ("sick kidney", "X:11"), ("unknown", "Y:1")]
HELD_OUT = [
    Mention(text=f"{same}, {part}", gold=(f"X:{i}{j}",)) for i, part in enumerate(PARTS) for j, same in enumerate(SAME)
]


@pytest.fixture(scope="module")
def base(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    return model_references.resolve(models["encoder"], tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def still(base: ResolvedModel, tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    """``base`` without dropout, so that a run and its continuation can be compared."""
    folder = tmp_path_factory.mktemp("still") / "encoder"
    shutil.copytree(base.path, folder)
    config = json.loads((folder / "config.json").read_text())
    config.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (folder / "config.json").write_text(json.dumps(config))
    return model_references.resolve(f"path:{folder}", folder)


@pytest.fixture(scope="module")
def names() -> ConceptNames:
    return ConceptNames.read(table(), PRECEDENTS, 0.0)


@pytest.fixture(scope="module")
def report(
    base: ResolvedModel, names: ConceptNames, tmp_path_factory: pytest.TempPathFactory
) -> encoder_finetuning.FinetuningReport:
    longer = ADAPTATION.model_copy(update={"steps": 60})
    return encoder_finetuning.finetune(
        names, HELD_OUT, base, CONFIG, longer, tmp_path_factory.mktemp("encoders") / "key"
    )


def test_held_out_names_and_what_nobody_can_learn_from_are_left_out() -> None:
    read = ConceptNames.read(table(), PRECEDENTS, 0.3)
    every = {(concept, name) for concept, of in read.of_concept.items() for name in of}
    assert every
    assert not any(is_held_out(concept, name, 0.3) for concept, name in every)
    assert len(every) < table().num_rows
    assert ConceptNames.read(table(), PRECEDENTS, 0.0).precedents == (
        ("failing heart", "X:01"),
        ("sick kidney", "X:11"),
    )


def test_batches_hold_pairs_of_one_concept_and_no_concept_twice(names: ConceptNames) -> None:
    batches = encoder_finetuning.plan_batches(names, ADAPTATION)
    assert len(batches) == 12
    assert batches == encoder_finetuning.plan_batches(names, ADAPTATION), "the same on every call"
    assert batches != encoder_finetuning.plan_batches(names, ADAPTATION.model_copy(update={"seed": 1}))
    owner = {name: concept for concept, of in names.of_concept.items() for name in of}
    owner.update(names.precedents)
    drawn: Counter[str] = Counter()
    for batch in batches:
        concepts = [owner[one] for one, _ in batch]
        assert concepts == [owner[other] for _, other in batch]
        assert len(set(concepts)) == len(concepts) <= 16
        assert all(one != other for one, other in batch)
        drawn.update(one for one, _ in batch)
    assert drawn["failing heart"] and drawn["sick kidney"]


def test_pairs_of_like_length_share_a_batch(names: ConceptNames) -> None:
    lengths = [[max(map(len, pair)) for pair in batch] for batch in encoder_finetuning.plan_batches(names, ADAPTATION)]
    within = np.mean([np.std(of) for of in lengths])
    assert within < 0.6 * np.std([length for of in lengths for length in of])


def test_an_ontology_of_single_names_is_refused() -> None:
    alone = ConceptNames.read(pa.table({"concept_id": ["X:1"], "text": ["one"]}), [], 0.0)
    with pytest.raises(DeclarationError, match=r"two names.*adaptation\.steps = 0"):
        encoder_finetuning.plan_batches(alone, ADAPTATION)
    one = ConceptNames.read(pa.table({"concept_id": ["X:1", "X:1"], "text": ["one", "single"]}), [], 0.0)
    with pytest.raises(DeclarationError, match=r"two names.*found 1"):
        encoder_finetuning.plan_batches(one, ADAPTATION)


@pytest.mark.parametrize("searched", [100_000, 30])
def test_a_hard_negative_is_near_and_means_nothing_that_its_batch_means(
    base: ResolvedModel, names: ConceptNames, monkeypatch: pytest.MonkeyPatch, searched: int
) -> None:
    monkeypatch.setattr(hard_negatives, "_SEARCHED", searched)
    model = load_model(base.path, CONFIG)
    class_of = tuple(f"{part} {kind}" for part in PARTS[:5] for kind in KINDS)
    of_concept = {"Z:1": class_of, **names.of_concept}
    precedents = [*names.precedents, *(("failing heart", f"X:{i}{j}") for i in range(8) for j in range(4))]
    batches = [[one for one, _ in batch] for batch in encoder_finetuning.plan_batches(names, ADAPTATION)]
    mined = hard_negatives.mined(model, batches, of_concept, precedents, 3, 1)
    assert mined == hard_negatives.mined(model, batches, of_concept, precedents, 3, 1)
    assert mined != hard_negatives.mined(model, batches, of_concept, precedents, 3, 2)
    concepts: dict[str, set[str]] = {text: set() for text, _ in precedents}
    for concept, text in [
        *((c, n) for c, known in of_concept.items() for n in known),
        *((c, t) for t, c in precedents),
    ]:
        concepts.setdefault(text, set()).add(concept)
    pool = sorted(concepts.keys() - {text for text, _ in precedents})
    vectors = dict(zip(pool, encoded(model, pool), strict=True))
    ranks, negatives = [], iter(mined)
    for batch in batches:
        meant = {concept for text in batch for concept in concepts[text]}
        for text, negative in zip(batch, negatives, strict=False):
            assert not meant & concepts[negative]
            asked = encoded(model, [text])[0]
            others = [name for name in pool if not meant & concepts[name]]
            ranks.append(sorted(others, key=lambda name: -float(asked @ vectors[name])).index(negative))
    assert len(ranks) == len(mined)
    assert set(ranks) == {0, 1, 2} if searched > len(pool) else 2 < np.mean(ranks) < 10
    assert len(set(mined)) <= searched


def test_hard_negatives_are_wrong_answers_to_be_learned(
    base: ResolvedModel, names: ConceptNames, tmp_path: Path
) -> None:
    made = {
        near: encoder_finetuning.finetune(
            names, HELD_OUT, base, CONFIG, ADAPTATION.model_copy(update={"hard_negatives": near}), tmp_path / f"{near}"
        )
        for near in (0, 5)
    }
    assert made[5].kept and made[5].steps == 12
    assert artefacts.read_manifest(made[5].path)["adaptation"]["hard_negatives"] == 5
    assert made[5].history[0][1] > made[0].history[0][1] + 0.3, "twice as many answers, half of them near"


def test_adapting_finds_more_of_what_was_held_out(
    report: encoder_finetuning.FinetuningReport, base: ResolvedModel, names: ConceptNames
) -> None:
    assert report.new and report.kept
    assert report.steps == 60
    assert report.history[-1][1] < report.history[0][1]
    assert report.recall_before is not None and report.recall_after is not None
    assert report.recall_after > report.recall_before
    adapted = Loaded.adapted(CONFIG, report.path)
    assert adapted.fingerprint != Loaded(CONFIG, base).fingerprint
    first, second, other = adapted.encode(["cardiac tumour", "heart neoplasm", "renal tumour"])
    assert first @ second > first @ other


def test_the_folder_holds_weights_and_nothing_that_is_pickled_or_of_this_machine(
    report: encoder_finetuning.FinetuningReport,
) -> None:
    files = [path for path in report.path.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".pkl", ".pth")]
    texts = "".join(path.read_text("utf-8") for path in files if path.suffix in (".json", ".md", ".txt"))
    assert str(report.path.parent) not in texts
    manifest = artefacts.read_manifest(report.path)
    assert manifest["adaptation"]["steps"] == 60
    assert not report.path.with_name(f".work-{report.path.name}").exists()


def test_what_is_there_is_found(
    report: encoder_finetuning.FinetuningReport, base: ResolvedModel, names: ConceptNames
) -> None:
    again = encoder_finetuning.finetune(names, HELD_OUT, base, CONFIG, ADAPTATION, report.path)
    assert not again.new
    assert (again.history, again.recall_after) == (report.history, report.recall_after)


def test_a_killed_run_continues_from_its_last_checkpoint(
    still: ResolvedModel,
    names: ConceptNames,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    whole = encoder_finetuning.finetune(names, HELD_OUT, still, CONFIG, ADAPTATION, tmp_path / "whole")
    assert "widget" not in capfd.readouterr().err, "no bar of the trainer's own"
    real = checkpoints.clock

    def dying(work: Path, begun: int, steps: int, what: str = "") -> object:
        clock = real(work, begun, steps, what)
        ended = clock.on_step_end

        def on_step_end(args: object, state: object, control: object, **more: object) -> None:
            ended(args, state, control, **more)
            if getattr(state, "global_step") == 8:  # noqa: B009
                raise KeyboardInterrupt

        clock.on_step_end = on_step_end
        return clock

    monkeypatch.setattr(checkpoints, "clock", dying)
    with pytest.raises(KeyboardInterrupt):
        encoder_finetuning.finetune(names, HELD_OUT, still, CONFIG, ADAPTATION, tmp_path / "killed")
    assert not artefacts.exists(tmp_path / "killed")
    begun: list[int] = []
    monkeypatch.setattr(
        checkpoints, "clock", lambda work, at, steps, what="": (begun.append(at), real(work, at, steps, what))[1]
    )
    resumed = encoder_finetuning.finetune(names, HELD_OUT, still, CONFIG, ADAPTATION, tmp_path / "killed")
    assert begun == [6]
    assert resumed.steps == whole.steps
    one, other = (Loaded.adapted(CONFIG, made.path).encode(["cardiac tumour", "sick eye"]) for made in (whole, resumed))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_one_that_finds_less_is_not_kept(report: encoder_finetuning.FinetuningReport, tmp_path: Path) -> None:
    folder = tmp_path / "worse"
    folder.mkdir()
    manifest = artefacts.read_manifest(report.path)
    (folder / artefacts.MANIFEST).write_text(json.dumps({**manifest, "recall_before": 0.9, "recall_after": 0.8}))
    assert not encoder_finetuning.read_report(folder).kept
    (folder / artefacts.MANIFEST).write_text(json.dumps({**manifest, "recall_before": None, "recall_after": None}))
    assert encoder_finetuning.read_report(folder).kept

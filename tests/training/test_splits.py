"""What is trained on, calibrated on and evaluated on is disjoint; gold ids follow the release in use."""

from dataclasses import replace
from pathlib import Path

import pytest

from belink import settings
from belink.declarations import LinkerConfig, load_linker, load_source
from belink.ontology import ingest
from belink.records import Candidate, Document, Mention
from belink.settings import Settings
from belink.text.normalise import normalise
from belink.training import questions, splits
from tests.support import small

FIRST, SECOND = small.RELEASES


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings.load(tmp_path_factory.mktemp("splits") / "home")


@pytest.fixture(scope="module")
def folders(home: Settings) -> dict[str, Path]:
    """The sample releases, whole."""
    samples = settings.shipped_ontologies() / "samples"
    source = load_source("mondo-sample")
    return {
        version: ingest.ingest(source, [samples / f"mondo-sample-{version}.obo"], home).path
        for version in small.RELEASES
    }


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> LinkerConfig:
    declared = load_linker(str(small.linker(tmp_path_factory.mktemp("declared"), {"encoder": "", "reranker": ""})))
    return declared.model_copy(
        update={"evaluation": declared.evaluation.model_copy(update={"items": 200, "corpus_items": 200})}
    )


def everything(
    mentions: list[Mention], *, hide_own_name: bool = False, hide_precedent: bool = False
) -> list[list[Candidate]]:
    """Retrieve the right concept and a wrong one."""
    wrong = Candidate(id="MONDO:0", label="wrong", name="wrong", ontology="", release="")
    return [
        [*(replace(wrong, id=gold, label=gold, name=gold, score=1.0) for gold in mention.gold), wrong]
        for mention in mentions
    ]


@pytest.mark.heavy
def test_no_name_and_no_document_is_in_two_of_the_three_sets(linker: LinkerConfig, folders: dict[str, Path]) -> None:
    where = [folders[FIRST]]
    evaluated = splits.evaluation_items(linker, where, None)
    of_names = {normalise(item.mention.text) for item in evaluated if item.source == splits.NAMES}
    of_documents = {item.mention.document for item in evaluated if item.mention.document}
    calibrating = splits.calibration_questions(linker, where, None, everything)
    training = splits.training_questions(linker, where, None, everything)
    for asked in (calibrating, training):
        assert asked
        assert of_names.isdisjoint(normalise(q.mention.text) for q in asked if not q.mention.document)
        assert of_documents.isdisjoint(q.mention.document for q in asked if q.mention.document)
    retrieved: list[Mention] = []

    def noting(mentions: list[Mention], **how: bool) -> list[list[Candidate]]:
        retrieved.extend(mentions)
        return everything(mentions, **how)

    validating = splits.validation_questions(linker, where, None, noting, len(training))
    assert validating == splits.validation_questions(linker, where, None, everything, len(training))
    assert all(question in calibrating for question in validating), "and so in neither of the other two"
    assert 30 == len(retrieved) <= len(validating) < len(calibrating), "only what is asked is retrieved"
    others = {q.mention.document for q in calibrating if q.mention.document}
    assert others.isdisjoint(q.mention.document for q in training if q.mention.document)


@pytest.mark.heavy
def test_a_smaller_share_leaves_more_to_calibrate_on(linker: LinkerConfig, folders: dict[str, Path]) -> None:
    where = [folders[FIRST]]
    few = linker.model_copy(update={"evaluation": linker.evaluation.model_copy(update={"share": 0.2})})

    def texts(of: LinkerConfig) -> tuple[set[str], set[str]]:
        calibrating = [q.mention for q in splits.calibration_questions(of, where, None, everything)]
        evaluated = [item.mention for item in splits.evaluation_items(of, where, None)]
        names = [{normalise(m.text) for m in mentions if not m.document} for mentions in (evaluated, calibrating)]
        return names[0], names[1]

    (half, other_half), (fifth, rest) = texts(linker), texts(few)
    assert len(rest) > 2 * len(other_half)
    assert 0.5 < len(fifth) / len(half) < 1.5, "as many are evaluated on as declared, of more that are drawn"
    assert fifth.isdisjoint(rest)


@pytest.mark.heavy
def test_evaluation_items_have_names_text_and_removed_concepts(linker: LinkerConfig, folders: dict[str, Path]) -> None:
    items = splits.evaluation_items(linker, [folders[FIRST]], None)
    names = [item for item in items if item.source == splits.NAMES]
    assert 120 < len(names) < 280, "about half of twice the declared number"
    assert all(item.hide_own_name for item in names)
    made_nil = [item for item in names if item.without]
    assert 0.02 < len(made_nil) / len(names) < 0.2
    assert all(item.mention.is_nil and not item.mention.gold for item in made_nil)
    documents = [item for item in items if item.source == "sample"]
    assert documents
    assert not any(item.hide_own_name for item in documents)
    assert all(item.mention.sentence for item in documents)


@pytest.mark.heavy
def test_the_next_release_has_mostly_the_same_evaluation_items(linker: LinkerConfig, folders: dict[str, Path]) -> None:
    first, second = (
        {
            (item.mention.text, item.mention.document, item.mention.start)
            for item in splits.evaluation_items(linker, [path], None)
        }
        for path in folders.values()
    )
    assert len(first & second) > 0.8 * len(first)
    assert splits.evaluation_items(linker, [folders[FIRST]], None) == splits.evaluation_items(
        linker, [folders[FIRST]], None
    )


def test_gold_ids_are_migrated_to_the_release_in_use(linker: LinkerConfig, folders: dict[str, Path]) -> None:
    (corpus,) = linker.corpora
    ids = {
        gold for d in splits.corpus_documents(corpus, [folders[SECOND]], None) for m in d.mentions for gold in m.gold
    }
    assert ids <= splits.concept_ids([folders[SECOND]])
    of_first = {
        gold for d in splits.corpus_documents(corpus, [folders[FIRST]], None) for m in d.mentions for gold in m.gold
    }
    assert of_first <= splits.concept_ids([folders[FIRST]])
    assert ids - of_first, "the corpus names concepts that only the second release has"


def test_successors_are_those_of_the_first_release_that_knows_any(folders: dict[str, Path]) -> None:
    from belink.ontology.diff import diff
    from belink.ontology.gold_ids import successors

    merged = diff(folders[FIRST], folders[SECOND]).examples["merged"][0]
    document = Document(id="d", text="x", mentions=(Mention(text="x", gold=(merged["id"], "HP:1")),))
    found = successors([document], [folders[SECOND]])
    assert found == {merged["id"]: tuple(merged["into"].split(", ")), "HP:1": ()}


def test_training_mentions_are_those_of_documents_that_are_not_held_out(
    linker: LinkerConfig, folders: dict[str, Path]
) -> None:
    mentions = splits.training_mentions(linker, [folders[FIRST]], None)
    share = linker.training.held_out
    assert mentions
    assert not any(questions.is_held_out(mention.document, "", share) for mention in mentions)

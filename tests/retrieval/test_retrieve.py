"""Candidates are distinct live concepts, best first, each with the evidence of every source."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from belink.declarations import EncoderConfig, LinkerConfig, RetrievalConfig
from belink.errors import IndexMismatch
from belink.records import Candidate, Mention, Name
from belink.retrieval.encoder import Encoder
from belink.retrieval.index import Index, build_index
from belink.retrieval.retrieve import retrieve
from belink.text.normalise import normalise
from tests.support.made_releases import concept, release

CONCEPTS = [
    concept(1, "type 2 diabetes mellitus", "NIDDM", "adult-onset diabetes"),
    concept(2, "type 1 diabetes mellitus", "IDDM", "juvenile diabetes"),
    concept(3, "Alzheimer disease", "AD", "presenile dementia"),
    concept(4, "atopic dermatitis", "AD", "atopic eczema"),
    concept(5, "obsolete adult diabetes", "adult diabetes", obsolete=True, replaced_by=[1]),
    concept(6, "β-thalassaemia", "Cooley's anaemia"),
    concept(7, "α-thalassaemia"),
    concept(8, "eczema"),
    concept(9, "dermatitis", "eczema"),
]
EVERYTHING = RetrievalConfig(candidates=20)


@pytest.fixture(scope="module")
def encoder(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.load(EncoderConfig(model=models["encoder"], pooling="mean"), tmp_path_factory.mktemp("cache"))


def built(folder: Path, encoder: Encoder, *concepts: Any) -> Index:
    declared = LinkerConfig(name="x", title="X", ontologies=("x",))
    return Index.load(build_index([release(folder / "1", *concepts)], declared, encoder, folder / "index").path)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Index:
    return built(tmp_path_factory.mktemp("retrieve"), encoder, *CONCEPTS)


def ids(candidates: list[Candidate]) -> list[str]:
    return [candidate.id for candidate in candidates]


@pytest.mark.parametrize(
    ("text", "expected", "name"),
    [
        ("NIDDM", "X:1", "NIDDM"),
        ("Adult onset diabetes", "X:1", "adult-onset diabetes"),
        ("beta-thalassaemia", "X:6", "β-thalassaemia"),
        ("Cooley anaemia", "X:6", "Cooley's anaemia"),
        ("alpha thalassaemias", "X:7", "α-thalassaemia"),
        ("Alzheimer's diseases", "X:3", "Alzheimer disease"),
        ("eczema", "X:8", "eczema"),  # the label of one concept before the synonym of another
    ],
)
def test_the_best_candidate_names_what_matched(
    index: Index, encoder: Encoder, text: str, expected: str, name: str
) -> None:
    ((first, *_),) = retrieve(index, encoder, [Mention(text=text)], EVERYTHING)
    assert (first.id, first.name, first.ontology, first.release) == (expected, name, "x", "1")


def test_an_exact_name_is_marked_and_nothing_ranks_above_it(index: Index, encoder: Encoder) -> None:
    names = list(index.names())
    for name, found in zip(names, retrieve(index, encoder, [Mention(text=n) for n in names], EVERYTHING), strict=True):
        n_exact = len(index.table.owners(index.table.find([name]))[1])
        assert [candidate.exact for candidate in found] == [True] * n_exact + [False] * (len(found) - n_exact)
        assert found[0].lexical == found[0].dense == 1.0


def test_candidates_are_distinct_live_concepts_best_first_and_no_more_than_asked(
    index: Index, encoder: Encoder
) -> None:
    mentions = [Mention(text=text) for text in ("adult diabetes", "sugar disease", "AD", "eczema")]
    for found in retrieve(index, encoder, mentions, EVERYTHING):
        assert len(set(ids(found))) == len(found) == 8 and "X:5" not in ids(found)
        scores = [candidate.score for candidate in found]
        assert scores == sorted(scores, reverse=True)
    assert [len(found) for found in retrieve(index, encoder, mentions, RetrievalConfig(candidates=3))] == [3] * 4
    assert [len(found) for found in retrieve(index, encoder, mentions, EVERYTHING, candidates=2)] == [2] * 4


def test_every_candidate_has_the_evidence_of_both_sources(index: Index, encoder: Encoder) -> None:
    few = RetrievalConfig(candidates=20, lexical=3, dense=3)
    (found,) = retrieve(index, encoder, [Mention(text="juvenile diabetes mellitus")], few)
    asked = "juvenile diabetes mellitus"
    vector, trigrams = encoder.encode([asked])[0], index.trigrams.vectors([asked])
    for candidate in found:
        (row,) = index.table.find([normalise(candidate.name)])
        assert candidate.dense == pytest.approx(float(index.vectors.stored[row].astype(np.float32) @ vector), abs=1e-3)
        lexical = index.trigrams.cosines(trigrams, np.array([0]), np.array([row]))[0]
        assert candidate.lexical == pytest.approx(float(lexical), abs=1e-6)
        fused = few.lexical_weight * candidate.lexical + (1 - few.lexical_weight) * candidate.dense
        assert candidate.score == pytest.approx(fused, abs=0.003)


@pytest.mark.parametrize("hidden", ["NIDDM", "adult-onset diabetes", "atopic eczema", "Cooley's anaemia", "AD"])
def test_hiding_a_name_answers_as_an_index_that_never_had_it(
    tmp_path: Path, index: Index, encoder: Encoder, hidden: str
) -> None:
    without = [
        concept(each.id, each.label, *(n.text for n in each.synonyms if n.text != hidden), obsolete=each.obsolete)
        for each in CONCEPTS
    ]
    never = built(tmp_path, encoder, *without)
    dense = RetrievalConfig(lexical=0)  # the weights of trigrams would know of the hidden name
    mention = [Mention(text=hidden)]
    (found,) = retrieve(index, encoder, mention, dense, hide_own_name=True)
    (expected,) = retrieve(never, encoder, mention, dense)
    assert not any(candidate.exact for candidate in found)
    assert [(c.id, c.name) for c in found] == [(c.id, c.name) for c in expected]
    assert hidden not in {
        candidate.name for candidate in retrieve(index, encoder, mention, EVERYTHING, hide_own_name=True)[0]
    }


def test_a_long_form_is_asked_besides_the_text_and_says_what_is_meant(index: Index, encoder: Encoder) -> None:
    short, dermatitis, dementia = retrieve(
        index,
        encoder,
        [
            Mention(text="AD"),
            Mention(text="AD", long_form="atopic dermatitis"),
            Mention(text="AD", long_form="Alzheimer's disease"),
        ],
        EVERYTHING,
    )
    assert {short[0].id, short[1].id} == {"X:3", "X:4"} and short[0].score == short[1].score
    assert (dermatitis[0].id, dermatitis[0].name, dermatitis[0].exact) == ("X:4", "atopic dermatitis", True)
    assert dementia[0].id == "X:3"
    (hidden,) = retrieve(
        index, encoder, [Mention(text="AD", long_form="atopic dermatitis")], EVERYTHING, hide_own_name=True
    )
    assert {"AD", "atopic dermatitis"}.isdisjoint(candidate.name for candidate in hidden)


@pytest.mark.parametrize("switched_off", ["lexical", "dense"])
def test_one_source_is_enough(index: Index, encoder: Encoder, switched_off: str) -> None:
    only = RetrievalConfig.model_validate({switched_off: 0})
    (found,) = retrieve(index, encoder, [Mention(text="melanoma of the skin diabetes")], only)
    other = "dense" if switched_off == "lexical" else "lexical"
    assert found
    for candidate in found:
        assert getattr(candidate, switched_off) == 0
        assert candidate.score == pytest.approx(getattr(candidate, other), abs=0.003)


def test_mentions_are_answered_alike_whatever_they_are_asked_beside(
    index: Index, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["AD", "", "eczema", "juvenile dementia", "AD", "…", "thalassaemia"]
    mentions = [Mention(text=text, long_form="atopic eczema" if i == 4 else "") for i, text in enumerate(texts)]
    together = retrieve(index, encoder, mentions, EVERYTHING)
    monkeypatch.setattr("belink.retrieval.retrieve._BATCH", 2)
    in_pairs = retrieve(index, encoder, mentions, EVERYTHING)
    alone = [retrieve(index, encoder, [mention], EVERYTHING)[0] for mention in mentions]
    assert [ids(found)[:3] for found in together] == [ids(found)[:3] for found in in_pairs]
    assert [ids(found)[:3] for found in together] == [ids(found)[:3] for found in alone]
    assert together[1] == together[5] == []
    assert retrieve(index, encoder, [], EVERYTHING) == []


def test_a_text_that_the_index_holds_as_a_name_is_not_encoded_again(
    index: Index, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda texts: (encoded.extend(texts), encode(texts))[1])
    found = retrieve(index, encoder, [Mention(text="NIDDM"), Mention(text="adult diabetic")], EVERYTHING)
    assert encoded == ["adult diabetic"]
    assert [candidates[0].id for candidates in found] == ["X:1", "X:1"]


def test_a_loose_synonym_yields_to_the_exact_one_of_another_concept(tmp_path: Path, encoder: Encoder) -> None:
    ageing = replace(concept(1, "ageing"), synonyms=(Name(text="senility", scope="related"),))
    opened = built(tmp_path, encoder, ageing, concept(2, "old age", "senility"))
    (found,) = retrieve(opened, encoder, [Mention(text="senility")], EVERYTHING)
    assert ids(found) == ["X:2", "X:1"] and [c.scope for c in found] == ["exact", "related"]


def test_an_encoder_that_did_not_make_the_vectors_is_refused(
    index: Index, models: dict[str, str], tmp_path: Path
) -> None:
    other = Encoder.load(EncoderConfig(model=models["encoder"], pooling="cls"), tmp_path)
    with pytest.raises(IndexMismatch, match="encoder"):
        retrieve(index, other, [Mention(text="eczema")], EVERYTHING)


@pytest.mark.parametrize(
    "mention",
    [
        Mention(text="Hypoglycaemia"),
        Mention(text="oesophageal tumour"),
        Mention(text="HG", long_form="hypoglycaemia"),
    ],
    ids=lambda mention: mention.text,
)
def test_british_spelling_finds_the_american_name(tmp_path: Path, encoder: Encoder, mention: Mention) -> None:
    american = built(tmp_path, encoder, concept(1, "hypoglycemia"), concept(2, "esophageal tumor"), concept(3, "ulcer"))
    (found,) = retrieve(american, encoder, [mention], EVERYTHING)
    assert found[0].exact
    assert found[0].score == pytest.approx(1.0)
    assert found[0].id == ("X:2" if "tumour" in mention.text else "X:1")
    (hidden,) = retrieve(american, encoder, [mention], EVERYTHING, hide_own_name=True)
    assert found[0].id not in ids(hidden), "its own name is hidden in that spelling, too"


@pytest.mark.parametrize(
    ("long_form", "meant"),
    [("rabbit", set()), ("juvenile retinoschisis", {"X:1"}), ("cerebro-atrophic disease", {"X:2"})],
)
def test_an_abbreviation_stands_only_for_what_the_document_spells_out(
    tmp_path: Path, encoder: Encoder, long_form: str, meant: set[str]
) -> None:
    known = built(tmp_path, encoder, concept(1, "retinoschisis", "RS"), concept(2, "cerebroatrophy", "RS"))
    alone, spelled_out = retrieve(
        known, encoder, [Mention(text="RS"), Mention(text="RS", long_form=long_form)], EVERYTHING
    )
    assert {c.id for c in alone if c.exact} == {"X:1", "X:2"}
    assert {c.id for c in spelled_out if c.exact} == meant
    assert {c.id for c in spelled_out if c.name == "RS"} <= meant


def test_what_an_abbreviation_resembles_is_not_asked_where_it_is_spelled_out(index: Index, encoder: Encoder) -> None:
    resembling = Mention(text="IDDMX", long_form="eczema")
    lexical = RetrievalConfig(dense=0)
    spelled_out, long_form = retrieve(index, encoder, [resembling, Mention(text="eczema")], lexical)
    assert spelled_out == long_form


def test_a_long_form_of_which_nothing_is_left_spells_nothing_out(index: Index, encoder: Encoder) -> None:
    spelled_out, text = retrieve(
        index, encoder, [Mention(text="IDDMX", long_form="…"), Mention(text="IDDMX")], EVERYTHING
    )
    assert spelled_out == text != []


def test_a_composed_latin_name_counts_only_where_it_is_a_name(tmp_path: Path, encoder: Encoder) -> None:
    known = built(tmp_path, encoder, concept(1, "Rhodnius prolixus"), concept(2, "Results prolix"), concept(3, "R. x"))
    composed = Mention(text="R. prolixus", composed=("Results prolixus", "Rhodnius prolixus", "Rhinus prolixus"))
    plain = Mention(text="R. prolixus")
    unknown = replace(plain, composed=("Results prolixus",))
    of_composed, of_long, of_unknown, of_plain = retrieve(
        known, encoder, [composed, replace(plain, long_form="Rhodnius prolixus"), unknown, plain], EVERYTHING
    )
    assert ids(of_composed) == ids(of_long) and ids(of_composed)[0] == "X:1" and of_composed[0].exact
    assert ids(of_unknown) == ids(of_plain) and not any(candidate.exact for candidate in of_unknown)


@pytest.mark.parametrize(
    ("text", "name"),
    [("C syndrome", "Cushing syndrome"), ("Q. fever", "Query fever"), ("B lymphoma", "Burkitt lymphoma")],
)
def test_a_disease_that_is_written_like_a_short_form_is_none(
    tmp_path: Path, encoder: Encoder, text: str, name: str
) -> None:
    known = built(tmp_path, encoder, concept(1, name), concept(2, "C syndrome"), concept(3, "Q fever"))
    plain = Mention(text=text)
    of_composed, of_plain = retrieve(known, encoder, [replace(plain, composed=(name,)), plain], EVERYTHING)
    assert [(c.id, c.exact) for c in of_composed] == [(c.id, c.exact) for c in of_plain]


def test_a_salt_is_found_by_the_name_of_its_acid(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = built(tmp_path, encoder, concept(1, "Lactic Acid"), concept(2, "lactase"), concept(3, "cleft palate"))
    encoded: list[str] = []
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda texts: (encoded.extend(texts), encode(texts))[1])
    for hide in (False, True):
        (found,) = retrieve(known, encoder, [Mention(text="Lactate")], EVERYTHING, hide_own_name=hide)
        assert (found[0].id, found[0].exact) == ("X:1", True)
        assert found[0].score == pytest.approx(0.98)
    (found,) = retrieve(known, encoder, [Mention(text="a soft palate")], EVERYTHING)
    assert found[0].id == "X:3" and not found[0].exact
    assert set(encoded) == {"lactate", "a soft palate"}, "an acid that has no name is not asked for"


@pytest.mark.parametrize("text", ["simvastatin hydroxy acid", "Simva-statin-hydroxyacid", "simvastatinhydroxyacid"])
def test_blanks_and_hyphens_alone_make_no_other_name(tmp_path: Path, encoder: Encoder, text: str) -> None:
    known = built(tmp_path, encoder, concept(1, "simvastatin acid"), concept(2, "simvastatin hydroxyacid"))
    (found,) = retrieve(known, encoder, [Mention(text=text)], EVERYTHING)
    assert (found[0].id, found[0].exact, found[0].dense) == ("X:2", True, 1.0)
    (hidden,) = retrieve(known, encoder, [Mention(text=text)], EVERYTHING, hide_own_name=True)
    assert ids(hidden) == ["X:1"], "its own name is hidden, however it is spaced"


PRECEDENTS = [("sugar sickness", "X:1")] * 3 + [("sugar sickness", "X:2"), ("itchy skin", "X:4"), ("eczema", "X:4")]


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Index:
    folder = tmp_path_factory.mktemp("precedents")
    declared = LinkerConfig(name="x", title="X", ontologies=("x",))
    path = release(folder / "1", *CONCEPTS)
    known = [*PRECEDENTS, ("of a concept that is not here", "X:99"), ("obsolete", "X:5")]
    return Index.load(build_index([path], declared, encoder, folder / "index", precedents=known).path)


def test_a_precedent_proposes_what_was_meant_the_most_frequent_first(annotated: Index, encoder: Encoder) -> None:
    (found,) = retrieve(annotated, encoder, [Mention(text="Sugar sickness")], EVERYTHING)
    first, second = found[:2]
    assert (first.id, first.name, first.scope, first.score) == ("X:1", "sugar sickness", "mention", second.score)
    assert second.id == "X:2"
    assert not first.exact, "no ontology has this name"
    assert (first.evidence.n_annotations, first.evidence.n_annotated_names, first.evidence.share_annotated) == (
        3,
        1,
        0.75,
    )
    assert (second.evidence.n_annotations, second.evidence.share_annotated) == (1, 0.25)
    assert first.evidence.nearest_annotation_cosine == pytest.approx(1.0, abs=1e-3)
    assert {"X:99", "X:5"}.isdisjoint(ids(found)), "neither unknown nor obsolete concepts are offered"


def test_a_precedent_that_is_a_name_too_leaves_the_name_as_it_was(annotated: Index, encoder: Encoder) -> None:
    (found,) = retrieve(annotated, encoder, [Mention(text="eczema")], EVERYTHING)
    by_id = {candidate.id: candidate for candidate in found}
    assert (by_id["X:8"].scope, by_id["X:9"].scope, by_id["X:4"].scope) == ("label", "exact", "mention")
    assert by_id["X:8"].exact and by_id["X:9"].exact and not by_id["X:4"].exact
    assert by_id["X:4"].evidence.share_annotated == 1.0 and by_id["X:8"].evidence.share_annotated == 0.0


def test_hiding_a_precedent_answers_as_if_nobody_had_annotated_the_text(
    annotated: Index, index: Index, encoder: Encoder
) -> None:
    dense = RetrievalConfig(lexical=0)
    for text in ("sugar sickness", "eczema"):
        (found,) = retrieve(annotated, encoder, [Mention(text=text)], dense, hide_precedent=True)
        assert text == "eczema" or text not in {candidate.name for candidate in found}
        assert all(candidate.evidence.share_annotated == 0.0 for candidate in found)
        of_others = {candidate.id: candidate.evidence.n_annotations for candidate in found}
        assert of_others["X:1"] == (0 if text == "sugar sickness" else 3)
        assert of_others["X:4"] == (2 if text == "sugar sickness" else 1)
    (found,) = retrieve(annotated, encoder, [Mention(text="eczema")], dense, hide_precedent=True)
    assert {candidate.id for candidate in found if candidate.exact} == {"X:8", "X:9"}


def test_what_all_names_of_a_concept_say(index: Index, encoder: Encoder) -> None:
    mention = Mention(text="juvenile diabetes mellitus")
    (found,) = retrieve(index, encoder, [mention], EVERYTHING)
    (asked,) = encoder.encode([normalise(mention.text)])
    for candidate in found:
        (known,) = (each for each in CONCEPTS if each.id == candidate.id)
        names = [normalise(text) for text in (known.label, *(synonym.text for synonym in known.synonyms))]
        cosines = sorted((float(vector @ asked) for vector in encoder.encode(names)), reverse=True)
        assert candidate.evidence.n_names == len(names)
        assert candidate.evidence.mean_nearest_cosine == pytest.approx(np.mean(cosines[:3]), abs=2e-3)
        assert (
            candidate.evidence.n_annotations,
            candidate.evidence.n_annotated_names,
            candidate.evidence.share_annotated,
            candidate.evidence.nearest_annotation_cosine,
        ) == (0, 0, 0.0, 0.0)


def test_how_readily_a_kind_of_id_is_meant(tmp_path: Path, encoder: Encoder) -> None:
    names = ("measles", "mumps", "rubella", "measles virus infection", "mumps meningitis", "rubella syndrome", "ulcer")
    called = zip(("X:D1", "X:D2", "X:D3", "X:C1", "X:C2", "X:C3", "X:7"), names, strict=True)
    path = release(tmp_path / "1", *(replace(concept(0, name), id=curie) for curie, name in called))
    declared = LinkerConfig(name="x", title="X", ontologies=("x",))
    meant = [("rash of childhood", "X:D1")] * 5 + [("german measles", "X:D3"), ("swollen face", "X:D2"), ("x", "X:C1")]
    table = Index.load(build_index([path], declared, encoder, tmp_path / "index", precedents=meant).path).table
    kinds = dict(zip(table.concepts(np.arange(7))["id"], table.id_kind_log_rates, strict=True))
    assert kinds["X:D1"] == kinds["X:D2"] == kinds["X:D3"] == 0.0, "three texts for three concepts are the most"
    assert kinds["X:C1"] == kinds["X:C3"] == pytest.approx(np.log(2 / 3) - np.log(4 / 3)), "distinct texts, and one"
    assert kinds["X:7"] == pytest.approx(np.log(1 / 1) - np.log(4 / 3))
    plain = Index.load(build_index([path], declared, encoder, tmp_path / "plain").path)
    assert not plain.table.id_kind_log_rates.any(), "nobody has annotated anything"
    (found,) = retrieve(plain, encoder, [Mention(text="measles")], EVERYTHING)
    assert {candidate.evidence.id_kind_log_rate for candidate in found} == {0.0}


@pytest.mark.parametrize("text", ["clomiphene citrate", "(R)-clomiphene", "clomiphenes", "Clomiphene+"])
def test_a_salt_an_ion_a_mirror_image_and_a_plural_are_asked_for_by_the_name_that_there_is(
    tmp_path: Path, encoder: Encoder, text: str
) -> None:
    known = built(tmp_path, encoder, concept(1, "Clomiphene"), concept(2, "citrate"), concept(3, "cleft palate"))
    (found,) = retrieve(known, encoder, [Mention(text=text)], RetrievalConfig(dense=0))
    assert (found[0].id, found[0].score, found[0].exact) == ("X:1", pytest.approx(0.96), False)


def test_a_mention_is_asked_for_with_the_kind_that_the_vocabulary_adds(tmp_path: Path, encoder: Encoder) -> None:
    known = built(tmp_path, encoder, concept(1, "Nephrotic Syndrome"), concept(2, "nephritis"))
    (found,) = retrieve(known, encoder, [Mention(text="nephrotic")], RetrievalConfig(dense=0))
    assert (found[0].id, found[0].score, found[0].exact) == ("X:1", pytest.approx(0.96), False)


@pytest.mark.parametrize("text", ["renal damage", "renal disorder", "Renal dysfunctions"])
def test_a_mention_is_asked_for_by_its_class(tmp_path: Path, encoder: Encoder, text: str) -> None:
    known = built(tmp_path, encoder, concept(1, "Renal Disease"), concept(2, "damage"), concept(3, "renal cyst"))
    (found,) = retrieve(known, encoder, [Mention(text=text)], RetrievalConfig(dense=0))
    assert (found[0].id, found[0].score, found[0].exact) == ("X:1", pytest.approx(0.96), False)


def test_of_what_a_mention_may_be_called_only_the_nearest_is_asked_for(tmp_path: Path, encoder: Encoder) -> None:
    known = built(tmp_path, encoder, concept(1, "Dextrans", "dextran"), concept(2, "dextran sulfate"))
    (found,) = retrieve(known, encoder, [Mention(text="dextran sodium sulfate")], EVERYTHING)
    scores = {candidate.id: candidate.score for candidate in found}
    assert scores["X:2"] == pytest.approx(0.96) and scores["X:1"] != pytest.approx(0.96, abs=0.002)


def test_what_the_document_sets_beside_a_mention_is_asked_for_too(index: Index, encoder: Encoder) -> None:
    alone, beside, itself = retrieve(
        index,
        encoder,
        [
            Mention(text="itch"),
            Mention(text="itch", appositions=("atopic eczema",)),
            Mention(text="eczema", appositions=("Cooley's anaemia",)),
        ],
        EVERYTHING,
    )
    assert {candidate.evidence.apposition_score for candidate in alone} == {0.0}
    assert (beside[0].id, beside[0].name, beside[0].exact) == ("X:4", "atopic eczema", False)
    assert beside[0].score == beside[0].evidence.apposition_score == pytest.approx(0.9 - 0.001)
    assert max(beside, key=lambda candidate: candidate.evidence.apposition_score) == beside[0]
    assert itself[0].id == "X:8" and itself[0].exact, "its own name comes first"
    assert max(itself, key=lambda candidate: candidate.evidence.apposition_score).id == "X:6"
    (hidden,) = retrieve(
        index, encoder, [Mention(text="itch", appositions=("atopic eczema",))], EVERYTHING, hide_own_name=True
    )
    assert "atopic eczema" not in {candidate.name for candidate in hidden}


def test_what_a_code_resembles_is_not_asked_where_the_document_gives_another_name(
    index: Index, encoder: Encoder
) -> None:
    lexical = RetrievalConfig(dense=0)
    names = {"IDDMX": ("eczema",), "eczema": ("IDDMX",), "IDDM": ("eczema",)}
    mentions = [Mention(text=text, appositions=also) for text, also in names.items()]
    code, name, known = retrieve(index, encoder, mentions, lexical)
    assert {candidate.id for candidate in code} == {candidate.id for candidate in name} == {"X:8", "X:9", "X:4"}
    assert {candidate.evidence.apposition_score > 0 for candidate in name} == {False}
    assert (known[0].id, known[0].exact) == ("X:2", True), "a code that is a name is found as one"
    two_codes, alone = retrieve(
        index, encoder, [Mention(text="IDDMX", appositions=("NSC 34",)), Mention(text="IDDMX")], lexical
    )
    assert ids(two_codes) == ids(alone) != [], "there is nothing better to ask for"


def test_a_formula_is_asked_for_by_its_name(tmp_path: Path, encoder: Encoder) -> None:
    known = built(tmp_path, encoder, concept(1, "Ferric Chloride"), concept(2, "CCL4 protein"), concept(3, "carbon"))
    iron, shouted = retrieve(known, encoder, [Mention(text="FeCl3"), Mention(text="FECL3")], RetrievalConfig(dense=0))
    assert (iron[0].id, iron[0].score, iron[0].exact) == ("X:1", pytest.approx(0.96), False)
    assert shouted[0].score < 0.9, "letters count"


def test_a_symbol_of_biochemistry_is_asked_for_by_its_name(tmp_path: Path, encoder: Encoder) -> None:
    known = built(tmp_path, encoder, concept(1, "Arginine"), concept(2, "ARG protein"), concept(3, "carbon"))
    (found,) = retrieve(known, encoder, [Mention(text="l-Arg")], RetrievalConfig(dense=0))
    assert (found[0].id, found[0].score, found[0].exact) == ("X:1", pytest.approx(0.96), False)


@pytest.mark.parametrize("text", ["GlcNAc", "NAG(H)"])
def test_a_symbol_and_a_bracket_inside_a_word_are_read(tmp_path: Path, encoder: Encoder, text: str) -> None:
    known = built(tmp_path, encoder, concept(1, "N-Acetylglucosamine", "NAG"), concept(2, "Glc"), concept(3, "HNA"))
    (found,) = retrieve(known, encoder, [Mention(text=text)], RetrievalConfig(dense=0))
    assert (found[0].id, found[0].score, found[0].exact) == ("X:1", pytest.approx(0.96, abs=0.002), False)

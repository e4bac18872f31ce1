"""The detector finds whole names at the right place in the text as it was given."""

import itertools
import os
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from belink.corpora.files import read_corpus
from belink.linker.finding import fold
from belink.linker.name_finder import Explainer, Lexicon, NameFinder, learn
from belink.records import Document, Mention
from belink.text.normalise import normalise

DATA = os.environ.get("BELINK_DATA")
NAMES = [
    "Breast cancer", "Cancer", "Heart failure", "Congestive heart failure", "Alzheimer disease", "β-thalassemia",
    "Anemia", "Lymphedema", "Dyskinesia", "WAS", "Pain", "Back pain", "Abdominal pain", "Chest pain",
    "Heparin-induced thrombocytopenia", "Sjögren syndrome", "Diabetes mellitus, type 2", "Down", "Seizures", "ALLG",
    "HIVD", "2019", "Breast cancer type 1 of women",
    "(+)-pentazocine toxicity",
]  # fmt: skip
DETECTOR = NameFinder.build(normalise(name) for name in NAMES)


def found(text: str, detector: NameFinder = DETECTOR) -> list[str]:
    mentions = detector.find(text)
    assert all(m.text == text[m.start : m.end] for m in mentions)
    assert all(m.sentence == text[m.sentence_start : m.sentence_start + len(m.sentence)] for m in mentions)
    assert all(m.sentence_start <= m.start and m.end <= m.sentence_start + len(m.sentence) for m in mentions)
    assert all(one.end <= other.start for one, other in itertools.pairwise(mentions))
    return [m.text for m in mentions]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Women with breast cancer.", ["breast cancer"]),
        ("BREAST  CANCERS and cancer", ["BREAST  CANCERS", "cancer"]),
        ("breast\ncancer", ["breast\ncancer"]),
        ("breast\n\ncancer", ["cancer"]),
        ("breast cancer type 1 of women, breast cancer type 1", ["breast cancer type 1 of women", "breast cancer"]),
        ("breast-cancer cells", ["breast-cancer"]),
        ("Congestive heart failure; heart failure", ["Congestive heart failure", "heart failure"]),
        ("heart failures", ["heart failures"]),
        ("Alzheimer’s disease, Alzheimer's diseases", ["Alzheimer’s disease", "Alzheimer's diseases"]),
        ("beta-thalassaemia or β thalassemia", ["beta-thalassaemia", "β thalassemia"]),
        ("anaemias and lymphoedemas", ["anaemias", "lymphoedemas"]),
        ("Sjo\u0308gren's syndrome and Sjögren syndrome", ["Sjo\u0308gren's syndrome", "Sjögren syndrome"]),
        ("type 2 diabetes mellitus type 2", ["diabetes mellitus type 2"]),
        ("(+)-pentazocine toxicity", ["(+)-pentazocine toxicity"]),
        ("pancancer anemial tumorous", []),
        ("It hurt. Heart. Failure was", []),
        ("of the heart (failure)", []),
        ("heart: failure", []),
        ("In 2019 it was all down", []),
        ("", []),
        ("—", []),
    ],
)
def test_whole_names_are_found_where_they_stand(text: str, expected: list[str]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It was so.", []),
        ("the WAS gene", []),  # three letters, and nothing here says what they mean
        ("Wiskott-Aldrich anemia syndrome (WAS) and WAS", ["anemia"]),
        ("we are down; Down", []),
        ("DOWN", ["DOWN"]),
        ("severe pain", ["pain"]),  # three longer names end in it
        ("allg ALLG", ["ALLG"]),
    ],
)
def test_short_names_count_only_where_they_cannot_be_plain_words(text: str, expected: list[str]) -> None:
    assert found(text) == expected


def test_a_defined_short_form_is_found_wherever_it_stands() -> None:
    text = "Heparin-induced thrombocytopenia (HIT) is rare. Later HITs, HIT type II; WHITE hit."
    assert found(text) == ["Heparin-induced thrombocytopenia", "HIT", "HITs", "HIT"]
    assert [m.long_form for m in DETECTOR.find(text)] == ["", *["Heparin-induced thrombocytopenia"] * 3]


def test_a_short_form_counts_if_its_long_form_ends_in_a_name() -> None:
    assert found("Levodopa-induced dyskinesia (LID). LID rose.") == ["dyskinesia", "LID", "LID"]
    assert found("polymerase chain reaction (PCR). PCR rose.") == []


def test_a_name_that_the_text_defines_as_something_else_is_not_found() -> None:
    assert found("a human immunoglobulin variable domain (HIVD); HIVD binds") == []
    assert found("HIVD binds") == ["HIVD"]


def test_sentences_given_are_the_ones_that_count() -> None:
    text = "breast cancer breast cancer"
    mentions = DETECTOR.find(text, document="7", sentences=[(0, 20), (21, 27)])
    assert [(m.text, m.sentence, m.document) for m in mentions] == [
        ("breast cancer", "breast cancer breast", "7"),
        ("cancer", "cancer", "7"),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("seizures", "seizure"), ("metastases", "metastase"), ("anomalies", "anomaly"), ("abscesses", "abscess"),
        ("anaemia", "anemia"), ("oesophageal tumours", "esophageal tumor"), ("gas", "gas"), ("virus", "virus"),
        ("paresis", "paresis"), ("loss", "loss"), ("il6s", "il6s"), ("", ""),
    ],
)  # fmt: skip
def test_inflection_is_folded_but_not_invented(one: str, other: str) -> None:
    assert fold(one) == fold(other)
    assert fold(fold(one)) == fold(one)


VOCABULARY = ["ab", "abc", "abcd", "abcdefs", "abcdef", "xyzuvw", "β", "12"]


@given(
    names=st.lists(st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=3).map(" ".join), min_size=1, max_size=6),
    words=st.lists(st.sampled_from(VOCABULARY), max_size=14),
)
@example(names=["12 12"], words=["12", "12"])
def test_matching_agrees_with_looking_at_every_run_of_words(names: list[str], words: list[str]) -> None:
    known = {normalise(name) for name in names}
    told = {name for name in known if not name.replace(" ", "").isdigit()}  # numbers alone name nothing
    keys = {fold(name) for name in told if len(name) >= 4 and (" " in name or len(fold(name)) > 5)}
    expected, at = [], 0
    while at < len(words):
        ends = [to for to in range(len(words), at, -1) if fold(normalise(" ".join(words[at:to]))) in keys]
        expected += [" ".join(words[at : ends[0]])] if ends else []
        at = ends[0] if ends else at + 1
    detector = NameFinder.build(name for name in known if fold(name) in keys or name not in told)
    assert found(" ".join(words), detector) == expected


@given(st.text(st.sampled_from(list("heart failure BREASTcancer()[]-;.,’'\n\u0301αß")), max_size=60))
def test_any_text_can_be_searched(text: str) -> None:
    for word in found(text):
        assert fold(normalise(word)) in {fold(normalise(name)) for name in NAMES}


def marked(text: str, *words: str) -> Document:
    mentions = tuple(Mention(text=w, start=text.index(w), end=text.index(w) + len(w), gold=("X:1",)) for w in words)
    return Document(id=text[:5], text=text, mentions=mentions)


def test_annotated_text_teaches_which_names_mislead_and_which_are_missing() -> None:
    texts = [f"Case {n}: recurrence of nephrotoxicity and anemia" for n in range(3)]
    documents = [marked(text, "nephrotoxicity", "anemia") for text in texts]
    names = {normalise(name) for name in ("Recurrence", "Anemia")}
    lexicon = learn(names, documents)
    counts = {"nephrotoxicity": (3, 3), "anemia": (3, 3)}
    assert lexicon == Lexicon(extra=frozenset({"nephrotoxicity"}), stop=frozenset({"recurrence"}), counts=counts)
    detector = NameFinder.build(names, lexicon)
    assert found("Recurrences of nephrotoxicity, anemias", detector) == ["nephrotoxicity", "anemias"]
    assert Lexicon.from_dict(lexicon.to_dict()) == lexicon
    before_counts = {name: value for name, value in lexicon.to_dict().items() if name != "counts"}
    assert Lexicon.from_dict(before_counts) == replace(lexicon, counts={})


def test_a_name_seen_twice_is_not_yet_judged() -> None:
    documents = [marked("recurrence and anemia", "anemia")] * 2
    lexicon = learn({"recurrence", "anemia"}, documents)
    assert (lexicon.extra, lexicon.stop) == (frozenset(), frozenset())
    finder = NameFinder.build({"recurrence", "anemia"}, lexicon)
    mentions = finder.find("recurrences of anemia (AN) and later of AN")
    counts = [(mention.text, mention.n_occurrences, mention.n_annotated) for mention in mentions]
    assert counts == [("recurrences", 2, 0), ("anemia", 2, 2), ("AN", 2, 2), ("AN", 2, 2)]


@pytest.mark.heavy
def test_hundred_thousand_names_are_searched_at_100_kb_a_second() -> None:
    draw = random.Random(5)
    syllables = ["car", "di", "o", "neph", "ro", "tox", "ic", "itis", "emia", "osis", "hep", "at", "my", "path", "y"]
    words = ["".join(draw.choices(syllables, k=3)) for _ in range(20_000)]
    names = {" ".join(draw.choices(words, k=draw.randint(1, 5))) for _ in range(106_000)}
    begin = time.process_time()
    detector = NameFinder.build(names)
    built = time.process_time() - begin
    text = ". ".join("Of " + " ".join(draw.choices(words, k=20)) for _ in range(1500))
    begin = time.process_time()
    detector.find(text)
    seconds = time.process_time() - begin
    assert built < 6  # 2 s on an idle core; twice that and more where others use its cache
    assert len(text) / seconds > 100_000


def test_marks_and_line_ends_hide_no_name() -> None:
    names = [
        "COPD",
        "asthma",
        "type 2 diabetes",
        "chronic obstructive pulmonary disease",
        "hypertension",
        "B*27 disease",
    ]
    finder = NameFinder.build(map(normalise, names))
    note = (
        "#COPD seen\n*asthma +asthma, HbA1c=7 (type 2 diabetes)\n"
        "Dx=asthma >COPD ~asthma COPD&asthma asthma³ B*27 disease"
    )
    assert [mention.text for mention in finder.find(note)] == [
        "COPD", "asthma", "asthma", "type 2 diabetes", "asthma", "COPD", "asthma", "COPD", "asthma", "asthma",
        "B*27 disease",
    ]  # fmt: skip
    broken = "He has chronic obstructive pul-\nmonary disease and hyper-\ntension."
    assert [(mention.text, mention.long_form) for mention in finder.find(broken)] == [
        ("chronic obstructive pul-\nmonary disease", "chronic obstructive pulmonary disease"),
        ("hyper-\ntension", "hypertension"),
    ]


def test_a_short_form_means_what_the_text_defines_where_it_stands() -> None:
    detector = NameFinder.build(
        map(normalise, ["MS", "AD", "multiple sclerosis", "mitral stenosis", "Alzheimer disease"]), shortest=2
    )
    text = "Multiple sclerosis (MS) or mitral stenosis (MS). Alzheimer disease (AD) may be autosomal dominant (AD)."
    assert [(m.text, m.long_form) for m in detector.find(text)] == [
        ("Multiple sclerosis", ""),
        ("MS", "Multiple sclerosis"),
        ("mitral stenosis", ""),
        ("MS", "mitral stenosis"),
        ("Alzheimer disease", ""),
        ("AD", "Alzheimer disease"),
    ]


CLINICAL = NameFinder.build(["cold", "aids", "copd", "disease", "disorder", "syndrome", "kidney disease", "asthma"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PATIENT HAS COLD HANDS. ALL LABS NORMAL.\nHEARING AIDS WERE PROVIDED.", []),
        ("PATIENT HAS COLD HANDS, 5 mg GIVEN AT ONCE", []),  # a unit does not make it a line of mixed case
        ("HEARING AIDs WERE PROVIDED", []),
        ("PATIENT HAS ASTHMA AND KIDNEY DISEASE.", ["ASTHMA", "KIDNEY DISEASE"]),
        ("HISTORY:\nThe patient has COLD.", ["COLD"]),
        ("COPD and AIDS", ["COPD", "AIDS"]),
        ("COPD", ["COPD"]),  # nothing beside it says how the line is written
        ("DIAGNOSES\n- COPD\n", ["COPD"]),
    ],
)
def test_capitals_say_acronym_only_in_a_line_with_lower_case(text: str, expected: list[str]) -> None:
    assert found(text, CLINICAL) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The disease and other disorders; a syndrome.", []),
        ("Kidney diseases", ["Kidney diseases"]),
        ("An odd disease (ODX) was seen. ODX is rare.", []),  # its long form ends in no name
    ],
)
def test_one_generic_word_is_no_mention(text: str, expected: list[str]) -> None:
    assert found(text, CLINICAL) == expected


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="BELINK_DATA is not set")
def test_ctd_names_find_two_thirds_of_bc5cdr_diseases() -> None:
    import gzip

    names: set[str] = set()
    with gzip.open(Path(str(DATA)) / "ctd/CTD_diseases.tsv.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith("#"):
                cells = line.rstrip("\n").split("\t")
                names.update(normalise(name) for name in (cells[0], *cells[7].split("|")))
    documents = list(read_corpus(Path(str(DATA)) / "corpora/bc5cdr-disease/traindev.bioc.xml.gz"))[:300]
    detector = NameFinder.build(names)
    right = n_found = n_gold = 0
    for document in documents:
        spans = {(m.start, m.end) for m in detector.find(document.text, sentences=document.sentences)}
        gold = {(m.start, m.end) for m in document.mentions}
        right, n_found, n_gold = right + len(spans & gold), n_found + len(spans), n_gold + len(gold)
    assert right / n_found > 0.77
    assert right / n_gold > 0.64


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("FHB was severe.", "FHB", "shorter than 4 characters"),
        ("He was given nsaid.", "nsaid", "not in capitals"),
        ("GIVEN NSAID TO ALL PATIENTS", "NSAID", "in a line of capitals"),
        ("A disease of the heart.", "disease", "a generic word"),
        ("Recurrence of it.", "Recurrence", "annotated in less than half"),
        ("With heart failure.", "failure", "overlaps 'heart failure'"),
        ("The number 2010 counts.", "2010", "a number"),
        ("no steroids at all in darkness (NSAID). NSAID again", "NSAID", "the text defines it as"),
    ],
)
def test_every_name_that_is_passed_over_has_its_reason(text: str, name: str, reason: str) -> None:
    names = {normalise(each) for each in ("FHB", "NSAID", "disease", "recurrence", "heart failure", "failure", "2010")}
    lexicon = Lexicon(stop=frozenset({"recurrence"}))
    finder = NameFinder.build(names, lexicon)
    reasons = {each.text: each.reason for each in Explainer(finder, names, lexicon).passed_over(text)}
    assert reasons[name].startswith(reason)


@given(st.text(st.sampled_from(list("heart failure BREASTcancer()[]-;.,’'\n\u0301αß")), max_size=60))
def test_a_name_is_either_found_or_passed_over_never_both(text: str) -> None:
    names = {normalise(name) for name in NAMES}
    finder = NameFinder.build(names)
    found_spans = {(mention.start, mention.end) for mention in finder.find(text)}
    passed_over = Explainer(finder, names).passed_over(text)
    assert not found_spans & {(each.start, each.end) for each in passed_over}
    assert all(text[each.start : each.end] == each.text and each.reason != "not found" for each in passed_over)


def test_of_names_that_fold_to_one_the_one_that_is_looked_for_is_explained() -> None:
    for names in (["dog", "dogs"], ["dogs", "dog"]):
        finder = NameFinder.build(names)
        assert "dog" not in [mention.text for mention in finder.find("the dogs had asthma")]
        (passed_over,) = Explainer(finder, names).passed_over("the dogs had asthma")
        assert "shorter" not in passed_over.reason

"""Corrections go to belink's corpora and to labelling tools and come back as they were, whatever the text holds."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from belink.corpora import feedback, labelling
from belink.corpora.feedback import Correction, correction_documents, make_correction, standing
from belink.corpora.files import read_corpus
from belink.errors import CorpusError
from belink.records import Document

# Beyond the basic plane, combining, two kinds of line ends, what JSON and HTML escape, and what other readers split at.
_TEXT = st.text(st.sampled_from("ab Zß😀𝒜é\u0301\r\n\t.\"'<>{}[]\\\u2028\x85α"), min_size=1, max_size=60)
_VERDICTS = st.sampled_from(["right", "other", "nil", "no-mention", "missed"])


@st.composite
def corrections(draw: st.DrawFn) -> list[Correction]:
    made = []
    for _ in range(draw(st.integers(1, 5))):
        text = draw(_TEXT)
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        verdict = draw(_VERDICTS)
        concept = draw(st.sampled_from(["X:1", "X:2"])) if verdict in feedback.WITH_CONCEPT else None
        if text[start:end].strip():
            document = draw(st.sampled_from(["", "d1"]))
            made.append(make_correction(text, start, end, verdict, "anna", concept=concept, document=document))
    return list(standing(made).agreed)


def judgements(documents: list[Document]) -> list[tuple[object, ...]]:
    """What of documents a labelling tool has to keep."""
    return [
        (
            document.id,
            document.text,
            tuple((m.start, m.end, m.gold, m.is_nil) for m in document.mentions),
            document.judged,
        )
        for document in documents
    ]


@pytest.mark.heavy
@given(corrections())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@pytest.mark.parametrize("format", ["jsonl", "label-studio", "doccano"])
def test_corrections_come_back_as_they_were(tmp_path: Path, format: labelling.Format, made: list[Correction]) -> None:
    documents = list(correction_documents(made))
    if not documents:
        return
    path = tmp_path / "labels"
    assert labelling.write_labelled(documents, path, format) == len(documents)
    assert judgements(list(labelling.read_labelled(path))) == judgements(documents)
    if format == "jsonl":
        assert judgements(list(read_corpus(path))) == judgements(documents)


@given(_TEXT, st.data())
def test_a_correction_holds_the_span_that_was_given_but_for_blanks(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    if not text[start:end].strip():
        with pytest.raises(CorpusError, match="found blanks"):
            make_correction(text, start, end, "nil", "anna")
        return
    made = make_correction(text, start, end, "nil", "anna")
    assert made.mention == text[start:end].strip()
    assert made.text in text


def test_label_studio_tasks_of_people_are_read(tmp_path: Path) -> None:
    region = {"start": 2, "end": 7, "text": "fever", "labels": ["Disease"]}
    task = {
        "id": 7,
        "data": {"text": "😀 fever and a rash."},
        "annotations": [
            {
                "completed_by": 3,
                "result": [
                    {"id": "a", "from_name": "label", "to_name": "text", "type": "labels", "value": region},
                    {"id": "a", "type": "textarea", "value": {"start": 2, "end": 7, "text": ["X:1"]}},
                    {"id": "b", "type": "labels", "value": {"start": 14, "end": 18, "labels": ["no mention"]}},
                    {"id": "c", "type": "choices", "value": {"choices": ["done"]}},
                ],
            },
            {"was_cancelled": True, "result": [{"id": "d", "type": "labels", "value": region}]},
        ],
    }
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task]), encoding="utf-8")
    (document,) = labelling.read_labelled(path)
    assert [(m.text, m.gold) for m in document.mentions] == [("fever", ("X:1",))]
    assert [(s.start, s.end, s.verdict) for s in document.judged or ()] == [(2, 7, "other"), (14, 18, "no-mention")]


@pytest.mark.parametrize(
    "line",
    [
        {"id": 1, "text": "A fever.", "label": [[2, 7, "NIL"]]},
        {"id": 1, "text": "A fever.", "labels": [[2, 7, "NIL"]]},
        {
            "id": 1,
            "text": "A fever.",
            "entities": [{"id": 4, "start_offset": 2, "end_offset": 7, "label": "NIL"}],
            "relations": [],
        },
    ],
)
def test_each_form_of_doccano_is_read(tmp_path: Path, line: dict[str, object]) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    (document,) = labelling.read_labelled(path)
    assert [(m.text, m.is_nil) for m in document.mentions] == [("fever", True)]


def test_labels_outside_the_text_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text(json.dumps({"text": "A fever.", "label": [[200, 207, "X:1"]]}) + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="line 1: 200 to 207 lies outside"):
        list(labelling.read_labelled(path))


def test_people_who_disagree_are_a_conflict_until_one_withdraws() -> None:
    anna = make_correction("A fever.", 2, 7, "other", "anna", concept="X:1")
    ben = make_correction("A fever.", 2, 7, "other", "ben", concept="X:2")
    eve = make_correction("A rash.", 2, 6, "nil", "eve")
    assert standing([anna, ben, eve]).conflicts == (anna, ben)
    assert standing([anna, ben, eve]).agreed == (eve,)
    withdrawal = feedback.Withdrawal(id="w", at=ben.at, who="ben", withdraws=ben.id)
    assert standing([anna, ben, eve, withdrawal]).agreed == (anna, eve)
    again = make_correction("A fever.", 2, 7, "right", "ben", concept="X:1")
    assert standing([anna, ben, again]).agreed == (anna, again)
    (document,) = correction_documents([anna, again])
    assert [span.verdict for span in document.judged or ()] == ["other"]


@pytest.mark.parametrize("format", ["label-studio", "doccano"])
def test_a_link_that_was_right_and_has_another_id_now_is_an_error(tmp_path: Path, format: labelling.Format) -> None:
    made = [make_correction("A fever. A rash.", start, start + 4, "right", "anna", concept="X:1") for start in (2, 11)]
    path = tmp_path / "labels"
    labelling.write_labelled(correction_documents(made), path, format)
    text = path.read_text(encoding="utf-8")
    kept = text.count("X:1")
    first = '"X:1"'
    at = text.index(first, text.index("annotations" if format == "label-studio" else '"label"'))
    path.write_text(text[:at] + '"X:2"' + text[at + len(first) :], encoding="utf-8")
    assert path.read_text(encoding="utf-8").count("X:1") == kept - 1
    spans = [span for document in labelling.read_labelled(path) for span in document.judged or ()]
    assert [span.verdict for span in spans] == ["other", "right"]


def test_verdicts_without_a_concept_are_read_as_before(tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    line = {"text": "A fever.", "label": [[2, 7, "X:2"]], "verdicts": [[2, 7, "right"]]}
    path.write_text(json.dumps(line), encoding="utf-8")
    (document,) = labelling.read_labelled(path)
    assert [span.verdict for span in document.judged or ()] == ["right"]


@pytest.mark.parametrize("before", ["", "\n \n" * 3, "\n" * 20_000])
@pytest.mark.parametrize("after", ["", "\n"])
@pytest.mark.parametrize("words", ["fever", "fever " * 5_000])
def test_a_doccano_file_of_one_line_is_read_whatever_stands_around_it(
    tmp_path: Path, before: str, words: str, after: str
) -> None:
    path = tmp_path / "export.jsonl"
    line = json.dumps({"text": f"A {words}.", "label": [[2, 7, "NIL"]]})
    path.write_text(f"{before}{line}{after}", encoding="utf-8")
    (document,) = labelling.read_labelled(path)
    assert [(m.text, m.is_nil) for m in document.mentions] == [("fever", True)]


def test_bioc_of_many_lines_is_no_file_of_a_labelling_tool(tmp_path: Path) -> None:
    annotation = {
        "id": "1",
        "infons": {"identifier": "X:1"},
        "text": "fever",
        "locations": [{"offset": 2, "length": 5}],
    }
    passage = {"offset": 0, "infons": {}, "text": "A fever.", "annotations": [annotation]}
    collection = {"source": "", "date": "", "key": "", "documents": [{"id": "1", "infons": {}, "passages": [passage]}]}
    path = tmp_path / "corpus.json"
    path.write_text(json.dumps(collection, indent=1), encoding="utf-8")
    (document,) = labelling.read_labelled(path)
    assert [(m.gold, s.verdict) for m, s in zip(document.mentions, document.judged or (), strict=True)] == [
        (("X:1",), "other")
    ]

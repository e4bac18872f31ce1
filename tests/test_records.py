"""A link says the same in every output, and speaks plain words in Python."""

import doctest
import json
from pathlib import Path

from belink import records
from belink.corpora.links import write_links
from belink.records import Candidate, Document, Link, Mention, link_json
from belink.registry.pyfunc_model import LinkedMention as FromMlflow
from belink.serve.answers import linked_mention

MENTION = Mention(text="COPD", start=7, end=11, document="7", long_form="chronic obstructive pulmonary disease")
COPD = Candidate(id="MONDO:0005002", label="COPD", name="copd", ontology="mondo", release="2025", score=0.123456)
OTHER = Candidate(id="MONDO:0004979", label="asthma", name="asthma", ontology="mondo", release="2025")
LINK = Link(
    mention=MENTION, candidate=COPD, probability=0.912345, nil_probability=0.01,
    options=((COPD, 1.0000001), (OTHER, -1e-9)), decided_by="retrieval",
)  # fmt: skip
NIL = Link(mention=MENTION, candidate=None, probability=0.7)


def test_a_link_has_the_attributes_that_its_json_has() -> None:
    for link in (LINK, NIL):
        written = link_json(link)
        for name in ("document", "text", "start", "end", "id", "label", "ontology", "release", "decided_by"):
            assert written[name] == getattr(link, name), name
    assert (LINK.id, LINK.label, NIL.id, NIL.release) == ("MONDO:0005002", "COPD", None, None)


def test_probabilities_stay_within_0_and_1_and_have_four_decimals() -> None:
    written = link_json(LINK)
    assert written["probability"] == 0.9123
    assert [option["probability"] for option in written["candidates"]] == [1.0, 0.0]
    assert len(link_json(LINK, n_candidates=1)["candidates"]) == 1


def test_every_output_writes_the_same_values(tmp_path: Path) -> None:
    for link in (LINK, NIL):
        written = link_json(link)
        outputs = [
            FromMlflow.model_validate(written).model_dump(),
            linked_mention(link, 25).model_dump(mode="json"),
        ]
        document = Document(id="7", text="He has COPD.", mentions=(MENTION,))
        write_links([(document, [link])], tmp_path / "links.jsonl", {})
        outputs.append(json.loads((tmp_path / "links.jsonl").read_text(encoding="utf-8"))["links"][0])
        for output in outputs:
            assert all(output[key] == written[key] for key in output.keys() - {"candidates"}), output


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(records).failed == 0

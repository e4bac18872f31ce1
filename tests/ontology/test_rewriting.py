"""Labels and versions follow the ids beside them, in every format that ``belink migrate`` writes."""

import csv
import io
import json
from pathlib import Path
from typing import Literal

import pytest

from belink import settings
from belink.errors import CorpusError
from belink.ontology.migrate import migrate
from belink.ontology.release import release_path
from belink.settings import Settings
from tests.ontology.test_migrate import home, run
from tests.support.made_releases import concept, release

__all__ = ["home"]  # a fixture

LABELLED = (concept(1, 'a "new", <name>'), concept(2, "kept"), concept(3, "=old & odd"))
SUCCEEDED = (
    concept(1, 'a "new", <name>'),
    concept(2, "kept"),
    concept(3, "=old & odd", obsolete=True, replaced_by=(1,)),
)


@pytest.fixture
def labelled(tmp_path: Path) -> Settings:
    here = settings.load(tmp_path / "labelled")
    release(release_path(here, "x", "2021-01-01"), *LABELLED)
    release(release_path(here, "x", "2023-01-01"), *SUCCEEDED)
    return here


def _link(local: int, label: str, version: str = "2021-01-01") -> dict[str, object]:
    return {
        "text": "=old & odd", "start": 0, "end": 3, "id": f"X:{local}", "label": label, "ontology": "x",
        "release": version, "candidates": [{"id": f"X:{local}", "label": label, "name": "another", "probability": 1.0}],
    }  # fmt: skip


def test_label_and_release_follow_the_id_in_json(labelled: Settings, tmp_path: Path) -> None:
    for indent in (None, 2):
        before = {"id": "d", "links": [_link(3, "=old & odd"), _link(2, "=old & odd"), {"id": "X:3", "label": "mine"}]}
        written, _ = run(labelled, tmp_path, "l.jsonl", json.dumps(before, indent=indent))
        after = json.loads(written)
        assert after["links"][0] == _link(1, 'a "new", <name>', "2023-01-01")
        assert after["links"][1:] == [_link(2, "=old & odd"), {"id": "X:1", "label": "mine"}]


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
def test_label_and_version_follow_the_id_in_tables(
    labelled: Settings, tmp_path: Path, separator: str, quoting: Literal[0, 1]
) -> None:
    header = ["text", "disease_id", "Disease name", "onto_version", "label"]
    rows = [
        ["=old & odd", "X:3", "'=old & odd", "2021-01-01", "positive"],
        ["=old & odd", "X:2", "=old & odd", "2021-01-01", "=old & odd"],
        ["=old & odd", "X:3", "=old & odd", "2019", "=old & odd"],
    ]
    table = io.StringIO()
    csv.writer(table, delimiter=separator, quoting=quoting, lineterminator="\n").writerows([header, *rows])
    name = "t.csv" if separator == "," else "t.tsv"
    written, _ = run(labelled, tmp_path, name, table.getvalue(), column="disease_id")
    new = 'a "new", <name>'
    assert list(csv.reader(io.StringIO(written), delimiter=separator)) == [
        header,
        ["=old & odd", "X:1", new, "2023-01-01", "positive"],
        rows[1],
        ["=old & odd", "X:1", new, "2019", new],
    ]


def test_label_and_release_follow_the_id_in_bioc(labelled: Settings, tmp_path: Path) -> None:
    def infons(identifier: str, label: str, version: str) -> str:
        fields = {"concept_id": identifier, "label": label, "release": version}
        return "".join(f'<infon key="{key}">{value}</infon>' for key, value in fields.items())

    old, new = ("=old &amp; odd", "2021-01-01"), ('a "new", &lt;name&gt;', "2023-01-01")
    text = "<collection><annotation>{}</annotation><annotation>{}</annotation></collection>"
    before = text.format(infons("X:3", *old), infons("X:2", *old))
    written, _ = run(labelled, tmp_path, "b.xml", before)
    assert written == text.format(infons("X:1", *new), infons("X:2", *old))
    node = {"infons": {"identifier": "X:3", "label": "=old & odd", "release": "2021-01-01"}, "text": "=old & odd"}
    written, _ = run(labelled, tmp_path, "b.json", json.dumps({"annotations": [node]}))
    fields = {"identifier": "X:1", "label": 'a "new", <name>', "release": "2023-01-01"}
    assert json.loads(written)["annotations"] == [{**node, "infons": fields}]


def test_label_and_release_of_an_id_for_review_stay(home: Settings, tmp_path: Path) -> None:
    text = '{"links": [{"ids": ["X:2", "X:4"], "label": "n2", "release": "2021-01-01"}]}'
    written, _ = run(home, tmp_path, "l.jsonl", text)
    assert json.loads(written)["links"] == [{"ids": ["X:1", "X:4"], "label": "n1", "release": "2021-01-01"}]


def test_deep_json_is_refused_in_one_line(home: Settings, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="expected JSON or JSON Lines") as caught:
        run(home, tmp_path, "d.jsonl", '{"gold": "X:2"}\n' + "[" * 100_000)
    assert "\n" not in str(caught.value)


def test_a_label_with_a_comma_is_quoted_in_csv_alone(tmp_path: Path) -> None:
    here = settings.load(tmp_path / "commas")
    release(release_path(here, "x", "2021-01-01"), concept(1, "diabetes, type 2"), concept(3, "old"))
    merged = concept(3, "old", obsolete=True, replaced_by=(1,))
    release(release_path(here, "x", "2023-01-01"), concept(1, "diabetes, type 2"), merged)
    assert run(here, tmp_path, "t.tsv", "id\tlabel\nX:3\told\n", column="id")[0] == "id\tlabel\nX:1\tdiabetes, type 2\n"
    assert run(here, tmp_path, "t.csv", "id,label\nX:3,old\n", column="id")[0] == 'id,label\nX:1,"diabetes, type 2"\n'


def test_a_file_that_is_not_utf_8_gets_no_label_that_would_mix_encodings(tmp_path: Path) -> None:
    here = settings.load(tmp_path / "letters")
    release(release_path(here, "x", "2021-01-01"), concept(1, "Sj\u00f6gren"), concept(3, "old"))
    merged = concept(3, "old", obsolete=True, replaced_by=(1,))
    release(release_path(here, "x", "2023-01-01"), concept(1, "Sj\u00f6gren"), merged)
    (tmp_path / "t.csv").write_bytes("id,label,note\nX:3,old,na\u00efve\n".encode("cp1252"))
    migrate("x", "2021-01-01", "2023-01-01", tmp_path / "t.csv", tmp_path / "out.csv", here, "id")
    assert (tmp_path / "out.csv").read_bytes() == "id,label,note\nX:1,old,na\u00efve\n".encode("cp1252")

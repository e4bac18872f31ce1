"""Parquet in, Parquet out: documents keep their ids and mentions, links their lineage."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from belink.corpora import parquet
from belink.corpora.parquet import ROWS, read_documents, write_links
from belink.errors import CorpusError
from belink.records import Candidate, Link, Mention


def table(path: Path, **columns: list[Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_text_alone_is_enough(tmp_path: Path) -> None:
    documents = list(read_documents(table(tmp_path / "docs.parquet", text=["asthma", None, "β-thalassaemia"])))
    assert [(document.id, document.text) for document in documents] == [
        ("0", "asthma"), ("1", ""), ("2", "β-thalassaemia"),
    ]  # fmt: skip


def test_ids_and_mentions_are_taken(tmp_path: Path) -> None:
    path = table(
        tmp_path / "docs.parquet",
        text=["He has β-thalassaemia.", "nothing"],
        id=["PMID:1", "PMID:2"],
        mentions=[[{"start": 7, "end": 21}], None],
        year=[2026, 2026],
    )
    first, second = read_documents(path)
    assert [(m.text, m.document) for m in first.mentions] == [("β-thalassaemia", "PMID:1")]
    assert (second.id, second.mentions) == ("PMID:2", ())


def test_more_rows_than_are_read_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS", 7)
    path = table(tmp_path / "docs.parquet", text=[f"text {n}" for n in range(20)])
    assert [document.id for document in read_documents(path)] == [str(n) for n in range(20)]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"body": ["x"]}, "expected a column text, found body"),
        ({"text": ["x"], "mentions": [[{"start": 0, "end": 2}]]}, "within 1 characters, found 0 to 2"),
    ],
)
def test_a_table_without_documents_is_an_error(tmp_path: Path, columns: dict[str, list[Any]], said: str) -> None:
    with pytest.raises(CorpusError, match=said):
        list(read_documents(table(tmp_path / "docs.parquet", **columns)))


def test_an_invalid_parquet_file_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "docs.parquet").write_text("not a table")
    with pytest.raises(CorpusError, match="expected a Parquet file") as raised:
        list(read_documents(tmp_path / "docs.parquet"))
    assert "\n" not in str(raised.value)


def link(n: int, identifier: str | None, **lineage: str) -> Link:
    mention = Mention(text=f"m{n}", start=n, end=n + 2)
    candidate = Candidate(id=identifier, label="label", name="m", ontology="x", release="1") if identifier else None
    return Link(mention=mention, candidate=candidate, probability=0.5, decided_by="retrieval", lineage=lineage)


def test_each_link_is_a_row_with_its_lineage(tmp_path: Path) -> None:
    many = ((f"d{n}", [link(n, "MONDO:1"), link(n, None)]) for n in range(ROWS))
    counts = write_links(tmp_path / "out.parquet", many, {"linker": "small", "model_version": "3"})
    assert counts == (ROWS, 2 * ROWS)
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert len(rows) == 2 * ROWS
    assert rows[0] | {"document": "d0", "id": "MONDO:1", "linker": "small", "model_version": "3"} == rows[0]
    assert rows[1]["id"] is None


def test_a_link_of_several_linkers_has_its_own_lineage(tmp_path: Path) -> None:
    links = [link(0, "X:1", linker="disease"), link(1, None, linker="chemical")]
    write_links(tmp_path / "out.parquet", [("d", links)], {"linker": "disease, chemical"})
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["linker"] for row in rows] == ["disease", "chemical"]


def test_no_link_is_a_table_without_rows(tmp_path: Path) -> None:
    assert write_links(tmp_path / "out.parquet", [("d", [])], {}) == (1, 0)
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0

"""Tables: CTD's layout, CSV, TSV and Parquet by column mapping."""

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belink.declarations import Columns, NamesKept, SourceConfig, load_source
from belink.errors import DeclarationError, SourceError
from belink.ontology.readers import tabular
from tests.support.read_sources import DATA, Read, counts, read, write

COLUMNS = Columns(
    id="code", label="name", synonyms="also", definition="meaning", parents="above", alt_ids="old", xrefs="see",
    tree_numbers="tree",
)  # fmt: skip
HEADER = ("code", "name", "also", "meaning", "above", "old", "see", "tree", "unused")
SMALL = Columns(id="code", label="name", synonyms="also")


def source(columns: Columns | None = COLUMNS, **changes: Any) -> SourceConfig:
    given = {"title": "T", "format": "table", "prefixes": ("X", "Y"), "licence": "CC0", "columns": columns}
    return SourceConfig(name="t", **{**given, **changes})


def read_text(path: Path, text: str | bytes, **given: Any) -> Read:
    return read(tabular.read, [write(path, text)], source(**given))


ROW = ("X:1", "asthma", "wheeze|Asthma, NOS", "A disease.", "X:2|3", "Y:9|8", "CAS:50-00-0", "C08.1|C20.5", "z")


def test_every_mapped_column_reaches_its_table(tmp_path: Path) -> None:
    found = read_text(tmp_path / "t.tsv", "\t".join(HEADER) + "\n" + "\t".join(ROW) + "\n")
    assert found.tables["concept"] == [("X:1", "X", "asthma", "A disease.", False, True)]
    assert found.names("X:1") == [("asthma", "label"), ("wheeze", "exact"), ("Asthma, NOS", "exact")]
    assert found.tables["parent"] == [("X:1", "X:2"), ("X:1", "X:3")]
    assert found.tables["alt_id"] == [("X:1", "Y:9"), ("X:1", "X:8")]
    assert found.tables["xref"] == [("X:1", "CAS:50-00-0")]
    assert [row[1:] for row in found.tables["membership"]] == [("tree_number", "C08.1"), ("tree_number", "C20.5")]
    assert found.left == []


@pytest.mark.parametrize(
    ("name", "delimiter", "packed"),
    [
        ("t.tsv", "\t", False),
        ("t.tsv.gz", "\t", True),
        ("t.csv", ",", False),
        ("t.csv.gz", ",", True),
        ("t", ";", False),
    ],
)
def test_the_delimiter_comes_from_the_first_row_and_gz_from_the_content(
    tmp_path: Path, name: str, delimiter: str, packed: bool
) -> None:
    rows = [("code", "name", "also"), ("1", "asthma", "wheeze|x"), ("2", "croup", "")]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    path = write(tmp_path / name, "\ufeff" + text, packed=packed)
    found = read(tabular.read, [path], source(SMALL))
    assert found.labels() == {"X:1": "asthma", "X:2": "croup"}
    assert found.names("X:1")[1:] == [("wheeze", "exact"), ("x", "exact")]
    assert found.tables["rejection"] == []


def test_columns_may_be_declared_or_counted_where_there_is_no_header(tmp_path: Path) -> None:
    text = "# a comment\n1\tasthma\t\n#2\tcommented out\t\n3\tcroup\tx\n"
    declared = {"header": ("code", "name", "also"), "comment": "#"}
    assert read_text(tmp_path / "a.tsv", text, columns=SMALL, **declared).labels() == {"X:1": "asthma", "X:3": "croup"}
    with_header = "code\tname\talso\n" + text
    assert len(read_text(tmp_path / "b.tsv", with_header, columns=SMALL, **declared).labels()) == 2
    counted = Columns(id="column0", label="column1", synonyms="column2")
    assert len(read_text(tmp_path / "c.tsv", text, columns=counted, comment="#").labels()) == 2


def test_parquet_is_read_with_lists_and_numbers_as_they_are(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    also = [["wheeze", " x|y "], None, []]
    table = pa.table(
        {"Code": [1, 2, 3], 'na"me': ["asthma", "croup", None], "also": also, "see": ["A:1|A:2", "", None]}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    columns = Columns(id="Code", label='na"me', synonyms="also", xrefs="see")
    found = read(tabular.read, [tmp_path / "t.parquet"], source(columns))
    assert found.labels() == {"X:1": "asthma", "X:2": "croup"}
    assert found.names("X:1") == [("asthma", "label"), ("wheeze", "exact"), ("x|y", "exact")]
    assert found.tables["xref"] == [("X:1", "A:1"), ("X:1", "A:2")]
    assert found.reasons() == [(None, "expected a label, found none")]
    with pytest.raises(SourceError, match="expected the columns name, found Code"):
        read(tabular.read, [tmp_path / "t.parquet"], source(Columns(id="Code", label="name")))
    (tmp_path / "short.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"short\.parquet") as caught:
        read(tabular.read, [tmp_path / "short.parquet"], source(columns))
    assert "\n" not in str(caught.value)


def test_rows_with_one_id_are_one_concept(tmp_path: Path) -> None:
    text = "code\tname\talso\n1\tasthma\twheeze\n2\tcroup\t\n1\tbronchial asthma\twheeze|asthma\n"
    found = read_text(tmp_path / "t.tsv", text, columns=SMALL)
    assert [row[0] for row in found.tables["concept"]] == ["X:1", "X:2"]
    assert found.names("X:1") == [("asthma", "label"), ("wheeze", "exact"), ("bronchial asthma", "exact")]


def test_the_order_of_the_file_is_kept(tmp_path: Path) -> None:
    rows = [f"{n * 7919 % 20011}\tname {n}\ta{n}|b{n}\n" for n in range(20000)]
    found = read_text(tmp_path / "t.tsv", "code\tname\talso\n" + "".join(rows), columns=SMALL)
    assert [row[2] for row in found.tables["concept"]] == [f"name {n}" for n in range(20000)]
    assert [row[1] for row in found.tables["name"]][:4] == ["name 0", "a0", "b0", "name 1"]
    assert [row[1] for row in found.tables["name"]][-2:] == ["a19999", "b19999"]


def test_ids_of_other_prefixes_are_kept_and_are_not_own(tmp_path: Path) -> None:
    found = read_text(tmp_path / "t.csv", "code,name\nX:1,a\nZ:1,b\n", columns=Columns(id="code", label="name"))
    assert [(row[0], row[5]) for row in found.tables["concept"]] == [("X:1", True), ("Z:1", False)]


LABELS = st.lists(st.text("éüßñçÉøåµ° aBc", min_size=3, max_size=12).filter(str.strip), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(
    labels=LABELS,
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]),
    delimiter=st.sampled_from("\t,;|"),
    packed=st.booleans(),
)
def test_a_table_says_the_same_in_every_encoding_of_spreadsheets(
    labels: list[str], encoding: str, delimiter: str, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [("code", "name", "also"), *((str(n), label.strip(), "") for n, label in enumerate(labels))]
    content = "\r\n".join(delimiter.join(row) for row in rows).encode(encoding)
    folder = tmp_path_factory.mktemp("table")
    path = write(folder / "t", gzip.compress(content) if packed else content)
    found = read(tabular.read, [path], source(columns=SMALL))
    assert found.labels() == {f"X:{n}": label.strip() for n, label in enumerate(labels)}
    assert found.reasons() == []


def test_a_table_in_another_encoding_is_named_by_its_own_path(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\nx,y\n".encode("utf-16"))
    with pytest.raises(SourceError, match=f"^{re.escape(str(path))}: expected the columns"):
        read(tabular.read, [path], source(columns=SMALL))


def test_a_malformed_row_is_set_aside_with_its_line(tmp_path: Path) -> None:
    lines = [
        b"code\tname\talso",
        b"1\tasthma\t",
        b"2\ttoo few",
        b"3\ttoo\tmany\tcells",
        b"4\tnot \xe9 UTF-8\t",
        b"\tno id\t",
        b"6\t \tno name",
        b"two words\tan id with a space\t",
        b"X:\tan id without a local part\t",
        b":8\tan id without a prefix\t",
        b"9\tNUL \0 here\t",
    ]
    found = read_text(tmp_path / "t.tsv", b"\n".join(lines), columns=SMALL)
    assert found.labels() == {"X:1": "asthma", "X:9": "NUL   here"}
    assert [(line, reason.removeprefix("t.tsv: ")) for line, reason in found.reasons()] == [
        (3, "expected 3 columns, found 2"),
        (4, "expected 3 columns, found 4"),
        (5, "expected UTF-8, found other bytes"),
        (6, "expected a value in code, found none"),
        (7, "expected a value in name, found none"),
        (11, "a control character became a space"),
        *[(None, "expected a CURIE as id, found another text")] * 3,
    ]


def test_an_id_without_prefix_is_set_aside_where_none_is_declared(tmp_path: Path) -> None:
    found = read_text(
        tmp_path / "t.csv", "code,name\n1,a\nX:2,b\n", columns=Columns(id="code", label="name"), prefixes=()
    )
    assert found.labels() == {"X:2": "b"}
    assert len(found.tables["rejection"]) == 1


def test_quotes_are_text_in_tsv_and_quoting_in_csv(tmp_path: Path) -> None:
    found = read_text(tmp_path / "t.tsv", 'code\tname\talso\n1\t"Blue" disease\t"|5"-nucleotidase\n', columns=SMALL)
    assert [row[1] for row in found.tables["name"]] == ['"Blue" disease', '"', '5"-nucleotidase']
    text = 'code,name,also\n1,"a, ""b""","x\ny|z\tw"\n"2",c,\n\n3,d "e",\n'
    found = read_text(tmp_path / "t.csv", text, columns=SMALL)
    assert [row[1] for row in found.tables["name"]] == ['a, "b"', "x y", "z w", "c", 'd "e"']
    assert found.tables["rejection"] == []


def test_a_stray_quote_costs_its_line_and_not_the_rest_of_the_file(tmp_path: Path) -> None:
    good = "".join(f"{n},name {n},\n" for n in range(10, 9000))
    text = f'code,name,also\n1,a,\n2,"never closed,\n3,"c"d,\n{good}'
    found = read_text(tmp_path / "t.csv", text, columns=SMALL)
    assert len(found.labels()) == 1 + 8990
    assert [line for line, _ in found.reasons()] == [3, 4]
    assert all("expected quotes in pairs" in reason for _, reason in found.reasons())


@pytest.mark.parametrize(
    ("branches", "kept"),
    [((), "1234"), (("C08",), "12"), (("C",), "12"), (("X:2",), "2"), (("C08", "X:3"), "123"), (("C08.1",), "12")],
)
def test_branches_are_tree_numbers_or_roots_with_their_descendants(
    tmp_path: Path, branches: tuple[str, ...], kept: str
) -> None:
    columns = Columns(id="code", label="name", parents="above", tree_numbers="tree")
    text = "code,name,above,tree\n1,a,,C08.1\n2,b,1,\n3,c,,D08.1\n4,d,,\n"
    found = read_text(tmp_path / "t.csv", text, columns=columns, branches=branches)
    assert "".join(row[-1] for row in found.labels()) == kept


def test_empty_branches_are_an_error(tmp_path: Path) -> None:
    columns = Columns(id="code", label="name", tree_numbers="tree")
    with pytest.raises(SourceError, match="expected tree numbers below F03, found none"):
        read_text(tmp_path / "t.csv", "code,name,tree\n1,a,C08\n", columns=columns, branches=("F03",))


def test_only_the_declared_scopes_are_kept(tmp_path: Path) -> None:
    names = NamesKept(scopes=("exact",))
    found = read_text(tmp_path / "t.tsv", "code\tname\talso\n1\ta\tb\n", columns=SMALL, names=names)
    assert found.names("X:1") == [("b", "exact")]
    assert found.labels() == {"X:1": "a"}


CHEMICALS = (
    "# CTD\n# Report created: Thu Mar 27 10:12:13 EDT 2025\n"
    "# Fields:\n# ChemicalName\tChemicalID\tCasRN\n"
    "Formaldehyde\tMESH:D005557\t50-00-0\tA gas.\tMESH:D000447\tD02.047.343\tD02.047\tMethanal|Formalin\n"
)


def test_the_layouts_of_ctd_are_declared(tmp_path: Path) -> None:
    found = read(tabular.read, [write(tmp_path / "CTD_chemicals.tsv", CHEMICALS)], load_source("ctd-chemicals"))
    assert found.tables["concept"] == [("MESH:D005557", "MESH", "Formaldehyde", "A gas.", False, True)]
    assert [row[1] for row in found.tables["name"]] == ["Formaldehyde", "Methanal", "Formalin"]
    assert found.tables["xref"] == [("MESH:D005557", "CAS:50-00-0")]
    assert found.tables["parent"] == [("MESH:D005557", "MESH:D000447")]
    assert found.version == "2025-03-27"
    disease = "Abetalipoproteinemia\tMESH:D000012\tDO:DOID:1386|OMIM:200100\t\t\t\t\tABL\tGenetic disease (inborn)\n"
    found = read(tabular.read, [write(tmp_path / "d.tsv", disease)], load_source("ctd-diseases"))
    assert found.tables["alt_id"] == [("MESH:D000012", "DOID:1386"), ("MESH:D000012", "OMIM:200100")]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "expected the columns code, name, also in its first row, found ''"),
        (b"<html>\n", "expected the columns"),
        (b"code\tname\tALSO\n1\ta\tb\n", "expected the columns"),
        (b"code\tname\talso\n1\n2\n", "found no such row"),
        (b"code,name,also\n1\n2\n", "found no such line"),
        (gzip.compress(b"code\tname\talso\n" + b"".join(b"%d\tname %d\t\n" % (n, n) for n in range(9999)))[:-9], "gz"),
        (gzip.compress(b"code,name,also\n" + b"".join(b"%d,name %d,\n" % (n, n) for n in range(9999)))[:-9], "gz"),
        (b"PAR1 not really", "parquet|DuckDB"),
    ],
)
def test_a_file_that_is_something_else_is_one_clear_error(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint) as caught:
        read_text(tmp_path / "t", content, columns=SMALL)
    assert "\n" not in str(caught.value)


def test_a_table_without_a_column_mapping_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"needs a \[columns\] section"):
        read_text(tmp_path / "t.csv", "a,b\n", columns=None)


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="BELINK_DATA is not set")
def test_the_real_vocabulary_is_read_whole() -> None:
    found = counts(tabular.read, [DATA / "ctd/CTD_diseases.tsv.gz"], load_source("ctd-diseases"))
    assert (found["concepts"], found["own"], found["names"], found["rejected"]) == (13_316, 13_316, 90_590, 0)

import gzip
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink import settings
from belink.errors import CorpusError, ReleaseError
from belink.ontology.id_spans import id_spans
from belink.ontology.migrate import Fate, MigrationReport, chain_between, fate, fates, migrate
from belink.ontology.release import list_releases, release_path
from belink.settings import Settings
from tests.support.made_releases import concept, real_mondo, release, with_data

R1 = (
    *(concept(n, f"n{n}") for n in range(1, 10)),
    concept(11, "n11", alt_ids=(12, 13)),
    concept(30, obsolete=True, replaced_by=(1,)),
)
R2 = (
    concept(1, "n1"),
    concept(2, obsolete=True, replaced_by=(3,)),  # replaced now, and its replacement later
    concept(3, "n3"),
    concept(4, obsolete=True, replaced_by=(1, 5)),
    concept(5, "n5"),
    concept(6, obsolete=True, consider=(1,)),
    concept(8, obsolete=True, replaced_by=(9,)),
    concept(9, "n9"),
    concept(11, "n11", alt_ids=(12, 13)),
)
R3 = (
    concept(1, "n1", alt_ids=(5, 3, 8)),  # claims 5, which is live
    concept(3, obsolete=True, replaced_by=(1,)),  # alternative id and replaced_by at once
    concept(5, "n5"),
    concept(7, obsolete=True, replaced_by=(17,)),
    concept(17, obsolete=True, replaced_by=(7,)),
    concept(9, obsolete=True, replaced_by=(404,)),
    concept(11, "n11", alt_ids=(12,)),
    concept(14, "n14", alt_ids=(12,)),
    concept(20, "n20"),
    concept(21, obsolete=True, replaced_by=(5,)),
    concept(22, obsolete=True, replaced_by=(20,), consider=(1,)),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    here = settings.load(tmp_path_factory.mktemp("home"))
    for version, concepts in (("2021-01-01", R1), ("2022-01-01", R2), ("2023-01-01", R3)):
        release(release_path(here, "x", version), *concepts)
    return here


@pytest.mark.parametrize(
    ("asked", "kind", "targets"),
    [
        ("X:1", "same", ("X:1",)),
        ("X:2", "merged", ("X:1",)),  # across two releases; the last one has forgotten X:2
        ("X:3", "merged", ("X:1",)),  # replaced_by and alternative id say the same
        ("X:4", "split", ("X:1", "X:5")),
        ("X:5", "same", ("X:5",)),  # another one claims it, but it is live
        ("X:6", "consider", ("X:1",)),
        ("X:7", "deleted", ()),  # replaced in a circle
        ("X:8", "merged", ("X:1",)),  # the newest word counts: not X:9, which leads nowhere
        ("X:9", "deleted", ()),  # replaced by what is not there
        ("X:12", "split", ("X:11", "X:14")),
        ("X:13", "merged", ("X:11",)),  # an alternative id that the newer release has forgotten
        ("X:20", "same", ("X:20",)),
        ("X:21", "merged", ("X:5",)),  # where the way ends, whoever claims X:5
        ("X:22", "merged", ("X:20",)),  # a suggestion beside a replacement is none
        ("X:30", "merged", ("X:1",)),  # obsolete before the oldest release
        ("X:99", "unknown", ()),
        ("Y:1", "unknown", ()),
    ],
)
def test_the_fate_of_an_id(home: Settings, asked: str, kind: str, targets: tuple[str, ...]) -> None:
    found = fate(asked, list_releases(home, "x"))
    assert (found.kind, found.targets) == (kind, targets)


def test_many_ids_are_answered_at_once_and_each_once(home: Settings) -> None:
    asked = ["X:1", "X:2", "X:2", *(f"Z:{n}" for n in range(20_000))]
    found = fates(asked, list_releases(home, "x"))
    assert len(found) == 20_002
    assert found["X:2"] == Fate(id="X:2", kind="merged", targets=("X:1",))


def test_a_way_that_ends_nowhere_makes_a_replacement_doubtful(tmp_path: Path) -> None:
    path = release(
        tmp_path / "1", concept(1, "a"), concept(2, obsolete=True, replaced_by=(1, 3)), concept(3, obsolete=True)
    )
    assert fate("X:2", [path]) == Fate(id="X:2", kind="split", targets=("X:1",))


def test_an_id_is_never_its_own_replacement(tmp_path: Path) -> None:
    path = release(tmp_path / "1", concept(1, obsolete=True, replaced_by=(1,), alt_ids=(1,)))
    assert fate("X:1", [path]).kind == "deleted"


def test_releases_between_are_by_date_whenever_they_were_read(tmp_path: Path) -> None:
    here = settings.load(tmp_path)
    for created, version in enumerate(["2023-01-01", "2021-01-01", "2024-01-01", "2022-01-01"]):
        release(release_path(here, "x", version), concept(1), created=str(created))
    names = [path.name for path in chain_between(here, "x", "2021-01-01", "2023-01-01")]
    assert names == ["2021-01-01", "2022-01-01", "2023-01-01"]
    assert [path.name for path in chain_between(here, "x", "2023-01-01", "2022-01-01")] == names[:0:-1]


def run(home: Settings, tmp_path: Path, name: str, text: str, column: str | None = None) -> tuple[str, MigrationReport]:
    (tmp_path / name).write_bytes(text.encode())
    output = tmp_path / "out" / name
    report = migrate("x", "2021-01-01", "2023-01-01", tmp_path / name, output, home, column)
    return output.read_bytes().decode(), report


def numbers(report: MigrationReport) -> tuple[int, int, int, int]:
    return report.unchanged, report.migrated, report.review, report.unknown


def test_json_lines_change_in_their_ids_alone(home: Settings, tmp_path: Path) -> None:
    text = (
        '{"id": "doc:1",  "text": "X:2 stays in \\"text\\"", "gold": ["X:2","X:1"]}\r\n'
        '{"mentions": [{"concept_id": "X:4|X:13"}, {"gold": null, "n": 1.50}], "gold": "Y:7"}\n'
        "\n"
        '{"links": [{"id": "X:3", "label": "n3", "candidates": [{"id": "X:99"}]}], "caf\u00e9": "\\u00e9"}'
    )
    written, report = run(home, tmp_path, "a.jsonl", text)
    expected = text.replace('["X:2"', '["X:1"').replace("X:13", "X:11").replace('"X:3"', '"X:1"')
    expected = expected.replace('"label": "n3"', '"label": "n1"')
    assert written == expected
    assert numbers(report) == (1, 3, 1, 2)
    assert report.fates == {"same": 1, "merged": 3, "split": 1, "unknown": 2}


def test_ids_without_a_single_successor_go_to_review_with_options(home: Settings, tmp_path: Path) -> None:
    text = '{"gold": "X:1"}\n{"gold": ["X:4", "X:6"]}\n{"gold": "X:7"}\n'
    written, report = run(home, tmp_path, "a.jsonl", text)
    assert written == text
    assert report.review_file == tmp_path / "out" / "a.jsonl.review.jsonl"
    rows = [json.loads(line) for line in report.review_file.read_text().splitlines()]
    assert [(row["line"], row["id"], row["fate"]) for row in rows] == [
        (2, "X:4", "split"),
        (2, "X:6", "consider"),
        (3, "X:7", "deleted"),
    ]
    assert rows[0]["options"] == [{"id": "X:1", "label": "n1"}, {"id": "X:5", "label": "n5"}]
    assert rows[2] == {"line": 3, "id": "X:7", "label": "n7", "fate": "deleted", "options": []}


def test_an_id_without_successor_is_reviewed_with_concepts_of_its_name(tmp_path: Path) -> None:
    here = settings.load(tmp_path / "home")
    old = [concept(1, "Liver scarring"), concept(2, "kidney stones"), concept(3, "asthma")]
    new = [concept(4, "fibrosis of liver", "liver scarring"), concept(5, "kidney stone"), concept(6, "gout"),
           concept(7, "liver scarring", obsolete=True)]  # fmt: skip
    release(release_path(here, "x", "2021-01-01"), *old)
    release(release_path(here, "x", "2023-01-01"), *new)
    _, report = run(here, tmp_path, "a.jsonl", '{"gold": ["X:1", "X:2", "X:3"]}')
    assert report.review_file is not None
    rows = [json.loads(line) for line in report.review_file.read_text().splitlines()]
    assert [row["options"] for row in rows] == [
        [{"id": "X:4", "label": "fibrosis of liver", "by": "same name", "score": 1.0}],
        [{"id": "X:5", "label": "kidney stone", "by": "similar name", "score": 0.98}],
        [],
    ]


def test_a_review_file_of_an_earlier_run_does_not_stay(home: Settings, tmp_path: Path) -> None:
    _, report = run(home, tmp_path, "a.jsonl", '{"gold": "X:4"}')
    assert report.review_file is not None
    _, report = run(home, tmp_path, "a.jsonl", '{"gold": "X:1"}')
    assert report.review_file is None
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "a.jsonl"]


KEY = st.sampled_from(["id", "gold", "concept_id", "text", "other", 'gold"', "\\gold"])
VALUE = st.sampled_from(["X:2", "X:1|X:7", "doc:1", "X:2, or", '"X:2"', "X:2\\", "{}[],:", "", "Y:3;X:1"]) | st.text()
DOCUMENT = st.recursive(
    VALUE | st.integers() | st.none() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4),
    max_leaves=20,
)


def ids_within(value: object, key: str | None = None) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from ids_within(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from ids_within(inner, key)
    elif isinstance(value, str) and key in ("id", "gold", "concept_id") and not set(json.dumps(value)[1:-1]) & {"\\"}:
        pieces = re.findall(r"[^|,;+\s\"]+", value)
        curies = [piece for piece in pieces if re.fullmatch(r"[A-Za-z][\w.\-]*:\S+", piece)]
        yield from (curie for curie in curies if key != "id" or curie.startswith(("X:", "Y:")))


@given(st.lists(st.dictionaries(KEY, DOCUMENT, max_size=4), min_size=1, max_size=3), st.sampled_from([None, 1]))
@hypothesis.settings(max_examples=200, deadline=None)
@pytest.mark.heavy
def test_ids_in_json_are_those_that_a_parser_finds(documents: list[object], indent: int | None) -> None:
    text = (
        "\n".join(json.dumps(document) for document in documents) if indent is None else json.dumps(documents, indent=1)
    )
    spans = id_spans(text, "json", ["X", "Y"])
    assert [span.id for span in spans] == [each for document in documents for each in ids_within(document)]
    assert all(text[span.start : span.end] == span.id for span in spans)


BIOC = """<?xml version='1.0' encoding="UTF-8"?>
<!DOCTYPE collection SYSTEM "BioC.dtd">
<collection><document><id>X:2</id><passage><infon key="type">title</infon><offset>0</offset>
<text>scurvy &amp; X:2 &#233;</text><annotation id="T1"><infon key="type">Disease</infon>
<infon key="concept_id">X:2|X:4</infon><infon key='identifier'> 13 </infon><infon key="x">2</infon>
<location offset="0" length="6"/><text>scurvy</text></annotation></passage></document></collection>
"""


def test_bioc_xml_changes_in_its_ids_alone(home: Settings, tmp_path: Path) -> None:
    written, report = run(home, tmp_path, "a.xml", BIOC)
    assert written == BIOC.replace(">X:2|X:4<", ">X:1|X:4<")
    assert numbers(report) == (0, 1, 1, 0)


def test_ids_without_their_prefix_stay_without_it(tmp_path: Path) -> None:
    here = settings.load(tmp_path / "home")
    old = [concept("000123", "a"), concept("C000124", "b")]
    new = [concept("000123", obsolete=True, replaced_by=("C000124",)), old[1]]
    release(release_path(here, "x", "2021-01-01"), *old)
    release(release_path(here, "x", "2023-01-01"), *new)
    bioc = '<collection><infon key="X">000123</infon><infon key="identifier">-</infon></collection>'
    assert run(here, tmp_path, "a.xml", bioc)[0] == bioc.replace("000123", "C000124")
    lines = '{"id": "000123", "gold": "000123", "gold_id": "-1"}'
    written, report = run(here, tmp_path, "a.jsonl", lines)
    assert written == '{"id": "000123", "gold": "C000124", "gold_id": "-1"}'
    assert numbers(report) == (0, 1, 0, 0)


def test_bioc_json_changes_in_its_ids_alone(home: Settings, tmp_path: Path) -> None:
    text = json.dumps(
        {"documents": [{"id": "1", "annotations": [{"id": "T1", "infons": {"identifier": "X:2;X:1"}, "text": "X:2"}]}]},
        indent=2,
    )
    written, report = run(home, tmp_path, "a.json", text)
    assert written == text.replace("X:2;X:1", "X:1;X:1")
    assert numbers(report) == (1, 1, 0, 0)


def test_pubtator_changes_in_annotations_and_relations_alone(home: Settings, tmp_path: Path) -> None:
    text = (
        "12|t|A title on X:2\n12|a|An\tabstract\n12\t0\t7\tA title\tDisease\tX:2\n"
        "12\t3\t8\tX:2\tDisease\tX:4+X:1\textra X:2\n"
        "12\tCID\tX:2\tX:13\n\n"
    )
    written, report = run(home, tmp_path, "a.PubTator", text)
    expected = text.replace("Disease\tX:2\n", "Disease\tX:1\n").replace("CID\tX:2\tX:13", "CID\tX:1\tX:11")
    assert written == expected
    assert numbers(report) == (1, 3, 1, 0)


def test_tables_change_in_the_columns_of_ids_alone(home: Settings, tmp_path: Path) -> None:
    text = 'note,gold,other\r\n"a ""quoted"", X:2\nnote",X:2,X:2\r\n,"X:13,X:1",\r\nlast,X:4,x'
    written, report = run(home, tmp_path, "a.csv", text)
    assert written == text.replace('note",X:2,', 'note",X:1,').replace("X:13", "X:11")
    assert numbers(report) == (1, 2, 1, 0)
    table = 'mention\tcurie2\n"5 wide\tX:2\n7"\tX:3\n'
    written, report = run(home, tmp_path, "a.tsv", table, column="curie2")
    assert written == table.replace("X:2", "X:1").replace("X:3", "X:1")


FORMS = (
    "gene,disease_id,note\nG1,X:2,curie\nG2,X_2,underscore\nG3,http://purl.obolibrary.org/obo/X_2,iri\n"
    'G4,x:2,lower\nG6,"X:2|X:1",two\nG7,https://bioregistry.io/x:2,resolver\n'
)


def test_every_form_of_an_id_is_migrated_and_keeps_its_form(home: Settings, tmp_path: Path) -> None:
    written, report = run(home, tmp_path, "m.csv", FORMS, column="disease_id")
    assert written == FORMS.replace("X:2", "X:1").replace("X_2", "X_1").replace("x:2", "x:1")
    assert numbers(report) == (1, 6, 0, 0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", "ids\n<http://purl.obolibrary.org/obo/X_2>\nhttp://purl.obolibrary.org/obo/X_2/\nobo:X_2\n"),
        ("m.csv", 'gene;ids\nG1;X:2\nG2;"X:2;X:2"\n'),
        ("m.csv", "gene,ids\rG1,X:2\rG2,X_2\r"),
        ("m.jsonl", '{"ids": ["http:\\/\\/purl.obolibrary.org\\/obo\\/X_2", "X:2"]}\n'),
        ("m.xml", "<collection><infon key='identifier'><![CDATA[X_2]]></infon></collection>"),
        ("m.xml", "<collection><infon n='1' key='identifier' m='2'>X:2</infon></collection>"),
    ],
)
def test_no_form_is_left_or_mangled(home: Settings, tmp_path: Path, name: str, text: str) -> None:
    written, report = run(home, tmp_path, name, text)
    assert written == text.replace("X:2", "X:1").replace("X_2", "X_1")
    assert report.migrated == text.count("X:2") + text.count("X_2")


def test_jsonl_of_belink_itself_is_migrated(home: Settings, tmp_path: Path) -> None:
    text = '{"id": "d", "text": "X:2", "mentions": [{"start": 0, "end": 3, "ids": ["X:2"], "type": "X:2"}]}\n'
    assert run(home, tmp_path, "m.jsonl", text)[0] == text.replace('["X:2"]', '["X:1"]')


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_the_encoding_of_a_file_stays(home: Settings, tmp_path: Path, encoding: str) -> None:
    path, output = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_bytes("gold,text\r\nX:2,naïve\r\n".encode(encoding))
    migrate("x", "2021-01-01", "2023-01-01", path, output, home)
    assert output.read_bytes() == "gold,text\r\nX:1,naïve\r\n".encode(encoding)


def test_pubtator_is_recognised_by_its_content(home: Settings, tmp_path: Path) -> None:
    text = "12|t|A title\n12|a|None\n12\t0\t7\tA title\tDisease\tX:2\n"
    for name in ("a.txt", "a.tsv", "A.CSV", "a"):
        assert run(home, tmp_path, name, text)[0] == text.replace("X:2", "X:1")


@pytest.mark.parametrize(
    ("name", "text", "column"),
    [
        ("a.jsonl", '{"gold": "X:2"}', "disease"),
        ("a.xml", '<c><infon key="identifier">X:2</infon></c>', "disease"),
        ("a.csv", "gold,text\nX:2,b\n", "disease"),
        ("a.jsonl", '{"text": "X:2"}', None),
        ("a.csv", "gold,text\n,b\n", None),
        ("a.pubtator", "1|t|T\n1|a|\n", None),
    ],
)
def test_a_file_without_ids_or_the_named_column_is_an_error(
    home: Settings, tmp_path: Path, name: str, text: str, column: str | None
) -> None:
    with pytest.raises(CorpusError, match="--column"):
        run(home, tmp_path, name, text, column=column)
    assert not (tmp_path / "out").exists()


def test_a_successor_that_could_break_the_file_goes_to_review(tmp_path: Path) -> None:
    here = settings.load(tmp_path / "home")
    hostile = 'X:1", "evil": "<x>\n=cmd'
    old = [concept(1, "a"), concept(2, "b")]
    release(release_path(here, "x", "2021-01-01"), *old)
    new = [replace(concept(1, "a"), id=hostile), concept(2, obsolete=True, replaced_by=(hostile,))]
    release(release_path(here, "x", "2023-01-01"), *new)
    written, report = run(here, tmp_path, "a.jsonl", '{"gold": "X:2"}')
    assert written == '{"gold": "X:2"}'
    assert numbers(report) == (0, 0, 1, 0)


def test_a_packed_file_stays_packed_and_may_be_rewritten_in_its_place(home: Settings, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"gold": "X:2"}'))
    assert migrate("x", "2021-01-01", "2023-01-01", path, path, home).migrated == 1
    assert gzip.decompress(path.read_bytes()) == b'{"gold": "X:1"}'
    assert migrate("x", "2021-01-01", "2023-01-01", path, path, home).unchanged == 1


def test_bytes_that_are_not_utf8_are_kept(home: Settings, tmp_path: Path) -> None:
    path, output = tmp_path / "a.tsv", tmp_path / "b.tsv"
    path.write_bytes(b"gold\ttext\nX:2\tcaf\xe9\n")
    migrate("x", "2021-01-01", "2023-01-01", path, output, home)
    assert output.read_bytes() == b"gold\ttext\nX:1\tcaf\xe9\n"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"gold": "X:2"}\n{"gold": ', "line 2"),
        ("a.xml", "<collection><document>", "is the file complete"),
        ("a.csv", "mention,curie2\nx,X:2\n", "the columns mention, curie2; say which with --column"),
        ("a.csv", "gold,text\nX:2,b,c,d\n", "more in line 2"),
        ("a.pubtator", "no annotations here", "lines such as"),
        ("a", "what is this", "name it by its format"),
    ],
)
def test_a_file_that_cannot_be_read_says_so_and_nothing_is_written(
    home: Settings, tmp_path: Path, name: str, text: str, said: str
) -> None:
    with pytest.raises(CorpusError, match=said) as error:
        run(home, tmp_path, name, text)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_release_is_an_error(home: Settings, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="expected a release 1999-01-01, found 2021-01-01, 2022"):
        migrate("x", "1999-01-01", "2023-01-01", tmp_path / "a.jsonl", tmp_path / "b", home)
    with pytest.raises(CorpusError, match="No such file"):
        migrate("x", "2021-01-01", "2023-01-01", tmp_path / "a.jsonl", tmp_path / "b", home)


@pytest.mark.data
@with_data
def test_all_ids_of_a_real_mondo_release_find_their_way(tmp_path_factory: pytest.TempPathFactory) -> None:
    here = real_mondo(tmp_path_factory)
    chain = chain_between(here, "mondo", "2025-02-04", "2025-09-02")
    from belink.ontology.release import open_release

    with open_release(chain[0]) as old, open_release(chain[1]) as new:
        before = old.concepts_table()["id"].to_pylist()
        live = set(new.concepts_table(own=False)["id"].to_pylist())
    started = time.monotonic()
    found = fates(before, chain)
    assert time.monotonic() - started < 20
    kinds = [each.kind for each in found.values()]
    assert len(found) == len(before) == 26_144
    assert kinds.count("same") == 26_107
    assert all(target in live for each in found.values() for target in each.targets)

"""MeSH: records in NLM's element structure, written by hand, and the files of BELINK_DATA."""

import contextlib
import gc
import gzip
import time
from pathlib import Path
from typing import Any

import pytest

from belink.declarations import NamesKept, SourceConfig, load_source
from belink.errors import SourceError
from belink.ontology.readers import mesh, mesh_records
from tests.support.read_sources import DATA, Read, counts, read, write

HEAD = (
    '<?xml version="1.0"?>\n<!DOCTYPE {0}RecordSet SYSTEM "https://www.nlm.nih.gov/databases/dtd/nlm{1}_{2}0101.dtd">\n'
)


def source(**changes: Any) -> SourceConfig:
    return SourceConfig(name="mesh", title="MeSH", format="mesh", prefixes=("MESH",), licence="NLM", **changes)


def descriptors(*records: str, year: str = "2025") -> str:
    head = HEAD.format("Descriptor", "descriptorrecordset", year)
    return f'{head}<DescriptorRecordSet LanguageCode = "eng">{"".join(records)}</DescriptorRecordSet>'


def supplements(*records: str, year: str = "2025") -> str:
    head = HEAD.format("Supplemental", "supplementalrecordset", year)
    return f'{head}<SupplementalRecordSet LanguageCode = "eng">{"".join(records)}</SupplementalRecordSet>'


def term(text: str, *, permuted: str = "N", tag: str = "NON", preferred: str = "N") -> str:
    return (
        f'<Term ConceptPreferredTermYN="{preferred}" IsPermutedTermYN="{permuted}" LexicalTag="{tag}" '
        f'RecordPreferredTermYN="{preferred}"><TermUI>T1</TermUI><String>{text}</String>'
        "<DateCreated><Year>1999</Year><Month>01</Month><Day>01</Day></DateCreated></Term>"
    )


def concept(ui: str, terms: str, *, preferred: str = "Y", before: str = "") -> str:
    return (
        f'<Concept PreferredConceptYN="{preferred}"><ConceptUI>{ui}</ConceptUI><ConceptName><String>n</String>'
        f"</ConceptName>{before}<TermList>{terms}</TermList></Concept>"
    )


def descriptor(ui: str, name: str, concepts: str = "", *, trees: tuple[str, ...] = ()) -> str:
    numbers = "".join(f"<TreeNumber>{number}</TreeNumber>" for number in trees)
    return (
        f'<DescriptorRecord DescriptorClass = "1"><DescriptorUI>{ui}</DescriptorUI><DescriptorName>'
        f"<String>{name}</String></DescriptorName>"
        "<DateCreated><Year>1974</Year><Month>11</Month><Day>19</Day></DateCreated>"
        "<AllowableQualifiersList><AllowableQualifier><QualifierReferredTo><QualifierUI>Q000008</QualifierUI>"
        "<QualifierName><String>administration &amp; dosage</String></QualifierName></QualifierReferredTo>"
        "<Abbreviation>AD</Abbreviation></AllowableQualifier></AllowableQualifiersList>"
        "<PharmacologicalActionList><PharmacologicalAction><DescriptorReferredTo><DescriptorUI>D000900</DescriptorUI>"
        "<DescriptorName><String>Anti-Bacterial Agents</String></DescriptorName></DescriptorReferredTo>"
        f"</PharmacologicalAction></PharmacologicalActionList><TreeNumberList>{numbers}</TreeNumberList>"
        f"<ConceptList>{concepts or concept('M1', term(name, preferred='Y'))}</ConceptList></DescriptorRecord>"
    )


def supplement(ui: str, name: str, *headings: str, concepts: str = "", note: str = "") -> str:
    mapped = "".join(
        f"<HeadingMappedTo><DescriptorReferredTo><DescriptorUI>{heading}</DescriptorUI><DescriptorName><String>h</String>"
        "</DescriptorName></DescriptorReferredTo></HeadingMappedTo>"
        for heading in headings
    )
    return (
        f'<SupplementalRecord SCRClass = "1"><SupplementalRecordUI>{ui}</SupplementalRecordUI><SupplementalRecordName>'
        f"<String>{name}</String></SupplementalRecordName><DateCreated><Year>1971</Year></DateCreated>{note}"
        f"<HeadingMappedToList>{mapped}</HeadingMappedToList><SourceList><Source>S Afr Med J 50(1):4;1976</Source>"
        f"</SourceList><ConceptList>{concepts or concept('M2', term(name, preferred='Y'))}</ConceptList>"
        "</SupplementalRecord>"
    )


def read_text(folder: Path, *texts: str, **changes: Any) -> Read:
    paths = [write(folder / f"{n}.xml", text) for n, text in enumerate(texts)]
    return read(mesh.read, paths, source(**changes))


def test_the_names_of_a_record_carry_the_scope_of_their_concept_and_their_lexical_tag(tmp_path: Path) -> None:
    def related(kind: str, other: str, first: str = "M1") -> str:
        return (
            f'<ConceptRelation RelationName="{kind}"><Concept1UI>{first}</Concept1UI><Concept2UI>{other}</Concept2UI>'
            "</ConceptRelation>"
        )

    relations = related("NRW", "M2") + related("BRD", "M3") + related("NRW", "M1", first="M4")
    concepts = concept(
        "M1",
        term("Calcimycin", preferred="Y") + term("Ionophore, Calcium", permuted="Y") + term("CA", tag="ABB"),
        before=f"<ConceptRelationList>{relations}</ConceptRelationList>",
    )
    concepts += concept("M2", term("A-23187"), preferred="N", before="<ConceptRelationList/>")
    concepts += concept("M3", term("Ionophores"), preferred="N")
    concepts += concept("M4", term("Antibiotics, Polyether"), preferred="N")
    concepts += concept("M5", term("A 23187 (salt)"), preferred="N")
    found = read_text(tmp_path, descriptors(descriptor("D000001", "Calcimycin", concepts)))
    assert [row[1:4] for row in found.tables["name"]] == [
        ("Calcimycin", "label", ""),
        ("Ionophore, Calcium", "exact", "permuted"),
        ("CA", "exact", "ABB"),
        ("A-23187", "narrow", ""),
        ("Ionophores", "broad", ""),
        ("Antibiotics, Polyether", "broad", ""),
        ("A 23187 (salt)", "related", ""),
    ]


def test_scope_notes_registry_numbers_and_tree_numbers_are_those_of_the_preferred_concept(tmp_path: Path) -> None:
    before = (
        "<CASN1Name>4-Benzoxazolecarboxylic acid</CASN1Name>"
        "<RegistryNumberList><RegistryNumber>37H9VM9WZL</RegistryNumber><RegistryNumber>0</RegistryNumber>"
        "<RegistryNumber>EC 3.4.21.4</RegistryNumber><RegistryNumber>txid9606</RegistryNumber></RegistryNumberList>"
        "<ScopeNote>An ionophorous,\n      polyether antibiotic.\n     </ScopeNote>"
        "<RelatedRegistryNumberList><RelatedRegistryNumber>52665-69-7 (Calcimycin)</RelatedRegistryNumber>"
        "</RelatedRegistryNumberList>"
    )
    other = "<RegistryNumber>11-22-3</RegistryNumber><ScopeNote>Not this.</ScopeNote>"
    concepts = concept("M1", term("Calcimycin", preferred="Y"), before=before)
    concepts += concept("M2", term("A-23187"), preferred="N", before=other)
    record = descriptor("D000001", "Calcimycin", concepts, trees=("D03.633.100.221.173", "D04.345"))
    found = read_text(tmp_path, descriptors(record))
    assert found.tables["concept"] == [
        ("MESH:D000001", "MESH", "Calcimycin", "An ionophorous, polyether antibiotic.", False, True)
    ]
    xrefs = ["UNII:37H9VM9WZL", "EC:3.4.21.4", "NCBITaxon:9606", "CAS:52665-69-7"]
    assert [row[1] for row in found.tables["xref"]] == xrefs
    assert [row[1:] for row in found.tables["membership"]] == [
        ("tree_number", "D03.633.100.221.173"),
        ("tree_number", "D04.345"),
    ]


def test_parents_come_from_tree_numbers_and_from_the_headings_mapped_to(tmp_path: Path) -> None:
    found = read_text(
        tmp_path,
        # the order of the files does not count, nor that of the records
        supplements(supplement("C000002", "bevonium", "*D001561", "D000002", "*D001561", note="<Note>a note</Note>")),
        descriptors(
            descriptor("D000003", "below both", trees=("C01.1.2", "C02.5")),
            descriptor("D000001", "above", trees=("C01.1",)),
            descriptor("D000002", "above as well", trees=("C02",)),
        ),
    )
    assert found.tables["parent"] == [
        ("MESH:D000003", "MESH:D000001"),
        ("MESH:D000003", "MESH:D000002"),
        ("MESH:C000002", "MESH:D001561"),
        ("MESH:C000002", "MESH:D000002"),
    ]
    assert found.tables["concept"][-1][:4] == ("MESH:C000002", "MESH", "bevonium", "a note")
    assert found.version == "2025"


@pytest.mark.parametrize(
    ("branches", "kept"),
    [
        ((), {"D1", "D2", "D3", "D4", "C1", "C2", "C3"}),
        (("C", "F03"), {"D1", "D2", "C1", "C3"}),
        (("D",), {"D3", "C2", "C3"}),
        (("C01.2",), {"D1", "C1", "C3"}),
        (("C01.20",), set()),
    ],
)
def test_branches_keep_descriptors_by_tree_number_and_the_records_mapped_to_them(
    tmp_path: Path, branches: tuple[str, ...], kept: set[str]
) -> None:
    texts = [
        descriptors(
            descriptor("D000001", "a disease", trees=("C01.2",)),
            descriptor("D000002", "a mental disorder", trees=("F03.4", "M01")),
            descriptor("D000003", "a chemical", trees=("D02.7",)),
            descriptor("D000004", "check tag"),
        ),
        supplements(
            supplement("C000001", "rare disease", "*D000001"),
            supplement("C000002", "rare chemical", "*D000003"),
            supplement("C000003", "both", "D000001", "*D000003"),
        ),
    ]
    if not kept:
        assert read_text(tmp_path, *texts, branches=branches).labels() == {}
        return
    found = read_text(tmp_path, *texts, branches=branches)
    assert {row[5] + row[-1] for row in found.labels()} == kept
    if branches:  # no parent that the release does not hold
        assert {row[1] for row in found.tables["parent"]} <= found.labels().keys()


def test_the_declaration_says_which_names_are_kept(tmp_path: Path) -> None:
    concepts = concept("M1", term("label") + term("inverted", permuted="Y")) + concept("M2", term("x"), preferred="N")
    text = descriptors(descriptor("D000001", "label", concepts))
    found = read_text(tmp_path, text, names=NamesKept(scopes=("label", "exact")))
    assert found.names("MESH:D000001") == [("label", "label"), ("inverted", "exact")]
    found = read_text(tmp_path, text, names=NamesKept(scopes=("exact",), types=("ABB",)))
    assert found.names("MESH:D000001") == []


def test_a_malformed_record_is_set_aside_and_the_rest_is_read(tmp_path: Path) -> None:
    text = descriptors(
        "\n" + descriptor("D000001", "kept"),
        "\n" + descriptor("", "without an identifier"),
        "\n" + descriptor("D000002", ""),
        "\n" + descriptor("D000001", "again"),
        "\n<DescriptorRecord/>",
        "\n" + descriptor("D000003", "a nameless term", concept("M1", term("") + term("fine"))),
        "\n" + descriptor("not-a-ui", "x"),
    )
    found = read_text(tmp_path, text)
    assert found.labels() == {"MESH:D000001": "kept", "MESH:D000003": "a nameless term"}
    assert found.names("MESH:D000003")[1:] == [("fine", "exact")]
    assert [(line, reason.removeprefix("0.xml: ")) for line, reason in found.reasons()] == [
        (5, "expected a record with a unique identifier, found ''"),
        (6, "D000002: expected a record with a name, found none"),
        (7, "D000001: expected one record of that identifier, found another one"),
        (8, "expected a record with a unique identifier, found ''"),
        (9, "D000003: expected a String in every term, found none in one"),
        (10, "expected a record with a unique identifier, found 'not-a-ui'"),
    ]
    assert found.left == []


def test_names_are_read_as_xml_means_them(tmp_path: Path) -> None:
    name = "alpha &lt;&amp;&gt; &#946;<!-- a comment -->-chain <![CDATA[<b>]]>"
    found = read_text(tmp_path, descriptors(descriptor("D000001", name)))
    assert found.labels() == {"MESH:D000001": "alpha <&> β-chain <b>"}


def test_the_garbage_collector_is_left_as_it_was(tmp_path: Path) -> None:
    for text in (descriptors(descriptor("D000001", "one")), descriptors(descriptor("D000001", "one"))[:-30]):
        with contextlib.suppress(SourceError):
            read_text(tmp_path, text)
        assert gc.isenabled()


def test_a_gzipped_file_of_many_chunks_is_read_in_order(tmp_path: Path) -> None:
    expected = {f"MESH:D{n:06}": f"name {n} β" for n in range(3000)}
    whole = descriptors(*(descriptor(key[5:], name) for key, name in expected.items()))
    path = tmp_path / "desc2025.xml.gz"
    path.write_bytes(gzip.compress(whole.encode()))
    assert len(whole) > 10 * mesh_records.FEED
    assert read(mesh.read, [path], source()).labels() == expected


@pytest.mark.parametrize("packed", [False, True])
def test_a_truncated_file_is_one_clear_error(tmp_path: Path, packed: bool) -> None:
    whole = descriptors(*(descriptor(f"D{n:06}", f"name {n}") for n in range(3000)))
    path = write(tmp_path / "desc2025.xml", whole[:-100000])
    if packed:
        path.write_bytes(gzip.compress(whole.encode())[:-1000])
    with pytest.raises(SourceError, match=r"expected MeSH XML to its end|expected a whole \.gz file") as caught:
        read(mesh.read, [path], source())
    assert "\n" not in str(caught.value)


BOMB = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))


@pytest.mark.parametrize(
    "subset",
    [
        f'<!ENTITY l0 "lol">{BOMB}',
        '<!ENTITY l9 SYSTEM "file:///etc/passwd">',
        '<!ENTITY % outside SYSTEM "http://127.0.0.1:1/x.dtd"> %outside;',
        f'<!ENTITY l0 "lol">{BOMB}<!ATTLIST DescriptorRecord x CDATA "&l9;">',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_bombs_and_external_entities_are_refused_before_the_parser_sees_them(
    tmp_path: Path, subset: str, encoding: str
) -> None:
    text = f"<!DOCTYPE DescriptorRecordSet [{subset}]><DescriptorRecordSet>"
    text += descriptor("D000001", "&l9;") + "</DescriptorRecordSet>"
    path = write(tmp_path / "desc2025.xml", text.encode(encoding))
    started = time.perf_counter()
    with pytest.raises(SourceError, match="declares no entities"):
        read(mesh.read, [path], source())
    assert time.perf_counter() - started < 5


def test_entities_that_nothing_declares_are_an_error_and_not_an_empty_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="l9"):
        read_text(tmp_path, f"<DescriptorRecordSet>{descriptor('D000001', '&l9;')}</DescriptorRecordSet>")


def test_the_dtd_is_never_fetched(tmp_path: Path) -> None:
    dtd = write(tmp_path / "local.dtd", '<!ENTITY l9 "expanded">')
    text = f'<!DOCTYPE DescriptorRecordSet SYSTEM "{dtd.as_uri()}"><DescriptorRecordSet>'
    with pytest.raises(SourceError, match="uses no entities") as caught:
        read_text(tmp_path, f"{text}{descriptor('D000001', 'before &l9; after')}</DescriptorRecordSet>")
    assert "expanded" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "found 'no element'"),
        (b"<html><body>moved</body></html>", "found 'html'"),
        (b"C0000001|ENG|P|", "expected MeSH XML, found"),
        (b"<DescriptorRecordSet><x>\xff\xfe</x></DescriptorRecordSet>", "expected MeSH XML"),
        (b"<DescriptorRecordSet>" + b"<a>" * 5000, "expected MeSH XML"),
        (b"<DescriptorRecordSet>\n<a>\0</a></DescriptorRecordSet>", "expected MeSH XML"),
    ],
)
def test_a_file_that_is_something_else_is_one_clear_error(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint) as caught:
        read(mesh.read, [write(tmp_path / "desc2025.xml", content)], source())
    assert "\n" not in str(caught.value)


def test_files_of_two_years_need_a_version(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "desc2024.xml", descriptors(descriptor("D000001", "a"), year="2024")),
        write(tmp_path / "supp2025.xml", supplements(supplement("C000001", "b", "*D000001"))),
    ]
    with pytest.raises(SourceError, match="expected files of one year, found 2024 and 2025"):
        read(mesh.read, paths, source())
    assert len(read(mesh.read, paths, source(), version="2025-mixed").labels()) == 2
    with pytest.raises(SourceError, match="branches need the descriptors"):
        read(mesh.read, paths[1:], source(branches=("D",)))


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="BELINK_DATA is not set")
@pytest.mark.parametrize(
    ("branches", "concepts", "names"),
    [
        ((), 30_764 + 323_304, 783_970),
        pytest.param(("D",), 259_969, 565_512, marks=pytest.mark.slow),
        pytest.param(("C", "F03"), 11_712, 53_311, marks=pytest.mark.slow),
    ],
)
def test_the_real_files_are_read_whole(branches: tuple[str, ...], concepts: int, names: int) -> None:
    declared = load_source("mesh").model_copy(update={"branches": branches})
    found = counts(mesh.read, [DATA / "mesh/supp2025.xml.gz", DATA / "mesh/desc2025.xml.gz"], declared)
    assert (found["concepts"], found["names"], found["rejected"]) == (concepts, names, 0)

"""Lists of synonyms without ids: their names go to the concepts that their other names mean, or nowhere."""

import bz2
import gzip
import pickle
import zipfile
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink import artefacts, settings
from belink.declarations import load_source
from belink.errors import ReleaseError, SourceError
from belink.ontology.ingest import ingest
from belink.ontology.readers import beside, drug_names, synonym_sets
from belink.ontology.release import open_release
from belink.ontology.release_writer import ReleaseWriter
from belink.settings import Settings
from tests.support.made_releases import concept, obo, source
from tests.support.read_sources import write

HEAD = "code\tname\tpreferred_name\n"


def listed(folder: Path, *texts: str | bytes, packed: bool = False) -> set[tuple[str, str]]:
    """The names that lists give to X:1 (doxorubicin), X:2 (daunorubicin), X:3 and X:4 (both called rubicin)."""
    paths = [write(folder / f"{i}.synonyms.tsv", text, packed=packed) for i, text in enumerate(texts)]
    path = folder / "release.duckdb"
    path.unlink(missing_ok=True)
    with ReleaseWriter(path, source()) as into:
        into.concepts([
            concept(1, "doxorubicin", "14-hydroxydaunomycin"), concept(2, "daunorubicin"),
            concept(3, "rubicin"), concept(4, "rubicin"), concept(5, "gone", obsolete=True),
        ])  # fmt: skip
        n_added = synonym_sets.read(paths, into)
        found = into.sql("SELECT concept_id, text, scope FROM name WHERE type = ?", [synonym_sets.TYPE])
        assert into.sql("SELECT count(*) FROM rejection WHERE NOT repaired") == [(0,)]
    assert n_added == len(found)
    assert {scope for *_, scope in found} <= {"exact"}
    return {(concept_id, text) for concept_id, text, _ in found}


def rows(*pairs: tuple[str, str]) -> str:
    return HEAD + "".join(f"U{i}\t{name}\t{preferred}\n" for i, (preferred, name) in enumerate(pairs))


@pytest.mark.parametrize("packed", [False, True])
def test_a_set_belongs_to_the_concept_that_its_preferred_name_means(tmp_path: Path, packed: bool) -> None:
    text = rows(("Doxorubicin", "Adriamycin"), ("Doxorubicin", "daunorubicin"), ("Doxorubicin", "Rubex"))
    found = {("X:1", "Adriamycin"), ("X:1", "Rubex")}
    assert listed(tmp_path, text, packed=packed) == found
    assert listed(tmp_path, "\ufeff" + text.replace("\n", "\r\n"), packed=packed) == found


def test_otherwise_to_the_one_concept_that_all_its_other_names_mean(tmp_path: Path) -> None:
    one = rows(("ADR", "Adriamycin"), ("ADR", "doxorubicin"), ("ADR", "14 hydroxydaunomycin"))
    assert listed(tmp_path, one) == {("X:1", "ADR"), ("X:1", "Adriamycin")}
    two = rows(("ADR", "doxorubicin"), ("ADR", "daunorubicin"), ("ADR", "Adriamycin"))
    assert listed(tmp_path, two) == set()


@pytest.mark.parametrize(
    ("shared", "told"),
    [(["RUBEX"], False), (["RUBEX", "Rubex"], False), (["RUBEX", "Adria"], True), (["doxorubicin"], True)],
)
def test_one_short_name_in_common_does_not_tell_what_a_set_means(tmp_path: Path, shared: list[str], told: bool) -> None:
    known = rows(("doxorubicin", "Rubex"), ("doxorubicin", "Adria"))
    other = rows(*(("herbicide", name) for name in shared), ("herbicide", "weedkiller"))
    assert (("X:1", "weedkiller") in listed(tmp_path, known, other)) == told


@pytest.mark.parametrize("preferred", ["rubicin", "gone", "unknown"])
def test_a_name_of_several_concepts_of_none_or_of_an_obsolete_one_tells_nothing(tmp_path: Path, preferred: str) -> None:
    assert listed(tmp_path, rows((preferred, "Adriamycin"))) == set()


def test_names_that_the_release_has_stay_and_names_of_several_concepts_are_left_out(tmp_path: Path) -> None:
    text = rows(
        ("doxorubicin", "14-Hydroxy-Daunomycin"), ("doxorubicin", "rubicin"), ("doxorubicin", "gone"),
        ("doxorubicin", "red devil"), ("daunorubicin", "Red-Devil"), ("doxorubicin", "D1"),
        ("doxorubicin", "25316-40-9"),
    )  # fmt: skip
    assert listed(tmp_path, text) == {("X:1", "14-Hydroxy-Daunomycin")}


def test_signs_tell_substances_apart(tmp_path: Path) -> None:
    text = rows(("doxorubicin", "(+)-rubex"), ("daunorubicin", "(-)-rubex"), ("daunorubicin", "(−)-rubex"))
    assert listed(tmp_path, text) == {("X:1", "(+)-rubex"), ("X:2", "(-)-rubex"), ("X:2", "(−)-rubex")}


def test_a_later_list_sees_the_names_of_an_earlier_one(tmp_path: Path) -> None:
    first, second = rows(("doxorubicin", "Adriamycin")), rows(("Adriamycin", "Rubex"), ("daunorubicin", "adriamycin"))
    assert listed(tmp_path, first, second) == {("X:1", "Adriamycin"), ("X:1", "Rubex")}


def by_fda(*rows: tuple[str, str, str], head: str = "Name\tTYPE\tUNII\tDisplay Name") -> str:
    """FDA's list of substances as it is published: preferred name, type and name of each row."""
    lines = (head, *(f"{name}\t{kind}\t80168379AG\t{preferred}" for preferred, kind, name in rows))
    return "".join(f"{line}\r\n" for line in lines)


FDA = (
    ("DOXORUBICIN", "of", "ADRIAMYCIN [INN]"), ("DOXORUBICIN", "cn", "DOXORUBICIN [MART.]"),
    ("DOXORUBICIN", "cd", "NSC-123127"), ("DOXORUBICIN", "cn", "ADR"), ("DOXORUBICIN", "cd", "DOX [INN]"),
    (".BETA.-DAUNO", "cn", "DAUNORUBICIN [WHO-DD]"), (".BETA.-DAUNO", "bn", "D4"),
    (".BETA.-DAUNO", "sys", "DAUNO(.ALPHA.1-.GAMMA.2) [A]-RUBICIN"),
)  # fmt: skip
FDA_NAMES = {
    ("X:1", "ADRIAMYCIN"), ("X:1", "NSC-123127"), ("X:2", "BETA-DAUNO"),
    ("X:2", "DAUNO(ALPHA1-GAMMA2) [A]-RUBICIN"),
}  # fmt: skip


@pytest.mark.parametrize("preferred", ["Display Name", "DISPLAY_NAME", "PT"])
def test_the_list_of_fda_is_read_as_it_is_published(tmp_path: Path, preferred: str) -> None:
    assert listed(tmp_path, by_fda(*FDA, head=f"Name\tTYPE\tUNII\t{preferred}")) == FDA_NAMES


@pytest.mark.parametrize("name", ["UNII_Names_8Oct2025.txt", "UNIIs.zip", "unii_names.txt.gz"])
def test_the_list_of_fda_stands_beside_the_file_of_an_ontology(tmp_path: Path, name: str) -> None:
    here = Settings(home=tmp_path / "home", cache=tmp_path, tracking_uri="")
    ontology = write(tmp_path / "x.obo", obo(concept(1, "doxorubicin")))
    path, text = tmp_path / name, by_fda(*FDA).encode()
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("UNII_Names_8Oct2025.txt", text)
            archive.writestr("README.txt", "names of substances")
    else:
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    done = ingest(source(), [path, ontology], here)
    with open_release(done.path) as release:
        assert {name.text for name in release.concept("X:1").synonyms} == {"ADRIAMYCIN", "NSC-123127"}  # type: ignore[union-attr]


def test_a_zip_of_fda_without_names_is_refused(tmp_path: Path) -> None:
    here = Settings(home=tmp_path / "home", cache=tmp_path, tracking_uri="")
    ontology = write(tmp_path / "x.obo", obo(concept(1, "doxorubicin")))
    with zipfile.ZipFile(tmp_path / "UNII_Data.zip", "w") as archive:
        archive.writestr("UNII_Records_8Oct2025.txt", "UNII\tDisplay Name\r\n")
    with pytest.raises(SourceError, match="expected a file UNII_Names"):
        ingest(source(), [tmp_path / "UNII_Data.zip", ontology], here)


NAMES = st.sampled_from(
    ["doxorubicin", "daunorubicin", "rubicin", "gone", "Adriamycin", "Rubex", "red devil", "ADR", "Adri"]
)


@hypothesis.settings(max_examples=5, deadline=None)
@given(pairs=st.lists(st.tuples(NAMES, NAMES), max_size=40))
def test_no_name_means_two_concepts_and_order_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    found = listed(folder, rows(*pairs))
    assert len({text.lower() for _, text in found}) == len(found)
    assert not {text for _, text in found} & {"doxorubicin", "daunorubicin", "rubicin", "gone"}
    assert listed(folder, rows(*reversed(pairs))) == found


KINDS = st.sampled_from(["cn", "of", "sys", "cd", "bn"])
MARKS = st.sampled_from(["", " [INN]", " [WHO-DD]", " [EP MONOGRAPH]"])


@hypothesis.settings(max_examples=10, deadline=None)
@hypothesis.example(fda=[("doxorubicin", "of", "Adri", "")])
@given(fda=st.lists(st.tuples(NAMES, KINDS, NAMES, MARKS), min_size=1, max_size=6))
def test_the_list_of_fda_gives_what_a_list_of_its_names_gives(
    tmp_path_factory: pytest.TempPathFactory, fda: list[tuple[str, str, str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    published = by_fda(*((preferred, kind, name + mark) for preferred, kind, name, mark in fda))
    # Names of up to four letters are left out.
    kept = [(preferred, name) for preferred, _, name, _ in fda if name not in {"ADR", "Adri", "gone"}]
    plain = rows(*kept, *((preferred, preferred) for preferred, *_ in fda))
    assert listed(folder, published) == listed(folder, plain)


@pytest.mark.parametrize("text", ["name\tother\nx\ty\n", "", "preferred_name,name\nx,y\n"])
def test_a_file_without_the_two_columns_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match="expected a tab-separated table with the columns preferred_name and name"):
        listed(tmp_path, text)


def test_a_list_stands_beside_the_file_of_an_ontology(tmp_path: Path) -> None:
    here = Settings(home=tmp_path / "home", cache=tmp_path, tracking_uri="")
    ontology = write(tmp_path / "x.obo", obo(concept(1, "doxorubicin")))
    names = write(tmp_path / "drugs.synonyms.tsv", rows(("doxorubicin", "Adriamycin")))
    done = ingest(source(), [ontology, names], here)
    assert done.new and not ingest(source(), [names, ontology], here).new
    with open_release(done.path) as release:
        assert ("Adriamycin", "exact") in {(name.text, name.scope) for name in release.concept("X:1").synonyms}  # type: ignore[union-attr]
    with pytest.raises(ReleaseError, match="--version"):
        ingest(source(), [ontology], here)


DICTIONARY = {
    "drug_canonical_to_data": {"doxorubicin": {"name": "Doxorubicin"}, "x\ty": {}},
    "drug_variant_to_canonical": {"adriamycin": ["doxorubicin"], "rubex\n": ["doxorubicin", "x\ty"]},
}
REFERENCE = "pypi:drug-named-entity-recognition==2.0.9#inside/drugs.pkl.bz2"


def dictionary(cache: Path, content: object, reference: str = REFERENCE) -> Path:
    """The dictionary where the unpacked wheel has it."""
    wheel, _, inside = reference.removeprefix("pypi:").partition("#")
    file = cache / wheel.replace("==", "-") / inside
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bz2.compress(pickle.dumps(content)))
    artefacts.write_manifest(cache / wheel.replace("==", "-"), {})
    return file


def test_a_dictionary_of_drugs_becomes_a_list(tmp_path: Path) -> None:
    done = drug_names.convert(dictionary(tmp_path, DICTIONARY), tmp_path / "drugs.synonyms.tsv")
    assert listed(tmp_path, done.read_bytes()) == {("X:1", "adriamycin"), ("X:1", "rubex")}


def test_a_list_that_lies_in_a_wheel_is_taken_as_it_is(tmp_path: Path) -> None:
    beside_it = dictionary(tmp_path, DICTIONARY).with_name("drugs.synonyms.tsv")
    beside_it.write_text(rows(("doxorubicin", "Adriamycin")), encoding="utf-8")
    reference = REFERENCE.replace("drugs.pkl.bz2", "drugs.synonyms.tsv")
    assert beside.fetch_lists([reference], tmp_path, tmp_path) == {reference: beside_it}


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('ran')",)


@pytest.mark.parametrize(
    "content", [Payload(), {"drug_canonical_to_data": Payload()}, {}, [], {"drug_canonical_to_data": {}}]
)
def test_another_content_is_refused_and_nothing_in_it_runs(tmp_path: Path, content: object) -> None:
    with pytest.raises(SourceError, match="expected the dictionary"):
        drug_names.convert(dictionary(tmp_path, content), tmp_path / "drugs.synonyms.tsv")


def test_a_declared_list_is_read_with_a_new_release_and_leaves_an_old_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = Settings(home=tmp_path / "home", cache=tmp_path / "cache", tracking_uri="")
    ontology = write(tmp_path / "x.obo", obo(concept(1, "doxorubicin")))
    old = ingest(source(), [ontology], here)
    dictionary(here.cache, DICTIONARY)
    declared = source(names={"lists": (REFERENCE,)})
    with caplog.at_level("INFO"):
        assert not ingest(declared, [ontology], here).new
    assert f"{old.path}: was read without the names of {REFERENCE}; --version 2025-01-01-2" in caplog.text
    again = ingest(declared, [ontology], here, version="2025-01-01-2")
    assert again.new and again.names > old.names
    assert [*artefacts.read_manifest(again.path)["lists"]] == [REFERENCE]


def test_a_list_that_cannot_be_had_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    here = Settings(home=tmp_path / "home", cache=tmp_path / "cache", tracking_uri="")
    ontology = write(tmp_path / "x.obo", obo(concept(1, "doxorubicin")))
    done = ingest(source(names={"lists": ("pypi:no-such-names==1#x",)}), [ontology], here)
    assert done.new and artefacts.read_manifest(done.path)["lists"] == {}
    assert "the release is made without these names" in caplog.text


MESH = (
    "<DescriptorRecordSet><DescriptorRecord><DescriptorUI>D004317</DescriptorUI><DescriptorName><String>Doxorubicin"
    "</String></DescriptorName><TreeNumberList><TreeNumber>D09.408</TreeNumber></TreeNumberList></DescriptorRecord>"
    "<DescriptorRecord><DescriptorUI>D009369</DescriptorUI><DescriptorName><String>Rubex</String></DescriptorName>"
    "<TreeNumberList><TreeNumber>C04</TreeNumber></TreeNumberList></DescriptorRecord></DescriptorRecordSet>"
)
CTD = "# CTD\nDoxorubicin\tMESH:D004317\t\t\t\tD09.408\t\t\nRubex\tMESH:D009369\t\t\t\tC04\t\t\n"


@pytest.mark.parametrize(("name", "file", "text"), [("mesh", "desc2025.xml", MESH), ("ctd-chemicals", "c.tsv", CTD)])
def test_shipped_vocabularies_of_chemicals_have_names_of_drugs_and_keep_their_own(
    tmp_path: Path, name: str, file: str, text: str
) -> None:
    here, declared = Settings(home=tmp_path, cache=tmp_path / "cache", tracking_uri=""), load_source(name)
    drugs = {"doxorubicin": {"name": "Doxorubicin"}}
    variants = {"adriamycin": ["doxorubicin"], "rubex": ["doxorubicin"]}
    content = {"drug_canonical_to_data": drugs, "drug_variant_to_canonical": variants}
    dictionary(here.cache, content, *declared.names.lists)
    done = ingest(declared, [write(tmp_path / file, text)], here, version="2025", refuse=False)
    with open_release(done.path) as release:
        names = {(id, text) for id, text in release.rows("SELECT concept_id, text FROM name")}
    drug, other = "MESH:D004317", "MESH:D009369"
    assert names == {(drug, "Doxorubicin"), (drug, "adriamycin"), (other, "Rubex")}


@pytest.mark.heavy
def test_the_list_of_the_shipped_declaration_gives_brand_names(tmp_path: Path) -> None:
    (reference,) = load_source("mesh-chemicals").names.lists
    (found,) = beside.fetch_lists([reference], settings.load(tmp_path).cache, tmp_path).values()
    assert ("X:1", "adriamycin") in listed(tmp_path, found.read_bytes())

"""NCBI's taxonomy dump: forty taxa made by hand, in every wrapping, and the OBO edition under the same declaration."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from belink.declarations import NamesKept, SourceConfig, load_source
from belink.errors import SourceError
from belink.ontology.ingest import ingest
from belink.ontology.readers import taxdump
from belink.ontology.readers.files import fingerprint, sniff
from belink.ontology.release import open_release
from belink.settings import Settings
from tests.support.read_sources import Read, read

# Number, parent, rank, scientific name: a line of descent to man, mouse, fly, yeasts, bacteria and viruses.
TAXA = [
    (1, 1, "no rank", "root"),
    (131567, 1, "cellular root", "cellular organisms"),
    (2759, 131567, "domain", "Eukaryota"),
    (33208, 2759, "kingdom", "Metazoa"),
    (7711, 33208, "phylum", "Chordata"),
    (7898, 7711, "superclass", "Actinopterygii"),
    (40674, 7711, "class", "Mammalia"),
    (9443, 40674, "order", "Primates"),
    (9604, 9443, "family", "Hominidae"),
    (9605, 9604, "genus", "Homo"),
    (9606, 9605, "species", "Homo sapiens"),
    (63221, 9606, "subspecies", "Homo sapiens neanderthalensis"),
    (9989, 40674, "order", "Rodentia"),
    (10088, 9989, "genus", "Mus"),
    (862507, 10088, "subgenus", "Mus"),
    (10090, 862507, "species", "Mus musculus"),
    (10116, 9989, "species", "Rattus norvegicus"),
    (7955, 7898, "species", "Danio rerio"),
    (6656, 33208, "phylum", "Arthropoda"),
    (7215, 6656, "genus", "Drosophila"),
    (7227, 7215, "species", "Drosophila melanogaster"),
    (13249, 6656, "species", "Rhodnius prolixus"),
    (6231, 33208, "phylum", "Nematoda"),
    (6239, 6231, "species", "Caenorhabditis elegans"),
    (4751, 2759, "kingdom", "Fungi"),
    (4932, 4751, "species", "Saccharomyces cerevisiae"),
    (559292, 4932, "strain", "Saccharomyces cerevisiae S288C"),
    (5476, 4751, "species", "Candida albicans"),
    (746128, 4751, "species", "Aspergillus fumigatus"),
    (33090, 2759, "kingdom", "Viridiplantae"),
    (3702, 33090, "species", "Arabidopsis thaliana"),
    (4577, 33090, "species", "Zea mays"),
    (2, 131567, "domain", "Bacteria"),
    (562, 2, "species", "Escherichia coli"),
    (83333, 562, "strain", "Escherichia coli K-12"),
    (1280, 2, "species", "Staphylococcus aureus"),
    (1639, 2, "species", "Listeria monocytogenes"),
    (10239, 1, "acellular root", "Viruses"),
    (11676, 10239, "no rank", "Human immunodeficiency virus 1"),
    (12242, 10239, "no rank", "Tobacco mosaic virus"),
]
OTHER_NAMES = [
    (9606, "human", "genbank common name"),
    (9606, "Homo sapiens Linnaeus, 1758", "authority"),
    (10090, "house mouse", "genbank common name"),
    (10090, "mouse", "common name"),
    (10090, "Mus muscaris", "misnomer"),
    (7955, "Brachydanio rerio", "synonym"),
    (7898, "bony fishes", "blast name"),
    (7898, "fishes", "in-part"),
    (4932, "baker's yeast", "genbank common name"),
    (4932, "Candida robusta", "anamorph"),
    (4932, "S. cerevisiae hybrids", "includes"),
    (559292, "Saccharomyces cerevisiae S288c", "equivalent name"),
    (562, "Bacillus coli", "synonym"),
    (562, "Bacillus coli", "equivalent name"),
    (562, "ATCC 11775", "type material"),
    (562, "Eschericia coli", "misspelling"),
    (11676, "HIV-1", "acronym"),
    (12242, "mottle leaf agent", "some new class"),
    (44, "a deleted taxon's name", "synonym"),
]
MERGED = [(32, 562), (9607, 9606)]
DELETED = [(44, ), (45, )]  # fmt: skip


def lines(rows: list[tuple[Any, ...]]) -> str:
    return "".join("\t|\t".join(map(str, row)) + "\t|\n" for row in rows)


def dump(columns: int = 13) -> dict[str, str]:
    """Every file of a dump, by name; ``nodes.dmp`` has 13 columns, that of new_taxdump 18."""
    names = [(number, name, "", "scientific name") for number, _, _, name in TAXA]
    names += [(number, name, "", kind) for number, name, kind in OTHER_NAMES]
    nodes = [(number, parent, rank, *("" for _ in range(columns - 3))) for number, parent, rank, _ in TAXA]
    return {
        "names.dmp": lines(names),
        "nodes.dmp": lines(nodes),
        "merged.dmp": lines(MERGED),
        "delnodes.dmp": lines(DELETED),
        "citations.dmp": "not read",
    }


def packed(path: Path, files: dict[str, str]) -> Path:
    """The dump at ``path``: a folder, a .zip or a .tar.gz, by its name."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in files.items():
                archive.writestr(zipfile.ZipInfo(name, (2025, 3, 1, 12, 0, 0)), text)
    elif path.suffix == ".gz":
        with tarfile.open(path, "w:gz") as archive:
            for name, text in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mtime = len(text.encode()), 1_740_830_400  # 2025-03-01
                archive.addfile(member, io.BytesIO(text.encode()))
    else:
        path.mkdir()
        for name, text in files.items():
            (path / name).write_text(text)
    return path


def source(**changes: Any) -> SourceConfig:
    return load_source("ncbitaxon").model_copy(update=changes)


@pytest.fixture
def done(tmp_path: Path) -> Read:
    return read(taxdump.read, [packed(tmp_path / "taxdump.zip", dump())], source())


def test_each_taxon_is_a_concept_with_its_parent_and_rank(done: Read) -> None:
    labels = done.labels()
    assert list(labels) == [f"NCBITaxon:{number}" for number, *_ in TAXA]
    assert labels["NCBITaxon:9606"] == "Homo sapiens"
    assert len(done.tables["parent"]) == len(TAXA) - 1, "the root is no parent of its own"
    assert ("NCBITaxon:9606", "NCBITaxon:9605") in done.tables["parent"]
    assert ("NCBITaxon:83333", "rank", "strain") in done.tables["membership"]
    assert {row[0] for row in done.tables["name"]} == set(labels), "a deleted taxon has no names"
    assert not done.tables["rejection"] and not done.left


@pytest.mark.parametrize(
    ("number", "names"),
    [
        (9606, [("Homo sapiens", "label"), ("human", "exact")]),
        (10090, [("Mus musculus", "label"), ("house mouse", "exact"), ("mouse", "exact"), ("Mus muscaris", "related")]),
        (7955, [("Danio rerio", "label"), ("Brachydanio rerio", "exact")]),
        (7898, [("Actinopterygii", "label"), ("bony fishes", "related")]),
        (562, [("Escherichia coli", "label"), ("Bacillus coli", "exact"), ("Eschericia coli", "related")]),
        (11676, [("Human immunodeficiency virus 1", "label"), ("HIV-1", "broad")]),
        (12242, [("Tobacco mosaic virus", "label"), ("mottle leaf agent", "related")]),
        (559292, [("Saccharomyces cerevisiae S288C", "label"), ("Saccharomyces cerevisiae S288c", "exact")]),
    ],
)
def test_name_classes_become_scopes_and_authorities_no_names(
    done: Read, number: int, names: list[tuple[str, str]]
) -> None:
    assert done.names(f"NCBITaxon:{number}") == names


def test_yeast_keeps_what_it_was_called_as_an_anamorph_and_what_it_includes(done: Read) -> None:
    names = dict(done.names("NCBITaxon:4932"))
    assert (names["Candida robusta"], names["S. cerevisiae hybrids"]) == ("exact", "narrow")


def test_merged_taxa_have_a_successor_and_deleted_ones_none(done: Read) -> None:
    assert {row[0] for row in done.tables["concept"] if row[4]} == {f"NCBITaxon:{n}" for n in (32, 9607, 44, 45)}
    assert done.tables["replaced_by"] == [("NCBITaxon:32", "NCBITaxon:562"), ("NCBITaxon:9607", "NCBITaxon:9606")]


@pytest.mark.parametrize("name", ["taxdump.zip", "new_taxdump.tar.gz", "folder"])
@pytest.mark.parametrize("columns", [13, 18])
def test_every_wrapping_gives_the_same_release(tmp_path: Path, done: Read, name: str, columns: int) -> None:
    path = packed(tmp_path / f"again-{name}", dump(columns))
    assert sniff(path) == "taxdump"
    again = read(taxdump.read, [path], source())
    assert again.tables == done.tables
    if path.is_file():
        assert again.version == "2025-03-01"


def test_files_are_read_one_by_one_too_gzipped_and_without_the_retired(tmp_path: Path, done: Read) -> None:
    files = dump()
    paths = []
    for name in ("names.dmp", "nodes.dmp"):
        paths.append(tmp_path / f"{name}.gz")
        paths[-1].write_bytes(gzip.compress(files[name].encode()))
    again = read(taxdump.read, paths, source())
    assert again.tables["name"] == done.tables["name"]
    assert not again.tables["replaced_by"]


def test_the_archives_name_dates_the_release(tmp_path: Path) -> None:
    path = packed(tmp_path / "new_taxdump_2024-09-01.zip", dump())
    assert read(taxdump.read, [path], source()).version == "2024-09-01"


def test_branches_types_and_scopes_are_kept(tmp_path: Path) -> None:
    path = packed(tmp_path / "taxdump.zip", dump())
    fungi = read(taxdump.read, [path], source(branches=("NCBITaxon:4751",)))
    assert set(fungi.labels()) == {f"NCBITaxon:{n}" for n in (4751, 4932, 559292, 5476, 746128)}
    bacteria = read(taxdump.read, [path], source(branches=("NCBITaxon:2",)))
    assert [row[0] for row in bacteria.tables["concept"] if row[4]] == ["NCBITaxon:32"], "merged into a kept taxon"
    kept = NamesKept(types=("scientific name", "synonym"), scopes=("label", "exact"))
    assert read(taxdump.read, [path], source(names=kept)).names("NCBITaxon:562") == [
        ("Escherichia coli", "label"),
        ("Bacillus coli", "exact"),
    ]


def test_lines_that_are_no_taxon_are_set_aside(tmp_path: Path) -> None:
    files = dump()
    files["nodes.dmp"] += "x\t|\t1\t|\tspecies" + "\t|\t" * 10 + "\t|\n"
    files["names.dmp"] += "9606\t|\tonly two cells\t|\n"
    done = read(taxdump.read, [packed(tmp_path / "taxdump.zip", files)], source())
    assert len(done.labels()) == len(TAXA)
    assert sorted(reason.split(":")[0] for _, reason in done.reasons()) == ["names.dmp", "nodes.dmp"]


def test_what_is_no_dump_is_refused(tmp_path: Path) -> None:
    files = dump()
    del files["nodes.dmp"]
    with pytest.raises(SourceError, match=r"expected nodes\.dmp, found none"):
        read(taxdump.read, [packed(tmp_path / "taxdump.zip", files)], source())
    (tmp_path / "x.txt").write_text("taxid\tname\n")
    with pytest.raises(SourceError, match=r"x\.txt: expected NCBI's taxdump"):
        read(taxdump.read, [tmp_path / "x.txt"], source())


def test_a_damaged_archive_is_refused_in_words(tmp_path: Path) -> None:
    path = packed(tmp_path / "taxdump.tar.gz", dump())
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(SourceError, match="expected a whole tar file"):
        read(taxdump.read, [path], source())


def test_a_release_finds_the_successor_of_a_merged_taxon(here: Settings, tmp_path: Path) -> None:
    done = ingest(source(), [packed(tmp_path / "new_taxdump_2024-09-01.zip", dump())], here)
    assert (done.version, done.obsolete) == ("2024-09-01", 4)
    with open_release(done.path) as release:
        assert release.successor("NCBITaxon_9607") == ("NCBITaxon:9606",)
        assert release.successor("NCBITaxon:44") == ()
        assert release.coverage()["linked"] == len(TAXA)


def test_the_fingerprint_of_a_folder_is_of_the_files_that_are_read(tmp_path: Path) -> None:
    folder = packed(tmp_path / "dump", dump())
    first = fingerprint([folder], "taxdump")
    (folder / "citations.dmp").write_text("another")
    assert fingerprint([folder], "taxdump") == first


def test_obos_edition_is_read_under_the_same_declaration(here: Settings, tmp_path: Path) -> None:
    path = tmp_path / "ncbitaxon.obo"
    path.write_text(
        "format-version: 1.2\ndata-version: 2025-01-01\nontology: ncbitaxon\n\n"
        "[Term]\nid: NCBITaxon:562\nname: Escherichia coli\n\n"
        "[Term]\nid: NCBITaxon:83333\nname: Escherichia coli K-12\nis_a: NCBITaxon:562\n"
    )
    done = ingest(source(), [path], here)
    assert (done.version, done.concepts) == ("2025-01-01", 2)

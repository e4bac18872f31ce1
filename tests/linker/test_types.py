"""An answer has its linker's declared type; else the concept's own, as in UMLS and taxonomies; else the mention's."""

from pathlib import Path

from belink.linker.linker import Linker
from belink.records import Mention
from belink.registry import aliases
from tests.support.serving import Made, register_file

UMLS = 'format = "umls"\nprefixes = ["UMLS"]\nversion = "header"\n'
MRSTY = {"C0000001": ("T047", "T191"), "C0000002": ("T121",)}
ATOM = "{}|ENG|P|L1|PF|S{}|Y|A{}||||MSH|MH|D1|{}|0|N|256|\n"


def umls_linker(served: Made, folder: Path, name: str, kind: str = "") -> Linker:
    """A linker of three concepts in UMLS's layout, one of them without a semantic type."""
    names = {"C0000001": "carcinoma", "C0000002": "temefos", "C0000003": "hamster"}
    meta = folder / "META"
    meta.mkdir(parents=True)
    atoms = [ATOM.format(cui, number, number, text) for number, (cui, text) in enumerate(names.items(), 1)]
    (meta / "MRCONSO.RRF").write_text("".join(atoms), encoding="utf-8")
    types = [f"{cui}|{type}|A1|Name|AT1|256|\n" for cui, types in MRSTY.items() for type in types]
    (meta / "MRSTY.RRF").write_text("".join(types), encoding="utf-8")
    (meta / "release.dat").write_text("umls.release.name=2025AA\n", encoding="utf-8")
    version = register_file(served, folder, name, kind, meta, UMLS)
    path, _ = aliases.bundle_path(served.here, name, version)
    return Linker(path, served.here.cache)


def asked(linker: Linker, *texts: str) -> list[tuple[str | None, str]]:
    return [(link.id, link.type) for link in linker.link([Mention(text=text, type="Marked") for text in texts])]


def test_a_concept_of_umls_has_its_semantic_types(served_home: Made, tmp_path: Path) -> None:
    linker = umls_linker(served_home, tmp_path, "typed")
    expected = [("UMLS:C0000001", "T047,T191"), ("UMLS:C0000002", "T121"), ("UMLS:C0000003", "Marked")]
    assert asked(linker, "carcinoma", "temefos", "hamster") == expected
    assert asked(linker, "temefos", "carcinoma") == [expected[1], expected[0]]


def test_what_is_answered_as_nil_has_no_concepts_type(served_home: Made, tmp_path: Path) -> None:
    linker = umls_linker(served_home, tmp_path, "bounded")
    (link,) = linker.link([Mention(text="carcinoma", type="Marked")])
    assert link.type == "T047,T191"
    nil = linker.abstain(link, 1.1)
    assert (nil.id, nil.type) == (None, "Marked")


def test_a_declared_type_wins(served_home: Made, tmp_path: Path) -> None:
    linker = umls_linker(served_home, tmp_path, "declared", "Disease")
    assert asked(linker, "carcinoma") == [("UMLS:C0000001", "Disease")]

"""UMLS: a Metathesaurus of a few rows, made by hand, and the real-sized one of BELINK_DATA."""

import gzip
import json
import logging
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from belink.declarations import NamesKept, SourceConfig, load_source
from belink.errors import DeclarationError, SourceError
from belink.ontology import download_umls
from belink.ontology.readers import umls
from tests.support.read_sources import DATA, counts, read, write


def source(**changes: Any) -> SourceConfig:
    names = changes.pop("names", NamesKept(languages=("ENG",)))
    given = {"title": "UMLS", "format": "umls", "prefixes": ("UMLS",), "licence": "UMLS", "names": names}
    return SourceConfig(name="umls", **{**given, **changes})


def atom(cui: str, text: str, **given: str) -> str:
    row = {
        "CUI": cui, "LAT": "ENG", "TS": "P", "LUI": "L1", "STT": "PF", "SUI": "S1", "ISPREF": "Y", "AUI": "A1",
        "SAUI": "", "SCUI": "", "SDUI": "", "SAB": "MSH", "TTY": "MH", "CODE": "D1", "STR": text, "SRL": "0",
        "SUPPRESS": "N", "CVF": "256",
    }  # fmt: skip
    return "|".join({**row, **given}.values()) + "|\n"


def folder(path: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        write(path / f"{name}.RRF", content)
    return path


TWO = atom("C0000001", "Calcimycin") + atom("C0000002", "Temefos")


@pytest.mark.parametrize(
    ("rows", "label"),
    [
        ([("B", "MSH", "ET", "S PF Y"), ("A", "MSH", "MH", "P PF Y")], "A"),
        ([("B", "MSH", "MH", "P VO Y"), ("A", "MSH", "MH", "P PF Y")], "A"),
        ([("B", "MSH", "MH", "P PF N"), ("A", "MSH", "MH", "P PF Y")], "A"),
        ([("A", "MSH", "MH", "P PF Y"), ("B", "MSH", "MH", "P PF Y")], "A"),  # the first in the file
    ],
)
def test_the_label_is_chosen_by_ts_stt_and_ispref(tmp_path: Path, rows: list[Any], label: str) -> None:
    text = "".join(
        atom("C0000001", name, SAB=sab, TTY=tty, **dict(zip(("TS", "STT", "ISPREF"), flags.split(), strict=True)))
        for name, sab, tty, flags in rows
    )
    assert read(umls.read, [folder(tmp_path, MRCONSO=text)], source()).labels() == {"UMLS:C0000001": label}


def test_mrrank_comes_before_the_flags(tmp_path: Path) -> None:
    text = atom("C0000001", "flagged", SAB="MSH", TTY="ET") + atom("C0000001", "ranked", SAB="MTH", TTY="PN", TS="S")
    ranks = "0500|MSH|ET|N|\n0900|MTH|PN|N|\n"
    found = read(umls.read, [folder(tmp_path, MRCONSO=text, MRRANK=ranks)], source())
    assert found.labels() == {"UMLS:C0000001": "ranked"}
    assert found.names("UMLS:C0000001") == [("flagged", "exact"), ("ranked", "label")]


def test_every_atom_is_a_name_with_its_vocabulary_term_type_and_language(tmp_path: Path) -> None:
    text = atom("C0000001", "Asthma") + atom("C0000001", "Asthma", SAB="NCI", TTY="PT", TS="S")
    text += atom("C0000001", "Asma", LAT="SPA", SAB="MSHSPA", TS="S")
    found = read(umls.read, [folder(tmp_path, MRCONSO=text)], source(names=NamesKept()))
    assert found.tables["name"] == [
        ("UMLS:C0000001", "Asthma", "label", "MH", "en", "MSH"),
        ("UMLS:C0000001", "Asthma", "exact", "PT", "en", "NCI"),
        ("UMLS:C0000001", "Asma", "exact", "MH", "es", "MSHSPA"),
    ]


@pytest.mark.parametrize("languages", [("ENG",), ("en",)])
def test_languages_are_bcp47_or_lat_and_filter_concepts(tmp_path: Path, languages: tuple[str, ...]) -> None:
    text = atom("C0000001", "Asthma") + atom("C0000002", "Asma", LAT="SPA")
    found = read(umls.read, [folder(tmp_path, MRCONSO=text)], source(names=NamesKept(languages=languages)))
    assert found.labels() == {"UMLS:C0000001": "Asthma"}


def test_the_first_declared_language_gives_the_label(tmp_path: Path) -> None:
    text = atom("C0000001", "Asthma") + atom("C0000001", "Asma", LAT="SPA", TS="S", ISPREF="N")
    found = read(umls.read, [folder(tmp_path, MRCONSO=text)], source(names=NamesKept(languages=("es", "en"))))
    assert found.labels() == {"UMLS:C0000001": "Asma"}


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (NamesKept(), ["a", "b", "c"]),
        (NamesKept(suppressed=True), ["a", "b", "c", "d"]),
        (NamesKept(sources=("MSH",)), ["a", "b"]),
        (NamesKept(types=("ET", "PT")), ["b", "c"]),
        (NamesKept(scopes=("label",)), ["a"]),
    ],
)
def test_the_declaration_says_which_atoms_are_kept(tmp_path: Path, names: NamesKept, kept: list[str]) -> None:
    text = atom("C0000001", "a") + atom("C0000001", "b", TTY="ET", TS="S")
    text += atom("C0000001", "c", SAB="NCI", TTY="PT", TS="S") + atom("C0000001", "d", SUPPRESS="O", TS="S")
    found = read(umls.read, [folder(tmp_path, MRCONSO=text)], source(names=names))
    assert [row[1] for row in found.tables["name"]] == kept


@pytest.mark.parametrize(
    ("branches", "kept"),
    [((), {"1", "2", "3"}), (("T047",), {"1"}), (("CHEM",), {"2"}), (("T047", "CHEM"), {"1", "2"})],
)
def test_branches_are_semantic_types_or_groups(tmp_path: Path, branches: tuple[str, ...], kept: set[str]) -> None:
    text = TWO + atom("C0000003", "Without a type")
    types = "C0000001|T047|B2|Disease or Syndrome|AT1|256|\nC0000001|T033|A2|Finding|AT2|256|\n"
    types += "C0000002|T109|A1|Organic Chemical|AT3|256|\n"
    found = read(umls.read, [folder(tmp_path, MRCONSO=text, MRSTY=types)], source(branches=branches))
    assert found.labels().keys() == {f"UMLS:C000000{n}" for n in kept}
    expected = [("UMLS:C0000001", "semantic_type", t) for t in ("T033", "T047")] * ("1" in kept)
    expected += [("UMLS:C0000002", "semantic_type", "T109")] * ("2" in kept)
    assert found.tables["membership"] == expected


def test_every_semantic_type_has_one_group() -> None:
    types = [t for group in umls._GROUPS.values() for t in group.split()]
    assert len(types) == len(set(types)) == 127


def test_an_unknown_branch_is_an_error_before_reading(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="found 'DISEASE'"):
        read(umls.read, [folder(tmp_path, MRCONSO=TWO)], source(branches=("DISEASE",)))
    with pytest.raises(SourceError, match="need MRSTY"):
        read(umls.read, [folder(tmp_path, MRCONSO=TWO)], source(branches=("DISO",)))


def test_one_definition_a_concept_of_a_kept_vocabulary_and_unsuppressed(tmp_path: Path) -> None:
    rows = "C0000001|A1|AT9||MSH|later|N||\nC0000001|A1|AT2||MSH|earlier|N||\nC0000001|A1|AT1||MSH|hidden|Y||\n"
    rows += "C0000002|A2|AT1||MSHSPA|en castellano|N||\n"
    found = read(umls.read, [folder(tmp_path, MRCONSO=TWO, MRDEF=rows)], source())
    assert [row[3] for row in found.tables["concept"]] == ["earlier", ""]


def test_parents_are_read_from_both_directions_and_only_between_kept_concepts(tmp_path: Path) -> None:
    text = TWO + atom("C0000003", "Ionophores") + atom("C0000004", "Xenobiotics", SUPPRESS="O")

    def relation(first: str, kind: str, second: str, suppress: str = "N") -> str:
        return f"{first}|A1|AUI|{kind}|{second}|A2|AUI|isa|R1||MSH|MSH|||{suppress}||\n"

    rows = relation("C0000001", "PAR", "C0000003") + relation("C0000003", "CHD", "C0000002")
    rows += relation("C0000001", "PAR", "C0000003") + relation("C0000001", "PAR", "C0000001")
    rows += relation("C0000001", "PAR", "C0000004") + relation("C0000001", "SIB", "C0000002")
    rows += relation("C0000002", "PAR", "C0000001", "O")
    found = read(umls.read, [folder(tmp_path, MRCONSO=text, MRREL=rows)], source())
    assert found.tables["parent"] == [("UMLS:C0000001", "UMLS:C0000003"), ("UMLS:C0000002", "UMLS:C0000003")]


def test_retired_concepts_keep_their_successors(tmp_path: Path) -> None:
    rows = [
        "C0000101|2024AB|SY||merge|C0000001|Y|",
        "C0000102|2024AB|DEL|||||",
        "C0000103|2024AB|RO|||C0000001|Y|",
        "C0000103|2024AB|RB|||C0000002|Y|",
        "C0000104|2024AB|SY|||C0000001|Y|",
        "C0000104|2024AB|SY|||C0000002|Y|",  # two that it was merged into: nobody can choose for the user
        "C0000105|2024AB|SY|||C0000105|Y|",  # itself
        "C0000106|2024AB|SY|||C0000001|Y|",
        "C0000106|2024AB|SY|||C0000001|Y|",
        "C0000002|2024AB|SY|||C0000001|Y|",  # live
    ]
    text = "".join(f"{row}\n" for row in rows)
    found = read(umls.read, [folder(tmp_path, MRCONSO=TWO, MRCUI=text)], source())
    obsolete = [(row[0], row[2]) for row in found.tables["concept"] if row[4]]
    assert obsolete == [(f"UMLS:C00001{n:02}", None) for n in range(1, 7)]
    assert found.tables["replaced_by"] == [("UMLS:C0000101", "UMLS:C0000001"), ("UMLS:C0000106", "UMLS:C0000001")]
    assert [(row[0][-3:], row[1][-1]) for row in found.tables["consider"]] == [
        ("103", "1"), ("103", "2"), ("104", "1"), ("104", "2"),
    ]  # fmt: skip


def test_retired_concepts_whose_successors_are_filtered_out_go_with_them(tmp_path: Path) -> None:
    types = "C0000001|T047|B|Disease or Syndrome|AT1||\nC0000002|T109|A|Organic Chemical|AT2||\n"
    rows = "C0000101|2024AB|SY|||C0000001|Y|\nC0000102|2024AB|SY|||C0000002|Y|\n"
    found = read(umls.read, [folder(tmp_path, MRCONSO=TWO, MRSTY=types, MRCUI=rows)], source(branches=("DISO",)))
    assert [row[0] for row in found.tables["concept"]] == ["UMLS:C0000001", "UMLS:C0000101"]


def test_quotes_backslashes_and_other_scripts_in_names_stay_as_they_are(tmp_path: Path) -> None:
    names = ['"Calcimycin"', '5"-nucleotidase', "it's \\ a, b", "β-Galaktosidase α₁", "tab\there", "''"]
    text = "".join(atom("C0000001", name) for name in names)
    found = read(umls.read, [folder(tmp_path, MRCONSO=text)], source())
    assert [row[1] for row in found.tables["name"]] == names
    assert found.tables["rejection"] == []


def test_bad_lines_are_set_aside_with_their_number_and_the_rest_is_read(tmp_path: Path) -> None:
    good = atom("C0000001", "Calcimycin").encode()
    lines = [
        good,
        b"C0000002|ENG|P\n",
        good.replace(b"Calcimycin", b"one|too many"),
        good.replace(b"Calcimycin", b"Calcim\xff\xfecin"),
        good.replace(b"Calcimycin", b""),
        good.replace(b"Calcimycin", b"   "),
        good.replace(b"C0000001", b""),
        b"\n",
        atom("C0000002", "Temefos").encode().replace(b"\n", b"\r\n"),
        good.replace(b"Calcimycin", b"a\0b\rc"),
        good[:-2] + b"\n",  # the last delimiter is missing
        atom("D000001", "a MeSH id").encode(),
        atom("C0000003", "last").encode()[:-1],
    ]
    found = read(umls.read, [folder(tmp_path, MRCONSO=b"".join(lines))], source())
    assert [row[1] for row in found.tables["name"]] == ["Calcimycin", "Temefos", "a b c", "last"]
    assert [(line, reason.removeprefix("MRCONSO.RRF: ")) for line, reason in found.reasons()] == [
        (2, "expected a line that ends with '|', found 3 columns and no such end"),
        (3, "expected 18 columns, found 19"),
        (4, "expected UTF-8, found other bytes"),
        (5, "expected a value in STR, found none"),
        (6, "expected a value in STR, found none"),
        (7, "expected a value in CUI, found none"),
        (10, "a control character became a space"),
        (11, "expected a line that ends with '|', found 18 columns and no such end"),
        (None, "MRCONSO: expected a CUI, C and 7 or 8 digits"),
    ]
    assert [row[3] for row in found.tables["rejection"]].count(True) == 1
    assert found.left == []


ROW = atom("C0000002", "Temefos").encode()


@pytest.mark.parametrize(
    "line",
    [
        ROW[:-2] + b"\n",
        ROW[:-1] + b"x\n",
        b"|" + ROW[:-2] + b"x\n",
        ROW.replace(b"Temefos", b""),
        ROW.replace(b"Temefos", b" "),
        ROW.replace(b"Temefos", b"\xe9"),
        ROW.replace(b"Temefos", b"x" * (2 << 20)),
        ROW.replace(b"Temefos", b"a|b"),
        ROW[:40] + b"\n" + ROW[40:],
    ],
)
def test_one_fault_in_an_otherwise_sound_file_is_found(tmp_path: Path, line: bytes) -> None:
    around = atom("C0000001", "Calcimycin").encode()
    found = read(umls.read, [folder(tmp_path, MRCONSO=around * 3 + line + around)], source())
    assert [row[1] for row in found.tables["name"]] == ["Calcimycin"] * 4
    assert [number for number, _ in found.reasons()] == [4, 5][: line.count(b"\n")]


def test_a_byte_order_mark_is_no_part_of_the_first_cell(tmp_path: Path) -> None:
    found = read(umls.read, [folder(tmp_path, MRCONSO="\ufeff" + TWO)], source())
    assert found.labels() == {"UMLS:C0000001": "Calcimycin", "UMLS:C0000002": "Temefos"}


def test_a_bad_line_far_into_a_file_is_found_and_nothing_before_or_after_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("belink.ontology.readers.delimited.BLOCK", 1000)
    lines = [atom(f"C{n:07}", f"name {n}") for n in range(200)]
    lines[150] = "C0000150|broken|\n"
    for packed in (False, True):
        path = write(tmp_path / f"{packed}/MRCONSO.RRF", "".join(lines), packed=packed)
        found = read(umls.read, [path], source())
        assert list(found.labels()) == [f"UMLS:C{n:07}" for n in range(200) if n != 150]
        assert found.reasons() == [(151, "MRCONSO.RRF: expected 18 columns, found 2")]


@pytest.mark.parametrize("packed", [True, False])
def test_a_folder_a_zip_and_named_files_give_the_same(tmp_path: Path, packed: bool) -> None:
    types = "C0000001|T047|B2|Disease or Syndrome|AT1|256|\n"
    suffix = ".gz" * packed
    meta = tmp_path / "2024AB" / "META"
    conso = write(meta / f"MRCONSO.RRF{suffix}", TWO, packed=packed)
    sty = write(meta / f"MRSTY.RRF{suffix}", types, packed=packed)
    write(meta / "MRSAT.RRF", "not looked at")
    with zipfile.ZipFile(tmp_path / "umls-2024AB-metathesaurus-full.zip", "w") as archive:
        for path in sorted(meta.iterdir()):
            archive.write(path, f"2024AB/META/{path.name}")
    ways = [[meta], [tmp_path / "2024AB"], [tmp_path / "umls-2024AB-metathesaurus-full.zip"], [conso, sty]]
    found = [read(umls.read, way, source()) for way in ways]
    assert all(each.tables == found[0].tables and each.version == "2024AB" for each in found)
    assert found[0].labels() == {"UMLS:C0000001": "Calcimycin", "UMLS:C0000002": "Temefos"}
    assert found[2].left == []


def test_the_version_comes_from_release_dat_then_mrsab_then_the_path(tmp_path: Path) -> None:
    meta = folder(tmp_path / "2020AA", MRCONSO=TWO)
    assert read(umls.read, [meta], source()).version == "2020AA"
    row = ["C1", "C2", "MSH2024", "MSH", "MeSH", "MSH", "2024", "", "", "2024AA", "", *[""] * 14]
    folder(meta, MRSAB="".join("|".join(row).replace("2024AA", v) + "|\n" for v in ("2023AB", "2024AA", "1998AB")))
    assert read(umls.read, [meta], source()).version == "2024AA"
    write(meta / "release.dat", "umls.release.name=2024AB\numls.release.date=20241104\n")
    assert read(umls.read, [meta], source()).version == "2024AB"
    assert read(umls.read, [folder(tmp_path / "unsaid", MRCONSO=TWO)], source()).version is None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "expected concepts"),
        (b"<html>not found</html>\n", "expected 18 columns separated by '|', found no such line"),
        (b"\x00\x01\x02" * 50, "found no such line"),
        (b"x" * (20 << 20), "without a line's end"),
        (gzip.compress(TWO.encode() * 1000, mtime=0)[:-100], "expected a whole .gz file"),
        (gzip.compress(TWO.encode() * 1000, mtime=0)[:60] + b"damage" * 20, "expected a whole .gz file"),
    ],
)
def test_a_file_that_is_something_else_is_one_clear_error(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint) as caught:
        read(umls.read, [write(tmp_path / "MRCONSO.RRF", content)], source())
    assert "\n" not in str(caught.value)


def test_a_folder_without_mrconso_or_with_two_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"expected MRCONSO\.RRF, found none"):
        read(umls.read, [folder(tmp_path / "a", MRSTY="x")], source())
    for year in ("2024AA", "2024AB"):
        folder(tmp_path / "b" / year / "META", MRCONSO=TWO)
    with pytest.raises(SourceError, match="expected one MRCONSO, found"):
        read(umls.read, [tmp_path / "b"], source())
    with pytest.raises(SourceError, match=r"MRCONSO\.RRF and so on"):
        read(umls.read, [write(tmp_path / "atoms.txt", TWO)], source())


@pytest.mark.parametrize(
    "name", ["../MRCONSO.RRF", "META/../../MRCONSO.RRF", "/etc/MRCONSO.RRF", "C:\\MRCONSO.RRF", "..\\x"]
)
def test_a_zip_whose_members_climb_out_is_refused_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / "inner" / "umls.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META/MRSTY.RRF", "")
        archive.writestr(zipfile.ZipInfo(name), TWO)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SourceError, match="expected members below one folder"):
        read(umls.read, [path], source())
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zip_with_a_link_or_damage_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("META/MRCONSO.RRF")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(SourceError, match="expected members below one folder"):
        read(umls.read, [tmp_path / "link.zip"], source())
    with zipfile.ZipFile(tmp_path / "whole.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META/MRCONSO.RRF", TWO * 1000)
    raw = bytearray((tmp_path / "whole.zip").read_bytes())
    (tmp_path / "short.zip").write_bytes(raw[:-200])
    raw[100:120] = b"\xff" * 20
    (tmp_path / "damaged.zip").write_bytes(raw)
    for name in ("short.zip", "damaged.zip"):
        with pytest.raises(SourceError, match="expected a whole zip file"):
            read(umls.read, [tmp_path / name], source())


def test_a_zip_larger_than_the_disk_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "umls.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META/MRCONSO.RRF", TWO * 1000)

    class Usage:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    with pytest.raises(SourceError, match="make room first"):
        read(umls.read, [tmp_path / "umls.zip"], source())


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="BELINK_DATA is not set")
def test_the_real_sized_metathesaurus_is_read_whole() -> None:
    found = counts(umls.read, [DATA / "umls"], load_source("umls"))
    # MRCUI has 3,859 rows; 67 of them repeat a CUI of another row, and an id is a concept once.
    assert (found["concepts"], found["obsolete"]) == (40_471 + 3_792, 3_792)
    assert found["names"] == 197_033
    assert found["rejected"] == 1  # a definition that is blank


# -- download ---------------------------------------------------------------------------------------------------------

KEY = "secret-0123/+key"


class _Service(BaseHTTPRequestHandler):
    """NLM's service: a list of releases, and the files for those who know the key."""

    content = b""
    asked: ClassVar[list[str]] = []
    breaks = 0  # connections that break half-way

    def do_GET(self) -> None:
        cls = type(self)
        cls.asked.append(self.path)
        parts, query = urlsplit(self.path), parse_qs(urlsplit(self.path).query)
        if parts.path == "/releases":
            root = "https://download.nlm.nih.gov/umls/kss"
            offered = [
                {"releaseVersion": v, "downloadUrl": f"{root}/{v}/umls-{v}-metathesaurus-full.zip"}
                for v in (["2025AB"] if "current" in query else ["2025AB", "2025AA"])
            ]
            self._send(200, json.dumps(offered).encode())
        elif query.get("apiKey") != [KEY]:
            self._send(401, b"no")
        else:
            cls.asked[-1] += f" {self.headers.get('Range', '')}"
            start = int(self.headers.get("Range", "bytes=0-")[6:-1])
            self._send(206 if start else 200, cls.content[start:])

    def _send(self, status: int, body: bytes) -> None:
        cls = type(self)
        broken = status in (200, 206) and body[:2] != b"[{" and cls.breaks > 0
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if broken:
            cls.breaks -= 1
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def service(content: bytes, breaks: int = 0) -> Iterator[tuple[str, list[str]]]:
    handler = type("Service", (_Service,), {"content": content, "asked": [], "breaks": breaks})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def zipped(tmp_path: Path) -> bytes:
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        archive.writestr("META/MRCONSO.RRF", TWO * 2000)
    return (tmp_path / "made.zip").read_bytes()


@pytest.mark.heavy
@pytest.mark.parametrize(("version", "name"), [(None, "2025AB"), ("2025AA", "2025AA")])
def test_the_release_is_downloaded_once_and_can_be_read(
    tmp_path: Path, zipped: bytes, version: str | None, name: str
) -> None:
    with service(zipped) as (url, asked):
        path = download_umls.download(KEY, tmp_path / "downloads", version, url)
        assert download_umls.download(KEY, tmp_path / "downloads", version, url) == path
    assert path == tmp_path / "downloads" / f"umls-{name}-metathesaurus-full.zip"
    assert path.read_bytes() == zipped
    assert [each.partition("?")[0] for each in asked] == ["/releases", "/download", "/releases"]
    assert read(umls.read, [path], source()).version == name


def test_a_broken_download_is_continued(tmp_path: Path, zipped: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with service(zipped, breaks=3) as (url, asked):
        assert download_umls.download(KEY, tmp_path, None, url).read_bytes() == zipped
    ranges = [each.partition(" ")[2] for each in asked if each.startswith("/download")]
    n, starts = len(zipped), [0]
    for _ in range(3):  # each time half of what was left arrives
        starts.append(starts[-1] + (n - starts[-1]) // 2)
    assert ranges == ["", *(f"bytes={start}-" for start in starts[1:])]
    assert not list(tmp_path.glob("*.part"))


def test_the_key_is_in_no_log_record_and_no_error(
    tmp_path: Path, zipped: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    caplog.set_level(logging.DEBUG)
    wrong = "wrong-4567/+key"
    with service(zipped) as (url, _):
        download_umls.download(KEY, tmp_path / "right", None, url)
        with pytest.raises(SourceError, match="refused the key") as refused:
            download_umls.download(wrong, tmp_path / "wrong", None, url)
    with pytest.raises(SourceError, match="expected an answer") as nobody:
        download_umls.download(wrong, tmp_path / "nobody", None, url)
    assert any("/download" in record.getMessage() for record in caplog.records)  # it is logged, but without the key
    shown = caplog.text + "".join(f"{e.value}{e.value.__cause__}{e.value.__context__}" for e in (refused, nobody))
    for piece in ("secret", "0123", "wrong-4567", "4567%2F", "%2Bkey"):
        assert piece not in shown


def test_a_failed_download_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="UTS_API_KEY, found none"):
        download_umls.download(None, tmp_path)
    with service(b"<html>please log in</html>") as (url, _):
        with pytest.raises(SourceError, match="expected the release 1999AA of UMLS, found 2025AB, 2025AA"):
            download_umls.download(KEY, tmp_path, "1999AA", url)
        with pytest.raises(SourceError, match="expected a zip file"):
            download_umls.download(KEY, tmp_path, None, url)
    assert list(tmp_path.iterdir()) == []

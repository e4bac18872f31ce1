"""Damaged files: whatever is done to a real one, reading it gives one clear error, or exactly what is sound in it.

Each format is held against a plain reading of the same bytes, a line (or the whole tree) at a time. Thirty mutations a
format here; a thousand under ``-m slow``.
"""

import gzip
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from lxml import etree

from belink.declarations import Columns, NamesKept, SourceConfig, load_source
from belink.errors import SourceError
from belink.ontology.readers import mesh, sssom, tabular, umls
from belink.ontology.release_writer import SCHEMA, ReleaseWriter
from tests.support.made_releases import concept
from tests.support.made_releases import source as plain_source
from tests.support.read_sources import DATA, Read, read

pytestmark = pytest.mark.heavy

NASTY = [
    b'"', b"'", b"|", b"||", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\\", b";", b",",
    b"#", b"\n#", b" ", b"&", b"&lol;", b"&amp;", b"<", b">", b"]]>", b"<!--", b"<!ENTITY a 'b'>", b"MESH:", b":",
    "\u2028é\u00a0".encode(), b'"\n"', b"<DescriptorUI>", b"</Term>",
]  # fmt: skip


@st.composite
def mutations(draw: st.DrawFn) -> list[tuple[str, float, float, bytes]]:
    """Up to six changes: where (as a share of the file's length), how far, and with what."""
    kinds = st.sampled_from(["insert", "replace", "delete", "double", "swap"])
    place, extent = st.floats(0, 1), st.floats(0, 0.02)
    token = st.sampled_from(NASTY) | st.binary(min_size=1, max_size=6)
    return draw(st.lists(st.tuples(kinds, place, extent, token), min_size=1, max_size=6))


def mutated(content: bytes, changes: list[tuple[str, float, float, bytes]]) -> bytes:
    for kind, place, extent, token in changes:
        at = int(place * len(content))
        to = min(len(content), at + int(extent * len(content)))
        if kind == "insert":
            content = content[:at] + token + content[at:]
        elif kind == "replace":
            content = content[:at] + token + content[at + len(token) :]
        elif kind == "delete":
            content = content[:at] + content[to:]
        elif kind == "double":
            content = content[:to] + content[at:]
        else:
            lines = content.split(b"\n")
            a, b = int(place * (len(lines) - 1)), int(extent * 50 * (len(lines) - 1))
            lines[a], lines[b] = lines[b], lines[a]
            content = b"\n".join(lines)
    return content


packings = st.sampled_from(["plain"] * 4 + ["gzip", "gzip", "truncated"])
Check = Callable[[list[tuple[str, float, float, bytes]], str], None]


def examined(check: Check, n: int) -> Callable[[], None]:
    """``check`` on ``n`` mutations; few of them are the same ones every time, many are new ones every time."""
    quiet = settings(
        max_examples=n, deadline=None, derandomize=n < 100, database=None, suppress_health_check=list(HealthCheck)
    )
    return quiet(given(changes=mutations(), packing=packings)(check))


FEW, MANY = 30, 1000
amounts = pytest.mark.parametrize("n", [FEW, pytest.param(MANY, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])


def packed(content: bytes, packing: str) -> bytes:
    if packing == "plain":
        return content
    whole = gzip.compress(content, 1, mtime=0)
    return whole if packing == "gzip" else whole[: int(len(whole) * 0.9)]


def outcome(reader: Any, name: str, content: bytes, packing: str, source: SourceConfig) -> Read | None:
    """What was read; nothing where one clear error was raised, which a truncated file must."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(packed(content, packing))
        try:
            found = read(reader, [path], source)
        except SourceError as error:
            assert "\n" not in str(error) and str(path) in str(error)
            event("one clear error")
            return None
        assert packing != "truncated"
        assert path.read_bytes() == packed(content, packing)
    ids = [row[0] for row in found.tables["concept"]]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[A-Za-z][\w.\-]*:\S+", each) for each in ids)
    assert all(row[1].strip() and "\0" not in row[1] for row in found.tables["name"])
    assert found.left == []
    event("set aside" if found.tables["rejection"] else "all read")
    return found


def rejected(found: Read) -> int:
    return sum(not row[3] for row in found.tables["rejection"])


def sound_lines(content: bytes, delimiter: bytes, comment: bytes = b"") -> tuple[list[list[str]], int]:
    """Cells of each line that is UTF-8, and how many are not; empty lines and comments count as neither."""
    rows, faulty = [], 0
    for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        line = line.removesuffix(b"\r")
        if not line or (comment and line.startswith(comment)):
            continue
        try:
            text = line.replace(b"\r", b" ").replace(b"\0", b" ").decode("utf-8")
        except UnicodeDecodeError:
            faulty += 1
            continue
        rows.append(text.split(delimiter.decode()))
    return rows, faulty


def some_lines(path: str, otherwise: bytes, n: int = 150) -> bytes:
    """Lines of a real file, spread over it."""
    if not (DATA / path).is_file():
        return otherwise
    with gzip.open(DATA / path) as stream:
        lines = stream.readlines()
    return b"".join(lines[:: max(1, len(lines) // n)])


ATOMS = some_lines(
    "umls/MRCONSO.RRF.gz",
    b"".join(
        b"C%07d|ENG|P|L1|PF|S1|Y|A%d||D1|D1|MSH|MH|D1|name %d, (6S-(6alpha)) \xce\xb2|0|N|256|\n" % (n // 3, n, n)
        for n in range(150)
    ),
)


@amounts
def test_umls_keeps_every_sound_atom_and_counts_the_others(n: int) -> None:
    everything = NamesKept(suppressed=True)
    declared = load_source("umls").model_copy(update={"names": everything, "branches": ()})

    def check(changes: list[tuple[str, float, float, bytes]], packing: str) -> None:
        content = mutated(ATOMS, changes)
        found = outcome(umls.read, "MRCONSO.RRF", content, packing, declared)
        if found is None:
            return
        rows, faulty = sound_lines(content, b"|")
        fit = [
            row
            for row in rows
            if len(row) == 19
            and not row[18]
            and row[14].encode().strip()
            and re.fullmatch(r"C\d{7,8}", row[0], re.ASCII)
        ]
        assert [row[1] for row in found.tables["name"]] == [row[14] for row in fit]
        assert rejected(found) == faulty + len(rows) - len(fit)

    examined(check, n)()


TABLE = some_lines(
    "ctd/CTD_diseases.tsv.gz",
    b"".join(
        b"disease %d\tMESH:D%06d\tOMIM:%d\t\tMESH:D000001\tC01.%d\t\tname %d a|name %d b\t\n" % ((n,) * 6)
        for n in range(150)
    ),
)


@amounts
def test_a_table_keeps_every_sound_row_and_counts_the_others(n: int) -> None:
    declared = load_source("ctd-diseases")

    def check(changes: list[tuple[str, float, float, bytes]], packing: str) -> None:
        content = mutated(TABLE, changes)
        found = outcome(tabular.read, "CTD_diseases.tsv", content, packing, declared)
        if found is None:
            return
        rows, faulty = sound_lines(content, b"\t", b"#")
        if rows and rows[0] == list(declared.header):
            rows = rows[1:]
        fit = []
        for row in rows:
            cells = [cell.strip(" ") for cell in row]
            identified = len(row) == 9 and (cells[1] if ":" in cells[1] else f"MESH:{cells[1]}")
            if identified and cells[0].encode().strip() and re.fullmatch(_CURIE, identified):
                if cells[1].encode().strip():
                    fit.append((identified, cells[0]))
        assert [row[0] for row in found.tables["concept"]] == list(dict(fit))
        assert found.labels() == dict(reversed(fit))
        assert rejected(found) == faulty + len(rows) - len(fit)

    examined(check, n)()


_CURIE = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]*:[^\t\n\f\r |]+")


@amounts
def test_a_quoted_table_never_loses_the_rows_after_a_fault(n: int) -> None:
    rows = [line.split("\t") for line in TABLE.decode().splitlines() if not line.startswith("#")]
    lines = {f'"{row[0]}",{row[1]},"{row[7]}"': row[1] for row in rows}
    base = ("\n".join(["label,id,also", *lines]) + "\n").encode()
    declared = SourceConfig(
        name="t",
        title="t",
        format="table",
        prefixes=("MESH",),
        licence="CC0",
        columns=Columns(id="id", label="label", synonyms="also"),
    )

    def check(changes: list[tuple[str, float, float, bytes]], packing: str) -> None:
        content = mutated(base, changes)
        found = outcome(tabular.read, "t.csv", content, packing, declared)
        if found is None:
            return
        # A change touches few lines; a quote more or less may join two of them, never swallow the file.
        known = {lines[line] for line in content.decode("utf-8", "replace").splitlines() if line in lines}
        assert len(known - found.labels().keys()) <= 3 * len(changes) + 2

    examined(check, n)()


def _records(n: int) -> bytes:
    head = b'<?xml version="1.0"?>\n<DescriptorRecordSet LanguageCode = "eng">\n'
    if (DATA / "mesh").is_dir():
        with gzip.open(DATA / "mesh/desc2025.xml.gz") as stream:
            records = stream.read(1 << 20).split(b"</DescriptorRecord>")[1 : n + 1]
        return (
            head
            + b"".join(record.lstrip() + b"</DescriptorRecord>\n" for record in records)
            + b"</DescriptorRecordSet>"
        )
    record = (
        b"<DescriptorRecord><DescriptorUI>D%06d</DescriptorUI><DescriptorName><String>name %d</String></DescriptorName>"
        b"<TreeNumberList><TreeNumber>C01.%d</TreeNumber></TreeNumberList><ConceptList>"
        b'<Concept PreferredConceptYN="Y"><ConceptUI>M1</ConceptUI><TermList><Term><TermUI>T1</TermUI>'
        b"<String>name %d</String></Term><Term><TermUI>T1</TermUI><String>other %d</String></Term></TermList></Concept>"
        b"</ConceptList></DescriptorRecord>\n"
    )
    return head + b"".join(record % ((k,) * 5) for k in range(n)) + b"</DescriptorRecordSet>"


RECORDS = _records(25)


@amounts
def test_mesh_is_read_as_a_whole_tree_would_be_or_refused(n: int) -> None:
    declared = load_source("mesh")

    def check(changes: list[tuple[str, float, float, bytes]], packing: str) -> None:
        content = mutated(RECORDS, changes)
        found = outcome(mesh.read, "desc2025.xml", content, packing, declared)
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
        try:
            root = etree.fromstring(content, parser)
        except etree.XMLSyntaxError:
            assert found is None
            return
        if found is None:
            assert packing == "truncated" or b"<!" in content or root.tag != "DescriptorRecordSet"
            return
        expected: dict[str, str] = {}
        for record in root.iter("DescriptorRecord"):
            ui = (record.findtext("DescriptorUI") or "").strip()
            name = (record.findtext("DescriptorName/String") or "").strip()
            if re.fullmatch(r"[A-Z]\d{3,12}", ui) and name:
                expected.setdefault(f"MESH:{ui}", name)
        assert found.labels() == expected

    examined(check, n)()


MAPPINGS = (
    b"#curie_map:\n#  X: https://example.org/\nsubject_id\tpredicate_id\tobject_id\tmapping_justification\n"
    + b"".join(b"X:%d\tskos:exactMatch\tMESH:D%06d\tsemapv:ManualMappingCuration\n" % (k % 40, k) for k in range(120))
)


@amounts
def test_sssom_keeps_every_sound_mapping_and_counts_the_others(n: int) -> None:
    concepts = [concept(k, f"name {k}") for k in range(40)]

    def read_mappings(paths: Any, source: SourceConfig, into: ReleaseWriter) -> None:
        into.concepts(concepts)
        sssom.read(paths, into)

    def check(changes: list[tuple[str, float, float, bytes]], packing: str) -> None:
        content = mutated(MAPPINGS, changes)
        found = outcome(read_mappings, "m.sssom.tsv", content, packing, plain_source())
        if found is None:
            return
        rows, faulty = sound_lines(content, b"\t", b"#")
        header, rows = rows[0], rows[1:]
        if "subject_id" not in header:  # a stray byte beside it: the reader finds the columns all the same
            return
        at = [header.index(name) for name in ("subject_id", "predicate_id", "object_id")]
        whole = [[r[k] for k in at] for r in rows if len(r) == len(header) and all(r[k].encode().strip() for k in at)]
        ids = {f"X:{k}" for k in range(40)}
        here = {(s.strip(" "), o.strip(" ")) for s, p, o in whole if p.strip(" ") == "skos:exactMatch"}
        expected = {(s, o) for s, o in here if s in ids and s != o and _is_curie(o)}
        expected |= {(o, s) for s, o in here if o in ids and s != o and _is_curie(s)}
        assert set(found.tables["xref"]) == {pair for pair in expected if "sssom:NoTermFound" not in pair}
        assert rejected(found) >= faulty + len(rows) - len(whole)

    examined(check, n)()


def _is_curie(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.\-]*:[^\t\n\f\r /][^\t\n\f\r ]*", text))


def test_the_checks_see_every_table() -> None:
    assert set(SCHEMA) >= {"concept", "name", "xref", "rejection"}

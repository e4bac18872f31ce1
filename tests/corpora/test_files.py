"""Corpora in four formats come in as the same Documents, and what does not fit is counted, never dropped in silence."""

import bz2
import gzip
import io
import json
import lzma
import os
import re
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from belink.corpora.files import CorpusReport, Format, read_corpus, read_documents
from belink.corpora.links import write_links
from belink.corpora.raw import gold_ids
from belink.errors import CorpusError
from belink.records import Document, Mention
from belink.text.sentences import split
from tests.support.corpora import write_jsonl

DATA = os.environ.get("BELINK_DATA")
SUFFIX: dict[Format, str] = {"bioc-xml": ".xml", "bioc-json": ".json", "pubtator": ".pubtator", "jsonl": ".jsonl"}

TEXT = "Famotidine-associated delirium.\nBreast and ovarian cancer in β-thalassaemia. No cure."
DOCUMENT = Document(
    id="8701013",
    text=TEXT,
    sentences=((0, 31), (32, 76), (77, 85)),
    mentions=(
        Mention(text="delirium", start=22, end=30, gold=("MESH:D003693",), type="Disease"),
        Mention(
            text="Breast cancer", start=32, end=57, spans=((32, 38), (51, 57)), gold=("MESH:D001943", "OMIM:114480")
        ),
        Mention(text="β-thalassaemia", start=61, end=75, is_nil=True),
    ),
)
BIOC_XML = """<?xml version="1.0"?>
<!DOCTYPE collection SYSTEM "BioC.dtd">
<collection><source>x</source><date/><key/>
<document><id>8701013</id>
<passage><infon key="type">title</infon><offset>0</offset><text>Famotidine-associated delirium.</text>
<annotation id="0"><infon key="type">Disease</infon><infon key="concept_id">MESH:D003693</infon>
<location offset="22" length="8"/><text>delirium</text></annotation></passage>
<passage><offset>32</offset>
<sentence><offset>32</offset><text>Breast and ovarian cancer in β-thalassaemia.</text>
<annotation id="1"><infon key="concept_id">MESH:D001943|OMIM:114480</infon>
<location offset="32" length="6"/><location offset="51" length="6"/><text>Breast cancer</text></annotation>
<annotation id="2"><infon key="concept_id">-1</infon><location offset="61" length="14"/><text>β-thalassaemia</text>
</annotation></sentence>
<sentence><offset>77</offset><text>No cure.</text></sentence></passage>
</document></collection>
"""
PUBTATOR = """8701013|t|Famotidine-associated delirium.
8701013|a|Breast and ovarian cancer in β-thalassaemia. No cure.
8701013	22	30	delirium	Disease	D003693
8701013	32	57	Breast and ovarian cancer	CompositeMention	D001943|D010051	Breast cancer|ovarian cancer
8701013	61	75	β-thalassaemia	Disease	-1
8701013	CID	D015738	D003693

99|t|Second.
99|a|
"""


def filled(document: Document) -> Document:
    """``document`` with the context that reading adds to its mentions."""
    mentions = []
    for mention in document.mentions:
        start, end = next(s for s in document.sentences if s[0] <= mention.start < s[1])
        mentions.append(replace(mention, sentence=document.text[start:end], sentence_start=start, document=document.id))
    return replace(document, mentions=tuple(mentions))


def read(path: Path, content: str | bytes, **options: str) -> tuple[list[Document], CorpusReport]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    report = CorpusReport()
    return list(read_corpus(path, report=report, **options)), report  # type: ignore[arg-type]


def write(documents: Iterable[Document], path: Path) -> None:
    """Write an annotated corpus in the format that the suffix of ``path`` stands for."""
    if path.suffix == ".jsonl":
        write_jsonl(documents, path)
    else:
        write_links(((document, []) for document in documents), path, {})


def test_bioc_xml_gives_text_sentences_and_mentions(tmp_path: Path) -> None:
    documents, report = read(tmp_path / "x", BIOC_XML)
    assert documents == [filled(DOCUMENT)]
    assert (report.documents, report.mentions, report.nil, report.rejected, report.repaired) == (1, 3, 1, 0, 0)


def test_bioc_json_says_the_same_as_bioc_xml(tmp_path: Path) -> None:
    node = {
        "id": "8701013",
        "passages": [
            {"offset": 0, "text": "Famotidine-associated delirium.", "annotations": [
                {"infons": {"type": "Disease", "identifier": "MESH:D003693"}, "text": "delirium",
                 "locations": [{"offset": 22, "length": 8}]}]},
            {"offset": 32, "text": TEXT[32:], "sentences": [
                {"offset": 32, "text": TEXT[32:76], "annotations": [
                    {"infons": {"identifier": "MESH:D001943;OMIM:114480"}, "text": "Breast cancer",
                     "locations": [{"offset": 32, "length": 6}, {"offset": 51, "length": 6}]},
                    {"infons": {"identifier": "-"}, "text": "β-thalassaemia",
                     "locations": [{"offset": 61, "length": 14}]}]},
                {"offset": 77, "text": "No cure."}]},
        ],
    }  # fmt: skip
    shapes = [{"documents": [node]}, [node], {"PubTator3": [node]}, node, [{"documents": [node]}]]
    for shape in shapes:
        assert read(tmp_path / "x", json.dumps(shape))[0] == [filled(DOCUMENT)]
    assert read(tmp_path / "x", f"{json.dumps(node)}\n{json.dumps(node)}\n")[0] == [filled(DOCUMENT)] * 2


def test_pubtator_gives_title_and_abstract_as_one_text(tmp_path: Path) -> None:
    documents, report = read(tmp_path / "x", PUBTATOR, default_prefix="MESH")
    assert [document.text for document in documents] == [TEXT, "Second."]
    assert [(m.text, m.gold, m.is_nil) for m in documents[0].mentions] == [
        ("delirium", ("MESH:D003693",), False),
        ("Breast and ovarian cancer", ("MESH:D001943", "MESH:D010051"), False),
        ("β-thalassaemia", (), True),
    ]
    assert report.rejected == 0


def test_a_mention_without_ids_is_unannotated_and_not_nil(tmp_path: Path) -> None:
    line = {"id": 1, "text": "Delirium.", "mentions": [{"start": 0, "end": 8, "text": "Delirium"}]}
    (document,), _ = read(tmp_path / "x", json.dumps(line))
    assert (document.mentions[0].gold, document.mentions[0].is_nil) == ((), False)


@pytest.mark.parametrize(
    ("written", "prefix", "expected"),
    [
        ("MESH:D003693", "", (("MESH:D003693",), False)),
        ("D003693", "MESH", (("MESH:D003693",), False)),
        ("D003693", "", (("D003693",), False)),
        ("D001943|D010051", "MESH", (("MESH:D001943", "MESH:D010051"), False)),
        ("MESH:D001943, OMIM:114480", "MESH", (("MESH:D001943", "OMIM:114480"), False)),
        ("D001943+D001943;D010051", "MESH", (("MESH:D001943", "MESH:D010051"), False)),
        ("-1", "MESH", ((), True)),
        ("-", "MESH", ((), True)),
        ("NIL", "", ((), True)),
        ("MESH:-1", "", ((), True)),
        ("CUI-less", "UMLS", ((), True)),
        ("-1|D001943", "MESH", (("MESH:D001943",), False)),
    ],
)
def test_gold_ids_are_read_as_corpora_write_them(
    written: str, prefix: str, expected: tuple[tuple[str, ...], bool]
) -> None:
    assert gold_ids(written, prefix) == expected


@pytest.mark.parametrize(
    ("start", "end", "text", "kept"),
    [
        (22, 30, "delirium", "delirium"),
        (21, 30, "delirium", "delirium"),  # a blank (here a hyphen's side) too many
        (19, 27, "delirium", "delirium"),
        (25, 33, "delirium", "delirium"),
        (22, 25, "delirium", "delirium"),
        (22, 30, "DELIRIUM", "delirium"),
        (0, 8, "delirium", None),
        (22, 30, "dementia", None),
        (90, 98, "delirium", None),
        (30, 22, "delirium", None),
        (-3, 8, "", None),
        (22, 30, "", "delirium"),
        (22, 22, "", None),
    ],
)
def test_a_mention_is_kept_moved_or_set_aside_by_the_text_at_its_offsets(
    tmp_path: Path, start: int, end: int, text: str, kept: str | None
) -> None:
    mention = {"start": start, "end": end, "text": text, "ids": ["MESH:D003693"]}
    (document,), report = read(tmp_path / "x", json.dumps({"id": "1", "text": TEXT, "mentions": [mention]}))
    assert [m.text for m in document.mentions] == ([kept] if kept else [])
    assert report.rejected == (0 if kept else 1)
    assert report.repaired == (kept is not None and (start, end) != (22, 30))
    assert len(report.rejections) == report.rejected + report.repaired


def test_the_pieces_of_a_mention_move_together(tmp_path: Path) -> None:
    mention = {"spans": [[35, 41], [54, 60]], "text": "Breast cancer", "ids": ["MESH:D001943"]}
    (document,), report = read(tmp_path / "x", json.dumps({"id": "1", "text": TEXT, "mentions": [mention]}))
    assert [(m.text, m.spans) for m in document.mentions] == [("Breast cancer", ((32, 38), (51, 57)))]
    assert (report.repaired, report.rejected) == (1, 0)


def test_a_passage_whose_offset_is_impossible_takes_its_mentions_along(tmp_path: Path) -> None:
    for offset in (5, 99_999_999_999, -7):
        second = {"text": "delirium", "locations": [{"offset": offset + 10, "length": 8}]}
        passages = [
            {"offset": 0, "text": "First."},
            {"offset": offset, "text": "A case of delirium.", "annotations": [second]},
        ]
        (document,), report = read(tmp_path / "x", json.dumps({"id": "1", "passages": passages}))
        assert document.text == "First.\nA case of delirium."
        assert [(m.text, m.start) for m in document.mentions] == [("delirium", 17)]
        assert report.rejected == report.repaired == 0


def test_a_text_given_only_in_sentences_is_put_together(tmp_path: Path) -> None:
    bare = BIOC_XML.replace("<text>Famotidine-associated delirium.</text>", "", 1)
    bare = bare.replace(
        '<annotation id="0">',
        '<sentence><offset>0</offset><text>Famotidine-associated delirium.</text></sentence><annotation id="0">',
    )
    assert read(tmp_path / "x", bare)[0] == [filled(DOCUMENT)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"   \n",
        b"\x00\x01\x02",
        b"PK\x03\x04zip",
        b"id,text\n1,x\n",
        b"<html><body/></html>",
        b"<collection><document>",
        b"<collection><document><id>1</id></passage></document></collection>",
        b'{"documents": [{"id": 1, "passages": [',
        b'{"a": 1}',
        b"[" * 100_000,
        b'{"id": "1", "text": "x"}\n{"id": "2", "te',
        b'{"id": "1", "text": "x"}\n' + b'{"id":' * 50_000,
        '{"id": "1", "text": "β-thalassaemia in naïve \xe9tats"}\n'.encode() + b'{"id": "2", "text": "\xff"}\n',
        b"1|t|title\n1|a|\x00\xff\n",
        gzip.compress(b'{"id": "1", "text": "x"}\n' * 50, mtime=0)[:-12],
        b"\x1f\x8b\x08\x00garbage",
    ],
)
def test_an_unreadable_corpus_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "corpus"
    path.write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        list(read_corpus(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="No such file"):
        list(read_corpus(tmp_path / "none.xml"))


def test_xml_entities_are_refused_before_they_are_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    for declaration in (
        f'<!ENTITY x SYSTEM "file://{secret}">',
        '<!ENTITY x "laugh"><!ENTITY y "&x;&x;&x;">',
        f'<!ENTITY % p SYSTEM "file://{secret}">',
    ):
        text = f"<!DOCTYPE collection [{declaration}]>{BIOC_XML.partition('BioC.dtd')[2][2:]}"
        with pytest.raises(CorpusError, match="entities"):
            read(tmp_path / "x", text.replace("delirium.</text>", "&x;</text>"))


def test_an_external_dtd_is_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "BioC.dtd").write_text('<!ENTITY x "BOOM">')
    assert read(tmp_path / "x", BIOC_XML)[0] == [filled(DOCUMENT)]


@pytest.mark.heavy
def test_documents_stream_so_that_memory_does_not_follow_the_file(tmp_path: Path) -> None:
    def peak(format: Format, copies: int) -> int:
        path = tmp_path / f"x{SUFFIX[format]}"
        write((replace(DOCUMENT, id=str(i), text=TEXT * 10) for i in range(copies)), path)
        path.write_bytes(gzip.compress(path.read_bytes()))
        tracemalloc.start()
        assert sum(1 for _ in read_corpus(path)) == copies
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    for format in SUFFIX:
        small, large = peak(format, 50), peak(format, 400)
        assert large < small * 1.5 + 100_000, format


WORDS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Zs", "Cs"]), min_size=1, max_size=8),
    min_size=1,
    max_size=12,
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    words = draw(WORDS)
    text = " ".join(words)
    starts = [sum(len(w) + 1 for w in words[:at]) for at in range(len(words))]
    chosen = draw(st.lists(st.integers(0, len(words) - 1), unique=True, max_size=4))
    mentions = []
    for at in sorted(chosen):
        ids = draw(st.lists(st.sampled_from(["A:1", "A:2", "B_x:0003"]), unique=True, max_size=2))
        last = draw(st.integers(at, len(words) - 1))
        spans = tuple((starts[k], starts[k] + len(words[k])) for k in {at, last})
        spans = tuple(sorted(spans))
        mentions.append(
            Mention(
                text=" ".join(text[a:b] for a, b in spans),
                start=spans[0][0],
                end=spans[-1][1],
                spans=spans if len(spans) > 1 else (),
                gold=tuple(ids),
                is_nil=not ids,
                type=draw(st.sampled_from(["", "Disease"])),
                sentence=text,
                document="7",
            )
        )
    mentions.sort(key=lambda m: (m.start, m.end))
    return Document(id="7", text=text, sentences=((0, len(text)),), mentions=tuple(mentions))


@pytest.mark.parametrize("format", ["bioc-xml", "bioc-json", "jsonl"])
@given(document=documents())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_written_corpus_reads_back_the_same(tmp_path: Path, format: Format, document: Document) -> None:
    path = tmp_path / f"x{SUFFIX[format]}"
    write([document], path)
    assert list(read_corpus(path)) == [document]


@given(document=documents())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pubtator_keeps_text_and_covering_spans(tmp_path: Path, document: Document) -> None:
    path = tmp_path / "x.pubtator"
    write([document], path)
    (again,) = read_corpus(path)
    assert again.text == document.text
    assert [(m.start, m.end, m.gold, m.is_nil) for m in again.mentions] == [
        (m.start, m.end, m.gold, m.is_nil) for m in document.mentions
    ]


@pytest.mark.heavy
@pytest.mark.parametrize("format", list(SUFFIX))
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_refused_or_its_mentions_fit(tmp_path: Path, format: Format, data: st.DataObject) -> None:
    path = tmp_path / f"x{SUFFIX[format]}"
    write([DOCUMENT, replace(DOCUMENT, id="2")], path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content)))
        to = data.draw(st.integers(at, min(len(content), at + 30)))
        content[at:to] = data.draw(
            st.one_of(
                st.binary(max_size=6), st.sampled_from([b"\t", b"-1", b"99999999999999", b'"', b"<", b"[]", b"null"])
            )
        )
    path.write_bytes(bytes(content))
    try:
        found = list(read_corpus(path))
    except CorpusError as error:
        assert "\n" not in str(error)
        return
    for document in found:
        assert all(0 <= start < end <= len(document.text) for start, end in document.sentences)
        for mention in document.mentions:
            pieces = mention.spans or ((mention.start, mention.end),)
            assert mention.text == " ".join(document.text[start:end] for start, end in pieces)
            assert mention.text.strip()
            within = mention.start - mention.sentence_start
            assert (
                mention.sentence[within : within + mention.end - mention.start]
                == document.text[mention.start : mention.end]
            )


# --- what files get wrong ---


def reasons(report: CorpusReport) -> list[tuple[int | None, str, bool]]:
    return [(rejection.line, rejection.reason, rejection.repaired) for rejection in report.rejections]


def test_a_pubtator_line_of_another_document_is_set_aside(tmp_path: Path) -> None:
    line = "0\t4\tGout\tDisease\tD006073\n"
    text = f"202|t|Gout in adults\n202|a|We studied gout.\n203\t{line}202\t{line}"
    (document,), report = read(tmp_path / "x", text, default_prefix="MESH")
    assert [m.gold for m in document.mentions] == [("MESH:D006073",)]
    assert reasons(report) == [(3, "expected a line of document 202, found one of '203'", False)]


def test_a_missing_tab_before_the_id_is_repaired_and_missing_tabs_are_reported(tmp_path: Path) -> None:
    text = (
        "204|t|Gout in adults\n204|a|We studied gout.\n204\t0\t4\tGout\tDiseaseMESH:D006073\n"
        "204 26 30 gout Disease MESH:D006073\n204\t26\t30\tgout\tDisease\n"
    )
    (document,), report = read(tmp_path / "x", text)
    assert [(m.text, m.type, m.gold) for m in document.mentions] == [
        ("Gout", "Disease", ("MESH:D006073",)), ("gout", "Disease", ()),
    ]  # fmt: skip
    assert [(line, repaired) for line, _, repaired in reasons(report)] == [(3, True), (4, False)]
    assert "a tab is missing" in report.rejections[0].reason and "are tabs missing" in report.rejections[1].reason


def test_the_lines_of_a_structured_abstract_are_one_text(tmp_path: Path) -> None:
    text = (
        "201|t|Gout in adults\n201|a|BACKGROUND: We studied gout.\nMETHODS: lupus was excluded.\n"
        "201\t0\t4\tGout\tDisease\tD006073\n201\t53\t58\tlupus\tDisease\tD008180\n"
    )
    (document,), report = read(tmp_path / "x", text)
    assert document.text == "Gout in adults\nBACKGROUND: We studied gout.\nMETHODS: lupus was excluded."
    assert [(m.start, m.text) for m in document.mentions] == [(0, "Gout"), (53, "lupus")]
    assert (report.rejected, report.repaired) == (0, 1)


def test_the_default_prefix_is_kept_from_types_of_other_vocabularies(tmp_path: Path) -> None:
    types = [("Gene", "3630"), ("Species", "9606"), ("SNP", "p.V600E"), ("Disease", "D006073"), ("Chemical", "D000")]
    lines = "".join(f"1\t0\t4\tGout\t{kind}\t{identifier}\n" for kind, identifier in types)
    (document,), _ = read(tmp_path / "x", f"1|t|Gout\n1|a|\n{lines}", default_prefix="MESH")
    assert [m.gold[0] for m in document.mentions] == [
        "NCBIGene:3630", "NCBITaxon:9606", "p.V600E", "MESH:D006073", "MESH:D000",
    ]  # fmt: skip


UNITS = {
    "code points": len,
    "UTF-16 units": lambda text: len(text.encode("utf-16-le")) // 2,
    "UTF-8 bytes": lambda text: len(text.encode()),
}
ODD_WORDS = st.lists(st.text(st.sampled_from("aβ🧬é-"), min_size=1, max_size=6), min_size=4, max_size=12)


@pytest.mark.parametrize("unit", list(UNITS))
@pytest.mark.parametrize("format", ["pubtator", "bioc-json", "jsonl"])
@given(words=ODD_WORDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_unit_of_offsets_is_recognised(tmp_path: Path, unit: str, format: str, words: list[str]) -> None:
    measure = UNITS[unit]
    title, abstract = " ".join(words[:2]), " ".join(words[2:])
    text = f"{title}\n{abstract}"
    spans = [(match.start(), match.end()) for match in re.finditer(r"\S+", text)]
    given_spans = [(measure(text[:start]), measure(text[:end]), text[start:end]) for start, end in spans]
    if format == "pubtator":
        lines = "".join(f"1\t{start}\t{end}\t{word}\tDisease\tX:1\n" for start, end, word in given_spans)
        content = f"1|t|{title}\n1|a|{abstract}\n{lines}"
    elif format == "jsonl":
        marked = [{"start": start, "end": end, "text": word, "ids": ["X:1"]} for start, end, word in given_spans]
        content = json.dumps({"id": "1", "text": text, "mentions": marked})
    else:
        annotations = [
            {"text": word, "locations": [{"offset": start, "length": end - start}], "infons": {"identifier": "X:1"}}
            for start, end, word in given_spans
        ]
        second = measure(title) + 1
        of_title = [annotation for annotation in annotations if annotation["locations"][0]["offset"] < second]
        passages = [
            {"offset": 0, "text": title, "annotations": of_title},
            {"offset": second, "text": abstract, "annotations": annotations[len(of_title) :]},
        ]
        content = json.dumps({"id": "1", "passages": passages})
    (document,), report = read(tmp_path / "x", content)
    assert document.text == text
    assert [(m.start, m.end, m.text) for m in document.mentions] == [(s, e, text[s:e]) for s, e in spans]
    assert report.rejected == 0


@pytest.mark.parametrize(("counted", "stored"), [("\r\n", "\n"), ("\n", "\r\n")])
@pytest.mark.parametrize("format", ["jsonl", "bioc-json", "bioc-xml"])
def test_offsets_that_count_other_line_ends_are_recognised(
    tmp_path: Path, counted: str, stored: str, format: str
) -> None:
    if format == "bioc-xml" and stored != "\n":
        return  # a parser of XML makes each line end this one
    lines = [*["Background of the study."] * 15, "Patients had gout and lupus."]
    text = stored.join(lines)
    places = [(counted.join(lines).index(word), word) for word in ("gout", "lupus")]
    if format == "jsonl":
        marked = [{"start": at, "end": at + len(word), "text": word} for at, word in places]
        content = json.dumps({"id": "1", "text": text, "mentions": marked})
    elif format == "bioc-json":
        annotations = [{"text": w, "locations": [{"offset": at, "length": len(w)}], "infons": {}} for at, w in places]
        passages = [{"offset": 0, "text": text, "annotations": annotations}]
        content = json.dumps({"id": "1", "passages": passages})
    else:
        marked_up = "".join(
            f'<annotation id="{at}"><location offset="{at}" length="{len(w)}"/><text>{w}</text></annotation>'
            for at, w in places
        )
        content = (
            "<collection><document><id>1</id><passage><offset>0</offset>"
            f"<text>{counted.join(lines)}</text>{marked_up}</passage></document></collection>"
        )
    (document,), report = read(tmp_path / "x", content)
    assert [(m.start, m.text) for m in document.mentions] == [
        (text.index("gout"), "gout"),
        (text.index("lupus"), "lupus"),
    ]
    assert report.rejected == 0


# --- any file that can be linked ---


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("as_list", [True, False])
def test_documents_are_read_from_any_layout_of_json(tmp_path: Path, indent: int | None, as_list: bool) -> None:
    nodes = [{"id": "1", "text": "He has COPD.", "mentions": []}, {"id": 2, "text": "Asthma."}]
    if as_list:
        content = json.dumps(nodes, indent=indent)
    else:
        content = "\n".join(json.dumps(node, indent=indent) for node in nodes)
    (tmp_path / "x").write_text(content)
    assert [(each.id, each.text) for each in read_documents(tmp_path / "x")] == [
        ("1", "He has COPD."),
        ("2", "Asthma."),
    ]


def test_a_list_that_holds_something_else_is_refused_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('[{"id": "1", "text": "COPD"}, {"id": 3}]')
    with pytest.raises(CorpusError, match=r'line 2: expected an object with "id" and "text"'):
        list(read_documents(tmp_path / "x"))


@pytest.mark.parametrize("name", ["CDR_Sample.PubTator.txt", "x", "x.TXT", "x.gz"])
def test_an_annotated_file_is_recognised_whatever_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(PUBTATOR.encode()) if name.endswith(".gz") else PUBTATOR.encode())
    assert [(document.id, document.text) for document in read_documents(path)] == [("8701013", TEXT), ("99", "Second.")]


@pytest.mark.parametrize(
    "note", ["He has COPD.\r\nAnd gout.\r\n", "[**Name**] has {COPD}.", "<p>asthma</p>", "see a\nb|t|c"]
)
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("name", ["NOTE.TXT", "note.txt.gz", "note"])
def test_any_other_text_is_one_document_with_its_own_line_ends(
    tmp_path: Path, note: str, encoding: str, name: str
) -> None:
    path, content = tmp_path / name, note.encode(encoding)
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert list(read_documents(path)) == [Document(id=name, text=note)]


def test_standard_input_is_read_as_files_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(PUBTATOR.encode()))))
    assert [document.id for document in read_documents(Path("-"))] == ["8701013", "99"]


def test_a_parquet_table_is_recognised_whatever_its_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["asthma", "gout"]}), tmp_path / "notes")
    assert [document.text for document in read_documents(tmp_path / "notes")] == ["asthma", "gout"]


@pytest.mark.parametrize(
    "content", [b"", b" \n", b"\x89PNG\r\n\x1a\n\x00\x00\xff", gzip.compress(b"COPD" * 9, mtime=0)[:-9], b"<html/>"]
)
def test_a_binary_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "note.txt").write_bytes(content if content != b"<html/>" else b"<!DOCTYPE html><html/>")
    with pytest.raises(CorpusError) as caught:
        list(read_documents(tmp_path / "note.txt"))
    assert "\n" not in str(caught.value)


def archive(kind: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    if kind == "tar":
        with tarfile.open(fileobj=packed, mode="w") as tar:
            entry = tarfile.TarInfo("note.txt")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    else:
        with zipfile.ZipFile(packed, "w") as zipped:
            zipped.writestr("note.txt", content)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("packed", "what"),
    [
        (archive("tar", b"He has COPD."), "a tar archive"),
        (gzip.compress(archive("tar", b"He has COPD.")), "a tar archive"),
        (archive("zip", b"He has COPD."), "a zip archive"),
        (bz2.compress(b"He has COPD."), "bzip2"),
        (lzma.compress(b"He has COPD."), "xz"),
        (b"%PDF-1.4\nCOPD", "a PDF"),
        (rb"{\rtf1 He has COPD.}", "rich text"),
    ],
)
def test_no_archive_or_document_is_read_as_a_note(tmp_path: Path, packed: bytes, what: str) -> None:
    (tmp_path / "note.txt").write_bytes(packed)
    with pytest.raises(CorpusError, match=f"it is (packed by )?{what}"):
        list(read_documents(tmp_path / "note.txt"))


@pytest.mark.parametrize("format", ["pubtator", "jsonl", "bioc-json"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_corpus_in_another_encoding_says_the_same(
    tmp_path: Path, format: Format, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    document = replace(DOCUMENT, text=DOCUMENT.text.replace("β", "µ"), mentions=DOCUMENT.mentions[:1])
    path = tmp_path / f"x{SUFFIX[format]}"
    write([document], path)
    expected = list(read_corpus(path))
    path.write_bytes(path.read_bytes().decode().encode(encoding))
    assert list(read_corpus(path)) == expected
    assert ("Windows-1252" in caplog.text) == (encoding == "cp1252")


# --- sentences ---


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two.", ["One.", "Two."]),
        ("It rose (P < 0.05). Then it fell.", ["It rose (P < 0.05).", "Then it fell."]),
        ("Cultures of E. coli, cf. Table 2, by Smith et al. 1998.", None),
        ("Dr. Smith saw Fig. 3B.", None),
        ("3. Results", None),
        ("Title without stop\nAbstract begins. Ends", ["Title without stop", "Abstract begins.", "Ends"]),
        ("Wrapped at the\ncolumn (as mail\nis). Next", ["Wrapped at the\ncolumn (as mail\nis).", "Next"]),
        ("one\n\ntwo", ["one", "two"]),
        ("“Is it?” He asked.", ["“Is it?”", "He asked."]),
        ("Levels of 0. 015 mg/ml.", None),
        ("The p. was fine.", None),
        ("", []),
        ("  \n ", []),
    ],
)
def test_sentences_end_where_readers_stop(text: str, sentences: list[str] | None) -> None:
    assert [text[a:b] for a, b in split(text)] == ([text] if sentences is None else sentences)


@given(st.text(st.sampled_from('aA1.?! \n)"é'), max_size=60))
def test_sentences_hold_every_character_that_is_not_blank(text: str) -> None:
    spans = split(text)
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())
    assert all(a < b for a, b in spans) and list(spans) == sorted(spans)


# --- real files ---


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="BELINK_DATA is not set")
@pytest.mark.parametrize(
    ("name", "documents", "mentions", "ids", "moved"),
    [
        ("bc5cdr-disease/unseen_test", 500, 1095, 407, 0),
        ("bc5cdr-disease/traindev", 1000, 8180, 872, 0),
        ("bc5cdr-chemical/traindev", 1000, 10110, 935, 0),
        ("ncbi-disease/traindev", 693, 5714, 625, 0),
        ("nlm-chemical/traindev", 100, 24140, 1330, 1),
    ],
)
def test_published_corpora_are_read_whole(name: str, documents: int, mentions: int, ids: int, moved: int) -> None:
    report = CorpusReport()
    path = Path(str(DATA)) / "corpora" / f"{name}.bioc.xml.gz"
    gold = {i for document in read_corpus(path, report=report) for mention in document.mentions for i in mention.gold}
    assert (report.documents, report.mentions, len(gold)) == (documents, mentions, ids)
    assert (report.repaired, report.rejected) == (moved, 0)

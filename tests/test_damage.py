"""Damaged files of every kind but ontologies, which ``ontology/readers`` has: read, or refused in one line, in time.

Forty damages a kind here; a thousand under ``-m slow``.
"""

import gzip
import io
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from belink import artefacts, declarations, manifests, settings
from belink.cli.main import belink
from belink.corpora.files import read_corpus, read_documents
from belink.errors import BelinkError
from belink.evaluation.predictions import read_predictions
from belink.lifecycle import refresh
from belink.linker import bundle
from belink.ontology import download
from belink.ontology.migrate import migrate
from belink.ontology.release import release_path
from belink.registry import aliases, history
from tests.support import small
from tests.support.made_releases import concept, release
from tests.support.mutations import changed_bytes, changed_tree, outcome
from tests.support.serving import Made

pytestmark = pytest.mark.heavy
amounts = pytest.mark.parametrize("n", [40, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])

TEXT = "Familial asthma and COPD. Chronic  pain — é."
ANNOTATION = {
    "id": "a",
    "infons": {"type": "Disease", "identifier": "MESH:D001249"},
    "text": "asthma",
    "locations": [{"offset": 9, "length": 6}],
}
PASSAGE = {"offset": 0, "infons": {"type": "title"}, "text": TEXT, "sentences": [], "annotations": [ANNOTATION]}
BIOC = {
    "source": "s", "date": "d", "key": "k", "infons": {},
    "documents": [{
        "id": "1", "infons": {"pmid": "1"}, "passages": [PASSAGE],
        "relations": [{"id": "r", "infons": {}, "nodes": [{"refid": "a", "role": "x"}]}],
    }],
}  # fmt: skip
XML = (
    '<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE collection SYSTEM "BioC.dtd"><collection><source>s</source>'
    '<date>d</date><key>k</key><document><id>1</id><passage><infon key="type">title</infon><offset>0</offset>'
    f'<text>{TEXT}</text><annotation id="a"><infon key="type">Disease</infon><infon key="identifier">MESH:D001249'
    '</infon><location offset="9" length="6"/><text>asthma</text></annotation></passage><relation id="r">'
    '<infon key="x">y</infon><node refid="a" role="z"/></relation></document></collection>'
).encode()
PUBTATOR = (
    b"101|t|COPD in adults\n101|a|We saw type 2 diabetes.\n101\t0\t4\tCOPD\tDisease\tD029424\n\n102|t|Asthma again\n"
    b"102|a|Nothing else.\n102\t0\t6\tAsthma\tDisease\tMESH:D001249\n102\tCID\tD1\tD2\n"
)
MENTION = {"start": 9, "end": 15, "text": "asthma", "ids": ["MESH:D001249"], "type": "Disease", "nil": False}
JSONL = {"id": "1", "text": TEXT, "sentences": [[0, 25], [26, 44]], "mentions": [{**MENTION, "spans": [[9, 15]]}]}
ROWS = [
    {"id": "1", "text": TEXT, "mentions": [{"start": 9, "end": 15}]},
    {"id": "2", "text": "x" * 50, "mentions": []},
]
PREDICTION = {
    "doc": "1", "start": 9, "end": 15, "text": "asthma", "gold": ["MESH:D001249"], "predicted": "MESH:D001249",
    "probability": 0.9, "candidates": [{"id": "MESH:D001249", "score": 0.9, "probability": 0.9}], "strata": ["seen"],
}  # fmt: skip
ODD_COLUMNS: list[list[Any]] = [
    [None, None], [1, 2], [1.5, float("nan")], [True, False], [b"\xff", b"x"], ["x", None], [[1], [2]],
    [{"a": 1}, {"a": None}], [[{"start": None, "end": 3}], []], [[{"start": 1.5, "end": 3.0}], None],
    [[{"start": float("nan"), "end": 3.0}], None], [[{"start": "1", "end": "3"}], None],
    [[{"start": "x", "end": "3"}], None], [[None], None], [[{"begin": 1}], []],
    [[{"start": 2**62, "end": 2**63 - 1}], []],
]  # fmt: skip


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    packed = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), packed)
    return packed.getvalue()


def _odd_table(rng: random.Random) -> bytes:
    column, values = rng.choice(["id", "text", "mentions"]), rng.choice(ODD_COLUMNS)
    return _parquet([{**row, column: value} for row, value in zip(ROWS, values, strict=True)])


def _jsonl(tree: Any) -> bytes:
    return json.dumps(tree).encode() + b"\n"


Damage = Callable[[random.Random], bytes]
CORPORA: dict[str, Damage] = {
    "BioC JSON, bytes": lambda rng: changed_bytes(rng, _jsonl(BIOC)),
    "BioC JSON, fields": lambda rng: changed_tree(rng, BIOC),
    "BioC XML": lambda rng: changed_bytes(rng, XML),
    "PubTator": lambda rng: changed_bytes(rng, PUBTATOR),
    "JSONL, bytes": lambda rng: changed_bytes(rng, _jsonl(JSONL) + _jsonl({**JSONL, "id": 2})),
    "JSONL, fields": lambda rng: changed_tree(rng, JSONL) + b"\n" + changed_tree(rng, JSONL),
    "gzip": lambda rng: changed_bytes(rng, gzip.compress(PUBTATOR, mtime=0)),
}
DOCUMENTS: dict[str, Damage] = {
    **CORPORA,
    "Parquet, bytes": lambda rng: changed_bytes(rng, _parquet(ROWS)),
    "Parquet, columns": _odd_table,
}


@amounts
@pytest.mark.parametrize("kind", CORPORA)
def test_a_damaged_corpus_is_read_or_refused_in_one_line(kind: str, n: int, tmp_path: Path) -> None:
    rng, path = random.Random(n), tmp_path / "corpus"
    for _ in range(n):
        path.write_bytes(CORPORA[kind](rng))
        outcome(lambda: list(read_corpus(path, default_prefix="MESH")))


@amounts
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_damaged_file_to_link_is_read_or_refused_in_one_line(kind: str, n: int, tmp_path: Path) -> None:
    rng, path = random.Random(n), tmp_path / "documents"
    for _ in range(n):
        path.write_bytes(DOCUMENTS[kind](rng))
        outcome(lambda: list(read_documents(path)))


@pytest.mark.parametrize("value", [5, [5], {"start": 1}, [{"start": None, "end": 2}], [{"start": 0.5, "end": 2.0}]])
def test_a_row_with_odd_mentions_is_named(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(_parquet([{"id": "1", "text": "COPD", "mentions": value}]))
    with pytest.raises(BelinkError, match="row 0: expected mentions as a list of"):
        list(read_documents(path))


def test_missing_values_of_a_data_frame_are_no_mentions(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(_parquet([{"id": "1", "text": "COPD", "mentions": [{"start": 0.0, "end": 4.0}]}]))
    (document,) = read_documents(path)
    assert [mention.text for mention in document.mentions] == ["COPD"]
    path.write_bytes(_parquet([{"id": "1", "text": "COPD", "mentions": float("nan")}]))
    (document,) = read_documents(path)
    assert document.mentions == ()


@amounts
def test_a_damaged_file_to_migrate_is_rewritten_or_refused_in_one_line(n: int, tmp_path: Path) -> None:
    here = settings.load(tmp_path / "home")
    for version in ("2021", "2022"):
        release(release_path(here, "x", version), concept(1, "a"), concept(2, obsolete=True, replaced_by=(1,)))
    rng = random.Random(n)
    table, line = b'text,gold,label\n"a, b",X:2,n2\nc,"X:1|X:2",n1\n', {"gold": ["X:2"], "label": "n2", "a": [JSONL]}
    damages: dict[str, Damage] = {
        "t.csv": lambda rng: changed_bytes(rng, table),
        "t.tsv": lambda rng: changed_bytes(rng, table.replace(b",", b"\t")),
        "l.jsonl": lambda rng: rng.choice([changed_tree(rng, line), changed_bytes(rng, _jsonl(line))]),
        "b.xml": lambda rng: changed_bytes(rng, XML.replace(b"MESH:D001249", b"X:2")),
        "p.pubtator": lambda rng: changed_bytes(rng, PUBTATOR.replace(b"MESH:D001249", b"X:2")),
    }
    for _ in range(n):
        name = rng.choice(list(damages))
        (tmp_path / name).write_bytes(damages[name](rng))
        outcome(lambda: migrate("x", "2021", "2022", tmp_path / name, tmp_path / "out", here))  # noqa: B023


@amounts
def test_damaged_predictions_are_read_or_refused_in_one_line(n: int, tmp_path: Path) -> None:
    rng, path = random.Random(n), tmp_path / "p.jsonl"
    for _ in range(n):
        path.write_bytes(rng.choice([changed_tree(rng, PREDICTION), changed_bytes(rng, _jsonl(PREDICTION))]))
        outcome(lambda: read_predictions(path))


@amounts
def test_the_state_of_a_download_is_read_or_ignored(n: int, tmp_path: Path) -> None:
    rng, target, url = random.Random(n), tmp_path / "f", "https://example.org/f"
    target.write_bytes(b"x")
    state = {"url": url, "etag": '"e"', "last_modified": "now", "sha256": artefacts.sha256(target), "size": 1}
    for _ in range(n):
        content = rng.choice([changed_tree(rng, state), changed_bytes(rng, _jsonl(state))])
        for file in (target, download._part(target)):
            file.write_bytes(b"x")
            download._state_path(file).write_bytes(content)
        outcome(lambda: (download._complete_state(url, target), download._partial_state(url, target)))


SHIPPED: dict[str, tuple[Callable[[str], Any], Path]] = {
    "ontology": (declarations.load_source, settings.shipped_ontologies()),
    "linker": (declarations.load_linker, settings.shipped_linkers()),
}


@amounts
@pytest.mark.parametrize("kind", SHIPPED)
def test_a_damaged_declaration_is_read_or_refused_in_one_line(kind: str, n: int, tmp_path: Path) -> None:
    load, folder = SHIPPED[kind]
    rng, path = random.Random(n), tmp_path / "x.toml"
    contents = [file.read_bytes() for file in sorted(folder.glob("*.toml"))]
    for _ in range(n):
        path.write_bytes(changed_bytes(rng, rng.choice(contents)))
        outcome(lambda: load(str(path)))


@pytest.fixture(scope="module")
def home(served_home: Made, tmp_path_factory: pytest.TempPathFactory) -> settings.Settings:
    """A copy of a home with a linker of two versions, so that others find theirs as it was."""
    served_home.register("damaged", number=7)
    version = served_home.register("damaged", small.RELEASES[1], number=8)
    here = settings.load(tmp_path_factory.mktemp("damage") / "home")
    shutil.copytree(served_home.here.home, here.home)
    aliases.promote(here, "damaged", version)
    return here


def _command(here: settings.Settings, *words: str) -> Callable[[], None]:
    def run() -> None:
        done = CliRunner().invoke(belink, ["--home", str(here.home), *words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code in (0, 1), done.output
        if done.exit_code:
            (line,) = [line for line in done.output.splitlines() if line.startswith("error:")]
            raise BelinkError(line)

    return run


def _reuse(here: settings.Settings, toml: Path) -> Callable[[], None]:
    """What a refresh reads of the home before it makes anything."""

    def run() -> None:
        run = refresh.start(here, str(toml))
        run = replace(run, linker=run.linker.model_copy(update={"name": "damaged"}))
        champion = refresh.read_champion(run)
        releases = refresh.newest_releases(run)
        refresh.compare(champion, releases)
        refresh.newest(here.indices / "small", encoder="x")
        if champion is not None:
            refresh.is_made_of(run, releases, champion)

    return run


@amounts
@pytest.mark.parametrize("is_old", [False, True], ids=["summed", "as before sums"])
def test_a_home_with_a_damaged_file_answers_or_refuses_in_one_line(
    home: settings.Settings, models: dict[str, str], n: int, is_old: bool, tmp_path: Path
) -> None:
    rng = random.Random(n)
    note = tmp_path / "note.jsonl"
    note.write_bytes(_jsonl({"id": "1", "text": "x", "mentions": [{"start": 0, "end": 1, "ids": ["MONDO:0005002"]}]}))
    old, new = small.RELEASES
    migrate = ("migrate", small.ONTOLOGY, "--from", old, "--to", new, "--input", str(note), "--output", f"{note}.out")
    uses: list[Callable[[], None]] = [
        _command(home, "status", "--json"), _command(home, "status"), _command(home, "gc", "--keep", "1"),
        _command(home, "link", "familial asthma", "--linker", "damaged", "--json"),
        _command(home, "search", "asthma", "--linker", "damaged"), _command(home, "diff", small.ONTOLOGY, old, new),
        _command(home, *migrate), lambda: history.known_releases(home, "damaged"),
        lambda: history.versions(home, "damaged"), _reuse(home, small.linker(tmp_path, models)),
    ]  # fmt: skip
    champion, _ = aliases.bundle_path(home, "damaged")
    files = [
        path for path in home.home.rglob("*.json") if path.is_relative_to(champion) or path.name == "manifest.json"
    ]
    outcomes = set()
    for _ in range(n):
        path = rng.choice(files)
        whole = path.read_bytes()
        content = json.loads(whole)
        if is_old and path.name == artefacts.MANIFEST:
            content.pop(manifests.SUM)
        damaged = changed_tree(rng, content) if is_old or rng.random() < 0.7 else changed_bytes(rng, whole)
        history._read.cache_clear()
        path.unlink()  # its other names, in other bundles, stay whole
        path.write_bytes(damaged)
        outcomes |= {outcome(use) for use in rng.sample(uses, 2)}
        path.write_bytes(whole)
    assert outcomes == {"read", "refused"}
    bundle.check(champion)


def test_a_manifest_that_was_edited_is_refused_and_one_without_sum_is_compared_with_its_model(tmp_path: Path) -> None:
    artefacts.write_manifest(tmp_path, {"format": 1, "names": 3})
    path = tmp_path / artefacts.MANIFEST
    assert artefacts.read_manifest(tmp_path) == {"format": 1, "names": 3}
    path.write_text(path.read_text().replace('"names": 3', '"names": 4'))
    with pytest.raises(BelinkError, match="expected the content that it was written with"):
        artefacts.read_manifest(tmp_path)
    path.write_text('{"format": 1, "names": 3}')
    manifest = artefacts.read_manifest(tmp_path)
    with pytest.raises(BelinkError, match=r"manifest\.json: expected dimension, found none"):
        manifest["dimension"]
    path.write_text('{"format": 1, "names": [3]}')
    with pytest.raises(BelinkError, match="names: Input should be a valid integer"):
        artefacts.read_manifest(tmp_path)

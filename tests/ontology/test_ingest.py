import gzip
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from belink import artefacts, settings
from belink.cli import show
from belink.cli.show_status import status
from belink.declarations import load_source
from belink.errors import GateRefused, ReleaseError, SourceError
from belink.ontology.ingest import ingest, tidy_version
from belink.ontology.migrate import chain_between
from belink.ontology.readers.files import fingerprint, sniff
from belink.ontology.refused import refused_releases
from belink.ontology.release import latest, list_releases, open_release
from belink.records import Concept
from belink.registry.status import read_status
from belink.settings import Settings
from tests.support.made_releases import concept, obo, source

SAMPLES = settings.shipped_ontologies() / "samples"
SAMPLE = SAMPLES / "mondo-sample-2025-02-04.obo"


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    return settings.load(tmp_path / "home")


def file(folder: Path, *concepts: Concept, name: str = "x.obo", version: str | None = "2025-01-01") -> Path:
    path = folder / name
    path.write_text(obo(*concepts, version=version))
    return path


def many(n: int, first: int = 1) -> list[Concept]:
    return [concept(f"{i:07}", f"disorder {i}", f"sickness {i}") for i in range(first, first + n)]


def visible(home: Path) -> list[str]:
    """Everything below home that a reader of releases could take for one."""
    return sorted(path.parent.name for path in home.glob("releases/*/[!.]*/manifest.json"))


def test_a_file_becomes_a_release_with_its_counts(here: Settings, tmp_path: Path) -> None:
    path = file(tmp_path, concept("0000001", "a", "b"), concept("0000002", "c", obsolete=True), concept("Y:1", "d"))
    read = ingest(source(), [path], here)
    assert (read.ontology, read.version, read.new) == ("x", "2025-01-01", True)
    assert (read.concepts, read.obsolete, read.names, read.rejected) == (3, 1, 4, 0)
    assert read.sha256 == artefacts.sha256(path)
    with open_release(read.path) as release:
        assert release.names()["text"].to_pylist() == ["a", "b"]
        counts = release.manifest["counts"]
        assert (counts["own"], counts["by_prefix"]) == (2, {"X": 2, "Y": 1})
        assert release.manifest["database_sha256"] == artefacts.sha256(read.path / "release.duckdb")
    assert {path.name for path in read.path.iterdir()} == {"manifest.json", "release.duckdb"}
    assert [path.name for path in read.path.parent.iterdir()] == ["2025-01-01"]


def test_the_sample_release_is_read_whole(here: Settings) -> None:
    read = ingest(load_source("mondo-sample"), [SAMPLE], here)
    text = SAMPLE.read_text()
    assert read.concepts == text.count("\n[Term]\n")
    assert read.names == text.count("\nname: ") + text.count("\nsynonym: ")
    assert (read.version, read.rejected) == ("2025-02-04", 0)
    assert all(gate.passed for gate in read.gates)


def test_the_same_file_is_recognised_at_once_and_without_a_reader(here: Settings) -> None:
    ingest(load_source("mondo-sample"), [SAMPLE], here)
    program = f"""
        import sys, time
        from pathlib import Path
        from belink import settings
        from belink.declarations import load_source
        from belink.ontology.ingest import ingest
        started = time.process_time()
        read = ingest(load_source("mondo-sample"), [Path({str(SAMPLE)!r})], settings.load(Path({str(here.home)!r})))
        assert time.process_time() - started < 0.5
        assert not read.new and read.gates and read.names == 13038, read
        loaded = {{"pronto", "fastobo", "duckdb", "scipy"}} & set(sys.modules)
        assert not loaded, loaded
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def test_a_packed_copy_is_the_same_content(here: Settings, tmp_path: Path) -> None:
    path = file(tmp_path, *many(3))
    packed = tmp_path / "other-name.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    first = ingest(source(), [packed], here)
    second = ingest(source(), [path], here)
    assert (first.new, second.new, second.path) == (True, False, first.path)


def test_one_version_cannot_have_two_contents(here: Settings, tmp_path: Path) -> None:
    first = ingest(source(), [file(tmp_path, *many(3))], here)
    other = file(tmp_path, *many(4), name="other.obo")
    with pytest.raises(ReleaseError, match="--version") as error:
        ingest(source(), [other], here)
    assert first.sha256 in str(error.value)
    assert artefacts.sha256(other) in str(error.value)
    assert ingest(source(), [other], here, version="2025-01-01b").version == "2025-01-01b"
    with pytest.raises(ReleaseError, match="2025-01-01: expected the content"):
        ingest(source(), [other], here, version="2025-01-01")
    assert visible(here.home) == ["2025-01-01", "2025-01-01b"]


def test_a_file_that_names_no_version_asks_for_one(here: Settings, tmp_path: Path) -> None:
    path = file(tmp_path, *many(3), version=None)
    with pytest.raises(SourceError, match="--version"):
        ingest(source(), [path], here)
    assert visible(here.home) == []
    assert ingest(source(), [path], here, version="1").version == "1"


def test_a_local_file_has_the_date_of_its_last_change_where_the_server_would_say(
    here: Settings, tmp_path: Path
) -> None:
    path = file(tmp_path, *many(3), version=None)
    os.utime(path, (1_740_000_000, 1_740_000_000))
    assert ingest(source(version="last-modified"), [path], here).version == "2025-02-19"


def test_a_version_may_stand_in_the_name_of_the_file(here: Settings, tmp_path: Path) -> None:
    dated = source(version=r"x-(\d{6})\.obo")
    assert ingest(dated, [file(tmp_path, *many(3), name="x-202501.obo")], here).version == "202501"
    with pytest.raises(SourceError, match="give --version"):
        ingest(dated, [file(tmp_path, *many(4), name="y.obo")], here)


@pytest.mark.parametrize(
    ("stands", "version"),
    [
        ("mondo/releases/2025-09-02", "2025-09-02"),
        ("http://purl.obolibrary.org/obo/cl/releases/2026-06-08/cl.owl", "2026-06-08"),
        ("releases/2025-09-02/subsets/x.obo", "2025-09-02"),
        ("v1.2", "v1.2"),
        (" 245 ", "245"),
        ("../../etc/passwd", "passwd"),
        ("..", ""),
        ("2025 AB", "2025-AB"),
    ],
)
def test_a_version_is_extracted_from_the_text_around_it(stands: str, version: str) -> None:
    assert tidy_version(stands) == version


@pytest.mark.parametrize("version", ["../x", "a/b", ".", ".hidden", "a\nb"])
def test_a_version_that_climbs_is_refused(here: Settings, tmp_path: Path, version: str) -> None:
    with pytest.raises(ReleaseError, match="expected of a version"):
        ingest(source(), [file(tmp_path, *many(2))], here, version=version)
    with pytest.raises(ReleaseError, match="expected of a name"):
        ingest(source("../x"), [file(tmp_path, *many(2))], here)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html><body>404", "a web page"),
        (b"\x00\x01\x02 no ontology at all", "expected OBO, OWL"),
        (b"format-version: 1.4\ndata-version: 2025-01-01\nontology: x\n", "found no term"),
        (gzip.compress(b"format-version: 1.4\n" + os.urandom(9000))[:5000], r"whole \.gz file"),
        (b"<?xml version='1.0'?><DescriptorRecordSet></DescriptorRecordSet>", "found mesh"),
    ],
)
def test_an_invalid_ontology_makes_no_release(here: Settings, tmp_path: Path, content: bytes, said: str) -> None:
    before = ingest(source(), [file(tmp_path, *many(3))], here)
    path = tmp_path / "bad.obo"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=said) as error:
        ingest(source(), [path], here, version="2")
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert latest(here, "x") == before.path
    assert visible(here.home) == ["2025-01-01"]


def test_formats_are_recognised_by_content(tmp_path: Path) -> None:
    for text, format in [
        ('<?xml version="1.0"?>\n<rdf:RDF xmlns="x">', "owl"),
        ('\ufeff\n{"graphs": []}', "obograph"),
        ("! a comment\n\n[Term]\nid: X:1\n", "obo"),
        ("<?xml version='1.0'?>\n<!DOCTYPE DescriptorRecordSet SYSTEM 'd'>\n<DescriptorRecordSet>", "mesh"),
    ]:
        (tmp_path / "file").write_text(text)
        assert sniff(tmp_path / "file") == format
        (tmp_path / "file").write_bytes(gzip.compress(text.encode()))
        assert sniff(tmp_path / "file") == format
    (tmp_path / "META").mkdir()
    (tmp_path / "META" / "MRCONSO.RRF.gz").touch()
    assert sniff(tmp_path) == "umls"


def test_the_fingerprint_of_a_folder_covers_the_files_that_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "2025AB" / "META"
    folder.mkdir(parents=True)
    (folder / "MRCONSO.RRF").write_text("a")
    (folder / "MRSTY.RRF.gz").write_text("b")
    first = fingerprint([folder.parent], "umls")
    assert [each["name"] for each in first.sources] == ["META/MRCONSO.RRF", "META/MRSTY.RRF.gz"]
    (folder / "MRSAT.RRF").write_text("tens of GiB")
    assert fingerprint([folder.parent], "umls") == first
    (folder / "MRSTY.RRF.gz").write_text("c")
    assert fingerprint([folder.parent], "umls").sha256 != first.sha256


def test_another_declaration_of_the_same_file_is_not_passed_over(here: Settings, tmp_path: Path) -> None:
    path = file(tmp_path, *many(3))
    ingest(source(), [path], here)
    narrow = source(names={"scopes": ("label",)})
    with pytest.raises(ReleaseError, match="another declaration"):
        ingest(narrow, [path], here)
    assert ingest(narrow, [path], here, version="labels").names == 3
    assert [ingest(each, [path], here).version for each in (narrow, source())] == ["labels", "2025-01-01"]


def test_concepts_of_other_prefixes_are_told_as_left_out(here: Settings, tmp_path: Path) -> None:
    others = concept("UBERON:1", "leg"), concept("UBERON:2", "arm"), concept("Y:1", "y")
    path = file(tmp_path, *many(3), *others, concept("Z:1", "z", obsolete=True))
    with open_release(ingest(source(), [path], here).path) as release:
        told = release.coverage()
        assert told == {"concepts": 6, "linked": 3, "prefixes": ["X"], "left_out": {"UBERON": 2, "Y": 1}}
        assert release.coverage(["UBERON", "Y"])["left_out"] == {"X": 3}
    assert show.coverage(told) == "6 live concepts, 3 of X are linked; left out (`prefixes`): UBERON 2, Y 1"


def test_only_the_declared_branches_are_kept(here: Settings, tmp_path: Path) -> None:
    tree = (concept("0000001", "root"), concept("0000002", "below", parents=("0000001",)), concept("0000003", "beside"))
    read = ingest(source(branches=("X:0000001",)), [file(tmp_path, *tree)], here)
    assert (read.concepts, read.names) == (2, 2)


def test_a_refused_release_is_set_aside_with_its_report_and_the_old_one_stays(here: Settings, tmp_path: Path) -> None:
    first = ingest(source(), [file(tmp_path, *many(40))], here)
    shrunken = file(tmp_path, *many(30), name="y.obo", version="2025-02-01")
    for _ in range(2):  # the second time without reading
        with pytest.raises(GateRefused, match=r"x 2025-02-01: max_shrinkage is 0\.25, bound 0\.05 \(10 of 40") as error:
            ingest(source(), [shrunken], here)
        assert "\n" not in str(error.value)
    aside = here.quarantine / "x" / "2025-02-01"
    assert str(aside / "gates.json") in str(error.value)
    report = json.loads((aside / "gates.json").read_text())["gates"]
    assert [gate["name"] for gate in report if not gate["passed"]] == ["max_shrinkage"]
    assert latest(here, "x") == first.path
    with open_release(aside) as release:
        assert release.manifest["counts"]["concepts"] == 30


def test_a_refused_release_is_recognised_without_reading_it_again(
    here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(source(), [file(tmp_path, *many(40))], here)
    shrunken = file(tmp_path, *many(30), name="y.obo", version="2025-02-01")
    with pytest.raises(GateRefused):
        ingest(source(), [shrunken], here)
    monkeypatch.setattr("belink.ontology.ingest._reader", lambda format: pytest.fail("read again"))
    with pytest.raises(GateRefused, match=r"max_shrinkage is 0\.25"):
        ingest(source(), [shrunken], here)
    monkeypatch.undo()
    ingest(source(), [file(tmp_path, *many(41), name="z.obo", version="2025-03-01")], here)
    accepted = ingest(source(), [shrunken], here, refuse=False)
    assert (accepted.new, accepted.concepts, latest(here, "x")) == (True, 30, accepted.path)
    assert [gate.name for gate in accepted.gates if not gate.passed] == ["max_shrinkage"]
    assert not (here.quarantine / "x" / "2025-02-01").exists()
    assert ingest(source(), [shrunken], here).new is False


def test_a_wider_bound_takes_a_refused_release_out_of_quarantine(here: Settings, tmp_path: Path) -> None:
    ingest(source(), [file(tmp_path, *many(40))], here)
    shrunken = file(tmp_path, *many(30), name="y.obo", version="2025-02-01")
    with pytest.raises(GateRefused):
        ingest(source(), [shrunken], here)
    assert ingest(source(gates={"max_shrinkage": 0.3}), [shrunken], here).new


def test_a_mended_file_replaces_the_refused_one_of_its_version(here: Settings, tmp_path: Path) -> None:
    ingest(source(), [file(tmp_path, *many(40))], here)
    for n in (30, 20):
        with pytest.raises(GateRefused):
            ingest(source(), [file(tmp_path, *many(n), name="y.obo", version="2025-02-01")], here)
    assert artefacts.read_manifest(here.quarantine / "x" / "2025-02-01")["counts"]["concepts"] == 20
    assert ingest(source(), [file(tmp_path, *many(41), name="y.obo", version="2025-02-01")], here).concepts == 41


def test_names_that_a_corpus_uses_are_watched(here: Settings, tmp_path: Path) -> None:
    ingest(source(), [file(tmp_path, *many(40))], here)
    poorer = [concept("0000001", "disorder 1"), *many(39, first=2)]
    path = file(tmp_path, *poorer, name="y.obo", version="2025-02-01")
    with pytest.raises(GateRefused, match=r"max_corpus_names_lost is 0\.5"):
        ingest(source(), [path], here, corpus_ids=["X:0000001"])


def child(program: str, here: Settings, path: Path, **popen: Any) -> subprocess.Popen[bytes]:
    prelude = f"""
        from pathlib import Path
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from belink import settings
        from belink.errors import BelinkError
        from belink.ontology.ingest import ingest
        from tests.support.made_releases import source
        here, path = settings.load(Path({str(here.home)!r})), Path({str(path)!r})
    """
    text = textwrap.dedent(prelude) + textwrap.dedent(program)
    return subprocess.Popen([sys.executable, "-c", text], **popen)


READ_ONCE = "print(ingest(source(), [path], here).new)"


@pytest.mark.heavy
def test_two_processes_reading_the_same_file_make_one_release(here: Settings, tmp_path: Path) -> None:
    path = file(tmp_path, *many(2000))
    both = [child(READ_ONCE, here, path, stdout=subprocess.PIPE) for _ in range(2)]
    said = sorted(process.communicate(timeout=120)[0].strip() for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said == [b"False", b"True"]
    assert [each.name for each in (here.releases / "x").iterdir()] == ["2025-01-01"]


@pytest.mark.heavy
def test_a_killed_ingest_leaves_nothing_to_be_seen_and_the_next_one_finishes(here: Settings, tmp_path: Path) -> None:
    path = file(tmp_path, *many(4000))
    chance = random.Random(13)
    started = time.monotonic()
    process = child(READ_ONCE, settings.load(tmp_path / "timed"), path, stdout=subprocess.DEVNULL)
    process.wait(timeout=120)
    takes = time.monotonic() - started
    for _ in range(6):
        process = child(READ_ONCE, here, path, stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, 1.0) * takes)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for version in list_releases(here, "x"):  # killed too late: then it is whole
            with open_release(version) as release:
                assert release.names().num_rows == 8000
                assert release.manifest["database_sha256"] == artefacts.sha256(version / "release.duckdb")
    read = ingest(source(), [path], here)
    assert read.names == 8000
    assert [each.name for each in (here.releases / "x").iterdir()] == ["2025-01-01"]


@pytest.mark.heavy
def test_a_full_disk_is_reported_in_one_line_and_leaves_nothing(here: Settings, tmp_path: Path) -> None:
    path = file(tmp_path, *many(4000))
    # A limit on the size of files stands in for a disk that fills up.
    program = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        try:
            ingest(source(), [path], here)
        except BelinkError as error:
            print(type(error).__name__, error)
    """
    said, _ = child(program, here, path, stdout=subprocess.PIPE).communicate(timeout=120)
    assert said.startswith(b"ReleaseError"), said
    assert said.count(b"\n") == 1
    assert list((here.releases / "x").iterdir()) == []
    assert ingest(source(), [path], here).new


def test_an_unwritable_home_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    with pytest.raises(ReleaseError, match=r"home.*run again") as error:
        ingest(source(), [file(tmp_path, *many(2))], settings.load(tmp_path / "home"))
    assert "\n" not in str(error.value)
    with pytest.raises(ReleaseError, match=r"nowhere\.obo: No such file"):
        ingest(source(), [tmp_path / "nowhere.obo"], settings.load(tmp_path / "other"))


def test_an_ontology_of_one_file_is_given_one_file(here: Settings, tmp_path: Path) -> None:
    path = file(tmp_path, *many(2))
    with pytest.raises(SourceError, match="expected one file, found 2"):
        ingest(source(), [path, path], here)
    with pytest.raises(SourceError, match="at least one file"):
        ingest(source(), [], here)


def test_status_names_the_release_that_a_gate_refused_until_another_is_taken(here: Settings, tmp_path: Path) -> None:
    assert refused_releases(here) == []
    ingest(source(), [file(tmp_path, *many(40))], here)
    half = file(tmp_path, *many(20), version="2025-02-01")
    with pytest.raises(GateRefused):
        ingest(source(), [half], here)
    (refused,) = refused_releases(here)
    assert (refused["ontology"], refused["version"], refused["current"]) == ("x", "2025-02-01", "2025-01-01")
    assert refused["failed_gates"] == ["max_shrinkage"]
    text = status(read_status(here))
    assert "x: release 2025-02-01 was REFUSED" in text and "by max_shrinkage.\n  2025-01-01 stays" in text
    assert "belink diff x 2025-01-01 rejected" in text and "--accept" in text
    with pytest.raises(ReleaseError, match=r"2025-02-01 was refused by a gate; repeat its command with --accept"):
        chain_between(here, "x", "2025-01-01", "2025-02-01")
    (here.quarantine / "x" / "2025-02-01" / "gates.json").write_text("[")
    assert refused_releases(here)[0]["failed_gates"] == []
    ingest(source(), [half], here, refuse=False)
    assert refused_releases(here) == []
    assert "refused_releases" not in read_status(here)

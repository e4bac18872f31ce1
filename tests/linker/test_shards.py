"""A corpus in files: the answers of one process, whatever the split; what is finished stays, the rest is done again."""

import errno
import glob
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from belink.corpora.files import read_documents
from belink.corpora.links import write_links
from belink.errors import CorpusError
from belink.linker.group import link_stream
from belink.linker.linker import Linker
from belink.linker.shards import (
    RECORDS,
    ShardOptions,
    ShardResult,
    find_left_out,
    find_shards,
    link_shard,
    link_shards,
    other_links,
    sole_writer,
    total,
)
from belink.registry.open import open_linker
from tests.support import shards as support
from tests.support.serving import Made

OPTIONS = ShardOptions()


@pytest.fixture(scope="module")
def linker(served_home: Made) -> Linker:
    return open_linker(served_home.here, support.register(served_home))


@pytest.fixture(scope="module")
def texts(linker: Linker) -> list[str]:
    return support.texts(linker)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a text", encoding="utf-8")


def outputs(folder: Path, pattern: str, format: str | None = None, output: str = "out") -> list[str]:
    shards = find_shards(folder / pattern, folder / output, format)
    assert [shard.input for shard in shards] == sorted(shard.input for shard in shards)
    return [str(shard.output.relative_to(folder / output)) for shard in shards]


@pytest.mark.parametrize(
    ("name", "format", "wanted"),
    [
        ("a.parquet", None, "a.parquet"),
        ("a.jsonl.gz", None, "a.jsonl.gz"),
        ("a.xml", None, "a.xml"),
        ("a.txt", None, "a.jsonl"),
        ("a.txt.gz", None, "a.jsonl.gz"),
        ("pubmed26n0001", None, "pubmed26n0001.jsonl"),
        ("part.0", None, "part.0.jsonl"),
        ("a.parquet", "jsonl", "a.jsonl"),
        ("a.jsonl.gz", "parquet", "a.parquet"),
        ("a.xml.gz", "csv", "a.csv.gz"),
        ("a.JSON", "fhir", "a.ndjson"),
    ],
)
def test_links_have_the_name_of_their_input_and_a_suffix_that_can_be_written(
    tmp_path: Path, name: str, format: str | None, wanted: str
) -> None:
    touch(tmp_path / "in", name)
    assert outputs(tmp_path, "in/*", format) == [wanted]


def test_links_lie_as_their_inputs_do_and_an_earlier_output_is_no_input(tmp_path: Path) -> None:
    touch(tmp_path, "a.jsonl", "b/c.jsonl", "b/[x]/d.jsonl", "out/a.jsonl", f"out/{RECORDS}/a.jsonl.json", "e.xml")
    assert outputs(tmp_path, "**/*.jsonl") == ["a.jsonl", "b/[x]/d.jsonl", "b/c.jsonl"]
    assert outputs(tmp_path, "b/*.jsonl") == ["c.jsonl"]
    assert outputs(tmp_path, "b/*.jsonl", output=".") == ["c.jsonl"], "the output may lie around the input"


def test_what_cannot_be_written_apart_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.jsonl", "in/a.xml", "file")
    with pytest.raises(CorpusError, match="expected files that match, found none"):
        outputs(tmp_path, "in/*.parquet")
    with pytest.raises(CorpusError, match=r"expected the links of one file, found a\.jsonl, a\.xml"):
        outputs(tmp_path, "in/*", "tsv")
    with pytest.raises(CorpusError, match="expected another folder"):
        outputs(tmp_path, "in/*", output="in")
    with pytest.raises(CorpusError, match="expected a folder"):
        outputs(tmp_path, "in/*", output="file")


@pytest.mark.parametrize("output", ["links/../in", "other", "store"])
def test_no_file_is_written_over_itself_however_the_folders_are_called(tmp_path: Path, output: str) -> None:
    touch(tmp_path, "in/a.jsonl", "store/b.jsonl", "links/x")
    (tmp_path / "other").symlink_to("in")
    (tmp_path / "in" / "b.jsonl").symlink_to("../store/b.jsonl")
    with pytest.raises(CorpusError, match="expected another folder"):
        find_shards(tmp_path / "in/*.jsonl", tmp_path / output)


def test_brackets_in_the_current_folder_are_no_wildcards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "d[1]", "a.jsonl", "b/c.jsonl")
    monkeypatch.chdir(tmp_path / "d[1]")
    shards = find_shards(Path("**/*.jsonl"), Path("../out"))
    assert [shard.input.name for shard in shards] == ["a.jsonl", "c.jsonl"]
    assert [shard.output for shard in shards] == [
        Path("../out/a.jsonl").absolute(),
        Path("../out/b/c.jsonl").absolute(),
    ]


def test_files_that_are_gone_and_names_that_are_no_text_stop_nothing(tmp_path: Path, linker: Linker) -> None:
    touch(tmp_path, "in/a.txt")
    (tmp_path / "in" / "gone.txt").symlink_to("nowhere")
    odd = os.fsdecode(os.fsencode(tmp_path / "in") + b"/caf\xe9.txt")
    Path(odd).write_text("a text", encoding="utf-8")
    shards = find_shards(tmp_path / "in/*", tmp_path / "out")
    results = {Path(each.input).name: each for each in link_shards(linker, shards, OPTIONS)}
    assert [name for name, each in results.items() if each.error] == ["gone.txt"]
    assert [name for name, each in results.items() if each.documents] == ["a.txt", Path(odd).name]
    assert json.loads((shards[1].output).read_bytes())["id"] == "caf\\xe9.txt"
    assert all(each.kept or each.error for each in link_shards(linker, shards, OPTIONS))


def test_a_file_is_linked_once_however_links_lead_around(tmp_path: Path) -> None:
    touch(tmp_path, "in/a/x.txt", "in/y.txt", f"in/old/{RECORDS}/x.jsonl.json", "aside/z.txt")
    (tmp_path / "in/a/up").symlink_to("..")
    (tmp_path / "in/a/here").symlink_to(".")
    (tmp_path / "in/other").symlink_to("../aside")
    (tmp_path / "in/self.txt").symlink_to("self.txt")
    wanted = ["a/x.jsonl", "other/z.jsonl", "self.jsonl", "y.jsonl"]
    assert outputs(tmp_path, "in/**/*") == wanted
    assert outputs(tmp_path, "in/**/*", output="in/a/up/links") == wanted


def test_a_link_to_itself_and_a_name_that_is_too_long_stop_nothing(tmp_path: Path, linker: Linker) -> None:
    touch(tmp_path, "in/a.txt", f"in/{'b' * 249}.txt")
    (tmp_path / "in/self.txt").symlink_to("self.txt")
    shards = find_shards(tmp_path / "in/*", tmp_path / "out")
    errors = [each.error for each in link_shards(linker, shards, OPTIONS)]
    assert errors[0] == ""
    assert "its name is too long" in errors[1] and "symbolic links" in errors[2]


NAMES = st.sampled_from(["a.jsonl", "b.parquet", "c", ".d.jsonl", "[e].jsonl"])
PATTERNS = ["*", "*.jsonl", "*/*", "*/*.jsonl", "**/*", "**/*.jsonl", "**", "a*/*", "c/**/*.jsonl", "*/c", "*/a.jsonl"]


@settings(max_examples=60, deadline=None)
@given(
    paths=st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=8), pattern=st.sampled_from(PATTERNS)
)
def test_every_file_that_glob_finds_is_linked(
    paths: list[list[str]], pattern: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    for parts in paths:
        if not any(path.is_file() for path in (folder.joinpath(*parts[:n]) for n in range(len(parts)))):
            path = folder.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_dir():
                path.write_text("a text", encoding="utf-8")
    wanted = {Path(name) for name in glob.glob(str(folder / pattern), recursive=True) if Path(name).is_file()}
    try:
        found = {shard.input for shard in find_shards(folder / pattern, folder / "out", "jsonl")}
    except CorpusError as error:
        assume("found none" in str(error))
        found = set()
    assert found == wanted


def test_a_folder_that_may_hold_files_of_the_pattern_is_told(
    tmp_path: Path, linker: Linker, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(
        tmp_path, "in/a.jsonl", "in/b.jsonl/part-0", "in/c/d.jsonl", "in/closed/e.jsonl", "in/dim/f.jsonl", "in/g.txt/x"
    )
    # Root may read everything, so the system's answer is made here.
    listdir, access = os.listdir, os.access
    monkeypatch.setattr(os, "listdir", lambda path: refuse(path) if Path(path).name == "closed" else listdir(path))
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "dim" and access(path, mode))

    def left_out(pattern: str) -> tuple[list[str], list[str]]:
        errors, folders = find_left_out(tmp_path / pattern, tmp_path / "out")
        assert all(each.input in each.error for each in errors)
        return [Path(each.input).name for each in errors], [Path(name).name for name in folders]

    assert left_out("in/*") == (["b.jsonl", "g.txt"], ["c", "closed", "dim"])
    assert left_out("in/*.jsonl") == (["b.jsonl"], [])
    assert left_out("in/*/*") == (["closed", "dim"], [])
    assert left_out("in/**/*") == (["closed", "dim"], [])
    assert left_out("in/**/*.jsonl") == (["closed", "dim", "b.jsonl"], [])
    assert left_out("in/*/e.jsonl") == ([], []), "it is found without the folder's names"
    with pytest.raises(CorpusError, match=r"closed: its files cannot be listed: Permission denied"):
        find_shards(tmp_path / "in/closed/*", tmp_path / "out")


def refuse(path: object) -> list[str]:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


def split(folder: Path, texts: Sequence[str], places: Sequence[int]) -> None:
    """Write document ``i`` of ``texts`` into the file number ``places[i]``."""
    for place in set(places):
        support.write(folder / f"{place}.jsonl", {i: text for i, text in enumerate(texts) if places[i] == place})


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_split_gives_the_answers_of_one_file(
    data: st.DataObject, linker: Linker, texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("split")
    split(folder / "one", texts, [0] * len(texts))
    whole = link_stream(linker, read_documents(folder / "one" / "0.jsonl"))
    write_links(whole, folder / "whole.jsonl", linker.lineage)
    places = data.draw(st.lists(st.integers(0, 5), min_size=len(texts), max_size=len(texts)))
    split(folder / "many", texts, places)
    shards = find_shards(folder / "many" / "*.jsonl", folder / "out")
    sums = total(link_shards(linker, shards, OPTIONS))
    lines = sorted(line for shard in shards for line in shard.output.read_text("utf-8").splitlines())
    assert lines == sorted((folder / "whole.jsonl").read_text("utf-8").splitlines())
    assert (sums["shards"], sums["documents"]) == (len(set(places)), len(texts))
    assert (sums["kept"], sums["failed"]) == (0, [])


def test_parquet_in_and_out(linker: Linker, texts: list[str], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in (0, 1):
        rows = [{"id": f"{number}-{i}", "text": text} for i, text in enumerate(texts[number::2])]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in" / f"{number}.parquet")
    sums = total(link_shards(linker, find_shards(tmp_path / "in" / "*.parquet", tmp_path / "out"), OPTIONS))
    tables = [pq.read_table(tmp_path / "out" / f"{number}.parquet").to_pylist() for number in (0, 1)]
    assert sum(map(len, tables)) == sums["mentions"] > 0
    assert all(row["document"].startswith(f"{number}-") for number in (0, 1) for row in tables[number])


def test_what_is_finished_is_kept_until_its_input_its_linker_or_an_option_changes(
    served_home: Made, linker: Linker, texts: list[str], tmp_path: Path
) -> None:
    split(tmp_path / "in", texts, [i % 3 for i in range(len(texts))])
    shards = find_shards(tmp_path / "in" / "*.jsonl", tmp_path / "out")

    def again(linker: Linker = linker, options: ShardOptions = OPTIONS) -> list[bool]:
        results = list(link_shards(linker, shards, options))
        assert sum(result.documents for result in results) == len(texts), "what is kept is counted, too"
        return [result.kept for result in results]

    assert again() == [False] * 3
    written = [shard.output.stat().st_mtime_ns for shard in shards]
    assert again() == [True] * 3
    assert [shard.output.stat().st_mtime_ns for shard in shards] == written
    content = shards[0].output.read_bytes()

    shards[0].output.unlink()
    assert again() == [False, True, True]
    assert shards[0].output.read_bytes() == content
    shards[1].output.write_bytes(shards[1].output.read_bytes()[:-20])
    assert again() == [True, False, True]
    shards[2].record.write_text("{", encoding="utf-8")
    assert again() == [True, True, False]
    shards[2].record.write_text('{"key": 3}', encoding="utf-8")
    assert again() == [True, True, False]
    lines = shards[0].input.read_text("utf-8").splitlines(keepends=True)
    shards[0].input.write_text("".join(reversed(lines)), encoding="utf-8")
    assert again() == [False, True, True]
    assert again(options=ShardOptions(min_probability=0.9)) == [False] * 3
    other = open_linker(served_home.here, support.register(served_home, number=2))
    assert again(other, ShardOptions(min_probability=0.9)) == [False] * 3
    assert json.loads(shards[0].record.read_text("utf-8"))["lineage"] == other.lineage


def test_a_file_that_cannot_be_read_does_not_stop_the_others_and_leaves_no_old_links(
    linker: Linker, texts: list[str], tmp_path: Path
) -> None:
    split(tmp_path / "in", texts, [i % 3 for i in range(len(texts))])
    shards = find_shards(tmp_path / "in" / "*.jsonl", tmp_path / "out")
    assert total(link_shards(linker, shards, OPTIONS))["failed"] == []
    damaged = shards[1].input
    damaged.write_text(damaged.read_text("utf-8") + "{oops\n", encoding="utf-8")
    sums = total(link_shards(linker, shards, OPTIONS))
    assert (sums["kept"], [each["input"] for each in sums["failed"]]) == (2, [str(damaged)])
    assert "expected a JSON object" in sums["failed"][0]["error"]
    assert not shards[1].output.exists() and not shards[1].record.exists()
    damaged.unlink()
    assert "No such file" in link_shard(linker, shards[1], OPTIONS).error


def test_links_of_inputs_that_were_renamed_or_removed_are_named(linker: Linker, tmp_path: Path) -> None:
    for name in ("a.txt", "b/c.txt", "b/d.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text("COPD", encoding="utf-8")
    pattern, output = tmp_path / "in/**/*.txt", tmp_path / "out"
    before = find_shards(pattern, output)
    assert total(link_shards(linker, before, OPTIONS))["documents"] == 3
    assert other_links(output, before) == []
    (tmp_path / "in/b/c.txt").rename(tmp_path / "in/b/e.txt")
    (tmp_path / "in/a.txt").unlink()
    after = find_shards(pattern, output)
    assert other_links(output, after) == ["a.jsonl", "b/c.jsonl"]
    shown = support.shown(total([]), other_links(output, after))
    assert "2 more files of links lie there, of inputs that the pattern does not match: a.jsonl" in shown
    (output / "a.jsonl").unlink()
    assert other_links(output, after) == ["b/c.jsonl"]


def test_mentions_that_do_not_fit_are_counted(linker: Linker, tmp_path: Path) -> None:
    document = {
        "id": "1", "text": "asthma and pain",
        "mentions": [{"start": 1, "end": 7, "text": "asthma"}, {"start": 3, "end": 9, "text": "no such words"}],
    }  # fmt: skip
    (tmp_path / "a.jsonl").write_text(json.dumps(document) + "\n", encoding="utf-8")
    (shard,) = find_shards(tmp_path / "*.jsonl", tmp_path / "out")
    result = link_shard(linker, shard, OPTIONS)
    wanted = ShardResult(input=str(shard.input), documents=1, mentions=1, repaired=1, set_aside=1)
    assert result == wanted
    assert total([result])["set_aside"] == 1
    assert "marked mentions: 1 repaired, 1 set aside" in support.shown(total([result]))


def test_a_second_run_in_the_same_folder_is_refused_and_what_a_killed_one_left_is_removed(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.jsonl")
    shards = find_shards(tmp_path / "in" / "*.jsonl", tmp_path / "out")
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = [
        folder / f".tmp-a.jsonl-{int(ended.stdout)}-12345678"
        for folder in (tmp_path / "out", tmp_path / "out" / RECORDS)
    ]
    for path in left:
        touch(path.parent, path.name)
    with sole_writer(tmp_path / "out", shards):
        assert not any(path.exists() for path in left)
        with pytest.raises(CorpusError, match="expected no other run"), sole_writer(tmp_path / "out", shards):
            pass
    with sole_writer(tmp_path / "out", shards):
        pass


@pytest.mark.heavy
def test_a_run_that_is_killed_goes_on_where_it_was(
    served_home: Made, linker: Linker, texts: list[str], tmp_path: Path
) -> None:
    support.write_many(tmp_path / "in", texts, n_files=8, n_documents=60)
    command = support.command(served_home, tmp_path / "in" / "*.jsonl", tmp_path / "out")
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    records = tmp_path / "out" / RECORDS
    end = time.monotonic() + 120
    while len(list(records.glob("*.json"))) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    finished = {path.name.removesuffix(".json") for path in records.glob("*.json")}
    assert 2 <= len(finished) < 8
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert answer["kept"] == len(finished) and answer["documents"] == 8 * 60
    assert support.is_complete(tmp_path / "in", tmp_path / "out", linker)

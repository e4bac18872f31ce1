"""The command line is an interface: names, JSON keys, exit codes, one line for what a user can mend."""

import contextlib
import doctest
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner

from belink.cli import commands, console, show
from belink.cli import linkers as cli_linkers
from belink.cli.main import belink
from belink.lifecycle import refresh as steps
from belink.settings import Settings
from belink.text import control
from tests.support import small, warm

FIRST, SECOND = small.RELEASES
TEXT = "He has type 2 diabetes mellitus and asthma."


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output, which must be exactly one JSON document."""
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "home").mkdir()
    (folder / "home" / "mlflow.db").write_bytes(empty_registry.read_bytes())
    return folder


@pytest.fixture(scope="module")
def run(folder: Path, prefect_server: Path) -> Run:
    """``belink …`` in ``folder``, in this process; with its own Prefect server, in another."""

    def run(*arguments: str | Path, home: str = "home", own_server: bool = False) -> Ran:
        given = ["--home", str(folder / home), *map(str, arguments)]
        if own_server:
            done = warm.run(["-m", "belink.cli.main", *given], cwd=folder)
            return Ran(done.returncode, done.stdout, done.stderr)
        with contextlib.chdir(folder), mock.patch.dict(os.environ):  # a refresh sets what Prefect reads
            ran = CliRunner().invoke(belink, given)
        if ran.exception is not None and not isinstance(ran.exception, SystemExit):
            raise ran.exception
        return Ran(ran.exit_code, ran.stdout, ran.stderr)

    return run


@pytest.fixture(scope="module")
def files(folder: Path) -> list[Path]:
    return [small.release(folder / "files", version) for version in (FIRST, SECOND)]


@pytest.fixture(scope="module")
def story(run: Run, folder: Path, files: list[Path], models: dict[str, str]) -> list[Ran]:
    """Two refreshes of the small linker, the first with a temporary server of its own."""
    toml = small.linker(folder, models)
    return [
        run("refresh", toml, "--file", f"{small.ONTOLOGY}={file}", "--json", own_server=file is files[0])
        for file in files
    ]


def test_ingest_and_diff(run: Run, files: list[Path]) -> None:
    ingested = [run("ingest", small.ONTOLOGY, "--file", file, "--json", home="other") for file in files]
    assert [each.code for each in ingested] == [0, 0], ingested[0].err
    first = ingested[0].document
    assert {
        "ontology",
        "version",
        "release",
        "sha256",
        "concepts",
        "obsolete",
        "names",
        "rejected",
        "new",
    } <= first.keys()
    assert (first["ontology"], first["version"], first["new"]) == (small.ONTOLOGY, FIRST, True)
    assert Path(first["release"]).is_dir()
    assert not run("ingest", small.ONTOLOGY, "--file", files[0], "--json", home="other").document["new"]
    found = run("diff", small.ONTOLOGY, FIRST, SECOND, "--json", home="other").document
    counts = ("added", "removed", "obsoleted", "merged", "relabelled", "names_added", "names_removed", "names_moved")
    assert all(isinstance(found[name], int) for name in counts)
    assert found["added"] > 0


def test_diff_of_listed_ids_answers_with_its_exit_code(run: Run, files: list[Path], tmp_path: Path) -> None:
    for file in files:
        run("ingest", small.ONTOLOGY, "--file", file, home="listed")
    examples = run("diff", small.ONTOLOGY, FIRST, SECOND, "--json", home="listed").document["examples"]
    relabelled = {row["id"] for row in examples["relabelled"]}
    (listed := tmp_path / "ids.txt").write_text("\n".join(["# mine", *relabelled, "no:such"]))
    ran = run("diff", small.ONTOLOGY, FIRST, SECOND, "--ids", listed, "--json", home="listed")
    assert ran.code == 3
    assert {row["id"] for row in ran.document["changes"]["relabelled"]} == relabelled
    assert ran.document["unknown"] == ["no:such"]
    same = run("diff", small.ONTOLOGY, FIRST, FIRST, "--ids", listed, home="listed")
    assert same.code == 0
    assert "No change touches these ids." in same.out
    assert run("diff", small.ONTOLOGY, FIRST, SECOND, "--column", "id", home="listed").code == 2


def test_refresh(story: list[Ran]) -> None:
    assert [ran.code for ran in story] == [0, 0], story[0].err
    for number, ran in enumerate(story, 1):
        document = ran.document
        assert {"outcome", "version", "champion", "encoded", "reused", "gates"} <= document.keys()
        assert (document["outcome"], document["version"], document["champion"]) == (
            "promoted",
            str(number),
            str(number),
        )
        assert all({"name", "value", "bound", "passed"} <= gate.keys() for gate in document["gates"])


def test_status(run: Run, story: list[Ran], folder: Path) -> None:
    document = run("status", "--json").document
    assert {"home", "tracking_uri", "linkers"} <= document.keys()
    (linker,) = document["linkers"]
    assert {"name", "champion", "previous", "releases", "updated"} <= linker.keys()
    assert (linker["name"], linker["champion"], linker["previous"]) == ("small", "2", "1")
    assert linker["releases"] == {small.ONTOLOGY: SECOND}


def test_link_a_text_and_files(run: Run, story: list[Ran], folder: Path) -> None:
    document = run("link", TEXT, "--json").document
    keys = {"text", "start", "end", "id", "label", "ontology", "release", "probability", "candidates"}
    for link in document["links"]:
        assert keys <= link.keys()
        assert TEXT[link["start"] : link["end"]] == link["text"]
    (folder / "notes.txt").write_text(TEXT, encoding="utf-8")
    ran = run("link", "--input", "notes.txt", "--output", "links.jsonl", "--linker", "small@champion", "--json")
    assert ran.code == 0, ran.err
    written = [json.loads(line) for line in (folder / "links.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(written) == 1
    assert isinstance(ran.document, dict)


def test_explain_says_why_a_name_is_not_linked(run: Run, story: list[Ran]) -> None:
    text = "Schizophrenia, and a disease."
    answer = run("link", text, "--explain", "--json").document
    assert "disease" in {each["text"]: each["reason"] for each in answer["unlinked"]} or not answer["unlinked"]
    spans = {(link["start"], link["end"]) for link in answer["links"] if link["id"]}
    assert not spans & {(each["start"], each["end"]) for each in answer["unlinked"]}
    bounded = run("link", text, "--explain", "--min-probability", "1", "--json").document["unlinked"]
    (why,) = [each for each in bounded if each["text"] == "Schizophrenia"]
    assert why["reason"] == "less probable than the bound"
    assert why["id"] and 0 < why["probability"] < 1
    assert "why it is not linked" in run("link", text, "--explain", "--min-probability", "1").out
    assert "unlinked" not in run("link", text, "--json").document
    assert run("link", text, "--explain", "--output", "links.jsonl").code == 2


def test_links_of_several_documents_say_which(run: Run, story: list[Ran], folder: Path) -> None:
    (folder / "two.pubtator").write_text(
        "101|t|Schizophrenia in adults\n101|a|\n101\t0\t13\tSchizophrenia\tDisease\tD1\n\n"
        "102|t|Retinoblastoma again\n102|a|\n102\t0\t14\tRetinoblastoma\tDisease\tD2\n",
        encoding="utf-8",
    )
    links = run("link", "--input", "two.pubtator", "--json").document["links"]
    assert [(link["document"], link["text"]) for link in links] == [("101", "Schizophrenia"), ("102", "Retinoblastoma")]
    table = run("link", "--input", "two.pubtator").out
    assert [line.split()[:4] for line in table.splitlines()[2:]] == [
        ["101", "0", "13", "Schizophrenia"], ["102", "0", "14", "Retinoblastoma"],
    ]  # fmt: skip
    assert "document" not in run("link", TEXT).out


def test_output_has_the_format_of_its_suffix_and_other_suffixes_are_refused(
    run: Run, story: list[Ran], folder: Path
) -> None:
    for name in ("o.xml", "o.json.gz", "o.pubtator", "o.jsonl.gz", "o.csv", "o.tsv.gz", "o.parquet"):
        ran = run("link", TEXT, "--output", name, "--json")
        assert ran.code == 0, ran.err
        start = (folder / name).read_bytes()[:4]
        assert start.startswith(b"\x1f\x8b") == name.endswith(".gz"), name
        assert (start == b"PAR1") == name.endswith("parquet"), name
    ran = run("link", TEXT, "--output", "o.docx")
    assert ran.code == 1
    assert ".pubtator" in ran.err and ".docx" in ran.err
    assert not (folder / "o.docx").exists()


def test_many_files_are_linked_into_a_folder_and_kept(run: Run, story: list[Ran], folder: Path) -> None:
    (folder / "many").mkdir()
    for name in ("a", "b"):
        (folder / "many" / f"{name}.txt").write_text(TEXT, encoding="utf-8")
    link = ("link", "--input", "many/*.txt", "--output", "linked")
    first = run(*link, "--json").document
    assert (first["shards"], first["kept"], first["documents"], first["failed"]) == (2, 0, 2, [])
    assert {path.name for path in (folder / "linked").iterdir()} == {"a.jsonl", "b.jsonl", "_shards"}
    assert "0 files linked, 2 were finished, 0 could not be linked" in run(*link).out
    (folder / "many" / "c.txt").touch()
    ran = run(*link)
    assert ran.code == 1 and "c.txt: cannot be read as a corpus: it is empty" in ran.out
    concepts = run("link", "--input", "many/a*", "--output", "concepts", "--format", "fhir")
    assert concepts.code == 0 and (folder / "concepts" / "a.ndjson").is_file()


@pytest.mark.parametrize(
    "more",
    [
        ("--input", "many/*.txt"),
        ("--input", "many/*.txt", "--output", "linked", "--explain"),
        ("--input", "many/*.txt", "--output", "linked", "--address", "127.0.0.1:1"),
        ("--input", "notes.txt", "--output", "linked", "--engine", "ray"),
        ("--input", "notes.txt", "--output", "links.jsonl", "--format", "parquet"),
    ],
)
def test_options_of_many_files_are_refused_for_one_and_the_reverse(run: Run, folder: Path, more: list[str]) -> None:
    (folder / "notes.txt").write_text(TEXT, encoding="utf-8")
    assert run("link", *more).code == 2


def test_standard_input_is_read_where_the_file_is_a_dash(story: list[Ran], folder: Path) -> None:
    command = [sys.executable, "-m", "belink.cli.main", "--home", "home", "link", "--input", "-", "--json"]
    done = subprocess.run(
        command, input="She has schizophrenia.", capture_output=True, text=True, cwd=folder, check=True
    )
    assert [link["text"] for link in json.loads(done.stdout)["links"]] == ["schizophrenia"]


def test_nothing_found_is_said_in_words(run: Run, story: list[Ran]) -> None:
    assert run("link", "1234").out == "no mention found; --explain says why names in the text are not linked\n"
    assert run("link", "1234", "--json").document["links"] == []
    assert show.search_results({"query": "zzzzqqq", "concepts": [], "notes": []}) == "nothing like 'zzzzqqq'"


@pytest.mark.parametrize("bound", ["nan", "-0.1", "1.1", "inf"])
def test_a_bound_that_is_no_probability_is_wrong_use(run: Run, story: list[Ran], bound: str) -> None:
    assert run("link", TEXT, "--min-probability", bound).code == 2


_CONTROLS = "red\x1b[31m \x9b31m \u202eABC\u2066 \x07\x7f\r"
_INVISIBLE = "zero\u200bwidth \u2028\u2029 \u2060\ufeff \U000e0041"


def test_control_characters_reach_no_terminal(capsys: pytest.CaptureFixture) -> None:
    link = {"document": "", "text": _CONTROLS, "id": "X:1", "label": _CONTROLS, "probability": 1.0}
    answer = {"links": [{**link, "ontology": "x", "release": _CONTROLS, "linker": "x"}]}
    console.show_answer(answer, False, show.linked)
    console.show_answer(answer, True, show.linked)
    console.echo(_CONTROLS)
    printed = capsys.readouterr().out
    assert not set(printed) & set("\x1b\x9b\u202e\u2066\x07\x7f\r")
    document, line = printed.splitlines()[-2:]
    assert json.loads(document)["links"][0]["label"] == _CONTROLS
    assert line == r"red\x1b[31m \x9b31m \u202eABC\u2066 \x07\x7f\x0d"
    record = logging.LogRecord("belink", logging.INFO, "", 0, "%s read", (_CONTROLS,), None)
    assert r"\x9b31m" in console._VisibleFormatter().format(record)


def test_what_nobody_sees_is_shown_and_stays_the_same_json() -> None:
    assert control.visible(_INVISIBLE) == r"zero\u200bwidth \u2028\u2029 \u2060\ufeff \U000e0041"
    written = console.json_text({"name": _INVISIBLE})
    assert written.isascii() and json.loads(written) == {"name": _INVISIBLE}
    assert control.visible("a\u200cb\u200d α-β \u00a0") == "a\u200cb\u200d α-β \u00a0"


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(control) == (0, 3)


def test_search(run: Run, story: list[Ran]) -> None:
    ran = run("search", "type 2 diabetes", "--linker", "small", "--json")
    assert ran.code == 0, ran.err
    assert isinstance(ran.document, dict)


def test_evaluate(run: Run, story: list[Ran], folder: Path) -> None:
    from belink import settings

    corpus = settings.shipped_ontologies() / "samples" / "corpus.jsonl"
    ran = run("evaluate", "small", "--corpus", corpus, "--predictions", "p.jsonl", "--report", "r.html", "--json")
    assert ran.code == 0, ran.err
    document = ran.document
    wanted = {
        "n",
        "accuracy_at_1",
        "accuracy_ci95",
        "recall_at_1",
        "recall_at_10",
        "recall_at_20",
        "mentions_per_second",
    }
    assert wanted <= document.keys()
    low, high = document["accuracy_ci95"]
    assert 0 <= low <= document["accuracy_at_1"] <= high <= 1
    lines = (folder / "p.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == document["n"]
    assert {"doc", "start", "end", "text", "gold", "predicted", "probability", "candidates"} <= json.loads(
        lines[0]
    ).keys()
    assert "<html" in (folder / "r.html").read_text(encoding="utf-8").lower()
    again = run("evaluate", "small@champion", "--corpus", corpus, "--against", "p.jsonl", "--json")
    assert again.code == 0, again.err


def test_index_and_train(run: Run, story: list[Ran], folder: Path) -> None:
    document = run("index", "small.toml", "--json").document
    assert {"names", "encoded", "reused", "recall_at_10"} <= document.keys()
    assert document["encoded"] == 0
    ran = run("train", "small.toml", "--json")
    assert ran.code == 0, ran.err
    assert {"examples", "seconds", "adapter"} <= ran.document.keys()
    assert Path(ran.document["adapter"]).is_dir()


def test_a_dry_run_of_training_says_what_it_takes_and_fails_where_there_is_less(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run("train", "small.toml", "--dry-run", "--json")
    assert ran.code == 0, ran.err
    wide = {"float32": 4, "bfloat16": 2}[ran.document["dtype"]]  # as the machine computes natively
    assert ran.document["total"] > ran.document["weights"] > wide * ran.document["parameters"] > 0
    assert "activations" in run("train", "small.toml", "--dry-run").out
    monkeypatch.setattr("belink.training.footprint._available", lambda device: 1000)
    ran = run("train", "small.toml", "--dry-run")
    assert ran.code == 1 and "declare a smaller reranker.model" in ran.err and "Traceback" not in ran.err


def test_migrate(run: Run, files: list[Path], folder: Path) -> None:
    for file in files:
        run("ingest", small.ONTOLOGY, "--file", file, "--json", home="other")
    (folder / "ids.csv").write_text("id\nMONDO:0005148\nMONDO:9999999\n", encoding="utf-8")
    asked = ("--from", FIRST, "--to", SECOND, "--input", "ids.csv", "--output", "new.csv", "--column", "id", "--json")
    ran = run("migrate", small.ONTOLOGY, *asked, home="other")
    assert ran.code == 0, ran.err
    document = ran.document
    assert {"unchanged", "migrated", "review", "unknown"} <= document.keys()
    assert sum(document[name] for name in ("unchanged", "migrated", "review", "unknown")) == 2


def test_promote_and_rollback(run: Run, story: list[Ran]) -> None:
    assert run("rollback", "small", "--json").document["champion"] == "1"
    assert run("promote", "small", "2", "--json").document["champion"] == "2"
    ran = run("promote", "small", "99", "--json")
    assert (ran.code, ran.out) == (1, "")


def test_models_pull(run: Run, models: dict[str, str]) -> None:
    ran = run("models", "pull", models["encoder"], "--json")
    assert ran.code == 0, ran.err
    assert Path(ran.document["path"]).is_dir()


def test_an_ontology_alone_is_linked_by_defaults_that_are_printed(here: Settings, tmp_path: Path) -> None:
    path = tmp_path / "plants.toml"
    path.write_text('title = "Plants"\nformat = "obo"\nprefixes = ["PO"]\nlicence = "CC0"\nschedule = "0 2 1 * *"\n')
    defaults = steps.start(here, str(path)).defaults
    assert defaults is not None
    assert defaults == commands.linker_defaults(str(path))
    text = show.defaults(defaults)
    for told in ("made by default", "plants", "minilm", "min_accuracy_at_1 0.3", "0 2 1 * *", "1.0"):
        assert told in text


def test_training_a_linker_that_declares_nothing_to_train_on_says_so(run: Run) -> None:
    ran = run("train", "hp")
    assert ran.code == 1
    assert "hp: expected something to train on, found training.questions = 0" in ran.err


@pytest.mark.parametrize("given", ["{file}", "mondo-sample={file}"])
def test_the_ontology_of_a_file_may_be_left_out_where_there_is_one(given: str) -> None:
    named = cli_linkers._by_ontology("sample", (given,), "PATH")
    assert named == {"mondo-sample": ["{file}"]}


def test_a_new_declaration_says_what_to_do_next(run: Run, folder: Path, files: list[Path]) -> None:
    ran = run("new", "mine", "--file", files[0], "--folder", "my")
    assert ran.code == 0, ran.err
    assert ran.out.endswith(f"next: belink refresh my/linkers/mine.toml --file {files[0]}\n")
    again = run("new", "mine", "--file", files[0], "--folder", "my")
    assert again.code == 1 and "expected no file, found one" in again.err
    read = run("ingest", "my/ontologies/mine.toml", "--file", files[0], "--json").document
    assert read["coverage"]["prefixes"] == ["MONDO"]


def test_a_gate_that_refuses_exits_with_3(run: Run, story: list[Ran], folder: Path, files: list[Path]) -> None:
    half = folder / "half.obo"
    kept = small.release(folder / "files", SECOND, keep=0.5).read_text(encoding="utf-8")
    half.write_text(kept.replace(SECOND, "2025-10-01"), encoding="utf-8")
    ran = run("refresh", "small.toml", "--file", f"{small.ONTOLOGY}={half}", "--json")
    assert ran.code == 3
    assert ran.document["outcome"] == "rejected"
    assert [gate["name"] for gate in ran.document["gates"] if not gate["passed"]]
    assert run("status", "--json").document["linkers"][0]["champion"] == "2"


@pytest.mark.parametrize(
    "arguments",
    [
        ("link", TEXT, "--linker", "nobody"),
        ("ingest", "nothing-like-it"),
        ("diff", small.ONTOLOGY, "1", "2"),
        ("refresh", "nowhere.toml"),
        ("evaluate", "nobody", "--corpus", "files"),
        ("models", "pull", "path:/nowhere"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_a_user_can_mend_is_one_line_and_exit_code_1(
    run: Run, files: list[Path], arguments: tuple[str, ...]
) -> None:
    ran = run(*arguments, "--json", home="empty")
    assert (ran.code, ran.out) == (1, "")
    (line,) = ran.err.strip().splitlines()
    assert line.startswith("error: ")


def test_a_refresh_of_a_file_without_a_version_is_one_line_too(
    run: Run, story: list[Ran], folder: Path, files: list[Path]
) -> None:
    unversioned = folder / "unversioned.obo"
    lines = files[0].read_text(encoding="utf-8").splitlines(keepends=True)
    unversioned.write_text("".join(line for line in lines if not line.startswith("data-version")), encoding="utf-8")
    ran = run("refresh", "small.toml", "--file", f"{small.ONTOLOGY}={unversioned}", "--json")
    assert (ran.code, ran.out) == (1, "")
    errors = [line for line in ran.err.splitlines() if " INFO " not in line]
    assert len(errors) == 1
    assert "--version" in errors[0]


def test_wrong_use_exits_with_2(run: Run) -> None:
    for arguments in (("link",), ("refresh",), ("refresh", "sample", "--file", "no-equals-sign"), ("nothing",)):
        assert run(*arguments).code == 2


def test_help_needs_nothing_heavy() -> None:
    code = """
import sys
from click.testing import CliRunner
from belink.cli.main import belink
assert CliRunner().invoke(belink, ["--help"]).exit_code == 0
heavy = ("torch", "transformers", "duckdb", "faiss", "mlflow", "prefect", "numpy", "pydantic", "rich")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Words of the command line that are no UTF-8: read as in a file, and shown without a traceback."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from belink.cli.console import Commands
from belink.cli.main import belink
from belink.cli.options import Words
from belink.text.control import visible

ODD = os.fsdecode(b"caf\xe9 COPD")


def test_bytes_that_are_not_utf8_are_read_as_in_a_file() -> None:
    assert Words().convert(ODD, None, None) == "café COPD"
    assert Words().convert("β-thalassaemia", None, None) == "β-thalassaemia"


@pytest.mark.heavy
@pytest.mark.parametrize(
    "words",
    [["link", ODD], ["search", ODD], ["link", "COPD", "--linker", ODD], ["ingest", ODD], ["link", "--input", ODD],
     ["diff", ODD, "1", "2"], ["status", "--home", ODD]],
)  # fmt: skip
def test_no_command_ends_in_a_traceback(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "belink.cli.main", "--home", str(tmp_path / "home"), *words]
    done = subprocess.run([os.fsencode(word) for word in command], capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert b"Traceback" not in done.stderr


def test_home_after_the_command_is_told_where_it_stands(tmp_path: Path) -> None:
    ran = CliRunner().invoke(belink, ["status", "--home", str(tmp_path)])
    assert ran.exit_code == 2
    assert "belink --home DIRECTORY status" in ran.output


@pytest.mark.parametrize(
    ("files", "advice"),
    [(["--input", "in"], "--input 'in/*'"), (["--input", "in/a.txt", "in/b.txt"], "a pattern in quotation marks")],
)
def test_a_folder_and_a_pattern_without_quotation_marks_are_told_how_many_files_are_given(
    files: list[str], advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("in/a.txt", "in/b.txt"):
        Path(name).write_text("a text", encoding="utf-8")
    ran = CliRunner().invoke(belink, ["--home", "home", "link", *files, "--output", "out"])
    assert ran.exit_code == 2
    assert advice in " ".join(ran.output.split())


@pytest.mark.parametrize("command", ["link", "review sample", "migrate mondo --from 1 --to 2"])
@pytest.mark.parametrize("output", ["in.jsonl", "./folder/../in.jsonl", "soft.jsonl", "hard.jsonl"])
def test_no_command_writes_over_its_input(
    command: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("in.jsonl").write_text('{"id": "1", "text": "COPD"}\n', encoding="utf-8")
    Path("soft.jsonl").symlink_to("in.jsonl")
    Path("hard.jsonl").hardlink_to("in.jsonl")
    words = [*command.split(), "--input", "in.jsonl", "--output", output]
    ran = CliRunner().invoke(belink, ["--home", "home", *words])
    assert ran.exit_code == 2
    assert "expected another file for --output, found the input itself" in " ".join(ran.output.split())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ("expected room on the disk, found none", "belink gc")),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/x/y"), ("error: /x/y: expected room on the disk", "/the/home")),
        (OSError(errno.EIO, "Input/output error"), ("error: the system: Input/output error",)),
    ],
)
def test_a_full_disk_is_one_line_that_says_what_to_do(error: OSError, words: tuple[str, ...]) -> None:
    group = Commands("belink")

    @group.command()
    def write() -> None:
        raise error

    ran = CliRunner().invoke(group, ["write"], obj=SimpleNamespace(home="/the/home"))
    assert ran.exit_code == 1
    assert all(each in ran.output for each in words) and len(ran.output.splitlines()) == 1


def test_what_no_encoding_can_write_is_shown_as_its_code() -> None:
    assert visible(ODD) == r"caf\udce9 COPD"

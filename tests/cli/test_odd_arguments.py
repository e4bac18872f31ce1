"""Words of the command line that are no UTF-8: read as in a file, and shown without a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_what_no_encoding_can_write_is_shown_as_its_code() -> None:
    assert visible(ODD) == r"caf\udce9 COPD"

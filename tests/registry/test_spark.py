"""The guide's Spark program, run as it stands over a DataFrame in local mode."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from belink.linker.linker import Linker
from belink.registry import aliases
from tests.support.serving import Made

GUIDE = Path(__file__).parents[2] / "flows" / "README.md"
SETTINGS = (
    "SparkSession.builder.master('local[2]').config('spark.ui.enabled', 'false')"
    ".config('spark.driver.host', '127.0.0.1').config('spark.driver.bindAddress', '127.0.0.1')"
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_spark_links_a_data_frame_as_the_linker_links_its_texts(served_home: Made, tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="pip install pyspark")
    if shutil.which("java") is None:
        pytest.skip("expected Java on PATH for Spark, found none")
    aliases.promote(served_home.here, "sparkling", served_home.register("sparkling"))
    path, _ = aliases.bundle_path(served_home.here, "sparkling")
    linker = Linker(path, served_home.here.cache)
    names = sorted(linker.index.names(), key=len)[-3:]
    texts = [f"a case of {name} was seen" for name in names] + ["Nothing to see.", "😀 " + names[0]]
    frame = repr([(str(number), text) for number, text in enumerate(texts)])
    (program,) = re.findall(r"```python\n(import os.*?spark_udf.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    for old, new in (
        ("SparkSession.builder", SETTINGS),
        (".belink/mlflow.db", f"{served_home.here.home}/mlflow.db"),
        ("models:/mondo@champion", "models:/sparkling@champion"),
        ('[("note-1", "He has type 2 diabetes.")]', frame),
        (".show()", ".write.json(sys.argv[1])"),
    ):
        assert old in program
        program = program.replace(old, new)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "links")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line for part in (tmp_path / "links").glob("part-*.json") for line in part.read_text("utf-8").splitlines()]
    answers = sorted(re.findall(r'"document":"(\d+)","start":(\d+),"end":(\d+),"id":"([^"]+)"', "\n".join(lines)))
    wanted = sorted(
        (str(number), str(link.mention.start), str(link.mention.end), link.id)
        for number, text in enumerate(texts)
        for link in linker.link_text(text)
        if link.id
    )
    assert answers == wanted
    assert len(answers) >= len(names)

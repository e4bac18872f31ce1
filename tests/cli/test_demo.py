"""The demonstration leaves a linker that the commands shown next find, and can be run again."""

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from belink.cli import demo
from belink.cli.main import belink
from belink.registry import aliases
from belink.settings import Settings, load
from tests.support import small, warm

_RUN = """
import sys
from belink import settings
from belink.cli import demo, main
if __name__ == "__main__":
    document = demo.run(settings.load(), say=lambda text: print(text, file=sys.stderr), declaration=sys.argv[1])
    import json
    print(json.dumps(document, default=str))
"""


def test_what_is_shown_next_fits_80_columns_and_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BELINK_HOME")
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    text = demo._next_steps(load())
    assert max(map(len, text.splitlines())) <= 80
    calls = [line.partition(".venv/bin/belink ")[2] for line in text.splitlines() if ".venv/bin/belink " in line]
    assert [call.split()[0] for call in calls] == ["status", "link", "serve"]
    for call in calls:
        name, *arguments = shlex.split(call)
        belink.commands[name].make_context(name, arguments, resilient_parsing=False)
    for part in (".belink/mlflow.db", "PREFECT_HOME=.belink/prefect", ":8000", ":5000", ":4200"):
        assert part in text
    servers = text.replace("\\\n", " ").splitlines()
    (prefect,) = (line for line in servers if "prefect server" in line)
    (mlflow,) = (line for line in servers if "mlflow ui" in line)
    assert "PREFECT_SERVER_ANALYTICS_ENABLED=false" in prefect  # a page that shows one's own runs tells nobody of them
    assert "DO_NOT_TRACK=true" in mlflow
    assert "--home" in demo._next_steps(load(tmp_path / "elsewhere"))


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_a_second_run_builds_nothing_again(
    registry_home: Settings, tmp_path: Path, models: dict[str, str], prefect_server: Path
) -> None:
    from prefect.settings import PREFECT_API_URL

    def run(folder: Path) -> tuple[dict, str]:
        path = small.linker(folder, models, name=demo.LINKER)
        server = str(PREFECT_API_URL.value())
        environment = {**os.environ, "BELINK_HOME": str(registry_home.home), "PREFECT_API_URL": server}
        done = warm.run(["-c", _RUN, path], cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr

    first, said = run(tmp_path / "a")
    assert [outcome["outcome"] for outcome in first["refreshes"]] == ["promoted", "promoted"]
    assert first["home"] == str(registry_home.home)
    assert "WARNING" not in said
    assert aliases.champion(registry_home, demo.LINKER) == "2"
    again, said = run(tmp_path / "a")
    assert [outcome["outcome"] for outcome in again["refreshes"]] == ["unchanged"]
    assert f"already built from {demo.ONTOLOGY} {demo.RELEASES[1]}" in said
    assert again["links"] == first["links"]

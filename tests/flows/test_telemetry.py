"""No server that belink starts, or tells people to start, reports to anybody outside."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import guides

PROGRAM = """
import sys
from pathlib import Path
from belink.flows.environment import prepared
with prepared(Path(sys.argv[1])):
    from prefect._internal.analytics.enabled import is_telemetry_enabled
    from prefect.settings.context import get_current_settings
    from prefect.server.api.server import SubprocessASGIServer
    print(get_current_settings().server.analytics_enabled, is_telemetry_enabled())
    print(get_current_settings().to_environment_variables(exclude_unset=True)["PREFECT_SERVER_ANALYTICS_ENABLED"])
"""


@pytest.mark.heavy
def test_a_temporary_server_is_started_without_telemetry(tmp_path: Path) -> None:
    quiet = ("DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED")
    variables = {name: value for name, value in os.environ.items() if name not in quiet}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, env=variables, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False"] * 3


@pytest.mark.parametrize("guide", guides.GUIDES)
def test_no_guide_starts_a_server_with_telemetry(guide: str) -> None:
    for block in guides.blocks(guide, "console"):
        if "prefect server start" in block:
            assert "PREFECT_SERVER_ANALYTICS_ENABLED=false" in block
        if "mlflow server" in block or "mlflow ui" in block:
            assert "DO_NOT_TRACK=true" in block

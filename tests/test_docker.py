"""The files for containers pass their linter and schema, and name commands, extras and variables that there are."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
BIN = Path(sys.executable).parent


def stages() -> dict[str, str]:
    """The text of each stage of the Dockerfile."""
    found = re.split(r"(?m)^FROM (\S+) AS (\S+)\n", DOCKERFILE)
    return {name: text for _, name, text in zip(found[1::3], found[2::3], found[3::3], strict=True)}


def test_the_dockerfile_passes_its_linter() -> None:
    done = subprocess.run([BIN / "hadolint", DOCKER / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_compose_follows_the_specification() -> None:
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DOCKER / "compose.yaml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("target", ["worker", "gpu-worker", "serve"])
def test_every_image_runs_as_an_unprivileged_user(target: str) -> None:
    text = stages()[target]
    assert "\nUSER 10001:10001\n" in text
    assert text.index("USER") > text.rindex("RUN"), "nothing is installed afterwards"


def test_the_base_is_a_tag_of_one_python_and_one_debian() -> None:
    """So that the file builds as it stands; a placeholder for a digest would not."""
    base = re.search(r"^ARG BASE=(\S+)$", DOCKERFILE, flags=re.M)
    assert base and re.fullmatch(r"python:3\.\d+-slim-\w+", base[1])
    assert f"\nBASE={base[1]}\n" in (DOCKER / ".env.example").read_text(encoding="utf-8")


def test_compose_hands_over_every_build_argument_that_the_dockerfile_has() -> None:
    declared = set(re.findall(r"(?m)^ARG (\w+)=", DOCKERFILE)) - {"TORCH"}  # the code is written for this version
    for name, service in SERVICES.items():
        if "build" in service:
            assert set(service["build"]["args"]) == declared, name


@pytest.mark.parametrize("index", ["", "https://index.example/cpu"])
def test_the_environment_takes_pytorch_from_the_index_that_is_given(index: str) -> None:
    command = ["make", "--dry-run", "--always-make", f"TORCH_INDEX={index}", ".venv/.ready"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if " torch==" in line]
    assert ("--index-url" in line) == bool(index)
    assert index in line


def test_images_install_extras_that_there_are_and_serving_trains_nothing() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: re.findall(r"\.whl\)\[([\w,]+)\]", text) for name, text in stages().items()}
    assert extras["worker"] == extras["gpu-worker"] == ["train,flows,postgres"]
    assert extras["serve"] == ["serve"]
    assert {"train", "flows", "postgres", "serve"} <= set(project["optional-dependencies"])


def test_what_is_copied_into_an_image_is_let_through() -> None:
    let_through = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, flags=re.M):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists()
            assert f"!{name.removeprefix('./')}\n" in let_through
    assert ".env" not in let_through.replace("!", "").split()


def test_every_service_has_a_health_check_or_ends() -> None:
    assert set(SERVICES) >= {"postgres", "prefect", "mlflow", "deploy", "worker", "trainer", "serve"}
    for name, service in SERVICES.items():
        assert "healthcheck" in service or service["restart"] == "no", name


def test_services_wait_for_services_that_there_are_and_volumes_are_declared() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (DOCKER / source).exists(), volume


def test_pages_stay_on_loopback_unless_told() -> None:
    for service in SERVICES.values():
        for port in service.get("ports", []):
            assert port.startswith("${PUBLISH:-127.0.0.1}:")


def test_every_variable_is_in_the_example() -> None:
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    example = (DOCKER / ".env.example").read_text(encoding="utf-8")
    for name in set(re.findall(r"(?<!\$)\$\{(\w+)", text)):
        assert re.search(rf"(?m)^{name}=", example), name


@pytest.mark.heavy
@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "command" in service])
def test_commands_are_commands(name: str) -> None:
    """Each option of a command is one that its program knows."""
    words = list(SERVICES[name]["command"])
    if words[0] == "sh":
        words = shlex.split(words[2].rpartition("exec ")[2])
    subcommand: list[str] = []
    for word in words:
        if not re.fullmatch(r"[a-z-]+", word) or word.startswith("-"):
            break
        subcommand.append(word)
    told = _help(subcommand)
    assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[a-z-]+", told))


def _help(words: list[str]) -> str:
    done = subprocess.run([BIN / words[0], *words[1:], "--help"], capture_output=True, text=True, check=True)
    return done.stdout

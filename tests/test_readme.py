"""The README says what is so: its commands, options, make targets, files and Python."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from belink.cli.main import belink

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.M | re.S)
COMMANDS = [
    line.removeprefix("$ ").split("  #")[0].strip()
    for language, block in BLOCKS
    if language in ("console", "bash")
    for line in block.replace("\\\n", " ").splitlines()
    if re.match(r"(\$ )?(\S*/)?(belink|make) ", line)
]


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The click command that ``words`` call, and what is left of them."""
    group: click.Command = belink
    rest = words[1:]
    while rest and rest[0].startswith("--home"):
        rest = rest[2:]
    while isinstance(group, click.Group):
        assert rest and rest[0] in group.commands, f"no command {' '.join(words)!r}"
        group, rest = group.commands[rest[0]], rest[1:]
    return group, rest


def test_readme_shows_commands() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("line", [c for c in COMMANDS if "belink " in c.split("make")[0]])
def test_every_belink_line_names_a_command_with_its_options(line: str) -> None:
    words = shlex.split(line)
    if words[0].rsplit("/", 1)[-1] != "belink":
        pytest.skip("not a belink command")
    command, rest = command_of(words)
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    used = {word.split("=")[0] for word in rest if word.startswith("-") and not re.fullmatch(r"-\d.*", word)}
    assert used <= known, f"{used - known} in {line!r}"


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.startswith("make ")])
def test_every_make_line_names_a_target(line: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert shlex.split(line)[1] in targets


@pytest.mark.parametrize("name", sorted(belink.commands))
def test_every_command_has_help_and_is_in_the_readme(name: str) -> None:
    assert belink.commands[name].help
    assert f"belink {name}" in README, f"say in the README what `belink {name}` does"


@pytest.mark.parametrize("path", sorted((ROOT / "belink").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_and_package_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("source", [block for language, block in BLOCKS if language == "python"])
def test_every_python_snippet_parses(source: str) -> None:
    ast.parse(source)


@pytest.mark.parametrize("target", re.findall(r"\]\(((?!https?:|#)[^)]+)\)", README))
def test_every_link_leads_to_a_file(target: str) -> None:
    assert (ROOT / target.split("#")[0]).exists()


def test_changelog_has_the_version_of_the_project() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), flags=re.M)
    assert version and f"[{version[1]}]" in (ROOT / "CHANGELOG.md").read_text()

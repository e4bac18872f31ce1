"""README and guides say what is so: commands, options, make targets, paths, links, declared keys and Python."""

import ast
import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel

from belink import declarations
from belink.cli.main import belink
from tests.support import guides, key_tables
from tests.support.guides import GUIDES, ROOT, Found

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PLACES = ("belink/", "flows/", "ontologies/", "tests/", "docker/")  # what begins so is a path of the checkout
STANDS_FOR = re.compile(r"^(NAME|PACKAGE|LINKER|VERSION|PATH|FILE|HOME)\b")  # what a reader puts in
MADE_BY_HAND = {"docker/.env"}


@pytest.fixture
def any_path_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guides name files of the reader's."""
    commands: list[click.Command] = [belink]
    for command in commands:
        commands += list(command.commands.values()) if isinstance(command, click.Group) else []
        for parameter in command.params:
            if isinstance(parameter.type, click.Path):
                monkeypatch.setattr(parameter.type, "exists", False)


def test_readme_shows_commands() -> None:
    assert len(guides.calls("belink", ("README.md",))) >= 8


@pytest.mark.usefixtures("any_path_exists")
@pytest.mark.parametrize(("guide", "text"), guides.calls("belink"))
def test_every_belink_command_line_is_accepted(guide: str, text: str) -> None:
    words = shlex.split(text)
    only_named = len(words) == 1  # `belink diff` in a sentence
    if words[-1] in ("--help", "--version"):
        return
    command: click.Command = belink
    context = command.make_context("belink", words, resilient_parsing=only_named)
    while isinstance(command, click.Group):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert name and command, f"{guide}: belink {text}"
        context = command.make_context(name, rest, parent=context, resilient_parsing=only_named)


@pytest.mark.parametrize(("guide", "text"), guides.calls("make"))
def test_every_make_line_names_a_target_or_a_variable(guide: str, text: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", MAKEFILE, flags=re.M))
    variables = set(re.findall(r"^(\w+) \?=", MAKEFILE, flags=re.M))
    for word in shlex.split(text):
        name, is_variable, _ = word.partition("=")
        assert name in (variables if is_variable else targets), f"{guide}: make {text}"


@pytest.mark.parametrize(("guide", "text"), guides.calls("pytest"))
def test_every_pytest_line_names_a_marker(guide: str, text: str) -> None:
    words = shlex.split(text)
    markers = {marker.partition(":")[0] for marker in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    for option, value in pairwise(words):
        assert option != "-m" or value in markers, f"{guide}: pytest {text}"


def test_the_guide_to_tests_explains_every_marker() -> None:
    markers = {marker.partition(":")[0] for marker in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    assert {row[0].strip("`") for row in guides.table_after("tests/README.md", "## Markers")} == markers


@pytest.mark.parametrize("name", sorted(belink.commands))
def test_every_command_has_help_and_is_in_a_guide(name: str) -> None:
    assert belink.commands[name].help
    assert any(text.split(" ")[0] == name for _, text in guides.calls("belink")), f"no guide shows belink {name}"


def paths() -> list[Found]:
    found = set()
    for guide in GUIDES:
        words = [word for line in guides.command_lines(guide) for word in re.split(r"[ =]", line)]
        words += [word for span in guides.spans(guide) for word in span.split()]
        for word in words:
            if word.startswith(PLACES) or re.fullmatch(r"bench_\w+\.py", word):
                found.add(Found(guide, word.partition("::")[0].rstrip(".,")))
    return sorted(found)


@pytest.mark.parametrize(("guide", "text"), paths())
def test_every_path_of_the_checkout_exists(guide: str, text: str) -> None:
    path = ROOT / "tests/benchmarks" if text.startswith("bench_") else ROOT
    for part in Path(text).parts:
        if STANDS_FOR.match(part) and not (path / part).exists():
            break
        path /= part
    assert text in MADE_BY_HAND or path.exists(), f"{guide}: {text}"


@pytest.mark.parametrize("guide", GUIDES)
def test_every_link_leads_to_a_file_and_a_heading(guide: str) -> None:
    for link in guides.links(guide):
        name, _, anchor = link.partition("#")
        target = (ROOT / guide).parent / name if name else ROOT / guide
        assert target.exists(), f"{guide}: {link}"
        if anchor:
            assert anchor in guides.slugs(str(target.resolve().relative_to(ROOT))), f"{guide}: {link}"


@pytest.mark.parametrize("guide", GUIDES)
def test_every_variable_of_the_environment_is_read_somewhere(guide: str) -> None:
    code = [
        *(ROOT / "belink").rglob("*.py"),
        ROOT / "docker/Dockerfile",
        ROOT / "docker/compose.yaml",
        *(ROOT / "tests").rglob("*.py"),
    ]
    text = "\n".join(path.read_text(encoding="utf-8") for path in code)
    for name in set(re.findall(r"\bBELINK_[A-Z_]+\b", guides.read(guide))):
        assert name in text, f"{guide}: {name}"


@pytest.mark.parametrize(("guide", "text"), [Found(g, b) for g in GUIDES for b in guides.blocks(g, "python")])
def test_every_python_block_compiles(guide: str, text: str) -> None:
    compile(text, guide, "exec")


def test_readme_is_short() -> None:
    text = guides.read("README.md")
    assert len(text.splitlines()) <= 250
    assert len(text.split()) <= 1500


@pytest.mark.parametrize("folder", [".", "ontologies", "flows", "docker", "tests", "tests/benchmarks"])
def test_every_folder_that_people_work_in_has_a_readme(folder: str) -> None:
    assert (Path(folder) / "README.md").as_posix() in GUIDES
    assert (ROOT / folder / "README.md").is_file()


@pytest.mark.parametrize("path", sorted((ROOT / "belink").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(source)) or not source.strip(), "a module's docstring says its place in the path"


def test_changelog_has_the_version_of_the_project() -> None:
    assert f"[{PROJECT['project']['version']}]" in guides.read("CHANGELOG.md")


def test_experiments_are_numbered_rows_with_date_question_data_effect_and_verdict() -> None:
    rows = [guides.cells(row) for row in re.findall(r"^\| \d+ \| 20.*$", guides.read(GUIDES[-1]), flags=re.M)]
    rows = [row for row in rows if len(row) == 6]
    assert sorted(int(row[0]) for row in rows) == list(range(1, len(rows) + 1))
    assert len(rows) >= 82
    for row in rows:
        assert all(row)
        assert re.match(r"2\d{3}-\d\d-\d\d", row[1])


# What a guide says of declarations. Section → what stands before its table there.
TABLES: dict[type[BaseModel], tuple[str, str]] = {
    declarations.SourceConfig: ("ontologies/README.md", "## Keys of a declaration"),
    declarations.NamesKept: ("ontologies/README.md", "`[names]`"),
    declarations.Columns: ("ontologies/README.md", "`[columns]`, for"),
    declarations.ReleaseGates: ("ontologies/README.md", "`[gates]`, what"),
    declarations.LinkerConfig: ("flows/README.md", "## Keys of a linker"),
    declarations.EncoderConfig: ("flows/README.md", "`[encoder]`,"),
    declarations.AdaptationConfig: ("flows/README.md", "`[adaptation]`, "),
    declarations.RetrievalConfig: ("flows/README.md", "`[retrieval]`,"),
    declarations.RerankerConfig: ("flows/README.md", "`[reranker]`,"),
    declarations.DetectorConfig: ("flows/README.md", "`[detector]`,"),
    declarations.TrainingConfig: ("flows/README.md", "`[training]`,"),
    declarations.CorpusConfig: ("flows/README.md", "`[[corpora]]`,"),
    declarations.WatchConfig: ("flows/README.md", "`[[watch]]`,"),
    declarations.EvaluationConfig: ("flows/README.md", "`[evaluation]`,"),
    declarations.RetrainConfig: ("flows/README.md", "`[retrain]`, when"),
    declarations.LinkerGates: ("flows/README.md", "## Gates"),
    declarations.ApprovalConfig: ("flows/README.md", "## Approvals"),
    declarations.StorageConfig: ("flows/README.md", "## Large bundles"),
}
NAMED_BY_THE_FILE = {declarations.SourceConfig: {"name"}, declarations.LinkerConfig: {"name"}}


def described(model: type[BaseModel]) -> dict[str, str | None]:
    """Key → its default as the guide's table has it; ``None`` where a block of TOML shows the key."""
    guide, heading = TABLES[model]
    found: dict[str, str | None] = {}
    for row in guides.table_after(guide, heading):
        names = re.findall(r"`(\w+)`", row[0])
        values = row[1].split(", ") if len(names) > 1 else [row[1]]
        found |= dict(zip(names, values if len(values) == len(names) else [""] * len(names), strict=True))
    if not found:
        following = guides.read(guide).partition(heading)[2]
        block = re.search(r"```toml\n(.*?)```", following, flags=re.S)
        assert block, heading
        (section,) = tomllib.loads(block[1]).values()
        found = dict.fromkeys(section)
    return found


def test_the_tables_of_an_ontologys_keys_are_made_from_its_fields() -> None:
    text = guides.read("ontologies/README.md")
    assert text == key_tables.rendered(text), "write them anew: python -m tests.support.key_tables"


def holds_a_section(annotation: Any) -> bool:
    """Whether a field is a section of its own, such as ``[encoder]`` or ``[[corpora]]``."""
    return any(model.__name__ in str(annotation) for model in TABLES)


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
def test_guides_describe_every_declared_key_and_no_other(model: type[BaseModel]) -> None:
    keys = {name for name, field in model.model_fields.items() if not holds_a_section(field.annotation)}
    assert set(described(model)) == keys - NAMED_BY_THE_FILE.get(model, set())


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model.__name__)
def test_guides_tell_the_defaults_of_declared_keys(model: type[BaseModel]) -> None:
    for name, told in described(model).items():
        field = model.model_fields[name]
        if not told:
            continue
        assert not field.is_required(), name
        default = field.get_default(call_default_factory=True)
        literal = re.sub(r" \(.*\)$", "", told).replace("`", "").replace("\\|", "|")
        if literal == "none":
            assert default is None, name
            continue
        try:
            value = tomllib.loads(f"x = {literal}")["x"]
        except tomllib.TOMLDecodeError:
            continue  # words, such as the name of a model
        assert value == (list(default) if isinstance(default, tuple) else default), name


@pytest.mark.parametrize(("guide", "text"), [Found(g, b) for g in GUIDES for b in guides.blocks(g, "toml")])
def test_every_toml_block_is_a_declaration_or_a_part_of_one(guide: str, text: str) -> None:
    declared = tomllib.loads(text)
    if "format" in declared:
        declarations.SourceConfig.model_validate({"name": "x", **declared})
    else:
        declarations.LinkerConfig.model_validate({"name": "x", "title": "X", "ontologies": ["x"], **declared})

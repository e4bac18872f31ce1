"""Declarations: what belink no longer offers is refused in a user's TOML and ignored in a bundle."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from belink import declarations
from belink.declarations import CorpusConfig, LinkerConfig, load_linker, load_source, read_stored_linker
from belink.errors import DeclarationError


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(declarations.REMOVED_OPTIONS, "training.patience", "it won nothing")
    return "training.patience"


def test_a_removed_option_in_a_users_toml_is_refused_with_its_reason(tmp_path: Path, removed: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('title = "Mine"\nontologies = ["x"]\n[training]\npatience = 3\n')
    with pytest.raises(DeclarationError, match=rf"{removed}.*removed \(it won nothing\); delete the line"):
        load_linker(str(path))


@pytest.mark.usefixtures("removed")
def test_a_removed_option_stored_in_a_bundle_is_ignored(tmp_path: Path) -> None:
    stored = LinkerConfig(name="mine", title="Mine", ontologies=("x",)).model_dump(mode="json")
    stored["training"]["patience"] = 3
    path = tmp_path / "linker.json"
    path.write_text(json.dumps(stored))
    assert read_stored_linker(path) == LinkerConfig(name="mine", title="Mine", ontologies=("x",))


def test_large_bundles_lie_where_the_declaration_says_whoever_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := tmp_path / "linkers").mkdir()
    mine = 'title = "Mine"\nontologies = ["hp"]\n[storage]\n'

    def address(lines: str) -> str:
        (folder / "mine.toml").write_text(mine + lines)
        return load_linker("linkers/mine.toml").storage.address

    monkeypatch.chdir(tmp_path)
    large = "by_reference_above_mib = 10.0\n"
    assert address(large) == ""
    assert address(f'{large}address = "../bundles"') == str(tmp_path / "bundles")
    assert address(f'{large}address = "/srv/bundles"') == "/srv/bundles"
    assert address(f'{large}address = "s3://bucket/bundles"') == "s3://bucket/bundles"
    with pytest.raises(DeclarationError, match=r"storage.address: expected storage.by_reference_above_mib beside it"):
        address('address = "/srv/bundles"')


@pytest.mark.parametrize("content", ["", "[]", '{"name": "mine"}', '{"training": 3}'])
def test_a_damaged_stored_declaration_is_refused_in_words(tmp_path: Path, content: str) -> None:
    path = tmp_path / "linker.json"
    path.write_text(content)
    with pytest.raises(DeclarationError, match="expected the declaration of a linker"):
        read_stored_linker(path)


@pytest.mark.parametrize("option", sorted(declarations.REMOVED_OPTIONS))
def test_no_removed_option_is_an_option_still(option: str) -> None:
    section, key = option.split(".")
    declared = LinkerConfig(name="mine", title="Mine", ontologies=("x",)).model_dump(mode="json")
    assert key not in declared[section]


def test_the_training_of_an_old_adapter_compares_equal_without_its_removed_options() -> None:
    today = LinkerConfig(name="mine", title="Mine", ontologies=("x",)).training.model_dump(mode="json")
    stored = {**today, "residual": 1.0, "order": "shuffled", "inserted": 0.5, "lora_dropout": 0.0}
    assert declarations.without_removed("training", stored) == today
    assert declarations.without_removed("training", {**stored, "epochs": 9.0}) != today


def numbers() -> Iterator[tuple[type[BaseModel], str, bool]]:
    """Yield every declared number: its section, its name, and whether it may be a fraction."""
    for section in (each for each in vars(declarations).values() if isinstance(each, type)):
        if issubclass(section, declarations.Declaration):
            for name, field in section.model_fields.items():
                kinds = {field.annotation, *get_args(field.annotation)}
                kinds |= {get_args(kind)[0] for kind in kinds if get_args(kind)}
                if kinds & {int, float} and bool not in kinds:
                    yield section, name, float in kinds


@pytest.mark.parametrize(("section", "name", "fraction"), list(numbers()))
def test_every_number_of_a_declaration_has_a_lower_bound_and_is_finite(
    section: type[BaseModel], name: str, fraction: bool
) -> None:
    for value in [-1, *([math.nan, math.inf, -math.inf] if fraction else [])]:
        with pytest.raises(ValidationError) as refused:
            section.model_validate({name: value})
        assert name in {error["loc"][0] for error in refused.value.errors()}, value


def test_an_ontology_without_a_linker_has_a_default_one_by_name_and_by_path(tmp_path: Path) -> None:
    linker = load_linker("hp")
    assert (linker.name, linker.ontologies, linker.training.questions) == ("hp", ("hp",), 0)
    assert linker.schedule == load_source("hp").schedule
    told = declarations.defaults_of(linker, load_source("hp"))
    assert told is not None and told["encoder"] == linker.encoder.model
    assert [corpus.feedback for corpus in linker.corpora] == [True]
    for corpora in ((), (linker.corpora[0].model_copy(update={"file": "/x/corrections.jsonl"}),)):
        assert declarations.defaults_of(linker.model_copy(update={"corpora": corpora}), load_source("hp")) == told
    other = linker.model_copy(update={"corpora": (CorpusConfig(name="c", file="c.jsonl"), *linker.corpora)})
    assert declarations.defaults_of(other, load_source("hp")) is None
    path = tmp_path / "plants.toml"
    path.write_text('title = "Plants"\nformat = "obo"\nprefixes = ["PO"]\nlicence = "CC0"\n')
    linker = load_linker(str(path))
    assert (linker.name, linker.title, linker.ontologies) == ("plants", "Plants", (str(path),))


def test_a_declared_linker_comes_before_the_default_one_of_its_name() -> None:
    linker = load_linker("mondo")
    assert linker.training.questions > 0
    assert declarations.defaults_of(linker, load_source("mondo")) is None


def test_a_default_linker_takes_no_declared_linkers_name(tmp_path: Path) -> None:
    path = tmp_path / "mondo.toml"
    path.write_text('title = "Mine"\nformat = "obo"\nprefixes = ["MONDO"]\nlicence = "CC0"\n')
    with pytest.raises(DeclarationError, match="found that of the declared linker mondo; name the linker, or copy"):
        load_linker(str(path))


@pytest.mark.parametrize("name", ["my onto", "a+b", "x" * 64])
def test_an_ontologys_name_that_no_linker_can_have_is_told_so_and_harms_no_declared_linker(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text('title = "Mine"\nformat = "obo"\nprefixes = ["PO"]\nlicence = "CC0"\n')
    with pytest.raises(DeclarationError, match="expected a name that a linker can have, too"):
        load_linker(str(path))
    (tmp_path / "mine.toml").write_text(f'title = "Mine"\nontologies = ["{path.name}"]\n')
    declared = load_linker(str(tmp_path / "mine.toml"))
    assert declarations.defaults_of(declared, load_source(str(path))) is None


def test_a_name_that_is_neither_a_linker_nor_an_ontology_says_what_there_is() -> None:
    with pytest.raises(DeclarationError, match=r"no linker or ontology of that name; .*mondo.*; .*uberon"):
        load_linker("nothing")


def test_all_mistakes_are_told_at_once_each_with_the_line_to_write(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('titel = "Mine"\nformat = "obo"\nprefixes = "PO"\n[gates]\nmax_shrinkage = 3\nmax_cyclc = 2\n')
    with pytest.raises(DeclarationError) as refused:
        load_source(str(path))
    assert "\n" not in str(refused.value)
    head, *mistakes = refused.value.listed.splitlines()
    assert head == f"{path}: 6 mistakes:"
    for told, line in [
        ("title: expected a value, found none", 'title = "Plant Ontology"'),
        ("prefixes: ", 'prefixes = ["PO"]'),
        ("licence: ", 'licence = "CC BY 4.0"'),
        ("gates.max_shrinkage: ", "max_shrinkage = 0.05"),
        ("gates.max_cyclc: no such key", "max_cyclic = …"),
        ("titel: no such key", "title = …"),
    ]:
        assert [each for each in mistakes if each.strip().startswith(told) and each.endswith(f"write {line}")], told


@pytest.mark.parametrize(
    "option", ["lora_rank = 0", "epochs = 0", "learning_rate = nan", "batch_size = 0", "seed = -1"]
)
def test_a_number_out_of_bounds_is_one_line_that_names_it(tmp_path: Path, option: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'title = "Mine"\nontologies = ["x"]\n[training]\n{option}\n')
    with pytest.raises(DeclarationError, match=rf"mine\.toml: training\.{option.split()[0]}: ") as refused:
        load_linker(str(path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("change", [{"adaptation": {"steps": 5}}, {"retrieval": {"lexical": 0}}])
def test_a_linker_without_an_encoder_cannot_do_what_needs_one(change: dict[str, Any]) -> None:
    declared = {"name": "x", "title": "X", "ontologies": ["x"], "encoder": {"model": ""}}
    assert LinkerConfig.model_validate(declared).encoder.model == ""
    with pytest.raises(ValueError, match="declare an encoder, or leave both out"):
        LinkerConfig.model_validate({**declared, **change})


def test_a_watched_text_lies_below_a_variable_or_beside_the_declaration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside.txt").write_text("Gout.")
    text = 'title = "X"\nontologies = ["mondo"]\n[[watch]]\nname = "notes"\nfile = '
    (path := tmp_path / "x.toml").write_text(f'{text}"beside.txt"\n')
    beside = {"notes": (tmp_path / "beside.txt",)}
    assert declarations.watched_files(declarations.load_linker(str(path)), None) == beside
    path.write_text(f'{text}"$NOTES_OF_A_TEAM/beside.txt"\n')
    linker = declarations.load_linker(str(path))
    with pytest.raises(DeclarationError, match=r"watch notes: expected \$NOTES_OF_A_TEAM to name a folder"):
        declarations.watched_files(linker, None)
    monkeypatch.setenv("NOTES_OF_A_TEAM", str(tmp_path))
    assert declarations.watched_files(linker, None) == beside
    monkeypatch.setenv("NOTES_OF_A_TEAM", str(tmp_path / "nowhere"))
    with pytest.raises(DeclarationError, match=r"watch notes: expected the file .*, found none"):
        declarations.watched_files(linker, None)


def test_a_watched_text_may_be_a_pattern_of_files(tmp_path: Path) -> None:
    (tmp_path / "notes" / "old").mkdir(parents=True)
    for name in ("b.txt", "a.txt", "c.json", "old/d.txt"):
        (tmp_path / "notes" / name).write_text("Gout.")
    text = 'title = "X"\nontologies = ["mondo"]\n[[watch]]\nname = "notes"\nlimit = 5\nfile = '

    def found(pattern: str) -> list[str]:
        (path := tmp_path / "x.toml").write_text(f'{text}"{pattern}"\n')
        (files,) = declarations.watched_files(declarations.load_linker(str(path)), None).values()
        return [file.relative_to(tmp_path / "notes").as_posix() for file in files]

    assert found("notes/*.txt") == ["a.txt", "b.txt"]
    assert found("notes/**/*.txt") == ["a.txt", "b.txt", "old/d.txt"]
    (tmp_path / "notes" / "[a].txt").write_text("A file of that very name goes before the pattern.")
    assert found("notes/[a].txt") == ["[a].txt"]
    with pytest.raises(DeclarationError, match=r"expected the file .*none\.txt, found none"):
        found("notes/*none.txt")
    with pytest.raises(DeclarationError, match="limit"):
        load_linker(str(_written(tmp_path / "y.toml", f'{text}"a"\n'.replace("limit = 5", "limit = 0"))))


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path

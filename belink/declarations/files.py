"""Declarations as files: found by name or path, read, and their mistakes told."""

import glob
import json
import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from belink import settings
from belink.declarations.default import default_linker
from belink.declarations.fields import Declaration
from belink.declarations.linker import REMOVED_OPTIONS, CorpusConfig, LinkerConfig, StorageConfig, WatchConfig
from belink.declarations.mistakes import tell_mistake
from belink.declarations.source import Format, SourceConfig
from belink.errors import DeclarationError, first_line

Model = TypeVar("Model", bound=Declaration)
_Text = TypeVar("_Text", CorpusConfig, WatchConfig)


def load_source(name_or_path: str) -> SourceConfig:
    """Return the declaration of a shipped ontology by name, or of any TOML by path.

    :raises DeclarationError: no such declaration, or one that does not validate.
    """
    path = _locate(name_or_path, settings.shipped_ontologies(), "ontology")
    return _source(path, _table(path))


def undeclared_source(name: str, format: Format) -> SourceConfig:
    """Return a source for a local file without declaration: everything kept, the prefix taken from the name."""
    return SourceConfig(name=name, title=name, format=format, prefixes=(), licence="unknown", redistributable=False)


def load_linker(name_or_path: str) -> LinkerConfig:
    """Return the declaration of a shipped linker by name, or of any TOML by path.

    Where the name or the TOML is an ontology's, it is that ontology's default linker.

    :raises DeclarationError: no such declaration, or one that does not validate.
    """
    if not name_or_path.endswith(".toml"):
        path = settings.shipped_linkers() / f"{name_or_path}.toml"
        if not path.is_file():
            return default_linker(_source_of_linker(name_or_path), name_or_path)
    else:
        path = _locate(name_or_path, settings.shipped_linkers(), "linker")
    table = _table(path)
    if "ontologies" not in table and "format" in table:
        if (settings.shipped_linkers() / path.name).is_file():
            raise DeclarationError(
                f"{path}: expected an ontology without a linker of its own, found that of the declared linker "
                f"{path.stem}; name the linker, or copy the file under another name"
            )
        return default_linker(_source(path, table), _absolute(path))
    linker = _validated(path, LinkerConfig, table)
    beside = path.absolute().parent  # relative paths in a declaration start where it lies
    corpora = tuple(_from_folder(corpus, beside) for corpus in linker.corpora)
    watch = tuple(_from_folder(text, beside) for text in linker.watch)
    ontologies = tuple(_absolute(beside / name) if name.endswith(".toml") else name for name in linker.ontologies)
    storage = _storage(path, linker.storage)
    return linker.model_copy(update={"corpora": corpora, "watch": watch, "ontologies": ontologies, "storage": storage})


def read_stored_linker(path: Path) -> LinkerConfig:
    """The declaration that a bundle holds as JSON; options that belink no longer has are left out of it.

    :raises DeclarationError: the file is not the declaration of a linker.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(stored, dict):
            raise ValueError("no JSON object")
        for option in _removed_options(stored):
            section, key = option.split(".")
            del stored[section][key]
        return LinkerConfig.model_validate(stored)
    except (ValueError, OSError, RecursionError) as error:  # pydantic's and json's errors are ValueErrors
        raise DeclarationError(
            f"{path}: expected the declaration of a linker, found {first_line(error)}; refresh again"
        ) from error


def corpus_file(corpus: CorpusConfig, data: Path | None) -> Path:
    """Where the corpus lies on this machine; ``data`` is the folder that ``$BELINK_DATA`` stands for.

    :raises DeclarationError: it is not there; the message says where to get it.
    """
    get = f"; get it from {corpus.url}" if corpus.url else ""
    path = _located(f"corpus {corpus.name}", corpus.file, data, get)
    if not path.is_file():
        raise DeclarationError(f"corpus {corpus.name}: expected the file {path}, found none{get}")
    return path


def watched_files(linker: LinkerConfig, data: Path | None) -> dict[str, tuple[Path, ...]]:
    """Return where the files of each watched text of a linker lie on this machine, in order, by the text's name.

    :param data: the folder that ``$BELINK_DATA`` stands for.
    :raises DeclarationError: one has no file, or its variable is not set.
    """
    return {text.name: _watched(text, data) for text in linker.watch}


def _watched(text: WatchConfig, data: Path | None) -> tuple[Path, ...]:
    path = _located(f"watch {text.name}", text.file, data)
    # A file of that very name goes before a pattern: "notes[1].txt" is both.
    if path.is_file():
        return (path,)
    files = tuple(sorted(Path(each) for each in glob.glob(str(path), recursive=True) if Path(each).is_file()))
    if not files:
        raise DeclarationError(f"watch {text.name}: expected the file {path}, found none")
    return files


def _located(what: str, file: str, data: Path | None, hint: str = "") -> Path:
    """Return the path that a declared ``file`` stands for on this machine, there or not.

    ``$BELINK_DATA``, ``$SAMPLES`` and any variable of the environment may stand in front of a slash.

    :param what: the declaration, for messages.
    :param hint: added to them.
    """
    variable, separator, below = file.partition("/")
    if not variable.startswith("$"):
        return Path(file).expanduser()
    if variable == "$SAMPLES":
        return settings.shipped_ontologies() / "samples" / below
    folder = str(data or "") if variable == "$BELINK_DATA" else os.environ.get(variable[1:], "")
    if not folder or not separator:
        raise DeclarationError(
            f"{what}: expected {variable} to name a folder, found {variable[1:]} unset{hint}; set it, or give a path"
        )
    return Path(folder) / below


def _from_folder(text: _Text, folder: Path) -> _Text:
    """Return the declaration of a text with the path of its file taken from ``folder``, unless it begins with "$"."""
    return text if text.file.startswith("$") else text.model_copy(update={"file": str(folder / text.file)})


def _storage(path: Path, storage: StorageConfig) -> StorageConfig:
    """Return ``storage`` of the declaration at ``path`` with an absolute address, as every worker must find it.

    :raises DeclarationError: an address that no bundle would go to.
    """
    address = storage.address
    if address and storage.by_reference_above_mib is None:
        raise DeclarationError(
            f"{path}: storage.address: expected storage.by_reference_above_mib beside it, found none, so no bundle "
            "would go there; write by_reference_above_mib = 0.0 for all bundles, or a size in MiB"
        )
    if not address or urlsplit(address).scheme:
        return storage
    return storage.model_copy(update={"address": _absolute(path.absolute().parent / address)})


def _absolute(path: Path) -> str:
    """Return the one form of a path, without ``..``: two linkers of one ontology are told so by it."""
    return os.path.abspath(path)


def _locate(name_or_path: str, shipped: Path, kind: str) -> Path:
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        if not path.is_file():
            raise DeclarationError(f"{path}: no such {kind} declaration; give a TOML file or one of {_names(shipped)}")
        return path
    path = shipped / f"{name_or_path}.toml"
    if not path.is_file():
        raise DeclarationError(
            f"{name_or_path}: no {kind} of that name; shipped: {_names(shipped)}. Another one is a path to a TOML file."
        )
    return path


def _source_of_linker(name: str) -> SourceConfig:
    """Return the shipped ontology that ``name`` names, where no linker has that name."""
    linkers, ontologies = settings.shipped_linkers(), settings.shipped_ontologies()
    if not (ontologies / f"{name}.toml").is_file():
        raise DeclarationError(
            f"{name}: no linker or ontology of that name; shipped linkers: {_names(linkers)}; shipped ontologies: "
            f"{_names(ontologies)}. For another one give the path to its TOML file; belink new writes it"
        )
    return load_source(name)


def _names(folder: Path) -> str:
    return ", ".join(sorted(path.stem for path in folder.glob("*.toml"))) or "none"


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, numbers of thousands of digits, deep nesting
        raise DeclarationError(f"{path}: not TOML: {first_line(error)}") from error


def _source(path: Path, table: dict[str, Any]) -> SourceConfig:
    return _validated(path, SourceConfig, table)


def _validated(path: Path, model: type[Model], table: dict[str, Any]) -> Model:
    """Return the declaration in ``table``, named by its file.

    :raises DeclarationError: with all of its mistakes, one a line where there are several.
    """
    mistakes = []
    for option in _removed_options(table) if model is LinkerConfig else ():
        section, key = option.split(".")
        del table[section][key]
        mistakes.append(
            f"{option}: expected an option of this belink, found one that was removed ({REMOVED_OPTIONS[option]}); "
            "delete the line"
        )
    try:
        declaration = model.model_validate({"name": path.stem, **table})
    except ValidationError as error:
        mistakes += [
            tell_mistake(model, each["loc"], each["type"], each["msg"], each["input"]) for each in error.errors()
        ]
        reason: ValidationError | None = error
    else:
        reason = None
    if not mistakes:
        return declaration
    if len(mistakes) == 1:
        raise DeclarationError(f"{path}: {mistakes[0]}") from reason
    raise DeclarationError(f"{path}: {len(mistakes)} mistakes: ", mistakes) from reason


def without_removed(section: str, stored: dict[str, Any]) -> dict[str, Any]:
    """Return a section of a stored declaration without the options that were removed since, to compare it with."""
    return {key: value for key, value in stored.items() if f"{section}.{key}" not in REMOVED_OPTIONS}


def _removed_options(declared: dict[str, Any]) -> list[str]:
    """Those of ``REMOVED_OPTIONS`` that the declaration of a linker has."""
    present = {f"{section}.{key}" for section, keys in declared.items() if isinstance(keys, dict) for key in keys}
    return [option for option in REMOVED_OPTIONS if option in present]

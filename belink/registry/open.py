"""A registered linker, opened: where every consumer of the registry but MLflow itself begins."""

from pathlib import Path
from typing import overload

from belink import artefacts, declarations, settings
from belink.errors import RegistryError
from belink.linker.group import LinkerGroup
from belink.linker.linker import Linker
from belink.registry import aliases, bundles
from belink.settings import Settings

_MODELS = "models:/"


# The overloads tell type checkers that one reference gives a linker, and several give a group.
@overload
def load(reference: str | Path, /, *, home: str | Path | None = None) -> Linker: ...


@overload
def load(
    reference: str | Path, /, *more: str | Path, home: str | Path | None = None, nested: bool = False
) -> LinkerGroup: ...


def load(
    reference: str | Path, /, *more: str | Path, home: str | Path | None = None, nested: bool = False
) -> Linker | LinkerGroup:
    """Return the linker that ``reference`` names, ready to link; several linkers as one that answers for all.

    >>> import belink
    >>> linker = belink.load("sample@champion")
    >>> linker.link_text("She has schizophrenia.")[0].id
    'MONDO:0005090'

    :param reference: ``NAME``, ``NAME@ALIAS`` or ``NAME@VERSION`` of a registered linker (``NAME`` alone stands for
        ``NAME@champion``), the same as MLflow writes it (``models:/NAME@champion``, ``models:/NAME/3``), or the folder
        of a bundle.
    :param more: further linkers, named the same way: mentions of all are found, see
        :class:`belink.linker.group.LinkerGroup`.
    :param home: the home to look in; ``BELINK_HOME``, or ``./.belink``, if left out.
    :param nested: of several linkers, keep a mention that lies within a longer one, too.
    :raises RegistryError: no such linker, alias or version.
    :raises BundleError: the bundle is damaged, or made by another version of belink.
    """
    loaded = settings.load(Path(home) if home is not None else None)
    linkers = [_load_one(loaded, each) for each in (reference, *more)]
    return LinkerGroup(linkers, nested=nested) if more else linkers[0]


def _load_one(settings: Settings, reference: str | Path) -> Linker:
    if (folder := _bundle_folder(reference)) is not None:
        return Linker(bundles.resolve(settings, folder), settings.cache)
    return _open_one(settings, _registered_name(str(reference)))


def _bundle_folder(reference: str | Path) -> Path | None:
    """Return the folder that ``reference`` names; ``None`` where it is the name of a registered linker.

    :raises RegistryError: it is a path, but no bundle lies there.
    """
    path = Path(reference).expanduser()
    if str(reference).startswith(_MODELS) or str(reference).endswith(".toml"):
        return None
    if artefacts.exists(path) or (path / bundles.REFERENCE).is_file():
        return path
    # A plain word is the name of a linker; a `Path`, or a string with a slash, can only mean a folder.
    if isinstance(reference, Path) or len(path.parts) > 1:
        found = "a folder without manifest.json" if path.is_dir() else "nothing"
        raise RegistryError(f"{reference}: expected the folder of a bundle, found {found}")
    return None


def _registered_name(reference: str) -> str:
    """``models:/NAME@ALIAS`` and ``models:/NAME/VERSION`` as ``NAME@ALIAS``; other names as they are."""
    if not reference.startswith(_MODELS):
        return reference
    name, separator, version = reference.removeprefix(_MODELS).partition("/")
    return f"{name}@{version}" if separator else name


def open_linkers(settings: Settings, names: str | None, *, nested: bool = False) -> Linker | LinkerGroup:
    """Return the registered linkers ``NAME[@ALIAS],…`` as one, or the only one named; see :func:`open_linker`."""
    if names is None or "," not in names:
        return open_linker(settings, names)
    return LinkerGroup([_open_one(settings, name.strip()) for name in names.split(",")], nested=nested)


def open_linker(settings: Settings, name: str | None) -> Linker:
    """Return the registered linker ``NAME[@ALIAS]``; the only one there is where ``name`` is ``None``.

    :raises RegistryError: no such linker, alias or version, or several to choose from.
    """
    if name is None:
        registered = aliases.linkers(settings)
        if len(registered) != 1:
            there = ", ".join(registered) or "none; belink refresh NAME makes one"
            raise RegistryError(f"expected one registered linker, found {there}; name it with --linker")
        (name,) = registered
    return _open_one(settings, name)


def _open_one(settings: Settings, name: str) -> Linker:
    plain, _, alias = name.partition("@")
    if plain.endswith(".toml"):
        # The file's name and the linker's name can differ; only the declaration knows the latter.
        plain = declarations.load_linker(plain).name
    path, version = aliases.bundle_path(settings, plain, alias or aliases.CHAMPION)
    return Linker(path, settings.cache, model_version=version)

"""A registered linker, opened: what every consumer of the registry but MLflow itself begins with."""

from belink import declarations
from belink.errors import RegistryError
from belink.linker.linker import Linker
from belink.registry import aliases
from belink.settings import Settings


def open_linker(here: Settings, name: str | None) -> Linker:
    """The registered linker ``NAME[@ALIAS]``; the only one there is where ``name`` is ``None``.

    :raises RegistryError: no such linker, alias or version, or several to choose from.
    """
    if name is None:
        known = aliases.linkers(here)
        if len(known) != 1:
            there = ", ".join(known) or "none; belink refresh NAME makes one"
            raise RegistryError(f"expected one registered linker, found {there}; name it with --linker")
        (name,) = known
    plain, _, alias = name.partition("@")
    if plain.endswith(".toml"):
        plain = declarations.load_linker(plain).name
    path, version = aliases.bundle_path(here, plain, alias or aliases.CHAMPION)
    return Linker(path, here.cache, model_version=version)

"""Where things are on this machine: the only reader of the environment."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Folders and addresses. Nothing here says how a model is made: that is the linker's declaration."""

    home: Path  # releases, indices, adapters, bundles and, unless told otherwise, the MLflow store
    cache: Path  # downloaded model weights, shared between homes
    tracking_uri: str  # MLflow tracking and registry
    data: Path | None = None  # BELINK_DATA: real ontologies and corpora to measure with
    uts_api_key: str | None = None  # UMLS licence key; never logged
    serve_token: str | None = field(default=None, repr=False)  # BELINK_SERVE_TOKEN, borne by callers; never logged

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def quarantine(self) -> Path:
        """Releases that a gate refused, each with its report."""
        return self.home / "quarantine"

    @property
    def downloads(self) -> Path:
        return self.home / "downloads"

    @property
    def indices(self) -> Path:
        return self.home / "indices"

    @property
    def adapters(self) -> Path:
        return self.home / "adapters"

    @property
    def bundles(self) -> Path:
        return self.home / "bundles"

    @property
    def locks(self) -> Path:
        return self.home / "locks"


def load(home: Path | None = None, tracking_uri: str | None = None) -> Settings:
    """Settings from ``home`` or ``BELINK_HOME`` (``./.belink``) and the rest of the environment. Makes nothing."""
    chosen = Path(home or os.environ.get("BELINK_HOME") or ".belink").expanduser().absolute()
    cache = os.environ.get("BELINK_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "belink"
    data = os.environ.get("BELINK_DATA")
    return Settings(
        home=chosen,
        cache=Path(cache).expanduser().absolute(),
        tracking_uri=tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{chosen / 'mlflow.db'}",
        data=Path(data).expanduser().absolute() if data else None,
        uts_api_key=os.environ.get("UTS_API_KEY") or None,
        serve_token=os.environ.get("BELINK_SERVE_TOKEN") or None,
    )


def without_password(address: str) -> str:
    """``address`` as it may be shown: a password in it, or a user name that may be a token, becomes ``***``."""
    return re.sub(r"(?<=://)[^@/\s]*(?=@)", "***", address)


def shipped_ontologies() -> Path:
    """The folder of the source declarations that come with belink."""
    return Path(str(resources.files("belink.ontologies")))


def shipped_linkers() -> Path:
    """The folder of the linker declarations that come with belink."""
    return Path(str(resources.files("belink.flows"))) / "linkers"


@contextmanager
def environment_restored(*names: str) -> Iterator[None]:
    """Afterwards the variables ``names`` are what they were: for libraries that set them on the way."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

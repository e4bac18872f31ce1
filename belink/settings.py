"""The folders and addresses of this machine: the only reader of the environment."""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from urllib.parse import unquote


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
        """Releases in use: a folder for each ontology, in it one for each version."""
        return self.home / "releases"

    @property
    def quarantine(self) -> Path:
        """Releases that a gate refused, each with its report."""
        return self.home / "quarantine"

    @property
    def downloads(self) -> Path:
        """Files as they were fetched, a folder for each ontology."""
        return self.home / "downloads"

    @property
    def indices(self) -> Path:
        """Indices: a folder for each linker, in it one for each key of what an index depends on."""
        return self.home / "indices"

    @property
    def adapters(self) -> Path:
        """LoRA adapters: a folder for each linker, in it one for each key of what an adapter depends on."""
        return self.home / "adapters"

    @property
    def bundles(self) -> Path:
        """Bundles: a folder for each linker, in it one for each key of what a bundle depends on."""
        return self.home / "bundles"

    @property
    def locks(self) -> Path:
        """Lock files of work that one process does at a time."""
        return self.home / "locks"


def load(home: Path | None = None, tracking_uri: str | None = None) -> Settings:
    """Return settings from ``home`` or ``BELINK_HOME`` (``./.belink``) and the environment. Creates nothing."""
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


def without_password(text: str, *, of: Collection[str] = ()) -> str:
    """Return ``text`` as it may be shown: passwords in the addresses it holds, and whatever may be one, become ``***``.

    That is what stands before an ``@`` (drivers end the password at the first or at the last one, and take a slash in
    it), and each value of a query whose name speaks of a secret.

    :param of: addresses whose passwords are hidden wherever ``text`` quotes a piece of them, as drivers do.
    """
    text = _ADDRESS.sub(_masked, text)
    for piece in {piece for address in of for piece in _pieces(address)}:
        text = text.replace(piece, re.sub(r"[^'\"@]+", "***", piece))
    return text


# A password may hold any letter, also those that end an address elsewhere; what looks like a port is none.
_ADDRESS = re.compile(
    r"(?P<scheme>[A-Za-z][\w+.-]*)://"
    r"(?P<rest>(?:[^\s/@:?'\"<>]*:(?!\d+(?:[/?,\s'\"]|\Z))(?:(?!://).)*@)?[^\s'\"<>]+)",
    re.DOTALL,
)
_SECRET = re.compile(
    r"pass|pwd|secret|token|credential|api_?key|access_?key|odbc_connect|signature|^sig$", re.IGNORECASE
)


def _masked(address: re.Match[str]) -> str:
    rest, mark, query = address["rest"].partition("?")
    if "@" in query and not _user(rest):  # the question mark stands in the password
        rest, mark, query = address["rest"], "", ""
    if user := _user(rest):
        rest = f"***{rest[len(user) :]}"
    return f"{address['scheme']}://{rest}{mark}{re.sub('[^&;]+', _masked_parameter, query)}"


def _masked_parameter(parameter: re.Match[str]) -> str:
    name, equals, value = parameter[0].partition("=")
    # Drivers take further options in the value of one, "options=-c password=…".
    return f"{name}=***" if equals and any(map(_SECRET.search, (unquote(name), unquote(value)))) else parameter[0]


def _user(rest: str) -> str:
    """Return what of an address stands before the host: a user, a password, a token; ``""`` where nothing does."""
    authority = rest.partition("/")[0]
    if ":" in authority:  # what follows the colon may be a password with any letter in it
        return rest.rpartition("@")[0]
    return authority.rpartition("@")[0]  # of a path an "@" is an ordinary letter


def _pieces(address: str) -> Iterator[str]:
    """Yield what of an address's password an error may quote: all of it, or what some parser takes for it."""
    match = _ADDRESS.match(address)
    if match is None:
        return
    for parameter in match["rest"].partition("?")[2].split("&"):
        name, _, value = parameter.partition("=")
        if value and _SECRET.search(unquote(name)):
            yield from (f"'{value}'", f'"{value}"', f"={value}")
    password = _user(match["rest"]).partition(":")[2]
    if not password:
        return
    if len(password) > 3:  # shorter ones are pieces of words
        yield password
    for part in re.split("[@/:?#]", password):
        yield from (f"{part}@", f"'{part}'", f'"{part}"') if part else ()


def shipped_ontologies() -> Path:
    """Return the folder of the source declarations that come with belink."""
    return Path(str(resources.files("belink.ontologies")))


def shipped_linkers() -> Path:
    """Return the folder of the linker declarations that come with belink."""
    return Path(str(resources.files("belink.flows"))) / "linkers"


@contextmanager
def environment_restored(*names: str) -> Iterator[None]:
    """Restore the environment variables ``names`` afterwards; for libraries that set them."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

"""Errors that a caller can act on. Each message says what was expected, what was found and what to do.

Only ``cli`` and ``serve`` catch :class:`BelinkError`; a programmer's mistake stays a ``ValueError``.
"""

from collections.abc import Sequence


def first_line(error: BaseException, most: int = 200) -> str:
    """Return the first line of the message of ``error``, at most ``most`` characters; its class where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


class BelinkError(Exception):
    """Something that the user can mend; the command line prints it as one line and exits with 1."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))  # parsers that are quoted speak in several lines


class DeclarationError(BelinkError):
    """A source or linker declaration (TOML) that cannot be used as it stands.

    :param mistakes: in it, each with the line to write. The message holds all of them in one line; the command line
        prints them one below the other.
    """

    def __init__(self, message: str, mistakes: Sequence[str] = ()) -> None:
        super().__init__(f"{message}{'; '.join(mistakes)}")
        self.listed = "\n  ".join([" ".join(each.split()) for each in (message, *mistakes)])


class SourceError(BelinkError):
    """A file or address that cannot be fetched, or that is not what its declaration says."""


class ReleaseError(BelinkError):
    """A release that is missing, incomplete, or in conflict with an existing one."""


class ModelError(BelinkError):
    """A model reference that cannot be resolved to weights on this machine."""


class IndexMismatch(BelinkError):
    """An index that does not belong to the release or the encoder it is used with."""


class BundleError(BelinkError):
    """A bundle whose parts are missing or disagree with its manifest."""


class CorpusError(BelinkError):
    """A corpus file that cannot be read as documents."""


class RegistryError(BelinkError):
    """The MLflow registry does not have, or refuses, what was requested."""


class ServerError(BelinkError):
    """A Prefect server that cannot be reached, or refuses a request."""


class GateRefused(BelinkError):
    """A gate refused a release or a linker; the command line exits with 3."""

    def __init__(self, message: str, gates: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.gates = tuple(gates)  # every gate's result, as dictionaries

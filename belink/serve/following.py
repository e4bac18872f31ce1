"""Follow an alias: the version that it names is loaded beside the old one, checked, and then answers.

A version that cannot be used is refused and reported, and the old one goes on answering. It also does so while the
registry cannot be reached. What both versions share (the encoder, an adapter that was kept) is held in memory once.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from belink.errors import BundleError, RegistryError, first_line
from belink.linker import bundle
from belink.linker.linker import Linker
from belink.ontology import release as releases
from belink.ontology.release import Release
from belink.records import Mention
from belink.registry import aliases
from belink.settings import Settings, without_password

log = logging.getLogger(__name__)

_RETRY = (5.0, 300.0)  # seconds before a refused version is tried again: at first, at most
_SAME_VECTOR = 0.98  # cosine; bfloat16 on one machine and not on the other costs 0.0001


@dataclass(frozen=True, kw_only=True)
class Served:
    """A version that answers."""

    linker: Linker
    version: str
    releases: tuple[Release, ...]
    since: str = field(default_factory=lambda: _now())  # ISO 8601, UTC


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A version that the alias names and that cannot be used."""

    version: str
    reason: str
    at: str  # ISO 8601, UTC
    attempts: int = 1


def open_version(settings: Settings, name: str, version_name: str) -> Served:
    """Return the registered version ``name`` (an alias or a number), loaded whole and checked by a question.

    :raises BelinkError: no such version, or its bundle is damaged or does not answer.
    """
    path, version = aliases.bundle_path(settings, name, version_name)
    linker = Linker(path, settings.cache, model_version=version)
    open_releases = tuple(releases.open_release(folder) for folder in bundle.release_folders(path))
    _check(linker, open_releases)
    return Served(linker=linker, version=version, releases=open_releases)


def _check(linker: Linker, open_releases: tuple[Release, ...]) -> None:
    """Load everything, and link a name that the linker must find.

    :raises BundleError: a sound linker would give another answer.
    """
    # Any name will do for this check.
    row = linker.index.table.n_names // 2
    (name,) = linker.index.table.names(np.array([row]))
    if linker.index.dimension:
        (cosine,) = linker.index.vectors.cosines(linker.encoder.encode([name]), np.array([0]), np.array([row]))
    else:
        linker.index.check(linker.encoder)
        cosine = 1.0
    # Written with `not`, so that NaN is refused too.
    if not cosine > _SAME_VECTOR:
        raise BundleError(f"{linker.path}: expected the encoder that made its vectors, found another; refresh again")
    # 16 is the length of "The patient has ".
    mention = Mention(text=name, sentence=f"The patient has {name}.", sentence_start=0, start=16, end=16 + len(name))
    (candidates,) = linker.candidates([mention])
    if not any(candidate.exact for candidate in candidates):
        raise BundleError(f"{linker.path}: expected its own name {name!r} to be found, found it missing; refresh again")
    if linker.reranker is not None:
        options = candidates[: linker.declaration.reranker.options]
        (logits,) = linker.reranker.logits([mention], [options])
        if not np.isfinite(logits).all():
            raise BundleError(f"{linker.path}: expected finite logits of the re-ranker, found others; train again")
    ((probabilities,), _) = linker.probabilities([mention], [candidates])
    # NaN compares as false. Mentions that a caller marks may have a concept that is no candidate: the rest to 1.
    if not ((probabilities >= 0).all() and 0 < float(probabilities.sum()) <= 1 + 1e-3):
        raise BundleError(f"{linker.path}: expected probabilities that sum to at most 1, found others; refresh again")
    if not any(release.concept(candidates[0].id) for release in open_releases):
        raise BundleError(f"{linker.path}: expected {candidates[0].id} in its releases, found none; refresh again")
    # For its side effect: weights load lazily, and a fault must show here and not in the first request.
    linker.detector.find(f"A case of {name}.")


class Follower:
    """Keeps :attr:`current` at what the alias names; :meth:`look` may also be called by hand."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        alias: str = aliases.CHAMPION,
        *,
        every: float = 5.0,
        happened: Callable[[str], None] = lambda what: None,
    ) -> None:
        """Nothing is loaded yet.

        :param alias: or a version number, which is served as it is.
        :param every: seconds between two looks at the registry.
        :param happened: called with ``swapped``, ``refused`` or ``unreachable``.
        """
        self.name, self.alias = name, alias
        self.current: Served | None = None
        self.refused: Refused | None = None
        self.unreachable = ""  # why the registry did not answer the last time; "" if it did
        self._settings, self._every, self._happened = settings, every, happened
        # By `time.monotonic`; only read while a version is refused.
        self._next_try = 0.0
        self._stop = threading.Event()
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._follow, name="belink-following", daemon=True)

    @property
    def linker(self) -> Linker | None:
        """The linker that answers now; ``None`` before the first."""
        return self.current.linker if self.current else None

    def start(self, *, wait: bool = False) -> None:
        """Load what the alias names, or the version before where that is refused; then follow.

        :param wait: start without a linker where there is no version yet.
        :raises BelinkError: there is nothing that can be served.
        """
        # In the caller's thread, so that a service either has a linker when it opens its port or does not start.
        self.look()
        if self.current is None and self.alias == aliases.CHAMPION and self.refused is not None:
            self._fall_back()
        if self.current is None and not wait:
            if self.refused is not None:
                raise RegistryError(f"{self.name}@{self.alias}: version {self.refused.version}: {self.refused.reason}")
            if self.unreachable:
                raise RegistryError(self.unreachable)
            aliases.bundle_path(self._settings, self.name, self.alias)  # its error names what there is
        self._thread.start()

    def stop(self) -> None:
        """Stop looking, and close the releases."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        for release in self.current.releases if self.current else ():
            release.close()

    def look(self) -> None:
        """Ask the registry once, and serve the version it names if that is new and sound."""
        with self._looking:
            try:
                version = self._named()
                self.unreachable = ""
            except Exception as error:  # whatever the registry's client raises, the current version goes on
                reason, before = _reason(error), self.unreachable
                self.unreachable = reason
                self._happened("unreachable")
                if reason != before:
                    log.warning("%s: the registry does not answer: %s", self.name, reason)
                return
            # An alias that is gone leaves the current version in place: a service without answers helps nobody.
            if version is None or (self.current is not None and version == self.current.version):
                self.refused = None
                return
            self._take_over(version)

    def _named(self) -> str | None:
        if self.alias.isdigit():
            return self.alias
        if self.alias == aliases.CHAMPION:
            return aliases.champion(self._settings, self.name)
        return aliases.aliases(self._settings, self.name).get(self.alias)

    def _take_over(self, version: str) -> None:
        # Another version under the alias is tried at once; only the same one waits.
        again = self.refused is not None and self.refused.version == version
        now = time.monotonic()
        if again and now < self._next_try:
            return
        try:
            served = open_version(self._settings, self.name, version)
        except Exception as error:  # a damaged bundle may fail in any library that reads it
            attempts = self.refused.attempts + 1 if again and self.refused else 1
            self.refused = Refused(version=version, reason=_reason(error), at=_now(), attempts=attempts)
            self._next_try = now + min(_RETRY[0] * 2 ** (attempts - 1), _RETRY[1])
            self._happened("refused")
            log.error("%s: version %s is refused: %s", self.name, version, self.refused.reason)
            return
        before = self.current.version if self.current else "none"
        # The version before is not closed: requests that were admitted under it still link with it.
        self.current, self.refused = served, None
        self._happened("swapped")
        log.info("%s: version %s answers now, %s before", self.name, version, before)

    def _fall_back(self) -> None:
        """Serve ``previous``, which would still be answering had this process started earlier."""
        try:
            self.current = open_version(self._settings, self.name, aliases.PREVIOUS)
        except Exception as error:  # as in _take_over
            log.error("%s: no version before it can be served either: %s", self.name, _reason(error))
            return
        self._happened("swapped")
        log.warning("%s: version %s answers in place of the refused one", self.name, self.current.version)

    def _follow(self) -> None:
        while not self._stop.wait(self._every):
            self.look()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _reason(error: BaseException) -> str:
    """The first line of an error, without the password of an address in it."""
    return without_password(first_line(error, 500))

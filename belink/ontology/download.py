"""The address in a declaration → verified local files under ``home/downloads/<ontology>/``.

Beside each file lies a JSON file with its address, sha256, ETag and modification date, so that checking an unchanged
source costs one request. A download goes to a ``.part`` file, which an interrupted one continues, and is moved into
place when it is complete.
"""

import ipaddress
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from belink import artefacts, manifests, progress
from belink.declarations import SourceConfig
from belink.errors import BelinkError, DeclarationError, SourceError
from belink.ontology.readers.files import fingerprint, plain_errors
from belink.settings import Settings

if TYPE_CHECKING:
    import httpx
    from tenacity import RetryCallState

ATTEMPTS = 6
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds before the second attempt; at most between two
TIMEOUT = 60.0  # seconds without a byte
LOCK_TIMEOUT = 3600.0  # seconds to wait for another process that fetches the same
REDIRECTS = 10
_MIB = 1 << 20
_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+\-]*")
_WEB_PAGE = re.compile(rb"\s*<(!doctype\s+html|html)\b", re.IGNORECASE)

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """The downloaded files of a source."""

    paths: tuple[Path, ...]
    sha256: str  # of the file; of names and sha256 together, where there are several
    size: int  # bytes, of all files
    etag: str | None  # of the first file, as the two that follow
    last_modified: str | None
    version: str | None  # the date of ``last_modified``, where the declaration takes that as the version
    unchanged: bool  # the server answered for every file that it has not changed since the last download


class _State(NamedTuple):
    """What is recorded about a file, complete or partial."""

    url: str
    etag: str | None = None
    last_modified: str | None = None
    sha256: str = ""
    size: int = 0


class _Interrupted(Exception):
    """The connection broke, or the server asks to retry; what has arrived is kept."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait  # seconds that the server asks for


def fetch(source: SourceConfig, settings: Settings, version: str | None = None) -> Fetched:
    """Download the files of ``source`` that are missing or have changed; return all of them.

    :param version: takes the place of ``{version}`` in the address.
    :raises DeclarationError: no address, an address that needs a version, or one without https.
    :raises SourceError: the server refuses the file, or keeps failing.
    """
    from filelock import FileLock

    folder = settings.downloads / source.name
    if source.format == "umls" and source.url is None:
        from belink.ontology import download_umls

        path = download_umls.download(settings.uts_api_key, folder, version)
        return _summary(source, [(path, _State(download_umls.SERVICE), False)])
    urls = addresses(source, version)
    settings.locks.mkdir(parents=True, exist_ok=True)
    with plain_errors(folder), FileLock(settings.locks / f"fetch-{source.name}.lock", timeout=LOCK_TIMEOUT):
        folder.mkdir(parents=True, exist_ok=True)
        names = _names(urls)
        return _summary(source, [_fetch_one(url, folder / name) for url, name in zip(urls, names, strict=True)])


def addresses(source: SourceConfig, version: str | None) -> list[str]:
    """Return the addresses of the source's files, with the version filled in.

    :raises DeclarationError: there are none, a version is needed, or one is not https.
    """
    urls = [source.url] if isinstance(source.url, str) else list(source.url or ())
    if not urls:
        raise DeclarationError(f"{source.name}: expected an address (url), found none; give --file")
    if any("{version}" in url for url in urls):
        if version is None:
            raise DeclarationError(
                f"{source.name}: its address is one per version ({urls[0]}); say which with --version, or give --file"
            )
        if not _SAFE.fullmatch(version):
            raise DeclarationError(f"{source.name}: expected a version that an address can hold, found {version!r}")
        urls = [url.replace("{version}", version) for url in urls]
    for url in urls:
        if not (urlsplit(url).scheme == "https" or _is_loopback(url)):
            raise DeclarationError(f"{source.name}: expected an address that begins with https://, found {url}")
    return urls


def _summary(source: SourceConfig, fetched: list[tuple[Path, _State, bool]]) -> Fetched:
    paths = [path for path, _, _ in fetched]
    state = fetched[0][1]
    digest = fingerprint(paths, source.format)
    version = None
    if source.version == "last-modified" and state.last_modified:
        version = parsedate_to_datetime(state.last_modified).date().isoformat()
    return Fetched(
        paths=tuple(paths),
        sha256=digest.sha256,
        size=sum(int(each["size"]) for each in digest.sources),
        etag=state.etag,
        last_modified=state.last_modified,
        version=version,
        unchanged=all(unchanged for _, _, unchanged in fetched),
    )


def _names(urls: list[str]) -> list[str]:
    """Return a file name for each address: the last part of its path, numbered where two are the same."""
    names: list[str] = []
    for url in urls:
        last = re.sub(r"[^A-Za-z0-9._+\-]+", "-", unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]).strip(
            ".-"
        )
        name = last or "source"
        names.append(name if name not in names else f"{len(names) + 1}-{name}")
    return names


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _fetch_one(url: str, target: Path) -> tuple[Path, _State, bool]:
    """Download ``url`` to ``target``; return the path, its state, and whether the file there was still current."""
    import httpx
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=_wait,
        retry=retry_if_exception_type(_Interrupted),
        before_sleep=lambda call: log.info("%s: %s; trying again", url, call.outcome and call.outcome.exception()),
        reraise=True,
    )
    # No compression in transit: ranges of an interrupted download count bytes of the file itself.
    headers = {"Accept-Encoding": "identity", "User-Agent": "belink"}
    try:
        # A proxy of the environment could not reach a server on this machine.
        with httpx.Client(headers=headers, timeout=TIMEOUT, trust_env=not _is_loopback(url)) as client:
            return retrying(_attempt, client, url, target)
    except _Interrupted as error:
        raise SourceError(
            f"{url}: expected the whole file, found {error} at each of {ATTEMPTS} attempts; try again later"
        ) from error


def _wait(call: "RetryCallState") -> float:
    """Return the seconds to wait: growing, with jitter, and at least as long as the server asks for."""
    from tenacity import wait_exponential_jitter

    error = call.outcome.exception() if call.outcome else None
    requested = error.wait if isinstance(error, _Interrupted) else 0.0
    # Jitter keeps several machines that were turned away together from coming back together.
    growing = wait_exponential_jitter(initial=FIRST_WAIT, max=LONGEST_WAIT, jitter=FIRST_WAIT)
    return max(float(growing(call)), min(requested, LONGEST_WAIT))


def _attempt(client: "httpx.Client", url: str, target: Path) -> tuple[Path, _State, bool]:
    complete, partial = _complete_state(url, target), _partial_state(url, target)
    headers = _conditions(complete, partial, _part(target))
    with _response(client, url, headers) as response:
        if response.status_code == 304 and complete:
            _discard_part(target)
            return target, complete, True
        # 416 answers a range that begins at or after the end of the file: the part belongs to another version.
        if response.status_code == 416:
            _discard_part(target)
            raise _Interrupted("a part that does not fit the file")
        if response.status_code not in (200, 206):
            raise SourceError(f"{url}: expected the file, found status {response.status_code}; check the address")
        state = _State(url, response.headers.get("ETag"), response.headers.get("Last-Modified"))
        _receive(response, state, target)
    state = state._replace(sha256=artefacts.sha256(_part(target)), size=_part(target).stat().st_size)
    with _part(target).open("rb") as stream:
        # A page for logging in, or of a firewall, comes with status 200.
        if _WEB_PAGE.match(stream.read(512)):
            _discard_part(target)
            raise SourceError(f"{url}: expected a file, found a web page; fetch it by hand and give --file")
    # The file is moved before its state is written. Killed in between, the next run finds another sum and downloads
    # again.
    os.replace(_part(target), target)
    _write(_state_path(target), state)
    _discard_part(target)
    return target, state, False


def _conditions(complete: _State | None, partial: _State | None, part: Path) -> dict[str, str]:
    """Return headers that ask for the rest of a partial file, or else for the file unless it is unchanged."""
    if partial:
        # Only a strong tag says that the bytes are the same.
        strong = partial.etag if partial.etag and not partial.etag.startswith("W/") else None
        # RFC 9110, 13.1.5: a server sends the whole file, status 200, where ``If-Range`` does not match.
        return {"Range": f"bytes={part.stat().st_size}-", "If-Range": strong or str(partial.last_modified)}
    if complete and complete.etag:
        return {"If-None-Match": complete.etag}
    if complete and complete.last_modified:
        return {"If-Modified-Since": complete.last_modified}
    return {}


@contextmanager
def _response(client: "httpx.Client", url: str, headers: dict[str, str]) -> "Iterator[httpx.Response]":
    """Yield the response after all redirects, its body still unread.

    :raises SourceError: a redirect leads to an address without TLS, or in circles.
    """
    import httpx

    address = url
    try:
        for _ in range(REDIRECTS):
            with client.stream("GET", address, headers=headers) as response:
                if response.status_code in _RETRIED_STATUSES:
                    raise _Interrupted(f"status {response.status_code}", _retry_after(response))
                if response.status_code not in _REDIRECT_STATUSES or "Location" not in response.headers:
                    yield response
                    return
                # Redirects are followed by hand, because httpx would also follow one to an address without TLS.
                onward = urljoin(address, response.headers["Location"])
            if urlsplit(onward).scheme != "https" and not (_is_loopback(onward) and _is_loopback(url)):
                raise SourceError(
                    f"{url}: expected https all the way, found a redirect to {onward}; declare an address with https"
                )
            address = onward
    except httpx.TransportError as error:
        raise _Interrupted(f"{type(error).__name__} ({error})") from error
    raise SourceError(f"{url}: expected a file, found more than {REDIRECTS} redirects; check the address")


def _retry_after(response: "httpx.Response") -> float:
    header = response.headers.get("Retry-After", "")
    # The header may also be a date; then the growing wait alone counts.
    return float(header) if header.isdigit() else 0.0


def _receive(response: "httpx.Response", state: _State, target: Path) -> None:
    """Append to the partial file where the server continues it, otherwise start over.

    httpx raises where the body is shorter than announced.
    """
    part = _part(target)
    n_received = 0
    if response.status_code == 206:
        n_received = part.stat().st_size if part.exists() else 0
        # A part that begins elsewhere would be appended at the wrong place.
        content_range = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if not content_range or int(content_range[1]) != n_received:
            _discard_part(target)
            raise _Interrupted("another range than the requested one")
    else:
        _discard_part(target)
        _write(_state_path(part), state)
    announced = response.headers.get("Content-Length", "")
    total = int(announced) // _MIB if announced.isdigit() else None
    with part.open("ab") as out:
        for _ in progress.track(_written(response, out), what=f"fetching {target.name}", total=total, unit="MiB"):
            pass
        out.flush()
        os.fsync(out.fileno())


def _written(response: "httpx.Response", out: BinaryIO) -> Iterator[None]:
    """Write the body as it arrives, so that an interruption loses nothing; yield once for every MiB."""
    n_unreported = 0
    # Raw bytes: a file that is gzip itself must not be unpacked on the way.
    for chunk in response.iter_raw():
        out.write(chunk)
        n_unreported += len(chunk)
        while n_unreported >= _MIB:
            n_unreported -= _MIB
            yield


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _state_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _discard_part(target: Path) -> None:
    """Remove the partial file and its state."""
    _part(target).unlink(missing_ok=True)
    _state_path(_part(target)).unlink(missing_ok=True)


def _complete_state(url: str, target: Path) -> _State | None:
    """Return the state of the file at ``target``; ``None`` where it is damaged or came from another address."""
    state = _read(_state_path(target))
    if state is None or state.url != url or not target.is_file():
        return None
    # The size is compared first; the sum of gigabytes takes seconds.
    whole = target.stat().st_size == state.size and artefacts.sha256(target) == state.sha256
    return state if whole else None


def _partial_state(url: str, target: Path) -> _State | None:
    """Return the state of the partial file beside ``target``; ``None`` where it cannot be continued."""
    state, part = _read(_state_path(_part(target))), _part(target)
    if state is None or state.url != url or not part.is_file() or not part.stat().st_size:
        return None
    # A weak tag (W/) may stay the same for other bytes.
    strong = state.etag and not state.etag.startswith("W/")
    return state if strong or state.last_modified else None


def _write(path: Path, state: _State) -> None:
    with artefacts.atomic_write(path) as aside:
        aside.write_text(json.dumps(state._asdict(), indent=1) + "\n", encoding="utf-8")


def _read(path: Path) -> _State | None:
    try:
        state = _State(**manifests.read_object(path))
    except (OSError, BelinkError, TypeError):
        return None  # a missing or damaged state means downloading again
    is_text = all(isinstance(each or "", str) for each in (state.url, state.etag, state.last_modified, state.sha256))
    return state if is_text and isinstance(state.size, int) else None

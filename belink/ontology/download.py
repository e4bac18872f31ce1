"""The address in a declaration → verified local files under ``home/downloads/<ontology>/``.

Beside each file lies a JSON file with its address, sha256 and what the server calls its state, so that asking again for
an unchanged source costs one request. What arrives goes to a ``.part`` file, which an interrupted download continues,
and is moved into place when it is whole.
"""

import ipaddress
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from belink import artefacts, progress
from belink.declarations import SourceConfig
from belink.errors import DeclarationError, SourceError
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
_COME_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+\-]*")
_WEB_PAGE = re.compile(rb"\s*<(!doctype\s+html|html)\b", re.IGNORECASE)

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """Files of a source that lie here now."""

    paths: tuple[Path, ...]
    sha256: str  # of the file; of names and sha256 together, where there are several
    size: int  # bytes, of all files
    etag: str | None  # of the first file, as the two that follow
    last_modified: str | None
    version: str | None  # the date of ``last_modified``, where the declaration takes that as the version
    unchanged: bool  # the server said of every file that it is the one that lay here


class _State(NamedTuple):
    """What is known of a file, complete or begun."""

    url: str
    etag: str | None = None
    last_modified: str | None = None
    sha256: str = ""
    size: int = 0


class _Interrupted(Exception):
    """The connection broke, or the server asks to come again; what has arrived is kept."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait  # seconds that the server asks for


def fetch(source: SourceConfig, settings: Settings, version: str | None = None) -> Fetched:
    """The files of ``source``, downloaded where they are not here or have changed.

    :param version: filled in for ``{version}`` in the address.
    :raises DeclarationError: no address, one that needs a version, or one without https.
    :raises SourceError: the server does not hand the file out, or gives up.
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


def local_files(paths: Sequence[Path]) -> list[Path]:
    """``paths``, all of which are there.

    :raises SourceError: one is missing or empty.
    """
    for path in paths:
        if not path.exists():
            raise SourceError(f"{path}: expected a file or folder, found nothing there; check --file")
        if path.is_file() and not path.stat().st_size:
            raise SourceError(f"{path}: expected a source, found an empty file; fetch it again")
    return list(paths)


def addresses(source: SourceConfig, version: str | None) -> list[str]:
    """The addresses of the source's files, the version filled in.

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
    found = fingerprint(paths, source.format)
    version = None
    if source.version == "last-modified" and state.last_modified:
        version = parsedate_to_datetime(state.last_modified).date().isoformat()
    return Fetched(
        paths=tuple(paths),
        sha256=found.sha256,
        size=sum(int(each["size"]) for each in found.sources),
        etag=state.etag,
        last_modified=state.last_modified,
        version=version,
        unchanged=all(unchanged for _, _, unchanged in fetched),
    )


def _names(urls: list[str]) -> list[str]:
    """A file name for each address: the last part of its path, numbered where two are the same."""
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
    """The file at ``url``, now at ``target``; what the server says of it; whether it lay there already."""
    import httpx
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=_wait,
        retry=retry_if_exception_type(_Interrupted),
        before_sleep=lambda call: log.info("%s: %s; trying again", url, call.outcome and call.outcome.exception()),
        reraise=True,
    )
    # Bytes are stored as they come, so none may be packed on the way: a range is one of the file's own.
    headers = {"Accept-Encoding": "identity", "User-Agent": "belink"}
    try:
        with httpx.Client(headers=headers, timeout=TIMEOUT, trust_env=not _is_loopback(url)) as client:
            return retrying(_attempt, client, url, target)
    except _Interrupted as error:
        raise SourceError(
            f"{url}: expected the whole file, found {error} at each of {ATTEMPTS} attempts; try again later"
        ) from error


def _wait(call: "RetryCallState") -> float:
    """Growing delays with jitter, and never sooner than the server asks for."""
    from tenacity import wait_exponential_jitter

    error = call.outcome.exception() if call.outcome else None
    asked = error.wait if isinstance(error, _Interrupted) else 0.0
    growing = wait_exponential_jitter(initial=FIRST_WAIT, max=LONGEST_WAIT, jitter=FIRST_WAIT)
    return max(float(growing(call)), min(asked, LONGEST_WAIT))


def _attempt(client: "httpx.Client", url: str, target: Path) -> tuple[Path, _State, bool]:
    here, begun = _complete(url, target), _begun(url, target)
    headers = _conditions(here, begun, _part(target))
    with _response(client, url, headers) as response:
        if response.status_code == 304 and here:
            _forget(target)
            return target, here, True
        if response.status_code == 416:
            _forget(target)
            raise _Interrupted("a part that does not fit the file")
        if response.status_code not in (200, 206):
            raise SourceError(f"{url}: expected the file, found status {response.status_code}; check the address")
        state = _State(url, response.headers.get("ETag"), response.headers.get("Last-Modified"))
        _receive(response, state, target)
    state = state._replace(sha256=artefacts.sha256(_part(target)), size=_part(target).stat().st_size)
    with _part(target).open("rb") as stream:
        if _WEB_PAGE.match(stream.read(512)):
            _forget(target)
            raise SourceError(f"{url}: expected a file, found a web page; fetch it by hand and give --file")
    os.replace(_part(target), target)
    _write(_beside(target), state)
    _forget(target)
    return target, state, False


def _conditions(here: _State | None, begun: _State | None, part: Path) -> dict[str, str]:
    """Ask for the rest of what was begun; else for the file unless it is the one that lies here."""
    if begun:
        # Only a strong tag says that the bytes are the same.
        strong = begun.etag if begun.etag and not begun.etag.startswith("W/") else None
        return {"Range": f"bytes={part.stat().st_size}-", "If-Range": strong or str(begun.last_modified)}
    if here and here.etag:
        return {"If-None-Match": here.etag}
    if here and here.last_modified:
        return {"If-Modified-Since": here.last_modified}
    return {}


@contextmanager
def _response(client: "httpx.Client", url: str, headers: dict[str, str]) -> "Iterator[httpx.Response]":
    """The answer behind all redirects, its body still to be read.

    :raises SourceError: a redirect leads to an address without TLS, or in circles.
    """
    import httpx

    address = url
    try:
        for _ in range(REDIRECTS):
            with client.stream("GET", address, headers=headers) as response:
                if response.status_code in _COME_AGAIN:
                    raise _Interrupted(f"status {response.status_code}", _asked_wait(response))
                if response.status_code not in _REDIRECTED or "Location" not in response.headers:
                    yield response
                    return
                onward = urljoin(address, response.headers["Location"])
            if urlsplit(onward).scheme != "https" and not (_is_loopback(onward) and _is_loopback(url)):
                raise SourceError(
                    f"{url}: expected https all the way, found a redirect to {onward}; declare an address with https"
                )
            address = onward
    except httpx.TransportError as error:
        raise _Interrupted(f"{type(error).__name__} ({error})") from error
    raise SourceError(f"{url}: expected a file, found more than {REDIRECTS} redirects; check the address")


def _asked_wait(response: "httpx.Response") -> float:
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdigit() else 0.0


def _receive(response: "httpx.Response", state: _State, target: Path) -> None:
    """Append to the part where the server continues it, else begin it anew; httpx raises where bytes are missing."""
    part = _part(target)
    there = 0
    if response.status_code == 206:
        there = part.stat().st_size if part.exists() else 0
        found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != there:
            _forget(target)
            raise _Interrupted("another range than was asked for")
    else:
        _forget(target)
        _write(_beside(part), state)
    announced = response.headers.get("Content-Length", "")
    total = int(announced) // _MIB if announced.isdigit() else None
    with part.open("ab") as out:
        for _ in progress.track(_written(response, out), what=f"fetching {target.name}", total=total, unit="MiB"):
            pass
        out.flush()
        os.fsync(out.fileno())


def _written(response: "httpx.Response", out: BinaryIO) -> Iterator[None]:
    """Write the body as it comes, so that a break loses nothing that arrived; gives something for every MiB."""
    beyond = 0
    for chunk in response.iter_raw():
        out.write(chunk)
        beyond += len(chunk)
        while beyond >= _MIB:
            beyond -= _MIB
            yield


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _forget(target: Path) -> None:
    """Remove what was begun."""
    _part(target).unlink(missing_ok=True)
    _beside(_part(target)).unlink(missing_ok=True)


def _complete(url: str, target: Path) -> _State | None:
    """What is known of the file at ``target``, where it is whole and came from ``url``."""
    state = _read(_beside(target))
    if state is None or state.url != url or not target.is_file():
        return None
    whole = target.stat().st_size == state.size and artefacts.sha256(target) == state.sha256
    return state if whole else None


def _begun(url: str, target: Path) -> _State | None:
    """What is known of the part beside ``target``, where it can be continued."""
    state, part = _read(_beside(_part(target))), _part(target)
    if state is None or state.url != url or not part.is_file() or not part.stat().st_size:
        return None
    strong = state.etag and not state.etag.startswith("W/")
    return state if strong or state.last_modified else None


def _write(path: Path, state: _State) -> None:
    with artefacts.atomic_write(path) as aside:
        aside.write_text(json.dumps(state._asdict(), indent=1) + "\n", encoding="utf-8")


def _read(path: Path) -> _State | None:
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return _State(**known)
    except (OSError, ValueError, TypeError):
        return None  # nothing is known of it, so it is fetched

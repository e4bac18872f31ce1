"""A UMLS licence key → the zip file of a release, from NLM's UMLS Terminology Services.

https://documentation.uts.nlm.nih.gov/automating-downloads.html. The service takes the key only in the address, so
nothing may print an address: log records are redacted, and errors are raised without their cause.
"""

import logging
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, quote_plus

from belink.errors import SourceError

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)
SERVICE = "https://uts-ws.nlm.nih.gov"
PRODUCT = "umls-metathesaurus-full-subset"  # every vocabulary as RRF, about 4 GB
ATTEMPTS = 5
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,150}\.zip")


class Published(NamedTuple):
    """One release that the service offers."""

    version: str  # 2025AB
    url: str
    file_name: str


class _Interrupted(Exception):
    """The connection broke, or the server asks to retry; what has arrived is kept."""


def download(api_key: str | None, folder: Path, version: str | None = None, service: str = SERVICE) -> Path:
    """Download the Metathesaurus to ``folder``; return the path of its zip file.

    A complete file is not downloaded again; an interrupted download is continued.

    :param version: of the release, such as ``2025AB``; ``None`` for the current one.

    :raises SourceError: no key, the service refuses it, no such version, or what arrives is no zip file.
    """
    if not api_key:
        raise SourceError("umls: expected a UTS API key in UTS_API_KEY, found none; set it, or give --file")
    import httpx
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential_jitter(initial=1, max=60),
        retry=retry_if_exception_type(_Interrupted),
        reraise=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _redacted(api_key), httpx.Client(follow_redirects=True, timeout=60) as client:
            published = retrying(published_release, client, service, version)
            target = folder / published.file_name
            if not target.is_file():
                retrying(_fetch, client, service, published, api_key, target)
    except _Interrupted as error:
        raise SourceError(f"{service}: expected an answer, found {error}; try again later") from None
    return target


def published_release(client: "httpx.Client", service: str, version: str | None) -> Published:
    """Return the release ``version`` of the service, or its current one.

    :raises SourceError: the service has no such release.
    """
    parameters = {"releaseType": PRODUCT, **({} if version else {"current": "true"})}
    answer = _answer(client, f"{service}/releases", parameters)
    offered = [_published(entry) for entry in answer if isinstance(entry, dict)] if isinstance(answer, list) else []
    chosen = [each for each in offered if version in (None, each.version)]
    if not chosen:
        versions = ", ".join(each.version for each in offered[:10]) or "nothing"
        raise SourceError(f"{service}: expected the release {version or 'current'} of UMLS, found {versions}")
    # The name comes from the network and becomes a path.
    if not _SAFE_NAME.fullmatch(chosen[0].file_name):
        raise SourceError(f"{service}: expected the name of a zip file, found {chosen[0].file_name[:200]!r}")
    return chosen[0]


def _published(entry: dict[str, Any]) -> Published:
    url = str(entry.get("downloadUrl", ""))
    return Published(str(entry.get("releaseVersion", "")), url, url.rpartition("/")[2])


def _answer(client: "httpx.Client", url: str, parameters: dict[str, str]) -> Any:
    import httpx

    try:
        response = client.get(url, params=parameters)
    except httpx.TransportError as error:
        raise _Interrupted(type(error).__name__) from None
    _check(response, url)
    try:
        return response.json()
    except ValueError:
        raise SourceError(f"{url}: expected JSON, found {response.text[:60]!r}; is the service down?") from None


def _check(response: "httpx.Response", address: str) -> None:
    # Only what may pass by itself is tried again.
    if response.status_code >= 500 or response.status_code in (408, 429):
        raise _Interrupted(f"status {response.status_code}")
    if response.status_code in (401, 403):
        raise SourceError(f"{address}: the service refused the key ({response.status_code}); check UTS_API_KEY")
    if response.status_code >= 400:
        raise SourceError(f"{address}: expected the file, found status {response.status_code}; check the version")


def _fetch(client: "httpx.Client", service: str, published: Published, api_key: str, target: Path) -> None:
    import httpx

    part = target.with_name(f"{target.name}.part")
    n_received = part.stat().st_size if part.exists() else 0
    # Nothing is compared before continuing, so a wrong continuation shows only in the check of the zip file below.
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={n_received}-"} if n_received else {})}
    parameters = {"url": published.url, "apiKey": api_key}
    log.info("fetching %s from byte %d", published.url, n_received)
    try:
        with client.stream("GET", f"{service}/download", params=parameters, headers=headers) as response:
            if response.status_code == 416:  # there are no further bytes: the file is complete, or not this one
                part.rename(target) if zipfile.is_zipfile(part) else part.unlink()
                if not target.exists():
                    raise _Interrupted("a range that does not fit")
                return
            _check(response, published.file_name)
            with part.open("ab" if response.status_code == 206 else "wb") as out:
                for chunk in response.iter_raw():  # written as it arrives, so that an interruption loses nothing
                    out.write(chunk)
    except httpx.TransportError as error:
        raise _Interrupted(type(error).__name__) from None
    # The directory of a zip file stands at its end, so one that is cut short is no zip file.
    if not zipfile.is_zipfile(part):
        part.unlink()
        raise SourceError(f"{published.file_name}: expected a zip file, found something else; check UTS_API_KEY")
    part.rename(target)


@contextmanager
def _redacted(secret: str) -> Iterator[None]:
    """Replace ``secret`` by ``***`` in everything that httpx logs meanwhile."""
    # The key is logged as it stands in the address, escaped in either way.
    spellings = {secret, quote(secret, safe=""), quote_plus(secret)}

    def redact(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        for spelling in spellings:
            message = message.replace(spelling, "***")
        record.msg, record.args = message, ()
        return True

    # A filter of a logger does not see the records of its children, so each logger that writes is named.
    loggers = [
        logging.getLogger(name) for name in ("httpx", "httpcore.http11", "httpcore.http2", "httpcore.connection")
    ]
    for logger in loggers:
        logger.addFilter(redact)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(redact)

"""Against a real server on this machine that knows ranges and tags, breaks off, and asks to come again."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from belink.declarations import SourceConfig, load_source
from belink.errors import DeclarationError, SourceError
from belink.ontology import download
from belink.ontology.download import addresses
from belink.settings import Settings, shipped_ontologies

pytestmark = pytest.mark.heavy  # seconds in all

CONTENT = b"format-version: 1.4\n" + os.urandom(300_000).hex().encode() + b"\n"
MODIFIED = "Tue, 02 Sep 2025 08:00:00 GMT"


@dataclass
class Site:
    """What the server holds, how it is to behave on each request in turn, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    etag: str | None = '"one"'
    modified: str | None = MODIFIED
    ranges: bool = True
    behaviour: list[str] = field(
        default_factory=list
    )  # "503", "404", "cut", "shift" (another range), "to <address>"; "" is well behaved
    requests: list[dict[str, str]] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = dict(handler.headers.items())
        self.requests.append(asked)
        behaviour = self.behaviour.pop(0) if self.behaviour else ""
        if behaviour.startswith("to "):
            handler.send_response(302)
            handler.send_header("Location", behaviour[3:])
            return _end(handler)
        if behaviour.isdigit():
            handler.send_response(int(behaviour))
            handler.send_header("Retry-After", "0")
            return _end(handler)
        tags = {"ETag": self.etag, "Last-Modified": self.modified}
        known = asked.get("If-None-Match", "no") == self.etag or asked.get("If-Modified-Since", "no") == self.modified
        if known:
            handler.send_response(304)
            return _end(handler, tags)
        body, status, extra = self.content, 200, {}
        strong = self.etag if self.etag and not self.etag.startswith("W/") else self.modified
        if self.ranges and "Range" in asked and asked.get("If-Range") in (strong, self.modified):
            start = int(asked["Range"].removeprefix("bytes=").removesuffix("-")) - 7 * (behaviour == "shift")
            body, status = self.content[start:], 206
            extra = {"Content-Range": f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"}
        handler.send_response(status)
        for name, value in {**tags, **extra, "Content-Length": str(len(body))}.items():
            if value is not None:
                handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2] if behaviour == "cut" else body)
        if behaviour == "cut":
            handler.wfile.flush()
            handler.connection.close()


def _end(handler: BaseHTTPRequestHandler, headers: dict[str, str | None] | None = None) -> None:
    for name, value in {**(headers or {}), "Content-Length": "0"}.items():
        if value is not None:
            handler.send_header(name, value)
    handler.end_headers()


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}/ontology/sample.obo"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(download, "FIRST_WAIT", 0.01)
    with serving(Site()) as running:
        yield running


def source_of(*urls: str, version: str = "header") -> SourceConfig:
    url = urls[0] if len(urls) == 1 else urls
    return SourceConfig(
        name="sample", title="Sample", format="obo", url=url, version=version, prefixes=("X",), licence="CC0 1.0"
    )


def test_a_file_arrives_whole_with_its_sha256_beside_it(site: Site, here: Settings) -> None:
    fetched = download.fetch(source_of(site.url), here)
    (path,) = fetched.paths
    assert path == here.downloads / "sample" / "sample.obo"
    assert path.read_bytes() == CONTENT
    assert fetched.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert fetched.sha256 in path.with_name("sample.obo.json").read_text()
    assert (fetched.size, fetched.etag, fetched.last_modified) == (len(CONTENT), '"one"', MODIFIED)
    assert not fetched.unchanged
    assert sorted(p.name for p in path.parent.iterdir()) == ["sample.obo", "sample.obo.json"]


@pytest.mark.parametrize(("etag", "modified"), [('"one"', MODIFIED), (None, MODIFIED), ('W/"one"', None)])
def test_an_unchanged_source_costs_one_request(
    site: Site, here: Settings, etag: str | None, modified: str | None
) -> None:
    site.etag, site.modified = etag, modified
    first = download.fetch(source_of(site.url), here)
    again = download.fetch(source_of(site.url), here)
    assert len(site.requests) == 2
    assert again.unchanged
    assert (again.paths, again.sha256, again.etag) == (first.paths, first.sha256, first.etag)


def test_a_changed_source_replaces_the_file(site: Site, here: Settings) -> None:
    download.fetch(source_of(site.url), here)
    site.content, site.etag, site.modified = b"format-version: 1.4\n", '"two"', None
    fetched = download.fetch(source_of(site.url), here)
    assert not fetched.unchanged
    assert fetched.paths[0].read_bytes() == b"format-version: 1.4\n"


def test_a_failing_server_is_retried(site: Site, here: Settings) -> None:
    site.behaviour = ["503", "429", "500"]
    assert download.fetch(source_of(site.url), here).paths[0].read_bytes() == CONTENT
    assert len(site.requests) == 4


@pytest.mark.parametrize(("etag", "modified"), [('"one"', MODIFIED), ('W/"one"', MODIFIED), (None, MODIFIED)])
def test_a_broken_download_is_continued(site: Site, here: Settings, etag: str | None, modified: str | None) -> None:
    site.etag, site.modified = etag, modified
    site.behaviour = ["cut", "cut"]
    assert download.fetch(source_of(site.url), here).paths[0].read_bytes() == CONTENT
    starts = [asked.get("Range") for asked in site.requests]
    half = len(CONTENT) // 2
    assert starts == [None, f"bytes={half}-", f"bytes={half + (len(CONTENT) - half) // 2}-"]


def test_a_partial_download_of_an_earlier_process_is_continued(site: Site, here: Settings) -> None:
    site.behaviour = ["cut"] + ["503"] * (download.ATTEMPTS - 1)
    with pytest.raises(SourceError, match="status 503 at each of"):
        download.fetch(source_of(site.url), here)
    site.requests.clear()
    assert download.fetch(source_of(site.url), here).paths[0].read_bytes() == CONTENT
    assert [asked.get("Range") for asked in site.requests] == [f"bytes={len(CONTENT) // 2}-"]


def test_parts_of_two_different_files_are_never_joined(site: Site, here: Settings) -> None:
    site.behaviour = ["cut"] + ["503"] * (download.ATTEMPTS - 1)
    with pytest.raises(SourceError):
        download.fetch(source_of(site.url), here)
    site.content, site.etag, site.modified = CONTENT[::-1], '"two"', None
    assert download.fetch(source_of(site.url), here).paths[0].read_bytes() == CONTENT[::-1]


def test_an_unrequested_range_is_not_appended(site: Site, here: Settings) -> None:
    site.behaviour = ["cut", "shift"]
    assert download.fetch(source_of(site.url), here).paths[0].read_bytes() == CONTENT


def test_without_tags_or_ranges_a_download_starts_over(site: Site, here: Settings) -> None:
    site.etag = site.modified = None
    site.ranges = False
    site.behaviour = ["cut"]
    assert download.fetch(source_of(site.url), here).paths[0].read_bytes() == CONTENT
    assert not any("Range" in asked for asked in site.requests)


def test_a_failed_download_leaves_the_file_that_was_there(site: Site, here: Settings) -> None:
    path = download.fetch(source_of(site.url), here).paths[0]
    site.etag, site.modified, site.content = '"two"', None, b"new"
    site.behaviour = ["503"] * download.ATTEMPTS
    with pytest.raises(SourceError):
        download.fetch(source_of(site.url), here)
    assert path.read_bytes() == CONTENT


def test_a_file_damaged_on_the_disk_is_fetched_anew(site: Site, here: Settings) -> None:
    path = download.fetch(source_of(site.url), here).paths[0]
    path.write_bytes(CONTENT[:-1] + b"?")
    assert download.fetch(source_of(site.url), here).paths[0].read_bytes() == CONTENT


def test_an_unavailable_source_is_an_immediate_error(site: Site, here: Settings) -> None:
    site.behaviour = ["404"]
    with pytest.raises(SourceError, match="found status 404"):
        download.fetch(source_of(site.url), here)
    assert len(site.requests) == 1


def test_a_web_page_in_place_of_the_file_is_refused(site: Site, here: Settings) -> None:
    site.content = b"\n<!DOCTYPE html><html>Are you human?</html>"
    with pytest.raises(SourceError, match="found a web page"):
        download.fetch(source_of(site.url), here)
    assert not list((here.downloads / "sample").iterdir())


def test_redirects_are_followed_as_long_as_they_are_safe(site: Site, here: Settings) -> None:
    site.behaviour = [f"to {site.url}?again", "to elsewhere.obo"]
    assert download.fetch(source_of(site.url), here).paths[0].read_bytes() == CONTENT
    site.behaviour = ["to http://example.org/sample.obo"]
    with pytest.raises(SourceError, match=r"found a redirect to http://example\.org"):
        download.fetch(source_of(site.url), here)
    site.behaviour = [f"to {site.url}"] * 20
    with pytest.raises(SourceError, match="more than 10 redirects"):
        download.fetch(source_of(site.url), here)


def test_a_secure_address_never_leads_to_an_insecure_one(site: Site) -> None:
    import httpx

    def redirecting(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": site.url})

    with httpx.Client(transport=httpx.MockTransport(redirecting)) as client:
        with pytest.raises(SourceError, match="expected https all the way"):
            with download._response(client, "https://example.org/sample.obo", {}):
                pass
    assert not site.requests


def test_a_source_of_several_files_is_one(site: Site, here: Settings) -> None:
    both = source_of(site.url, site.url.replace("sample.obo", "other/sample.obo"))
    fetched = download.fetch(both, here)
    assert [path.name for path in fetched.paths] == ["sample.obo", "2-sample.obo"]
    assert fetched.size == 2 * len(CONTENT)
    assert fetched.sha256 != hashlib.sha256(CONTENT).hexdigest()
    assert download.fetch(both, here).unchanged


def test_the_servers_date_is_the_version_where_the_declaration_says_so(site: Site, here: Settings) -> None:
    assert download.fetch(source_of(site.url, version="last-modified"), here).version == "2025-09-02"
    assert download.fetch(source_of(site.url), here).version is None


def test_an_address_by_version_needs_a_version(site: Site, here: Settings) -> None:
    mesh = load_source("mesh")
    with pytest.raises(DeclarationError, match="say which with --version"):
        addresses(mesh, None)
    with pytest.raises(DeclarationError, match="expected a version that an address can hold"):
        addresses(mesh, "../../etc")
    assert [url.rpartition("/")[2] for url in addresses(mesh, "2025")] == ["desc2025.gz", "supp2025.gz"]
    dated = source_of(site.url.replace("sample", "sample-{version}"))
    assert download.fetch(dated, here, "2025-09-02").paths[0].name == "sample-2025-09-02.obo"


@pytest.mark.parametrize("url", ["http://example.org/x.obo", "ftp://example.org/x.obo", "file:///etc/passwd", "x.obo"])
def test_an_address_without_https_is_refused(url: str) -> None:
    with pytest.raises(DeclarationError, match="begins with https://"):
        addresses(source_of(url), None)


def test_a_source_without_an_address_asks_for_the_file(here: Settings) -> None:
    with pytest.raises(DeclarationError, match="give --file"):
        download.fetch(load_source("mondo-sample"), here)


def test_every_shipped_declaration_can_be_fetched_safely() -> None:
    for declared in shipped_ontologies().glob("*.toml"):
        source = load_source(declared.stem)
        assert source.licence and source.citation and source.prefixes
        if source.url:
            assert all(url.startswith("https://") for url in addresses(source, "2025"))

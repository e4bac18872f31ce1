"""A refresh without files asks a source of editions for today's, in every way in which a refresh begins."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from belink.cli import commands
from belink.lifecycle import ontology, refresh
from belink.settings import Settings
from tests.support import small
from tests.support.made_releases import concept, obo

TODAY = f"{datetime.now(UTC):%Y}"


@contextmanager
def editions(asked: list[str]) -> Iterator[str]:
    """Yield the address of a server that has every edition, and notes which ones were asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = obo(concept(1, "gout"), version=None).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def declare(folder: Path, address: str, models: dict[str, str]) -> tuple[Path, Path]:
    """Write an ontology of yearly editions, and a linker that is made of it."""
    source, linker = folder / "yearly.toml", small.linker(folder, models, name="editions")
    source.write_text(
        'title = "T"\nformat = "obo"\nprefixes = ["X"]\nlicence = "CC0"\nredistributable = true\nedition = "%Y"\n'
        f"url = \"{address}/desc{{version}}.obo\"\nversion = '(\\d{{4}})'\n"
    )
    linker.write_text(linker.read_text().replace(f'"{small.ONTOLOGY}"', f'"{source}"', 1))
    return source, linker


@pytest.mark.heavy
def test_a_refresh_without_files_asks_for_todays_edition(
    here: Settings, tmp_path: Path, models: dict[str, str]
) -> None:
    asked: list[str] = []
    with editions(asked) as address:
        source, linker = declare(tmp_path, address, models)
        files = ontology.fetch(ontology.start(here, str(source)))
        assert ontology.ingest(ontology.start(here, str(source)), files).version == TODAY
        run = refresh.start(here, str(linker))
        changes = refresh.find_changes(run, {})
        assert [path.name for path in changes.files["yearly"].paths] == [f"desc{TODAY}.obo"]
        named = refresh.start(here, str(linker), versions={"yearly": "2019"})
        assert [path.name for path in refresh.find_changes(named, {}).files["yearly"].paths] == ["desc2019.obo"]
        again = commands.ingest_ontology(here, str(source), [], None)
        assert (again["version"], again["new"]) == (TODAY, False)
    assert set(asked) == {f"/desc{TODAY}.obo", "/desc2019.obo"}

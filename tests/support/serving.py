"""Real bundles of tiny models, registered, and a real server over them on loopback."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from belink import settings
from belink.declarations import StorageConfig
from belink.lifecycle import calibrate, ontology, promotion, refresh, retrain
from belink.linker import bundle
from belink.records import Concept, GateResult
from belink.registry import aliases
from belink.registry.store import RunRecord
from belink.serve.application import Limits, application, configuration, follow
from belink.serve.following import Follower
from belink.serve.metrics import Metrics
from belink.settings import Settings
from tests.support import made_releases, small

EVIL = "<img src=x onerror=document.title='evil'>"
_TERM = f"""
[Term]
id: MONDO:9000001
name: {EVIL} fever
def: "A fever made for testing, {EVIL}." [belink:test]
is_a: MONDO:0000001 ! disease
"""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A home, and the parts of a bundle for each release."""

    here: Settings
    parts: dict[str, bundle.Parts]

    def register(
        self,
        linker: str,
        version: str = small.RELEASES[0],
        number: int = 1,
        *,
        by_reference: bool = False,
        reports: Mapping[str, str] | None = None,
    ) -> str:
        """A version of ``linker`` built from the release ``version``; another ``number`` gives another bundle."""
        parts = self.parts[version]
        storage = StorageConfig(by_reference_above_mib=0 if by_reference else None)
        parts = replace(
            parts,
            linker=parts.linker.model_copy(update={"name": linker, "storage": storage}),
            evaluation={"challenger": {"metrics": {"accuracy_at_1": {"value": 0.5 + number / 100}}}, "champion": None},
            gates=[GateResult(name="min_accuracy_at_1", value=0.5 + number / 100, bound=0.5, passed=True)],
        )
        made = bundle.assemble(parts, self.here.bundles / linker)
        return aliases.register(self.here, made, RunRecord(description=f"# {linker}", reports=reports or {}))


def made(folder: Path, models: dict[str, str], database: Path) -> Made:
    """A home with two releases, of which the second holds a concept whose name is HTML; one adapter for both."""
    here = settings.load(folder / "home")
    here.home.mkdir(parents=True)
    (here.home / "mlflow.db").write_bytes(database.read_bytes())
    run = refresh.start(here, str(small.linker(folder, models)))
    parts = {}
    decision = None
    for version in small.RELEASES:
        file = small.release(folder / "files", version)
        if version == small.RELEASES[1]:
            file.write_text(file.read_text(encoding="utf-8") + _TERM, encoding="utf-8")
        files = ontology.fetch(run.ontologies[small.ONTOLOGY], [file])
        release = {small.ONTOLOGY: ontology.ingest(run.ontologies[small.ONTOLOGY], files).path}
        index = refresh.build_index(run, release, None).path
        if decision is None:
            report = retrain.train(run, release, index)
            decision = retrain.Decision(train=True, reason="", adapter=report.path)
        calibration = calibrate.calibrate(run, release, index, decision, None)
        parts[version] = promotion.draft(run, release, index, decision, calibration).parts
    return Made(here=here, parts=parts)


def register_concepts(
    served: Made, folder: Path, linker: str, kind: str, *concepts: Concept, release: str = "2025-01-01"
) -> str:
    """Register and promote a linker of a few concepts, whose type is ``kind``, with the encoder of ``served``."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{linker}-terms.obo"
    file.write_text(made_releases.obo(*concepts, version=release), encoding="utf-8")
    return register_file(served, folder, linker, kind, file, 'format = "obo"\nprefixes = ["X"]\n')


def register_file(served: Made, folder: Path, linker: str, kind: str, file: Path, format: str) -> str:
    """As :func:`register_concepts`, of the ontology in ``file``, whose declaration has the lines ``format``."""
    encoder = served.parts[small.RELEASES[0]].linker.encoder.model
    (folder / f"{linker}-terms.toml").write_text(f'title = "Terms"\nlicence = "CC0"\n{format}', encoding="utf-8")
    (folder / f"{linker}.toml").write_text(
        f"""
        title = "Terms"
        type = "{kind}"
        ontologies = ["{linker}-terms.toml"]
        [encoder]
        model = "{encoder}"
        pooling = "mean"
        [training]
        questions = 0
        """,
        encoding="utf-8",
    )
    run = refresh.start(served.here, str(folder / f"{linker}.toml"))
    ((name, source),) = run.ontologies.items()
    releases = {name: ontology.ingest(source, ontology.fetch(source, [file])).path}
    index = refresh.build_index(run, releases, None).path
    decision = retrain.decide(run, releases, None, {})
    calibration = calibrate.calibrate(run, releases, index, decision, None)
    parts = promotion.draft(run, releases, index, decision, calibration).parts
    measured = {"challenger": {"metrics": {"accuracy_at_1": {"value": 1.0}}}, "champion": None}
    gate = GateResult(name="min_accuracy_at_1", value=1.0, bound=0.5, passed=True)
    parts = replace(parts, evaluation=measured, gates=[gate])
    bundle_path = bundle.assemble(parts, served.here.bundles / linker)
    version = aliases.register(served.here, bundle_path, RunRecord(description=f"# {linker}"))
    aliases.promote(served.here, linker, version)
    return version


@dataclass(kw_only=True)
class Server:
    """A server that listens."""

    url: str
    follower: Follower
    metrics: Metrics

    def post(self, **body: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/link", json=body, timeout=120)

    def ask(self, *texts: str) -> httpx.Response:
        """Each of ``texts`` as a mention, so that there is something to link whatever the detector knows."""
        return self.post(documents=[{"text": text, "mentions": [{"start": 0, "end": len(text)}]} for text in texts])

    def get(self, path: str, **query: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", params=query, timeout=120)


@contextmanager
def serving(here: Settings, *linkers: str, every: float = 0.2, wait: bool = False, **limits: Any) -> Iterator[Server]:
    """The service of ``linkers`` in this process, on a port of its own."""
    import uvicorn

    metrics = Metrics()
    followers = follow(here, linkers, metrics, every=every)
    for follower in followers:
        follower.start(wait=wait)
    app = application(here, followers, Limits(**limits), metrics)
    server = uvicorn.Server(configuration(app, "127.0.0.1", 0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Server(url=f"http://127.0.0.1:{port}", follower=followers[0], metrics=metrics)
    finally:
        server.should_exit = True
        thread.join(timeout=20)


def until(true: Any, seconds: float = 120) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited for nothing"
        time.sleep(0.02)

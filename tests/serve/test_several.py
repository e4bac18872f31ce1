"""One service of several linkers: one answer, each linker by its own alias."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from belink.corpora import feedback
from belink.errors import RegistryError
from belink.linker.review import review_queue, write_queue
from belink.records import Document
from belink.registry import aliases
from belink.serve.application import follow
from belink.serve.metrics import Metrics
from tests.support import small
from tests.support.made_releases import concept
from tests.support.serving import Made, Server, register_concepts, serving, until

TEXT = "Heparin for drug-induced hepatitis; no aspirin intolerance, no aspirin."


@pytest.fixture(scope="module")
def server(served_home: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("several")
    aliases.promote(served_home.here, "ills", served_home.register("ills", small.RELEASES[0]))
    drugs = (concept(1, "heparin"), concept(2, "aspirin"), concept(3, "induced"))
    register_concepts(served_home, folder, "remedies", "Chemical", *drugs)
    register_concepts(
        served_home, folder, "complaints", "Sign", concept(7, "aspirin intolerance"), concept(9, "heparin")
    )
    with serving(served_home.here, "ills", "remedies", "complaints@champion") as running:
        yield running


def test_a_text_has_the_links_of_all_linkers_without_overlaps(server: Server) -> None:
    answer = server.post(text=TEXT, min_probability=0).json()
    links = {link["text"]: (link["linker"], link["type"], link["id"]) for link in answer["links"]}
    assert links["aspirin intolerance"] == ("complaints", "Sign", "X:7")
    assert links["aspirin"] == ("remedies", "Chemical", "X:2")
    assert links["drug-induced hepatitis"][0] == "ills"
    assert "induced" not in links
    assert answer["lineage"]["linker"] == "ills, remedies, complaints"


def test_a_marked_mention_of_a_type_is_asked_of_its_linker(server: Server) -> None:
    spans = [{"start": 0, "end": 7, "type": kind} for kind in ("Sign", "Chemical")]
    documents = [{"text": "heparin", "mentions": spans}]
    (document,) = server.post(documents=documents, min_probability=0).json()["documents"]
    assert [link["linker"] for link in document["links"]] == ["complaints", "remedies"]


def test_concepts_and_searches_cover_all_linkers(server: Server) -> None:
    assert server.get("/concepts/X:7").json()["label"] == "aspirin intolerance"
    found = server.get("/search", q="heparin").json()
    assert [each["id"] for each in found["concepts"][:2]] == ["X:1", "X:9"]
    assert server.get("/concepts/X:404").status_code == 404


def test_lineage_readiness_and_counters_speak_of_each_linker(server: Server) -> None:
    names = ["ills", "remedies", "complaints"]
    assert [each["linker"] for each in server.get("/lineage").json()["linkers"]] == names
    ready = server.get("/ready").json()
    assert ready["ready"] is True
    assert [each["version"] for each in ready["linkers"]] == ["1", "1", "1"]
    counters = server.get("/metrics").text
    assert all(f'belink_champion{{linker="{name}"' in counters for name in names)


def test_history_is_that_of_the_linker_asked_for(server: Server) -> None:
    assert server.get("/history").json()["linker"] == "ills"
    answer = server.get("/history", linker="remedies").json()
    assert (answer["linker"], answer["linkers"]) == ("remedies", ["ills", "remedies", "complaints"])
    assert list(answer["releases"]) == ["remedies-terms"]
    assert server.get("/history", linker="others").status_code == 404


def test_each_linker_follows_its_own_alias(served_home: Made, server: Server, tmp_path: Path) -> None:
    drugs = (concept(1, "heparin"), concept(2, "aspirin", "acetylsalicylic acid"), concept(3, "induced"))
    register_concepts(served_home, tmp_path, "remedies", "Chemical", *drugs, release="2025-02-01")
    until(lambda: server.get("/lineage").json()["linkers"][1]["version"] == "2")
    versions = [each["version"] for each in server.get("/lineage").json()["linkers"]]
    assert versions == ["1", "2", "1"]
    assert server.post(text=TEXT).json()["lineage"]["model_version"] == "1, 2, 1"


def test_nothing_is_answered_until_each_linker_is_there(served_home: Made) -> None:
    with serving(served_home.here, "ills", "yet-to-come", wait=True) as waiting:
        assert waiting.get("/ready").status_code == 503
        assert [each["ready"] for each in waiting.get("/ready").json()["linkers"]] == [True, False]
        assert waiting.post(text=TEXT).status_code == 503


def test_a_queue_of_several_linkers_is_judged_each_at_its_own(
    served_home: Made, server: Server, tmp_path: Path
) -> None:
    queue, here = tmp_path / "queue.jsonl", served_home.here
    with queue.open("wb") as both:
        for name, text in (("remedies", "Some heparin."), ("ills", "A case of hepatitis.")):
            follower = next(f for f in follow(here, [name], Metrics(), every=60))
            follower.start(wait=False)
            assert follower.current is not None
            part = tmp_path / f"{name}.jsonl"
            write_queue(review_queue(follower.current.linker, [Document(id=name, text=text)], 1), part)
            both.write(part.read_bytes())
            follower.stop()
    with serving(here, "ills", "remedies", feedback=True, review=queue) as running:
        first = running.get("/review").json()
        assert (first["n"], first["linker"], first["item"]["mention"]) == (2, "remedies", "heparin")
        item = {key: first["item"][key] for key in ("text", "start", "end")}
        body = {**item, "verdict": "no-mention", "who": "anna", "linker": first["linker"]}
        assert httpx.post(f"{running.url}/feedback", json=body, timeout=60).status_code == 201
        then = running.get("/review").json()
        assert (then["n_judged"], then["linker"]) == (1, "ills")
    assert [each.verdict for each in feedback.read_records(here, "remedies")] == ["no-mention"]  # type: ignore[union-attr]
    assert feedback.read_records(here, "ills") == []


def test_a_linker_is_served_once(served_home: Made) -> None:
    with pytest.raises(RegistryError, match="expected each linker once, found ills, ills"):
        follow(served_home.here, ["ills", "ills@previous"], Metrics(), every=1)

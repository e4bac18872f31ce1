"""The service answers as the linker does, says no with a reason, and follows the alias."""

import contextlib
import json
import os
import resource
import signal
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from belink.errors import BundleError, RegistryError
from belink.linker.abstention import Abstention
from belink.linker.linker import Linker
from belink.records import Document
from belink.registry import aliases
from belink.serve import connections, following
from tests.support import small, warm
from tests.support.serving import EVIL, Made, Server, serving, until

FIRST, SECOND = small.RELEASES
TEXT = "Two brothers with hereditary spastic paraplegia 4; one had COPD 😀 and Crohn disease."


@pytest.fixture(scope="module")
def server(served_home: Made) -> Iterator[Server]:
    """A service of two versions, the second champion."""
    served_home.register("plain", FIRST)
    version = served_home.register("plain", SECOND)
    aliases.settle(served_home.here, "plain", version)
    aliases.promote(served_home.here, "plain", "1")
    aliases.promote(served_home.here, "plain", version)
    with serving(served_home.here, "plain") as running:
        yield running


@pytest.fixture(scope="module")
def linker(served_home: Made, server: Server) -> Linker:
    path, version = aliases.bundle_path(served_home.here, "plain")
    return Linker(path, served_home.here.cache, model_version=version)


def names(linker: Linker, n: int) -> list[str]:
    found = [name for name in linker.index.names() if len(name) > 12 and name.replace(" ", "").isalpha()]
    return found[:: max(1, len(found) // n)][:n]


def test_a_text_is_linked_as_the_linker_links_it(server: Server, linker: Linker) -> None:
    text = " 😀 ".join(f"A case of {name}." for name in names(linker, 20))
    answer = server.post(text=text).json()
    expected = linker.link_text(text)
    assert len(expected) >= 15
    assert [(m["start"], m["end"], m["id"]) for m in answer["links"]] == [
        (link.mention.start, link.mention.end, link.candidate.id if link.candidate else None) for link in expected
    ]
    assert [m["probability"] for m in answer["links"]] == pytest.approx(
        [link.probability for link in expected], abs=1e-3
    )
    assert answer["lineage"] == linker.lineage
    assert all(len(m["candidates"]) <= 10 for m in answer["links"])
    assert {"reranker", "exact", "retrieval"} & {m["decided_by"] for m in answer["links"]}


def test_documents_keep_their_order_and_their_mentions(server: Server) -> None:
    documents = [
        {"id": "a", "text": TEXT, "mentions": [{"start": 59, "end": 63}, {"start": 70, "end": 83}]},
        {"id": "a", "text": "Nothing here."},
        {"text": "", "mentions": []},
    ]
    answer = server.post(documents=documents, candidates=1).json()
    assert [document["id"] for document in answer["documents"]] == ["a", "a", ""]
    assert [m["text"] for m in answer["documents"][0]["links"]] == ["COPD", "Crohn disease"]
    assert all(len(m["candidates"]) <= 1 for m in answer["documents"][0]["links"])


def test_appositions_are_in_the_answer(server: Server) -> None:
    text = "Regional ileitis (Crohn disease) is here; ileitis is not."
    marked = [{"start": 0, "end": 16}, {"start": 18, "end": 31}, {"start": 42, "end": 49}]
    (answered,) = server.post(documents=[{"text": text, "mentions": marked}]).json()["documents"]
    assert [m["also"] for m in answered["links"]] == [["Crohn disease"], ["Regional ileitis"], []]


def test_bioc_is_answered_with_bioc(server: Server) -> None:
    passage = {
        "offset": 0,
        "text": "We saw Crohn disease.",
        "annotations": [{"text": "Crohn disease", "locations": [{"offset": 7, "length": 13}], "infons": {"type": "D"}}],
        "unknown": [1],
    }
    answer = server.post(source="PubTator", version="1.0", documents=[{"id": "7", "passages": [passage]}]).json()
    (document,) = answer["documents"]
    (annotation,) = document["passages"][0]["annotations"]
    assert annotation["locations"] == [{"offset": 7, "length": 13}]
    assert annotation["infons"]["type"] == "D"
    kept = document["passages"][0]["unknown"], answer["source"], answer["version"]
    assert kept == ([1], "PubTator", "1.0"), "it comes back as it came"
    assert annotation["infons"]["concept_id"]
    assert 0 <= float(annotation["infons"]["probability"]) <= 1
    assert answer["infons"]["model_version"] == "2"


def test_below_the_callers_bound_is_nil_and_the_candidates_stay(server: Server, linker: Linker) -> None:
    (name,) = names(linker, 1)
    free, bound = (server.post(text=f"A case of {name}.", min_probability=p).json()["links"][0] for p in (0, 1))
    assert free["id"] is not None
    if free["probability"] < 1:
        assert (bound["id"], bound["probability"]) == (None, bound["nil_probability"])
    assert [c["id"] for c in bound["candidates"]] == [c["id"] for c in free["candidates"]]


def test_the_bound_that_the_refresh_chose_holds_for_found_mentions_alone(server: Server, linker: Linker) -> None:
    (name,) = names(linker, 1)
    text = f"A case of {name}."
    mention = {"start": 10, "end": 10 + len(name)}
    served = server.follower.current.linker
    calibration = served.calibration
    chosen = Abstention(declared=0.9, bound=1.0, precision=0.95, kept=0.1, n=300)
    try:
        served.calibration = replace(calibration, abstention=chosen)
        lineage = server.get("/lineage").json()
        assert (lineage["min_probability"], lineage["abstention"]["precision"]) == (1.0, 0.95)
        (found,) = server.post(text=text).json()["links"]
        assert (found["id"], found["probability"]) == (None, found["nil_probability"])
        assert served.link_text(text)[0].id is None
        (free,) = server.post(text=text, min_probability=0).json()["links"]
        documents = [{"id": "1", "text": text, "mentions": [mention]}]
        marked, held = (
            server.post(documents=documents, **more).json()["documents"][0]["links"][0]
            for more in ({}, {"min_probability": 1})
        )
        assert free["id"] and marked["id"]
        assert held["id"] is None or held["probability"] == 1
        served.declaration = served.declaration.model_copy(update={"min_probability": 0.0})
        assert server.post(text=text).json()["links"][0]["id"], "a declared bound is stronger"
    finally:
        served.calibration = calibration
        served.declaration = served.declaration.model_copy(update={"min_probability": None})


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"documents": [{"text": "abc", "mentions": [{"start": 1, "end": 9}]}]}, "inside the text"),
        ({"documents": [{"text": "abc", "mentions": [{"start": 2, "end": 2}]}]}, "start before end"),
        ({"text": "a", "minimum": 0.5}, "Extra inputs"),
        ({"text": "a", "min_probability": 2}, "less than or equal to 1"),
        ({"documents": [{"passages": [{"infons": {"type": "\ud800"}}]}]}, "lone surrogate"),
        ({"text": "\ud800"}, "lone surrogate"),
        ({}, "required"),
    ],
)
def test_an_invalid_request_is_refused_with_its_fault(server: Server, body: dict, says: str) -> None:
    answer = httpx.post(f"{server.url}/link", content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert says.lower() in answer.text.lower()


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b'{"text": NaN}', b""])
def test_a_body_that_is_not_json_is_refused(server: Server, content: bytes) -> None:
    answer = httpx.post(f"{server.url}/link", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


def test_a_name_is_searched_and_an_old_id_leads_to_its_successor(server: Server, linker: Linker) -> None:
    (name,) = names(linker, 1)
    answer = server.get("/search", q=name, limit=3).json()
    assert answer["concepts"][0]["score"] > 0.9
    assert len(answer["concepts"]) == 3
    release = server.follower.current.releases[0]
    ((old, new), *_) = release.rows(
        "SELECT concept_id, replacement_id FROM replaced_by JOIN concept c ON c.id = replacement_id "
        "WHERE NOT c.obsolete ORDER BY ALL"
    )
    assert [c["id"] for c in server.get("/search", q=old).json()["concepts"]] == [new]
    concept = server.get(f"/concepts/{old}").json()
    assert concept["obsolete"]
    assert concept["successors"] == [{"id": new, "label": release.label(new)}]


@pytest.mark.parametrize("query", ["", "x" * 201])
def test_a_search_for_nothing_or_for_a_whole_text_is_refused(server: Server, query: str) -> None:
    assert server.get("/search", q=query).status_code == 422


def test_a_concept_has_names_parents_and_definition(server: Server) -> None:
    release = server.follower.current.releases[0]
    ((id, parent),) = release.rows(
        "SELECT concept_id, parent_id FROM parent JOIN concept c ON c.id = concept_id "
        "JOIN concept p ON p.id = parent_id "
        "WHERE NOT c.obsolete AND c.definition <> '' ORDER BY ALL LIMIT 1"
    )
    expected, answer = release.concept(id), server.get(f"/concepts/{id}").json()
    assert (answer["label"], answer["definition"]) == (expected.label, expected.definition)
    assert {"id": parent, "label": release.label(parent)} in answer["parents"]
    assert [s["text"] for s in answer["synonyms"]] == [name.text for name in expected.synonyms]
    assert answer["lineage"]["model_version"] == "2"


@pytest.mark.parametrize("id", ["MONDO:nothing", "a/b", "' OR 1=1 --", "%00", "😀", "."])
def test_an_unknown_concept_is_not_found(server: Server, id: str) -> None:
    answer = server.get(f"/concepts/{id}")
    assert answer.status_code in (404, 307)


def test_operations_name_the_served_version(server: Server, served_home: Made) -> None:
    assert server.get("/health").json() == {"status": "ok"}
    ready = server.get("/ready").json()
    assert (ready["ready"], ready["version"], ready["refused"], ready["registry"]) == (True, "2", None, "ok")
    lineage = server.get("/lineage").json()
    assert lineage["releases"] == {small.ONTOLOGY: SECOND}
    server.post(text="Crohn disease")
    metrics = server.get("/metrics").text
    assert 'belink_champion{linker="plain"' in metrics
    assert 'belink_requests_total{method="POST",path="/link",status="200"}' in metrics
    assert "belink_mentions_total{" in metrics
    document = server.get("/openapi.json").json()
    assert document["components"]["schemas"]["Text"]["examples"]
    assert {"/link", "/search", "/concepts/{id}", "/lineage", "/health", "/ready", "/metrics"} <= set(document["paths"])


def test_history_tells_versions_gates_and_releases(server: Server) -> None:
    answer = server.get("/history").json()
    newest, oldest = answer["versions"]
    assert (newest["version"], newest["aliases"], newest["outcome"]) == ("2", ["challenger", "champion"], "promoted")
    assert oldest["aliases"] == ["previous"]
    assert newest["promoted"] and newest["gates"][0]["name"] == "min_accuracy_at_1"
    assert newest["figures"] == {"accuracy_at_1": 0.51}
    releases = answer["releases"][small.ONTOLOGY]
    assert [release["version"] for release in releases] == [SECOND, FIRST]
    assert (releases[0]["linkers"], releases[1]["linkers"]) == (["2"], ["1"])
    diff = server.get("/diff", ontology=small.ONTOLOGY, old=FIRST, new=SECOND).json()
    assert diff["added"] > 0 and diff["examples"]["added"]
    assert server.get("/diff", ontology=small.ONTOLOGY, old="../..", new=SECOND).status_code == 404
    assert server.get("/diff", ontology="hp", old=FIRST, new=SECOND).status_code == 404


def test_a_bundle_held_by_reference_is_served_and_tells_its_history(served_home: Made) -> None:
    version = served_home.register("referring", SECOND, by_reference=True)
    aliases.promote(served_home.here, "referring", version)
    path, _ = aliases.bundle_path(served_home.here, "referring")
    assert path.is_relative_to(served_home.here.home / "referenced")
    with serving(served_home.here, "referring") as server:
        answer = server.get("/history").json()
        assert server.ask("Crohn disease").status_code == 200
    assert answer["versions"][0]["gates"][0]["name"] == "min_accuracy_at_1"
    assert [release["version"] for release in answer["releases"][small.ONTOLOGY] if release["linkers"]] == [SECOND]


def test_a_browser_is_told_to_load_nothing_from_elsewhere(server: Server) -> None:
    answer = server.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (
        "access-control-allow-origin" not in httpx.get(server.url, headers={"Origin": "https://elsewhere.org"}).headers
    )
    described = server.get("/docs")
    assert "default-src 'none'" in described.headers["content-security-policy"]
    assert "//" not in described.text.replace("<!doctype html>", "")  # no address of another server


def test_many_ask_at_once_and_each_gets_its_own_answer(server: Server, linker: Linker) -> None:
    texts = [f"{name} was seen." for name in names(linker, 40)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda text: server.post(text=text).json(), texts))
    for text, answer in zip(texts, answers, strict=True):
        assert [m["text"] for m in answer["links"]] == [link.mention.text for link in linker.link_text(text)]


def test_a_large_request_does_not_hold_up_a_small_one(server: Server, linker: Linker) -> None:
    text = " ".join(f"A case of {name[:-1]}." for name in linker.index.names())
    mentions = [{"start": at, "end": at + 12} for at in range(0, min(len(text), 40_000) - 12, 20)]
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(server.post, documents=[{"text": text, "mentions": mentions}], candidates=0)
        until(lambda: server.get("/metrics").text.count("belink_open_requests 1.0"))
        small_one = server.ask("Crohn disease")
        assert small_one.status_code == 200
        assert not large.done(), "the large request should still be running"
        assert len(large.result().json()["documents"][0]["links"]) == len(mentions)


def test_limits_answer_with_their_own_status(served_home: Made, server: Server) -> None:
    with serving(served_home.here, "plain", max_bytes=2000, seconds=0.5, queue=2) as tight:
        assert tight.post(text="x" * 3000).status_code == 413
        chunks = (b"x" * 100 for _ in range(100))
        assert httpx.post(f"{tight.url}/link", content=chunks).status_code == 413
        with socket.create_connection(("127.0.0.1", int(tight.url.rpartition(":")[2])), timeout=10) as slow:
            slow.sendall(
                b"POST /link HTTP/1.1\r\nhost: [::1]\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{"
            )
            assert b" 504 " in slow.recv(200)
        blocked = threading.Event()
        linker = tight.follower.linker
        original, linker.link = linker.link, lambda *a, **k: (blocked.wait(5), original(*a, **k))[1]
        try:
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda _: tight.ask("Crohn disease"), range(8)))
        finally:
            blocked.set()
            del linker.link
        assert {answer.status_code for answer in answers} == {503, 504}
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert int(refused.headers["retry-after"]) >= 1
        until(lambda: tight.ask("Crohn disease").status_code == 200)


def test_an_answer_is_bounded_too(server: Server) -> None:
    answer = server.post(documents=[{"text": "asthma", "mentions": [{"start": 0, "end": 6}] * 10_001}])
    assert answer.status_code == 413
    assert "10,000 mentions" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("documents", "status"),
    [
        ([{"text": "x" * 5000, "mentions": [{"start": 0, "end": 1001}]}], 422),
        ([{"passages": [{"offset": 9000 * n, "text": "a"} for n in range(1000)]}], 413),
        ([{"passages": [{"sentences": [{"offset": 900 * n, "text": "a"} for n in range(9000)]}]}], 413),
        ([{"passages": [{"text": "a" * 9000, "annotations": [{"locations": [{"offset": 0, "length": 2000}]}]}]}], 413),
        ([{"passages": [{"text": "a"}], "annotations": [{"locations": [{"offset": 0, "length": 1}] * 10_001}]}], 413),
    ],
)
def test_a_few_bytes_cannot_ask_for_much_memory(server: Server, documents: list, status: int) -> None:
    started = time.process_time()
    answer = server.post(documents=documents)
    assert (answer.status_code, time.process_time() - started < 10) == (status, True)


def test_a_sentence_without_end_is_not_copied_with_every_mention(server: Server, linker: Linker) -> None:
    (name,) = names(linker, 1)
    tracemalloc.start()
    linker.prepare(Document(id="", text=f"{name} " * (200_000 // len(name))))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 << 20


def test_a_token_is_asked_for_and_never_said(served_home: Made, server: Server, capfd: pytest.CaptureFixture) -> None:
    with serving(served_home.here, "plain", token="geheim", origins=("https://a.org",)) as guarded:
        assert guarded.post(text="x").status_code == 401
        assert guarded.get("/metrics").status_code == 401
        for path in ("/health", "/ready", "/"):
            assert guarded.get(path).status_code == 200
        for given, status in (("Bearer geheim", 200), ("Bearer geheim2", 401), ("geheim", 401)):
            answer = httpx.post(f"{guarded.url}/link", json={"text": "x"}, headers={"Authorization": given})
            assert answer.status_code == status
        preflight = httpx.options(
            f"{guarded.url}/link", headers={"Origin": "https://a.org", "Access-Control-Request-Method": "POST"}
        )
        assert preflight.headers["access-control-allow-origin"] == "https://a.org"
    assert "geheim" not in "".join(capfd.readouterr())


def test_one_faulty_request_fails_alone(served_home: Made, server: Server) -> None:
    linker = server.follower.linker
    original = linker.link

    def failing(mentions, **options):
        if any(mention.text == "Crohn disease" for mention in mentions):
            raise RuntimeError("of this mention alone")
        return original(mentions, **options)

    linker.link = failing
    try:
        with ThreadPoolExecutor(8) as pool:
            texts = ["Crohn disease", "COPD and asthma", "asthma", "Huntington disease"] * 4
            answers = list(
                pool.map(
                    lambda t: server.post(documents=[{"text": t, "mentions": [{"start": 0, "end": len(t)}]}]), texts
                )
            )
    finally:
        del linker.link
    assert [a.status_code for a in answers] == [500, 200, 200, 200] * 4
    assert "this mention" not in answers[0].text


def test_a_new_champion_takes_over_and_shares_what_is_the_same(served_home: Made) -> None:
    served_home.register("moving", FIRST)
    aliases.promote(served_home.here, "moving", "1")
    with serving(served_home.here, "moving") as server:
        before = server.follower.linker
        assert server.post(text="Crohn disease").json()["lineage"]["releases"].endswith(FIRST)
        served_home.register("moving", SECOND)
        aliases.promote(served_home.here, "moving", "2")
        until(lambda: server.get("/ready").json()["version"] == "2")
        after = server.follower.linker
        assert server.post(text="Crohn disease").json()["lineage"]["releases"].endswith(SECOND)
        assert after.encoder._encoder._model is before.encoder._encoder._model
        assert after.reranker.model is before.reranker.model
        aliases.rollback(served_home.here, "moving")
        until(lambda: server.get("/ready").json()["version"] == "1")
        assert 'event="swapped"} 3.0' in server.get("/metrics").text


def damage(made: Made, linker: str, version: str, part: str) -> None:
    path, _ = aliases.bundle_path(made.here, linker, version)
    content = bytearray((path / part).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (path / part).unlink()
    (path / part).write_bytes(content)


@pytest.mark.parametrize("part", ["index/vectors.npy", "adapter/adapter_model.safetensors", "calibration.json"])
def test_a_damaged_champion_is_refused_and_the_one_before_answers(served_home: Made, part: str) -> None:
    name = f"damaged-{Path(part).stem}"
    served_home.register(name, FIRST)
    aliases.promote(served_home.here, name, "1")
    with serving(served_home.here, name) as server:
        served_home.register(name, SECOND)
        damage(served_home, name, "2", part)
        aliases.promote(served_home.here, name, "2")
        until(lambda: server.get("/ready").json()["refused"])
        ready = server.get("/ready").json()
        assert (ready["ready"], ready["version"], ready["refused"]["version"]) == (True, "1", "2")
        assert part in ready["refused"]["reason"]
        assert "belink_refused 1.0" in server.get("/metrics").text
        assert server.post(text="Crohn disease").json()["lineage"]["model_version"] == "1"
    with serving(served_home.here, name) as server:  # and after a restart too
        assert server.get("/ready").json()["version"] == "1"
        aliases.rollback(served_home.here, name)
        until(lambda: not server.get("/ready").json()["refused"])


def test_an_encoder_that_makes_other_vectors_is_refused(server: Server, linker: Linker) -> None:
    other = Linker(linker.path, linker.cache)
    following._check(other, server.follower.current.releases)
    encode = linker.encoder.encode
    other.encoder = SimpleNamespace(fingerprint=linker.encoder.fingerprint, encode=lambda texts: -encode(texts))
    with pytest.raises(BundleError, match="expected the encoder that made its vectors, found another"):
        following._check(other, server.follower.current.releases)


def test_while_the_registry_is_away_the_version_goes_on_answering(served_home: Made, server: Server) -> None:
    database = served_home.here.home / "mlflow.db"
    content = database.read_bytes()
    database.write_bytes(b"x" * len(content))
    try:
        until(lambda: server.get("/ready").json()["registry"] != "ok")
        assert server.post(text="Crohn disease").status_code == 200
        assert server.get("/history").status_code == 503
    finally:
        database.write_bytes(content)
    until(lambda: server.get("/ready").json()["registry"] == "ok")


def test_a_linker_that_is_not_there_is_an_error_or_waited_for(served_home: Made) -> None:
    with pytest.raises(RegistryError, match="late@champion"), serving(served_home.here, "late"):
        pass
    with serving(served_home.here, "late", wait=True) as server:
        assert server.get("/health").status_code == 200
        assert server.get("/ready").status_code == 503
        answer = server.post(text="Crohn disease")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        served_home.register("late")
        aliases.promote(served_home.here, "late", "1")
        until(lambda: server.get("/ready").status_code == 200)
        assert server.post(text="Crohn disease").status_code == 200


def test_the_command_serves_until_it_is_told_to_stop(served_home: Made, server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "belink.cli.main", "--home", served_home.here.home, "serve", "plain", "--port", str(port)]
    process = warm.Process(command, env={**os.environ, "BELINK_SERVE_TOKEN": "geheim"})
    try:

        def answers() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/ready").status_code == 200
            except httpx.TransportError:
                return False

        until(answers, 150)
        assert httpx.get(f"http://127.0.0.1:{port}/lineage").status_code == 401
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert "version 2 answers now" in said
    assert "geheim" not in said


def test_the_evil_name_is_in_the_release(server: Server) -> None:
    answer = server.get("/concepts/MONDO:9000001").json()
    assert EVIL in answer["label"]
    assert EVIL in answer["definition"]
    assert Document(id="", text=EVIL).text == EVIL


@pytest.mark.parametrize(
    "type", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", b"a\x80/b"]
)
def test_a_body_that_is_not_sent_as_json_is_refused(server: Server, type: str | None) -> None:
    content = b'{"text": "He has COPD"}'
    headers = {} if type is None else {"Content-Type": type}
    answer = httpx.post(f"{server.url}/link", content=content, headers=headers, timeout=120)
    assert answer.status_code == 415
    assert "expected Content-Type: application/json" in answer.json()["detail"]


@pytest.mark.parametrize("type", ["application/json", "Application/JSON; charset=utf-8", "application/bioc+json"])
def test_json_is_read_by_any_of_its_types(server: Server, type: str) -> None:
    content = b'{"text": "He has COPD"}'
    answer = httpx.post(f"{server.url}/link", content=content, headers={"Content-Type": type}, timeout=120)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "x", "min_probability": NaN}',
        b'{"text": "x", "min_probability": 1e999}',
        b'{"text": "\xff"}',
        b'{"text": "x"',
        b"[" * 100_000,
        b'{"documents": [{"passages": [{"infons": {"a": ' + b"[" * 5000 + b"]" * 5000 + b"}}]}]}",
        b'{"documents": [{"passages": [{"text": "x", "annotations": [{"locations": [{"offset": 1e400}]}]}]}]}',
        b'{"documents": [{"passages": [], "infons": ' + b'{"a": ' * 900 + b"1" + b"}" * 900 + b"}]}",
        b'{"infons": [1], "documents": [{"passages": [{"text": "x"}]}]}',
        b'{"infons": "x", "source": {}, "date": [], "documents": [{"passages": [{"text": "x"}]}]}',
        b"null",
        b'"text"',
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
def test_a_malformed_body_is_the_callers_fault(server: Server, body: bytes) -> None:
    answer = httpx.post(f"{server.url}/link", content=body, headers={"Content-Type": "application/json"}, timeout=120)
    assert answer.status_code in (200, 400, 413, 422), answer.text
    assert answer.status_code != 200 or b"annotations" in body or b"infons" in body


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:80", "10.1.2.3:1", "belink.localhost", ""])
def test_the_service_answers_by_loopback_names_and_addresses(server: Server, host: str) -> None:
    assert httpx.get(f"{server.url}/health", headers={"Host": host}).status_code == 200


def test_a_host_of_elsewhere_is_refused_unless_named_or_with_a_token(served_home: Made, server: Server) -> None:
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "[::1", "127.0.0.1.evil.example"):
        for path in ("/", "/health", "/ready", "/lineage", "/web/app.js"):
            answer = httpx.get(f"{server.url}{path}", headers={"Host": host})
            assert answer.status_code == 421, (host, path)
    with serving(served_home.here, "plain", hosts=("links.example",)) as named:
        assert httpx.get(f"{named.url}/health", headers={"Host": "Links.Example.:443"}).status_code == 200
        assert httpx.get(f"{named.url}/health", headers={"Host": "evil.example"}).status_code == 421
    with serving(served_home.here, "plain", token="secret") as guarded:
        assert httpx.get(f"{guarded.url}/health", headers={"Host": "anywhere.example"}).status_code == 200


def test_without_the_token_ready_tells_nothing_but_that(served_home: Made, server: Server) -> None:
    with serving(served_home.here, "plain", token="secret") as guarded:
        assert httpx.get(f"{guarded.url}/ready").json() == {"ready": True}
        full = httpx.get(f"{guarded.url}/ready", headers={"Authorization": "Bearer secret"}).json()
        assert full["linker"] == "plain" and full["version"] == "2"
        assert httpx.get(f"{guarded.url}/ready", headers={"Authorization": "Bearer other"}).json() == {"ready": True}


def _opened(port: int, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(sent)
    return connection


@pytest.mark.parametrize("sent", [b"", b"GET /health HTT", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_a_connection_that_never_sends_its_headers_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections.Connection, "header_seconds", 0.5)
    connection = _opened(int(server.url.rpartition(":")[2]), sent)
    started = time.monotonic()
    with contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""
    assert 0.3 < time.monotonic() - started < 10
    assert server.get("/health").status_code == 200


@pytest.mark.parametrize(("body", "found"), [(b"\xff\xfe{", "bytes"), (b'{"text": ' + b"[" * 100_000, "too deep")])
def test_a_body_that_is_no_json_text_is_told_what_is_expected(server: Server, body: bytes, found: str) -> None:
    answer = httpx.post(f"{server.url}/link", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    if answer.status_code == 400:
        assert answer.json()["detail"].startswith("expected one JSON document in UTF-8, found ")
        assert found in answer.json()["detail"]


def test_where_all_places_are_taken_the_idle_one_goes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "most_connections", lambda: 5)
    port = int(server.url.rpartition(":")[2])
    silent = [_opened(port) for _ in range(20)]
    assert server.get("/health").status_code == 200
    assert server.post(text="He has COPD").status_code == 200
    for connection in silent:
        connection.close()


def test_the_limit_of_connections_lies_below_that_of_open_files() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connections.most_connections() <= soft // 2

"""Corrections over HTTP are stored as sentences, refused in words, undone by another record; and the review queue."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from belink.corpora import feedback
from belink.errors import CorpusError
from belink.linker.linker import Linker
from belink.linker.review import read_queue, review_queue, write_queue
from belink.records import Document
from belink.registry import aliases
from belink.serve.rates import RateLimit
from belink.serve.review import Judgements
from belink.settings import Settings
from tests.support import small
from tests.support.serving import Made, Server, serving

TEXT = "Private words before. She has 😀 a rare fever now. Private words after."


@pytest.fixture(scope="module")
def linker(served_home: Made) -> Linker:
    version = served_home.register("corrected", small.RELEASES[1])
    aliases.promote(served_home.here, "corrected", version)
    path, version = aliases.bundle_path(served_home.here, "corrected")
    return Linker(path, served_home.here.cache, model_version=version)


@pytest.fixture(scope="module")
def queue(linker: Linker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [name for name in linker.index.names() if len(name) > 12 and name.replace(" ", "").isalpha()][:6]
    documents = [Document(id=str(i), text=f"Notes. A case of {name}. Seen again.") for i, name in enumerate(names)]
    path = tmp_path_factory.mktemp("queue") / "queue.jsonl"
    write_queue(review_queue(linker, documents, 4), path)
    return path


@pytest.fixture(scope="module")
def server(served_home: Made, linker: Linker, queue: Path) -> Iterator[Server]:
    with serving(served_home.here, "corrected", feedback=True, review=queue) as running:
        yield running


def correct(server: Server, **body: Any) -> httpx.Response:
    start = TEXT.index("rare fever")
    given = {"text": TEXT, "start": start, "end": start + 10, "verdict": "nil", "who": "anna", **body}
    return httpx.post(f"{server.url}/feedback", json=given, timeout=60)


def withdraw(server: Server, correction: str) -> httpx.Response:
    return httpx.post(f"{server.url}/feedback/{correction}/withdraw", json={"who": "ben"}, timeout=60)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_what_cannot_be_stored_is_told_and_the_service_goes_on(server: Server, served_home: Made) -> None:
    stored = correct(server)
    assert stored.status_code == 201
    path = feedback.corrections_file(served_home.here, "corrected")
    aside = path.rename(path.with_name("aside"))
    path.symlink_to("/dev/full")
    try:
        refused = correct(server)
        assert refused.status_code == 503
        assert refused.json()["detail"].startswith("not stored: No space left on device")
    finally:
        path.unlink()
        aside.rename(path)
    assert correct(server).status_code == 201
    assert withdraw(server, stored.json()["id"]).status_code == 201


def test_a_service_that_cannot_store_corrections_does_not_begin(here: Settings) -> None:
    feedback.check_writable(here, "corrected")
    path = feedback.corrections_file(here, "corrected")
    path.parent.rmdir()
    path.parent.touch()
    with pytest.raises(CorpusError, match=r"expected a file that corrections can be written to, found: File exists"):
        feedback.check_writable(here, "corrected")


def stored(served_home: Made) -> list[feedback.Record]:
    return feedback.read_records(served_home.here, "corrected")


def test_a_correction_keeps_its_sentence_and_lineage_and_nothing_else_of_the_text(
    server: Server, served_home: Made, linker: Linker
) -> None:
    concept = linker.index.table.concept_ids[0] if hasattr(linker.index.table, "concept_ids") else None
    concept = concept or linker.search("fever")[0].id
    answer = correct(server, verdict="other", concept=concept, document="d1")
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["sentence"] == "She has 😀 a rare fever now."
    assert body["sentence"][body["start"] : body["end"]] == "rare fever"
    record = stored(served_home)[-1]
    assert isinstance(record, feedback.Correction)
    assert (record.id, record.concept, record.who, record.document) == (body["id"], concept, "anna", "d1")
    assert record.lineage == linker.lineage
    file = feedback.corrections_file(served_home.here, "corrected").read_text(encoding="utf-8")
    assert "Private" not in file


def test_an_undo_is_a_record_of_its_own(server: Server, served_home: Made) -> None:
    body = correct(server, who="undone").json()
    before = feedback.corrections_file(served_home.here, "corrected").read_bytes()
    assert withdraw(server, body["id"]).json()["withdraws"] == body["id"]
    assert feedback.corrections_file(served_home.here, "corrected").read_bytes().startswith(before)
    assert all(each.id != body["id"] for each in feedback.standing(stored(served_home)).agreed)
    assert withdraw(server, body["id"]).status_code == 404
    assert withdraw(server, "unknown").status_code == 404


def test_ids_that_the_linker_cannot_answer_with_are_refused_in_words(server: Server, linker: Linker) -> None:
    answer = correct(server, verdict="other", concept="MONDO:99999999")
    assert answer.status_code == 422
    assert "found none of that id" in answer.json()["detail"]
    (folder,) = (linker.path / "releases").iterdir()
    from belink.ontology.release import open_release

    with open_release(folder) as release:
        retired = [id for (id,) in release.rows("SELECT id FROM concept WHERE obsolete")]
        replaced = next(id for id in retired if release.successor(id))
        successor = release.successor(replaced)[0]
    answer = correct(server, verdict="other", concept=replaced)
    assert answer.status_code == 422
    assert f"its successor is {successor}" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"verdict": "wrong"},
        {"verdict": "other"},
        {"verdict": "nil", "concept": "MONDO:0000001"},
        {"start": 900, "end": 901},
        {"start": 21, "end": 22},
        {"who": ""},
        {"text": "x" * 10, "start": 3, "end": 3},
        {"linker": None, "surplus": 1},
    ],
)
def test_what_does_not_fit_together_is_refused_and_not_stored(
    server: Server, served_home: Made, body: dict[str, Any]
) -> None:
    before = stored(served_home)
    assert correct(server, **body).status_code == 422
    assert stored(served_home) == before


def test_nothing_is_stored_unless_the_service_was_told_to(served_home: Made, linker: Linker) -> None:
    before = stored(served_home)
    with serving(served_home.here, "corrected", token="secret") as plain:
        assert correct(plain).status_code == 401
        headers = {"Authorization": "Bearer secret"}
        body = {"text": TEXT, "start": 0, "end": 7, "verdict": "no-mention", "who": "anna"}
        answer = httpx.post(f"{plain.url}/feedback", json=body, headers=headers, timeout=60)
        assert answer.status_code == 403
        assert "--feedback" in answer.json()["detail"]
        assert httpx.get(f"{plain.url}/review", headers=headers, timeout=60).status_code == 404
        lineage = httpx.get(f"{plain.url}/lineage", headers=headers, timeout=60).json()
        assert (lineage["feedback"], lineage["review"]) == (False, False)
    assert stored(served_home) == before


def test_the_queue_counts_what_is_judged_and_goes_on_after_it(server: Server, queue: Path) -> None:
    assert server.get("/lineage").json()["review"] is True
    items = read_queue(queue)
    assert [item.score for item in items] == sorted((item.score for item in items), reverse=True)
    first = server.get("/review").json()
    assert (first["position"], first["n"], first["n_judged"], first["judgement"]) == (0, 4, 0, None)
    item = first["item"]
    assert item["text"][item["start"] : item["end"]] == item["mention"]
    body = {key: item[key] for key in ("text", "start", "end", "document")}
    judged = httpx.post(f"{server.url}/feedback", json={**body, "verdict": "no-mention", "who": "anna"}, timeout=60)
    then = server.get("/review").json()
    assert (then["position"], then["n_judged"]) == (1, 1)
    back = server.get("/review", position=0).json()
    assert back["judgement"]["id"] == judged.json()["id"]
    withdraw(server, judged.json()["id"])
    assert server.get("/review").json()["position"] == 0
    assert server.get("/review", position=4).status_code == 422


def test_a_client_that_sends_too_much_has_to_wait() -> None:
    limit = RateLimit(2, "corrections")
    assert [limit.wait("a"), limit.wait("a")] == [0, 0]
    assert 0 < limit.wait("a") <= 60
    assert limit.wait("b") == 0


def test_a_half_written_record_costs_only_itself(served_home: Made, linker: Linker) -> None:
    here = served_home.here
    one = feedback.make_correction("A fever.", 2, 7, "nil", "anna")
    feedback.append(here, "torn", [one])
    path = feedback.corrections_file(here, "torn")
    with path.open("ab") as out:
        out.write(json.dumps({"id": "half"}).encode()[:-3])
    two = feedback.make_correction("A fever.", 2, 7, "no-mention", "anna")
    feedback.append(here, "torn", [two])
    assert feedback.read_records(here, "torn") == [one, two]


def test_withdrawing_the_newest_tells_what_counts_now(server: Server) -> None:
    first, second = correct(server, who="carol").json(), correct(server, who="carol", verdict="no-mention").json()
    other = correct(server, who="dora", verdict="no-mention").json()
    left = withdraw(server, second["id"]).json()["in_force"]
    assert [(each["id"], each["who"], each["verdict"]) for each in left][-2:] == [
        (first["id"], "carol", "nil"), (other["id"], "dora", "no-mention"),
    ]  # fmt: skip
    left = withdraw(server, first["id"]).json()["in_force"]
    assert "carol" not in [each["who"] for each in left]
    withdraw(server, other["id"])


def test_of_withdrawals_at_the_same_time_one_is_stored(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    one = feedback.make_correction("A fever.", 2, 7, "nil", "anna")
    feedback.append(here, "raced", [one])
    read = feedback.read_records

    def slowly(*arguments: Any) -> list[feedback.Record]:
        records = read(*arguments)
        time.sleep(0.1)
        return records

    monkeypatch.setattr(feedback, "read_records", slowly)

    def attempt(who: str) -> bool:
        try:
            feedback.withdraw(here, "raced", one.id, who)
        except CorpusError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(attempt, "abcd")) == [False, False, False, True]
    assert len(read(here, "raced")) == 2


def test_the_queue_reads_only_what_was_added(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    place = ("A fever.", 2, 7)
    judgements = Judgements(here, "queued", [place])
    assert judgements.now() == {}
    one = feedback.make_correction(*place, "nil", "anna")
    feedback.append(here, "queued", [one, feedback.make_correction("Gout.", 0, 4, "nil", "anna")])
    assert judgements.now() == {place: one}
    parsed: list[bytes] = []
    parse = feedback._parse
    monkeypatch.setattr(feedback, "_parse", lambda lines, path: parsed.append(lines) or parse(lines, path))
    two = feedback.make_correction(*place, "no-mention", "anna")
    feedback.append(here, "queued", [two])
    path = feedback.corrections_file(here, "queued")
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])  # somebody is writing it
    assert judgements.now() == {place: one}
    path.write_bytes(whole)
    assert judgements.now() == {place: two}
    assert judgements.now() == {place: two}
    assert [lines.count(b"\n") for lines in parsed] == [0, 1, 0]
    feedback.withdraw(here, "queued", two.id, "anna")
    assert judgements.now() == {place: one}
    path.write_bytes(whole.splitlines(keepends=True)[1])  # put back from elsewhere: shorter, and another content
    assert judgements.now() == {}


def test_a_queue_of_a_linker_that_is_not_served_is_refused(served_home: Made, queue: Path, tmp_path: Path) -> None:
    strange = tmp_path / "strange.jsonl"
    strange.write_text(queue.read_text(encoding="utf-8").replace('"linker": "corrected"', '"linker": "drugs"'))
    with pytest.raises(CorpusError, match="expected mentions of corrected, found one of drugs"):
        with serving(served_home.here, "corrected", feedback=True, review=strange):
            pass


def test_looking_at_the_queue_has_a_limit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RateLimit, "wait", lambda *_: 7.2)
    answer = server.get("/review")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "8")
    assert answer.json()["detail"] == "expected at most 600 looks at the queue a minute, found more; go on in 8 s"

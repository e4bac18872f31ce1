"""Answers in parts: the same links as at once, as they are made; failures told, and no work for who has left."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from belink.registry import aliases
from belink.waiting import go_on
from tests.support import small
from tests.support.made_releases import concept
from tests.support.serving import Made, Server, register_concepts, serving, until

pytestmark = pytest.mark.heavy
LINES = {"Accept": "application/x-ndjson"}


@pytest.fixture(scope="module")
def server(served_home: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    here, name = served_home.here, "stream"
    aliases.promote(here, name, served_home.register(name, small.RELEASES[1]))
    with serving(here, name) as running:
        yield running


def lines(server: Server, text: str, **body: object) -> list[dict[str, object]]:
    answer = httpx.post(f"{server.url}/link", json={"text": text, **body}, headers=LINES, timeout=120)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def long_text(server: Server, n: int = 100) -> str:
    release = server.follower.current.releases[0]
    rows = release.rows("SELECT label FROM concept WHERE NOT obsolete AND own AND length(label) > 10 ORDER BY label")
    labels = [label for (label,) in rows if label.replace(" ", "").isalpha()][:20]
    return " ".join(f"Case {number} 😀 is {labels[number % len(labels)]}." for number in range(n))


def test_parts_make_the_answer_that_comes_at_once(server: Server) -> None:
    text = long_text(server)
    head, *parts = lines(server, text, min_probability=0.3, candidates=2)
    whole = server.post(text=text, min_probability=0.3, candidates=2).json()
    assert head == {"lineage": whole["lineage"], "n_mentions": len(whole["links"])}
    assert [link for part in parts for link in part["links"]] == whole["links"]
    done = [part["n_done"] for part in parts]
    assert done == sorted(done) and done[-1] == len(whole["links"]) and len(parts) > 3


def test_a_text_without_mentions_is_whole_at_once(server: Server) -> None:
    (head, *parts) = lines(server, "Nothing.")
    assert head["n_mentions"] == 0
    assert all(part == {"links": [], "n_done": 0} for part in parts)


def test_abbreviations_hold_across_parts(server: Server) -> None:
    release = server.follower.current.releases[0]
    rows = release.rows("SELECT label FROM concept WHERE NOT obsolete AND own ORDER BY label")
    label = next(label for (label,) in rows if label and len(label.split()) == 3 and label.replace(" ", "").isalpha())
    short = "".join(word[0] for word in label.split()).upper()
    text = f"It is {label} ({short}). {long_text(server)} At last {short} was seen."
    links = [link for part in lines(server, text)[1:] for link in part["links"]]
    assert links[-1]["text"] == short and links[-1]["long_form"] == label


def test_what_cannot_begin_has_a_status_of_its_own(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("belink.serve.batching.MOST_MENTIONS", 3)
    answer = httpx.post(f"{server.url}/link", json={"text": long_text(server, 5)}, headers=LINES, timeout=60)
    assert answer.status_code == 413 and "at most 3 mentions" in answer.json()["detail"]


def test_a_failure_on_the_way_is_the_last_line(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    linker = server.follower.current.linker
    link, calls = linker.link, []

    def fail_later(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("/secret/path")
        return link(*arguments, **options)

    monkeypatch.setattr(linker, "link", fail_later)
    *_, last = lines(server, long_text(server))
    assert last == {"detail": "the service failed; its log says why"}


def test_who_leaves_ends_the_work(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    linker = server.follower.current.linker
    link, calls = linker.link, []

    def slowly(*arguments: object, **options: object) -> object:
        calls.append(1)
        time.sleep(0.1)
        return link(*arguments, **options)

    monkeypatch.setattr(linker, "link", slowly)
    request = {"json": {"text": long_text(server, 2_000)}, "headers": LINES, "timeout": 60}
    with httpx.stream("POST", f"{server.url}/link", **request) as answer:  # type: ignore[arg-type]
        next(answer.iter_lines())
    before = len(calls)
    time.sleep(1)
    assert len(calls) < before + 5
    until(lambda: "belink_open_requests 0.0" in server.get("/metrics").text)


def test_who_leaves_while_mentions_are_looked_for_ends_the_work(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder, ended = server.follower.current.linker.detector, list[int]()

    def slowly(*arguments: object, **options: object) -> object:
        try:
            for _ in range(600):
                time.sleep(0.05)
                go_on()
            return []
        finally:
            ended.append(1)

    monkeypatch.setattr(finder, "find", slowly)
    began = time.monotonic()
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/link", json={"text": long_text(server, 20)}, timeout=0.5)
    until(lambda: ended and "belink_open_requests 0.0" in server.get("/metrics").text)
    assert time.monotonic() - began < 15
    assert 'status="499"' in server.get("/metrics").text


def test_the_time_limit_holds_for_each_part(served_home: Made, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(served_home.here, "stream", seconds=1.5) as hurried:
        linker = hurried.follower.current.linker
        link = linker.link

        def slowly(*arguments: object, **options: object) -> object:
            time.sleep(0.4)
            return link(*arguments, **options)

        monkeypatch.setattr(linker, "link", slowly)
        text = long_text(server, 200)
        assert hurried.post(text=text).status_code == 504
        head, *parts = lines(hurried, text)
        assert parts[-1]["n_done"] == head["n_mentions"]


def test_overlapping_answers_of_several_linkers_are_settled_in_parts(
    served_home: Made, server: Server, tmp_path: Path
) -> None:
    # Of three mentions two overlap, so that slices of 32 end between them. The longer one wins all the same.
    release = server.follower.current.releases[0]
    ((label,),) = release.rows(
        "SELECT label FROM concept WHERE own AND NOT obsolete AND regexp_full_match(label, '[a-z ]{12,}') LIMIT 1"
    )
    drugs = (concept(1, "heparin"), concept(2, f"low {label}"))
    register_concepts(served_home, tmp_path, "streamed-drugs", "Chemical", *drugs)
    text = f"Heparin and low {label}. " * 60
    with serving(served_home.here, "stream", "streamed-drugs") as several:
        head, *parts = lines(several, text)
        whole = several.post(text=text).json()["links"]
        assert len(whole) == 120
        assert head["n_mentions"] == 180
        assert [link for part in parts for link in part["links"]] == whole

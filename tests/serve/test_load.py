"""The service under load: many clients while the alias moves, and many documents in the memory of few."""

import os
import random
import socket
import subprocess
import sys
import threading
import time

import httpx
import psutil
import pytest

from belink.registry import aliases
from tests.support import small
from tests.support.serving import Made, Server, serving, until

FIRST, SECOND = small.RELEASES


def load(server: Server, made: Made, linker: str, *, clients: int, moves: int, every: float) -> tuple[int, set[str]]:
    """How many requests ``clients`` got answered while the alias moved, and the versions that answered."""
    stop, seen, faults, count = threading.Event(), set(), [], [0] * clients
    releases = {"1": FIRST, "2": SECOND}

    def client(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            while not stop.is_set():
                body = {
                    "documents": [
                        {"id": str(i), "text": f"Crohn disease {number}", "mentions": [{"start": 0, "end": 13}]}
                        for i in range(3)
                    ]
                }
                answer = http.post("/link", json=body)
                if answer.status_code != 200:
                    faults.append(answer.text)
                    return
                document = answer.json()
                found = {m["release"] for d in document["documents"] for m in d["links"] if m["release"]}
                version = document["lineage"]["model_version"]
                if found - {releases[version]} or not document["lineage"]["releases"].endswith(releases[version]):
                    faults.append(f"{document['lineage']} with {found}")
                seen.add(version)
                count[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for move in range(moves):
        version = "12"[(move + 1) % 2]
        aliases.promote(made.here, linker, version)
        until(lambda version=version: server.follower.current.version == version)
        time.sleep(every)
    stop.set()
    for thread in threads:
        thread.join()
    assert not faults, faults[:3]
    return sum(count), seen


@pytest.mark.parametrize(
    ("clients", "moves"), [(16, 4), pytest.param(64, 20, marks=pytest.mark.slow)]
)  # fmt: skip
def test_no_request_fails_and_none_is_mixed_while_the_alias_moves(
    served_home: Made, clients: int, moves: int, capsys: pytest.CaptureFixture
) -> None:
    name = f"busy-{clients}"
    served_home.register(name, FIRST)
    served_home.register(name, SECOND)
    aliases.promote(served_home.here, name, "1")
    with serving(served_home.here, name, queue=256) as server:
        answered, versions = load(server, served_home, name, clients=clients, moves=moves, every=0.3)
        swapped = server.get("/metrics").text
    with capsys.disabled():
        sys.stdout.write(f"\n{clients} clients, {moves} moves: {answered} requests answered, none failed\n")
    assert versions == {"1", "2"}
    assert answered > clients
    assert f'event="swapped"}} {moves + 1}.0' in swapped


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_memory_is_flat_over_twenty_thousand_documents(served_home: Made, capsys: pytest.CaptureFixture) -> None:
    served_home.register("steady", SECOND)
    aliases.promote(served_home.here, "steady", "1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = str(served_home.here.home)
    command = [sys.executable, "-m", "belink.cli.main", "--home", home, "serve", "steady", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=dict(os.environ)) as process:
        try:
            sizes = resident(process.pid, f"http://127.0.0.1:{port}", documents=20_000)
        finally:
            process.terminate()
            process.wait(timeout=60)
    with capsys.disabled():
        sys.stdout.write(f"\nresident MiB after each 2,000 documents: {sizes}\n")
    assert sizes[-1] < 1.05 * sizes[2], "memory grows with the documents"


def resident(pid: int, url: str, *, documents: int, together: int = 20) -> list[int]:
    """MiB of the process after each 2,000 documents, no two of which are alike."""

    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/ready").status_code == 200
        except httpx.TransportError:
            return False

    until(is_ready, 120)
    draw, sizes, process = random.Random(7), [], psutil.Process(pid)
    with httpx.Client(base_url=url, timeout=120) as http:
        (release,) = http.get("/history").json()["releases"].values()
        words = [name for row in http.get("/search", params={"q": "disease", "limit": 100}).json()["concepts"]
                 for name in (row["name"], row["label"])]  # fmt: skip
        assert release and words
        for sent in range(together, documents + 1, together):
            texts = [
                f"Case {draw.randrange(10**9)}: {draw.choice(words)}, then {draw.choice(words)} of {draw.random():.9f}."
                for _ in range(together)
            ]
            answer = http.post("/link", json={"documents": [{"text": text} for text in texts]})
            assert answer.status_code == 200
            if sent % 2000 == 0:
                sizes.append(process.memory_info().rss >> 20)
    return sizes

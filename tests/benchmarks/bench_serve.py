"""The service against a bare FastAPI handler with the same model call: requests a second, p50 and p95.

    python tests/benchmarks/bench_serve.py HOME LINKER [--clients 1 8 32] [--seconds 20] [--rounds 3]

HOME holds a registered linker (make demo leaves one in .belink/demo). The texts are the sample corpus. Both servers run
at once, each in a process of its own, and are asked by turns, so that whatever else the machine does slows them alike;
the figures are medians over the rounds, and the last columns the service's divided by the bare handler's.
"""

import argparse
import itertools
import multiprocessing
import socket
import statistics
import threading
import time
from pathlib import Path

import httpx

from belink import settings
from belink.corpora.files import read_corpus
from belink.records import link_json


def bare(home: Path, name: str, port: int) -> None:
    """What one would write first: the linker called in a handler."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    from belink.registry.open import open_linker

    class Asked(BaseModel):
        text: str

    linker = open_linker(settings.load(home), name)
    linker.link_text("Warm: COPD, and something like a chorea of Huntington.")
    app = FastAPI()

    def link(body: Asked) -> dict:
        return {"links": [link_json(found) for found in linker.link_text(body.text)]}

    app.post("/link")(link)
    app.get("/ready")(lambda: {})
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


def served(home: Path, name: str, port: int) -> None:
    """The service, as belink serve runs it."""
    from belink.serve.application import Limits, run

    run(settings.load(home), name, host="127.0.0.1", port=port, limits=Limits(queue=1000))


def load(url: str, texts: list[str], clients: int, seconds: float) -> tuple[float, float, float]:
    """Requests a second, median and 95th percentile of their seconds."""
    turn, took, end = itertools.cycle(texts), [], time.monotonic() + seconds

    def client() -> None:
        with httpx.Client(base_url=url, timeout=120) as http:
            while time.monotonic() < end:
                started = time.perf_counter()
                http.post("/link", json={"text": next(turn)}).raise_for_status()
                took.append(time.perf_counter() - started)

    started = time.monotonic()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(took) / (time.monotonic() - started), statistics.median(took), statistics.quantiles(took, n=20)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("linker")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    texts = [d.text for d in read_corpus(settings.shipped_ontologies() / "samples" / "corpus.jsonl")]
    context = multiprocessing.get_context("spawn")
    urls, processes = {}, []
    for serve in (bare, served):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = context.Process(target=serve, args=(asked.home, asked.linker, port), daemon=True)
        process.start()
        processes.append(process)
        urls[serve.__name__] = f"http://127.0.0.1:{port}"
    try:
        for url in urls.values():
            wait(url)
            load(url, texts, 2, 5)
        say(f"{len(texts)} texts, medians of {asked.rounds} rounds of {asked.seconds:g} s")
        heads = f"{'clients':>8}{'bare/s':>9}{'p50':>8}{'p95':>8}{'served/s':>10}{'p50':>8}{'p95':>8}"
        say(f"{heads}   ratios /s, p50, p95")
        for clients in asked.clients:
            rounds = {who: [] for who in urls}
            for _ in range(asked.rounds):
                for who, url in urls.items():
                    rounds[who].append(load(url, texts, clients, asked.seconds))
            one, other = ([statistics.median(column) for column in zip(*rounds[who], strict=True)] for who in urls)
            ratios = "  ".join(f"{b / a:.2f}" for a, b in zip(one, other, strict=True))
            say(
                f"{clients:>8}{one[0]:>9.1f}{one[1]:>8.3f}{one[2]:>8.3f}"
                f"{other[0]:>10.1f}{other[1]:>8.3f}{other[2]:>8.3f}   {ratios}"
            )
    finally:
        for process in processes:
            process.terminate()


def say(line: str) -> None:
    """Print ``line`` now."""
    print(line, flush=True)  # noqa: T201


def wait(url: str) -> None:
    """Until it answers."""
    for _ in range(600):
        try:
            if httpx.get(f"{url}/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"{url} does not answer")


if __name__ == "__main__":
    main()

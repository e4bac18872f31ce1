"""What an index costs and finds: three MONDO releases one after the other, then hidden names and BC5CDR mentions.

    BELINK_DATA=… python tests/benchmarks/bench_index.py HOME [--cache FOLDER]

Prints names, encoded, reused and seconds of each release; recall@1/10/20 of the newest on 2,000 of its own names, each
hidden while it is asked for; recall on BC5CDR disease (training and development) against CTD; mentions a second.
"""

import argparse
import json
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from belink import settings
from belink.corpora import files
from belink.declarations import LinkerConfig, RetrievalConfig, load_source
from belink.ontology.ingest import ingest
from belink.ontology.release import open_release
from belink.records import Mention
from belink.retrieval.encoder import Encoder
from belink.retrieval.index import Index, build_index
from belink.retrieval.retrieve import retrieve
from belink.text import abbreviations
from belink.text.normalise import normalise

DATA = Path(os.environ.get("BELINK_DATA", "."))
Asked = list[tuple[Mention, set[str]]]


def hidden_names(path: Path, n: int) -> Asked:
    """Names whose owners have another one, with the owners."""
    owners: dict[str, set[str]] = {}
    with open_release(path) as release:
        table = release.names()
        for concept, text in zip(table["concept_id"].to_pylist(), table["text"].to_pylist(), strict=True):
            owners.setdefault(normalise(text), set()).add(concept)
    n_names = Counter(concept for of_one in owners.values() for concept in of_one)
    asked = [name for name, of_one in sorted(owners.items()) if name and all(n_names[c] > 1 for c in of_one)]
    return [(Mention(text=name), owners[name]) for name in random.Random(7).sample(asked, n)]


def annotated(path: Path) -> Asked:
    """Mentions of BC5CDR disease with their concepts, alternative ids resolved."""
    live: dict[str, set[str]] = {}
    with open_release(path) as release:
        for concept, other in release.rows("SELECT concept_id, alt_id FROM alt_id"):
            live.setdefault(other, set()).add(concept)
    documents = files.read_corpus(DATA / "corpora/bc5cdr-disease/traindev.bioc.xml.gz")
    mentions = [mention for document in documents for mention in abbreviations.expand(document).mentions]
    return [(m, {c for gold in m.gold for c in {gold, *live.get(gold, ())}}) for m in mentions if m.gold]


def recall(index: Index, encoder: Encoder, asked: Asked, *, hide: bool) -> dict[str, float]:
    start = time.perf_counter()
    found = retrieve(index, encoder, [mention for mention, _ in asked], RetrievalConfig(), hide_own_name=hide)
    seconds = time.perf_counter() - start
    ranks = [
        next((rank for rank, candidate in enumerate(of_one) if candidate.id in gold), 1000)
        for of_one, (_, gold) in zip(found, asked, strict=True)
    ]
    return {
        "n": len(asked),
        **{f"recall@{k}": round(float(np.mean([rank < k for rank in ranks])), 4) for k in (1, 10, 20)},
        "mentions_per_second": round(len(asked) / seconds),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--cache", type=Path)
    chosen = parser.parse_args(arguments)
    here = settings.load(chosen.home)
    mondo = LinkerConfig(name="mondo", title="Mondo", ontologies=("mondo",))
    encoder = Encoder.load(mondo.encoder, chosen.cache or here.cache)
    previous = None
    for version in ("2025-02-04", "2025-05-06", "2025-09-02"):
        release = ingest(load_source("mondo"), [DATA / f"ontologies/mondo-{version}.obo.gz"], here).path
        report = build_index([release], mondo, encoder, here.indices / "mondo", previous)
        previous = report.path
        told = {key: getattr(report, key) for key in ("names", "encoded", "reused", "recall_at_10", "seconds")}
        print(json.dumps({"release": version, **told}), flush=True)  # noqa: T201
    if previous is None:
        return
    hidden = recall(Index.load(previous), encoder, hidden_names(release, 2000), hide=True)
    print(json.dumps({"asked": "hidden MONDO names", **hidden}), flush=True)  # noqa: T201

    source = load_source("ctd-diseases")
    release = ingest(source, [DATA / "ctd/CTD_diseases.tsv.gz"], here, version="2025").path
    disease = LinkerConfig(name="ctd", title="CTD", ontologies=("ctd-diseases",))
    index = Index.load(build_index([release], disease, encoder, here.indices / "ctd", None).path)
    found = recall(index, encoder, annotated(release), hide=False)
    print(json.dumps({"asked": "BC5CDR disease, traindev", **found}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

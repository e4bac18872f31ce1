"""What corrections are worth: those that the review queue chooses against as many at random.

    python tests/benchmarks/bench_feedback.py HOME ONTOLOGY CORPUS

HOME has a release of ONTOLOGY; it is written to, so give it a copy. The documents of CORPUS are halved by a hash of
their id. The linker has the ontology's names alone, no language model and an encoder as it comes. It links the raw text
of one half; annotations play the person who judges its links, one a minute. After so many judgements the linker is
built anew, as ``belink refresh --retrain never`` does, and measured on the other half: ``marked`` is the accuracy of
annotated mentions that have a concept, ``raw_text`` the F1 of span and concept. Prints a line of JSON a measurement.
"""

import argparse
import json
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from belink import settings
from belink.corpora import feedback
from belink.corpora.feedback import Correction, Place, cut_sentence, make_correction
from belink.evaluation.end_to_end import evaluate_raw_text
from belink.lifecycle import calibrate, promotion, refresh, retrain
from belink.linker.linker import Linker
from belink.linker.review import review_queue
from belink.records import Document, Mention
from belink.settings import Settings
from belink.training import splits
from belink.training.holdout import uniform

COUNTS = (50, 100, 200, 500)
TOML = """
title = "Names alone, and corrections"
ontologies = ["{ontology}"]
[training]
questions = 0
[[corpora]]
feedback = true
"""


def build(home: Settings, toml: Path) -> Linker:
    """Return the linker that a refresh without training makes of the corrections there are."""
    run = refresh.start(home, str(toml), retrain="never")
    releases = refresh.newest_releases(run)
    index = refresh.build_index(run, releases, None).path
    decision = retrain.decide(run, releases, None, {})
    calibration = calibrate.calibrate(run, releases, index, decision, None)
    return Linker(promotion.draft(run, releases, index, decision, calibration).path, home.cache)


def measure(linker: Linker, documents: Sequence[Document]) -> dict[str, float | None]:
    """Return accuracy of marked mentions, and precision, recall and F1 of raw text, in per cent."""
    marked = [d for d in documents if d.mentions]
    links = [link for _, links in linker.link_documents(marked) for link in links if link.mention.gold]
    raw = evaluate_raw_text(linker, documents) or {}
    shares = {"marked": sum(link.id in link.mention.gold for link in links) / len(links)}
    shares |= {name: raw["unbounded"][name] for name in ("precision", "recall", "f1")}
    return {"mentions": len(links), **{name: round(100 * share, 2) for name, share in shares.items()}}


def judge(place: Place, answer: str | None, gold: dict[Place, Mention], document: str) -> Correction | None:
    """Return what a person who knows the annotations says of an answer; ``None`` where they say no single concept."""
    annotated = gold.get(place)
    if annotated is None:
        return make_correction(*place, "no-mention", "annotator", document=document)
    if annotated.is_nil:
        return make_correction(*place, "nil", "annotator", document=document)
    if len(annotated.gold) != 1:
        return None
    verdict = "right" if answer == annotated.gold[0] else "other"
    return make_correction(*place, verdict, "annotator", concept=annotated.gold[0], document=document)


def by_queue(linker: Linker, pool: Sequence[Document]) -> Iterator[tuple[Place, str | None, str]]:
    for item in review_queue(linker, (Document(id=d.id, text=d.text) for d in pool), 10_000):
        yield (item.text, item.start, item.end), item.id, item.document


def at_random(linker: Linker, pool: Sequence[Document]) -> Iterator[tuple[Place, str | None, str]]:
    raw = [Document(id=d.id, text=d.text) for d in pool]
    linked = [(d, link) for d, links in linker.link_documents(raw, min_probability=0.0) for link in links]
    random.Random(13).shuffle(linked)
    for document, link in linked:
        yield cut_sentence(document.text, link.start, link.end), link.id, document.id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("ontology")
    parser.add_argument("corpus", type=Path)
    given = parser.parse_args()
    home = settings.load(given.home)
    toml = given.home / "corrected.toml"
    toml.write_text(TOML.format(ontology=given.ontology), encoding="utf-8")
    store = feedback.corrections_file(home, "corrected").parent
    shutil.rmtree(store, ignore_errors=True)
    run = refresh.start(home, str(toml), retrain="never")
    releases = list(refresh.newest_releases(run).values())
    documents = splits._documents(given.corpus, given.corpus.stat().st_mtime_ns, tuple(releases))
    pool = [d for d in documents if uniform("pool", d.id) < 0.5]
    held_out = [d for d in documents if uniform("pool", d.id) >= 0.5]
    gold = {cut_sentence(d.text, m.start, m.end): m for d in pool for m in d.mentions}
    first = build(home, toml)
    say("none", 0, first, held_out)
    for name, chosen in (("queue", by_queue), ("random", at_random)):
        judged = (judge(place, answer, gold, document) for place, answer, document in chosen(first, pool))
        corrections = [correction for correction in judged if correction is not None][: COUNTS[-1]]
        for n in COUNTS:
            shutil.rmtree(store, ignore_errors=True)
            feedback.append(home, "corrected", corrections[:n])
            say(name, n, build(home, toml), held_out)


def say(name: str, n: int, linker: Linker, held_out: Sequence[Document]) -> None:
    print(json.dumps({"chosen": name, "corrections": n, **measure(linker, held_out)}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

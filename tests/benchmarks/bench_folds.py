"""How right a linker is on mentions that training never saw, cross-validated over its corpora's documents.

    BELINK_DATA=… python tests/benchmarks/bench_folds.py [--home FOLDER] [disease] [chemical]

Documents are dealt to three folds by a hash. An index knows the annotated mentions of two of them; of the third, one
half fits the probabilities and the other is asked, then the other way round. Unseen is a mention whose text no document
of the two folds has. The encoder is the declared one as it is, without adaptation, and no language model is asked, so
that a run takes minutes once the names are encoded (on two cores 5 min for disease, 40 for chemical). Prints one
Markdown row a corpus: of mentions, then of distinct texts of a document, each with its gain over retrieval's first
candidate; 95 % intervals by document.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from bench_accuracy import FILES, asked_for

from belink import calibrate, declarations, exam, lifecycle, releases, settings
from belink.declarations import Linker
from belink.encode import Encoder
from belink.index import Index, build_index
from belink.questions import Question, as_found
from belink.records import Document
from belink.retrieve import retrieve
from belink.text import normalise

FOLDS = 3
HEAD = (
    "| corpus | unseen | first | among the options | chosen | over first | distinct | first | chosen | over first "
    "| calibration error |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One unseen mention, answered by weights that its document did not help to fit."""

    corpus: str
    document: str
    text: str
    first: bool  # retrieval's first candidate is right
    offered: bool  # the concept is among the options
    right: bool
    probability: float


def part(document: str, of: int, salt: str) -> int:
    digest = blake2b(f"{salt}{document}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % of


def fold(
    linker: Linker,
    folders: Sequence[Path],
    encoder: Encoder,
    read: dict[str, list[Document]],
    number: int,
    home: Path,
    names: Path,
) -> list[Answered]:
    """:param names: an index without any annotated mention, which lends its vectors."""
    training = [m for of in read.values() for d in of if part(d.id, FOLDS, "f") != number for m in d.mentions]
    seen = {normalise(mention.text) for mention in training}
    known = [(mention.long_form or mention.text, mention.gold[0]) for mention in training if len(mention.gold) == 1]
    index = Index.load(build_index(folders, linker, encoder, home / f"fold-{number}", names, known).path)
    answered = []
    asked: list[tuple[str, Question]] = []
    for corpus, documents in read.items():
        mentions = [m for d in documents if part(d.id, FOLDS, "f") == number for m in d.mentions if m.gold]
        found = retrieve(index, encoder, mentions, linker.retrieval)
        asked += [(corpus, as_found(m, c, linker.reranker.options)) for m, c in zip(mentions, found, strict=True)]
    for half in (0, 1):
        fitted = calibrate.fit([q for _, q in asked if part(q.mention.document, 2, "h") != half], None)
        for corpus, q in asked:
            if part(q.mention.document, 2, "h") != half or normalise(q.mention.text) in seen:
                continue
            probabilities = fitted.probabilities(None, q.mention, q.candidates)[:-1]
            best = int(probabilities.argmax()) if len(probabilities) else -1
            answered.append(
                Answered(
                    corpus=corpus,
                    document=q.mention.document,
                    text=normalise(q.mention.text),
                    first=bool(q.candidates) and q.answer == 0,
                    offered=q.answer < len(q.candidates),
                    right=best == q.answer,
                    probability=float(probabilities.max(initial=0.0)),
                )
            )
    return answered


def share(items: Sequence[Answered], of: str) -> str:
    return f"{100 * np.mean([getattr(item, of) for item in items]):.1f}"


def gain(items: Sequence[Answered]) -> str:
    """Points that the choice gains over retrieval's first, with its interval."""
    documents = {item.document: i for i, item in enumerate({item.document: item for item in items}.values())}
    which = [documents[item.document] for item in items]
    n = np.bincount(which)
    won = np.bincount(which, [item.right - item.first for item in items])
    drawn = np.random.default_rng(0).multinomial(len(n), np.full(len(n), 1 / len(n)), size=2000)
    low, high = np.percentile(100 * (drawn @ won) / (drawn @ n), [2.5, 97.5])
    return f"{100 * won.sum() / n.sum():+.1f} ({low:+.1f} to {high:+.1f})"


def row(corpus: str, items: Sequence[Answered]) -> str:
    distinct = list({(item.document, item.text): item for item in items}.values())
    error = calibrate.expected_calibration_error([i.probability for i in items], [i.right for i in items])
    cells = [corpus, f"{len(items):,}", share(items, "first"), share(items, "offered"), share(items, "right")]
    cells += [gain(items), f"{len(distinct):,}", share(distinct, "first"), share(distinct, "right"), gain(distinct)]
    return f"| {' | '.join([*cells, f'{error:.3f}'])} |"


def measured(here: settings.Settings, name: str, data: Path) -> list[str]:
    linker = declarations.load_linker(name)
    for ontology, files in FILES[name].items():
        lifecycle.ingest_ontology(here, ontology, [data / file for file in files], None)
    folders = [folder for ontology in linker.ontologies if (folder := releases.latest(here, ontology))]
    encoder = Encoder.load(linker.encoder, here.cache)
    read = {corpus.name: exam.documents(corpus, folders, data) for corpus in linker.corpora}
    home = here.home / "folds" / name
    names = build_index(folders, linker, encoder, home / "names").path
    items = [item for number in range(FOLDS) for item in fold(linker, folders, encoder, read, number, home, names)]
    return [row(corpus, [item for item in items if item.corpus == corpus]) for corpus in read]


def main() -> None:
    linkers, here, data = asked_for(__doc__, Path(".belink/folds"))
    rows = [row for linker in linkers for row in measured(here, linker, data)]
    print("\n".join([HEAD, *rows]))  # noqa: T201


if __name__ == "__main__":
    main()

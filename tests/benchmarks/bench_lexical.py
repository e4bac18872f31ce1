"""Which library retrieves names by their characters: recall, speed and memory on the chemical names of MeSH.

    BELINK_DATA=… python tests/benchmarks/bench_lexical.py [--queries 2000] [NAME …]

Names: the chemical branch of MeSH (565,512 names, 542,995 once normalised). Queries: the distinct mentions of
BC5CDR chemical, training and development documents, against the concept they are annotated with. Each library runs in
a process of its own on one thread. sparse_dot_topn, bm25s and tantivy are needed here only: install them by hand.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from lxml import etree

from belink.retrieval import trigrams as lexical
from belink.text.normalise import normalise

K = 100  # names asked for
Search = Callable[[list[str]], list[np.ndarray]]
DATA = Path(os.environ.get("BELINK_DATA", "."))


def chemical_names() -> list[tuple[str, str]]:
    """(concept id, normalised name) of MeSH tree D and of the supplementary records mapped to it."""
    branch: set[str] = set()
    pairs = []
    for record in records(DATA / "mesh/desc2025.xml.gz", "DescriptorRecord"):
        if any(number.text.startswith("D") for number in record.iter("TreeNumber")):
            ui = record.findtext("DescriptorUI")
            branch.add(ui)
            pairs += [(ui, term.findtext("String")) for term in record.iter("Term")]
    for record in records(DATA / "mesh/supp2025.xml.gz", "SupplementalRecord"):
        if any(ui.text.lstrip("*") in branch for ui in record.iter("DescriptorUI")):
            ui = record.findtext("SupplementalRecordUI")
            pairs += [(ui, term.findtext("String")) for term in record.iter("Term")]
    return [(f"MESH:{ui}", key) for ui, name in pairs if (key := normalise(name))]


def records(path: Path, tag: str) -> Any:
    with gzip.open(path) as stream:
        for _, record in etree.iterparse(stream, tag=tag, resolve_entities=False, load_dtd=False, no_network=True):
            yield record
            record.clear()


def queries(n: int) -> list[tuple[str, str]]:
    """(normalised mention, concept id), distinct, drawn with a fixed seed."""
    found = set()
    for annotation in records(DATA / "corpora/bc5cdr-chemical/traindev.bioc.xml.gz", "annotation"):
        ids = [infon.text for infon in annotation.iter("infon") if infon.get("key") == "concept_id"]
        found.add((normalise(annotation.findtext("text")), ids[0]))
    return random.Random(13).sample(sorted(found), min(n, len(found)))


def trigrams(text: str) -> list[str]:
    """The n-grams of scikit-learn's char_wb: each word between spaces."""
    return [f" {word} "[i : i + 3] for word in text.split() for i in range(max(len(word), 1))]


def tfidf(names: list[str], n_gram: tuple[int, int]) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=n_gram, dtype=np.float32, lowercase=False)
    return vectorizer, vectorizer.fit_transform(names)


def scipy_product(names: list[str]) -> Search:
    vectorizer, rows = tfidf(names, (3, 3))
    columns = rows.T.tocsr()

    def search(texts: list[str]) -> list[np.ndarray]:
        found = []
        for start in range(0, len(texts), 64):
            product = vectorizer.transform(texts[start : start + 64]) @ columns
            for i in range(product.shape[0]):
                part = slice(product.indptr[i], product.indptr[i + 1])
                best = np.argsort(-product.data[part], kind="stable")[:K]
                found.append(product.indices[part][best])
        return found

    return search


def sparse_dot_topn(names: list[str], n_gram: tuple[int, int] = (3, 3)) -> Search:
    from sparse_dot_topn import sp_matmul_topn

    vectorizer, rows = tfidf(names, n_gram)
    columns = rows.T.tocsr()

    def search(texts: list[str]) -> list[np.ndarray]:
        top = sp_matmul_topn(vectorizer.transform(texts), columns, top_n=K, sort=True, n_threads=1)
        return [top.indices[top.indptr[i] : top.indptr[i + 1]] for i in range(len(texts))]

    return search


def as_built(names: list[str]) -> Search:
    """belink.retrieval.trigrams: sparse_dot_topn over the rare trigrams, its finds ranked by all of them."""
    folder = Path(tempfile.mkdtemp())
    lexical.build(names, len(names), folder)
    opened = lexical.TrigramIndex.load(folder)
    shutil.rmtree(folder)

    def search(texts: list[str]) -> list[np.ndarray]:
        vectors = opened.vectors(texts)
        found = opened.search(vectors, K)
        cosines = [opened.cosines(vectors, np.full(len(rows), i), rows) for i, rows in enumerate(found)]
        return [rows[np.argsort(-scores, kind="stable")] for rows, scores in zip(found, cosines, strict=True)]

    return search


def bm25s(names: list[str]) -> Search:
    import bm25s as library

    ids: dict[str, int] = {}
    index = library.BM25(method="lucene", k1=1.2, b=0.75)
    index.index(
        ([[ids.setdefault(gram, len(ids)) for gram in trigrams(name)] for name in names], ids), show_progress=False
    )

    def search(texts: list[str]) -> list[np.ndarray]:
        asked = [[gram for gram in trigrams(text) if gram in ids] or [trigrams(names[0])[0]] for text in texts]
        rows, _ = index.retrieve(asked, k=K, show_progress=False, n_threads=0)
        return list(rows)

    return search


def tantivy(names: list[str]) -> Search:
    import tantivy as library

    builder = library.SchemaBuilder()
    builder.add_text_field("grams", tokenizer_name="whitespace", index_option="freq")
    builder.add_integer_field("row", stored=False, indexed=False, fast=True)
    schema = builder.build()
    index = library.Index(schema)
    writer = index.writer(heap_size=256_000_000, num_threads=1)

    def spelled(text: str) -> list[str]:
        return [gram.replace(" ", "_") for gram in trigrams(text)]

    for row, name in enumerate(names):
        writer.add_document(library.Document(grams=" ".join(spelled(name)), row=row))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def search(texts: list[str]) -> list[np.ndarray]:
        found = []
        for text in texts:
            terms = [
                (library.Occur.Should, library.Query.term_query(schema, "grams", gram, "freq"))
                for gram in dict.fromkeys(spelled(text))
            ]
            hits = searcher.search(library.Query.boolean_query(terms), limit=K, count=False).hits
            addresses = [address for _, address in hits]
            found.append(np.array(searcher.fast_field_values("row", addresses), dtype=np.int64))
        return found

    return search


WAYS: dict[str, Callable[[list[str]], Search]] = {
    "scikit-learn + scipy product": scipy_product,
    "scikit-learn + sparse_dot_topn": sparse_dot_topn,
    "belink.retrieval.trigrams": as_built,
    "scikit-learn + sparse_dot_topn, 2 to 4 grams": lambda names: sparse_dot_topn(names, (2, 4)),
    "scikit-learn + sparse_dot_topn, 3 to 5 grams": lambda names: sparse_dot_topn(names, (3, 5)),
    "bm25s": bm25s,
    "tantivy": tantivy,
}


def measure(way: str, names: list[str], owners: list[set[str]], asked: list[tuple[str, str]]) -> dict[str, Any]:
    """Figures of one library, in the process that runs it."""
    before = peak_mib()
    start = time.process_time()
    search = WAYS[way](names)
    built = time.process_time() - start
    search([text for text, _ in asked[:10]])
    start = time.process_time()
    found = search([text for text, _ in asked])
    seconds = time.process_time() - start
    ranks = [first_rank(rows, owners, gold) for rows, (_, gold) in zip(found, asked, strict=True)]
    return {
        "library": way,
        **{f"recall@{k}": round(100 * float(np.mean([rank < k for rank in ranks])), 1) for k in (1, 10, 20)},
        "queries_per_cpu_second": round(len(asked) / seconds),
        "build_cpu_seconds": round(built, 1),
        "peak_mib": round(peak_mib() - before),
    }


def first_rank(rows: np.ndarray, owners: list[set[str]], gold: str) -> float:
    seen: set[str] = set()
    for row in rows:
        if gold in owners[row]:
            return len(seen)  # concepts offered before it
        seen |= owners[row]
    return float("inf")


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_process(way: str, n: int) -> None:
    pairs = chemical_names()
    names = sorted({name for _, name in pairs})
    rows = {name: row for row, name in enumerate(names)}
    owners: list[set[str]] = [set() for _ in names]
    for concept, name in pairs:
        owners[rows[name]].add(concept)
    print(json.dumps(measure(way, names, owners, queries(n))), flush=True)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--queries", type=int, default=2000)
    chosen = parser.parse_args()
    for way in chosen.ways or WAYS:
        process = multiprocessing.get_context("spawn").Process(target=in_process, args=(way, chosen.queries))
        process.start()
        process.join()


if __name__ == "__main__":
    main()

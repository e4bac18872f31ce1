"""Which FAISS index holds millions of names: recall after re-scoring, memory, build time and speed of each recipe.

    python tests/benchmarks/bench_scale.py VECTORS.npy [--names 1000000] [--work FOLDER] [RECIPE …]

VECTORS.npy: float16 (n, d) of real names, such as the vectors.npy of an index. A thousand of them are kept as queries;
the others are enlarged to ``--names`` by moving real vectors by real differences between neighbours. Vectors lie on
disk, memory-mapped; an index is trained on a sample and filled shard by shard. One thread throughout. Building and
searching have a process each; their memory is their own (``own_mib``), pages of mapped files being the system's to
keep or to drop (``mapped_mib``).
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch

from belink.retrieval.vectors import at_random, nearest_exactly

RECIPES = (
    "PCA96,IVF{lists},SQ8",
    "PCA128,IVF{lists},SQ8",
    "PCA128,L2norm,IVF{lists},SQ8",
    "PCA128,L2norm,IVF{lists},PQ128x4fs",
    "OPQ48_192,IVF{lists},PQ48x4fs",
    "IVF{lists},RaBitQ",
)
QUERIES, K, SHARD, SAMPLE = 1000, 20, 65_536, 170_000
PROPOSED = (200, 400, 1000)  # the index of belink asks for ten times what it gives
SOME = 4_000  # real names whose neighbours give the differences


def enlarge(real: np.ndarray, n: int, path: Path) -> np.ndarray:
    """float16 (n, d) on disk: ``real`` and what is made of it; unit rows."""
    if not path.exists():
        _, near = faiss.knn(real[:SOME], real, 8, metric=faiss.METRIC_INNER_PRODUCT)
        steps = (real[near[:, 1:]] - real[:SOME, None]).reshape(-1, real.shape[1])
        aside = path.with_suffix(".part")
        made = np.lib.format.open_memmap(aside, mode="w+", dtype=np.float16, shape=(n, real.shape[1]))
        made[: len(real)] = real[:n]
        rng = np.random.default_rng(13)
        for start in range(len(real), n, SHARD):
            size = min(SHARD, n - start)
            shard = real[rng.integers(0, len(real), size)]
            shard = shard + rng.uniform(0.2, 1, (size, 1)).astype(np.float32) * steps[rng.integers(0, len(steps), size)]
            made[start : start + size] = shard / np.linalg.norm(shard, axis=1, keepdims=True)
        made.flush()
        aside.rename(path)
    return np.load(path, mmap_mode="r")


def memory() -> dict[str, int]:
    """MiB that this process holds now; Linux tells."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return {
        name: int(told[key].split()[0]) // 1024 for name, key in (("own_mib", "RssAnon"), ("mapped_mib", "RssFile"))
    }


def build(vectors_at: Path, recipe: str, path: Path) -> dict[str, float]:
    faiss.omp_set_num_threads(1)
    vectors = np.load(vectors_at, mmap_mode="r")
    rng = np.random.default_rng(13)
    start = time.process_time()
    index = faiss.index_factory(vectors.shape[1], recipe, faiss.METRIC_INNER_PRODUCT)
    chosen = np.sort(rng.choice(len(vectors), min(SAMPLE, len(vectors)), replace=False))
    index.train(vectors[chosen].astype(np.float32))
    trained = time.process_time()
    for first in range(0, len(vectors), SHARD):
        index.add(vectors[first : first + SHARD].astype(np.float32))
    faiss.write_index(index, str(path))
    return {
        "train_cpu_s": round(trained - start, 1),
        "add_cpu_s": round(time.process_time() - trained, 1),
        "bytes_a_name": round(path.stat().st_size / len(vectors), 1),
        "build_own_mib": memory()["own_mib"],
    }


def search(vectors_at: Path, queries: np.ndarray, bound: np.ndarray, path: Path) -> list[dict[str, float]]:
    """Recall and time at several widths, the index opened from disk."""
    faiss.omp_set_num_threads(1)
    torch.set_num_threads(1)
    vectors = at_random(vectors_at)
    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
    found = []
    for n_probe in (64, 128, 256, 512, 1024):
        faiss.extract_index_ivf(index).nprobe = n_probe
        start = time.process_time()
        _, proposed = index.search(queries, PROPOSED[-1])
        searched = time.process_time() - start
        of = {"n_probe": n_probe, "search_ms": round(1000 * searched / len(queries), 2)}
        for n in PROPOSED:
            start = time.process_time()
            hits = 0
            for query, rows, least in zip(queries, proposed[:, :n], bound, strict=True):
                scores = torch.from_numpy(vectors[np.sort(rows[rows >= 0])]).float().numpy() @ query
                hits += min(int((scores >= least - 1e-4).sum()), K)
            of[f"recall@{K} of {n}"] = round(hits / K / len(queries), 4)
            of[f"rescore_ms of {n}"] = round(1000 * (time.process_time() - start) / len(queries), 2)
        found.append({**of, **memory()})
    return found


def apart(work: Callable[..., Any], *given: Any) -> Any:
    """``work`` in a process of its own, whose memory is its alone."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE")
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--lists", type=int, default=4096)
    parser.add_argument("--work", type=Path, default=Path())
    chosen = parser.parse_intermixed_args()
    faiss.omp_set_num_threads(1)
    real = np.load(chosen.vectors).astype(np.float32)
    real = real[np.random.default_rng(13).permutation(len(real))]
    real /= np.linalg.norm(real, axis=1, keepdims=True)
    queries, real = real[:QUERIES], real[QUERIES:]
    chosen.work.mkdir(parents=True, exist_ok=True)
    vectors_at = chosen.work / f"vectors-{chosen.names}.npy"
    bound = nearest_exactly(enlarge(real, chosen.names, vectors_at), queries, K)[1][:, -1]
    del real
    for recipe in chosen.recipes:
        path = chosen.work / "recipe.faiss"
        told = {"recipe": recipe.format(lists=chosen.lists), "names": chosen.names}
        told |= apart(build, vectors_at, str(told["recipe"]), path)
        for of in apart(search, vectors_at, queries, bound, path):
            print(json.dumps({**told, **of}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

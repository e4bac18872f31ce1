"""Speed, memory and forms of names of a linker of taxa: marked mentions as a batch of papers has them.

    python tests/benchmarks/bench_species.py BUNDLE --taxa taxa.tsv.gz

The batch has 600 scientific names, 250 short forms, 100 common names, 40 misspelt names and 10 texts that are no taxon,
of taxa with an article in Wikipedia. Short forms have no document that spells them out. Of several taxa with one short
form, the one that was drawn counts as right, though a paper could mean another.
"""

import argparse
import gzip
import random
import resource
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

from belink import settings
from belink.linker.linker import Linker
from belink.records import Mention
from belink.text.taxa import short_key

NO_TAXA = (
    "the control group", "virus X-17", "untreated host", "P. nonexistens", "Foobaria bazensis", "zebu cattle herd",
    "group 3", "Lactoplantus novus", "bacterial isolate 7", "wild-type cells",
)  # fmt: skip
Question = tuple[str, str, str]  # kind, text, taxon's number ("" for none)


def questions(taxa: Path, seed: int) -> list[Question]:
    """Draw the batch, in random order."""
    rng = random.Random(seed)
    species: list[tuple[str, str]] = []
    common: list[tuple[str, str]] = []
    owners: dict[str, set[str]] = defaultdict(set)
    with gzip.open(taxa, "rt", encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            number, name, other, title, rank, _ = line.rstrip("\n").split("\t")
            if key := short_key(name):
                owners[key].add(number)
            if rank == "species" and title and len(name.split()) == 2 and name.replace(" ", "").isalpha():
                species.append((number, name))
            if other:
                common.append((number, other))
    rng.shuffle(species)
    rng.shuffle(common)
    short = [(number, name) for number, name in species[600:] if short_key(name)][:250]
    batch = [("scientific name", name, number) for number, name in species[:600]]
    for number, name in short:
        kind = "short form of one taxon" if len(owners[short_key(name)]) == 1 else "short form of several"
        batch.append((kind, f"{name[0]}. {name.split()[1]}", number))
    batch += [("common name", name, number) for number, name in common[:100]]
    long_enough = [(number, name) for number, name in species[1000:2000] if len(name.split()[1]) > 4]
    batch += [("misspelt name", swapped(name, rng), number) for number, name in long_enough[:40]]
    batch += [("no taxon", text, "") for text in NO_TAXA]
    rng.shuffle(batch)
    return batch


def swapped(name: str, rng: random.Random) -> str:
    """Return the name with two letters of its epithet swapped."""
    genus, epithet = name.split()
    at = rng.randrange(1, len(epithet) - 1)
    return f"{genus} {epithet[:at]}{epithet[at + 1]}{epithet[at]}{epithet[at + 2 :]}"


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def peak() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="a folder below HOME/bundles/species")
    parser.add_argument("--taxa", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    batch = questions(args.taxa, args.seed)
    before = peak()
    started, cpu = time.perf_counter(), time.process_time()
    linker = Linker(args.bundle, settings.load(None).cache)
    linker.link([Mention(text="Homo sapiens")])
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    say(f"load and first link {took:.1f} s, {cpu:.1f} s of CPU; peak {peak()} ({before} before)")
    linker.link([Mention(text="Homo sapeins")])  # loads scikit-learn
    started, cpu = time.perf_counter(), time.process_time()
    links = linker.link([Mention(text=text) for _, text, _ in batch])
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    say(f"{len(batch)} mentions: {len(batch) / took:.0f} a second, {len(batch) / cpu:.0f} a second of CPU")
    n, right, sure = Counter[str](), Counter[str](), Counter[str]()
    for (kind, _, number), link in zip(batch, links, strict=True):
        is_right = link.id == (f"NCBITaxon:{number}" if number else None)
        n[kind] += 1
        right[kind] += is_right
        sure[kind] += link.id is not None and not is_right and link.probability > 0.9
    for kind in n:
        say(f"{kind}: {right[kind]} of {n[kind]} right, {sure[kind]} wrong above 0.9")
    started = time.perf_counter()
    found = linker.link_text("Mice were infected with R. prolixus and Trypanosoma cruzi. Escherichia coli was grown.")
    say(f"raw text, finder included, {time.perf_counter() - started:.1f} s: {[(k.text, k.id) for k in found]}")
    say(f"peak {peak()}")


if __name__ == "__main__":
    main()

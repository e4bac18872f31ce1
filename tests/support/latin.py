"""A taxonomy made by hand, as a table: model organisms beside obscure taxa with the same short forms."""

from collections.abc import Sequence
from pathlib import Path

from belink import settings
from belink.declarations import load_linker, load_source
from belink.ontology.ingest import ingest
from belink.retrieval.encoder import NoEncoder
from belink.retrieval.index import Index, build_index

# Number, scientific name, common name, title in Wikipedia, rank, parent.
TAXA: list[tuple[int, str, str, str, str, int]] = [
    (1, "root", "", "", "no_rank", 1),
    (2, "Bacteria", "eubacteria", "Bacteria", "domain", 1),
    (543, "Enterobacteriaceae", "", "Enterobacteriaceae", "family", 2),
    (561, "Escherichia", "", "Escherichia", "genus", 543),
    (590, "Salmonella", "", "Salmonella", "genus", 543),
    (562, "Escherichia coli", "", "Escherichia coli", "species", 561),
    (83333, "Escherichia coli K-12", "", "", "strain", 562),
    (83334, "Escherichia coli O157:H7", "", "", "serotype", 562),
    (1280, "Staphylococcus aureus", "", "Staphylococcus aureus", "species", 2),
    (90371, "Salmonella enterica", "", "Salmonella enterica", "species", 590),
    (1590, "Lactiplantibacillus plantarum", "", "Lactiplantibacillus plantarum", "species", 2),
    (1423, "Bacillus subtilis", "", "Bacillus subtilis", "species", 2),
    (1396, "Bacillus cereus", "", "Bacillus cereus", "species", 2),
    (2759, "Eukaryota", "eucaryotes", "Eukaryote", "domain", 1),
    (46681, "Entamoeba coli", "", "", "species", 2759),
    (1900001, "Enchytraeus coli", "", "", "species", 2759),
    (135651, "Caenorhabditis brenneri", "", "Caenorhabditis brenneri", "species", 2759),
    (1900002, "Clarkia brenneri", "", "", "species", 2759),
    (1900003, "Centruroides brenneri", "", "", "species", 2759),
    (7159, "Aedes aegypti", "yellow fever mosquito", "Aedes aegypti", "species", 2759),
    (1900004, "Anopheles aegypti", "", "", "species", 2759),
    (7165, "Anopheles gambiae", "African malaria mosquito", "Anopheles gambiae", "species", 2759),
    (13249, "Rhodnius prolixus", "", "Rhodnius prolixus", "species", 2759),
    (7227, "Drosophila melanogaster", "fruit fly", "Drosophila melanogaster", "species", 2759),
    (9606, "Homo sapiens", "human", "Human", "species", 2759),
    (10090, "Mus musculus", "house mouse", "House mouse", "species", 2759),
    (10116, "Rattus norvegicus", "Norway rat", "Brown rat", "species", 2759),
    (7955, "Danio rerio", "zebrafish", "Zebrafish", "species", 2759),
    (8355, "Xenopus laevis", "African clawed frog", "African clawed frog", "species", 2759),
    (9823, "Sus scrofa", "pig", "Wild boar", "species", 2759),
    (9913, "Bos taurus", "cattle", "Cattle", "species", 2759),
    (9031, "Gallus gallus", "chicken", "Red junglefowl", "species", 2759),
    (4932, "Saccharomyces cerevisiae", "brewer's yeast", "Saccharomyces cerevisiae", "species", 2759),
    (5476, "Candida albicans", "", "Candida albicans", "species", 2759),
    (746128, "Aspergillus fumigatus", "", "Aspergillus fumigatus", "species", 2759),
    (3702, "Arabidopsis thaliana", "thale cress", "Arabidopsis thaliana", "species", 2759),
    (4577, "Zea mays", "maize", "Maize", "species", 2759),
    (4530, "Oryza sativa", "Asian cultivated rice", "Oryza sativa", "species", 2759),
    (5691, "Trypanosoma brucei", "", "Trypanosoma brucei", "species", 2759),
    (5693, "Trypanosoma cruzi", "", "Trypanosoma cruzi", "species", 2759),
    (5833, "Plasmodium falciparum", "malaria parasite P. falciparum", "Plasmodium falciparum", "species", 2759),
    (10239, "Viruses", "", "Virus", "acellular root", 1),
    (11676, "Human immunodeficiency virus 1", "", "HIV-1", "species", 10239),
]
_HEADER = "taxid\tscientific_name\tcommon_name\twiki_title\trank\tparent"


def table(path: Path, taxa: Sequence[tuple[int, str, str, str, str, int]] = TAXA) -> Path:
    """Write the taxonomy as a table to ``path`` and return it."""
    rows = ["\t".join(map(str, row)) for row in taxa]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([_HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def release(folder: Path, taxa: Sequence[tuple[int, str, str, str, str, int]] = TAXA) -> Path:
    """Return a release of the taxonomy, read in a home below ``folder``."""
    here = settings.load(folder / "home")
    return ingest(load_source("ncbitaxon"), [table(folder / "taxa.tsv", taxa)], here, "1").path


def index(folder: Path, of: Path) -> Index:
    """Return the index of the release ``of``, for :func:`linker`, built below ``folder``."""
    declared = load_linker(str(linker(folder / "taxa.toml")))
    return Index.load(build_index([of], declared, NoEncoder(), folder / "index").path)


def linker(path: Path, *, gates: str = "") -> Path:
    """Write a linker of taxa without models to ``path`` and return it; ``gates`` adds to its open ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"""
        title = "Forty taxa"
        ontologies = ["ncbitaxon"]
        names = "latin"
        [encoder]
        model = ""
        [reranker]
        model = ""
        [training]
        questions = 0
        held_out = 1.0
        [evaluation]
        items = 200
        [gates]
        max_ece = 1.0
        reranking_helps = 1.0
        {gates}
        """,
        encoding="utf-8",
    )
    return path

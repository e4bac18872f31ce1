"""Taxa are found in raw text by Latin names, short forms and everyday words, but not where they are plain words."""

from pathlib import Path

import pytest

from belink.declarations import LinkerConfig, load_linker
from belink.linker.latin_finder import LatinFinder, build_finder
from belink.linker.name_finder import Lexicon, NameFinder
from belink.linker.token_classifier import MentionFinder
from belink.retrieval.encoder import NoEncoder
from belink.retrieval.index import Index, build_index
from tests.support import latin

TAXA = [
    *latin.TAXA,
    (6754, "Cancer", "", "Cancer (genus)", "genus", 2759),
    (6755, "Cancer pagurus", "edible crab", "Cancer pagurus", "species", 6754),
    (1900010, "Data", "", "", "genus", 2759),
    (7215, "Drosophila", "", "Drosophila", "genus", 2759),
    (2000001, "Mus", "", "", "genus", 2759),
    (10092, "Mus musculus domesticus", "", "", "subspecies", 10090),
    (3847, "Glycine", "", "Glycine", "genus", 2759),
    (90372, "Salmonella enterica subsp. enterica serovar Typhimurium", "", "", "no_rank", 90371),
    (10724, "Bacillus phage SPP1", "", "", "species", 10239),
    (12892, "Potato spindle tuber viroid", "", "", "species", 10239),
    (12814, "Respiratory syncytial virus", "", "", "no_rank", 10239),
]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return latin.release(tmp_path_factory.mktemp("release"), TAXA)


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> LinkerConfig:
    return load_linker(str(latin.linker(tmp_path_factory.mktemp("declared") / "taxa.toml")))


@pytest.fixture(scope="module")
def index(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    return latin.index(tmp_path_factory.mktemp("index"), release)


@pytest.fixture(scope="module")
def finder(index: Index, release: Path) -> MentionFinder:
    return build_finder(index, [release])


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("We fed Rhodnius prolixus.", ["Rhodnius prolixus"]),
        ("Here R. prolixus and C.brenneri grew.", ["R. prolixus", "C.brenneri"]),
        ("Ae. aegypti, but no Q. aegypti.", ["Ae. aegypti"]),
        ("P. falciparum-infected cells; R. prolixus-fed-on.", ["P. falciparum", "R. prolixus"]),
        ("Plasmodium falciparum-infected cells, E. coli-like.", ["Plasmodium falciparum", "E. coli"]),
        ("Cells of Escherichia coli K-12 and E. coli.", ["Escherichia coli K-12", "E. coli"]),
        ("Patients and mice; three women.", ["Patients", "mice", "women"]),
        ("The mouse strain, a rat, zebrafishes", ["mouse", "rat", "zebrafishes"]),
        ("human cells, pigs and zebrafish", ["human", "pigs", "zebrafish"]),
        ("Yellow fever mosquitoes bite.", ["Yellow fever mosquitoes"]),
        ("HIV-1 and hiv-1", ["HIV-1", "hiv-1"]),
        ("The respiratory syncytial virus (RSV). RSV", ["respiratory syncytial virus", "RSV", "RSV"]),
        ("The chloramphenicol acetyltransferase (CAT) gene", []),
        ("A CAT scan", []),
        ("Isolates of MRSA and EHEC", ["MRSA", "EHEC"]),
        ("M. m. domesticus and E. COLI; J. SMITH", ["M. m. domesticus", "E. COLI"]),
        ("E. coli K-12, E. coli strain and E. coli cells", ["E. coli K-12", "E. coli", "E. coli"]),
        ("salmonellae and liposomes", ["salmonellae"]),
        ("S. Typhimurium and S. Smith", ["S. Typhimurium"]),
        ("A Salmonella enterica serovar Typhimurium", ["Salmonella enterica serovar Typhimurium"]),
        ("Mus musculus ssp. domesticus grew", ["Mus musculus ssp. domesticus"]),
        ("Mus musculus L. ssp. domesticus grew", ["Mus musculus L. ssp. domesticus"]),
        ("phage SPP1, SPP1 phage and phage X99", ["phage SPP1", "SPP1 phage"]),
        ("Bacillus subtilis phage SPP1", ["Bacillus subtilis phage SPP1"]),
        ("(Enterobacteriaceae: Escherichia coli)", ["Enterobacteriaceae", "Escherichia coli"]),
        ("The potato spindle tuber viroid", ["potato spindle tuber viroid"]),
        # Salmonella is near Escherichia, and Xus is no genus.
        ("Escherichia enterica grew.", ["Escherichia enterica"]),
        ("Xus enterica and Candidatus Escherichia enterica.", []),
        ("Escherichia enterica-infected cells of Salmonella enterica", ["Salmonella enterica"]),
        ("Mouse-like and human-like; mouse-derived", ["mouse"]),
        ("We thank Mouse Works for mice.", ["mice"]),
        ("a chain of glycine (Gly) and Gly", []),
        ("", []),
        ("…", []),
    ],
)  # fmt: skip
def test_taxa_are_found_as_papers_write_them(finder: MentionFinder, text: str, mentions: list[str]) -> None:
    assert [mention.text for mention in finder.find(text)] == mentions


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("Breast cancer is frequent. Cancer kills.", []),
        ("Funded by the American Cancer Society.", []),
        ("The Risk of Cancer After Transplantation", []),
        ("Data were analysed. The data are shown.", []),
        ("Infection with Salmonella is frequent.", ["Salmonella"]),
        ("Bacteria: Salmonella is kept, as cells of Salmonella are.", ["Salmonella"]),
        ("Drosophila is kept.", ["Drosophila"]),
        ("The crab Cancer pagurus. In Cancer the legs are short.", ["Cancer pagurus", "Cancer"]),
        ("Crabs (Cancer sp.) and the genus Data.", ["Cancer", "Data"]),
        ("Wild Mus live here, Mus sp. there.", ["Mus"]),
        ("A strain. Data follow.", []),
    ],
)
def test_a_genus_counts_where_it_is_no_plain_word(finder: MentionFinder, text: str, mentions: list[str]) -> None:
    assert [mention.text for mention in finder.find(text)] == mentions


def test_a_mention_has_its_place_its_sentence_and_its_long_form(finder: MentionFinder) -> None:
    text = "Trypanosoma cruzi is a parasite. We studied T. cruzi."
    first, second = finder.find(text, document="7")
    assert text[second.start : second.end] == second.text == "T. cruzi"
    assert (second.sentence, second.document) == ("We studied T. cruzi.", "7")
    assert (first.long_form, second.long_form) == ("", "Trypanosoma cruzi")


def test_what_corpora_taught_counts(index: Index, release: Path) -> None:
    lexicon = Lexicon(extra=frozenset({"kissing bug"}), stop=frozenset({"zea mays"}), counts={"mouse": (4, 3)})
    taught = build_finder(index, [release], lexicon)
    mentions = taught.find("Zea mays, house mouse, mouse and kissing bugs")
    assert [m.text for m in mentions] == ["house mouse", "mouse", "kissing bugs"]
    assert [(m.n_occurrences, m.n_annotated) for m in mentions] == [(0, 0), (4, 3), (0, 0)]


def test_other_indices_are_searched_by_an_automaton(linker: LinkerConfig, release: Path, tmp_path: Path) -> None:
    plain = linker.model_copy(update={"names": "any"})
    index = Index.load(build_index([release], plain, NoEncoder(), tmp_path).path)
    assert isinstance(build_finder(index, [release]), NameFinder)


@pytest.mark.heavy
def test_the_time_follows_the_length_of_the_text(index: Index) -> None:
    import time

    def seconds(text: str) -> float:
        started = time.process_time()
        LatinFinder(index).find(text)
        return time.process_time() - started

    for seed in ("Mus ", "E. coli ", "Cancer. ", "a", "x (AB) ", "Escherichia coli "):
        small, large = (seed * (n // len(seed)) for n in (2_000, 16_000))
        seconds(small)
        assert seconds(large) < max(seconds(small), 0.01) * 8**1.3 + 0.1, seed

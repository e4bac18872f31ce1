"""Mentions made of Latin names: each kind by its rule, with the right gold, mostly the same in the next release."""

from pathlib import Path

import pytest

from belink.declarations import LinkerConfig, load_linker, load_source
from belink.ontology.prominence import measure_prominence
from belink.ontology.release import open_release
from belink.text.taxa import short_form, short_key
from belink.training import latin_questions, splits
from belink.training.latin_questions import LatinMention, latin_mentions
from tests.support import latin

LABELS = {f"NCBITaxon:{number}": name for number, name, *_ in latin.TAXA}
ADDED = load_source("ncbitaxon").names.added
COMMON = {
    (taxon := f"NCBITaxon:{number}"): {common, title, *ADDED.get(taxon, ())}
    for number, _, common, title, *_ in latin.TAXA
}


def made(folder: Path, n: int = 200) -> list[LatinMention]:
    with open_release(folder) as release:
        return latin_mentions(release.names(), measure_prominence(release), n)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return latin.release(tmp_path_factory.mktemp("first"), latin.TAXA)


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> LinkerConfig:
    return load_linker(str(latin.linker(tmp_path_factory.mktemp("declared") / "taxa.toml")))


def test_each_kind_is_made_by_its_rule(release: Path) -> None:
    of_kind: dict[str, list[LatinMention]] = {}
    for each in made(release):
        of_kind.setdefault(each.kind, []).append(each)
    assert list(of_kind) == list(latin_questions.SHARES)
    for kind, mentions in of_kind.items():
        for mention in (each.mention for each in mentions):
            label = LABELS[mention.gold[0]] if mention.gold else ""
            match kind:
                case latin_questions.SCIENTIFIC:
                    assert mention.text == label
                case latin_questions.SHORT:
                    form = short_form(mention.text)
                    assert form is not None and form.key == short_key(label)
                case latin_questions.MISSPELT:
                    assert mention.text not in LABELS.values()
                    assert abs(len(mention.text) - len(label)) <= 1
                    assert mention.text.split()[0] == label.split()[0]
                case latin_questions.STRAINS:
                    assert mention.text.startswith(f"{label} ")
                case latin_questions.COMMON:
                    assert mention.text.removesuffix("s") in {
                        name.removesuffix("s") for name in COMMON[mention.gold[0]]
                    }
                case latin_questions.MOVED:
                    assert mention.text not in LABELS.values()
                    assert mention.text.split()[1:] == label.split()[1:]
                case _:
                    assert mention.is_nil and not mention.gold and mention.text not in LABELS.values()


def test_well_known_taxa_are_asked_more_often(release: Path) -> None:
    drawing_few = [each.mention.gold[0] for each in made(release, 30) if each.kind == latin_questions.SHORT]
    obscure = {"NCBITaxon:1900001", "NCBITaxon:1900002", "NCBITaxon:1900003", "NCBITaxon:1900004"}
    assert len(drawing_few) == 10
    assert not obscure & set(drawing_few)


def test_the_next_release_asks_mostly_the_same(release: Path, tmp_path: Path) -> None:
    gone = {3702, 9913}
    new = (2000001, "Novibacter primus", "", "", "species", 2)
    after = made(latin.release(tmp_path, [*(row for row in latin.TAXA if row[0] not in gone), new]))
    before = {(each.kind, each.mention.text) for each in made(release)}
    kept = {(each.kind, each.mention.text) for each in after}
    assert len(before & kept) > 0.8 * len(before)
    assert not {identifier for each in after for identifier in each.mention.gold} & {f"NCBITaxon:{n}" for n in gone}


def test_no_mention_calibrates_and_is_evaluated_on(linker: LinkerConfig, release: Path) -> None:
    items = splits.evaluation_items(linker, [release], None)
    assert {item.source for item in items} == set(latin_questions.SHARES)
    assert not any(item.hide_own_name for item in items)
    assert any(item.without for item in items), "the right concept is removed from some lists"
    evaluated = {item.mention.text for item in items}
    calibrating = {m.text for m in splits.held_out_mentions(linker, [release], None)}
    assert calibrating and not evaluated & calibrating


def test_a_taxonomy_without_latin_names_gives_none(tmp_path: Path) -> None:
    folder = latin.release(
        tmp_path, [(1, "root", "", "", "no_rank", 1), (5, "environmental samples", "", "", "no_rank", 1)]
    )
    assert {each.kind for each in made(folder)} == {latin_questions.SCIENTIFIC}

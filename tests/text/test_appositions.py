"""What a document sets beside a mention in brackets is another name of it, unless it is a kind of it."""

import pytest

from belink.records import Document, Mention
from belink.text.abbreviations import expand


def document(text: str, *marked: str) -> Document:
    """Every place of the ``marked`` words is a mention."""
    mentions = []
    for word in marked:
        at = text.find(word)
        while at >= 0:
            mentions.append(Mention(text=word, start=at, end=at + len(word)))
            at = text.find(word, at + 1)
    return Document(id="1", text=text, mentions=tuple(mentions))


def also(text: str, *marked: str) -> dict[str, tuple[str, ...]]:
    return {mention.text: mention.appositions for mention in expand(document(text, *marked)).mentions}


@pytest.mark.parametrize(
    "text",
    [
        "dacarbazine (DTIC), then",
        "dacarbazine [DTIC; 5 mg], then",
        "dacarbazine(DTIC)",
        "dacarbazine (DTIC®), then",
        "dacarbazine™ (DTIC), then",
    ],
)
def test_an_apposition_holds_both_ways(text: str) -> None:
    text = f"DTIC first; {text} DTIC again and Dacarbazine."
    found = expand(document(text, "dacarbazine", "DTIC", "Dacarbazine")).mentions
    assert {(m.text, m.appositions) for m in found} == {
        ("dacarbazine", ("DTIC",)),
        ("Dacarbazine", ("DTIC",)),
        ("DTIC", ("dacarbazine",)),
    }


@pytest.mark.parametrize(
    "text",
    [
        "dacarbazine and DTIC",
        "dacarbazine (see DTIC)",
        "dacarbazine (DTIC treatment)",
        "dacarbazine (10 mg) and (DTIC)",
        "DTIC (DTIC)",
        "dacarbazine (DTIC",
    ],
)
def test_nothing_else_is(text: str) -> None:
    assert set(also(text, "dacarbazine", "DTIC").values()) == {()}


def test_a_mention_with_several_names_in_brackets_is_their_class() -> None:
    text = "azo dye (Congo red) or azo dye (Direct Blue)"
    assert also(text, "azo dye", "Congo red", "Direct Blue") == {
        "azo dye": (),
        "Congo red": ("azo dye",),
        "Direct Blue": ("azo dye",),
    }


def test_names_that_only_blanks_or_a_plural_tell_apart_are_one() -> None:
    text = "3 alpha-tropyl ester (PG-9) or 3alpha-tropyl esters (PG-9)"
    marked = ("3 alpha-tropyl ester", "3alpha-tropyl esters", "PG-9")
    assert also(text, *marked)["PG-9"] == ("3 alpha-tropyl ester",)


def test_a_single_letter_is_no_name() -> None:
    assert set(also("dioxane (D), dihydrogen (H2)", "dioxane", "D", "dihydrogen", "H2").items()) == {
        ("dioxane", ()),
        ("D", ()),
        ("dihydrogen", ("H2",)),
        ("H2", ("dihydrogen",)),
    }


def test_abbreviations_are_left_to_their_own_rule() -> None:
    found = expand(document("rabbit syndrome (RS) is seen; RS", "rabbit syndrome", "RS")).mentions
    assert {(m.text, m.long_form, m.appositions) for m in found} == {
        ("rabbit syndrome", "", ()),
        ("RS", "rabbit syndrome", ()),
    }


def test_an_abbreviation_beside_another_name_is_written_out() -> None:
    text = "Lewy body dementia (LBD) is here. Cortical disease X (LBD), LBD"
    assert also(text, "Cortical disease X", "LBD", "Lewy body dementia")["Cortical disease X"] == ()


def test_a_name_behind_the_abbreviation_in_brackets_is_another_name() -> None:
    text = "rabbit syndrome (RS; Lepus disease) and Lepus disease"
    assert also(text, "rabbit syndrome", "RS", "Lepus disease") == {
        "rabbit syndrome": ("Lepus disease",),
        "RS": (),
        "Lepus disease": ("rabbit syndrome",),
    }
    # Without the semicolon it is a part of something else.
    assert also("rabbit syndrome (RS, Lepus disease)", "rabbit syndrome", "RS", "Lepus disease")["Lepus disease"] == ()


def test_a_name_beside_an_abbreviation_is_another_name_unless_it_is_its_long_form() -> None:
    text = "rabbit syndrome (RS) is seen. RS (Lepus disease), RS (rabbit syndrome)"
    assert also(text, "rabbit syndrome", "RS", "Lepus disease") == {
        "rabbit syndrome": (),
        "RS": ("Lepus disease",),
        "Lepus disease": ("RS",),
    }

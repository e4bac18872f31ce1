"""normalise() folds what authors vary and keeps what tells concepts apart."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from belink.text.normalise import acid, aligned_words, american, classes, normalise, unbracketed, variants, with_kind

ODD = st.text(
    st.one_of(
        st.sampled_from(list("abSs015 .,:'’`´-‐–()+[]/;\"?!|_\t\n\u00a0αΩµßæﬃⅷ²⑴İſẛéñ\u0301\u0345\u200b\u00ad⁽⁺⁾١")),
        st.characters(codec="utf-8"),
    ),
    max_size=40,
)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("Alzheimer's disease", "alzheimer disease"),
        ("Alzheimer’s Disease", "alzheimer disease"),
        ("Parkinsons' disease", "parkinsons disease"),
        ("β-catenin", "beta catenin"),
        ("TNF-α", "tnf alpha"),
        ("IFN–γ", "ifn gamma"),
        ("μ-opioid receptor", "mu opioid receptor"),
        ("µg", "mug"),
        ("Sjögren syndrome", "sjogren syndrome"),
        ("Behçet’s", "behcet"),
        ("Cœliac disease", "coeliac disease"),
        ("Angiitis, granulomatous", "angiitis granulomatous"),
        ("non-Hodgkin's lymphoma (NHL)", "non hodgkin lymphoma nhl"),
        ("1,2-dichloroethane", "1,2 dichloroethane"),
        ("2.5-fold", "2.5 fold"),
        ("(+)-pentazocine", "plus pentazocine"),
        ("(-)-pentazocine", "minus pentazocine"),
        ("(−)-pentazocine", "minus pentazocine"),
        ("N-acetyl-p-aminophenol", "n acetyl p aminophenol"),
        ("HIV/AIDS", "hiv aids"),
        ("diabetes mellitus type II", "diabetes mellitus type ii"),
        ("Ca2+", "ca2+"),
        ("Ca²⁺", "ca2+"),
        ("5′-nucleotidase", "5 nucleotidase"),
        ("5`-nucleotidase", "5 nucleotidase"),
        ("Crohn`s disease", "crohn disease"),
        ("α₁-antitrypsin deficiency", "alpha1 antitrypsin deficiency"),
        ("  47,XYY\tsyndrome.", "47 xyy syndrome"),
        ("17,20-lyase deficiency, isolated", "17,20 lyase deficiency isolated"),
        ("polyI∶C", "polyi c"),
        ("cyclo\u00adpentane", "cyclopentane"),
        ("tumor\u200bnecrosis", "tumornecrosis"),
        ("CaCl2·2H2O", "cacl2 2h2o"),
        ("Alexa Fluor® 488", "alexa fluor 488"),
        ("Taxol™", "taxol"),
        ("IgE", "ige"),
        ("Charcot–Marie–Tooth", "charcot marie tooth"),
        ("—", ""),
        ("", ""),
    ],
)
def test_a_name_is_stored_and_asked_under_one_key(written: str, key: str) -> None:
    assert normalise(written) == key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(+)-naloxone", "(-)-naloxone"),
        ("diabetes type 1", "diabetes type 2"),
        ("1,2-xylene", "1,3-xylene"),
        ("interferon alpha", "interferon beta"),
        ("vitamin D", "vitamin D3"),
        ("1,2", "12"),
    ],
)
def test_what_tells_concepts_apart_is_kept(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@given(ODD)
@example("ﷺ")
@example("İ")
@example("x''s'")
@example("⁽⁺⁾")
def test_normalise_is_idempotent(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(ODD)
def test_a_key_has_single_inner_blanks_and_none_outside(text: str) -> None:
    assert normalise(text) == " ".join(normalise(text).split())


@given(ODD)
def test_composed_and_decomposed_spellings_share_a_key(text: str) -> None:
    assert normalise(unicodedata.normalize("NFD", text)) == normalise(unicodedata.normalize("NFC", text))


@given(ODD)
def test_aligned_words_are_the_words_of_normalise(text: str) -> None:
    assert " ".join(word for word, _, _ in aligned_words(text)) == normalise(text)


@given(ODD)
def test_aligned_spans_lie_in_the_text_and_in_order(text: str) -> None:
    spans = [(start, end) for _, start, end in aligned_words(text)]
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Crohn’s disease (CD)", ["Crohn", "disease", "CD"]),
        ("a (+)-x", ["a", "(+)", "x"]),
        ("TNF-α, Ca²⁺.", ["TNF", "α", "Ca²⁺"]),
        ("Sjo\u0308gren's", ["Sjo\u0308gren"]),
        ("cafe\u0301 x", ["cafe\u0301", "x"]),
    ],
)
def test_an_aligned_word_shows_its_own_piece_of_the_text(text: str, pieces: list[str]) -> None:
    found = [text[start:end] for _, start, end in aligned_words(text)]
    assert [piece.removesuffix("’s").removesuffix("'s") for piece in found] == pieces


@pytest.mark.parametrize(
    ("british", "spelled"),
    [
        ("anaemia", "anemia"),
        ("diarrhoea", "diarrhea"),
        ("brain tumours", "brain tumors"),
        ("dermatan sulphate", "dermatan sulfate"),
        ("aluminium poisoning", "aluminum poisoning"),
        ("aes", "aes"),  # too short to tell
        ("anemia", "anemia"),
    ],
)
def test_medicine_is_asked_for_in_american_spelling(british: str, spelled: str) -> None:
    assert american(british) == spelled


@pytest.mark.parametrize(
    ("salt", "of"),
    [
        ("lactate", "lactic acid"),
        ("gamma carboxyglutamate", "gamma carboxyglutamic acid"),
        ("urate", "uric acid"),
        ("tate", "tate"),
        ("lactic acid", "lactic acid"),
        ("", ""),
    ],
)
def test_a_salt_has_the_name_of_its_acid(salt: str, of: str) -> None:
    assert acid(salt) == of


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("catechins", ["catechin"]),
        ("gentamicin", ["gentamicins"]),
        ("virus", []),
        ("clomiphene citrate", ["clomiphene citrates", "clomiphene"]),
        ("dextran sodium sulfate", ["dextran sodium sulfates", "dextran sulfate", "dextran"]),
        ("rs baclofen hydrochloride",
         ["rs baclofen hydrochlorides", "baclofen hydrochloride", "rs baclofen", "baclofen"]),
        ("all trans retinoic acid", ["all trans retinoic acids", "retinoic acid"]),
        ("nadp+", ["nadp"]),
        ("co2+", []),
        ("7,8 dihydrofolate", ["7,8 dihydrofolates", "dihydrofolate"]),
        ("3,4 dctp", ["3,4 dctps"]),
        ("na phosphate", ["na phosphates"]),
        ("zinc", []),
        ("d", []),
        ("", []),
    ],
)  # fmt: skip
def test_the_nearest_of_what_a_name_may_be_called_comes_first(name: str, others: list[str]) -> None:
    assert list(variants(name)) == others


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("benzalkonium chloride", ["benzalkoniums", "benzalkonium compounds"]),
        ("renal damage", ["renal disease", "renal diseases", "renal disorder", "renal disorders"]),
        ("muscle disease", ["muscle diseases", "muscle disorder", "muscle disorders"]),
        ("anomalies of the heart", []),
        ("na acetate", []),
        ("damage", []),
        ("aspirin", []),
    ],
)
def test_a_class_is_called_as_vocabularies_call_it(name: str, others: list[str]) -> None:
    assert list(classes(name)) == others


def test_a_tumor_is_asked_for_by_every_word_for_it() -> None:
    assert {"liver neoplasms", "liver cancer"} <= set(classes("liver tumors"))
    assert "liver tumors" not in classes("liver tumors")


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("PGE(2)", ["PGE2"]),
        ("NAD(P)", ["NADP"]),
        ("NAD(H)", ["NADH", "NAD"]),
        ("cobalt(II)", ["cobaltII", "cobalt"]),
        ("20(S)-camptothecin", ["20S-camptothecin"]),
        ("HIT (II)", []),
        ("poly(ADP-ribose)", []),
        ("aspirin", []),
    ],
)
def test_a_bracket_inside_a_word_is_read_without(text: str, others: list[str]) -> None:
    assert list(unbracketed(text)) == others


def test_the_kind_that_vocabularies_add_is_said_of_the_singular() -> None:
    assert "sulfonylurea compounds" in with_kind("sulfonylureas")
    assert "nephrotic syndrome" in with_kind("nephrotic")
    assert with_kind("mi") == with_kind("") == ()

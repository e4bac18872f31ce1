"""normalise() folds what authors vary and keeps what tells concepts apart."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from belink.text.normalise import aligned_words, normalise

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
def test_a_name_is_stored_and_looked_up_under_one_key(written: str, key: str) -> None:
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
def test_distinctions_between_concepts_are_kept(one: str, other: str) -> None:
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


@given(st.text(st.sampled_from("abzAZ09 "), max_size=40))
def test_plain_words_leave_early_and_are_read_as_all_others(text: str) -> None:
    # A character of no width sends the text the long way, and is dropped there.
    assert normalise(text) == normalise(f"{text}\u200b")

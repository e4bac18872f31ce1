"""Short forms are spelled out as the document itself does, and only then."""

import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belink.corpora.files import read_corpus
from belink.records import Document, Mention
from belink.text.abbreviations import Definitions, expand, expand_text, find_definitions

DATA = os.environ.get("BELINK_DATA")


def first_long_forms(text: str) -> dict[str, str]:
    return {short: definitions[0].long_form for short, definitions in find_definitions(text).by_short.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We saw heparin-induced thrombocytopenia (HIT) twice.", {"HIT": "heparin-induced thrombocytopenia"}),
        ("HIT (heparin-induced thrombocytopenia) was seen.", {"HIT": "heparin-induced thrombocytopenia"}),
        ("the adenomatous polyposis coli [APC] gene", {"APC": "adenomatous polyposis coli"}),
        ("Hereditary hemochromatosis (HH) is common.", {"HH": "Hereditary hemochromatosis"}),
        ("Myotonic dystrophy (DM) is inherited.", {"DM": "Myotonic dystrophy"}),
        ("absence of congenital adrenal hypoplasia (AHC)", {"AHC": "congenital adrenal hypoplasia"}),
        ("congenital hypertrophy of the retinal pigment epithelium (CHRPE)",
         {"CHRPE": "congenital hypertrophy of the retinal pigment epithelium"}),
        ("obsessive-compulsive disorder (OCD; DSM-IV)", {"OCD": "obsessive-compulsive disorder"}),
        ("patients treated using propylthiouracil (PTU)", {"PTU": "propylthiouracil"}),
        ("glutamine and γ-aminobutyric acid (GABA)", {"GABA": "γ-aminobutyric acid"}),
        ("γ-polyglutamic acid (γ-PGA)", {"γ-PGA": "γ-polyglutamic acid"}),
        ("glucose-6-phosphate dehydrogenase (G6PD)", {"G6PD": "glucose-6-phosphate dehydrogenase"}),
        ("ataxia-telangiectasia (A-T)", {"A-T": "ataxia-telangiectasia"}),
        ("acute demyelinations (ADs)", {"ADs": "acute demyelinations", "AD": "acute demyelination"}),
        ("factor deficiencies (FDs)", {"FDs": "factor deficiencies", "FD": "factor deficiency"}),
        ("First title. Alzheimer disease (AD)", {"AD": "Alzheimer disease"}),
        ("Alzheimer disease. It is common (AD)", {}),
        ("in 12 patients (P < 0.05)", {}),
        ("as reported (Smith et al.)", {}),
        ("type II (C2) deficiency", {}),
        ("the dose (DOSE)", {}),
        ("(AD)", {}),
        ("2,5-dimethyl-celecoxib (DMC)", {"DMC": "2,5-dimethyl-celecoxib"}),
        ("3'-azido-3'dideoxythymidine (AZT)", {"AZT": "3'-azido-3'dideoxythymidine"}),
        ("(RS)-1-aminoindan-1,5-dicarboxylic acid (AIDA)", {"AIDA": "(RS)-1-aminoindan-1,5-dicarboxylic acid"}),
        ("(-)-epigallocatechin-3-gallate (EGCG)", {"EGCG": "(-)-epigallocatechin-3-gallate"}),
        ("delta 9-tetrahydrocannabinol (THC)", {"THC": "delta 9-tetrahydrocannabinol"}),
        ("an inhibitor- D,L-propargylglycine (PAG)", {"PAG": "D,L-propargylglycine"}),
        ("OCT (22-oxacalcitriol)", {"OCT": "22-oxacalcitriol"}),
        ("MDMA (3,4-methylenedioxymethamphetamine, ecstasy)", {"MDMA": "3,4-methylenedioxymethamphetamine"}),
        ("a drug (methyl-β-cyclodextrin (CDX))", {"CDX": "methyl-β-cyclodextrin"}),
        ("1-(2-chloroethyl)-3-cyclohexyl-1-nitrosourea (CCNU)",
         {"CCNU": "1-(2-chloroethyl)-3-cyclohexyl-1-nitrosourea"}),
        ("α-, β- or γ-cyclodextrins (CDs)", {"CDs": "cyclodextrins", "CD": "cyclodextrin"}),
        ("[3H]-2-deoxyglucose (2DG)", {"2DG": "2-deoxyglucose"}),
        ("dose-dependent lesions (DL)", {"DL": "dose-dependent lesions"}),
        ("severe-glucose deficiency (GD)", {"GD": "glucose deficiency"}),
        ("polyinosine-polycytidylic acid (polyI:C)", {"polyI:C": "polyinosine-polycytidylic acid"}),
        ("cytochrome-c oxidase (COX)", {"COX": "cytochrome-c oxidase"}),
        ("dimethyl-celecoxib (DMC). 2,5-Dimethyl-celecoxib (DMC) is", {"DMC": "2,5-Dimethyl-celecoxib"}),
        ("5,5-dimethylphenyl-2(5H)-furanone", {}),
        ("5,7-dihydroxytryptamine (5,7-DHT)", {"5,7-DHT": "5,7-dihydroxytryptamine"}),
        ("reaction rates (R,R)", {}),
        ("benzodiazepines or related drugs (BZDs/RDs)",
         {"BZDs/RDs": "benzodiazepines or related drugs", "BZDs": "benzodiazepines", "BZD": "benzodiazepine",
          "RDs": "related drugs", "RD": "related drug"}),
        ("cyproterone acetate combined with ethinyl estradiol (CPA/EE)",
         {"CPA/EE": "cyproterone acetate combined with ethinyl estradiol", "CPA": "cyproterone acetate",
          "EE": "ethinyl estradiol"}),
        ("given 10 mg of it (mg/mL)", {}),
        ("glucocorticoid-induced hypertension (GC-HT)",
         {"GC-HT": "glucocorticoid-induced hypertension", "HT": "hypertension"}),
        ("nitro-L-arginine methyl ester (L-NAME)", {}),
        ("it (5-hydroxytryptamine, 5-HT) is", {"5-HT": "5-hydroxytryptamine"}),
        ("bought from Life (Carlsbad, CA)", {}),
        ("polyposis of a family (POF), and attenuated POF (APOF)",
         {"POF": "polyposis of a family", "APOF": "attenuated polyposis of a family"}),
        ("İİ ataxia telangiectasia (AT)", {"AT": "ataxia telangiectasia"}),
        ("", {}),
    ],
)  # fmt: skip
def test_definitions_are_found_as_authors_write_them(text: str, expected: dict[str, str]) -> None:
    assert first_long_forms(text) == expected


def test_the_nearest_definition_before_a_short_form_counts() -> None:
    text = "AF. In atrial fibrillation (AF) AF is fast, in amniotic fluid (AF) AF is none. AFs (amber flasks), AF?"
    definitions = find_definitions(text)
    assert [
        (text[start:end], definitions.long_form(short, start)) for start, end, short in definitions.occurrences(text)
    ] == [
        ("AF", "atrial fibrillation"),  # before the first definition
        ("AF", "atrial fibrillation"),  # inside its bracket
        ("AF", "atrial fibrillation"),
        ("AF", "amniotic fluid"),
        ("AF", "amniotic fluid"),
        ("AFs", "amber flasks"),
        ("AF", "amber flask"),  # a plural defines its singular too
    ]


def test_a_mention_has_the_long_form_that_counts_where_it_stands() -> None:
    text = "Patients with multiple sclerosis (MS) or mitral stenosis (MS) were seen. MS was severe."
    mentions = tuple(Mention(text="MS", start=m.start(), end=m.end()) for m in re.finditer("MS", text))
    expanded = expand(Document(id="1", text=text, mentions=mentions))
    assert [m.long_form for m in expanded.mentions] == ["multiple sclerosis", "mitral stenosis", "mitral stenosis"]


def test_the_time_follows_the_length_of_the_text() -> None:
    def seconds(n: int) -> float:
        text = " ".join(f"x{i}alpha y{i}beta (XY{i})" for i in range(n)) + "(1-" * n + " XY1" * n
        mention = Mention(text=text[-4 * n :], start=len(text) - 4 * n, end=len(text))
        started = time.process_time()
        expand(Document(id="1", text=text, mentions=(mention,)))
        return time.process_time() - started

    seconds(100)
    assert seconds(3200) < 40 * seconds(400) + 0.2  # eight times the text; 64 times as long would be quadratic


KNOWN = Definitions.of({
    "DM": "myotonic dystrophy",
    "HIT": "heparin-induced thrombocytopenia",
    "APC": "adenomatous polyposis coli",
    "TC": "γ-tocopherol",
    "NAAG": "N-acetylaspartylglutamate",
})  # fmt: skip


@pytest.mark.parametrize(
    ("mention", "expected"),
    [
        ("DM", "myotonic dystrophy"),
        ("congenital DM", "congenital myotonic dystrophy"),
        ("HIT type II", "heparin-induced thrombocytopenia type II"),
        ("DMs", "myotonic dystrophy"),
        ("DM's", "myotonic dystrophy"),
        ("APC-associated", "adenomatous polyposis coli-associated"),
        ("Adenomatous polyposis coli (APC) tumor", "adenomatous polyposis coli tumor"),
        ("adenomatous polyposis coli (APC; OMIM 175100)", "adenomatous polyposis coli"),
        ("α-TC", "α-tocopherol"),
        ("TC", "γ-tocopherol"),
        ("β-NAAG", "β-N-acetylaspartylglutamate"),
        ("DMD", ""),
        ("ADMIT", ""),
        ("dm", ""),
        ("myotonic dystrophy", ""),
        ("", ""),
    ],
)
def test_a_short_form_is_spelled_out_inside_longer_mentions_too(mention: str, expected: str) -> None:
    assert expand_text(mention, KNOWN) == expected


def test_the_longest_short_form_wins() -> None:
    assert (
        expand_text("X-ALD", Definitions.of({"ALD": "adrenoleukodystrophy", "X-ALD": "X-linked ALD"})) == "X-linked ALD"
    )


def test_expanding_a_document_changes_only_long_forms() -> None:
    text = "Myotonic dystrophy (DM). Later, congenital DM and fever."
    mentions = tuple(
        Mention(text=word, start=text.index(word), end=text.index(word) + len(word), gold=("MESH:D009223",))
        for word in ("Myotonic dystrophy", "congenital DM", "fever")
    )
    document = Document(id="1", text=text, mentions=mentions)
    expanded = expand(document)
    assert [m.long_form for m in expanded.mentions] == ["", "congenital Myotonic dystrophy", ""]
    assert [(m.text, m.start, m.gold) for m in expanded.mentions] == [(m.text, m.start, m.gold) for m in mentions]
    assert expand(Document(id="2", text="No brackets.", mentions=())).mentions == ()


@given(st.text(st.sampled_from("aAbBcC ()[]-.,;\n\\İ"), max_size=80))
def test_long_forms_come_from_the_text_whatever_it_is(text: str) -> None:
    for short, long in first_long_forms(text).items():
        assert short in text
        assert all(word in text for word in re.findall(r"\w+", long))
        assert len(long) > len(short)
        expand_text(f"{short} x {text}", Definitions.of({short: long}))


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="BELINK_DATA is not set")
def test_a_third_of_ncbi_disease_mentions_are_spelled_out() -> None:
    path = Path(str(DATA)) / "corpora/ncbi-disease/traindev.bioc.xml.gz"
    mentions = [m for document in read_corpus(path) for m in expand(document).mentions]
    spelled = sum(bool(m.long_form) for m in mentions)
    assert len(mentions) == 5714
    assert 1700 <= spelled <= 1800

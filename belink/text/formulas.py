"""Chemical formulas → their names: "LiCl" is lithium chloride, "FeCl3" ferric chloride.

Authors write formulas where ontologies list names. Salts are named after cation and anion (IUPAC, Nomenclature of
Inorganic Chemistry, 2005, and the older -ous and -ic that most synonyms still use), ions after their element. A few
molecules and the abbreviations of organic chemists are tables. Case counts: "CO" is not cobalt.
"""

import re
import unicodedata

from belink.text.variants import OXIDATION_NUMBER

_ELEMENTS = dict(
    pair.split(":")
    for pair in (
        "Ag:silver Al:aluminum Ar:argon As:arsenic Au:gold B:boron Ba:barium Be:beryllium Bi:bismuth "
        "Br:bromine C:carbon Ca:calcium Cd:cadmium Ce:cerium Cl:chlorine Co:cobalt Cr:chromium Cs:cesium "
        "Cu:copper Eu:europium F:fluorine Fe:iron Ga:gallium Gd:gadolinium Ge:germanium H:hydrogen He:helium "
        "Hg:mercury I:iodine In:indium Ir:iridium K:potassium Kr:krypton La:lanthanum Li:lithium Lu:lutetium "
        "Mg:magnesium Mn:manganese Mo:molybdenum N:nitrogen Na:sodium Nb:niobium Nd:neodymium Ne:neon "
        "Ni:nickel O:oxygen Os:osmium P:phosphorus Pb:lead Pd:palladium Pt:platinum Ra:radium Rb:rubidium "
        "Re:rhenium Rh:rhodium Ru:ruthenium S:sulfur Sb:antimony Sc:scandium Se:selenium Si:silicon "
        "Sm:samarium Sn:tin Sr:strontium Ta:tantalum Tb:terbium Te:tellurium Th:thorium Ti:titanium "
        "Tl:thallium U:uranium V:vanadium W:tungsten Xe:xenon Y:yttrium Yb:ytterbium Zn:zinc Zr:zirconium"
    ).split()
)
_METALS = frozenset(
    "Ag Al Au Ba Be Bi Ca Cd Ce Co Cr Cs Cu Eu Fe Ga Gd Hg In K La Li Lu Mg Mn Mo Na Nd Ni Pb Pd Pt Rb Rh Ru Sb Sc Sm "
    "Sn Sr Tb Ti Tl Y Yb Zn Zr".split()
)
_OTHER_CATIONS = {"NH4": "ammonium", "Et4N": "tetraethylammonium", "Bu4N": "tetrabutylammonium"}
_BY_CHARGE = {
    "Fe": {2: "ferrous", 3: "ferric"},
    "Cu": {1: "cuprous", 2: "cupric"},
    "Sn": {2: "stannous", 4: "stannic"},
    "Co": {2: "cobaltous", 3: "cobaltic"},
    "Hg": {1: "mercurous", 2: "mercuric"},
    "Cr": {2: "chromous", 3: "chromic"},
    "Mn": {2: "manganous", 3: "manganic"},
}
_ANIONS = {
    "H": ("hydride", 1), "Ac": ("acetate", 1),
    "F": ("fluoride", 1), "Cl": ("chloride", 1), "Br": ("bromide", 1), "I": ("iodide", 1), "OH": ("hydroxide", 1),
    "CN": ("cyanide", 1), "SCN": ("thiocyanate", 1), "N3": ("azide", 1), "NO2": ("nitrite", 1), "NO3": ("nitrate", 1),
    "ClO4": ("perchlorate", 1), "HCO3": ("bicarbonate", 1), "OAc": ("acetate", 1), "BF4": ("tetrafluoroborate", 1),
    "BH4": ("borohydride", 1), "OCl": ("hypochlorite", 1), "MnO4": ("permanganate", 1), "HSO3": ("bisulfite", 1),
    "O": ("oxide", 2), "S": ("sulfide", 2), "SO3": ("sulfite", 2), "SO4": ("sulfate", 2), "CO3": ("carbonate", 2),
    "S2O3": ("thiosulfate", 2), "CrO4": ("chromate", 2), "Cr2O7": ("dichromate", 2), "HPO4": ("phosphate", 2),
    "H2PO4": ("phosphate", 1), "PO4": ("phosphate", 3), "VO4": ("vanadate", 3), "VO3": ("vanadate", 1),
}  # fmt: skip
_MOLECULES = {
    "H2O": "water", "H2O2": "hydrogen peroxide", "NH3": "ammonia", "CH4": "methane", "CO": "carbon monoxide",
    "CO2": "carbon dioxide", "CS2": "carbon disulfide", "NO": "nitric oxide", "N2O": "nitrous oxide",
    "NO2": "nitrogen dioxide", "SO2": "sulfur dioxide", "H2S": "hydrogen sulfide", "HCl": "hydrochloric acid",
    "HBr": "hydrobromic acid", "HF": "hydrofluoric acid", "HNO3": "nitric acid", "H2SO4": "sulfuric acid",
    "H3PO4": "phosphoric acid", "HClO4": "perchloric acid", "HOCl": "hypochlorous acid", "H2": "hydrogen",
    "N2": "nitrogen", "O2": "oxygen", "O3": "ozone", "Cl2": "chlorine", "Br2": "bromine", "I2": "iodine",
    "SiO2": "silicon dioxide", "TiO2": "titanium dioxide", "ONOO": "peroxynitrite", "ONOO-": "peroxynitrite",
    "O2-": "superoxide", "OH-": "hydroxide ion", "CCl4": "carbon tetrachloride", "CHCl3": "chloroform",
    "CH2Cl2": "methylene chloride", "CH3OH": "methanol", "MeOH": "methanol", "C2H5OH": "ethanol", "EtOH": "ethanol",
    "iPrOH": "isopropyl alcohol", "CH3CN": "acetonitrile", "MeCN": "acetonitrile", "C6H6": "benzene",
    "C5H5N": "pyridine", "CH3COOH": "acetic acid", "AcOH": "acetic acid", "HOAc": "acetic acid", "HCOOH": "formic acid",
    "EtOAc": "ethyl acetate", "Et2O": "ethyl ether", "Et3N": "triethylamine", "NEt3": "triethylamine",
    "TiCl4": "titanium tetrachloride", "POCl3": "phosphoryl chloride", "Me4Si": "tetramethylsilane",
    "H218O": "water",
}  # fmt: skip
# Symbols of monosaccharides (IUPAC, Nomenclature of Carbohydrates, 1996), and solvents and reagents as organic chemists
# abbreviate them without saying so (The Journal of Organic Chemistry, Standard Abbreviations and Acronyms).
_SYMBOLS = {
    "Glc": "glucose", "Gal": "galactose", "Man": "mannose", "Fuc": "fucose", "Xyl": "xylose", "Rha": "rhamnose",
    "Ara": "arabinose", "GlcA": "glucuronic acid", "GlcNAc": "N-acetylglucosamine", "GalNAc": "N-acetylgalactosamine",
    "NeuAc": "N-acetylneuraminic acid", "Neu5Ac": "N-acetylneuraminic acid", "LacNAc": "N-acetyllactosamine",
    "THF": "tetrahydrofuran", "DMF": "dimethylformamide", "DMSO": "dimethyl sulfoxide", "DCM": "methylene chloride",
    "TFA": "trifluoroacetic acid", "DMAP": "4-dimethylaminopyridine", "DIPEA": "N,N-diisopropylethylamine",
    "Ac2O": "acetic anhydride", "OAc": "acetate", "MTBE": "methyl tert-butyl ether",
}  # fmt: skip
# The longest first: an alternation takes the first that fits, and "C" would hide "Cl".
_CATION = "|".join(sorted([*_METALS, *_OTHER_CATIONS], key=len, reverse=True))
_ANION = "|".join(sorted(_ANIONS, key=len, reverse=True))
_SALT = re.compile(
    rf"(?:\((?P<held>{_CATION})\)|(?P<cation>{_CATION}))(?P<cations>\d?)"
    rf"(?:\((?P<group>{_ANION})\)|(?P<anion>{_ANION}))(?P<anions>\d?)"
)
# Cyrillic letters that look like Latin ones stand in formulas as they do in words, and nobody sees it.
_LIKE_LATIN = str.maketrans("АВСЕНКМОРТХаеорсх", "ABCEHKMOPTXaeopcx")
_MARKS = {0x2212: "-", 0x2013: "-", **dict.fromkeys(map(ord, " .·•∙")), **_LIKE_LATIN}
_HYDRATE = re.compile(r"(?<=\w) ?[.·•∙*] ?\d*(?:\.5)? ?H2O$")
_ION = re.compile(rf"(?P<element>[A-Z][a-z]?)(?:\d?\+{{1,3}}|\(\d?\+\)|\d\+|{OXIDATION_NUMBER})?")
_HALF = re.compile(
    rf"(?P<metal>{'|'.join(sorted(_METALS, key=len, reverse=True))})[- ](?P<anion>[a-z]+(?:ate|ite|ide))"
)
_CHARGED = re.compile(rf"(?P<anion>{_ANION})\d?-")


def formula_names(text: str) -> tuple[str, ...]:
    """Return the names of the formula ``text``, likeliest first; ``()`` where it is no formula."""
    # NFKC turns subscripts into digits. A hydrate is looked up as what it is a hydrate of.
    formula = _HYDRATE.sub("", unicodedata.normalize("NFKC", text)).translate(_MARKS).strip("[]")
    if name := _MOLECULES.get(formula) or _SYMBOLS.get(formula):
        return (name,)
    if salt := _SALT.fullmatch(formula):
        return _salt_names(salt)
    if anion := _CHARGED.fullmatch(formula):
        return (_ANIONS[anion["anion"]][0],)
    if half := _HALF.fullmatch(text):
        return (f"{_ELEMENTS[half['metal']]} {half['anion']}",)
    ion = _ION.fullmatch(formula)
    # A single letter has too many other meanings to be read as an element.
    return (_ELEMENTS[ion["element"]],) if ion and ion["element"] in _ELEMENTS and len(formula) > 1 else ()


def _salt_names(salt: re.Match[str]) -> tuple[str, ...]:
    anion, charge = _ANIONS[salt["group"] or salt["anion"]]
    cation = salt["held"] or salt["cation"]
    # A salt is neutral: the charge of its anions is that of its cations.
    total = charge * int(salt["anions"] or 1)
    older = _BY_CHARGE.get(cation, {}).get(total // int(salt["cations"] or 1))
    plain = _ELEMENTS.get(cation) or _OTHER_CATIONS[cation]
    names = tuple(f"{name} {anion}" for name in (older, plain) if name)
    # Vocabularies list these cations rather than each of their salts.
    return (*names, plain) if cation in ("Et4N", "Bu4N") else names

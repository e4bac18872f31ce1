"""BioC out, in XML and JSON: a document that came as BioC is returned as it came, with concept ids added.

Passages, sentences, infons, relations and ids stay. A linked annotation gets the id as ``concept_id``; the one that it
had becomes ``gold_id``. Mentions that were found are added to the passage or sentence around them. Other documents
become one passage with its sentences.
"""

import bisect
import copy
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from lxml import etree

from belink.corpora.assemble import Misfit, fit
from belink.corpora.bioc import (
    COLLECTION,
    COLLECTION_KEYS,
    ID_KEYS,
    Node,
    annotation_nodes,
    mapping,
    mappings,
    read_node,
)
from belink.corpora.offset_units import detect_unit, in_code_points, length_in
from belink.corpora.raw import Annotation, CorpusReport, lay_out
from belink.records import Document, Link, Mention

_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 has no way to write
_PARTS = ("passages", "sentences", "annotations", "relations")

Links = Mapping[Mention, Link]
Place = tuple[int, int, tuple[tuple[int, int], ...]]  # start, end and pieces of a mention


def collection_of(document: Document | None) -> dict[str, Any]:
    """Return source, date, key and infons of the collection that ``document`` came from, or of one of belink's own."""
    given = (document.source if document else None) or {}
    return {"source": "belink", "date": "", "key": "", "infons": {}, **given.get(COLLECTION, {})}


def xml_head(collection: Mapping[str, Any], infons: Mapping[str, str]) -> bytes:
    """Return the beginning of a BioC XML collection, up to its first document. ``infons`` are added to its own."""
    head = etree.Element("collection")
    for tag in COLLECTION_KEYS:
        _child(head, tag, str(collection[tag]))
    _infons_to_xml(head, {"infons": {**collection["infons"], **infons}})
    # ``tostring`` writes whole elements only. The end is cut off, so that documents can follow one at a time.
    opened = etree.tostring(head, encoding="unicode").removesuffix("</collection>")
    return f"<?xml version='1.0' encoding='UTF-8'?>\n{opened}\n".encode()


def json_head(collection: Mapping[str, Any], infons: Mapping[str, str]) -> bytes:
    """Return the beginning of a BioC JSON collection, up to its first document. ``infons`` are added to its own."""
    head = json.dumps({**collection, "infons": {**collection["infons"], **infons}}, ensure_ascii=False)
    # The closing brace is left off; the file ends with it.
    return f'{head[:-1]}, "documents": [\n'.encode()


def xml_document(document: Document, links: Links) -> bytes:
    """Return ``document`` as one BioC ``<document>``."""
    return etree.tostring(_to_xml(document_node(document, links)), encoding="UTF-8", pretty_print=True)


def json_document(document: Document, links: Links) -> bytes:
    """Return ``document`` as one element of the ``documents`` of a BioC JSON collection."""
    return json.dumps(document_node(document, links), ensure_ascii=False).encode()


def document_node(document: Document, links: Links) -> Node:
    """Return ``document`` in BioC's JSON form: as it came where that was BioC, otherwise as one passage."""
    return _fresh_node(document, links) if document.source is None else _as_it_came(document, links)


def _fresh_node(document: Document, links: Links) -> Node:
    """Return a new node: one passage, its sentences, the mentions in the sentence that they begin in."""
    inside: list[list[Node]] = [[] for _ in document.sentences]
    outside: list[Node] = []
    for number, mention in enumerate(document.mentions):
        # The second number of the pair makes a sentence that begins with the mention count as before it.
        at = bisect.bisect_right(document.sentences, (mention.start, len(document.text))) - 1
        held = at >= 0 and mention.start < document.sentences[at][1]
        (inside[at] if held else outside).append(_annotation_node(str(number), mention, links))
    sentences = [
        {"offset": start, "infons": {}, "text": document.text[start:end], "annotations": annotations}
        for (start, end), annotations in zip(document.sentences, inside, strict=True)
    ]
    passage = {"offset": 0, "infons": {}, "text": document.text, "sentences": sentences, "annotations": outside}
    return {"id": document.id, "infons": {}, "passages": [passage], "annotations": []}


def _as_it_came(document: Document, links: Links) -> Node:
    # The caller's document must not change, so the copy is deep.
    node: Node = _without_lines(copy.deepcopy(dict(document.source or {})))
    node.pop(COLLECTION, None)
    # The same steps as in reading, so that each annotation arrives at the offsets that its mention has.
    raw = read_node(node)
    unit = detect_unit(raw)
    in_points = in_code_points(raw, CorpusReport())
    text, shifts = lay_out(in_points.passages)
    links_at: dict[tuple[int, int, tuple[tuple[int, int], ...]], list[Link | None]] = {}
    for m in document.mentions:
        links_at.setdefault((m.start, m.end, m.spans), []).append(links.get(m))
    annotated = set()
    passages = mappings(node, "passages")
    for part, annotations, shift in (
        *((p, q.annotations, shift) for p, q, shift in zip(passages, in_points.passages, shifts, strict=True)),
        (node, in_points.annotations, 0),
    ):
        for annotation_node, annotation in zip(annotation_nodes(part), annotations, strict=True):
            if (place := _place(text, annotation, shift)) in links_at:
                annotated.add(place)
                # Several annotations of one span take its links in order; the last link serves what is left.
                _add_link(annotation_node, links_at[place].pop(0) if len(links_at[place]) > 1 else links_at[place][0])
    ids = {str(each.get("id")) for part in (*passages, node) for each in annotation_nodes(part)}
    # Relations refer to annotations by id, so a new id must not be one that is there.
    fresh_ids = (identifier for number in itertools.count(1) if (identifier := f"B{number}") not in ids)
    starts = [passage.offset + shift for passage, shift in zip(in_points.passages, shifts, strict=True)]
    # Mentions that no annotation of the file accounts for were found by the linker, and are added at the end.
    for mention in document.mentions:
        if (mention.start, mention.end, mention.spans) not in annotated and passages:
            number = max(0, bisect.bisect_right(starts, mention.start) - 1)
            passage, given = in_points.passages[number], raw.passages[number]

            def location(span: tuple[int, int], number: int = number, offset: int = given.offset) -> dict[str, int]:
                local = span[0] - starts[number]
                # A new annotation counts in the unit of the file's own offsets.
                before = length_in(unit, in_points.passages[number].text[:local])
                return {"offset": offset + before, "length": length_in(unit, text[span[0] : span[1]])}

            added = _annotation_node(next(fresh_ids), mention, links)
            added["locations"] = [location(span) for span in _pieces(mention)]
            local = mention.start - starts[number] + passage.offset
            _holder(passages[number], [start for start, _ in passage.sentences], local).append(added)
    return node


def _place(text: str, annotation: Annotation, shift: int) -> Place | None:
    """Return where assembling the document put ``annotation``; ``None`` where it was set aside."""
    try:
        spans = fit(text, tuple((start + shift, end + shift) for start, end in annotation.spans), annotation.text)
    except Misfit:
        return None
    return spans[0][0], spans[-1][1], spans if len(spans) > 1 else ()


def _holder(passage: Node, sentence_starts: list[int], start: int) -> list[Node]:
    """Return the list of annotations of the sentence around ``start``, or of a passage without sentences."""
    number = bisect.bisect_right(sentence_starts, start) - 1
    sentences = mappings(passage, "sentences")
    part = sentences[number] if 0 <= number < len(sentences) else passage
    if not isinstance(part.get("annotations"), list):
        part["annotations"] = []
    annotations: list[Node] = part["annotations"]
    return annotations


def _add_link(node: Node, link: Link | None) -> None:
    if link is None:
        return
    infons = node["infons"] = mapping(node.get("infons"))
    # The reader takes the first key that is there, so that one is kept as the gold id.
    if (key := next((key for key in ID_KEYS if key in infons), "")) and infons[key]:
        infons["gold_id"] = infons[key]
    infons.update(_link_infons(link))


def _link_infons(link: Link) -> dict[str, str]:
    infons = {"concept_id": link.id or "-", "probability": f"{link.probability:.4f}"}
    if link.candidate:
        infons |= {"label": link.candidate.label, "ontology": link.candidate.ontology}
        infons |= {"release": link.candidate.release, "linker": link.linker}
    return {key: value for key, value in infons.items() if value}


def _annotation_node(identifier: str, mention: Mention, links: Links) -> Node:
    gold = "|".join(mention.gold) if mention.gold else "-" if mention.is_nil else ""
    infons = {"type": mention.type, "concept_id": gold}
    if (link := links.get(mention)) is not None:
        infons |= {"type": mention.type or link.type, "gold_id": gold, **_link_infons(link)}
    return {
        "id": identifier,
        "infons": {key: value for key, value in infons.items() if value},
        "text": mention.text,
        "locations": [{"offset": start, "length": end - start} for start, end in _pieces(mention)],
    }


def _pieces(mention: Mention) -> Iterable[tuple[int, int]]:
    return mention.spans or ((mention.start, mention.end),)


def _without_lines(node: Node) -> Node:
    """Return ``node`` without the line numbers that reading XML adds, its offsets as numbers."""
    node.pop("line", None)
    if isinstance(node.get("offset"), str) and node["offset"].strip().isdecimal():
        node["offset"] = int(node["offset"])
    for location in mappings(node, "locations"):
        location.update({key: int(value) for key, value in location.items() if str(value).strip().isdecimal()})
    for part in _PARTS:
        for child in mappings(node, part):
            _without_lines(child)
    return node


def _to_xml(node: Node) -> etree._Element:
    document = etree.Element("document")
    _child(document, "id", str(node.get("id", "")))
    _infons_to_xml(document, node)
    for passage in mappings(node, "passages"):
        element = _part_to_xml(document, "passage", passage)
        for sentence in mappings(passage, "sentences"):
            _annotations_to_xml(_part_to_xml(element, "sentence", sentence), sentence)
        _annotations_to_xml(element, passage)
    _annotations_to_xml(document, node)
    return document


def _part_to_xml(parent: etree._Element, tag: str, node: Node) -> etree._Element:
    element = etree.SubElement(parent, tag)
    _infons_to_xml(element, node)
    _child(element, "offset", str(node.get("offset", 0)))
    if "text" in node:
        _child(element, "text", str(node["text"]))
    return element


def _infons_to_xml(element: etree._Element, node: Node) -> None:
    for key, value in mapping(node.get("infons")).items():
        _child(element, "infon", "" if value is None else str(value)).set("key", _UNWRITABLE.sub("\ufffd", str(key)))


def _annotations_to_xml(parent: etree._Element, part: Node) -> None:
    for node in mappings(part, "annotations"):
        element = _with_id(parent, "annotation", node)
        for location in mappings(node, "locations"):
            etree.SubElement(element, "location", _attributes(location))
        _child(element, "text", str(node.get("text", "")))
    for node in mappings(part, "relations"):
        element = _with_id(parent, "relation", node)
        for inner in mappings(node, "nodes"):
            etree.SubElement(element, "node", _attributes(inner))


def _with_id(parent: etree._Element, tag: str, node: Node) -> etree._Element:
    element = etree.SubElement(parent, tag, _attributes({"id": node.get("id", "")}))
    _infons_to_xml(element, node)
    return element


def _attributes(node: Node) -> dict[str, str]:
    return {key: _UNWRITABLE.sub("\ufffd", str(value)) for key, value in node.items()}


def _child(parent: etree._Element, tag: str, text: str) -> etree._Element:
    element = etree.SubElement(parent, tag)
    element.text = _UNWRITABLE.sub("\ufffd", text)
    return element

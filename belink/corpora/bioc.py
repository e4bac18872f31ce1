"""BioC, in XML and in JSON: the same elements in two notations, so both are brought to the JSON form and read once.

Specification: Comeau et al. 2013, doi:10.1093/database/bat064, and the JSON form of PubTator and PMC. Offsets are taken
as code points; annotations may stand in a sentence, a passage or the document, and may have several locations.
"""

import bisect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from lxml import etree

from belink.corpora.raw import Annotation, Passage, RawDocument, clean, gold_ids, whole_number
from belink.records import Document, Link, Mention

_ID_KEYS = ("concept_id", "identifier", "concept id", "normalized_id", "CUI", "MESH", "OMIM")
_PREFIX_OF_KEY = {"CUI": "UMLS", "MESH": "MESH", "OMIM": "OMIM"}  # keys that say the vocabulary of a bare id
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 has no way to write
_DEEPEST = 40  # BioC JSON has about ten levels; without a bound a short file could ask for any amount of memory

Node = dict[str, Any]


class Unreadable(ValueError):
    """The file is not what its first bytes promised."""


def read_xml(stream: BinaryIO, default_prefix: str) -> Iterator[RawDocument]:
    """The documents of a BioC collection, one in memory at a time. Entities and DTDs are never followed.

    :raises Unreadable: the file defines entities, or holds no BioC collection.
    """
    # Entities are left alone by the parser, so a file that defines some would lose text: refused below.
    events = etree.iterparse(
        stream, events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    root: etree._Element | None = None
    for event, element in events:
        if root is None:
            root = element
            dtd = root.getroottree().docinfo.internalDTD
            if dtd is not None and any(True for _ in dtd.iterentities()):  # type: ignore[union-attr]
                raise Unreadable("it defines XML entities, which BioC does not use")
            if root.tag != "collection":
                raise Unreadable(f"expected a BioC <collection>, found <{str(root.tag)[:40]}>")
        if event == "end" and element.tag == "document":
            yield _document(_from_xml(element), default_prefix)
            element.clear()
            parent = element.getparent()
            while parent is not None and parent[0] is not element:
                del parent[0]


def read_json(stream: BinaryIO, default_prefix: str) -> Iterator[RawDocument]:
    """The documents of a BioC JSON file: a collection, a list of collections or documents, or one a line.

    :raises Unreadable: nothing in the file has passages.
    """
    import ijson

    try:
        depth = next((depth for depth, event, value in _events(stream) if (event, value) == ("map_key", "passages")), 0)
        if not depth:
            raise Unreadable('expected BioC JSON, found no document with "passages"')
        stream.seek(0)
        builder: ijson.ObjectBuilder | None = None
        for at, event, value in _events(stream):
            if builder is None and (event, at) == ("start_map", depth):
                builder = ijson.ObjectBuilder()
            if builder is not None:
                builder.event(event, value)
                if (event, at) == ("end_map", depth - 1):
                    if "passages" in builder.value:
                        yield _document(builder.value, default_prefix)
                    builder = None
    except ijson.JSONError as error:
        raise Unreadable(f"not JSON: {error}") from error


def _events(stream: BinaryIO) -> Iterator[tuple[int, str, Any]]:
    """JSON events, each with the number of containers open after it."""
    import ijson

    depth = 0
    for event, value in ijson.basic_parse(stream, multiple_values=True, use_float=True):
        depth += event.startswith("start_") - event.startswith("end_")
        if depth > _DEEPEST:
            raise Unreadable(f"it is nested deeper than {_DEEPEST} levels")
        yield depth, event, value


def xml_head(infons: Mapping[str, str]) -> bytes:
    """Return the beginning of a BioC XML collection, up to its first document."""
    head = etree.Element("collection")
    for tag, text in (("source", "belink"), ("date", ""), ("key", "")):
        _child(head, tag, text)
    for key, value in infons.items():
        _child(head, "infon", value).set("key", key)
    opened = etree.tostring(head, encoding="unicode").removesuffix("</collection>")
    return f"<?xml version='1.0' encoding='UTF-8'?>\n{opened}\n".encode()


def json_head(infons: Mapping[str, str]) -> bytes:
    """Return the beginning of a BioC JSON collection, up to its first document."""
    head = json.dumps({"source": "belink", "date": "", "key": "", "infons": dict(infons)}, ensure_ascii=False)
    return f'{head[:-1]}, "documents": [\n'.encode()


def xml_document(document: Document, links: dict[Mention, Link]) -> bytes:
    """``document`` as one BioC ``<document>``."""
    return etree.tostring(_to_xml(document_node(document, links)), encoding="UTF-8", pretty_print=True)


def json_document(document: Document, links: dict[Mention, Link]) -> bytes:
    """``document`` as one element of a BioC JSON collection's ``documents``."""
    return json.dumps(document_node(document, links), ensure_ascii=False).encode()


def document_node(document: Document, links: dict[Mention, Link]) -> Node:
    """``document`` in BioC's JSON form: one passage, its sentences, the mentions in the sentence they begin in."""
    inside: list[list[Node]] = [[] for _ in document.sentences]
    outside: list[Node] = []
    for number, mention in enumerate(document.mentions):
        at = bisect.bisect_right(document.sentences, (mention.start, len(document.text))) - 1
        held = at >= 0 and mention.start < document.sentences[at][1]
        (inside[at] if held else outside).append(_annotation_node(number, mention, links))
    sentences = [
        {"offset": start, "infons": {}, "text": document.text[start:end], "annotations": annotations}
        for (start, end), annotations in zip(document.sentences, inside, strict=True)
    ]
    passage = {"offset": 0, "infons": {}, "text": document.text, "sentences": sentences, "annotations": outside}
    return {"id": document.id, "infons": {}, "passages": [passage], "annotations": []}


def _annotation_node(number: int, mention: Mention, links: dict[Mention, Link]) -> Node:
    gold = "|".join(mention.gold) if mention.gold else "-" if mention.nil else ""
    infons = {"type": mention.type, "concept_id": gold}
    link = links.get(mention)
    if link is not None:
        infons |= {"gold_id": gold, "concept_id": link.candidate.id if link.candidate else "-"}
        infons["probability"] = f"{link.probability:.4f}"
        if link.candidate:
            infons |= {"label": link.candidate.label, "ontology": link.candidate.ontology}
            infons["release"] = link.candidate.release
    return {
        "id": str(number),
        "infons": {key: value for key, value in infons.items() if value},
        "text": mention.text,
        "locations": [{"offset": start, "length": end - start} for start, end in _pieces(mention)],
    }


def _pieces(mention: Mention) -> Iterable[tuple[int, int]]:
    return mention.spans or ((mention.start, mention.end),)


def _to_xml(node: Node) -> etree._Element:
    document = etree.Element("document")
    _child(document, "id", node["id"])
    for passage in node["passages"]:
        element = _with_text(document, "passage", passage)
        for sentence in passage["sentences"]:
            _annotations_to_xml(_with_text(element, "sentence", sentence), sentence["annotations"])
        _annotations_to_xml(element, passage["annotations"])
    return document


def _with_text(parent: etree._Element, tag: str, node: Node) -> etree._Element:
    element = etree.SubElement(parent, tag)
    _child(element, "offset", str(node["offset"]))
    _child(element, "text", node["text"])
    return element


def _annotations_to_xml(parent: etree._Element, annotations: Iterable[Node]) -> None:
    for node in annotations:
        element = etree.SubElement(parent, "annotation", id=node["id"])
        for key, value in node["infons"].items():
            _child(element, "infon", value).set("key", key)
        for location in node["locations"]:
            etree.SubElement(element, "location", {key: str(value) for key, value in location.items()})
        _child(element, "text", node["text"])


def _child(parent: etree._Element, tag: str, text: str) -> etree._Element:
    element = etree.SubElement(parent, tag)
    element.text = _UNWRITABLE.sub("\ufffd", text)
    return element


def _from_xml(element: etree._Element) -> Node:
    """A document, passage, sentence or annotation element in the JSON form; what BioC does not have is passed over."""
    node: Node = {"infons": {}, "line": element.sourceline}
    for child in element.iterchildren("id", "offset", "text"):
        node[str(child.tag)] = "".join(str(part) for part in child.itertext())
    for infon in element.iterchildren("infon"):
        node["infons"][infon.get("key", "")] = infon.text or ""
    node["locations"] = [dict(child.attrib) for child in element.iterchildren("location")]
    for tag in ("passage", "sentence", "annotation"):
        node[f"{tag}s"] = [_from_xml(child) for child in element.iterchildren(tag)]
    return node


def read_node(node: Node) -> RawDocument:
    """One document of a BioC JSON collection, already parsed."""
    return _document(node, "")


def _document(node: Node, default_prefix: str) -> RawDocument:
    return RawDocument(
        id=_string(node.get("id")),
        passages=tuple(_passages(node, default_prefix)),
        annotations=tuple(_annotations(node, default_prefix)),
    )


def _passages(node: Node, default_prefix: str) -> Iterator[Passage]:
    end = 0
    for passage in _mappings(node, "passages"):
        offset = _offset(passage, end)
        marked = _mappings(passage, "sentences")
        text = clean(_string(passage.get("text")))
        sentences = [(_offset(sentence, offset), clean(_string(sentence.get("text")))) for sentence in marked]
        if not text and sentences:  # a collection may keep the text in its sentences alone
            offset = sentences[0][0]
            pieces, length = [], 0
            for at, words in sentences:
                blanks = max(0, min(at - offset - length, 1000))
                pieces += [" " * blanks, words]
                length += blanks + len(words)
            text = "".join(pieces)
        annotations = [a for part in (passage, *marked) for a in _annotations(part, default_prefix)]
        yield Passage(offset=offset, text=text, sentences=tuple(sentences), annotations=tuple(annotations))
        end = offset + len(text) + 1


def _offset(node: Node, otherwise: int) -> int:
    try:
        return whole_number(node.get("offset"))
    except ValueError:
        return otherwise


def _annotations(node: Node, default_prefix: str) -> Iterator[Annotation]:
    for annotation in _mappings(node, "annotations"):
        infons = _mapping(annotation.get("infons"))
        key = next((key for key in _ID_KEYS if key in infons), "")
        written = _string(infons.get(key))
        gold, nil = gold_ids(written, _PREFIX_OF_KEY.get(key, default_prefix)) if written else ((), False)
        fault, spans = "", []
        try:
            for location in _mappings(annotation, "locations"):
                start = whole_number(location.get("offset"))
                spans.append((start, start + whole_number(location.get("length"))))
        except ValueError as error:
            fault = f"a location is {error}"
        yield Annotation(
            spans=tuple(spans),
            text=clean(_string(annotation.get("text"))),
            gold=gold,
            nil=nil,
            type=_string(infons.get("type")),
            line=annotation.get("line"),
            fault=fault,
        )


def _mappings(node: Node, key: str) -> list[Node]:
    value = node.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _mapping(value: object) -> Node:
    return value if isinstance(value, dict) else {}


def _string(value: object) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""

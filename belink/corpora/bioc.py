"""BioC, in XML and in JSON: one structure in two notations. XML is brought to the JSON form, and both are read once.

Specification: Comeau et al. 2013, doi:10.1093/database/bat064, and the JSON form of PubTator and PMC. Annotations may
stand in a sentence, a passage or the document, and may have several locations. ``bioc_writer`` writes the format.
"""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from lxml import etree

from belink.corpora.raw import Annotation, Passage, RawDocument, clean, gold_ids, whole_number

ID_KEYS = ("concept_id", "identifier", "concept id", "normalized_id", "CUI", "MESH", "OMIM")
_PREFIX_OF_KEY = {"CUI": "UMLS", "MESH": "MESH", "OMIM": "OMIM"}  # keys that say the vocabulary of a bare id
_MAX_DEPTH = 40  # BioC JSON has about ten levels; without a bound a short file could ask for any amount of memory

COLLECTION = "belink:collection"  # under this key a document keeps what its collection says of itself
COLLECTION_KEYS = ("source", "date", "key")

Node = dict[str, Any]


class Unreadable(ValueError):
    """A file that is not BioC although it begins like it."""


def read_xml(stream: BinaryIO, default_prefix: str) -> Iterator[RawDocument]:
    """Yield the documents of a BioC collection, one in memory at a time. Entities and DTDs are never followed.

    :raises Unreadable: the file defines entities, or is no BioC collection.
    """
    # The parser does not expand entities, so a file that defines some would lose text: it is refused below.
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
            collection: dict[str, Any] = {tag: root.findtext(tag) or "" for tag in COLLECTION_KEYS}
            collection["infons"] = {infon.get("key", ""): infon.text or "" for infon in root.iterchildren("infon")}
            yield _document({**_from_xml(element), COLLECTION: collection}, default_prefix)
            # lxml keeps every element that it has read in the tree. Without this a large collection would fill the
            # memory.
            element.clear()
            parent = element.getparent()
            # What the collection says of itself goes with the first document, which is the one that carries it to a
            # writer.
            while parent is not None and parent[0] is not element:
                del parent[0]


def read_json(stream: BinaryIO, default_prefix: str) -> Iterator[RawDocument]:
    """Yield the documents of a BioC JSON file: a collection, a list of collections or documents, or one a line.

    :raises Unreadable: nothing in the file has passages.
    """
    import ijson

    try:
        # The file is parsed twice. The first pass finds at which depth a document lies, which differs between the three
        # layouts.
        depth = next((depth for depth, event, value in _events(stream) if (event, value) == ("map_key", "passages")), 0)
        if not depth:
            raise Unreadable('expected BioC JSON, found no document with "passages"')
        stream.seek(0)
        builder: ijson.ObjectBuilder | None = None
        collection: dict[str, Any] = {"infons": {}}
        keys = {1: "", 2: ""}  # the last key of the collection, and of an object in it
        for at, event, value in _events(stream):
            if builder is None and event == "map_key":
                keys[at] = value
            elif builder is None and at == 1 and event in ("string", "number", "boolean"):
                collection[keys[1]] = value
            elif builder is None and at == 2 and keys[1] == "infons" and event in ("string", "number", "boolean"):
                collection["infons"][keys[2]] = value if event == "string" else json.dumps(value)
            if builder is None and (event, at) == ("start_map", depth):
                builder = ijson.ObjectBuilder()
            if builder is not None:
                builder.event(event, value)
                if (event, at) == ("end_map", depth - 1):
                    if "passages" in builder.value:
                        yield _document({**builder.value, COLLECTION: collection}, default_prefix)
                    builder = None
    except ijson.JSONError as error:
        raise Unreadable(f"not JSON: {error}") from error


def _events(stream: BinaryIO) -> Iterator[tuple[int, str, Any]]:
    """Yield JSON events, each with the number of containers open after it."""
    import ijson

    depth = 0
    # ``multiple_values`` accepts one document a line. Without ``use_float`` ijson returns Decimals.
    for event, value in ijson.basic_parse(stream, multiple_values=True, use_float=True):
        depth += event.startswith("start_") - event.startswith("end_")
        if depth > _MAX_DEPTH:
            raise Unreadable(f"it is nested deeper than {_MAX_DEPTH} levels")
        yield depth, event, value


def _from_xml(element: etree._Element) -> Node:
    """Return a document, or a part of one, in the JSON form; elements that BioC does not have are skipped."""
    node: Node = {"infons": {infon.get("key", ""): infon.text or "" for infon in element.iterchildren("infon")}}
    node["line"] = element.sourceline
    if (identifier := element.get("id")) is not None:
        node["id"] = identifier
    for child in element.iterchildren("id", "offset", "text"):
        # A text may hold elements such as ``<i>``, and ``child.text`` would end at the first of them.
        node[str(child.tag)] = "".join(str(part) for part in child.itertext())
    if element.tag == "annotation":
        node["locations"] = [dict(child.attrib) for child in element.iterchildren("location")]
    elif element.tag == "relation":
        node["nodes"] = [dict(child.attrib) for child in element.iterchildren("node")]
    else:
        for tag in ("passage", "sentence", "annotation", "relation"):
            if children := [_from_xml(child) for child in element.iterchildren(tag)]:
                node[f"{tag}s"] = children
    return node


def read_node(node: Node) -> RawDocument:
    """Return one document of a BioC JSON collection, already parsed."""
    return _document(node, "")


def annotation_nodes(part: Node) -> list[Node]:
    """Return the annotations of a document, or of a passage with its sentences, in the order of reading."""
    parts = [part, *mappings(part, "sentences")]
    return [annotation for each in parts for annotation in mappings(each, "annotations")]


def _document(node: Node, default_prefix: str) -> RawDocument:
    return RawDocument(
        id=_string(node.get("id")),
        passages=tuple(_passages(node, default_prefix)),
        annotations=tuple(_annotations(node, default_prefix)),
        source=node,
    )


def _passages(node: Node, default_prefix: str) -> Iterator[Passage]:
    end = 0
    for passage in mappings(node, "passages"):
        offset = _offset(passage, end)
        marked = mappings(passage, "sentences")
        text = clean(_string(passage.get("text")))
        sentences = [(_offset(sentence, offset), clean(_string(sentence.get("text")))) for sentence in marked]
        if not text and sentences:  # a collection may keep the text in its sentences alone
            offset = sentences[0][0]
            pieces, length = [], 0
            for at, words in sentences:
                # Offsets of sentences may be wrong, so a gap between two of them is bounded.
                blanks = max(0, min(at - offset - length, 1000))
                pieces += [" " * blanks, words]
                length += blanks + len(words)
            text = "".join(pieces)
        annotations = _annotations(passage, default_prefix)
        yield Passage(offset=offset, text=text, sentences=tuple(sentences), annotations=tuple(annotations))
        # A passage without an offset begins one character after the one before it.
        end = offset + len(text) + 1


def _offset(node: Node, otherwise: int) -> int:
    try:
        return whole_number(node.get("offset"))
    except ValueError:
        return otherwise


def _annotations(node: Node, default_prefix: str) -> Iterator[Annotation]:
    for annotation in annotation_nodes(node):
        infons = mapping(annotation.get("infons"))
        # BioC names no key for the concept. The first of these that is there counts.
        key = next((key for key in ID_KEYS if key in infons), "")
        written = _string(infons.get(key))
        gold, nil = gold_ids(written, _PREFIX_OF_KEY.get(key, default_prefix)) if written else ((), False)
        fault, spans = "", []
        try:
            for location in mappings(annotation, "locations"):
                start = whole_number(location.get("offset"))
                spans.append((start, start + whole_number(location.get("length"))))
        except ValueError as error:
            fault = f"a location is {error}"
        yield Annotation(
            spans=tuple(spans),
            text=clean(_string(annotation.get("text"))),
            gold=gold,
            is_nil=nil,
            type=_string(infons.get("type")),
            line=annotation.get("line"),
            fault=fault,
        )


def mappings(node: Node, key: str) -> list[Node]:
    """Return the objects in the list under ``key``; none where anything else stands there."""
    value = node.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def mapping(value: object) -> Node:
    """Return ``value`` where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def _string(value: object) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""

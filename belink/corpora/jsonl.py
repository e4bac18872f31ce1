"""JSONL corpora: one document a line, the format to convert other corpora to. A list of them in JSON is read, too.

``{"id": "8701013", "text": "…", "sentences": [[0, 31], …], "mentions": [{"start": 22, "end": 30, "text": "delirium",
"ids": ["MESH:D003693"]}]}``. Offsets are code points, end exclusive. ``id`` and ``text`` are required; without
``sentences`` they are split by rule. A mention may have ``"spans": [[s, e], …]`` where it is in pieces, ``"type"``, and
``"nil": true`` with ``"ids": []`` where no concept fits it; without ``ids`` it is unannotated. People's corrections
annotate only some spans of a text: ``"judged": [{"start": 22, "end": 30, "verdict": "other"}]`` lists those.
"""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, get_args

from belink.corpora.raw import Annotation, Passage, RawDocument, Spans, clean, gold_ids, whole_number
from belink.records import Document, JudgedSpan, Verdict

_MAX_LINE = 1 << 28  # bytes; a longer line is not a document


def read(stream: BinaryIO, default_prefix: str) -> Iterator[RawDocument]:
    """Yield the documents of a JSONL file, in order.

    :param stream: UTF-8 without byte order mark.
    :param default_prefix: put before concept ids that have none.
    :raises ValueError: a line that is not such a document, named by its number.
    """
    beginning = stream.readline(_MAX_LINE).strip()
    stream.seek(0)
    is_laid_out = beginning.startswith(b"[") or (beginning.startswith(b"{") and not beginning.endswith(b"}"))
    for number, node in _laid_out(stream) if is_laid_out else _lines(stream):
        if not (isinstance(node, dict) and isinstance(node.get("text"), str) and "id" in node):
            shown = json.dumps(node, ensure_ascii=False)[:60]
            raise ValueError(f'line {number}: expected an object with "id" and "text", found {shown!r}')
        yield _document(node, number, default_prefix)


def _lines(stream: BinaryIO) -> Iterator[tuple[int, Any]]:
    """Yield number and content of each line."""
    # ``readline`` with a bound returns an overlong line in parts, and the first of them is then no JSON.
    for number, line in enumerate(iter(lambda: stream.readline(_MAX_LINE), b""), 1):
        text = line.decode("utf-8").strip()
        if text:
            try:
                yield number, json.loads(text)
            except ValueError as error:
                raise ValueError(f"line {number}: expected a JSON object, found {str(error)[:100]}") from error


def _laid_out(stream: BinaryIO) -> Iterator[tuple[int, Any]]:
    """Yield the documents of a list, or of objects that run over several lines; numbered, since they have no line."""
    import ijson

    is_list = stream.read(64).lstrip().startswith(b"[")
    stream.seek(0)
    try:
        nodes = ijson.items(stream, "item" if is_list else "", multiple_values=not is_list, use_float=True)
        yield from enumerate(nodes, 1)
    except ijson.JSONError as error:
        raise ValueError(f"expected JSON objects, found {str(error)[:100]}") from error


def _document(node: dict[str, Any], line: int, default_prefix: str) -> RawDocument:
    text = clean(node["text"])
    try:
        spans = [_span(pair) for pair in node.get("sentences") or []]
    # Unusable sentences are no fault of the mentions: sentences are then split by rule.
    except (TypeError, ValueError):
        spans = []
    mentions = node.get("mentions")
    annotations = [
        _annotation(mention, line, default_prefix)
        for mention in (mentions if isinstance(mentions, list) else [])
        if isinstance(mention, dict)
    ]
    passage = Passage(
        offset=0,
        text=text,
        # A negative start would count from the end of the text.
        sentences=tuple((start, text[max(0, start) : end]) for start, end in spans),
        annotations=tuple(annotations),
    )
    return RawDocument(id=clean(str(node["id"])), passages=(passage,), judged=_judged(node.get("judged"), line))


def document_line(document: Document) -> str:
    """Return ``document`` as a line of JSONL that :func:`read` reads; mentions in one piece, sentences left out."""
    mentions = [
        {
            "start": mention.start,
            "end": mention.end,
            "text": mention.text,
            **({"ids": list(mention.gold)} if mention.gold or mention.is_nil else {}),
            **({"nil": True} if mention.is_nil else {}),
        }
        for mention in document.mentions
    ]
    judged = [{"start": span.start, "end": span.end, "verdict": span.verdict} for span in document.judged or ()]
    node = {"id": document.id, "text": document.text, "mentions": mentions}
    return json.dumps(node | ({"judged": judged} if document.judged is not None else {}), ensure_ascii=False) + "\n"


def _judged(spans: Any, line: int) -> tuple[JudgedSpan, ...] | None:
    if spans is None:
        return None
    try:
        judged = tuple(
            JudgedSpan(start=whole_number(each["start"]), end=whole_number(each["end"]), verdict=each["verdict"])
            for each in spans
        )
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"line {line}: expected judged spans with start, end and verdict, found {error!r}") from error
    for span in judged:
        if span.verdict not in get_args(Verdict):
            expected = ", ".join(get_args(Verdict))
            raise ValueError(f"line {line}: expected a verdict of {expected}, found {str(span.verdict)[:40]!r}")
    return judged


def _annotation(node: dict[str, Any], line: int, default_prefix: str) -> Annotation:
    ids = node.get("ids")
    gold: list[str] = []
    for written in ids if isinstance(ids, list) else []:
        gold += gold_ids(clean(written), default_prefix)[0] if isinstance(written, str) else ()
    spans: Spans = ()
    fault = ""
    try:
        spans = tuple(_span(pair) for pair in node.get("spans") or [(node.get("start"), node.get("end"))])
    except (TypeError, ValueError) as error:
        fault = f"start or end is {error}"
    words = node.get("text")
    kind = node.get("type")
    return Annotation(
        spans=spans,
        text=clean(words) if isinstance(words, str) else "",
        gold=tuple(dict.fromkeys(gold)),
        # Ids that all say "no concept", such as ["-"], are an annotation as NIL. An empty list alone is none.
        is_nil=not gold and (node.get("nil") is True or bool(ids)),
        type=clean(kind) if isinstance(kind, str) else "",
        line=line,
        fault=fault,
    )


def _span(pair: Any) -> tuple[int, int]:
    start, end = pair
    return whole_number(start), whole_number(end)

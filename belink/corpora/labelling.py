"""Label Studio's and doccano's files in and out: a team labels elsewhere, and its labels come back as corrections.

The label of a span is the id of its concept, ``NIL`` where no concept fits, or ``no mention``.

- Label Studio (https://labelstud.io/guide/task_format): a list of tasks, ``{"data": {"text": …}, "annotations":
  [{"result": [{"type": "labels", "value": {"start", "end", "text", "labels": [label]}, …}]}]}``. A text area of the
  same region overrides the label, so that ids need not be declared as labels. Offsets are code points.
- doccano: JSONL, ``{"text": …, "label": [[start, end, label], …]}``; its exports have ``label``, ``labels`` or
  ``entities`` with ``start_offset`` and ``end_offset``.

Both pass other keys through: ``document`` and ``verdicts`` keep what a label does not say.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from belink import textfiles
from belink.corpora.assemble import assemble
from belink.corpora.files import read_corpus
from belink.corpora.jsonl import document_line
from belink.corpora.raw import Annotation, CorpusReport, Passage, RawDocument, clean, whole_number
from belink.errors import CorpusError, first_line
from belink.records import Document, JudgedSpan, Mention, Verdict

Format = Literal["jsonl", "label-studio", "doccano"]
NIL_LABEL, NO_MENTION = "NIL", "no mention"
_DOCCANO_KEYS = ("label", "labels", "entities")


def write_labelled(documents: Iterable[Document], path: Path, format: Format) -> int:
    """Write corrected sentences for a labelling tool, whole or not at all; return how many."""
    n = 0
    with textfiles.write_whole(path) as out:
        if format == "label-studio":
            tasks = [_task(document) for document in documents]
            out.write(json.dumps(tasks, ensure_ascii=False, indent=1).encode() + b"\n")
            return len(tasks)
        for document in documents:
            line = document_line(document) if format == "jsonl" else _doccano_line(document)
            out.write(line.encode())
            n += 1
    return n


def read_labelled(path: Path) -> Iterator[Document]:
    """Yield labelled texts, each with its mentions and :attr:`Document.judged`; the format is told by the content.

    :param path: a file of Label Studio or doccano, or any corpus. Of a corpus all annotated mentions are judged.
    :raises CorpusError: it cannot be read as any of them.
    """
    try:
        nodes = _nodes(path)
        if nodes is not None:
            for number, node in enumerate(nodes, 1):
                yield _document(node, number)
            return
    except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError, RecursionError) as error:
        raise CorpusError(
            f"{path}: expected Label Studio's tasks, doccano's JSONL or a corpus, found {first_line(error)}"
        ) from error
    for document in read_corpus(path):
        if document.judged is not None:
            yield document
            continue
        annotated = tuple(mention for mention in document.mentions if mention.gold or mention.is_nil)
        spans = tuple(JudgedSpan(start=m.start, end=m.end, verdict="nil" if m.is_nil else "other") for m in annotated)
        yield replace(document, mentions=annotated, judged=spans)


def _nodes(path: Path) -> list[dict[str, Any]] | None:
    """Return the tasks or lines of a labelling tool; ``None`` for any other file."""
    with textfiles.open_utf8(path) as stream:
        first = next((line for line in stream if line.strip()), b"").lstrip()
        stream.seek(0)
        if first.startswith(b"["):
            tasks = json.loads(stream.read())
            is_label_studio = bool(tasks) and all(isinstance(task, dict) and "data" in task for task in tasks)
            return tasks if is_label_studio else None
        if not _is_doccano(first):
            return None
        return [json.loads(line) for line in stream if line.strip()]


def _is_doccano(line: bytes) -> bool:
    """Return whether the first line of a file is a whole document with doccano's labels."""
    if not line.startswith(b"{"):
        return False
    try:
        node = json.loads(line)
    except ValueError:  # the first line of a document that goes on, such as BioC JSON
        return False
    return any(key in node for key in _DOCCANO_KEYS) and "mentions" not in node


def _document(node: Mapping[str, Any], number: int) -> Document:
    labelled = _label_studio_spans(node) if "data" in node else _doccano_spans(node)
    extra = node["data"] if "data" in node else {**(node.get("meta") or node.get("metadata") or {}), **node}
    annotations = tuple(
        Annotation(spans=((whole_number(start), whole_number(end)),), text=words, gold=(label,), line=number)
        for start, end, label, words in labelled
    )
    text = clean(str(extra["text"]))
    raw = RawDocument(
        id=clean(str(extra.get("document") or "")),
        passages=(Passage(offset=0, text=text, annotations=annotations),),
    )
    report = CorpusReport()
    document = assemble(raw, report)
    if report.rejected:
        raise ValueError(f"task or line {number}: {report.rejections[0].reason}")
    # Files of an older belink have no concept there.
    exported = {(start, end): (verdict, *concept) for start, end, verdict, *concept in extra.get("verdicts") or ()}
    labels = [(mention, mention.gold[0]) for mention in document.mentions]
    return replace(
        document,
        mentions=tuple(_annotated(mention, label) for mention, label in labels if label != NO_MENTION),
        judged=tuple(
            _judged(mention, label, *exported.get((mention.start, mention.end), ())) for mention, label in labels
        ),
    )


def _annotated(mention: Mention, label: str) -> Mention:
    return replace(mention, gold=(), is_nil=True) if label == NIL_LABEL else mention


def _judged(mention: Mention, label: str, verdict: object = None, concept: object = None) -> JudgedSpan:
    """Return the span with its verdict; that of the export counts where the label still says the same kind of thing.

    :param concept: the exported one. What was right then and has another id now is an error that somebody mended.
    """
    kinds: dict[str, Verdict] = {NIL_LABEL: "nil", NO_MENTION: "no-mention"}
    new: Verdict = kinds.get(label, "other")
    is_changed = verdict == "right" and concept is not None and concept != label
    if new == "other" and verdict in get_args(Verdict) and verdict not in kinds.values() and not is_changed:
        new = verdict  # type: ignore[assignment]
    return JudgedSpan(start=mention.start, end=mention.end, verdict=new)


def _label_studio_spans(task: Mapping[str, Any]) -> Iterator[tuple[Any, Any, str, str]]:
    """Yield start, end, label and words of each labelled region."""
    for annotation in task.get("annotations") or ():
        if annotation.get("was_cancelled"):
            continue
        regions = [region for region in annotation["result"] if "start" in region.get("value", {})]
        written = {r.get("id"): r["value"]["text"] for r in regions if r["type"] == "textarea"}
        for region in regions:
            if region["type"] == "labels":
                value, typed = region["value"], written.get(region.get("id"))
                label = (typed if isinstance(typed, str) else typed[0]) if typed else value["labels"][0]
                yield value["start"], value["end"], str(label).strip(), str(value.get("text") or "")


def _doccano_spans(node: Mapping[str, Any]) -> Iterator[tuple[Any, Any, str, str]]:
    """Yield start, end, label and no words of each labelled span."""
    for entity in node.get("entities") or ():
        yield entity["start_offset"], entity["end_offset"], str(entity["label"]).strip(), ""
    for start, end, label in node.get("label") or node.get("labels") or ():
        yield start, end, str(label).strip(), ""


def _labels(document: Document) -> list[tuple[int, int, str]]:
    mentions = {(mention.start, mention.end): mention for mention in document.mentions}
    return [(span.start, span.end, _label(mentions.get((span.start, span.end)))) for span in document.judged or ()]


def _label(mention: Mention | None) -> str:
    if mention is None:
        return NO_MENTION
    return mention.gold[0] if mention.gold else NIL_LABEL


def _extra(document: Document) -> dict[str, Any]:
    labels = _labels(document)
    verdicts = [
        [span.start, span.end, span.verdict, label]
        for span, (_, _, label) in zip(document.judged or (), labels, strict=True)
    ]
    return {"document": document.id, "verdicts": verdicts}


def _task(document: Document) -> dict[str, Any]:
    result = [
        {
            "id": f"{start}-{end}",
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "value": {"start": start, "end": end, "text": document.text[start:end], "labels": [label]},
        }
        for start, end, label in _labels(document)
    ]
    return {"data": {"text": document.text, **_extra(document)}, "annotations": [{"result": result}]}


def _doccano_line(document: Document) -> str:
    labels = [[start, end, label] for start, end, label in _labels(document)]
    return json.dumps({"text": document.text, "label": labels, **_extra(document)}, ensure_ascii=False) + "\n"

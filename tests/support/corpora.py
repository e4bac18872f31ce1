"""Documents written as JSONL corpora, for tests that need an annotated file."""

import json
from collections.abc import Iterable
from pathlib import Path

from belink.records import Document, Mention


def write_jsonl(documents: Iterable[Document], path: Path) -> Path:
    """Write ``documents`` to ``path``, one line each."""
    path.write_text("".join(jsonl_line(document) for document in documents), encoding="utf-8")
    return path


def jsonl_line(document: Document) -> str:
    """Return ``document`` as the line that :mod:`belink.corpora.jsonl` reads."""
    node = {
        "id": document.id,
        "text": document.text,
        "sentences": [list(span) for span in document.sentences],
        "mentions": [_mention(mention) for mention in document.mentions],
    }
    return json.dumps(node, ensure_ascii=False) + "\n"


def _mention(mention: Mention) -> dict[str, object]:
    node: dict[str, object] = {"start": mention.start, "end": mention.end, "text": mention.text}
    node |= {"spans": [list(span) for span in mention.spans]} if mention.spans else {}
    node |= {"ids": list(mention.gold)} if mention.gold or mention.is_nil else {}
    node |= {"nil": True} if mention.is_nil else {}
    return node | ({"type": mention.type} if mention.type else {})

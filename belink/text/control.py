"""Text that a terminal or a spreadsheet would obey, made harmless.

Names of concepts come from files that anybody may have written.
"""

import json
import re

# C0 without tab and line feed, DEL, C1, the marks that change the direction of text, and what no encoding can write.
# Also what nobody sees, and by which two names look the same: zero width space, word joiners, line separators (some
# readers end a line of JSON Lines there), byte order mark, tags. Joiners (U+200C, U+200D) are letters' own in Persian.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str) -> str:
    r"""Return ``text`` with control characters written out (``\x1b``, ``\u202e``); tab and line feed stay.

    >>> print(visible("red\x1b[31m"))
    red\x1b[31m
    """
    return _CONTROL.sub(lambda match: _escape(ord(match[0])), text)


def visible_json(text: str) -> str:
    r"""Return the JSON in ``text`` with control characters in JSON's own escapes: the same document.

    >>> print(visible_json('{"name": "a\x9bb"}'))
    {"name": "a\u009bb"}
    """
    return _CONTROL.sub(lambda match: json.dumps(match[0])[1:-1], text)


def as_cell(text: str) -> str:
    """Return ``text`` as a cell of a table that no spreadsheet takes for a formula.

    >>> as_cell("=cmd")
    "'=cmd"
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

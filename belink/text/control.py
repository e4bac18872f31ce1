"""Control characters made visible.

Names of concepts come from files that anybody may have written, and a terminal obeys the control characters in them.
"""

import re

# C0 without tab and line feed, DEL, C1, and the marks that change the direction of text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


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
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

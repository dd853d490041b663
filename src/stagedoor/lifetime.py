"""Spans of time as people write them: "15m", "1h", "7d".

Never knows what lives that long.
"""

from __future__ import annotations

import re

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"([0-9]{1,9})([smhdw])")


def seconds(span: str | int) -> int:
    """A span in whole seconds, above zero.

    A number is seconds; a text needs its unit (s, m, h, d, w). A text of digits alone is refused, because elsewhere it means milliseconds.
    Raises TypeError for anything but str and int, ValueError for a text or a number that is no span.
    """
    if isinstance(span, bool) or not isinstance(span, str | int):
        raise TypeError(f"a lifetime is a text such as '15m' or a number of seconds, not {type(span).__name__}")
    if isinstance(span, int):
        value = span
    else:
        match = _SPAN.fullmatch(span)
        if match is None:
            raise ValueError(f"{span!r} is no lifetime: write a number and its unit, such as '90s', '15m', '1h', '7d'")
        value = int(match[1]) * _SECONDS[match[2]]
    if value <= 0:
        raise ValueError("a lifetime is longer than nothing")
    return value

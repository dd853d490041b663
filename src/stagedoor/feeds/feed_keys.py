"""FeedKeys: the shared secrets that one service reads another's revocations with.

Never knows what is read, and shows none of them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from typing import Self

from stagedoor.encoding import encode

_FORM = re.compile(r"[!-~]{32,512}")
_SIZE = 32


def check_feed_key(key: str) -> str:
    """The key, if it is one: 32 to 512 characters of visible ASCII. TypeError, ValueError; neither repeats it."""
    if not isinstance(key, str):
        raise TypeError(f"a feed key is a text, not {type(key).__name__}")
    if not _FORM.fullmatch(key):
        raise ValueError("a feed key is 32 to 512 characters of visible ASCII: `stagedoor keys feed-key` prints one")
    return key


class FeedKeys:
    """Feed keys, all of which are valid: so a new one can be handed out before the old one goes. TypeError, ValueError."""

    __slots__ = ("_digests",)

    def __init__(self, keys: Iterable[str]) -> None:
        if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
            raise TypeError(f"feed keys are a list of texts, empty where there are none, not {type(keys).__name__}")
        self._digests = tuple(map(_digest, map(check_feed_key, keys)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """From one text, several with commas between. ValueError."""
        return cls(part.strip() for part in text.split(",") if part.strip())

    @staticmethod
    def generate_text() -> str:
        """A fresh feed key."""
        return encode(secrets.token_bytes(_SIZE))

    def __contains__(self, sent: str) -> bool:
        """Whether this is one of them, in a time that says nothing of any."""
        digest = _digest(sent)
        return sum([hmac.compare_digest(digest, each) for each in self._digests]) > 0  # a list: all are looked at

    def __len__(self) -> int:
        return len(self._digests)

    def __repr__(self) -> str:
        return f"<FeedKeys: {len(self)}>"


def _digest(key: str) -> bytes:
    """Of one length whatever is sent: the comparison would say how long a key is."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()

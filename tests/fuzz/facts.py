"""Facts: what stands in a case, read as leniently as any reader does, to say what is unusual about it.

Never knows a verdict. It shares no code with what is judged.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from functools import cached_property
from typing import Any

from fuzz.cases import KINDS, Case
from fuzz.material import SIGNERS

_DEEP = 16
_LONG = 32


class Part:
    """One part of a token: its bytes, and the JSON in it where there is any."""

    def __init__(self, spelling: str) -> None:
        self.spelling = spelling
        self.padded = spelling.endswith("=")
        bare = spelling.rstrip("=").translate(str.maketrans("-_", "+/"))
        try:
            self.data = base64.b64decode(bare + "=" * (-len(bare) % 4))
        except (binascii.Error, ValueError):
            self.data = b""
        self.encoding = json.detect_encoding(self.data)
        self.twice = self.constant = self.long = self.infinite = self.raw_surrogate = False
        self.value: Any = None
        try:
            text = self.data.decode(self.encoding, "surrogatepass")
            self.value = json.loads(
                text, object_pairs_hook=self._pairs, parse_constant=self._constant, parse_int=self._integer, parse_float=self._real
            )
            text.encode("utf-8")
        except UnicodeEncodeError:
            self.raw_surrogate = True
        except (ValueError, RecursionError):
            self.value = None

    @property
    def members(self) -> dict[str, Any]:
        """The object; empty where there is none."""
        return self.value if isinstance(self.value, dict) else {}

    @cached_property
    def deep(self) -> bool:
        """Nested deeper than sixteen levels."""
        return self.data.count(b"[") + self.data.count(b"{") > _DEEP and _depth(self.value) > _DEEP

    @cached_property
    def surrogate(self) -> bool:
        """Half of a surrogate pair stands in a text."""
        if self.raw_surrogate:
            return True
        try:
            json.dumps(self.value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            return True
        return False

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        self.twice = self.twice or len(members) != len(pairs)
        return members

    def _constant(self, name: str) -> float:
        self.constant = True
        return float(name)

    def _integer(self, text: str) -> int:
        self.long = self.long or len(text) > _LONG
        return int(text)

    def _real(self, text: str) -> float:
        value = float(text)
        self.long = self.long or len(text) > _LONG
        self.infinite = self.infinite or math.isinf(value)
        return value


def _depth(value: Any) -> int:
    deepest, left = 0, [(value, 1)]
    while left:
        each, depth = left.pop()
        if isinstance(each, dict | list):
            deepest = max(deepest, depth)
            left += [(inner, depth + 1) for inner in (each.values() if isinstance(each, dict) else each)]
    return deepest


class Facts:
    """What stands in one case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.now = case.moment
        self.access = case.kind == "access"
        self.typ = KINDS[case.kind]
        self.spellings = case.token.split(".")

    @cached_property
    def header(self) -> Part:
        """The first part."""
        return Part(self.spellings[0])

    @cached_property
    def claims(self) -> Part:
        """The second part."""
        return Part(self.spellings[1] if len(self.spellings) > 1 else "")

    @cached_property
    def parts(self) -> tuple[Part, Part]:
        """Header and claims."""
        return self.header, self.claims

    @cached_property
    def jwk(self) -> dict[str, Any]:
        """The JWK that the verifiers were given; empty for keys in another form."""
        return json.loads(self.case.given.data) if self.case.given.form == "jwk" else {}

    @cached_property
    def bytes(self) -> bytes:
        """The PEM text or secret that they were given; empty for keys in another form."""
        return self.case.given.data if self.case.given.form == "bytes" else b""

    @property
    def alg(self) -> str:
        """The algorithm of the (first) key."""
        return self.case.given.names[0]

    @property
    def right_jwk(self) -> dict[str, Any]:
        """The JWK that the key has when nothing is odd about it."""
        return SIGNERS[self.alg].jwk

    @cached_property
    def secret(self) -> bytes:
        """The secret given, in whatever form."""
        if not self.alg.startswith("HS"):
            return b""
        if self.case.given.form == "set":
            return bytes(SIGNERS[self.alg].private)
        return Part(str(self.jwk.get("k", ""))).data if self.jwk else self.bytes

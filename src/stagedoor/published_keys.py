"""PublishedKeys: the keys of another's JWKS that verify signatures, and those that were passed over (RFC 7517 section 5).

Never knows where the document came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from stagedoor.errors import KeyRejected
from stagedoor.jwk import has_private_members
from stagedoor.keys import Key
from stagedoor.keyset import signature_key
from stagedoor.remote_document import DocumentRefused

MOST = 100
"""Keys that a document may have."""


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """What one document holds, by `kid`."""

    keys: Mapping[object, Key]
    passed_over: Mapping[str, str]
    """What we cannot use or will not, and why."""

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The keys of this JWKS. DocumentRefused for private parts, two that sign under one `kid`, too many, or no list of keys."""
        found = document.get("keys")
        if not isinstance(found, list) or not all(isinstance(jwk, dict) for jwk in found):
            raise DocumentRefused("no JWKS: it needs a list 'keys' of objects")
        if len(found) > MOST:
            raise DocumentRefused(f"over {MOST} keys")
        if any(has_private_members(jwk) for jwk in found):
            raise DocumentRefused("it publishes private parts or shared secrets: whoever runs it must change its keys")
        return cls._sorted(found)

    @classmethod
    def _sorted(cls, found: list[dict[str, Any]]) -> Self:
        keys: dict[object, Key] = {}
        passed_over: dict[str, str] = {}
        for jwk in found:
            try:
                key = signature_key(jwk)
            except KeyRejected as error:
                passed_over[_name(jwk)] = error.code
                continue
            if key is None:
                passed_over[_name(jwk)] = "not a key for signatures of a kind that we know"
            elif key.kid in keys and key.jwk() != keys[key.kid].jwk():
                raise DocumentRefused("two keys for signatures have one kid")
            else:
                keys[key.kid] = key
        return cls(keys, passed_over)


def _name(jwk: Mapping[str, Any]) -> str:
    kid = jwk.get("kid")
    return kid if isinstance(kid, str) else "(none)"

"""Faults of reading: verifiers that are wrong about texts, claims, sizes and what they remember.

Never knows Stagedoor's own verifier.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import time
import zlib
from collections import OrderedDict
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from stagedoor import errors

from .forgery import Given, public_of, unb64
from .sound_verifier import Accepted, Sound


class DenyListByText(Sound):
    """What was logged out is remembered by the token's text."""

    found_by = frozenset({"a15"})

    def end(self, token: str) -> None:
        self.ended.add(token)

    def check_ended(self, token: str, claims: dict[str, Any]) -> None:
        if token in self.ended:
            raise errors.TokenRevoked


class TolerantBase64(Sound):
    """Python's own decoder, with padding added in case."""

    found_by = frozenset({"a16"})

    def decode(self, text: str) -> bytes:
        try:
            return base64.urlsafe_b64decode(text + "==")
        except (binascii.Error, ValueError):
            raise errors.MalformedToken from None


class SlackBits(Sound):
    """Only the characters are looked at, not the bits that nothing uses."""

    found_by = frozenset({"a16"})

    def decode(self, text: str) -> bytes:
        if not re.fullmatch(r"[A-Za-z0-9_-]*", text) or len(text) % 4 == 1:
            raise errors.MalformedToken
        return unb64(text)


class IssuerInIssuer(Sound):
    """CVE-2024-53861: `in` where == was meant."""

    found_by = frozenset({"a17", "a19"})

    def check_issuer(self, iss: Any) -> None:
        if not isinstance(iss, str) or iss not in self.issuer:
            raise errors.ClaimRejected("iss", "another")


class IssuerInAList(Sound):
    """CVE-2025-30144: a list that names ours is enough."""

    found_by = frozenset({"a17"})

    def check_issuer(self, iss: Any) -> None:
        if iss != self.issuer and not (isinstance(iss, list) and self.issuer in iss):
            raise errors.ClaimRejected("iss", "another")


class TimesAsTheyCome(Sound):
    """Whatever Python can compare is a time."""

    found_by = frozenset({"a18", "injected"})

    def check_time(self, name: str, value: Any) -> None:
        if not isinstance(value, int | float):
            super().check_time(name, value)

    def real(self, text: str) -> float:
        return float(text)

    def constant(self, name: str) -> Any:
        return float("inf")


class ZeroIsNever(Sound):
    """`if exp:` where `is not None` was meant."""

    found_by = frozenset({"a18", "injected"})

    def check_times(self, claims: dict[str, Any]) -> None:
        super().check_times(claims if claims.get("exp") != 0 else claims | {"exp": 2**40})


class DuplicateNames(Sound):
    """The last of two members of one name wins."""

    found_by = frozenset({"a1", "a17", "a18"})

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(pairs)


class AnyText(Sound):
    """Claims are what they are."""

    found_by = frozenset({"a19", "injected"})

    def check_text(self, name: str, value: Any) -> None:
        pass


class AudienceInAudience(Sound):
    """`audience in aud`, where aud is a text."""

    found_by = frozenset({"a19"})

    def check_audience(self, aud: Any) -> None:
        if not isinstance(aud, str | list | dict) or self.audience not in aud:
            raise errors.ClaimRejected("aud", "another")


class AnyKind(Sound):
    """`typ` is not looked at."""

    found_by = frozenset({"a19", "a25", "injected"})

    def check_typ(self, typ: str | None) -> None:
        pass


class NoLimit(Sound):
    """Tokens may be as long as they like, and are parted at each dot."""

    found_by = frozenset({"a21", "a24"})

    def split(self, token: str) -> list[str]:
        parts = token.split(".")
        if len(parts) != 3 or not token.isascii():
            raise errors.MalformedToken
        return parts


class Inflates(Sound):
    """CVE-2024-33664: `zip` is honoured, without an end."""

    found_by = frozenset({"a22"})

    def body(self, header: dict[str, Any], payload: str) -> bytes:
        data = super().body(header, payload)
        return zlib.decompress(data, wbits=-15) if header.get("zip") == "DEF" else data


class DerivesKeys(Sound):
    """CVE-2026-27932: as many rounds as the header asks for; here at most a fiftieth of a second's worth."""

    found_by = frozenset({"a23"})

    def split(self, token: str) -> list[str]:
        parts = token[:8192].split(".")
        if len(parts) == 5 and len(token) <= 8192:
            count = self.object(self.decode(parts[0])).get("p2c")
            if isinstance(count, int) and count > 0:
                PBKDF2HMAC(hashes.SHA256(), 32, b"salt", min(count, 200_000)).derive(b"password")
        return super().split(token)


class OpensEncrypted(Sound):
    """An encrypted token is opened, and what is in it believed: anybody can encrypt to a public key."""

    alg = "RS256"
    found_by = frozenset({"a25"})

    def verify(self, token: str) -> Accepted:
        parts = token[:8192].split(".")
        if len(parts) == 5 and len(token) <= 8192:
            header = self.object(self.decode(parts[0]))
            if header.get("alg") == "RSA-OAEP-256":
                oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
                try:
                    key = self.given.private.decrypt(unb64(parts[1]), oaep)
                except ValueError:
                    raise errors.MalformedToken from None
                return Accepted(json.loads(AESGCM(key).decrypt(unb64(parts[2]), unb64(parts[3]) + unb64(parts[4]), parts[0].encode())))
        return super().verify(token)


class RemembersStrangers(Sound):
    """Each unknown kid is remembered, so as not to ask for it again."""

    found_by = frozenset({"a26"})

    def __init__(self, given: Given, issuer: str, audience: str) -> None:
        super().__init__(given, issuer, audience)
        self.unknown: dict[Any, float] = {}

    def key_of(self, header: dict[str, Any]) -> Any:
        if isinstance(header.get("kid"), str) and header["kid"] not in self.keys:
            self.unknown[header["kid"]] = time.time()
        return super().key_of(header)


class CacheWithAShortKey(Sound):
    """CVE-2026-35039, Okta 2024: verified tokens are remembered by their first and last characters."""

    found_by = frozenset({"a14", "a15", "a16", "a27", "a52", "injected"})

    def __init__(self, given: Given, issuer: str, audience: str) -> None:
        super().__init__(given, issuer, audience)
        self.known: OrderedDict[str, Accepted] = OrderedDict()

    def verify(self, token: str) -> Accepted:
        short = token[:72] + token[-20:]
        if short not in self.known:
            self.known[short] = super().verify(token)
        return self.known[short]


class ComparesThePrefix(Sound):
    """A MAC is compared as far as it goes."""

    alg = "HS256"
    found_by = frozenset({"a52", "a1"})

    def holds(self, alg: Any, key: Any, signed: bytes, signature: bytes, header: dict[str, Any]) -> bool:
        return isinstance(key, bytes) and hmac.digest(key, signed, f"sha{alg[2:]}").startswith(signature)


class AnyKeySize(Sound):
    """Any RSA key that comes along will do."""

    found_by = frozenset({"a54"})

    def key_of(self, header: dict[str, Any]) -> Any:
        jwk = header.get("jwk")
        return (
            public_of(jwk)
            if isinstance(jwk, dict) and jwk.get("kty") == "RSA" and header.get("kid") == self.given.kid and "use" not in jwk
            else super().key_of(header)
        )

    def check_fit(self, header: dict[str, Any], alg: Any) -> None:
        if "jwk" not in header:
            super().check_fit(header, alg)

"""Faults of keys: verifiers that are wrong about algorithms, keys and signatures.

Never knows Stagedoor's own verifier.
"""

from __future__ import annotations

import base64
import hmac
import json
import urllib.request
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from stagedoor import errors

from .forgery import b64, public_of
from .sound_verifier import KNOWN, Sound


class AcceptsNone(Sound):
    """CVE-2015-9235: an unsecured token is a token."""

    found_by = frozenset({"a1"})

    def check_known(self, alg: Any) -> None:
        if alg != "none":
            super().check_known(alg)

    def check_fit(self, header: dict[str, Any], alg: Any) -> None:
        if alg != "none":
            super().check_fit(header, alg)

    def holds(self, alg: Any, key: Any, signed: bytes, signature: bytes, header: dict[str, Any]) -> bool:
        return alg == "none" or super().holds(alg, key, signed, signature, header)


class AcceptsNoneInOtherCases(AcceptsNone):
    """CVE-2026-28802's kind: `none` is refused, `nOnE` is not."""

    def check_known(self, alg: Any) -> None:
        if not isinstance(alg, str) or alg == "none" or alg.lower() != "none":
            Sound.check_known(self, alg)

    def check_fit(self, header: dict[str, Any], alg: Any) -> None:
        if alg.lower() != "none":
            Sound.check_fit(self, header, alg)

    def holds(self, alg: Any, key: Any, signed: bytes, signature: bytes, header: dict[str, Any]) -> bool:
        return alg.lower() == "none" or Sound.holds(self, alg, key, signed, signature, header)


class AlgorithmFromHeader(Sound):
    """CVE-2016-10555: the header says HS256, so the key's text is the secret."""

    alg = "RS256"
    found_by = frozenset({"a2"})

    def check_fit(self, header: dict[str, Any], alg: Any) -> None:
        if alg not in ("HS256", "HS384", "HS512"):
            super().check_fit(header, alg)

    def secret(self, key: Any) -> bytes:
        return bytes(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))

    def holds(self, alg: Any, key: Any, signed: bytes, signature: bytes, header: dict[str, Any]) -> bool:
        return super().holds(alg, self.secret(key) if alg.startswith("HS") else key, signed, signature, header)


class BlankBeforeTheKey(AlgorithmFromHeader):
    """CVE-2026-34950: text of a key is refused as a secret, text with a newline before it is not."""

    def secret(self, key: Any) -> bytes:
        return b"\n" + super().secret(key)


class JWKAsSecret(AlgorithmFromHeader):
    """CVE-2026-22817: a JWK without `alg`, and HS256 in the header."""

    found_by = frozenset({"a2", "a3"})

    def secret(self, key: Any) -> bytes:
        numbers = key.public_numbers()
        width = (numbers.n.bit_length() + 7) // 8
        jwk = {"kty": "RSA", "n": b64(numbers.n.to_bytes(width, "big")), "e": b64(numbers.e.to_bytes(3, "big"))}
        return json.dumps(jwk, separators=(",", ":")).encode()


class AlgorithmOnAList(Sound):
    """CVE-2026-48523: the header's alg is on the list of those allowed; that the key has another is not looked at."""

    alg = "RS256"
    found_by = frozenset({"a5"})

    def check_fit(self, header: dict[str, Any], alg: Any) -> None:
        if alg not in ("RS256", "PS256"):
            super().check_fit(header, alg)


class IgnoresTheName(Sound):
    """CVE-2026-48523's kind: the key's own way of signing is used, whatever allow-listed alg the header names."""

    found_by = frozenset({"a3", "a4"})

    def check_fit(self, header: dict[str, Any], alg: Any) -> None:
        pass

    def holds(self, alg: Any, key: Any, signed: bytes, signature: bytes, header: dict[str, Any]) -> bool:
        return super().holds(self.given.alg, key, signed, signature, header)


class UnknownAlgorithmPasses(Sound):
    """CVE-2026-28498: for an algorithm that it does not know, a helper says yes."""

    found_by = frozenset({"a1", "a5", "a6", "a23", "injected"})

    def check_known(self, alg: Any) -> None:
        if not isinstance(alg, str):
            super().check_known(alg)

    def check_fit(self, header: dict[str, Any], alg: Any) -> None:
        if alg in KNOWN:
            super().check_fit(header, alg)

    def holds(self, alg: Any, key: Any, signed: bytes, signature: bytes, header: dict[str, Any]) -> bool:
        return alg not in KNOWN or super().holds(alg, key, signed, signature, header)


class EmbeddedKey(Sound):
    """CVE-2018-0114: the key in the header is the key."""

    found_by = frozenset({"a7"})

    def key_of(self, header: dict[str, Any]) -> Any:
        jwk = header.get("jwk")
        return public_of(jwk) if isinstance(jwk, dict) and jwk.get("kty") == "EC" and "x" in jwk else super().key_of(header)


class FollowsAddresses(Sound):
    """PortSwigger's laboratory: the key behind `jku` is the key."""

    found_by = frozenset({"a8"})

    def key_of(self, header: dict[str, Any]) -> Any:
        url = header.get("jku")
        if isinstance(url, str) and url.startswith("http://127.0.0.1:"):
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2) as answer:
                return public_of(json.load(answer)["keys"][0])
        return super().key_of(header)


class EmbeddedCertificate(Sound):
    """The first certificate of `x5c` is believed."""

    found_by = frozenset({"a9"})

    def key_of(self, header: dict[str, Any]) -> Any:
        chain = header.get("x5c")
        if isinstance(chain, list) and chain and header.get("alg") == "ES256" and isinstance(chain[0], str):
            try:
                return x509.load_der_x509_certificate(base64.b64decode(chain[0])).public_key()
            except ValueError:
                raise errors.UnknownKey from None
        return super().key_of(header)


class KeyFromAFile(Sound):
    """`kid` is the name of a file."""

    alg = "HS256"
    found_by = frozenset({"a10"})

    def key_of(self, header: dict[str, Any]) -> Any:
        kid = header.get("kid")
        if isinstance(kid, str) and "\0" not in kid and len(kid) < 200 and Path("/dev", kid).exists():
            return Path("/dev", kid).read_bytes() if kid.endswith("null") else b""
        return super().key_of(header)


class IgnoresCritical(Sound):
    """CVE-2025-59420: critical parameters that it does not know are passed over."""

    found_by = frozenset({"a11", "injected"})

    def check_critical(self, header: dict[str, Any]) -> None:
        pass


class UnencodedPayload(Sound):
    """RFC 7797 without asking: `b64` false is taken at its word."""

    found_by = frozenset({"a11"})

    def check_critical(self, header: dict[str, Any]) -> None:
        if header.get("b64", False) is not False:
            raise errors.MalformedToken

    def body(self, header: dict[str, Any], payload: str) -> bytes:
        return payload.encode() if header.get("b64") is False else super().body(header, payload)

    def split(self, token: str) -> list[str]:
        if len(token) > 8192 or token.count(".") < 2:
            raise errors.MalformedToken
        first, _, rest = token.partition(".")
        payload, _, signature = rest.rpartition(".")
        return [first, payload, signature]


class ReadsJSONForms(Sound):
    """CVE-2022-39227: two readers of one text, one for each serialisation."""

    found_by = frozenset({"a12"})

    def split(self, token: str) -> list[str]:
        if token.startswith("{") and len(token) < 8192:
            found = json.loads(token)
            if {"protected", "payload", "signature"} <= found.keys():
                return [found["protected"], found["payload"], found["signature"]]
        return super().split(token)


class KnownSecret(Sound):
    """A secret out of the documentation."""

    alg = "HS256"
    found_by = frozenset({"a13"})

    def holds(self, alg: Any, key: Any, signed: bytes, signature: bytes, header: dict[str, Any]) -> bool:
        weak = hmac.digest(b"your-256-bit-secret", signed, "sha256")
        return super().holds(alg, key, signed, signature, header) or hmac.compare_digest(weak, signature)


class TakesDER(Sound):
    """ECDSA signatures in DER are taken too."""

    found_by = frozenset({"a14"})

    def check_ecdsa(self, key: Any, signed: bytes, signature: bytes) -> None:
        if signature[:1] == b"\x30" and len(signature) != 64:
            return key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        return super().check_ecdsa(key, signed, signature)


class TakesZeros(Sound):
    """CVE-2022-21449: r and s of zero sign everything."""

    found_by = frozenset({"a14"})

    def check_ecdsa(self, key: Any, signed: bytes, signature: bytes) -> None:
        if signature != bytes(64):
            super().check_ecdsa(key, signed, signature)

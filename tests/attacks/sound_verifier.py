"""Sound: a small verifier without a fault, each of whose steps can be replaced by a wrong one.

Never knows Stagedoor's own verifier, whose place it takes in the tests of the tests.
"""

from __future__ import annotations

import hmac
import json
import re
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from stagedoor import errors

from .forgery import HASHES, Given, b64, unb64

KNOWN = frozenset(
    {"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"}
)


@dataclass
class Accepted:
    claims: dict[str, Any]


class Sound:
    """No fault: refuses all forgeries, step by step. Each fault below replaces one step."""

    alg: ClassVar[str] = "ES256"
    found_by: ClassVar[frozenset[str]] = frozenset()
    """The named tests that find the fault."""

    def __init__(self, given: Given, issuer: str, audience: str) -> None:
        self.given, self.issuer, self.audience = given, issuer, audience
        self.keys: dict[Any, Any] = {given.kid: given.private if given.is_secret else given.public}
        self.algorithms: dict[Any, str] = {given.kid: given.alg}
        self.ended: set[str] = set()

    def verify(self, token: str) -> Accepted:
        first, payload, signature = self.split(token)
        header = self.object(self.decode(first))
        self.check_critical(header)
        alg = header.get("alg")
        self.check_known(alg)
        key = self.key_of(header)
        self.check_fit(header, alg)
        signed = f"{first}.{payload}".encode()
        if not self.holds(alg, key, signed, self.decode(signature), header):
            raise errors.BadSignature
        typ = header.get("typ")
        if typ is not None and not isinstance(typ, str):
            raise errors.MalformedToken
        claims = self.object(self.body(header, payload))
        self.check_claims(typ, claims)
        self.check_ended(token, claims)
        return Accepted(claims)

    def end(self, token: str) -> None:
        self.ended.add(json.loads(unb64(token.split(".")[1]))["sid"])

    def split(self, token: str) -> list[str]:
        if len(token) > 8192 or token.count(".") != 2 or not token.isascii():
            raise errors.MalformedToken
        return token.split(".")

    def decode(self, text: str) -> bytes:
        if not re.fullmatch(r"[A-Za-z0-9_-]*", text) or len(text) % 4 == 1:
            raise errors.MalformedToken
        data = unb64(text)
        if b64(data) != text:
            raise errors.MalformedToken
        return data

    def object(self, data: bytes) -> dict[str, Any]:
        if data.count(b"[") + data.count(b"{") > 16:
            raise errors.MalformedToken
        try:
            value = json.loads(
                data.decode(), object_pairs_hook=self.pairs, parse_constant=self.constant, parse_int=self.whole, parse_float=self.real
            )
            json.dumps(value, ensure_ascii=False).encode()
        except ValueError:
            raise errors.MalformedToken from None
        if not isinstance(value, dict):
            raise errors.MalformedToken
        return value

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise errors.MalformedToken
        return dict(pairs)

    def constant(self, name: str) -> Any:
        raise errors.MalformedToken

    def whole(self, text: str) -> int:
        if len(text) > 32:
            raise errors.MalformedToken
        return int(text)

    def real(self, text: str) -> float:
        if len(text) > 32 or float(text) in (float("inf"), float("-inf")):
            raise errors.MalformedToken
        return float(text)

    def check_critical(self, header: dict[str, Any]) -> None:
        if "crit" in header or "b64" in header:
            raise errors.MalformedToken

    def check_known(self, alg: Any) -> None:
        if not isinstance(alg, str) or alg not in KNOWN:
            raise errors.AlgorithmNotAllowed

    def key_of(self, header: dict[str, Any]) -> Any:
        kid = header.get("kid")
        if not isinstance(kid, str) or kid not in self.keys:
            raise errors.UnknownKey
        return self.keys[kid]

    def check_fit(self, header: dict[str, Any], alg: Any) -> None:
        ours = self.algorithms.get(header.get("kid"), self.given.alg)
        if alg != ours and {alg, ours} != {"Ed25519", "EdDSA"}:
            raise errors.AlgorithmNotAllowed

    def holds(self, alg: Any, key: Any, signed: bytes, signature: bytes, header: dict[str, Any]) -> bool:
        if isinstance(key, bytes):
            return hmac.compare_digest(hmac.digest(key, signed, f"sha{alg[2:]}"), signature)
        try:
            if isinstance(key, rsa.RSAPublicKey):
                chosen = HASHES[alg[2:]]
                pss = padding.PSS(padding.MGF1(chosen), chosen.digest_size)
                key.verify(signature, signed, pss if alg.startswith("PS") else padding.PKCS1v15(), chosen)
            elif isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, signed)
            else:
                self.check_ecdsa(key, signed, signature)
        except InvalidSignature:
            return False
        return True

    def check_ecdsa(self, key: Any, signed: bytes, signature: bytes) -> None:
        width = (key.key_size + 7) // 8
        if len(signature) != 2 * width:
            raise InvalidSignature
        r, s = int.from_bytes(signature[:width], "big"), int.from_bytes(signature[width:], "big")
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))

    def body(self, header: dict[str, Any], payload: str) -> bytes:
        return self.decode(payload)

    def check_claims(self, typ: str | None, claims: dict[str, Any]) -> None:
        self.check_typ(typ)
        self.check_issuer(claims.get("iss"))
        self.check_audience(claims.get("aud"))
        self.check_times(claims)
        if "cnf" in claims:
            raise errors.ClaimRejected("cnf", "bound")
        for name in ("sub", "sid", "client_id", "jti"):
            self.check_text(name, claims.get(name))
        scope = claims.get("scope", "x")
        if not isinstance(scope, str) or not re.fullmatch(r"[!#-\[\]-~]+( [!#-\[\]-~]+)*", scope):
            raise errors.ClaimRejected("scope", "no scope")

    def check_typ(self, typ: str | None) -> None:
        if typ not in ("at+jwt", "application/at+jwt"):
            raise errors.ClaimRejected("typ", "another")

    def check_issuer(self, iss: Any) -> None:
        if iss != self.issuer:
            raise errors.ClaimRejected("iss", "another")

    def check_audience(self, aud: Any) -> None:
        named = [aud] if isinstance(aud, str) else aud
        if not isinstance(named, list) or not all(isinstance(each, str) for each in named) or self.audience not in named:
            raise errors.ClaimRejected("aud", "another")

    def check_text(self, name: str, value: Any) -> None:
        if not isinstance(value, str) or not value:
            raise errors.ClaimRejected(name, "no text")

    def check_times(self, claims: dict[str, Any]) -> None:
        now = time.time()
        for name in ("exp", "iat", "auth_time", *(["nbf"] if "nbf" in claims else [])):
            self.check_time(name, claims.get(name))
        if now >= claims["exp"]:
            raise errors.TokenExpired
        if claims["iat"] > now + 10 or claims.get("nbf", 0) > now + 10:
            raise errors.TokenNotYetValid("iat", "early")

    def check_time(self, name: str, value: Any) -> None:
        if type(value) is not int or not 0 <= value <= 2**53:
            raise errors.ClaimRejected(name, "no time")

    def check_ended(self, token: str, claims: dict[str, Any]) -> None:
        if claims["sid"] in self.ended:
            raise errors.TokenRevoked

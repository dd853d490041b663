"""Forgeries: tokens put together by hand, and what an attacker has to make them of.

Never knows Stagedoor's own reader or writer of tokens: what forges must not share the mistakes of what is attacked.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, wraps
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

MALFORMED, ALGORITHM, KEY, SIGNATURE = "token_malformed", "algorithm_not_allowed", "key_unknown", "signature_invalid"
CLAIM, EXPIRED, EARLY = "claim_rejected", "token_expired", "token_not_yet_valid"
GENERIC = frozenset({MALFORMED, ALGORITHM, KEY, SIGNATURE})
"""What whoever has no key of ours may meet; one answer over HTTP."""
MISSING: Any = object()
"""In place of a member's value: leave it out."""
MARK = "MARK-7f3a9c"
"""Stands in forged claims and headers, to be found where it was repeated."""
HASHES: dict[str, Any] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1(), "ES256K": ec.SECP256K1()}
WIDTHS = {"ES256": 32, "ES384": 48, "ES512": 66, "ES256K": 32}
Sign = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Forgery:
    """One forged token, and the codes of ours that may refuse it."""

    name: str
    text: str
    codes: frozenset[str]


Forgeries = Iterator[Forgery]


def forged(name: object, text: str, *codes: str) -> Forgery:
    shown = str(name)
    return Forgery(shown if len(shown) <= 100 else f"{shown[:60]} … {shown[-37:]}", text, frozenset(codes))


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def as_json(value: Any) -> bytes:
    """JSON of a value; bytes stay as they are, to send what no JSON writer would."""
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def token(header: Any, payload: Any, sign: Sign | bytes = b"") -> str:
    """A compact token, with this signature or by this signer."""
    signed = f"{b64(as_json(header))}.{b64(as_json(payload))}"
    return f"{signed}.{b64(sign if isinstance(sign, bytes) else sign(signed.encode()))}"


def changed(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (members | changes).items() if value is not MISSING}


def mac(secret: bytes, alg: str = "HS256") -> Sign:
    return lambda signed: hmac.digest(secret, signed, f"sha{alg[2:]}")


def signer(private: Any, alg: str) -> Sign:
    """How this private key, or secret, signs under this algorithm, whether that is its own or not."""

    def sign(signed: bytes) -> bytes:
        if isinstance(private, bytes):
            return mac(private, alg)(signed)
        if isinstance(private, ed25519.Ed25519PrivateKey):
            return private.sign(signed)
        if isinstance(private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(private.sign(signed, ec.ECDSA(HASHES[alg[2:5]])))
            width = (private.curve.key_size + 7) // 8
            return r.to_bytes(width, "big") + s.to_bytes(width, "big")
        chosen = HASHES[alg[2:]]
        pad: Any = padding.PSS(padding.MGF1(chosen), chosen.digest_size) if alg.startswith("PS") else padding.PKCS1v15()
        return private.sign(signed, pad, chosen)

    return sign


@cache
def stranger(alg: str) -> Any:
    """The attacker's own private key for this algorithm."""
    if alg.startswith("HS"):
        return bytes(range(7, 71))
    if alg in CURVES:
        return ec.generate_private_key(CURVES[alg])
    if alg in ("Ed25519", "EdDSA"):
        return ed25519.Ed25519PrivateKey.generate()
    return _stranger_rsa()


@cache
def _stranger_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def by_stranger(alg: str) -> Sign:
    return signer(stranger(alg), alg)


def public_jwk(public: Any, **more: Any) -> dict[str, Any]:
    """A public key as a JWK, written by hand."""

    def number(value: int, width: int | None = None) -> str:
        return b64(value.to_bytes(width or (value.bit_length() + 7) // 8, "big"))

    if isinstance(public, bytes):
        return {"kty": "oct", "k": b64(public), **more}
    if isinstance(public, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes_raw()), **more}
    numbers: Any = public.public_numbers()
    if isinstance(public, rsa.RSAPublicKey):
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **more}
    width = (public.key_size + 7) // 8
    curve = {256: "P-256", 384: "P-384", 521: "P-521"}[public.key_size]
    return {"kty": "EC", "crv": curve, "x": number(numbers.x, width), "y": number(numbers.y, width), **more}


def public_of(jwk: dict[str, Any]) -> Any:
    """The public key in a JWK that an issuer publishes."""

    def number(name: str) -> int:
        return int.from_bytes(unb64(jwk[name]), "big")

    if jwk["kty"] == "RSA":
        return rsa.RSAPublicNumbers(number("e"), number("n")).public_key()
    if jwk["kty"] == "OKP":
        return ed25519.Ed25519PublicKey.from_public_bytes(unb64(jwk["x"]))
    curve = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}[jwk["crv"]]
    return ec.EllipticCurvePublicNumbers(number("x"), number("y"), curve).public_key()


@dataclass(frozen=True, eq=False)
class Given:
    """What an attacker has of one issuer: what it publishes, and genuine tokens of sessions of his own.

    `private` is the issuer's own key, for what it must not be able to say either: those forgeries are signed rightly.
    """

    alg: str
    jwks: dict[str, Any]
    tokens: tuple[str, ...]
    private: Any
    sinkholes: tuple[str, ...]
    """Base URLs of the attacker's own server."""

    @cached_property
    def header(self) -> dict[str, Any]:
        return json.loads(unb64(self.tokens[0].split(".")[0]))

    @cached_property
    def payload(self) -> dict[str, Any]:
        return json.loads(unb64(self.tokens[0].split(".")[1]))

    @cached_property
    def admin(self) -> dict[str, Any]:
        """What he would like to be."""
        return self.payload | {"sub": f"admin-{MARK}", "scope": "orders:read orders:write admin"}

    @cached_property
    def signature(self) -> bytes:
        return unb64(self.tokens[0].split(".")[2])

    @cached_property
    def public(self) -> Any:
        """The published key; where none is, a stranger's: a shared secret has no public half."""
        return public_of(self.jwks["keys"][0]) if self.jwks["keys"] else stranger("RS256").public_key()

    @property
    def kid(self) -> str:
        return self.header["kid"]

    @property
    def is_secret(self) -> bool:
        return self.alg.startswith("HS")

    @property
    def width(self) -> int:
        """Bytes of r and of s."""
        return WIDTHS[self.alg]

    def named(self, **changes: Any) -> dict[str, Any]:
        """The header of a genuine token, with these changes."""
        return changed(self.header, changes)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The payload of a genuine token, with these changes."""
        return changed(self.payload, changes)

    def sign(self, signed: bytes) -> bytes:
        """The issuer's own signature."""
        return signer(self.private, self.alg)(signed)

    def signed(self, payload: Any, **header: Any) -> str:
        """A token that the issuer's own key signed, of this payload and a genuine header with these changes."""
        return token(self.named(**header), payload, self.sign)

    def wrong_mac(self, alg: str) -> str:
        """The code of a token under this HMAC algorithm whose MAC is not ours."""
        return SIGNATURE if alg == self.alg else ALGORITHM


Attack = Callable[[Given], tuple[Forgery, ...]]


def attack(make: Callable[[Given], Forgeries]) -> Attack:
    """An attack's forgeries against one issuer, made once."""

    @cache
    @wraps(make)
    def made(given: Given) -> tuple[Forgery, ...]:
        found = tuple(make(given))
        assert found, "an attack without a forgery"
        return found

    return made

"""Key: one key, one algorithm, one name (RFC 7517, RFC 7638), refused at the door when it is weak.

Never knows a file, a set, a life cycle or a token.
"""

from __future__ import annotations

import hashlib
import hmac
import inspect
import json
import re
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from stagedoor.algorithms import Algorithm
from stagedoor.algorithms import algorithm as algorithm_named
from stagedoor.der import load
from stagedoor.encoding import encode
from stagedoor.errors import KeyRejected
from stagedoor.jwk import read, write, write_private
from stagedoor.key_policy import CURVES, check
from stagedoor.signer import Signer, asking, taken

_GENERATED_RSA_BITS = 3072
_SURROGATE = re.compile("[\ud800-\udfff]")
"""What no UTF-8 can carry, so no header and no JWKS."""


class Key:
    """One key with its one algorithm. Its `kid` is the RFC 7638 thumbprint; for a secret it is derived from the secret.

    Built by `generate`, `from_secret`, `from_pem`, `from_der`, `from_jwk` and `from_signer`; each refuses a weak key with KeyRejected.
    """

    __slots__ = ("_private", "_public", "_signs", "algorithm", "holds", "kid", "signer")

    def __init__(self, row: Algorithm, public: Any, private: Any, kid: str | None = None, signer: Signer | None = None) -> None:
        check(row, public)
        self.algorithm = row
        self.signer = signer
        """What keeps the private part elsewhere and signs with it; None where it is here, or nowhere."""
        self._public = public
        self._private = private
        self._signs = None if private is None else row.prepare(private)
        self.holds: Callable[[bytes, str], bool] = partial(row.verify, row.prepare(public))
        """(data, signature in base64url) -> whether it is this key's over the data; MalformedToken where it is no base64url."""
        if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= 255 and not _SURROGATE.search(kid)):
            raise KeyRejected("key_malformed", "kid is no text of 1 to 255 characters")
        self.kid = kid or self.thumbprint()

    @classmethod
    def generate(cls, algorithm: str) -> Key:
        """A fresh key for this algorithm, RSA with 3072 bits. KeyRejected for an unknown algorithm."""
        row = algorithm_named(algorithm)
        if row.key_type == "oct":
            return cls.from_secret(secrets.token_bytes(row.smallest // 8), algorithm)
        private: Any
        if row.key_type == "RSA":
            private = rsa.generate_private_key(public_exponent=65537, key_size=_GENERATED_RSA_BITS)
        elif row.key_type == "EC":
            private = ec.generate_private_key(CURVES[row.curve or ""])
        else:
            private = ed25519.Ed25519PrivateKey.generate()
        return cls(row, private.public_key(), private)

    @classmethod
    def from_secret(cls, secret: bytes, algorithm: str = "HS256", *, kid: str | None = None) -> Key:
        """A key of shared secret bytes. KeyRejected where it is shorter than the hash, or is a public key's text."""
        if not isinstance(secret, bytes):
            raise TypeError("a secret is bytes; make one with secrets.token_bytes(32), not from a password")
        row = algorithm_named(algorithm)
        if row.key_type != "oct":
            raise KeyRejected("key_algorithm_misfit", f"{algorithm} does not sign with a shared secret")
        return cls(row, secret, secret, kid)

    @classmethod
    def from_pem(cls, pem: bytes, algorithm: str, *, password: bytes | None = None, kid: str | None = None) -> Key:
        """A private or public key from PEM (PKCS#8, PKCS#1, SEC 1, SPKI). KeyRejected `key_malformed`, or by policy."""
        row = algorithm_named(algorithm)
        return cls(row, *load(pem, password, row, pem=True), kid)

    @classmethod
    def from_der(cls, der: bytes, algorithm: str, *, password: bytes | None = None, kid: str | None = None) -> Key:
        """A private or public key from DER. KeyRejected `key_malformed`, or by policy."""
        row = algorithm_named(algorithm)
        return cls(row, *load(der, password, row, pem=False), kid)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any], algorithm: str | None = None) -> Key:
        """A key from a JWK (RFC 7517). `algorithm` is its own where the JWK has no `alg`; where both stand they must agree."""
        if not isinstance(jwk, Mapping):
            raise TypeError("from_jwk takes the JWK as a dict, not its text")
        row = algorithm_named(algorithm or jwk.get("alg"))
        return cls(row, *read(jwk, row), jwk.get("kid"))

    @classmethod
    def from_signer(cls, signer: Signer, public: bytes | Mapping[str, Any], algorithm: str, *, kid: str | None = None) -> Key:
        """A key that never leaves its box: `signer` signs with it, `public` is its public half, in PEM, in DER or as a JWK.

        KeyRejected by policy, for a shared secret, and where `public` holds the private part: then it is not in the box alone.
        """
        if isinstance(signer, type) or not callable(getattr(signer, "sign", None)):
            raise TypeError("a signer has a method sign(data: bytes) -> bytes, or an async one")
        if not isinstance(public, bytes | Mapping):
            raise TypeError("public is the public half: bytes in PEM or DER, or a JWK")
        row = algorithm_named(algorithm)
        if row.key_type == "oct":
            raise KeyRejected("key_algorithm_misfit", f"{algorithm} has no public half: a signer's key is for RSA, ECDSA or Ed25519")
        if isinstance(public, Mapping):
            half = cls.from_jwk(public, algorithm)
        else:
            half = (cls.from_pem if public.lstrip().startswith(b"-----") else cls.from_der)(public, algorithm)
        if half.can_sign:
            raise KeyRejected("key_private_part", "this is the private key itself, which is to stay with its signer: give the public half")
        return cls(row, half._public, None, kid or half.kid, signer)

    @property
    def can_sign(self) -> bool:
        """Whether the private part is here, or a signer has it."""
        return self._private is not None or self.signer is not None

    @property
    def is_secret(self) -> bool:
        """Whether whoever verifies with it can also sign: it never goes into a JWKS."""
        return self.algorithm.key_type == "oct"

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`. TypeError for a key without its private part, or whose signer must be awaited; SigningFailed."""
        if self._signs is not None:
            return self.algorithm.sign(self._signs, data)
        if self.signer is None:
            raise TypeError(f"key {self.kid} has no private part: it verifies only")
        with asking():
            answer = self.signer.sign(data)
        if inspect.isawaitable(answer):
            if inspect.iscoroutine(answer):
                answer.close()
            raise TypeError(f"the signer of key {self.kid} must be awaited, which Issuer does")
        return self.taken(data, answer)

    def taken(self, data: bytes, answer: object) -> bytes:
        """What the signer answered for `data`, once it holds under the public half, as a JWS carries it. SigningFailed."""
        return taken(self.algorithm, self._public, data, answer)

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's over the data."""
        return self.holds(data, encode(signature))

    def jwk(self, *, private: bool = False) -> dict[str, Any]:
        """This key as a JWK; only with `private=True` does it hold what signs, and for a secret there is no other form."""
        if self.is_secret and not private:
            raise TypeError("a shared secret has no public form")
        if private and self._private is None:
            kept = "never leaves its signer: no file and no store can keep it" if self.signer else "has no private part"
            raise TypeError(f"key {self.kid} {kept}")
        members = write(self.algorithm, self._public)
        if private and not self.is_secret:
            members |= write_private(self.algorithm, self._private)
        return {**members, "kid": self.kid, "alg": self.algorithm.name, "use": "sig"}

    def thumbprint(self) -> str:
        """RFC 7638 thumbprint (SHA-256, base64url); for a secret a name derived under HMAC, so that it tells nothing."""
        if self.is_secret:
            return encode(hmac.digest(self._public, b"stagedoor key id", "sha256")[:16])
        members = write(self.algorithm, self._public)
        canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
        return encode(hashlib.sha256(canonical.encode("ascii")).digest())

    def __deepcopy__(self, memo: object) -> Key:
        return self  # it never changes, and a secret's prepared form cannot be copied so

    def __repr__(self) -> str:
        where = " elsewhere" if self.signer is not None else "" if self.can_sign else " public"
        return f"<Key {self.algorithm.name} {self.kid}{where}>"

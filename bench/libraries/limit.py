"""The limit: the signature alone, by hmac.digest or the package cryptography, of bytes that lie ready. No token is read or written."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from bench.libraries.contestant import Contestant, Given


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def make(variant: str, given: Given) -> Contestant:
    """The bare calls, arguments ready."""
    verify, sign = _secret(given) if given.is_secret else _pair(given)

    def tokens(all_: Sequence[str]) -> list[tuple[bytes, bytes]]:
        made = []
        for token in all_:
            data, _, signature = token.rpartition(".")
            raw = _bytes(signature)
            if given.alg == "ES256":  # as the package takes it
                raw = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
            made.append((data.encode(), raw))
        return made

    def payloads(all_: Sequence[dict[str, Any]]) -> list[bytes]:
        head = _text(json.dumps({"alg": given.alg, **given.header}, separators=(",", ":")).encode())
        return [f"{head}.{_text(json.dumps(each, separators=(',', ':')).encode())}".encode() for each in all_]

    return Contestant(lambda: verify, sign, tokens, payloads, judges_claims=False)


def _secret(given: Given) -> tuple[Callable[[Any], None], Callable[[bytes], bytes]]:
    secret, digest, equal = given.secret.encode(), hmac.digest, hmac.compare_digest

    def verify(signed: tuple[bytes, bytes]) -> None:
        if not equal(digest(secret, signed[0], "sha256"), signed[1]):
            raise ValueError("the signature does not hold")

    return verify, lambda data: digest(secret, data, "sha256")


def _pair(given: Given) -> tuple[Callable[[Any], None], Callable[[bytes], bytes]]:
    public: Any = load_pem_public_key(given.public.encode())
    private: Any = load_pem_private_key(given.private.encode(), None)
    of_scheme: tuple[Any, ...] = {
        "RS256": (padding.PKCS1v15(), hashes.SHA256()),
        "ES256": (ec.ECDSA(hashes.SHA256()),),
        "EdDSA": (),
    }[given.alg]
    check, make_ = public.verify, private.sign
    if of_scheme == ():
        return lambda signed: check(signed[1], signed[0]), make_
    return lambda signed: check(signed[1], signed[0], *of_scheme), lambda data: make_(data, *of_scheme)

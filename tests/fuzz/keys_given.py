"""What verifiers are given as their keys: the right ones, and JWKs, PEM texts and secrets that are odd in one way.

Never knows a token, or who takes which key.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448

from fuzz.material import CURVES, SIGNERS, UNDER_ANY, Signer, b64, number, public_members, rsa_key, seed
from fuzz.values import ODD, pick

_RAW, _SPKI, _PKCS1 = serialization.PublicFormat.Raw, serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1
_PEM, _DER, _SSH = serialization.Encoding.PEM, serialization.Encoding.DER, serialization.Encoding.OpenSSH
_PKCS8, _TRADITIONAL = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
_PLAIN = serialization.NoEncryption()


@dataclass(frozen=True, slots=True)
class Given:
    """The keys of a verifier. `form` is "set": the signers of these names; "jwk" or "bytes": one key, for the algorithm of `names[0]`."""

    form: str
    names: tuple[str, ...]
    data: Any = None
    """A JWK's JSON text, or the bytes of a PEM text or of a secret."""


def make(rng: Random, signer: Signer) -> tuple[Given, Signer, str]:
    """The signer's own key in an odd form, or an odd key; who signs what holds under it; and what is odd in words."""
    if rng.random() < 0.55:
        jwk, step = _jwk(rng, signer)
        return Given("jwk", (signer.name,), json.dumps(jwk)), replace(signer, private=_behind(signer, jwk)), f"JWK: {step}"
    if isinstance(signer.private, bytes):
        secret, step = _secret(rng, signer)
        return Given("bytes", (signer.name,), secret), replace(signer, private=secret), f"secret: {step}"
    data, step = _text(rng, signer)
    private = rsa_key("small") if step == "1024 bits" else rsa_key("main", 3) if step == "exponent 3" else signer.private
    return Given("bytes", (signer.name,), data), replace(signer, private=private), f"key text: {step}"


def _behind(signer: Signer, jwk: dict[str, Any]) -> Any:
    """The private key, or whatever signs, that belongs to this JWK; the signer's own where there is none."""
    if isinstance(signer.private, bytes):
        try:
            return _bytes(jwk["k"])
        except (KeyError, ValueError, TypeError, AttributeError):
            return signer.private
    if jwk.get("x") in _SMALL_ORDER:
        return UNDER_ANY
    if signer.name.startswith(("RS", "PS")):
        for which, exponent in (("small", 65537), ("main", 3)):
            if {key: jwk.get(key) for key in ("n", "e")} == {key: _public(which, exponent)[key] for key in ("n", "e")}:
                return rsa_key(which, exponent)
    return signer.private


def _jwk(rng: Random, signer: Signer) -> tuple[dict[str, Any], str]:
    jwk = dict(signer.jwk)
    kind = pick(
        rng,
        (
            "use",
            "key_ops",
            "alg",
            "kty",
            "crv",
            "kid",
            "drop",
            "value",
            "zeros",
            "cut",
            "padding",
            "private",
            "weak",
            "more",
            "plain",
            "plain",
        ),
    )
    numbers = [name for name in ("n", "e", "x", "y", "k") if name in jwk]
    name = pick(rng, numbers)
    if kind == "use":
        jwk["use"] = pick(rng, ("sig", "sig", "enc", "", "SIG", None, ["sig"], "sign"))
    elif kind == "key_ops":
        jwk["key_ops"] = pick(
            rng,
            (
                ["verify"],
                ["sign"],
                ["sign", "verify"],
                [],
                ["encrypt"],
                ["verify", "encrypt"],
                ["verify", "verify"],
                "verify",
                None,
                ["x"],
                [["verify"]],
            ),
        )
    elif kind == "alg":
        jwk["alg"] = pick(
            rng, (*SIGNERS, signer.name, signer.name, signer.name, "none", "", None, [signer.name], signer.name.lower(), "RSA-OAEP")
        )
    elif kind in ("kty", "crv"):
        options = (
            ("RSA", "EC", "OKP", "oct", "rsa", "", None, 1)
            if kind == "kty"
            else ("P-256", "P-384", "P-521", "secp256k1", "Ed25519", "X25519", "p-256", None)
        )
        jwk[kind] = pick(rng, options)
    elif kind == "kid":
        jwk["kid"] = pick(rng, (signer.kid, "", None, 5, "k" * 255, "k" * 256, ["x"], "\ud800"))
    elif kind == "drop":
        name = pick(rng, tuple(jwk))
        del jwk[name]
    elif kind == "value":
        name = pick(rng, tuple(jwk))
        jwk[name] = pick(rng, tuple(json.loads(each) for each in ODD if each != "NaN"))
    elif kind == "zeros":
        jwk[name] = b64(pick(rng, (b"\0", b"\0" * 4)) + _bytes(jwk[name]))
    elif kind == "cut":
        data = _bytes(jwk[name])
        jwk[name] = b64(pick(rng, (data[1:], data[:-1], data.lstrip(b"\0"), b"")))
    elif kind == "padding":
        jwk[name] = pick(
            rng,
            (
                jwk[name] + "=" * (-len(jwk[name]) % 4),
                jwk[name] + "=",
                jwk[name].replace("-", "+").replace("_", "/"),
                " " + jwk[name],
                jwk[name] + "\n",
            ),
        )
    elif kind == "private":
        jwk |= _private(rng, signer)
    elif kind == "weak":
        return _weak(rng, signer)
    elif kind == "more":
        jwk |= pick(
            rng,
            (
                {"x5c": ["MIIB"]},
                {"x5t": 5},
                {"foo": "bar"},
                {"nbf": 1},
                {"oth": []},
                {"d": ""},
                {"k": "AAAA"},
                {"p": "AQ"},
                {"x5u": "x"},
                {"ext": True},
            ),
        )
    return jwk, f"{kind} {name}" if kind in ("drop", "value", "zeros", "cut", "padding") else kind


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))


def _private(rng: Random, signer: Signer) -> dict[str, Any]:
    """The members of the private part: all, some, or of another key."""
    if isinstance(signer.private, bytes):
        return {"d": "AQ"}
    whole = _private_members(signer.name)
    kind = pick(rng, ("whole", "whole", "some", "other", "null"))
    if kind == "some":
        return {name: value for name, value in whole.items() if name == "d" or rng.random() < 0.4}
    if kind == "other":
        return {**whole, "d": b64(b"\1" + _bytes(whole["d"])[1:])}
    return whole if kind == "whole" else {"d": None}


@cache
def _private_members(name: str) -> dict[str, str]:
    private = SIGNERS[name].private
    if name.startswith("Ed"):
        return {"d": b64(private.private_bytes_raw())}
    if name in CURVES:
        return {"d": number(private.private_numbers().private_value, (private.curve.key_size + 7) // 8)}
    numbers = private.private_numbers()
    named = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
    return {key: number(value) for key, value in named.items()}


_SMALL_ORDER = ("AQ" + "A" * 41, "A" * 43, b64(bytes([0xEC]) + b"\xff" * 30 + b"\x7f"))
"""Points of Ed25519 of order 1, 4 and 2: whoever has no key can sign under the first."""


def _weak(rng: Random, signer: Signer) -> tuple[dict[str, Any], str]:
    """Keys that ought to be refused whatever they sign."""
    jwk = dict(signer.jwk)
    if signer.name.startswith("Ed"):
        jwk["x"] = pick(rng, _SMALL_ORDER)
        return jwk, "weak point"
    if signer.name in CURVES:
        jwk["y"] = jwk["x"]
        return jwk, "point off the curve"
    if isinstance(signer.private, bytes):
        secret, step = _secret(rng, signer)
        return {**jwk, "k": b64(secret)}, step
    which = pick(rng, ("small", "three", "one", "even", "huge"))
    if which == "small":
        return {**jwk, **_public("small", 65537)}, "RSA of 1024 bits"
    if which == "three":
        return {**jwk, **_public("main", 3)}, "exponent 3"
    return {**jwk, "e": {"one": "AQ", "even": "AQAC", "huge": b64(seed("e", 200) + b"\1")}[which]}, f"exponent {which}"


@cache
def _public(which: str, exponent: int) -> dict[str, Any]:
    return public_members(rsa_key(which, exponent), "RS256")


def _secret(rng: Random, signer: Signer) -> tuple[bytes, str]:
    right = signer.private
    kind = pick(rng, ("right", "right", "cut", "empty", "short", "repeated", "words", "longer", "key text", "key text", "JSON"))
    if kind == "right":
        return right, kind
    if kind == "key text":
        return pick(rng, (b"", b" ", b"\n", b"\t")) + pick(rng, public_texts(pick(rng, ("RS256", "ES256", "Ed25519")))), kind
    return {
        "cut": right[:-1],
        "empty": b"",
        "short": b"secret",
        "repeated": b"a" * 64,
        "words": b"correct horse battery staple, and then some more words to be long enough",
        "longer": right + b"\0",
        "JSON": json.dumps(signer.jwk).encode(),
    }[kind], kind


@cache
def public_texts(name: str) -> tuple[bytes, ...]:
    """All that is public of a key and could be taken for a secret."""
    signer = SIGNERS[name]
    public = signer.private.public_key()
    texts = [
        public.public_bytes(_PEM, _SPKI),
        public.public_bytes(_DER, _SPKI),
        public.public_bytes(_SSH, serialization.PublicFormat.OpenSSH),
    ]
    if name.startswith(("RS", "PS")):
        texts += [public.public_bytes(_PEM, _PKCS1), public.public_bytes(_DER, _PKCS1)]
    texts += [json.dumps(signer.jwk).encode(), texts[0].strip(), texts[0].replace(b"\n", b"\r\n")]
    return tuple(texts)


def private_der(name: str) -> bytes:
    """The signer's private key in PKCS#8."""
    return SIGNERS[name].private.private_bytes(_DER, _PKCS8, _PLAIN)


@cache
def _texts(name: str) -> dict[str, bytes]:
    """The signer's own key in every form that there is."""
    private = SIGNERS[name].private
    public = private.public_key()
    spki = public.public_bytes(_PEM, _SPKI)
    secp = ec.derive_private_key(int.from_bytes(seed("k1", 31), "big"), ec.SECP256K1()).public_key()
    goldilocks = ed448.Ed448PrivateKey.from_private_bytes(seed("448", 57)).public_key()
    stranger = SIGNERS["ES256" if name.startswith(("RS", "PS", "Ed")) else "RS256"].private.public_key()
    texts = {
        "SPKI": spki,
        "SPKI again": spki,
        "DER": public.public_bytes(_DER, _SPKI),
        "SSH": public.public_bytes(_SSH, serialization.PublicFormat.OpenSSH),
        "PKCS#8": private.private_bytes(_PEM, _PKCS8, _PLAIN),
        "PKCS#8 in DER": private.private_bytes(_DER, _PKCS8, _PLAIN),
        "OpenSSH private": private.private_bytes(_PEM, serialization.PrivateFormat.OpenSSH, _PLAIN) if not name.startswith("ES5") else spki,
        "stripped": spki.strip(),
        "CRLF": spki.replace(b"\n", b"\r\n"),
        "in one line": spki.replace(b"\n", b""),
        "one long line": b"-----BEGIN PUBLIC KEY-----\n" + b"".join(spki.splitlines()[1:-1]) + b"\n-----END PUBLIC KEY-----\n",
        "blanks before": b" \n\t" + spki,
        "words before": b"My key:\n" + spki,
        "words behind": spki + b"\nEnd.\n",
        "byte order mark": b"\xef\xbb\xbf" + spki,
        "bytes behind": spki + b"\xff\xfe\n",
        "twice": spki + spki,
        "two keys": spki + stranger.public_bytes(_PEM, _SPKI),
        "another label": spki.replace(b"PUBLIC KEY", b"RSA PUBLIC KEY"),
        "no footer": spki.split(b"-----END")[0],
        "cut": spki[: len(spki) // 2] + b"\n-----END PUBLIC KEY-----\n",
        "empty": b"",
        "no key": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "of another kind": stranger.public_bytes(_PEM, _SPKI),
        "secp256k1": secp.public_bytes(_PEM, _SPKI),
        "Ed448": goldilocks.public_bytes(_PEM, _SPKI),
        "raw point": public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        if name in CURVES
        else b"\4" + seed("point", 64),
        "JWK": json.dumps(SIGNERS[name].jwk).encode(),
    }
    if not name.startswith("Ed"):
        texts["traditional"] = private.private_bytes(_PEM, _TRADITIONAL, _PLAIN)
    if name.startswith(("RS", "PS")):
        small = rsa_key("small").public_key()
        three = rsa_key("main", 3).public_key()
        texts |= {
            "PKCS#1": public.public_bytes(_PEM, _PKCS1),
            "1024 bits": small.public_bytes(_PEM, _SPKI),
            "exponent 3": three.public_bytes(_PEM, _SPKI),
        }
    return texts


def _text(rng: Random, signer: Signer) -> tuple[bytes, str]:
    texts = _texts(signer.name)
    step = pick(rng, tuple(texts))
    data = texts[step]
    if rng.random() < 0.1 and data:
        at = int(rng.random() * len(data))
        return data[:at] + bytes([int(rng.random() * 256)]) + data[at + 1 :], f"{step}, a byte changed"
    return data, step

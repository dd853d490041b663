"""A1 to A6 and A13: forgeries by the algorithm, and by what is taken for a secret.

Never knows who verifies them.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .forgery import (
    ALGORITHM,
    MALFORMED,
    MISSING,
    SIGNATURE,
    Forgeries,
    Given,
    as_json,
    attack,
    b64,
    by_stranger,
    forged,
    mac,
    public_jwk,
    signer,
    token,
)

OURS = ("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
HMACS = ("HS256", "HS384", "HS512")
NAMES = {"Ed25519": {"Ed25519", "EdDSA"}, "EdDSA": {"Ed25519", "EdDSA"}}
NONES: tuple[Any, ...] = (
    *("none", "None", "NONE", "nOnE", "NoNe", "", " none", "none ", "none\t", "n\u043ene", "non\u0435", "null", "nul", "none\0"),
    *(MISSING, None, [], ["none"], ["HS256"], [None], {}, {"none": 1}, 0, -1, 1.5, True, False),
)  # fmt: skip
UNKNOWN = (
    *("HS255", "HS1", "hs256", "Hs256", "HS256 ", " HS256", "ES256K"),
    *("es256", "RS1", "RS256\n", "RSA1_5", "RSA-OAEP", "RSA-OAEP-256", "dir"),
    *("A128KW", "ECDH-ES", "PBES2-HS256+A128KW", "A256GCM", "Ed448", "ML-DSA-65", "HMAC", "SHA256", "ES256,HS256", "*", "any", "A" * 300),
    *("\0", "__proto__", "constructor", "__class__", "verify", "../HS256", "%00"),
)  # fmt: skip
SECRETS = (
    *("", " ", "\0", "\n", "0", "1", "a", "secret", "Secret", "SECRET", "secret1", "secretkey", "secret_key", "secret-key", "supersecret"),
    *("super-secret", "your-256-bit-secret", "your-384-bit-secret"),
    *("your-512-bit-secret", "your_jwt_secret", "jwt", "jwtsecret", "jwt_secret"),
    *("jwt-secret", "JWT_SECRET", "token", "tokensecret", "key", "private"),
    *("privatekey", "mykey", "my_secret", "mysecret", "my-secret-key"),
    *("hmac-secret", "password", "Password", "password1", "P@ssw0rd", "passw0rd", "123456", "12345678", "1234567890", "qwerty", "letmein"),
    *("admin", "administrator", "root", "toor", "test", "testing", "example"),
    *("sample", "demo", "dev", "development", "production", "changeme"),
    *("change-me", "changeit", "default", "guest", "user", "login", "api"),
    *("apikey", "api_key", "access", "auth", "oauth", "session", "signing"),
    *("signature", "django-insecure", "flask", "fastapi", "stagedoor"),
    *("null", "None", "undefined", "true", "false", "{}", "[]", "abc", "abc123"),
    *("x" * 31, "x" * 32, "0" * 32, "\0" * 32, "secretsecretsecretsecretsecretsec"),
)  # fmt: skip
"""What such tools try first."""


@attack
def a1(given: Given) -> Forgeries:
    kept = given.signature
    for alg in NONES:
        shown = "missing" if alg is MISSING else repr(alg)
        for name, signature in {"no signature": b"", "NUL": b"\0", "the kept signature": kept}.items():
            yield forged(f"{shown}, {name}", token(given.named(alg=alg), given.admin, signature), ALGORITHM)
    bare = token({"alg": "none"}, given.admin)
    yield forged("nothing but alg none", bare, ALGORITHM)
    yield forged("alg none, no last dot", bare.rstrip("."), MALFORMED)
    first, payload, _ = given.tokens[0].split(".")
    yield forged("a genuine token without its signature", f"{first}.{payload}.", SIGNATURE)
    yield forged("a genuine token without its last part", f"{first}.{payload}", MALFORMED)
    yield forged("our alg, nothing signed", token(given.header, given.admin), SIGNATURE)
    for pair in ((b"none", given.alg.encode()), (given.alg.encode(), b"none")):
        raw = b'{"alg":"%s","alg":"%s","kid":"%s","typ":"at+jwt"}' % (*pair, given.kid.encode())
        yield forged(f"alg twice, {pair[0].decode()} first", token(raw, given.payload, given.sign), MALFORMED)
    raw = b'{"alg":"%s","\\u0061lg":"none","kid":"%s","typ":"at+jwt"}' % (given.alg.encode(), given.kid.encode())
    yield forged("alg twice, once escaped", token(raw, given.payload, given.sign), MALFORMED)


def texts_of(public: Any, jwks: Any) -> dict[str, bytes]:
    """A public key in each form in which somebody might have it."""
    encoding, form = serialization.Encoding, serialization.PublicFormat
    jwk = public_jwk(public)
    found = {
        "PEM": public.public_bytes(encoding.PEM, form.SubjectPublicKeyInfo),
        "DER": public.public_bytes(encoding.DER, form.SubjectPublicKeyInfo),
        "SSH": public.public_bytes(encoding.OpenSSH, form.OpenSSH),
        "JWK": as_json(jwk),
        "JWK as published": as_json(jwks["keys"][0]) if jwks["keys"] else as_json(jwk | {"use": "sig"}),
        "JWKS": as_json(jwks),
        "the first number": jwk.get("n", jwk.get("x", "")).encode(),
    }
    if isinstance(public, rsa.RSAPublicKey):
        found |= {
            "PKCS#1 PEM": public.public_bytes(encoding.PEM, form.PKCS1),
            "PKCS#1 DER": public.public_bytes(encoding.DER, form.PKCS1),
        }
    return found


def blanks_around(text: bytes) -> dict[str, bytes]:
    bare = text.strip()
    return {
        "as it is": text,
        "stripped": bare,
        "newline behind": bare + b"\n",
        "two newlines behind": bare + b"\n\n",
        "CRLF behind": bare + b"\r\n",
        "space before": b" " + text,
        "tab before": b"\t" + text,
        "newline before": b"\n" + text,
        "byte order mark": b"\xef\xbb\xbf" + text,
        "NUL behind": text + b"\0",
        "CRLF": text.replace(b"\n", b"\r\n"),
        "one line": bare.replace(b"\n", b""),
    }


@attack
def a2(given: Given) -> Forgeries:
    """Whoever recovers the key from two signatures (PortSwigger's last laboratory) has these very texts."""
    for form, text in texts_of(given.public, given.jwks).items():
        for name, secret in blanks_around(text).items():
            for alg in HMACS:
                yield forged(f"{alg}, {form}, {name}", token(given.named(alg=alg), given.admin, mac(secret, alg)), given.wrong_mac(alg))
        yield forged(f"{given.alg} kept, {form}", token(given.header, given.admin, mac(text)), SIGNATURE)


@attack
def a3(given: Given) -> Forgeries:
    """The verifiers that have their keys from a JWKS without `alg` are attacked with this as with everything."""
    bare = as_json(public_jwk(given.public))
    for alg in OURS:
        if alg not in NAMES.get(given.alg, {given.alg}):
            yield forged(f"{alg}, our own signature", token(given.named(alg=alg), given.payload, given.sign), ALGORITHM)
    for alg in HMACS:
        yield forged(f"{alg}, the JWK", token(given.named(alg=alg), given.admin, mac(bare, alg)), given.wrong_mac(alg))


@attack
def a4(given: Given) -> Forgeries:
    for alg in OURS:
        ours = alg in NAMES.get(given.alg, {given.alg})
        yield forged(f"{alg} by a stranger", token(given.named(alg=alg), given.admin, by_stranger(alg)), SIGNATURE if ours else ALGORITHM)
        if not ours:
            yield forged(f"{alg} in the header", given.signed(given.payload, alg=alg), ALGORITHM)


@attack
def a5(given: Given) -> Forgeries:
    if isinstance(given.private, rsa.RSAPrivateKey):
        for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"):
            if alg != given.alg:
                other = signer(given.private, alg)
                yield forged(f"{alg} by the same key", token(given.named(alg=alg), given.payload, other), ALGORITHM)
                yield forged(f"{alg} as {given.alg}", token(given.header, given.payload, other), SIGNATURE)
    for alg in ("ES256", "ES384", "ES512", "ES256K"):
        named = ALGORITHM if alg != given.alg else SIGNATURE
        yield forged(f"{alg} by name", token(given.named(alg=alg), given.admin, by_stranger(alg)), named)
        if alg != given.alg:
            yield forged(f"{alg} as {given.alg}", token(given.header, given.admin, by_stranger(alg)), SIGNATURE)
    yield forged("Ed448 by name", token(given.named(alg="EdDSA", crv="Ed448"), given.admin, b"\1" * 114), given_ed(given))


def given_ed(given: Given) -> str:
    return SIGNATURE if given.alg in NAMES else ALGORITHM


@attack
def a6(given: Given) -> Forgeries:
    for alg in UNKNOWN:
        yield forged(f"{alg!r}, nothing signed", token(given.named(alg=alg), given.admin), ALGORITHM)
        yield forged(f"{alg!r}, our own signature", token(given.named(alg=alg), given.payload, given.sign), ALGORITHM)


@attack
def a13(given: Given) -> Forgeries:
    for alg in HMACS:
        for secret in SECRETS:
            text = token(given.named(alg=alg), given.admin, mac(secret.encode(), alg))
            yield forged(f"{alg}, {secret!r}", text, given.wrong_mac(alg))
    yield forged("the name of the key", token(given.named(alg="HS256"), given.admin, mac(given.kid.encode())), given.wrong_mac("HS256"))
    yield forged("base64 of a secret", token(given.named(alg="HS256"), given.admin, mac(b64(b"secret").encode())), given.wrong_mac("HS256"))

"""Which keys Stagedoor lets in and others do not, or the reverse.

Never knows a token, but for what its header says of the key.
"""

from __future__ import annotations

import base64
import binascii
import re

from fuzz.facts import Facts
from fuzz.keys_given import public_texts
from fuzz.material import b64
from fuzz.rule import JOSERFC, PYJWT, Rule

_BOTH = (PYJWT, JOSERFC)
_PRIVATE = {"oct": {"k"}, "RSA": {"d", "p", "q", "dp", "dq", "qi"}, "EC": {"d"}, "OKP": {"d"}}
_ALL_PRIVATE = {"oth"}.union(*_PRIVATE.values())
_NUMBERS = ("n", "e", "x", "y", "k")
_CANONICAL = re.compile(r"[A-Za-z0-9_-]*")
_PUBLIC_DER = {text for name in ("RS256", "ES256", "Ed25519") for text in public_texts(name) if text[0] == 0x30}
_SMALL_ORDER = ("AQ" + "A" * 41, "A" * 43, b64(b"\xec" + b"\xff" * 30 + b"\x7f"))


def _names(facts: Facts) -> tuple[str, ...]:
    return ("EdDSA", "Ed25519") if facts.alg.startswith("Ed") else (facts.alg,)


def _operations(facts: Facts) -> bool:
    if "key_ops" not in facts.jwk:
        return False
    operations = facts.jwk["key_ops"]
    needed = {"sign", "verify"} if "k" in facts.right_jwk else {"sign"} if "d" in facts.jwk else {"verify"}
    if not isinstance(operations, list) or not all(isinstance(operation, str) for operation in operations):
        return True
    return not needed <= set(operations) <= {"sign", "verify"} or len(operations) != len(set(operations))


def _private_members(facts: Facts) -> bool:
    private = _ALL_PRIVATE & facts.jwk.keys()
    return bool(private) and private != _PRIVATE[facts.right_jwk["kty"]]


def _not_base64url(facts: Facts) -> bool:
    texts = [facts.jwk[name] for name in _NUMBERS if isinstance(facts.jwk.get(name), str)]
    return any(not _CANONICAL.fullmatch(text) or b64(_lenient(text)) != text for text in texts)


def _lenient(text: str) -> bytes:
    bare = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4))
    except (binascii.Error, ValueError):
        return b""


def _other_width(facts: Facts) -> bool:
    right = facts.right_jwk
    for name in set(_NUMBERS[:4]) & right.keys() & facts.jwk.keys():
        if isinstance(facts.jwk[name], str):
            data = _lenient(facts.jwk[name])
            if data[:1] in (b"", b"\0") if name in "ne" else len(data) != len(_lenient(right[name])):
                return True
    return False


def _odd_parameters(facts: Facts) -> bool:
    jwk = facts.jwk
    url, chain = jwk.get("x5u", "https://"), jwk.get("x5c", [])
    return (
        not (isinstance(url, str) and url.startswith(("http://", "https://")))
        or not (isinstance(chain, list) and all(isinstance(each, str) for each in chain))
        or not all(isinstance(jwk.get(name, ""), str) for name in ("x5t", "x5t#S256"))
    )


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _rsa_bits(facts: Facts) -> int:
    if facts.jwk:
        return int.from_bytes(_lenient(str(facts.jwk.get("n", ""))), "big").bit_length()
    return 1024 if 200 < len(facts.bytes) < 300 else 2048  # an SPKI text in PEM


def _exponent(facts: Facts) -> bool:
    if facts.jwk:
        return not 65537 <= int.from_bytes(_lenient(str(facts.jwk.get("e", ""))), "big") < 2**256
    lines = facts.bytes.splitlines()
    return _lenient(b"".join(lines[1:-1]).decode("latin-1")).endswith(b"\2\1\3")


KEY_RULES: tuple[Rule, ...] = (
    Rule(
        "JWK: use",
        (PYJWT,),
        lambda facts: facts.jwk.get("use", "sig") != "sig",
        "A key for encryption verifies nothing (RFC 7517 section 4.2); PyJWT does not look.",
        ("key_wrong_use",),
        law=True,
    ),
    Rule(
        "JWK: key_ops",
        _BOTH,
        _operations,
        "What is done with the key, each once and nothing else (RFC 7517 section 4.3); PyJWT does not look, joserfc takes more.",
        ("key_wrong_operations",),
        law=True,
    ),
    Rule(
        "JWK: alg",
        _BOTH,
        lambda facts: "alg" in facts.jwk and facts.jwk["alg"] not in _names(facts),
        "One key, one algorithm (RFC 7517 section 4.4, RFC 8725 section 3.1); PyJWT uses the one it is told, joserfc takes an empty one.",
        ("key_algorithm_misfit",),
        law=True,
    ),
    Rule(
        "JWK: crv where there is none",
        _BOTH,
        lambda facts: "crv" not in facts.right_jwk and facts.jwk.get("crv") is not None,
        "An RSA key or a secret has no curve (RFC 7518 section 6): somebody mixed up two keys.",
        ("key_curve_misfit",),
        law=True,
    ),
    Rule(
        "JWK: private members",
        _BOTH,
        _private_members,
        "A private key has all of its members, and a public one none (RFC 7518 sections 6.2.2, 6.3.2, RFC 8037 section 2).",
        ("key_private_members",),
        law=True,
    ),
    Rule(
        "JWK: number not in base64url",
        (PYJWT,),
        _not_base64url,
        "The same base64url as in tokens (RFC 7518 section 2); PyJWT drops foreign characters.",
        ("key_malformed",),
        law=True,
    ),
    Rule(
        "JWK: number not in its one form",
        _BOTH,
        _other_width,
        "Coordinates are as wide as the curve, n and e have no zero in front (RFC 7518 sections 2, 6.2.1.2, 6.3.1): one key, one name.",
        ("key_not_canonical",),
        law=True,
    ),
    Rule(
        "RSA below 2048 bits",
        (JOSERFC,),
        lambda facts: facts.alg.startswith(("RS", "PS")) and _rsa_bits(facts) < 2048,
        "RFC 7518 section 3.3; joserfc warns.",
        ("key_too_small",),
    ),
    Rule(
        "RSA with a weak exponent",
        _BOTH,
        lambda facts: facts.alg.startswith(("RS", "PS")) and _exponent(facts),
        "65537 and above, and odd (FIPS 186-5 section 5.1).",
        ("key_weak_exponent",),
    ),
    Rule(
        "point of small order",
        _BOTH,
        lambda facts: facts.jwk.get("x") in _SMALL_ORDER,
        "Whoever has no key can sign under it (RFC 8725 section 3.4).",
        ("key_weak_point",),
        law=True,
    ),
    Rule(
        "short secret",
        (JOSERFC,),
        lambda facts: facts.alg.startswith("HS") and len(facts.secret) * 8 < int(facts.alg[2:]),
        "A secret is at least as long as the hash (RFC 7518 section 3.2); PyJWT was told to refuse it too, joserfc cannot be.",
        ("key_too_small", "key_secret_empty"),
        law=True,
    ),
    Rule(
        "repeated secret",
        _BOTH,
        lambda facts: facts.alg.startswith("HS") and len(set(facts.secret)) < 8,
        "Fewer than eight different bytes were not drawn at random (RFC 8725 section 3.5).",
        ("key_secret_weak",),
        law=True,
    ),
    Rule(
        "text of a key as a secret",
        _BOTH,
        lambda facts: (
            facts.alg.startswith("HS") and any(mark in facts.secret for mark in (b"-----BEGIN", b"ssh-", b"ecdsa-sha2-", b'"kty"'))
        ),
        "What is public is no secret, whatever stands before it (CVE-2022-29217, CVE-2026-34950).",
        ("key_text_as_secret",),
        law=True,
    ),
    Rule(
        "DER as a secret",
        _BOTH,
        lambda facts: facts.alg.startswith("HS") and facts.secret.lstrip() in _PUBLIC_DER,
        "As above, with a blank in front of the DER.",
        ("key_text_as_secret",),
        law=True,
    ),
    Rule(
        "DER or SSH in place of PEM",
        _BOTH,
        lambda facts: facts.bytes.startswith((b"\x30", b"ssh-", b"ecdsa-sha2-")) or b"OPENSSH PRIVATE" in facts.bytes,
        "`from_pem` takes PEM, `from_der` DER, nothing takes OpenSSH: no guessing what a text is.",
        ("key_malformed",),
    ),
    Rule(
        "JWK: unused parameters of an odd type",
        (JOSERFC,),
        _odd_parameters,
        "x5u, x5c and x5t are never looked at (RFC 7517 section 4: what is not understood is ignored).",
    ),
    Rule(
        "JWK: Ed25519 by its other name",
        (JOSERFC,),
        lambda facts: facts.jwk.get("alg") in ("Ed25519", "EdDSA") and facts.header.members.get("alg") != facts.jwk["alg"],
        "Both names mean Ed25519 when the key is one (RFC 9864 section 2.2).",
    ),
    Rule(
        "private key to verify with",
        (PYJWT,),
        lambda facts: facts.alg.startswith(("RS", "PS")) and (b"PRIVATE KEY" in facts.bytes or "d" in facts.jwk),
        "Whoever signs can verify; PyJWT wants the public half of an RSA key.",
    ),
    Rule(
        "bytes beside a PEM text that are no UTF-8",
        (PYJWT,),
        lambda facts: facts.alg.startswith("Ed") and not _is_utf8(facts.bytes),
        "What stands outside of the armour is no part of the key (RFC 7468 section 2); PyJWT decodes it.",
    ),
)

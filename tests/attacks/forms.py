"""A12, A16 and A21 to A25: forgeries by the form of a token: other serialisations, twins of the text, sizes, encrypted tokens.

Never knows who verifies them.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .forgery import ALGORITHM, CLAIM, MALFORMED, SIGNATURE, Forgeries, Given, as_json, attack, b64, forged, token, unb64

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
LIMIT = 8 * 1024
MILLION = 10**6


@attack
def a12(given: Given) -> Forgeries:
    first, payload, signature = given.tokens[0].split(".")
    other = b64(as_json(given.admin))
    flat = {"protected": first, "payload": payload, "signature": signature}
    general = {"payload": payload, "signatures": [{"protected": first, "signature": signature}]}
    mixed = f'{{"{first}.{other}.{signature}":"","protected":"{first}","payload":"{payload}","signature":"{signature}"}}'
    forms = {
        "flattened": json.dumps(flat),
        "general": json.dumps(general),
        "flattened, another payload": json.dumps(flat | {"payload": other}),
        "an unprotected header": json.dumps(flat | {"header": {"alg": "none"}}),
        "a forged compact part": mixed,
        "a forged compact part with a blank": mixed.replace('{"', '{" ', 1),
        "a forged compact part behind": f'{{"protected":"{first}","payload":"{payload}","signature":"{signature}","x":".{other}."}}',
        "a genuine compact part": f'{{" {first}.{payload}.{signature}": ""}}',
        "a list": json.dumps([given.tokens[0]]),
        "a text": json.dumps(given.tokens[0]),
        "two tokens": ",".join(given.tokens[:2]),
        "base64 of it": b64(given.tokens[0].encode()),
        "base64 of the JSON form": b64(as_json(flat)),
        "no signatures": json.dumps({"payload": other, "signatures": []}),
    }
    for name, text in forms.items():
        yield forged(name, text, MALFORMED)
    yield forged("JSON in the first part", f"{b64(as_json(flat))}.{other}.{signature}", ALGORITHM)


@attack
def a16(given: Given) -> Forgeries:
    parts = given.tokens[0].split(".")
    for place, part in enumerate(parts):
        twins = {
            f"{odd!r} behind": part + odd for odd in ("=", "==", "===", "====", "\n", "\r\n", "\0", "A", "AA", "AAAA", "*", "%3D", ",")
        }
        twins |= {f"{odd!r} before": odd + part for odd in (" ", "\n", "=", "\ufeff", "+")}
        for odd in ("!", "*", "\n", " ", "\t", "\0", "=", "%", "\u200b", "\u00e9", "+", "/", "~", ",", "\x7f", "\uff0d"):
            twins[f"{odd!r} inside"] = part[:5] + odd + part[5:]
        if {"-", "_"} & set(part):
            twins["the standard alphabet"] = part.replace("-", "+").replace("_", "/")
        last = ALPHABET.index(part[-1])
        for slack in range(1, {2: 16, 3: 4}.get(len(part) % 4, 1)):
            twins[f"slack bits {slack}"] = part[:-1] + ALPHABET[last ^ slack]
        twins["cut"], twins["empty"] = part[:-1], ""
        for name, twin in twins.items():
            text = ".".join([*parts[:place], twin, *parts[place + 1 :]])
            yield forged(f"part {place}, {name}", text, MALFORMED, SIGNATURE)
    # The same twins where the issuer itself would have signed the text: only the form is to blame.
    first, payload = (b64(as_json(each)) for each in (given.header, given.payload))
    for name, signed in {
        "padded payload": f"{first}.{payload}=",
        "padded header": f"{first}=.{payload}",
        "a foreign character": f"{first}.{payload[:4]}!{payload[4:]}",
        "a newline": f"{first}.{payload[:4]}\n{payload[4:]}",
        "plus and slash": f"{first}.{b64(as_json(given.claims(note='???>>>'))).replace('-', '+').replace('_', '/')}+",
    }.items():
        yield forged(f"signed with {name}", f"{signed}.{b64(given.sign(signed.encode()))}", MALFORMED)


@attack
def a21(given: Given) -> Forgeries:
    forms = {
        "a million dots": "." * MILLION,
        "a million parts": "a." * MILLION,
        "a genuine token and dots": given.tokens[0] + "." * MILLION,
        "dots and a genuine token": "." * MILLION + given.tokens[0],
        "dots to the limit": "." * LIMIT,
        "parts to the limit": "ab." * (LIMIT // 3),
        "a genuine token and one dot": given.tokens[0] + ".",
        "a dot and a genuine token": "." + given.tokens[0],
        "four parts": "a.b.c.d",
        "two dots": "..",
        "one dot": ".",
        "four dots": "....",
        "a million letters": "a" * MILLION,
        "base64 of a million brackets": b64(b"[" * MILLION) + ".e30.AA",
    }
    for name, text in forms.items():
        yield forged(name, text, MALFORMED)


def jwe(header: dict[str, Any], key: bytes, plain: bytes, content_key: bytes) -> str:
    """A compact JWE (A256GCM) as whoever has the public key makes it."""
    first, nonce = b64(as_json(header)), os.urandom(12)
    sealed = AESGCM(content_key).encrypt(nonce, plain, first.encode())
    return ".".join([first, b64(key), b64(nonce), b64(sealed[:-16]), b64(sealed[-16:])])


@cache
def _deflated(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(b" " * size) + packer.flush()


@attack
def a22(given: Given) -> Forgeries:
    content_key = bytes(range(32))
    direct = {"alg": "dir", "enc": "A256GCM", "zip": "DEF", "kid": given.kid, "typ": "at+jwt"}
    for name, size in {"8 MB": 8 * MILLION, "100 MB": 100 * MILLION}.items():
        for alg in ("dir", "RSA-OAEP", "A256KW", "ECDH-ES"):
            yield forged(f"{alg}, {name}", jwe(direct | {"alg": alg}, b"", _deflated(size), content_key), MALFORMED)
        small = _deflated(size)
        yield forged(f"a signed one, {name}", given.signed(small, zip="DEF"), MALFORMED)
        yield forged(
            f"three parts, {name}", f"{b64(as_json(direct))}.{b64(small)}.AA", ALGORITHM if len(small) * 4 // 3 < 7900 else MALFORMED
        )
    claims = zlib.compress(as_json(given.payload))[2:-4]
    yield forged("a signed payload, deflated", given.signed(claims, zip="DEF"), MALFORMED)


@attack
def a23(given: Given) -> Forgeries:
    for count in (2**31 - 1, 2**63, 10**9, 0, -1, "2147483647", 1.5e9):
        for alg in ("PBES2-HS256+A128KW", "PBES2-HS512+A256KW"):
            head = {"alg": alg, "enc": "A256GCM", "p2c": count, "p2s": b64(b"salt" * 4), "kid": given.kid, "typ": "at+jwt"}
            yield forged(f"{alg}, {count!r}", jwe(head, b"\0" * 40, as_json(given.admin), bytes(range(32))), MALFORMED)
            yield forged(f"{alg}, {count!r}, three parts", f"{b64(as_json(head))}.{b64(as_json(given.admin))}.AA", ALGORITHM)
    yield forged("p2c in a genuine header", token(given.named(p2c=2**31 - 1, p2s="AA"), given.admin, given.signature), SIGNATURE)


@attack
def a24(given: Given) -> Forgeries:
    big = "x" * (LIMIT - 500)
    raw = as_json(given.admin | {"note": big})[: LIMIT - 600]
    unencoded = b64(as_json(given.named(b64=False, crit=["b64"])))
    forms: dict[str, tuple[str, str]] = {
        "a large payload as it is": (f"{unencoded}.{raw.decode().replace('.', '')}.AA", MALFORMED),
        "a large header": (token(given.named(note="x" * 5000), given.admin, b"\1" * 64), SIGNATURE),
        "a header over the limit": (token(given.named(note=big), given.admin, given.signature), MALFORMED),
        "a payload over the limit, signed": (given.signed(given.claims(note=big)), MALFORMED),
        "1 MB, signed": (given.signed(given.claims(note="x" * MILLION)), MALFORMED),
        "a large signature": (f"{given.tokens[0].rpartition('.')[0]}.{b64(bytes(4000))}", SIGNATURE),
        "a signature over the limit": (f"{given.tokens[0].rpartition('.')[0]}.{b64(bytes(LIMIT))}", MALFORMED),
        "a deep header": (token(b'{"alg":' + b"[" * 4000 + b"]" * 4000 + b"}", given.admin), MALFORMED),
        "a header of digits": (token(b'{"alg":' + b"9" * 5000 + b"}", given.admin), MALFORMED),
        "a header of quotes": (token(b'{"alg":"' + b'\\"' * 2000, given.admin), MALFORMED),
        "a header of names": (token(b"{" + b",".join(b'"%d":0' % n for n in range(600)) + b"}", given.admin), ALGORITHM),
        "a long alg": (token(given.named(alg="A" * 5000), given.admin), ALGORITHM),
        "a payload that is deep, not signed": (token(given.header, b"[" * 4000, given.signature), SIGNATURE),
        "a payload that is deep, signed": (given.signed(b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}"), MALFORMED),
    }
    for name, (text, code) in forms.items():
        yield forged(name, text, code)


@attack
def a25(given: Given) -> Forgeries:
    """RSA1_5 and OAEP under our own public key, sound and broken: no answer may tell them apart (Bleichenbacher, Manger)."""
    content_key = bytes(range(32))
    inner = {
        "claims": as_json(given.admin),
        "a genuine token": given.tokens[0].encode(),
        "alg none": token({"alg": "none"}, given.admin).encode(),
    }
    if isinstance(given.public, rsa.RSAPublicKey):
        sha1: Any = hashes.SHA1()
        pads: dict[str, Callable[[], padding.AsymmetricPadding]] = {
            "RSA1_5": padding.PKCS1v15,
            "RSA-OAEP": lambda: padding.OAEP(padding.MGF1(sha1), sha1, None),
            "RSA-OAEP-256": lambda: padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None),
        }
        for alg, pad in pads.items():
            sealed = given.public.encrypt(content_key, pad())
            head = {"alg": alg, "enc": "A256GCM", "kid": given.kid, "typ": "at+jwt", "cty": "JWT"}
            for name, plain in inner.items():
                yield forged(f"{alg}, {name}", jwe(head, sealed, plain, content_key), MALFORMED)
            broken = {"a bit off": bytes([sealed[0] ^ 1]) + sealed[1:], "zeros": bytes(len(sealed)), "cut": sealed[:-1], "nothing": b""}
            for name, key in broken.items():
                yield forged(f"{alg}, {name}", jwe(head, key, inner["claims"], content_key), MALFORMED)
    for alg in ("RSA1_5", "RSA-OAEP", "RSA-OAEP-256", "dir", "A256KW", "A256GCMKW", "ECDH-ES", "ECDH-ES+A256KW"):
        head = given.named(alg=alg, enc="A256GCM")
        for name, plain in inner.items():
            yield forged(f"{alg} by nobody, {name}", jwe(head, b"\0" * 40, plain, content_key), MALFORMED)
        yield forged(f"{alg}, three parts", token(head, given.admin, given.signature), ALGORITHM)
    sealed_in = given.signed(unb64(given.tokens[0].split(".")[1]), cty="JWT", typ="JOSE")
    yield forged("a signed one that says JOSE", sealed_in, CLAIM)

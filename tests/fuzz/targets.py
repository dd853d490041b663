"""Targets: what reads bytes that a stranger sent, each with the errors it may answer with and the time that it may take.

Never knows how inputs are found. Only `call` is measured; `prepare` and `check` are the test's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fuzz.cases import make
from fuzz.corpus import read
from fuzz.keys_given import private_der, public_texts
from fuzz.material import AUDIENCE, ISSUER, NOW, SIGNERS, b64
from stagedoor import jws
from stagedoor.access_token import AccessToken
from stagedoor.encoding import decode, decode_object, encode
from stagedoor.errors import InvalidRequest, KeyRejected, MalformedToken, RefreshTokenUnknown, TokenError
from stagedoor.guards.bearer import bearer
from stagedoor.guards.cookies import ACCESS_COOKIE, read_cookie
from stagedoor.guards.headers import Headers
from stagedoor.keys import Key
from stagedoor.keyset import KeySet
from stagedoor.lifetime import seconds
from stagedoor.refresh_token import PREFIX, Peppers
from stagedoor.revocation import Revocations
from stagedoor.scope import Scope
from stagedoor.verifier import Verifier

LARGEST = 8192
"""Bytes that a token may have."""
_MARKS = (
    b"[",
    b"{",
    b'"',
    b"\\",
    b"=",
    b".",
    b" ",
    b"A",
    b"0",
    b";",
    b'{"a":',
    b'["',
    b"[]",
    b'"\\',
    b"\\u",
    b"\n",
    b"a ",
    b'[{"',
    b"-",
    b"\xff",
)
_LARGEST_PART = 5900
"""Bytes of a payload that such a token has room for."""
QUICK = 0.001
"""Seconds of the processor that a stranger's input of up to 8 KiB may cost."""
KEYS = 0.25
"""Seconds that a key may cost: OpenSSL tests the primes of RSA, and a set holds many. Keys come from operators and from issuers that are
trusted, once in minutes, not from whoever sends a request."""


@dataclass(frozen=True, slots=True)
class Target:
    """One parser."""

    call: Callable[[Any], Any]
    refuses: tuple[type[Exception], ...]
    """All that it may raise."""
    prepare: Callable[[bytes], Any]
    """The argument made of the bytes; None: these are no input for it."""
    seeds: Callable[[], Iterable[bytes]]
    check: Callable[[Any, Any], bool] = lambda argument, result: True
    """(argument, result) -> whether the result is right."""
    bound: float = QUICK


def _text(data: bytes) -> str:
    return data.decode("latin-1")


def _any_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass") if data[:1] == b"\xee" and _is_utf8(data) else data.decode("latin-1")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _json(data: bytes) -> Any:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


_clock = lambda: float(NOW)  # noqa: E731 - a clock that stands
_SECRETS = KeySet(*(Key.from_jwk(SIGNERS[name].jwk, name) for name in ("HS256", "HS384", "HS512")), clock=_clock)
_PUBLIC = KeySet(*(Key.from_jwk(SIGNERS[name].jwk, name) for name in ("ES256", "ES384", "RS256", "Ed25519")), clock=_clock)
_VERIFIER = Verifier(ISSUER, audience=AUDIENCE, keys=_SECRETS, revocations=Revocations.until_expiry(), clock=_clock)
_PEPPERS = Peppers(SIGNERS["HS256"].private, clock=_clock)


def _signed(header: bytes, claims: bytes) -> str:
    text = f"{b64(header)}.{b64(claims)}"
    return f"{text}.{b64(SIGNERS['HS256'].sign(text.encode()))}"


def _header(typ: str) -> bytes:
    return json.dumps({"alg": "HS256", "kid": SIGNERS["HS256"].kid, "typ": typ}).encode()


def _claims() -> bytes:
    token = next(case.token for case in (make(0, number) for number in range(1000)) if not case.steps and case.kind == "access")
    return decode(token.split(".")[1])


def _tokens() -> Iterable[bytes]:
    for case, _, _ in read():
        yield case.token.encode("utf-8", "surrogatepass")


def _parts(place: int) -> Iterable[bytes]:
    for token in _tokens():
        parts = token.decode("latin-1").split(".")
        if len(parts) == 3:
            try:
                yield decode(parts[place])
            except MalformedToken:
                continue


def _verify(token: str) -> None:
    for keys in (_SECRETS, _PUBLIC):
        jws.verify(token, keys, NOW)


def _signed_as(typ: str) -> Callable[[bytes], str]:
    return lambda data: _signed(_header(typ), data)


def _right_token(_: str, token: AccessToken) -> bool:
    """What was accepted says what it must."""
    return token.issued_at <= NOW + 10 and token.expires_at > NOW and token.issuer == ISSUER and AUDIENCE in token.audience


def _key(data: bytes) -> tuple[bytes, str] | None:
    names = tuple(SIGNERS)
    return (data[1:], names[data[0] % len(names)]) if data else None


def _key_seeds(pem: bool) -> Iterable[bytes]:
    for place, name in enumerate(SIGNERS):
        if not name.startswith("HS"):
            for text in public_texts(name):
                if text.startswith(b"-----") == pem:
                    yield bytes([place]) + text


def _same_key(_: Any, key: Key) -> bool:
    """What was let in is let in again when it was written, under the same name."""
    again = Key.from_jwk(key.jwk(private=key.can_sign))
    return again.kid == key.kid and again.thumbprint() == key.thumbprint()


def _headers(name: bytes) -> Callable[[bytes], Headers]:
    return lambda data: Headers([(name, value) for value in data.split(b"\n", 50)])


_JWKS = [json.dumps({**signer.jwk, "alg": name}).encode() for name, signer in SIGNERS.items()]
_PRIVATE_JWKS = [
    json.dumps(Key.from_der(private_der(name), name).jwk(private=True)).encode() for name in ("RS256", "ES256", "ES384", "ES512", "Ed25519")
]
TARGETS: dict[str, Target] = {
    "decode": Target(decode, (MalformedToken,), _any_text, lambda: [b"AA", b"AQIDBA", b"-_-_"], lambda text, data: encode(data) == text),
    "encode": Target(encode, (), bytes, lambda: [b"", b"\xff\xfe"], lambda data, text: decode(text) == data),
    "decode_object": Target(
        decode_object, (MalformedToken,), bytes, lambda: _parts(1), lambda data, value: json.loads(data.decode("utf-8")) == value
    ),
    "verify": Target(_verify, (TokenError,), _any_text, _tokens),
    "read_unverified": Target(
        jws.read_unverified, (MalformedToken,), _any_text, _tokens, lambda text, pair: all(isinstance(each, dict) for each in pair)
    ),
    "claims": Target(_VERIFIER.verify, (TokenError,), _signed_as("at+jwt"), lambda: _parts(1), _right_token),
    "other_claims": Target(
        lambda token: _SECRETS.verify(token, typ="test+jwt", issuer=ISSUER, audience=AUDIENCE),
        (TokenError,),
        _signed_as("test+jwt"),
        lambda: _parts(1),
        lambda _, claims: claims["exp"] > NOW and claims["iss"] == ISSUER,
    ),
    "header": Target(
        _VERIFIER.verify,
        (TokenError,),
        lambda data: _signed(data, _CLAIMS),
        lambda: _parts(0),
        lambda _, token: token.key_id == SIGNERS["HS256"].kid,
    ),
    "from_jwk": Target(Key.from_jwk, (KeyRejected,), _json, lambda: _JWKS + _PRIVATE_JWKS, _same_key, KEYS),
    "from_pem": Target(lambda pair: Key.from_pem(*pair), (KeyRejected,), _key, lambda: _key_seeds(True), _same_key, KEYS),
    "from_der": Target(lambda pair: Key.from_der(*pair), (KeyRejected,), _key, lambda: _key_seeds(False), _same_key, KEYS),
    "from_jwks": Target(
        KeySet.from_jwks,
        (KeyRejected,),
        _json,
        lambda: [b'{"keys":[' + each + b"]}" for each in _JWKS],
        lambda _, keys: "keys" in keys.jwks(),
        KEYS,
    ),
    "scope": Target(
        Scope.parse, (ValueError,), _any_text, lambda: [b"orders:read orders:write"], lambda _, scope: Scope.parse(str(scope)) == scope
    ),
    "lifetime": Target(seconds, (ValueError,), _any_text, lambda: [b"15m", b"7d"], lambda _, found: found > 0),
    "peppers": Target(
        lambda text: _PEPPERS.parse(text, NOW),
        (RefreshTokenUnknown,),
        lambda data: PREFIX + _text(data),
        lambda: [_refresh_token().removeprefix(PREFIX).encode()],
        lambda text, token: text == _refresh_token() or len(token.secret) == 32,
    ),
    "bearer": Target(
        bearer,
        (MalformedToken, InvalidRequest),
        _headers(b"authorization"),
        lambda: [b"Bearer a.b.c"],
        lambda _, token: token is None or token.isascii(),
    ),
    "cookies": Target(
        lambda headers: read_cookie(headers, ACCESS_COOKIE),
        (InvalidRequest,),
        _headers(b"cookie"),
        lambda: [f"a=b; {ACCESS_COOKIE}=x".encode()],
        lambda _, value: value is None or (value != "" and ";" not in value),
    ),
}
_CLAIMS = _claims()


def long_inputs(name: str) -> Iterable[bytes]:
    """Inputs as long as may be, or as what is still signed may be: one mark or seed again and again; JSON of many small things."""
    seeds = [seed for seed in list(TARGETS[name].seeds())[:5] if seed]
    for size in (LARGEST, _LARGEST_PART):
        yield from ((mark * size)[:size] for mark in (*_MARKS, *seeds))
        yield b"{" + b",".join(b'"%d":0' % number for number in range(size // 8)) + b"}"
        yield b'{"a":[' + b",".join([b"[]"] * (size // 3 - 4)) + b"]}"
        yield b'{"a":[' + b",".join([b"1e9"] * (size // 4 - 4)) + b"]}"
        yield b'{"a":"' + b"\\u00e9" * (size // 6 - 4) + b'"}'
        yield b'{"a":' + b"[" * 15 + b'{"a":"[","b":[]},' * (size // 17 - 4) + b"0" + b"]" * 15 + b"}"
        yield b'{"a":"' + b'\\"[' * (size // 3 - 4) + b'"}'


def _refresh_token() -> str:
    return _PEPPERS.write(pepper_id=1, session_id=bytes(16), generation=5, secret=bytes(32), seed=bytes(32), now=NOW)

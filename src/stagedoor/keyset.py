"""KeySet: keys with a life cycle; publishes the public ones as a JWKS (RFC 7517 section 5), signs and verifies tokens of other kinds.

Never knows sessions, routes or stores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from stagedoor import jws
from stagedoor.claims import ACCESS_TOKEN_TYP, Claims, check_audience, check_issuer, check_times, text_claim
from stagedoor.entry import ANNOUNCE, Entry, Schedule
from stagedoor.errors import AuthError, ClaimRejected, KeyRejected, KeySetUnavailable, UnknownKey
from stagedoor.jwk import has_private_members
from stagedoor.keys import Key
from stagedoor.lifetime import seconds
from stagedoor.ring import Ring
from stagedoor.vault import Vault

JWKS_MAX_AGE = 300
"""Seconds that others may keep our JWKS at the most: never longer than a new key is announced before it signs."""
MOST_TOGETHER = 50
"""Keys that a schedule may have accepted at one time: many refuse a JWKS with very many."""
_HEARD_WITHIN = 60
_DEFAULT_ALGORITHMS = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("EC", "P-384"): "ES384",
    ("EC", "P-521"): "ES512",
    ("OKP", "Ed25519"): "Ed25519",
}


class KeySet(Ring[Key]):
    """The keys of an issuer, or those that a verifier accepts. `KeySet(a, b)` signs with a and verifies with both.

    `KeySet.open` keeps them in a file or a vault. All keys are secrets, or none is (KeyRejected `key_mixed_symmetry`).
    """

    NAME = "keys"

    def __init__(self, *keys: Key, clock: Callable[[], float] = time.time) -> None:
        if not all(isinstance(key, Key) for key in keys):
            raise TypeError("KeySet takes Key objects; KeySet.from_secret, from_pem and from_jwks take what keys are made of")
        super().__init__([Entry(key.kid, key, starts=-float(n)) for n, key in enumerate(keys)], clock=clock)

    @classmethod
    def generate(cls, algorithm: str = "ES256", *, clock: Callable[[], float] = time.time) -> Self:
        """A set of one fresh key, in memory: gone with the process."""
        return cls(Key.generate(algorithm), clock=clock)

    @classmethod
    def open(
        cls,
        where: str | Path | Vault,
        algorithm: str = "ES256",
        *,
        rotate_every: str | int | None = None,
        announce: str | int = ANNOUNCE,
        keep: str | int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> KeySet:
        """The keys in this file (mode 0600) or vault; made with one fresh key when it is not there, by one of many workers.

        Spans such as "90d", or seconds. `rotate_every`: a new key signs as often as that, without anybody's doing. `announce`: how long
        it stands in the JWKS before it signs. `keep`: how long an old one verifies what it signed; the longest life of a token.
        OSError, StoreError, KeyRejected, ValueError where the place cannot be used.
        """
        schedule = Schedule.of(rotate_every, announce, keep)
        if schedule.together > MOST_TOGETHER:
            raise ValueError(f"rotate_every is so short beside keep that over {MOST_TOGETHER} keys would be accepted at one time")
        return cls._open(where, lambda _: _generated(algorithm), schedule, clock)

    @classmethod
    def from_secret(cls, secret: bytes, algorithm: str = "HS256", *, clock: Callable[[], float] = time.time) -> Self:
        """One shared secret, for an application that both issues and verifies. KeyRejected for a weak one."""
        return cls(Key.from_secret(secret, algorithm), clock=clock)

    @classmethod
    def from_pem(
        cls,
        pem: bytes,
        algorithm: str,
        *,
        password: bytes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """One private key (signs and verifies) or public key (verifies). KeyRejected for a weak one."""
        return cls(Key.from_pem(pem, algorithm, password=password), clock=clock)

    @classmethod
    def from_jwks(cls, document: Mapping[str, Any], *, clock: Callable[[], float] = time.time) -> Self:
        """The public signature keys of a JWKS. Keys of other kinds and uses are passed over; KeyRejected for private parts."""
        if not isinstance(document, Mapping):
            raise TypeError("from_jwks takes the JWKS as a dict, not its text or its URL")
        found = document.get("keys")
        if not isinstance(found, list) or not all(isinstance(jwk, dict) for jwk in found):
            raise KeyRejected("key_malformed", "a JWKS is an object with a list 'keys'")
        if any(has_private_members(jwk) for jwk in found):
            raise KeyRejected("key_private_in_jwks", "a JWKS holds private parts: whoever published it must change its keys")
        # A list: from a generator beside a keyword, Python 3.11 would keep what a refusal holds for ever.
        keys = [key for key in map(signature_key, found) if key is not None]
        return cls(*keys, clock=clock)

    def _checked(self, entries: Any, stamp: object = None) -> Any:
        found = list(entries)
        if len({entry.value.kid for entry in found}) != len(found):
            raise KeyRejected("key_duplicate_kid", "two keys have one kid")
        if len({entry.value.is_secret for entry in found}) > 1:
            raise KeyRejected("key_mixed_symmetry", "shared secrets and public keys do not go into one set")
        if len({entry.value.thumbprint() for entry in found}) != len(found):
            raise KeyRejected("key_in_two_roles", "one key stands here twice: a key has one algorithm and one name (RFC 8725 section 3.1)")
        return super()._checked(found, stamp)

    @staticmethod
    def _written(value: Key) -> dict[str, Any]:
        return value.jwk(private=True)

    @staticmethod
    def _read(written: dict[str, Any]) -> Key:
        return Key.from_jwk(written)

    def _make(self, entries: list[Entry[Key]], algorithm: str | None = None) -> tuple[str | int, Key]:
        latest = max(entries, key=lambda entry: entry.starts).value
        if latest.signer is not None:
            raise TypeError("a signer keeps this key: make the new one where it is, and a KeySet of both")
        return _generated(algorithm or latest.algorithm.name)

    @property
    def max_age(self) -> int:
        """Seconds that others may keep the JWKS: whoever does has heard of a new key when it begins to sign.

        Shorter than the announcement, because the worker that they asked may have heard of it a little late itself.
        """
        announce = self.schedule.announce
        return max(1, min(JWKS_MAX_AGE, announce - min(_HEARD_WITHIN, announce // 2)))

    def signing(self, now: float) -> Key:
        """The key that signs at this moment. ValueError where there is none."""
        return self.current(now).value

    async def learn(self, error: AuthError) -> bool:
        """After UnknownKey: look whether another worker has made that key just now; whether it is here. As Verifier.verify_async asks.

        Looks are shared, and ten a second at the most. KeySetUnavailable where the place that the keys are kept in gives no answer.
        """
        if not isinstance(error, UnknownKey) or error.kid is None:
            return False
        try:
            await self.read_anew_async()
        except Exception as trouble:
            raise KeySetUnavailable(f"whether there is a new key could not be looked up: {type(trouble).__name__}") from trouble
        return self.find(error.kid, self._clock()) is not None

    def jwks(self, now: float | None = None) -> dict[str, Any]:
        """The JWKS to publish: announced, signing and retiring keys, public parts only; empty for shared secrets."""
        self._look()
        moment = self._clock() if now is None else now
        entries = [entry for entry in self.entries() if self.state(entry, moment) != "gone" and not entry.value.is_secret]
        return {"keys": [entry.value.jwk() for entry in entries]}

    def rotate(self, *, keep: str | int | None = None, announce: str | int | None = None, algorithm: str | None = None) -> Key:
        """Announce a fresh key, of the same algorithm unless another is named, which signs after `announce` seconds.

        What signed before verifies for `keep` seconds more: the longest life of a token that it signed. Either may be left to what the
        set was opened with. It blocks where the keys are kept in a store. TypeError without any `keep`.
        """
        return self._rotate(keep=keep, announce=announce, make=lambda entries: self._make(entries, algorithm)).value

    def retire(self, kid: str) -> None:
        """For an emergency: no token of this key is accepted any more. If it signs, one that is announced takes over, or a fresh one.

        Workers that share the set hear of it within a second, others when their copy of the JWKS ends. LookupError for an unknown kid.
        """
        self._retire(kid)

    def sign(self, claims: Mapping[str, Any], *, typ: str, expires: str | int) -> str:
        """A signed token of another kind than access tokens: an invitation, a reset link. `iat` and `exp` are added.

        ValueError where `claims` bring `iat` or `exp` along or an `iss`, `sub` or `jti` that is no text, or `typ` is that of access
        tokens. With a signer's key SigningFailed, and TypeError where the signer must be awaited: it is called as it is, and may block.
        """
        self._check_kind(typ)
        if not isinstance(claims, Mapping):
            raise TypeError("claims is a mapping of names to values")
        if not claims.keys().isdisjoint({"iat", "exp"}):
            raise ValueError("iat and exp come from the clock and from expires=, not from the claims")
        try:
            _check_texts(claims)
        except ClaimRejected as error:
            raise ValueError(str(error)) from None
        now = self._clock()
        payload = {**claims, "iat": int(now), "exp": int(now) + seconds(expires)}
        return jws.sign(self.signing(now), typ, payload)

    def verify(self, token: str, *, typ: str, issuer: str | None = None, audience: str | None = None) -> Claims:
        """The claims of a token of this kind. TokenError, as for access tokens; an `aud` that is not expected is refused too."""
        self._check_kind(typ)
        if not isinstance(token, str):
            raise TypeError("verify takes the token as text")
        now = self._clock()
        signed: jws.Signed[dict[str, Any]] = jws.verify(token, self, now)
        jws.check_typ(signed.header, typ)
        check_times(signed.payload, now)
        _check_texts(signed.payload)
        if issuer is not None:
            check_issuer(signed.payload, issuer)
        if audience is not None:
            check_audience(signed.payload, frozenset({audience}))
        elif "aud" in signed.payload:
            raise ClaimRejected("aud", "the token has an audience, none was expected")
        return Claims(signed.payload)

    @staticmethod
    def _check_kind(typ: str) -> None:
        if not isinstance(typ, str) or not typ or not typ.isascii() or typ != typ.lower() or "/" in typ:
            raise ValueError("typ names the kind of token, in lower case, such as 'invitation+jwt'")
        if typ == ACCESS_TOKEN_TYP:
            raise ValueError("access tokens are made by Issuer and read by Verifier")


def _check_texts(payload: Mapping[str, Any]) -> None:
    """What RFC 7519 section 4.1 has as texts must be texts, where it is there; else ClaimRejected."""
    for name in ("iss", "sub", "jti"):
        if name in payload:
            text_claim(payload, name)


def _generated(algorithm: str) -> tuple[str, Key]:
    key = Key.generate(algorithm)
    return key.kid, key


def signature_key(jwk: Mapping[str, Any]) -> Key | None:
    """The key of one member of a JWKS; None where it is of another kind or use than ours. KeyRejected where we will not use it."""
    kind = [jwk.get("kty"), jwk.get("crv")]  # compared, not looked up: what is not hashable may stand there
    default = next((name for known, name in _DEFAULT_ALGORITHMS.items() if list(known) == kind), None)
    if default is None or jwk.get("use", "sig") != "sig":
        return None
    return Key.from_jwk(jwk, None if "alg" in jwk else default)

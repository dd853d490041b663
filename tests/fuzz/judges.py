"""The three judges: Stagedoor, PyJWT and joserfc, each told to expect the same of a token.

Never knows how a case was made, or who is right where they differ.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
from joserfc import jwt as joserfc_jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, OctKey
from joserfc.jwk import KeySet as TheirKeySet
from joserfc.jwt import JWTClaimsRegistry

from fuzz.cases import KINDS, REQUIRED, Case
from fuzz.keys_given import Given
from fuzz.material import AUDIENCE, ISSUER, NOW, SIGNERS
from stagedoor.errors import ClaimRejected, KeyRejected, TokenError
from stagedoor.keys import Key
from stagedoor.keyset import KeySet
from stagedoor.revocation import Revocations
from stagedoor.verifier import Verifier

_UNTIL_EXPIRY = Revocations.until_expiry()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says: the payload, or why not."""

    accepted: bool
    why: str
    """Our stable code, with the claim where there is one; of the others the name of their exception's class."""
    payload: dict[str, Any] | None = None
    crash: bool = False
    """An exception that is not one of the documented ones."""


class _Moment:
    """A clock that says what the case says."""

    now = float(NOW)

    def __call__(self) -> float:
        return self.now


class Stagedoor:
    """Ours: Verifier.verify for access tokens, KeySet.verify for other kinds."""

    name = "stagedoor"

    def __init__(self) -> None:
        self._moment = _Moment()
        self._known: dict[tuple[str, ...], tuple[KeySet, Verifier]] = {}

    def judge(self, case: Case) -> Verdict:
        """Its verdict."""
        self._moment.now = case.moment
        try:
            keys, verifier = self._readers(case.given)
            if case.kind == "access":
                payload = dict(verifier.verify(case.token).claims)
                if dict(verifier.verify(case.token).claims) != payload:
                    return Verdict(False, "remembered otherwise", crash=True)
            else:
                payload = dict(keys.verify(case.token, typ=KINDS["kind"], issuer=ISSUER, audience=AUDIENCE))
        except ClaimRejected as error:
            return Verdict(False, f"{error.code}:{error.claim}")
        except (TokenError, KeyRejected) as error:
            return Verdict(False, error.code)
        except Exception as error:
            return Verdict(False, f"{type(error).__name__}: {error}", crash=True)
        return Verdict(True, "accepted", payload)

    def _readers(self, given: Given) -> tuple[KeySet, Verifier]:
        if given.form == "set" and given.names in self._known:
            return self._known[given.names]
        keys = KeySet(*self._keys(given), clock=self._moment)
        made = keys, Verifier(ISSUER, audience=AUDIENCE, keys=keys, revocations=_UNTIL_EXPIRY, clock=self._moment)
        if given.form == "set":
            self._known[given.names] = made
        return made

    def _keys(self, given: Given) -> list[Key]:
        name = given.names[0]
        if given.form == "set":
            return [Key.from_jwk(SIGNERS[each].jwk, each) for each in given.names]
        if given.form == "jwk":
            return [Key.from_jwk(json.loads(given.data), name)]
        kid = SIGNERS[name].kid
        if name.startswith("HS"):
            return [Key.from_secret(given.data, name, kid=kid)]
        return [Key.from_pem(given.data, name, kid=kid)]


def allowed(name: str) -> list[str]:
    """The `alg` values of a key for this algorithm (RFC 9864 gave Ed25519 a second one)."""
    return ["Ed25519", "EdDSA"] if name.startswith("Ed") else [name]


class _At(jwt.PyJWT):
    """PyJWT at a moment that it is told."""

    moment = float(NOW)

    def _validate_iat(self, payload: dict[str, Any], now: float, leeway: float) -> None:
        super()._validate_iat(payload, self.moment, leeway)

    def _validate_nbf(self, payload: dict[str, Any], now: float, leeway: float) -> None:
        super()._validate_nbf(payload, self.moment, leeway)

    def _validate_exp(self, payload: dict[str, Any], now: float, leeway: float) -> None:
        super()._validate_exp(payload, self.moment, leeway)


class PyJWT:
    """PyJWT. The key is looked up by `kid` as its PyJWKClient does, which needs a server otherwise."""

    name = "PyJWT"

    def __init__(self) -> None:
        self._jwt = _At()
        self._known = {name: jwt.PyJWK(signer.jwk, "EdDSA" if name.startswith("Ed") else name) for name, signer in SIGNERS.items()}
        self._options = {kind: {"require": list(names), "enforce_minimum_key_length": True} for kind, names in REQUIRED.items()}

    def judge(self, case: Case) -> Verdict:
        """Its verdict."""
        self._jwt.moment = case.moment
        try:
            keys = self._keys(case.given)
            if len(keys) > 1:
                name, key = keys[jwt.get_unverified_header(case.token)["kid"]]
            else:
                name, key = next(iter(keys.values()))
            found = self._jwt.decode_complete(
                case.token, key, allowed(name), options=self._options[case.kind], audience=AUDIENCE, issuer=ISSUER, leeway=0
            )
            if found["header"].get("kid") not in keys:
                return Verdict(False, "kid")
        except jwt.PyJWTError as error:
            return Verdict(False, type(error).__name__)
        except Exception as error:
            return Verdict(False, type(error).__name__, crash=True)
        return Verdict(True, "accepted", found["payload"])

    def _keys(self, given: Given) -> dict[str, tuple[str, Any]]:
        name = given.names[0]
        if given.form == "set":
            return {SIGNERS[each].kid: (each, self._known[each]) for each in given.names}
        if given.form == "jwk":
            jwk = json.loads(given.data)
            return {jwk.get("kid"): (name, jwt.PyJWK(jwk, "EdDSA" if name.startswith("Ed") else name))}
        return {SIGNERS[name].kid: (name, given.data)}


class Joserfc:
    """joserfc: its own KeySet finds the key, its own registry checks the claims."""

    name = "joserfc"

    def __init__(self) -> None:
        self._moment = _Moment()
        wanted: dict[str, Any] = {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": AUDIENCE}}
        self._claims = {
            kind: JWTClaimsRegistry(now=lambda: int(self._moment.now), leeway=0, **{name: {"essential": True} for name in names} | wanted)
            for kind, names in REQUIRED.items()
        }
        self._keys = cache(self._make)

    def judge(self, case: Case) -> Verdict:
        """Its verdict."""
        self._moment.now = case.moment
        given = case.given
        try:
            keys = self._keys(given.names) if given.form == "set" else self._odd(given)
            names = [each for name in given.names for each in allowed(name)]
            found = joserfc_jwt.decode(case.token, keys, algorithms=names)
            self._claims[case.kind].validate(found.claims)
        except JoseError as error:
            return Verdict(False, type(error).__name__)
        except Exception as error:
            return Verdict(False, type(error).__name__, crash=True)
        return Verdict(True, "accepted", found.claims)

    @staticmethod
    def _make(names: tuple[str, ...]) -> TheirKeySet:
        jwks = [SIGNERS[name].jwk if name.startswith("Ed") else {**SIGNERS[name].jwk, "alg": name} for name in names]
        return TheirKeySet([JWKRegistry.import_key(dict(jwk)) for jwk in jwks])

    @staticmethod
    def _odd(given: Given) -> TheirKeySet:
        name = given.names[0]
        if given.form == "jwk":
            return TheirKeySet([JWKRegistry.import_key(json.loads(given.data))])
        named: Any = {"kid": SIGNERS[name].kid}
        if name.startswith("HS"):
            return TheirKeySet([OctKey.import_key(given.data, named)])
        return TheirKeySet([JWKRegistry.import_key(given.data, SIGNERS[name].jwk["kty"], named)])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings that the others give about short keys and old algorithms: under pytest they would be exceptions."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

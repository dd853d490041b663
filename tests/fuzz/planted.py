"""Planted faults: each is a mistake that verifiers have made, put into ours for a moment; the differential must see it.

Never knows which case shows it.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fuzz.cases import AUDIENCE, ISSUER
from stagedoor import access_token, encoding, jws, keys, keyset
from stagedoor.algorithms import ALGORITHMS
from stagedoor.errors import AlgorithmNotAllowed, ClaimRejected, TokenExpired, UnknownKey

Fault = Callable[[pytest.MonkeyPatch], None]
FAULTS: dict[str, Fault] = {}
"""Name -> puts it in."""


def _fault(plant: Fault) -> Fault:
    FAULTS[plant.__name__.strip("_")] = plant
    return plant


@contextmanager
def planted(name: str) -> Iterator[None]:
    """With this fault in our code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jws, "_known", {})  # a header that the fault lets pass would be known to the sound code afterwards
        FAULTS[name](patch)
        yield


def _instead(patch: pytest.MonkeyPatch, name: str, make: Callable[[Any], Any]) -> None:
    """Replace a check of claims in both of its readers."""
    for module in (access_token, keyset):
        patch.setattr(module, name, make(getattr(module, name)))


def _forgiving(name: str, forgives: Callable[[dict[str, Any], Any], bool]) -> Callable[[pytest.MonkeyPatch], None]:
    """The check of this name lets pass what `forgives` says of the payload and the expectation."""

    def make(real: Any) -> Any:
        def check(payload: Any, expected: Any) -> Any:
            try:
                return real(payload, expected)
            except ClaimRejected:
                if forgives(payload, expected):
                    return ("forgiven",)
                raise

        return check

    return lambda patch: _instead(patch, name, make)


@_fault
def padding_is_taken(patch: pytest.MonkeyPatch) -> None:
    """base64url with padding."""
    patch.setattr(jws, "decode", lambda text: encoding.decode(text.rstrip("=")))


@_fault
def slack_bits_are_taken(patch: pytest.MonkeyPatch) -> None:
    """base64url whose left-over bits are set: twins of one token."""

    def decode(text: str) -> bytes:
        try:
            return binascii.a2b_base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            return encoding.decode(text)

    patch.setattr(jws, "decode", decode)


@_fault
def the_algorithm_is_the_headers(patch: pytest.MonkeyPatch) -> None:
    """The header says how a key is used."""
    real = jws.verify

    def verify(token: str, finder: Any, now: float) -> Any:
        try:
            return real(token, finder, now)
        except AlgorithmNotAllowed:
            head, body, signature = token.split(".")
            header = json.loads(encoding.decode(head))
            key, row = finder.find(header.get("kid"), now), ALGORITHMS.get(str(header.get("alg")))
            if key is None or row is None or row.key_type != key.algorithm.key_type:
                raise
            if not row.verify(row.prepare(key._public), f"{head}.{body}".encode(), signature):
                raise
            text = encoding.decode(body)
            return jws.Signed(jws._read(head), encoding.decode_object(text), key, text)

    patch.setattr(jws, "verify", verify)


@_fault
def a_token_without_exp_is_taken(patch: pytest.MonkeyPatch) -> None:
    """`exp` is checked where it stands, and only there."""

    def make(real: Any) -> Any:
        return lambda payload, now, **more: real(payload, now, **more) if "exp" in payload else None

    _instead(patch, "check_times", make)


@_fault
def exp_has_a_leeway(patch: pytest.MonkeyPatch) -> None:
    """A token lives on for a second."""

    def make(real: Any) -> Any:
        def check(payload: Any, now: float, **more: Any) -> None:
            try:
                real(payload, now, **more)
            except TokenExpired:
                real(payload, now - 1, **more)

        return check

    _instead(patch, "check_times", make)


@_fault
def a_name_may_stand_twice(patch: pytest.MonkeyPatch) -> None:
    """Of two members of one name the last one counts: both of the others do so too."""
    patch.setattr(encoding, "_no_duplicates", dict)


@_fault
def nan_is_a_number(patch: pytest.MonkeyPatch) -> None:
    """What Python's json takes, is taken: both of the others do so too."""
    patch.setattr(encoding, "_no_constant", float)


@_fault
def json_may_be_deep(patch: pytest.MonkeyPatch) -> None:
    """No limit to nesting."""
    patch.setattr(encoding, "_check_depth", lambda data: None)


FAULTS["aud_may_begin_with_ours"] = _forgiving(
    "check_audience",
    lambda payload, audience: isinstance(payload.get("aud"), str) and any(payload["aud"].startswith(name) for name in audience),
)
FAULTS["iss_may_be_a_part_of_ours"] = _forgiving(
    "check_issuer", lambda payload, issuer: isinstance(payload.get("iss"), str) and payload["iss"] in issuer
)
FAULTS["iss_may_be_in_a_list"] = _forgiving(
    "check_issuer", lambda payload, issuer: isinstance(payload.get("iss"), list) and issuer in payload["iss"]
)


@_fault
def a_layout_expects_nothing(patch: pytest.MonkeyPatch) -> None:
    """Where a layout fits, the kind of the token and whose it is do not matter."""
    real = access_token.Reader._accept_usual

    def accept(self: Any, signed: Any, now: float) -> Any:
        said = signed.payload
        if type(said) is not dict and said.exp > now and said.is_complete and type(said.sub) is str:
            signed = msgspec.structs.replace(signed, header=msgspec.structs.replace(signed.header, kind="at+jwt"))
            said.iss, said.aud = ISSUER, AUDIENCE
        return real(self, signed, now)

    patch.setattr(access_token.Reader, "_accept_usual", accept)


@_fault
def der_is_a_signature(patch: pytest.MonkeyPatch) -> None:
    """An ES256 signature in the form that X.509 has."""
    row = ALGORITHMS["ES256"]
    real = row.verify

    def verify(public: Any, data: bytes, signature: str) -> bool:
        if real(public, data, signature):
            return True
        try:
            public.verify(encoding.decode(signature), data, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True

    patch.setattr("stagedoor.algorithms.Algorithm.__setattr__", object.__setattr__)
    patch.setattr(row, "verify", verify)


@_fault
def crit_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """As if `crit` and `b64` were not there."""
    patch.setattr(
        jws,
        "decode_object",
        lambda data: {name: value for name, value in encoding.decode_object(data).items() if name not in ("crit", "b64")},
    )


@_fault
def typ_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """A token of one kind passes for another: neither of the others minds."""
    patch.setattr(jws, "check_typ", lambda signed, typ: None)


@_fault
def a_wrong_kid_finds_the_key(patch: pytest.MonkeyPatch) -> None:
    """Where no key has this name, any will do."""
    real = jws.verify

    def verify(token: str, finder: Any, now: float) -> Any:
        try:
            return real(token, finder, now)
        except UnknownKey:
            entry = next(iter(finder.entries()))
            return real(token, _Any(entry.value), now)

    class _Any:
        def __init__(self, key: Any) -> None:
            self.key = key

        def find(self, kid: object, now: float) -> Any:
            return self.key

    patch.setattr(jws, "verify", verify)


@_fault
def nothing_is_asked_of_a_key(patch: pytest.MonkeyPatch) -> None:
    """Weak keys are let in."""
    patch.setattr(keys, "check", lambda row, public: None)


@_fault
def an_audience_in_a_list_is_refused(patch: pytest.MonkeyPatch) -> None:
    """Too strict is wrong too."""

    def make(real: Any) -> Any:
        return lambda payload, expected: real({**payload, "aud": str(payload.get("aud"))}, expected)

    _instead(patch, "check_audience", make)

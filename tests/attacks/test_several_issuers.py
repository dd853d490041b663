"""A verifier of several issuers under the same attacks, and one issuer's key in another's name (RFC 8725 section 3.8)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stagedoor import KeySet, Revocations, Verifier
from stagedoor.claims import ABSENT
from stagedoor.keys import Key
from stagedoor.trusted_issuer import TrustedIssuer

from . import claims, test_attacks, test_flood
from .forgery import CLAIM, SIGNATURE, Forgery, Given, forged, token
from .in_process import InProcess
from .issuers import AUDIENCE, ISSUER
from .targets import Target

OTHER = "https://other.example"
OF_CLAIMS = ("test_a17", "test_a18", "test_a19", "test_a25", "test_injected")
"""What an entry expects of claims is its own matter."""
TESTS = [
    test
    for module in (test_attacks, test_flood)
    for name, test in vars(module).items()
    if name.startswith("test_") and not name.startswith(OF_CLAIMS)
]


def both(verifiers: dict[str, InProcess]) -> dict[str, InProcess]:
    return {alg: verifiers[alg] for alg in ("ES256", "RS256")}


def several(verifiers: dict[str, InProcess], attacked: str) -> InProcess:
    """Accepts two issuers, under two names, and a third whose tokens name no key, as those of @nestjs/jwt."""
    ours = verifiers[attacked]
    entries = [
        TrustedIssuer(ISSUER if alg == attacked else OTHER, audience=AUDIENCE, keys=KeySet.from_jwks(each.given.jwks))
        for alg, each in both(verifiers).items()
    ]
    third = TrustedIssuer(ABSENT, audience=ABSENT, typ="JWT", kid=ABSENT, keys=KeySet(Key.generate("HS256")))
    verifier = Verifier.of(*entries, third, revocations=Revocations())
    return InProcess(ours.given, ours.sinkhole, {"Verifier.of": verifier}, ours.issue, ours.revoke, exact=False)


@pytest.mark.parametrize("attacked", ["ES256", "RS256"])
@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.__name__.removeprefix("test_"))
def test_attacks_on_a_verifier_of_several(verifiers: dict[str, InProcess], attacked: str, test: Callable[[Target], None]):
    """What is no token for a verifier of one issuer is none for a verifier of three."""
    test(several(verifiers, attacked))


def crossed(ours: Given, theirs: Given) -> list[Forgery]:
    as_ours = ours.claims(sub="admin")
    return [
        forged("their key, their kid, our name", theirs.signed(as_ours), CLAIM),
        forged("their key, our kid", token(ours.header, as_ours, theirs.sign), SIGNATURE),
        forged("their key, no kid", theirs.signed(as_ours, kid=None), "key_unknown"),
        forged("their key, two names", theirs.signed(as_ours | {"iss": [OTHER, ISSUER]}), CLAIM),
    ]


@pytest.mark.parametrize("attacked", ["ES256", "RS256"])
def test_one_issuers_key_in_anothers_name(verifiers: dict[str, InProcess], attacked: str):
    """A17: the key that signed says whose token it is; what the token says of its issuer must be that issuer's name."""
    (theirs,) = (each.given for alg, each in both(verifiers).items() if alg != attacked)
    target = several(verifiers, attacked)
    target.exact = True
    target.refuse(crossed(target.given, theirs))
    target.refuse(claims.a17(target.given))

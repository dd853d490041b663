"""The matrix of all kinds (RFC 8725 section 3.11): every token that we make or that exists, before every reader that we have."""

from typing import Any

import pytest

from stagedoor import Issuer, Peppers, Revocations, Verifier, errors
from stagedoor.keyset import KeySet
from stagedoor.stores.memory import MemoryStore
from stagedoor.testing.clock import FixedClock

from .material import NOW, forge, header, key

ISSUER, AUDIENCE = "https://auth.example", "https://api.example"
CLAIMS = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "user",
    "client_id": AUDIENCE,
    "iat": NOW,
    "exp": NOW + 60,
    "jti": "token",
    "sid": "session",
    "auth_time": NOW,
    "scope": "orders:read",
}
"""All that an access token must say: so that nothing but its kind can make a reader refuse a token."""
MISSING = object()
OWN_KINDS = ["invitation+jwt", "reset+jwt", "verify+jwt", "x"]
"""Kinds that applications make with `keys.sign`."""
FOREIGN: dict[str, tuple[Any, dict[str, Any], str | None]] = {
    # name: typ of the header, claims besides, the kind that it is for us
    "jwt": ("JWT", {}, "jwt"),
    "jwt in lower case": ("jwt", {}, "jwt"),
    "id token": ("JWT", {"nonce": "n", "at_hash": "AA", "azp": AUDIENCE}, "jwt"),
    "id token without typ": (MISSING, {"nonce": "n", "at_hash": "AA"}, None),
    "missing typ": (MISSING, {}, None),
    "null typ": (None, {}, None),
    "empty typ": ("", {}, None),
    "typ of another type": (["at+jwt"], {}, None),
    "dpop proof": ("dpop+jwt", {"htm": "GET", "htu": AUDIENCE, "ath": "AA"}, "dpop+jwt"),
    "logout token": ("logout+jwt", {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}, "logout+jwt"),
    "security event": ("secevent+jwt", {"events": {}}, "secevent+jwt"),
    "introspection answer": ("token-introspection+jwt", {"token_introspection": {"active": True}}, "token-introspection+jwt"),
    "request object": ("oauth-authz-req+jwt", {}, "oauth-authz-req+jwt"),
    "client assertion": ("client-authentication+jwt", {}, "client-authentication+jwt"),
    "refresh token as jwt": ("rt+jwt", {}, "rt+jwt"),
    "access token of RFC 9068": ("at+jwt", {}, "at+jwt"),
    "access token, media type": ("application/at+jwt", {}, "at+jwt"),
    "access token, capitals": ("AT+JWT", {}, "at+jwt"),
    "nearly: blank": ("at+jwt ", {}, None),
    "nearly: tab": ("\tat+jwt", {}, None),
    "nearly: NUL": ("at+jwt\0", {}, None),
    "nearly: without plus": ("at jwt", {}, None),
    "nearly: a parameter": ("at+jwt; v=1", {}, None),
    "nearly: prefix twice": ("application/application/at+jwt", {}, None),
    "nearly: another tree": ("text/at+jwt", {}, None),
    "nearly: longer": ("at+jwtx", {}, None),
    "nearly: shorter": ("at+jw", {}, None),
    "nearly: wide letters": ("\uff41t+jwt", {}, None),
}
KINDS = sorted({*OWN_KINDS, *(kind for _, _, kind in FOREIGN.values() if kind)} - {"at+jwt"})


class House:
    """An issuer with all that reads tokens: `readers` by the kind that each takes."""

    def __init__(self) -> None:
        self.clock = FixedClock(NOW)
        self.keys = KeySet(key("ES256"), clock=self.clock)
        peppers = Peppers.generate(clock=self.clock)
        self.issuer = Issuer(ISSUER, audience=AUDIENCE, store=MemoryStore(), keys=self.keys, peppers=peppers, clock=self.clock)
        self.verifiers = [
            self.issuer.verifier(),
            Verifier(ISSUER, audience=AUDIENCE, keys=self.keys, revocations=Revocations.until_expiry(), clock=self.clock),
        ]

    def check(self, name: str, token: str, kind: str | None) -> None:
        """Every reader of one kind or another takes this token if that is its kind, and else refuses it for its form or its `typ`."""
        for wanted in KINDS:
            if wanted == kind:
                assert self.keys.verify(token, typ=wanted, issuer=ISSUER, audience=AUDIENCE)["sub"] == "user", (name, wanted)
            else:
                with pytest.raises(errors.TokenError) as caught:
                    self.keys.verify(token, typ=wanted, issuer=ISSUER, audience=AUDIENCE)
                assert getattr(caught.value, "claim", "form") == ("form" if caught.value.code == "token_malformed" else "typ"), (
                    name,
                    wanted,
                )
        for verifier in self.verifiers:
            if kind == "at+jwt":
                assert verifier.verify(token).subject == "user", name
            else:
                with pytest.raises(errors.TokenError) as caught:
                    verifier.verify(token)
                assert getattr(caught.value, "claim", "form") == ("form" if caught.value.code == "token_malformed" else "typ"), name

    async def check_endpoints(self, token: str) -> None:
        """Where refresh tokens are read, no JWT of any kind is one."""
        for read in (self.issuer.refresh, self.issuer.revoke):
            with pytest.raises(errors.RefreshTokenUnknown):
                await read(token)


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.parametrize("name", FOREIGN)
async def test_every_kind_that_exists(house: House, name: str):
    """A token of one kind passes where that kind is read, and nowhere else, though all its claims and its signature are right."""
    typ, more, kind = FOREIGN[name]
    head = {**header(key("ES256")), "typ": typ}
    if typ is MISSING:
        del head["typ"]
    token = forge(head, CLAIMS | more, key("ES256"))
    house.check(name, token, kind)
    await house.check_endpoints(token)


@pytest.mark.parametrize("kind", OWN_KINDS)
async def test_every_kind_that_an_application_makes(house: House, kind: str):
    """What `keys.sign` makes of one kind is no other, no access token and no refresh token."""
    claims = {name: value for name, value in CLAIMS.items() if name not in ("iat", "exp")}
    token = house.keys.sign(claims, typ=kind, expires=60)
    house.check(kind, token, kind)
    await house.check_endpoints(token)


async def test_what_the_issuer_makes(house: House):
    """The access token passes as an access token only; the refresh token is no JWT, and only its own endpoints know it."""
    pair = await house.issuer.issue("user")
    house.check("access token", pair.access_token, "at+jwt")
    await house.check_endpoints(pair.access_token)
    assert pair.refresh_token.startswith("sdr_")
    house.check("refresh token", pair.refresh_token, None)
    assert (await house.issuer.refresh(pair.refresh_token)).access_token


def test_nobody_reads_access_tokens_as_another_kind(house: House):
    """There is no way to ask for access tokens, or for no kind at all, but through a verifier."""
    token = forge(header(key("ES256"), typ="at+jwt"), CLAIMS, key("ES256"))
    for typ in ("at+jwt", "AT+JWT", "application/at+jwt", "", None, "a/b", "At+jwt", 1):
        with pytest.raises(ValueError):
            house.keys.verify(token, typ=typ, issuer=ISSUER, audience=AUDIENCE)  # type: ignore[arg-type]
        with pytest.raises(ValueError):
            house.keys.sign({}, typ=typ, expires=60)  # type: ignore[arg-type]

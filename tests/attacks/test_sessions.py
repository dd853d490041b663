"""A15 and A27: what is refused or remembered by session and by the whole token, never by its text's look."""

from __future__ import annotations

from collections.abc import Iterator

from .forgery import GENERIC, Forgery, Given, b64, forged, unb64
from .over_http import OverHTTP
from .signatures import ORDERS, twin_of
from .targets import Target

REVOKED = "token_revoked"


def test_a15_twins_of_an_ended_session(target: Target):
    """A15: an ES256 token has a twin that says the same; once its session is ended both are refused, and no other session's token."""
    token = target.fresh()
    said = target.accept(token)
    texts = {"the token": token}
    if target.given.alg in ORDERS:
        texts["its twin"] = twin_of(token, target.given.alg)
        assert texts["its twin"] != token
        assert target.accept(texts["its twin"]) == said
    target.log_out(token)
    target.refuse([forged(name, text, REVOKED) for name, text in texts.items()])
    assert target.accept(target.given.tokens[0])["sid"] != said["sid"]


def flipped(given: Given, step: int) -> Iterator[Forgery]:
    """The genuine token with one bit changed: each `step`th bit of what each part says."""
    parts = given.tokens[0].split(".")
    for place, part in enumerate(parts):
        data = unb64(part)
        for bit in range(0, 8 * len(data), step):
            other = bytearray(data)
            other[bit // 8] ^= 1 << bit % 8
            yield forged(f"part {place}, bit {bit}", ".".join([*parts[:place], b64(other), *parts[place + 1 :]]), *GENERIC)


def test_a27_no_two_tokens_share_an_answer(target: Target):
    """A27: tokens that differ in one bit, or are alike for most of their text, never share an answer, however often one was accepted."""
    one, other = target.given.tokens
    for _ in range(3):
        assert target.accept(one)["jti"] != target.accept(other)["jti"]
    target.refuse(flipped(target.given, 11 if isinstance(target, OverHTTP) else 3))
    first, payload, signature = one.split(".")
    theirs = other.split(".")
    mixed = {
        "another signature": f"{first}.{payload}.{theirs[2]}",
        "another payload": f"{first}.{theirs[1]}.{signature}",
        "a longer signature": f"{one}AAAA",
        "an admin's payload": f"{first}.{b64(b'{}')}.{signature}",
    }
    target.refuse([forged(name, text, *GENERIC) for name, text in mixed.items()])
    token = target.fresh()
    target.accept(token)
    target.log_out(token)
    target.refuse([forged("accepted before its session was ended", token, REVOKED)])

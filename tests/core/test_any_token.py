"""Whatever text comes in place of a token, it is refused quickly and with one of our errors; and what is signed is read as quickly."""

import contextlib
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedoor import Revocations, Verifier, errors, jws
from stagedoor.encoding import MAX_TOKEN, encode
from stagedoor.keyset import KeySet

from .material import NOW, forge, header, key
from .test_encoding import HEAVY

KEYS = KeySet(key("HS256"), clock=lambda: NOW)
VERIFIERS = [
    lambda token: jws.verify(token, KEYS, NOW),
    lambda token: KEYS.verify(token, typ="x"),
    Verifier("i", audience="a", keys=KEYS, revocations=Revocations.until_expiry(), clock=lambda: NOW).verify,
]
READERS = [*VERIFIERS, jws.read_unverified]
GENUINE = jws.sign(key("HS256"), "x", {"iat": NOW, "exp": NOW + 60})
ODD = [
    "\ud800",
    "\udfff\ud800",
    "\0",
    "\u00e9",
    "\u2024",
    "\uff0e",
    "\U0001f600",
    "\n",
    "\r",
    "\t",
    " ",
    "=",
    "+",
    "/",
    "\x7f",
    "\x85",
    "\u2028",
    "\ufeff",
]


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_foreign_characters(odd: str):
    """Lone surrogates, NUL, other alphabets and blanks are refused wherever they stand in a genuine token, or alone."""
    first, payload, signature = GENUINE.split(".")
    texts = [
        odd,
        odd * 3,
        odd * 100_000,
        f"{odd}.{odd}.{odd}",
        f"..{odd}",
        f"{odd}..",
        GENUINE + odd,
        odd + GENUINE,
        GENUINE.replace(".", odd),
    ]
    texts += [f"{first}{odd}.{payload}.{signature}", f"{first}.{payload}{odd}.{signature}", f"{first}.{payload}.{odd}{signature}"]
    for text in texts:
        for read in VERIFIERS:
            # The payload's form is looked at once the signature holds, which it does not where the payload was changed.
            with pytest.raises(errors.BadSignature if text.isascii() and f"{payload}{odd}." in text else errors.MalformedToken):
                read(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(codec=None), max_size=60), st.integers(0, len(GENUINE)), st.integers(0, 5))
def test_a_genuine_token_with_anything_in_it(text: str, place: int, cut: int):
    """Whatever is put into a genuine token, or in place of some of it, ends in a refusal unless nothing was changed."""
    changed = GENUINE[:place] + text + GENUINE[place + cut :]
    if changed == GENUINE:
        return
    for read in VERIFIERS:
        with pytest.raises(errors.TokenError):
            read(changed)


def test_a_huge_text_costs_nothing():
    """A hundred megabytes are refused by their length: no time, and no memory."""
    huge = "a." * 50_000_000
    tracemalloc.start()
    before = time.thread_time()
    for read in READERS:
        with pytest.raises(errors.MalformedToken):
            read(huge)
    spent, (_, most) = time.thread_time() - before, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert spent < 0.1
    assert most < 100_000


def best_of(token: str) -> float:
    """Seconds until a token of this text is read or refused, the least of up to thirty tries."""
    best = 1.0
    for _ in range(30):
        before = time.thread_time()
        with contextlib.suppress(errors.TokenError):
            jws.verify(token, KEYS, NOW)
        best = min(best, time.thread_time() - before)
        if best < 0.0005:
            break
    return best


def test_no_token_is_slow():
    """Within the size limit no header, no payload and no signature costs a millisecond, genuine or not."""
    heavy = [forge(header(key("HS256")), payload, key("HS256")) for payload in HEAVY]
    heavy += [forge(payload[:6000], b"", signature=b"") for payload in HEAVY]
    heavy += [forge(header(key("HS256")), b"{}", signature=b"x" * 6000), "." * MAX_TOKEN, "A" * MAX_TOKEN, encode(b"{" * 6000) + ".."]
    slowest = max((best_of(token[:MAX_TOKEN]), token[:40]) for token in heavy)
    assert slowest[0] < 0.001, slowest


def test_memory_is_bounded():
    """What is kept while a token is read is no more than a small multiple of its size."""
    for payload in HEAVY:
        token = forge(header(key("HS256")), payload, key("HS256"))[:MAX_TOKEN]
        tracemalloc.start()
        with contextlib.suppress(errors.TokenError):
            jws.verify(token, KEYS, NOW)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 100 * MAX_TOKEN, payload[:20]

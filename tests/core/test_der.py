"""What is found out of a key in PEM or DER that no library loads: the policy's code where its numbers can be read, else key_malformed."""

from collections.abc import Callable

import pytest

from stagedoor.errors import KeyRejected
from stagedoor.keys import Key

from . import defects
from .defects import CURVE_NAMES, EC_NAME, bits, integer, octets, sequence, sound, spki, tagged, traditional, with_rsa


def code(der: bytes, name: str) -> str:
    with pytest.raises(KeyRejected) as caught:
        Key.from_der(der, name)
    return caught.value.code


def test_numbers_of_another_kind_of_key():
    """The numbers of an RSA key say nothing of a key that is to be of another type."""
    der = spki(defects.even_exponent())
    assert (code(der, "RS256"), code(der, "ES256"), code(der, "Ed25519")) == ("key_weak_exponent", "key_malformed", "key_malformed")


def test_a_negative_modulus():
    """An INTEGER whose first bit is set is below zero (X.690 section 8.3): no modulus, of whatever size."""
    for negative in (b"\x80", b"\x80" + b"\1" * 127, b"\xff" * 256):
        assert code(sequence(tagged(0x02, negative), integer(65537)), "RS256") == "key_malformed"


@pytest.mark.parametrize("more", [1, 2, 3])
def test_more_numbers_than_an_rsa_key_has(more: int):
    """Whatever stands behind the two primes and their three numbers makes it no key of two primes."""
    parts = sound("RS256").rsa
    der = sequence(integer(0), *map(integer, parts), *(integer(5) for _ in range(more)))
    assert code(der, "RS256") == "key_private_members"


def test_a_point_that_is_sound_in_a_key_that_is_none():
    """Where the point lies on the curve and there is no private part, nothing more can be said."""
    der = sequence(sequence(EC_NAME, CURVE_NAMES["ES256"]), bits(defects.point(sound("ES256"))), integer(5))
    assert code(der, "ES256") == "key_malformed"


def test_a_length_that_der_does_not_have():
    """The indefinite length of BER (X.690 section 8.1.3.6) is not read."""
    inner = traditional(with_rsa(e=3))
    assert code(b"\x30\x80" + inner[inner.index(b"\2\1\0") :] + b"\0\0", "RS256") == "key_malformed"


@pytest.mark.parametrize("missing", [1, 2, 200])
def test_what_is_cut_off(missing: int):
    """Of a text that ends too early no number is read."""
    assert code(traditional(with_rsa(e=3))[:-missing], "RS256") == "key_malformed"


@pytest.mark.parametrize("inner", [b"\x30", b"\x30\x05"])
def test_a_string_that_only_begins_like_a_key(inner: bytes):
    """What stands in a string need be no DER: the numbers beside it are read all the same."""
    assert code(sequence(integer(sound("RS256").rsa[0]), integer(3), octets(inner)), "RS256") == "key_weak_exponent"


@pytest.mark.parametrize("wrap", [sequence, lambda inner: tagged(0xA0, inner), octets, lambda inner: bits(sequence(inner))])
def test_what_is_wrapped_too_deeply(wrap: Callable[[bytes], bytes]):
    """A number under a thousand others' wrappings is not looked for, and nothing runs out of depth."""
    der = integer(5)
    for _ in range(1_000):
        der = wrap(der)
    assert code(sequence(der), "RS256") == "key_malformed"

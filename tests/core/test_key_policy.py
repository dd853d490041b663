"""The policy for keys: every defect at every door has its own code, and what is sound passes at each."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x448, x25519

from stagedoor.algorithms import algorithm
from stagedoor.encoding import encode
from stagedoor.errors import KeyRejected
from stagedoor.key_policy import check_rsa
from stagedoor.keys import Key
from stagedoor.keyset import KeySet

from . import defects
from .defects import PRIVATE_FORMS, PUBLIC_FORMS, Parts, private_jwk, public_jwk, sound, with_rsa
from .material import SECRET, key, private_der, private_key, private_pem, public_der, public_pem, rsa_key

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
PRIME = 2**255 - 19


class Box:
    """A signer, which none of these tests lets sign."""

    def sign(self, data: bytes) -> bytes:
        raise NotImplementedError


PUBLIC_DOORS: dict[str, Callable[[Parts], Any]] = {
    "der": lambda parts: Key.from_der(PUBLIC_FORMS["der"](parts), parts.name),
    "pem": lambda parts: Key.from_pem(PUBLIC_FORMS["pem"](parts), parts.name),
    "jwk": lambda parts: Key.from_jwk(public_jwk(parts)),
    "set from pem": lambda parts: KeySet.from_pem(PUBLIC_FORMS["pem"](parts), parts.name),
    "jwks": lambda parts: KeySet.from_jwks({"keys": [public_jwk(parts)]}),
    "signer's der": lambda parts: Key.from_signer(Box(), PUBLIC_FORMS["der"](parts), parts.name),
    "signer's jwk": lambda parts: Key.from_signer(Box(), public_jwk(parts), parts.name),
}
PRIVATE_DOORS: dict[str, Callable[[Parts], Any]] = {
    "pkcs8 der": lambda parts: Key.from_der(PRIVATE_FORMS["pkcs8 der"](parts), parts.name),
    "pkcs8 pem": lambda parts: Key.from_pem(PRIVATE_FORMS["pkcs8 pem"](parts), parts.name),
    "traditional der": lambda parts: Key.from_der(PRIVATE_FORMS["traditional der"](parts), parts.name),
    "traditional pem": lambda parts: Key.from_pem(PRIVATE_FORMS["traditional pem"](parts), parts.name),
    "private jwk": lambda parts: Key.from_jwk(private_jwk(parts)),
    "private set from pem": lambda parts: KeySet.from_pem(PRIVATE_FORMS["pkcs8 pem"](parts), parts.name),
}

RSA_DEFECTS: dict[str, tuple[Callable[[], Parts], str]] = {
    "1024 bits": (defects.small_rsa, "key_too_small"),
    "2047 bits": (lambda: with_rsa(n=(1 << 2046) + 1), "key_too_small"),
    "16385 bits": (lambda: with_rsa(n=(1 << 16384) + 1), "key_too_large"),
    "e = 1": (lambda: with_rsa(e=1), "key_weak_exponent"),
    "e = 3": (lambda: with_rsa(e=3), "key_weak_exponent"),
    "e = 65535": (lambda: with_rsa(e=65535), "key_weak_exponent"),
    "e even": (defects.even_exponent, "key_weak_exponent"),
    "e huge": (lambda: with_rsa(e=2**256 + 1), "key_weak_exponent"),
    "e beyond n": (lambda: with_rsa(e=2**4096 + 1), "key_weak_exponent"),
    "e of 5000 digits": (lambda: with_rsa(e=2**16610 + 1), "key_weak_exponent"),
    "n even": (lambda: with_rsa(n=sound("RS256").rsa[0] + 1), "key_weak_modulus"),
    "n divided by 167": (lambda: with_rsa(n=167 * sound("RS256").rsa[0]), "key_weak_modulus"),
    "roca": (defects.with_the_mark_of_roca, "key_roca"),
}
POINT_DEFECTS: dict[str, tuple[Callable[[], Parts], str]] = {
    f"{what} {name}": (lambda name=name, change=change: replace(sound(name), point=change(*sound(name).point)), "key_point_off_curve")
    for name in ("ES256", "ES384", "ES512")
    for what, change in {
        "y + 1": lambda x, y: (x, y ^ 1),
        "x + 1": lambda x, y: (x ^ 1, y),
        "0, 0": lambda x, y: (0, 0),
        "beyond the field": lambda x, y: (x | (1 << x.bit_length() // 8 * 8) - 1, y),
    }.items()
}


def ed25519_bytes(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


def order_eight() -> list[int]:
    """y of the points of order 8: twice such a point has y = 0, so x² = -y², and the curve's equation is 2y² = 1 - d y⁴."""
    d = -121665 * pow(121666, -1, PRIME) % PRIME

    def roots(a: int) -> list[int]:
        root = pow(a, (PRIME + 3) // 8, PRIME)
        return [r for r in (root, root * pow(2, (PRIME - 1) // 4, PRIME) % PRIME) if r * r % PRIME == a % PRIME]

    squares = [(-1 + sign * root) * pow(d, -1, PRIME) % PRIME for root in roots(1 + d) for sign in (1, -1)]
    return [y for square in squares for root in roots(square) for y in (root, PRIME - root)]


ED25519_DEFECTS: dict[str, tuple[bytes, str]] = {
    "zeros": (bytes(32), "key_weak_point"),
    "zeros and a sign": (ed25519_bytes(0, 1), "key_weak_point"),
    "neutral": (ed25519_bytes(1), "key_weak_point"),
    "order 2": (ed25519_bytes(PRIME - 1), "key_weak_point"),
    **{f"order 8, {n}": (ed25519_bytes(y, n // 2), "key_weak_point") for n, y in enumerate(2 * order_eight())},
    "neutral and a sign": (ed25519_bytes(1, 1), "key_point_off_curve"),
    "order 2 and a sign": (ed25519_bytes(PRIME - 1, 1), "key_point_off_curve"),
    "prime for zero": (ed25519_bytes(PRIME), "key_point_off_curve"),
    "prime + 1 for one": (ed25519_bytes(PRIME + 1), "key_point_off_curve"),
    "all ones": (b"\xff" * 32, "key_point_off_curve"),
    "no x for y = 2": (ed25519_bytes(2), "key_point_off_curve"),
}
PRIVATE_DEFECTS: dict[str, Callable[[], Parts]] = {
    "another d": lambda: with_rsa(d=sound("RS256").rsa[2] ^ 2),
    "another p": lambda: with_rsa(p=sound("RS256").rsa[3] + 2),
    "p for q": lambda: with_rsa(p=sound("RS256").rsa[4], q=sound("RS256").rsa[3]),
    "another dp": lambda: with_rsa(dp=sound("RS256").rsa[5] ^ 2),
    "another qi": lambda: with_rsa(qi=sound("RS256").rsa[7] ^ 2),
    "another n": lambda: with_rsa(n=rsa_key(2048, 3).public_key().public_numbers().n),
    "another scalar": lambda: replace(sound("ES256"), scalar=sound("ES256").scalar ^ 1),
    "scalar 0": lambda: replace(sound("ES256"), scalar=0),
    "scalar of the order": lambda: replace(sound("ES256"), scalar=ORDER),
    "scalar like DER": lambda: replace(sound("ES256"), scalar=0x30 << 248),
    "scalar like a number in DER": lambda: replace(sound("ES256"), scalar=0x021E << 240),
    "another scalar, P-521": lambda: replace(sound("ES512"), scalar=sound("ES512").scalar ^ 1),
}


def refused(make: Callable[[], object]) -> str:
    with pytest.raises(KeyRejected) as caught:
        make()
    return caught.value.code


def judged(make: Callable[[], object]) -> str | None:
    """The code of a refusal; None where there is none."""
    try:
        make()
    except KeyRejected as error:
        return error.code
    return None


@pytest.mark.parametrize("name", ["RS256", "ES256", "ES384", "ES512", "Ed25519"])
def test_what_is_sound_passes_at_every_door(name: str):
    """The forms that these tests make by hand are those that libraries make: a sound key comes through each of them."""
    for door in PUBLIC_DOORS.values():
        assert door(sound(name))
    for door in PRIVATE_DOORS.values() if name != "Ed25519" else ():
        assert door(sound(name))
    assert PUBLIC_FORMS["der"](sound(name)) == public_der(private_key(name).public_key())


@pytest.mark.parametrize("door", [*PUBLIC_DOORS, *PRIVATE_DOORS])
@pytest.mark.parametrize("defect", [*RSA_DEFECTS, *POINT_DEFECTS])
def test_a54_bad_numbers(defect: str, door: str):
    """A54, RFC 8725 section 3.4: short and long RSA, bad exponents and moduli, ROCA and points off the curve, at every door."""
    make, code = (RSA_DEFECTS | POINT_DEFECTS)[defect]
    assert refused(lambda: (PUBLIC_DOORS | PRIVATE_DOORS)[door](make())) == code


@pytest.mark.parametrize("door", PUBLIC_DOORS)
@pytest.mark.parametrize("defect", ED25519_DEFECTS)
def test_bad_points_of_ed25519(defect: str, door: str):
    """RFC 8032 section 5.1.3: all zeros, the eight points of small order and bytes that are no point, at every door."""
    x, code = ED25519_DEFECTS[defect]
    assert refused(lambda: PUBLIC_DOORS[door](Parts("Ed25519", x=x))) == code


def test_there_are_eight_points_of_small_order():
    """The table above is whole: four of order 8, two of order 4, one of order 2, and the neutral one."""
    weak = {x for x, code in ED25519_DEFECTS.values() if code == "key_weak_point"}
    assert len(weak) == 8


@pytest.mark.parametrize("door", PRIVATE_DOORS)
@pytest.mark.parametrize("defect", PRIVATE_DEFECTS)
def test_private_parts_that_do_not_fit(defect: str, door: str):
    """A private part that belongs to another public key, or to none, at every door."""
    assert refused(lambda: PRIVATE_DOORS[door](PRIVATE_DEFECTS[defect]())) == "key_private_misfit"


def test_a_third_prime():
    """RFC 8017 section 3.2: an RSA key with a third prime is refused, as DER and as JWK."""
    third = defects.sequence(*map(defects.integer, (1, *sound("RS256").rsa)), defects.sequence(*map(defects.integer, (3, 3, 3))))
    assert refused(lambda: Key.from_der(third, "RS256")) == "key_private_members"
    assert refused(lambda: Key.from_jwk({**private_jwk(sound("RS256")), "oth": [{}]})) == "key_private_members"


def test_generated_keys_are_sound():
    """None of some ordinary RSA keys, and none of two thousand numbers like theirs, has the mark of ROCA; the made one has."""
    row = algorithm("RS256")
    for exponent in (65537, 65539, 2**255 + 1):
        check_rsa(row, sound("RS256").rsa[0], exponent)
    for _ in range(3):
        numbers = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key().public_numbers()
        check_rsa(row, numbers.n, numbers.e)
    p, q = sound("RS256").rsa[3:5]
    for step in range(2000):
        assert judged(lambda step=step: check_rsa(row, (p + 2 * step) * q, 65537)) in (None, "key_weak_modulus")
    marked = defects.with_the_mark_of_roca().rsa[0]
    assert refused(lambda: check_rsa(row, marked, 65537)) == "key_roca"


def test_the_longest_modulus_and_an_even_one():
    """16,384 bits are taken, and twice an odd number is none, whatever else divides it."""
    row = algorithm("RS256")
    small = math.prod(range(3, 168))
    check_rsa(row, next(n for n in range(2**16383 + 1, 2**16384, 2) if math.gcd(n, small) == 1), 65537)
    even = next(n for n in range(2**2047, 2**2048, 2) if math.gcd(n // 2, small) == 1 and n % 3)
    assert refused(lambda: check_rsa(row, even, 65537)) == "key_weak_modulus"


def test_the_policy_is_fast():
    """Judging the longest RSA key and a point of Ed25519 takes milliseconds."""
    longest = {"kty": "RSA", "alg": "RS256", "e": "AQAB", "n": encode(b"\xff" * 2047 + b"\xfb")}
    for jwk in (longest, public_jwk(sound("Ed25519"))):
        before = time.thread_time()
        for _ in range(10):
            judged(lambda jwk=jwk: Key.from_jwk(jwk))
        assert time.thread_time() - before < 1


@pytest.mark.parametrize("name", ["pem", "der", "private pem", "private der", "set"])
@pytest.mark.parametrize(
    ("make", "algorithm_name", "code"),
    [
        (lambda: private_key("ES256"), "ES384", "key_curve_misfit"),
        (lambda: private_key("ES384"), "ES256", "key_curve_misfit"),
        (lambda: private_key("ES512"), "ES256", "key_curve_misfit"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "ES256", "key_curve_misfit"),
        (lambda: ec.generate_private_key(ec.BrainpoolP256R1()), "ES256", "key_curve_misfit"),
        (ed448.Ed448PrivateKey.generate, "EdDSA", "key_curve_misfit"),
        (x25519.X25519PrivateKey.generate, "EdDSA", "key_curve_misfit"),
        (x448.X448PrivateKey.generate, "EdDSA", "key_curve_misfit"),
        (lambda: private_key("ES256"), "RS256", "key_algorithm_misfit"),
        (lambda: private_key("ES256"), "EdDSA", "key_algorithm_misfit"),
        (lambda: private_key("ES256"), "HS256", "key_algorithm_misfit"),
        (lambda: private_key("RS256"), "ES256", "key_algorithm_misfit"),
        (lambda: private_key("RS256"), "HS256", "key_algorithm_misfit"),
        (lambda: private_key("EdDSA"), "ES256", "key_algorithm_misfit"),
        (lambda: dsa.generate_private_key(1024), "RS256", "key_algorithm_misfit"),
        (lambda: dsa.generate_private_key(1024), "EdDSA", "key_algorithm_misfit"),
    ],
)
def test_a5_a_key_of_another_kind(make: Callable[[], Any], algorithm_name: str, code: str, name: str):
    """A5: a key whose type or curve is not its algorithm's is refused, whichever way it comes."""
    private = make()
    doors: dict[str, Callable[[], Any]] = {
        "pem": lambda: Key.from_pem(public_pem(private.public_key()), algorithm_name),
        "der": lambda: Key.from_der(public_der(private.public_key()), algorithm_name),
        "private pem": lambda: Key.from_pem(private_pem(private), algorithm_name),
        "private der": lambda: Key.from_der(private_der(private), algorithm_name),
        "set": lambda: KeySet.from_pem(public_pem(private.public_key()), algorithm_name),
    }
    assert refused(doors[name]) == code


@pytest.mark.parametrize(("name", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda size: b"", "key_secret_empty"),
        (lambda size: SECRET[: size - 1], "key_too_small"),
        (lambda size: b" ", "key_too_small"),
        (lambda size: b"secret", "key_too_small"),
        (lambda size: b"\0" * size, "key_secret_weak"),
        (lambda size: b" " * size, "key_secret_weak"),
        (lambda size: b"abcdefg" * 16, "key_secret_weak"),
        (lambda size: b"-----BEGIN PUBLIC KEY-----", "key_text_as_secret"),
    ],
)
def test_a13_weak_secrets(name: str, size: int, make: Callable[[int], bytes], code: str):
    """A13: a secret is there, as long as its hash, no few repeated bytes and no key's text, at every door."""
    secret = make(size)
    doors = [
        lambda: Key.from_secret(secret, name),
        lambda: KeySet.from_secret(secret, name),
        lambda: Key.from_jwk({"kty": "oct", "alg": name, "k": encode(secret)}),
    ]
    assert {refused(door) for door in doors} == {code}
    assert Key.from_secret(SECRET[:size], name)
    assert Key.from_secret(b"abcdefgh" * 8, name)


def test_keys_behind_a_password():
    """The policy holds for what was encrypted too."""
    assert refused(lambda: Key.from_pem(defects.locked(rsa_key(1024), b"p"), "RS256", password=b"p")) == "key_too_small"
    assert refused(lambda: Key.from_pem(defects.locked(private_key("ES384"), b"p"), "ES256", password=b"p")) == "key_curve_misfit"


@pytest.mark.parametrize("data", [b"\x30" * 100_000, b"\x30\x80" * 50_000, b"\x30\x84\xff\xff\xff\xff", b"\x02" * 1000, b"\x30\x00" * 500])
@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
def test_der_that_is_none(data: bytes, name: str):
    """Whatever stands in place of a key, to find out what is wrong with it costs little, and ends in a refusal."""
    before = time.thread_time()
    assert refused(lambda: Key.from_der(data, name)) == "key_malformed"
    assert refused(lambda: Key.from_pem(defects.pem(data, "PRIVATE KEY"), name)) == "key_malformed"
    assert time.thread_time() - before < 1


def test_mixed_sets_and_names():
    """Of two keys in a set neither has the other's name, and both are secrets or neither is."""
    assert refused(lambda: KeySet(key("ES256"), Key.from_der(private_der(private_key("ES384")), "ES384", kid=key("ES256").kid))) == (
        "key_duplicate_kid"
    )
    assert refused(lambda: KeySet(key("HS256"), key("ES256"))) == "key_mixed_symmetry"

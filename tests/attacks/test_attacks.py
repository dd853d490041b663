"""The attacks of the table, one named test each, on verifiers in this process and on running services."""

from __future__ import annotations

from . import algorithms, claims, forms, headers, signatures
from .targets import Target


def test_a1_alg_none(target: Target):
    """A1: `none` in any case, no `alg` or one of another type is refused, with an empty or a kept signature."""
    target.refuse(algorithms.a1(target.given))


def test_a2_public_key_as_secret(target: Target):
    """A2: a MAC under the text of the public key verifies nothing, in whatever form and with whatever blanks around."""
    target.refuse(algorithms.a2(target.given))


def test_a3_header_picks_the_algorithm(target: Target):
    """A3: also where the published key has no `alg`, the header cannot choose one."""
    target.refuse(algorithms.a3(target.given))


def test_a4_another_algorithm_than_the_keys(target: Target):
    """A4: every other algorithm of ours in the header is refused, though the key's own signature holds."""
    target.refuse(algorithms.a4(target.given))


def test_a5_one_key_in_two_roles(target: Target):
    """A5: a signature of another scheme, hash or curve is none, though it is the same key or as wide."""
    target.refuse(algorithms.a5(target.given))


def test_a6_unknown_algorithms(target: Target):
    """A6: a name of no algorithm of ours fails closed, whatever it looks like."""
    target.refuse(algorithms.a6(target.given))


def test_a7_embedded_key(target: Target):
    """A7: a key in the header is never used, whichever name it goes by."""
    target.refuse(headers.a7(target.given))


def test_a8_key_behind_an_address(target: Target):
    """A8: an address in a header or a claim is never asked, whatever it looks like."""
    target.refuse(headers.a8(target.given))


def test_a9_embedded_certificate(target: Target):
    """A9: a chain of certificates in the header is never read."""
    target.refuse(headers.a9(target.given))


def test_a10_kid_that_is_no_name(target: Target):
    """A10: a `kid` is looked up and nothing else: paths, queries, commands, other types and 64 KiB name no key."""
    target.refuse(headers.a10(target.given))


def test_a11_critical_parameters(target: Target):
    """A11: `crit` in any form and `b64` are refused, though the signature holds."""
    target.refuse(headers.a11(target.given))


def test_a12_json_serialisation(target: Target):
    """A12: the JSON forms are refused, also where a genuine compact token hides in them."""
    target.refuse(forms.a12(target.given))


def test_a13_weak_secrets(target: Target):
    """A13: no MAC under an empty, a blank or a well-known secret holds; test_keys.py has the doors that refuse such secrets."""
    target.refuse(algorithms.a13(target.given))


def test_a14_signatures_of_nothing(target: Target):
    """A14: zero, the order and beyond, DER and other widths are no signature."""
    target.refuse(signatures.a14(target.given))


def test_a16_twins_of_the_text(target: Target):
    """A16: padding, slack bits, the standard alphabet and inserted characters are refused in each of the three parts."""
    target.refuse(forms.a16(target.given))


def test_a17_issuers_that_look_alike(target: Target):
    """A17: `iss` is the issuer to the letter; parts of it, longer names, lists and other types are another, though the key is ours."""
    target.refuse(claims.a17(target.given))


def test_a18_times_that_are_none(target: Target):
    """A18: times of another type, without an end, and payloads that are no strict JSON are refused, though the key is ours."""
    target.refuse(claims.a18(target.given))


def test_a19_claims_of_another_type(target: Target):
    """A19: a claim or a kind that is not what it should be is refused, though the key is ours."""
    target.refuse(claims.a19(target.given))


def test_a21_a_million_dots(target: Target):
    """A21: a token is refused by its size before anything is parted: within 5 ms, or by the transport with 413."""
    target.refuse(forms.a21(target.given))


def test_a22_compressed_tokens(target: Target):
    """A22: nothing is ever inflated."""
    target.refuse(forms.a22(target.given))


def test_a23_costly_key_derivation(target: Target):
    """A23: no key is ever derived from a password, however many rounds are asked for."""
    target.refuse(forms.a23(target.given))


def test_a24_large_tokens(target: Target):
    """A24: large headers, payloads and signatures are refused quickly, and leave no large line in a log."""
    target.refuse(forms.a24(target.given))


def test_a25_encrypted_tokens(target: Target):
    """A25: an encrypted token is refused by its form: sound or broken, nobody can tell."""
    target.refuse(forms.a25(target.given))


def test_a52_signatures_that_are_nearly_right(target: Target):
    """A52: a signature that is right but for one byte, or cut, is refused as any other; test_compare.py reads how it is compared."""
    target.refuse(signatures.a52(target.given))


def test_a54_weak_keys(target: Target):
    """A54: a signature by a weak key under our key's name is none; test_keys.py has the doors that refuse such keys."""
    target.refuse(signatures.a54(target.given))


def test_injected_values(target: Target):
    """jwt_tool's error mode: five values in each header and claim are refused, under a kept signature and rightly signed."""
    target.refuse(claims.injected(target.given))

"""Layouts: a payload that is read by one is judged as the careful walk judges it, whatever stands in it and however it is written."""

import json
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from stagedoor import ABSENT, Claims, KeySet, Revocations, TrustedIssuer, Verifier, errors, layout
from stagedoor.access_token import Reader
from stagedoor.layout import Layouts
from stagedoor.testing.clock import FixedClock

from .material import NOW, SECRET, forge, key

ISS, AUD, OTHER = "https://auth.example", "https://api.example", "https://other.example"
Members = list[tuple[str, bytes]]
"""What stands in a payload, in its order; each value as it is written."""


class Mine(msgspec.Struct):
    """An application's claims."""

    tenant: str
    note: str = ""


def raw(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


VALID: dict[str, Any] = {
    "iss": ISS,
    "aud": AUD,
    "sub": "user",
    "note": "x,y",
    "client_id": "client",
    "iat": NOW - 5,
    "exp": NOW + 900,
    "jti": "jti",
    "sid": "sid",
    "auth_time": NOW - 60,
    "nbf": NOW - 5,
    "scope": "b a",
    "tenant": "t",
}
"""What Stagedoor's own tokens may say; one text with a comma, so that a member can be added and the commas are as many as before."""
NAMES = [name for name in (*VALID, "cnf") if name != "note"]
MISSING = b""
ODD: list[bytes] = [
    *map(
        raw,
        [
            None, "", "x", "a b", " a", "a  b", "a,b", 0, -1, 1, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63, 2**64, 10**31, 10**32,
            True, False, 1.0, 0.5, NOW + 900.0, 1e22, [], [""], [AUD], [OTHER, AUD], [1, AUD], [AUD, ""], [[AUD]], [None], {}, {AUD: 1},
            {"a": {"b": {"c": [1]}}}, ISS, AUD, OTHER, f"{ISS}/", ISS.upper(), "user", "\U0001f600", "\x7f", [AUD] * 40,
            *(NOW + seconds for seconds in (-901, -1, 0, 1, 10, 11, 900)),
        ],
    ),
    b"-0", b"-0.0", b"1E5", b"1e400", b"-1e400", b"NaN", b"Infinity", b"01", b"1.", b"0." + b"1" * 40, b"9" * 33, b"nul", b"'x'",
    b'"\\u0000"', b'"\x00"', b'"\n"', b'"\\n"', b'"\\u0061"', b'"\\/"', b'"\\ud83d\\ude00"', b'"\\ud800"', b'"\xff"', b'"\xed\xa0\x80"',
    b'"\xc0\xaf"', b'"x', b"[" * 15 + b"]" * 15, b"[" * 16 + b"]" * 16, b'{"a":' * 16 + b"1" + b"}" * 16,
    b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}',
    MISSING,
]  # fmt: skip


def trusted(typ: Any = "at+jwt", kid: Any = None, **changes: Any) -> TrustedIssuer:
    known: dict[str, Any] = {"issuer": ISS, "audience": AUD} | changes
    return TrustedIssuer(known.pop("issuer"), typ=typ, keys=KeySet(key("HS256")), kid=kid, **known)


def own(audience: Any = AUD, claims: Any = Claims) -> Verifier[Any]:
    return Verifier(ISS, audience=audience, keys=KeySet(key("HS256")), revocations=Revocations(), claims=claims, clock=FixedClock(NOW))


def of(*issuers: TrustedIssuer, claims: Any = Claims) -> Verifier[Any]:
    return Verifier.of(*issuers, revocations=Revocations(), claims=claims, clock=FixedClock(NOW))


OTHERS = TrustedIssuer(OTHER, audience="x", keys=KeySet(type(key("HS256")).from_secret(SECRET[::-1])))
EXPECTATIONS: dict[str, tuple[Callable[[], Verifier[Any]], dict[str, Any], str | None]] = {
    "own": (own, {}, "at+jwt"),
    "own, typed": (lambda: own(claims=Mine), {}, "at+jwt"),
    "own, two audiences": (lambda: own(audience=[OTHER, AUD]), {"aud": [AUD, "z"]}, "at+jwt"),
    "trusted": (lambda: of(trusted()), {}, "application/at+jwt"),
    "trusted, typed": (lambda: of(trusted(), claims=Mine), {}, "at+jwt"),
    "no iss": (lambda: of(trusted(issuer=ABSENT)), {"iss": MISSING}, "at+jwt"),
    "no aud": (lambda: of(trusted(audience=ABSENT)), {"aud": MISSING}, "at+jwt"),
    "no typ": (lambda: of(trusted(typ=ABSENT)), {}, None),
    "JWT": (lambda: of(trusted(typ=["JWT", "x"], audience=["z", AUD])), {"aud": ["q", AUD]}, "jwt"),
    "numbers": (lambda: of(trusted(numeric_subject=True)), {"sub": 7}, "at+jwt"),
    "no kid": (lambda: of(OTHERS, trusted(kid=ABSENT)), {}, "at+jwt"),
    "several": (lambda: of(OTHERS, trusted()), {}, "at+jwt"),
    "nothing": (
        lambda: of(trusted(issuer=ABSENT, audience=ABSENT, typ=ABSENT, kid=ABSENT, numeric_subject=True)),
        {"iss": MISSING, "aud": MISSING, "sub": 7},
        None,
    ),
}  # fmt: skip
"""How a verifier is made, what its tokens say otherwise, and their kind."""


def token(expectation: str, payload: bytes, typ: Any = MISSING) -> str:
    typ = EXPECTATIONS[expectation][2] if typ == MISSING else typ
    head = {"alg": "HS256"} | ({} if expectation in ("no kid", "nothing") else {"kid": key("HS256").kid}) | ({"typ": typ} if typ else {})
    return forge(head, payload, key("HS256"))


def written(members: Members, colon: bytes = b":", comma: bytes = b",", name: Callable[[str], bytes] = raw) -> bytes:
    return b"{" + comma.join(name(each) + colon + value for each, value in members) + b"}"


def usual(expectation: str) -> Members:
    """What its tokens say."""
    said = VALID | EXPECTATIONS[expectation][1]
    return [(name, raw(value)) for name, value in said.items() if value != MISSING]


def careful(expectation: str) -> Verifier[Any]:
    """A verifier that never makes a layout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "MOST", 0)
        return EXPECTATIONS[expectation][0]()


def trained(expectation: str, names: tuple[str, ...]) -> Verifier[Any]:
    """A verifier that has read a token of these members, and so has their layout."""
    verifier = EXPECTATIONS[expectation][0]()
    values = {name: raw(value) for name, value in VALID.items()} | {"cnf": b"1"} | dict(usual(expectation))
    with suppress(errors.TokenError):
        verifier.verify(token(expectation, written([(name, values[name]) for name in names])))
    verifier.verify(token(expectation, written(usual(expectation))))
    return verifier


def outcome(verifier: Verifier[Any], text: str) -> tuple[Any, ...]:
    try:
        read = verifier.verify(text)
    except errors.TokenError as error:
        return error.code, getattr(error, "claim", None), str(error)
    return repr(read), json.dumps(dict(read.claims)) if isinstance(read.claims, Claims) else None, type(read.claims)


def with_odd(expectation: str, name: str, value: bytes) -> Members:
    """Its token, in which this claim says that; a claim that is not in it otherwise stands last."""
    members = usual(expectation)
    if name not in dict(members):
        members.append((name, value))
    return [(each, value if each == name else said) for each, said in members if each != name or value != MISSING]


def without_comma(members: Members) -> Members:
    return [(name, b'"xy"' if name == "note" else said) for name, said in members]


def escaped(name: str) -> bytes:
    return b'"\\u%04x' % ord(name[0]) + name[1:].encode() + b'"'


Spelling = Callable[[str, str, bytes], bytes]
SPELLINGS: dict[str, Spelling] = {
    "as Stagedoor writes": lambda how, name, value: written(with_odd(how, name, value)),
    "blanks": lambda how, name, value: written(with_odd(how, name, value), b": ", b" , "),
    "a line's end": lambda how, name, value: written(with_odd(how, name, value)) + b"\n",
    "escaped names": lambda how, name, value: written(with_odd(how, name, value), name=escaped),
    "another order": lambda how, name, value: written(with_odd(how, name, value)[::-1]),
    "twice, at the end": lambda how, name, value: written([*without_comma(usual(how)), (name, value or b"1")]),
    "twice, at the beginning": lambda how, name, value: written([(name, value or b"1"), *without_comma(usual(how))]),
    "twice, the right one last": lambda how, name, value: written(
        [*without_comma(with_odd(how, name, value)), (name, raw(VALID.get(name, 1)))]
    ),
    "in the place of another": lambda how, name, value: written(
        [(name, value or b"1") if each == "tenant" else (each, said) for each, said in usual(how) if each != name]
    ),
    "one more, as many commas": lambda how, name, value: written([*without_comma(with_odd(how, name, value)), ("more", value or b"1")]),
    "cut": lambda how, name, value: written(with_odd(how, name, value))[:-1],
    "something after it": lambda how, name, value: written(with_odd(how, name, value)) + b"}",
}
RUNS = [
    (expectation, spelling)
    for expectation in EXPECTATIONS
    for spelling in SPELLINGS
    if spelling == "as Stagedoor writes" or expectation in ("own", "no aud", "nothing", "trusted, typed")
]


@pytest.mark.parametrize(("expectation", "spelling"), RUNS)
def test_a_layout_makes_no_difference(expectation: str, spelling: str):
    """Each claim with each odd value, however it is written: the same token as the careful walk reads, or the same refusal."""
    walks, accepted = careful(expectation), 0
    verifiers: dict[tuple[str, ...], Verifier[Any]] = {}
    for name in NAMES:
        for value in ODD:
            text = token(expectation, SPELLINGS[spelling](expectation, name, value))
            names = tuple(dict.fromkeys(each for each, _ in with_odd(expectation, name, value)))
            if names not in verifiers:
                verifiers[names] = trained(expectation, names)
            expected = outcome(walks, text)
            assert outcome(verifiers[names], text) == expected, (name, value)
            accepted += len(expected) == 3 and expected[2] in (Claims, Mine)
    assert accepted > 0 or spelling not in tuple(SPELLINGS)[:5]


@pytest.mark.parametrize("expectation", EXPECTATIONS)
def test_the_usual_token_is_read_by_its_layout(expectation: str, monkeypatch: pytest.MonkeyPatch):
    """What is compared here is the quick way and the careful one: a second token of a kind is never walked through."""
    verifier = trained(expectation, tuple(name for name, _ in usual(expectation)))
    monkeypatch.delattr(Reader, "_accept_unusual")
    read = verifier.verify(token(expectation, written(with_odd(expectation, "jti", b'"another"'))))
    assert read.id == "another"
    assert isinstance(read.claims, Mine) or read.claims["jti"] == "another"


KINDS = ["at+jwt", "AT+JWT", "application/at+jwt", "APPLICATION/at+JWT", "JWT", "application/jwt", "x", "z", "text/jwt", "", " ", "rt+jwt"]
KINDS += ["application/", "application/application/jwt", "\u212aat+jwt", "x\u0130", None, 1, ["JWT"], {}, True]


@pytest.mark.parametrize("expectation", EXPECTATIONS)
def test_a_layout_makes_no_difference_to_the_kind(expectation: str):
    """A token of each kind, and one that does not say its kind, is accepted or refused as the careful walk does it."""
    walks = careful(expectation)
    verifier = trained(expectation, tuple(name for name, _ in usual(expectation)))
    for typ in (*KINDS, False):
        text = token(expectation, written(usual(expectation)), typ)
        for _ in range(2):  # the second time its header is known, and it may be itself
            assert outcome(verifier, text) == outcome(walks, text), typ


NAMED_ODDLY = [
    "", " ", "_0", "_1", "_5", "class", "None", "self", "is_complete", "__class__", "__init__", "__post_init__", "__struct_fields__",
    "__struct_config__", "__dict__", "__slots__", "__doc__", "__module__", "__eq__", "__hash__", "mro", "iss ", "ISS", "a.b", "a b",
    "\u00e9", "i\u017fs", "\U0001f600", "\x7f", "\x00", "\x1f", "\n", '"', '"iss', "\\", "\\u0069ss", "n" * 2000,
    "type", "tag", "Said", "0", "-", "$", "\u2028",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMED_ODDLY, ids=ascii)
def test_a_claim_of_any_name(name: str):
    """An issuer may name its own claims as it likes, as Python names its parts or as no struct of msgspec may name a field."""
    verifier = EXPECTATIONS["trusted"][0]()
    for number in range(3):
        members = [*usual("trusted"), (name, raw(number)), ("last", raw([name]))]
        text = token("trusted", written(members, name=lambda each: msgspec.json.encode(each)))
        read = verifier.verify(text)
        assert (read.subject, read.claims[name], read.claims["last"]) == ("user", number, [name])
        assert outcome(verifier, text) == outcome(careful("trusted"), text)


KEYCLOAK = {
    "exp": NOW + 300, "iat": NOW, "auth_time": NOW, "jti": "onrtac:5c", "iss": ISS, "aud": [AUD, "account"], "sub": "f3", "typ": "Bearer",
    "azp": "web", "sid": "x", "acr": "1", "allowed-origins": ["https://app.example"], "realm_access": {"roles": ["offline_access", "user"]},
    "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}}, "scope": "openid email", "email_verified": True,
}  # fmt: skip


def test_other_peoples_tokens_have_a_layout():
    """What Keycloak writes, roles in an object in an object, is read by a layout from the second token on."""
    layouts, text = Layouts(), msgspec.json.encode(KEYCLOAK)
    assert [type(layouts.read(text)) is dict for _ in range(3)] == [True, False, False]


def test_layouts_stand_beside_each_other():
    """What has been read by its layout is read by it still, whatever came in between: other members, more of them or just as many."""
    layouts = Layouts()
    texts = [shape(number) for number in (0, 1, 2)]
    for number, text in enumerate(texts):
        layouts.read(text)
        layouts.read(shape(40 + number))
        assert [type(layouts.read(each)) is dict for each in texts[: number + 1]] == [False] * (number + 1)


def test_a_payload_of_very_many_members_has_no_layout():
    """A layout takes memory for each member, so there is none of hundreds of them, and the others have theirs."""
    layouts = Layouts()
    for _ in range(3):
        assert type(layouts.read(shape(39, names=100))) is dict
    layouts.read(shape(1))
    assert type(layouts.read(shape(1))) is not dict


def test_a_token_without_exp_is_none_whatever_the_clock_says():
    """Where a layout has no `exp`, none is taken for it, be the clock before 1970."""
    keys = KeySet(key("HS256"))
    verifier = Verifier.of(trusted(), revocations=Revocations(), clock=FixedClock(-5))
    text = forge(
        {"alg": "HS256", "kid": keys.entries()[0].id, "typ": "at+jwt"},
        msgspec.json.encode({"iss": ISS, "aud": AUD, "sub": "u"}),
        key("HS256"),
    )
    for _ in range(3):
        assert outcome(verifier, text)[:2] == ("claim_rejected", "exp")


def shape(number: int, names: int = 8) -> bytes:
    """A payload that has members like no other's, and up to forty more or fewer."""
    more = {f"k{number}_{each}": each for each in range(names + number % 40)}
    return msgspec.json.encode({name: value for name, value in VALID.items() if name != "nbf"} | more)


def test_few_layouts_are_made(monkeypatch: pytest.MonkeyPatch):
    """However many shapes an issuer's tokens have, one reader makes no more than MOST layouts, and reads them all."""
    made = []
    real = layout._decoder
    monkeypatch.setattr(layout, "_decoder", lambda names: made.append(names) or real(names))
    layouts = Layouts()
    for number in range(1000):
        assert layouts.read(shape(number)) == json.loads(shape(number))
    assert len(made) == len(set(made)) == layout.MOST
    # One that was made is used still.
    assert type(layouts.read(shape(0))) is not dict


def test_many_shapes_are_tried_by_one_layout_at_most(monkeypatch: pytest.MonkeyPatch):
    """A payload that no layout fits is tried by one of them at most, and then read once with every care; none is made for it."""
    layouts = fill(0)
    tried: list[bytes] = []
    walked: list[bytes] = []
    for commas, decode in layouts._known.items():
        monkeypatch.setitem(layouts._known, commas, lambda text, decode=decode: tried.append(text) or decode(text))
    monkeypatch.setattr(layout, "decode_object", lambda text: walked.append(text) or json.loads(text))
    monkeypatch.setattr(layout, "_decoder", lambda names: pytest.fail("a layout is made"))
    texts = [shape(number) for number in range(100, 1100)]
    for text in texts:
        assert type(layouts.read(text)) is dict
    assert walked == texts
    assert 0 < len(tried) == len(set(tried)) <= len(texts)


def test_many_shapes_leave_nothing_behind():
    """Three thousand shapes and thirty readers later there is no more in memory than the layouts that may be kept."""
    for reader in range(30):
        fill(reader)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        layouts = fill(31)
        for number in range(3000):
            layouts.read(shape(number))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 1_000_000
    kept = layout._decoder.cache_info()
    assert kept.currsize <= kept.maxsize == 256


def fill(reader: int) -> Layouts:
    layouts = Layouts()
    for number in range(layout.MOST):
        layouts.read(shape(1000 * reader + number, names=2))
    return layouts

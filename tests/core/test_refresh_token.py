"""RefreshToken and Peppers: wire form, tag, proof, successor."""

import contextlib
import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagedoor.encoding import decode, encode
from stagedoor.errors import KeySetUnavailable, RefreshTokenUnknown
from stagedoor.refresh_token import PREFIX, Peppers, RefreshToken, attempt_hash
from stagedoor.stores.memory import MemoryDocuments
from stagedoor.testing.clock import FixedClock
from stagedoor.vault import MasterKey, Vault

from .material import NOW

PEPPER, SEED, SECRET, SESSION = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96)), bytes(range(96, 112))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.fixture
def peppers() -> Peppers:
    return Peppers(PEPPER)


def written(peppers: Peppers, generation: int = 7, pepper_id: int = 1, secret: bytes = SECRET, seed: bytes = SEED) -> str:
    return peppers.write(pepper_id=pepper_id, session_id=SESSION, generation=generation, secret=secret, seed=seed, now=NOW)


def mac(label: bytes, data: bytes, pepper: bytes = PEPPER) -> bytes:
    return hmac.digest(pepper, b"stagedoor " + label + b"\0" + data, "sha256")


def refused(peppers: Peppers, text: object) -> None:
    with pytest.raises(RefreshTokenUnknown) as caught:
        peppers.parse(text, NOW)  # type: ignore[arg-type]
    assert caught.value.code == "refresh_token_unknown"


def test_the_wire_form(peppers: Peppers):
    """120 characters: the prefix, then version, pepper id, session id, generation, secret, proof and tag at fixed places."""
    text = written(peppers)
    assert len(text) == 120
    assert text.startswith(PREFIX)
    data = decode(text.removeprefix("sdr_"))
    proof = mac(b"proof", SEED + SESSION + (7).to_bytes(4, "big") + SECRET)[:16]
    body = b"\x01" + b"\x00\x01" + SESSION + b"\0\0\0\x07" + SECRET + proof
    assert data == body + mac(b"tag", b"sdr_" + body)[:16]


def test_parse(peppers: Peppers):
    """What was written comes back in its parts."""
    token = peppers.parse(written(peppers), NOW)
    assert (token.pepper_id, token.session_id, token.generation, token.secret) == (1, SESSION, 7, SECRET)
    assert token.digest == hashlib.sha256(SECRET).digest()


def test_the_same_token_again(peppers: Peppers):
    """Writing is a function: a replay is byte for byte the same text, in another process too."""
    assert written(peppers) == written(peppers) == written(Peppers(PEPPER))


def test_every_byte_counts(peppers: Peppers):
    """A token with any one of its bits changed is unknown, without asking a store."""
    data = decode(written(peppers)[4:])
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            refused(peppers, PREFIX + encode(bytes(changed)))


def test_every_character_counts(peppers: Peppers):
    """A token with any other character at any place is unknown: there is one text for one token."""
    text = written(peppers)
    for place in range(len(text)):
        for other in ALPHABET + "+/=. \n\0é":
            if other != text[place]:
                refused(peppers, text[:place] + other + text[place + 1 :])


def test_a37_cut_or_grown(peppers: Peppers):
    """A37: a token cut short or made longer by any number of characters, at either end, is unknown."""
    text = written(peppers)
    for length in range(len(text)):
        refused(peppers, text[:length])
        refused(peppers, text[len(text) - length :])
    for more in range(1, 130):
        refused(peppers, text + "A" * more)
        refused(peppers, "A" * more + text)
        refused(peppers, text + "=" * more)
    refused(peppers, text + text)


@pytest.mark.parametrize(
    "change", [str.upper, str.lower, str.swapcase, lambda text: f" {text}", lambda text: f"{text}\n", lambda text: "SDR_" + text[4:]]
)
def test_other_forms(peppers: Peppers, change):
    """Blanks and another case make another text."""
    refused(peppers, change(written(peppers)))


@pytest.mark.parametrize(
    "text", [None, 1, b"sdr_" + b"A" * 116, ["sdr_"], "", "sdr_", "sdr_" + "A" * 116, "sdr_" + "\u0661" * 116, "sdr_" + "\ud800" * 116]
)
def test_what_is_no_token(peppers: Peppers, text: object):
    """Other types and other texts are unknown, nothing foreign is raised."""
    refused(peppers, text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=130) | st.text(alphabet=ALPHABET, min_size=116, max_size=116).map(lambda text: PREFIX + text))
def test_any_text_is_unknown(text: str):
    """Whatever a stranger sends is unknown."""
    with contextlib.suppress(RefreshTokenUnknown):
        Peppers(PEPPER).parse(text, NOW)
        pytest.fail("accepted")


def test_the_successor(peppers: Peppers):
    """The successor's secret is derived from the token and nothing else: a retry, here or elsewhere, yields it again."""
    token = peppers.parse(written(peppers), NOW)
    expected = mac(b"successor", SESSION + (8).to_bytes(4, "big") + SECRET)
    assert peppers.successor(token, NOW) == peppers.successor(token, NOW) == Peppers(PEPPER).successor(token, NOW) == expected


def test_successors_differ(peppers: Peppers):
    """Another generation, secret, session or pepper has another successor."""
    token = RefreshToken(1, SESSION, 7, SECRET, b"")
    others = [
        RefreshToken(1, SESSION, 8, SECRET, b""),
        RefreshToken(1, SESSION, 7, SECRET[::-1], b""),
        RefreshToken(1, SESSION[::-1], 7, SECRET, b""),
    ]
    secrets = {peppers.successor(each, NOW) for each in (token, *others)} | {Peppers(PEPPER[::-1]).successor(token, NOW)}
    assert len(secrets) == 5


def test_the_proof_needs_the_seed(peppers: Peppers):
    """Who has the pepper but not the row makes a tag and no proof."""
    token = peppers.parse(written(peppers), NOW)
    assert peppers.proves(token, SEED, NOW)
    assert not peppers.proves(token, SEED[::-1], NOW)
    assert not peppers.proves(token, b"", NOW)
    forged = peppers.parse(written(peppers, seed=b"\0" * 32), NOW)
    assert not peppers.proves(forged, SEED, NOW)


def test_the_proof_is_bound_to_its_place(peppers: Peppers):
    """A proof does not hold for another generation, secret or session."""
    token = peppers.parse(written(peppers), NOW)
    for other in (
        RefreshToken(1, SESSION, 8, SECRET, token.proof),
        RefreshToken(1, SESSION, 7, SECRET[::-1], token.proof),
        RefreshToken(1, SESSION[::-1], 7, SECRET, token.proof),
        RefreshToken(1, SESSION, 7, SECRET, token.proof[:-1]),
        RefreshToken(1, SESSION, 7, SECRET, b""),
    ):
        assert not peppers.proves(other, SEED, NOW)


def test_another_pepper(peppers: Peppers):
    """A token made under a pepper that is not known here is unknown; nothing is made under one."""
    text = written(peppers)
    refused(Peppers(PEPPER[::-1]), text)
    refused(Peppers(), text)
    refused(peppers, written(Peppers({1: PEPPER, 2: PEPPER}), pepper_id=2))
    with pytest.raises(KeySetUnavailable):
        written(peppers, pepper_id=2)
    stranger = RefreshToken(2, SESSION, 7, SECRET, b"")
    for ask in (lambda: peppers.successor(stranger, NOW), lambda: peppers.proves(stranger, SEED, NOW)):
        with pytest.raises(RefreshTokenUnknown):
            ask()


def test_the_last_generation(peppers: Peppers):
    """A token that could have no successor is unknown, not an overflow."""
    refused(peppers, written(peppers, generation=2**32 - 1))
    assert peppers.successor(peppers.parse(written(peppers, generation=2**32 - 2), NOW), NOW)


def test_a_rotation_of_peppers():
    """Tokens of an announced, a current and an old pepper are read; those of a gone one are not."""
    clock = FixedClock(NOW)
    peppers = Peppers(PEPPER, clock=clock)
    old = written(peppers)
    assert peppers.rotate(keep="90d", announce="5m") == 2
    assert peppers.current_id(NOW + 299) == 1
    assert peppers.current_id(NOW + 300) == 2
    new = written(peppers, pepper_id=2)
    assert new != old
    end = NOW + 300 + 90 * 86_400
    for now in (NOW, NOW + 300, end - 1):
        assert peppers.parse(old, now).pepper_id == 1
        assert peppers.parse(new, now).pepper_id == 2
    with pytest.raises(RefreshTokenUnknown):
        peppers.parse(old, end)
    assert peppers.parse(new, end)
    assert written(Peppers({1: PEPPER, 2: b"x" * 32})) == old


@pytest.mark.parametrize("number", [0, -1, 65536, "1", 1.0, True, None])
def test_ids_that_no_token_has_room_for(number: object):
    """A pepper's id is a whole number from 1 to 65535: ValueError."""
    assert [Peppers({last: PEPPER}).current_id(NOW) for last in (1, 65535)] == [1, 65535]
    with pytest.raises(ValueError):
        Peppers({number: PEPPER})  # type: ignore[dict-item]


def test_a_fresh_pepper_has_32_bytes():
    """Whether it is the first or a later one, and no two are alike."""
    peppers = Peppers.generate()
    peppers.rotate(keep="1d")
    values = {entry.value for entry in (*peppers.entries(), *Peppers.generate().entries())}
    assert [len(value) for value in values] == [32] * 3


def test_attempts():
    """An attempt id is kept as a hash that is bound to the session and the generation presented."""
    token = RefreshToken(1, SESSION, 7, SECRET, b"")
    others = [RefreshToken(1, SESSION, 8, SECRET, b""), RefreshToken(1, SESSION[::-1], 7, SECRET, b"")]
    hashes = {attempt_hash("a" * 16, each) for each in (token, *others)} | {attempt_hash("b" * 16, token)}
    assert len(hashes) == 4
    place = SESSION + (7).to_bytes(4, "big")
    assert attempt_hash("a" * 16, token) == hashlib.sha256(b"stagedoor attempt\0" + place + b"a" * 16).digest()
    assert attempt_hash("a" * 16, token) == attempt_hash("a" * 16, RefreshToken(2, SESSION, 7, b"other", b"p"))
    assert all(len(each) == 32 and b"aaaa" not in each for each in hashes)


def test_nothing_secret_in_repr(peppers: Peppers):
    """Neither a token nor a refusal shows a part of a secret."""
    text = written(peppers)
    token = peppers.parse(text, NOW)
    shown = repr(token) + str(token) + repr(peppers)
    with pytest.raises(RefreshTokenUnknown) as caught:
        Peppers().parse(text, NOW)
    shown += repr(caught.value) + str(caught.value) + caught.value.told
    for secret in (token.secret, token.proof, PEPPER, token.digest):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
        assert encode(secret) not in shown
    assert text[4:20] not in shown


def test_after_the_last_number_the_first_free_one_comes_again():
    """A token has sixteen bits for its pepper's id: a rotation finds one in them, and none that is in use."""
    peppers = Peppers({1: SECRET[:32], 65535: SECRET[-32:]})
    assert peppers.rotate(keep="1d") == 2
    assert peppers.rotate(keep="1d") == 3
    assert {entry.id for entry in peppers.entries()} == {1, 2, 3, 65535}
    peppers = Peppers({65534: SECRET[:32]})
    assert [peppers.rotate(keep="1d") for _ in range(3)] == [65535, 1, 2]


def test_a_pepper_that_has_not_come_here_yet():
    """A token made under a pepper that another worker has just made is a 503, not a refusal; one of an impossible number is refused."""
    vault = Vault(MemoryDocuments(), MasterKey(SECRET[:32]))
    ours, theirs = Peppers.open(vault), Peppers.open(vault)
    ours.close()  # or its watch might be quicker
    theirs.retire(1)
    parts = {"session_id": bytes(16), "generation": 0, "secret": bytes(32), "seed": bytes(32), "now": NOW}
    text = theirs.write(pepper_id=2, **parts)
    with pytest.raises(KeySetUnavailable):
        ours.parse(text, NOW)
    ours.reload()
    assert ours.parse(text, NOW).pepper_id == 2
    ours.retire(ours.rotate(keep="1d"))
    for number, refusal in ((3, RefreshTokenUnknown), (4, KeySetUnavailable), (6, KeySetUnavailable), (7, RefreshTokenUnknown)):
        with pytest.raises(refusal):
            ours.parse(Peppers({number: PEPPER}).write(pepper_id=number, **parts), NOW)
    with pytest.raises(RefreshTokenUnknown):
        Peppers(SECRET[:32]).parse(text, NOW)  # in memory there are no others


def test_where_no_pepper_is_left(tmp_path: Path):
    """In an emptied file the first one may come again: 503, and nobody honest is logged out."""
    peppers = Peppers.open(tmp_path / "peppers.json")
    peppers.close()  # or its watch might be quicker to read it
    text = written(peppers)
    (tmp_path / "peppers.json").write_text('{"entries": []}')
    assert peppers.reload()
    with pytest.raises(KeySetUnavailable):
        peppers.parse(text, NOW)

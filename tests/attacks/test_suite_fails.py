"""The attacks can succeed: each planted fault lets the attacks that are there for it through, and no fault lets none."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from . import faults_of_keys, faults_of_reading, test_attacks, test_flood, test_sessions
from .faults_of_keys import FollowsAddresses
from .in_process import InProcess
from .issuers import AUDIENCE, ISSUER, in_process
from .sinkhole import Sinkhole
from .sound_verifier import Sound
from .targets import Crashed, GotThrough, Target

TESTS: dict[str, Callable[[Target], None]] = {
    name.removeprefix("test_").partition("_")[0]: test
    for module in (test_attacks, test_sessions, test_flood)
    for name, test in inspect.getmembers(module, inspect.isfunction)
    if name.startswith("test_")
}
FAULTS: list[type[Sound]] = [
    kind
    for faults in (faults_of_keys, faults_of_reading)
    for kind in vars(faults).values()
    if isinstance(kind, type) and issubclass(kind, Sound) and kind not in (Sound, FollowsAddresses)
]


def wrong(kind: type[Sound], verifiers: dict[str, InProcess]) -> InProcess:
    """A verifier of this kind in the place of ours, with the same key and the same genuine tokens."""
    ours = verifiers[kind.alg]
    verifier = kind(ours.given, ISSUER, AUDIENCE)
    return InProcess(ours.given, ours.sinkhole, {kind.__name__: verifier}, ours.issue, verifier.end)


@pytest.mark.parametrize("alg", sorted({kind.alg for kind in FAULTS}))
def test_a_sound_verifier_stands(verifiers: dict[str, InProcess], alg: str):
    """The verifier that the faults are planted in withstands every attack."""
    kind: Any = type("Sound", (Sound,), {"alg": alg})
    for test in TESTS.values():
        test(wrong(kind, verifiers))


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_a_fault_is_found(verifiers: dict[str, InProcess], kind: type[Sound]):
    """The named tests that are there for this fault fail, because a forgery got through or cost too much."""
    assert kind.found_by
    for name in kind.found_by:
        with pytest.raises((GotThrough, Crashed)):
            TESTS[name](wrong(kind, verifiers))


def test_whoever_follows_addresses_is_seen():
    """A8: a verifier that asks the address in a header is found by what it accepts, and the sinkhole has counted it."""
    with Sinkhole() as sinkhole:
        with pytest.raises(GotThrough):
            TESTS["a8"](wrong(FollowsAddresses, {"ES256": in_process("ES256", sinkhole)}))
        assert sinkhole.connections > 0


def test_every_attack_has_its_fault():
    """No named test is there that no planted fault shows to be able to fail; A20 is about headers, which no verifier sees."""
    assert TESTS.keys() == {name for kind in [*FAULTS, FollowsAddresses] for name in kind.found_by}

"""Every parser that a stranger's bytes reach answers quickly, with its own errors and right results, for all that fuzzing has found."""

import pytest

from fuzz.corpus import inputs as kept
from fuzz.oracle import call, timed
from fuzz.targets import TARGETS, Target, long_inputs


def inputs(name: str) -> list[bytes]:
    """The seeds of a target, what a coverage-guided run left of it, and inputs as long as may be."""
    return [*kept(name), *TARGETS[name].seeds(), *long_inputs(name)]


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_holds(name: str):
    """No undocumented error, no wrong result, nothing over the time that its bytes may cost."""
    target = TARGETS[name]
    outcomes = [outcome for data in inputs(name) if (outcome := call(target, data)) is not None]
    assert [outcome.wrong for outcome in outcomes if outcome.wrong] == []
    assert len(outcomes) > 5
    assert max(timed(target, data) for data in inputs(name)) <= target.bound


def test_the_oracle_sees_what_is_wrong():
    """An error that is not documented, a wrong result and a slow call are all seen."""

    def slow(data: bytes) -> bytes:
        return bytes(sum(range(100_000)) % 2 for _ in range(3))

    assert "ZeroDivisionError" in call(Target(lambda data: 1 // 0, (ValueError,), bytes, list), b"x").wrong
    assert call(Target(bytes, (), bytes, list, lambda data, result: False), b"x").wrong == "its result is wrong"
    assert call(Target(bytes, (), bytes, list), b"x").wrong == ""
    assert timed(Target(slow, (), bytes, list), b"x") > 0.001

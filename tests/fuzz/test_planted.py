"""The differential can fail: it sees each planted fault within the cases of its short form."""

import pytest

from fuzz.cases import Case, make
from fuzz.differential import Bench
from fuzz.judges import quiet
from fuzz.planted import FAULTS, planted
from fuzz.test_differential import CASES, SEED

_TOGETHER = 250


def unexplained(bench: Bench, case: Case) -> bool:
    return any(found.rule is None for found in bench.differences(case))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen(fault: str):
    """Some case of the short form is unexplained with the fault in our code, and explained without it."""
    with quiet():
        faulty, sound = Bench(), Bench()  # what one of them remembers is not the other's
        for first in range(0, CASES, _TOGETHER):
            with planted(fault):
                found = [case for case in (make(SEED, number) for number in range(first, first + _TOGETHER)) if unexplained(faulty, case)]
            if not all(unexplained(sound, case) for case in found):
                return
    pytest.fail(f"not seen in {CASES:,} cases")

"""Stagedoor, PyJWT and joserfc agree on 20,000 cases, but for what the rules explain."""

from random import Random

from fuzz.cases import make
from fuzz.differential import CHUNK, judge
from fuzz.rules import RULES

SEED = 4
CASES = 20_000


def test_nothing_is_unexplained():
    """Of 20,000 cases, none shows a difference without a reason, or an exception of ours that is not documented."""
    chunks = [judge(SEED, range(first, first + CHUNK)) for first in range(0, CASES, CHUNK)]
    assert [complaint for chunk in chunks for complaint in chunk.complaints] == []
    # It went deep: most of the tokens were signed by the right key, and a good part of them was accepted.
    assert sum(chunk.signed for chunk in chunks) > CASES / 2
    assert sum(chunk.verdicts["accepted"] for chunk in chunks) > CASES / 5
    assert len({code for chunk in chunks for code in chunk.verdicts}) > 25


def test_a_case_follows_from_its_number():
    """The same seed and number make the same case, whatever was made before; another number another case."""
    rng = Random(1)
    first = [make(SEED, number, rng) for number in range(300)]
    assert [make(SEED, number) for number in reversed(range(300))] == first[::-1]
    assert len({case.token for case in first}) > 250
    assert make(SEED + 1, 7) != make(SEED, 7)


def test_rules_have_names_of_their_own():
    """No two rules have one name; each has a reason."""
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.reason.endswith((".", ")")) for rule in RULES)

"""Cases that were kept are judged as they were: each rule at work, and each past surprise."""

import pytest

from fuzz.corpus import read
from fuzz.differential import Bench
from fuzz.judges import Stagedoor, quiet
from fuzz.rules import RULES

CORPUS = list(read())


@pytest.fixture(scope="module")
def seen() -> set[tuple[str | None, str]]:
    with quiet():
        bench = Bench()
        return {(found.rule, found.other) for case, _, _ in CORPUS for found in bench.differences(case)}


def test_we_say_what_we_said():
    """Our code for each case that was kept is the one that it was kept with."""
    judge = Stagedoor()
    changed = {why: verdict.why for case, ours, why in CORPUS if (verdict := judge.judge(case)).why != ours}
    assert changed == {}


def test_every_rule_is_at_work(seen: set[tuple[str | None, str]]):
    """Each rule explains a difference from each of the others that it names, and nothing is unexplained."""
    assert [other for rule, other in seen if rule is None] == []
    assert [(rule.name, other) for rule in RULES for other in rule.others if (rule.name, other) not in seen] == []

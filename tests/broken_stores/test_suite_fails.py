"""The contract of stores can fail: it finds each planted fault, and leaves the same store without a fault alone."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

import pytest

from broken_stores.suite import STORES

HERE = Path(__file__).parent
INTACT = ["Intact", "IntactLog", "SyncIntact"]
BROKEN = sorted(STORES.keys() - set(INTACT))


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The tests of the contract that fail, by store; all stores in one run of pytest, the broken ones with the tests meant for them."""
    report = tmp_path_factory.mktemp("broken") / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", "--tb=no", "--timeout=60", f"--junitxml={report}"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(HERE / "suite.py")], cwd=HERE.parents[1], capture_output=True, text=True
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    found: dict[str, set[str]] = defaultdict(set)
    counted: dict[str, int] = defaultdict(int)
    for case in ElementTree.parse(report).iter("testcase"):
        store = case.attrib["classname"].rpartition(".Test")[2]
        counted[store] += 1
        assert case.find("error") is None, "a fault fails a test, it does not break one"
        if case.find("failure") is not None:
            found[store].add(case.attrib["name"].partition("[")[0])
    assert counted.keys() == STORES.keys()
    assert min(counted[name] for name in INTACT if name != "IntactLog") > 80
    assert counted["IntactLog"] > 9
    return found


@pytest.mark.parametrize("name", INTACT)
def test_an_intact_store_passes(failed: dict[str, set[str]], name: str):
    """Without a fault the same store keeps the contract."""
    assert failed[name] == set()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_store_fails(failed: dict[str, set[str]], name: str):
    """The tests that are there for this fault find it."""
    assert failed[name] == set(STORES[name].found_by) != set()

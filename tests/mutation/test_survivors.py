"""The list of explained mutants, and how a mutant is told from a text."""

from pathlib import Path

import pytest

from mutation.survivors import CUT, LIST, Change, Mutants, explained, functions

SRC = Path(__file__).resolve().parents[2] / "src" / "stagedoor"
ENTRIES = list(explained(LIST.read_text("utf-8")))
MUTATED = """
def x_check__mutmut_orig(number: int) -> int:
    if number < 3:
        raise KeyRejected("key_too_small", f"{number} is small")
    return cast("int", number)
def x_check__mutmut_1(number: int) -> int:
    if number <= 3:
        raise KeyRejected("key_too_small", f"{number} is small")
    return cast("int", number)
def x_check__mutmut_2(number: int) -> int:
    if number < 3:
        raise KeyRejected("key_too_small", None)
    return cast("int", number)
def x_check__mutmut_3(number: int) -> int:
    if number < 3:
        raise KeyRejected(None, f"{number} is small")
    return cast("int", number)
def x_check__mutmut_4(number: int) -> int:
    if number < 3:
        raise KeyRejected("key_too_small", f"{number} is small")
    return cast(None, number)
def x_check__mutmut_5(number: int) -> int:
    if number < 3:
        raise KeyRejected("key_too_small", f"{number} is small")
    return cast("int", None)
"""


@pytest.fixture
def mutants(tmp_path: Path) -> Mutants:
    (tmp_path / "sizes.py").write_text(MUTATED)
    return Mutants(tmp_path / "sizes.py")


@pytest.mark.parametrize(("number", "is_text"), [(1, False), (2, True), (3, False), (4, True), (5, False)])
def test_what_changes_a_text_alone(mutants: Mutants, number: int, is_text: bool):
    """A message and a cast's type are for people and for type checkers; a code and a comparison are not."""
    assert mutants.is_text(f"stagedoor.sizes.x_check__mutmut_{number}") is is_text


def test_what_a_mutant_changed(mutants: Mutants):
    """A change is told by its function and by the line before and after, and reads back from the list as it was written."""
    change = mutants.change("stagedoor.sizes.x_check__mutmut_1")
    assert change == Change("sizes.check", "if number < 3:", "if number <= 3:")
    assert list(explained(f"# a reason\n\n{change}\n")) == [("a reason", change)]


def test_what_is_explained_still_stands():
    """An explained mutant has a reason, and the line that it changes is still in the source as it was."""
    for reason, change in ENTRIES:
        lines = functions(SRC / f"{change.where.split('.')[0]}.py")[change.where]
        assert reason
        assert all(stands(line, lines) for line in change.was.split(" / ")), change


def stands(line: str, lines: list[str]) -> bool:
    return any(line.strip(CUT) in each for each in lines) if CUT in line else line in lines


def test_no_mutant_is_explained_twice():
    """Each mutant has one reason."""
    changes = [change for _, change in ENTRIES]
    assert len(set(changes)) == len(changes)

"""Tests of the core can fail: those that are named find each fault that is planted in what they try."""

import importlib
import inspect

import pytest

from broken_stores import faults_of_following

FAULTS = [fault for fault in vars(faults_of_following).values() if isinstance(fault, type) and hasattr(fault, "found_by")]


def runs_of(function):
    """The arguments of each run of a test: one, unless it is parametrized."""
    (mark,) = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"] or [None]
    if mark is None:
        return [{}]
    names = [name.strip() for name in mark.args[0].split(",")] if isinstance(mark.args[0], str) else list(mark.args[0])
    return [dict(zip(names, values if len(names) > 1 else (values,), strict=True)) for values in mark.args[1]]


def fails(function, arguments) -> bool:
    try:
        found = function(**arguments)
    except (Exception, pytest.fail.Exception):
        return True
    assert not inspect.isawaitable(found)
    return False


@pytest.mark.parametrize(("fault", "name"), [(fault, name) for fault in FAULTS for name in fault.found_by])
def test_a_fault_is_found(fault: type, name: str, monkeypatch: pytest.MonkeyPatch):
    """With the fault in its place at least one run of the test fails; without it every one passes, as they do in the core."""
    module = importlib.import_module(fault.module)
    function = getattr(module, name)
    assert hasattr(module, fault.stands_for)
    monkeypatch.setattr(module, fault.stands_for, fault)
    assert any(fails(function, arguments) for arguments in runs_of(function))

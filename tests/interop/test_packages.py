"""What is installed from npm is fixed, wherever it comes from."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from interop.nest import HERE

pytestmark = pytest.mark.interop


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / name).read_text("utf-8"))
    return found


def test_every_package_is_one_version_with_its_hash() -> None:
    """package.json names exact versions, and the lock file those same ones, each with the hash of its content."""
    wanted = read("package.json")["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values()), wanted
    locked = read("package-lock.json")["packages"]
    assert locked.pop("")["dependencies"] == wanted
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert [name for name, package in locked.items() if not package["integrity"].startswith("sha512-")] == []


def test_the_lock_file_names_no_registry() -> None:
    """No package says where it was downloaded: npm takes it from where this machine gets its packages."""
    assert [name for name, package in read("package-lock.json")["packages"].items() if "resolved" in package] == []


def test_no_package_runs_a_script_when_it_is_installed() -> None:
    """None asks for one, so nothing is lost by forbidding them."""
    assert [name for name, package in read("package-lock.json")["packages"].items() if package.get("hasInstallScript")] == []

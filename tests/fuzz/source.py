"""Source: what ran, in sixteen characters. Counts that were made with other code do not count.

Never knows what the code does.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

from faults.log import ROOT

_ROOTS = {"stagedoor": ROOT / "src", "fuzz": ROOT / "tests"}
_OTHERS = ("PyJWT", "joserfc", "cryptography", "msgspec", "pybase64")
DIFFERENTIAL = ("fuzz.cases", "fuzz.judges", "fuzz.rules")
COVERAGE = ("fuzz.targets", "fuzz.target")


@cache
def source(modules: tuple[str, ...]) -> str:
    """A digest of these modules, of all that they import of ours, and of the versions of the others."""
    digest = hashlib.sha256(versions().encode())
    for name, path in sorted(_closure(modules).items()):
        digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def versions() -> str:
    """The versions of those who judge beside us, and of what we stand on."""
    return ", ".join(f"{name} {version(name)}" for name in _OTHERS)


def _closure(modules: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    left = list(modules)
    while left:
        name = left.pop()
        path = _path(name)
        if path is not None and name not in found:
            found[name] = path
            left += _imports(path)
    return found


def _path(name: str) -> Path | None:
    top = name.split(".")[0]
    if top not in _ROOTS:
        return None
    path = _ROOTS[top].joinpath(*name.split("."))
    return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.is_file()), None)


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)

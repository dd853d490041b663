"""A52: how signatures and MACs are compared, read from the source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import stagedoor

SOURCE = Path(stagedoor.__file__).parent
SECRET = re.compile(r"digest|hmac|\bmac|tag|proof|signature|secret|expected|presented", re.IGNORECASE)


def careless(source: str) -> list[str]:
    """The comparisons of this source that stop at the first byte that differs: of what a secret was made of, by its name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare) or not any(isinstance(kind, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for kind in node.ops):
            continue
        sides = [side for side in (node.left, *node.comparators) if not _is_open(side)]
        if len(sides) == 1 + len(node.comparators) and any(SECRET.search(ast.unparse(side)) for side in sides):
            found.append(ast.unparse(node))
    return found


def _is_open(side: ast.expr) -> bool:
    """A length, a constant: nothing that could be guessed byte by byte."""
    if isinstance(side, ast.Call) and isinstance(side.func, ast.Name) and side.func.id in ("len", "set"):
        return True
    return isinstance(side, ast.Constant) or (isinstance(side, ast.Name) and side.id.isupper())


def calls_of(source: str, function: str) -> list[set[str]]:
    """What each function of this name calls, by the last part of its name."""
    return [
        {ast.unparse(call.func).rpartition(".")[2] for call in ast.walk(node) if isinstance(call, ast.Call)}
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name == function
    ]


@pytest.mark.parametrize("name", ["algorithms.py", "refresh_token.py", "jws.py", "vault.py"])
def test_a52_nothing_secret_is_compared_byte_by_byte(name: str):
    """A52: no == of a digest, a MAC, a tag, a proof or a secret: whoever measures would learn it byte by byte."""
    assert careless((SOURCE / name).read_text("utf-8")) == []


def test_a52_what_compares_them():
    """A52: HMAC's verify, and what checks a refresh token, compare in constant time."""
    algorithms = (SOURCE / "algorithms.py").read_text("utf-8")
    assert any({"compare_digest", "finalize"} <= calls for calls in calls_of(algorithms, "verify"))
    assert (SOURCE / "refresh_token.py").read_text("utf-8").count("compare_digest") >= 2


@pytest.mark.parametrize(
    "planted",
    [
        "return hmac.digest(secret, data, digest) == signature",
        "if tag != hmac.digest(key, text, 'sha256')[:16]: raise ValueError",
        "ok = sha256(secret).digest() == row.digest",
        "ok = not proof != self._proof(seed)",
        "ok = signature in (hmac.digest(k, data, 'sha256') for k in keys)",
    ],
)
def test_a52_a_careless_comparison_is_found(planted: str):
    """The reading can fail: it finds comparisons that were planted, and leaves lengths alone."""
    assert careless(f"def f():\n    {planted}") != []
    assert careless("if len(signature) != 2 * width or version == b'1': pass") == []

"""Survivors: what a mutant changed, whether it changed more than a text for people, and which ones are explained.

Never knows how mutants are made or run.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import re
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from stagedoor import errors

LIST = Path(__file__).with_name("explained.txt")
_MUTANT = re.compile(r"x(?:_|ǁ(?P<cls>\w+?)ǁ)(?P<name>\w+)__mutmut_(?P<number>orig|\d+)")
_RAISED = {
    name for module in (errors, builtins) for name, each in vars(module).items() if isinstance(each, type) and issubclass(each, Exception)
}
_FIRST_IS_NO_TEXT = {"KeyRejected", "ClaimRejected", "TokenNotYetValid", "TokenExpired", "PermissionError"}
"""Their first argument is a code, a claim's name or a number; in all others it is the message."""
_LONG, CUT = 120, "…"
_CODECS = {"encode", "decode"}


class Change(NamedTuple):
    """One mutant: its function, and the lines that differ, as ast.unparse writes them."""

    where: str
    was: str
    becomes: str

    def __str__(self) -> str:
        return f"{self.where}\n- {self.was}\n+ {self.becomes}\n"


class Mutants:
    """The mutants of one file, as mutmut wrote them into it."""

    def __init__(self, path: Path) -> None:
        self._functions: dict[tuple[str, str], ast.AST] = {}
        self._names: list[str] = []
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (found := _MUTANT.fullmatch(node.name)):
                if found["number"] != "orig":
                    self._names.append(f"stagedoor.{path.stem}.{node.name}")
                node.name = found["name"]
                self._functions[".".join(filter(None, (path.stem, found["cls"], found["name"]))), found["number"]] = node

    def names(self) -> list[str]:
        """Of all mutants, as mutmut has them."""
        return self._names

    def change(self, name: str) -> Change:
        """What the mutant of this name (mutmut's) changed."""
        where, number = self._place(name)
        was, becomes = (ast.unparse(self._functions[where, which]).splitlines() for which in ("orig", number))
        lines = [line for line in difflib.ndiff(was, becomes) if line[0] in "-+"]
        return Change(where, *_narrowed(*(" / ".join(line[2:].strip() for line in lines if line[0] == sign) for sign in "-+")))

    def is_text(self, name: str) -> bool:
        """Whether it changed no more than the text of a message, what only a type checker reads, or the case of a codec's name."""
        where, number = self._place(name)
        if where.endswith(".__repr__"):
            return True
        _, cls, _ = f".{where}".rsplit(".", 2)
        return len({_without_texts(self._functions[where, which], cls) for which in ("orig", number)}) == 1

    def _place(self, name: str) -> tuple[str, str]:
        found = _MUTANT.fullmatch(name.rpartition(".")[2])
        assert found, name
        return ".".join(filter(None, (name.split(".")[-2], found["cls"], found["name"]))), found["number"]


def _narrowed(was: str, becomes: str) -> tuple[str, str]:
    """Of long lines the part that differs, and a little around it."""
    if max(len(was), len(becomes)) <= _LONG:
        return was, becomes
    begin = max(0, _alike(was, becomes) - _LONG // 2)
    end = max(0, _alike(was[begin:][::-1], becomes[begin:][::-1]) - _LONG // 4)
    return tuple((CUT if begin else "") + text[begin : len(text) - end] + (CUT if end else "") for text in (was, becomes))  # type: ignore


def _alike(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _without_texts(function: ast.AST, cls: str) -> str:
    return ast.dump(_Texts(cls).visit(ast.parse(ast.unparse(function))))


class _Texts(ast.NodeTransformer):
    """Takes away what is compared by nobody."""

    def __init__(self, cls: str) -> None:
        self._cls = cls

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name == "cast" and len(node.args) == 2:
            return node.args[1]
        if ast.unparse(node.func) == "super().__init__" and self._cls.lstrip("_") in _RAISED:
            name = self._cls.lstrip("_")
        if name in _RAISED:
            node.args = node.args[: name in _FIRST_IS_NO_TEXT]
        if getattr(getattr(node.func, "value", None), "id", "") == "_log":
            node.args = node.args[: name == "log"]  # its level
        if name in _CODECS:
            node.args = [
                ast.Constant(a.value.lower()) if isinstance(a, ast.Constant) and isinstance(a.value, str) else a for a in node.args
            ]
        return node


def explained(text: str) -> Iterator[tuple[str, Change]]:
    """(reason, change) of each entry of the list. Reasons stand after `#`, for all entries up to the next one."""
    reason, lines = "", []
    for line in text.splitlines():
        if line.startswith("#"):
            reason = line.strip("# ")
        elif line.startswith("+"):
            where, was = lines
            yield reason, Change(where, was.removeprefix("- ").removeprefix("-"), line.removeprefix("+ ").removeprefix("+"))
            lines = []
        elif line:
            lines.append(line)
    assert not lines, f"half an entry: {lines}"


@cache
def functions(path: Path) -> dict[str, list[str]]:
    """Each function of a source file by its place, as ast.unparse writes its lines."""
    found = {}
    for node in ast.parse(path.read_text("utf-8")).body:
        for inner in [node] if isinstance(node, ast.FunctionDef) else getattr(node, "body", []) if isinstance(node, ast.ClassDef) else []:
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                name = inner.name if inner is node else f"{node.name}.{inner.name}"  # type: ignore[attr-defined]
                inner.decorator_list = []
                found[f"{path.stem}.{name}"] = [line.strip() for line in ast.unparse(inner).splitlines()]
    return found


EXPLAINED = {change: reason for reason, change in explained(LIST.read_text("utf-8"))}
"""Each mutant that may survive, and why."""

"""The house rules that a machine can hold: size of files, docstrings, the face, a light import."""

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import stagedoor

PACKAGE = Path(stagedoor.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
FRAMEWORKS = ["fastapi", "starlette", "sqlalchemy", "typer", "uvicorn", "limits", "argon2", "jinja2", "httpx2"]


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_file_is_over_400_lines(path: Path):
    """A file is a noun that fits into 400 lines."""
    assert lines_of(path) <= 400


def test_the_median_is_under_200_lines():
    """Half of the files are shorter than 200 lines."""
    assert statistics.median(map(lines_of, FILES)) < 200


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_module_has_a_docstring(path: Path):
    """The first line of each file says what it knows."""
    assert (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").strip()


def test_the_face_shows_what_it_imports():
    """The face defines nothing: its `__all__` is, in order, exactly the public names that it imports."""
    names, others = set(), []
    for node in ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body[1:]:
        match node:
            case ast.ImportFrom(module="__future__"):
                pass
            case ast.Import() | ast.ImportFrom():
                names |= {alias.asname or alias.name for alias in node.names}
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                pass
            case _:
                others.append(ast.unparse(node))
    assert others == []
    assert set(stagedoor.__all__) == {name for name in names if not name.startswith("_")}
    # The order is ruff's (RUF022): constants, then classes, then the rest.
    assert list(stagedoor.__all__) == sorted(stagedoor.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert all(hasattr(stagedoor, name) for name in stagedoor.__all__)


def test_importing_the_face_imports_no_framework():
    """`import stagedoor` gives no warning and loads no framework, no store and nothing of an extra."""
    code = "import sys, stagedoor; print(*(name for name in sys.modules))"
    command = [sys.executable, "-W", "error", "-c", code]
    loaded = set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert "stagedoor" in loaded
    assert loaded.isdisjoint(FRAMEWORKS)
    assert not [name for name in loaded if name.startswith(("stagedoor.stores", "stagedoor.guards"))]

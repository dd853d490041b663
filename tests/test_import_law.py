"""The law of the house: who may import whom. Read from the source, so lazy and typing-only imports count."""

import ast
import graphlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"

# A new file or package directly under src/stagedoor gets its floor here;
# a file inside a package stands on the package's floor.
FLOORS = {
    "errors": 1,
    **dict.fromkeys(
        ["encoding", "lifetime", "scope", "algorithms", "signer", "entry", "secret_file", "vault", "watch", "ring", "flight", "follower"], 2
    ),
    **dict.fromkeys(["key_policy", "jwk", "der", "keys", "claims", "refresh_token", "session", "revocation", "event"], 3),
    **dict.fromkeys(["jws", "layout"], 4),
    **dict.fromkeys(["seen_tokens", "access_token", "trusted_issuer", "keyset"], 5),
    **dict.fromkeys(["verifier", "draft", "token_pair", "parts", "endings", "flows", "issuer"], 6),
    **dict.fromkeys(["remote_document", "discovery", "published_keys", "jwks", "stores", "guards"], 7),
    **dict.fromkeys(["endpoints", "feeds", "client", "testing"], 8),
    "service": 9,
    "cli": 10,
    "__main__": 11,
}
CORE = 6
FACE_FLOOR = 6.5  # the face stands on the core; who imports the face must stand above it

CORE_MAY_USE = {"cryptography", "msgspec", "pybase64"}
CORE_MAY_USE_FOR_TYPING = {"typing_extensions"}
ISSUING = {"issuer", "flows", "endings", "parts"}  # these hold what Issuer and SyncIssuer do; the law on the issuer binds them too
STORES_MAY_USE = {"errors", "session", "keys", "revocation"}

# Inside these packages a file (or package) of such a name belongs to that framework;
# all others are framework-free.
WEB = {"asgi", "starlette", "fastapi", "litestar", "flask", "django"}
DATABASES = {"sql", "sqlite", "postgres", "redis", "django"}
FRAMEWORKS = {"stores": DATABASES, "guards": WEB, "endpoints": WEB}
# What a framework-free file of these packages must not import from outside.
FOREIGN = {
    "stores": {"sqlalchemy", "alembic", "sqlite3", "aiosqlite", "asyncpg", "psycopg", "redis", "django"},
    "guards": WEB - {"asgi"},
    "endpoints": WEB - {"asgi"},
}


class Import(NamedTuple):
    """One import: its line, the module that it names, whether only type checkers run it."""

    line: int
    target: str
    typing_only: bool


def is_type_checking(test: ast.expr) -> bool:
    """True for the condition of `if TYPE_CHECKING:` and `if typing.TYPE_CHECKING:`."""
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))


def imports_of(module: str, source: str, modules: Mapping[str, str]) -> Iterator[Import]:
    """Yield every import in the source, at any depth, relative names resolved."""
    is_package = any(name.startswith(f"{module}.") for name in modules)
    package = module.split(".") if is_package else module.split(".")[:-1]

    def walk(node: ast.AST, typing_only: bool) -> Iterator[Import]:
        match node:
            case ast.If(test=test, body=body, orelse=orelse) if is_type_checking(test):
                for child in body:
                    yield from walk(child, True)
                for child in orelse:
                    yield from walk(child, typing_only)
                return
            case ast.Import(names=names):
                yield from (Import(node.lineno, alias.name, typing_only) for alias in names)
            case ast.ImportFrom(module=base, names=names, level=level):
                parts = package[: len(package) - level + 1] if level else []
                origin = ".".join([*parts, *([base] if base else [])])
                for alias in names:
                    inner = f"{origin}.{alias.name}"
                    yield Import(node.lineno, inner if inner in modules else origin, typing_only)
            case ast.Call(func=func, args=[first, *_]) if "import_module" in ast.unparse(func) or (
                isinstance(func, ast.Name) and func.id == "__import__"
            ):
                known = isinstance(first, ast.Constant) and isinstance(first.value, str)
                target = first.value if known and not first.value.startswith(".") else "?"
                yield Import(node.lineno, target, typing_only)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, typing_only)

    yield from walk(ast.parse(source), False)


def inside(module: str) -> tuple[str, str]:
    """The floor and the file on it: stagedoor.stores.sql.tables -> (stores, sql); the face -> ("", "")."""
    _, top, file, *_ = [*module.split("."), "", ""]
    return top, file


def floor(module: str) -> float | None:
    """The floor on which a module stands; None when the table does not say."""
    return FACE_FLOOR if module == "stagedoor" else FLOORS.get(inside(module)[0])


def framework(module: str) -> str | None:
    """The framework to which a file of stores, guards or endpoints belongs; None for a framework-free one."""
    top, file = inside(module)
    return file if file in FRAMEWORKS.get(top, ()) else None


def complain_inside(module: str, target: str) -> Iterator[str]:
    """Yield what is wrong with an import of one Stagedoor module by another."""
    (top, _), (target_top, _) = inside(module), inside(target)
    here, there = floor(module), floor(target)
    if here is None or there is None:
        return  # the missing floor is complained about once, at the file itself
    if module == "stagedoor":
        if there > CORE:
            yield f"the face imports {target}, which is above floor {CORE}"
        return
    if there > here:
        yield f"imports upward: {target} is on floor {there:g}, this is on {here:g}"
    if (top == "verifier" and target_top in ISSUING) or (top in ISSUING and target_top == "verifier"):
        yield f"verifier and issuer import each other: {target}"
    if top == "guards" and target_top in {*ISSUING, "stores", ""}:
        yield f"a guard imports {target}"
    if top == "stores" and target_top != "stores" and target_top not in STORES_MAY_USE:
        yield f"a store imports {target}; it may import {', '.join(sorted(STORES_MAY_USE))}"
    if top in FRAMEWORKS and framework(target):
        if framework(module) is None:  # the package's own __init__ too: whoever imports a sibling runs it
            yield f"a framework-free file imports {target}"
        elif top == target_top and framework(module) not in (None, framework(target)):
            yield f"a file of {framework(module)} imports {target}"


def complain_outside(module: str, found: Import) -> Iterator[str]:
    """Yield what is wrong with an import of somebody else's module."""
    distribution, top = found.target.partition(".")[0], inside(module)[0]
    here = floor(module)
    if found.target == "?":
        yield "imports a module by a name that cannot be read here"
    elif module == "stagedoor":
        if distribution not in sys.stdlib_module_names:
            yield f"the face imports {found.target}"
    elif here is not None and here <= CORE:
        allowed = sys.stdlib_module_names | CORE_MAY_USE
        if distribution not in (allowed | CORE_MAY_USE_FOR_TYPING if found.typing_only else allowed):
            yield f"the core imports {found.target}"
    elif framework(module) is None and distribution in FOREIGN.get(top, ()):
        yield f"a framework-free file imports {found.target}"


def complaints(modules: Mapping[str, str]) -> list[str]:
    """All violations of the law in a mapping of module names to their source."""
    found: list[str] = []
    graph: dict[str, set[str]] = {}
    for module, source in modules.items():
        if floor(module) is None:
            found.append(f"{module}: has no floor; add it to FLOORS in tests/test_import_law.py")
        graph[module] = set()
        for each in imports_of(module, source, modules):
            ours = each.target.partition(".")[0] == "stagedoor"
            # `import stagedoor.jws.sign` names a thing in a module: climb to the module.
            target = each.target
            while ours and target not in modules and "." in target:
                target = target.rpartition(".")[0]
            if ours and target != module:
                graph[module].add(target)
            said = complain_inside(module, target) if ours else complain_outside(module, each)
            found += [f"{module}:{each.line}: {words}" for words in said]
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1][:0:-1]
        start = circle.index(min(circle))
        circle = [*circle[start:], *circle[:start], circle[start]]
        found.append(f"imports in a circle: {' -> '.join(circle)}")
    return found


def house() -> dict[str, str]:
    """Every module under src/stagedoor with its source."""
    modules = {}
    for path in sorted((SRC / "stagedoor").rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return modules


def test_house_keeps_the_law():
    """No import in src/stagedoor breaks the law."""
    assert "\n".join(complaints(house())) == ""


def test_every_core_file_is_seen():
    """The reader of the source finds the modules that the floors name, so an empty house cannot pass."""
    assert {f"stagedoor.{name}" for name, height in FLOORS.items() if height <= CORE} <= house().keys()


LAWFUL = {
    "stagedoor": "from stagedoor import errors\nfrom stagedoor.issuer import Issuer, SyncIssuer",
    "stagedoor.errors": "",
    "stagedoor.scope": "from stagedoor.errors import InvalidScope",
    "stagedoor.keys": "import msgspec\nfrom cryptography.hazmat.primitives import hashes",
    "stagedoor.session": "from . import errors\nfrom .keys import Key",
    "stagedoor.jws": "from .keys import Key",
    "stagedoor.access_token": """
from typing import TYPE_CHECKING
from stagedoor import jws
if TYPE_CHECKING:
    from typing_extensions import TypeVar
else:
    from typing import TypeVar
""",
    "stagedoor.verifier": "from stagedoor.access_token import AccessToken",
    "stagedoor.flows": "from stagedoor.session import Session",
    "stagedoor.issuer": "from stagedoor.flows import Flows",
    "stagedoor.stores": "",
    "stagedoor.stores.memory": "from stagedoor.session import decide",
    "stagedoor.stores.sql": "from .sqlite import SQLite",
    "stagedoor.stores.sql.sqlite": "import sqlite3\nfrom . import tables",
    "stagedoor.stores.sql.tables": "import sqlalchemy",
    "stagedoor.guards": "",
    "stagedoor.guards.bearer": "from stagedoor import errors",
    "stagedoor.guards.guard": "from .bearer import parse",
    "stagedoor.guards.starlette": "from starlette.requests import Request\nfrom .guard import Guard",
    "stagedoor.guards.fastapi": "import fastapi\nimport starlette\nfrom .guard import Guard",
    "stagedoor.endpoints.login": "from ..issuer import Issuer",
    "stagedoor.endpoints.starlette": "from .login import login",
    "stagedoor.service.app": "from ..endpoints.starlette import mount\nfrom ..stores.sql import SQLStore",
    "stagedoor.cli": "def serve():\n    from stagedoor.service import app",
}


def test_lawful_house_passes():
    """A small house that keeps every rule gives no complaint."""
    assert complaints(LAWFUL) == []


@pytest.mark.parametrize(
    ("module", "line", "words"),
    [
        (
            "errors",
            "from stagedoor.scope import Scope",
            "imports upward: stagedoor.scope is on floor 2, this is on 1",
        ),
        ("scope", "from . import keys", "imports upward: stagedoor.keys"),
        ("scope", "from .keys import Key", "imports upward: stagedoor.keys"),
        ("keys", "import stagedoor.jws", "imports upward: stagedoor.jws"),
        ("keys", "def lazy():\n    from stagedoor.jws import sign", "imports upward: stagedoor.jws"),
        ("keys", "if TYPE_CHECKING:\n    from stagedoor.jws import sign", "imports upward: stagedoor.jws"),
        (
            "keys",
            "import importlib\nimportlib.import_module('stagedoor.jws')",
            "imports upward: stagedoor.jws",
        ),
        ("keys", "__import__('stagedoor.jws')", "imports upward: stagedoor.jws"),
        ("keys", "import importlib\nimportlib.import_module(name)", "by a name that cannot be read"),
        ("keys", "from stagedoor import Issuer", "imports upward: stagedoor is on floor 6.5"),
        ("service.app", "from stagedoor import cli", "imports upward: stagedoor.cli"),
        ("endpoints.login", "from ..service.app import app", "imports upward: stagedoor.service.app"),
        (
            "keys",
            "from .session import Session",
            "circle: stagedoor.keys -> stagedoor.session -> stagedoor.keys",
        ),
        ("stores.sql.tables", "from .sqlite import SQLite", "imports in a circle"),
        ("guards.bearer", "from stagedoor.guards import guard", "imports in a circle"),
        ("verifier", "def lazy():\n    from .issuer import Issuer", "verifier and issuer import each other"),
        ("issuer", "from stagedoor.verifier import Verifier", "verifier and issuer import each other"),
        ("verifier", "from stagedoor.flows import Flows", "verifier and issuer import each other"),
        ("flows", "from stagedoor.verifier import Verifier", "verifier and issuer import each other"),
        ("guards.guard", "from ..flows import Flows", "a guard imports stagedoor.flows"),
        ("guards.guard", "from ..issuer import Issuer", "a guard imports stagedoor.issuer"),
        ("guards.fastapi", "from stagedoor.issuer import Issuer", "a guard imports stagedoor.issuer"),
        ("guards.guard", "from stagedoor import Issuer", "a guard imports stagedoor"),
        (
            "guards.guard",
            "from stagedoor.stores.memory import MemoryStore",
            "a guard imports stagedoor.stores.memory",
        ),
        ("stores.memory", "from ..scope import Scope", "a store imports stagedoor.scope"),
        ("stores.memory", "from stagedoor.guards import guard", "a store imports stagedoor.guards.guard"),
        ("stores.sql.tables", "from stagedoor.issuer import Issuer", "a store imports stagedoor.issuer"),
        (
            "stores.memory",
            "from .sql import tables",
            "a framework-free file imports stagedoor.stores.sql.tables",
        ),
        ("stores.memory", "import sqlalchemy.orm", "a framework-free file imports sqlalchemy.orm"),
        ("stores.redis", "from .sql import tables", "a file of redis imports stagedoor.stores.sql.tables"),
        (
            "guards.guard",
            "from .fastapi import Guard",
            "a framework-free file imports stagedoor.guards.fastapi",
        ),
        (
            "guards.guard",
            "from starlette.requests import Request",
            "a framework-free file imports starlette.requests",
        ),
        (
            "guards.fastapi",
            "from .starlette import Guard",
            "a file of fastapi imports stagedoor.guards.starlette",
        ),
        ("guards", "from .fastapi import Guard", "a framework-free file imports stagedoor.guards.fastapi"),
        ("guards.asgi", "from .starlette import Guard", "a file of asgi imports stagedoor.guards.starlette"),
        (
            "endpoints.login",
            "from .starlette import mount",
            "a framework-free file imports stagedoor.endpoints.starlette",
        ),
        (
            "endpoints.login",
            "from ..guards.fastapi import Guard",
            "a framework-free file imports stagedoor.guards.fastapi",
        ),
        (
            "endpoints.fastapi",
            "from .starlette import mount",
            "a file of fastapi imports stagedoor.endpoints.starlette",
        ),
        ("", "from stagedoor.stores.memory import MemoryStore", "the face imports stagedoor.stores.memory"),
        ("", "from stagedoor import guards", "the face imports stagedoor.guards"),
        ("", "import fastapi", "the face imports fastapi"),
        ("jws", "import jwt", "the core imports jwt"),
        ("issuer", "def lazy():\n    import sqlalchemy", "the core imports sqlalchemy"),
        ("jws", "from typing_extensions import TypeVar", "the core imports typing_extensions"),
        ("jws", "if TYPE_CHECKING:\n    import attrs", "the core imports attrs"),
        (
            "jws",
            "if TYPE_CHECKING: ...\nelse:\n    import typing_extensions",
            "the core imports typing_extensions",
        ),
        ("helper", "", "stagedoor.helper: has no floor; add it to FLOORS"),
        ("helpers.text", "", "stagedoor.helpers.text: has no floor; add it to FLOORS"),
    ],
)
def test_each_violation_is_named(module: str, line: str, words: str):
    """One violation planted in the lawful house gives the complaint that names it."""
    name = f"stagedoor.{module}" if module else "stagedoor"
    planted = {**LAWFUL, name: f"{LAWFUL.get(name, '')}\n{line}"}
    assert words in "\n".join(complaints(planted))

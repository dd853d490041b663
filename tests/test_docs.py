"""The documentation is held by tests: what is public is documented, and the code in the docs runs."""

from __future__ import annotations

import ast
import logging
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import typer.main
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.testclient import TestClient

import stagedoor
from stagedoor import errors
from stagedoor.cli import app as cli
from stagedoor.endpoints import Endpoints, Throttle
from stagedoor.endpoints.counters import MemoryCounters
from stagedoor.service.desk import ADMIN_SCOPE, Desk
from stagedoor.service.settings import Settings
from stagedoor.stores.memory import MemoryStore

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text("utf-8")
REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")


def codes() -> set[str]:
    found, tree = set(), [errors.AuthError]
    while tree:
        cls = tree.pop()
        tree += cls.__subclasses__()
        if not cls.__name__.startswith("_") and cls not in (errors.AuthError, errors.TokenError, errors.GrantError, errors.RequestError):
            found.add(cls.code)
    return found


def commands() -> set[str]:
    found = set()
    for name, command in typer.main.get_command(cli).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found |= {f"stagedoor {name} {sub}" for sub in inner} if inner else {f"stagedoor {name}"}
    return found


def endpoints() -> set[str]:
    keys, peppers = stagedoor.KeySet.generate(), stagedoor.Peppers.generate()
    issuer = stagedoor.Issuer("https://a.example", audience="b", store=MemoryStore(), keys=keys, peppers=peppers)
    made = Endpoints(issuer, lambda username, password: None, feed_keys=["k" * 32], admin_scope=ADMIN_SCOPE)
    house = SimpleNamespace(accounts=None, custody=None, issuer=issuer)
    rows = (*made.operations, *Desk(house, made.gate, Throttle(MemoryCounters())).operations)  # type: ignore[arg-type]
    return {f"{row.method} /auth{row.path}" for row in rows} | {f"{made.jwks.method} {made.jwks.path}"}


def key_codes() -> set[str]:
    """The codes with which keys are refused, as they stand in the source."""
    files = (ROOT / "src" / "stagedoor").rglob("*.py")
    return {code for file in files for code in re.findall(r'KeyRejected\(\s*"(\w+)"', file.read_text("utf-8"))}


def events() -> set[str]:
    """The names of the events that are told, as they stand in the source; those of refusals are their codes."""
    files = [file.read_text("utf-8") for file in (ROOT / "src" / "stagedoor").rglob("*.py")]
    named = {name for file in files for name in re.findall(r'(?:\bEvent|_tell|_changed)\(\s*"(\w+)"', file)}
    return named | {f"refresh_{outcome}" for outcome in ("rotated", "kept", "replayed")}


PUBLIC = {
    "events": events(),
    "names": set(stagedoor.__all__),
    "errors": codes(),
    "key codes": key_codes(),
    "settings": {f"STAGEDOOR_{name.upper()}" for name in Settings.__struct_fields__ if name != "sources"},
    "commands": commands(),
    "endpoints": endpoints(),
}


@pytest.mark.parametrize("kind", PUBLIC)
def test_everything_public_is_in_the_reference(kind: str) -> None:
    """Every public name, event, error code, setting, command and endpoint stands in docs/reference.md, in code type."""
    missing = sorted(name for name in PUBLIC[kind] if not re.search(rf"`{re.escape(name)}[`( ]", REFERENCE))
    assert PUBLIC[kind]
    assert not missing


def test_settings_defaults_in_the_reference_are_the_real_ones() -> None:
    """Each default that the reference names is the default of the code."""
    rows = dict(re.findall(r"^\| `STAGEDOOR_(\w+)` \| `?([^|`]*)`? \|", REFERENCE, re.MULTILINE))
    for member in msgspec.structs.fields(Settings):
        if member.default is not msgspec.NODEFAULT and member.name.upper() in rows:
            default = "" if member.default is None else member.default
            shown = ",".join(default) if isinstance(default, tuple) else str(default)
            assert rows[member.name.upper()].strip() == shown, member.name


def test_the_readme_app_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app in the README logs a user in, guards its route and refreshes, as it stands there, in at most twenty lines of code."""
    source = README.split("<!-- app.py -->\n```python\n")[1].split("```")[0]
    statements = [line for line in source.splitlines() if line.strip()]
    assert len(statements) <= 20
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(source, "utf-8")
    app = runpy.run_path(str(tmp_path / "app.py"))["app"]
    with TestClient(app, base_url="http://localhost:8000") as client:
        pair = client.post("/auth/login", json={"username": "ada", "password": "correct horse battery"}).json()
        assert client.get("/orders").status_code == 401
        answer = client.get("/orders", headers={"Authorization": f"Bearer {pair['access_token']}"})
        assert answer.json() == ["an order of ada"]
        fresh = client.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]}).json()
        assert fresh["refresh_token"] != pair["refresh_token"]


async def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of the guide runs from top to bottom, as one program."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) > 5
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEED_KEY", "k" * 32)
    monkeypatch.setattr(logging, "basicConfig", lambda **options: None)
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "signing-2026.pem").write_bytes(pem)  # what stands in the box is tried in tests/signer
    program = compile("\n".join(blocks), "guide.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(program, {"__name__": "guide"})
    await running


def test_the_readme_names_tests_that_exist() -> None:
    """Each test that the table of situations points at is really there."""
    named = set(re.findall(r"`(test_\w+)`", README))
    folders = (ROOT / "tests", ROOT / "src" / "stagedoor" / "testing")
    defined = {
        name for folder in folders for file in folder.rglob("*.py") for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))
    }
    assert named
    assert named <= defined


@pytest.mark.parametrize("page", ["README.md", *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md")))])
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link of the documentation leads to a file."""
    text = (ROOT / page).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / page).parent / target).exists(), target

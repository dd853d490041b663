"""The example app of examples/first_steps, importable for tests."""

import importlib.util
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parent.parent / "examples" / "first_steps"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"first_steps_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


example = load("app")
create_app = example.create_app

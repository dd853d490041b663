"""Knows how one of the NestJS applications in this folder is run: Node and its packages come from `.ci/interop`.

Never knows what a test asks it.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from servers.process import Server

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "migrate" / "nestjs.md"


@functools.cache
def installed() -> tuple[Path, Path]:
    """Node, and the folder of the packages: installed when they are not there, or not those of the lock file."""
    done = subprocess.run([ROOT / ".ci" / "interop"], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"the tests find no Node.js or not its packages:\n{done.stderr}"
    found = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    (node,) = (path for what, path in found.items() if what.startswith("node "))
    return Path(node), Path(found["modules"])


def code_of_the_docs(language: str) -> str:
    """The one block in this language on the page for people who come from NestJS."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(block)


class Nest(Server):
    """A NestJS application: `issuing.mjs` or `accepting.mjs`, with what it is told in a file, and the strategy of the docs beside it."""

    def __init__(self, folder: Path, program: str, told: Mapping[str, Any], **environment: str) -> None:
        super().__init__(folder)
        self._program = program
        self._told = told
        self._environment = [f"{name}={value}" for name, value in environment.items()]

    def command(self) -> list[str]:
        node, modules = installed()
        # Where a program lies is where Node looks for packages: so it is run from a folder that has them.
        shutil.copy(HERE / self._program, self.folder)
        (self.folder / "strategy.mjs").write_text(code_of_the_docs("javascript"), "utf-8")
        (self.folder / "node_modules").symlink_to(modules, target_is_directory=True)
        told = self.folder / "told.json"
        told.write_text(json.dumps({"port": self.port, **self._told}), "utf-8")
        return ["env", "NO_COLOR=1", *self._environment, str(node), str(self.folder / self._program), str(told)]

    def answers(self) -> bool:
        return httpx2.get(self.url, timeout=1.0).status_code == 404

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

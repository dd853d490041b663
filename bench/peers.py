"""Peers: where the others are: environments of their own, made by .ci/bench from what bench/peers pins; Missing where they are not.

Never knows what a peer does.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Missing(Exception):
    """What is not to be had on this machine, and why."""


def environment(name: str) -> Path:
    """The Python of the environment that has what bench/peers/NAME.txt lists, and what Stagedoor itself needs."""
    return Path(_found(name)["python"])


def modules() -> Path:
    """The node_modules of what bench/peers/package-lock.json lists."""
    return Path(_found("node")["modules"])


def node() -> Path:
    """Node.js."""
    return Path(_found("node")["node"])


def wrk() -> Path:
    """The load generator wrk."""
    return Path(_found("wrk")["wrk"])


def python_with_stagedoor() -> dict[str, str]:
    """The variables for a process of one of these environments: Stagedoor is this checkout's."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))), "PYTHONNOUSERSITE": "1"}


@cache
def versions(name: str) -> dict[str, str]:
    """What is installed in an environment, by name; of Python itself under "Python"."""
    code = (
        "import importlib.metadata as m, json, platform;"
        "print(json.dumps({'Python': platform.python_version(), **{d.metadata['Name']: d.version for d in m.distributions()}}))"
    )
    done = subprocess.run([environment(name), "-I", "-c", code], capture_output=True, text=True, check=True)
    told: dict[str, str] = json.loads(done.stdout)
    return told


@cache
def module_versions() -> dict[str, str]:
    """What of bench/peers/package.json is installed, and Node.js under "Node.js"."""
    listed = json.loads((ROOT / "bench/peers/package.json").read_text())["dependencies"]
    told = subprocess.run([node(), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return {"Node.js": told.removeprefix("v")} | {
        name: json.loads((modules() / name / "package.json").read_text())["version"] for name in listed
    }


@cache
def _found(name: str) -> dict[str, str]:
    done = subprocess.run([ROOT / ".ci/bench", name], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(" ".join(done.stderr.split("\n")[-3:]).strip() or f".ci/bench {name} failed")
    # A line is: what, its version, its path.
    return {line.split(" ", 2)[0]: line.split(" ", 2)[2] for line in done.stdout.splitlines()}

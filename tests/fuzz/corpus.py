"""Cases that were worth keeping, one JSON line each, whatever the generator makes today.

Never knows why one was kept: its line says so.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fuzz.cases import Case
from fuzz.keys_given import Given

FILE = Path(__file__).parent / "corpus" / "cases.jsonl"
INPUTS = FILE.parent / "inputs.txt"
_A_TARGET = 600
"""Bytes of a target's inputs that are kept: the shortest ones."""


def read(path: Path = FILE) -> Iterator[tuple[Case, str, str]]:
    """Each case, what we say of it (our code), and why it is here."""
    for line in path.read_text("utf-8").splitlines():
        fields = json.loads(line)
        ours, why = fields.pop("ours"), fields.pop("why")
        given = fields.pop("given")
        if given["form"] == "bytes":
            given["data"] = base64.b64decode(given["data"])
        fields["steps"] = tuple(fields["steps"])
        yield Case(given=Given(given["form"], tuple(given["names"]), given["data"]), **fields), ours, why


def line(case: Case, ours: str, why: str) -> str:
    """The line that keeps this case."""
    fields: dict[str, Any] = asdict(case)
    if case.given.form == "bytes":
        fields["given"]["data"] = base64.b64encode(case.given.data).decode("ascii")
    return json.dumps({**fields, "ours": ours, "why": why})


def inputs(name: str) -> list[bytes]:
    """What coverage-guided runs have left of this target: each reaches something that no other does."""
    rows = (row.split(" ") for row in INPUTS.read_text("ascii").splitlines()) if INPUTS.exists() else ()
    return [base64.b64decode(data) for target, data in rows if target == name]


def keep(found: Path) -> int:
    """Keep the shortest inputs of each target of the run that left its corpora in this folder. Returns how many."""
    rows = []
    for folder in sorted(found.iterdir()):
        size = 0
        for data in sorted({path.read_bytes() for path in folder.iterdir()}, key=lambda each: (len(each), each)):
            size += len(data)
            if size > _A_TARGET:
                break
            rows.append(f"{folder.name} {base64.b64encode(data).decode('ascii')}")
    INPUTS.write_text("\n".join(rows) + "\n", "ascii")
    return len(rows)

"""A terminal for the tests of the command line."""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from stagedoor import cli
from stagedoor.service.passwords import Passwords

Transcript = Callable[..., None]


class Stdin(io.TextIOWrapper):
    """Standard input, a terminal or not."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def transcript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Transcript:
    """Runs the commands of a text in an empty folder and holds what they print against it; {names} in it are filled in.

    `$ echo 'x' | stagedoor …` hands a line to standard input, `$ STAGEDOOR_A=1 stagedoor …` sets a variable for one command. Standard
    output comes before standard error; an exit code other than 0 stands last, as `(exit 1)`.
    """
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STAGEDOOR_")]:
        monkeypatch.delenv(name)
    cheap = {"time_cost": 1, "memory_cost": 8}
    monkeypatch.setattr("stagedoor.service.composition.Passwords", lambda threads: Passwords(threads=threads, **cheap))

    def run(line: str) -> str:
        typed, words = "", shlex.split(line)
        if words[0] == "echo":
            typed, words = f"{words[1]}\n", words[3:]
        with monkeypatch.context() as here:
            while "=" in words[0]:
                here.setenv(*words.pop(0).split("=", 1))
            assert words[0] == "stagedoor"
            here.setattr(sys, "stdin", Stdin(io.BytesIO(typed.encode("utf-8", "surrogateescape"))))
            code = cli.run(words[1:])
        out, err = capfd.readouterr()
        return out + err + (f"(exit {code})\n" if code else "")

    def play(text: str, **values: str) -> None:
        for name, value in values.items():
            text = text.replace("{" + name + "}", value)
        for part in re.split(r"^\$ ", textwrap.dedent(text), flags=re.M)[1:]:
            command, _, expected = part.partition("\n")
            printed = run(command)
            pattern = re.escape(expected.strip("\n")).replace("…", r"[\s\S]*")
            assert re.fullmatch(pattern, printed.strip("\n")), f"$ {command}\n{printed}\n--- was to be\n{expected}"

    return play

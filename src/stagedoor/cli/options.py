"""Options: the words that commands share, and the form of a group of commands.

Never knows what a command does with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stagedoor.lifetime import seconds

# Typer carries its own click or depends on one, as its version has it: the root of their usage errors is where both agree.
UsageError: Any = typer.BadParameter.__mro__[1]

DATA_HELP = "Folder of the database and the master key. Default: STAGEDOOR_DATA, else ./stagedoor-data."
Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help=DATA_HELP)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts; moments are Unix seconds.")]
Announce = Annotated[str, typer.Option("--announce", metavar="SPAN", help="How long it is announced before it is used, such as 6m or 1h.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Username; upper and lower case are one.")]


def span(text: str, option: str) -> int:
    """The seconds of this span. UsageError where it is none."""
    try:
        return seconds(text)
    except ValueError:
        raise UsageError(f"{option} is {text!r}, not a span such as 90s, 5m, 1h or 7d") from None


def group(help_: str) -> typer.Typer:
    """A group of commands, empty so far."""
    return typer.Typer(help=help_, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)

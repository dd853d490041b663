"""Terminal: how commands print tables, JSON, moments and refusals, and how they come by a password.

Never knows what it prints, and prints nothing that could steer a terminal.
"""

from __future__ import annotations

import getpass
import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Self

from stagedoor.errors import AuthError, InvalidRequest, MalformedToken, NotFound, StoreError, TokenError

_LONGEST_LINE = 16 * 1024


class Problem(Exception):
    """Something foreseeable went wrong; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def say(kind: str, text: str) -> None:
    """One line on standard error, such as "stagedoor: hint: …": no capital at the start, no period at the end."""
    line = plain(" ".join(text.split())).removesuffix(".")
    if line[1:2].islower() or line[1:2] == " ":
        line = line[:1].lower() + line[1:]
    sys.stderr.write(f"stagedoor: {kind}: {line}\n")


def say_refusal(error: AuthError) -> None:
    """What was refused, and what to do about it."""
    say("error", str(error))
    say("hint", _hint(error))


def store_trouble(error: StoreError) -> str:
    """What the store said, without the name of the driver's exception, and without what a programmer would do about it."""
    said = re.sub(r"^\w+: ", "", str(error))
    return re.split(r"\s+(?:Is the server running|LINE \d|Set maxmemory-policy)|: (?:run store\.migrate|write redis\+cluster)", said)[0]


def lacks_tables(error: StoreError) -> bool:
    """Whether nobody has brought this database to our form yet."""
    return any(words in str(error) for words in ("no such table", "no such column", "run store.migrate()"))


def _hint(error: AuthError) -> str:
    match error:
        case NotFound():
            return "`stagedoor users list` shows all accounts"
        case InvalidRequest():
            return "`stagedoor users add --help` says what names, passwords and scopes there can be"
        case MalformedToken():
            return "a token is three parts of base64url, with dots between"
    return f"its code is {error.code}" + ("; `stagedoor token decode` shows what it says" if isinstance(error, TokenError) else "")


def print_json(value: object) -> None:
    """The value on standard output, ASCII only."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


class Moment(int):
    """Unix seconds: a number in JSON, a date in a table."""

    @classmethod
    def of(cls, at: float | None) -> Self | None:
        """None stays None."""
        return None if at is None else cls(at)

    def __str__(self) -> str:
        return f"{datetime.fromtimestamp(self, UTC):%Y-%m-%d %H:%M:%SZ}"


def print_rows(head: Sequence[str], rows: Iterable[Sequence[Any]], *, as_json: bool) -> None:
    """Rows as a JSON list of objects, or as columns as wide as they need to be, two spaces between."""
    if as_json:
        print_json([dict(zip(head, row, strict=True)) for row in rows])
        return
    lines = [tuple(head), *(tuple(plain(_cell(value)) for value in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)


def plain(text: str) -> str:
    """The text with what cannot be seen escaped: a client chose some of it, and a terminal would obey it."""
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode("ascii") for mark in text)


def line_from_stdin(what: str) -> str:
    """The first line of standard input, without its end. Problem where it is no text, or too long."""
    line = sys.stdin.buffer.readline(_LONGEST_LINE)
    if len(line) == _LONGEST_LINE:
        raise Problem(f"the first line of standard input is too long for a {what}", f"send the {what} alone, in one line")
    try:
        return line.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise Problem(f"the {what} on standard input is not UTF-8", "send it in UTF-8") from None


def token_text(text: str) -> str:
    """The token in this argument, or the one on standard input where it is "-". Problem for a refresh token."""
    found = line_from_stdin("token").strip() if text == "-" else text
    if found.startswith("sdr_"):
        raise Problem("this is a refresh token: nobody but the service can read it", "hand over an access token")
    return found


def asked_password() -> str:
    """A password, typed twice, unseen. Problem where nobody can be asked, or what was typed differs."""
    if not sys.stdin.isatty():
        raise Problem("there is no terminal to ask for the password", "send it to standard input and add --password-stdin")
    password = getpass.getpass("password: ")
    if password != getpass.getpass("once more: "):
        raise Problem("the two passwords differ", "type the same password twice")
    return password

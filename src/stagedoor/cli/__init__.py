"""The command line: all commands together, and how each of them ends. One file for each group of commands.

Never knows a rule: whatever it refuses, something below it refused.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from stagedoor.cli.keys import keys
from stagedoor.cli.options import UsageError
from stagedoor.cli.peppers import peppers
from stagedoor.cli.service import app
from stagedoor.cli.sessions import sessions
from stagedoor.cli.token import token
from stagedoor.cli.users import users
from stagedoor.errors import AuthError
from stagedoor.service.data_folder import DataError
from stagedoor.service.server import ServerError
from stagedoor.service.settings import SettingsError
from stagedoor.service.terminal import Problem, say, say_refusal

for group, name in ((users, "users"), (sessions, "sessions"), (keys, "keys"), (peppers, "peppers"), (token, "token")):
    app.add_typer(group, name=name)


def _version(asked: bool) -> None:
    if asked:
        print(f"stagedoor {version('stagedoor')}")
        raise typer.Exit


@app.callback()
def _options(
    asked: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None: ...


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. What can be foreseen ends in two lines on standard error, never in a traceback."""
    try:
        code = app(list(arguments) or ["--help"], prog_name="stagedoor", standalone_mode=False)
        sys.stdout.flush()
    except (Problem, SettingsError, DataError, ServerError) as error:
        say("error", str(error.args[0]))
        say("hint", error.hint)
        return 1
    except AuthError as error:
        say_refusal(error)
        return 1
    except UsageError as error:
        say("error", error.format_message())
        say("hint", f"`{error.ctx.command_path if error.ctx else 'stagedoor'} --help` shows how it is called")
        return 2
    except (typer.Abort, KeyboardInterrupt):
        say("error", "stopped")
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, above all
        say("error", f"{error.strerror or error} {error.filename or ''}".strip().lower())
        say("hint", "nothing was changed")
        return 1
    return code if isinstance(code, int) else 0


def main() -> None:
    """The command `stagedoor`."""
    logging.getLogger("stagedoor.events").addHandler(logging.NullHandler())  # else Python prints alarms raw where nobody set up a log
    sys.exit(run(sys.argv[1:]))

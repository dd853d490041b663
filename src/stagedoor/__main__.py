"""The command `stagedoor`, also as `python -m stagedoor`: says what to install where the service is not there.

Never knows a command.
"""

import sys


def main() -> None:
    """Run the command line; without the service's packages, one line that says how to get them, and exit code 1."""
    try:
        from stagedoor.cli import main as command_line
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("stagedoor"):
            raise
        print(f"stagedoor: error: the command line needs {error.name}, which is not installed", file=sys.stderr)
        print("stagedoor: hint: pip install 'stagedoor[service]'", file=sys.stderr)
        raise SystemExit(1) from None
    command_line()


if __name__ == "__main__":
    main()

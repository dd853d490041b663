"""The command line as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import httpx2


def test_the_module_runs_as_a_process(tmp_path: Path):
    """`python -m stagedoor.cli`, with warnings as errors, ends with the code of the command, and a closed pipe is no accident."""
    command = [sys.executable, "-W", "error", "-m", "stagedoor", "users", "list", "--data", "nowhere"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == "stagedoor: error: there is no Stagedoor in nowhere (no such folder)"
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "stagedoor", "settings"]
    done = subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_commands_load_only_what_they_need():
    """The drivers of PostgreSQL and Redis are loaded by whoever uses them: every command starts as fast without."""
    code = "import sys, stagedoor.cli; print(*(name for name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True).stdout.split()
    assert "stagedoor.cli.sessions" in loaded
    assert not {"psycopg", "redis", "stagedoor.stores.redis"} & set(loaded)


def test_events_of_commands(tmp_path: Path):
    """What a command changes is told as the service tells it where a log is asked for, and not at all where none is."""

    def errors(*words: str, stdin: str | None = None, **settings: str) -> list[str]:
        command = [sys.executable, "-W", "error", "-m", "stagedoor", *words, "--data", "data"]
        done = subprocess.run(command, cwd=tmp_path, input=stdin, env=os.environ | settings, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return [line for line in done.stderr.splitlines() if not line.startswith("stagedoor: hint: ")]

    assert errors("users", "add", "ada", "--password-stdin", stdin="correct horse") == []
    assert errors("users", "disable", "ada") == []
    told = errors("users", "enable", "ada", STAGEDOOR_LOG_LEVEL="info")
    assert len(told) == 1
    assert " INFO stagedoor.events: account_enabled session=None subject='usr_" in told[0]
    assert errors("sessions", "revoke", "--everything", "--yes") == []
    told = errors("sessions", "revoke", "--everything", "--yes", STAGEDOOR_LOG_LEVEL="warning")
    assert [" WARNING stagedoor.events: everything_revoked " in line for line in told] == [True]


def demo(folder: Path, port: int) -> tuple[subprocess.Popen[str], list[str]]:
    """A running demo, and the three lines that it prints."""
    command = [sys.executable, "-W", "error", "-m", "stagedoor", "demo", "--port", str(port)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, [process.stdout.readline().rstrip("\n") for _ in range(3)]


def test_the_demo_prints_a_password_that_works(tmp_path: Path):
    """The first lines are URL, username and password; the next start sets a new password; Ctrl-C ends it well."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    passwords = []
    for _ in range(2):
        process, lines = demo(tmp_path, port)
        try:
            assert lines[:2] == [f"url:      http://localhost:{port}", "username: ada"]
            passwords.append(lines[2].removeprefix("password: "))
            answers = [
                httpx2.post(f"http://127.0.0.1:{port}/auth/login", json={"username": "ada", "password": password}, timeout=20)
                for password in passwords
            ]
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=30)[0]
        assert (process.returncode, rest) == (0, "")
        assert [answer.status_code for answer in answers] == [400] * (len(passwords) - 1) + [200]
        assert answers[-1].json()["expires_in"] == 60
        assert answers[-1].json()["scope"] == "orders:read orders:write"
        assert "server" not in answers[-1].headers
    assert stat.S_IMODE((tmp_path / "demo-data").stat().st_mode) == 0o700


def test_serving_without_an_account_says_how_to_add_one(tmp_path: Path):
    """`serve` makes its data folder, tells that nobody can log in yet, and answers all the same."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "error", "-m", "stagedoor", "serve", "--port", str(port), "--data", "new"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stdout.readline() == f"Stagedoor serves http://localhost:{port} from new\n"
        assert process.stderr.readline().startswith("stagedoor: hint: made new/master.key: keep a copy elsewhere; ")
        assert process.stderr.readline() == (
            "stagedoor: hint: there is no account yet: add one with `stagedoor users add NAME --data new`\n"
        )
        assert len(httpx2.get(f"http://127.0.0.1:{port}/.well-known/jwks.json", timeout=20).json()["keys"]) == 1
    finally:
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=30)
    assert rest == ("", "")
    assert process.returncode in (0, -signal.SIGTERM)

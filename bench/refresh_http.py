"""Refresh through HTTP: Stagedoor's endpoints beside four others, each as its documentation shows it, at like durability.

Stagedoor's clients present a session of its own each time, since a session rotates once a retry window; the others' clients the
refresh token that the answer before brought. Each server proves first that a token is refused which was tampered with, or exchanged.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

from bench import crowd, peers, places
from bench.clients import Answer, Client, ask, get, load, post
from bench.machine import on_core
from bench.options import Options
from bench.table import Bar, Table, ratio
from bench.turns import in_turns

HERE = Path(__file__).parent / "servers"
CLIENTS = (1, 16, 128)
_PREPARED = 160
"""Users of another's server: one for each client, and some for its proof."""
_NUMBERS = count()
_GIVE_UP = 60.0


class Fresh:
    """Stagedoor's client: the first refresh of one session after another."""

    def __init__(self, tokens: Iterator[str]) -> None:
        self._tokens = tokens
        self._sent = ""

    def ask(self) -> bytes | None:
        """As Client.ask."""
        self._sent = next(self._tokens, "")
        return post("/auth/refresh", b'{"refresh_token":"%s"}' % self._sent.encode()) if self._sent else None

    def hear(self, answer: Answer) -> None:
        """As Client.hear."""
        pair = json.loads(answer.body) if answer.status == 200 else {}
        _must(answer, pair.get("refresh_token", self._sent) != self._sent and pair.get("access_token", "").count(".") == 2)


class Chain:
    """Another's client: each answer brings the token of the next request."""

    def __init__(self, token: str, request: Callable[[str], bytes], rotates: bool, taken: Callable[[Answer], str]) -> None:
        self._token, self._request, self._rotates, self._taken = token, request, rotates, taken

    def ask(self) -> bytes:
        """As Client.ask."""
        return self._request(self._token)

    def hear(self, answer: Answer) -> None:
        """As Client.hear."""
        token = self._taken(answer) if answer.status == 200 else ""
        _must(answer, bool(token) and (token != self._token) is self._rotates)
        self._token = token


def _must(answer: Answer, holds: bool) -> None:
    if not holds:
        raise AssertionError(f"no rotation: {answer.status} {answer.body[:300]!r}")


def _simplejwt(token: str) -> bytes:
    return post("/api/token/refresh/", json.dumps({"refresh": token}).encode())


def _oauth(path: str, token: str) -> bytes:
    body = urlencode({"grant_type": "refresh_token", "client_id": "bench", "refresh_token": token})
    return post(path, body.encode(), "application/x-www-form-urlencoded")


def _session(token: str) -> bytes:
    return get("/api/auth/get-session", f"Cookie: {token}")


def _member(name: str, answer: Answer) -> str:
    told = json.loads(answer.body)
    return str(told.get(name, "")) if told.get("access") or told.get("access_token") else ""


def _renewed(answer: Answer) -> str:
    """The cookie that better-auth set anew: the same session, whose end has moved."""
    cookies = [line.split(b": ", 1)[1] for line in answer.head.split(b"\r\n") if line.lower().startswith(b"set-cookie: ")]
    return next((cookie.split(b";")[0].decode() for cookie in cookies if b"session_token=" in cookie), "")


Server = Callable[[int], tuple[subprocess.Popen[bytes], list[str]]]
"""(port) -> the process, and a token for each of _PREPARED users."""


class Peer:
    """Another one's server: how it is started, and how its clients speak."""

    def __init__(self, start: Server, request: Callable[[str], bytes], taken: Callable[[Answer], str], *, rotates: bool = True) -> None:
        self._start, self._request, self._taken, self._rotates = start, request, taken, rotates

    def turn(self, seconds: float, clients: Sequence[int]) -> dict[str, float]:
        """Rotations a second, and the p99 (ms), with so many clients."""
        port, found = places.free_port(), {}
        with on_core(0):
            process, tokens = self._start(port)
        with _ended(process):
            _wait_for(port, process)
            with on_core(1):
                self._prove(port, tokens)
                for number in clients:
                    crowd_ = [Chain(tokens.pop(), self._request, self._rotates, self._taken) for _ in range(number)]
                    load(port, crowd_, seconds / 4)
                    reached = load(port, crowd_, seconds)
                    found |= {f"{number}": reached.rate, f"{number} p99": reached.p99}
                    tokens += [each._token for each in crowd_]
        return found

    def _prove(self, port: int, tokens: list[str]) -> None:
        """A good token passes; one that was tampered with does not, nor one that was exchanged already."""
        good = tokens.pop(0)
        tampered = good[:-6] + ("AAAAAA" if good[-6:] != "AAAAAA" else "BBBBBB")
        refused = ask(port, self._request(tampered))
        if refused.status == 200 and refused.body != b"null":  # better-auth says null where there is no session
            raise AssertionError(f"a tampered token was accepted: {refused.body[:300]!r}")
        Chain(good, self._request, self._rotates, self._taken).hear(ask(port, self._request(good)))
        if self._rotates and ask(port, self._request(good)).status == 200:
            raise AssertionError("a token that was exchanged was accepted again")


def stagedoor(place: places.Place, seconds: float, clients: Sequence[int], most: int) -> dict[str, float]:
    """A turn of Stagedoor: so many sessions at the most for each number of clients."""
    found, known = {}, crowd.peppers()
    place.empty()
    port = places.free_port()
    with on_core(0):
        process = _started([sys.executable, HERE / "refresh_stagedoor.py", place.url, str(port)], peers.python_with_stagedoor())
    with _ended(process):
        _wait_for(port, process)
        rotated = 0
        with on_core(1):
            for number in clients:
                first = next(_NUMBERS) * 1_000_000 + 500_000
                numbers = range(first, first + (most if number > 1 else most // 4))
                place.fill(numbers)
                tokens = list(crowd.tokens(known, numbers))
                if not rotated:
                    rotated += _prove_stagedoor(port, tokens)
                left = iter(tokens)
                crowd_: list[Client] = [Fresh(left) for _ in range(number)]
                warm = load(port, crowd_, seconds / 4)
                reached = load(port, crowd_, seconds)
                rotated += len(warm.latencies) + len(reached.latencies)
                found |= {f"{number}": reached.rate, f"{number} p99": reached.p99}
            told = json.loads(ask(port, get("/told")).body)
    if told.get("refresh_rotated") != rotated:
        raise AssertionError(f"{rotated} answers, and of these Rotated: {told}")
    return found


def _prove_stagedoor(port: int, tokens: list[str]) -> int:
    """A good token passes, and once more for the same successor; one that was tampered with does not. How many rotated."""
    good, tampered = tokens.pop(), tokens[0][:60] + ("AA" if tokens[0][60:62] != "AA" else "BB") + tokens[0][62:]
    client = Fresh(iter([good]))
    request = client.ask() or b""
    answers = [ask(port, request), ask(port, request)]
    client.hear(answers[0])
    if len({json.loads(each.body)["refresh_token"] for each in answers}) != 1:
        raise AssertionError("a replay did not get the same successor")
    refused = ask(port, Fresh(iter([tampered])).ask() or b"")
    if refused.status != 400 or b"invalid_grant" not in refused.body:
        raise AssertionError(f"a tampered token was not refused: {refused}")
    return 1


def run(options: Options, folder: Path) -> list[Table]:
    """The table, and its bars."""
    clients = (1, 4) if options.smoke else CLIENTS
    seconds, most = (0.3, 1_500) if options.smoke else (2.0, 40_000)
    case = "http"
    told = Table("Refresh through HTTP", "rotations/s", also=["p99 ms"])
    ours = ["SQLite"] if options.smoke and not options.peers else list(places.MAKERS)
    with ExitStack() as stack:
        names = [f"Stagedoor, {name}" for name in ours]
        contestants: dict[str, Callable[[], dict[str, float]]] = {}
        found = {name: stack.enter_context(places.MAKERS[name](_folder(folder, name))) for name in ours}
        for name, place in zip(names, found.values(), strict=True):
            contestants[name] = partial(stagedoor, place, seconds, clients, most)
            told.versions |= place.versions
        if options.peers:
            for name, make in _others(found, folder).items():
                try:
                    peer, versions = make()
                except peers.Missing as why:
                    told.missing(name, why)
                    continue
                told.versions |= versions
                contestants[name] = partial(peer.turn, seconds, clients)
        reached = in_turns(contestants, options.rounds, options.log, case)
    for name, turns in reached.items():
        for number in clients:
            told.row(f"{name}, {number} {'client' if number == 1 else 'clients'}", [turn[f"{number}"] for turn in turns],
                     f"{statistics.median([turn[f'{number} p99'] for turn in turns]):.1f}")  # fmt: skip
    _hold(told, reached, clients)
    told.notes.append("better-auth's is a session that is prolonged, no rotation.")
    return [told]


def _hold(table: Table, reached: Mapping[str, Sequence[Mapping[str, float]]], clients: Sequence[int]) -> None:
    """The bars, with as many clients as keep the servers busy."""
    number = f"{clients[1]}"
    for ours, other, least in (
        ("Redis", OIDC_REDIS, 3.0),
        ("Redis", OIDC_REDIS_TUNED, 3.0),
        ("PostgreSQL", "simplejwt, PostgreSQL", 10.0),
        ("SQLite", "simplejwt, SQLite", 10.0),
    ):
        a, b = ([turn[number] for turn in reached.get(name, ())] for name in (f"Stagedoor, {ours}", other))
        table.bars.append(Bar(f"Stagedoor on {ours} beside {other}, {number} clients", ratio(a, b), at_least=least))


OIDC_REDIS, OIDC_REDIS_TUNED = "oidc-provider, Redis", "oidc-provider without id_token, Redis"


def _others(found: Mapping[str, places.Place], folder: Path) -> dict[str, Callable[[], tuple[Peer, dict[str, str]]]]:
    """The others by name, each made when its packages are here. peers.Missing."""
    urls = {"PostgreSQL": found["PostgreSQL"].url, "Redis": found["Redis"].url}
    made: dict[str, Callable[[], tuple[Peer, dict[str, str]]]] = {}
    for place in ("SQLite", "PostgreSQL"):
        made[f"simplejwt, {place}"] = partial(_django, "simplejwt", place, found["PostgreSQL"], folder)
        made[f"django-oauth-toolkit, {place}"] = partial(_django, "toolkit", place, found["PostgreSQL"], folder)
    made["oidc-provider, memory"] = partial(_oidc, ["memory", "openid"])
    made[OIDC_REDIS] = partial(_oidc, [urls["Redis"], "openid"])
    made[OIDC_REDIS_TUNED] = partial(_oidc, [urls["Redis"]])
    made["better-auth get-session, PostgreSQL"] = partial(_better_auth, found["PostgreSQL"])
    return made


def _django(peer: str, place: str, server: places.Place, folder: Path) -> tuple[Peer, dict[str, str]]:
    python = peers.environment("django")

    def start(port: int) -> tuple[subprocess.Popen[bytes], list[str]]:
        number = next(_NUMBERS)
        # Threads and all: what is fastest here for each of the two, of 1, 4 and 16.
        threads = "4" if place == "SQLite" else "16"
        database = str(folder / f"django-{number}.db") if place == "SQLite" else _database(server, f"django_{number}")
        environment = {**os.environ, "BENCH_DATABASE": database}
        command = [python, HERE / "refresh_django.py", "prepare", peer, str(_PREPARED)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(done.stderr[-2000:])
        command = [python, "-m", "gunicorn", "--chdir", HERE, "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"]
        command += ["--threads", threads, "--keep-alive", "30", "--log-level", "warning", "refresh_django:application"]
        return _started(command, environment), json.loads(done.stdout)

    request, member = (_simplejwt, "refresh") if peer == "simplejwt" else (partial(_oauth, "/o/token/"), "refresh_token")
    wanted = ("Django", "djangorestframework_simplejwt", "django-oauth-toolkit", "gunicorn")
    versions = {name: version for name, version in peers.versions("django").items() if name in wanted}
    return Peer(start, request, partial(_member, member)), versions


def _oidc(arguments: Sequence[str]) -> tuple[Peer, dict[str, str]]:
    start = _noded("refresh_oidc.mjs", lambda: arguments)
    return Peer(start, partial(_oauth, "/token"), partial(_member, "refresh_token")), _of_node("oidc-provider", "ioredis")


def _better_auth(server: places.Place) -> tuple[Peer, dict[str, str]]:
    start = _noded("refresh_better_auth.mjs", lambda: [_database(server, f"better_{next(_NUMBERS)}")])
    return Peer(start, _session, _renewed, rotates=False), _of_node("better-auth", "pg")


def _noded(script: str, arguments: Callable[[], Sequence[str]]) -> Server:
    """A server in JavaScript, which stands beside the packages that it imports while it runs. Its first line is its tokens."""
    node, beside = peers.node(), peers.modules().parent

    def start(port: int) -> tuple[subprocess.Popen[bytes], list[str]]:
        shutil.copy(HERE / script, beside / script)
        process = _started([node, beside / script, str(port), str(_PREPARED), *arguments()], {**os.environ, "NODE_ENV": "production"})
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise AssertionError(f"{script} did not start: {process.stderr.read()[-2000:] if process.stderr else b''!r}")
        return process, json.loads(line)

    return start


def _of_node(*names: str) -> dict[str, str]:
    return {name: version for name, version in peers.module_versions().items() if name in (*names, "Node.js")}


def _database(server: places.Place, name: str) -> str:
    """A new database of this server's; its URL."""
    url: str = server.server.database(f"{name}_{os.getpid()}")  # type: ignore[attr-defined]
    return url


def _folder(folder: Path, name: str) -> Path:
    made = folder / f"http-{name}"
    made.mkdir()
    return made


def _started(command: Sequence[str | Path], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(list(map(str, command)), env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The server ends with this."""
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    import socket

    until = time.monotonic() + _GIVE_UP
    while True:
        if process.poll() is not None:
            raise AssertionError(f"the server ended: {process.communicate()[1][-2000:]!r}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return

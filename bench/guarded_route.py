"""A guarded route, requests a second and p99 on one core: python -m bench guarded_route.

The server runs on the first core, the load on the second. Each server is started anew in each round, proves that it lets the good token
in and nothing else, and serves the guarded route, then the open one; Stagedoor's also with another token in each request. Beside it: the
guard's own time, measured inside a running server (bench/guard_time.py).
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import guard_time, peers
from bench.load import CONNECTIONS, Few, Load, Wrk
from bench.options import Options
from bench.served import Served
from bench.table import Table, short
from bench.token_file import MANY, SERVERS, THEIRS, USERNAME, UUID, ours, payload, signed, write_many
from bench.turns import in_turns

NAME = "guarded_route"
SUMMARY = "A guarded route: requests a second and p99 on one core, and the guard's own time"

WARM, GUARDED, OPEN = 1.0, 3.0, 2.0
"""Seconds."""
NEST = ("@nestjs/core", "@nestjs/passport", "passport-jwt", "@nestjs/platform-express", "@nestjs/platform-fastify")


@dataclass(frozen=True)
class Contestant:
    """One server: its environment, how it is started, the claims that its own tokens have beside those of the payload."""

    name: str
    environment: str
    command: Callable[[Path, int], list[str]]
    packages: Sequence[str]
    claims: Mapping[str, object] = field(default_factory=dict)
    path: str = "/guarded"
    ours: bool = False
    unchecked: frozenset[str] = frozenset()
    """Claims that it has no way to check."""
    refuses_with: int = 401
    """Its status for a bad token; for none at all it is 401."""

    def token(self, **claims: object) -> str:
        """A token of the common payload, changed by these claims."""
        return ours(**claims) if self.ours else signed(THEIRS, payload(**{**self.claims, **claims}))


def uvicorn(app: str) -> Callable[[Path, int], list[str]]:
    """On uvicorn, which takes uvloop and httptools where they are."""
    options = ("--no-access-log", "--log-level", "warning", "--host", "127.0.0.1", "--port")
    return lambda python, port: [str(python), "-m", "uvicorn", *options, str(port), f"{app}:app"]


def granian(app: str) -> Callable[[Path, int], list[str]]:
    """On Granian, with one worker."""
    options = ("--interface", "asgi", "--workers", "1", "--no-log", "--host", "127.0.0.1", "--port")
    return lambda python, port: [str(python), "-m", "granian", *options, str(port), f"{app}:app"]


def gunicorn(app: str) -> Callable[[Path, int], list[str]]:
    """On gunicorn: one worker with threads, which keeps connections open."""
    options = ("--workers", "1", "--worker-class", "gthread", "--threads", "4", "--log-level", "warning", "--bind")
    return lambda python, port: [str(python), "-m", "gunicorn", *options, f"127.0.0.1:{port}", f"{app}:app"]


def node(program: str, *words: str) -> Callable[[Path, int], list[str]]:
    """By Node.js, from a folder that has the packages: there it looks for them."""
    return lambda path, port: [str(path), program, str(port), *words]


def _ours() -> list[Contestant]:
    frameworks = {"FastAPI": "fastapi", "Starlette": "starlette", "Litestar": "litestar", "plain ASGI": "asgi"}
    return [
        Contestant(f"Stagedoor, {framework}, {server}", "asgi", on(f"stagedoor_{file}"), (package, server), ours=True)
        for framework, file in frameworks.items()
        for server, on in (("uvicorn", uvicorn), ("granian", granian))
        for package in ("cryptography" if file == "asgi" else file,)
    ]


def _others() -> list[Contestant]:
    access: dict[str, object] = {"type": "access", "fresh": False}
    simple: dict[str, object] = {"token_type": "access", "user_id": "1"}
    return [
        Contestant("FastAPI + PyJWT as in its tutorial, uvicorn", "asgi", uvicorn("pyjwt_fastapi"), ("PyJWT",)),
        Contestant("FastAPI + PyJWT as in its tutorial, granian", "asgi", granian("pyjwt_fastapi"), ("PyJWT",)),
        Contestant("FastAPI + PyJWT, tuned: one lean dependency, uvicorn", "asgi", uvicorn("pyjwt_fastapi_lean"), ("PyJWT",)),
        Contestant("Starlette + PyJWT, uvicorn", "asgi", uvicorn("pyjwt_starlette"), ("PyJWT",)),
        Contestant("Starlette + PyJWT, granian", "asgi", granian("pyjwt_starlette"), ("PyJWT",)),
        Contestant("Litestar + its JWTAuth, uvicorn", "asgi", uvicorn("litestar_jwt"), ("litestar",)),
        Contestant("Litestar + its JWTAuth, granian", "asgi", granian("litestar_jwt"), ("litestar",)),
        Contestant(
            "fastapi-users JWT, user from SQLite, uvicorn",
            "fastapi-users",
            uvicorn("fastapi_users_jwt"),
            ("fastapi-users",),
            {"sub": UUID},
            unchecked=frozenset({"iss"}),
        ),
        Contestant("AuthX, uvicorn", "authx", uvicorn("authx_fastapi"), ("authx",), access, refuses_with=422),
        Contestant(
            "Flask-JWT-Extended, gunicorn",
            "flask",
            gunicorn("flask_jwt_extended_app"),
            ("Flask", "Flask-JWT-Extended", "gunicorn"),
            access,
            refuses_with=422,
        ),
        Contestant(
            "DRF simplejwt, user from SQLite, gunicorn",
            "drf",
            gunicorn("simplejwt_drf"),
            ("Django", "djangorestframework", "djangorestframework_simplejwt", "gunicorn"),
            simple,
        ),
        Contestant("DRF simplejwt, tuned: stateless, gunicorn", "drf", gunicorn("simplejwt_drf"), ("Django",), simple, path="/stateless"),
        *(
            Contestant(f"NestJS + passport-jwt, {label}, {how}", "node", node("nest.mjs", platform, kind), NEST)
            for platform, label in (("express", "Express"), ("fastify", "Fastify"))
            for kind, how in (("string", "untuned: secret a string"), ("key", "tuned: secret a key object"))
        ),
        Contestant("Fastify + @fastify/jwt, no cache", "node", node("fastify.mjs", "plain"), ("fastify", "@fastify/jwt")),
        Contestant("Fastify + @fastify/jwt, tuned: its cache", "node", node("fastify.mjs", "cache"), ("fastify", "@fastify/jwt")),
    ]


OURS, OTHERS = _ours(), _others()
EXPRESS = "NestJS + passport-jwt, Express, tuned: secret a key object"
DEPENDENCIES_OF_TESTS = {f"Stagedoor, {framework}, uvicorn" for framework in ("FastAPI", "Starlette", "plain ASGI")}
"""Those that run where no peer is installed."""
BARS = [
    ("Stagedoor, FastAPI, uvicorn", "FastAPI + PyJWT as in its tutorial, uvicorn", 1.9),
    ("Stagedoor, FastAPI, granian", "FastAPI + PyJWT as in its tutorial, granian", 1.9),
    ("Stagedoor, Starlette, uvicorn", "Starlette + PyJWT, uvicorn", 2.5),
    ("Stagedoor, Starlette, granian", "Starlette + PyJWT, granian", 2.5),
    ("Stagedoor, FastAPI, uvicorn", EXPRESS, 1.9),
    ("Stagedoor, Starlette, granian", "NestJS + passport-jwt, Fastify, tuned: secret a key object", 1.4),
    ("Stagedoor, plain ASGI, granian", "Fastify + @fastify/jwt, tuned: its cache", 1.05),
]


def prove(server: Served, contestant: Contestant) -> None:
    """AssertionError unless it lets the good token in, and nobody else."""
    good, body = contestant.token(), [{"item_id": "Foo", "owner": USERNAME}]
    head, signature = good.rsplit(".", 1)
    bad = {
        "no token": None,
        "a tampered token": f"{head}.{signature[:20]}{'A' if signature[20] != 'A' else 'B'}{signature[21:]}",
        "an expired token": contestant.token(exp=1_700_000_000),
        "a token without a signature": f"{head}.",
        "a token of another issuer": contestant.token(iss="https://other.example"),
        "a token for another audience": contestant.token(aud="https://other.example"),
    }
    for claim, what in (("iss", "a token of another issuer"), ("aud", "a token for another audience")):
        if claim in contestant.unchecked:
            del bad[what]
    for what, text in bad.items():
        status = server.get(contestant.path, text)[0]
        if status not in (401, contestant.refuses_with if text else 401):
            raise AssertionError(f"{contestant.name} answers {status}, not 401, to {what}")
    for path, text in ((contestant.path, good), ("/open", None)):
        status, found = server.get(path, text)
        if status != 200 or json.loads(found) != body:
            raise AssertionError(f"{contestant.name} answers {status} {found[:200]!r} for {path}")


def serve(environment: str, command: Callable[[Path, int], list[str]], python: Path | None) -> Served:
    """A server of bench/servers, with this Python or that of its environment."""
    if environment == "node":
        files = {name: SERVERS / name for name in ("material.json", "nest.mjs", "fastify.mjs")}
        # Node looks for packages where a program lies: that is the folder with the links.
        variables = {
            **os.environ,
            "NO_COLOR": "1",
            "NODE_ENV": "production",
            "NODE_OPTIONS": "--preserve-symlinks --preserve-symlinks-main",
        }
        return Served(lambda port: command(peers.node(), port), variables, files | {"node_modules": peers.modules()})
    variables = peers.python_with_stagedoor()
    variables["PYTHONPATH"] += f"{os.pathsep}{SERVERS}"
    return Served(lambda port: command(python or peers.environment(environment), port), variables)


def a_turn(contestant: Contestant, load: Load, python: Path | None, many: Path, seconds: Sequence[float]) -> dict[str, float]:
    """A server from its start to its end: what it reached, and p99 in milliseconds."""
    warm, guarded, unguarded = seconds
    one = many.with_name("one")
    one.write_text(contestant.token())
    with serve(contestant.environment, contestant.command, python) as server:
        prove(server, contestant)
        load(server.url, warm, one, [contestant.path])
        found = {"guarded": load(server.url, guarded, one, [contestant.path]), "open": load(server.url, unguarded, one, ["/open"])}
        if contestant.ours:
            found["new"] = load(server.url, guarded, many, [contestant.path])
    return {f"{what}{suffix}": value for what, each in found.items() for suffix, value in (("", each.per_second), (" p99", each.p99))}


def rates(options: Options, turn: Callable[[Contestant], dict[str, float]]) -> Table:
    """Requests a second of all, and their bars."""
    made = Table(
        "A guarded route on one core, HS256",
        "requests/s",
        EXPRESS if options.peers else None,
        ["p99 ms", "open route/s", "guard µs", "new tokens/s", "new p99 ms"],
    )
    wanted = (OURS + OTHERS) if options.peers else [each for each in OURS if each.name in DEPENDENCIES_OF_TESTS]
    here, missing = [], {}
    for contestant in wanted:
        try:
            if options.peers:
                peers.wrk()
                made.versions |= _versions(contestant)
            here.append(contestant)
        except peers.Missing as why:
            missing[contestant.name] = why
    reached = in_turns({each.name: partial(turn, each) for each in here}, options.rounds, options.log, "rates")
    for contestant in wanted:
        if contestant.name in missing:
            made.missing(contestant.name, missing[contestant.name])
            continue
        found = reached[contestant.name]

        def median(of: Callable[[dict[str, float]], float], found: list[dict[str, float]] = found) -> float:
            return statistics.median(map(of, found))

        also = [f"{median(lambda f: f['guarded p99']):.2f}", short(median(lambda f: f["open"]))]
        also.append(f"{median(lambda f: 1e6 / f['guarded'] - 1e6 / f['open']):.1f}")
        if contestant.ours:
            also += [short(median(lambda f: f["new"])), f"{median(lambda f: f['new p99']):.2f}"]
        made.row(contestant.name, [each["guarded"] for each in found], *also)
    for of, to, at_least in BARS if options.peers else ():
        made.bar(f"{of} to {to}", made.ratio(of, to), at_least=at_least)
    made.notes += [
        f"wrk -t1 -c{CONNECTIONS}, one token again and again; new tokens: another one in each request, {MANY:,} in all.",
        "Guard µs: the difference of 1/requests a second of the two routes. Below 4 µs it is noise: see the guard's own time.",
        "Untuned: as the documentation shows it, where one line makes it much faster.",
        "Plain ASGI has no router; the others have, Fastify too.",
        "Before it is timed each refuses no token, a tampered, an expired and a foreign one, with 401; AuthX and Flask-JWT-Extended a bad "
        "token with 422; fastapi-users has no check of iss.",
    ]
    return made


def _versions(contestant: Contestant) -> dict[str, str]:
    known = peers.module_versions() if contestant.environment == "node" else peers.versions(contestant.environment)
    return {name: known[name] for name in ("Node.js" if contestant.environment == "node" else "Python", *contestant.packages)}


def run(options: Options) -> list[Table]:
    """Both tables."""
    load: Load = Wrk() if options.peers else Few()
    python = None if options.peers else Path(sys.executable)
    seconds = [0.1 if options.smoke else each for each in (WARM, GUARDED, OPEN)]
    with tempfile.TemporaryDirectory(prefix="stagedoor-bench-") as folder:
        many = write_many(Path(folder) / "many", 200 if options.smoke else MANY)
        turn = partial(a_turn, load=load, python=python, many=many, seconds=seconds)
        return [
            rates(options, turn),
            guard_time.table(options, lambda program: serve("asgi", uvicorn(program), python), load, many, seconds[1]),
        ]

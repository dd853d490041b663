"""Verify and sign: one token, in one process on one core, beside the libraries of Python and Node.js, with four algorithms.

All are given the same tokens and keys, and check signature, exp, iss and aud; Stagedoor also typ, the claims of RFC 9068 and what was
revoked. Each contestant is a process of its own on the same core, they are asked in turns, and what counts is the processor's time that
they had. Stagedoor and PyJWT run on the newest Python of this machine too, where ryjwt is, and are compared with it there.
"""

from __future__ import annotations

import secrets
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bench import machine, peers
from bench.libraries.asked import Asked
from bench.libraries.contestant import Given, Unsupported
from bench.options import Options
from bench.table import Table
from bench.turns import in_turns, is_due, once
from stagedoor import KeySet, Revocations, Verifier, jws
from stagedoor.keys import Key
from stagedoor.seen_tokens import HALF

NAME = "verify_sign"
SUMMARY = "Verify and sign: one token, one core, beside the libraries of Python and Node.js"
ROOT = Path(__file__).resolve().parents[1]
ISSUER, AUDIENCE = "https://auth.example", "https://api.example"
ALGORITHMS = {"HS256": "HS256", "ES256": "ES256", "RS256": "RS256 (2048 bits)", "EdDSA": "Ed25519"}
OURS, LIMIT, PYJWT, CACHE = "Stagedoor", "limit: bare signature", "PyJWT, key object", "fast-jwt, cache"
CACHE_IDENTITY = "fast-jwt, cache keyed by the token"
HERE, NEWEST, NODE = "python-jwt", "newest-jwt", "node"
AFTER = " (newest Python)"
FEW, MANY = 200, 100_000
"""Tokens that a Verifier is shown to see what it remembers, and as many again to see whether that is bounded."""


class Entry(NamedTuple):
    """A contestant: its row's name, its library in bench/libraries, how it is set up, and where it runs."""

    name: str
    library: str
    variant: str = ""
    where: str = HERE
    remembers: bool = False
    """Whether it has a row among those who have seen the token before."""


ENTRIES = (
    Entry(LIMIT, "limit", remembers=True),
    Entry(OURS, "ours", remembers=True),
    Entry("Stagedoor, and all claims read", "ours", "read", remembers=True),
    Entry("PyJWT", "pyjwt"),
    Entry(PYJWT, "pyjwt", "object"),
    Entry("joserfc", "joserfc"),
    Entry("Authlib", "authlib"),
    Entry("Authlib, key object", "authlib", "object"),
    Entry("python-jose", "python_jose"),
    Entry("python-jose, key object", "python_jose", "object"),
    Entry("jwcrypto", "jwcrypto"),
    Entry(LIMIT + AFTER, "limit", "", NEWEST, remembers=True),
    Entry(OURS + AFTER, "ours", "", NEWEST, remembers=True),
    Entry(PYJWT + AFTER, "pyjwt", "object", NEWEST),
    Entry("ryjwt" + AFTER, "ryjwt", "", NEWEST, remembers=True),
    Entry("ryjwt, into a Struct" + AFTER, "ryjwt", "struct", NEWEST, remembers=True),
    Entry("limit: bare signature (Node.js)", "limit", "", NODE),
    Entry("jsonwebtoken, text or PEM", "jsonwebtoken", "", NODE),
    Entry("jsonwebtoken, KeyObject", "jsonwebtoken", "object", NODE),
    Entry("fast-jwt", "fast-jwt", "", NODE),
    Entry(CACHE, "fast-jwt", "cache", NODE, remembers=True),
    Entry(CACHE_IDENTITY, "fast-jwt", "identity", NODE, remembers=True),
    Entry("jose", "jose", "", NODE),
    Entry("jose, CryptoKey", "jose", "object", NODE),
)
ALONE = {LIMIT, OURS, "Stagedoor, and all claims read"}
"""Who runs where no peers are wanted, on this very Python."""


class Material(NamedTuple):
    """One algorithm's key and tokens."""

    given: Given
    tokens: list[str]
    payloads: list[dict[str, Any]]
    good: str
    bad: dict[str, str]


def key_texts(alg: str) -> tuple[str, str]:
    """A fresh private key and its public half, in PEM; empty for a secret."""
    if alg == "HS256":
        return "", ""
    private: Any
    if alg == "RS256":
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    else:
        private = ec.generate_private_key(ec.SECP256R1()) if alg == "ES256" else ed25519.Ed25519PrivateKey.generate()
    closed = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    opened = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return closed.decode(), opened.decode()


def key_of(given: Given) -> Key:
    """The key that signs."""
    if given.is_secret:
        return Key.from_secret(given.secret.encode(), given.alg, kid=given.kid)
    return Key.from_pem(given.private.encode(), given.alg, kid=given.kid)


def payload(n: int, moment: int, **other: Any) -> dict[str, Any]:
    """The same for all contestants, with a `jti` and a `sid` of its own."""
    random = urlsafe_b64encode(secrets.token_bytes(32)).decode()
    members = {
        "sub": f"user-{n}",
        "username": "ada",
        "iat": moment,
        "exp": moment + 24 * 3600,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "client_id": AUDIENCE,
        "jti": random[:22],
        "sid": urlsafe_b64encode(secrets.token_bytes(16)).decode()[:22],
        "auth_time": moment,
    }
    return {**members, **other}


def material(alg: str, number: int) -> Material:
    """Tokens that nobody has seen, and those that all must refuse."""
    closed, opened = key_texts(alg)
    given = Given(alg, secrets.token_urlsafe(32), closed, opened, secrets.token_urlsafe(12), ISSUER, AUDIENCE)
    key, moment = key_of(given), int(time.time())

    def signed(said: dict[str, Any]) -> str:
        return jws.sign(key, "at+jwt", said)

    payloads = [payload(n, moment) for n in range(number)]
    good = signed(payload(0, moment))
    head, body, signature = good.split(".")
    _, richer, _ = signed(payload(1, moment)).split(".")
    bad = {
        "another payload under this signature": f"{head}.{richer}.{signature}",
        "a changed signature": f"{head}.{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}",
        "expired": signed(payload(0, moment, exp=moment - 60)),
        "of another issuer": signed(payload(0, moment, iss="https://elsewhere.example")),
        "for another audience": signed(payload(0, moment, aud="https://other.example")),
    }
    return Material(given, [signed(each) for each in payloads], payloads, good, bad)


def command(entry: Entry, options: Options) -> list[str | Path]:
    """What starts the worker of this contestant. Missing where it is not to be had."""
    if entry.where == NODE:
        return [peers.node(), ROOT / "bench/libraries/worker.mjs", peers.modules(), entry.library]
    python: str | Path = peers.environment(entry.where) if options.peers else sys.executable
    return [python, "-W", "ignore", "-m", "bench.libraries.worker", entry.library]


@contextmanager
def workers(entries: list[Entry], made: Material, options: Options) -> Iterator[tuple[dict[str, Asked], dict[str, str]]]:
    """All that are to be had, on one core, each having proved that it does the work; and why the others are not."""
    there: dict[str, Asked] = {}
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        for entry in entries:
            try:
                with machine.on_core(0):
                    asked = stack.enter_context(Asked(command(entry, options), {**peers.python_with_stagedoor()}))
                asked.ask("prepare", variant=entry.variant, given=asdict(made.given), tokens=made.tokens, payloads=made.payloads)
                prove(entry.name, asked, made)
            except (peers.Missing, Unsupported) as error:
                missing[entry.name] = str(error)
                continue
            there[entry.name] = asked
        yield there, missing


def prove(name: str, asked: Asked, made: Material) -> None:
    """That it accepts the good token and refuses all others, twice each, and that what it signs holds."""
    proved = asked.ask("prove", good=made.good, bad=made.bad)
    wrong = set(proved["accepted"])
    if not proved["judges_claims"]:
        wrong -= {"expired", "of another issuer", "for another audience"}
    if wrong:
        raise AssertionError(f"{name} accepts a token that is {', '.join(sorted(wrong))}: what it does is not what is measured")
    if proved["signed"]:
        trusting = Verifier(ISSUER, audience=AUDIENCE, keys=KeySet(key_of(made.given)), revocations=Revocations.until_expiry())
        if trusting.verify(proved["signed"]).claims["username"] != "ada":
            raise AssertionError(f"{name} signs something else")


def measured(alg: str, options: Options) -> tuple[dict[str, dict[str, list[float]]], dict[str, str], dict[str, float]]:
    """By case what each reached; why others are missing; and what a token takes that is remembered."""
    number, few, seconds = (20, 5, 0.0) if options.smoke else (1000, 200, 0.15)
    entries = [entry for entry in ENTRIES if options.peers or entry.name in ALONE]
    asks: dict[str, tuple[list[Entry], dict[str, Any]]] = {
        "new": ([each for each in entries if each.name not in (CACHE, CACHE_IDENTITY)], {}),
        "sign": ([each for each in entries if each.variant not in ("read", "cache", "identity")], {}),
    }
    if alg == "HS256":
        for some in (number, 1):
            asks[f"seen, {some}"] = ([each for each in entries if each.remembers], {"tokens": some})
    made = material(alg, number)
    made = made._replace(payloads=made.payloads[:few])
    cases: dict[str, dict[str, list[float]]] = {}
    memory: dict[str, float] = {}
    with workers(entries, made, options) as (there, missing):
        for case, (wanted, words) in asks.items():
            what = case.partition(",")[0]

            def turn(name: str, what: str, words: dict[str, Any]) -> float:
                return float(there[name].ask(what, seconds=seconds, **words)["µs"])

            contestants = {each.name: partial(turn, each.name, what, words) for each in wanted if each.name in there}
            if is_due(contestants, options.rounds, options.log, f"{alg}, {case}"):
                for warm in contestants.values():  # what V8 compiles only after thousands of calls is compiled in a server that runs
                    warm()
            cases[case] = in_turns(contestants, options.rounds, options.log, f"{alg}, {case}")
        if alg == "HS256":
            memory = once(lambda: there[OURS].ask("memory", tokens=FEW if options.smoke else MANY), options.log, "memory")
    return cases, missing, memory


def table(title: str, entries: list[Entry], reached: dict[str, list[float]], missing: dict[str, str], unit: str) -> Table:
    """Every contestant's row, in their order, figures or the reason."""
    made = Table(title, unit, OURS)
    for entry in entries:
        if entry.name in reached:
            made.row(entry.name, reached[entry.name])
        elif entry.name in missing:
            made.missing(entry.name, missing[entry.name])
    return made


def of_new(alg: str, reached: dict[str, list[float]], missing: dict[str, str]) -> Table:
    """A token that nobody has seen."""
    made = table(f"Verify {ALGORITHMS[alg]}, a token never seen before", list(ENTRIES), reached, missing, "µs a token")
    to_limit = made.ratio(OURS, LIMIT)
    if alg == "HS256":
        made.bar("PyJWT with its key ready takes", made.ratio(PYJWT, OURS), at_least=8)
        made.bar("fast-jwt without cache takes", made.ratio("fast-jwt", OURS), at_least=3)
        made.bar("Stagedoor takes, of the bare hmac.digest", to_limit, at_most=3)
    else:
        made.bar("Stagedoor takes, of the bare check", to_limit, at_most=1.25 if alg == "RS256" else 1.10)
    made.notes.append("Not remembered: each pass over the tokens has a Verifier and a key of its own, and texts that are new objects.")
    return made


def of_seen(number: int, reached: dict[str, list[float]], missing: dict[str, str]) -> Table:
    """A token that was seen before."""
    title = "Verify HS256, one token again and again" if number == 1 else f"Verify HS256, {number:,} tokens that were all seen before"
    made = table(title, [each for each in ENTRIES if each.remembers], reached, missing, "µs a token")
    if number > 1:
        made.bar("Stagedoor takes, of the bare hmac.digest", made.ratio(OURS, LIMIT), at_most=0.35)
        made.bar("fast-jwt with its cache takes", made.ratio(CACHE, OURS), at_least=6)
        made.bar("ryjwt takes, on the newest Python", made.ratio("ryjwt" + AFTER, OURS + AFTER), at_least=2)
    made.notes.append(
        "Stagedoor looks at the time and at what was revoked each time. ryjwt and the bare signature remember nothing. fast-jwt keys its "
        "cache by a hash of the token; its documentation says that keying it by the token is faster, and what that risks."
    )
    return made


def of_signing(alg: str, reached: dict[str, list[float]], missing: dict[str, str]) -> Table:
    """A new token signed."""
    entries = [each for each in ENTRIES if each.name in reached or (each.name in missing and not each.remembers)]
    made = table(f"Sign {ALGORITHMS[alg]}", entries, reached, missing, "µs a token")
    if alg == "HS256":
        made.bar("PyJWT with its key ready takes", made.ratio(PYJWT, OURS), at_least=5)
    else:
        made.bar("Stagedoor takes, of the bare signature", made.ratio(OURS, LIMIT), at_most=1.20)
    return made


def of_memory(memory: dict[str, float], number: int) -> Table:
    """What remembering costs."""
    made = Table("What a Verifier remembers", "bytes, the text of tokens included, as Python counts")
    made.row("a token that was verified", [memory["bytes a token"]])
    most = 2 * HALF / memory["characters a token"]  # two generations
    made.row("the most that it remembers", [most * memory["bytes a token"]])
    first, second = memory["after"], memory["after twice as many"]
    made.notes.append(f"After {number:,} different tokens {first / 1e6:.2f} MB, after {2 * number:,} {second / 1e6:.2f} MB.")
    made.bar("bytes a token", memory["bytes a token"], at_most=1300, unit=" B")
    if number >= MANY:  # as many as a cache may hold say nothing of its bound
        # Next to nothing may be twice next to nothing: a tenth of a megabyte is.
        made.bar("bounded: memory after twice as many tokens", max(second, 1e5) / max(first, 1e5), at_most=1.05)
    return made


def versions(options: Options) -> dict[str, str]:
    """Who took part."""
    found: dict[str, str] = {}
    wanted = ("Python", "PyJWT", "joserfc", "Authlib", "python-jose", "jwcrypto", "ryjwt", "cryptography", "msgspec", "pybase64")
    for where, after in ((HERE, ""), (NEWEST, AFTER)) if options.peers else ():
        try:
            found |= {f"{name}{after}": version for name, version in peers.versions(where).items() if name in wanted}
        except peers.Missing:
            continue
    try:
        listed = peers.module_versions() if options.peers else {}
    except peers.Missing:
        listed = {}
    return found | {name: version for name, version in listed.items() if name in ("Node.js", "jsonwebtoken", "fast-jwt", "jose")}


def run(options: Options) -> list[Table]:
    """A table of new tokens and one of signing for each algorithm, two of tokens that were seen, and one of memory."""
    tables: list[Table] = []
    for alg in ALGORITHMS:
        cases, missing, memory = measured(alg, options)
        new = of_new(alg, cases.pop("new"), missing)
        if alg != "HS256" and not options.smoke and new.ratio(OURS, LIMIT) < 0.8:
            raise AssertionError(f"{alg}: faster than the bare signature, so these tokens were not new")
        signing = of_signing(alg, cases.pop("sign"), missing)
        seen = [of_seen(int(case.partition(", ")[2]), reached, missing) for case, reached in cases.items()]
        tables += [new, *seen, *([of_memory(memory, FEW if options.smoke else MANY)] if memory else []), signing]
    tables[0].versions = versions(options)
    return tables

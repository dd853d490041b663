"""Where Stagedoor and the others may differ, and why: what is not explained here is a mistake of somebody's.

Never knows how a case was made. Each rule holds for one direction, for some of the others, under a predicate on the token's text or the
keys, and, where we refuse, only with the codes that it names. A rule with `law` says more: under its predicate we must refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from fuzz.cases import Case
from fuzz.facts import Facts
from fuzz.judges import Verdict
from fuzz.keys_rules import KEY_RULES
from fuzz.rule import JOSERFC, PYJWT, Rule

_BOTH = (PYJWT, JOSERFC)
_MALFORMED = ("token_malformed",)
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+( [\x21\x23-\x5B\x5D-\x7E]+)*")
_LATEST = 2**53
_LEEWAY = 10
_THEIR_HEADERS = {"alg", "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty", "crit", "b64"}


def _typ(facts: Facts) -> bool:
    typ = facts.header.members.get("typ")
    return not isinstance(typ, str) or typ.lower().removeprefix("application/") != facts.typ


def _odd_time(name: str) -> Callable[[Facts], bool]:
    def odd(facts: Facts) -> bool:
        value = facts.claims.members.get(name, 0)
        return type(value) is not int or not 0 <= value <= _LATEST

    return odd


def _odd_text(facts: Facts) -> bool:
    members = facts.claims.members
    names = ("sub", "client_id", "jti", "sid") if facts.access else {"sub", "jti"} & members.keys()
    return any(type(members.get(name)) is not str or not members[name] for name in names)


def _odd_scope(facts: Facts) -> bool:
    scope = facts.claims.members.get("scope", "")
    return facts.access and (not isinstance(scope, str) or (scope != "" and not _SCOPE.fullmatch(scope)))


def _empty_audience(facts: Facts) -> bool:
    named = facts.claims.members.get("aud")
    return isinstance(named, list) and "" in named


def _soon(facts: Facts) -> bool:
    times = [facts.claims.members.get(name) for name in ("iat", "nbf")]
    return any(type(time) is int and int(facts.now) < time <= facts.now + _LEEWAY for time in times)


def _their_type(facts: Facts) -> bool:
    """A header parameter that we ignore has another type than its RFC says."""
    members = facts.header.members
    for name in ("jku", "x5u"):
        value = members.get(name, "https://")
        if not isinstance(value, str) or not value.startswith(("http://", "https://")):
            return True
    texts = members.get("x5c", [])
    return (
        not isinstance(members.get("jwk", {}), dict)
        or not isinstance(texts, list)
        or not all(isinstance(text, str) for text in texts)
        or not all(isinstance(members.get(name, ""), str) for name in ("x5t", "x5t#S256", "cty"))
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "a name twice",
        _BOTH,
        lambda facts: any(part.twice for part in facts.parts),
        "Two readers could take two values. RFC 7515 section 4 and RFC 7519 section 4 let a verifier refuse; the others take the last.",
        _MALFORMED,
        law=True,
    ),
    Rule(
        "padding",
        (PYJWT,),
        lambda facts: any(spelling.endswith("=") for spelling in facts.spellings),
        "base64url has none in a JWS (RFC 7515 section 2); one token has one text.",
        _MALFORMED,
        law=True,
    ),
    Rule(
        "not UTF-8",
        _BOTH,
        lambda facts: any(part.encoding != "utf-8" or part.raw_surrogate for part in facts.parts),
        "UTF-16, UTF-32, a byte order mark and encoded surrogates are no JSON on the wire (RFC 8259 section 8.1, RFC 8725 section 3.7).",
        _MALFORMED,
        law=True,
    ),
    Rule(
        "half a surrogate pair",
        _BOTH,
        lambda facts: any(part.surrogate for part in facts.parts),
        "No UTF-8 can carry such a text any further, into a log or a store (RFC 8259 section 8.2).",
        _MALFORMED,
        law=True,
    ),
    Rule(
        "NaN or Infinity",
        _BOTH,
        lambda facts: any(part.constant for part in facts.parts),
        "They are no JSON (RFC 8259 section 6).",
        _MALFORMED,
        law=True,
    ),
    Rule(
        "number too long or too large",
        _BOTH,
        lambda facts: any(part.long or part.infinite for part in facts.parts),
        "Over 32 characters, or beyond what a double holds: readers would not agree on its value (RFC 8259 section 6).",
        _MALFORMED,
        law=True,
    ),
    Rule(
        "nested too deeply",
        _BOTH,
        lambda facts: any(part.deep for part in facts.parts),
        "Over 16 levels; RFC 8259 section 9 allows a limit.",
        _MALFORMED,
        law=True,
    ),
    Rule(
        "crit or b64",
        _BOTH,
        lambda facts: not {"crit", "b64"}.isdisjoint(facts.header.members),
        "We understand no extension, so whatever says that one matters is refused (RFC 7515 section 4.1.11, RFC 7797).",
        _MALFORMED,
        law=True,
    ),
    Rule(
        "over 8 KiB",
        _BOTH,
        lambda facts: len(facts.case.token) > 8192,
        "A limit before anything is parsed: strangers cause no work (CVE-2025-30204, CVE-2026-48525).",
        _MALFORMED,
        law=True,
    ),
    Rule(
        "typ",
        _BOTH,
        _typ,
        "A token of one kind must not pass for another (RFC 8725 section 3.11, RFC 9068 section 4). The others leave `typ` to the caller.",
        ("claim_rejected:typ", "token_malformed"),
        law=True,
    ),
    Rule(
        "no kid",
        (JOSERFC,),
        lambda facts: "kid" not in facts.header.members,
        "We find a key by `kid` alone, unless an issuer's entry says that its tokens have none; joserfc takes the only key of a set.",
        ("key_unknown",),
        law=True,
    ),
    *(
        Rule(
            f"{name} is no whole number",
            _BOTH if name != "auth_time" else (PYJWT, JOSERFC),
            _odd_time(name),
            "A time is a whole number of seconds from 0 to 2**53. PyJWT converts texts, floats and booleans, joserfc takes floats and any "
            "size (RFC 7519 section 2 allows a fraction; nobody needs one).",
            (f"claim_rejected:{name}",),
            law=name != "auth_time",
        )
        for name in ("exp", "iat", "nbf", "auth_time")
    ),
    Rule(
        "a required text is none",
        _BOTH,
        _odd_text,
        "sub, client_id, jti and sid are texts with something in them (RFC 7519 section 4.1, RFC 9068 section 2.2). The others check that "
        "those asked for are there, and the type of sub and jti.",
        ("claim_rejected:sub", "claim_rejected:client_id", "claim_rejected:jti", "claim_rejected:sid"),
        law=True,
    ),
    Rule(
        "scope is no list of scopes",
        _BOTH,
        _odd_scope,
        "RFC 6749 section 3.3 says which characters there are, with one space between; the others do not read `scope`.",
        ("claim_rejected:scope",),
        law=True,
    ),
    Rule(
        "an empty audience",
        _BOTH,
        _empty_audience,
        "Each name in `aud` has something in it (RFC 7519 section 4.1.3: a StringOrURI).",
        ("claim_rejected:aud",),
        law=True,
    ),
    Rule(
        "bound to a key",
        _BOTH,
        lambda facts: facts.access and "cnf" in facts.claims.members,
        "To take a sender-bound token as a plain bearer token would undo the binding (RFC 7800 section 3, RFC 9449 section 7.2).",
        ("claim_rejected:cnf",),
        law=True,
    ),
    Rule(
        "iat or nbf a few seconds ahead",
        _BOTH,
        _soon,
        "Clocks differ: we allow 10 s (RFC 7519 sections 4.1.5 and 4.1.6). The others were told to allow none.",
    ),
    Rule(
        "Ed25519 by its new name",
        (PYJWT,),
        lambda facts: facts.header.members.get("alg") == "Ed25519",
        "RFC 9864 section 2.2 deprecates `EdDSA`; PyJWT knows no other name.",
    ),
    Rule(
        "a long header",
        (JOSERFC,),
        lambda facts: len(facts.spellings[0]) > 512,
        "joserfc takes 512 characters of a header; our limit is the token's.",
    ),
    Rule(
        "unknown header parameters",
        (JOSERFC,),
        lambda facts: not _THEIR_HEADERS.issuperset(facts.header.members),
        "What is not understood is ignored (RFC 7515 section 4), unless `crit` names it.",
    ),
    Rule(
        "an unused header parameter of an odd type",
        (JOSERFC,),
        _their_type,
        "jku, jwk, x5u, x5c, x5t and cty are never looked at: there is nothing in them to believe (RFC 8725 section 3.10).",
    ),
    *KEY_RULES,
)
"""In this order the first that holds explains a difference."""
_KEY_LAWS = tuple(rule for rule in KEY_RULES if rule.law)
_TOKEN_LAWS = tuple(rule for rule in RULES if rule.law and rule not in KEY_RULES)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a judge differs from us. `rule` is None where nothing explains it."""

    other: str
    rule: str | None
    what: str


def compare(case: Case, ours: Verdict, others: dict[str, Verdict]) -> list[Difference]:
    """All that is to be said about one case."""
    found = []
    facts = Facts(case)
    if ours.crash:
        found.append(Difference("stagedoor", None, f"it raised {ours.why}"))
    for other, theirs in others.items():
        if ours.accepted != theirs.accepted:
            rule = next((rule for rule in RULES if rule.explains(facts, other, ours)), None)
            found.append(Difference(other, rule and rule.name, f"we say {ours.why}, {other} says {theirs.why}"))
        elif ours.accepted and repr(ours.payload) != repr(theirs.payload):
            found.append(Difference(other, None, f"we read another payload than {other}"))
    if ours.accepted:
        laws = _TOKEN_LAWS if case.given.form == "set" else _TOKEN_LAWS + _KEY_LAWS
        found += [Difference("law", None, f"we accept it in spite of the rule {rule.name!r}") for rule in laws if rule.holds(facts)]
    return found

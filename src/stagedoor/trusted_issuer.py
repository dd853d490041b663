"""TrustedIssuer: an issuer whose tokens are accepted, with its keys and what its tokens must say of themselves; and the keys of several.

Never knows a payload: whose token it is, the name of its key says, before the signature, and never what the token says of its issuer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import cast

from stagedoor.algorithms import Algorithm
from stagedoor.claims import ABSENT, ACCESS_TOKEN_TYP, Absent
from stagedoor.errors import AuthError, KeySetUnavailable, UnknownKey
from stagedoor.jws import KeyFinder
from stagedoor.keyset import KeySet

_OR_ABSENT = "a text, several, or ABSENT"


@dataclass(frozen=True, slots=True)
class Expected:
    """What the access tokens of one issuer must say of themselves. ABSENT: they must lack it."""

    issuer: str | Absent
    audience: frozenset[str] | Absent
    typ: frozenset[str] | Absent = frozenset({ACCESS_TOKEN_TYP})
    """The kinds, in lower case, without the media type's prefix."""
    complete: bool = True
    """Whether `client_id`, `iat`, `jti`, `sid` and `auth_time` must be there, as they are in each token of Stagedoor's own."""
    numeric_subject: bool = False
    """Whether `sub` is a whole number, and never a text."""
    usual: tuple[str, dict[object, tuple[str, ...]], frozenset[str | None], type] = field(init=False, compare=False, repr=False)
    """The same for who is in a hurry: issuer, each `aud` with all that it names, kinds, type of `sub`; "", () and None for ABSENT."""

    def __post_init__(self) -> None:
        issuer = "" if self.issuer is ABSENT else self.issuer
        audience: dict[object, tuple[str, ...]] = {(): ()} if self.audience is ABSENT else {name: (name,) for name in self.audience}
        kinds: frozenset[str | None] = frozenset({None}) if self.typ is ABSENT else frozenset(self.typ)
        object.__setattr__(self, "usual", (issuer, audience, kinds, int if self.numeric_subject else str))


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """One issuer whose access tokens a verifier accepts: `Verifier.of(TrustedIssuer(…), TrustedIssuer(…), revocations=…)`.

    `issuer` is the exact `iss`; `audience` what this application is called in `aud`, one name or several; `typ` the kind in the header
    (RFC 8725 section 3.11), one or several, such as "at+jwt" (RFC 9068) or "JWT". Each is a text or ABSENT, which is an expectation like
    the others: the token must lack it. `keys`, a KeySet or a RemoteKeySet, verify this issuer's tokens and no other's. `kid=ABSENT`: its
    tokens name no key, and its KeySet has exactly one. `numeric_subject=True`: `sub` is a whole number from 0 to 2**53 - 1, never a text,
    and arrives as its decimal text. TypeError, ValueError for what cannot be expected.
    """

    issuer: str | Absent
    _: KW_ONLY
    audience: str | Iterable[str] | Absent
    keys: KeyFinder
    typ: str | Iterable[str] | Absent = ACCESS_TOKEN_TYP
    kid: Absent | None = None
    numeric_subject: bool = False

    def __post_init__(self) -> None:
        if self.issuer is not ABSENT and not (isinstance(self.issuer, str) and self.issuer):
            raise ValueError("issuer: the exact iss, or ABSENT")
        if self.audience is not ABSENT:
            object.__setattr__(self, "audience", texts("audience", self.audience, _OR_ABSENT))
        if self.typ is not ABSENT:
            kinds = frozenset(kind.lower().removeprefix("application/") for kind in texts("typ", self.typ, _OR_ABSENT))
            if not all(kind and "/" not in kind for kind in kinds):
                raise ValueError("typ: the kind of token, such as 'at+jwt' or 'JWT', or ABSENT")
            object.__setattr__(self, "typ", kinds)
        if self.kid is not ABSENT and self.kid is not None:
            raise TypeError("kid: ABSENT, or left out: which ones there are the keys know")
        check_finder(self.keys)
        if self.kid is ABSENT and not isinstance(self.keys, KeySet):
            raise TypeError("kid=ABSENT: hand over a KeySet of exactly one key")
        if type(self.numeric_subject) is not bool:
            raise TypeError("numeric_subject: True or False")

    @property
    def expected(self) -> Expected:
        """What a token of this issuer must say of itself."""
        return Expected(
            self.issuer,
            cast("frozenset[str] | Absent", self.audience),  # as __post_init__ left them
            cast("frozenset[str] | Absent", self.typ),
            complete=False,
            numeric_subject=self.numeric_subject,
        )


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key, and what the tokens that it signed must say of themselves."""

    kid: str
    algorithm: Algorithm
    holds: Callable[[bytes, str], bool]
    expected: Expected


Asked = tuple[KeyFinder, AuthError]
"""Whose keys were asked, and why they are not the answer."""


class TrustedKeys:
    """The keys of several issuers, each with what is expected of its tokens. Frozen once made.

    ValueError where it could not be said whose a token is: two KeySets with one `kid`, two issuers with `kid=ABSENT`, or such a one whose
    KeySet has not exactly one key at this moment.
    """

    def __init__(self, issuers: Sequence[TrustedIssuer], now: float) -> None:
        if not issuers:
            raise ValueError("a verifier needs at least one issuer")
        if not all(isinstance(issuer, TrustedIssuer) for issuer in issuers):
            raise TypeError("Verifier.of takes TrustedIssuer objects")
        nameless = [issuer for issuer in issuers if issuer.kid is ABSENT]
        if len(nameless) > 1:
            raise ValueError("kid=ABSENT: of one issuer at the most")
        self._named = tuple((issuer.keys, issuer.expected) for issuer in issuers if issuer.kid is not ABSENT)
        self._nameless = tuple((cast(KeySet, issuer.keys), issuer.expected) for issuer in nameless)
        self._check_names()
        if nameless and self._only_key(now) is None:
            raise ValueError("kid=ABSENT: a KeySet of exactly one key; with more it could not be said which is meant")

    def find(self, id_: object, now: float) -> TrustedKey | None:
        """The key of this `kid`, of the first issuer that has one; without a `kid`, the one key of the issuer with `kid=ABSENT`.

        KeySetUnavailable where no issuer has it and the keys of one could not be had: it may be theirs.
        """
        if id_ is None:
            return self._only_key(now)
        asked: list[Asked] = []
        for keys, expected in self._in_order(id_):
            try:
                key = keys.find(id_, now)
            except KeySetUnavailable as error:  # the others' tokens go on being good
                asked.append((keys, error))
            else:
                if key is not None:
                    return TrustedKey(key.kid, key.algorithm, key.holds, expected)
                asked.append((keys, UnknownKey(kid=str(id_))))
        if any(isinstance(error, KeySetUnavailable) for _, error in asked):
            raise _SomeUnavailable(asked)
        return None

    async def learn(self, error: AuthError) -> bool:
        """Ask all whose keys can change for what `find` did not know, at one time; whether any learned something.

        What one of them raises is raised where no other learned anything.
        """
        if isinstance(error, UnknownKey) and error.kid is None:
            return False  # a token that names no key: whoever has the key does not fetch
        missing = error.asked if isinstance(error, _SomeUnavailable) else [(keys, error) for keys, _ in self._named]
        asks = [(getattr(keys, "learn", None), own) for keys, own in missing]
        answers = await asyncio.gather(*(learn(own) for learn, own in asks if learn is not None), return_exceptions=True)
        if any(answer is True for answer in answers):
            return True
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return False

    def _in_order(self, id_: object) -> Iterator[tuple[KeyFinder, Expected]]:
        """As given; but keys that would have to be fetched come last: nobody waits for the keys of another's issuer."""
        late = []
        for keys, expected in self._named:
            knows = getattr(keys, "knows", None)
            if knows is None or knows(id_):
                yield keys, expected
            else:
                late.append((keys, expected))
        yield from late

    def _only_key(self, now: float) -> TrustedKey | None:
        for keys, expected in self._nameless:
            accepted = [entry.value for entry in keys.entries() if entry.ends is None or now < entry.ends]
            if len(accepted) == 1:
                return TrustedKey(accepted[0].kid, accepted[0].algorithm, accepted[0].holds, expected)
        return None

    def _check_names(self) -> None:
        taken: set[object] = set()
        for keys, _ in self._named:
            names = {entry.id for entry in keys.entries()} if isinstance(keys, KeySet) else set()
            if not taken.isdisjoint(names):
                raise ValueError(f"two issuers have a key of one kid: {', '.join(sorted(map(str, taken & names)))}")
            taken |= names


class _SomeUnavailable(KeySetUnavailable):
    """No issuer has the key, and the keys of one could not be had. Holds what each of them would have said alone."""

    def __init__(self, asked: list[Asked]) -> None:
        waits = [error.retry_after for _, error in asked if isinstance(error, KeySetUnavailable)]
        super().__init__("no issuer has a key of this kid, and the keys of one could not be had", retry_after=min(waits))
        self.asked = asked


def texts(name: str, value: str | Iterable[str], choice: str = "a text, or several") -> frozenset[str]:
    """One text or several, as a set. ValueError where there is none, an empty one or something else among them; TypeError for no text."""
    if not isinstance(value, Iterable):
        raise TypeError(f"{name}: {choice}")
    found = frozenset({value} if isinstance(value, str) else value)
    if not found or not all(isinstance(each, str) and each for each in found):
        raise ValueError(f"{name}: {choice}")
    return found


def check_finder(keys: object) -> None:
    """TypeError where this knows no keys: a text or bytes most of all, which is no key set yet."""
    if isinstance(keys, str | bytes | type) or not callable(getattr(keys, "find", None)):
        raise TypeError("keys: hand over a KeySet, or a RemoteKeySet(url); without keys nothing can be verified")

"""Contestant: what every library is asked to do, from what it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


class Unsupported(Exception):
    """What a library cannot do, in its own words or ours."""


@dataclass(frozen=True)
class Given:
    """The same for all: one algorithm, one key, and who is to have issued for whom. A secret is text, keys are PEM."""

    alg: str
    secret: str
    private: str
    public: str
    kid: str
    issuer: str
    audience: str

    @property
    def is_secret(self) -> bool:
        """Whether one secret signs and verifies."""
        return self.alg.startswith("HS")

    @property
    def header(self) -> dict[str, str]:
        """What a token's header says besides `alg`."""
        return {"kid": self.kid, "typ": "at+jwt"}


def itself(inputs: Sequence[Any]) -> list[Any]:
    """Most libraries take tokens and payloads as they are."""
    return list(inputs)


@dataclass(frozen=True)
class Contestant:
    """How one library verifies (signature, exp, iss, aud) and signs; each raises where it refuses.

    `verifier` makes what verifies; whatever a token left behind in one, another must not find. `tokens` and `payloads` turn what is given
    into what these functions take, outside of the time that counts.
    """

    verifier: Callable[[], Callable[[Any], Any]]
    sign: Callable[[Any], Any]
    tokens: Callable[[Sequence[str]], list[Any]] = itself
    payloads: Callable[[Sequence[dict[str, Any]]], list[Any]] = itself
    judges_claims: bool = True
    memory: Callable[[int], dict[str, float]] | None = None
    prove: Callable[[], None] | None = None

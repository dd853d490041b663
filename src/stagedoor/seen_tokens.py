"""SeenTokens: tokens that were verified already, by their whole text; bounded, and never longer than the key and the token itself.

Never knows a signature or what was revoked: time and key are asked again each time, revocations by the caller.
"""

from __future__ import annotations

import math
from typing import Any, Generic, Protocol, TypeVar

from stagedoor.claims import FUTURE_LEEWAY
from stagedoor.jws import KeyFinder, VerifyingKey
from stagedoor.ring import Ring
from stagedoor.trusted_issuer import TrustedKey

HALF = 4 * 1024 * 1024
"""Characters of tokens in one of two generations: when the younger one is full, the older one is forgotten."""
MOST_KEYS = 1000
"""Keys whose tokens are remembered at one time, where they are asked for each time: a finder may know one for each client."""


class Said(Protocol):
    """What a token says, as far as it matters here. Times in Unix seconds."""

    @property
    def key_id(self) -> str:
        """The `kid`."""

    @property
    def issued_at(self) -> int:
        """`iat`, or 0."""

    @property
    def expires_at(self) -> int:
        """`exp`."""


T = TypeVar("T", bound=Said)


class _Memory(Generic[T]):
    """Two generations of tokens, of one state of the keys."""

    __slots__ = ("begun", "known", "old", "room", "since", "until", "young")

    def __init__(self, known: Any, now: float) -> None:
        self.known = known
        """The state of a ring; of other keys those that were found, by `kid`."""
        self.begun = now
        self.since = -math.inf
        """From here on each of these may be used: the latest `iat` among them, less the leeway."""
        self.until = math.inf
        """When the next of the ring's keys ends."""
        if not isinstance(known, dict):
            self.until = min((e.ends for e in known.entries if e.ends is not None and e.ends > now), default=math.inf)
        self.young: dict[str, T] = {}
        self.old: dict[str, T] = {}
        self.room = HALF

    def keep(self, token: str, said: T) -> None:
        """Remember this. Threads may lose each other's: what is not remembered is verified."""
        self.room -= len(token)
        if self.room < 0:
            self.room = HALF - len(token)
            self.young, self.old = {}, self.young
        self.young[token] = said


def _is_same(found: Any, known: Any) -> bool:
    """Whether this is the very key: one of several issuers is made anew each time. Whether keys of the user's own are equal, who knows."""
    return found is known or (type(found) is TrustedKey and bool(found == known))


class SeenTokens(Generic[T]):
    """What a verifier need not verify again: successes alone, each while the same key would be found for it."""

    __slots__ = ("_keys", "_memory", "_ring")

    def __init__(self, keys: KeyFinder) -> None:
        self._keys = keys
        # Of a ring it can be seen that nothing has changed; any other finder is asked each time.
        self._ring = keys if isinstance(keys, Ring) and type(keys).find is Ring.find else None
        self._memory: _Memory[T] = _Memory({}, 0.0)

    def state(self) -> Any:
        """The state of the keys, to be taken before a token is verified: what changes meanwhile is not of it."""
        return None if self._ring is None else self._ring.known

    def find(self, token: str, now: float) -> T | None:
        """What this token says, if it was verified before, may be used at this moment and its key is accepted still. As keys.find."""
        memory = self._memory
        said = memory.young.get(token)
        if said is None:
            said = memory.old.get(token)
            if said is None:
                return None
            memory.keep(token, said)
        if now >= said.expires_at or now < memory.since:
            return None
        if self._ring is not None:
            return said if memory.known is self._ring.known and now < memory.until else None
        return said if _is_same(self._keys.find(said.key_id, now), memory.known[said.key_id]) else None

    def add(self, token: str, said: T, state: Any, key: VerifyingKey, now: float) -> None:
        """Remember what this token says, which may be used from its `iat` on and was verified with this key just now."""
        memory = self._memory
        if state is None:
            is_same = _is_same(memory.known.setdefault(said.key_id, key), key)
            if not is_same or len(memory.known) > MOST_KEYS or now < memory.since:
                memory = self._memory = _Memory({said.key_id: key}, now)
        elif memory.known is not state or not memory.begun <= now < memory.until or now < memory.since:
            memory = self._memory = _Memory(state, now)
        if memory.since < said.issued_at - FUTURE_LEEWAY:
            memory.since = float(said.issued_at - FUTURE_LEEWAY)
        memory.keep(token, said)

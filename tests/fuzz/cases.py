"""Case: the keys that a verifier is given, a token and a moment; each follows from a seed and a number alone.

Never knows who judges it, or what is right.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from fuzz import keys_given
from fuzz.keys_given import Given
from fuzz.material import AUDIENCE, CURVES, ISSUER, NOW, SIGNERS, Signer, b64, sign, stranger
from fuzz.members import CLAIM_CHANGES, HEADER_CHANGES, Members, add_claim, put, reorder
from fuzz.spelling import FORM_CHANGES, JSON_CHANGES, PART_CHANGES, spaced, write
from fuzz.values import pick, text

KINDS = {"access": "at+jwt", "kind": "test+jwt"}
"""What is verified: an access token by Verifier, a token of another kind by KeySet.verify; and the `typ` that is expected."""
REQUIRED = {"access": ("iss", "aud", "sub", "client_id", "iat", "exp", "jti", "sid", "auth_time"), "kind": ("iss", "aud", "iat", "exp")}

_WEIGHTS: dict[str, float] = {
    "HS256": 400,
    "HS384": 60,
    "HS512": 60,
    "ES256": 180,
    "Ed25519": 60,
    "EdDSA": 90,
    "RS256": 50,
    "RS384": 15,
    "RS512": 15,
    "PS256": 1,
    "PS384": 0.5,
    "PS512": 0.5,
    "ES384": 20,
    "ES512": 20,
}
_NAMES = tuple(_WEIGHTS)
_SUMS = tuple(accumulate(_WEIGHTS.values()))
_PAIRS = {"ES256": "RS256", "RS256": "ES256", "Ed25519": "ES256", "HS256": "HS384", "HS384": "HS256"}
"""Which other key is sometimes in the set beside it: of the same symmetry."""


@dataclass(frozen=True, slots=True)
class Case:
    """One question to three verifiers."""

    seed: int
    number: int
    kind: str
    given: Given
    token: str
    moment: float
    signed: bool
    """Whether the signature is one that the right key made over just these parts."""
    steps: tuple[str, ...]
    """What was done to it, in words."""


def make(seed: int, number: int, rng: Random | None = None) -> Case:
    """The case of this number, always the same. `rng` spares making a new one each time; it is seeded anew."""
    rng = rng or Random()
    rng.seed((seed << 64) | number)
    name = _name(rng)
    return _Maker(rng, SIGNERS[name]).make(seed, number)


def _name(rng: Random) -> str:
    point = rng.random() * _SUMS[-1]
    return next(name for name, end in zip(_NAMES, _SUMS, strict=True) if point < end)


class _Maker:
    """Makes one case."""

    def __init__(self, rng: Random, signer: Signer) -> None:
        self.rng = rng
        self.signer = signer
        self.kind = "access" if rng.random() < 0.7 else "kind"
        self.steps: list[str] = []
        self.signed = True

    def make(self, seed: int, number: int) -> Case:
        """The case."""
        rng = self.rng
        given, moment = self._given(), float(NOW) + pick(rng, (0, 0, 0, 0, 0, 0.5, 0.001, 0.999))
        header, claims = self._members()
        road = rng.random()
        again = rng.random() < 0.2
        if given.form == "jwk" or given.form == "bytes":
            road, again = 0.0, False
        if road < 0.06:
            token = self._sign(write(header), write(claims))
        elif road < 0.42:
            self._change(CLAIM_CHANGES, claims, again)
            token = self._sign(write(header), write(claims))
        elif road < 0.62:
            self._change(HEADER_CHANGES, header, again)
            token = self._sign(write(header), write(claims))
        elif road < 0.64:
            token = self._large(header, claims)
        elif road < 0.76:
            token = self._odd_json(header, claims)
        elif road < 0.84:
            token = self._sign(write(header), write(claims), spelled=True)
        else:
            token = self._broken(self._sign(write(header), write(claims)))
        return Case(seed, number, self.kind, given, token, moment, self.signed, tuple(self.steps))

    def _given(self) -> Given:
        point, name = self.rng.random(), self.signer.name
        if point < 0.05:
            given, self.signer, step = keys_given.make(self.rng, self.signer)
            self.steps.append(step)
            return given
        if point < 0.08 and name in _PAIRS:
            self.steps.append("two keys")
            return Given("set", (name, _PAIRS[name]))
        return Given("set", (name,))

    def _members(self) -> tuple[Members, Members]:
        rng, name = self.rng, self.signer.name
        if name.startswith("Ed"):
            name = "Ed25519" if rng.random() < 0.2 else "EdDSA"
        header = [['"alg"', f'"{name}"'], ['"kid"', f'"{self.signer.kid}"'], ['"typ"', f'"{KINDS[self.kind]}"']]
        claims = [
            ['"iss"', f'"{ISSUER}"'],
            ['"aud"', f'"{AUDIENCE}"'],
            ['"sub"', '"user-42"'],
            ['"client_id"', '"app"'],
            ['"iat"', str(NOW - 60)],
            ['"exp"', str(NOW + 900)],
            ['"jti"', '"Zm9v"'],
            ['"sid"', '"YmFy"'],
            ['"auth_time"', str(NOW - 60)],
        ]
        if rng.random() < 0.5:
            claims.append(['"scope"', '"orders:read"'])
        if rng.random() < 0.1:
            reorder(rng, header)
            reorder(rng, claims)
        return header, claims

    def _change(self, changes: tuple, members: Members, again: bool) -> None:
        self.steps.append(pick(self.rng, changes)(self.rng, members))
        if again:
            self.steps.append(pick(self.rng, changes)(self.rng, members))

    def _odd_json(self, header: Members, claims: Members) -> str:
        rng = self.rng
        members = header if rng.random() < 0.3 else claims
        if rng.random() < 0.3:
            data = spaced(rng, members)
            self.steps.append("blanks")
        else:
            if rng.random() < 0.3:
                self.steps.append(add_claim(rng, members))
            name = pick(rng, tuple(JSON_CHANGES))
            data = JSON_CHANGES[name](rng, write(members))
            self.steps.append(name)
        return self._sign(data, write(claims)) if members is header else self._sign(write(header), data)

    def _large(self, header: Members, claims: Members) -> str:
        """About as long as a token or a header may be."""
        rng = self.rng
        if rng.random() < 0.4:
            put(header, "x5t", text("h" * int(250 + rng.random() * 150)))
            self.steps.append("long header")
            return self._sign(write(header), write(claims))
        token = self._sign(write(header), write(claims))
        wanted = 8192 + pick(rng, (-3, -2, -1, 0, 1, 2, 3, 50, 4000))
        put(claims, "filler", text("f" * ((wanted - len(token)) * 3 // 4 - 12)))
        self.steps.append("long token")
        return self._sign(write(header), write(claims))

    def _sign(self, header: bytes, claims: bytes, *, spelled: bool = False) -> str:
        """The token of these two, signed over the parts as they are spelled."""
        parts = [b64(header), b64(claims)]
        at = 0
        change = None
        if spelled:
            at, name = int(self.rng.random() * 3), pick(self.rng, tuple(PART_CHANGES))
            change = PART_CHANGES[name]
            self.steps.append(f"part {at}: {name}")
            if at < 2:
                parts[at] = change(self.rng, parts[at])
        signature = b64(self.signer.sign(".".join(parts).encode("utf-8", "surrogatepass")))
        if change is not None and at == 2:
            signature = change(self.rng, signature)
        return f"{parts[0]}.{parts[1]}.{signature}"

    def _broken(self, token: str) -> str:
        """With a signature that is not the right one, or in another form after it was signed."""
        rng = self.rng
        parts = token.split(".")
        if rng.random() < 0.35:
            name = pick(rng, tuple(FORM_CHANGES))
            self.steps.append(name)
            broken = FORM_CHANGES[name](rng, parts)
            self.signed = broken == token
            return broken
        if rng.random() < 0.2:
            at, name = int(rng.random() * 2), pick(rng, tuple(PART_CHANGES))
            self.steps.append(f"part {at} after signing: {name}")
            parts[at] = PART_CHANGES[name](rng, parts[at])
        else:
            parts[2] = b64(self._other_signature(parts))
        broken = ".".join(parts)
        self.signed = broken == token
        return broken

    def _other_signature(self, parts: list[str]) -> bytes:
        rng, signer = self.rng, self.signer
        kind = pick(rng, ("cut", "longer", "flipped", "zero", "empty", "stranger", "algorithm", "der", "twin", "of another"))
        self.steps.append(f"signature: {kind}")
        data = f"{parts[0]}.{parts[1]}".encode()
        right = signer.sign(data)
        if kind == "cut":
            return right[: int(rng.random() * len(right))]
        if kind == "longer":
            return pick(rng, (right + b"\0", b"\0" + right, right + right, right + b"x" * 900))
        if kind == "flipped":
            at = int(rng.random() * len(right))
            return right[:at] + bytes([right[at] ^ (1 << int(rng.random() * 8))]) + right[at + 1 :]
        if kind == "zero":
            return pick(rng, (bytes(len(right)), b"\xff" * len(right), b"\1" + bytes(len(right) - 1)))
        if kind == "stranger":
            return sign(stranger(signer.name), signer.name, data)
        if kind == "algorithm":
            return self._by_another_algorithm(parts)
        if kind in ("der", "twin") and signer.name in CURVES:
            return _der(right) if kind == "der" else _twin(right, signer.name)
        if kind == "of another":
            return signer.sign(data + b"x")
        return b""

    def _by_another_algorithm(self, parts: list[str]) -> bytes:
        """Signed by the right key, or with what is public of it, under another algorithm, which the header names."""
        rng, signer = self.rng, self.signer
        name = pick(rng, tuple(SIGNERS))
        header = {"alg": name, "kid": signer.kid, "typ": KINDS[self.kind]}
        parts[0] = b64(json.dumps(header).encode())
        data = f"{parts[0]}.{parts[1]}".encode()
        self.steps[-1] += f" {name}"
        if name.startswith("HS") and not isinstance(signer.private, bytes):
            return sign(pick(rng, keys_given.public_texts(signer.name)), name, data)
        return sign(signer.private, name, data)


_ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": int("f" * 48 + "c7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16),
    "ES512": int("01" + "f" * 64 + "fa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409", 16),
}


def _twin(signature: bytes, name: str) -> bytes:
    """The other signature that holds: s replaced by n - s."""
    half = len(signature) // 2
    s = _ORDERS[name] - int.from_bytes(signature[half:], "big")
    return signature[:half] + s.to_bytes(half, "big")


def _der(signature: bytes) -> bytes:
    """The same r and s in DER, as X.509 has them."""
    half = len(signature) // 2
    body = b""
    for part in (signature[:half], signature[half:]):
        value = part.lstrip(b"\0")
        value = b"\0" + value if value[0] & 128 else value
        body += b"\2" + bytes([len(value)]) + value
    return b"\x30" + (bytes([len(body)]) if len(body) < 128 else b"\x81" + bytes([len(body)])) + body

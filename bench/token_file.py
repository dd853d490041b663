"""TokenFile: the tokens of the guarded routes, of one payload for all, under the secret that all servers have; and files of them.

Never knows how a server checks them.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagedoor import Key

SERVERS = Path(__file__).parent / "servers"
MANY = 100_000
"""So many that no server sees one twice while it is measured, or has forgotten it by then."""
_TOLD = json.loads((SERVERS / "material.json").read_text())
USERNAME: str = _TOLD["username"]
UUID: str = _TOLD["uuid"]
_SECRET: bytes = _TOLD["secret"].encode()
OURS = {"alg": "HS256", "kid": Key.from_secret(_SECRET).kid, "typ": "at+jwt"}
THEIRS = {"alg": "HS256", "typ": "JWT"}
_LIFE = 4 * 3600


def payload(**claims: object) -> dict[str, Any]:
    """What all tokens say, changed by these claims; each is another one."""
    now = int(time.time())
    return {
        "sub": _TOLD["subject"],
        "username": USERNAME,
        "iat": now,
        "exp": now + _LIFE,
        "iss": _TOLD["issuer"],
        "aud": _TOLD["audience"],
        "client_id": _TOLD["audience"],
        "jti": _encoded(uuid.uuid4().bytes),
        "sid": _encoded(uuid.uuid4().bytes),
        **claims,
    }


def signed(header: Mapping[str, object], claims: Mapping[str, object]) -> str:
    """The compact token."""
    text = f"{_encoded(_json(header))}.{_encoded(_json(claims))}"
    return f"{text}.{_encoded(hmac.digest(_SECRET, text.encode(), 'sha256'))}"


def ours(**claims: object) -> str:
    """A token as Stagedoor makes it: it has `auth_time` too."""
    now = int(time.time())
    return signed(OURS, payload(auth_time=now, **claims))


def write_many(path: Path, number: int) -> Path:
    """A file of so many different tokens of ours, one a line."""
    with path.open("w") as file:
        file.writelines(f"{ours()}\n" for _ in range(number))
    return path


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

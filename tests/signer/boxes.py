"""The signer of the guide, taken out of it, on keys of a real PKCS#11 token; and issuers that sign with it.

Never knows what a test expects.
"""

import re
from pathlib import Path
from typing import Any

import pkcs11

from servers.softhsm import LABEL, PIN, SoftHSM
from stagedoor import Issuer, Key, KeySet, Peppers, SyncIssuer
from stagedoor.stores.memory import MemoryStore, SyncMemoryStore
from stagedoor.testing.clock import FixedClock

GUIDE = (Path(__file__).parents[2] / "docs" / "guide.md").read_text("utf-8")
WINDOW = 60


def _token_signer() -> Any:
    """The class as it stands in the guide."""
    (block,) = [each for each in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "class TokenSigner" in each]
    names: dict[str, Any] = {}
    exec(block.split("\nbox = ")[0], names)
    return names["TokenSigner"]


TokenSigner = _token_signer()
HOW: dict[str, dict[str, Any]] = {
    "ES256": {},
    "RS256": {"mechanism": pkcs11.Mechanism.SHA256_RSA_PKCS, "digest": None},
    "Ed25519": {"mechanism": pkcs11.Mechanism.EDDSA, "digest": None},
}


class Signing:
    """Keys of one token, made in it once: for each algorithm a signer and the Key of it."""

    def __init__(self, hsm: SoftHSM) -> None:
        self.hsm = hsm
        self.public = {name: hsm.make(name, f"signing {name}") for name in HOW}
        hsm.make("ES256", "another")

    def signer(self, name: str) -> Any:
        """A fresh one, which has opened nothing yet."""
        return TokenSigner(self.hsm.module, LABEL, f"signing {name}", PIN, **HOW[name])

    def key(self, name: str = "ES256") -> tuple[Key, Any]:
        """A key of the token, and the signer that it has."""
        signer = self.signer(name)
        return Key.from_signer(signer, self.public[name], name), signer


def issuer(kind: str, key: Key, clock: FixedClock) -> Any:
    """An Issuer ("async") or a SyncIssuer that signs with this key, on a store of its own."""
    made, store = (SyncIssuer, SyncMemoryStore()) if kind == "sync" else (Issuer, MemoryStore())
    keys, peppers = KeySet(key, clock=clock), Peppers.generate(clock=clock)
    return made("https://auth.example", audience="https://api.example", store=store, keys=keys, peppers=peppers, clock=clock)

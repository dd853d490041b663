"""Knows SoftHSM: a PKCS#11 token in a folder, whose keys are made inside it and do not leave it.

Never knows what is signed. One process has one SoftHSM: it reads where its tokens are when it is initialised.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pkcs11
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pkcs11 import Attribute, KeyType, Mechanism
from pkcs11.util.ec import encode_named_curve_parameters

from servers.binaries import binary

PIN, WRONG_PIN = "1234", "4321"
LABEL = "stagedoor"
_CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1", "Ed25519": "1.3.101.112"}
_GROUPS: dict[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


class SoftHSM:
    """One token, named `stagedoor`, in this folder, from entering the context to leaving it."""

    def __init__(self, folder: Path) -> None:
        self.module = str(binary("libsofthsm2").path)
        self._tokens = folder / "tokens"
        self._away = folder / "away"
        self._settings = folder / "softhsm2.conf"

    def __enter__(self) -> Self:
        self._tokens.mkdir(parents=True)
        self._settings.write_text(f"directories.tokendir = {self._tokens}\nobjectstore.backend = file\nlog.level = ERROR\n", "utf-8")
        self._before = os.environ.get("SOFTHSM2_CONF")
        os.environ["SOFTHSM2_CONF"] = str(self._settings)
        program = [str(binary("softhsm").path), "--module", self.module, "--init-token", "--free"]
        made = [*program, "--label", LABEL, "--pin", PIN, "--so-pin", "security officer"]
        subprocess.run(made, check=True, capture_output=True)
        self.forget_sessions()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pkcs11.lib(self.module).finalize()
        if self._before is None:
            del os.environ["SOFTHSM2_CONF"]
        else:
            os.environ["SOFTHSM2_CONF"] = self._before

    def make(self, algorithm: str, label: str) -> bytes:
        """A key of this name, made in the token and staying there; its public half in PEM."""
        self.forget_sessions()  # or somebody is logged in already
        session = self._library().get_token(token_label=LABEL).open(rw=True, user_pin=PIN)
        try:
            if algorithm in _CURVES:
                kind = KeyType.EC_EDWARDS if algorithm == "Ed25519" else KeyType.EC
                parameters = {Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVES[algorithm])}
                made = session.create_domain_parameters(kind, parameters, local=True)
                how = Mechanism.EC_EDWARDS_KEY_PAIR_GEN if algorithm == "Ed25519" else Mechanism.EC_KEY_PAIR_GEN
                public, private = made.generate_keypair(mechanism=how, store=True, label=label)
            else:
                public, private = session.generate_keypair(KeyType.RSA, 3072, store=True, label=label)
            assert private[Attribute.SENSITIVE]
            assert private[Attribute.NEVER_EXTRACTABLE]
            return _pem(algorithm, public)
        finally:
            session.close()

    def forget_sessions(self) -> None:
        """End every session of this process, as a box does that was restarted."""
        self._library().reinitialize()

    def pull_out(self) -> None:
        """The token is gone, as a stick that was pulled out."""
        self._tokens.rename(self._away)

    def put_back(self) -> None:
        """It is there again."""
        self._away.rename(self._tokens)

    def _library(self) -> Any:
        return pkcs11.lib(self.module)


def _pem(algorithm: str, public: Any) -> bytes:
    if algorithm in _CURVES:
        point = public[Attribute.EC_POINT][2:] if algorithm != "ES512" else public[Attribute.EC_POINT][3:]  # without DER's OCTET STRING
        made: Any = (
            ed25519.Ed25519PublicKey.from_public_bytes(point)
            if algorithm == "Ed25519"
            else ec.EllipticCurvePublicKey.from_encoded_point(_GROUPS[algorithm], point)
        )
    else:
        numbers = [int.from_bytes(public[each], "big") for each in (Attribute.PUBLIC_EXPONENT, Attribute.MODULUS)]
        made = rsa.RSAPublicNumbers(*numbers).public_key()
    return bytes(made.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))

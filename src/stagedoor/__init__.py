"""Stagedoor: token authentication for Python APIs. The face: what most people need, and nothing defined here."""

from stagedoor import errors as errors
from stagedoor.access_token import AccessToken as AccessToken
from stagedoor.claims import ABSENT as ABSENT
from stagedoor.claims import Claims as Claims
from stagedoor.errors import AuthError as AuthError
from stagedoor.event import Event as Event
from stagedoor.issuer import Issuer as Issuer
from stagedoor.issuer import SyncIssuer as SyncIssuer
from stagedoor.keys import Key as Key
from stagedoor.keyset import KeySet as KeySet
from stagedoor.refresh_token import Peppers as Peppers
from stagedoor.refresh_token import RefreshToken as RefreshToken
from stagedoor.revocation import Revocations as Revocations
from stagedoor.scope import Scope as Scope
from stagedoor.session import Session as Session
from stagedoor.session import Store as Store
from stagedoor.session import SyncStore as SyncStore
from stagedoor.signer import Signer as Signer
from stagedoor.token_pair import Grant as Grant
from stagedoor.token_pair import TokenPair as TokenPair
from stagedoor.trusted_issuer import TrustedIssuer as TrustedIssuer
from stagedoor.vault import MasterKey as MasterKey
from stagedoor.vault import Vault as Vault
from stagedoor.verifier import Verifier as Verifier

__all__ = [
    "ABSENT",
    "AccessToken",
    "AuthError",
    "Claims",
    "Event",
    "Grant",
    "Issuer",
    "Key",
    "KeySet",
    "MasterKey",
    "Peppers",
    "RefreshToken",
    "Revocations",
    "Scope",
    "Session",
    "Signer",
    "Store",
    "SyncIssuer",
    "SyncStore",
    "TokenPair",
    "TrustedIssuer",
    "Vault",
    "Verifier",
    "errors",
]

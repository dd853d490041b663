"""Every refusal that Stagedoor knows: its stable code, and what it means on the wire.

Never knows a framework, a response object, a token's text or a secret.

    AuthError                       never raised itself
    ├── TokenError                  401 invalid_token: the access token is to blame
    │   ├── MalformedToken
    │   ├── AlgorithmNotAllowed
    │   ├── UnknownKey              .kid
    │   ├── BadSignature
    │   ├── ClaimRejected           .claim .reason
    │   │   ├── TokenExpired
    │   │   └── TokenNotYetValid
    │   ├── TokenRevoked            .session_id
    │   └── FeedKeyRefused          a service's key, not an access token
    ├── MissingToken                401, a challenge without an error code (RFC 6750 section 3.1)
    ├── InsufficientScope           403 insufficient_scope, .required
    ├── StepUpRequired              401 insufficient_user_authentication (RFC 9470), .max_age
    ├── GrantError                  400 invalid_grant (RFC 6749 section 5.2)
    │   ├── RefreshTokenUnknown
    │   ├── RefreshTokenExpired     .session_id
    │   ├── SessionRevoked          .session_id
    │   ├── RefreshTokenReused      .session_id
    │   ├── SessionUnreadable       .session_id
    │   └── BadCredentials
    ├── RequestError                the request is to blame
    │   ├── InvalidRequest          400 invalid_request
    │   ├── InvalidScope            400 invalid_scope
    │   ├── CrossSiteRefused        403 cross_site_refused
    │   ├── GuardRefused            403 access_denied: an application's own check said no
    │   ├── NotFound                404 not_found
    │   ├── MethodNotAllowed        405 method_not_allowed, .allowed
    │   ├── TooLarge                413 too_large
    │   ├── WrongMediaType          415 wrong_media_type
    │   └── TooManyAttempts         429 too_many_attempts, .retry_after
    ├── StoreError                  503: a store could not be asked; the token is not to blame
    ├── SubjectCheckFailed          503
    ├── SigningFailed               503: the key is elsewhere, and did not sign
    ├── KeySetUnavailable           503
    ├── IssuingPaused               503: everything was revoked just now, or the key that signs, .retry_after
    ├── Overloaded                  503: too much of the same waits already
    └── RevocationsStale            503

Beside the tree, for whoever builds with keys: KeyRejected, a ValueError with a code.
`error` is what a client reads, `code` what an operator reads; neither ever changes. The message is for people: `description` goes on
the wire where `str(error)` would tell a stranger too much.
"""

from __future__ import annotations

from typing import ClassVar


class AuthError(Exception):
    """Root of everything that can be refused; catch it, never raise it."""

    code: ClassVar[str] = "auth_error"
    """Stable name of this refusal, for logs, events and tests."""
    status: ClassVar[int] = 400
    """HTTP status."""
    error: ClassVar[str] = "invalid_request"
    """The `error` member of the answer (RFC 6749 section 5.2, RFC 6750 section 3.1)."""
    description: ClassVar[str | None] = None
    """What a client is told; None: the message itself, which then holds nothing but what the client sent or should send."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.description or self.code)

    @property
    def told(self) -> str:
        """The sentence for the wire."""
        return self.description or str(self)

    @property
    def session_id(self) -> str | None:
        """The session concerned, where one is known."""
        return None


class _OfSession(AuthError):
    """A refusal that belongs to one session, where that is known."""

    def __init__(self, message: str = "", *, session_id: str | None = None) -> None:
        super().__init__(message)
        self._session_id = session_id

    @property
    def session_id(self) -> str | None:
        """The session concerned, where one is known."""
        return self._session_id


class TokenError(AuthError):
    """The access token is not accepted: 401 `invalid_token`."""

    code = "token_invalid"
    status = 401
    error = "invalid_token"
    description = "The access token is not valid."


class MalformedToken(TokenError):
    """Not a compact JWS of our form, or too large (RFC 7515 section 5.2)."""

    code = "token_malformed"


class AlgorithmNotAllowed(TokenError):
    """The header names another algorithm than the key has (RFC 8725 section 3.1)."""

    code = "algorithm_not_allowed"


class UnknownKey(TokenError):
    """No key of that `kid` is accepted here."""

    code = "key_unknown"

    def __init__(self, message: str = "", *, kid: str | None = None) -> None:
        super().__init__(message)
        self.kid = kid


class BadSignature(TokenError):
    """The signature does not hold."""

    code = "signature_invalid"


class ClaimRejected(TokenError):
    """A claim is missing, of a wrong type, or not what this verifier expects."""

    code = "claim_rejected"
    description = "The access token is not meant for this use."

    def __init__(self, claim: str, reason: str) -> None:
        super().__init__(f"claim {claim!r}: {reason}")
        self.claim = claim
        self.reason = reason


class TokenExpired(ClaimRejected):
    """The moment is at or past `exp` (RFC 7519 section 4.1.4)."""

    code = "token_expired"
    description = "The access token has expired."

    def __init__(self, reason: str = "expired") -> None:
        super().__init__("exp", reason)


class TokenNotYetValid(ClaimRejected):
    """`nbf` or `iat` lie in the future, beyond the leeway."""

    code = "token_not_yet_valid"
    description = "The access token is not valid yet."


class TokenRevoked(_OfSession, TokenError):
    """The session or the key of this token was revoked."""

    code = "token_revoked"
    description = "The access token has been revoked."


class FeedKeyRefused(TokenError):
    """Who reads revocations sent no key that is valid here."""

    code = "feed_key_refused"
    description = "This needs a valid feed key: send Authorization: Bearer."


class MissingToken(AuthError):
    """The request carries no access token: 401, and a challenge without an error code."""

    code = "token_missing"
    status = 401
    error = "token_missing"
    description = "This needs an access token: send Authorization: Bearer."


class InsufficientScope(AuthError):
    """The token is good, its scope does not cover what the route asks for."""

    code = "insufficient_scope"
    status = 403
    error = "insufficient_scope"

    def __init__(self, required: str) -> None:
        super().__init__(f"This needs the scope {required!r}.")
        self.required = required


class StepUpRequired(AuthError):
    """The route asks for a more recent login (RFC 9470)."""

    code = "step_up_required"
    status = 401
    error = "insufficient_user_authentication"
    description = "This needs a more recent login."

    def __init__(self, max_age: int) -> None:
        super().__init__()
        self.max_age = max_age


class GrantError(AuthError):
    """A refresh token or a password is refused: 400 `invalid_grant`, whatever the reason."""

    code = "grant_refused"
    error = "invalid_grant"
    description = "The refresh token is not accepted: log in again."


class RefreshTokenUnknown(_OfSession, GrantError):
    """Not a refresh token of ours, or no longer known."""

    code = "refresh_token_unknown"


class RefreshTokenExpired(_OfSession, GrantError):
    """The session passed its idle or its absolute end."""

    code = "refresh_token_expired"


class SessionRevoked(_OfSession, GrantError):
    """The session was ended: by logout, by its owner, by an administrator, by reuse."""

    code = "session_revoked"


class RefreshTokenReused(_OfSession, GrantError):
    """A genuinely older refresh token came back: its session is ended now (RFC 9700 section 4.14.2)."""

    code = "refresh_token_reused"


class SessionUnreadable(_OfSession, GrantError):
    """The store has something under the id of this session that no store of ours wrote, or half of it: an operator's matter."""

    code = "session_unreadable"


class BadCredentials(GrantError):
    """Unknown user, wrong password or disabled account: always the same answer."""

    code = "credentials_refused"
    description = "The username or the password is not right."


class RequestError(AuthError):
    """The request itself is to blame; the message says how to mend it."""

    code = "request_refused"


class InvalidRequest(RequestError):
    """Missing, malformed or contradictory."""

    code = "invalid_request"


class InvalidScope(RequestError):
    """More scope is asked for than the account or the session has (RFC 6749 section 5.2)."""

    code = "invalid_scope"
    error = "invalid_scope"


class CrossSiteRefused(RequestError):
    """A cookie was used by, or would be set for, a page of another site."""

    code = "cross_site_refused"
    status = 403
    error = "cross_site_refused"


class GuardRefused(RequestError):
    """An application's own check said no."""

    code = "access_denied"
    status = 403
    error = "access_denied"
    description = "This is not allowed."


class NotFound(RequestError):
    """There is no such thing, or it belongs to somebody else."""

    code = "not_found"
    status = 404
    error = "not_found"
    description = "There is no such thing here."


class MethodNotAllowed(RequestError):
    """The path is right, the method is not."""

    code = "method_not_allowed"
    status = 405
    error = "method_not_allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__(f"This path takes {allowed}.")
        self.allowed = allowed


class TooLarge(RequestError):
    """A body or a header is over its limit."""

    code = "too_large"
    status = 413
    error = "too_large"


class WrongMediaType(RequestError):
    """The body is not what its endpoint reads."""

    code = "wrong_media_type"
    status = 415
    error = "wrong_media_type"


class TooManyAttempts(RequestError):
    """Too many failed logins; `retry_after` seconds to wait."""

    code = "too_many_attempts"
    status = 429
    error = "too_many_attempts"

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many attempts: try again later.")
        self.retry_after = retry_after


class _Unavailable(AuthError):
    """Something that we depend on does not answer; nothing is known about the token."""

    status = 503
    error = "temporarily_unavailable"
    description = "The service cannot answer just now: try again."

    def __init__(self, message: str = "", *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreError(_Unavailable):
    """The store could not be asked, or could not answer for sure."""

    code = "store_unavailable"


class KeySetUnavailable(_Unavailable):
    """The keys of an issuer could not be had."""

    code = "keys_unavailable"


class SubjectCheckFailed(_Unavailable):
    """The application could not say whether the subject may still refresh: its check raised."""

    code = "subject_check_failed"


class SigningFailed(_Unavailable):
    """What keeps the signing key (a KMS, an HSM) did not sign, or what it returned is not this key's signature."""

    code = "signing_failed"


class RevocationsStale(_Unavailable):
    """What is known of revocations is older than its bound."""

    code = "revocations_stale"


class IssuingPaused(_Unavailable):
    """All that was issued is being revoked, or the one key that there is to sign with: nothing is issued for `retry_after` seconds."""

    code = "issuing_paused"


class Overloaded(_Unavailable):
    """More waits to be done than there is room for: passwords to be checked, above all."""

    code = "overloaded"


class KeyRejected(ValueError):
    """A key is refused by policy: a programmer's or an operator's mistake, told at construction."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

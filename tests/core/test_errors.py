"""The error tree: codes, wire meaning, facts."""

import inspect
import re
from typing import Any

import pytest

from stagedoor import errors
from stagedoor.errors import AuthError

CLASSES = [
    value for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, AuthError) and not name.startswith("_")
]


def made() -> list[Any]:
    return [
        errors.UnknownKey(kid="k"),
        errors.ClaimRejected("aud", "another"),
        errors.TokenExpired(),
        errors.TokenNotYetValid("nbf", "in the future"),
        errors.TokenRevoked(session_id="s"),
        errors.InsufficientScope("a b"),
        errors.StepUpRequired(60),
        errors.SessionRevoked(session_id="s"),
        errors.TooManyAttempts(30),
        errors.MethodNotAllowed("GET"),
        errors.KeySetUnavailable(retry_after=30),
        errors.KeySetUnavailable(),
        errors.IssuingPaused(retry_after=6),
    ]


def test_every_code_stands_once():
    """A code names one class only."""
    codes = [cls.code for cls in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_tree_in_the_docstring_names_it(cls: type[AuthError]):
    """The module's docstring draws every class of the tree."""
    assert re.search(rf"\b{cls.__name__}\b", errors.__doc__ or "")


@pytest.mark.parametrize(
    ("parent", "status", "error"),
    [
        (errors.TokenError, 401, "invalid_token"),
        (errors.GrantError, 400, "invalid_grant"),
        (errors.StoreError, 503, "temporarily_unavailable"),
        (errors.KeySetUnavailable, 503, "temporarily_unavailable"),
        (errors.IssuingPaused, 503, "temporarily_unavailable"),
        (errors.SubjectCheckFailed, 503, "temporarily_unavailable"),
        (errors.SessionUnreadable, 400, "invalid_grant"),
        (errors.RevocationsStale, 503, "temporarily_unavailable"),
    ],
)
def test_a_family_has_one_meaning_on_the_wire(parent: type[AuthError], status: int, error: str):
    """All refusals of a family look alike to a client."""
    family = [cls for cls in CLASSES if issubclass(cls, parent)]
    assert {(cls.status, cls.error) for cls in family} == {(status, error)}


@pytest.mark.parametrize(
    ("cls", "status", "error"),
    [
        (errors.MissingToken, 401, "token_missing"),
        (errors.InsufficientScope, 403, "insufficient_scope"),
        (errors.StepUpRequired, 401, "insufficient_user_authentication"),
        (errors.InvalidRequest, 400, "invalid_request"),
        (errors.InvalidScope, 400, "invalid_scope"),
        (errors.CrossSiteRefused, 403, "cross_site_refused"),
        (errors.NotFound, 404, "not_found"),
        (errors.TooLarge, 413, "too_large"),
        (errors.WrongMediaType, 415, "wrong_media_type"),
        (errors.TooManyAttempts, 429, "too_many_attempts"),
    ],
)
def test_status_and_error(cls: type[AuthError], status: int, error: str):
    """Each refusal has its own status and `error` member."""
    assert (cls.status, cls.error) == (status, error)


def test_facts():
    """An error carries the fact that it is about."""
    kid, claim, expired, early, revoked, scope, step, session, wait, method, keys, later, paused = made()
    assert kid.kid == "k"
    assert (claim.claim, claim.reason) == ("aud", "another")
    assert (expired.claim, early.claim) == ("exp", "nbf")
    assert revoked.session_id == session.session_id == "s"
    assert scope.required == "a b"
    assert step.max_age == 60
    assert (wait.retry_after, keys.retry_after, later.retry_after, paused.retry_after) == (30, 30, 1, 6)
    assert method.allowed == "GET"
    assert kid.session_id is None


@pytest.mark.parametrize("cls", [errors.BadSignature, errors.RefreshTokenReused, errors.StoreError, errors.BadCredentials])
def test_the_wire_is_told_less_than_the_log(cls: type[AuthError]):
    """What a client reads is the class's own sentence, not the message."""
    assert cls("a detail for operators").told == cls.description
    assert "detail" in str(cls("a detail for operators"))


def test_a_request_error_tells_its_message():
    """Where the request is to blame, the client is told how to mend it."""
    assert errors.InvalidRequest("Send a body.").told == "Send a body."


def test_an_error_without_a_message_still_speaks():
    """By the sentence for the wire, or by its code: no refusal is an empty text."""
    needing = {errors.ClaimRejected, errors.TokenNotYetValid, errors.InsufficientScope, errors.MethodNotAllowed, errors.TooManyAttempts}
    for cls in set(CLASSES) - needing - {errors.TokenExpired, errors.StepUpRequired}:
        assert str(cls()) == (cls.description or cls.code)


def test_a_refused_claim_is_named():
    """To whoever reads the log: which claim it was, and why; a client reads neither."""
    assert str(errors.ClaimRejected("aud", "another")) == "claim 'aud': another"
    assert str(errors.TokenExpired()) == "claim 'exp': expired"


def test_key_rejected_stands_beside_the_tree():
    """A refused key is a programmer's mistake: a ValueError with a code."""
    error = errors.KeyRejected("key_too_small", "too small")
    assert isinstance(error, ValueError)
    assert not isinstance(error, AuthError)
    assert error.code == "key_too_small"

"""What each refusal is on the wire."""

import json
from collections.abc import Iterator

import pytest

from stagedoor import errors
from stagedoor.errors import AuthError
from stagedoor.guards.response import Response, challenge, json_response, refusal


def below(kind: type[AuthError]) -> Iterator[type[AuthError]]:
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            if not each.__name__.startswith("_"):
                yield each
            yield from below(each)


CLASSES = sorted(set(below(AuthError)), key=lambda kind: kind.__name__)
ARGUMENTS = {
    "ClaimRejected": ("aud", "another audience"),
    "TokenNotYetValid": ("iat", "in the future"),
    "InsufficientScope": ("orders:read orders:write",),
    "StepUpRequired": (300,),
    "MethodNotAllowed": ("GET, HEAD",),
    "TooManyAttempts": (7,),
}
WIRE = {
    "TokenError": (401, "invalid_token"),
    "MalformedToken": (401, "invalid_token"),
    "AlgorithmNotAllowed": (401, "invalid_token"),
    "UnknownKey": (401, "invalid_token"),
    "BadSignature": (401, "invalid_token"),
    "ClaimRejected": (401, "invalid_token"),
    "TokenExpired": (401, "invalid_token"),
    "TokenNotYetValid": (401, "invalid_token"),
    "TokenRevoked": (401, "invalid_token"),
    "FeedKeyRefused": (401, "invalid_token"),
    "MissingToken": (401, "token_missing"),
    "InsufficientScope": (403, "insufficient_scope"),
    "StepUpRequired": (401, "insufficient_user_authentication"),
    "GrantError": (400, "invalid_grant"),
    "RefreshTokenUnknown": (400, "invalid_grant"),
    "RefreshTokenExpired": (400, "invalid_grant"),
    "SessionRevoked": (400, "invalid_grant"),
    "RefreshTokenReused": (400, "invalid_grant"),
    "BadCredentials": (400, "invalid_grant"),
    "RequestError": (400, "invalid_request"),
    "InvalidRequest": (400, "invalid_request"),
    "InvalidScope": (400, "invalid_scope"),
    "CrossSiteRefused": (403, "cross_site_refused"),
    "GuardRefused": (403, "access_denied"),
    "NotFound": (404, "not_found"),
    "MethodNotAllowed": (405, "method_not_allowed"),
    "TooLarge": (413, "too_large"),
    "WrongMediaType": (415, "wrong_media_type"),
    "TooManyAttempts": (429, "too_many_attempts"),
    "StoreError": (503, "temporarily_unavailable"),
    "KeySetUnavailable": (503, "temporarily_unavailable"),
    "IssuingPaused": (503, "temporarily_unavailable"),
    "SubjectCheckFailed": (503, "temporarily_unavailable"),
    "SigningFailed": (503, "temporarily_unavailable"),
    "SessionUnreadable": (400, "invalid_grant"),
    "Overloaded": (503, "temporarily_unavailable"),
    "RevocationsStale": (503, "temporarily_unavailable"),
}
"""Status and `error` of each class of errors.py: a new one belongs here too."""


def made(kind: type[AuthError]) -> AuthError:
    return kind(*ARGUMENTS.get(kind.__name__, ("said to the operator, secret-of-the-token",)))


def read(response: Response) -> tuple[int, dict[str, str], dict[str, str]]:
    return response.status, dict(response.headers), json.loads(response.body)


def test_every_class_has_a_meaning():
    """Each public class of the tree stands in the table, and nothing else does."""
    assert {kind.__name__ for kind in CLASSES} == set(WIRE)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_wire(kind: type[AuthError]):
    """Status, body, challenge and Retry-After of each class; no cache keeps any of them."""
    status, headers, body = read(refusal(made(kind)))
    assert (status, body["error"]) == WIRE[kind.__name__]
    assert body.keys() == {"error", "error_description"}
    assert body["error_description"]
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert ("www-authenticate" in headers) is (status in (401, 403))
    assert ("retry-after" in headers) is (status in (429, 503))
    assert ("allow" in headers) is (status == 405)


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if WIRE[kind.__name__][0] in (401, 403)], ids=lambda kind: kind.__name__)
def test_challenge(kind: type[AuthError]):
    """The challenge names the realm and the error, and no error where no token was sent (RFC 6750 section 3.1)."""
    said = challenge(made(kind))
    assert said.startswith('Bearer realm="stagedoor"')
    assert ("error=" in said) is (kind is not errors.MissingToken)
    if kind is not errors.MissingToken:
        assert f'error="{kind.error}"' in said


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_what_is_said_to_the_operator_stays_with_him(kind: type[AuthError]):
    """Only a class whose message is made for the client shows it."""
    error = made(kind)
    for_clients = kind.description is None
    assert (str(error) in refusal(error).body.decode()) is (for_clients or str(error) == kind.description)
    if not issubclass(kind, errors.RequestError):
        assert "secret-of-the-token" not in refusal(error).body.decode() + challenge(error)


def test_the_reasons_of_a_refused_refresh_token_are_one():
    """Unknown, expired, revoked and reused are byte for byte the same answer."""
    kinds = (errors.RefreshTokenUnknown, errors.RefreshTokenExpired, errors.SessionRevoked, errors.RefreshTokenReused)
    assert len({refusal(made(kind)) for kind in kinds}) == 1


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (errors.InsufficientScope("a b"), "www-authenticate", 'scope="a b"'),
        (errors.StepUpRequired(300), "www-authenticate", 'max_age="300"'),
        (errors.TooManyAttempts(7), "retry-after", "7"),
        (errors.StoreError("down"), "retry-after", "1"),
        (errors.MethodNotAllowed("GET, HEAD"), "allow", "GET, HEAD"),
    ],
)
def test_what_a_class_adds(error: AuthError, header: str, value: str):
    """The scope asked for, the age of a login, the wait, the methods."""
    assert value in dict(refusal(error).headers)[header]


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\r\nSet-Cookie: x=1", "a\x00b", "aäb", "a\u20acb"])
def test_a_message_cannot_leave_its_quotes(text: str):
    """Whatever an application puts into a refusal, the challenge is one header in visible ASCII (RFC 6750 section 3)."""
    for error in (errors.CrossSiteRefused(text), errors.InsufficientScope(text)):
        said = challenge(error)
        assert said.isascii()
        assert said.isprintable()
        assert said.count('"') % 2 == 0
        assert text not in said


async def sent(response: Response) -> list[dict[str, object]]:
    messages: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        messages.append(message)

    await response({"type": "http"}, None, send)
    return messages


async def test_an_answer_sends_itself():
    """An answer is an ASGI application: status, headers with the length, body."""
    start, body = await sent(json_response({"a": 1}, ("x-b", "c"), status=201))
    assert start["status"] == 201
    assert dict(start["headers"]) == {
        b"content-type": b"application/json",
        b"cache-control": b"no-store",
        b"x-b": b"c",
        b"content-length": b"7",
    }
    assert body["body"] == b'{"a":1}'


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_states_no_length(status: int):
    """204 must not, and a 304 would tell a cache the length of what it keeps (RFC 9110 section 8.6)."""
    start, _ = await sent(Response(status, (("etag", '"x"'),)))
    assert start["headers"] == [(b"etag", b'"x"')]

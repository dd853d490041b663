"""Administration: what whoever has the administrator's scope may end: others' sessions, a key, everything; as rows of the table.

Never knows an account: a subject without a session looks like one that never was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stagedoor.access_token import AccessToken
from stagedoor.endpoints.operation import Operation
from stagedoor.endpoints.request import Request
from stagedoor.endpoints.shapes import EverythingRevoked, SessionsResponse
from stagedoor.errors import InvalidRequest, NotFound
from stagedoor.guards.guard import Demand, Gate
from stagedoor.guards.response import Response, json_response
from stagedoor.issuer import Issuer
from stagedoor.token_pair import check_text


def administrators(gate: Gate[Any], issuer: Issuer, scope: str) -> Demand:
    """What is asked of an administrator's access token: this scope, and that its session still lives, by the store where there is one.

    TypeError, ValueError for a scope that everybody has.
    """
    demand = gate.demand((scope,), strict=issuer.revocations.can_be_asked)
    if not demand.scope:
        raise ValueError('admin_scope is a scope that administrators have, such as "stagedoor:admin"')
    return demand


class Administration:
    """The operations below /admin. Whether something is there nobody learns without the scope."""

    def __init__(self, issuer: Issuer, gate: Gate[Any], scope: str) -> None:
        self._issuer = issuer
        self._gate = gate
        self._demand = administrators(gate, issuer, scope)
        self.operations = self._table()
        """Their rows."""

    def _table(self) -> tuple[Operation, ...]:
        of_subject = "/admin/subjects/{subject}/sessions"
        named = (
            Operation("admin_sessions", "GET", of_subject, self._sessions, "The sessions of a subject", response=SessionsResponse),
            Operation("admin_end_subject", "DELETE", of_subject, self._end_subject, "End all sessions of a subject"),
            Operation("admin_end_session", "DELETE", "/admin/sessions/{id}", self._end_session, "End one session, whosever it is"),
            Operation("admin_retire_key", "DELETE", "/admin/keys/{kid}", self._retire_key, "Retire a key, in an emergency"),
        )
        everything = Operation(
            "admin_revoke_everything",
            "POST",
            "/admin/revoke-everything",
            self._revoke_everything,
            "Revoke all that was issued until now, in an emergency",
            response=EverythingRevoked,
        )
        return (
            *(replace(row, errors=(400, 401, 403, 404, 413, 503), guarded=True) for row in named),
            replace(everything, errors=(400, 401, 403, 413, 503), guarded=True),
        )

    async def _sessions(self, request: Request) -> Response:
        token = await self._admitted(request)
        return json_response(SessionsResponse.of(await self._issuer.sessions(_subject(request)), token.session_id))

    async def _end_subject(self, request: Request) -> Response:
        token = await self._admitted(request)
        await self._issuer.revoke_subject(_subject(request), reason=_by(token))
        return Response(204)

    async def _end_session(self, request: Request) -> Response:
        token = await self._admitted(request)
        await self._issuer.revoke_session(request.path["id"], reason=_by(token))
        return Response(204)

    async def _retire_key(self, request: Request) -> Response:
        await self._admitted(request)
        try:
            await self._issuer.revoke_key(request.path["kid"])
        except TypeError:  # of KeySet.retire: a signer's key that signs, and no other announced
            raise InvalidRequest("This key signs, no other is announced, and none can be made where it is kept.") from None
        return Response(204)

    async def _revoke_everything(self, request: Request) -> Response:
        await self._admitted(request)
        return json_response(EverythingRevoked(await self._issuer.revoke_everything()))

    async def _admitted(self, request: Request) -> AccessToken[Any]:
        return await self._gate.admit_async(request.method, request.headers, self._demand)


def _by(token: AccessToken[Any]) -> str:
    return f"ended_by_administrator {token.subject}"


def _subject(request: Request) -> str:
    """The subject in the path. NotFound for what can be none."""
    try:
        check_text("subject", request.path["subject"])
    except ValueError:
        raise NotFound from None
    return request.path["subject"]

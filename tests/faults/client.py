"""Client: one session in honest hands: a refresh token, its attempt id, and the patience to ask again until it is answered.

    service = HttpService(port)                     # over HTTP, a connection a client; or IssuerService(issuer), in this process
    client = Client(run, service, "user-1")
    await client.login()
    outcome = await client.refresh()                # "ok", or the code of a refusal; "lost" only where patience ran out

Every try goes to the run's log. Never knows a store, a server or who kills it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from faults.checker import NOT_THE_TOKENS_FAULT
from faults.log import now
from faults.run import Run, parts
from stagedoor.errors import AuthError
from stagedoor.issuer import Issuer

PAUSE = 0.03
"""Seconds between two tries of a client that was not answered."""
UNANSWERED = NOT_THE_TOKENS_FAULT - {"ok"} | {"temporarily_unavailable"}
"""Nothing is known about the token: ask again."""


class Lost(Exception):
    """No answer came; it may have happened."""


class Refused(Exception):
    """The service said no; `code` is the `error` of the answer, or the code of the AuthError in this process."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Service(Protocol):
    """What a client talks to. Every method raises Refused or Lost."""

    async def login(self, name: str) -> str:
        """A refresh token of a new session."""

    async def refresh(self, token: str, attempt: str | None) -> str:
        """The refresh token to use from now on."""

    async def logout(self, token: str) -> None:
        """End the session of this token."""


class Client:
    """Keeps one refresh token and its attempt id as RFC-abiding clients do: takes the newer token, never gives the older one again."""

    def __init__(self, run: Run, service: Service, name: str, *, attempts: bool = True) -> None:
        self.run = run
        self.service = service
        self.name = name
        self.attempts = attempts
        self.token = ""
        self.attempt: str | None = None
        self.session = ""
        self.generation = -1
        self.before = ""
        """The token that the present one replaced."""
        self.answered_at = 0.0
        """When it was last answered with a token, on the log's clock."""

    async def login(self, *, within: float = 30.0) -> None:
        """A new session; asks again until there is one. Lost when the time is over."""
        until = now() + within
        while True:
            try:
                return self.take(await self.service.login(self.name))
            except (Lost, Refused) as error:
                if now() > until or (isinstance(error, Refused) and error.code not in UNANSWERED):
                    raise
            await asyncio.sleep(PAUSE)

    def take(self, token: str) -> None:
        """A token came: it replaces an older one, and gets an attempt id of its own."""
        session, generation, _ = parts(token)
        self.answered_at = now()
        if session != self.session or generation > self.generation:
            self.before, self.token = self.token if session == self.session else "", token
            self.session, self.generation = session, generation
            self.attempt = secrets.token_urlsafe(18) if self.attempts else None

    async def ask(self) -> str:
        """One try: "ok", "lost", or the code of a refusal. It is in the log then."""
        token, sent = self.token, now()
        try:
            answer = await self.service.refresh(token, self.attempt)
        except Lost:
            self.run.refreshed(token, sent, "lost")
            return "lost"
        except Refused as error:
            code = "store_unavailable" if error.code == "temporarily_unavailable" else error.code
            self.run.refreshed(token, sent, code)
            return code
        self.run.refreshed(token, sent, "ok", answer)
        self.take(answer)
        return "ok"

    async def refresh(self, *, within: float = 30.0, pause: float = PAUSE) -> str:
        """Ask until it is answered or the time is over; what came last."""
        until = now() + within
        while (outcome := await self.ask()) in UNANSWERED and now() < until:
            await asyncio.sleep(pause)
        return outcome

    async def logout(self, *, within: float = 30.0) -> bool:
        """Log out, asking again until it is acknowledged; whether it was. Every try is in the log."""
        until = now() + within
        while True:
            sent = now()
            try:
                await self.service.logout(self.token)
            except (Lost, Refused):
                self.run.revoked(self.session, sent, "logout", acknowledged=False)
                if now() > until:
                    return False
                await asyncio.sleep(PAUSE)
            else:
                self.run.revoked(self.session, sent, "logout")
                return True


class HttpService:
    """The endpoints at a port of this machine, over one kept connection: each client has its own.

    `patience`: seconds until a silent service counts as lost.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1", prefix: str = "/auth", patience: float = 10.0) -> None:
        self.address = (host, port)
        self.prefix = prefix
        self.patience = patience
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def login(self, name: str) -> str:
        """As Service.login."""
        return await self._token("/login", {"username": name, "password": "any"}, {})

    async def refresh(self, token: str, attempt: str | None) -> str:
        """As Service.refresh."""
        return await self._token("/refresh", {"refresh_token": token}, {} if attempt is None else {"Idempotency-Key": attempt})

    async def logout(self, token: str) -> None:
        """As Service.logout."""
        await self.post("/logout", {"refresh_token": token}, {})

    async def _token(self, path: str, body: object, headers: Mapping[str, str]) -> str:
        answer: str = (await self.post(path, body, headers))["refresh_token"]
        return answer

    async def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """One request, tried once."""
        try:
            async with asyncio.timeout(self.patience):
                status, content = await self._exchange(self.prefix + path, msgspec.json.encode(body), headers or {})
            answer: dict[str, Any] = msgspec.json.decode(content) if content.startswith(b"{") else {}  # a crash answers in plain text
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            await self.close()
            raise Lost(repr(error)) from None
        except BaseException:
            await self.close()  # given up in the middle: the next answer on this connection would be the wrong one
            raise
        if status >= 300:
            raise Refused(str(answer.get("error", status)))
        return answer

    async def _exchange(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self.address)
        reader, writer = self._streams
        lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        status = int(head[0].split(" ")[1])
        content = await reader.readexactly(int(fields.get("content-length", "0")))
        if fields.get("connection", "").lower() == "close":
            await self.close()
        return status, content

    async def close(self) -> None:
        """Let go of the connection; the next request opens another one."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with suppress(OSError):
                await streams[1].wait_closed()


class IssuerService:
    """An issuer in this process. StoreError and its kin are refusals that say nothing about the token. `issuer` may be replaced."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer

    async def login(self, name: str) -> str:
        """As Service.login."""
        try:
            return (await self.issuer.issue(name)).refresh_token
        except AuthError as error:
            raise Refused(error.code) from error

    async def refresh(self, token: str, attempt: str | None) -> str:
        """As Service.refresh."""
        try:
            return (await self.issuer.refresh(token, attempt=attempt)).refresh_token
        except AuthError as error:
            raise Refused(error.code) from error

    async def logout(self, token: str) -> None:
        """As Service.logout."""
        try:
            await self.issuer.revoke(token)
        except AuthError as error:
            raise Refused(error.code) from error

"""Protocol: how many bytes, and how much time, one connection may take before the app hears of it.

Never knows a route, an account or what a body says.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from stagedoor.errors import InvalidRequest, RequestError, TooLarge
from stagedoor.guards.response import refusal

LARGEST_HEAD = 64 * 1024
"""Bytes of a request line and its headers. The endpoints refuse headers from half of that; this is what the parser may have to keep."""
LARGEST_REST = 2 * 1024 * 1024
"""Bytes of what follows a head: body, framing of chunks, trailers."""
DUE_WITHIN = 10.0
"""Seconds in which a head must be complete; and the rest of a body, once its answer is out."""
LINGER = 2.0
"""Seconds in which whoever was refused may stop sending and read the answer."""
_STEP = 16 * 1024
"""Bytes parsed at one time: a read may bring many requests, and each head is to be measured."""


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the limits that httptools does not have, and refusals in our shape."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = True  # or before one
        self._size = 0  # of this head, or of what followed it
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(DUE_WITHIN, self._refuse)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio."""
        self._nothing_is_due()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """asyncio."""
        while data and not self._refused:
            room = (LARGEST_HEAD if self._in_head else LARGEST_REST) - self._size
            if room <= 0:
                return self._refuse(TooLarge(f"The head of a request may have {LARGEST_HEAD} bytes, what follows {LARGEST_REST}."))
            step = min(room, _STEP)
            part, data = data[:step], data[step:]
            self._size += len(part)
            super().data_received(part)
            if self._in_head and self._size and self._timer is None and not self._refused:  # begun, and not complete by now
                self._timer = self.loop.call_later(DUE_WITHIN, self._refuse)
        if self._refused:
            self._size += len(data)
            if self._size > LARGEST_REST:
                self.transport.abort()
        return None

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools."""
        if self._in_head:  # a trailer is no header (RFC 9110 section 6.5.1), though httptools reports both in one way
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """httptools."""
        super().on_headers_complete()
        self._nothing_is_due()
        self._in_head, self._size = False, 0

    def on_message_complete(self) -> None:
        """httptools."""
        super().on_message_complete()
        self._nothing_is_due()
        self._in_head, self._size = True, 0

    def on_response_complete(self) -> None:
        """uvicorn."""
        super().on_response_complete()
        if not self._in_head and not self._refused and self._timer is None and self.cycle.response_complete:
            self._timer = self.loop.call_later(DUE_WITHIN, self._refuse)

    def send_400_response(self, msg: str) -> None:
        """What httptools cannot parse."""
        self._refuse(InvalidRequest("This is not a request in HTTP/1.1."))

    def _refuse(self, error: RequestError | None = None) -> None:
        """Parse no further; end the connection once the answers that are due are out. The refusal is one of them where it has its turn."""
        if self._refused or self.transport.is_closing():
            return
        self._refused, self._size = True, 0
        self._nothing_is_due()
        self._unset_keepalive_if_required()
        # What still comes is read and thrown away: closing on unread bytes is a reset, which takes the answer with it.
        self.flow.resume_reading()
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy and self._in_head:
            self.cycle.keep_alive = False  # an earlier request is being answered; that ends the connection
            return
        if busy and self.pipeline:
            self.transport.close()  # a body that is broken, while others before it are answered
            return
        if busy:
            self.cycle.disconnected = True  # for the app it is as if the client had gone
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()
        if error is not None and (self._in_head or (busy and not self.cycle.response_started)):
            self.transport.write(self._bytes(error))
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER, self.transport.abort)

    def _bytes(self, error: RequestError) -> bytes:
        answer = refusal(error)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
        headers += [*self.server_state.default_headers, (b"content-length", b"%d" % len(answer.body)), (b"connection", b"close")]
        return b"".join([STATUS_LINE[answer.status], *(b"%s: %s\r\n" % each for each in headers), b"\r\n", answer.body])

    def _nothing_is_due(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""Server: the listening socket and uvicorn around the app, in this one process.

Never knows an account or what is served.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket

import uvicorn
from starlette.applications import Starlette

from stagedoor.service.protocol import LimitedProtocol
from stagedoor.service.settings import Settings

_STOPS_WITHIN = 10


class ServerError(Exception):
    """The service cannot be started; `hint` says how to mend it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def listen(settings: Settings) -> socket.socket:
    """A socket that listens already: who connects from now on waits for the app. ServerError where that cannot be."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that cannot be one
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise ServerError(f"port {settings.port} on {settings.host} is in use", "choose another with --port") from None
        reason = (getattr(error, "strerror", None) or "no such address").lower()
        raise ServerError(
            f"cannot listen on {settings.host} port {settings.port}: {reason}", "choose others with --host and --port"
        ) from None


def serve(app: Starlette, listener: socket.socket, settings: Settings) -> None:
    """Answer requests until SIGINT or SIGTERM. ServerError where the app does not start."""
    log_to_stderr(settings.log_level)
    config = uvicorn.Config(
        app,
        workers=1,
        loop="auto",
        http=LimitedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=settings.log_level == "debug",
        server_header=False,
        proxy_headers=False,  # forwarded addresses are read by the endpoints, from trusted proxies only
        timeout_graceful_shutdown=_STOPS_WITHIN,
    )
    server = uvicorn.Server(config)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has stopped in good order, then says again what it heard
        server.run(sockets=[listener])
    if not server.started:
        raise ServerError("the service did not start", "the log above says why")


def log_to_stderr(level: str) -> None:
    """Our log from this level on, and the warnings of others, as lines on standard error."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("stagedoor").setLevel(level.upper())
    others = logging.DEBUG if level == "debug" else max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()])
    logging.getLogger().setLevel(others)

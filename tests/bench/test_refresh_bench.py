"""The benchmark of refreshes finds a server that does not do the work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.clients import load
from bench.refresh_http import Chain, Fresh, _member, _oauth

KEPT = '{"access_token": "a.b.c", "refresh_token": "sdr_same"}'


class Wrong(BaseHTTPRequestHandler):
    """Says the same to everybody."""

    protocol_version = "HTTP/1.1"
    status, body = 200, "{}"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=[(200, "{}"), (200, KEPT), (200, '{"refresh_token": "sdr_next"}'), (503, KEPT), (400, "{}")])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    status, body = request.param
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Server", (Wrong,), {"status": status, "body": body})) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_what_is_no_rotation_fails_the_run(port: int) -> None:
    """A refusal, an answer without a token and one that keeps the refresh token end the run, whoever is asked."""
    with pytest.raises(AssertionError, match="no rotation"):
        load(port, [Fresh(iter(["sdr_same"]))], 60.0)
    chain = Chain("sdr_same", partial(_oauth, "/token"), True, partial(_member, "refresh_token"))
    with pytest.raises(AssertionError, match="no rotation"):
        load(port, [chain], 60.0)

"""Sinkhole: the attacker's own server, which counts whoever comes; nobody should.

Never knows what is verified.
"""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from .forgery import public_jwk, stranger

STRANGER = "the-strangers-key"
"""Name of the key that a sinkhole serves."""
_PORTS = 2


class Sinkhole:
    """Servers on several ports of the loopback, IPv4 and, where there is one, IPv6; they serve the attacker's JWKS to whoever asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections = 0
        addresses = [("127.0.0.1", socket.AF_INET)] * _PORTS + [("::1", socket.AF_INET6)] * _has_ipv6()
        self._servers = [_Counting(address, family, self) for address, family in addresses]

    @property
    def connections(self) -> int:
        """How many have come."""
        with self._lock:
            return self._connections

    @property
    def urls(self) -> tuple[str, ...]:
        """Where it is, without a slash behind; the same place by a host's name too."""
        ports = [(server.server_address[0], server.server_address[1]) for server in self._servers]
        return (
            *(f"http://[{host}]:{port}" if ":" in str(host) else f"http://{host}:{port}" for host, port in ports),
            *(f"http://localhost:{port}" for host, port in ports[:1]),
        )

    def count(self) -> None:
        with self._lock:
            self._connections += 1

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Counting(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: str, family: socket.AddressFamily, sinkhole: Sinkhole) -> None:
        self.address_family = family
        self.sinkhole = sinkhole
        super().__init__((address, 0), _Answer)

    def get_request(self) -> Any:
        found = super().get_request()
        self.sinkhole.count()  # a connection is enough: nothing need be asked
        return found

    def server_bind(self) -> None:
        # Without the look-up of the host's name that HTTPServer makes.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "sinkhole", self.server_address[1]


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        keys = [public_jwk(stranger(alg).public_key(), kid=STRANGER, alg=alg, use="sig") for alg in ("ES256", "RS256")]
        origin = f"http://{self.headers.get('Host', '')}"
        body = json.dumps({"keys": keys, "issuer": origin, "jwks_uri": f"{origin}/jwks.json"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True

"""The sinkhole notices whoever comes: without that, nobody having come would say nothing."""

from __future__ import annotations

import json
import socket
import urllib.request

from .sinkhole import STRANGER, Sinkhole


def test_a_connection_is_counted():
    """A request is counted at each of its addresses, a connection without a request too, and the attacker's keys are served."""
    with Sinkhole() as sinkhole:
        assert sinkhole.connections == 0
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for number, url in enumerate(sinkhole.urls, 1):
            with opener.open(f"{url}/jwks.json") as answer:
                assert {key["kid"] for key in json.load(answer)["keys"]} == {STRANGER}
            assert sinkhole.connections >= number
        before = sinkhole.connections
        with socket.create_connection(("127.0.0.1", int(sinkhole.urls[0].rpartition(":")[2]))) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            connection.recv(1)
        assert sinkhole.connections == before + 1

"""Request: what an operation reads of an HTTP request, as plain values; bodies in strict JSON.

Never knows a framework.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeVar
from urllib.parse import unquote_to_bytes

import msgspec

from stagedoor.encoding import decode_object
from stagedoor.errors import InvalidRequest, MalformedToken, TooLarge, WrongMediaType
from stagedoor.guards.headers import Headers

LARGEST_BODY = 8 * 1024
"""Bytes; a larger body is refused before it is read."""
LARGEST_HEADERS = 32 * 1024
"""Bytes of all headers together."""
LARGEST_QUERY = 16 * 1024
"""Bytes of a query, where one is read."""
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_WITH_PORT = re.compile(r"\[([^]]*)\](?::[0-9]{1,5})?|([^:]*):[0-9]{1,5}")
Network = IPv4Network | IPv6Network
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One request to an endpoint."""

    method: str
    headers: Headers
    body: bytes = field(default=b"", repr=False)
    peer: str | None = None
    """Address of whoever opened the connection: the client, or a proxy."""
    path: Mapping[str, str] = field(default_factory=dict)
    """Parameters in the path."""
    query: bytes = field(default=b"", repr=False)
    """What stands behind the question mark, as it was sent."""

    def read(self, shape: type[T]) -> T:
        """The body as this shape. WrongMediaType, InvalidRequest; what was sent is never repeated in a message."""
        content_type = (self.headers.one(b"content-type") or "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            raise WrongMediaType("The body must be application/json.")
        try:
            return msgspec.convert(decode_object(self.body), shape)
        except MalformedToken as error:
            raise InvalidRequest(f"The body cannot be read: {error}.") from None
        except msgspec.ValidationError as error:
            raise InvalidRequest(_complaint(str(error))) from None


def parameters(query: bytes) -> dict[str, str]:
    """The parameters in a query, in UTF-8, each once. TooLarge, InvalidRequest; what was sent is never repeated in a message."""
    if len(query) > LARGEST_QUERY:
        raise TooLarge(f"The query may have {LARGEST_QUERY} bytes.")
    found: dict[str, str] = {}
    try:
        for part in query.decode("ascii").split("&") if query else ():
            name, sign, value = (_plain_text(each) for each in part.replace("+", " ").partition("="))
            if not name or not sign or name in found:
                raise InvalidRequest("The query is not a list of parameters, each once.")
            found[name] = value
    except UnicodeDecodeError:
        raise InvalidRequest("The query is not UTF-8.") from None
    return found


def _plain_text(quoted: str) -> str:
    if _BAD_PERCENT.search(quoted):
        raise InvalidRequest("The query has a percent sign that quotes nothing.")
    return unquote_to_bytes(quoted).decode("utf-8")


def knows(headers: Headers, etag: str) -> bool:
    """Whether the client has what this ETag names (RFC 9110 section 13.1.2)."""
    known = [tag.strip().removeprefix("W/") for line in headers.all(b"if-none-match") for tag in line.split(",")]
    return etag in known or "*" in known


def declared_length(headers: Headers) -> int | None:
    """Content-Length, where it is one number. TooLarge where it is over the limit, or the headers are."""
    value = headers.one(b"content-length")
    if headers.size() > LARGEST_HEADERS:
        raise TooLarge(f"The headers may have {LARGEST_HEADERS} bytes.")
    if value is None or not value.isdecimal():
        return None
    if int(value[:12]) > LARGEST_BODY:
        raise TooLarge(f"The body may have {LARGEST_BODY} bytes.")
    return int(value[:12])


def networks(addresses: Iterable[str]) -> tuple[Network, ...]:
    """Proxies, as addresses or networks. ValueError for anything else."""
    if isinstance(addresses, str):
        raise TypeError("proxies is a list of addresses or networks")
    return tuple(ip_network(address) for address in addresses)


def client_address(request: Request, proxies: tuple[Network, ...]) -> str:
    """The client's address as limits count it: X-Forwarded-For is believed from these proxies only; IPv6 counts by /64.

    An address that cannot be read counts as one and the same.
    """
    address = _plain(request.peer or "")
    forwarded = [hop.strip() for line in request.headers.all(b"x-forwarded-for") for hop in line.split(",")]
    while forwarded and address is not None and any(address in network for network in proxies):
        address = _plain(forwarded.pop())
    if address is None:
        return "unknown"
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)


def _plain(text: str) -> IPv4Address | IPv6Address | None:
    """The address in "192.0.2.1", "192.0.2.1:443", "2001:db8::1" or "[2001:db8::1]:443": proxies write them all."""
    found = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address(found[1] or found[2] if found else text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _complaint(error: str) -> str:
    """msgspec's message without what was sent."""
    missing = re.match(r"Object missing required field `(\w+)`", error)
    if missing:
        return f"The body lacks {missing[1]!r}."
    where = re.search(r"\$\.(\w+)", error)
    return f"The member {where[1]!r} of the body is not what belongs there." if where else "The body is not what belongs here."

"""RemoteDocument: one JSON document of another server, fetched under strict limits: https, no redirect, bounded in size.

Never knows what the document means, and keeps none. The time limit is the caller's: it covers all that one fetch takes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stagedoor.encoding import decode_object
from stagedoor.errors import MalformedToken

try:
    import httpx2
except ImportError as missing:
    raise ImportError('fetching keys needs an HTTP client: pip install "stagedoor[remote]"') from missing

LARGEST = 256 * 1024
"""Bytes that a document may have, as they come over the wire."""
_VISIBLE = re.compile(r"[!-~]+")
_ETAG = re.compile(r'(W/)?"[!#-~]{0,200}"')
_NUMBER = re.compile(r"[0-9]{1,9}")
_NEVER_FRESH = frozenset({"no-store", "no-cache"})


class DocumentRefused(Exception):
    """What a server answered is not taken. The message is ours alone: nothing of the answer's body is in it."""


@dataclass(frozen=True, slots=True)
class RemoteDocument:
    """What a server answered."""

    members: Mapping[str, Any] | None
    """None: it has not changed since the answer of that ETag (304)."""
    etag: str | None
    max_age: int | None
    """Seconds that it is fresh from when it was asked for, 0 for no-store and no-cache; None: the server does not say."""


def check_url(url: str, name: str, such_as: str = "https://auth.example/.well-known/jwks.json") -> httpx2.URL:
    """The URL, if we would fetch from it: https, or http on this machine itself. TypeError, ValueError."""
    if not isinstance(url, str):
        raise TypeError(f"{name} is a text such as {such_as!r}, not {type(url).__name__}")
    try:
        parsed = httpx2.URL(url)  # the client's own reading: two parsers could see two hosts
    except httpx2.InvalidURL:
        raise ValueError(f"{name} is no URL") from None
    if not _VISIBLE.fullmatch(url) or "\\" in url or not parsed.host:
        raise ValueError(f"{name} is no URL: write it whole, as in {such_as!r}")
    if parsed.userinfo or "#" in url:
        raise ValueError(f"{name} must have no user, password or fragment")
    if parsed.scheme != "https" and not (parsed.scheme == "http" and is_loopback(parsed.host)):
        raise ValueError(f"{name} must begin with https://; http:// is for this machine itself (localhost, 127.0.0.1, [::1])")
    return parsed


def is_loopback(host: str) -> bool:
    """Whether this host, as a URL names it, is the machine itself: localhost, 127.0.0.0/8, ::1."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback and not getattr(address, "ipv4_mapped", None)


def shown(url: str) -> str:
    """The URL as a log may have it: without its query."""
    return url.partition("?")[0]


def why(error: BaseException) -> str:
    """Why a fetch failed, without a word of what was sent: what the client says of a bad answer quotes it."""
    local = isinstance(error, DocumentRefused | httpx2.ConnectError | RuntimeError)  # said by us, by TLS or by the system here
    return str(error) if local else type(error).__name__


async def fetch(url: str, types: tuple[str, ...], *, etag: str | None = None) -> RemoteDocument:
    """The JSON object at this URL, which check_url has passed; `types` are the media types that it may have.

    With `etag` the server may say that nothing has changed. DocumentRefused, or whatever the client raises.
    """
    headers = {"accept": ", ".join(types), "accept-encoding": "identity", "user-agent": "stagedoor", "connection": "close"}
    if etag is not None:
        headers["if-none-match"] = etag
    # A proxy of the environment is for the world outside; SSL_CERT_FILE counts everywhere.
    client = httpx2.AsyncClient(
        verify=httpx2.create_ssl_context(),
        trust_env=not is_loopback(httpx2.URL(url).host),
        timeout=None,  # the caller's limit is over all, where the client's would begin anew with each byte
        follow_redirects=False,
    )
    async with client, client.stream("GET", url, headers=headers) as response:
        if response.status_code == 304 and etag is not None:
            return RemoteDocument(None, etag, _max_age(response.headers))
        _check_head(response, types)
        data = await _body(response)
    try:
        members = decode_object(data)
    except MalformedToken as error:
        raise DocumentRefused(f"no strict JSON object: {error}") from None
    said = response.headers.get("etag")
    return RemoteDocument(members, said if said and _ETAG.fullmatch(said) else None, _max_age(response.headers))


def _check_head(response: httpx2.Response, types: tuple[str, ...]) -> None:
    if response.is_redirect:
        raise DocumentRefused(f"status {response.status_code}: a redirect, and none is followed")
    if response.status_code != 200:
        raise DocumentRefused(f"status {response.status_code}")
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise DocumentRefused("compressed, though identity was asked for")
    # Who says nothing of the type says nothing wrong (RFC 9110 section 8.3): the strict JSON must convince by itself.
    kind = response.headers.get("content-type", types[0]).partition(";")[0].strip().lower()
    if kind not in types:
        raise DocumentRefused(f"Content-Type is none of {', '.join(types)}")


async def _body(response: httpx2.Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_raw():  # raw: nothing is unpacked
        size += len(chunk)
        if size > LARGEST:
            raise DocumentRefused(f"over {LARGEST} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _max_age(headers: httpx2.Headers) -> int | None:
    """RFC 9111 section 4.2: how long it is fresh, less the time that it has lain in a cache on the way."""
    directives = [part.strip().lower() for part in headers.get("cache-control", "").split(",")]
    if not _NEVER_FRESH.isdisjoint(part.partition("=")[0] for part in directives):
        return 0
    ages = [part.partition("=")[2].strip('"') for part in directives if part.startswith("max-age=")]
    if not ages:
        return None
    if not all(map(_NUMBER.fullmatch, ages)):
        return 0  # section 4.2.1: what cannot be understood is stale
    age = headers.get("age", "0")
    return max(0, min(map(int, ages)) - (int(age) if _NUMBER.fullmatch(age) else 0))

"""HTTPFeed: the revocations of a service elsewhere, read from its endpoint under strict limits.

Never knows a token; and of an answer in which one thing is wrong it believes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import threading
import weakref
from collections.abc import Mapping
from concurrent.futures import CancelledError
from typing import Any
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

from stagedoor.encoding import decode_object
from stagedoor.errors import MalformedToken, StoreError
from stagedoor.feeds.feed_keys import check_feed_key
from stagedoor.follower import FeedClosed, uptime
from stagedoor.lifetime import seconds
from stagedoor.remote_document import DocumentRefused, check_url, is_loopback, shown, why
from stagedoor.revocation import Page, Record

try:
    import httpx2
except ImportError as missing:  # pragma: no cover - remote_document has said so
    raise ImportError('reading revocations over HTTP needs an HTTP client: pip install "stagedoor[remote]"') from missing

LARGEST = 32 * 1024 * 1024
"""Bytes that an answer may have: some 250,000 records."""
_LONGEST_WAIT = 20.0
"""Seconds: the endpoint waits for no longer."""
LONGEST_QUERY = 16 * 1024
_LONGEST_NAME = 4096
_SUCH_AS = "https://auth.example/auth/revocations"
_LATEST = 1e11
_PATIENCE = 2.0
_VISIBLE = re.compile(r"[!-~]+")
_HINTS = {
    401: ": the service does not take this feed key: it is to be one of its STAGEDOOR_FEED_KEYS",
    404: ": there is no such endpoint: the URL is another, or the service has no feed keys (STAGEDOOR_FEED_KEYS)",
}


class HTTPFeed:
    """The feed at this URL, such as https://auth.example/auth/revocations, for `Revocations.following`.

    `key`: one of the feed keys of that service. `timeout`: a span or seconds that a read may take beyond what it was told to wait.
    Nothing is opened before the first read. It is safe on many threads, and after a fork. TypeError, ValueError at construction.
    """

    def __init__(self, url: str, *, key: str, timeout: str | float = "5s") -> None:
        parsed = check_url(url, "url", _SUCH_AS)
        if "?" in url:
            raise ValueError("url must have no query: the feed adds its own")
        if parsed.path in ("", "/"):
            raise ValueError(f"url is that of the endpoint, not of the service: write it whole, as in {_SUCH_AS!r}")
        if not isinstance(timeout, str | int | float):
            raise TypeError(f"timeout is a text such as '5s' or a number of seconds, not {type(timeout).__name__}")
        self._timeout = float(seconds(timeout) if isinstance(timeout, str) else timeout)
        if not 0.05 <= self._timeout <= 60:
            raise ValueError("timeout lies between 50 milliseconds and a minute")
        self._url = url
        self._proxied = not is_loopback(parsed.host)
        self._headers = {
            "authorization": f"Bearer {check_feed_key(key)}",
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "stagedoor",
        }
        self._links: dict[int, _Link] = {}  # by process: what a parent has is never touched by its children
        self._closed = False
        weakref.finalize(self, _let_go, self._links)

    def __repr__(self) -> str:
        return f"<HTTPFeed {shown(self._url)}>"

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        """As Feed.read. StoreError where no answer comes, or one that is not taken; FeedClosed."""
        if self._closed and wait > 0:
            raise FeedClosed("the feed was closed")
        self._closed = False
        wait = min(wait, _LONGEST_WAIT)
        query = f"wait={wait:.3f}" if after is None else f"after={quote(after, safe='')}&wait={wait:.3f}"
        request = httpx2.Request("GET", f"{self._url}?{query}", headers=self._headers)
        link = self._link()
        sent = uptime()
        told, failure = link.ask(request, self._timeout + wait)
        if failure is not None and self._closed:
            raise FeedClosed("the feed was closed")
        if failure is None:
            try:
                cursor, records, now, age = _told(decode_object(told))
            except (DocumentRefused, MalformedToken) as error:
                failure = f"the answer is refused: {error}"
        if failure is not None:  # said here, where no exception hangs on to the request and its headers
            raise StoreError(f"the revocations of {shown(self._url)} could not be read: {failure}")
        early = wait - (uptime() - sent)
        if early > 0 and not records:
            link.ended.wait(early)  # who does not wait is asked no more often than who does
        return Page(cursor, records, now, uptime() - sent + age)

    def close(self) -> None:
        """Let go of the connections; a read under way fails. A later read without a wait opens new ones."""
        self._closed = True
        _let_go(self._links)

    def _link(self) -> _Link:
        process = os.getpid()
        link = self._links.get(process)
        if link is None:
            made = _Link(_transport(self._url, self._proxied))
            link = self._links.setdefault(process, made)  # a dict settles it without a lock, which a fork could leave locked
            if link is not made:
                made.close()
        return link


class _Link:
    """Connections, and a thread with an event loop for them: there a time limit is over all of a request, byte by byte."""

    def __init__(self, transport: httpx2.AsyncHTTPTransport) -> None:
        self.ended = threading.Event()
        self._transport = transport
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_run, args=(self._loop, transport), name="stagedoor-feed", daemon=True)
        self._thread.start()

    def ask(self, request: httpx2.Request, limit: float) -> tuple[bytes, str | None]:
        """The body, or why there is none."""
        asking = _answer(self._transport, request, limit)
        try:
            answer = asyncio.run_coroutine_threadsafe(asking, self._loop)
        except RuntimeError:  # the loop is closed
            asking.close()
            return b"", "the feed was closed"
        try:
            return answer.result(limit + 1)
        except CancelledError:
            return b"", "the feed was closed"
        except TimeoutError:
            answer.cancel()
            return b"", "no answer came in time"

    def close(self) -> None:
        """Give up what is under way."""
        self.ended.set()
        with contextlib.suppress(RuntimeError):  # it is closed already
            self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not threading.current_thread():
            self._thread.join(_PATIENCE)


def _let_go(links: dict[int, _Link]) -> None:
    link = links.pop(os.getpid(), None)
    if link is not None:
        link.close()


def _run(loop: asyncio.AbstractEventLoop, transport: httpx2.AsyncHTTPTransport) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(transport.aclose())
    finally:
        loop.close()


def _transport(url: str, proxied: bool) -> httpx2.AsyncHTTPTransport:
    """Not a client: that one keeps cookies, and logs each request, five a second, at level INFO."""
    parsed = httpx2.URL(url)
    proxies = getproxies() if proxied and not proxy_bypass(parsed.host) else {}
    proxy = proxies.get(parsed.scheme) or proxies.get("all")
    limits = httpx2.Limits(max_connections=4, max_keepalive_connections=2, keepalive_expiry=60.0)
    return httpx2.AsyncHTTPTransport(
        verify=httpx2.create_ssl_context() if parsed.scheme == "https" else False,
        limits=limits,
        trust_env=False,
        proxy=None if proxy is None else httpx2.Proxy(proxy if "://" in proxy else f"http://{proxy}"),
    )


async def _answer(transport: httpx2.AsyncHTTPTransport, request: httpx2.Request, limit: float) -> tuple[bytes, str | None]:
    try:
        async with asyncio.timeout(limit):
            response = await transport.handle_async_request(request)
            try:
                _check_head(response)
                return await _body(response), None
            finally:
                await response.aclose()
    except TimeoutError:
        return b"", f"not done within {limit:g} s"
    except Exception as error:  # noqa: BLE001 - whatever the client raises; its text may quote what was sent
        return b"", why(error)


def _check_head(response: httpx2.Response) -> None:
    if response.status_code != 200:
        redirect = ": a redirect, and none is followed" if response.is_redirect else ""
        raise DocumentRefused(f"status {response.status_code}{redirect or _HINTS.get(response.status_code, '')}")
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise DocumentRefused("compressed, though identity was asked for")
    if response.headers.get("content-type", "application/json").partition(";")[0].strip().lower() != "application/json":
        raise DocumentRefused("Content-Type is not application/json: is this the URL of its revocations?")


async def _body(response: httpx2.Response) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_raw():  # raw: nothing is unpacked
        data += chunk
        if len(data) > LARGEST:
            raise DocumentRefused(f"over {LARGEST} bytes")
    return bytes(data)


def _told(members: Mapping[str, Any]) -> tuple[str, list[Record], float | None, float]:
    """Cursor, records, now and age. DocumentRefused, whichever of them is wrong."""
    cursor, records, now = members.get("cursor"), members.get("records"), members.get("now")
    if not isinstance(cursor, str) or not _VISIBLE.fullmatch(cursor) or len(quote(cursor, safe="")) > LONGEST_QUERY - 64:
        raise DocumentRefused("cursor is no cursor")
    if not isinstance(records, list):
        raise DocumentRefused("records is no list")
    return cursor, [_record(each) for each in records], None if now is None else _number("now", now), _number("age", members.get("age"))


def _record(told: Any) -> Record:
    if not isinstance(told, dict):
        raise DocumentRefused("a record is no object")
    kind, name, through = told.get("kind"), told.get("name"), told.get("through")
    if kind not in ("session", "key", "issuer"):
        raise DocumentRefused("a record is of no kind that is known here: is the service newer than this?")
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise DocumentRefused("the name of a record is no name")
    if type(through) is not int or _number("through", through) < 0:
        raise DocumentRefused("through is no second")
    return Record(kind, name, _number("until", told.get("until")), _number("written", told.get("written")), through)


def _number(name: str, value: Any) -> float:
    """Seconds: of a moment, or of an age. What lies outside of all that is plausible is no such number."""
    if type(value) not in (int, float) or not 0 <= value <= _LATEST:
        raise DocumentRefused(f"{name} is no number of seconds")
    return float(value)

"""URLs of Redis: what is wrong with one is said before anything is opened.

Never knows whether anybody answers there, and quotes nothing that may be of a password.
"""

from __future__ import annotations

import inspect
import math
import re
from types import ModuleType
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from redis.asyncio.connection import parse_url
from redis.cluster import REDIS_ALLOWED_KEYS

_SCHEMES = {"redis": "Connection", "rediss": "SSLConnection", "unix": "UnixDomainSocketConnection"}
"""Each with the connection of redis-py that is made for it."""
_OURS = {"replicas": "1", "allow_eviction": "True", "prefix": "'stagedoor'", "server_clock": "False"}
_ENCODE = "the password in the URL holds a character that must be percent-encoded: @ is %40, / is %2F, # is %23, ? is %3F"


def parse(url: str, client: ModuleType) -> tuple[str, bool]:
    """The URL as redis-py knows it, and whether it is a cluster's; `client` is redis or redis.asyncio. ValueError, TypeError."""
    if not isinstance(url, str):
        raise TypeError("url is a text such as 'redis://localhost:6379'")
    scheme, separator, rest = url.partition("://")
    plain, cluster = scheme.removesuffix("+cluster"), scheme in ("redis+cluster", "rediss+cluster")
    if not separator or (scheme not in _SCHEMES and not cluster):
        raise ValueError("a Redis URL begins with redis://, rediss://, unix://, redis+cluster:// or rediss+cluster://")
    known = f"{plain}://{rest}"
    parts = _split(known)
    _check_place(parts, cluster=cluster)
    _check_options(parts.query, _taken(plain, client, cluster=cluster))
    if cluster and parse_url(known).get("db"):
        raise ValueError("a Redis Cluster has the database 0 alone")
    return known, cluster


def _split(url: str) -> SplitResult:
    """The parts of a URL whose password, if there is one, ends at the @ before the host."""
    try:
        parts = urlsplit(url)
    except ValueError:  # its text may quote the password
        raise ValueError(_ENCODE if "@" in url else "the host in the URL is none") from None
    userinfo, _, host = parts.netloc.rpartition("@")
    behind = parts.path + parts.query + parts.fragment
    socket_alone = parts.scheme == "unix" and not parts.netloc  # its path may hold an @: there is no password in front of it
    if "@" in userinfo or ("@" in behind and not socket_alone) or (parts.fragment and "password" in parts.query):
        raise ValueError(_ENCODE)
    if parts.fragment:
        raise ValueError("a Redis URL has no part behind a #")
    if parts.scheme == "unix" and (host or len(parts.path) < 2):
        raise ValueError(_ENCODE if "@" in url else "the URL names no socket: write such as unix:///run/redis/redis.sock")
    return parts


def _check_place(parts: SplitResult, *, cluster: bool) -> None:
    if parts.scheme == "unix":
        return
    try:
        right = parts.port != 0
    except ValueError:  # its text may quote a password that lacks its @
        right = False
    if not right:
        raise ValueError("the port in the URL is a number from 1 to 65535")
    if cluster and not parts.hostname:
        raise ValueError("the URL names no host: write such as redis+cluster://localhost:6379")
    if not re.fullmatch("(/[0-9]*/?)?", parts.path):
        raise ValueError("the database in the URL is a number, as in redis://localhost:6379/0")


def _check_options(query: str, taken: frozenset[str]) -> None:
    options = parse_qsl(query, keep_blank_values=True)
    with_password = any("password" in name.lower() for name, _ in options)  # the rest may be of it, behind a bare &
    for name, value in options:
        if name in _OURS:
            raise ValueError(f"{name} is an argument: RedisStore(url, {name}={_OURS[name]})")
        if name not in taken:
            raise ValueError(f"redis-py takes no option {'of such a name' if with_password else repr(name)} in the URL")
        try:
            read = parse_url(f"redis://localhost?{urlencode({name: value})}").get(name)
        except ValueError:
            read = None
        if read is None or (isinstance(read, int | float) and not 0 <= read < math.inf):
            raise ValueError(f"redis-py does not take this value of {name} in the URL")


def _taken(scheme: str, client: ModuleType, *, cluster: bool) -> frozenset[str]:
    """The options that redis-py's client of this scheme takes."""
    if cluster:
        names = _arguments(client.RedisCluster)
        return names | frozenset(REDIS_ALLOWED_KEYS) if "kwargs" in names else names
    makers = (*getattr(client, _SCHEMES[scheme]).__mro__, client.BlockingConnectionPool)
    return frozenset[str]().union(*map(_arguments, makers))


def _arguments(maker: type) -> frozenset[str]:
    return frozenset(inspect.signature(maker.__init__).parameters)  # type: ignore[misc]

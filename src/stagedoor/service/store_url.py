"""StoreURL: where accounts or sessions live, as an operator wrote it: checked in form, shown without its password.

Never knows whether anybody answers there, and never shows the password: who connects asks for `secret`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Self
from urllib.parse import SplitResult, parse_qsl, urlsplit

POSTGRES = ("postgresql",)
REDIS = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")

_SWITCH = ("true|false", "true or false")
_OPTIONS = {
    "postgresql": {
        "connections": ("[1-9][0-9]{0,2}", "a number from 1 to 999"),
        "statement_cache": _SWITCH,
        "revoke_commit": ("on|remote_apply", "on or remote_apply"),
    },
    **{
        scheme: {
            "replicas": ("[0-9]", "a number from 0 to 9"),
            "allow_eviction": _SWITCH,
            "prefix": ("[A-Za-z0-9_:.{}-]+", "letters, digits and _ : . - { }, at least one"),
        }
        for scheme in REDIS
    },
}
"""What is ours behind the ?, as a pattern and in words: arguments of SQLStore or RedisStore. What else stands there is the driver's."""
_ANYTHING = (".*", "")
_NO_DATABASE = "leave it empty for SQLite in the data folder"
_NO_SESSIONS = "leave it empty: sessions then live in the database, SQLite in the data folder where that setting is empty too"
_ENCODE = "in a name or a password write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as %25"


@dataclass(frozen=True, slots=True, repr=False)
class StoreURL:
    """A URL of PostgreSQL or Redis, or none. Neither its text nor its repr shows the password."""

    secret: str = field(default="")
    """The whole URL, with the password."""

    @classmethod
    def parse(cls, value: Any, schemes: tuple[str, ...]) -> Self:
        """The URL in this text, of one of these schemes; "" is none. ValueError(what is wrong, how to mend it), which quotes nothing."""
        if value == "":
            return cls()
        scheme, mark, rest = value.partition("://") if isinstance(value, str) else ("", "", "")
        if not mark or not re.fullmatch("[A-Za-z0-9+]{1,30}", scheme) or not re.fullmatch("[!-~]+", rest):
            raise ValueError("is not a URL", f"write such as {_example(schemes[0])}")
        if scheme not in schemes:
            otherwise = {"postgres": "write postgresql://", "sqlite": _NO_DATABASE if schemes == POSTGRES else _NO_SESSIONS}
            hint = otherwise.get(scheme, f"choose one of {', '.join(f'{each}://' for each in schemes)}")
            raise ValueError(f"is a URL with {scheme}://", hint)
        _check(_split(value), scheme)
        needed, extra = ("redis", "redis") if scheme in REDIS else ("psycopg", "postgres")
        if find_spec(needed) is None:
            raise ValueError(f"needs {needed}, which is not installed", f"pip install 'stagedoor[service,{extra}]'")
        return cls(value)

    @property
    def is_redis(self) -> bool:
        """Whether Redis is there, or Redis Cluster."""
        return self.secret.partition("://")[0] in REDIS

    @property
    def address(self) -> str:
        """What a store is given: the whole URL, with the password, without the options that are ours."""
        place, _, query = self.secret.partition("?")
        others = [option for option in query.split("&") if option.partition("=")[0] not in self.options]
        return f"{place}?{'&'.join(others)}".rstrip("?")

    @property
    def options(self) -> Mapping[str, Any]:
        """The arguments of SQLStore or RedisStore that stand behind the ?."""
        scheme, _, rest = self.secret.partition("://")
        given = parse_qsl(rest.partition("?")[2])
        return {name: text if name == "prefix" else _read(text) for name, text in given if name in _OPTIONS.get(scheme, ())}

    def __bool__(self) -> bool:
        return bool(self.secret)

    def __str__(self) -> str:
        # What was parsed has one @ at the most, and it ends the password.
        return re.sub("^([^:]+://[^:@/]*):[^@/]*@", r"\1:***@", self.secret)

    def __repr__(self) -> str:
        return f"StoreURL({str(self)!r})"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if "," not in parts.netloc:  # several hosts have several ports
            _ = parts.port
    except ValueError:  # its text may quote the password
        raise ValueError("is not a URL: its port is no number, or a character in it must be encoded", _ENCODE) from None
    return parts


def _check(parts: SplitResult, scheme: str) -> None:
    userinfo, _, host = parts.netloc.rpartition("@")
    half_encoded = re.search("%(?![0-9A-Fa-f]{2})", userinfo)
    if "@" in userinfo + parts.path + parts.query or parts.fragment or userinfo.count(":") > 1 or half_encoded:
        raise ValueError("holds a character that must be encoded", _ENCODE)
    query = parse_qsl(parts.query, keep_blank_values=True)
    if any("password" in name.lower() for name, _ in query):
        raise ValueError("has a password behind the ?", f"write it in front of the host: {_example(scheme)}")
    for name, value in query:
        pattern, words = _OPTIONS[scheme].get(name, _ANYTHING)
        if not re.fullmatch(pattern, value):
            raise ValueError(f"has a wrong {name} behind the ?", f"write {name}= and {words}")
    if scheme == "unix" and (host or len(parts.path) < 2):
        raise ValueError("names no socket", "write such as unix:///run/redis/redis.sock")
    if scheme in REDIS and scheme != "unix" and not host.strip(":"):
        raise ValueError("names no host", f"write such as {_example(scheme)}")


def _read(text: str) -> Any:
    return {"true": True, "false": False}.get(text, int(text) if text.isdecimal() else text)


def _example(scheme: str) -> str:
    return f"{scheme}://user:password@store.example/0" if scheme in REDIS else f"{scheme}://user:password@db.example/stagedoor"

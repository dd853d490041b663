"""Settings: what an operator chooses; read once, checked whole, frozen.

Never shows a password, and never looks at the environment by itself: it is handed over.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from stagedoor.errors import KeyRejected
from stagedoor.feeds.feed_keys import FeedKeys
from stagedoor.lifetime import seconds
from stagedoor.service.store_url import POSTGRES, REDIS, StoreURL
from stagedoor.vault import MasterKey

PREFIX = "STAGEDOOR_"
CONFIG = "STAGEDOOR_CONFIG"
ALGORITHMS = ("ES256", "RS256", "Ed25519")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
_ROTATIONS_IN_A_LIFE = 40
_LONGEST = 3650 * 86_400
_SHORTEST_ROTATION = 3600  # each key is announced first, and stays in the JWKS for a day after its time


class SettingsError(ValueError):
    """A setting is wrong. The message names it and where it came from, `hint` says how to mend it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.args[0]} ({self.hint})"

    @property
    def message(self) -> str:
        """What is wrong, without the hint."""
        return str(self.args[0])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The service's settings. `Settings.load` is how they are made; a span is "90s", "15m", "1h" or "7d"."""

    data: Path = Path("stagedoor-data")
    """Folder of the master key and SQLite's database; a relative one counts from where the command runs."""
    database: StoreURL = StoreURL()
    """Where accounts, keys and peppers live, and sessions unless told otherwise: postgresql://… Empty: SQLite in the data folder."""
    sessions: StoreURL = StoreURL()
    """Where sessions live: redis://, rediss://, unix://, redis+cluster://, rediss+cluster:// or postgresql://… Empty: the database."""
    host: str = "127.0.0.1"
    """Address to listen on; "0.0.0.0" is every IPv4 address of the machine."""
    port: int = 8000
    """TCP port, 1 to 65535."""
    issuer: str = ""
    """The `iss` of all tokens: the URL that people reach the service by. Empty: http://localhost:PORT."""
    audience: str = ""
    """The `aud` of access tokens: who is to accept them. Empty: the issuer."""
    algorithm: str = "ES256"
    """What the first key signs with: ES256, RS256 or Ed25519. Later ones sign with the same."""
    master_key: MasterKey | None = None
    """What the keys and the peppers in the database are sealed under. None: the file master.key in the data folder, made on first use."""
    key_rotation: str | int = ""
    """How often a new key and a new pepper take over by themselves; a span of at least an hour. Empty: only by hand."""
    access: str | int = "15m"
    """How long an access token lives; a span."""
    refresh_idle: str | int = "30d"
    """How long a session lives without a refresh; a span."""
    refresh_absolute: str | int = "90d"
    """How long a session lives at the longest; a span."""
    retry_window: str | int = "60s"
    """How long a refresh may be repeated and get the same answer; a span, shorter than refresh_idle."""
    session_limit: int = 100
    """Live sessions an account may have; the oldest ends for a new one. 1 to 10000."""
    origins: tuple[str, ...] = ()
    """Other origins whose pages may use the cookies, such as https://app.example; the own origin always may."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose X-Forwarded-For is believed, such as 10.0.0.0/8."""
    feed_keys: FeedKeys | None = None
    """Secrets that services which verify only read revocations with, at /auth/revocations. None: nobody can."""
    password_threads: int = msgspec.field(default_factory=_cores)
    """Passwords that are checked at one time, 64 MiB each; by default one for each core. 1 to 256."""
    log_level: str = "info"
    """What is logged: debug, info, warning, error or critical."""
    sources: Mapping[str, str] = {}
    """Where each value came from; not a setting."""

    @property
    def issuer_url(self) -> str:
        """The issuer, filled in where it is left open."""
        return self.issuer or f"http://localhost:{self.port}"

    @property
    def token_audience(self) -> str:
        """The audience, filled in where it is left open."""
        return self.audience or self.issuer_url

    @property
    def session_store(self) -> StoreURL:
        """Where sessions live, filled in where it is left open."""
        return self.sessions or self.database

    @classmethod
    def load(cls, environment: Mapping[str, str], file: Path | None = None, **overrides: Any) -> Settings:
        """Defaults, under the TOML file (`file`, else what STAGEDOOR_CONFIG names), under STAGEDOOR_*, under `overrides` that are not None.

        SettingsError for a wrong value, an unknown name, or a file that cannot be read.
        """
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for name, value, source in _given(environment, file, overrides):
            values[name], sources[name] = _checked(name, value, source), source
        settings = cls(**values, sources=sources)
        if seconds(settings.retry_window) >= seconds(settings.refresh_idle):
            blamed = sources.get("retry_window") or sources.get("refresh_idle", "default")
            raise SettingsError(
                f"retry_window ({settings.retry_window}) is not shorter than refresh_idle ({settings.refresh_idle}), from {blamed}",
                "make retry_window shorter; 60s is a good value",
            )
        if settings.key_rotation and seconds(settings.access) > _ROTATIONS_IN_A_LIFE * seconds(settings.key_rotation):
            raise SettingsError(
                f"key_rotation ({settings.key_rotation}) is very short beside access ({settings.access})",
                f"a token lives for {_ROTATIONS_IN_A_LIFE} rotations at the most, because the key of each is published meanwhile",
            )
        return settings

    def rows(self) -> Iterator[tuple[str, Any, str]]:
        """Name, value and origin of each setting, open ones filled in, in the order of their definition."""
        filled = {"issuer": self.issuer_url, "audience": self.token_audience, "sessions": self.session_store}
        filled |= {name: "" if getattr(self, name) is None else "(set)" for name in ("master_key", "feed_keys")}
        for name in _CHECKS:
            yield name, filled.get(name, getattr(self, name)), self.sources.get(name, "default")


def _given(environment: Mapping[str, str], file: Path | None, overrides: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Each value that somebody gave, the weakest source first."""
    path = file or (Path(environment[CONFIG]) if environment.get(CONFIG) else None)
    if path is not None:
        for name, value in _file(path).items():
            _known(name, name, f"file {path}")
            yield name, value, f"file {path}"
    for variable, text in environment.items():
        if variable.startswith(PREFIX) and variable != CONFIG:
            name = variable.removeprefix(PREFIX).lower()
            _known(name, variable, "environment")
            yield name, text, f"environment {variable}"
    for name, value in overrides.items():
        if value is not None:
            _known(name, name, "command line")
            yield name, value, "command line"


def _file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise SettingsError(f"cannot read the settings file {path}: {reason}", f"mend the path in {CONFIG}, or unset it") from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are both
        raise SettingsError(f"the settings file {path} is not TOML: {error}", 'write lines such as: access = "15m"') from None


def _known(name: str, written: str, source: str) -> None:
    if name in _CHECKS and written in (name, PREFIX + name.upper()):
        return
    hint = "`stagedoor settings` shows all names"
    for near in difflib.get_close_matches(name.lower(), _CHECKS, n=1, cutoff=0.6):
        hint = f"did you mean {PREFIX + near.upper() if written.startswith(PREFIX) else near}?"
    if re.match(r"STAGEDOOR_(SERVICE_|PORT_|\w+_SERVICE_|\w+_PORT)", written):
        hint = "Kubernetes adds such variables for a service of such a name: set enableServiceLinks: false, or name it otherwise"
    raise SettingsError(f"unknown setting {written} (from {source})", hint)


def _checked(name: str, value: Any, source: str) -> Any:
    try:
        return _CHECKS[name](value)
    except _Wrong as wrong:
        raise SettingsError(f"the setting {name} (from {source}) {wrong.args[0]}", wrong.args[1]) from None


class _Wrong(Exception):
    """What is wrong with a value, and how to mend it."""


def _text(value: Any, example: str) -> str:
    if not isinstance(value, str) or not value.isprintable() or value != value.strip():
        raise _Wrong(f"is {value!r}, not a text", f"write it as {example}")
    return value


def _folder(value: Any) -> Path:
    text = _text(os.fspath(value) if isinstance(value, Path) else value, '"./stagedoor-data"')
    if not text:
        raise _Wrong("is empty", "name a folder, such as ./stagedoor-data")
    return Path(text)


def _store(*schemes: str) -> Callable[[Any], StoreURL]:
    def check(value: Any) -> StoreURL:
        try:
            return StoreURL.parse(value, schemes)
        except ValueError as error:
            raise _Wrong(*error.args) from None

    return check


def _host(value: Any) -> str:
    text = _text(value, '"127.0.0.1"')
    try:
        ip_address(text)
    except ValueError:
        if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", text):
            return text
        raise _Wrong(
            f"is {text!r}, not an address or a host name", "write an address without port or brackets, such as 127.0.0.1 or ::1"
        ) from None
    return text


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value) else value
        if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
            raise _Wrong(f"is {value!r}, not a number from {least} to {most}", f"write a whole number from {least} to {most}")
        return number

    return check


def _split(text: str) -> SplitResult | None:
    """The URL in its parts; None where it is none that others could reach us by."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    bad = parts.username is not None or "?" in text or "#" in text or " " in text or port == 0
    return parts if parts.scheme in ("http", "https") and parts.hostname and not bad else None


def _issuer(value: Any) -> str:
    text = _text(value, '"https://auth.example"')
    if text and _split(text) is None:
        raise _Wrong("is not a URL that tokens can name", "write http or https, a host and at most a path, such as https://auth.example")
    return text


def _audience(value: Any) -> str:
    return _text(value, '"https://api.example"')


def _algorithm(value: Any) -> str:
    if value not in ALGORITHMS:
        raise _Wrong(f"is {value!r}", f"choose one of {', '.join(ALGORITHMS)}")
    return str(value)


def _master_key(value: Any) -> MasterKey | None:
    if value == "":
        return None
    try:
        return MasterKey.parse(value)
    except KeyRejected:  # without the value: it may be all but right
        hint = "write what `stagedoor keys master-key` prints, or what stands in a file master.key; several with commas, the newest first"
        raise _Wrong("is not a master key", hint) from None


def _rotation(value: Any) -> str | int:
    if value == "":
        return ""
    span = _span(value)
    if seconds(span) < _SHORTEST_ROTATION:
        raise _Wrong(f"is {value!r}, too short", 'write a span of at least "1h", such as "30d"; leave it empty to rotate by hand')
    return span


def _span(value: Any) -> str | int:
    hint = 'write a number and its unit, such as "90s", "15m", "1h", "7d"; at most "3650d"'
    try:
        length = seconds(value)
    except (TypeError, ValueError):
        raise _Wrong(f"is {value!r}, not a lifetime", hint) from None
    if length > _LONGEST:
        raise _Wrong(f"is {value!r}, too long", hint)
    kept: str | int = value
    return kept


def _texts(value: Any, example: str) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise _Wrong(f"is {value!r}, not a list of texts", f"write {example}; in the environment, with commas between")
    return tuple(item.strip() for item in items if item.strip())


def _origins(value: Any) -> tuple[str, ...]:
    origins = _texts(value, '["https://app.example"]')
    for origin in origins:
        parts = _split(origin)
        if parts is None or origin != f"{parts.scheme}://{parts.netloc}" or origin != origin.lower():
            hint = "write it as a browser sends it: scheme, host and port alone, in lower case, no slash at the end, such as https://app.example"
            raise _Wrong(f"holds {origin!r}, not an origin", hint)
    return origins


def _proxies(value: Any) -> tuple[str, ...]:
    proxies = _texts(value, '["10.0.0.0/8"]')
    for proxy in proxies:
        try:
            ip_network(proxy)
        except ValueError:
            raise _Wrong(f"holds {proxy!r}, not an address or a network", "write such as 10.0.0.7, 10.0.0.0/8 or fd00::/8") from None
    return proxies


def _feed_keys(value: Any) -> FeedKeys | None:
    try:
        keys = FeedKeys.parse(value) if isinstance(value, str) else FeedKeys(value)
    except (TypeError, ValueError):  # without the value: it may be all but right
        hint = "write what `stagedoor keys feed-key` prints: 32 to 512 characters of visible ASCII; several with commas between"
        raise _Wrong("is not a list of feed keys", hint) from None
    return keys if keys else None


def _log_level(value: Any) -> str:
    level = value.lower() if isinstance(value, str) else value
    if level not in LOG_LEVELS:
        raise _Wrong(f"is {value!r}", f"choose one of {', '.join(LOG_LEVELS)}")
    return str(level)


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "data": _folder,
    "database": _store(*POSTGRES),
    "sessions": _store(*REDIS, *POSTGRES),
    "host": _host,
    "port": _whole(1, 65_535),
    "issuer": _issuer,
    "audience": _audience,
    "algorithm": _algorithm,
    "master_key": _master_key,
    "key_rotation": _rotation,
    "access": _span,
    "refresh_idle": _span,
    "refresh_absolute": _span,
    "retry_window": _span,
    "session_limit": _whole(1, 10_000),
    "origins": _origins,
    "trusted_proxies": _proxies,
    "feed_keys": _feed_keys,
    "password_threads": _whole(1, 256),
    "log_level": _log_level,
}
"""Every setting, in the order in which they are shown, and how its value is checked."""

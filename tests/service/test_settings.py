"""Settings: four sources, one order, and errors that say what to mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stagedoor.feeds.feed_keys import FeedKeys
from stagedoor.service.settings import Settings, SettingsError
from stagedoor.vault import MasterKey

MASTER = MasterKey.generate_text()


def refused(environment: dict[str, str] | None = None, file: Path | None = None, **overrides: Any) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environment or {}, file, **overrides)
    return caught.value


def test_a_rotation_that_publishes_very_many_keys():
    """Keys that change hourly beside tokens that live for a week: refused with the reason."""
    with pytest.raises(SettingsError, match="key_rotation"):
        Settings.load({"STAGEDOOR_KEY_ROTATION": "1h", "STAGEDOOR_ACCESS": "7d"})
    assert Settings.load({"STAGEDOOR_KEY_ROTATION": "1h", "STAGEDOOR_ACCESS": "1d"}).key_rotation == "1h"


def test_defaults_are_those_of_the_design():
    """With nothing given, every setting has its documented default and says so."""
    settings = Settings.load({})
    assert (settings.access, settings.refresh_idle, settings.refresh_absolute, settings.retry_window) == ("15m", "30d", "90d", "60s")
    assert (settings.host, settings.port, settings.algorithm, settings.session_limit) == ("127.0.0.1", 8000, "ES256", 100)
    assert {source for _, _, source in settings.rows()} == {"default"}


def test_issuer_and_audience_follow_from_the_port():
    """An issuer left open is localhost with the port, an audience left open is the issuer."""
    assert Settings.load({}, port=8123).issuer_url == "http://localhost:8123"
    assert Settings.load({}, port=8123).token_audience == "http://localhost:8123"
    settings = Settings.load({"STAGEDOOR_ISSUER": "https://auth.example"})
    assert (settings.issuer_url, settings.token_audience) == ("https://auth.example", "https://auth.example")
    assert Settings.load({"STAGEDOOR_AUDIENCE": "api"}).token_audience == "api"


def test_each_source_beats_the_one_before(tmp_path: Path):
    """The file beats the defaults, the environment beats the file, the command line beats all; each row says where it came from."""
    file = tmp_path / "stagedoor.toml"
    file.write_text('access = "1m"\nretry_window = "1m"\nport = 1\n')
    environment = {"STAGEDOOR_CONFIG": str(file), "STAGEDOOR_RETRY_WINDOW": "2m", "STAGEDOOR_PORT": "2", "PATH": "/bin"}
    settings = Settings.load(environment, port=3, host=None)
    assert (settings.access, settings.retry_window, settings.port, settings.host) == ("1m", "2m", 3, "127.0.0.1")
    rows = {name: (value, source) for name, value, source in settings.rows()}
    assert rows["access"] == ("1m", f"file {file}")
    assert rows["retry_window"] == ("2m", "environment STAGEDOOR_RETRY_WINDOW")
    assert rows["port"] == (3, "command line")
    assert rows["issuer"] == ("http://localhost:3", "default")


def test_the_file_given_beats_the_file_named_in_the_environment(tmp_path: Path):
    """`file` is read instead of what STAGEDOOR_CONFIG names."""
    file = tmp_path / "a.toml"
    file.write_text("port = 9")
    assert Settings.load({"STAGEDOOR_CONFIG": "/nowhere"}, file).port == 9


def test_lists_come_with_commas_or_as_toml_lists(tmp_path: Path):
    """A list is comma-separated in the environment and a list in TOML."""
    file = tmp_path / "a.toml"
    file.write_text('origins = ["https://a.example", "http://localhost:3000"]')
    assert Settings.load({}, file).origins == ("https://a.example", "http://localhost:3000")
    settings = Settings.load({"STAGEDOOR_TRUSTED_PROXIES": "10.0.0.0/8, ::1,", "STAGEDOOR_ORIGINS": ""})
    assert (settings.trusted_proxies, settings.origins) == (("10.0.0.0/8", "::1"), ())


def test_numbers_in_toml_are_seconds(tmp_path: Path):
    """A lifetime may be a number of seconds where it is a number; digits as text are refused."""
    file = tmp_path / "a.toml"
    file.write_text("access = 90")
    assert Settings.load({}, file).access == 90
    assert "STAGEDOOR_ACCESS" in str(refused({"STAGEDOOR_ACCESS": "90"}))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "8000x"),
        ("PORT", "٨٠٠٠"),
        ("HOST", ""),
        ("HOST", "localhost:80"),
        ("DATA", ""),
        ("DATA", "a\0b"),
        ("DATABASE", "db.example"),
        ("DATABASE", "mysql://app:hidden@db.example/stagedoor"),
        ("DATABASE", "postgres://app:hidden@db.example/stagedoor"),
        ("DATABASE", "postgresql+asyncpg://app:hidden@db.example/stagedoor"),
        ("DATABASE", "redis://:hidden@db.example"),
        ("DATABASE", "sqlite:///hidden.db"),
        ("DATABASE", "postgresql://app:hi dden@db.example/stagedoor"),
        ("DATABASE", "postgresql://app:hidden@hidden@db.example/stagedoor"),
        ("DATABASE", "postgresql://app:hidden/hidden@db.example/stagedoor"),
        ("DATABASE", "postgresql://app:1/hidden@db.example/stagedoor"),
        ("DATABASE", "postgresql://app:1?hidden@db.example/stagedoor"),
        ("DATABASE", "postgresql://app:1#hidden@db.example/stagedoor"),
        ("DATABASE", "postgresql://app:hidden[@db.example/stagedoor"),
        ("DATABASE", "postgresql://app:hidden%@db.example/stagedoor"),
        ("DATABASE", "postgresql://app:hid:den@db.example/stagedoor"),
        ("DATABASE", "postgresql://app@db.example:port/stagedoor"),
        ("DATABASE", "postgresql://app@db.example/stagedoor?password=hidden"),
        ("DATABASE", "postgresql://app@db.example/stagedoor?connections=0"),
        ("DATABASE", "postgresql://app@db.example/stagedoor?revoke_commit=off"),
        ("SESSIONS", "memcached://:hidden@cache.example"),
        ("SESSIONS", "redis://"),
        ("SESSIONS", "redis://:hidden@/0"),
        ("SESSIONS", "unix://redis.sock"),
        ("SESSIONS", "redis://cache.example?password=hidden"),
        ("SESSIONS", "redis://cache.example?replicas=all"),
        ("SESSIONS", "redis://cache.example?allow_eviction=yes"),
        ("SESSIONS", "redis://cache.example?prefix="),
        ("SESSIONS", "redis://cache.example?prefix=a*"),
        ("ISSUER", "auth.example"),
        ("ISSUER", "ftp://auth.example"),
        ("ISSUER", "https://user:hidden@auth.example"),
        ("ISSUER", "https://auth.example/?a"),
        ("ISSUER", "https://"),
        ("ISSUER", "https://[::1"),
        ("ISSUER", " https://auth.example"),
        ("AUDIENCE", "a\nb"),
        ("ALGORITHM", "HS256"),
        ("ALGORITHM", "es256"),
        ("MASTER_KEY", "hidden"),
        ("MASTER_KEY", f"{MASTER},hidden"),
        ("MASTER_KEY", f"{MASTER},"),
        ("KEY_ROTATION", "59m"),
        ("KEY_ROTATION", "soon"),
        ("KEY_ROTATION", "0"),
        ("ACCESS", "15"),
        ("ACCESS", "0m"),
        ("ACCESS", "999999999w"),
        ("REFRESH_IDLE", "1 month"),
        ("REFRESH_ABSOLUTE", ""),
        ("RETRY_WINDOW", "-1s"),
        ("RETRY_WINDOW", "30d"),
        ("SESSION_LIMIT", "0"),
        ("ORIGINS", "https://app.example/"),
        ("ORIGINS", "https://App.example"),
        ("ORIGINS", "null"),
        ("ORIGINS", "*"),
        ("TRUSTED_PROXIES", "proxy.example"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("PASSWORD_THREADS", "0"),
        ("LOG_LEVEL", "loud"),
        ("FEED_KEYS", "hidden"),
        ("FEED_KEYS", "hidden" * 100),
        ("FEED_KEYS", "hidden hidden hidden hidden hidden hidden"),
        ("FEED_KEYS", "k" * 32 + ",hidden"),
    ],
)
def test_a_wrong_value_names_the_setting_its_source_and_the_remedy(variable: str, value: str):
    """Every setting is checked when it is read, and the error is one line with a hint."""
    error = refused({f"STAGEDOOR_{variable}": value})
    assert variable.lower() in error.message
    assert f"STAGEDOOR_{variable}" in error.message
    assert error.hint
    assert "\n" not in str(error)
    assert "hidden" not in str(error)


def test_the_master_key_is_never_shown():
    """Whoever prints a setting, or all of them, sees that there is one, and nothing of it."""
    settings = Settings.load({"STAGEDOOR_MASTER_KEY": f"{MASTER}, {MasterKey.generate_text()}"})
    assert {name: value for name, value, _ in settings.rows()}["master_key"] == "(set)"
    assert {name: value for name, value, _ in Settings.load({"STAGEDOOR_MASTER_KEY": ""}).rows()}["master_key"] == ""
    assert settings.master_key is not None
    for printed in (repr(settings), str(settings), repr(settings.master_key), str(list(settings.rows()))):
        assert MASTER not in printed


def test_feed_keys_are_several_and_never_shown(tmp_path: Path):
    """Feed keys come with commas between, or as a list in TOML; whoever prints settings sees that there are some. Empty is none."""
    first, second = FeedKeys.generate_text(), FeedKeys.generate_text()
    file = tmp_path / "a.toml"
    file.write_text(f'feed_keys = ["{first}", "{second}"]')
    for settings in (Settings.load({"STAGEDOOR_FEED_KEYS": f"{first}, {second}"}), Settings.load({}, file)):
        assert settings.feed_keys is not None
        assert first in settings.feed_keys
        assert second in settings.feed_keys
        assert {name: value for name, value, _ in settings.rows()}["feed_keys"] == "(set)"
        for printed in (repr(settings), str(settings), repr(settings.feed_keys), str(list(settings.rows()))):
            assert first not in printed
            assert second not in printed
    assert Settings.load({"STAGEDOOR_FEED_KEYS": ""}).feed_keys is None
    assert Settings.load({}).feed_keys is None


def test_keys_rotate_by_themselves_only_where_it_is_said(tmp_path: Path):
    """Empty, which is the default, is by hand; an hour is the shortest span; a number of seconds will do in TOML."""
    assert Settings.load({}).key_rotation == Settings.load({"STAGEDOOR_KEY_ROTATION": ""}).key_rotation == ""
    assert Settings.load({"STAGEDOOR_KEY_ROTATION": "1h"}).key_rotation == "1h"
    file = tmp_path / "a.toml"
    file.write_text("key_rotation = 86400")
    assert Settings.load({}, file).key_rotation == 86_400


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://cache.example:6380/1", "redis://cache.example:6380/1"),
        ("rediss://:hidden@cache.example", "rediss://:***@cache.example"),
        ("rediss+cluster://app:hidden@cache.example:6379?replicas=1", "rediss+cluster://app:***@cache.example:6379?replicas=1"),
        ("redis+cluster://[::1]:7000", "redis+cluster://[::1]:7000"),
        ("unix://:hidden@/run/redis.sock?db=2", "unix://:***@/run/redis.sock?db=2"),
        ("postgresql://app:hid%40den@db.example/stagedoor", "postgresql://app:***@db.example/stagedoor"),
        ("postgresql://app@/stagedoor?host=/run/postgresql", "postgresql://app@/stagedoor?host=/run/postgresql"),
        (
            "postgresql://app:hidden@one.example:5432,two.example:5433/stagedoor",
            "postgresql://app:***@one.example:5432,two.example:5433/stagedoor",
        ),
    ],
)
def test_a_url_of_a_store_is_shown_without_its_password(url: str, shown: str):
    """Whatever prints a setting, or all of them, shows three stars; only who connects gets the password."""
    settings = Settings.load({"STAGEDOOR_SESSIONS": url})
    assert {name: str(value) for name, value, _ in settings.rows()}["sessions"] == shown
    for printed in (str(settings.sessions), repr(settings.sessions), f"{settings.sessions}", repr(settings), str(settings.session_store)):
        assert "hid" not in printed
    assert settings.sessions.secret == url


def test_sessions_live_in_the_database_unless_told_otherwise():
    """Nothing set is SQLite; a database takes the sessions too; a store of their own leaves the accounts where they are."""
    assert not Settings.load({}).session_store
    settings = Settings.load({"STAGEDOOR_DATABASE": "postgresql://db.example/stagedoor"})
    assert settings.session_store == settings.database
    settings = Settings.load({"STAGEDOOR_SESSIONS": "redis://cache.example"})
    assert (str(settings.session_store), bool(settings.database)) == ("redis://cache.example", False)


def test_what_a_store_is_told_stands_behind_the_question_mark():
    """Our own options are arguments of the store; the driver's stay in the URL."""
    url = "rediss://:secret@cache.example/0?replicas=2&ssl_ca_certs=/ca.pem&allow_eviction=true"
    sessions = Settings.load({"STAGEDOOR_SESSIONS": url}).sessions
    assert sessions.options == {"replicas": 2, "allow_eviction": True}
    assert sessions.address == "rediss://:secret@cache.example/0?ssl_ca_certs=/ca.pem"
    for prefix in ("7", "true", "shop:a"):
        assert Settings.load({"STAGEDOOR_SESSIONS": f"redis://h?prefix={prefix}"}).sessions.options == {"prefix": prefix}
    database = Settings.load({"STAGEDOOR_DATABASE": "postgresql://db.example/x?statement_cache=false"}).database
    assert (database.options, database.address) == ({"statement_cache": False}, "postgresql://db.example/x")


@pytest.mark.parametrize(
    ("variable", "url", "hint"),
    [
        ("DATABASE", "postgresql://h/x?connections=0", "write connections= and a number from 1 to 999"),
        ("DATABASE", "postgresql://h/x?statement_cache=no", "write statement_cache= and true or false"),
        ("DATABASE", "postgresql://h/x?revoke_commit=off", "write revoke_commit= and on or remote_apply"),
        ("SESSIONS", "redis://h?replicas=all", "write replicas= and a number from 0 to 9"),
        ("SESSIONS", "redis://h?prefix=", "write prefix= and letters, digits and _ : . - { }, at least one"),
        ("DATABASE", "sqlite:///x.db", "leave it empty for SQLite in the data folder"),
        (
            "SESSIONS",
            "sqlite:///x.db",
            "leave it empty: sessions then live in the database, SQLite in the data folder where that setting is empty too",
        ),
    ],
)
def test_hints_about_urls_are_words(variable: str, url: str, hint: str):
    """What an option behind the ? may be is said in words, and what SQLite would be by the setting it was written in."""
    assert refused({f"STAGEDOOR_{variable}": url}).hint == hint


@pytest.mark.parametrize(
    ("variable", "url", "extra"),
    [("DATABASE", "postgresql://app:hidden@db.example/stagedoor", "postgres"), ("SESSIONS", "redis://:hidden@cache.example", "redis")],
)
def test_a_driver_that_is_missing_is_one_command_away(variable: str, url: str, extra: str, monkeypatch: pytest.MonkeyPatch):
    """Where the extra of a store is not installed, the hint installs it."""
    monkeypatch.setattr("stagedoor.service.store_url.find_spec", lambda name: None)
    error = refused({f"STAGEDOOR_{variable}": url})
    assert "not installed" in error.message
    assert error.hint == f"pip install 'stagedoor[service,{extra}]'"
    assert "hidden" not in str(error)


@pytest.mark.parametrize(
    "line", ["port = true", "port = 1.5", "database = 5", "access = 1.5", "origins = 5", "origins = [5]", "host = 5", "log_level = []"]
)
def test_a_wrong_type_in_the_file_is_refused(tmp_path: Path, line: str):
    """TOML has types; a value of a wrong one names the file."""
    file = tmp_path / "a.toml"
    file.write_text(line)
    assert f"file {file}" in refused(file=file).message


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path: Path):
    """A typing mistake never passes in silence, wherever it stands."""
    error = refused({"STAGEDOOR_ACESS": "1m"})
    assert (error.message, error.hint) == (
        "unknown setting STAGEDOOR_ACESS (from environment)",
        "did you mean STAGEDOOR_ACCESS?",
    )
    file = tmp_path / "a.toml"
    file.write_text('retry-window = "1m"')
    assert refused(file=file).hint == "did you mean retry_window?"
    file.write_text('PORT = "1m"')
    assert refused(file=file).hint == "did you mean port?"
    assert refused(colour="red").message == "unknown setting colour (from command line)"
    assert "unknown" in refused({"STAGEDOOR_Port": "1"}).message
    assert "unknown" in refused({"STAGEDOOR_SOURCES": "1"}).message


def test_the_variables_of_kubernetes_are_explained():
    """Kubernetes adds STAGEDOOR_PORT_8000_TCP for a service of our name; the hint knows."""
    for variable in ("STAGEDOOR_PORT_8000_TCP", "STAGEDOOR_DATABASE_PORT", "STAGEDOOR_DATABASE_SERVICE_HOST"):
        assert "enableServiceLinks" in refused({variable: "tcp://10.0.0.1:8000"}).hint


@pytest.mark.parametrize("content", [None, b"access: 15m", b"\xff"])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes | None):
    """A missing file, a file that is not TOML, a file that is not UTF-8."""
    file = tmp_path / "a.toml"
    if content is not None:
        file.write_bytes(content)
    assert str(file) in refused({"STAGEDOOR_CONFIG": str(file)}).message


def test_settings_are_frozen_and_few():
    """Nobody changes a setting after it was checked, and there are at most 30."""
    settings = Settings.load({})
    with pytest.raises(AttributeError):
        settings.port = 1  # type: ignore[misc]
    names = [name for name, _, _ in settings.rows()]
    assert len(names) <= 30
    assert {*names, "sources"} == set(Settings.__struct_fields__)

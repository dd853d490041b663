"""Settings: four sources, one order, and errors that say what to mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stagedoor.service.settings import Settings, SettingsError


def refused(environment: dict[str, str] | None = None, file: Path | None = None, **overrides: Any) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environment or {}, file, **overrides)
    return caught.value


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


@pytest.mark.parametrize(
    "line", ["port = true", "port = 1.5", "access = 1.5", "origins = 5", "origins = [5]", "host = 5", "log_level = []"]
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
    assert "enableServiceLinks" in refused({"STAGEDOOR_PORT_8000_TCP": "tcp://10.0.0.1:8000"}).hint


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

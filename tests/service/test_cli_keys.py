"""The commands of keys and peppers, as transcripts."""

from __future__ import annotations

import json

import pytest

from stagedoor import cli
from stagedoor.entry import ANNOUNCE
from stagedoor.feeds.feed_keys import FeedKeys
from stagedoor.vault import MasterKey

from .conftest import Transcript


def listed(capfd: pytest.CaptureFixture[str], group: str) -> list[dict[str, object]]:
    assert cli.run([group, "list", "--json", "--data", "data"]) == 0
    found: list[dict[str, object]] = json.loads(capfd.readouterr().out)
    return found


def test_keys_are_listed_rotated_and_published(transcript: Transcript, capfd: pytest.CaptureFixture[str]):
    """A rotated key is announced first; the JWKS holds public parts only."""
    transcript(
        """
        $ stagedoor migrate --data data
        the tables in data are up to date
        stagedoor: hint: made data/master.key: keep a copy elsewhere; without it all keys and sessions are lost
        $ stagedoor migrate --data data
        the tables in data are up to date
        $ stagedoor keys list --data data
        kid                                          algorithm  state    signs_from            checks_until
        …  ES256      signing  20…Z  -
        $ stagedoor keys rotate --data data
        …
        $ stagedoor keys list --data data
        kid                                          algorithm  state      signs_from            checks_until
        …  ES256      announced  20…Z  -
        …  ES256      signing    20…Z  20…Z
        $ stagedoor keys list --data data --json
        [
          {
            "kid": "…",
            "algorithm": "ES256",
            "state": "announced",
            "signs_from": …,
            "checks_until": null
          },
          …
        ]
        """
    )
    new, old = listed(capfd, "keys")
    assert ANNOUNCE <= float(str(new["signs_from"])) - float(str(old["signs_from"])) < ANNOUNCE + 30  # the default that the help names
    assert float(str(old["checks_until"])) == pytest.approx(float(str(new["signs_from"])) + 86_400, abs=1)
    assert cli.run(["keys", "jwks", "--data", "data"]) == 0
    published = json.loads(capfd.readouterr().out)["keys"]
    assert len(published) == 2
    assert all("d" not in key and key["kty"] == "EC" for key in published)


def test_a_rotation_in_a_hurry(transcript: Transcript):
    """A shorter announcement than others may keep the JWKS is possible, and said; what is no span is refused."""
    transcript("$ stagedoor migrate --data data\n…")
    transcript(
        """
        $ stagedoor keys rotate --announce 30s --data data
        …
        stagedoor: hint: others may keep the JWKS for 300s: until then some refuse what it signs after 30s
        $ stagedoor keys rotate --announce 1h --data data
        …
        $ stagedoor keys rotate --announce 30 --data data
        stagedoor: error: --announce is '30', not a span such as 90s, 5m, 1h or 7d
        stagedoor: hint: `stagedoor keys rotate --help` shows how it is called
        (exit 2)
        $ stagedoor peppers rotate --announce soon --data data
        stagedoor: error: --announce is 'soon', not a span such as 90s, 5m, 1h or 7d
        stagedoor: hint: `stagedoor peppers rotate --help` shows how it is called
        (exit 2)
        """
    )


def test_a_key_is_retired(transcript: Transcript, capfd: pytest.CaptureFixture[str]):
    """A retired key is gone at once, and the command says which one signs now: an announced one, or a fresh one."""
    transcript("$ stagedoor migrate --data data\n…\n$ stagedoor keys rotate --data data\n…")
    new, old = (str(row["kid"]) for row in listed(capfd, "keys"))
    transcript(
        """
        $ stagedoor keys retire --data data -- {old}
        retired {old}
        {new} signs now
        stagedoor: hint: access tokens that it signed are refused: clients refresh; who follows no revocations hears of it within 5 minutes
        $ stagedoor keys retire --data data {old}
        retired {old}
        {new} signs now
        stagedoor: hint: …
        $ stagedoor keys retire -no-such-kid --data data
        stagedoor: error: there is no key -no-such-kid
        stagedoor: hint: `stagedoor keys list` shows all keys
        (exit 1)
        $ stagedoor keys list --data data
        kid                                          algorithm  state    signs_from            checks_until
        {new}  ES256      signing  20…Z  -
        {old}  ES256      gone     20…Z  -
        $ stagedoor keys retire --data data {new}
        retired {new}
        … signs now
        stagedoor: hint: …
        """,
        old=old,
        new=new,
    )
    assert [row["state"] for row in listed(capfd, "keys")] == ["signing", "gone", "gone"]


def test_peppers_are_listed_rotated_and_retired(transcript: Transcript):
    """A pepper is known by its number alone, and lives as a key does."""
    transcript("$ stagedoor migrate --data data\n…")
    transcript(
        """
        $ stagedoor peppers list --data data
        id  state    current_from          checks_until
        1   current  20…Z  -
        $ stagedoor peppers rotate --data data
        2
        $ stagedoor peppers list --data data
        id  state      current_from          checks_until
        2   announced  20…Z  -
        1   current    20…Z  20…Z
        $ stagedoor peppers list --data data --json
        [
          {
            "id": 2,
            "state": "announced",
            "current_from": …,
            "checks_until": null
          },
          …
        ]
        $ stagedoor peppers retire 1 --data data
        retired 1
        2 is current now
        stagedoor: hint: refresh tokens that were made under it are refused: whose session that is logs in again
        $ stagedoor peppers retire 3 --data data
        stagedoor: error: there is no pepper 3
        stagedoor: hint: `stagedoor peppers list` shows all peppers
        (exit 1)
        $ stagedoor peppers retire one --data data
        stagedoor: error: invalid value for 'ID': …
        stagedoor: hint: `stagedoor peppers retire --help` shows how it is called
        (exit 2)
        """
    )


def test_a_fresh_feed_key(transcript: Transcript, capfd: pytest.CaptureFixture[str]):
    """`keys feed-key` prints one that the setting takes, another each time, and needs no data folder; no command shows the one in use."""
    texts = []
    for _ in range(2):
        assert cli.run(["keys", "feed-key", "--data", "nowhere"]) == 0
        texts.append(capfd.readouterr().out.strip())
    assert texts[0] != texts[1]
    assert texts[0] in FeedKeys.parse(",".join(texts))
    transcript(
        """
        $ STAGEDOOR_FEED_KEYS={first},{second} stagedoor settings
        …
        feed_keys         (set)                  environment STAGEDOOR_FEED_KEYS
        …
        $ STAGEDOOR_FEED_KEYS=short stagedoor settings
        stagedoor: error: the setting feed_keys (from environment STAGEDOOR_FEED_KEYS) is not a list of feed keys
        stagedoor: hint: write what `stagedoor keys feed-key` prints: 32 to 512 characters of visible ASCII; several with commas between
        (exit 1)
        """,
        first=texts[0],
        second=texts[1],
    )


def test_a_fresh_master_key(transcript: Transcript, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """`keys master-key` prints one that the setting takes, another each time, and needs no data folder; no command shows the one in use."""
    texts = set()
    for _ in range(2):
        assert cli.run(["keys", "master-key", "--data", "nowhere"]) == 0
        texts.add(capfd.readouterr().out.strip())
    assert len(texts) == 2
    for text in texts:
        MasterKey.parse(text)
    first, second = texts
    transcript(
        """
        $ STAGEDOOR_MASTER_KEY={first},{second} stagedoor migrate --data data
        the tables in data are up to date
        $ STAGEDOOR_MASTER_KEY={first} stagedoor settings
        …
        master_key        (set)                  environment STAGEDOOR_MASTER_KEY
        …
        $ STAGEDOOR_MASTER_KEY={first}x stagedoor keys list --data data
        stagedoor: error: the setting master_key (from environment STAGEDOOR_MASTER_KEY) is not a master key
        stagedoor: hint: write what `stagedoor keys master-key` prints, or what stands in a file master.key; several with commas, …
        (exit 1)
        $ STAGEDOOR_MASTER_KEY={first} stagedoor keys list --data data
        kid …
        """,
        first=first,
        second=second,
    )
    monkeypatch.setenv("STAGEDOOR_MASTER_KEY", first)
    for command in (["settings", "--json"], ["migrate", "--data", "data"], ["keys", "list", "--data", "data"]):
        assert cli.run(command) == 0
        assert first not in "".join(capfd.readouterr())

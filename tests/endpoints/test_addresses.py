"""The client's address, and the throttle as a login meets it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from endpoints.house import ACCOUNTS, PASSWORDS, House, error
from stagedoor.endpoints import Account
from stagedoor.endpoints.request import Request, client_address, networks
from stagedoor.guards.headers import Headers

PROXIES = networks(["10.0.0.0/8", "192.0.2.7", "2001:db8:1::/48"])
Build = Callable[..., House]


def seen(peer: str | None, *forwarded: str, **options: Any) -> str:
    pairs = [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded]
    return client_address(Request("POST", Headers(pairs), peer=peer), options.get("proxies", PROXIES))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.1", [], "198.51.100.1"),
        ("198.51.100.1", ["203.0.113.9"], "198.51.100.1"),
        ("192.0.2.8", ["203.0.113.9"], "192.0.2.8"),
        ("192.0.2.7", ["203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", ["203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["203.0.113.66, 203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", ["203.0.113.66", "203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", ["10.9.9.9, 203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", ["203.0.113.66, 203.0.113.9, 10.4.5.6"], "203.0.113.9"),
        ("10.1.2.3", ["203.0.113.9,10.4.5.6", "192.0.2.7"], "203.0.113.9"),
        ("10.1.2.3", ["10.4.5.6"], "10.4.5.6"),
        ("10.1.2.3", ["203.0.113.9:51234"], "203.0.113.9"),
        ("10.1.2.3", ["[2001:db8:7::1]:51234"], "2001:db8:7::/64"),
        ("10.1.2.3", ["[2001:db8:7::1]"], "2001:db8:7::/64"),
        ("::ffff:10.1.2.3", ["203.0.113.9"], "203.0.113.9"),
        ("2001:DB8:1:0::5", ["203.0.113.9"], "203.0.113.9"),
        ("2001:db8:2::5", ["203.0.113.9"], "2001:db8:2::/64"),
    ],
)
def test_forwarded_addresses(peer: str, forwarded: list[str], address: str):
    """X-Forwarded-For is believed from the proxies named only, and from its end: what a client writes before is nothing."""
    assert seen(peer, *forwarded) == address


def test_no_proxy_named():
    """Where no proxy is named X-Forwarded-For is nothing."""
    assert seen("10.1.2.3", "203.0.113.9", proxies=networks([])) == "10.1.2.3"


@pytest.mark.parametrize(
    "one",
    ["2001:db8::1", "2001:db8::2", "2001:DB8::ffff", "2001:0db8:0000:0000:ffff::1", "2001:db8:0:0:1:2:3:4", "2001:db8::1%eth0"],
)
def test_ipv6_counts_by_its_network(one: str):
    """All addresses of one /64, however they are written, are one client."""
    assert seen(one) == "2001:db8::/64"
    assert seen("10.1.2.3", one) == "2001:db8::/64"


@pytest.mark.parametrize("one", ["203.0.113.9", "::ffff:203.0.113.9", "::FFFF:cb00:7109", "0:0:0:0:0:ffff:203.0.113.9"])
def test_mapped_ipv4_is_ipv4(one: str):
    """An IPv4 address is one client, as itself and mapped into IPv6."""
    assert seen(one) == "203.0.113.9"


@pytest.mark.parametrize(
    "odd",
    [None, "", "testclient", "unix:", "203.0.113.9:80:80", "203.0.113.09", "203.0.113", "[2001:db8::1", "\xff", "1" * 5000],
)
def test_what_is_no_address(odd: str | None):
    """What cannot be read counts as one and the same client, and never as whoever it names further left."""
    assert seen(odd) == "unknown"
    assert seen("10.1.2.3", f"203.0.113.66, {odd or ''}") == "unknown"


def test_a_long_list():
    """A header full of proxies is read to its end."""
    assert seen("10.1.2.3", ", ".join(["203.0.113.9"] + ["10.0.0.1"] * 2000)) == "203.0.113.9"


async def login(house: House, password: str, peer: str = "198.51.100.1", name: str = "ada", **headers: str) -> int:
    """The status of a login from this address."""
    body = f'{{"username": "{name}", "password": "{password}"}}'.encode()
    pairs = [(b"content-type", b"application/json"), *((key.replace("_", "-").encode(), value.encode()) for key, value in headers.items())]
    operation = next(each for each in house.endpoints.operations if each.name == "login")
    return (await house.endpoints.answer(operation, Request("POST", Headers(pairs), body, peer))).status


@pytest.fixture
async def counting() -> tuple[House, list[str]]:
    """A house and the passwords that it has looked at."""
    looked_at: list[str] = []

    async def authenticate(username: str, password: str) -> Account | None:
        looked_at.append(password)
        await asyncio.sleep(0)
        return ACCOUNTS[username] if PASSWORDS.get(username) == password else None

    return House("starlette", None, authenticate=authenticate, proxies=["10.0.0.1"]), looked_at


async def test_two_hundred_logins_at_once(counting: tuple[House, list[str]]):
    """Of two hundred wrong passwords at once ten are looked at; the right one then waits as well, and from elsewhere it does not."""
    house, looked_at = counting
    statuses = await asyncio.gather(*(login(house, f"wrong {number}") for number in range(200)))
    assert sorted(set(statuses)) == [400, 429]
    assert len(looked_at) == statuses.count(400) == 10
    assert await login(house, PASSWORDS["ada"]) == 429
    assert await login(house, PASSWORDS["ada"], "198.51.100.2") == 200
    assert len(looked_at) == 11


async def test_a_spoofed_address_is_no_way_round(counting: tuple[House, list[str]]):
    """A client that invents addresses is counted by its own, directly and behind the proxy."""
    house, looked_at = counting
    for number in range(15):
        await login(house, "wrong", x_forwarded_for=f"203.0.113.{number}")
        await login(house, "wrong", "10.0.0.1", x_forwarded_for=f"203.0.113.{number}, 198.51.100.77")
    assert len(looked_at) == 20
    assert await login(house, PASSWORDS["ada"], "10.0.0.1", x_forwarded_for="203.0.113.200") == 200


async def test_ipv6_rotation_is_no_way_round(counting: tuple[House, list[str]]):
    """A client that changes its address within its network is counted as one."""
    house, looked_at = counting
    for number in range(15):
        await login(house, "wrong", f"2001:db8::{number:x}")
    assert len(looked_at) == 10


async def test_the_case_of_a_name_is_no_way_round(counting: tuple[House, list[str]]):
    """Other ways to write a name are counted as that name."""
    house, looked_at = counting
    for name in ("ada", "ADA", "Ada", "\uff41\uff44\uff41", "aDa") * 3:
        await login(house, "wrong", name=name)
    assert len(looked_at) == 10


def test_the_answer(build: Build):
    """Who has failed too often gets 429 with the seconds to wait, whatever the password, and another account does not."""
    house = build()
    assert {error(house.login(password="wrong")) for _ in range(10)} == {"invalid_grant"}
    answers = [house.login(), house.login(password="wrong"), house.login("ADA")]
    assert {error(answer, 429) for answer in answers} == {"too_many_attempts"}
    assert len({answer.content for answer in answers}) == 1
    assert {answer.headers["retry-after"] for answer in answers} == {"200"}
    assert house.login("ben").status_code == 200
    house.clock.forward(200)
    assert house.login().status_code == 200


def test_an_unknown_name_is_counted_alike(build: Build):
    """A name that nobody has is refused after as many failures as one that somebody has."""
    house = build()
    statuses = {name: [house.login(name, password="wrong").status_code for _ in range(12)] for name in ("ada", "nobody")}
    assert statuses["ada"] == statuses["nobody"] == [400] * 10 + [429] * 2


def test_scope_refused_is_no_failure(build: Build):
    """A right password with too much scope asked for does not count as a failed login."""
    house = build()
    assert {house.login(scope="orders:delete").status_code for _ in range(12)} == {400}
    assert house.login().status_code == 200

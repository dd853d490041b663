"""Accounts: who may log in, and nothing for those who only want to know who could."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import argon2
import pytest

from stagedoor.errors import InvalidRequest, NotFound, StoreError
from stagedoor.scope import Scope
from stagedoor.service.accounts import Accounts
from stagedoor.service.passwords import Passwords
from stagedoor.stores.sql import Database, SQLStore

PASSWORD = "correct horse"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = SQLStore(f"sqlite:///{tmp_path / 'stagedoor.db'}").database
    yield made
    made.close()


@pytest.fixture
async def accounts(database: Database) -> AsyncIterator[Accounts]:
    passwords = Passwords(threads=2, time_cost=1, memory_cost=8)
    made = Accounts(database, passwords, clock=lambda: 1000.0)
    await made.migrate()
    yield made
    passwords.close()


async def test_an_account_logs_in(accounts: Accounts):
    """The right name and password give the subject, its scope, its name as a claim, and a way to ask again."""
    added = await accounts.add("Ada", PASSWORD, "orders:write orders:read")
    account = await accounts.authenticate("Ada", PASSWORD)
    assert account is not None
    assert (account.subject, account.scope, dict(account.claims)) == (
        added.subject,
        Scope.parse("orders:read orders:write"),
        {"username": "Ada"},
    )
    assert account.confirm is not None
    assert await account.confirm()


async def test_a_fresh_database_has_no_account(accounts: Accounts):
    """There is no default account."""
    assert await accounts.list() == []


async def test_subjects_are_random_and_never_the_name(accounts: Accounts):
    """A subject is "usr_" and 16 random characters."""
    subjects = {(await accounts.add(name, PASSWORD)).subject for name in ("ada", "bob", "cyd")}
    assert len(subjects) == 3
    assert all(subject.startswith("usr_") and len(subject) == 20 for subject in subjects)


@pytest.mark.parametrize("typed", ["ada lovelace", "ADA LOVELACE", "\uff21\uff44\uff41 Lovelace"])
async def test_a_name_is_one_however_it_is_typed(accounts: Accounts, typed: str):
    """Names are looked up without case and compatibility forms; they are shown as they were added."""
    added = await accounts.add("Ada Lovelace", PASSWORD)
    account = await accounts.authenticate(typed, PASSWORD)
    assert account is not None
    assert (account.subject, account.claims["username"]) == (added.subject, "Ada Lovelace")
    with pytest.raises(InvalidRequest, match="already"):
        await accounts.add(typed, PASSWORD)


@pytest.mark.parametrize("name", ["ß" * 255, "İstanbul", "ΌΣΟΣ", "ǰ", "😀", "a" * 255, "o'brien; --", "%", "ada@example.com"])
async def test_odd_names_are_names(accounts: Accounts, name: str):
    """A name with letters that change their length with their case is found again, as it is or in capitals."""
    if len(name.casefold()) > 255:
        with pytest.raises(InvalidRequest):
            await accounts.add(name, PASSWORD)
        return
    added = await accounts.add(name, PASSWORD)
    assert (await accounts.find(name)).subject == added.subject
    assert (await accounts.find(name.upper())).subject == added.subject


@pytest.mark.parametrize(
    "name", ["", "a" * 256, "a\0b", "a\nb", "a\u200bb", "a\u202eb", " ada", "ada ", "\ud800", "a\u00a0b", "\x7f", "ﷺ" * 250]
)
async def test_a_bad_name_is_refused_and_unknown(accounts: Accounts, name: str):
    """Invisible and oversized names cannot be added; asking for them is asking for an unknown user, never an accident."""
    with pytest.raises(InvalidRequest):
        await accounts.add(name, PASSWORD)
    assert await accounts.authenticate(name, PASSWORD) is None
    with pytest.raises(NotFound):
        await accounts.find(name)
    with pytest.raises(NotFound):
        await accounts.disable(name)
    assert await accounts.list() == []


@pytest.mark.parametrize("scope", ["a  b", " a", 'a"b', "a\\b", "ä"])
async def test_a_bad_scope_is_refused(accounts: Accounts, scope: str):
    """An account's scope has the form of RFC 6749."""
    with pytest.raises(InvalidRequest, match="scope"):
        await accounts.add("ada", PASSWORD, scope)
    assert await accounts.list() == []


async def test_a_disabled_account_does_not_log_in(accounts: Accounts):
    """Disabling shuts out the right password too; enabling lets it in again."""
    subject = (await accounts.add("ada", PASSWORD)).subject
    assert await accounts.disable("ADA") == subject
    assert await accounts.authenticate("ada", PASSWORD) is None
    assert (await accounts.find("ada")).disabled_at == 1000.0
    assert await accounts.enable("ada") == subject
    assert await accounts.authenticate("ada", PASSWORD) is not None


async def test_a_new_password_replaces_the_old(accounts: Accounts):
    """After a change only the new password counts; a bad one changes nothing."""
    await accounts.add("ada", PASSWORD)
    with pytest.raises(InvalidRequest):
        await accounts.set_password("ada", "short")
    assert await accounts.authenticate("ada", PASSWORD) is not None
    await accounts.set_password("ada", "battery staple")
    assert await accounts.authenticate("ada", PASSWORD) is None
    assert await accounts.authenticate("ada", "battery staple") is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda accounts: accounts.disable("ada"),
        lambda accounts: accounts.set_password("ada", "battery staple"),
        lambda accounts: accounts.enable("ada"),
    ],
    ids=["disable", "set_password", "enable"],
)
async def test_a_login_is_not_confirmed_after_a_change(accounts: Accounts, change: Callable[[Accounts], Any]):
    """Whoever was let in on the account's old version is told no when asked again: each change counts the version up."""
    before = await accounts.add("ada", PASSWORD)
    account = await accounts.authenticate("ada", PASSWORD)
    assert account is not None
    assert account.confirm is not None
    await change(accounts)
    assert not await account.confirm()
    assert (await accounts.find("ada")).version == before.version + 1


async def test_disabled_and_enabled_in_between_is_still_a_change(accounts: Accounts):
    """A login that raced with disable and enable is not confirmed."""
    await accounts.add("ada", PASSWORD)
    account = await accounts.authenticate("ada", PASSWORD)
    assert account is not None
    await accounts.disable("ada")
    await accounts.enable("ada")
    assert account.confirm is not None
    assert not await account.confirm()


async def test_an_old_hash_is_made_anew_by_a_login(database: Database):
    """Where the costs have changed, the next right login hashes again; that is no change of the account."""
    old, new = Passwords(time_cost=1, memory_cost=8), Passwords(time_cost=2, memory_cost=16)
    before = Accounts(database, old)
    await before.migrate()
    await before.add("ada", PASSWORD)
    accounts = Accounts(database, new)
    assert await accounts.authenticate("ada", "wrong horse") is None
    assert "t=1" in (await accounts.find("ada")).password_hash
    both = await asyncio.gather(*(accounts.authenticate("ada", PASSWORD) for _ in range(2)))
    found = await accounts.find("ada")
    assert "t=2" in found.password_hash
    assert found.version == 1
    for account in both:
        assert account is not None
        assert account.confirm is not None
        assert await account.confirm()
    assert await accounts.authenticate("ada", PASSWORD) is not None
    old.close()
    new.close()


async def test_two_at_once_add_one(accounts: Accounts):
    """Of many that add one name at the same time, one succeeds."""
    results = await asyncio.gather(*(accounts.add("ada", PASSWORD) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(result, InvalidRequest) for result in results) == 7
    assert len(await accounts.list()) == 1


async def test_accounts_are_listed_by_name(accounts: Accounts):
    """The list is in the order of names, and shows no hash."""
    for name in ("cyd", "Ada", "bob"):
        await accounts.add(name, PASSWORD)
    found = await accounts.list()
    assert [account.username for account in found] == ["Ada", "bob", "cyd"]
    assert "argon2" not in repr(found)


async def test_nothing_of_the_password_is_in_the_file(accounts: Accounts, tmp_path: Path):
    """The database holds the argon2id hash and nothing that could be read."""
    await accounts.add("ada", "xylophone-42-xylophone")
    assert (await accounts.find("ada")).password_hash.startswith("$argon2id$")
    for file in tmp_path.iterdir():
        assert b"xylophone" not in file.read_bytes()


async def test_the_tables_live_beside_the_store(tmp_path: Path):
    """Sessions and accounts have a history each in one database; both migrate again without harm."""
    store = SQLStore(f"sqlite:///{tmp_path / 'a.db'}")
    passwords = Passwords(time_cost=1, memory_cost=8)
    accounts = Accounts(store.database, passwords)
    for _ in range(2):
        await store.migrate()
        await accounts.migrate()
    await accounts.add("ada", PASSWORD)
    assert await store.sessions("usr_nobody", 0.0) == []
    passwords.close()
    await store.close()


async def test_an_unmigrated_database_is_a_store_error(database: Database):
    """Without its table nobody is let in and nobody is told no: 503."""
    passwords = Passwords(time_cost=1, memory_cost=8)
    with pytest.raises(StoreError, match="migrate"):
        await Accounts(database, passwords).authenticate("ada", PASSWORD)
    passwords.close()


CASES = {
    "unknown": ("nobody", PASSWORD),
    "impossible": ("no\0body", PASSWORD),
    "wrong": ("ada", "wrong horse"),
    "disabled": ("bob", PASSWORD),
    "disabled, wrong": ("bob", "wrong horse"),
}


async def with_two(database: Database, passwords: Passwords) -> Accounts:
    accounts = Accounts(database, passwords)
    await accounts.migrate()
    await accounts.add("ada", PASSWORD)
    await accounts.add("bob", PASSWORD)
    await accounts.disable("bob")
    return accounts


async def test_every_refusal_checks_exactly_one_hash_of_the_same_cost(database: Database, monkeypatch: pytest.MonkeyPatch):
    """Unknown, wrong and disabled each run argon2 once, with the same parameters, and hash nothing."""
    passwords = Passwords(time_cost=1, memory_cost=64)
    accounts = await with_two(database, passwords)
    verify, costs = argon2.PasswordHasher.verify, []

    def counted(self: argon2.PasswordHasher, hash_: Any, password: Any) -> bool:
        costs.append(str(argon2.extract_parameters(hash_)))
        return verify(self, hash_, password)

    def never(*_: object) -> str:
        raise AssertionError("a refusal hashes nothing")

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    monkeypatch.setattr(argon2.PasswordHasher, "hash", never)
    seen = {}
    for case, (name, password) in CASES.items():
        costs.clear()
        assert await accounts.authenticate(name, password) is None
        seen[case] = tuple(costs)
    passwords.close()
    assert {len(each) for each in seen.values()} == {1}
    assert len(set(seen.values())) == 1


async def test_every_refusal_takes_the_same_time(database: Database):
    """Measured turn by turn, the medians of all refusals lie close together: an unknown user is not to be told from a known one."""
    passwords = Passwords(time_cost=2, memory_cost=8192)
    accounts = await with_two(database, passwords)
    for last in (False, False, True):  # whoever else is busy may be in the way of one case more than of another
        taken: dict[str, list[float]] = {case: [] for case in CASES}
        for _ in range(30):
            for case, (name, password) in CASES.items():
                started = time.perf_counter()
                await accounts.authenticate(name, password)
                taken[case].append(time.perf_counter() - started)
        medians = {case: statistics.median(times) for case, times in taken.items()}
        if max(medians.values()) < 1.5 * min(medians.values()):
            break
        assert not last, medians
    passwords.close()

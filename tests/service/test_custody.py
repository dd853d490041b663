"""Custody: an account is changed, its sessions end; one event for each call, and whatever was cut short is mended by another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from stagedoor.encoding import encode
from stagedoor.errors import BadCredentials, InvalidRequest, NotFound, StoreError
from stagedoor.event import Event
from stagedoor.service.composition import Composition, compose
from stagedoor.service.passwords import Passwords
from stagedoor.service.settings import Settings
from stagedoor.token_pair import TokenPair

PASSWORD = "correct horse"
CHANGES: dict[str, Callable[[Composition], Any]] = {
    "account_disabled": lambda house: house.custody.disable("ada", by="usr_ruth"),
    "account_deleted": lambda house: house.custody.delete("ada", by="usr_ruth"),
    "password_changed": lambda house: house.custody.set_password("ada", "battery staple", by="usr_ruth"),
    "scope_changed": lambda house: house.custody.set_scope("ada", "b", by="usr_ruth"),
}
each_change = pytest.mark.parametrize(("name", "change"), CHANGES.items(), ids=CHANGES)


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
async def house(tmp_path: Path, told: list[Event], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Composition]:
    """Accounts of ada and ben, on SQLite."""
    cheap = {"time_cost": 1, "memory_cost": 8}
    monkeypatch.setattr("stagedoor.service.composition.Passwords", lambda threads: Passwords(threads=threads, **cheap))
    made = compose(Settings.load({}, data=tmp_path / "data"), events=told.append)
    await made.migrate()
    for name in ("ada", "ben"):
        await made.accounts.add(name, PASSWORD, "a b")
    yield made
    await made.close()


async def log_in(house: Composition, name: str = "ada", between: Callable[[], Any] | None = None) -> TokenPair:
    """A login; `between` the look at the password and the session something may happen."""
    account = await house.accounts.authenticate(name, PASSWORD)
    assert account is not None
    if between is not None:
        await between()
    return await house.issuer.issue(account.subject, scope=account.scope, claims=account.claims, confirm=account.confirm)


async def live(house: Composition, subject: str) -> set[str]:
    return {encode(session.id) for session in await house.issuer.sessions(subject)}


@each_change
async def test_a_change_ends_the_sessions_of_its_account(house: Composition, told: list[Event], name: str, change: Callable[..., Any]):
    """All of them, nobody else's, and says how many; its own event is one, whoever asked stands in it."""
    pair, _, of_ben = await log_in(house), await log_in(house), await log_in(house, "ben")
    told.clear()
    assert await change(house) == 2
    assert await live(house, pair.subject) == set()
    assert await live(house, of_ben.subject) == {of_ben.session_id}
    (event,) = [each for each in told if each.name == name]
    assert (event.subject, event.session_id, event.detail) == (pair.subject, None, "by usr_ruth")
    others = sorted((each.name, each.detail) for each in told if each is not event)
    assert others == [("session_revoked", name), ("session_revoked", name), ("subject_revoked", f"{name}: 2 live")]


@each_change
async def test_a_login_that_is_under_way_ends(house: Composition, name: str, change: Callable[..., Any]):
    """Whose password was looked at before the change gets no session after it."""
    subject = (await house.accounts.find("ada")).subject
    with pytest.raises(BadCredentials):
        await log_in(house, between=lambda: change(house))
    assert await live(house, subject) == set()


@each_change
async def test_cut_short_and_repeated(
    house: Composition, told: list[Event], monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[..., Any]
):
    """Where the sessions could not be ended the password or scope is changed already, and no account is disabled; again, and all is."""
    pair = await log_in(house)

    async def down(*_: Any) -> Any:
        raise StoreError("gone")

    with monkeypatch.context() as broken:
        broken.setattr(house.store, "revoke_subject", down)
        with pytest.raises(StoreError):
            await change(house)
    assert await live(house, pair.subject) == {pair.session_id}
    account = await house.accounts.find("ada")
    assert (account.version, account.disabled_at) == (1 if name.startswith("account") else 2, None)
    assert await change(house) == 1
    assert await live(house, pair.subject) == set()


@each_change
async def test_nobody_of_that_name(house: Composition, told: list[Event], name: str, change: Callable[..., Any]):
    """An unknown name is NotFound, and no event."""
    await house.custody.delete("ada", by="usr_ruth")
    told.clear()
    with pytest.raises(NotFound):
        await change(house)
    assert told == []


@each_change
async def test_a_login_in_the_middle(house: Composition, monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[Composition], Any]):
    """Who logs in while the sessions are being ended has none when the call returns."""
    revoke, found = house.store.revoke_subject, await house.accounts.find("ada")

    async def and_a_login(*arguments: Any) -> Any:
        ended = await revoke(*arguments)
        if (await house.accounts.find("ada")).version == found.version:
            await log_in(house)
        return ended

    monkeypatch.setattr(house.store, "revoke_subject", and_a_login)
    await change(house)
    assert await live(house, found.subject) == set()


async def test_deleted_for_good(house: Composition):
    """Nobody logs in to a deleted account, and who has its name later is somebody else."""
    before = await house.accounts.find("ada")
    await house.custody.delete("ADA", by="usr_ruth")
    assert await house.accounts.authenticate("ada", PASSWORD) is None
    assert [each.username for each in await house.accounts.list()] == ["ben"]
    assert (await house.accounts.add("ada", PASSWORD)).subject != before.subject


async def test_enabled_while_it_is_deleted(house: Composition, told: list[Event], monkeypatch: pytest.MonkeyPatch):
    """An account that somebody enables before its row goes is not deleted: somebody may have logged in."""
    disable = house.accounts.disable

    async def meanwhile(username: str) -> str:
        subject = await disable(username)
        await house.accounts.enable("ada")
        return subject

    with monkeypatch.context() as raced:
        raced.setattr(house.accounts, "disable", meanwhile)
        with pytest.raises(StoreError, match="enabled meanwhile"):
            await house.custody.delete("ada", by="usr_ruth")
    pair = await log_in(house)
    assert await house.custody.delete("ada", by="usr_ruth") == 1
    assert await live(house, pair.subject) == set()
    assert [event.name for event in told].count("account_deleted") == 1


async def test_enabled_again(house: Composition, told: list[Event]):
    """Enabling is one event, and ends nothing."""
    await house.custody.disable("ada", by="usr_ruth")
    told.clear()
    await house.custody.enable("ada", by="usr_ruth")
    assert [(event.name, event.detail) for event in told] == [("account_enabled", "by usr_ruth")]
    await log_in(house)


async def test_bad_scopes_and_passwords_change_nothing(house: Composition, told: list[Event]):
    """What is refused leaves the account, its sessions and the log of events as they were."""
    pair = await log_in(house)
    told.clear()
    for change in (
        house.custody.set_scope("ada", "a  b", by="usr_ruth"),
        house.custody.set_password("ada", "short", by="usr_ruth"),
        house.custody.set_password("ada", "password", by="usr_ruth"),
    ):
        with pytest.raises(InvalidRequest):
            await change
    assert await live(house, pair.subject) == {pair.session_id}
    assert (await house.accounts.find("ada")).version == 1
    assert told == []


async def test_ones_own_password(house: Composition, told: list[Event]):
    """Who changes the own password goes on; all other sessions of the account end."""
    here, *others = [await log_in(house) for _ in range(3)]
    account = await house.accounts.find("ada")
    told.clear()
    await house.custody.change_password(account, PASSWORD, "battery staple", keep=here.session_id)
    assert await live(house, here.subject) == {here.session_id}
    assert (await house.issuer.refresh(here.refresh_token)).subject == here.subject
    assert await house.accounts.authenticate("ada", PASSWORD) is None
    assert await house.accounts.authenticate("ada", "battery staple") is not None
    ended = {event.session_id for event in told if (event.name, event.detail) == ("session_revoked", "password_changed")}
    assert ended == {each.session_id for each in others}
    assert [(event.detail) for event in told if event.name == "password_changed"] == [f"by {here.subject}"]


@pytest.mark.parametrize(
    ("old", "new", "refusal"), [("wrong horse", "battery staple", BadCredentials), (PASSWORD, "short", InvalidRequest)]
)
async def test_ones_own_password_refused(house: Composition, told: list[Event], old: str, new: str, refusal: type[Exception]):
    """A wrong old password, or a new one that is no good, changes nothing."""
    pair = await log_in(house)
    told.clear()
    with pytest.raises(refusal):
        await house.custody.change_password(await house.accounts.find("ada"), old, new, keep="")
    assert await live(house, pair.subject) == {pair.session_id}
    assert await house.accounts.authenticate("ada", PASSWORD) is not None
    assert told == []


@each_change
async def test_ones_own_password_loses_against_an_administrator(house: Composition, name: str, change: Callable[..., Any]):
    """What was done to the account since it was looked at stays done: a thief who knows the old password does not undo it."""
    await log_in(house)
    account = await house.accounts.find("ada")
    await change(house)
    with pytest.raises(BadCredentials):
        await house.custody.change_password(account, PASSWORD, "thief's own one", keep="")
    assert await house.accounts.authenticate("ada", "thief's own one") is None

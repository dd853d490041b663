"""Guards that ask for more: the store each time, a recent login; and what they do when revocations are not heard of."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from guards.material import AUDIENCE, KEYS, NAME, bearer, client, show_asgi
from patience import PATIENCE, patient
from stagedoor import AccessToken, Peppers, Revocations, SyncIssuer, Verifier
from stagedoor.errors import StoreError
from stagedoor.guards import asgi, fastapi, starlette
from stagedoor.revocation import Page
from stagedoor.session import Session
from stagedoor.stores.memory import SyncMemoryStore
from stagedoor.testing.clock import FixedClock

Demands = dict[str, dict[str, Any]]
DEMANDS: Demands = {"/any": {}, "/strict": {"strict": True}, "/recent": {"max_age": "5m"}}


def starlette_app(verifier: Any, demands: Demands = DEMANDS) -> Starlette:
    guard = starlette.Guard(verifier)

    async def show(request: Request) -> JSONResponse:
        return JSONResponse({"subject": guard.token(request).subject})

    return Starlette(routes=[Route(path, guard(**more)(show)) for path, more in demands.items()])


def fastapi_app(verifier: Any, demands: Demands = DEMANDS) -> FastAPI:
    app, guard = FastAPI(), fastapi.Guard(verifier)

    def add(path: str, dependency: Any) -> None:
        async def show(found: Annotated[AccessToken, dependency]) -> dict[str, Any]:
            return {"subject": found.subject}

        app.add_api_route(path, show)

    for path, more in demands.items():
        add(path, guard(**more))
    return app


def asgi_app(verifier: Any, demands: Demands = DEMANDS) -> Any:
    apps = {path: asgi.GuardMiddleware(show_asgi, verifier, **more) for path, more in demands.items()}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await apps[scope["path"]](scope, receive, send)

    return app


MAKE: dict[str, Callable[..., Any]] = {"starlette": starlette_app, "fastapi": fastapi_app, "asgi": asgi_app}


class Source:
    """A store whose feed brings no news: what another process ends is in the store, and not heard of yet."""

    def __init__(self) -> None:
        self.store = SyncMemoryStore()
        self.log = self
        self.feed_is_down = self.store_is_down = False

    def read(self, after: str | None, wait: float = 0.0) -> Page:
        if self.feed_is_down:
            raise StoreError("the feed is down")
        return Page("quiet:0", [], None, 0.0)

    def get(self, session_id: bytes) -> Session | None:
        if self.store_is_down:
            raise StoreError("the store is down")
        return self.store.get(session_id)


class Scene:
    """An issuer on a store, and an application elsewhere that guards its routes."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.clock = FixedClock()
        self.source = Source()
        self.issuer = SyncIssuer(
            NAME, audience=AUDIENCE, store=self.source.store, keys=KEYS, peppers=Peppers.generate(clock=self.clock), clock=self.clock
        )
        self.revocations = patient(Revocations.following(self.source, bound=0.25, clock=self.clock), bound=PATIENCE)
        verifier = Verifier(NAME, audience=AUDIENCE, keys=KEYS, revocations=self.revocations, clock=self.clock)
        self.client: TestClient = client(make(verifier))

    def get(self, path: str, token: str) -> tuple[int, str | None]:
        answer = self.client.get(path, headers=dict(bearer(token)))
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
        return answer.status_code, answer.json().get("error")


@pytest.fixture(params=MAKE)
def scene(request: pytest.FixtureRequest) -> Any:
    scene = Scene(MAKE[request.param])
    yield scene
    scene.revocations.close()


def test_strict_asks_the_store(scene: Scene):
    """What was ended a moment ago, and is not heard of yet, is refused where the route asks the store."""
    pair = scene.issuer.issue("ada")
    assert scene.get("/any", pair.access_token) == scene.get("/strict", pair.access_token) == (200, None)
    scene.issuer.revoke(pair.refresh_token)
    assert scene.get("/any", pair.access_token) == (200, None)
    assert scene.get("/strict", pair.access_token) == (401, "invalid_token")


def test_strict_and_a_store_that_does_not_know_the_session(scene: Scene):
    """A session that the store has no row of is refused: it was ended long ago, or is another store's."""
    other = SyncIssuer(NAME, audience=AUDIENCE, store=SyncMemoryStore(), keys=KEYS, peppers=Peppers.generate(), clock=scene.clock)
    assert scene.get("/strict", other.issue("ada").access_token) == (401, "invalid_token")


def test_strict_and_a_store_that_is_down(scene: Scene):
    """Where the store cannot be asked the answer is 503, and other routes go on."""
    token = scene.issuer.issue("ada").access_token
    scene.source.store_is_down = True
    assert scene.get("/strict", token) == (503, "temporarily_unavailable")
    assert scene.get("/any", token) == (200, None)


def test_a_recent_login(scene: Scene):
    """A login of five minutes ago is recent; a second later it is not, and refreshing does not help."""
    pair = scene.issuer.issue("ada")
    scene.clock.forward(300)
    assert scene.get("/recent", pair.access_token) == (200, None)
    scene.clock.forward(1)
    later = scene.issuer.refresh(pair.refresh_token).access_token
    for token in (pair.access_token, later):
        assert scene.get("/recent", token) == (401, "insufficient_user_authentication")
        assert scene.get("/any", token) == (200, None)
    answer = scene.client.get("/recent", headers=dict(bearer(later)))
    assert 'error="insufficient_user_authentication"' in answer.headers["www-authenticate"]
    assert answer.headers["www-authenticate"].endswith('max_age="300"')


def test_a_login_in_the_future_is_not_recent(scene: Scene):
    """A login that lies ahead, by more than clocks may differ, is none that could be called recent."""
    token = scene.issuer.issue("ada").access_token
    scene.clock.forward(-10)
    assert scene.get("/recent", token) == (200, None)
    scene.clock.forward(-1)
    assert scene.get("/recent", token)[0] == 401


def test_a_feed_that_goes_and_comes(scene: Scene):
    """While nothing can be heard every route is 503, the good token's too; once something is heard all goes on."""
    token = scene.issuer.issue("ada").access_token
    scene.source.feed_is_down = True
    assert scene.get("/any", token) == scene.get("/recent", token) == (503, "temporarily_unavailable")
    scene.source.feed_is_down = False
    answers = {scene.get("/any", token)[0] for _ in range(200)}
    assert answers <= {503, 200}
    assert scene.get("/any", token) == (200, None)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_demands_that_cannot_be_met(make: Callable[..., Any]):
    """Strict where nobody can be asked, a max_age that is none, and a verifier that knows no logins are told at construction."""
    never = Verifier(NAME, audience=AUDIENCE, keys=KEYS, revocations=Revocations.until_expiry())

    class Own:
        def verify(self, token: str) -> Any:
            raise AssertionError(token)

    for verifier, demand, kind in [
        (never, {"strict": True}, TypeError),
        (never, {"strict": 1}, TypeError),
        (never, {"max_age": "300"}, ValueError),
        (never, {"max_age": 0}, ValueError),
        (Own(), {"strict": True}, TypeError),
        (Own(), {"max_age": "5m"}, TypeError),
    ]:
        with pytest.raises(kind):
            make(verifier, {"/": demand})


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_strict_beside_the_store_of_one_process(make: Callable[..., Any]):
    """A store without a feed, as in tests of an application, is asked too: it refuses a session that it alone knows to be ended."""
    clock, store = FixedClock(), SyncMemoryStore()
    issuer = SyncIssuer(NAME, audience=AUDIENCE, store=store, keys=KEYS, peppers=Peppers.generate(clock=clock), clock=clock)
    asking = client(make(issuer.verifier()))
    pair = issuer.issue("ada")
    headers = dict(bearer(pair.access_token))
    assert asking.get("/strict", headers=headers).status_code == 200
    (session,) = issuer.sessions("ada")
    store.revoke(session.id, "elsewhere", clock())
    assert asking.get("/any", headers=headers).status_code == 200
    assert asking.get("/strict", headers=headers).status_code == 401


def test_strict_with_a_sync_store_leaves_the_event_loop_alone(scene: Scene):
    """What a sync store blocks on is a thread of its own, not the one that answers requests."""
    asked: list[bool] = []
    get = scene.source.get

    def asks(session_id: bytes) -> Session | None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asked.append(True)
        return get(session_id)

    scene.source.get = asks  # type: ignore[method-assign]
    assert scene.get("/strict", scene.issuer.issue("ada").access_token) == (200, None)
    assert asked == [True]
